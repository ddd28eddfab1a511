"""Geometric mean and tangent coordinates: closed forms, invariances, and nilearn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmlab.data.correlation import edges
from mmlab.metrics.correlation_geometry import (
    affine_invariant,
    correlation_of,
    from_tangent,
    geometric_mean,
    log_euclidean,
    project_to_correlation,
    to_tangent,
    violation,
)


def _definite(seed: int, count: int = 6, size: int = 4) -> Tensor:
    x = torch.randn(count, size, 3 * size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x @ x.mT / (3 * size)


def test_the_mean_of_matrices_that_commute_is_that_of_their_eigenvalues() -> None:
    axes = torch.linalg.qr(_definite(0)[0]).Q
    values = torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    matrices = (axes * values[:, None, :]) @ axes.T
    expected = (axes * values.log().mean(0).exp()) @ axes.T
    torch.testing.assert_close(geometric_mean(matrices), expected)


def test_the_mean_of_two_is_the_middle_of_the_geodesic() -> None:
    a, b = _definite(1, 2)
    middle = geometric_mean(torch.stack([a, b]))
    torch.testing.assert_close(affine_invariant(a, middle), affine_invariant(a, b) / 2)
    torch.testing.assert_close(affine_invariant(b, middle), affine_invariant(a, b) / 2)


def test_the_mean_moves_with_a_congruence() -> None:
    matrices, x = _definite(2), torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(geometric_mean(x @ matrices @ x.T), x @ geometric_mean(matrices) @ x.T)


@given(st.integers(0, 1000))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_there_and_back_again(seed: int) -> None:
    matrices, reference = _definite(seed), _definite(seed + 5000, 1)[0]
    vectors = to_tangent(matrices, reference)
    torch.testing.assert_close(from_tangent(vectors, reference), matrices, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(vectors.norm(dim=-1), affine_invariant(matrices, reference))


def test_any_vector_is_a_positive_definite_matrix() -> None:
    vectors = 3 * torch.randn(50, 10, generator=torch.Generator().manual_seed(4))
    made = from_tangent(vectors, _definite(5, 1)[0])
    assert torch.equal(made, made.mT)
    assert float(torch.linalg.eigvalsh(made).min()) > 0


def test_tangent_coordinates_are_nilearns() -> None:
    from nilearn.connectome import ConnectivityMeasure
    from sklearn.covariance import EmpiricalCovariance

    rng = np.random.default_rng(0)
    series = [rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)) for _ in range(6)]
    measure = ConnectivityMeasure(cov_estimator=EmpiricalCovariance(), kind="tangent", standardize=False)
    theirs = torch.from_numpy(measure.fit_transform(series))
    covariances = torch.stack([torch.from_numpy(np.cov(x.T, bias=True)) for x in series])
    mean = geometric_mean(covariances)
    torch.testing.assert_close(mean, torch.from_numpy(measure.mean_), rtol=1e-4, atol=1e-6)
    ours = to_tangent(covariances, torch.from_numpy(measure.mean_))
    rows, columns = np.triu_indices(4)
    weight = torch.where(torch.from_numpy(rows == columns), 1.0, 2**0.5).double()
    torch.testing.assert_close(ours, theirs[:, rows, columns] * weight, rtol=1e-5, atol=1e-7)


def test_a_singular_matrix_is_refused_in_words() -> None:
    matrices = _definite(6)
    matrices[2] = 1.0
    for function in (geometric_mean, lambda m: to_tangent(m, torch.eye(4))):
        with pytest.raises(ValueError, match="has the eigenvalue"):
            function(matrices)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused_in_words_everywhere(value):
    """Without the check, some raise the error of a decomposition, and others give NaN for all of a matrix."""
    reference = torch.eye(3, dtype=torch.float64)
    broken = reference.clone()[None]
    broken[0, 0, 1] = broken[0, 1, 0] = value
    acts = (
        lambda: project_to_correlation(broken),
        lambda: violation(edges(broken)),
        lambda: to_tangent(broken, reference),
        lambda: from_tangent(torch.full((1, 6), value), reference),
        lambda: log_euclidean(broken, broken),
        lambda: affine_invariant(broken, broken),
        lambda: geometric_mean(broken),
    )
    for act in acts:
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            act()
    for variance in (0.0, -1.0, value):
        with pytest.raises(ValueError, match="variance is not positive and finite"):
            correlation_of(torch.diag(torch.tensor([1.0, variance])))
