"""The original AV-MNIST, in the layout that MultiBench and I2M2 read, for readers who have its files.

The files are one archive at an address that its authors give; no script that makes them is public. They are arrays of
60000 and 10000 rows: ``image/train_data.npy`` (N, 784) and ``audio/train_data.npy`` (N, 112, 112) with values from 0 to
255, ``train_labels.npy`` (N,), and the same for ``test``. As in MultiBench, values are divided by 255, and the last
5000 training rows are for validation. Files whose values are from 0 to 1 already are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.splits import Splits
from mmlab.data.tensors import TensorData
from mmlab.paths import expand

__all__ = ["original_av_mnist"]

_SHAPES: dict[str, tuple[int, ...]] = {"image": (784,), "audio": (112, 112), "labels": ()}


def original_av_mnist(
    root: str | Path, train: int | None = None, validation: int = 5000, test: int | None = None
) -> Splits:
    """Read the original files. They are mapped, so that only the rows that are asked for are read.

    Args:
        root: The folder that holds ``image``, ``audio`` and the labels.
        train: Use only the first so many of the training rows; default all that are not for validation. All 60000
            take 3 GB.
        validation: How many rows at the end of the training files are for validation.
        test: Use only the first so many test rows; default all.

    Returns:
        Splits with keys ``image`` (1, 28, 28) and ``audio`` (1, 112, 112), from 0 to 1, and ``label``, 0 to 9.

    Raises:
        FileNotFoundError: If a file is missing; the message says how to get it.
        ValueError: If a file is not as described above, or has too few rows; the message names it.
    """
    folder = expand(root, "root")
    learn = {kind: _open(_path(folder, "train", kind), shape) for kind, shape in _SHAPES.items()}
    exam = {kind: _open(_path(folder, "test", kind), shape) for kind, shape in _SHAPES.items()}
    for side, arrays in (("train", learn), ("test", exam)):
        if len({len(array) for array in arrays.values()}) > 1:
            counts = ", ".join(f"{_path(folder, side, kind)} {len(array)}" for kind, array in arrays.items())
            raise ValueError(f"The {side} files have different numbers of rows ({counts}): get them again.")
    start = len(learn["labels"]) - validation
    size = start if train is None else train
    taken = len(exam["labels"]) if test is None else test
    if validation < 1 or not 0 < size <= start or not 0 < taken <= len(exam["labels"]):
        raise ValueError(
            f"{folder} holds {len(learn['labels'])} training rows and {len(exam['labels'])} test rows: not enough for "
            f"{size} to train on, {validation} to choose by and {taken} to test."
        )
    rows = (("train", learn, slice(0, size)), ("train", learn, slice(start, None)), ("test", exam, slice(0, taken)))
    read = [_values(folder, side, arrays, chosen) for side, arrays, chosen in rows]
    ranges = {kind: _range(folder, kind, [part[kind] for part in read]) for kind in ("image", "audio")}
    parts = [_tensors(part, ranges) for part in read]
    return Splits(
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        description="The original AV-MNIST files, as MultiBench and I2M2 read them; the last rows are for validation.",
        source=("av_mnist",),
    )


def _path(folder: Path, side: str, kind: str) -> Path:
    return folder / f"{side}_labels.npy" if kind == "labels" else folder / kind / f"{side}_data.npy"


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    """Map an array of numbers of shape (N, *shape) without reading it."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {registry.source('av_mnist').how_to_get}")
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy's header parser raises almost anything on damaged input
        if isinstance(error, OSError) and error.filename:
            raise
        detail = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {detail}): get the file again.") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.shape[1:] != shape or not array.ndim:
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "an archive"
        wanted = f"({', '.join(['N', *map(str, shape)])})"
        raise ValueError(f"{path} holds {what}, expected numbers of shape {wanted}: get the file again.")
    return array


def _values(folder: Path, side: str, arrays: dict[str, NDArray[Any]], rows: slice) -> dict[str, Tensor]:
    highest = {"image": 255, "audio": 255, "labels": 9}
    read = {}
    for kind, array in arrays.items():
        values = np.array(array[rows], dtype=np.float32)  # a copy: the file is mapped read-only
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= highest[kind]):
            path = _path(folder, side, kind)
            raise ValueError(f"{path} holds values that are not from 0 to {highest[kind]}: get the file again.")
        read[kind] = torch.from_numpy(values)
    if not torch.equal(read["labels"], read["labels"].round()):
        raise ValueError(f"{_path(folder, side, 'labels')} holds labels that are no integers: get the file again.")
    return read


def _range(folder: Path, kind: str, parts: Sequence[Tensor]) -> float:
    """What to divide by: 255, or 1 where somebody divided before. No part may have a range of its own."""
    tops = [float(part.max()) for part in parts]
    if max(tops) <= 1:
        return 1.0
    if min(tops) <= 1:
        raise ValueError(
            f"{folder / kind} holds values up to {max(tops):g} in one part and up to {min(tops):g} in another: scale "
            "both alike, from 0 to 255 or from 0 to 1."
        )
    return 255.0


def _tensors(read: dict[str, Tensor], ranges: dict[str, float]) -> TensorData:
    image = (read["image"] / ranges["image"]).reshape(-1, 1, 28, 28)
    audio = (read["audio"] / ranges["audio"])[:, None]
    return TensorData({"image": image, "audio": audio, "label": read["labels"].long()})
