"""Couplings within a batch, against an assignment solver and the closed form of the Schrödinger bridge."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from mmlab.diffusion.coupling import entropic_partners, optimal_partners, squared_distances
from mmlab.diffusion.gaussian import schrodinger_coupling


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 3), (7, 2), (64, 5), (20, 3, 4, 4)])
def test_optimal_partners_solve_the_assignment(shape):
    x0, x1 = torch.randn(2, *shape, generator=generator())
    partners = optimal_partners(x0, x1)
    cost = (x0.flatten(1)[:, None] - x1.flatten(1)).double().square().sum(2)
    rows, columns = linear_sum_assignment(cost)
    assert sorted(partners.tolist()) == list(range(shape[0]))
    assert cost[torch.arange(shape[0]), partners].sum().item() == pytest.approx(cost[rows, columns].sum().item())


def test_in_one_dimension_the_order_is_kept():
    x0, x1 = torch.randn(2, 50, 1, generator=generator())
    partners = optimal_partners(x0, x1)
    assert torch.equal(x0[:, 0].argsort().argsort(), x1[partners][:, 0].argsort().argsort())


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_entropic_partners_with_twice_the_variance_are_the_schrodinger_bridge(sigma):
    rng = generator(1)
    products = []
    for _ in range(30):
        x0, x1 = torch.randn(2, 256, 1, generator=rng)
        products.append((x0 * x1[entropic_partners(x0, x1, 2 * sigma**2, rng)]).mean())
    one = torch.ones(1, 1, dtype=torch.float64)
    expected = schrodinger_coupling(one, one, sigma).item()
    assert torch.stack(products).mean().item() == pytest.approx(expected, abs=0.04)  # 4 standard errors
    assert abs(schrodinger_coupling(one, one, sigma / 2**0.5).item() - expected) > 0.1  # ε = σ² would be far off


def test_little_regularisation_is_exact_transport_and_much_is_none():
    x0, x1 = 30 * torch.randn(2, 40, 2, generator=generator(2))
    exact = optimal_partners(x0, x1)
    same = [(entropic_partners(x0, x1, epsilon, generator()) == exact).float().mean() for epsilon in (1e-3, 10, 1e3)]
    assert same[0] > 0.9
    assert same[1] > 0.7 > 0.5 > same[2]
    drawn = torch.stack([entropic_partners(x0, x1, 1e9, generator(seed)) for seed in range(50)])
    assert torch.bincount(drawn.flatten(), minlength=40).min() > 20  # of 50 expected


def test_partners_are_drawn_from_the_generator_alone():
    x0, x1 = torch.randn(2, 30, 2, generator=generator())
    first, second, other = (entropic_partners(x0, x1, 2.0, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="must have the same shape"):
        squared_distances(torch.zeros(3, 2), torch.zeros(3, 4))
