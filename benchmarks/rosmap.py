"""M3CoL on ROSMAP, beside its dull rivals: three molecular views of 351 people, Alzheimer's disease or not.

The split is that of MOGONET: 245 people to train, 106 to test. Every network has the same size and trains for as many
full-batch steps; it is measured once, after the last step. The penalty of logistic regression is chosen within the
training set. The settings are those of the paper where it tells them, except that the rate falls to zero: a
cross-validation among the training people preferred that for every network. Nothing was chosen by a test score.

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

from mmlab.compare.comparison import Comparison, paired_interval  # noqa: E402
from mmlab.compare.controls import controls  # noqa: E402
from mmlab.data.sets.mogonet_rosmap import mogonet_rosmap  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.m3col import M3CoL  # noqa: E402
from mmlab.metrics.classification import accuracy  # noqa: E402

SEEDS = (0, 1, 2, 3, 4)
STEPS, LOOK_EVERY, WIDTH = 200, 10, 200
FIT = {"steps": STEPS, "lr": 2e-3, "weight_decay": 1e-3, "schedule": "cosine", "clip_norm": None}
VIEWS = ("methylation", "mirna", "mrna")
SHAPES = dict.fromkeys(VIEWS, (200,))
VARIANTS: dict[str, dict[str, Any]] = {
    "concatenation": {"contrast": 0.0, "auxiliary": 0.0},
    "auxiliary heads": {"contrast": 0.0},
    "auxiliary heads + CLIP": {"mixed": 0.0, "switch": 2.0},
    "M3CoL": {},
}
RESULT = Path(__file__).parent / "results" / "rosmap.json"


def compare(train: TensorData, test: TensorData) -> Comparison:
    """All rows, over all seeds."""
    builders = {name: lambda seed, a=arguments: M3CoL(SHAPES, width=WIDTH, **a) for name, arguments in VARIANTS.items()}
    return controls(
        builders, "M3CoL", train, test, modalities=VIEWS, training={"batch_size": len(train), **FIT}, seeds=SEEDS,
        ensembles={"concatenation": 2},
    )  # fmt: skip


def peek(train: TensorData, test: TensorData, arguments: dict[str, Any]) -> list[tuple[float, float]]:
    """What must not be done: keep the best of the test scores on the way. (last, best) for each seed, constant rate."""
    batch, unseen = train.tensors, test.tensors
    found = []
    for seed in SEEDS:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = M3CoL(SHAPES, width=WIDTH, **arguments)
        rng = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.AdamW(method.parameters(), lr=FIT["lr"], weight_decay=FIT["weight_decay"])
        scores = []
        for step in range(STEPS):
            method.progress = step / STEPS
            optimiser.zero_grad()
            method.loss(batch, rng)["loss"].backward()
            optimiser.step()
            if (step + 1) % LOOK_EVERY == 0:
                scores.append(accuracy(method.predict(unseen), unseen["label"]))
        found.append((scores[-1], max(scores)))
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
    found = compare(train, test)
    differences = found.differences()
    print((100 * found.mean).round(1).to_string(), (100 * differences).round(1).to_string(), sep="\n\n")
    looks = {name: peek(train, test, VARIANTS[name]) for name in ("concatenation", "M3CoL")}
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
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["best epoch on test minus last"], indent=2))


def _pair(found: Comparison, row: str, metric: str) -> list[float | None]:
    """Mean and standard deviation over seeds; None where the row has no seeds."""
    mean, spread = found.mean.loc[row, metric], found.spread.loc[row, metric]
    return [round(float(mean), 5), None if pd.isna(spread) else round(float(spread), 5)]


if __name__ == "__main__":
    main()
