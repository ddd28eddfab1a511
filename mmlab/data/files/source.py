"""What the registry says about a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mmlab.data.files.arrays import Array

__all__ = ["Access", "File", "Report", "Source", "Status"]

Access = Literal["free", "form", "account", "agreement"]
Status = Literal["ok", "missing", "wrong size", "wrong hash"]


@dataclass(frozen=True)
class File:
    """One file of a prepared set.

    Attributes:
        sha256: Hash of its content, 64 hexadecimal digits.
        bytes: Its size.
        url: Where exactly this file can be downloaded, or None.
        extract: Whether the download is an archive, to be unpacked into the folder of its own stem.
        arrays: For an ``.npz`` file, what its arrays look like.
    """

    sha256: str
    bytes: int
    url: str | None = None
    extract: bool = False
    arrays: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """A data set: what it is, who may use it, and how to get it.

    Attributes:
        name: Its name in this package and of its folder.
        title: One line.
        description: What it holds; for a prepared set also what was kept of the source.
        licence: Name of its licence or terms. "Said to be" marks what was not read at the source itself.
        licence_url: Text of the licence, if it has an address of its own.
        citation: Whom to cite.
        access: ``"free"``, or what it takes: a ``"form"``, an ``"account"``, or a signed ``"agreement"``.
        how_to_get: Who grants access, and where to put the files.
        addresses: Where the original is published.
        files: The files of the prepared set, by name. Empty for a set that readers get for themselves.
        prepared: Whether mmlab reads this set in its prepared form.
        may_be_republished: Whether the prepared files may be passed on under the stated licence.
        acknowledgement: A sentence that the terms ask every user to print, or None.
        clinical: Whether it describes patients or clinical images: models trained on it are not medical devices.
    """

    name: str
    title: str
    description: str
    licence: str
    citation: str
    access: Access
    how_to_get: str
    licence_url: str | None = None
    addresses: tuple[str, ...] = ()
    files: Mapping[str, File] = field(default_factory=dict)
    prepared: bool = False
    may_be_republished: bool = False
    acknowledgement: str | None = None
    clinical: bool = False


@dataclass(frozen=True)
class Report:
    """What :func:`verify` found.

    Attributes:
        name: The set.
        folder: Where it was looked for.
        files: State of each file: ``"ok"``, ``"missing"``, ``"wrong size"`` or ``"wrong hash"``.
        remedy: What to do if a file is not ok.
    """

    name: str
    folder: Path
    files: Mapping[str, Status]
    remedy: str

    @property
    def ok(self) -> bool:
        """Whether there are files to check and all are as they should be."""
        return bool(self.files) and all(state == "ok" for state in self.files.values())

    def __str__(self) -> str:
        if not self.files:
            return f"{self.name}: mmlab has no list of its files, so nothing was checked. {self.remedy}"
        if self.ok:
            return f"{self.name}: all {len(self.files)} files in {self.folder} are ok."
        wrong = ", ".join(f"{name} ({state})" for name, state in self.files.items() if state != "ok")
        return f"{self.name}: not as it should be in {self.folder}: {wrong}. {self.remedy}"
