"""Reading arrays from files that came from somewhere else: what they hold is checked before it is used.

An ``.npz`` file is a zip of ``.npy`` files. Its headers are read first, so that a damaged or hostile file can neither
ask for more memory than the expected shapes need, nor have anything in it executed: objects (pickles) are refused.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from mmlab.data.files.numbers import Grid, GridError, grid
from mmlab.data.files.text import read_lines
from mmlab.paths import expand

__all__ = ["Array", "read_array", "read_arrays", "read_named"]

Shape = tuple[int | None, ...]

# What zipfile, zlib and NumPy's header parser raise on damaged input; benchmarks/fuzz_loaders.py found them.
_DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, SyntaxError, NotImplementedError,
    RuntimeError, MemoryError, AttributeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, UserWarning,
)  # fmt: skip


_LARGE = 2**26
_DENSEST = 500
"""An array of more bytes than the first is refused if it is so many times as large as what it is unpacked from."""


class Array(NamedTuple):
    """What an array must look like.

    Attributes:
        kind: Letters of the permitted NumPy kinds: f float, i int, u unsigned, b bool, U text, c complex.
        shape: Its shape; None where any length will do, or None alone for any shape.
        low: Smallest permitted value, or None.
        high: Largest permitted value, or None.
        nan: Whether NaN marks missing values. Infinity is never permitted.
    """

    kind: str
    shape: Shape | None
    low: float | None = None
    high: float | None = None
    nan: bool = False


Expected = Mapping[str, Array | tuple[str, Sequence[int | None]]]


def read_arrays(path: Path, expected: Expected, remedy: str = "get the file again.") -> dict[str, NDArray[Any]]:
    """Read named arrays from an ``.npz`` file and check each against what is expected. Other arrays are not read.

    Args:
        path: The file.
        expected: For each array its :class:`Array`, or just a pair (kind, shape).
        remedy: What to do if the file is not as expected; ends the error's sentence.

    Returns:
        The arrays by name, in the order of ``expected``; each owns its memory, in native byte order.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not an ``.npz`` file, is damaged, lacks an array, or an array has another kind or shape,
            values out of bounds or values that are not finite. One sentence names file, array and remedy.
    """
    path = expand(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: {remedy}")
    arrays = {}
    name = None
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            held = archive.namelist()
            for name, wanted in expected.items():
                if f"{name}.npy" not in held:
                    raise _ContentError(f"is not in the file, which holds {', '.join(held)[:200] or 'nothing'}")
                member = archive.getinfo(f"{name}.npy")
                if member.file_size > max(_LARGE, _DENSEST * member.compress_size):
                    raise _ContentError(
                        f"would be {member.file_size / 1e6:,.0f} MB of almost one value, from {member.compress_size:,} "
                        "bytes: save it with numpy.savez, uncompressed, if it is meant"
                    )
                with cast(zipfile.ZipExtFile, archive.open(member)) as stream:
                    arrays[name] = _read(stream, member.file_size, Array(*wanted))
    except _ContentError as error:
        raise ValueError(f"{path}: array {name!r} {error}; {remedy}") from None
    except (*_DAMAGE, OSError) as error:  # a damaged zip seeks to nowhere, which is an OSError without a file name
        if isinstance(error, OSError) and error.filename:
            raise
        where = f"array {name!r} cannot be read" if name else "this is not an .npz file"
        detail = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: {where} ({type(error).__name__}: {detail}); {remedy}") from None
    return arrays


def read_array(path: Path, wanted: Array, remedy: str = "get the file again.") -> NDArray[Any]:
    """The values of :func:`read_named`, where no names matter."""
    return read_named(path, wanted, remedy).values


def read_named(path: Path, wanted: Array, remedy: str = "get the file again.") -> Grid:
    """Read one array of numbers from a ``.npy`` file or a text file, and check it against what is expected.

    Args:
        path: A ``.npy`` file, or one with a row of numbers per line: ``.txt`` and ``.tsv`` with blanks or tabs between
            them, ``.csv`` with commas. Text is read as float64, shape (rows, columns), without the header and index
            that it may have, whose names come beside it.
        wanted: What the array must look like.
        remedy: What to do if the file is not as expected; ends the error's sentence.

    Returns:
        The array, with the names of rows and columns that a text file has.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is of another kind of file, damaged, or the array is not as expected. One sentence names file
            and remedy.
    """
    path = expand(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: {remedy}")
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            with path.open("rb") as stream:
                return Grid(_read(stream, path.stat().st_size, wanted), None, None)
        if suffix not in {".txt", ".tsv", ".csv"}:
            raise _ContentError(f"is of an unknown kind ({suffix or 'no suffix'}): give .npy, .txt, .tsv or .csv")
        columns = wanted.shape[1] if wanted.shape is not None and len(wanted.shape) == 2 else None
        table = grid(read_lines(path, remedy), suffix == ".csv", columns)
        _check_kind(table.values.dtype, table.values.shape, wanted)
        _check_values(table.values, wanted)
    except GridError as error:
        raise ValueError(f"{path} cannot be read: it {error}; {remedy}") from None
    except _ContentError as error:
        raise ValueError(f"{path} {error}; {remedy}") from None
    except _DAMAGE as error:
        if str(path) in str(error):
            raise
        detail = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {detail}); {remedy}") from None
    return table


class _ContentError(Exception):
    """Why an array was refused; the caller adds the names of file and array."""


def _read(stream: zipfile.ZipExtFile | BufferedReader, size: int, wanted: Array) -> NDArray[Any]:
    """Read one .npy stream of ``size`` bytes. Size, header and ``wanted`` must agree before memory is taken."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise _ContentError(f"has the unknown .npy version {version[0]}.{version[1]}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = header(stream)
    _check_kind(dtype, shape, wanted)
    count = math.prod(shape)
    if stream.tell() + count * dtype.itemsize != size:
        raise _ContentError(f"says shape {shape} of {dtype}, which is not its size in the file")
    raw = np.empty(count * dtype.itemsize, np.uint8)
    filled = 0
    while filled < raw.size:
        got = stream.readinto(raw.data[filled:])
        if not got:
            raise _ContentError("ends too early")
        filled += got
    if stream.read(1):  # reading a zip member to its end also checks its CRC
        raise _ContentError("is longer than its header says")
    array = raw.view(dtype).reshape(shape, order="F" if fortran_order else "C")
    _check_values(array, wanted)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _check_kind(dtype: np.dtype[Any], shape: tuple[int, ...], wanted: Array) -> None:
    if dtype.hasobject or dtype.kind not in wanted.kind or dtype.names or dtype.subdtype:
        raise _ContentError(f"has dtype {dtype}, expected kind {wanted.kind!r}")
    if wanted.shape is None:
        return
    fits = len(shape) == len(wanted.shape) and all(
        ours >= 0 and theirs in (None, ours) for ours, theirs in zip(shape, wanted.shape, strict=True)
    )
    if not fits:
        text = str(tuple(wanted.shape)).replace("None", "any")
        raise _ContentError(f"has shape {shape}, expected {text}")


def _check_values(array: NDArray[Any], wanted: Array) -> None:
    kind = array.dtype.kind
    if kind == "b" and array.size and array.view(np.uint8).max() > 1:
        raise _ContentError("holds bytes that are neither true nor false")
    if kind == "U" and array.size and array.dtype.itemsize:
        points = array.reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if points.max() > 0x10FFFF:
            raise _ContentError("holds text that is not Unicode")
    if kind in "fc":
        bad = ~np.isfinite(array)
        if wanted.nan:
            bad &= ~np.isnan(array)
        if bad.any():
            what = "NaN or infinity" if not wanted.nan else "infinity"
            raise _ContentError(f"holds {what} ({int(bad.sum())} of {array.size} values)")
    if kind not in "fiu" or not array.size:
        return
    low, high = (np.nanmin, np.nanmax) if wanted.nan and not np.isnan(array).all() else (np.min, np.max)
    # Compared as numbers of Python: half precision cannot hold every bound.
    if wanted.low is not None and low(array).item() < wanted.low:
        raise _ContentError(f"holds {low(array)}, below {wanted.low:g}")
    if wanted.high is not None and high(array).item() > wanted.high:
        raise _ContentError(f"holds {high(array)}, above {wanted.high:g}")
