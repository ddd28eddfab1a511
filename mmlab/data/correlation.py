"""Correlation matrices and their edges, and the refusal of what is not a correlation matrix."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mmlab.data.files.arrays import Array, read_array

__all__ = ["check_correlation", "edges", "matrices", "number_of_regions", "read_matrix", "refuse_picture"]

_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".svg", ".pdf"}


def edges(matrices: Tensor) -> Tensor:
    """The upper triangle of symmetric matrices, row by row, without the diagonal.

    Args:
        matrices: (..., N, N).

    Returns:
        (..., E) with E = N(N-1)/2, in the order of ``numpy.triu_indices(N, 1)``.
    """
    rows, columns = _upper_triangle(matrices.shape[-1], matrices.device)
    return matrices[..., rows, columns]


def matrices(edges: Tensor, diagonal: float = 1.0) -> Tensor:
    """Symmetric matrices from their edges: the inverse of :func:`edges`.

    Args:
        edges: (..., E) with E = N(N-1)/2 for a whole number N.
        diagonal: Value of the diagonal; 1 for a correlation, 0 for a difference of correlations.

    Returns:
        (..., N, N).

    Raises:
        ValueError: If E is not N(N-1)/2 for any N.
    """
    count = number_of_regions(edges.shape[-1])
    rows, columns = _upper_triangle(count, edges.device)
    full = torch.full((*edges.shape[:-1], count, count), diagonal, dtype=edges.dtype, device=edges.device)
    full[..., rows, columns] = edges
    full[..., columns, rows] = edges
    return full


def number_of_regions(count: int) -> int:
    """N such that N(N-1)/2 edges are ``count``.

    Raises:
        ValueError: If there is no such N.
    """
    regions = (1 + math.isqrt(1 + 8 * count)) // 2
    if count < 1 or regions * (regions - 1) // 2 != count:
        raise ValueError(f"{count} edges are not the upper triangle of any matrix: expected N(N-1)/2 of them.")
    return regions


def _upper_triangle(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(count, count, offset=1, device=device)
    return rows, columns


def check_correlation(
    matrix: ArrayLike | Tensor, name: str, regions: int | None = None, tolerance: float = 1e-4
) -> Tensor:
    """Refuse what is not a correlation matrix, and say why.

    Args:
        matrix: (N, N).
        name: What the message calls it: the file, or the subject and the state.
        regions: The N that is expected, if it is known.
        tolerance: How far symmetry, diagonal and range may be off; rounding to half precision passes.

    Returns:
        The matrix as a float64 tensor (N, N).

    Raises:
        ValueError: If it has the wrong size, NaN or infinity, is not symmetric, has a diagonal other than 1, or a
            value beyond 1; one sentence with the name, the fault and the remedy.
    """
    value = torch.as_tensor(np.asarray(matrix, dtype=np.float64))
    size = "x".join(str(length) for length in value.shape)
    if value.ndim != 2 or value.shape[0] != value.shape[1]:
        raise ValueError(f"{name} is {size}, not a square matrix: give regions x regions, not a time series.")
    if regions is not None and value.shape[0] != regions:
        raise ValueError(
            f"{name} is {size} but {regions} regions are expected: use the same parcellation for every subject."
        )
    if not bool(torch.isfinite(value).all()):
        row, column = (~torch.isfinite(value)).nonzero()[0].tolist()
        raise ValueError(
            f"{name} has NaN or infinity, first at row {row}, column {column}: "
            "a region without signal has no correlation; leave the subject or the region out."
        )
    if (gap := float((value - value.T).abs().max())) > tolerance:
        raise ValueError(
            f"{name} is not symmetric (off by {gap:.3g}): a correlation matrix is; check how it was written."
        )
    if (gap := float((value.diagonal() - 1).abs().max())) > tolerance:
        raise ValueError(
            f"{name} has a diagonal other than 1 (off by {gap:.3g}): "
            "give correlations, not covariances, Fisher z values or a matrix with its diagonal set to 0."
        )
    if (largest := float(value.abs().max())) > 1 + tolerance:
        raise ValueError(
            f"{name} has a value beyond 1 ({largest:.3g}): if these are Fisher z values, apply tanh first."
        )
    return value


def refuse_picture(path: Path) -> None:
    """Refuse to read numbers out of a picture of a matrix.

    Raises:
        ValueError: If the file name says that it is a picture.
    """
    if path.suffix.lower() in _PICTURES:
        raise ValueError(
            f"{path} is a picture: a colour map has rounded, clipped and resampled the correlations, "
            "and they cannot be read back; give the matrix itself as .npy or .txt, or the time series."
        )


def read_matrix(path: str | Path, regions: int | None = None) -> Tensor:
    """One correlation matrix from a file of numbers.

    Args:
        path: A ``.npy`` file, or a text file with one row per line (``.txt``, ``.tsv``; ``.csv`` with commas).
        regions: The N that is expected, if it is known.

    Returns:
        (N, N), float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a picture, of an unknown kind, damaged, or not a correlation matrix.
    """
    file = Path(path)
    refuse_picture(file)
    return check_correlation(read_array(file, Array("fiu", None, nan=True)), str(file), regions)
