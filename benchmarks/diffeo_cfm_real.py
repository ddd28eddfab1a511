"""Real connectivity: does the flow of DiffeoCFM add anything to the Gaussian that it starts from?

Given a matrix of the same person: half 1 of a rest scan to half 2 (``hcp_rest_task30``), and passive to regulated pain
(``mist122_rest_pain``). Five folds by subject, or three of the former, whose matrices are nine times as long, with
three seeds; each person's measure is the mean over the seeds, and differences have an interval over people. The energy
score of 20 samples is proper: in the mean, only the true law of the target given the source has the least. Given a
class: samples of passive and of regulated pain, held against the people who were left out. All matrices are shrunk by a
tenth, since some are singular, and measured as edges.

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/diffeo_cfm_real.py             # everything, then the result
    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/diffeo_cfm_real.py halves 0    # one seed of one part, kept
    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/diffeo_cfm_real.py halves 0 3  # one fold of it, kept
    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/diffeo_cfm_real.py write       # the result, from what was kept
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab import fit  # noqa: E402
from mmlab.compare.connectome_baselines import group_mean, shrunk_shift  # noqa: E402
from mmlab.compare.intervals import decide  # noqa: E402
from mmlab.data.connectome import ConnectomePairs  # noqa: E402
from mmlab.data.correlation import matrices  # noqa: E402
from mmlab.data.sets.hcp_rest_task30 import hcp_rest_task30  # noqa: E402
from mmlab.data.sets.mist122_rest_pain import mist122_rest_pain  # noqa: E402
from mmlab.data.tensors import TensorData  # noqa: E402
from mmlab.methods.diffeo_cfm import DiffeoCFM  # noqa: E402
from mmlab.metrics.fidelity import alpha_precision, authenticity, beta_recall  # noqa: E402
from mmlab.metrics.transport import energy_distance  # noqa: E402

FOLDS = {"halves": 3, "pain": 5, "classes": 5}
SEEDS, SAMPLES = (0, 1, 2), 20
TRAINING = {"steps": 100, "batch_size": 32, "lr": 1e-3, "weight_decay": 10.0, "schedule": "cosine", "ema_decay": 0.99}
BUILT = {"width": 64, "depth": 1, "rank": 64, "shrinkage": 0.1}
FLOW, PRIOR = "DiffeoCFM", "its Gaussian prior"
MEASURES = {"energy score": "lower", "RMSE": "lower"}
PARTS = Path(tempfile.gettempdir()) / "mmlab-diffeo-cfm-real"


def energy_score(samples: Tensor, truth: Tensor) -> Tensor:
    """E|X - y| - E|X - X'|/2 per value for K samples (K, S, E) of targets (S, E): (S,)."""
    size = truth.shape[1] ** 0.5
    count = len(samples)
    off = (samples - truth).norm(dim=-1).mean(0)
    between = torch.stack([(samples - one).norm(dim=-1).sum(0) for one in samples]).sum(0) / (count * (count - 1))
    return (off - between / 2) / size


def trained(data: Any, size: int, seed: int, **arguments: Any) -> DiffeoCFM:
    """The method on these people, its coordinates computed once."""
    method = DiffeoCFM.seeded(seed, (size,), **BUILT, **arguments)
    method.start_from(data)
    fit(method, method.flat_vectors(data), seed=seed, progress=False, **TRAINING)
    return method.eval()


def given_source(pairs: ConnectomePairs, seed: int, fold: int, folds: int) -> Iterator[dict[str, Any]]:
    """One row for each person of a fold and predictor."""
    for train, test in pairs.folds(folds, seed)[fold : fold + 1]:
        data = TensorData({"source": train.source, "target": train.target})
        method = trained(data, train.source.shape[1], seed, condition="source")
        rng = torch.Generator().manual_seed(seed)
        drawn = {
            FLOW: torch.stack([method.sample(test.source, steps=10, rng=rng) for _ in range(SAMPLES)]),
            PRIOR: torch.stack([method.sample_prior(test.source, rng=rng) for _ in range(SAMPLES)]),
        }
        for name, samples in drawn.items():
            score = energy_score(samples, test.target)
            error = (samples.mean(0) - test.target).square().mean(1).sqrt()
            least = torch.linalg.eigvalsh(matrices(samples[0].double()))[:, 0]
            for i, person in enumerate(test.subjects):
                yield {"row": name, "seed": seed, "person": person, "energy score": float(score[i]),
                       "RMSE": float(error[i]), "valid": float(least[i] > -1e-5)}  # fmt: skip
        for name, made in (("shrunk shift", shrunk_shift(train, test)), ("group mean", group_mean(train, test))):
            error = (made - test.target).square().mean(1).sqrt()
            for i, person in enumerate(test.subjects):  # the energy score of a single answer is its distance
                yield {"row": name, "seed": seed, "person": person, "energy score": float(error[i]),
                       "RMSE": float(error[i])}  # fmt: skip


def given_class(pairs: ConnectomePairs, seed: int, fold: int, folds: int) -> Iterator[dict[str, Any]]:
    """One row for each generator: passive and regulated pain as two classes."""
    for train, test in pairs.folds(folds, seed)[fold : fold + 1]:
        known, asked = (torch.cat([side.source, side.target]) for side in (train, test))
        label, true = (torch.arange(2 * len(side)) // len(side) for side in (train, test))
        method = trained(TensorData({"label": label, "target": known}), known.shape[1], seed)
        rng = torch.Generator().manual_seed(seed)
        drawn = {
            FLOW: method.sample(label, steps=10, rng=rng).float(),
            PRIOR: method.sample_prior(label, rng=rng).float(),
            "training people again": known,
        }
        for name, samples in drawn.items():
            own = [(samples[label == c], asked[true == c]) for c in (0, 1)]
            classifier = make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(samples, label)
            yield {
                "row": name,
                "seed": seed,
                "fold": fold,
                "energy distance": sum(energy_distance(x, y) for x, y in own) / 2 / known.shape[1] ** 0.5,
                "α-precision": sum(alpha_precision(x, y) for x, y in own) / 2,
                "β-recall": sum(beta_recall(x, y, neighbours=2) for x, y in own) / 2,
                "authenticity": authenticity(samples, known),
                "valid": float((torch.linalg.eigvalsh(matrices(samples.double()))[:, 0] > -1e-5).double().mean()),
                "classification accuracy": float(classifier.score(asked, true)),
            }


def parts() -> dict[str, tuple[str, Any, ConnectomePairs]]:
    """Short name, title, measurement and pairs."""
    pain = mist122_rest_pain("passive", "regulate")
    return {
        "halves": ("hcp_rest_task30, half 2 given half 1", given_source, hcp_rest_task30("half1", "half2")),
        "pain": ("mist122_rest_pain, regulated pain given passive", given_source, pain),
        "classes": ("mist122_rest_pain, passive and regulated pain as classes", given_class, pain),
    }


def measure(short: str, seed: int, fold: int) -> None:
    """One fold of one seed of one part, kept in a file of its own."""
    _, run, pairs = parts()[short]
    PARTS.mkdir(exist_ok=True)
    rows = list(run(pairs, seed, fold, FOLDS[short]))
    kept(short, seed, fold).write_text(json.dumps(rows), encoding="utf-8")
    print(pd.DataFrame(rows).groupby("row", sort=False).mean(numeric_only=True).to_string(), flush=True)


def kept(short: str, seed: int, fold: int) -> Path:
    """Where the rows of a fold are kept."""
    return PARTS / f"{short}-{seed}-{fold}of{FOLDS[short]}.json"


def write() -> None:
    """Put together what was kept, say who wins, write the JSON.

    A part takes the seeds of which all folds were kept. With fewer of them than its earlier result it keeps that one.
    """
    path = ROOT / "benchmarks" / "results" / "diffeo_cfm_real.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results: dict[str, Any] = {"training": TRAINING, "built": BUILT, "samples": SAMPLES}
    anew = False
    for short, (title, _, pairs) in parts().items():
        by_seed = {seed: [kept(short, seed, fold) for fold in range(FOLDS[short])] for seed in SEEDS}
        seeds = [seed for seed, files in by_seed.items() if all(file.exists() for file in files)]
        if not seeds or len(seeds) < len(before.get(short, {}).get("seeds", [])):
            print(f"{title}: complete are the seeds {seeds or 'none'}, and it is kept as it was")
            if short in before:
                date = before.get("provenance", {}).get("date", "an earlier day")
                results[short] = {"measured before": date, **before[short]}
            continue
        anew = True
        files = [file for seed in seeds for file in by_seed[seed]]
        rows = [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]
        frame = pd.DataFrame(rows)
        unit = "person" if "person" in frame else "seed"  # folds of one seed are no independent units
        columns = [c for c in frame if c not in ("row", "seed", "person", "fold")]
        verdicts = {}
        for column in columns:
            wide = frame.pivot_table(index=unit, columns="row", values=column)
            if column in ("valid", "authenticity"):
                continue
            better = "lower" if column in ("energy score", "RMSE", "energy distance") else "higher"
            over = "items" if unit == "person" else "seeds"
            made = decide(wide[FLOW], wide[PRIOR], direction=better, over=over)
            verdicts[column] = {
                "outcome": made.outcome,
                **{k: round(float(getattr(made, k)), 5) for k in ("ours", "theirs", "low", "high")},
            }
        mean = frame.groupby("row", sort=False)[columns].mean()
        results[short] = {
            "title": title,
            "people": len(pairs),
            "edges": pairs.source.shape[1],
            "folds": FOLDS[short],
            "seeds": seeds,
            "unit": unit,
            "mean": {str(k): {c: round(float(v), 5) for c, v in row.dropna().items()} for k, row in mean.iterrows()},
            "flow against prior": verdicts,
            "acknowledgement": pairs.acknowledgement,
        }
        print(f"\n{title}\n{mean.to_string()}")
        for column, made in verdicts.items():
            print(f"{column}: the flow is {made['outcome']}, {made['ours']} against {made['theirs']}")
    if not anew:
        sys.exit("No part is complete: the result stays as it was, with its date.")
    write_result(results, __file__)


def main() -> None:
    """Everything, or one part of it."""
    asked = sys.argv[1:]
    if asked == ["write"]:
        write()
    elif asked:
        for fold in map(int, asked[2:] or range(FOLDS[asked[0]])):
            measure(asked[0], int(asked[1]), fold)
    else:
        for short in parts():
            for seed in SEEDS:
                for fold in range(FOLDS[short]):
                    measure(short, seed, fold)
        write()


if __name__ == "__main__":
    main()
