"""What samplers draw where the law is known, and what they expect where there are few pairs and many values.

Laws: the energy distance of (source, sample) from the truth, beside the floor of a second true draw and the distance
of the conditional mean; the share of samples in the gap of two modes; the error of the mean of samples where sources
tell nothing. Rest to motor: 200 people to learn from, 100 to test, 780 edges; the settings of the training are chosen
on worlds 10 to 12 and measured on others. Hemispheres: a low-rank world of 160 people to learn from and 40 to test.

    OMP_NUM_THREADS=1 python benchmarks/conditional_laws.py laws | rest_motor | hemispheres | write
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.compare.connectome_baselines import baselines  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.data.worlds.conditional_laws_world import ConditionalLaw, Law, conditional_laws_world  # noqa: E402
from mmlab.data.worlds.rest_motor_world import rest_motor_world  # noqa: E402
from mmlab.metrics.transport import energy_distance, exchange_test  # noqa: E402
from mmlab.registry import load  # noqa: E402

SIBLINGS = ("bridge_matching", "ddbm", "score_diffusion", "flow_matching")
SETTINGS: dict[str, dict[str, Any]] = {
    "constant rate": {},
    "cosine": {"schedule": "cosine"},
    "cosine and average": {"schedule": "cosine", "ema_decay": 0.99},
}
CHOOSE, TEST = (10, 11, 12), (30, 31)
PARTS = Path(tempfile.gettempdir()) / "mmlab-conditional-laws"


def build(stem: str, size: int, width: int, seed: int) -> Any:
    """A sibling over vectors, with the arguments with which it claims to draw."""
    cls: Any = load(stem)
    return cls.seeded(seed, (size,), width=width, **cls.draws.arguments)


def laws(seed: int = 11, points: int = 1000) -> Iterator[dict[str, Any]]:
    """One row for each sibling and law."""
    for size in (1, 2):
        for name in get_args(Law):
            yield from _law(name, size, seed, points)


def _law(name: Law, size: int, seed: int, points: int) -> Iterator[dict[str, Any]]:
    law, rng = ConditionalLaw(name, size), torch.Generator().manual_seed(100 + seed)
    data = conditional_laws_world(name, size, 8000, seed)
    source = law.sources(points, rng)
    truth, again = law.sample(source, rng), law.sample(source, rng)
    drawn = {"truth": again, "mean": law.mean(source)}
    for stem in SIBLINGS:
        method = build(stem, size, 64, seed)
        fit(method, data, steps=300, batch_size=256, lr=3e-3, schedule="cosine", seed=seed, progress=False)
        drawn[stem] = method.sample(source, rng=torch.Generator().manual_seed(seed))
        if name == "unrelated":
            repeated = [method.sample(source, rng=rng) for _ in range(20)]
            drawn[f"{stem}, mean"] = torch.stack(repeated).mean(0)
    true = torch.cat([source, truth], 1)
    for row, sample in drawn.items():
        made = torch.cat([source, sample], 1)
        yield {
            "law": name,
            "size": size,
            "row": row,
            "energy": energy_distance(made, true),
            "p": exchange_test(made, true, torch.Generator().manual_seed(seed)),
            "gap": law.gap(source, sample) if name == "two_modes" else None,
            "rmse": _rmse(sample, truth),
        }


def rest_motor() -> Iterator[dict[str, Any]]:
    """Errors of bridge matching by the settings of its training; those for the tests are chosen without them."""
    chosen: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for seed in CHOOSE:
        for row in _few_pairs(seed, list(SETTINGS)):
            yield row | {"use": "choose"}
            if row["row"] in chosen:
                chosen[row["row"]].append(row["rmse"])
    best = min(chosen, key=lambda name: sum(chosen[name]))
    for seed in TEST:
        for row in _few_pairs(seed, sorted({best, "constant rate"})):
            yield row | {"use": "test", "chosen": row["row"] == best}


def _few_pairs(seed: int, names: list[str]) -> Iterator[dict[str, Any]]:
    world = rest_motor_world(subjects=300, regions=40, seed=seed)
    train, test = world.pairs.split(100, seed=seed)
    if seed in TEST:
        for name, made in baselines(train, test).items():
            yield {"seed": seed, "row": name, "rmse": _rmse(made, test.target)}
    for name in names:
        method = build("bridge_matching", train.source.shape[1], 256, seed)
        fit(method, train, steps=300, lr=1e-3, weight_decay=10.0, seed=seed, progress=False, **SETTINGS[name])
        yield {"seed": seed, "row": name, "rmse": _rmse(_mean_of_samples(method, test.source), test.target)}


def hemispheres(people: int = 200, size: int = 400, rank: int = 12) -> Iterator[dict[str, Any]]:
    """Left to right in a world of positive weights, whose people differ in a few directions that both sides share."""
    rng = torch.Generator().manual_seed(40)
    traits = torch.randn(people, rank, generator=rng)
    sides = [torch.randn(rank, size, generator=rng) * 0.3 / rank**0.5 for _ in range(2)]
    level = torch.randn(2, size, generator=rng)
    x, y = (
        (level[i] + traits @ sides[i] + 0.2 * torch.randn(people, size, generator=rng)).exp().log1p() for i in (0, 1)
    )
    train = TensorData({"source": x[:160], "target": y[:160]})
    test = TensorData({"source": x[160:], "target": y[160:]})
    for name, made in baselines(train, test).items():
        yield {"row": name, "rmse": _rmse(made, y[160:])}
    for stem in SIBLINGS:
        method = build(stem, size, 128, 40)
        fit(method, train, steps=200, lr=1e-3, schedule="cosine", ema_decay=0.99, seed=40, progress=False)
        yield {"row": stem, "rmse": _rmse(_mean_of_samples(method, x[160:]), y[160:])}


def _mean_of_samples(method: Any, source: Tensor, samples: int = 20) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.stack([method.sample(source, steps=10, rng=rng) for _ in range(samples)]).mean(0)


def _rmse(made: Tensor, truth: Tensor) -> float:
    return float((made - truth).square().mean().sqrt())


RUNS = {"laws": laws, "rest_motor": rest_motor, "hemispheres": hemispheres}


def main() -> None:
    """Measure one part, row by row, or write the result from all parts."""
    PARTS.mkdir(exist_ok=True)
    part = sys.argv[1] if len(sys.argv) > 1 else "write"
    if part == "write":
        found = {name: PARTS / f"{name}.json" for name in RUNS if (PARTS / f"{name}.json").exists()}
        write_result({name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}, __file__)
        return
    rows: list[dict[str, Any]] = []
    for row in RUNS[part]():
        rows.append(row)
        print(row, flush=True)
        (PARTS / f"{part}.json").write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
