"""Source and target of two widths: what can maps them, and what cannot says what to do, and that works."""

from typing import Any

import pytest
import torch

from mmlab import fit
from mmlab.compare.connectome_baselines import baselines, pooled
from mmlab.data.tensors import TensorData
from mmlab.method import Method
from mmlab.methods.c2c import C2C
from mmlab.metrics.connectome import evaluate
from mmlab.nn.field import TWO_PARCELLATIONS, TWO_WIDTHS
from mmlab.registry import list_methods, load

WIDE, NARROW = 15, 10  # edges of 6 and of 5 regions
WITHIN_ONE_SPACE = (
    "bridge_matching",
    "ddbm",
    "diffeo_cfm",
    "flow_matching",
    "schrodinger_bridge",
    "score_diffusion",
    "tangent_bridge",
)

OF_MATRICES = ("diffeo_cfm", "tangent_bridge")


def _pairs(source: int, target: int, count: int = 24) -> TensorData:
    rng = torch.Generator().manual_seed(0)
    shared = torch.randn(count, 3, generator=rng)
    sides = {"source": source, "target": target}
    return TensorData({key: 0.1 * shared @ torch.randn(3, size, generator=rng).tanh() for key, size in sides.items()})


def _built(stem: str) -> Any:
    cls: Any = load(stem)
    arguments = dict(cls.draws.arguments) if cls.draws else {}
    return cls.seeded(0, (NARROW,), width=8, depth=1, **arguments)


def _train(method: Method, data: TensorData) -> None:
    fit(method, data, steps=1, batch_size=8, progress=False)


def test_all_that_move_within_one_space_are_here() -> None:
    moving = {stem for stem in list_methods() if getattr(load(stem), "draws", None)}
    assert moving <= set(WITHIN_ONE_SPACE)


@pytest.mark.parametrize("stem", WITHIN_ONE_SPACE)
def test_two_widths_are_refused_with_a_remedy(stem: str) -> None:
    for source, target in ((WIDE, NARROW), (NARROW, WIDE)):
        with pytest.raises(ValueError, match="built for") as caught:
            _train(_built(stem), _pairs(source, target))
        assert str(caught.value).endswith(TWO_PARCELLATIONS if stem in OF_MATRICES else TWO_WIDTHS)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stem", sorted(set(WITHIN_ONE_SPACE) - set(OF_MATRICES)))
def test_sources_brought_to_the_width_of_the_targets_will_do(stem: str) -> None:
    pairs = _pairs(WIDE, NARROW).tensors
    axes = torch.linalg.svd(pairs["source"] - pairs["source"].mean(0), full_matrices=False).Vh[:NARROW]
    narrow = pairs["source"] @ axes.T
    method = _built(stem)
    _train(method, TensorData({"source": narrow, "target": pairs["target"]}))
    drawn = method.sample(narrow, rng=torch.Generator().manual_seed(0))
    assert drawn.shape == pairs["target"].shape


@pytest.mark.parametrize(("source", "target"), [(WIDE, NARROW), (NARROW, WIDE)])
def test_c2c_the_rivals_and_the_measures_take_two_widths(source: int, target: int) -> None:
    pairs = _pairs(source, target)
    train, test = pairs.subset(range(18)), pairs.subset(range(18, 24))
    made = dict(baselines(train, test))
    made["C2C"] = C2C((source,), 5, 2, target_shape=(target,)).solve(train).sample(test.tensors["source"])
    for name, prediction in made.items():
        scores = evaluate(prediction, test.tensors["target"], train.tensors["target"].mean(0))
        assert scores["rmse"] < 0.2, name
        assert {"identification_demeaned", "log_euclidean"} <= set(scores)
        assert evaluate(prediction, test, train) == pytest.approx(scores, rel=1e-6, abs=1e-9)
    together = pooled(pairs)
    assert all(prediction.shape == (24, target) for prediction in together.predictions.values())
