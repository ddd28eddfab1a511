"""Correlation matrices as points of a curved space: projection onto it, violation of it, distances in it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlab.data.correlation import matrices

__all__ = ["affine_invariant", "log_euclidean", "project_to_correlation", "violation"]


def project_to_correlation(matrices: Tensor, floor: float = 1e-6) -> Tensor:
    """A correlation matrix near each matrix: symmetrise, raise eigenvalues to a floor, rescale to a unit diagonal.

    Args:
        matrices: (..., N, N), any real matrices.
        floor: Smallest eigenvalue before the rescaling.

    Returns:
        (..., N, N), symmetric, positive definite, ones on the diagonal. Not the nearest one, but a fixed point: a
        correlation matrix with eigenvalues above the floor stays as it is.
    """
    values, vectors = torch.linalg.eigh((matrices + matrices.mT) / 2)
    clipped = (vectors * values.clamp_min(floor)[..., None, :]) @ vectors.mT
    scale = clipped.diagonal(dim1=-2, dim2=-1).rsqrt()
    projected = clipped * scale[..., None] * scale[..., None, :]
    projected = ((projected + projected.mT) / 2).clamp(-1, 1)
    projected.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return projected


def violation(edges: Tensor) -> dict[str, float]:
    """How far predicted edges (S, E) are from a correlation matrix, before any projection.

    Returns:
        ``negative_eigenvalue``: mean over subjects of the smallest eigenvalue where it is negative, else 0;
        ``share_beyond_one``: share of edges with |r| > 1. Both are 0 for correlation matrices.
    """
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
        ValueError: If a matrix has no logarithm after the shrinkage.
    """
    difference = _matrix_function(_shrunk(one, shrinkage), "log") - _matrix_function(_shrunk(other, shrinkage), "log")
    return difference.norm(dim=(-2, -1))


def affine_invariant(one: Tensor, other: Tensor, shrinkage: float = 0.0) -> Tensor:
    """Geodesic distance ‖log(A^-½ B A^-½)‖ of positive definite matrices (Pennec et al. 2006): (..., N, N) -> (...,).

    Unlike the log-Euclidean distance it does not change under a congruence A -> X A Xᵀ, B -> X B Xᵀ.

    Raises:
        ValueError: If a matrix is not positive definite after the shrinkage.
    """
    whiten = _matrix_function(_shrunk(one, shrinkage), "rsqrt")
    values = torch.linalg.eigvalsh(whiten @ _shrunk(other, shrinkage) @ whiten)
    _check_positive(values)
    return values.log().norm(dim=-1)


def _shrunk(matrix: Tensor, shrinkage: float) -> Tensor:
    identity = torch.eye(matrix.shape[-1], dtype=torch.float64, device=matrix.device)
    return (1 - shrinkage) * matrix.double() + shrinkage * identity


def _matrix_function(matrix: Tensor, name: str) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    _check_positive(values)
    return (vectors * getattr(values, name)()[..., None, :]) @ vectors.mT


def _check_positive(values: Tensor) -> None:
    if float(values.min()) <= 0:
        raise ValueError(
            f"A matrix has the eigenvalue {float(values.min()):.3g} and no logarithm: "
            "use more shrinkage, or project_to_correlation first."
        )
