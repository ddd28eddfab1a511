"""Every method whose ``sample`` claims to draw does: from the law of the target given the source, where it is known."""

import functools
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.conditional_laws_world import ConditionalLaw, Law, conditional_laws_world
from mmlab.method import Draws
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.metrics.transport import conditional_energy_distance, exchange_test
from mmlab.registry import list_methods, load

PAIRS = 8000
TESTED = 500
STEPS = (100, 300)
"""Most follow the law after the short training; for what does not, the long one decides."""
LEVEL = 0.002
"""Below it a law is another one: of all the tests here, one in ten runs would refuse a perfect sampler in one."""

TRANSLATORS = [stem for stem in list_methods() if hasattr(load(stem), "sample")]
LAWS = [(name, size) for name in get_args(Law) for size in (1, 2)]


def _declared(stem: str) -> Draws | None:
    return getattr(load(stem), "draws", None)


CLAIMS = [
    (stem, *law)
    for stem in TRANSLATORS
    if (claim := _declared(stem))
    for law in LAWS
    if not (claim.correlations and law[1] > 1)
]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@functools.cache
def _pairs(name: Law, size: int) -> TensorData:
    return conditional_laws_world(name, size, PAIRS, seed=1)


@functools.cache
def _truth(name: Law, size: int) -> tuple[Tensor, Tensor]:
    law, rng = ConditionalLaw(name, size), _rng(2)
    source = law.sources(TESTED, rng)
    return source, law.sample(source, rng)


def _distance_and_level(name: Law, size: int, sample: Tensor) -> tuple[float, float]:
    """Of samples from the truth given their sources: energy distance, and p-value."""
    source, truth = _truth(name, size)
    return (
        conditional_energy_distance(sample, truth, source),
        exchange_test(sample, truth, _rng(3), given=source),
    )


@functools.cache
def _distance_of_the_mean(name: Law, size: int) -> float:
    """Energy distance from the truth of the answers of the best regression."""
    return _distance_and_level(name, size, ConditionalLaw(name, size).mean(_truth(name, size)[0]))[0]


def _trained(method: Any, data: TensorData, steps: int = STEPS[-1]) -> Any:
    fit(method, data, steps=steps, batch_size=256, lr=3e-3, schedule="cosine", log_every=steps, progress=False)
    return method


def _sample(cls: Any, claim: Draws, name: Law, size: int, steps: int) -> Tensor:
    """What a small network of this method draws, after so many steps, for the sources of :func:`_truth`."""
    data, (source, _) = _pairs(name, size), _truth(name, size)
    if claim.correlations:  # by Fisher's z: real numbers become correlations (none rounded to one), and samples z again
        data = TensorData({key: (value / 2).tanh() for key, value in data.tensors.items()})
        source = (source / 2).tanh()
    method = _trained(cls.seeded(0, (size,), width=64, **claim.arguments), data, steps)
    drawn = method.sample(source, rng=_rng(4))
    return 2 * drawn.clamp(-1 + 1e-6, 1 - 1e-6).atanh() if claim.correlations else drawn


@pytest.mark.parametrize("translator", TRANSLATORS)
def test_whether_it_draws_is_declared(translator: str) -> None:
    declared = getattr(load(translator), "draws", "nothing")
    assert declared is None or isinstance(declared, Draws), (
        f"{translator} has `sample`: set `draws = Draws()` if it draws from the law of the target given the source, "
        "or `draws = None` with the reason beside it"
    )


@pytest.mark.parametrize(("translator", "name", "size"), CLAIMS)
def test_samples_follow_the_law_of_the_target_given_the_source(translator: str, name: Law, size: int) -> None:
    claim = _declared(translator)
    assert claim is not None
    faults = ["not tried"]
    for steps in STEPS:
        if faults:
            faults = _faults(_sample(load(translator), claim, name, size, steps), name, size)
    assert not faults


def _faults(sample: Tensor, name: Law, size: int) -> list[str]:
    """In what a sample differs from one of the law; nothing if it does not."""
    distance, level = _distance_and_level(name, size, sample)
    law, (source, truth), of_the_mean = (
        ConditionalLaw(name, size),
        _truth(name, size),
        _distance_of_the_mean(name, size),
    )
    faults = []
    if level <= LEVEL:
        faults.append(f"p = {level:.4f}: energy distance {distance:.4f} from the truth, {of_the_mean:.4f} of the mean")
    if distance >= of_the_mean / 3:
        faults.append(f"the energy distance {distance:.4f} is no third of {of_the_mean:.4f}, that of the mean")
    if name in ("two_modes", "weighted_modes") and law.gap(source, sample) > law.gap(source, truth) + 0.03:
        faults.append(f"{law.gap(source, sample):.3f} of the samples lie between the modes")
    return faults


@pytest.mark.parametrize(("name", "size"), LAWS)
def test_a_second_draw_of_the_truth_passes_and_the_best_regression_fails(name: Law, size: int) -> None:
    law, (source, _) = ConditionalLaw(name, size), _truth(name, size)
    assert _distance_and_level(name, size, law.sample(source, _rng(5)))[1] > 0.01
    assert _distance_and_level(name, size, law.mean(source))[1] <= 0.001


def test_a_trained_regression_fails() -> None:
    """One step of a bridge is a regression, and the test sees it."""
    method = _trained(BridgeMatching.seeded(0, (1,), width=64), _pairs("two_modes", 1))
    answer = method.sample(_truth("two_modes", 1)[0], steps=1, rng=_rng())
    assert _distance_and_level("two_modes", 1, answer)[1] <= 0.001
    assert len(_faults(answer, "two_modes", 1)) == 3


def test_a_gaussian_with_the_right_mean_and_spread_fails_where_the_law_is_none() -> None:
    """What a network can draw whose correction is linear in the state."""
    for name in ("two_modes", "skewed", "weighted_modes"):
        law, (source, _) = ConditionalLaw(name), _truth(name, 1)
        drawn = law.mean(source) + law.deviation(source) * torch.randn(source.shape, generator=_rng(5))
        assert _distance_and_level(name, 1, drawn)[1] <= 0.001, name


@pytest.mark.parametrize(("name", "size"), [law for law in LAWS if law[0] != "unrelated"])
def test_the_right_targets_with_the_wrong_sources_fail(name: Law, size: int) -> None:
    """A sampler that ignores its source draws from the law of all targets, and is wrong wherever a source tells."""
    law = ConditionalLaw(name, size)
    for seed in (6, 7, 8):
        ignorant = law.sample(law.sources(TESTED, _rng(seed)), _rng(seed + 10))
        distance, level = _distance_and_level(name, size, ignorant)
        assert level <= 0.001, f"p = {level:.4f}, energy distance {distance:.4f}"
