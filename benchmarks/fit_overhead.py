"""What mmlab.fit costs per step, against the same loop written by hand and against transformers' Trainer.

All train the same perceptron in three sizes (about 1e4, 1e5 and 1e6 values, batch 64) with the same fused AdamW and
clipping, on one thread. Short runs alternate in one process. Loop and fit note the loss of every step; Trainer logs
nothing, and is given ready batches. A step is timed from one call of the loss to the next, in processor time of the
thread, which other processes on the machine disturb less than wall time; on an idle machine the two are the same. Bars:
at most 8 % more per step than the loop at 1e4 values, at most 5 % from 1e5 on.

Run: python benchmarks/fit_overhead.py [1e4] [1e5] [1e6]
"""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from provenance import write_result
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

import mmlab
from mmlab.card import Card
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.train.door import door

BATCH = 64
SIZES = {"1e4": (64, 64, 20, 120), "1e5": (190, 180, 14, 90), "1e6": (780, 500, 10, 50)}
"""Edges (the first is no number of regions), width, rounds and steps by the order of the number of values."""


class Perceptron(Method):
    """Predict the target edges from noisy source edges."""

    card = Card(name="Perceptron", family="benchmark", paper="none", summary="A small network.", inputs=("x", "y"))
    times: list[float]

    def __init__(self, edges: int = 64, width: int = 64) -> None:
        super().__init__()
        self.times = []
        self.net = nn.Sequential(
            nn.Linear(edges, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, edges)
        )

    def loss(self, batch: Batch, rng: torch.Generator | None) -> dict[str, Tensor]:
        """Squared error of the prediction from the source with a little noise, (B, E) each."""
        self.times.append(time.thread_time())
        noise = torch.randn(batch["x"].shape, generator=rng, device=batch["x"].device)
        return {"loss": (self.net(batch["x"] + 0.1 * noise) - batch["y"]).square().mean()}

    def step_seconds(self) -> float:
        """Median time of a step, the first ten left out."""
        return statistics.median(b - a for a, b in itertools.pairwise(self.times[10:]))


def by_hand(method: Perceptron, data: TensorData, steps: int, decay: float | None) -> list[float]:
    """The loop that one would write: what fit has to be measured against."""
    parameters = list(method.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
    average = [p.detach().clone() for p in parameters]
    rng = torch.Generator().manual_seed(0)
    losses: list[float] = []
    while True:
        for indices in torch.randperm(len(data), generator=rng).split(BATCH):
            if len(losses) == steps:
                return losses
            loss = method.loss(data.batch(indices), rng)["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if decay is not None:
                torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
            losses.append(loss.item())


def by_fit(method: Perceptron, data: TensorData, steps: int, decay: float | None) -> None:
    """As a user of the package would."""
    mmlab.fit(method, data, steps=steps, batch_size=BATCH, ema_decay=decay, progress=False)


class Batches(TensorData):
    """Gives Trainer's loader a batch that is ready, which is faster than collating items."""

    def __getitems__(self, numbers: list[int]) -> Batch:
        """As in TensorData."""
        return self.batch(torch.tensor(numbers))


class Wrapped(nn.Module):
    """A method as Trainer wants it."""

    def __init__(self, method: Perceptron) -> None:
        super().__init__()
        self.method = method

    def forward(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The loss of a batch."""
        return self.method.loss({"x": x, "y": y}, None)


def by_trainer(method: Perceptron, data: TensorData, steps: int, decay: float | None) -> None:
    """Transformers' Trainer, without logging and saving; it keeps no average of the weights."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=1e-3,
            lr_scheduler_type="constant", optim="adamw_torch_fused", max_grad_norm=1.0, use_cpu=True,
            logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            dataloader_pin_memory=False, remove_unused_columns=False,
        )  # fmt: skip
        batches = Batches(data.tensors)
        Trainer(Wrapped(method), arguments, data_collator=lambda batch: batch, train_dataset=batches).train()


Loop = Callable[[Perceptron, TensorData, int, float | None], object]


def compare(size: str, decay: float | None, loops: dict[str, Loop]) -> dict[str, object]:
    """Alternate the loops and compare their medians with the loop by hand, round by round."""
    edges, width, rounds, steps = SIZES[size]
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(64 * 40, edges, generator=rng)
    data = TensorData({"x": x, "y": x.roll(1, 1)})
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds + 1):  # the first warms up
        for name in sorted(loops, reverse=bool(turn % 2)):
            method = Perceptron(edges, width)
            loops[name](method, data, steps, decay)
            seconds[name].append(method.step_seconds())
    values = sum(parameter.numel() for parameter in method.parameters())
    result: dict[str, object] = {"values": values, "edges": edges, "width": width, "rounds": rounds, "steps": steps}
    for name in loops:
        ratios = sorted(f / h for f, h in zip(seconds[name][1:], seconds["hand"][1:], strict=True))
        result[f"{name}_ms"] = 1e3 * statistics.median(seconds[name][1:])
        if name != "hand":
            result[f"{name}_ratio"] = statistics.median(ratios)
            result[f"{name}_ratio_middle_half"] = [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]]
    return result


def start() -> dict[str, float]:
    """Seconds before the first step: the look at the data, and a fit of one step with all that belongs to it."""
    x = torch.randn(64 * 40, 190)
    data = TensorData({"x": x, "y": x.roll(1, 1)})
    looks, fits = [], []
    for _ in range(20):
        method = Perceptron(190, 180)
        began = time.thread_time()
        door(method, data, "dataset")
        looked = time.thread_time()
        by_fit(method, data, 1, None)
        looks.append(looked - began)
        fits.append(time.thread_time() - looked)
    return {"door_ms": 1e3 * statistics.median(looks), "fit_of_one_step_ms": 1e3 * statistics.median(fits)}


def main() -> None:
    """Print the table and write the JSON, if all sizes were measured."""
    torch.set_num_threads(1)
    sizes = sys.argv[1:] or list(SIZES)
    results: dict[str, object] = {"torch": torch.__version__, "machine": platform.machine(), "batch": BATCH}
    loops: dict[str, Loop] = {"hand": by_hand, "fit": by_fit}
    for size in sizes:
        for average, decay in (("average off", None), ("average on", 0.999)):
            row = compare(size, decay, loops if decay else {**loops, "trainer": by_trainer})
            results[f"{size}, {average}"] = row
            print(f"{size}, {average}:", {key: value for key, value in row.items() if key[:3] in ("han", "fit", "tra")})
    results["start"] = start()
    print("start:", results["start"])
    if sizes == list(SIZES):
        write_result(results, __file__)


if __name__ == "__main__":
    main()
