"""Correlation matrices and their edges, and the refusal of what is not a correlation matrix."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.numbers import read_grid
from mmlab.data.regions import Regions, square
from mmlab.paths import expand

__all__ = [
    "Kind",
    "check_correlation",
    "check_matrix",
    "edges",
    "matrices",
    "number_of_regions",
    "read_matrix",
    "refuse_picture",
]

Kind = Literal["correlation", "symmetric"]

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
    value = check_matrix(matrix, name, regions, "symmetric", tolerance)
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


def check_matrix(
    matrix: ArrayLike | Tensor,
    name: str,
    regions: int | None = None,
    kind: Kind = "correlation",
    tolerance: float = 1e-4,
) -> Tensor:
    """Refuse what is not a matrix of a kind, and say why; see :func:`check_correlation`.

    Args:
        matrix: (N, N).
        name: What the message calls it.
        regions: The N that is expected, if it is known.
        kind: ``"correlation"``, or ``"symmetric"`` for any symmetric matrix of finite numbers.
        tolerance: How far symmetry may be off, as a share of the largest entry.

    Returns:
        The matrix as a float64 tensor (N, N).

    Raises:
        ValueError: If it is not of that kind.
    """
    if kind not in ("correlation", "symmetric"):
        raise ValueError(f"There is no kind {kind!r} of matrix: choose correlation or symmetric.")
    if kind == "correlation":
        return check_correlation(matrix, name, regions, tolerance)
    if isinstance(matrix, Tensor):
        matrix = matrix.detach().cpu().numpy()
    value = torch.from_numpy(np.array(matrix, dtype=np.float64))  # a copy: pandas gives arrays that are read-only
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
    scale = float(value.abs().max()) if value.numel() else 1.0
    if scale > torch.finfo(torch.float32).max:
        raise ValueError(f"{name} holds {scale:g}, beyond single precision: choose another unit.")
    if (gap := float((value - value.T).abs().max())) > tolerance * scale:
        raise ValueError(
            f"{name} is not symmetric (off by {gap:.3g}): a correlation matrix is; check how it was written."
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


def read_matrix(path: str | Path, regions: int | Regions | None = None, kind: Kind = "correlation") -> Tensor:
    """One matrix from a file of numbers.

    Args:
        path: A ``.npy`` file, or a text file with one row per line (``.txt``, ``.tsv``; ``.csv`` with commas). Names
            above the columns and before the rows are compared: a matrix whose rows and columns are in different orders
            is put right.
        regions: The N that is expected, if it is known; or the regions, with whose names those of the file are then
            compared: another order is put right, other names are refused.
        kind: ``"correlation"``, or ``"symmetric"`` for any symmetric matrix of finite numbers.

    Returns:
        (N, N), float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a picture, of an unknown kind, damaged, or not such a matrix.
    """
    file = expand(path)
    refuse_picture(file)
    if file.name.lower().endswith((".nii", ".nii.gz")):
        raise ValueError(
            f"{file} is an image of NIfTI or CIFTI: write its matrix as .npy or .txt, or give the .ptseries.nii of "
            "the scan to read_time_series."
        )
    count = regions if isinstance(regions, int) or regions is None else len(regions)
    if file.suffix.lower() not in {".txt", ".tsv", ".csv"}:
        return check_matrix(read_array(file, Array("fiu", None, nan=True)), str(file), count, kind)
    read = read_grid(file, count)
    values, names = square(read.values, read.rows, read.columns, str(file))
    matrix = check_matrix(values, str(file), count, kind)
    if names is None or not isinstance(regions, Regions):
        return matrix
    places = regions.places(names, str(file))
    return matrix[places][:, places]
