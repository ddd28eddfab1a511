"""Real connectivity: bridge matching against every dull rival, by cross-validation over subjects.

Two paired sets: ``hcp_rest_task30`` (half 1 of a rest scan to half 2, 30 people, 64620 edges) and ``mist122_rest_pain``
(passive pain to regulated pain, 32 people, 7381 edges). Five folds by subject, three times with other folds; means and
standard deviations are over folds and seeds. Whoever is predicted is never in the training set, and everything that is
chosen is chosen within the training set. A fold tests six or seven people, among whom identification is easy; so it is
also measured among all people at once, each predicted by the fold that did not train on them (one value per seed).

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/connectome_real.py [--without-bridge]
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.data.connectome import ConnectomePairs  # noqa: E402
from mmlab.data.hcp_rest_task30 import hcp_rest_task30  # noqa: E402
from mmlab.data.mist122_rest_pain import mist122_rest_pain  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.bridge_matching import BridgeMatching  # noqa: E402
from mmlab.metrics.connectome import COLUMNS, correlate, evaluate, identification  # noqa: E402
from mmlab.metrics.connectome_baselines import baselines  # noqa: E402

Predictor = Callable[[ConnectomePairs, ConnectomePairs, int], Tensor]
"""(training pairs, test pairs, seed) -> predicted edges (S, E) of the test subjects, blind to their targets."""

FOLDS, SEEDS = 5, (0, 1, 2)
STEPS = (0, 10, 20, 40, 80, 160, 320)
RESULT = Path(__file__).parent / "results" / "connectome_real.json"


def bridge_matching(train: ConnectomePairs, test: ConnectomePairs, seed: int) -> Tensor:
    """Mean of 32 samples of a bridge in the span of the training pairs.

    Outside that span nothing can be learnt from 25 people: there, the source is kept, shrunk by the least-squares slope
    of the training set. The bridge starts as the shrunk shift, too. The number of training steps is the best of a few
    in a cross-validation among the training subjects; none at all is among the choices.
    """
    error = torch.zeros(len(STEPS), dtype=torch.float64)
    for inner, held_out in train.folds(4, seed):
        for i, prediction in enumerate(_bridge_path(inner, held_out, STEPS, seed)):
            error[i] += (prediction - held_out.target).double().square().sum()
    return _bridge_path(train, test, (STEPS[int(error.argmin())],), seed)[0]


def _bridge_path(train: ConnectomePairs, test: ConnectomePairs, steps: tuple[int, ...], seed: int) -> list[Tensor]:
    """Predictions of one bridge after each of these numbers of training steps."""
    mean_source, mean_target = train.source.mean(0), train.target.mean(0)
    source, target = train.source - mean_source, train.target - mean_target  # (S, E)
    slope = (source * target).sum() / source.square().sum()
    source, test_source = slope * source, slope * (test.source - mean_source)
    values, vectors = torch.linalg.svd(torch.cat([source, target]).double(), full_matrices=False)[1:]
    basis = vectors[values > 1e-6 * values[0]].float().T  # (E, D)
    scale = float((target @ basis).std())
    data = TensorData({"source": source @ basis / scale, "target": target @ basis / scale}, subjects=train.subjects)
    torch.manual_seed(seed)
    bridge = BridgeMatching(shape=(basis.shape[1],), width=64, depth=0, sigma=0.5)
    start, outside = test_source @ basis / scale, test_source - test_source @ basis @ basis.T
    predictions = []
    for before, now in zip((0, *steps), steps, strict=False):
        if now > before:
            fit(bridge, data, steps=now - before, batch_size=len(train), lr=1e-3, seed=seed + now, progress=False)
        bridge.eval()
        rng = torch.Generator().manual_seed(seed)
        mean = torch.stack([bridge.sample(start, steps=10, rng=rng) for _ in range(32)]).mean(0)
        predictions.append(mean_target + outside + scale * mean @ basis.T)
    return predictions


def cross_validate(pairs: ConnectomePairs, predictors: Mapping[str, Predictor], *, blocks: bool) -> pd.DataFrame:
    """Every measure of every predictor in every fold of every seed: one row each.

    Args:
        pairs: All subjects.
        predictors: What to compare with the baselines, by name.
        blocks: Whether the regions have networks, so that block measures mean something.
    """
    rows: list[dict[str, object]] = []
    networks = pairs.regions.networks if blocks else None
    for seed in SEEDS:
        together: dict[str, Tensor] = {}
        for fold, (train, test) in enumerate(pairs.folds(FOLDS, seed)):
            predictions = baselines(train, test)
            seconds = dict.fromkeys(predictions, float("nan"))
            for name, predictor in predictors.items():
                began = time.perf_counter()
                predictions[name] = predictor(train, test, seed)
                seconds[name] = time.perf_counter() - began
            mean = train.target.mean(0)
            here = [pairs.subjects.index(subject) for subject in test.subjects]
            for name, prediction in predictions.items():
                together.setdefault(name, torch.empty_like(pairs.target))[here] = prediction
                measures = evaluate(prediction, test.target, mean, networks)
                rows.append(
                    {"prediction": name, "seed": seed, "fold": fold, "subjects": len(test), **measures}
                    | ({"seconds": seconds[name]} if name in predictors else {})
                )
            print(f"  seed {seed}, fold {fold}: {len(train)} to train, {len(test)} to test", flush=True)
        for name, prediction in together.items():
            similarity = correlate(prediction, pairs.target)
            both = identification(similarity), identification(similarity.T)
            rows.append(
                {"prediction": name, "seed": seed, "among all, forward": both[0], "among all, backward": both[1]}
            )
    return pd.DataFrame(rows)


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean ± standard deviation over folds and seeds, one row per predictor, in the order of the runs."""
    measures = [name for name in (*COLUMNS, "among all, forward", "among all, backward") if name in frame.columns]
    grouped = frame.groupby("prediction", sort=False)[measures]
    mean, spread = grouped.mean(), grouped.std()
    text = mean.map(lambda value: f"{value:.4f}") + " ± " + spread.map(lambda value: f"{value:.4f}")
    return text.rename(columns=COLUMNS)


def ahead(frame: pd.DataFrame, name: str, rival: str, measure: str, better: str) -> str:
    """In how many folds a predictor is ahead of a rival, and by how much on average over folds."""
    wide = frame.dropna(subset="fold").pivot(index=["seed", "fold"], columns="prediction", values=measure)
    gain = (wide[rival] - wide[name]) if better == "lower" else (wide[name] - wide[rival])
    return f"{measure}: ahead of {rival!r} in {int((gain > 0).sum())} of {len(gain)} folds, by {gain.mean():+.4f}"


def main() -> None:
    """Run both sets, print tables and verdicts, write the JSON."""
    predictors: dict[str, Predictor] = {} if "--without-bridge" in sys.argv else {"bridge matching": bridge_matching}
    sets = {
        "hcp_rest_task30, half 1 to half 2": (hcp_rest_task30("half1", "half2"), False),
        "mist122_rest_pain, passive to regulate": (mist122_rest_pain("passive", "regulate"), True),
    }
    results = {}
    for title, (pairs, blocks) in sets.items():
        print(f"\n{title}: {len(pairs)} people, {pairs.source.shape[1]} edges")
        frame = cross_validate(pairs, predictors, blocks=blocks)
        table = summary(frame)
        with pd.option_context("display.width", 250, "display.max_columns", 20):
            print(table.T.to_string())
        verdicts = [
            ahead(frame, name, rival, measure, better)
            for name in predictors
            for rival in ("mean shift", "shrunk shift", "ridge on the change")
            for measure, better in (("rmse", "lower"), ("demeaned_r", "higher"), ("identification_demeaned", "higher"))
        ]
        print("\n".join(verdicts))
        means = frame.groupby("prediction", sort=False).mean(numeric_only=True).drop(columns=["seed", "fold"])
        spreads = frame.groupby("prediction", sort=False).std(numeric_only=True).drop(columns=["seed", "fold"])
        results[title] = {
            "people": len(pairs),
            "edges": pairs.source.shape[1],
            "folds": FOLDS,
            "seeds": list(SEEDS),
            "mean": _plain(means),
            "standard deviation over folds and seeds": _plain(spreads),
            "verdicts": verdicts,
            "acknowledgement": pairs.acknowledgement,
        }
        if pairs.acknowledgement:
            print(pairs.acknowledgement)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _plain(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {
        str(name): {str(key): round(float(value), 5) for key, value in row.items() if not np.isnan(float(value))}
        for name, row in frame.iterrows()
    }


if __name__ == "__main__":
    main()
