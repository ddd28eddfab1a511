"""A folder of somebody's own arrays, described by a small ``data.toml``, as a dataset.

::

    title = "Rest and motor of 60 people"   # optional, and so are licence and subjects
    licence = "not public"
    subjects = "ids.txt"                    # one id a line; split by them

    [arrays]                                # keys as on the method's card, files with one row for each item
    source = "rest.npy"
    target = "motor.csv"

Text files may name their rows and columns: rows of the same people are put in one order, and so are columns of parts.
``kind = "correlation"`` or ``kind = "symmetric"`` says that source and target are matrices (S, N, N), or their edges
(S, E), and makes pairs of connectomes of them. Tables ``[validation]`` and ``[test]`` beside ``[arrays]`` give parts
of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions, edges, number_of_regions
from mmlab.data.correlation import check_matrix
from mmlab.data.files.arrays import Array, read_named
from mmlab.data.files.numbers import Grid, same_columns, same_rows, stated
from mmlab.data.files.text import read_lines, read_toml
from mmlab.data.subjects import subject_id
from mmlab.data.tensors import TensorData
from mmlab.paths import expand
from mmlab.wording import few, naming, nearest, repeated

__all__ = ["FILE", "OwnData", "own_folder"]

FILE = "data.toml"

_LARGEST_LABEL = 2**31
_PARTS = ("arrays", "validation", "test")
_TEXTS = ("title", "licence", "subjects", "kind")
_EXAMPLE = '[arrays]\\nsource = "rest.npy"\\ntarget = "motor.npy"'
_IDS = "write one id a line."
_REMEDY = "give one row of finite numbers for each item, as .npy, .csv, .tsv or .txt."


class OwnData(NamedTuple):
    """What a folder holds.

    Attributes:
        train: Items to learn from; all of them, if there is no part for the test.
        validation: Items to choose by, or None.
        test: Items to measure on, or None.
        title: What the folder calls itself, or its name.
        licence: What it says of its licence.
    """

    train: TensorData | ConnectomePairs
    validation: TensorData | ConnectomePairs | None
    test: TensorData | ConnectomePairs | None
    title: str
    licence: str


def own_folder(folder: str | Path) -> OwnData:
    """Read the arrays that ``data.toml`` in a folder names.

    Floats become float32. Whole numbers do, too, but for ``label``, which becomes int64, and what ends in
    ``_present``, which becomes bool.

    Args:
        folder: The folder; files are named relative to it.

    Raises:
        FileNotFoundError: If there is no ``data.toml``, or no file that it names.
        ValueError: If it is not as described in this module, or an array is not one row of numbers for each item.
    """
    place = expand(folder, "folder").absolute()
    path = place / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{place} has no {FILE}: write one that names the arrays, such as '{_EXAMPLE}'.")
    said = read_toml(path, f"write it like '{_EXAMPLE}'.")
    _check(said, path)
    read = {part: _part(place, path, part, said) for part in _PARTS if part in said}
    parts = _named_alike(read, path)
    whole = parts["arrays"][0]
    for part, (arrays, _) in parts.items():
        if sorted(arrays) != sorted(whole):
            raise ValueError(f"{path}: the parts name other keys: give each the same.")
        if other := [key for key in arrays if arrays[key].shape[1:] != whole[key].shape[1:]]:
            shapes = f"{arrays[other[0]].shape[1:]}, and in arrays {whole[other[0]].shape[1:]}"
            raise ValueError(f"{path}: an item of {other[0]} has shape {shapes} in {part}: give all the same columns.")
    with naming(path):
        made = {part: _dataset(arrays, subjects, said) for part, (arrays, subjects) in parts.items()}
    return OwnData(
        made["arrays"], made.get("validation"), made.get("test"), said.get("title", place.name),
        said.get("licence", "Not stated."),
    )  # fmt: skip


def _check(said: dict[str, Any], path: Path) -> None:
    for key, value in said.items():
        if key not in (*_PARTS, *_TEXTS):
            raise ValueError(f"{path} has the unknown entry {key!r}: {nearest(key, (*_PARTS, *_TEXTS))}")
        if key in _TEXTS and not isinstance(value, str):
            raise ValueError(f"{path}: {key} must be a text.")
        if key in _PARTS and not (isinstance(value, dict) and all(isinstance(file, str) for file in value.values())):
            raise ValueError(f"{path}: {key} must be a table of file names.")
    if not said.get("arrays"):
        raise ValueError(f"{path} names no arrays: write them like '{_EXAMPLE}'.")
    if (kind := said.get("kind")) not in (None, "correlation", "symmetric"):
        raise ValueError(f"{path}: there is no kind {kind!r}: write correlation or symmetric, or leave it out.")
    if kind and not {"source", "target"} <= set(said["arrays"]):
        raise ValueError(f"{path}: kind = {kind!r} needs the arrays source and target.")


def _named_alike(
    read: dict[str, tuple[dict[str, Grid], list[str] | None]], path: Path
) -> dict[str, tuple[dict[str, NDArray[Any]], list[str] | None]]:
    """Arrays of all parts by key, with their columns in one order."""
    made: dict[str, tuple[dict[str, NDArray[Any]], list[str] | None]] = {
        part: ({}, subjects) for part, (_, subjects) in read.items()
    }
    for key in dict.fromkeys(key for tables, _ in read.values() for key in tables):
        tables = {f"{path}: {key} of {part}": tables[key] for part, (tables, _) in read.items() if key in tables}
        parts = [part for part, (tables, _) in read.items() if key in tables]
        for part, table in zip(parts, same_columns(tables).values(), strict=True):
            made[part][0][key] = table.values
    return made


def _part(place: Path, path: Path, part: str, said: dict[str, Any]) -> tuple[dict[str, Grid], list[str] | None]:
    """Arrays of a part by key with their names, rows in the order of its items, and the ids of these."""
    names = dict(said[part])
    listed = names.pop("subjects", said.get("subjects") if part == "arrays" else None)
    arrays = {
        key: read_named(place / expand(file, f"{path}: {key}"), Array("fiub", None), _REMEDY)
        for key, file in names.items()
    }
    if not arrays:
        raise ValueError(f"{path}: {part} names no arrays.")
    if flat := [key for key, array in arrays.items() if not array.values.ndim]:
        raise ValueError(f"{path}: the array {flat[0]!r} is a single number; {_REMEDY}")
    subjects = None
    if listed is not None:
        file = place / expand(listed, f"{path}: subjects")
        subjects = [_id(line, f"{file}, line {n}") for n, line in enumerate(read_lines(file, _IDS), 1) if line.strip()]
    counts = {key: len(array.values) for key, array in arrays.items()}
    if subjects is not None:
        counts["subjects"] = len(subjects)
    if not max(counts.values()):
        raise ValueError(f"{path}: {part} has no rows; {_REMEDY}")
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise ValueError(f"{path}: the arrays have different numbers of rows ({told}): give all the same items.")
    named = {f"{path}: {key}": table for key, table in arrays.items()}
    rows = same_rows(named, subjects)
    if subjects is None:
        subjects = next((list(ids) for table in rows.values() if (ids := stated(table.rows))), None)
    return dict(zip(arrays, rows.values(), strict=True)), subjects


def _id(line: str, where: str) -> str:
    try:
        return subject_id(line)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _dataset(
    arrays: dict[str, NDArray[Any]], subjects: list[str] | None, said: dict[str, Any]
) -> TensorData | ConnectomePairs:
    if "kind" not in said:
        return TensorData({key: _tensor(key, array) for key, array in arrays.items()}, subjects)
    known = subjects if subjects is not None else [f"row {number:04d}" for number in range(len(arrays["source"]))]
    if twice := repeated(known):
        raise ValueError(f"the subjects {few(sorted(twice))} stand twice: take the mean of one's scans.")
    sides = {key: _edges(arrays[key], key, known, said["kind"]) for key in ("source", "target")}
    regions = {key: _numbered(number_of_regions(side.shape[1])) for key, side in sides.items()}
    return ConnectomePairs(
        sides["source"], sides["target"], tuple(known), regions["source"], target_regions=regions["target"]
    )


def _tensor(key: str, array: NDArray[Any]) -> Tensor:
    if array.ndim == 2 and array.shape[1] == 1 and (key == "label" or key.endswith("_present")):
        array = array[:, 0]  # a column of a text file
    if key == "label" and (array == np.round(array)).all():
        far = np.abs(array.astype(np.float64)) > _LARGEST_LABEL
        if far.any():
            raise ValueError(f"label holds {array[far][0]:g}, beyond any number of a class: count classes from 0.")
        return torch.from_numpy(array.astype(np.int64))
    if key.endswith("_present"):
        if not np.isin(array, (0, 1)).all():
            raise ValueError(f"{key} holds {array[~np.isin(array, (0, 1))][0]}, and must be 0 or 1.")
        return torch.from_numpy(array.astype(np.bool_))
    return _single(key, array)


def _single(key: str, array: NDArray[Any]) -> Tensor:
    """The array in float32, if that can hold it."""
    with np.errstate(over="ignore"):
        made = array.astype(np.float32)
    if not np.isfinite(made).all():
        raise ValueError(f"{key} holds {array[~np.isfinite(made)][0]:g}, beyond single precision: choose another unit.")
    return torch.from_numpy(made)


def _edges(array: NDArray[Any], key: str, subjects: list[str], kind: Any) -> Tensor:
    """(S, E) in float32, from matrices or edges."""
    if array.ndim == 2:
        with naming(key):
            number_of_regions(array.shape[1])
        if kind == "correlation" and (largest := float(np.abs(array).max())) > 1 + 1e-4:
            raise ValueError(
                f"{key} has an edge beyond 1 ({largest:.3g}), which no correlation has: apply tanh to Fisher z values, "
                'or write kind = "symmetric".'
            )
        return _single(key, array)
    if array.ndim != 3:
        raise ValueError(f"{key} has shape {array.shape}; give matrices (S, N, N) or edges (S, E).")
    checked = [check_matrix(matrix, f"{key} of {who}", None, kind) for matrix, who in zip(array, subjects, strict=True)]
    return _single(key, edges(torch.stack(checked)).numpy())


def _numbered(count: int) -> Regions:
    return Regions(tuple(f"region {number}" for number in range(count)), ("unknown",) * count)
