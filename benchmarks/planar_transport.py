"""Transport in the plane and between Gaussians: flow matching and Schrödinger bridges beside published rows.

In the plane: N(0, I) to eight Gaussians, moons and the S-curve; 10 000 training points a side, five seeds, exact W2
between 4000 samples and 4000 fresh points of the target. The floor is W2 between 4000 true points and the same fresh
ones. Between Gaussians: N(-0.1, I) to N(0.1, I) in d dimensions with σ = 1, where the coupling of the Schrödinger
bridge has covariance (√5 - 1)/2. The file is written after every seed.

    OMP_NUM_THREADS=1 python benchmarks/planar_transport.py [--more]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.data.worlds.planar_world import planar_sample, planar_world  # noqa: E402
from mmlab.diffusion.ode import integrate  # noqa: E402
from mmlab.methods.flow_matching import FlowMatching  # noqa: E402
from mmlab.methods.schrodinger_bridge import SchrodingerBridge  # noqa: E402
from mmlab.metrics.transport import excess_energy, gaussian_map, neighbour_map, wasserstein2  # noqa: E402

TARGETS = ("eight_gaussians", "moons", "s_curve")
SEEDS, FRESH = (0, 1, 2, 3, 4), 4000
GAUSSIANS = ((5, 0), (5, 1), (5, 2), (20, 0), (50, 0))
RESULT = Path(__file__).parent / "results" / "planar_transport.json"
SETTINGS: dict[str, Any] = {"schedule": "cosine", "ema_decay": 0.99, "progress": False}


def flow(coupling: str, data: TensorData, source: Tensor, seed: int) -> tuple[Tensor, dict[str, float]]:
    """Samples of flow matching with this coupling, and how straight their paths are."""
    method = FlowMatching((2,), width=64, depth=2, coupling=coupling)  # type: ignore[arg-type]
    size = 256 if coupling == "independent" else 128
    fit(method, data, steps=2000, batch_size=size, lr=5e-3, seed=seed, **SETTINGS)
    with torch.no_grad():
        solution = integrate(lambda x, t: method.velocity(x, t, x), source, steps=20)
    return solution.end, {"excess energy": excess_energy(solution.path)}


def bridge(
    coupling: str, data: TensorData, source: Tensor, seed: int, times: int = 1
) -> tuple[Tensor, dict[str, float]]:
    """Samples of the Schrödinger bridge with σ = 0.5, trained so many times as long."""
    arguments = {"iterations": 4, "simulation_steps": 10, "coupling": coupling}
    method = SchrodingerBridge((2,), width=64, depth=2, sigma=0.5, **arguments)  # type: ignore[arg-type]
    steps = times * (1500 if coupling == "markovian" else 1200)
    fit(method, data, steps=steps, batch_size=192, lr=1e-2, seed=seed, **SETTINGS)
    return method.sample(source, steps=30, rng=torch.Generator().manual_seed(seed)), {}


METHODS: dict[str, Callable[[TensorData, Tensor, int], tuple[Tensor, dict[str, float]]]] = {
    "flow matching, independent": lambda *arguments: flow("independent", *arguments),
    "flow matching, optimal": lambda *arguments: flow("optimal", *arguments),
    "Schrödinger bridge, fitted": lambda *arguments: bridge("markovian", *arguments),
    "Schrödinger bridge, Sinkhorn": lambda *arguments: bridge("sinkhorn", *arguments),
    "Gaussian map": lambda data, x, _: (gaussian_map(data.tensors["source"], data.tensors["target"], x), {}),
    "partner of the nearest of 1000": lambda data, x, _: (
        neighbour_map(data.tensors["source"][:1000], data.tensors["target"][:1000], x),
        {},
    ),
}


def plane(target: str, seed: int) -> dict[str, dict[str, float]]:
    """One row for each method, on one target, with one seed."""
    world = planar_world("normal", target, fresh=FRESH, seed=seed)  # type: ignore[arg-type]
    source, truth = world.test.tensors["source"], world.test.tensors["target"]
    again = planar_sample(target, FRESH, torch.Generator().manual_seed(1000 + seed))  # type: ignore[arg-type]
    rows = {"floor": {"W2": wasserstein2(again, truth)}}
    for name, run in METHODS.items():
        torch.manual_seed(seed)
        began = time.process_time()
        sample, extra = run(world.train, source, seed)
        seconds = time.process_time() - began
        rows[name] = {"W2": wasserstein2(sample, truth), "seconds": seconds} | extra
        print(target, seed, name, {key: round(value, 3) for key, value in rows[name].items()}, flush=True)
    return rows


def gaussians(dimension: int, seed: int) -> dict[str, float]:
    """Moments of the ends of the fitted bridge from N(-0.1, I) to N(0.1, I), mean of both directions."""
    rng = torch.Generator().manual_seed(seed)
    x0, x1, test0, test1 = torch.randn(4, 10_000, dimension, generator=rng)
    data = TensorData({"source": x0 - 0.1, "target": x1 + 0.1})
    torch.manual_seed(seed)
    method = SchrodingerBridge((dimension,), width=64, depth=1, sigma=1.0, iterations=5, simulation_steps=15)
    fit(method, data, steps=1200, batch_size=256, lr=5e-3, seed=seed, **SETTINGS)
    start, end = test0 - 0.1, test1 + 0.1
    pairs = (start, method.sample(start, steps=50, rng=rng)), (end, method.sample_source(end, steps=50, rng=rng))
    covariances = [((a - a.mean(0)) * (b - b.mean(0))).mean().item() for a, b in pairs]
    return {
        "dimension": dimension,
        "seed": seed,
        "mean": (pairs[0][1].mean().item() - pairs[1][1].mean().item()) / 2,
        "variance": sum(b.var(0).mean().item() for _, b in pairs) / 2,
        "covariance": sum(covariances) / 2,
    }


def longer(target: str, seed: int, times: int = 3) -> dict[str, Any]:
    """The fitted bridge once more, trained so many times as long: is it the training that is missing?"""
    world = planar_world("normal", target, fresh=FRESH, seed=seed)  # type: ignore[arg-type]
    torch.manual_seed(seed)
    began = time.process_time()
    sample, _ = bridge("markovian", world.train, world.test.tensors["source"], seed, times)
    seconds = time.process_time() - began
    row = {"target": target, "seed": seed, "times": times, "seconds": seconds}
    return row | {"W2": wasserstein2(sample, world.test.tensors["target"])}


def main() -> None:
    """Run everything, and write the JSON after every part; with ``--more``, only what is missing."""
    results: dict[str, Any] = {"torch": torch.__version__, "gaussians": [], "plane": {target: [] for target in TARGETS}}
    if "--more" in sys.argv and RESULT.exists():
        results = json.loads(RESULT.read_text(encoding="utf-8"))
        if results["torch"] != torch.__version__:
            raise SystemExit(f"{RESULT} was measured with torch {results['torch']}: run without --more.")
    done = len(results["plane"][TARGETS[-1]])  # the file is written after whole seeds
    for seed in SEEDS[done:]:
        for target in TARGETS:
            results["plane"][target].append(plane(target, seed))
        _write(results)
    for dimension, seed in GAUSSIANS[len(results["gaussians"]) :]:
        results["gaussians"].append(gaussians(dimension, seed))
        _write(results)
    longest = [(target, seed) for seed in SEEDS for target in TARGETS]
    for target, seed in longest[len(results.setdefault("longer", [])) :]:
        results["longer"].append(longer(target, seed))
        _write(results)


def _write(results: dict[str, Any]) -> None:
    write_result(results, __file__)


if __name__ == "__main__":
    main()
