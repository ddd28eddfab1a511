"""Translation without pairs on real connectomes: 90 people at rest to the connectivity of 32 others in heat pain.

**A warning first.** The two groups are other people, other scanners and other cleaning: a linear classifier tells them
apart with few errors. Whatever is learned here moves one *dataset* to another. How much of that is pain, nobody can say
from these data; and there is no truth for a single person to compare with.

So only two things are measured, in the first 20 principal components of the training people: whether the moved people
look like the task group (energy distance, and the share that a classifier of real scans calls task), and whether they
are still themselves (do two moved people differ as they did at rest: correlation of the distances between people). Five
folds on both sides; whoever is moved, or compared with, was not trained on.

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/unpaired_rest_task.py
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import KFold  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.data.sets.mist122_rest_pain import unpaired_rest_task  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.schrodinger_bridge import SchrodingerBridge  # noqa: E402
from mmlab.metrics.transport import gaussian_map  # noqa: E402

COMPONENTS, FOLDS, SEEDS = 20, 5, (0, 1, 2)

Mover = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(rest to train on, task to train on, rest to move, seed) -> moved, all (., COMPONENTS)."""


def bridge(coupling: str) -> Mover:
    """A Schrödinger bridge with this coupling; its samples."""

    def move(rest: Tensor, task: Tensor, asked: Tensor, seed: int) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(rest), (1000,), generator=rng), torch.randint(len(task), (1000,), generator=rng)
        data = TensorData({"source": rest[rows[0]], "target": task[rows[1]]})  # drawn independently: there are no pairs
        torch.manual_seed(seed)
        arguments = {"iterations": 4, "simulation_steps": 10, "coupling": coupling}
        method = SchrodingerBridge((COMPONENTS,), width=64, depth=2, sigma=0.5, **arguments)  # type: ignore[arg-type]
        fit(method, data, steps=600, batch_size=128, lr=3e-3, seed=seed, schedule="cosine", progress=False)
        return method.sample(asked, steps=20, rng=rng)

    return move


def somebody(rest: Tensor, task: Tensor, asked: Tensor, seed: int) -> Tensor:
    """A task scan of anybody: it looks perfect, and has nothing to do with the person."""
    return task[torch.randint(len(task), (len(asked),), generator=torch.Generator().manual_seed(seed))]


MOVERS: dict[str, Mover] = {
    "identity": lambda rest, task, asked, seed: asked,
    "mean shift": lambda rest, task, asked, seed: asked - rest.mean(0) + task.mean(0),
    "shift and scale of each component": lambda rest, task, asked, seed: (
        (asked - rest.mean(0)) / rest.std(0) * task.std(0) + task.mean(0)
    ),
    "optimal map between Gaussians": lambda rest, task, asked, seed: gaussian_map(rest, task, asked),
    "Schrödinger bridge, fitted": bridge("markovian"),
    "Schrödinger bridge, Sinkhorn": bridge("sinkhorn"),
    "a task scan of anybody": somebody,
}


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, over different people."""

    def within(z: Tensor) -> Tensor:
        return torch.cdist(z, z).sum() / (len(z) * (len(z) - 1))

    return float(2 * torch.cdist(x, y).mean() - within(x) - within(y))


def kept(before: Tensor, after: Tensor) -> float:
    """Whether people differ as they did before: correlation of their distances from one another."""
    pairs = torch.triu_indices(len(before), len(before), 1)
    distances = torch.stack([torch.cdist(x, x)[pairs[0], pairs[1]] for x in (before, after)])
    return float(torch.corrcoef(distances)[0, 1])


def fold(rest: Tensor, task: Tensor, parts: tuple[Tensor, ...], seed: int) -> list[dict[str, object]]:
    """One row per mover, and the floor: how far the training task group is from the held-out one."""
    (rest_known, rest_asked), (task_known, task_asked) = parts[:2], parts[2:]
    known = torch.cat([rest[rest_known], task[task_known]])
    mean = known.mean(0)
    axes = torch.linalg.svd(known - mean, full_matrices=False)[2][:COMPONENTS].T  # (E, COMPONENTS)
    scale = ((known - mean) @ axes)[:, 0].std()
    a, b = ((x - mean) @ axes / scale for x in (rest, task))
    state = LogisticRegression(C=1.0, max_iter=1000)
    state.fit(torch.cat([a[rest_known], b[task_known]]), [0] * len(rest_known) + [1] * len(task_known))
    rows = []
    for name, mover in MOVERS.items():
        moved = mover(a[rest_known], b[task_known], a[rest_asked], seed)
        rows.append(
            {
                "mover": name,
                "energy distance to the task group": energy_distance(moved, b[task_asked]),
                "called task": float(state.predict(moved).mean()),
                "distances between people kept": kept(a[rest_asked], moved),
            }
        )
    floor = {
        "mover": "floor: the training people's own task scans",
        "energy distance to the task group": energy_distance(b[task_known], b[task_asked]),
        "called task": float(state.predict(b[task_asked]).mean()),
    }
    return [*rows, floor]


def main() -> None:
    """Move everybody by the model of a fold that never saw them; print the table, write the JSON."""
    data = unpaired_rest_task()
    rows: list[dict[str, object]] = []
    for seed in SEEDS:
        folds = [KFold(FOLDS, shuffle=True, random_state=seed).split(x) for x in (data.rest, data.task)]
        for number, ((r0, r1), (t0, t1)) in enumerate(zip(*folds, strict=True)):
            parts = tuple(torch.from_numpy(part) for part in (r0, r1, t0, t1))
            rows += [{"seed": seed, "fold": number, **row} for row in fold(data.rest, data.task, parts, seed)]
        print(f"  seed {seed}", flush=True)
    grouped = pd.DataFrame(rows).drop(columns=["seed", "fold"]).groupby("mover", sort=False)
    with pd.option_context("display.width", 200):
        print(grouped.mean().round(3).to_string())
    result = {
        "rest": len(data.rest),
        "task": len(data.task),
        "folds": FOLDS,
        "seeds": list(SEEDS),
        "mean": json.loads(grouped.mean().round(5).to_json(orient="index")),
        "standard deviation over folds and seeds": json.loads(grouped.std().round(5).to_json(orient="index")),
    }
    write_result(result, __file__)


if __name__ == "__main__":
    main()
