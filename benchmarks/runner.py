"""What `mmlab book execute` costs beside plain papermill: the same small chapters, run by both in turn.

A chapter does nothing but import NumPy and add, so that what is left is the runner, its kernel and their start.
Processor seconds of the whole tree of processes, and the clock. mmlab looks besides whether a chapter has to run at
all, keeps it off the network, measures its memory, checks the cells and writes a receipt. Once per call it also
measures how fast the machine is, which takes an import of PyTorch; so one chapter and three are timed, and half their
difference says what a further chapter costs. The last row is what it takes to see that nothing has changed. Bar: a
further chapter costs at most a second more than one with papermill.

    python benchmarks/runner.py
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from provenance import write_result  # noqa: E402

from mmlab.publish.chapter import Chapter  # noqa: E402
from mmlab.publish.run import job, receipt, worker  # noqa: E402, F401  # what is measured

CHAPTER = """\
# %% [markdown]
# # Nothing much
# It adds.

# %%
import numpy as np

np.ones({number}).sum()
"""
ROUNDS = 3
STEMS = ("one", "two", "three")


def main() -> None:
    """Run the chapters by turns, print the medians and write the result."""
    taken: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "notebooks").mkdir()
        shutil.copytree(ROOT / "lock", root / "lock")
        shutil.copy(ROOT / "_config.yml", root)
        for turn in range(ROUNDS + 1):
            for place, stem in enumerate(STEMS):
                text = CHAPTER.format(number=10 * turn + place + 1)
                (root / "notebooks" / f"{stem}.py").write_text(text, encoding="utf-8")
            (root / "one.ipynb").write_text(Chapter(root, "one").text, encoding="utf-8")
            papermill = ["-m", "papermill", "one.ipynb", "done.ipynb", "--no-progress-bar", "--log-level=ERROR"]
            execute = ["-m", "mmlab.cli", "book", "execute"]
            for name, arguments in {
                "mmlab, one chapter": [*execute, "one"],
                "mmlab, three chapters": [*execute, "--workers", "1", "--force", *STEMS],
                "papermill, one chapter": papermill,
                "mmlab, nothing changed": [*execute, *STEMS],
            }.items():
                taken.setdefault(name, []).append(_seconds(root, arguments))
    rows = {
        name: {
            "processor": round(median(p for p, _ in times[1:]), 2),
            "clock": round(median(c for _, c in times[1:]), 2),
        }
        for name, times in taken.items()
    }
    for name, row in rows.items():
        print(f"{name:<24} {row['processor']:.2f} s of the processor, {row['clock']:.2f} s by the clock")
    further = (rows["mmlab, three chapters"]["processor"] - rows["mmlab, one chapter"]["processor"]) / 2
    found = {
        "further chapter": round(further, 2),
        "more than papermill": round(further - rows["papermill, one chapter"]["processor"], 2),
    }
    print(", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items()))
    write_result({"rounds": ROUNDS, **found, "rows": rows}, __file__)


def _seconds(root: Path, arguments: list[str]) -> tuple[float, float]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before, began = _children(), time.monotonic()
    subprocess.run([sys.executable, *arguments], cwd=root, env=environment, check=True, capture_output=True)
    return _children() - before, time.monotonic() - began


def _children() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


if __name__ == "__main__":
    main()
