"""What publishing costs: the runner above the kernel, two chapters side by side, and the site after one edit.

1. *Runner*: processor time of the whole command ``mmlab book execute`` less that of the kernel, which the receipt has
   (imports are the kernel's). Bar: at most 5 s per chapter.
2. *Side by side*: two equal chapters with two workers against one of them alone, in wall time. Bar: at most 1.2 times,
   on two idle cores; the result says how busy the machine was.
3. *Unchanged*: ``mmlab book all`` with nothing to do, for books that are grown from this one by copies of its methods
   and chapters, as if all had run. Bar: 3 processor seconds for 20 chapters, 8 for 75.
4. *Rebuild*: this book, rendered, then again after the prose of one chapter was edited. Bar: at most 25 s; running the
   chapter again comes on top where its code was edited. Only where all chapters have fresh outputs in ``out/cpu``.

Run: python benchmarks/publishing.py [--no-rebuild]
     python benchmarks/publishing.py --chapters 75      # the third alone, up to so many chapters
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from grown_book import grow
from provenance import write_result

from mmlab.publish import project
from mmlab.publish.run import key
from mmlab.publish.run.receipt import Receipt

ROOT = Path(__file__).parents[1]
WORK = """\
# %% [markdown]
# # Work
# It works.

# %%
import time

import torch

number = {number}
until = time.process_time() + 8
while time.process_time() < until:
    torch.randn(100, 100) @ torch.randn(100, 100)
"""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="What publishing costs.")
    parser.add_argument("--chapters", type=int, help="measure only a book with nothing to do, up to so many chapters")
    parser.add_argument("--no-rebuild", action="store_true", help="leave out rendering, which takes a minute")
    chosen = parser.parse_args()
    if chosen.chapters:
        _print(_unchanged(chosen.chapters))
        return
    result: dict[str, object] = {"cores": os.cpu_count(), "load when it began": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory() as temporary:
        root = _small_book(Path(temporary))
        wall, processor = _command(root, "execute", "one")
        kernel = Receipt.read(root / "out" / "cpu" / "one.receipt.json").cpu_seconds
        result["runner, processor seconds above the kernel"] = round(processor - kernel, 2)
        both, _ = _command(root, "execute", "two", "three", "--workers", "2")
        result |= {"one chapter, wall seconds": round(wall, 1), "two side by side, wall seconds": round(both, 1)}
        result["side by side against alone"] = round(both / wall, 2)
    result |= _unchanged(75)
    if not chosen.no_rebuild:
        with tempfile.TemporaryDirectory() as temporary:
            result |= _rebuild(Path(temporary) / "book")
    _print(result)
    write_result(result, __file__)


def _print(result: dict[str, object]) -> None:
    for name, value in result.items():
        print(f"{name:<60} {value}")


def _unchanged(most: int) -> dict[str, object]:
    """Processor seconds of a book with nothing to do, as it grows to so many chapters, and how it grows."""
    there = len(list((ROOT / "notebooks").glob("*.py")))
    sizes = sorted({there, *(size for size in (2 * there, most) if there < size <= most)})
    seconds = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            root = grow(Path(temporary) / "book", size)
            _command(root, "all")  # notes which notebooks are in step
            seconds[size] = min(_command(root, "all")[1] for _ in range(3))
    result: dict[str, object] = {
        f"unchanged, {size} chapters, processor seconds": round(s, 2) for size, s in seconds.items()
    }
    if len(sizes) > 1:
        slope = (seconds[sizes[-1]] - seconds[there]) / (sizes[-1] - there)
        result["unchanged, processor seconds for each further chapter"] = round(slope, 3)
    return result


def _small_book(root: Path) -> Path:
    (root / "notebooks").mkdir()
    shutil.copytree(ROOT / "lock", root / "lock")
    shutil.copy(ROOT / "_config.yml", root)
    for number, stem in enumerate(("one", "two", "three")):
        (root / "notebooks" / f"{stem}.py").write_text(WORK.format(number=number), encoding="utf-8")
    return root


def _rebuild(copy: Path) -> dict[str, float]:
    """Seconds of the first rendering of this book, and of that after an edit."""
    copy.mkdir()
    for name in ("_config.yml", "_toc.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, copy)
    for name in ("book", "lock", "notebooks", "out/cpu"):
        shutil.copytree(ROOT / name, copy / name)
    first, first_processor = _command(copy, "build")
    chapter = next(entry for entry in project.toc_entries(copy) if entry.startswith("notebooks/"))
    source = copy / f"{chapter}.py"
    source.write_text(
        source.read_text(encoding="utf-8") + "\n# %% [markdown]\n# One more sentence.\n", encoding="utf-8"
    )
    stem = chapter.removeprefix("notebooks/")
    _command(copy, "execute", stem)  # its code is as it was: this only takes over the prose
    again, processor = _command(copy, "build")
    return {
        "pages": len(project.toc_entries(copy)),
        "site from nothing, wall seconds": round(first, 1),
        "site from nothing, processor seconds": round(first_processor, 1),
        "site after one edit, wall seconds": round(again, 1),
        "site after one edit, processor seconds": round(processor, 1),
    }


def _command(root: Path, *words: str) -> tuple[float, float]:
    """Wall and processor seconds of ``mmlab book ...`` in a folder, its child processes included."""
    package = root if (root / "mmlab").exists() else key.PACKAGE.parent
    environment = os.environ | {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    before, began = _children(), time.monotonic()
    command = [sys.executable, "-m", "mmlab.cli", "book", *words]
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began, _children() - before


def _children() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


if __name__ == "__main__":
    main()
