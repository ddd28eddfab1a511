"""Training throughput of small fusion models: mmlab.fit against a loop by hand at its best, on the same work.

Both train the same model for one pass with AdamW and gradient clipping on batches of 40 digits with their spoken names
(28 x 28 and 32 x 32), in one process and on one thread. The peer is the loop at its best: float32 tensors in a
``TensorDataset``, whole batches by a ``BatchSampler``, a fused optimiser. The loop in the manner of MultiBench (a list
of float64 arrays, collated item by item) stands beside it for orientation, in one process too; nothing is judged by it.
The data are random, since only time is measured. All alternate, round by round; time is processor time. Bar: at least
0.9 of the peer's items per second.

    OMP_NUM_THREADS=1 python benchmarks/fusion_throughput.py
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset  # noqa: E402

import mmlab  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.i2m2 import I2M2  # noqa: E402

ROUNDS, STEPS, BATCH, BAR = 5, 400, 40, 0.9
PEER = "TensorDataset and BatchSampler"
SHAPES = {"audio": (1, 32, 32), "image": (1, 28, 28)}
MODELS = {"concatenation": ("joint",), "I2M2": ("audio", "image", "joint")}


def listed(arrays: dict[str, np.ndarray]) -> list[list[Any]]:
    """One list of float64 arrays per item, as the published loader makes it."""
    keys = ("audio", "image", "label")
    return [[arrays[key][i] for key in keys] for i in range(len(arrays["label"]))]


def step(method: I2M2, optimizer: torch.optim.Optimizer, audio: Tensor, image: Tensor, label: Tensor) -> Tensor:
    """One step of the loop by hand; returns the loss."""
    optimizer.zero_grad()
    loss = nn.functional.nll_loss(method.log_probabilities({"audio": audio, "image": image}), label)
    loss.backward()
    nn.utils.clip_grad_norm_(method.parameters(), 8)
    optimizer.step()
    return loss.detach()


def by_tensors(method: I2M2, data: TensorData) -> None:
    """The peer: one pass over whole tensors."""
    dataset = TensorDataset(*(data.tensors[key] for key in ("audio", "image", "label")))
    batches = BatchSampler(RandomSampler(dataset), BATCH, drop_last=False)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    total = torch.zeros(())
    method.train()
    for audio, image, label in DataLoader(dataset, sampler=batches, batch_size=None):
        total = total + step(method, optimizer, audio, image, label)


def by_list(method: I2M2, items: list[list[Any]]) -> None:
    """In the manner of MultiBench: one pass over a list of items, collated one by one."""
    loader = DataLoader(items, shuffle=True, batch_size=BATCH)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3, weight_decay=1e-4)
    total = torch.zeros(())
    method.train()
    for audio, image, label in loader:
        total = total + step(method, optimizer, audio.float(), image.float(), label.long())


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
        PEER: lambda method: by_tensors(method, data),
        "list of items": lambda method: by_list(method, items),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(ROUNDS + 1):
        for name in loops if turn % 2 else reversed(loops):
            torch.manual_seed(turn)
            method = I2M2(SHAPES, 10, experts, "perceptron", width=64)
            start = time.process_time()
            loops[name](method)
            seconds[name].append(time.process_time() - start)
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
    results: dict[str, Any] = {"torch": torch.__version__, "machine": platform.machine(), "batch": BATCH, "bar": BAR}
    for name, experts in MODELS.items():
        results[name] = compare(experts)
        print(f"{name:14} " + "  ".join(f"{key} {value}" for key, value in results[name].items()), flush=True)
    write_result(results, __file__)
    ratios = [results[name][f"ratio, {PEER}"]["median"] for name in MODELS]
    print(f"The bar, a ratio of {BAR}, is {'met' if min(ratios) >= BAR else 'missed'}: {min(ratios)} at least.")
    return int(min(ratios) < BAR)


if __name__ == "__main__":
    sys.exit(main())
