"""Dull rivals on the miniature tasks: constants, linear models and boosted trees, on each modality and on all.

Penalties are chosen on the validation split; the test split is measured once.

    OMP_NUM_THREADS=1 python benchmarks/tasks.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from provenance import write_result  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor  # noqa: E402
from sklearn.feature_extraction.text import CountVectorizer  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge  # noqa: E402
from sklearn.multioutput import MultiOutputRegressor  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from mmlab.data.tasks.registry import TASKS, Task  # noqa: E402

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
PARTS = ("train", "validation", "test")
RESULT = ROOT / "benchmarks" / "results" / "tasks.json"


def features(task: Task) -> dict[str, dict[str, np.ndarray]]:
    """What each rival sees: each modality by itself and all side by side, by split."""
    splits = task.splits()
    seen: dict[str, dict[str, np.ndarray]] = {}
    for name in task.modalities:
        if splits["train"][name].dtype.kind == "U":
            words = CountVectorizer().fit(splits["train"][name])
            seen[name] = {part: words.transform(splits[part][name]).toarray() for part in PARTS}
        elif splits["train"][name].ndim == 4:  # pictures, at half their size
            shape = (-1, 16, 2, 16, 2, 3)
            small = {part: splits[part][name].reshape(shape).mean((2, 4)) / 127.5 - 1 for part in PARTS}
            seen[name] = {part: values.reshape(len(values), -1) for part, values in small.items()}
        else:
            seen[name] = {part: splits[part][name].reshape(len(splits[part][name]), -1) * 1.0 for part in PARTS}
    alone = {name: values for name, values in seen.items() if not name.endswith("_present")}
    if len(seen) > 1:
        alone["all"] = {part: np.concatenate([values[part] for values in seen.values()], 1) for part in PARTS}
    return alone


def classify(task: Task) -> dict[str, dict[str, float]]:
    """Accuracies with their standard errors."""
    label = {part: split[task.target] for part, split in task.splits().items()}
    rows = {"chance": {"score": 1 / task.classes}}

    def add(name: str, right: np.ndarray) -> None:
        rows[name] = {"score": float(right.mean()), "error": float(right.std() / len(right) ** 0.5)}

    add("most frequent class", label["test"] == np.bincount(label["train"]).argmax())
    for name, x in features(task).items():
        lines = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=100)) for c in PENALTIES]
        scores = [line.fit(x["train"], label["train"]).score(x["validation"], label["validation"]) for line in lines]
        best = lines[int(np.argmax(scores))]
        add(f"logistic regression, {name}", best.predict(x["test"]) == label["test"])
        if name == "all" and x["train"].shape[1] < 200:
            trees = HistGradientBoostingClassifier(random_state=0).fit(x["train"], label["train"])
            add("gradient boosting, all", trees.predict(x["test"]) == label["test"])
    return rows


def regress(task: Task) -> dict[str, dict[str, float]]:
    """Root mean squared errors."""
    splits = task.splits()
    y = {part: split[task.target].astype(float) for part, split in splits.items()}
    (x,) = features(task).values()

    def error(guess: np.ndarray, part: str = "test") -> float:
        return float(np.sqrt(np.mean((guess - y[part]) ** 2)))

    lines = [Ridge(alpha=1 / c).fit(x["train"], y["train"]) for c in PENALTIES]
    line = min(lines, key=lambda line: error(line.predict(x["validation"]), "validation"))
    trees = MultiOutputRegressor(HistGradientBoostingRegressor(random_state=0)).fit(x["train"], y["train"])
    return {
        "mean of the targets": {"score": error(np.broadcast_to(y["train"].mean(0), y["test"].shape))},
        "the source itself": {"score": error(x["test"])},
        "linear regression": {"score": error(line.predict(x["test"]))},
        "gradient boosting": {"score": error(trees.predict(x["test"]))},
    }


def main() -> None:
    """Measure all tasks and write the JSON."""
    results: dict[str, Any] = {"tasks": {}}
    for name, task in TASKS.items():
        rows = regress(task) if task.metric == "RMSE" else classify(task)
        results["tasks"][name] = rows
        print(name, {rival: round(row["score"], 3) for rival, row in rows.items()}, flush=True)
    write_result(results, __file__)


if __name__ == "__main__":
    main()
