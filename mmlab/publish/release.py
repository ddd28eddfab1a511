"""A release: one archive with the site, the runs behind it, and all that it takes to make any page again.

The archive unpacks to a folder of the book in which every chapter has already run. Packing the same files twice gives
the same bytes. ``SHA256SUMS`` is in the format of ``sha256sum``, and ``MANIFEST.json`` says what is in it.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import mmlab
from mmlab.paths import expand
from mmlab.publish import project
from mmlab.publish.chapter import listed
from mmlab.publish.run import cache
from mmlab.publish.run.places import public, public_metrics
from mmlab.publish.run.processes import terminable
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site.build import build
from mmlab.store.folders import MADE, changed, sealed, write_whole

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
        ReleaseError: If a notebook is not the one of its receipt, the site is not as it was built, or git does not
            know the sources.
    """
    root, out, dist = root or project.find_root(), expand(out, "out"), expand(dist, "dist")
    build(profile, out, root=root)
    name = f"mmlab-{mmlab.__version__}"
    archive = root / dist / f"{name}.tar.gz"
    site = root / out / "site"
    files: dict[str, Path | bytes] = {**_files(root, root / out, profile)}
    if not sealed(site) or (other := changed(site)):
        named = ", ".join(other[:3]) if sealed(site) else "no list of its files"
        raise ReleaseError(f"{site} is not as it was built ({named}): run `mmlab book build` again.")
    shown = {chapter.stem: _public(chapter.target(root / out / profile)) for chapter in listed(root)}
    files |= {f"out/{profile}/{stem}.ipynb": content for stem, (content, _) in shown.items()}
    files |= {f"out/{profile}/{stem}.receipt.json": known.as_text().encode() for stem, (_, known) in shown.items()}
    manifest = {
        "format": FORMAT,
        "version": mmlab.__version__,
        "profile": profile,
        "pages": project.toc_entries(root),
        "chapters": {stem: _entry(receipt) for stem, (_, receipt) in shown.items()},
        "rebuild": f"mmlab book rebuild {archive.name} CHAPTER",
    }
    archive.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.name}.")
    try:
        with terminable(), os.fdopen(handle, "wb") as stream:
            _pack(stream, name, files, _json(manifest), sealed(site))
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


def _entry(receipt: Receipt) -> dict[str, Any]:
    return {
        "key": receipt.key,
        "output": receipt.output,
        "date": receipt.date,
        "device": receipt.device,
        "versions": receipt.versions,
    }


def _public(target: cache.Target) -> tuple[bytes, Receipt]:
    """Notebook and receipt of a chapter without folders of this machine."""
    receipt = Receipt.read(target.receipt)
    if receipt is None or cache.fresh(target, receipt.inputs) is None:
        stem = target.notebook.stem
        raise ReleaseError(f"{target.notebook} is not the notebook of its receipt: run `mmlab book execute {stem}`.")
    content = cache.as_text(public(json.loads(target.notebook.read_text(encoding="utf-8")))).encode("utf-8")
    output = hashlib.sha256(content).hexdigest()
    return content, dataclasses.replace(receipt, metrics=public_metrics(receipt.metrics), output=output)


def _files(root: Path, out: Path, profile: str) -> dict[str, Path]:
    """What goes in: name inside the archive, and where it is. Sources first, then what was made of them."""
    found = {name: root / name for name in _sources(root)}
    for chapter in listed(root):
        source = chapter.source.relative_to(root).as_posix()
        if source not in found:
            raise ReleaseError(f"git does not know {source}: `git add` it, or take the chapter out of _toc.yml.")
        target = chapter.target(out / profile)
        found |= {f"out/{profile}/{path.name}": path for path in (target.notebook, target.receipt)}
    return found | {f"out/site/{name}": out / "site" / name for name in (MADE, *sealed(out / "site"))}


def _sources(root: Path) -> list[str]:
    """Paths of the sources that git tracks, in order; in an unpacked release, of those that it lists.

    What merely lies in the folders may be a key, a table of patients, or anything else: it is nobody's to publish.
    Nothing hidden and no link is a source.

    Raises:
        ReleaseError: If the folder is neither a checkout nor an unpacked release.
    """
    if (root / CHECKSUMS).is_file() and not (root / ".git").exists():
        lines = (root / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        known = [line.partition("  ")[2] for line in lines]
    else:
        known = _tracked(root)
    chosen = sorted(name for name in known if name.split("/")[0] in _SOURCES and not _hidden(name))
    return [name for name in chosen if (root / name).is_file() and not _through_link(root, name)]


def _tracked(root: Path) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, cwd=root, env=plain, capture_output=True, check=False)
    except OSError as error:
        raise ReleaseError(f"git does not run ({error}), and it knows what may be released: install it.") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise ReleaseError(
            f"{root} is no checkout ({told[0] if told else 'git says nothing'}): "
            "a release holds what git tracks, so make it in a clone, or `git init` and `git add` the sources."
        )
    return [name for name in done.stdout.decode("utf-8", "surrogateescape").split("\0") if name]


def _hidden(name: str) -> bool:
    parts = name.split("/")
    return "__pycache__" in parts or any(part.startswith(".") or part.endswith(".egg-info") for part in parts)


def _through_link(root: Path, name: str) -> bool:
    path = root / name
    return path.is_symlink() or not path.resolve().is_relative_to(root.resolve())


def _pack(stream: BinaryIO, name: str, files: dict[str, Path | bytes], manifest: bytes, pages: dict[str, str]) -> None:
    """Write the archive: sorted, with one time, no owner, and the checksums at the end. Each file is read once.

    ``pages`` are the hashes of the files of the site: another build may put a new one in its place at any time.
    """
    sums = {MANIFEST: hashlib.sha256(manifest).hexdigest()}
    with (
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        _add(archive, f"{name}/{MANIFEST}", manifest)
        for path in sorted(files):
            held = files[path]
            content = held if isinstance(held, bytes) else held.read_bytes()
            sums[path] = hashlib.sha256(content).hexdigest()
            if sums[path] != pages.get(path.removeprefix("out/site/"), sums[path]) and path.startswith("out/site/"):
                raise ReleaseError(f"{path} changed while it was packed: another build is at work. Try again.")
            _add(archive, f"{name}/{path}", content)
        listing = "".join(f"{found}  {path}\n" for path, found in sorted(sums.items()))
        _add(archive, f"{name}/{CHECKSUMS}", listing.encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(content), _MTIME, 0o644
    archive.addfile(member, io.BytesIO(content))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
