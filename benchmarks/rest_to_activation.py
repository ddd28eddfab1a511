"""From rest connectivity to task activation, 30 people, 24 conditions, 360 regions: activity flow beside baselines.

Two different questions, which papers tend to mix:

* *connectivity alone*: predict all 24 maps of a person whom nobody has scanned at a task;
* *one region held out*: predict a region's activation from the person's activation in all other regions. Activity flow
  (Cole et al. 2016) does it through rest connectivity: it sums the others' activations, weighted by their correlation
  with the region. Its rivals know the same activations: the flow through the average connectome of other people,
  through one other person's, and a linear regression on the other regions that never sees any connectivity.

Five folds by subject, three times with other folds. Whoever is predicted is never in the training set, and everything
that is chosen is chosen within it. Each flow is scaled by one number per condition, fitted on the training people.
Correlations are over regions, within a person and condition, averaged; *demeaned* ones are taken after the training
people's mean map of the condition was subtracted from both, so that what all people share earns nothing.

    MMLAB_DATA=... OMP_NUM_THREADS=1 python benchmarks/rest_to_activation.py
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from provenance import write_result  # noqa: E402
from sklearn.linear_model import RidgeCV  # noqa: E402
from sklearn.model_selection import KFold  # noqa: E402
from torch import Tensor  # noqa: E402

from mmlab.data.correlation import matrices  # noqa: E402
from mmlab.data.sets.hcp_rest_task30 import rest_activation  # noqa: E402

FOLDS, SEEDS = 5, (0, 1, 2)
PENALTIES = tuple(10.0**exponent for exponent in range(-3, 6))


def activity_flow(connectivity: Tensor, activation: Tensor) -> Tensor:
    """Each region from all others: â_i = sum over j ≠ i of F_ij a_j.

    Args:
        connectivity: (S, N, N) or (N, N).
        activation: (S, C, N).

    Returns:
        (S, C, N).
    """
    size = connectivity.shape[-1]
    return activation @ (connectivity * (1 - torch.eye(size, dtype=connectivity.dtype)))


def from_other_regions(known: Tensor, penalty: float) -> Tensor:
    """Weights (N, N) of the ridge regression of each region on all others, over people and conditions.

    The inverse of the penalised second moments holds all N regressions at once: region i is predicted with the weights
    -P_ij / P_ii.

    Args:
        known: (M, N), training maps, centred.
        penalty: Relative to the mean variance of a region.
    """
    moments = known.T @ known / len(known)
    precision = torch.linalg.inv(moments + penalty * moments.diagonal().mean() * torch.eye(len(moments)).double())
    weights = -precision / precision.diagonal()
    return weights.fill_diagonal_(0)  # column i: the weights of the others for region i


def connectivity_ridge(train: Tensor, maps: Tensor, test: Tensor) -> Tensor:
    """All maps from the edges alone; the penalty by leave-one-out among the training people.

    Args:
        train: (S, E), edges of the training people.
        maps: (S, C, N), their activation.
        test: (T, E), edges of the others.
    """
    mean = train.mean(0)
    left, size, axes = torch.linalg.svd(train - mean, full_matrices=False)
    model = RidgeCV(alphas=[penalty * float(size[0]) ** 2 for penalty in PENALTIES])
    model.fit((left * size).numpy(), maps.flatten(1).numpy())
    return torch.from_numpy(model.predict(((test - mean) @ axes.T).numpy())).reshape(-1, *maps.shape[1:])


def predictions(connectivity: Tensor, activation: Tensor, train: Tensor, test: Tensor, seed: int) -> dict[str, Tensor]:
    """All predictors on one fold: (T, C, N) each, blind to what they predict.

    Args:
        connectivity: (S, E), of all people.
        activation: (S, C, N), likewise.
        train: Indices of the training people.
        test: Indices of the others.
        seed: Seed of the choice of another person's connectome.
    """
    mean = activation[train].mean(0)  # (C, N)
    known, asked = activation[train] - mean, activation[test] - mean
    full = matrices(connectivity)
    rng = torch.Generator().manual_seed(seed)
    partner = train[torch.randint(len(train), (len(test),), generator=rng)]
    stranger = train[torch.randint(len(train) - 1, (len(train),), generator=rng)]

    def flow(ours: Tensor, others: Tensor) -> Tensor:
        """Flow of the maps as they are, scaled per condition on the training people."""
        told = activity_flow(ours, activation[train])
        slope = (told * activation[train]).sum((0, 2)) / told.square().sum((0, 2))
        return slope[:, None] * activity_flow(others, activation[test])

    def flow_of_deviation(ours: Tensor, others: Tensor) -> Tensor:
        """Flow of what a person has beyond the mean map, added to the mean map."""
        told = activity_flow(ours, known)
        slope = (told * known).sum((0, 2)) / told.square().sum((0, 2))
        return mean + slope[:, None] * activity_flow(others, asked)

    order = torch.randperm(len(train), generator=rng)
    average = full[train].mean(0)
    return {
        "connectivity alone: mean map of the training people": mean.expand(len(test), -1, -1),
        "connectivity alone: ridge": connectivity_ridge(connectivity[train], activation[train], connectivity[test]),
        "connectivity alone: ridge, people shuffled": connectivity_ridge(
            connectivity[train][order], activation[train], connectivity[test]
        ),
        "held out: activity flow, own connectome": flow(full[train], full[test]),
        "held out: activity flow, average connectome": flow(average, average),
        "held out: activity flow, another person's connectome": flow(full[stranger], full[partner]),
        "held out: mean map + flow of the deviation, own": flow_of_deviation(full[train], full[test]),
        "held out: mean map + flow of the deviation, average": flow_of_deviation(average, average),
        "held out: mean map + regression on the other regions": mean + asked @ _regression(known),
    }


def _regression(known: Tensor) -> Tensor:
    """Weights with the penalty that predicts half of the training people best from the other half."""
    half = len(known) // 2
    parts = (known[:half].flatten(0, 1), known[half:].flatten(0, 1))
    error = []
    for penalty in PENALTIES:
        both = ((parts[0], parts[1]), (parts[1], parts[0]))
        error.append(sum(float((b - b @ from_other_regions(a, penalty)).square().sum()) for a, b in both))
    return from_other_regions(known.flatten(0, 1), PENALTIES[error.index(min(error))])


def measure(prediction: Tensor, truth: Tensor, mean: Tensor) -> dict[str, float]:
    """Correlations over regions, raw and demeaned, and the share of the variance about the mean map explained."""
    error, floor = (prediction - truth).square().mean(), (mean - truth).square().mean()
    return {
        "r": _correlation(prediction, truth),
        "demeaned r": _correlation(prediction - mean, truth - mean),
        "explained beyond the mean map": 1 - float(error / floor),
    }


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    norm = a.norm(dim=-1) * b.norm(dim=-1)
    if bool((norm < 1e-9 * b.norm(dim=-1)).any()):
        return float("nan")  # the mean map says nothing about a deviation from itself
    return float(((a * b).sum(-1) / norm).mean())


def main() -> None:
    """Cross-validate, print the table, write the JSON."""
    data = rest_activation()
    connectivity, activation = data.connectivity.double(), data.activation.double()
    rows = []
    for seed in SEEDS:
        folds = KFold(FOLDS, shuffle=True, random_state=seed)
        for fold, (train, test) in enumerate(folds.split(connectivity)):
            known, asked = torch.from_numpy(train), torch.from_numpy(test)
            mean, truth = activation[known].mean(0), activation[asked]
            for name, prediction in predictions(connectivity, activation, known, asked, seed).items():
                rows.append({"prediction": name, "seed": seed, "fold": fold, **measure(prediction, truth, mean)})
    grouped = pd.DataFrame(rows).drop(columns=["seed", "fold"]).groupby("prediction", sort=False)
    means, spreads = grouped.mean(), grouped.std()
    with pd.option_context("display.width", 200):
        print(means.round(3).to_string())
    result = {
        "people": len(data.subjects),
        "conditions": len(data.conditions),
        "regions": activation.shape[-1],
        "folds": FOLDS,
        "seeds": list(SEEDS),
        "mean": json.loads(means.round(5).to_json(orient="index")),
        "standard deviation over folds and seeds": json.loads(spreads.round(5).to_json(orient="index")),
        "acknowledgement": data.acknowledgement,
    }
    print(data.acknowledgement)
    write_result(result, __file__)


if __name__ == "__main__":
    main()
