"""How many items per second a dataset of 100,000 small items feeds to training, on one core. The bar is 20,000.

Measured: reading a prepared set from its file with every check; single items; and batches as ``mmlab.fit`` draws them.
Run from the root of the repository (MNIST of ``MMLAB_DATA`` is read too, if it is there):

    OMP_NUM_THREADS=1 python benchmarks/data_throughput.py
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402

from mmlab.data.files.arrays import Array, read_arrays  # noqa: E402
from mmlab.data.files.registry import load_arrays, verify  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.train import sampler  # noqa: E402

BAR = 20_000
ITEMS = 100_000
BATCH = 64
REPEATS = 5


def rate(work: Callable[[], int]) -> dict[str, float]:
    """Items per second: the median of a few runs, and the slowest."""
    rates = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        items = work()
        rates.append(items / (time.perf_counter() - start))
    return {"median": round(statistics.median(rates)), "slowest": round(min(rates))}


def one_by_one(data: TensorData) -> int:
    """Read single items."""
    for index in range(20_000):
        data[index]
    return 20_000


def in_batches(data: TensorData) -> int:
    """Read shuffled batches."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    for indices in order.split(BATCH):
        data.batch(indices)
    return len(data)


class Plain(torch.utils.data.Dataset):
    """The same items behind ``__getitem__`` alone, as somebody else's dataset would have them."""

    def __init__(self, data: TensorData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.data[index]


def as_fit_reads(data: TensorData | Plain) -> int:
    """Read batches through the stream of the training loop, without workers."""
    order = sampler.Order(length=len(data), batch_size=BATCH, pieces=1, seed=0)
    steps = len(data) // BATCH
    keys = [(step, 0) for step in range(steps)]
    for batch in sampler.stream(sampler.Feed(data, order), keys):
        next(iter(batch.values()))
    return steps * BATCH


def measure() -> dict[str, dict[str, float]]:
    """All rates, in items per second."""
    results = {}
    rng = np.random.default_rng(0)
    arrays = {
        "x": rng.normal(size=(ITEMS, 64)).astype(np.float32),
        "label": rng.integers(0, 10, ITEMS).astype(np.int64),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        wanted = {"x": Array("f", (ITEMS, 64)), "label": Array("i", (ITEMS,), 0, 9)}
        results["read and check a file of 100k x 64 float32"] = rate(lambda: len(read_arrays(path, wanted)["x"]))
        data = TensorData({key: torch.from_numpy(array) for key, array in read_arrays(path, wanted).items()})
    results["single items of 64 numbers"] = rate(lambda: one_by_one(data))
    results["batches of 64 items of 64 numbers"] = rate(lambda: in_batches(data))
    results["batches of 64 as fit reads them"] = rate(lambda: as_fit_reads(data))
    results["the same from a plain dataset"] = rate(lambda: as_fit_reads(Plain(data)))
    if verify("mnist").ok:
        results["read and check MNIST (compressed, 70k images)"] = rate(
            lambda: sum(len(load_arrays("mnist", "mnist.npz")[key]) for key in ("x_train", "x_test"))
        )
        images = torch.from_numpy(load_arrays("mnist", "mnist.npz")["x_train"])
        mnist = TensorData({"image": images.float().div_(255).unsqueeze(1)})
        results["batches of 64 MNIST images"] = rate(lambda: in_batches(mnist))
    return results


def main() -> int:
    """Print and write the rates. Returns 1 if any is below the bar."""
    torch.set_num_threads(1)
    results = measure()
    for name, figures in results.items():
        verdict = "ok" if figures["slowest"] >= BAR else "BELOW THE BAR"
        print(f"{name:48} {figures['median']:12,.0f} items/s (slowest {figures['slowest']:12,.0f})  {verdict}")
    content = {
        "bar_items_per_second": BAR,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "items_per_second": results,
    }
    write_result(content, __file__)
    return int(any(figures["slowest"] < BAR for figures in results.values()))


if __name__ == "__main__":
    sys.exit(main())
