"""One call runs the translation experiment, on the same people for everybody, and gives values that can be paired."""

from __future__ import annotations

import math

import pytest
import torch

from mmlab import generator
from mmlab.compare.intervals import decide
from mmlab.compare.translation import DIRECTIONS, Trained, regression_of, translate
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.methods.c2c import C2C
from mmlab.methods.score_diffusion import ScoreDiffusion
from mmlab.metrics.connectome import evaluate

WORLDS = {seed: rest_motor_world(subjects=50, regions=12, seed=seed) for seed in (0, 1)}
EDGES = 66
NOISE = 0.05


def noisy(train, source, seed):
    """The mean shift with noise, 8 times: what averaging buys is known."""
    shift = source + (train.target.mean(0) - train.source.mean(0))
    return shift + NOISE * torch.randn(8, *source.shape, generator=generator(seed))


@pytest.fixture(scope="module")
def found():
    return translate({"noisy": noisy, "copy": lambda train, source, seed: source}, WORLDS, test_size=20, draws=4)


def test_all_rows_are_measured_on_the_same_people(found) -> None:
    rows = list(found.runs.mean.index)
    assert rows[:6] == [
        "identity", "group mean", "mean shift", "shrunk shift", "ridge on PCA scores", "ridge on the change",
    ]  # fmt: skip
    assert rows[6:] == ["noisy, one sample", "noisy, mean of 8", "copy", "attainable from rest", "ceiling"]
    assert list(found.runs.mean.columns) == list(DIRECTIONS) == list(found.directions)
    assert found.of("copy", "RMSE").equals(found.of("identity", "RMSE").rename("RMSE"))
    train, test = WORLDS[1].pairs.split(20, 1)
    expected = evaluate(test.source, test.target, train.target.mean(0))
    assert found.of("copy", "demeaned r")[1] == expected["demeaned_r"]


def test_values_are_paired_by_world_and_by_person(found) -> None:
    assert list(found.of("copy", "RMSE").index) == [0, 1]
    ours, theirs = (found.by_person(row, "RMSE") for row in ("noisy, mean of 8", "identity"))
    assert len(ours) == 40
    assert ours.index.equals(theirs.index)
    assert decide(ours, theirs, direction="lower", over="items").n == 40
    whole = found.by_person("identity", "RMSE").xs(0, level="world").pow(2).mean() ** 0.5
    assert whole == pytest.approx(found.of("identity", "RMSE")[0])
    assert found.ahead("noisy, mean of 8", "noisy, one sample", "RMSE") == 2
    assert found.ahead("noisy, one sample", "noisy, mean of 8", "demeaned r") == 0


def test_the_curve_over_samples_ends_at_its_limit(found) -> None:
    curve = found.curve("noisy", (1, 2, 8, 50))
    assert list(curve["samples"]) == [1, 2, 8] * 2
    shift = found.of("mean shift", "RMSE")  # infinitely many noisy samples
    for world, part in curve.groupby("world"):
        error = part.set_index("samples")["RMSE"]
        assert error[1] > error[2] > error[8] > shift[world]
        assert part["RMSE, limit"].iloc[0] == pytest.approx(shift[world], rel=0.02)
        assert error[1] ** 2 - shift[world] ** 2 == pytest.approx(NOISE**2, rel=0.15)
    with pytest.raises(ValueError, match="no samples of 'copy'; there are those of noisy"):
        found.curve("copy")


def diffusion(seed):
    return ScoreDiffusion((EDGES,), width=8, depth=0, scale=0.2)


def test_a_method_is_trained_once_for_each_world_and_its_budget_is_declared() -> None:
    training = {"steps": 3, "lr": 1e-3}
    method = Trained(diffusion, training, samples=2, steps=2)
    plain = Trained(lambda seed: regression_of(diffusion(seed)), training | {"steps": 2}, samples=1)
    found = translate({"diffusion": method, "regression": plain}, WORLDS, test_size=20, with_baselines=False, draws=2)
    assert sorted(method.methods) == [0, 1]
    budgets = found.budgets("diffusion, mean of 2")
    assert budgets.spent["diffusion, one sample"].steps == 3
    assert budgets.advantages()["steps"] == ["regression"]
    assert math.isfinite(found.of("regression", "RMSE")[1])
    again = method.draw(WORLDS[0].pairs.split(20, 0)[1].source, 0)
    assert torch.equal(again, found.samples["diffusion", 0])
    torch.manual_seed(9)  # nothing of the global generator gets in
    other = Trained(diffusion, training, samples=2, steps=2)
    pairs, test = WORLDS[0].pairs.split(20, 0)
    assert torch.equal(other(pairs, test.source, 0), found.samples["diffusion", 0])


def test_the_regression_of_a_method_is_its_network_without_the_process() -> None:
    method = diffusion(0)
    plain = regression_of(method)
    source = WORLDS[0].pairs.source[:4]
    method.start_from(WORLDS[0].pairs)
    guess = method.expect(source)
    assert torch.equal(plain.sample(source, rng=generator()), guess.detach())
    batch = {"source": source, "target": WORLDS[0].pairs.target[:4]}
    expected = (guess - batch["target"]).square().mean() / float(method.linear.spread) ** 2
    assert float(plain.loss(batch, generator())["loss"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    with pytest.raises(ValueError, match="expects no target from the source alone"):
        regression_of(C2C((EDGES,)))


def test_rivals_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'short' gives \(3, 66\): expected \(20, 66\)"):
        translate({"short": lambda train, source, seed: source[:3]}, WORLDS, test_size=20, draws=2)
    with pytest.raises(ValueError, match="at least one rival and one world"):
        translate({}, {})
    with pytest.raises(ValueError, match="samples=0"):
        Trained(diffusion, {}, samples=0)


def test_blocks_of_networks_are_measured_where_they_are_asked_for() -> None:
    found = translate({}, {0: WORLDS[0]}, test_size=20, draws=2, networks=True)
    assert list(found.directions)[-1] == "network blocks"
    assert found.directions["network blocks"] == "higher"
    train, test = WORLDS[0].pairs.split(20, 0)
    expected = evaluate(test.source, test.target, train.target.mean(0), test.regions.networks)["block_demeaned_r"]
    assert found.of("identity", "network blocks")[0] == expected
