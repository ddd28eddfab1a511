"""The world of check-ups: who shows and tells which fact, and how far what is shared can lead."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.worlds.checkup_world import FACTS, SHARED, TOLD, WORDS, checkup_world, draw_ecg, draw_xray, sentence_of

SEEN = {"xray": ("size", "wires", "axis", "congestion", "effusion"), "ecg": ("size", "wires", "axis", "rate", "st")}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fact", FACTS)
def test_an_examination_changes_with_the_facts_that_it_shows_and_with_no_other(fact: str) -> None:
    facts = torch.ones(1, 7, dtype=torch.long)
    other = facts.clone()
    other[0, list(FACTS).index(fact)] = 2
    for name, draw in (("xray", draw_xray), ("ecg", draw_ecg)):
        changed = not torch.equal(draw(facts, rng()), draw(other, rng()))
        assert changed == (fact in SEEN[name]), name


def test_reports_tell_the_told_facts_and_leave_some_out() -> None:
    assert set(SHARED) - set(TOLD) == {"axis"}
    world = checkup_world(items=400, omitted=0.0)
    part = world.pairs.tensors
    columns, start = list(FACTS), 0
    for group, name in zip(WORDS, TOLD, strict=True):
        assert len(group) == FACTS[name]
        said = part["report"][:, start : start + len(group)]
        assert torch.equal(said.argmax(1), part["facts"][:, columns.index(name)])
        assert torch.equal(said.sum(1), torch.ones(400))
        start += len(group)
    some = checkup_world(items=2000, omitted=0.25).pairs.tensors["report"].sum(1).mean()
    assert float(some) == pytest.approx(0.75 * len(TOLD), abs=0.1)
    assert sentence_of(torch.zeros(start)) == "nothing to report"
    assert sentence_of(part["report"][0]).count(", ") == len(TOLD) - 1


def test_in_training_nobody_had_both_and_in_the_test_everybody() -> None:
    world = checkup_world(items=40, validation=3, test=5)
    train, test = world.pairs.tensors, world.parts["test"].tensors
    assert not (train["xray_present"] & train["ecg_present"]).any()
    assert (train["xray_present"] | train["ecg_present"]).all()
    assert test["xray_present"].all()
    assert test["ecg_present"].all()
    again = checkup_world(items=40, validation=3, test=5).parts["test"].tensors
    assert all(torch.equal(value, again[name]) for name, value in test.items())


def test_who_knows_a_fact_guesses_among_equals() -> None:
    """The right one is first with probability (K / n) (1 - (1 - 1/K)^n)."""
    world, first, tries = checkup_world(items=4, validation=1, test=1), 0, 400
    for n in range(tries):
        facts = torch.randint(0, 6, (20, 1), generator=rng(n)).expand(20, 7)
        s = world.known(facts, ("size",), rng(n))
        first += int((s.argmax(1) == torch.arange(20)).sum())
    assert first / tries / 20 == pytest.approx(6 / 20 * (1 - (5 / 6) ** 20), abs=0.015)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="omitted=1"):
        checkup_world(omitted=1.0)
    with pytest.raises(ValueError, match="items"):
        checkup_world(items=2)
