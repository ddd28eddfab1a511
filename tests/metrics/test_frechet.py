"""Fréchet distance against closed forms, scipy's matrix root, and its own bias."""

import pytest
import torch
from scipy.linalg import sqrtm

from mmlab.metrics.frechet import excess_frechet, frechet_bias, frechet_distance, frechet_limit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def whitened(n, d, seed=0):
    """n points whose sample mean is exactly 0 and whose sample covariance is exactly I."""
    x = torch.randn(n, d, generator=generator(seed), dtype=torch.float64)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


@pytest.mark.parametrize(("change", "distance"), [(lambda x: x + 0.3, 0.72), (lambda x: 2 * x, 8.0)])
def test_a_shift_and_a_scale_have_closed_forms(change, distance):
    x = whitened(100, 8)
    assert frechet_distance(x, change(whitened(80, 8, 1))) == pytest.approx(distance, abs=1e-9)


def test_it_is_the_formula_with_the_root_of_scipy():
    x, y = torch.randn(2, 40, 5, generator=generator(), dtype=torch.float64)
    y = y @ torch.randn(5, 5, generator=generator(1), dtype=torch.float64)
    s, t = torch.cov(x.T).numpy(), torch.cov(y.T).numpy()
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + (s + t - 2 * sqrtm(s @ t).real).trace()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_one_feature_and_far_from_the_origin():
    x = torch.tensor([[0.0], [2.0]]) + 1e4
    y = torch.tensor([[0.0], [4.0]]) + 1e4
    assert frechet_distance(x, y) == pytest.approx(1 + (8**0.5 - 2**0.5) ** 2)


@pytest.mark.parametrize(("d", "n", "m"), [(8, 100, 50), (16, 60, 60), (32, 100, 400)])
def test_the_bias_of_two_sets_of_one_law(d, n, m):
    rng, values = generator(), torch.linspace(0.2, 2, d, dtype=torch.float64)
    draws = [
        frechet_distance(*(torch.randn(k, d, generator=rng, dtype=torch.float64) * values.sqrt() for k in (n, m)))
        for _ in range(60)
    ]
    assert sum(draws) / 60 == pytest.approx(frechet_bias(values.diag(), n, m), rel=0.05)


def test_the_bias_for_the_identity_is_the_published_form():
    assert frechet_bias(torch.eye(64), 100, 100) == pytest.approx(2 / 100 * (64 + 64 * 65 / 4))


def test_excess_and_limit_scatter_about_the_truth_where_the_distance_does_not():
    rng = generator(2)
    x, y = torch.randn(2, 400, 20, generator=rng, dtype=torch.float64)
    excess, floor = excess_frechet(x, y)
    assert frechet_distance(x, y) == pytest.approx(excess + floor)
    assert abs(excess) < 0.15 * floor
    assert abs(frechet_limit(x, y, rng)) < 0.15 * floor
    assert frechet_limit(x, 2 * y, rng) == pytest.approx(20, rel=0.1)


def test_too_few_points_for_the_covariance_are_refused_with_ways_out():
    x = torch.randn(10, 12, generator=generator())
    with pytest.raises(ValueError, match=r"10 points cannot show a covariance in 12 dimensions.*rank_deficient=True"):
        frechet_distance(x, x)
    assert frechet_distance(x, x, rank_deficient=True) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (torch.zeros(5, 2), torch.zeros(5, 3), r"\(5, 2\) and \(5, 3\)"),
        (torch.zeros(5), torch.zeros(5), r"not \(N, D\)"),
        (torch.full((5, 2), float("nan")), torch.zeros(5, 2), "NaN"),
        (torch.zeros(1, 2), torch.zeros(5, 2), "points=1"),
    ],
)
def test_what_cannot_be_compared_is_refused(x, y, says):
    with pytest.raises(ValueError, match=says):
        frechet_distance(x, y)


@pytest.mark.parametrize("wrong", [{"sizes": 1}, {"smallest": 1.0}, {"smallest": 0.0}])
def test_the_limit_needs_a_line(wrong):
    x = torch.randn(30, 2, generator=generator())
    with pytest.raises(ValueError, match=next(iter(wrong))):
        frechet_limit(x, x, generator(), **wrong)
