"""Rows of several runs become means, spreads, and the set that is tied with the best."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from mmlab.compare.seeds import over_seeds

VALUES = {
    "ours": [0.80, 0.90, 0.70],
    "level": [0.79, 0.91, 0.69],  # as good, seed by seed
    "far": [0.50, 0.60, 0.41],
    "noisy": [0.10, 1.20, 0.65],
}


def frame(**more: list[float]) -> pd.DataFrame:
    rows = [
        {"method": name, "seed": seed, "accuracy": value, "error": 1 - value, "note": "text"}
        for name, values in (VALUES | more).items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_mean_and_spread_are_those_of_the_runs() -> None:
    found = over_seeds(frame())
    assert list(found.mean.index) == ["ours", "level", "far", "noisy"]
    assert list(found.mean.columns) == ["accuracy", "error"]
    assert found.mean.loc["ours", "accuracy"] == pytest.approx(0.8)
    assert found.spread.loc["ours", "accuracy"] == pytest.approx(0.1)
    assert found.n == 3
    assert found.of("far", "error").tolist() == pytest.approx([0.5, 0.4, 0.59])


def test_the_tied_set_is_what_the_pairs_do_not_tell_apart() -> None:
    found = over_seeds(frame())
    assert found.tied("accuracy", "higher") == ["ours", "level", "noisy"]
    assert found.tied("error", "lower") == ["ours", "level", "noisy"]
    assert found.tied("accuracy", "higher", without=["ours", "noisy"]) == ["level"]
    assert found.against("ours", "far", "accuracy", "higher").outcome == "better"


def test_a_row_without_randomness_counts_for_every_seed() -> None:
    found = over_seeds(frame(chance=[0.25]))
    assert found.of("chance", "accuracy").tolist() == [0.25] * 3
    assert math.isnan(found.spread.loc["chance", "accuracy"])
    assert found.tied("accuracy", "higher") == ["ours", "level", "noisy"]


def test_an_indexed_frame_is_the_same_in_any_order() -> None:
    one = over_seeds(frame())
    other = over_seeds(frame().sample(frac=1, random_state=0).set_index(["method", "seed"]), order=list(VALUES))
    assert one.mean.equals(other.mean) or (one.mean - other.mean).abs().max().max() < 1e-12
    assert one.tied("accuracy", "higher") == other.tied("accuracy", "higher")


def test_a_single_run_ties_nothing() -> None:
    found = over_seeds(frame()[lambda rows: rows["seed"] == 0])
    assert (found.n, found.tied("accuracy", "higher")) == (1, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop(columns="seed"), "no column 'seed'"),
        (lambda rows: rows.iloc[1:], "'ours' lacks 0"),
        (lambda rows: pd.concat([rows, rows.iloc[:1]]), "'ours' has 0 twice"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        over_seeds(change(frame()), order=["level", "ours", "far"])


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="There is no 'f1' of 'ours'"):
        over_seeds(frame()).of("ours", "f1")
    with pytest.raises(ValueError, match="no row 'theirs'"):
        over_seeds(frame(), order=["theirs"])
