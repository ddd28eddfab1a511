"""Ten 400 x 400 matrices by posterior steps and by Euler steps, at equal numbers of network calls.

The perceptron is trained on vectors of 79800 edges of a synthetic world of 400 regions. Quality is the demeaned r of
one sample per subject. The spread of the samples is printed too, since few steps also mean less spread. For the U-Net
on matrices as images (no attention: 10⁴ tokens would be left in the middle) one call is timed: its samplers cost their
calls and nothing else.

    OMP_NUM_THREADS=1 python benchmarks/sampling_speed.py
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.data.connectome import ConnectomePairs, matrices  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.data.worlds.rest_motor_world import rest_motor_world  # noqa: E402
from mmlab.methods.bridge_matching import BridgeMatching  # noqa: E402
from mmlab.metrics.connectome import rowwise_correlation  # noqa: E402

PEOPLE, REGIONS, DRAWN = 60, 400, 10
ROUNDS = 5
FEW = (1, 2, 3, 5, 10, 20)
ARMS = [("posterior", steps) for steps in FEW] + [("euler", steps) for steps in (*FEW, 100)]


def as_edges(pairs: ConnectomePairs) -> TensorData:
    """The pairs as vectors (S, E)."""
    return TensorData({"source": pairs.source, "target": pairs.target})


def draw(method: BridgeMatching, source: Tensor, sampler: str, steps: int, seed: int) -> tuple[Tensor, float, int]:
    """One sample of each source, the seconds and the network calls that it took."""
    calls: list[int] = []
    handle = method.network.register_forward_hook(lambda *_: calls.append(1))
    began = time.perf_counter()
    sample = method.sample(source, steps=steps, sampler=sampler, rng=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    seconds = time.perf_counter() - began
    handle.remove()
    return sample, seconds, len(calls)


def measured(method: BridgeMatching, test: TensorData, mean: Tensor) -> list[dict[str, object]]:
    """Calls, seconds and quality of each sampler at each number of steps, the rounds of all interleaved."""
    source, target = test.tensors["source"][:DRAWN], test.tensors["target"][:DRAWN]
    rows: list[dict[str, object]] = []
    draw(method, source[:1], "posterior", 1, 0)  # warm up
    seconds: dict[tuple[str, int], list[float]] = {arm: [] for arm in ARMS}
    for _ in range(ROUNDS):
        for arm in ARMS:
            seconds[arm].append(draw(method, source, *arm, seed=0)[1])
    for sampler, steps in ARMS:
        sample, _, calls = draw(method, source, sampler, steps, seed=0)
        again = draw(method, source, sampler, steps, seed=1)[0]
        r = float(rowwise_correlation(sample - mean, target - mean).mean())
        spread = float((sample - again).std() / 2**0.5)
        row = {"sampler": sampler, "steps": steps, "calls": calls, "seconds": round(min(seconds[sampler, steps]), 4)}
        rows.append({**row, "demeaned_r": round(r, 4), "spread": round(spread, 5)})
    return rows


def main() -> None:
    """Train, compare the samplers, print and write the JSON."""
    world = rest_motor_world(subjects=PEOPLE, regions=REGIONS, seed=0)
    train, test = world.pairs.split(DRAWN, seed=0)
    mean = train.target.mean(0)
    torch.manual_seed(0)
    method = BridgeMatching((train.source.shape[1],), width=32, depth=0, sigma=0.1, scale=0.2, dropout=0.5)
    fit(method, as_edges(train), steps=60, batch_size=25, lr=3e-3, weight_decay=3.0, schedule="cosine")
    rows = measured(method, as_edges(test), mean)
    unet = BridgeMatching((1, REGIONS, REGIONS), width=8, depth=1).eval()
    images = matrices(test.source[:DRAWN], diagonal=0.0)[:, None]
    many = {name: [row for row in rows if row["sampler"] == name][-1] for name in ("posterior", "euler")}
    results = {
        "torch": torch.__version__,
        "people": len(train),
        "edges": train.source.shape[1],
        "samplers": rows,
        "seconds per call": {name: row["seconds"] / row["calls"] for name, row in many.items()},  # type: ignore[operator]
        "seconds of one U-Net call on ten images": round(draw(unet, images, "posterior", 1, 0)[1], 2),
    }
    print(json.dumps(results, indent=1))
    write_result(results, __file__)


if __name__ == "__main__":
    main()
