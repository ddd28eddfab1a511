"""What `mmlab book execute` costs beside plain papermill: the same small chapter, run by both in turn.

The chapter does nothing but import NumPy and add, so that what is left is the runner, its kernel and their start.
Processor seconds of the whole tree of processes, and the clock. mmlab looks besides whether the chapter has to run at
all, keeps it off the network, measures its memory, checks the cells and writes a receipt; the last row is what it
takes to see that nothing has changed. Bar: at most 2 s more than papermill.

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
ROUNDS = 5


def main() -> None:
    """Run the chapter by turns, print the medians and write the result."""
    taken: dict[str, list[tuple[float, float]]] = {"mmlab": [], "papermill": [], "mmlab, nothing changed": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "notebooks").mkdir()
        shutil.copytree(ROOT / "lock", root / "lock")
        shutil.copy(ROOT / "_config.yml", root)
        for number in range(1, ROUNDS + 2):
            (root / "notebooks" / "one.py").write_text(CHAPTER.format(number=number), encoding="utf-8")
            (root / "one.ipynb").write_text(Chapter(root, "one").text, encoding="utf-8")
            execute = ["-m", "mmlab.cli", "book", "execute", "one"]
            taken["mmlab"].append(_seconds(root, execute))
            taken["papermill"].append(
                _seconds(root, ["-m", "papermill", "one.ipynb", "done.ipynb", "--no-progress-bar", "--log-level=ERROR"])
            )
            taken["mmlab, nothing changed"].append(_seconds(root, execute))
    rows = {
        name: {
            "processor": round(median(p for p, _ in times[1:]), 2),
            "clock": round(median(c for _, c in times[1:]), 2),
        }
        for name, times in taken.items()
    }
    for name, row in rows.items():
        print(f"{name:<24} {row['processor']:.2f} s of the processor, {row['clock']:.2f} s by the clock")
    more = median(a[0] - b[0] for a, b in zip(taken["mmlab"][1:], taken["papermill"][1:], strict=True))
    write_result({"rounds": ROUNDS, "more than papermill": round(more, 2), "rows": rows}, __file__)


def _seconds(root: Path, arguments: list[str]) -> tuple[float, float]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before, began = _children(), time.monotonic()
    subprocess.run([sys.executable, *arguments], cwd=root, env=environment, check=True, capture_output=True)
    return _children() - before, time.monotonic() - began


def _children() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


if __name__ == "__main__":
    main()
