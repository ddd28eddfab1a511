"""What a checkpoint every 50 steps costs, and what it costs to go on from one, with ten million parameters.

Two kinds of runs alternate in one process: with and without ``save_every=50``. Each is timed over the 100 steps after
the first 10, up to the moment when the last checkpoint is on the disk. Bars: less than 3 % of the training time; less
than 2 s to resume beyond reading the files.

Run: python benchmarks/checkpoint_cost.py
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Card, Method

ROUNDS, FIRST, STEPS, EVERY, BATCH = 3, 10, 100, 50, 8
RESULT = Path(__file__).parent / "results" / "checkpoint_cost.json"


class Encoder(Method):
    """A small transformer with 10 million parameters that fills in masked values."""

    card = Card(title="Encoder", family="benchmark", paper="none", summary="A transformer.", inputs=("x",))

    def __init__(self, width: int = 384, layers: int = 6, features: int = 24) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(features, width), nn.Linear(width, features)
        layer = nn.TransformerEncoderLayer(width, 6, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error at the values (B, T, C) that were masked."""
        mask = torch.rand(batch["x"].shape, generator=rng, device=batch["x"].device) < 0.3
        guess = self.leave(self.blocks(self.enter(batch["x"].masked_fill(mask, 0.0))))
        return {"loss": (guess - batch["x"])[mask].square().mean()}


class Timed(TensorData):
    """Notes when each batch is asked for."""

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """As in TensorData."""
        self.times.append(time.perf_counter())
        return super().batch(indices)


def seconds(data: Timed, folder: Path | None) -> float:
    """Time of the steps after the first ones, with checkpoints if there is a folder for them."""
    data.times = []
    torch.manual_seed(0)
    mmlab.fit(Encoder(), data, steps=STEPS + FIRST, batch_size=BATCH, out=folder, save_every=EVERY if folder else None,
              ema_decay=0.999, resume=False, progress=False)  # fmt: skip
    return time.perf_counter() - data.times[FIRST]


def resume(data: Timed, folder: Path) -> tuple[float, float]:
    """Seconds from the call to the first batch, less those of a fresh run; and seconds to read the files alone."""
    durations = []
    for out in (None, folder):
        data.times = []
        method = Encoder()
        start = time.perf_counter()
        mmlab.fit(method, data, steps=STEPS + FIRST + 1 if out else 1, batch_size=BATCH, out=out, ema_decay=0.999,
                  progress=False)  # fmt: skip
        durations.append(data.times[0] - start)
    start = time.perf_counter()
    for path in (folder / "checkpoint").rglob("*.safetensors"):
        {name: tensor.clone() for name, tensor in load_file(path).items()}
    return durations[1] - durations[0], time.perf_counter() - start


def main() -> None:
    """Print the table and write the JSON."""
    torch.set_num_threads(1)
    data = Timed({"x": torch.randn(1000, 16, 24, generator=torch.Generator().manual_seed(0))})
    parameters = sum(p.numel() for p in Encoder().parameters())
    folder = Path(tempfile.mkdtemp(dir=Path.cwd(), prefix=".checkpoint-cost-"))
    try:
        plain, saving = [], []
        for turn in range(ROUNDS):
            for saves in (True, False) if turn % 2 else (False, True):
                (saving if saves else plain).append(seconds(data, folder if saves else None))
        size = sum(path.stat().st_size for path in (folder / "checkpoint").rglob("*.*") if path.is_file())
        beyond, reading = resume(data, folder)
    finally:
        shutil.rmtree(folder)
    costs = sorted(s / p - 1 for s, p in zip(saving, plain, strict=True))
    results = {
        "parameters": parameters,
        "checkpoint_megabytes": size / 1e6,
        "step_milliseconds": 1e3 * statistics.median(plain) / STEPS,
        "cost": statistics.median(costs),
        "cost_least": costs[0],
        "cost_most": costs[-1],
        "resume_seconds": beyond,
        "reading_seconds": reading,
    }
    for name, value in results.items():
        print(f"{name:22}{value:14.4g}")
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
