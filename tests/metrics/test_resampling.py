"""Scores on resamples, beside the scores of the resampled texts themselves."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from mmlab.compare.bootstrap import bootstrap_metric
from mmlab.metrics.resampling import mean_of, resampled, sums_over_items
from mmlab.metrics.text import bleu, chrf, cider, exact_match, length_ratio, metaphor_recall, rouge_l

METRICS: dict[str, Any] = {
    "bleu": bleu,
    "chrf": chrf,
    "length_ratio": length_ratio,
    "rouge_l": mean_of(rouge_l),
    "cider": mean_of(cider),
    "exact_match": mean_of(exact_match),
    "metaphor_recall": mean_of(metaphor_recall),
}
WORDS = ["red", "blue", "cat", "dog", "sits", "on", "the", "mat", "don't", "кот", "猫", "\N{FIRE}", "1,000"]


def corpus(seed: int, items: int = 12) -> tuple[list[str], list[list[str]]]:
    """Texts of no to nine words, with one to three references each; some are the same, some share nothing."""
    rng = random.Random(seed)

    def text(most: int = 9) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(0, most)))

    references = [[text() or "a" for _ in range(rng.randint(1, 3))] for _ in range(items)]
    said = [rng.choice(texts) if rng.random() < 0.4 else text() for texts in references]
    return said, references


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("seed", range(4))
def test_a_resample_scores_as_its_texts_do(name: str, seed: int) -> None:
    metric, (said, references) = METRICS[name], corpus(seed)
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(said), (30, len(said)), generator=rng)
    drawn[0], drawn[1] = torch.arange(len(said)), 0  # every item once; one item only
    times = torch.stack([torch.bincount(row, minlength=len(said)) for row in drawn]).double()
    scores = resampled(metric, said, references)(times)
    for row, score in zip(drawn.tolist(), scores.tolist(), strict=True):
        expected = metric([said[i] for i in row], [references[i] for i in row])
        assert score == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_said_scores_as_it_does_alone(name: str) -> None:
    metric, references = METRICS[name], [["a cat"], ["a dog sits on the mat"], ["one"]]
    for said in (["", "", ""], ["a cat", "", "one"], ["x y z w v", "q", "r"]):
        score = resampled(metric, said, references)(torch.ones(1, 3, dtype=torch.float64))
        assert score.item() == pytest.approx(metric(said, references), abs=1e-12)


def test_any_other_score_is_computed_from_the_texts() -> None:
    def longest(candidates: Any, references: Any) -> float:
        return max(map(len, candidates))

    scores = resampled(longest, ["a", "abc", "ab"], [["x"]] * 3)
    assert scores(torch.tensor([[3, 0, 0], [1, 1, 1], [0, 0, 3]])).tolist() == [1, 3, 2]


def test_a_score_of_your_own_may_say_how_it_adds_up() -> None:
    calls = []

    def letters(candidates: Any, references: Any) -> float:
        calls.append(1)
        return sum(map(len, candidates)) / sum(len(texts[0]) for texts in references)

    sums_over_items(
        letters,
        lambda said, references: torch.tensor([[len(s), len(r[0])] for s, r in zip(said, references, strict=True)]),
        lambda sums: sums[:, 0] / sums[:, 1],
    )
    said, references = corpus(1)
    found = bootstrap_metric(said, said[::-1], references, letters, resamples=50)
    assert letters(said, references) - letters(said[::-1], references) == pytest.approx(found.difference)
    calls = calls[2:]
    assert not calls, "it was computed from texts"
    assert found.low <= found.difference <= found.high


def test_the_interval_is_that_of_the_slow_way() -> None:
    said, references = corpus(2, items=30)
    other = said[1:] + said[:1]
    fast = bootstrap_metric(said, other, references, bleu, resamples=40, seed=3)
    slow = bootstrap_metric(said, other, references, lambda c, r: bleu(c, r), resamples=40, seed=3)
    assert (fast.difference, fast.low, fast.high, fast.above) == pytest.approx(
        (slow.difference, slow.low, slow.high, slow.above), abs=1e-9
    )
