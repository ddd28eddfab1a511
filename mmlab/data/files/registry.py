"""The registry of data sources: what each set is, under which licence, where it lives and how to get it.

A *prepared* set is a small file (or a few) that the loaders of this package read, made from a public source as its
``description`` says. Put prepared sets under one folder and name that folder in ``MMLAB_DATA``. The entries themselves
are in ``sources.json`` beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mmlab.data.files.source import File, Report, Source, Status
from mmlab.paths import folder_from_environment
from mmlab.wording import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmlab.data.files.arrays import Expected

__all__ = [
    "File",
    "Report",
    "Source",
    "fetch",
    "load_arrays",
    "load_records",
    "load_table",
    "source",
    "sources",
    "verify",
    "where",
]


# What is read as real numbers becomes float32.
_BOUNDS: dict[str, dict[str, Any]] = {"f": {"low": -3.4e38, "high": 3.4e38}}


@cache
def sources() -> Mapping[str, Source]:
    """All sources, by name, in alphabetical order.

    Raises:
        ValueError: If ``sources.json`` is not as it should be; the message names the entry.
    """
    path = Path(__file__).with_name("sources.json")
    entries = json.loads(path.read_text(encoding="utf-8"))
    return MappingProxyType({name: _parse(name, entries[name]) for name in sorted(entries)})


def source(name: str) -> Source:
    """One source.

    Raises:
        ValueError: If there is no such source; the message names the nearest one.
    """
    known = sources()
    if name not in known:
        hint = nearest(name.lower(), known, otherwise="see `mmlab data list`.")
        raise ValueError(f"There is no data set {name!r} in mmlab: {hint}")
    return known[name]


def where(name: str) -> Path:
    """The folder of a set: ``$MMLAB_DATA/<name>`` if it exists, else ``<name>`` in the cache (which may not exist yet).

    The cache is ``$MMLAB_CACHE``, or else the platform's cache folder.

    Raises:
        ValueError: If there is no such source.
    """
    source(name)
    if (data := folder_from_environment("MMLAB_DATA")) and (data / name).is_dir():
        return data / name
    if cached := folder_from_environment("MMLAB_CACHE"):
        return cached / name
    import pooch

    return Path(pooch.os_cache("mmlab")) / name


def verify(name: str) -> Report:
    """Check the size and the sha256 of every file of a set.

    Raises:
        ValueError: If there is no such source.
        OSError: If a file cannot be read.
    """
    entry, folder = source(name), where(name)
    states = {file: _state(folder / file, known) for file, known in entry.files.items()}
    return Report(name, folder, MappingProxyType(states), entry.how_to_get)


def fetch(name: str, files: Iterable[str] | None = None, *, progress: bool = True) -> Path:
    """Make sure that a set is there and whole; download what is missing and can be downloaded.

    Args:
        name: The set.
        files: Only these of its files; default all.
        progress: Whether to show a bar for a download that takes more than 2 s.

    Returns:
        Its folder.

    Raises:
        ValueError: If there is no such source, or no such file in it.
        FileNotFoundError: If files are missing or damaged that have no public address, so that no download can help;
            the message says who grants access and where to put the files.
        OSError: If a download fails (:class:`mmlab.data.files.download.DownloadError`).
    """
    from mmlab.data.files import download

    entry, folder = source(name), where(name)
    chosen = list(entry.files if files is None else files)
    if unknown := [file for file in chosen if file not in entry.files]:
        held = ", ".join(entry.files) or "none"
        raise ValueError(f"{name} has no file {unknown[0]!r}: mmlab knows {held}.")
    states = {file: _state(folder / file, entry.files[file]) for file in chosen}
    lacking = [file for file, state in states.items() if state != "ok"]
    closed = [f"{file} ({states[file]})" for file in lacking if entry.files[file].url is None]
    if closed or not entry.files:
        what = ", ".join(closed) or "it"
        raise FileNotFoundError(
            f"{name} cannot be downloaded by mmlab ({what}): {entry.how_to_get} They are looked for in {folder}; "
            "MMLAB_DATA names the folder that holds one folder per set."
        )
    for file in chosen:
        known = entry.files[file]
        if file in lacking and known.url:
            download.download(known.url, folder / file, sha256=known.sha256, size=known.bytes, progress=progress)
        if known.extract:
            download.extract(folder / file, folder / Path(file).stem)
    return folder


def load_arrays(name: str, file: str, expected: Expected | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of a prepared set, checked: present, of the right kind and shape, finite and within bounds.

    Args:
        name: The set.
        file: One of its ``.npz`` files.
        expected: For each array an :class:`~mmlab.data.files.arrays.Array`, or just a pair (dtype kind, shape with None
            for any length), for example ``{"y": ("u", (None,))}``. Default: all arrays, as the registry has them.

    Returns:
        The arrays by name.

    Raises:
        FileNotFoundError: If the file is not there; the message says how to get it.
        ValueError: If the set or the file is unknown, or the content is not as expected; the message names file,
            array and remedy.
    """
    from mmlab.data.files.arrays import read_arrays

    entry = source(name)
    if expected is None:
        if file not in entry.files or not entry.files[file].arrays:
            raise ValueError(f"The registry describes no arrays in {file!r} of {name}: say what is expected.")
        expected = entry.files[file].arrays
    return read_arrays(_present(name, file), expected, _remedy(name))


def load_table(name: str, file: str, columns: Mapping[str, str]) -> dict[str, list[Any]]:
    """Read columns of a table of a prepared set, checked; see :func:`mmlab.data.files.tables.read_table`.

    Raises:
        FileNotFoundError: If the file is not there; the message says how to get it.
        ValueError: If the set is unknown or the content is not as expected; the message names file and line.
    """
    from mmlab.data.files.tables import read_table

    return read_table(_present(name, file), columns, _remedy(name))


def load_records(name: str, file: str, fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """Read the records of a JSON file of a prepared set, checked; see :func:`mmlab.data.files.tables.read_records`.

    Raises:
        FileNotFoundError: If the file is not there; the message says how to get it.
        ValueError: If the set is unknown or the content is not as expected; the message names file and record.
    """
    from mmlab.data.files.tables import read_records

    return read_records(_present(name, file), fields, _remedy(name))


def _present(name: str, file: str) -> Path:
    entry, path = source(name), where(name) / file
    if not path.is_file():
        raise FileNotFoundError(f"{name} needs {path}, which is not there: {entry.how_to_get}")
    return path


def _remedy(name: str) -> str:
    return f"put the right file there (check: mmlab data verify {name})."


def _state(path: Path, known: File) -> Status:
    from mmlab.data.files.download import sha256_of

    if not path.is_file():
        return "missing"
    if path.stat().st_size != known.bytes:
        return "wrong size"
    return "ok" if sha256_of(path) == known.sha256 else "wrong hash"


def _parse(name: str, entry: dict[str, Any]) -> Source:
    from mmlab.data.files.arrays import Array

    try:
        files = {}
        for file, known in entry.pop("files", {}).items():
            arrays = {
                key: Array(value[0], tuple(value[1]), **(_BOUNDS.get(value[0], {}) | dict(*value[2:])))
                for key, value in known.pop("arrays", {}).items()
            }
            files[file] = File(**known, arrays=MappingProxyType(arrays))
        addresses = tuple(entry.pop("addresses", ()))
        return Source(name=name, addresses=addresses, files=MappingProxyType(files), **entry)
    except (TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"sources.json: the entry {name!r} is not as it should be ({error}).") from None
