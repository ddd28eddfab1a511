"""The contest of ways to live with missing modalities is fair, and its ceiling is one."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mmlab.compare.missing import CEILING, WAYS, Filling, Way, missing_modalities
from mmlab.data.gaps import Gaps
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.data.worlds.omics_world import VIEWS, omics_world
from mmlab.methods.late_fusion import LateFusion

WORLD = dependency_world(300, seed=0)
TEST = dependency_world(3000, seed=1).pairs
TRAINING = {"steps": 2, "batch_size": 32, "lr": 1e-2}
MODALITIES = ("x1", "x2")


def build(seed: int, **arguments: Any) -> LateFusion:
    return LateFusion({"x1": (8,), "x2": (8,)}, 2, width=8, **arguments)


def contest(**changes: Any) -> Any:
    arguments = {"modalities": MODALITIES, "rates": (0.0, 0.4), "training": TRAINING, "seeds": (0,)}
    return missing_modalities(build, WORLD.pairs, TEST, **arguments | changes)


class Oracle(LateFusion):
    """Answers with the posterior of the world, which it is given what it was promised."""

    seen: ClassVar[list[dict[str, torch.Tensor]]] = []

    def predict(self, batch: Any) -> torch.Tensor:
        self.seen.append(dict(batch))
        return WORLD.posterior(batch)


def oracle(seed: int, **arguments: Any) -> Oracle:
    return Oracle({"x1": (8,), "x2": (8,)}, 2, width=8, **arguments)


@pytest.mark.parametrize("mechanism", ["completely at random", "at random"])
def test_the_best_answer_reaches_the_ceiling_at_every_rate(mechanism) -> None:
    found = contest(ways={}, own={"oracle": oracle}, gaps=Gaps(0, mechanism, 1.0), posterior=WORLD.posterior)
    for rate in (0.0, 0.4):
        at = found.at(rate)
        row, ceiling = at.of("oracle", "accuracy").iloc[0], at.of(CEILING, "accuracy").iloc[0]
        assert row == pytest.approx(ceiling, abs=0.025)  # four standard errors of 3000 items
        assert at.of("oracle", "log loss").iloc[0] == pytest.approx(at.of(CEILING, "log loss").iloc[0], abs=0.05)
    assert found.at(0.0).of(CEILING, "accuracy").iloc[0] == pytest.approx(WORLD.bayes_rate, abs=0.01)


def test_gaps_that_are_not_at_random_raise_the_ceiling_above_who_does_not_read_them() -> None:
    gaps = Gaps(0, "not at random", 1.0)
    found = contest(ways={}, own={"oracle": oracle}, rates=(0.25,), gaps=gaps, posterior=WORLD.posterior)
    at = found.at(0.25)
    assert at.of(CEILING, "accuracy").iloc[0] > at.of("oracle", "accuracy").iloc[0] + 0.05
    made = gaps.__class__(0.25, gaps.mechanism, 1.0).draw(TEST, MODALITIES, torch.Generator().manual_seed(5))
    there = torch.stack([made.tensors[f"{name}_present"] for name in MODALITIES], 1)
    reads = WORLD.posterior(made.tensors) * Gaps(0.25, "not at random", 1.0).likelihood(there, 2)
    right = (reads.argmax(1) == made.tensors["label"]).double().mean()
    assert right == pytest.approx(float((reads / reads.sum(1, keepdim=True)).amax(1).mean()), abs=0.02)


def test_each_way_is_given_what_it_is_promised_and_never_the_labels() -> None:
    Oracle.seen.clear()
    ways = {"zero": Way("zero"), "mean": Way("mean"), "imputation": Way("imputation"), "told": Way()}
    missing_modalities(
        oracle, WORLD.pairs, TEST, modalities=MODALITIES, rates=(0.4,), training=TRAINING, seeds=(0,), ways=ways
    )
    assert len(Oracle.seen) == 4
    zero, mean, imputed, told = Oracle.seen
    assert all("label" not in batch for batch in Oracle.seen)
    for batch in (zero, mean, imputed):
        assert set(batch) == {"x1", "x2"}
        assert not batch["x1"].isnan().any()
    gone = ~told["x1_present"]
    assert 0.3 < gone.double().mean() < 0.5
    assert (zero["x1"][gone] == 0).all()
    torch.testing.assert_close(mean["x1"][gone], WORLD.pairs.tensors["x1"].mean(0).expand(int(gone.sum()), -1))
    for batch in (zero, mean, imputed):  # the same gaps for all, and what is there is left as it is
        assert torch.equal(batch["x1"][~gone], told["x1"][~gone])
        assert torch.equal(batch["x1"][~gone], TEST.tensors["x1"][~gone])


def test_imputation_is_the_regression_on_what_is_there() -> None:
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(3000, 3, generator=rng)
    b = a @ torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 1.0]]) + 0.5 + 0.1 * torch.randn(3000, 2, generator=rng)
    train = Gaps(0.3).draw(TensorData({"a": a, "b": b}), ("a", "b"), rng)
    fresh = torch.randn(50, 3, generator=rng)
    batch = {"a": fresh, "b": torch.full((50, 2), torch.nan), "b_present": torch.zeros(50, dtype=torch.bool)}
    filled = Filling("imputation", train, ("a", "b"))(batch)
    both = (train.tensors["a_present"] & train.tensors["b_present"]).numpy()
    design = np.c_[a.numpy()[both], np.ones(both.sum())]
    weights = np.linalg.lstsq(design, b.numpy()[both], rcond=None)[0]
    np.testing.assert_allclose(filled["b"].numpy(), np.c_[fresh.numpy(), np.ones(50)] @ weights, atol=5e-3)
    assert torch.equal(filled["a"], fresh)


def test_imputation_uses_all_that_is_there_of_three() -> None:
    world = omics_world(400, features=6, shared=2, private=1, noise=0.3)
    items = Gaps(0.5).draw(world.pairs, VIEWS, torch.Generator().manual_seed(0))
    filling = Filling("imputation", world.pairs, VIEWS)
    filled = filling(items.tensors)
    errors = {}
    gone = ~items.tensors["mrna_present"]
    others = items.tensors["mirna_present"].long() + items.tensors["methylation_present"]
    for count in (1, 2):
        rows = gone & (others == count)
        errors[count] = float((filled["mrna"][rows] - world.pairs.tensors["mrna"][rows]).square().mean())
    blank = float((filling.means["mrna"] - world.pairs.tensors["mrna"]).square().mean())
    assert errors[2] < errors[1] < blank


def test_all_ways_have_the_same_budget_and_search() -> None:
    held = dependency_world(200, seed=2).pairs
    found = contest(
        ways={name: WAYS[name] for name in ("zero", "indicator", "product of experts")},
        own={"gated": lambda seed: build(seed, fusion="gated")},
        rates=(0.25,),
        trained=Gaps(0.25),
        validation=held,
        settings={"lr": (1e-3, 1e-2)},
        training={"steps": 2, "batch_size": 32},
    )
    assert {(one.steps, one.tuned, one.tries) for one in found.spent.values()} == {(2, ("lr",), 2)}
    assert all(chosen["lr"] in (1e-3, 1e-2) for chosen in found.chosen.values())
    assert found.over_rates().n == 1
    assert list(found.scores["way"]) == ["zero", "indicator", "product of experts", "gated"]


def test_a_bit_that_never_changed_in_training_is_as_it_was_drawn() -> None:
    """Trained on complete items, the indicator's weights for a gap get no signal of their own: b stays one."""
    from mmlab.train.fit import fit

    torch.manual_seed(0)
    method = build(0)
    fit(method, WORLD.pairs, steps=3, batch_size=32, lr=1e-2, progress=False)
    seen = []
    method.fusion.answer[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, -2:]))
    method.loss(WORLD.pairs.batch(torch.arange(8)), torch.Generator())
    assert (seen[0] == 1).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modalities": ("x1",)}, "at least two"),
        ({"rates": ()}, "one or more"),
        ({"rates": (0.1, 0.1)}, "different"),
        ({"settings": {"lr": (1e-3,)}}, "validation"),
        ({"own": {"zero": build}}, "different names"),
        ({"rates": (0.6,)}, "at most 0.5"),
        ({"ways": {"median": Way("median")}}, "mean"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_contest_is_refused(changes, said) -> None:
    with pytest.raises(ValueError, match=said):
        contest(**changes)
    with pytest.raises(ValueError, match="the same"):
        missing_modalities(build, TEST, TEST, modalities=MODALITIES, rates=(0.1,), training=TRAINING)


def test_a_rate_that_was_not_measured_is_named() -> None:
    found = contest(ways={"zero": WAYS["zero"]}, rates=(0.25,))
    with pytest.raises(ValueError, match=r"there are 0\.25"):
        found.at(0.3)
