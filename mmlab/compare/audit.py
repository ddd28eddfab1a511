"""Are test items in the training set? Same bytes, pictures that are nearly the same, same subject, same caption."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmlab.data.files.patterns import is_hidden, named_file
from mmlab.data.files.pictures import read_picture
from mmlab.data.files.tables import read_rows
from mmlab.data.subjects import subject_id
from mmlab.data.words import normal, words
from mmlab.paths import expand
from mmlab.wording import nearest

__all__ = ["KINDS", "Item", "Leak", "audit", "difference_hash", "read_items"]

KINDS = ("same bytes", "near-duplicate", "same subject", "same caption")

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
TABLES = {".csv", ".tsv", ".jsonl"}
FILE_COLUMNS = ("file_name", "file", "path", "image")
CAPTION_COLUMNS = ("caption", "text", "question", "report")
SUBJECT_COLUMNS = ("subject", "subject_id", "patient", "patient_id", "participant_id")

SIDE = 16
BITS = SIDE * SIDE
NEAR = 20
"""Bits of 256 in which the hashes of near-duplicates may differ; two unrelated pictures differ in about half."""

_SUBJECT = r"(?:^|[/_])sub-([A-Za-z0-9]+)"
_AT_ONCE = 4096


@dataclass(frozen=True)
class Item:
    """One item of a set, as far as it can be compared.

    Attributes:
        name: Where it is found: a path within the set, or the line of a table.
        digest: SHA-256 of its bytes; empty if it has none of its own.
        bits: Perceptual hash of its picture, (256,) of booleans; None for what is no picture, or one of one colour.
        subject: Whose it is; empty if unknown.
        caption: Its text; empty if it has none.
    """

    name: str
    digest: str = ""
    bits: NDArray[np.bool_] | None = None
    subject: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Leak:
    """Two items, one of each set, that should not both be there.

    Attributes:
        kind: One of :data:`KINDS`.
        first: Name of the item in the first set.
        second: Name of the item in the second set.
        detail: What they share: a hash, the number of bits that differ, the subject, the caption.
    """

    kind: str
    first: str
    second: str
    detail: str

    def plain(self) -> dict[str, str]:
        """The same as a dict, for JSON."""
        return asdict(self)


def audit(first: Sequence[Item], second: Sequence[Item], *, near: int = NEAR) -> list[Leak]:
    """Find what two sets share, for example what is in the training and in the test set.

    Each pair of items is reported once for each kind; a pair with the same bytes is not called nearly the same, too.

    Args:
        first: Items of one set.
        second: Items of the other.
        near: Bits of 256 in which the perceptual hashes may differ.

    Returns:
        The leaks, by kind and in order.
    """
    if not 0 <= near < BITS // 2:
        raise ValueError(
            f"near={near}: two unrelated pictures differ in about {BITS // 2} bits; give 0 to {BITS // 4}."
        )
    found = list(_equal("same bytes", first, second, "digest"))
    same = {(leak.first, leak.second) for leak in found}
    found += [leak for leak in _near(first, second, near) if (leak.first, leak.second) not in same]
    found += _equal("same subject", first, second, "subject")
    return found + list(_equal("same caption", first, second, "caption"))


def difference_hash(picture: Any) -> NDArray[np.bool_] | None:
    """Which of 16 × 16 places are brighter than their right neighbour: (256,), or None for a picture of one colour.

    It survives another size, another brightness and the losses of JPEG, and turns with the content (dHash, N. Krawetz).

    Args:
        picture: A PIL picture.
    """
    from PIL import Image

    small = picture.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.int16)
    if int(np.ptp(grey)) < 8:  # a blank page is like every other blank page
        return None
    bits: NDArray[np.bool_] = (grey[:, :-1] > grey[:, 1:]).reshape(-1)
    return bits


def read_items(path: str | Path, *, subject: str = _SUBJECT) -> list[Item]:
    """The items of a folder or a table.

    In a folder every file is an item, at any depth. Tables in it (``.csv``, ``.tsv``, ``.jsonl``, as in the image
    folders of Hugging Face) give captions and subjects to the files that they name; lines that name no file are items
    of their own. What a system leaves in folders (``.DS_Store``, ``._name``, ``Thumbs.db``) is no item.

    Args:
        path: A folder, or a single table.
        subject: Regular expression whose first group is the subject in a file's path, where no table says so.

    Raises:
        ValueError: If there is nothing at the path, or a table is not readable.
    """
    path = expand(path)
    if not path.exists():
        raise ValueError(f"There is nothing at {path}: give a folder, or a table ({', '.join(sorted(TABLES))}).")
    try:
        pattern = re.compile(subject)
    except re.error as problem:
        raise ValueError(f"subject={subject[:100]!r} is no regular expression ({problem}): correct it.") from None
    folder = path if path.is_dir() else path.parent
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not is_hidden(p.relative_to(path)))
    named: dict[Path, dict[str, str]] = {}
    items: list[Item] = []
    for table in (p for p in files if p.suffix.lower() in TABLES):
        for number, row in enumerate(_rows(table), start=1):
            whose = _first(row, SUBJECT_COLUMNS)
            about = {"caption": _first(row, CAPTION_COLUMNS), "subject": subject_id(whose) if whose else ""}
            name = _first(row, FILE_COLUMNS)
            if name and (file := named_file(table.parent, name)) is not None:
                named[file.resolve()] = about
            else:
                where = f"{table.relative_to(folder)}, line {number}"
                items.append(Item(where, subject=about["subject"], caption=_folded(about["caption"])))
    items += [
        _item(file, file.relative_to(folder).as_posix(), named.get(file.resolve(), {}), pattern)
        for file in files
        if file.suffix.lower() not in TABLES
    ]
    missing = [f for f in named if f not in {p.resolve() for p in files}]  # a single table that names files beside it
    items += [_item(file, file.name, named[file], pattern) for file in missing]
    if not items:
        raise ValueError(f"{path} has no items: it is empty, or its tables have none of the columns that are known "
                         f"({', '.join((*FILE_COLUMNS, *CAPTION_COLUMNS, *SUBJECT_COLUMNS))}).")  # fmt: skip
    return items


def _item(file: Path, name: str, about: dict[str, str], pattern: re.Pattern[str]) -> Item:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    bits = None
    if file.suffix.lower() in PICTURES:
        try:
            bits = difference_hash(read_picture(file))
        except (ValueError, OSError):
            bits = None  # it is compared by its bytes alone
    found = pattern.search(name)
    whose = about.get("subject") or (subject_id(found[1]) if found and pattern.groups and found[1] else "")
    return Item(name, digest, bits, whose, _folded(about.get("caption", "")))


def _rows(table: Path) -> Iterator[dict[str, str]]:
    for row in read_rows(table, "correct it, or leave it out of the folder."):
        about = {str(key).strip().lower(): str(value or "") for key, value in row.items() if key is not None}
        if any(map(str.strip, about.values())):  # an empty line is no item
            yield about


def _first(row: dict[str, str], columns: Sequence[str]) -> str:
    return next((row[name].strip() for name in columns if row.get(name, "").strip()), "")


def _folded(caption: str) -> str:
    """A caption as its words, see :mod:`mmlab.data.words`; one without any word stands for itself."""
    return " ".join(words(caption) or normal(caption).split())


def _equal(kind: str, first: Sequence[Item], second: Sequence[Item], what: str) -> Iterator[Leak]:
    places: dict[str, list[str]] = defaultdict(list)
    for item in second:
        if value := getattr(item, what):
            places[value].append(item.name)
    for item in first:
        value = getattr(item, what)
        for other in places.get(value, []) if value else []:
            yield Leak(kind, item.name, other, value[:80] if what != "digest" else value[:12])


def _near(first: Sequence[Item], second: Sequence[Item], near: int) -> Iterator[Leak]:
    ours = [(item.name, item.bits) for item in first if item.bits is not None]
    theirs = [(item.name, item.bits) for item in second if item.bits is not None]
    if not ours or not theirs:
        return
    signs = np.stack([bits for _, bits in theirs]).astype(np.float32) * 2 - 1  # (B, 256)
    for start in range(0, len(ours), _AT_ONCE):
        part = np.stack([bits for _, bits in ours[start : start + _AT_ONCE]]).astype(np.float32) * 2 - 1
        apart = (BITS - part @ signs.T) / 2  # bits in which they differ
        for i, j in zip(*np.nonzero(apart <= near), strict=True):
            detail = f"{int(apart[i, j])} of {BITS} bits differ"
            yield Leak("near-duplicate", ours[start + i][0], theirs[j][0], detail)


def known_kind(kind: str) -> str:
    """The kind itself, or an error that names the nearest."""
    if kind not in KINDS:
        raise ValueError(f"There is no kind {kind!r}: {nearest(kind, KINDS)}")
    return kind
