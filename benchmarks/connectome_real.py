"""Real connectivity: bridge matching against every dull rival, by cross-validation over subjects.

Two paired sets: ``hcp_rest_task30`` (half 1 of a rest scan to half 2, 30 people, 64620 edges) and ``mist122_rest_pain``
(passive pain to regulated pain, 32 people, 7381 edges). Five folds by subject, three times with other folds; means and
standard deviations are over folds and seeds. Whoever is predicted is never in the training set, and everything that is
chosen is chosen within the training set. A fold tests six or seven people, among whom identification is easy; so it is
also measured among all people at once, each predicted by the fold that did not train on them (one value per seed).

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/connectome_real.py [--without-bridge | --ceilings]

The noise ceiling is what somebody would reach who knew each person's own matrix without noise; it is estimated from two
measurements of the target. With ``--ceilings`` only that is measured, and put into the results that are there.

Beside the bridge and the baselines on edges stand C2C, with the number of its directions chosen among the training
subjects, and the same predictors in tangent coordinates. Singular matrices, and some of these are, have no logarithm:
there, a tenth of the identity is mixed in before, and taken out again after.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.compare.connectome_baselines import baselines, change_ridge, mean_shift, shrunk_shift  # noqa: E402
from mmlab.data.connectome import ConnectomePairs, Regions  # noqa: E402
from mmlab.data.correlation import edges, matrices  # noqa: E402
from mmlab.data.sets.hcp_rest_task30 import hcp_rest_task30  # noqa: E402
from mmlab.data.sets.mist122_rest_pain import mist122_rest_pain  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.bridge_matching import BridgeMatching  # noqa: E402
from mmlab.methods.c2c import C2C  # noqa: E402
from mmlab.metrics.connectome import COLUMNS, correlate, evaluate, identification  # noqa: E402
from mmlab.metrics.correlation_geometry import correlation_of, from_tangent, to_tangent  # noqa: E402

Predictor = Callable[[ConnectomePairs, ConnectomePairs, int], Tensor]
"""(training pairs, test pairs, seed) -> predicted edges (S, E) of the test subjects, blind to their targets."""

FOLDS, SEEDS = 5, (0, 1, 2)
STEPS = (0, 10, 20, 40, 80, 160, 320)
DIRECTIONS = (1, 2, 3, 5, 10, 20)
SHRINKAGE = 0.1
HALVES, PAIN = "hcp_rest_task30, half 1 to half 2", "mist122_rest_pain, passive to regulate"
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


def c2c(train: ConnectomePairs, test: ConnectomePairs, seed: int) -> Tensor:
    """Principal components and partial least squares; directions by cross-validation among the training subjects."""
    error = torch.zeros(len(DIRECTIONS), dtype=torch.float64)
    for inner, held_out in train.folds(4, seed):
        for i, directions in enumerate(DIRECTIONS):
            prediction = _solved(inner, directions).sample(held_out.source)
            error[i] += (prediction - held_out.target).double().square().sum()
    return _solved(train, DIRECTIONS[int(error.argmin())]).sample(test.source)


def _solved(train: ConnectomePairs, directions: int) -> C2C:
    components = len(train) - 1  # all that so many people have
    return C2C((train.source.shape[1],), components, min(directions, components)).solve(train)


def in_tangent_space(predictor: Predictor) -> Predictor:
    """The same predictor in the tangent space at the log-Euclidean mean of the training matrices of both states."""

    def predict(train: ConnectomePairs, test: ConnectomePairs, seed: int) -> Tensor:
        known = _shrunk(torch.cat([train.source, train.target]))
        values, vectors = torch.linalg.eigh(known)
        values, vectors = torch.linalg.eigh(((vectors * values.log()[:, None]) @ vectors.mT).mean(0))
        reference = (vectors * values.exp()) @ vectors.T  # (N, N)
        tangent = predictor(_in_tangent_space(train, reference), _in_tangent_space(test, reference), seed)
        identity = torch.eye(len(reference), dtype=torch.float64)
        shrunk = correlation_of(from_tangent(tangent.double(), reference))
        return edges((shrunk - SHRINKAGE * identity) / (1 - SHRINKAGE)).float()

    return predict


def _in_tangent_space(pairs: ConnectomePairs, reference: Tensor) -> ConnectomePairs:
    """Pairs whose values are tangent coordinates: N(N+1)/2 of them, as many as N + 1 regions have edges."""
    names = tuple(str(number) for number in range(len(reference) + 1))
    return ConnectomePairs(
        source=to_tangent(_shrunk(pairs.source), reference).float(),
        target=to_tangent(_shrunk(pairs.target), reference).float(),
        subjects=pairs.subjects,
        regions=Regions(names, names),
    )


def _shrunk(values: Tensor) -> Tensor:
    full = matrices(values.double())
    return (1 - SHRINKAGE) * full + SHRINKAGE * torch.eye(full.shape[-1], dtype=torch.float64)


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


def noise_ceiling(first: Tensor, second: Tensor, scans: int) -> dict[str, float]:
    """What knowing each person's true target would give, estimated from two measurements of it, (S, E) each.

    What changes from one measurement to the other, but for what changes in all people alike, is taken for noise: half
    of its variance is that of one measurement. Where people really change in between, the ceiling is higher still.

    Args:
        first: One measurement.
        second: The other.
        scans: How many of such measurements the target of the prediction is the mean of, 1 or 2.
    """
    deviations = first - first.mean(0), second - second.mean(0)
    noise = (deviations[0] - deviations[1]).double().square().mean() * len(first) / (len(first) - 1) / 2 / scans
    reliability = float(correlate(*deviations).diagonal().mean())
    reliability = scans * reliability / (1 + (scans - 1) * reliability)  # Spearman and Brown
    return {"rmse": round(float(noise.sqrt()), 5), "demeaned_r": round(reliability**0.5, 5)}


def ceilings() -> dict[str, dict[str, float]]:
    """The measurements of both sets. The target of the second is the mean of two scans: its two measurements."""
    halves, runs = hcp_rest_task30("half1", "half2"), mist122_rest_pain("run03", "run07")
    known = set(mist122_rest_pain("passive", "regulate").subjects)
    kept = [number for number, name in enumerate(runs.subjects) if name in known]
    return {
        HALVES: noise_ceiling(halves.source, halves.target, scans=1),
        PAIN: noise_ceiling(runs.source[kept], runs.target[kept], scans=2),
    }


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
    predictors: dict[str, Predictor] = {
        "C2C": c2c,
        "mean shift, tangent space": in_tangent_space(lambda train, test, _: mean_shift(train, test)),
        "shrunk shift, tangent space": in_tangent_space(lambda train, test, _: shrunk_shift(train, test)),
        "ridge on the change, tangent space": in_tangent_space(change_ridge),
    }
    if "--without-bridge" not in sys.argv:
        predictors |= {"bridge matching": bridge_matching, "tangent bridge": in_tangent_space(bridge_matching)}
    sets = {
        HALVES: (hcp_rest_task30("half1", "half2"), False),
        PAIN: (mist122_rest_pain("passive", "regulate"), True),
    }
    limits = ceilings()
    if "--ceilings" in sys.argv:
        found = json.loads(RESULT.read_text(encoding="utf-8"))
        _write({title: {**found[title], "noise ceiling": limits[title]} for title in sets})
        return
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
            "noise ceiling": limits[title],
        }
        if pairs.acknowledgement:
            print(pairs.acknowledgement)
    _write(results)


def _write(results: dict[str, Any]) -> None:
    write_result(results, __file__)


def _plain(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {
        str(name): {str(key): round(float(value), 5) for key, value in row.items() if not np.isnan(float(value))}
        for name, row in frame.iterrows()
    }


if __name__ == "__main__":
    main()
