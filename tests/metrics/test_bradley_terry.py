"""Bradley-Terry: the textbook's 22 games, closed forms, another fit, and what has no finite estimate."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mmlab.metrics.bradley_terry import ELO, bradley_terry, design, weighted_logistic

RIVALS = Path(__file__).parents[2] / "benchmarks" / "results" / "rivals"
GAMES = [
    ("A", "B", 2),
    ("A", "D", 1),
    ("B", "A", 3),
    ("B", "C", 5),
    ("C", "B", 3),
    ("C", "D", 1),
    ("D", "A", 4),
    ("D", "C", 3),
]


def textbook() -> tuple[list[int], list[int]]:
    pairs = [("ABCD".index(a), "ABCD".index(b)) for a, b, n in GAMES for _ in range(n)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def test_the_textbook_example():
    first, second = textbook()
    fitted = bradley_terry(first, second, np.ones(22), 4)
    assert np.exp(fitted.strengths) == pytest.approx([0.640, 1.043, 0.660, 2.270], abs=5e-4)
    assert fitted.separated == ""


def test_two_systems_have_a_closed_form():
    fitted = bradley_terry([0] * 100, [1] * 100, [1] * 60 + [0] * 40, 2)
    gap = fitted.strengths[0] - fitted.strengths[1]
    assert gap == pytest.approx(math.log(60 / 40))
    assert gap * ELO == pytest.approx(70.4, abs=0.05)


def test_a_tie_is_half_a_win_for_each():
    ties = bradley_terry([0] * 5, [1] * 5, [1, 1, 0, 0.5, 0.5], 2)
    assert ties.strengths[0] - ties.strengths[1] == pytest.approx(math.log(3 / 2))


def test_neither_order_nor_sides_matter():
    first, second = textbook()
    plain = bradley_terry(first, second, np.ones(22), 4).strengths
    turned = bradley_terry(second[::-1], first[::-1], np.zeros(22), 4).strengths
    assert turned == pytest.approx(plain, abs=1e-7)


def test_it_is_the_logistic_regression_of_another_library():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    first = rng.integers(0, 4, 400)
    second = (first + rng.integers(1, 4, 400)) % 4
    side, length = np.ones(400), rng.normal(size=400)
    x = design(first, second, 4, np.stack([side, length], 1))
    y = (rng.random(400) < 1 / (1 + np.exp(-x @ [0.8, -0.3, 0.2, 0.4, 0.7]))).astype(float)
    weights = rng.integers(0, 4, 400).astype(float)
    other = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=500).fit(x, y, weights).coef_[0]
    assert weighted_logistic(x, y, weights[None])[0] == pytest.approx(other, abs=1e-4)
    ours = bradley_terry(first, second, y, 4, np.stack([side, length], 1), weights)
    assert ours.effects == pytest.approx(other[3:], abs=1e-4)
    assert ours.strengths.sum() == pytest.approx(0)


def test_many_weightings_at_once_are_single_fits():
    first, second = textbook()
    x, y = design(first, second, 4), np.ones(22)
    weights = np.random.default_rng(0).integers(1, 4, (5, 22)).astype(float)
    together = weighted_logistic(x, y, weights)
    alone = [weighted_logistic(x, y, w[None])[0] for w in weights]
    assert together == pytest.approx(np.array(alone), abs=1e-7)


@pytest.mark.parametrize(
    ("first", "second", "score", "systems", "covariate", "why"),
    [
        ([0, 0, 1], [1, 2, 2], [1, 1, 0.5], 3, None, "0 won every vote"),
        ([0, 0, 1], [1, 2, 2], [0, 0, 0.5], 3, None, "0 lost every vote"),
        ([0, 0, 2, 2], [1, 1, 3, 3], [1, 0, 1, 0], 4, None, "never compared"),
        # {0, 1} beats {2, 3} always, though each wins and loses
        ([0, 1, 2, 3, 0, 1], [1, 0, 3, 2, 2, 3], [1, 1, 1, 1, 1, 1], 4, None, "decides every vote"),
        ([0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0], 2, [1.0, -1.0, 2.0, -0.5], "decides every vote"),
    ],
)
def test_what_has_no_finite_estimate_is_said(first, second, score, systems, covariate, why):
    fitted = bradley_terry(first, second, score, systems, covariate)
    assert why in fitted.separated
    assert np.isfinite(fitted.strengths).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="two different systems"):
        bradley_terry([0], [0], [1], 2)
    with pytest.raises(ValueError, match="scores of shape"):
        bradley_terry([0], [1], [2], 2)
    with pytest.raises(ValueError, match="Covariates"):
        bradley_terry([0], [1], [1], 2, [[1.0], [2.0]])


def test_evalica_finds_the_same_strengths():
    """Six systems, 600 votes with ties; its answers were kept by ``benchmarks/rivals/run.py``."""
    kept = json.loads((RIVALS / "evalica.json").read_text(encoding="utf-8"))
    names = list(kept["bradley_terry"])
    first, second = ([names.index(vote[at]) for vote in kept["votes"]] for at in (0, 1))
    score = [{"first": 1.0, "second": 0.0, "tie": 0.5}[vote[2]] for vote in kept["votes"]]
    ours = bradley_terry(first, second, score, len(names)).strengths
    theirs = np.log(list(kept["bradley_terry"].values()))
    assert ours == pytest.approx(theirs - theirs.mean(), abs=1e-5)
