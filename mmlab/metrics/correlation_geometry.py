"""Correlation matrices as points of a curved space: projection, violation, distances, means, and tangent vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmlab.data.correlation import matrices
from mmlab.wording import require_at_least

__all__ = [
    "affine_invariant",
    "correlation_of",
    "from_tangent",
    "geometric_mean",
    "log_euclidean",
    "project_to_correlation",
    "to_tangent",
    "violation",
]


def project_to_correlation(matrices: Tensor, floor: float = 1e-6) -> Tensor:
    """A correlation matrix near each matrix: symmetrise, raise eigenvalues to a floor, rescale to a unit diagonal.

    Args:
        matrices: (..., N, N), any real matrices.
        floor: Smallest eigenvalue before the rescaling.

    Returns:
        (..., N, N), symmetric, positive definite, ones on the diagonal. Not the nearest one, but a fixed point: a
        correlation matrix with eigenvalues above the floor stays as it is.

    Raises:
        ValueError: If a value is not finite, or the floor is not above 0 and at most 1.
    """
    if not 0 < floor <= 1:
        raise ValueError(f"floor={floor}: the smallest eigenvalue of a correlation matrix is above 0 and at most 1.")
    _check_finite(matrices)
    values, vectors = torch.linalg.eigh((matrices + matrices.mT) / 2)
    clipped = (vectors * values.clamp_min(floor)[..., None, :]) @ vectors.mT
    scale = clipped.diagonal(dim1=-2, dim2=-1).rsqrt()
    projected = clipped * scale[..., None] * scale[..., None, :]
    projected = ((projected + projected.mT) / 2).clamp(-1, 1)
    projected.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return projected


def correlation_of(covariance: Tensor) -> Tensor:
    """Correlations of covariances (..., N, N): rows and columns divided by the square roots of the diagonal.

    Raises:
        ValueError: If a variance is not positive and finite.
    """
    variances = covariance.detach().diagonal(dim1=-2, dim2=-1)
    if not bool(((variances > 0) & variances.isfinite()).all()):
        raise ValueError("A variance is not positive and finite: a region without signal has no correlation.")
    scale = covariance.diagonal(dim1=-2, dim2=-1).rsqrt()
    return covariance * scale[..., None] * scale[..., None, :]


def violation(edges: Tensor) -> dict[str, float]:
    """How far predicted edges (S, E) are from a correlation matrix, before any projection.

    Returns:
        ``negative_eigenvalue``: mean over subjects of the smallest eigenvalue where it is negative, else 0;
        ``share_beyond_one``: share of edges with |r| > 1. Both are 0 for correlation matrices.

    Raises:
        ValueError: If an edge is not finite.
    """
    _check_finite(edges)
    smallest = torch.linalg.eigvalsh(matrices(edges.double()))[..., 0]
    # A correlation matrix of fewer frames than regions has zero eigenvalues, which rounding makes slightly negative.
    negative = torch.where(smallest < -1e-5, smallest, torch.zeros_like(smallest))
    return {
        "negative_eigenvalue": float(negative.mean()),
        "share_beyond_one": float((edges.abs() > 1 + 1e-6).double().mean()),
    }


def log_euclidean(one: Tensor, other: Tensor, shrinkage: float = 0.1) -> Tensor:
    """Frobenius distance of the matrix logarithms (Arsigny et al. 2006), after shrinkage to the identity.

    Args:
        one: (..., N, N) symmetric, positive semi-definite.
        other: (..., N, N), likewise.
        shrinkage: Weight s in (1-s) C + s I. Distances with different s do not compare; a scan with fewer frames
            than regions is singular, and needs s > 0.

    Returns:
        (...,).

    Raises:
        ValueError: If a matrix has no logarithm after the shrinkage, or the shrinkage is not in [0, 1).
    """
    difference = _matrix_function(_shrunk(one, shrinkage), "log") - _matrix_function(_shrunk(other, shrinkage), "log")
    return difference.norm(dim=(-2, -1))


def affine_invariant(one: Tensor, other: Tensor, shrinkage: float = 0.0) -> Tensor:
    """Geodesic distance ‖log(A^-½ B A^-½)‖ of positive definite matrices (Pennec et al. 2006): (..., N, N) -> (...,).

    Unlike the log-Euclidean distance it does not change under a congruence A -> X A Xᵀ, B -> X B Xᵀ.

    Raises:
        ValueError: If a matrix is not positive definite after the shrinkage, or the shrinkage is not in [0, 1).
    """
    whiten = _matrix_function(_shrunk(one, shrinkage), "rsqrt")
    values = torch.linalg.eigvalsh(whiten @ _shrunk(other, shrinkage) @ whiten)
    _check_positive(values)
    return values.log().norm(dim=-1)


def geometric_mean(matrices: Tensor, tolerance: float = 1e-8, most: int = 200) -> Tensor:
    """The matrix from which the squared affine-invariant distances to all others are least.

    At that point the logarithms log(M^-½ C M^-½) have mean zero; each round of the iteration moves M along their mean.

    Args:
        matrices: (S, N, N), symmetric and positive definite.
        tolerance: Largest norm of the mean logarithm at which it stops.
        most: Largest number of rounds.

    Returns:
        (N, N) in float64.

    Raises:
        ValueError: If a matrix is not positive definite, there is none, the iteration does not come to rest, or could
            not with these arguments.

    Source:
        Moakher 2005, "A differential geometric approach to the geometric mean of symmetric positive-definite matrices".
    """
    require_at_least(matrices=(len(matrices), 1), most=(most, 1))
    if not 0 < tolerance < math.inf:
        raise ValueError(f"tolerance={tolerance}: the norm at which the iteration stops is positive and finite.")
    matrices = matrices.double()
    mean = matrices.mean(0)
    length, before = 1.0, float("inf")
    for _ in range(most):
        root, whiten = _matrix_function(mean, "sqrt"), _matrix_function(mean, "rsqrt")
        step = _matrix_function(whiten @ matrices @ whiten, "log").mean(0)
        size = float(step.norm())
        if size < tolerance:
            return mean
        if size > 0.9 * before:  # full steps overshoot where the matrices are far apart
            length = max(length / 2, 0.1)
        before = size
        mean = root @ torch.linalg.matrix_exp(length * step) @ root
        mean = (mean + mean.mT) / 2
    raise ValueError(
        f"The geometric mean did not come to rest in {most} rounds (the last step was {size:.1g}): "
        "use more shrinkage, a larger tolerance, or more rounds."
    )


def to_tangent(matrices: Tensor, reference: Tensor) -> Tensor:
    """Coordinates of positive definite matrices in the tangent space at a reference.

    Args:
        matrices: (..., N, N), symmetric and positive definite.
        reference: (N, N), likewise; often :func:`geometric_mean`.

    Returns:
        (..., N(N+1)/2) in float64: the upper triangle of log(M^-½ C M^-½), entries off the diagonal times √2, so that
        the length of the vector is the affine-invariant distance from the reference.

    Raises:
        ValueError: If a matrix is not positive definite.

    Source:
        Pennec et al. 2006; Varoquaux et al. 2010, "Detection of brain functional-connectivity difference in
        post-stroke patients using group-level covariance modeling".
    """
    whiten = _matrix_function(reference.double(), "rsqrt")
    logarithm = _matrix_function(whiten @ matrices.double() @ whiten, "log")
    rows, columns, weight = _triangle(logarithm)
    return logarithm[..., rows, columns] * weight


def from_tangent(vectors: Tensor, reference: Tensor) -> Tensor:
    """The positive definite matrices at tangent coordinates: the inverse of :func:`to_tangent`.

    Args:
        vectors: (..., N(N+1)/2), any real numbers.
        reference: (N, N), symmetric and positive definite.

    Returns:
        (..., N, N) in float64.

    Raises:
        ValueError: If a coordinate is not finite.
    """
    _check_finite(vectors)
    root = _matrix_function(reference.double(), "sqrt")
    logarithm = torch.zeros(*vectors.shape[:-1], *root.shape, dtype=torch.float64, device=vectors.device)
    rows, columns, weight = _triangle(logarithm)
    logarithm[..., rows, columns] = logarithm[..., columns, rows] = vectors.double() / weight
    values, axes = torch.linalg.eigh(logarithm)
    half = root @ (axes * (values / 2).exp()[..., None, :])  # M^½ exp(L/2); times its transpose: exactly symmetric
    return half @ half.mT


def _triangle(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of the upper triangle with its diagonal, and the weights that keep lengths."""
    rows, columns = torch.triu_indices(*matrix.shape[-2:], device=matrix.device)
    return (
        rows,
        columns,
        torch.ones(len(rows), dtype=matrix.dtype, device=matrix.device).masked_fill(rows != columns, 2**0.5),
    )


def _shrunk(matrix: Tensor, shrinkage: float) -> Tensor:
    if not 0 <= shrinkage < 1:  # at 1 all matrices are the identity, and every distance is zero
        raise ValueError(f"shrinkage={shrinkage}: the weight of the identity is in [0, 1).")
    identity = torch.eye(matrix.shape[-1], dtype=torch.float64, device=matrix.device)
    return (1 - shrinkage) * matrix.double() + shrinkage * identity


def _matrix_function(matrix: Tensor, name: str) -> Tensor:
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("A matrix holds NaN or infinity and has no logarithm: leave that scan out.")
    values, vectors = torch.linalg.eigh(matrix)
    _check_positive(values)
    return (vectors * getattr(values, name)()[..., None, :]) @ vectors.mT


def _check_finite(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise ValueError("A matrix holds NaN or infinity: leave that scan out, or look at how the method was trained.")


def _check_positive(values: Tensor) -> None:
    if (least := float(values.detach().min())) <= 0:
        raise ValueError(
            f"A matrix has the eigenvalue {least:.3g} and no logarithm: "
            "use more shrinkage, or project_to_correlation first."
        )
