"""What mmlab.fit costs per step, against the same loop written by hand.

Both train the same perceptron (780 → 256 → 256 → 780: the 780 edges of 40 regions, batch 64) with the same fused
AdamW, clipping and logging, on one thread. Short runs of the two alternate in one process. Each step is timed from one
request for a batch to the next, in processor time of the thread, which other processes on the machine disturb less than
wall time; on an idle machine the two are the same. Bar: at most 5 % more per step.

Run: python benchmarks/fit_overhead.py
"""

from __future__ import annotations

import itertools
import os
import platform
import statistics
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from provenance import write_result
from torch import Tensor, nn

import mmlab
from mmlab.card import Card
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method

ROUNDS, STEPS, BATCH, WIDTH, EDGES = 30, 120, 64, 256, 780


class Perceptron(Method):
    """Predict the target edges from noisy source edges."""

    card = Card(name="Perceptron", family="benchmark", paper="none", summary="A small network.", inputs=("x", "y"))

    def __init__(self, edges: int = EDGES, width: int = WIDTH) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(edges, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, edges)
        )

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the prediction from the source with a little noise, (B, E) each."""
        noise = torch.randn(batch["x"].shape, generator=rng, device=batch["x"].device)
        return {"loss": (self.net(batch["x"] + 0.1 * noise) - batch["y"]).square().mean()}


class Timed(TensorData):
    """Notes when each batch is asked for."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """As in TensorData."""
        self.times.append(time.thread_time())
        return super().batch(indices)

    def step_seconds(self) -> float:
        """Median time of a step since the last call, the first ten left out."""
        times, self.times = self.times, []
        return statistics.median(b - a for a, b in itertools.pairwise(times[10:]))


def by_hand(method: Perceptron, data: Timed, decay: float | None) -> list[float]:
    """The loop that one would write: what fit has to be measured against."""
    parameters = list(method.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
    average = [p.detach().clone() for p in parameters]
    rng = torch.Generator().manual_seed(0)
    losses: list[float] = []
    while True:
        for indices in torch.randperm(len(data), generator=rng).split(BATCH):
            if len(losses) == STEPS:
                return losses
            loss = method.loss(data.batch(indices), rng)["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            if decay is not None:
                torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - decay)
            losses.append(loss.item())


def compare(decay: float | None) -> dict[str, float]:
    """Alternate the two loops and compare their medians, round by round."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(64 * 40, EDGES, generator=rng)
    data = Timed({"x": x, "y": x.roll(1, 1)})
    data.times = []
    hand, fitted = [], []
    for turn in range(ROUNDS + 1):
        for ours in (True, False) if turn % 2 else (False, True):
            method = Perceptron()
            if ours:
                mmlab.fit(method, data, steps=STEPS, batch_size=BATCH, ema_decay=decay, progress=False)
            else:
                by_hand(method, data, decay)
            (fitted if ours else hand).append(data.step_seconds())
    ratios = sorted(f / h for f, h in zip(fitted[1:], hand[1:], strict=True))  # the first round warms up
    return {
        "hand_ms": 1e3 * statistics.median(hand[1:]),
        "fit_ms": 1e3 * statistics.median(fitted[1:]),
        "ratio": statistics.median(ratios),
        "ratio_quarter": ratios[len(ratios) // 4],
        "ratio_three_quarters": ratios[3 * len(ratios) // 4],
    }


def main() -> None:
    """Print the table and write the JSON."""
    torch.set_num_threads(1)
    results: dict[str, object] = {"torch": torch.__version__, "machine": platform.machine(), "rounds": ROUNDS}
    print(f"{'':14}{'by hand':>10}{'fit':>10}{'ratio':>8}   middle half")
    for name, decay in (("average off", None), ("average on", 0.999)):
        row = compare(decay)
        results[name] = row
        spread = f"{row['ratio_quarter']:.3f} to {row['ratio_three_quarters']:.3f}"
        print(f"{name:14}{row['hand_ms']:7.3f} ms{row['fit_ms']:7.3f} ms{row['ratio']:8.3f}   {spread}")
    write_result(results, __file__)


if __name__ == "__main__":
    main()
