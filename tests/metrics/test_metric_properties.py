"""Laws that the measures keep for any input: ranges, invariances, and what changes when people or regions do."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmlab.data.correlation import edges, matrices, number_of_regions
from mmlab.diffusion.gaussian import (
    bures_wasserstein,
    coupling_after_matching,
    intermediate_covariance,
    matrix_root,
    schrodinger_coupling,
)
from mmlab.metrics.calibration import coverage, crps, spread_skill
from mmlab.metrics.connectome import (
    block_means,
    correlate,
    differential_identifiability,
    evaluate,
    identification,
    rmse,
    rowwise_correlation,
)
from mmlab.metrics.correlation_geometry import affine_invariant, log_euclidean, project_to_correlation, violation

law = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def order(seed: int, count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def covariance(seed: int, size: int) -> Tensor:
    root = noise(seed, size, size)
    return root @ root.T / size + 0.3 * torch.eye(size, dtype=torch.float64)


def correlation(seed: int, size: int) -> Tensor:
    full = covariance(seed, size)
    scale = full.diagonal().rsqrt()
    return full * scale[:, None] * scale[None]


def connectomes(seed: int, people: int, regions: int) -> Tensor:
    return torch.stack([edges(correlation(seed + number, regions)) for number in range(people)])


# --- connectomes


@law
@given(st.integers(2, 40))
def test_edges_and_matrices_are_inverse(regions):
    full = correlation(regions, regions)
    assert number_of_regions(len(edges(full))) == regions
    assert torch.equal(edges(matrices(edges(full))), edges(full))
    assert torch.allclose(matrices(edges(full)), full)


@law
@given(seeds, st.integers(2, 6), st.integers(3, 7))
def test_all_measures_are_in_their_ranges(seed, people, regions):
    seed %= 2**31
    truth, guess = connectomes(seed, people, regions), connectomes(seed + 999, people, regions)
    labels = ["ab"[number % 2] for number in range(regions)]
    values = evaluate(guess, truth, truth.mean(0), labels)
    assert all(math.isfinite(value) for value in values.values())
    for name in ("r", "demeaned_r", "block_r", "block_demeaned_r"):
        assert -1 - 1e-9 <= values[name] <= 1 + 1e-9
    for name in ("identification_forward", "identification_backward", "identification_demeaned", "share_beyond_one"):
        assert 0 <= values[name] <= 1
    assert -2 <= values["differential_identifiability"] <= 2
    assert values["rmse"] >= 0
    assert values["log_euclidean"] >= 0
    assert values["negative_eigenvalue"] <= 0


@law
@given(seeds, st.integers(2, 6), st.integers(4, 7))
def test_the_order_of_people_and_of_regions_does_not_matter(seed, people, regions):
    seed %= 2**31
    truth, guess = connectomes(seed, people, regions), connectomes(seed + 999, people, regions)
    labels = ["abc"[number % 3] for number in range(regions)]
    mean = truth.mean(0) + 0.01
    expected = evaluate(guess, truth, mean, labels)
    shuffled = order(seed, people)
    assert evaluate(guess[shuffled], truth[shuffled], mean, labels) == pytest.approx(expected, abs=1e-7)
    moved = order(seed + 1, regions)

    def renamed(rows: Tensor) -> Tensor:
        return edges(matrices(rows)[..., moved, :][..., moved])

    renamed_labels = [labels[number] for number in moved.tolist()]
    assert evaluate(renamed(guess), renamed(truth), renamed(mean), renamed_labels) == pytest.approx(expected, abs=1e-7)


@law
@given(seeds, st.floats(0.01, 100), st.floats(-10, 10))
def test_correlation_ignores_scale_and_shift(seed, scale, shift):
    one, other = noise(seed, 4, 9), noise(seed + 1, 4, 9)
    assert torch.allclose(rowwise_correlation(scale * one + shift, other), rowwise_correlation(one, other), atol=1e-6)
    assert torch.allclose(rowwise_correlation(-scale * one, other), -rowwise_correlation(one, other), atol=1e-6)
    table = correlate(one, other)
    assert torch.allclose(table.diagonal(), rowwise_correlation(one, other))
    assert torch.allclose(correlate(other, one), table.T)
    assert (table.abs() <= 1 + 1e-12).all()


@law
@given(seeds, st.integers(2, 8))
def test_identification_is_that_of_ranks(seed, people):
    table = noise(seed, people, people)
    found = identification(table)
    assert 0 <= found <= 1
    assert identification(table * 3 + 2) == pytest.approx(found)
    same = order(seed, people)
    assert identification(table[same][:, same]) == pytest.approx(found)
    assert identification(table + 100 * torch.eye(people)) == 1
    assert identification(torch.zeros(people, people)) == pytest.approx(1 / people)
    assert differential_identifiability(table + 5) == pytest.approx(differential_identifiability(table), abs=1e-9)


@law
@given(seeds)
def test_the_error_is_a_distance(seed):
    one, other, third = (noise(seed + number, 3, 6) for number in range(3))
    assert rmse(one, one) == 0
    assert rmse(one, other) == pytest.approx(rmse(other, one))
    assert rmse(one, third) <= rmse(one, other) + rmse(other, third) + 1e-12
    assert rmse(2 * one, 2 * other) == pytest.approx(2 * rmse(one, other))


@law
@given(seeds, st.integers(3, 8), st.floats(-2, 2))
def test_block_means_are_means(seed, regions, constant):
    labels = ["ab"[number % 2] for number in range(regions)]
    rows = noise(seed, 2, regions * (regions - 1) // 2)
    means = block_means(rows, labels)
    assert torch.allclose(block_means(rows + constant, labels), means + constant)
    assert (means <= rows.max(-1, keepdim=True).values + 1e-9).all()
    whole = block_means(rows, ["x"] * regions)
    assert torch.allclose(whole[:, 0], rows.mean(-1))


# --- samples


@law
@given(seeds, st.integers(2, 12), st.floats(0.1, 10), st.floats(-5, 5))
def test_scores_move_with_the_unit_and_not_with_the_origin(seed, draws, scale, shift):
    samples, target = noise(seed, draws, 3, 4), noise(seed + 1, 3, 4)
    assert crps(scale * samples + shift, scale * target + shift) == pytest.approx(scale * crps(samples, target))
    assert spread_skill(scale * samples + shift, scale * target + shift) == pytest.approx(spread_skill(samples, target))
    mixed = samples[order(seed, draws)]
    assert crps(mixed, target) == pytest.approx(crps(samples, target))
    assert spread_skill(mixed, target) == pytest.approx(spread_skill(samples, target))


@law
@given(seeds, st.integers(2, 10))
def test_crps_is_the_double_sum(seed, draws):
    samples, target = noise(seed, draws, 2, 3), noise(seed + 1, 2, 3)
    apart = (samples[:, None] - samples[None]).abs().sum((0, 1)) / (draws * (draws - 1))
    assert crps(samples, target) == pytest.approx(float(((samples - target).abs().mean(0) - apart / 2).mean()))
    constant = target[None].repeat(draws, 1, 1) + 0.5
    assert crps(constant, target) == pytest.approx(0.5)


@law
@given(seeds, st.integers(3, 30))
def test_wider_intervals_cover_more(seed, draws):
    samples, target = noise(seed, draws, 4, 5), noise(seed + 1, 4, 5)
    highest = (draws - 1) / (draws + 1)
    levels = [highest * share for share in (0.25, 0.5, 1.0)]
    found = list(coverage(samples, target, levels).values())
    assert all(0 <= share <= 1 for share in found)
    assert found == sorted(found)
    squeezed = coverage(samples.exp(), target.exp(), [levels[-1]])  # whole ranks: any rising function leaves it
    assert squeezed[levels[-1]] == found[-1]


# --- Gaussians


@law
@given(seeds, st.integers(1, 5))
def test_the_root_squares_to_the_matrix(seed, size):
    full = covariance(seed, size)
    root = matrix_root(full)
    assert torch.allclose(root @ root, full)
    assert torch.allclose(root, root.T)


@law
@given(seeds, st.integers(1, 4))
def test_the_distance_of_gaussians_is_a_squared_distance(seed, size):
    ends = [(noise(seed + k, size), covariance(seed + k + 10, size)) for k in range(3)]
    d = {(a, b): float(bures_wasserstein(*ends[a], *ends[b])) for a in range(3) for b in range(3)}
    assert all(abs(d[a, a]) < 1e-9 for a in range(3))
    assert all(d[a, b] == pytest.approx(d[b, a], abs=1e-9) for a in range(3) for b in range(3))
    assert math.sqrt(d[0, 2]) <= math.sqrt(d[0, 1]) + math.sqrt(d[1, 2]) + 1e-7
    turn = torch.linalg.qr(noise(seed + 5, size, size)).Q
    turned = [(turn @ m, turn @ s @ turn.T) for m, s in ends]
    assert float(bures_wasserstein(*turned[0], *turned[1])) == pytest.approx(d[0, 1], abs=1e-8)


@law
@given(seeds, st.integers(1, 4), st.floats(0.05, 3))
def test_the_schrodinger_coupling_is_a_coupling_and_its_own_fixed_point(seed, size, sigma):
    s0, s1 = covariance(seed, size), covariance(seed + 1, size)
    cross = schrodinger_coupling(s0, s1, sigma)
    joint = torch.cat([torch.cat([s0, cross], 1), torch.cat([cross.T, s1], 1)])
    assert torch.linalg.eigvalsh(joint).min() > -1e-9
    assert torch.allclose(schrodinger_coupling(s1, s0, sigma), cross.T, atol=1e-8)  # the way back is the same bridge
    unit = float(schrodinger_coupling(torch.eye(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64), sigma))
    assert coupling_after_matching(unit, sigma) == pytest.approx(unit, abs=1e-9)


@law
@given(seeds, st.integers(1, 4), st.floats(0, 2))
def test_the_path_of_covariances_has_its_ends(seed, size, sigma):
    s0, s1, cross = covariance(seed, size), covariance(seed + 1, size), 0.1 * noise(seed + 2, size, size)
    assert torch.allclose(intermediate_covariance(s0, s1, cross, sigma, 0.0), s0)
    assert torch.allclose(intermediate_covariance(s0, s1, cross, sigma, 1.0), s1)
    there = intermediate_covariance(s0, s1, cross, sigma, 0.3)
    back = intermediate_covariance(s1, s0, cross.T, sigma, 0.7)
    assert torch.allclose(there, back)
    assert torch.allclose(there, there.T)


@law
@given(st.floats(-1, 1), st.floats(0.01, 3))
def test_matching_gives_a_correlation(coupling, sigma):
    assume(2 - 2 * coupling - sigma**2 < 3.999)
    assert 0 < coupling_after_matching(coupling, sigma) <= 1


# --- geometry of correlation matrices


@law
@given(seeds, st.integers(2, 6))
def test_geodesic_distances_are_distances(seed, size):
    a, b, c = (correlation(seed + number, size) for number in range(3))
    for distance in (lambda x, y: float(log_euclidean(x, y)), lambda x, y: float(affine_invariant(x, y))):
        assert distance(a, a) == pytest.approx(0, abs=1e-6)
        assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-7, abs=1e-9)
        assert distance(a, c) <= distance(a, b) + distance(b, c) + 1e-7
        moved = order(seed, size)
        assert distance(a[moved][:, moved], b[moved][:, moved]) == pytest.approx(distance(a, b), rel=1e-6, abs=1e-8)
    inverse = affine_invariant(torch.linalg.inv(a), torch.linalg.inv(b))
    assert float(inverse) == pytest.approx(float(affine_invariant(a, b)), rel=1e-6, abs=1e-8)


@law
@given(seeds, st.integers(2, 6), st.floats(0.01, 5))
def test_the_projection_gives_a_correlation_matrix_and_stays_there(seed, size, spread):
    projected = project_to_correlation(spread * noise(seed, size, size))
    assert torch.equal(projected, projected.T)
    assert torch.equal(projected.diagonal(), torch.ones(size, dtype=torch.float64))
    assert projected.abs().max() <= 1
    assert torch.linalg.eigvalsh(projected).min() > -1e-9
    assert torch.allclose(project_to_correlation(correlation(seed, size)), correlation(seed, size), atol=1e-9)
    assert violation(edges(projected)[None]) == {"negative_eigenvalue": 0.0, "share_beyond_one": 0.0}
