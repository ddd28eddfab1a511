"""How long it takes until something happens: imports and the command, each in a process of its own.

Processor seconds of the whole process and the clock, the median of rounds in which all take turns. Beside them stand
what any user of PyTorch pays anyway. Bars: `import mmlab` at most 0.1 s more than Python itself, `mmlab --help` and
`mmlab methods` at most half of `import torch`.

    python benchmarks/start_up.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from provenance import write_result  # noqa: E402

from mmlab.registry import list_methods  # noqa: E402

COMMAND = ["-m", "mmlab.cli"]
ARMS = {
    "Python alone": ["-c", "pass"],
    "import mmlab": ["-c", "import mmlab"],
    "mmlab --help": [*COMMAND, "--help"],
    "mmlab methods": [*COMMAND, "methods"],
    "from mmlab import fit": ["-c", "from mmlab import fit"],
    'mmlab.load("i2m2")': ["-c", "import mmlab; mmlab.load('i2m2')"],
    "import torch": ["-c", "import torch"],
    "from transformers import Trainer": ["-c", "from transformers import Trainer"],
}
ROUNDS = 3


def main() -> None:
    """Time all arms in turn, print them and write the result."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ARMS}
    for _ in range(ROUNDS + 1):  # the first round brings the files into memory
        for name, arguments in ARMS.items():
            taken[name].append(_seconds(arguments))
    rows = {
        name: {
            "processor": round(median(p for p, _ in times[1:]), 3),
            "clock": round(median(c for _, c in times[1:]), 3),
        }
        for name, times in taken.items()
    }
    for name, row in rows.items():
        print(f"{name:<34} {row['processor']:.2f} s of the processor, {row['clock']:.2f} s by the clock")
    write_result({"rounds": ROUNDS, "methods": len(list_methods()), "rows": rows}, __file__)


def _seconds(arguments: list[str]) -> tuple[float, float]:
    before, began = _children(), time.monotonic()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    return _children() - before, time.monotonic() - began


def _children() -> float:
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


if __name__ == "__main__":
    main()
