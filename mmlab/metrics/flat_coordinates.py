"""Coordinates in which positive definite matrices fill a whole vector space, so that every vector is a valid matrix.

Each map φ is a diffeomorphism: smooth, with a smooth inverse. Lengths of vectors pull back to a geometry of the
matrices, in which the straight lines between vectors are the shortest paths.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmlab.data.correlation import number_of_regions
from mmlab.metrics.correlation_geometry import from_tangent, to_tangent

__all__ = [
    "from_log_cholesky",
    "from_log_euclidean_vector",
    "from_normalised_cholesky",
    "log_cholesky",
    "log_euclidean_vector",
    "normalised_cholesky",
]


def normalised_cholesky(correlation: Tensor) -> Tensor:
    """Coordinates of correlation matrices C = L Lᵀ: the rows of L, each divided by its entry on the diagonal.

    Args:
        correlation: (..., N, N), positive definite.

    Returns:
        (..., N(N-1)/2): the strict lower triangle, row by row. The unit diagonal is left out.

    Raises:
        ValueError: If a matrix is not positive definite.
    """
    factor = _cholesky(correlation)
    scaled = factor / factor.diagonal(dim1=-2, dim2=-1)[..., None]
    rows, columns = torch.tril_indices(scaled.shape[-2], scaled.shape[-1], -1, device=scaled.device)
    return scaled[..., rows, columns]


def from_normalised_cholesky(z: Tensor) -> Tensor:
    """The correlation matrices at any coordinates: (..., N(N-1)/2) -> (..., N, N); inverse of the other."""
    count = number_of_regions(z.shape[-1])
    scaled = torch.eye(count, dtype=z.dtype, device=z.device).repeat(*z.shape[:-1], 1, 1)
    rows, columns = torch.tril_indices(count, count, offset=-1, device=z.device)
    scaled[..., rows, columns] = z
    unit = scaled / scaled.norm(dim=-1, keepdim=True)
    made = unit @ unit.mT
    made.diagonal(dim1=-2, dim2=-1).fill_(1.0)  # it is one but for rounding
    return made


def log_cholesky(covariance: Tensor) -> Tensor:
    """Coordinates of positive definite S = L Lᵀ: logarithms of the diagonal of L, then its strict lower triangle.

    Args:
        covariance: (..., N, N).

    Returns:
        (..., N(N+1)/2).
    """
    factor = _cholesky(covariance)
    rows, columns = torch.tril_indices(factor.shape[-2], factor.shape[-1], -1, device=factor.device)
    return torch.cat([factor.diagonal(dim1=-2, dim2=-1).log(), factor[..., rows, columns]], dim=-1)


def from_log_cholesky(z: Tensor) -> Tensor:
    """The positive definite matrices at any coordinates: (..., N(N+1)/2) -> (..., N, N); inverse of the other."""
    count = number_of_regions(z.shape[-1]) - 1
    factor = torch.diag_embed(z[..., :count].exp())
    rows, columns = torch.tril_indices(count, count, offset=-1, device=z.device)
    factor[..., rows, columns] = z[..., count:]
    return factor @ factor.mT


def log_euclidean_vector(covariance: Tensor) -> Tensor:
    """The matrix logarithm as a vector as long as itself: (..., N, N) -> (..., N(N+1)/2) in float64.

    That is the tangent space at the identity, see :func:`mmlab.metrics.correlation_geometry.to_tangent`.
    """
    return to_tangent(covariance, torch.eye(covariance.shape[-1], dtype=torch.float64, device=covariance.device))


def from_log_euclidean_vector(z: Tensor) -> Tensor:
    """The positive definite matrices at any coordinates: (..., N(N+1)/2) -> (..., N, N); inverse of the other."""
    count = number_of_regions(z.shape[-1]) - 1
    return from_tangent(z, torch.eye(count, dtype=torch.float64, device=z.device))


def _cholesky(matrix: Tensor) -> Tensor:
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("A matrix holds NaN or infinity and has no factor: leave that scan out.")
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        raise ValueError(
            f"{int((failed > 0).sum())} of {failed.numel()} matrices are not positive definite and have no Cholesky "
            "factor: use shrinkage, for example 0.05."
        )
    return factor
