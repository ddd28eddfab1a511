"""Bradley-Terry: strengths of systems from votes between two of them, with covariates, weights and separation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ELO", "BradleyTerry", "bradley_terry", "design", "separation", "weighted_logistic"]

ELO = 400 / math.log(10)
"""Elo points of one unit of strength."""
_MOST = 30.0  # a coefficient beyond it stands for infinity
_ROUNDS = 40
_AT_ONCE = 4_000_000  # numbers in one piece of the weighted fits


@dataclass(frozen=True, eq=False)
class BradleyTerry:
    """Fitted strengths.

    Attributes:
        strengths: Log-odds (K,) with mean zero: system a beats b with the odds exp(strength a - strength b).
        effects: Coefficient of each covariate, (P,), per unit of it in favour of the first of the two.
        separated: Why some strength has no finite estimate; empty if all have one.
    """

    strengths: NDArray[np.float64]
    effects: NDArray[np.float64]
    separated: str = ""


def bradley_terry(
    first: ArrayLike,
    second: ArrayLike,
    score: ArrayLike,
    systems: int,
    covariates: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> BradleyTerry:
    """Maximum likelihood of Bradley and Terry (1952): a logistic regression on differences.

    Args:
        first: Index of the system that stands first in each vote, (n,).
        second: Index of the other one, (n,).
        score: What the first got, (n,): 1 for a win, 0 for a loss, 0.5 for a tie, which counts as half a win for each.
        systems: Number of systems, K.
        covariates: What else may decide, (n, P), as the first's value minus the second's: length, or 1 for the side.
        weights: How often each vote counts, (n,); 1 if None.

    Returns:
        The strengths; where the votes cannot bound one (a system won all its votes, or nobody compared two groups),
        they are still finite numbers, but ``separated`` says so, and they are not to be used.

    Raises:
        ValueError: If the arrays do not fit together.
    """
    x = design(first, second, systems, covariates)
    y = np.asarray(score, dtype=np.float64)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    if y.shape != (len(x),) or w.shape != y.shape or not ((y >= 0) & (y <= 1)).all() or not (w >= 0).all():
        raise ValueError(
            f"There are {len(x)} votes, with scores of shape {y.shape} and weights of shape {w.shape}: "
            "give one score in [0, 1] and one weight of 0 or more for each."
        )
    beta = weighted_logistic(x, y, w[None])[0]
    strengths = np.append(beta[: systems - 1], 0.0)
    return BradleyTerry(strengths - strengths.mean(), beta[systems - 1 :], separation(x[w > 0], y[w > 0], systems))


def design(
    first: ArrayLike, second: ArrayLike, systems: int, covariates: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Rows of the regression, (n, K - 1 + P): +1 for the first, -1 for the second, the last system being zero.

    Raises:
        ValueError: If the arrays do not fit together, or a vote is between a system and itself.
    """
    a, b = np.asarray(first, dtype=int), np.asarray(second, dtype=int)
    fitting = a.shape == b.shape and a.ndim == 1 and len(a) > 0 and systems > 1
    if not fitting or min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= systems or (a == b).any():
        raise ValueError(f"Votes need two different systems each, numbered from 0 to {systems - 1}, and two systems.")
    x = np.zeros((len(a), systems))
    rows = np.arange(len(a))
    x[rows, a], x[rows, b] = 1, -1
    x = x[:, : systems - 1]
    if covariates is None:
        return x
    extra = np.asarray(covariates, dtype=np.float64)
    extra = extra[:, None] if extra.ndim == 1 else extra
    if len(extra) != len(a) or not np.isfinite(extra).all():
        raise ValueError(f"Covariates of shape {extra.shape} do not fit {len(a)} votes, or are not finite.")
    return np.hstack([x, extra])


def weighted_logistic(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logistic regressions without intercept on one set of rows under many weightings, by Newton's method.

    Rows that are equal are put together first, so that ten thousand resamples of a competition cost seconds.

    Args:
        x: Rows, (n, p).
        y: What happened, in [0, 1], (n,).
        weights: Weight of each row in each fit, (B, n).

    Returns:
        Coefficients (B, p). Where a fit has no finite maximum, they run to a bound of 30.
    """
    rows, group = np.unique(x, axis=0, return_inverse=True)
    gather = np.zeros((len(x), len(rows)))
    gather[np.arange(len(x)), group.reshape(-1)] = 1
    found = []
    for start in range(0, len(weights), piece := max(1, _AT_ONCE // max(len(rows), len(x)))):
        part = weights[start : start + piece]
        found.append(_newton(rows, part @ gather, (part * y) @ gather))
    return np.concatenate(found)


def _newton(x: NDArray[np.float64], total: NDArray[np.float64], won: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients (B, p) of rows (n, p) that were drawn ``total`` times and won ``won`` times, both (B, n)."""
    p = x.shape[1]
    squares = (x[:, :, None] * x[:, None, :]).reshape(len(x), p * p)
    beta = np.zeros((len(total), p))
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(beta @ x.T, -_MOST, _MOST)))
        gradient = (won - total * chance) @ x
        curvature = ((total * chance * (1 - chance)) @ squares).reshape(-1, p, p)
        # The ridge moves nothing where there is curvature; it keeps apart what the votes do not compare.
        step = np.linalg.solve(curvature + 1e-9 * np.eye(p), gradient[:, :, None])[:, :, 0]
        step *= np.minimum(1, 3 / np.maximum(np.abs(step).max(1, keepdims=True), 1e-12))
        beta = np.clip(beta + step, -_MOST, _MOST)
        if np.abs(step).max() < 1e-9:
            break
    return beta


def separation(x: NDArray[np.float64], y: NDArray[np.float64], systems: int, names: Sequence[str] = ()) -> str:
    """Why the likelihood has no finite maximum, as a sentence; empty if it has one (Albert and Anderson 1984).

    Args:
        x: Rows of :func:`design`, (n, p).
        y: Scores, (n,).
        systems: Number of systems, K.
        names: Their names; numbers if there are none.
    """
    names = names or [str(i) for i in range(systems)]
    if np.linalg.matrix_rank(x) < x.shape[1]:
        return "Some systems, or covariates, were never compared with others: their strengths cannot be told."
    wins = np.zeros((systems, systems))
    sides = np.hstack([x[:, : systems - 1], -x[:, : systems - 1].sum(1, keepdims=True)])
    a, b = sides.argmax(1), sides.argmin(1)
    np.add.at(wins, (a, b), y)
    np.add.at(wins, (b, a), 1 - y)
    for at in range(systems):
        if not wins[at].sum() or not wins[:, at].sum():
            return f"{names[at]} {'lost' if wins[:, at].sum() else 'won'} every vote: its strength has no bound."
    from scipy.optimize import linprog

    # Is there a direction along which no vote gets less likely, and one gets more likely? A tie holds in both ways.
    signs = np.where(y == 1, 1.0, -1.0)[:, None] * x
    ties = (y > 0) & (y < 1)
    equal = x[ties] if ties.any() else None
    clear = signs[~ties]
    if not len(clear):
        return ""
    found = linprog(
        -clear.sum(0),
        A_ub=-clear,
        b_ub=np.zeros(len(clear)),
        A_eq=equal,
        b_eq=None if equal is None else np.zeros(len(equal)),
        bounds=(-1, 1),
    )
    if found.status == 0 and float(found.fun or 0.0) < -1e-7:
        return "A group of systems, or a covariate, decides every vote between them: its coefficient has no bound."
    return ""
