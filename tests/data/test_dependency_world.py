"""Controllable dependency: law, posterior and Bayes rate, against samples and an independent transcription."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mmlab.data.worlds.dependency_world import DependencyWorld, dependency_world

SETTINGS = [(0.8, 0.5, 0.0), (0.0, 0.95, 0.0), (0.6, 0.85, 0.0), (0.6, 0.85, (0.5, 1.0)), (0.4, 0.1, 0.7)]


def answers(world: DependencyWorld, **present: bool) -> tuple[np.ndarray, np.ndarray]:
    """Probability of class 1, and the label, with modalities left out."""
    batch = world.pairs.batch(torch.arange(len(world.pairs)))
    for name, is_there in present.items():
        batch[f"{name}_present"] = torch.full((len(world.pairs),), is_there)
    return world.posterior(batch)[:, 1].numpy(), batch["label"].numpy()


@pytest.mark.parametrize(("intra", "inter", "noise"), SETTINGS)
def test_the_posterior_meets_the_rate_and_is_calibrated(
    intra: float, inter: float, noise: float | tuple[float, float]
) -> None:
    world = dependency_world(100_000, 3, intra, inter, noise, seed=1)
    p, label = answers(world)
    error = 4 * math.sqrt(0.25 / 100_000)
    assert ((p > 0.5) == label).mean() == pytest.approx(world.bayes_rate, abs=error)
    for low in np.arange(0, 1, 0.1):
        chosen = (p >= low) & (p < low + 0.1)
        if chosen.sum() > 500:
            assert label[chosen].mean() == pytest.approx(p[chosen].mean(), abs=2.5 / math.sqrt(chosen.sum()))


@pytest.mark.parametrize(("intra", "inter", "percent"), [(0.8, 0.5, 87.1), (0.0, 0.95, 95.0), (0.6, 0.85, 88.9)])
def test_the_rates_of_the_docstring(intra: float, inter: float, percent: float) -> None:
    assert round(100 * dependency_world(4, intra=intra, inter=inter).bayes_rate, 1) == percent


def test_rate_by_hand() -> None:
    """With q = 0.85 the signs shift the threshold of the sum of both features 0, N(2a, 2), by log(q/(1-q))/2a."""
    shift = math.log(0.85 / 0.15) / 1.2
    total = stats.norm(1.2, math.sqrt(2))
    expected = 0.85 * total.sf(-shift) + 0.15 * total.sf(shift)
    assert dependency_world(4).bayes_rate == pytest.approx(expected, abs=1e-9)
    assert dependency_world(4, intra=0.8, inter=0.5).rate(["x2"]) == pytest.approx(stats.norm.cdf(0.8))


def test_posterior_by_integration_of_the_law() -> None:
    """Independent transcription: the density of the noisy features, integrated over the clean ones on a grid."""
    a, q, noise = 0.6, 0.8, (0.5, 1.0)
    world = dependency_world(6, 2, a, q, noise, seed=3)
    clean = np.linspace(-8, 8, 1601)
    got, _ = answers(world)
    for x1, x2, p in zip(world.pairs.tensors["x1"].numpy(), world.pairs.tensors["x2"].numpy(), got, strict=True):
        like = {}
        for y in (-1, 1):
            zero = [stats.norm.pdf(x[0], a * y, math.sqrt(1 + s**2)) for x, s in zip((x1, x2), noise, strict=True)]
            left, right = (
                stats.norm.pdf(clean) * stats.norm.pdf(x[1] - clean, 0, s) for x, s in zip((x1, x2), noise, strict=True)
            )
            same = np.sign(clean)[:, None] * np.sign(clean)
            chance = np.where(same > 0, q, np.where(same < 0, 1 - q, 0.5))
            chance = chance if y == 1 else 1 - chance
            like[y] = zero[0] * zero[1] * (left @ (2 * chance) @ right)
        assert p == pytest.approx(like[1] / (like[1] + like[-1]), abs=1e-4)


def test_certain_agreement_is_certain() -> None:
    world = dependency_world(1000, intra=0.3, inter=1.0)
    assert world.bayes_rate == 1
    p, label = answers(world)
    assert np.array_equal(p, label)


def test_nothing_is_chance() -> None:
    world = dependency_world(2000, intra=0.0, inter=0.5)
    assert world.bayes_rate == 0.5
    assert torch.equal(world.posterior(world.pairs.tensors), torch.full((2000, 2), 0.5, dtype=torch.float64))


def test_inter_alone_is_in_neither_modality() -> None:
    world = dependency_world(100_000, 2, intra=0.0, inter=0.95)
    assert world.rate(["x1"]) == world.rate(["x2"]) == world.rate([]) == 0.5
    p, label = answers(world, x2=False)
    assert (p == 0.5).all()
    for name in ("x1", "x2"):  # a fact of the sample, not only of the formula
        for feature in world.pairs.tensors[name].T.numpy():
            assert abs(np.corrcoef(feature, label)[0, 1]) < 0.013
            assert abs(np.corrcoef(feature**2, label)[0, 1]) < 0.013
            assert feature.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("absent", ["x1", "x2"])
def test_a_missing_modality(absent: str) -> None:
    world = dependency_world(100_000, 2, 0.8, 0.9, (0.3, 1.0), seed=2)
    other = "x2" if absent == "x1" else "x1"
    p, label = answers(world, **{absent: False})
    assert ((p > 0.5) == label).mean() == pytest.approx(world.rate([other]), abs=0.006)
    assert world.rate([other]) < world.bayes_rate
    batch = dict(world.pairs.tensors) | {f"{absent}_present": torch.zeros(100_000, dtype=torch.bool)}
    batch[absent] = torch.full_like(batch[absent], torch.nan)
    assert np.array_equal(world.posterior(batch)[:, 1].numpy(), p)


def test_same_arguments_same_items_half_of_each_class() -> None:
    world, again, other = (dependency_world(101, seed=seed) for seed in (5, 5, 6))
    assert world.pairs.fingerprint() == again.pairs.fingerprint() != other.pairs.fingerprint()
    assert int(world.pairs.tensors["label"].sum()) == 51
    assert world.pairs.tensors["x1"].shape == (101, 8)
    assert world.pairs.tensors["x1"].dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"items": 1}, "items=1 is too small: choose at least 2"),
        ({"features": 1}, "features=1 is too small"),
        ({"intra": -0.1}, "intra=-0.1 is too small: choose at least 0"),
        ({"inter": 1.1}, "inter=1.1 is no probability"),
        ({"intra": math.inf}, "intra=inf"),
        ({"intra": math.nan}, "intra=nan"),
        ({"noise": -1.0}, "0 or more"),
        ({"noise": (1.0, 2.0, 3.0)}, "or two"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        dependency_world(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not 'x3'"):
        dependency_world(4).rate(["x3"])
