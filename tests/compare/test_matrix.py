"""The evaluation matrix keeps every item, decides by paired intervals, and finds who changes places; and identities."""

import numpy as np
import pytest
import torch

from mmlab.compare.matrix import EvaluationMatrix
from mmlab.metrics.classification import accuracy, macro_f1
from mmlab.metrics.text import bleu, rouge_l


def filled(seed: int = 0, gap: float = 0.3, count: int = 400) -> EvaluationMatrix:
    rng = np.random.default_rng(seed)
    matrix = EvaluationMatrix()
    for task, rates in {"a": (0.5 + gap / 2, 0.5 - gap / 2), "b": (0.5 - gap / 2, 0.5 + gap / 2)}.items():
        for model, rate in zip(("x", "y"), rates, strict=True):
            matrix.add(task, "d", model, rng.random(count) < rate)
    return matrix


def test_models_that_change_places_are_found_and_others_not() -> None:
    turns = filled().turns()
    assert [(t.first, t.second, t.better_in[0], t.worse_in[0]) for t in turns] == [("x", "y", "a", "b")]
    assert filled(gap=0.0).turns() == []
    assert filled().models("a", "d") == ["x", "y"]
    assert filled().models("b", "d") == ["y", "x"]


def test_the_correction_shares_the_chance_of_error() -> None:
    """Of equal models, uncorrected comparisons are decided about one time in twenty; corrected ones hardly ever."""
    wrong = {True: 0, False: 0}
    total = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        matrix = EvaluationMatrix()
        for model in "uvwxyz":
            matrix.add("t", "d", model, rng.random(200) < 0.5)
        assert matrix.comparisons() == 15
        total += 15
        for corrected in wrong:
            wrong[corrected] += len(matrix.decided(corrected=corrected)["t", "d"])
    assert 0.02 < wrong[False] / total < 0.09
    assert wrong[True] <= 6  # 5 % of 60 matrices, on average 3


def test_what_is_missing_stays_among_the_items() -> None:
    matrix = EvaluationMatrix()
    cell = matrix.add("t", "d", "m", [1, 1, 0, 0], refused=1, unreadable=1, seconds=2.0)
    assert (cell.score, cell.among_answered) == (0.5, 1.0)
    row = matrix.frame().iloc[0]
    assert (row["n"], row["refused"], row["unreadable"], row["seconds"]) == (4, 1, 1, 2.0)
    low, high = cell.interval()
    assert low == pytest.approx(0.0676, abs=1e-3)  # Clopper and Pearson for 2 of 4
    assert high == pytest.approx(0.9324, abs=1e-3)


def test_the_interval_of_a_mean_is_the_bootstrap_of_its_items() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(2, 3, 300)
    low, high = EvaluationMatrix().add("t", "d", "m", scores).interval()
    draws = rng.choice(scores, (4000, 300)).mean(1)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.004)


@pytest.mark.parametrize(
    ("scores", "how", "told"),
    [
        ([1, 0], {"refused": 2}, "stays among the items"),
        ([1, 2], {}, "from 0 to 1"),
        ([], {}, "from 0 to 1"),
        ([1, 0, 0], {}, "ask all the same"),
    ],
)
def test_what_cannot_be_is_refused(scores, how, told) -> None:
    matrix = EvaluationMatrix()
    matrix.add("t", "d", "other", [1, 0])
    with pytest.raises(ValueError, match=told):
        matrix.add("t", "d", "m", scores, **how)
    with pytest.raises(ValueError, match="there already"):
        matrix.add("t", "d", "other", [1, 0])
    with pytest.raises(KeyError, match="no cell"):
        matrix["t", "d", "nobody"]


def test_identities_of_the_metrics() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = torch.rand(50, 64, generator=rng) < 0.5, torch.rand(50, 64, generator=rng) < 0.6
    both, any_ = (one & other).sum(1), (one | other).sum(1)
    iou, dice = both / any_, 2 * both / (one.sum(1) + other.sum(1))
    assert torch.allclose(dice, 2 * iou / (1 + iou))
    label = torch.randint(3, (40,), generator=rng)
    said = torch.nn.functional.one_hot(torch.randint(3, (40,), generator=rng), 3).float()
    hits = [((said.argmax(1) == k) & (label == k)).sum() for k in range(3)]
    micro = 2 * sum(hits) / sum((said.argmax(1) == k).sum() + (label == k).sum() for k in range(3))
    assert float(micro) == pytest.approx(accuracy(said, label))
    each = [2 * h / ((said.argmax(1) == k).sum() + (label == k).sum()) for k, h in enumerate(hits)]
    assert macro_f1(said, label) == pytest.approx(float(sum(each) / 3))
    texts = ["a small red circle upper left", "a large blue cross lower right"]
    assert bleu(texts, [[text] for text in texts]) == pytest.approx(100)
    assert rouge_l(texts, [[text] for text in texts]).tolist() == [100, 100]
