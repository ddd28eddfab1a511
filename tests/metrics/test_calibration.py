"""Calibration against Gaussian closed forms."""

import math

import pytest
import torch
from torch import Tensor

from mmlab.metrics.calibration import coverage, crps, spread_skill


def gaussian(draws: int, spread: float, count: int = 30_000) -> tuple[Tensor, Tensor]:
    """Targets m + e with known m, and samples m + spread e'."""
    rng = torch.Generator().manual_seed(0)
    centre = torch.randn(count // 100, 100, generator=rng)
    target = centre + torch.randn(centre.shape, generator=rng)
    return centre + spread * torch.randn(draws, *centre.shape, generator=rng), target


def inside(level: float, spread: float) -> float:
    """P(|e| < spread q) for standard normal e, with q the central quantile at the level: the limit of many draws."""
    quantile = math.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))
    return math.erf(spread * quantile / math.sqrt(2))


@pytest.mark.parametrize("draws", [7, 39, 200])
def test_right_samples_cover_as_they_should_at_any_number_of_draws(draws: int) -> None:
    levels = (0.25, 0.5, 0.75) if draws == 7 else (0.5, 0.8, 0.95)
    for level, observed in coverage(*gaussian(draws, 1.0), levels).items():
        assert observed == pytest.approx(level, abs=0.012)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_narrow_and_wide_samples_cover_as_the_normal_law_says(spread: float) -> None:
    for level, observed in coverage(*gaussian(400, spread)).items():
        assert observed == pytest.approx(inside(level, spread), abs=0.012)


def test_crps_of_a_gaussian() -> None:
    """E over y ~ N(0, 1) of CRPS(N(0, s²), y) = √(2 (1+s²)/π) - s/√π."""
    for spread in (0.5, 1.0, 2.0):
        expected = math.sqrt(2 * (1 + spread**2) / math.pi) - spread / math.sqrt(math.pi)
        for draws in (4, 50):  # unbiased: the number of draws does not matter
            assert crps(*gaussian(draws, spread)) == pytest.approx(expected, abs=0.012)


def test_crps_by_hand() -> None:
    samples = torch.tensor([[[0.0]], [[1.0]], [[3.0]]])
    # mean |x - 2| = 4/3; mean |x - x'| over the pairs 1, 3, 2 is 2
    assert crps(samples, torch.tensor([[2.0]])) == pytest.approx(4 / 3 - 1)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_spread_skill_is_the_ratio_of_spreads(spread: float) -> None:
    samples, target = gaussian(100, spread)
    # variance of the error of the mean: 1 + s²/K; expected spread s², corrected by (K+1)/K
    expected = math.sqrt(1.01 * spread**2 / (1 + spread**2 / 100))
    assert spread_skill(samples, target) == pytest.approx(expected, rel=0.02)


def test_refusals() -> None:
    samples, target = torch.zeros(9, 2, 3), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"expected \(K, S, E\) and \(S, E\)"):
        coverage(samples[..., :2], target)
    with pytest.raises(ValueError, match=r"9 samples cannot show a 95% interval: draw at least 39"):
        coverage(samples, target, (0.95,))
    with pytest.raises(ValueError, match="not between 0 and 1"):
        coverage(samples, target, (1.0,))
    with pytest.raises(ValueError, match="draw at least 2"):
        crps(samples[:1], target)
    with pytest.raises(ValueError, match="exactly the target"):
        spread_skill(samples, target)
