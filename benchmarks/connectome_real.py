"""Real connectivity: bridge matching against every dull rival, by cross-validation over subjects.

Two paired sets: ``hcp_rest_task30`` (half 1 of a rest scan to half 2, 30 people, 64620 edges) and ``mist122_rest_pain``
(passive pain to regulated pain, 32 people, 7381 edges). Five folds by subject, three times with other folds; means and
standard deviations are over folds and seeds. Whoever is predicted is never in the training set, and everything that is
chosen is chosen within the training set. A fold tests six or seven people, among whom identification is easy; so it is
also measured among all people at once, each predicted by the fold that did not train on them (one value per seed).
Differences of two predictors have an interval over people: each person's measure is the mean over the seeds first.

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/connectome_real.py            # everything, then the result
    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/connectome_real.py pain 0     # one seed of one set, kept
    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/connectome_real.py halves 0 bridge   # of it, one predictor
    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/connectome_real.py write      # the result, from what was kept

The noise ceiling is what somebody would reach who knew each person's own matrix without noise; it is estimated from two
measurements of the target.

Beside the bridge and the baselines on edges stand C2C, with the number of its directions chosen among the training
subjects, and the same predictors in tangent coordinates. Singular matrices, and some of these are, have no logarithm:
there, a tenth of the identity is mixed in before, and taken out again after.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
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
from mmlab.compare.connectome_baselines import (  # noqa: E402
    change_ridge,
    group_mean,
    identity,
    mean_shift,
    pca_ridge,
    shrunk_shift,
)
from mmlab.compare.intervals import decide  # noqa: E402
from mmlab.data.connectome import ConnectomePairs, Regions  # noqa: E402
from mmlab.data.correlation import edges, matrices  # noqa: E402
from mmlab.data.sets.hcp_rest_task30 import hcp_rest_task30  # noqa: E402
from mmlab.data.sets.mist122_rest_pain import mist122_rest_pain  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.bridge_matching import BridgeMatching  # noqa: E402
from mmlab.methods.c2c import C2C  # noqa: E402
from mmlab.metrics.connectome import COLUMNS, correlate, evaluate, identification, rowwise_correlation  # noqa: E402
from mmlab.metrics.correlation_geometry import correlation_of, from_tangent, to_tangent  # noqa: E402

Predictor = Callable[[ConnectomePairs, ConnectomePairs, int], Tensor]
"""(training pairs, test pairs, seed) -> predicted edges (S, E) of the test subjects, blind to their targets."""

FOLDS, SEEDS = 5, (0, 1, 2)
STEPS = (0, 10, 20, 40, 80, 160, 320)
DIRECTIONS = (1, 2, 3, 5, 10, 20)
SHRINKAGE = 0.1
HALVES, PAIN = "hcp_rest_task30, half 1 to half 2", "mist122_rest_pain, passive to regulate"
RIVALS = ("mean shift", "shrunk shift", "ridge on PCA scores", "ridge on the change")
LINEAR = {
    HALVES: {
        "bridge matching": {"rmse": 0.0935, "demeaned_r": 0.53306},
        "tangent bridge": {"rmse": 0.12058, "demeaned_r": 0.22659},
    },
    PAIN: {
        "bridge matching": {"rmse": 0.16587, "demeaned_r": 0.38515},
        "tangent bridge": {"rmse": 0.18844, "demeaned_r": 0.24402},
    },
}
"""The same folds and seeds with a network whose correction is linear in the state; they are not measured again."""
PARTS = Path(tempfile.gettempdir()) / "mmlab-connectome-real"
Rows = dict[str, list[dict[str, Any]]]


def bridge_matching(train: ConnectomePairs, test: ConnectomePairs, seed: int) -> Tensor:
    """Mean of 32 samples of a bridge in the span of the training pairs.

    Outside that span nothing can be learnt from 25 people: there, the source is kept, shrunk by the least-squares slope
    of the training set. Inside, the bridge starts as every bridge does, from a ridge regression. The number of training
    steps is the best of a few in a cross-validation among the training subjects; none at all is among the choices.
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
    both = torch.cat([source, target]).double()
    values, left = torch.linalg.eigh(both @ both.T)  # of few rows: much faster than a decomposition of long ones
    kept = values > 1e-12 * values[-1]
    basis = (both.T @ (left[:, kept] * values[kept].rsqrt())).float()  # (E, D), orthonormal columns
    scale = float((target @ basis).std())
    data = TensorData({"source": source @ basis / scale, "target": target @ basis / scale}, subjects=train.subjects)
    torch.manual_seed(seed)
    bridge = BridgeMatching(shape=(basis.shape[1],), width=64, depth=0, sigma=0.5)
    bridge.start_from(data)
    start, outside = test_source @ basis / scale, test_source - test_source @ basis @ basis.T
    predictions = []
    for before, now in zip((0, *steps), steps, strict=False):
        if now > before:
            fit(bridge, data, steps=now - before, batch_size=len(train), lr=1e-3, seed=seed + now, progress=False)
        bridge.eval()
        rng = torch.Generator().manual_seed(seed)
        mean = bridge.sample(start.repeat(32, 1), steps=10, rng=rng).reshape(32, *start.shape).mean(0)
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


def cross_validate(pairs: ConnectomePairs, predictors: Mapping[str, Predictor], seed: int, *, blocks: bool) -> Rows:
    """Every measure of every predictor in every fold of one seed.

    Args:
        pairs: All subjects.
        predictors: What to measure, by name.
        seed: Seed of the folds.
        blocks: Whether the regions have networks, so that block measures mean something.

    Returns:
        ``folds``: one row for each fold, and one for all people together; ``people``: one for each person.
    """
    folds: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    networks = pairs.regions.networks if blocks else None
    together = {name: torch.empty_like(pairs.target) for name in predictors}
    for fold, (train, test) in enumerate(pairs.folds(FOLDS, seed)):
        here = [pairs.subjects.index(subject) for subject in test.subjects]
        mean = train.target.mean(0)
        for name, predictor in predictors.items():
            began = time.perf_counter()
            prediction = predictor(train, test, seed)
            row = {"prediction": name, "seed": seed, "fold": fold, "subjects": len(test)}
            row["seconds"] = time.perf_counter() - began
            folds.append(row | evaluate(prediction, test.target, mean, networks))
            together[name][here] = prediction
            error = (prediction - test.target).square().mean(1).sqrt().tolist()
            personal = rowwise_correlation(prediction - mean, test.target - mean, scale=prediction).tolist()
            for subject, rmse, r in zip(test.subjects, error, personal, strict=True):
                people.append({"prediction": name, "seed": seed, "person": subject, "rmse": rmse, "demeaned_r": r})
        print(f"  seed {seed}, fold {fold}: {len(train)} to train, {len(test)} to test", flush=True)
    for name, prediction in together.items():
        similarity = correlate(prediction, pairs.target)
        both = identification(similarity), identification(similarity.T)
        folds.append({"prediction": name, "seed": seed, "among all, forward": both[0], "among all, backward": both[1]})
    return {"folds": folds, "people": people}


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


def gaps(people: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Each method less each rival, with an interval over people of the mean over seeds."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for measure, better in (("rmse", "lower"), ("demeaned_r", "higher")):
        wide = people.pivot_table(index="person", columns="prediction", values=measure)  # the mean over seeds
        for name in names:
            for rival in (rival for rival in RIVALS if rival in wide):
                made = decide(wide[name], wide[rival], direction=better, over="items")
                values = {"difference": made.difference, "low": made.low, "high": made.high}
                found.setdefault(name, {}).setdefault(rival, {})[measure] = {
                    key: round(value, 5) for key, value in values.items()
                } | {"outcome": made.outcome}
    return found


def pair_sets() -> dict[str, tuple[str, ConnectomePairs, bool]]:
    """Short name, title, pairs, and whether the regions have networks."""
    return {
        "halves": (HALVES, hcp_rest_task30("half1", "half2"), False),
        "pain": (PAIN, mist122_rest_pain("passive", "regulate"), True),
    }


def measure(short: str, seed: int, group: str) -> None:
    """One seed of one set, for one group of predictors, kept in a file of its own."""
    _, pairs, blocks = pair_sets()[short]
    PARTS.mkdir(exist_ok=True)
    found = cross_validate(pairs, GROUPS[group], seed, blocks=blocks)
    (PARTS / f"{short}-{seed}-{group}.json").write_text(json.dumps(found), encoding="utf-8")


def write() -> None:
    """Put together what was kept, print tables and verdicts, write the JSON.

    A set of which nothing was measured anew keeps its results, with the date of their measurement.
    """
    path = ROOT / "benchmarks" / "results" / "connectome_real.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results: dict[str, Any] = {}
    limits = ceilings()
    for short, (title, pairs, _) in pair_sets().items():
        files = [PARTS / f"{short}-{seed}-{group}.json" for group in GROUPS for seed in SEEDS]
        if not any(file.exists() for file in files):
            date = before.get("provenance", {}).get("date", "an earlier day")
            results[title] = {"measured before": date, **before[title]}
            results[title]["with a linear correction"] = LINEAR[title]
            continue
        if lacking := [file.stem for file in files if not file.exists()]:
            sys.exit(f"{title}: measure {', '.join(lacking)} first.")
        kept = [json.loads(file.read_text(encoding="utf-8")) for file in files]
        frame, people = (pd.DataFrame([row for part in kept for row in part[key]]) for key in ("folds", "people"))
        print(f"\n{title}: {len(pairs)} people, {pairs.source.shape[1]} edges")
        with pd.option_context("display.width", 250, "display.max_columns", 20):
            print(summary(frame).T.to_string())
        methods = [name for group in ("solved", "bridge", "tangent bridge") for name in GROUPS[group]]
        results[title] = {
            "people": len(pairs),
            "edges": pairs.source.shape[1],
            "folds": FOLDS,
            "seeds": list(SEEDS),
            "mean": _plain(frame, "mean"),
            "standard deviation over folds and seeds": _plain(frame, "std"),
            "minus rival": gaps(people, methods),
            "with a linear correction": LINEAR[title],
            "acknowledgement": pairs.acknowledgement,
            "noise ceiling": limits[title],
        }
        print(json.dumps(results[title]["minus rival"], indent=1))
        if pairs.acknowledgement:
            print(pairs.acknowledgement)
    if all("measured before" in result for result in results.values()):
        sys.exit("Nothing was measured anew: the result stays as it was, with its date.")
    write_result(results, __file__)


def main() -> None:
    """Everything, or one part of it."""
    asked = sys.argv[1:]
    if asked == ["write"]:
        write()
    elif asked:
        for group in asked[2:] or GROUPS:
            measure(asked[0], int(asked[1]), group)
    else:
        for short in pair_sets():
            for seed in SEEDS:
                for group in GROUPS:
                    measure(short, seed, group)
        write()


def _plain(frame: pd.DataFrame, statistic: str) -> dict[str, dict[str, float]]:
    grouped = frame.groupby("prediction", sort=False).agg(statistic, numeric_only=True).drop(columns=["seed", "fold"])
    return {
        str(name): {str(key): round(float(value), 5) for key, value in row.items() if not np.isnan(float(value))}
        for name, row in grouped.iterrows()
    }


GROUPS: dict[str, dict[str, Predictor]] = {
    "rivals": {
        "identity": lambda train, test, _: identity(train, test),
        "group mean": lambda train, test, _: group_mean(train, test),
        "mean shift": lambda train, test, _: mean_shift(train, test),
        "shrunk shift": lambda train, test, _: shrunk_shift(train, test),
        "ridge on PCA scores": pca_ridge,
        "ridge on the change": change_ridge,
    },
    "solved": {"C2C": c2c},
    "bridge": {"bridge matching": bridge_matching},
    "tangent rivals": {
        "mean shift, tangent space": in_tangent_space(lambda train, test, _: mean_shift(train, test)),
        "shrunk shift, tangent space": in_tangent_space(lambda train, test, _: shrunk_shift(train, test)),
        "ridge on the change, tangent space": in_tangent_space(change_ridge),
    },
    "tangent bridge": {"tangent bridge": in_tangent_space(bridge_matching)},
}
"""What is measured together; one part of a seed of a set takes minutes."""


if __name__ == "__main__":
    main()
