"""A release: one archive with the site, the runs behind it, and all that it takes to make any page again.

The archive unpacks to a folder of the book in which every chapter has already run. Packing the same files twice gives
the same bytes. ``SHA256SUMS`` is in the format of ``sha256sum``, and ``MANIFEST.json`` says what is in it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import mmlab
from mmlab.publish import project
from mmlab.publish.chapter import listed
from mmlab.publish.run import cache
from mmlab.publish.run.processes import terminable
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site.build import build
from mmlab.store.folders import write_whole

__all__ = ["CHECKSUMS", "FORMAT", "MANIFEST", "ReleaseError", "release"]

CHECKSUMS, MANIFEST, FORMAT = "SHA256SUMS", "MANIFEST.json", 1

_SOURCES = (
    "_config.yml", "_toc.yml", "Makefile", "pyproject.toml", "environment.yml", "CITATION.cff", "CONTRIBUTING.md",
    "LICENSE", "LICENSE-prose", "README.md", "lock", "book", "notebooks", "mmlab", "tests",
)  # fmt: skip

_MTIME = 315532800  # 1 January 1980: a zip file could hold no earlier one


class ReleaseError(RuntimeError):
    """A release that could not be made, or an archive that is not as it was released."""


def release(
    profile: str = "cpu", out: Path = Path("out"), dist: Path = Path("dist"), *, root: Path | None = None
) -> Path:
    """Write ``dist/mmlab-<version>.tar.gz``, and beside it a file with its sha256.

    Runs no notebook; renders the site if it is not up to date.

    Args:
        profile: Whose outputs to release.
        out: Folder of the results; relative to the folder of the book, like ``dist``.
        dist: Where the archive goes.
        root: Folder of the book.

    Returns:
        The archive.

    Raises:
        SiteError: If the site cannot be built: a chapter has no fresh outputs, or a page is not as it should be.
        ReleaseError: If a notebook is not the one of its receipt.
    """
    root = root or project.find_root()
    build(profile, out, root=root)
    name = f"mmlab-{mmlab.__version__}"
    archive = root / dist / f"{name}.tar.gz"
    files = _files(root, root / out, profile)
    manifest = {
        "format": FORMAT,
        "version": mmlab.__version__,
        "profile": profile,
        "pages": project.toc_entries(root),
        "chapters": {chapter.stem: _entry(chapter.target(root / out / profile)) for chapter in listed(root)},
        "rebuild": f"mmlab book rebuild {archive.name} CHAPTER",
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.name}.")
    try:
        with terminable(), os.fdopen(handle, "wb") as stream:
            _pack(stream, name, files, _json(manifest))
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(archive)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    with archive.open("rb") as packed:
        found = hashlib.file_digest(packed, "sha256").hexdigest()
    write_whole(archive.with_name(f"{archive.name}.sha256"), f"{found}  {archive.name}\n")
    return archive


def _entry(target: cache.Target) -> dict[str, Any]:
    receipt = Receipt.read(target.receipt)
    if receipt is None or cache.fresh(target, receipt.inputs) is None:
        stem = target.notebook.stem
        raise ReleaseError(f"{target.notebook} is not the notebook of its receipt: run `mmlab book execute {stem}`.")
    return {
        "key": receipt.key,
        "output": receipt.output,
        "date": receipt.date,
        "device": receipt.device,
        "versions": receipt.versions,
    }


def _files(root: Path, out: Path, profile: str) -> dict[str, Path]:
    """What goes in: name inside the archive, and where it is. Sources first, then what was made of them."""
    found: dict[str, Path] = {}
    for name in _SOURCES:
        path = root / name
        found |= {f.relative_to(root).as_posix(): f for f in ([path] if path.is_file() else _below(path))}
    for chapter in listed(root):
        target = chapter.target(out / profile)
        found |= {f"out/{profile}/{path.name}": path for path in (target.notebook, target.receipt)}
    found |= {f"out/site/{path.relative_to(out / 'site').as_posix()}": path for path in _below(out / "site")}
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Plain files in a folder: nothing hidden, nothing that Python made, no links."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        made = "__pycache__" in parts or any(part.startswith(".") or part.endswith(".egg-info") for part in parts)
        if path.is_file() and not path.is_symlink() and not made:
            yield path


def _pack(stream: BinaryIO, name: str, files: dict[str, Path], manifest: bytes) -> None:
    """Write the archive: sorted, with one time, no owner, and the checksums at the end. Each file is read once."""
    sums = {MANIFEST: hashlib.sha256(manifest).hexdigest()}
    with (
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, f"{name}/{MANIFEST}", manifest)
        for path in sorted(files):
            content = files[path].read_bytes()
            sums[path] = hashlib.sha256(content).hexdigest()
            _add(archive, f"{name}/{path}", content)
        listing = "".join(f"{found}  {path}\n" for path, found in sorted(sums.items()))
        _add(archive, f"{name}/{CHECKSUMS}", listing.encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(content), _MTIME, 0o644
    archive.addfile(member, io.BytesIO(content))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
