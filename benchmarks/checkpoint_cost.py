"""What a checkpoint every 50 steps costs, and what it costs to go on from one, with ten million parameters.

The training stops while the state is copied (and while the save before is not on the disk yet); a thread hashes and
writes it while the training goes on. So there are two costs: the time for which the training stands still, and the
processor time of the thread, which counts where no core is free. Both are measured within one run and given as shares
of its time, since whole runs on a shared machine differ by more than what is to be measured. Bars: together less than
3 %; less than 2 s to resume beyond reading the files.

Run: python benchmarks/checkpoint_cost.py
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from provenance import write_result
from safetensors.torch import load_file
from torch import Tensor, nn

import mmlab
from mmlab.card import Card
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.train.checkpoint import Store

ROUNDS, STEPS, EVERY, BATCH = 3, 100, 50, 8


class Encoder(Method):
    """A small transformer with 10 million parameters that fills in masked values."""

    card = Card(name="Encoder", family="benchmark", paper="none", summary="A transformer.", inputs=("x",))

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


@contextmanager
def metered() -> Iterator[dict[str, float]]:
    """Add up the seconds that the training stands in ``save``, and the processor seconds of the writing thread."""
    spent = {"still": 0.0, "writing": 0.0}
    save, write = Store.save, Store._write

    def timed_save(store: Store, *arguments: Any) -> None:
        start = time.perf_counter()
        save(store, *arguments)
        spent["still"] += time.perf_counter() - start

    def timed_write(store: Store, *arguments: Any) -> None:
        start = time.thread_time()
        write(store, *arguments)
        spent["writing"] += time.thread_time() - start

    Store.save, Store._write = timed_save, timed_write  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        Store.save, Store._write = save, write  # type: ignore[method-assign]


def costs(data: Timed, folder: Path) -> dict[str, float]:
    """One run with a checkpoint every 50 steps."""
    data.times = []
    with metered() as spent:
        cpu = time.process_time()
        mmlab.fit(Encoder(), data, steps=STEPS, batch_size=BATCH, out=folder, save_every=EVERY, ema_decay=0.999,
                  resume=False, progress=False)  # fmt: skip
        cpu = time.process_time() - cpu
        wall = time.perf_counter() - data.times[0]
    still, writing = spent["still"] / wall, spent["writing"] / cpu
    return {"step_milliseconds": 1e3 * wall / STEPS, "still": still, "writing": writing, "together": still + writing}


def resume(data: Timed, folder: Path) -> tuple[float, float]:
    """Seconds from the call to the first batch, less those of a fresh run; and seconds to read the files alone."""
    durations = []
    for out in (None, folder):
        data.times = []
        method = Encoder()
        start = time.perf_counter()
        mmlab.fit(method, data, steps=STEPS + 1 if out else 1, batch_size=BATCH, out=out, ema_decay=0.999,
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
        rounds = [costs(data, folder) for _ in range(ROUNDS)]
        size = sum(path.stat().st_size for path in (folder / "checkpoint").rglob("*.*") if path.is_file())
        beyond, reading = resume(data, folder)
    finally:
        shutil.rmtree(folder)
    results = {
        "parameters": parameters,
        "checkpoint_megabytes": size / 1e6,
        **{name: statistics.median(r[name] for r in rounds) for name in rounds[0]},
        "together_most": max(r["together"] for r in rounds),
        "resume_seconds": beyond,
        "reading_seconds": reading,
    }
    for name, value in results.items():
        print(f"{name:22}{value:14.4g}")
    write_result(results, __file__)


if __name__ == "__main__":
    main()
