"""Laws of bridges between Gaussians: fixed points, entropic transport on a grid, and what a bridge leaves dependent."""

import math

import pytest
import torch

from mmlab.diffusion.gaussian import coupling_after_matching, matrix_root, schrodinger_coupling


def float64(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def covariances(size=4, seed=3):
    rng = torch.Generator().manual_seed(seed)
    root0, root1 = torch.randn(2, size, size, generator=rng, dtype=torch.float64)
    identity = 0.3 * torch.eye(size, dtype=torch.float64)
    return root0 @ root0.T / size + identity, root1 @ root1.T / size + identity


@pytest.mark.parametrize(("sigma", "expected"), [(0.5, 0.833508), (1.0, math.exp(-math.pi / 3**1.5)), (2.0, 0.218561)])
def test_matching_independent_ends_couples_them(sigma, expected):
    assert coupling_after_matching(0.0, sigma) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("given", "expected"), [(0.5, 0.8664), (-0.5, 0.7683), (0.9, 0.8834)])
def test_matching_forgets_the_pairing(given, expected):
    assert coupling_after_matching(given, 0.5) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("sigma", "limit"), [(0.1, 0.995012), (0.5, 0.882782), (1.0, 0.618034), (2.0, 0.236068)])
def test_iterated_matching_converges_to_the_schrodinger_bridge(sigma, limit):
    path = [0.0]
    for _ in range(200):
        path.append(coupling_after_matching(path[-1], sigma))
    assert path[-1] == pytest.approx(limit, abs=1e-6)
    assert path[-1] == pytest.approx((math.sqrt(sigma**4 + 4) - sigma**2) / 2, abs=1e-8)
    assert path[-1] == pytest.approx(schrodinger_coupling(*float64([[1.0]], [[1.0]]), sigma).item(), abs=1e-8)
    assert coupling_after_matching(path[-1], sigma) == pytest.approx(path[-1], abs=1e-9)  # nothing changes any more
    if sigma == 1.0:
        assert path[1:6] == pytest.approx([0.546293, 0.611143, 0.617385, 0.617973, 0.618028], abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_the_bridge_leaves_no_other_dependence_than_the_reference(seed):
    (s0, s1), sigma = covariances(seed=seed), 0.8
    cross = schrodinger_coupling(s0, s1, sigma)
    precision = torch.linalg.inv(torch.cat([torch.cat([s0, cross], 1), torch.cat([cross.T, s1], 1)]))
    identity = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(precision[:4, 4:], -identity / sigma**2, rtol=0, atol=1e-9)


def test_schrodinger_coupling_is_entropic_transport():
    sigma, grid = 0.9, torch.linspace(-9, 9, 601, dtype=torch.float64)
    weights = [torch.softmax(-(grid**2) / 2 / variance, 0) for variance in (1.0, 2.0)]
    kernel = -((grid[:, None] - grid) ** 2) / (2 * sigma**2)  # cost |x - y|², ε = 2σ²
    f, g = torch.zeros_like(grid), torch.zeros_like(grid)
    for _ in range(500):
        f = -torch.logsumexp(kernel + g + weights[1].log(), 1)
        g = -torch.logsumexp((kernel + f[:, None] + weights[0].log()[:, None]), 0)
    plan = (kernel + f[:, None] + g + weights[0].log()[:, None] + weights[1].log()).exp()
    expected = schrodinger_coupling(*float64([[1.0]], [[2.0]]), sigma).item()
    assert (grid @ plan @ grid).item() == pytest.approx(expected, abs=1e-4)


def test_matrix_root_squares_back():
    s0, _ = covariances()
    torch.testing.assert_close(matrix_root(s0) @ matrix_root(s0), s0)
