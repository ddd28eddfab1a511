"""A claim prints the sentence that the run decides, and refuses a run for whose outcome none was written."""

from __future__ import annotations

import json
import re

import pytest

from mmlab.viz import claim, claimed

OURS, THEIRS = [0.10, 0.12, 0.11], [0.20, 0.23, 0.22]
SENTENCES = {
    "better": "Ours is closer: {ours} against {theirs}.",
    "worse": "Theirs is closer.",
    "undecided": "They cannot be told apart.",
}


def said(ours=OURS, theirs=THEIRS, direction="lower", **more):
    return claimed("ours-beats-theirs", ours, theirs, **{"direction": direction} | SENTENCES | more)


def test_the_sentence_is_the_one_that_fits() -> None:
    assert said().startswith("Ours is closer: 0.110 against 0.217 (difference −0.107, 95 % interval −0.")
    assert said().endswith(", 3 seeds).")
    assert said(direction="higher").startswith("Theirs is closer (")
    assert said([0.1, 0.3, 0.2], [0.2, 0.2, 0.2]).startswith("They cannot be told apart (")


def test_one_run_decides_nothing_and_says_so() -> None:
    assert said([0.1], [0.9]) == "They cannot be told apart (difference −0.800; a single run, which decides nothing)."


@pytest.mark.parametrize(("outcome", "direction"), [("better", "lower"), ("worse", "higher")])
def test_a_run_without_its_sentence_is_refused(outcome, direction) -> None:
    with pytest.raises(ValueError, match=f"'ours-beats-theirs' is {outcome} in this run.*add {outcome}="):
        said(direction=direction, **{outcome: None})


def test_an_undecided_run_and_an_equivalent_one_need_their_sentences() -> None:
    with pytest.raises(ValueError, match="is undecided in this run"):
        said([0.1], [0.9], undecided=" ")
    with pytest.raises(ValueError, match="is equivalent in this run"):
        said([0.1, 0.101, 0.102], [0.1, 0.1011, 0.102], margin=0.05)
    assert said([0.1, 0.101, 0.102], [0.1, 0.1011, 0.102], margin=0.05, equivalent="As good.").startswith("As good (")


def test_numbers_stand_where_they_are_named_and_the_interval_only_once() -> None:
    text = said(better="From {low} to {high} by {gap} over {n}; {extra:.1f}, {ours:.3f}.", extra=2.04)
    assert "(" not in text
    assert text.startswith("From −0.")
    assert text.endswith("over 3; 2.0, 0.110.")
    with pytest.raises(ValueError, match=r"names \{our\}; there are \{ours\}"):
        said(better="Of {our}.")


def test_shares_are_printed_in_per_cent_and_their_differences_in_points() -> None:
    text = said([1, 1, 1, 0] * 10, 0.25, "higher", over="items", unit="%")
    assert text.startswith("Ours is closer: 75 % against 25 % (difference +50 points, 95 % interval +")
    assert text.endswith("points, 40 items).")
    text = said([3.5, 3.6, 3.7], 1.25, "higher", unit="dB", called="worlds", digits=1)
    assert text.startswith("Ours is closer: 3.6 dB against 1.2 dB (difference +2.4 dB")
    assert text.endswith("3 worlds).")


def test_a_claim_is_displayed_and_reaches_the_receipt_once(tmp_path, monkeypatch, capsys) -> None:
    target = tmp_path / "metrics.jsonl"
    monkeypatch.setenv("MMLAB_METRICS", str(target))
    claim("ours-beats-theirs", OURS, THEIRS, direction="lower", **SENTENCES)
    assert capsys.readouterr().out.startswith("Ours is closer: 0.110 ")
    (entry,) = json.loads(target.read_text()).items()
    name, found = entry
    assert name == "claim:ours-beats-theirs"
    assert (found["outcome"], found["n"], found["over"], found["direction"]) == ("better", 3, "seeds", "lower")
    assert found["low"] < found["difference"] < found["high"] < 0
    assert found["sentence"].startswith("Ours is closer")
    claim("one-run", [0.1], [0.2], direction="lower", **SENTENCES)  # an interval without ends is no JSON
    with pytest.raises(ValueError, match="recorded before"):
        claim("one-run", [0.1], [0.2], direction="lower", **SENTENCES)


@pytest.mark.parametrize("name", ["Ours beats theirs", "ours_beats", "", "-a", "a--b"])
def test_a_name_that_is_none_is_refused_with_one(name) -> None:
    with pytest.raises(ValueError, match=r"lower-case words with hyphens, such as '[a-z-]+'"):
        claimed(name, OURS, THEIRS, direction="lower", **SENTENCES)


def test_values_that_cannot_be_compared_name_the_claim() -> None:
    with pytest.raises(ValueError, match=r"'ours-beats-theirs' cannot be decided\. Ours has 3 values and theirs 2"):
        said(OURS, THEIRS[:2])


def test_braces_of_formulas_and_roles_stay() -> None:
    roles = r"As {doc}`i2m2` and {py:func}`~mmlab.fit` say, "
    assert said(better=roles + r"$\frac{a}{b} = {ours}$ by {low}.").startswith(roles + r"$\frac{a}{b} = 0.110$ by −0.1")


def test_no_end_of_an_interval_without_zero_is_printed_as_zero() -> None:
    text = said([1.01486, 1.02486, 1.03486], [1.0, 1.0, 1.0], "higher")
    low, high = re.search(r"interval \+([\d.]+) to \+([\d.]+)", text).groups()
    assert 0 < float(low) < 1e-4
    assert float(high) == pytest.approx(0.0497, abs=1e-4)


@pytest.mark.parametrize("text", ["<script>", "$\\href{javascript:alert(1)}{x}$", "[a](b)", "http://x.example", "`x`"])
def test_words_of_data_make_no_markup_in_a_sentence(text) -> None:
    assert said(better="{who} is closer.", who="the “bridge” (1 of 2), 5 % & more").startswith("the “bridge” (1 of 2),")
    with pytest.raises(ValueError, match="is markup; give words"):
        said(better="{who} is closer.", who=f"a {text} b")
    with pytest.raises(ValueError, match="is markup; give words"):
        said(called=text)
