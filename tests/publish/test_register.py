"""The register of claims: a row for every claim of every card, decided by intervals, with an id that stays."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import jsonschema
import pytest

from mmlab.card import Card, Claim
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site import claims
from mmlab.registry import list_methods

ROOT = Path(__file__).parents[2]
CLAIM = Claim("Error rate", "group mean", "lower", published="12 % on toys", sure="read")
CARD = Card("Toy", "toys", "toy2020", "Plays.", ("a",), claims=(CLAIM, Claim("score", "chance", "higher", "sanity")))


def receipt(metrics: dict | None = None, **changes) -> Receipt:
    values = {
        "stem": "toy",
        "profile": "cpu",
        "status": "ok",
        "key": "0123456789abcdef",
        "inputs": {"modules": {"mmlab.data.worlds.toy_world": "x", "mmlab.fit": "y"}},
        "date": "2026-01-02T03:04:05+00:00",
        "seconds": 1.0,
        "peak_memory_mb": 1.0,
        "device": "a processor",
        "versions": {},
        "budget": {"seconds": 60, "memory_mb": 2000},
        "metrics": metrics or {},
    }
    return Receipt(**values | changes)


def row(metrics: dict | None, card: Card = CARD) -> dict:
    return claims.register({"toy": card}, {} if metrics is None else {"toy": receipt(metrics)})[0]


@pytest.mark.parametrize(
    ("metrics", "verdict", "n"),
    [
        ({"error_rate": [0.1, 0.12, 0.11], "group_mean": {"Error rate": [0.4, 0.41, 0.43]}}, "holds", 3),
        ({"error_rate": [0.4, 0.41, 0.43], "group_mean": {"Error rate": [0.1, 0.12, 0.11]}}, "does not hold", 3),
        ({"error_rate": [0.1, 0.3, 0.2], "group_mean": {"Error rate": [0.2, 0.2, 0.22]}}, "undecided", 3),
        ({"toy": {"error rate": 0.1}, "group mean": {"error_rate": 0.4}}, "undecided", 1),  # one run decides nothing
        ({"error_rate": {"Toy": [0.1, 0.11, 0.12], "group mean": 0.4}}, "holds", 3),
        ({"error_rate": {"hard": {"toy": [0.1, 0.11, 0.12], "group_mean": [0.4, 0.4, 0.4]}}}, "holds", 3),
        ({"error_rate": [0.1, 0.3]}, "not tried", None),
        ({"error_rate": "low", "group_mean": {"error_rate": True}}, "not tried", None),
        ({}, "not tried", None),
        (None, "not tried", None),
    ],
)
def test_the_verdict_is_that_of_the_paired_interval(metrics, verdict, n) -> None:
    found = row(metrics)
    assert (found["verdict"], found["n"]) == (verdict, n)
    if verdict == "holds":
        assert found["low"] < found["difference"] < found["high"] < 0


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("better", "holds"), ("worse", "does not hold"), ("equivalent", "does not hold"), ("undecided", "undecided")],
)
def test_the_claim_of_the_chapter_decides_before_anything_else(outcome, verdict) -> None:
    numbers = {"ours": 0.1, "theirs": 0.2, "difference": -0.1, "low": -0.3, "high": 0.1, "level": 0.95, "n": 40}
    made = numbers | {"outcome": outcome, "over": "items", "called": "people"}
    found = row({"claim:error-rate-vs-group-mean": made, "error_rate": 0.9, "group_mean": {"error_rate": 0.1}})
    assert (found["verdict"], found["n"], found["over"], found["low"]) == (verdict, 40, "people", -0.3)


def test_a_row_says_what_it_takes_to_check_it() -> None:
    found = row({})
    assert found["id"] == "toy/error-rate-vs-group-mean"
    assert (found["published"], found["published_sure"], found["paper"]) == ("12 % on toys", "read", "toy2020")
    assert found["setting"] == "synthetic: toy_world"
    assert found["command"] == "mmlab book execute toy"
    assert found["receipt"] == "notebooks/toy.html"
    shared = Card("Toy", "toys", "toy2020", "Plays.", ("a",), claims=(CLAIM,), chapter="toys")
    assert row({}, shared)["command"] == "mmlab book execute toys"


def test_papers_lead_and_controls_stand_apart() -> None:
    rows = claims.register({"a": CARD, "b": CARD}, {})
    assert [r["kind"] for r in rows] == ["paper", "paper", "sanity", "sanity"]
    text = claims.page(rows, "1.2")
    first, _, second = text.partition("## Controls of this book")
    assert "`a/error-rate-vs-group-mean`" in first
    assert "`a/score-vs-chance`" not in first
    assert "`a/score-vs-chance`" in second
    assert "2 claims of papers: 0 holds, 0 undecided, 0 does not hold, 2 not tried" in first
    assert '<a href="../claims.json">JSON</a>' in first
    assert "mm-filter" in first


def test_the_data_follow_their_schema_and_say_the_same() -> None:
    rows = claims.register(
        {"toy": CARD}, {"toy": receipt({"error_rate": [0.1, 0.2], "group_mean_error_rate": [0.4, 0.5]})}
    )
    whole = json.loads(claims.as_json(rows, "1.2"))
    jsonschema.validate(whole, claims.SCHEMA)
    assert (whole["version"], whole["date"]) == ("1.2", "2026-01-02")
    lines = list(csv.DictReader(io.StringIO(claims.as_csv(rows))))
    assert list(lines[0]) == list(claims.COLUMNS)
    assert [line["id"] for line in lines] == [r["id"] for r in whole["claims"]]
    assert float(lines[0]["ours"]) == whole["claims"][0]["ours"]
    assert lines[1]["ours"] == ""  # nothing was measured
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(whole | {"claims": [rows[0] | {"verdict": "surely"}]}, claims.SCHEMA)


def test_every_claim_of_every_card_is_in_the_register_once() -> None:
    cards = list_methods()
    found = claims.register(cards, {})
    assert len(found) == sum(len(card.claims) for card in cards.values()) > 20
    ids = [r["id"] for r in found]
    assert len(ids) == len(set(ids))
    for r in found:
        assert bool(r["published"]) == bool(r["published_sure"]), f"{r['id']}: say how the published number is known"


def test_ids_never_change() -> None:
    listed = (ROOT / "tests" / "publish" / "claim_ids.txt").read_text(encoding="utf-8").split("\n")
    known = {line.removesuffix(" (retired)") for line in listed if line}
    retired = {line.removesuffix(" (retired)") for line in listed if line.endswith(" (retired)")}
    present = {claims.claim_id(stem, claim) for stem, card in list_methods().items() for claim in card.claims}
    assert not known - retired - present, "ids are gone: give the claim its old name=, or mark the line as (retired)"
    assert not present & retired, "a retired id must not be used again: give the new claim another name="
    assert not present - known, "new claims: add their ids to tests/publish/claim_ids.txt, where they stay for good"


def test_no_cell_of_the_table_is_a_formula() -> None:
    for text in ("=1+1", "+1", "-1+cmd", "@SUM(A1)", "\tx"):
        line = next(csv.DictReader(io.StringIO(claims.as_csv([{"metric": text, "id": -0.5}]), newline="")))
        assert line["metric"] == f"'{text}"
        assert line["id"] == "-0.5", "a number is a number"


def test_a_page_quotes_the_sentence_that_the_run_decided() -> None:
    runs = {"toy": receipt({"claim:toy-and-mean": {"sentence": "- It is |a| here."}})}
    text = "| <!-- claim: toy toy-and-mean --> It was not. |"
    assert claims.quoted(text, "book/a", runs) == r"| It is \|a\| here. It was not. |"
    assert claims.quoted("<!-- claim: toy another -->", "book/a", runs) == "(This run had no reason to ask more.)"
    with pytest.raises(ValueError, match=r"book/a\.md quotes the claim 'toy-and-mean' of the chapter 'play'"):
        claims.quoted("<!-- claim: play toy-and-mean -->", "book/a", runs)
