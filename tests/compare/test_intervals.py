"""Paired intervals cover as often as they say, and a decision follows from its interval alone."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from mmlab.compare.intervals import decide, item_interval, paired_interval


def coverage(draw, truth: float, level: float = 0.95, runs: int = 400) -> float:
    """Share of intervals that hold the truth."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(runs):
        low, high, *_ = draw(rng, level)
        held += low <= truth <= high
    return held / runs


# 400 intervals: the share has a standard deviation of 0.011 (at 0.95) to 0.015 (at 0.9).
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_over_seeds_covers_as_it_says(n: int, level: float) -> None:
    share = coverage(lambda rng, at: paired_interval(rng.normal(0.3, 2.0, n), at), 0.3, level)
    assert level - 0.045 < share < level + 0.04


@pytest.mark.parametrize("n", [10, 40, 150])
def test_the_bootstrap_over_items_covers_as_it_says(n: int) -> None:
    share = coverage(lambda rng, at: item_interval(rng.normal(1.0, 1.0, n), np.zeros(n), level=at), 1.0)
    assert 0.915 < share < 0.985


def test_the_bootstrap_covers_skewed_items() -> None:
    share = coverage(lambda rng, at: item_interval(rng.exponential(1.0, 60), np.full(60, 0.5), level=at), 0.5)
    assert share > 0.9


@pytest.mark.parametrize(("n", "p"), [(20, 0.9), (50, 0.5), (200, 0.97)])
def test_the_interval_of_right_answers_covers_against_a_constant(n: int, p: float) -> None:
    share = coverage(lambda rng, at: item_interval((rng.random(n) < p) * 1.0, np.full(n, 0.25), level=at), p - 0.25)
    assert share > 0.935


@pytest.mark.parametrize(("n", "disagree"), [(20, 0.15), (60, 0.4), (300, 0.05)])
def test_the_interval_of_right_answers_covers_against_a_rival(n: int, disagree: float) -> None:
    def draw(rng, level):
        theirs = (rng.random(n) < 0.7) * 1.0
        ours = np.where(rng.random(n) < disagree, (rng.random(n) < 0.5) * 1.0, theirs)
        return item_interval(ours, theirs, level=level)

    # Where they do not agree, ours is right half of the time, theirs seven times in ten.
    assert coverage(draw, -0.2 * disagree) > 0.93


def test_items_of_one_person_are_drawn_together() -> None:
    people = np.repeat(np.arange(15), 8)

    def draw(rng, level, clusters):
        gaps = rng.normal(0, 1, 15)[people] + 0.3 * rng.normal(0, 1, len(people))
        return item_interval(gaps, np.zeros(len(people)), clusters=clusters, level=level)

    assert coverage(lambda rng, at: draw(rng, at, people), 0.0) > 0.92
    assert coverage(lambda rng, at: draw(rng, at, None), 0.0) < 0.7  # what forgetting the clusters does


def test_clusters_of_different_sizes_keep_their_weight() -> None:
    found = decide([1, 1, 1, 0], 0.5, direction="higher", over="items", clusters=["a", "a", "a", "b"])
    assert found.difference == pytest.approx(0.25)
    assert found.n == 2


@pytest.mark.parametrize(
    ("ours", "theirs", "direction", "outcome"),
    [
        ([2.0, 2.1, 2.2], [1.0, 1.15, 1.3], "higher", "better"),
        ([2.0, 2.1, 2.2], [1.0, 1.15, 1.3], "lower", "worse"),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0], "higher", "undecided"),
        ([0.9, 0.92, 0.91], 0.5, "higher", "better"),
        ([0.9, 0.92, 0.91], 0.95, "higher", "worse"),
        ([0.9], [0.1], "higher", "undecided"),
        ([0.9], 0.1, "higher", "undecided"),
        ([0.9, 0.9], [0.1, 0.1], "higher", "undecided"),  # two runs that agree by chance
        ([0.9, 0.9, 0.9], 0.1, "higher", "better"),
    ],
)
def test_what_seeds_decide(ours, theirs, direction, outcome) -> None:
    assert decide(ours, theirs, direction=direction).outcome == outcome


@pytest.mark.parametrize(
    ("gaps", "outcome"),
    [
        ([0.001, -0.001, 0.0005], "equivalent"),
        ([0.0021, 0.0022, 0.002], "equivalent"),  # surely above zero, and surely too little to matter
        ([0.10, 0.11, 0.12], "better"),
        ([-0.10, -0.11, -0.12], "worse"),
        ([0.2, -0.2, 0.1], "undecided"),
    ],
)
def test_a_margin_decides_what_is_as_good(gaps, outcome) -> None:
    assert decide(gaps, [0.0, 0.0, 0.0], direction="higher", margin=0.01).outcome == outcome


def test_a_margin_reads_the_same_from_both_sides() -> None:
    one = decide([0.1, 0.11, 0.12], [0.0, 0.0, 0.0], direction="lower", margin=0.01)
    assert one.outcome == "worse"
    assert (one.low > 0, one.difference) == (True, pytest.approx(0.11))  # ours minus theirs, whatever is better


def test_few_items_that_all_agree_decide_little() -> None:
    assert decide([1] * 5, 0.9, direction="higher", over="items").outcome == "undecided"
    assert decide([1] * 50, 0.9, direction="higher", over="items").outcome == "better"
    same = decide([1] * 5, [1] * 5, direction="higher", over="items", margin=0.05)
    assert same.outcome == "undecided"
    same = decide([1, 0] * 200, [1, 0] * 200, direction="higher", over="items", margin=0.05)
    assert same.outcome == "equivalent"
    assert decide([1.0, 1.0], 0.5, direction="higher", over="items", clusters="aa").outcome == "undecided"


def test_all_kinds_of_values_are_the_same() -> None:
    values = [0.5, 0.25, 1.0]
    expected = decide(values, [0.0, 0.5, 0.25], direction="higher")
    for kind in (np.array, torch.tensor, tuple, pd.Series):
        assert decide(kind(values), kind([0.0, 0.5, 0.25]), direction="higher") == expected


def test_series_are_matched_by_their_index() -> None:
    ours = pd.Series([1.0, 2.0, 3.0], index=[0, 1, 2])
    theirs = pd.Series([2.9, 1.0, 2.1], index=[2, 0, 1])
    found = decide(ours, theirs, direction="higher")
    assert found.high - found.low < 0.6  # as they stand the differences would be -1.9, 1 and 0.9
    with pytest.raises(ValueError, match="same seeds or items"):
        decide(ours, pd.Series([1.0, 2.0, 3.0]).set_axis([1, 2, 3]), direction="higher")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"theirs": [1.0, 2.0]}, "3 values and theirs 2"),
        ({"ours": [1.0, math.nan, 2.0]}, "not finite"),
        ({"theirs": math.inf}, "not finite"),
        ({"ours": []}, "no values"),
        ({"ours": [[1.0, 2.0], [2.0, 3.0]]}, None),
        ({"ours": torch.ones(3, 4)}, r"the shape \(3, 4\)"),
        ({"direction": "up"}, "'higher' or 'lower'"),
        ({"over": "people"}, "'seeds' or to 'items'"),
        ({"clusters": ["a", "b", "c"]}, "over='items'"),
        ({"clusters": ["a"], "over": "items"}, "1 names of clusters for 3"),
        ({"margin": -1.0}, "margin=-1.0"),
        ({"level": 95}, "level=95"),
    ],
)
def test_what_cannot_be_decided_is_refused(arguments, words) -> None:
    given = {"ours": [1.0, 2.0, 3.0], "theirs": [1.0, 2.0, 2.5], "direction": "higher"} | arguments
    with pytest.raises((ValueError, TypeError), match=words):
        decide(**given)


def test_a_system_that_is_always_right_is_no_constant() -> None:
    """Which of two systems comes first changes the sign and nothing else; one miss of 240 decides nothing."""
    one_miss, always = np.ones(240), np.ones(240)
    one_miss[0] = 0.0
    forth, back = item_interval(one_miss, always), item_interval(always, one_miss)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.low < 0 < forth.high
    assert decide(one_miss, always, direction="higher", over="items").outcome == "undecided"
    assert decide(one_miss, 1.0, direction="higher", over="items").outcome == "worse", "a number is known"
