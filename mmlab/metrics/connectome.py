"""How good is a predicted connectome? Measures that a useless predictor cannot pass.

The group mean of the training subjects already agrees with everybody (r near 0.9), so RMSE and r alone say little. The
demeaned r and the identification accuracy ask whether the *person* is in the prediction.

Beware of identification from prediction to true on raw edges. Whoever predicts the conditional mean, which has the
least squared error, shrinks towards the group mean and then meets the subjects who are themselves near it: exaggerating
the differences raises that number and spoils the error. With the group mean taken off both sides first, scale does not
matter.

All measures are means over the S subjects; predictions and targets are edges (S, E).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from mmlab.data.batches import read_all
from mmlab.data.correlation import matrices, number_of_regions
from mmlab.metrics.correlation_geometry import (
    affine_invariant,
    log_euclidean,
    project_to_correlation,
    violation,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "affine_invariant",
    "block_means",
    "ceiling_share",
    "correlate",
    "differential_identifiability",
    "evaluate",
    "identification",
    "log_euclidean",
    "project_to_correlation",
    "rmse",
    "rowwise_correlation",
    "table",
    "violation",
]

COLUMNS = {
    "rmse": "RMSE",
    "r": "edge r",
    "demeaned_r": "demeaned r",
    "identification_forward": "identification, prediction to true",
    "identification_backward": "identification, true to prediction",
    "identification_demeaned": "identification, demeaned",
    "differential_identifiability": "differential identifiability",
    "block_r": "block r",
    "block_demeaned_r": "demeaned block r",
    "log_euclidean": "log-Euclidean distance",
    "negative_eigenvalue": "most negative eigenvalue",
    "share_beyond_one": "share of |r| > 1",
}
"""Order and readable names of what :func:`evaluate` returns; :func:`table` uses both."""


def evaluate(
    prediction: Tensor | ArrayLike,
    target: Any,
    train_mean: Any,
    networks: Sequence[str] | None = None,
    shrinkage: float = 0.1,
    geometry: bool = True,
) -> dict[str, float]:
    """All measures of one prediction that its data allow; a warning says in a sentence which are left out, and why.

    Args:
        prediction: (S, E), predicted edges, as they came out of the method; an array will do.
        target: (S, E), true edges of the same subjects in the same order; or the data that hold them, such as pairs or
            a :class:`mmlab.data.tensors.TensorData` with ``target``.
        train_mean: (E,), mean of the *training* subjects' targets: what is known without looking at the person. (S, E)
            where each subject has another, as in cross-validation. Or the training data themselves.
        networks: Label of each of the N regions; None leaves the block measures out.
        shrinkage: Weight of the identity that is mixed into both matrices before their logarithm.
        geometry: Whether the last three measures are wanted, which take several eigendecompositions per subject.

    Returns:
        ``rmse``; ``r``; ``demeaned_r``; ``identification_forward`` (each prediction looks for its true matrix) and
        ``identification_backward``; ``identification_demeaned`` (mean of both directions after ``train_mean`` is taken
        off both sides); ``differential_identifiability``; ``block_r`` and ``block_demeaned_r`` (Pearson r
        of network-block means, S values averaged); ``log_euclidean`` (after projection and shrinkage);
        ``negative_eigenvalue`` and ``share_beyond_one`` (violation before projection). A single subject cannot be
        identified; targets that are not positive definite have no logarithm, and targets that are no correlations
        cannot be violated.

    Raises:
        ValueError: If shapes differ, something is not finite, or the shrinkage is not in [0, 1).
    """
    if not 0 <= shrinkage < 1:
        raise ValueError(f"shrinkage={shrinkage}: the weight of the identity is in [0, 1).")
    p, q, mean = _numbers(prediction), _numbers(_targets(target)), _numbers(_mean_target(train_mean))
    _check(p, q, mean)
    similarity, demeaned = correlate(p, q), correlate(p - mean, q - mean, scale=p)
    values = {
        "rmse": rmse(p, q),
        "r": float(rowwise_correlation(p, q).mean()),
        "demeaned_r": float(rowwise_correlation(p - mean, q - mean, scale=p).mean()),
    }
    if len(q) > 1:
        values |= {
            "identification_forward": identification(similarity),
            "identification_backward": identification(similarity.T),
            "identification_demeaned": (identification(demeaned) + identification(demeaned.T)) / 2,
            "differential_identifiability": differential_identifiability(similarity),
        }
    if networks is not None:
        a, b, c = (block_means(value, networks) for value in (p, q, mean))
        values["block_r"] = float(rowwise_correlation(a, b).mean())
        values["block_demeaned_r"] = float(rowwise_correlation(a - c, b - c, scale=a).mean())
    if not geometry:
        _say_what_is_left_out(len(q), True, True)
        return values
    are_correlations, have_logarithms = _kind_of(q, shrinkage)
    if have_logarithms:
        distance = log_euclidean(project_to_correlation(matrices(p)), matrices(q), shrinkage)
        values["log_euclidean"] = float(distance.mean())
    _say_what_is_left_out(len(q), are_correlations, have_logarithms)
    return values | violation(p) if are_correlations else values


def _targets(value: Any) -> Any:
    """The targets of data that hold some; all else as it is."""
    if isinstance(value, Tensor) or not hasattr(value, "batch"):
        return value
    held = read_all(value)
    if "target" not in held:
        raise ValueError(f"The data have no 'target', only {', '.join(sorted(held))}: name what is predicted target.")
    return held["target"]


def _mean_target(value: Any) -> Any:
    targets = _targets(value)
    return targets if targets is value else targets.double().mean(0)


def _numbers(value: Tensor | ArrayLike) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    return tensor.double()


def _kind_of(target: Tensor, shrinkage: float) -> tuple[bool, bool]:
    """Whether targets (S, E) are edges of correlations, and whether those have logarithms after the shrinkage."""
    try:
        number_of_regions(target.shape[1])
    except ValueError:
        return False, False
    if float(target.abs().max()) > 1 + 1e-4:
        return False, False
    smallest = (1 - shrinkage) * torch.linalg.eigvalsh(matrices(target))[:, 0] + shrinkage
    return True, bool((smallest > 0).all())


def _say_what_is_left_out(subjects: int, are_correlations: bool, have_logarithms: bool) -> None:
    if subjects < 2:
        warnings.warn(
            "A single test subject cannot be told from others: identification is left out. Put the predictions of "
            "several folds together: mmlab.compare.connectome_baselines.pooled leaves one out at a time.",
            stacklevel=3,
        )
    if not are_correlations:
        warnings.warn(
            "The targets are no correlation matrices: log-Euclidean distance, eigenvalues and |r| > 1 are left out.",
            stacklevel=3,
        )
    elif not have_logarithms:
        warnings.warn(
            "Some targets are not positive definite and have no logarithm: the log-Euclidean distance is left out. "
            "More shrinkage, or mmlab.metrics.connectome.project_to_correlation on the targets, would give it.",
            stacklevel=3,
        )


def table(
    predictions: Mapping[str, Tensor],
    target: Any,
    train_mean: Any,
    networks: Sequence[str] | None = None,
    shrinkage: float = 0.1,
) -> pd.DataFrame:
    """One row per prediction, in the given order; columns in the order and with the names of :data:`COLUMNS`.

    Args:
        predictions: Predicted edges (S, E) by name.
        target: (S, E), or data with targets.
        train_mean: (E,) or (S, E), or the training data.
        networks: Label of each region, or None.
        shrinkage: See :func:`evaluate`.
    """
    import pandas as pd

    rows = {name: evaluate(p, target, train_mean, networks, shrinkage) for name, p in predictions.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename(columns=COLUMNS)
    frame.index.name = "prediction"
    return frame[[column for column in COLUMNS.values() if column in frame.columns]]


def ceiling_share(value: float, baseline: float, ceiling: float) -> float:
    """Share of the way from a baseline to the ceiling: 0 at the baseline, 1 at the ceiling, negative if worse.

    Works for measures where lower is better, too, as long as the ceiling is the better of the two.

    Raises:
        ValueError: If baseline and ceiling are equal, or a number is not finite.
    """
    if not all(math.isfinite(number) for number in (value, baseline, ceiling)):
        raise ValueError(f"value={value}, baseline={baseline}, ceiling={ceiling}: a share needs finite numbers.")
    if ceiling == baseline:
        raise ValueError(f"Baseline and ceiling are both {ceiling}: there is no way between them to take a share of.")
    return (value - baseline) / (ceiling - baseline)


def rmse(prediction: Tensor, target: Tensor) -> float:
    """Root of the mean squared error per edge, over all subjects and edges; NaN where something is NaN.

    Raises:
        ValueError: If the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction is {tuple(prediction.shape)}, target {tuple(target.shape)}: they must be alike.")
    return float((prediction.double() - target.double()).square().mean().sqrt())


def rowwise_correlation(one: Tensor, other: Tensor, scale: Tensor | None = None) -> Tensor:
    """Pearson r of each row with the same row of another: (S, E), (S, E) -> (S,).

    A constant row has no correlation; it counts as 0, since it says nothing about the other. A row is constant if what
    is left of it is rounding: below 1e-6 of the norm of ``scale`` (by default of the row itself).

    Raises:
        ValueError: If the shapes differ, or something is not finite: NaN would pass for a constant row.
    """
    if one.shape != other.shape or (scale is not None and scale.shape != one.shape):
        shapes = " and ".join(str(tuple(value.shape)) for value in (one, other, scale) if value is not None)
        raise ValueError(f"The rows are {shapes}: each is compared with the same row of the other, so they are alike.")
    a, b = _standardised(one, scale), _standardised(other, scale)
    return (a * b).sum(-1)


def correlate(one: Tensor, other: Tensor, scale: Tensor | None = None) -> Tensor:
    """Pearson r of every row with every row of another: (S, E), (R, E) -> (S, R); a constant row counts as 0.

    See :func:`rowwise_correlation` for ``scale``, which belongs to ``one``.

    Raises:
        ValueError: If something is not finite.
    """
    return _standardised(one, scale) @ _standardised(other).T


def _standardised(rows: Tensor, scale: Tensor | None = None) -> Tensor:
    for values in (rows, scale):
        if values is not None and not bool(torch.isfinite(values).all()):
            raise ValueError(
                "A row holds NaN or infinity, and has no correlation: leave it out, or see where it is from."
            )
    rows = rows.double()
    centred = rows - rows.mean(-1, keepdim=True)
    norm = centred.norm(dim=-1, keepdim=True)
    reference = (rows if scale is None else scale.double()).norm(dim=-1, keepdim=True)
    return torch.where(norm > 1e-6 * reference, centred / norm.clamp_min(1e-300), torch.zeros_like(centred))


def identification(similarity: Tensor) -> float:
    """Share of rows whose largest entry is on the diagonal (Finn et al. 2015); chance is 1/S.

    A tie of m entries counts 1/m, so that the same prediction for everybody scores 1/S in both directions.

    Args:
        similarity: (S, S), row i for the one who looks, column j for the candidates.

    Raises:
        ValueError: If it is not square, or something is NaN.
    """
    _check_square(similarity)
    best = similarity.max(-1, keepdim=True).values
    winners = similarity >= best - 1e-9
    return float((winners.diagonal().double() / winners.sum(-1)).mean())


def differential_identifiability(similarity: Tensor) -> float:
    """Mean similarity with oneself minus mean similarity with others (Amico & Goñi 2018): (S, S) -> number.

    Raises:
        ValueError: If it is not square, something is NaN, or there is one subject only.
    """
    _check_square(similarity)
    if (count := len(similarity)) < 2:
        raise ValueError("A single subject has nobody to be told from: give at least 2.")
    own = similarity.diagonal().sum()
    return float(own / count - (similarity.sum() - own) / (count * (count - 1)))


def block_means(edges: Tensor, networks: Sequence[str]) -> Tensor:
    """Mean edge of each pair of networks: (..., E) -> (..., number of blocks).

    Blocks go through the pairs of networks in alphabetical order, a network with itself included if it has an edge.

    Raises:
        ValueError: If the number of labels does not fit the number of edges.
    """
    count = number_of_regions(edges.shape[-1])
    if len(networks) != count:
        raise ValueError(f"{len(networks)} network labels for {count} regions: give one label per region.")
    names = sorted(set(networks))
    code = torch.tensor([names.index(network) for network in networks])
    rows, columns = torch.triu_indices(count, count, offset=1)
    low, high = torch.minimum(code[rows], code[columns]), torch.maximum(code[rows], code[columns])
    block = torch.unique(low * len(names) + high, return_inverse=True)[1].to(edges.device)  # (E,)
    members = torch.nn.functional.one_hot(block).to(edges.dtype)  # (E, blocks)
    return edges @ (members / members.sum(0))


def _check_square(similarity: Tensor) -> None:
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or not len(similarity):
        raise ValueError(
            f"similarity is {tuple(similarity.shape)}, expected (S, S): a row and a column for the same subjects."
        )
    if bool(similarity.isnan().any()):
        raise ValueError("similarity holds NaN: nobody is found by it; see which prediction it comes from.")


def _check(prediction: Tensor, target: Tensor, train_mean: Tensor) -> None:
    means = (target.shape, target.shape[1:])
    if prediction.shape != target.shape or prediction.ndim != 2 or train_mean.shape not in means or not len(target):
        shapes = [tuple(value.shape) for value in (prediction, target, train_mean)]
        raise ValueError(f"prediction, target and train_mean are {shapes}; expected (S, E), (S, E) and (E,).")
    for name, value in (("prediction", prediction), ("target", target), ("train_mean", train_mean)):
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} has NaN or infinity: a diverged prediction has no score.")
