"""Transport distances and maps against closed forms."""

import pytest
import torch

from mmlab.diffusion.gaussian import bures_wasserstein
from mmlab.metrics.transport import excess_energy, gaussian_map, gaussian_velocity, neighbour_map, wasserstein2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussians(n, size=3):
    rng = generator(3)
    roots = torch.randn(2, size, size, generator=rng, dtype=torch.float64) / size**0.5
    x, y = torch.randn(2, n, size, generator=rng, dtype=torch.float64)
    return x @ roots[0].T, 1 + y @ roots[1].T, roots @ roots.mT


def test_in_one_dimension_it_is_sorted_matching():
    x, y = torch.randn(2, 200, 1, generator=generator())
    expected = (x.sort(0).values - y.sort(0).values).square().mean().sqrt().item()
    assert wasserstein2(x, y) == pytest.approx(expected, rel=1e-6)


def test_a_shift_and_a_permutation_cost_the_shift():
    x = torch.randn(100, 4, generator=generator())
    moved = x[torch.randperm(100, generator=generator(1))] + torch.tensor([3.0, 4.0, 0.0, 0.0])
    assert wasserstein2(x, moved) == pytest.approx(5, abs=1e-5)
    assert wasserstein2(x, x.flip(0)) == pytest.approx(0, abs=1e-6)


def test_sets_of_two_sizes():
    assert wasserstein2(torch.tensor([[0.0], [4.0]]), torch.tensor([[2.0]])) == pytest.approx(2)


def test_it_approaches_the_distance_of_gaussians():
    x, y, (s0, s1) = gaussians(1500)
    exact = bures_wasserstein(torch.zeros(3).double(), s0, torch.ones(3).double(), s1).sqrt().item()
    assert wasserstein2(x, y) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("sizes", [((3, 2), (3, 4)), ((0, 2), (3, 2)), ((12_001, 1), (3, 1))])
def test_what_cannot_be_compared_is_refused(sizes):
    with pytest.raises(ValueError, match=r"cannot be compared|takes 1 to"):
        wasserstein2(*(torch.zeros(size) for size in sizes))


def test_lines_at_constant_speed_have_no_excess():
    x0, x1 = torch.randn(2, 20, 3, generator=generator())
    t = torch.linspace(0, 1, 11)[:, None, None]
    assert excess_energy(x0 + t * (x1 - x0)) == pytest.approx(0, abs=1e-5)
    assert excess_energy(x0 + t**2 * (x1 - x0)) == pytest.approx(1 / 3, abs=0.01)  # ∫ (2t)² dt - 1
    angle = torch.pi * torch.linspace(0, 1, 401)
    half_circle = torch.stack([angle.cos(), angle.sin()], 1)[:, None]
    assert excess_energy(half_circle) == pytest.approx(torch.pi**2 / 4 - 1, abs=1e-3)


def test_the_gaussian_map_carries_the_moments_by_the_shortest_way():
    x, y, _ = gaussians(4000)
    moved = gaussian_map(x, y, x)
    torch.testing.assert_close(moved.mean(0), y.mean(0))
    torch.testing.assert_close(torch.cov(moved.T), torch.cov(y.T))
    cost = (moved - x).square().sum(1).mean()
    exact = bures_wasserstein(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))
    assert cost.item() == pytest.approx(exact.item(), rel=1e-3)


def test_the_gaussian_map_leaves_flat_directions_alone():
    x, y, _ = gaussians(500)
    flat = torch.cat([x, torch.zeros(500, 1).double()], 1)
    moved = gaussian_map(flat, torch.cat([y, torch.zeros(500, 1).double()], 1), flat)
    assert moved.isfinite().all()
    assert moved[:, 3].abs().max() < 1e-6


def test_the_neighbour_map_gives_the_partner_of_the_nearest():
    source = torch.tensor([[0.0], [1.0], [2.0]])
    target = torch.tensor([[12.0], [10.0], [11.0]])
    assert neighbour_map(source, target, torch.tensor([[0.1], [1.9]])).tolist() == [[10.0], [12.0]]


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_the_gaussian_velocity_is_a_regression(sigma):
    n, t, rng = 200_000, 0.3, generator(4)
    x0, z, noise = torch.randn(3, n, 1, generator=rng, dtype=torch.float64)
    x1 = 2 + 0.6 * x0 + 0.5 * z
    x = (1 - t) * x0 + t * x1 + sigma * noise
    slope = torch.cov(torch.cat([x1 - x0, x], 1).T)
    slope = slope[0, 1] / slope[1, 1]
    one = torch.ones(1, 1, dtype=torch.float64)
    means = torch.zeros(1).double(), 2 * torch.ones(1).double()
    at = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    low, high = gaussian_velocity(at, t, means, one, 0.61 * one, 0.6 * one, sigma)
    assert (high - low).item() == pytest.approx(slope.item(), abs=0.01)
    assert gaussian_velocity(2 * t * one, t, means, one, 0.61 * one, 0.6 * one, sigma).item() == pytest.approx(2)
