"""Text from files that came from somewhere else: every reader of text takes it from here."""

from __future__ import annotations

import codecs
import json
import tomllib
from pathlib import Path
from typing import Any

from mmlab.paths import expand
from mmlab.wording import repeated

__all__ = ["MOST_BYTES", "parse_json", "read_json", "read_json_lines", "read_lines", "read_text", "read_toml"]

MOST_BYTES = 2**28
"""A larger file is refused before it is read: taken apart, its text would need several times as much memory."""

# The mark of UTF-32 begins with that of UTF-16: it is looked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, remedy: str = "get the file again.") -> str:
    """The text of a file: UTF-8, or what the byte order mark at its beginning says; the mark is no part of the text.

    Args:
        path: The file.
        remedy: What to do if it is not there or no text; ends the error's sentence.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is not text, or larger than :data:`MOST_BYTES`.
    """
    path = expand(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: {remedy}")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(
            f"{path} has {size / 1e6:,.0f} MB, and text is read up to {MOST_BYTES / 1e6:,.0f}: "
            f"split it, or save numbers as .npy or .npz; {remedy}"
        )
    content = path.read_bytes()
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding).removesuffix("\x1a")  # the end of a file, to DOS
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} cannot be read: this is not text in {encoding.removesuffix('-sig').upper()} (byte {error.start}): "
            f"save it as UTF-8, or {remedy}"
        ) from None


def read_lines(path: Path, remedy: str = "get the file again.") -> list[str]:
    """The lines of a text file without their ends, whatever system wrote them; see :func:`read_text`."""
    return read_text(path, remedy).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_json(path: Path, remedy: str = "get the file again.") -> Any:
    """What a JSON file holds; see :func:`read_text`.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is no JSON, holds NaN or infinity, or an object in it has a key twice.
    """
    text = read_text(path, remedy)
    try:
        return _strict(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON ({str(error)[:200]}); {remedy}") from None


def read_json_lines(path: Path, remedy: str = "get the file again.") -> list[Any]:
    """What a file holds that has JSON on each line; empty lines are none. A line ends as in :func:`read_lines`.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If a line is no JSON, as :func:`read_json` has it; the message names the line.
    """
    found = []
    for number, line in enumerate(read_lines(path, remedy), start=1):
        try:
            found += [_strict(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}, line {number}, cannot be read as JSON ({str(error)[:200]}); {remedy}") from None
    return found


def read_toml(path: Path, remedy: str = "get the file again.") -> dict[str, Any]:
    """What a TOML file holds; see :func:`read_text`.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        ValueError: If it is no TOML.
    """
    text = "\n".join(read_lines(path, remedy))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no TOML ({str(error)[:200]}): {remedy}") from None


def parse_json(text: str, name: str) -> Any:
    """What a text holds that is JSON, as strictly as :func:`read_json` has it.

    Args:
        text: The text, such as a cell of a table.
        name: What messages call it.

    Raises:
        ValueError: If it is no JSON, holds NaN or infinity, or an object in it has a key twice.
    """
    try:
        return _strict(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be read as JSON ({str(error)[:200]})") from None


def _strict(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not finite")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        _refuse(text)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = repeated(key for key, _ in pairs)[0]
        raise ValueError(f"the key {twice[:50]!r} stands twice in one object")
    return found
