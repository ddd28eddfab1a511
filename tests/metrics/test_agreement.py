"""Agreement: the standard examples of the literature, closed forms, and what must not matter."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mmlab.metrics.agreement import fleiss_kappa, krippendorff_alpha, value_counts

RIVALS = Path(__file__).parents[2] / "benchmarks" / "results" / "rivals"
# Krippendorff's example: four observers, twelve units, gaps.
OBSERVERS = ("1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 .")
# Fleiss' example: fourteen raters, ten units, five values.
FLEISS = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip


def example() -> tuple[np.ndarray, list[int]]:
    rows = [(unit, int(value)) for line in OBSERVERS for unit, value in enumerate(line.split()) if value != "."]
    return value_counts(*zip(*rows, strict=True))


@pytest.mark.parametrize(
    ("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_of_the_standard_example(scale, alpha):
    counts, values = example()
    assert krippendorff_alpha(counts, scale, values) == pytest.approx(alpha, abs=5e-4)


def test_kappa_of_the_standard_example():
    assert fleiss_kappa(FLEISS) == pytest.approx(0.2099, abs=5e-5)


def test_alpha_by_counting_pairs():
    """The definition, pair by pair: what two values of a unit disagree by, over what any two values do."""
    rng = np.random.default_rng(0)
    answers = [[int(v) for v in rng.integers(0, 3, rng.integers(1, 5))] for _ in range(15)]
    kept = [unit for unit in answers if len(unit) > 1]
    observed = sum(sum(a != b for a in unit for b in unit) / (len(unit) - 1) for unit in kept)
    pooled = [value for unit in kept for value in unit]
    expected = sum(a != b for a in pooled for b in pooled) / (len(pooled) - 1)
    rows = [(i, value) for i, unit in enumerate(answers) for value in unit]
    assert krippendorff_alpha(value_counts(*zip(*rows, strict=True))[0]) == pytest.approx(1 - observed / expected)


def test_alpha_and_kappa_agree_for_many_raters_and_are_zero_by_chance():
    rng = np.random.default_rng(1)
    counts = rng.multinomial(20, [0.5, 0.3, 0.2], size=2000)
    assert abs(fleiss_kappa(counts)) < 0.01
    assert abs(krippendorff_alpha(counts)) < 0.01


def test_perfect_agreement_and_nothing_to_agree_about():
    assert krippendorff_alpha([[3, 0], [0, 2]]) == 1
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1
    assert math.isnan(krippendorff_alpha([[3, 0], [2, 0]]))
    assert math.isnan(krippendorff_alpha([[1, 0], [0, 1]]))


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="no table"):
        krippendorff_alpha([[0.5, 1]])
    with pytest.raises(ValueError, match="krippendorff_alpha where it differs"):
        fleiss_kappa([[3, 0], [1, 0]])
    with pytest.raises(ValueError, match="choose one of nominal"):
        krippendorff_alpha([[1, 1]], "rank")


def test_evalica_finds_the_same_alphas():
    """Five raters, forty units, gaps; its answers were kept by ``benchmarks/rivals/run.py``."""
    kept = json.loads((RIVALS / "evalica.json").read_text(encoding="utf-8"))
    rows = [(unit, value) for rater in kept["ratings"] for unit, value in enumerate(rater) if value is not None]
    counts, values = value_counts(*zip(*rows, strict=True))
    for scale, alpha in kept["alpha"].items():
        assert krippendorff_alpha(counts, scale, values) == pytest.approx(alpha, abs=1e-9), scale
