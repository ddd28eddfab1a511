"""Training throughput of small fusion models: mmlab.fit against a loop in the manner of MultiBench, on the same work.

Both train the same model for one pass with AdamW and gradient clipping on batches of 40 digits with their spoken names
(28 x 28 and 32 x 32). The rival does what the published loop does: a Python list with one list of float64 arrays per
item, a ``DataLoader`` that collates item by item, one conversion to float32 per batch, and the optimiser as its
constructor gives it. The published loader has eight worker processes; it is measured so, and within one process too.
``mmlab.fit`` reads whole float32 tensors. The data are random, since only time is measured. All alternate on one
thread; time is processor time, that of workers included, which other processes disturb less. Bar: at least twice the
items per second of the loop as published.

    OMP_NUM_THREADS=1 python benchmarks/fusion_throughput.py
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import mmlab  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.i2m2 import I2M2  # noqa: E402

ROUNDS, STEPS, BATCH, BAR = 3, 400, 40, 2.0
WORKERS = 8  # as in the published loader
RESULT = Path(__file__).parent / "results" / "fusion_throughput.json"
SHAPES = {"audio": (1, 32, 32), "image": (1, 28, 28)}
MODELS = {"concatenation": ("joint",), "I2M2": ("audio", "image", "joint")}


def listed(arrays: dict[str, np.ndarray]) -> list[list[Any]]:
    """One list of float64 arrays per item, as the published loader makes it."""
    keys = ("audio", "image", "label")
    return [[arrays[key][i] for key in keys] for i in range(len(arrays["label"]))]


def processor_seconds() -> float:
    """Processor time of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def by_list(method: I2M2, items: list[list[Any]], workers: int) -> None:
    """The rival: one pass over the list."""
    loader = torch.utils.data.DataLoader(items, shuffle=True, batch_size=BATCH, num_workers=workers)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3, weight_decay=1e-4)
    objective, total = nn.CrossEntropyLoss(), torch.zeros(())
    method.train()
    for *inputs, label in loader:
        optimizer.zero_grad()
        audio, image = (value.float() for value in inputs)
        loss = objective(method.log_probabilities({"audio": audio, "image": image}), label.long())
        total = total + loss.detach() * len(label)
        loss.backward()
        nn.utils.clip_grad_norm_(method.parameters(), 8)
        optimizer.step()


def by_fit(method: I2M2, data: TensorData) -> None:
    """Ours: as many steps, with everything that fit does before and after them."""
    mmlab.fit(
        method, data, steps=STEPS, batch_size=BATCH, lr=1e-3, weight_decay=1e-4, clip_norm=8, log_every=10,
        progress=False,
    )  # fmt: skip


def compare(experts: tuple[str, ...]) -> dict[str, Any]:
    """Alternate the loops, round by round, on the same numbers."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.random((STEPS * BATCH, *shape)) for name, shape in SHAPES.items()}
    arrays["label"] = rng.integers(0, 10, STEPS * BATCH)
    data = TensorData({k: torch.from_numpy(v if k == "label" else v.astype(np.float32)) for k, v in arrays.items()})
    items = listed(arrays)
    loops: dict[str, Callable[[I2M2], None]] = {
        "fit": lambda method: by_fit(method, data),
        "list, 8 workers": lambda method: by_list(method, items, WORKERS),
        "list, one process": lambda method: by_list(method, items, 0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(ROUNDS + 1):
        for name in loops if turn % 2 else reversed(loops):
            torch.manual_seed(turn)
            method = I2M2(SHAPES, 10, experts, "perceptron", width=64)
            start = processor_seconds()
            loops[name](method)
            seconds[name].append(processor_seconds() - start)
    kept = {name: times[1:] for name, times in seconds.items()}  # the first round warms up
    row: dict[str, Any] = {
        f"{name}, items per second": round(STEPS * BATCH / statistics.median(t)) for name, t in kept.items()
    }
    for name in list(loops)[1:]:
        ratios = sorted(t / o for t, o in zip(kept[name], kept["fit"], strict=True))
        row[f"ratio, {name}"] = {"median": round(statistics.median(ratios), 2), "least": round(ratios[0], 2)}
    return row


def main() -> int:
    """Print the table, write the JSON, and say whether the bar is met."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    results: dict[str, Any] = {"torch": torch.__version__, "machine": platform.machine(), "batch": BATCH, "bar": BAR}
    for name, experts in MODELS.items():
        results[name] = compare(experts)
        print(f"{name:14} " + "  ".join(f"{key} {value}" for key, value in results[name].items()), flush=True)
    RESULT.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    ratios = [results[name]["ratio, list, 8 workers"]["median"] for name in MODELS]
    print(f"The bar, a ratio of {BAR}, is {'met' if min(ratios) >= BAR else 'missed'}: {min(ratios)} at least.")
    return int(min(ratios) < BAR)


if __name__ == "__main__":
    sys.exit(main())
