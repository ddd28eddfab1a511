"""M3CoL on ROSMAP, beside its baselines: three molecular views of 351 people, Alzheimer's disease or not.

The split is that of MOGONET: 245 people to train, 106 to test. Every network has the same size and trains for as many
full-batch steps; it is measured once, after the last step. Each row chooses its learning rate and weight decay from the
same few pairs on a fifth of the training people, and is then trained on all of them. The penalty of logistic regression
is chosen by cross-validation within the training set. Nothing is chosen by a test score.

    MMLAB_DATA=... python benchmarks/rosmap.py
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.compare.comparison import Comparison  # noqa: E402
from mmlab.compare.controls import controls  # noqa: E402
from mmlab.compare.intervals import paired_interval  # noqa: E402
from mmlab.data.sets.mogonet_rosmap import mogonet_rosmap  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.m3col import M3CoL  # noqa: E402
from mmlab.metrics.classification import accuracy  # noqa: E402

SEEDS = (0, 1, 2, 3, 4)
STEPS, LOOK_EVERY, WIDTH = 200, 10, 200
FIT = {
    "steps": STEPS,
    "batch_size": 245,
    "schedule": "cosine",
    "clip_norm": None,
    "log_every": STEPS,
    "progress": False,
}
TRIES = [{"lr": lr, "weight_decay": decay} for lr in (5e-4, 2e-3) for decay in (1e-3, 1.0)]
VIEWS = ("methylation", "mirna", "mrna")
SHAPES = dict.fromkeys(VIEWS, (200,))
VARIANTS: dict[str, dict[str, Any]] = {
    "concatenation": {"contrast": 0.0, "auxiliary": 0.0},
    "auxiliary heads": {"contrast": 0.0},
    "auxiliary heads + CLIP": {"mixed": 0.0, "switch": 2.0},
    "M3CoL": {},
}


class Row(M3CoL):
    """A variant that remembers which row it is, and may look at a test set after every tenth step (a fault)."""

    row: str
    watched: TensorData | None = None

    def after_step(self) -> None:
        """Note the accuracy on the watched set."""
        self.steps_done = getattr(self, "steps_done", 0) + 1
        if self.watched is not None and self.steps_done % LOOK_EVERY == 0:
            found = accuracy(self.predict(self.watched.tensors), self.watched.tensors["label"])
            self.looks = [*getattr(self, "looks", []), found]


def build(name: str, seed: int) -> Row:
    """One untrained row; the same seed gives all rows the same weights where they share them."""
    method = Row.seeded(seed, SHAPES, width=WIDTH, **VARIANTS[name])
    method.row = name
    return method


def choose(train: TensorData, validation: TensorData) -> dict[str, dict[str, Any]]:
    """The pair of settings that each row trains best with, on a part of the training people; first seed."""
    found = controls(
        {name: lambda seed, name=name: build(name, seed) for name in VARIANTS},
        "M3CoL",
        train,
        validation.subset(range(10)),  # what is measured on them is not used
        modalities=VIEWS,
        training=FIT | {"batch_size": len(train)},
        seeds=(0,),
        rivals=(),
        validation=validation,
        tries=TRIES,
    )
    return found.chosen


def compare(train: TensorData, test: TensorData, chosen: dict[str, dict[str, Any]]) -> Comparison:
    """All rows, over all seeds, each with its settings."""

    def training(method: Row, data: TensorData, seed: int) -> None:
        fit(method, data, seed=seed, **FIT | chosen[method.row])

    return controls(
        {name: lambda seed, name=name: build(name, seed) for name in VARIANTS}, "M3CoL", train, test, modalities=VIEWS,
        training=training, seeds=SEEDS, ensembles={"concatenation": 2},
    )  # fmt: skip


def peek(train: TensorData, test: TensorData, name: str, settings: dict[str, Any]) -> list[tuple[float, float]]:
    """What must not be done: keep the best of the test scores on the way. (last, best) for each seed, constant rate."""
    found = []
    for seed in SEEDS:
        method = build(name, seed)
        method.watched = test
        fit(method, train, seed=seed, **FIT | settings | {"schedule": "constant"})
        found.append((method.looks[-1], max(method.looks)))
    return found


def damaged(test: TensorData) -> dict[str, TensorData]:
    """The test set with each view missing, and with noise as large as the spread in each."""
    sets = {}
    for view in VIEWS:
        sets[f"without {view}"] = TensorData(test.tensors | {f"{view}_present": torch.zeros(len(test)).bool()})
    for view in VIEWS:
        values = test.tensors[view]
        noise = torch.randn(values.shape, generator=torch.Generator().manual_seed(0)) * values.std(0)
        sets[f"noise in {view}"] = TensorData(test.tensors | {view: values + noise})
    return sets


def main() -> None:
    """Run, print, and write the JSON."""
    began = time.process_time()
    data = mogonet_rosmap()
    train, test = data.train, data.test
    parts = mogonet_rosmap(validation=0.2)
    chosen = choose(parts.train, parts.validation)
    found = compare(train, test, chosen)
    differences = found.differences()
    print((100 * found.mean).round(1).to_string(), (100 * differences).round(1).to_string(), sep="\n\n")
    looks = {name: peek(train, test, name, chosen[name]) for name in ("concatenation", "M3CoL")}
    gains = {name: [best - last for last, best in pairs] for name, pairs in looks.items()}
    hurt = {}
    for title, other in {"all views": test, **damaged(test)}.items():
        there = found.on(other)
        hurt[title] = {
            row: {metric: _pair(there, row, metric) for metric in ("accuracy", "ECE")}
            for row in ("logistic regression", *VARIANTS)
        }
    result = {
        "people to train": len(train),
        "people to test": len(test),
        "seeds": list(SEEDS),
        "steps": STEPS,
        "chosen": chosen,
        "rows": {row: {metric: _pair(found, row, metric) for metric in found.metrics} for row in found.mean.index},
        "M3CoL minus row, accuracy": {
            str(row): {str(key): round(float(value), 5) for key, value in line.items()}
            for row, line in differences.iterrows()
        },
        "best epoch on test minus last": {
            name: {
                "last": round(sum(last for last, _ in looks[name]) / len(SEEDS), 5),
                "gain": round(sum(gain) / len(SEEDS), 5),
                "interval": [round(bound, 5) for bound in paired_interval(gain)],
            }
            for name, gain in gains.items()
        },
        "damaged test set": hurt,
        "processor seconds": round(time.process_time() - began),
    }
    write_result(result, __file__)
    print(json.dumps(result["best epoch on test minus last"], indent=2))


def _pair(found: Comparison, row: str, metric: str) -> list[float | None]:
    """Mean and standard deviation over seeds; None where the row has no seeds."""
    mean, spread = found.mean.loc[row, metric], found.spread.loc[row, metric]
    return [round(float(mean), 5), None if pd.isna(spread) else round(float(spread), 5)]


if __name__ == "__main__":
    main()
