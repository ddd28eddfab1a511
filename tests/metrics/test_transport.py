"""Transport distances and maps against closed forms."""

import math

import pytest
import torch

from mmlab.diffusion.gaussian import bures_wasserstein
from mmlab.metrics.transport import (
    conditional_energy_distance,
    energy_distance,
    excess_energy,
    exchange_test,
    gaussian_map,
    gaussian_velocity,
    neighbour_map,
    wasserstein2,
)


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


def test_the_energy_distance_of_few_points_by_hand():
    x, y = torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0]])
    assert energy_distance(x, y) == pytest.approx(2 * 5 / 2 - 2 * 5 / 4)  # of the four pairs in x, two are 5 apart
    assert energy_distance(x, x.flip(0)) == pytest.approx(0)


def test_on_a_line_it_is_twice_the_integral_of_squared_differences_of_distributions():
    x = torch.randn(60, 1, generator=generator()).double()
    y = 1 + 2 * torch.rand(40, 1, generator=generator(1)).double()
    grid = torch.cat([x, y]).flatten().sort().values
    below = [(points[:, 0] <= grid[:-1, None]).double().mean(1) for points in (x, y)]
    integral = ((below[0] - below[1]).square() * grid.diff()).sum()
    assert energy_distance(x, y) == pytest.approx(2 * integral.item(), rel=1e-9)


def test_the_energy_distance_of_gaussians():
    """E|X - Y| is the mean of a folded normal distribution with mean 1 and variance 1 + 4."""
    x, y = torch.randn(2, 4000, 1, generator=generator()).double()
    v = torch.tensor(5.0).double()
    folded = (2 * v / torch.pi).sqrt() * (-1 / (2 * v)).exp() + torch.erf(1 / (2 * v).sqrt())
    within = 2 / torch.pi**0.5 + 4 / torch.pi**0.5  # E|X - X'| of standard deviations 1 and 2
    assert energy_distance(x, 1 + 2 * y) == pytest.approx(2 * folded.item() - within, rel=0.1)


def test_the_energy_distance_far_from_the_origin_keeps_its_digits():
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert energy_distance(1e7 + x, 1e7 + x + 0.5) == pytest.approx(energy_distance(x, x + 0.5), rel=1e-6)


def test_the_exchange_test_keeps_its_level_and_finds_a_difference_that_only_the_source_shows():
    levels = []
    for seed in range(60):
        source, one, two = torch.randn(3, 60, 1, generator=generator(seed))
        x, y = torch.cat([source, source + one], 1), torch.cat([source, source + two], 1)
        levels.append(exchange_test(x, y, generator(seed), draws=99))
    assert 0.3 < sum(levels) / len(levels) < 0.7  # uniform if there is no difference
    assert sum(level <= 0.05 for level in levels) <= 9
    source, noise = torch.randn(2, 300, 1, generator=generator())
    x, y = 0.6 * source + 0.8 * noise, -0.6 * source + 0.8 * noise  # equal but for what the source has to do with them
    assert exchange_test(x, y, generator(), draws=199) > 0.01
    assert exchange_test(torch.cat([source, x], 1), torch.cat([source, y], 1), generator(), draws=199) == 1 / 200


def test_the_exchange_test_is_the_energy_distance_of_what_is_exchanged():
    """With three pairs there are eight exchanges: their distances, counted by hand, are the null."""
    x, y = torch.randn(2, 3, 2, generator=generator(2))
    swaps = [torch.tensor([[i & 1], [i & 2], [i & 4]]).bool() for i in range(8)]
    null = [energy_distance(torch.where(swap, y, x), torch.where(swap, x, y)) for swap in swaps]
    exact = sum(value >= null[0] - 1e-9 for value in null) / 8
    assert exchange_test(x, y, generator(), draws=4000) == pytest.approx(exact, abs=0.03)


def test_the_conditional_energy_distance_of_two_sources_by_hand():
    """Each source alone has 2|x - y|; across, what each pair adds is weighed by exp(-d/h)."""
    x, y, given = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [6.0]]), torch.tensor([[0.0], [4.0]])
    weight = math.exp(-4 / 1.0)  # the mean of 0, 4, 4 and 0 is 2, and h = 1
    across = abs(1 - 6) + abs(3 - 2) - abs(1 - 3) - abs(2 - 6)
    expected = (2 * 1 + 2 * 3 + 2 * weight * across) / (2 + 2 * weight)
    assert conditional_energy_distance(x, y, given) == pytest.approx(expected)
    assert conditional_energy_distance(x, y, given * 0) == pytest.approx(energy_distance(x, y))


def test_given_the_source_the_exchange_test_keeps_its_level_and_sees_what_ignores_it():
    levels, joint, sharp = [], [], []
    for seed in range(40):
        source, one, two, other = torch.randn(4, 60, 1, generator=generator(seed))
        x, y = source + one, source + two
        levels.append(exchange_test(x, y, generator(seed), draws=99, given=source))
        ignorant = other + one  # the right law of all targets
        sharp.append(exchange_test(ignorant, y, generator(seed), draws=99, given=source))
        together = torch.cat([source, ignorant], 1), torch.cat([source, y], 1)
        joint.append(exchange_test(*together, generator(seed), draws=99))
    assert 0.3 < sum(levels) / len(levels) < 0.7
    assert sum(level <= 0.05 for level in levels) <= 7
    assert sum(sharp) < sum(joint) / 2


def test_energy_distances_refuse_what_has_none():
    x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="cannot be compared"):
        energy_distance(x, torch.zeros(3, 1))
    with pytest.raises(ValueError, match="y holds NaN"):
        energy_distance(x, x / 0)
    with pytest.raises(ValueError, match="as many x as y"):
        exchange_test(x, torch.zeros(2, 2), generator())
    with pytest.raises(ValueError, match="not 3, 3 and 2 sources"):
        exchange_test(x, x, generator(), given=x[:2])
    with pytest.raises(ValueError, match="draws=0 is too small"):
        exchange_test(x, x, generator(), draws=0)


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


def test_the_neighbour_map_is_capped_in_words():
    many = torch.zeros(12_001, 1)
    with pytest.raises(ValueError, match=r"source holds 12001 points.*give it the first 12000"):
        neighbour_map(many, many, many[:1])


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


def test_maps_and_paths_refuse_what_they_cannot_carry():
    x = torch.randn(9, 2, generator=generator())
    broken = x.clone()
    broken[4, 1] = float("nan")
    for carry in (gaussian_map, neighbour_map):
        for name, given in (("source", (broken, x, x)), ("target", (x, broken, x)), ("x", (x, x, broken))):
            with pytest.raises(ValueError, match=f"^{name} holds NaN"):
                carry(*given)
    with pytest.raises(ValueError, match="source=1 is too small"):
        gaussian_map(x[:1], x, x)
    with pytest.raises(ValueError, match="end where they begin"):
        excess_energy(torch.zeros(3, 2, 2))
