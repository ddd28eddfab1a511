"""Make a page of a release again from its archive alone: check every file, run the chapter, compare its metrics."""

from __future__ import annotations

import hashlib
import math
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmlab.data.files.archive import MANIFEST as UNPACKED
from mmlab.data.files.archive import extract
from mmlab.paths import expand
from mmlab.publish.chapter import listed
from mmlab.publish.release import CHECKSUMS, ReleaseError
from mmlab.publish.run import cache, key
from mmlab.publish.run.job import without_secrets
from mmlab.publish.run.places import public_metrics
from mmlab.publish.run.receipt import Receipt

__all__ = ["Rebuilt", "rebuild", "unpack"]

_AGAIN = "out/again"
_RUN = "from mmlab.command.cli import main; main()"


@dataclass(frozen=True)
class Rebuilt:
    """What came of a chapter that ran again.

    Attributes:
        released: Its receipt in the archive.
        again: The receipt of the new run.
        notebook: The new executed notebook.
        changed: Which inputs differ, in a few words; empty if none does. The chapter may then differ too.
        metrics: Every recorded number or text: value as released, value now (None where it is missing).
        tolerance: Relative difference up to which two numbers are taken for equal.
    """

    released: Receipt
    again: Receipt
    notebook: Path
    changed: str
    metrics: Mapping[str, tuple[Any, Any]]
    tolerance: float

    @property
    def differing(self) -> list[str]:
        """Names of the metrics that are not as released."""
        return [name for name, (old, new) in self.metrics.items() if not _equal(old, new, self.tolerance)]


def rebuild(archive: Path, stem: str | None, into: Path, *, profile: str = "cpu", tolerance: float = 1e-3) -> Rebuilt:
    """Unpack a release, check it, and run one of its chapters with the code that is in it.

    This runs code from the archive: compare its sha256 with the published one first. It gets no variable of the
    environment that may be a token.

    Args:
        archive: What :func:`mmlab.publish.release.release` wrote.
        stem: The chapter; None for the first one.
        into: Folder to unpack to. What an earlier call left there is replaced.
        profile: Whose outputs to compare with.
        tolerance: Relative difference up to which two numbers are taken for equal.

    Raises:
        ReleaseError: If the archive is not whole, has no such chapter, or the chapter does not run.
        ValueError: If the archive is damaged or unsafe to unpack.
        OSError: If it cannot be read, or the folder cannot be written.
    """
    archive = expand(archive, "archive")
    root = unpack(archive, into)
    stem = stem or next((chapter.stem for chapter in listed(root)), "")
    target = cache.Target(root / "out" / profile, stem)
    released = Receipt.read(target.receipt)
    if released is None:
        held = sorted(path.name.removesuffix(".receipt.json") for path in target.receipt.parent.glob("*.receipt.json"))
        raise ReleaseError(
            f"{archive.name} has no chapter {stem!r} of the {profile} profile; it has {', '.join(held) or 'none'}."
        )
    options = ["--profile", profile, "--force", "--out", _AGAIN]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "book", "execute", stem, *options],
        cwd=root,
        env={**without_secrets(), "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    new = cache.Target(root / _AGAIN / profile, stem)
    again = Receipt.read(new.receipt)
    if done.returncode or again is None:
        raise ReleaseError(f"{stem!r} does not run from {archive.name}: {(done.stderr or done.stdout).strip()[-1000:]}")
    old_values, new_values = (_flat(public_metrics(account.metrics)) for account in (released, again))
    return Rebuilt(
        released=released,
        again=again,
        notebook=new.notebook,
        changed="" if released.key == again.key else key.what_changed(released.inputs, again.inputs),
        metrics={n: (old_values.get(n), new_values.get(n)) for n in sorted(old_values.keys() | new_values.keys())},
        tolerance=tolerance,
    )


def unpack(archive: Path, into: Path) -> Path:
    """Unpack a release and compare each of its files with ``SHA256SUMS``.

    Args:
        archive: What :func:`mmlab.publish.release.release` wrote.
        into: Folder to unpack to.

    Returns:
        The folder of the book inside ``into``.

    Raises:
        ReleaseError: If a file is missing, changed, or not listed.
        ValueError: If the archive is damaged or unsafe to unpack.
    """
    archive, into = expand(archive, "archive"), expand(into, "into")
    extract(archive, into)
    folders = [path for path in into.iterdir() if path.name != UNPACKED]
    if len(folders) != 1 or not (folders[0] / CHECKSUMS).is_file():
        raise ReleaseError(f"{archive.name} is no release of the book: it has no folder with {CHECKSUMS}.")
    root = folders[0]
    listed: dict[str, str] = {}
    for line in (root / CHECKSUMS).read_text(encoding="utf-8").splitlines():
        entry = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if entry is None:
            raise ReleaseError(f"{CHECKSUMS} of {archive.name} has a line that is no checksum: {line[:80]!r}.")
        listed[entry[2]] = entry[1]
    held = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    held.pop(CHECKSUMS)
    wrong = [f"{name} is missing" for name in sorted(listed.keys() - held.keys())]
    wrong += [f"{name} is not listed" for name in sorted(held.keys() - listed.keys())]
    wrong += [f"{n} is changed" for n in sorted(listed.keys() & held.keys()) if _sha256(held[n]) != listed[n]]
    if wrong:
        raise ReleaseError(f"{archive.name} is not as it was released: {'; '.join(wrong[:5])}. Get it again.")
    return root


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Numbers and texts inside nested metrics, each with its path as name."""
    if isinstance(value, Mapping):
        parts = [(f"{name}.{inner}" if name else str(inner), entry) for inner, entry in value.items()]
    elif isinstance(value, list):
        parts = [(f"{name}[{place}]", entry) for place, entry in enumerate(value)]
    else:
        return {name: value}
    return {path: found for part, entry in parts for path, found in _flat(entry, part).items()}


def _equal(old: Any, new: Any, tolerance: float) -> bool:
    if type(old) is bool or type(new) is bool or not all(isinstance(value, int | float) for value in (old, new)):
        return type(old) is type(new) and bool(old == new)
    both_undefined = math.isnan(old) and math.isnan(new)
    return both_undefined or math.isclose(old, new, rel_tol=tolerance, abs_tol=1e-12)
