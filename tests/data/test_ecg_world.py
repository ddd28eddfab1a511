"""Drawn heartbeats: the law is as written, reports name signs alone, and each sign changes the waves."""

from __future__ import annotations

import math

import pytest
import torch

from mmlab.data.worlds.ecg_world import (
    FINDINGS,
    PROPOSED,
    SIGNS,
    ecg_world,
    signs_of,
    tokens_of,
    waves_of,
    words_of,
)

NAMES = list(FINDINGS)


def test_same_arguments_give_the_same_records_and_names_change_reports_alone() -> None:
    one, again, other = ecg_world().draw(30, 1), ecg_world().draw(30, 1), ecg_world().draw(30, 2)
    assert torch.equal(one.ecg, again.ecg)
    assert not torch.equal(one.ecg, other.ecg)
    said = ecg_world(named=0.5).draw(30, 1)
    assert torch.equal(one.ecg, said.ecg)
    assert not torch.equal(one.report, said.report)
    assert len(one.first(7)) == 7
    assert ecg_world(items=9).pairs.tensors["ecg"].shape == (9, 4, 240)


def test_nobody_is_slow_and_fast_and_shares_are_the_prevalence() -> None:
    made = ecg_world().draw(1500, 0).findings
    slow, fast = NAMES.index("bradycardia"), NAMES.index("tachycardia")
    assert not (made[:, slow] * made[:, fast]).any()
    assert made[:, :4].mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.04)
    alone = 0.25 * 0.75 / (1 - 0.25**2)
    assert float(made[:, slow].mean()) == pytest.approx(alone, abs=0.04)


def test_the_posterior_of_a_finding_with_a_sign_of_its_own_is_a_logistic_curve() -> None:
    world = ecg_world(distance=2.0)
    sizes = world.draw(50, 3).sizes
    raised = NAMES.index("myocardial infarction")
    odds = math.log(0.25 / 0.75) + 2.0 * sizes[:, 3].double() - 2.0
    assert torch.allclose(world.posterior(sizes)[:, raised], odds.sigmoid())
    many = world.draw(1500, 4)
    p = world.posterior(many.sizes)
    assert torch.allclose(p.mean(0), many.findings.double().mean(0), atol=0.03), "calibrated"
    blind = ecg_world(distance=0.0)
    assert torch.allclose(blind.posterior(sizes)[:, 0], torch.tensor(0.25).double())


def test_reports_mention_signs_that_are_there_and_never_a_name() -> None:
    made = ecg_world(told=1.0).draw(300, 5)
    there = signs_of(made.findings)
    for row in range(300):
        text = words_of(made.report[row])
        for s, terms in enumerate(SIGNS.values()):
            assert any(term in text for term in terms) == bool(there[row, s]), text
        assert not any(name in text for name in FINDINGS)
    named = ecg_world(named=1.0, told=0.0).draw(50, 5)
    for row in range(50):
        text = words_of(named.report[row])
        assert all((name in text) == bool(named.findings[row, k]) for k, name in enumerate(NAMES))


def test_each_sign_changes_the_waves_as_it_says() -> None:
    def waves(sign: int, size: float) -> torch.Tensor:
        sizes = torch.zeros(200, 7)
        sizes[:, sign] = size
        return waves_of(sizes, torch.Generator().manual_seed(0))[:, 1]

    plain = waves(0, 0.0)
    assert waves(5, 4.0).amax(1).mean() > 1.5 * plain.amax(1).mean(), "tall"
    beats = [
        ((x[:, 1:-1] > 1.0) & (x[:, 1:-1] >= x[:, :-2]) & (x[:, 1:-1] > x[:, 2:])).sum(1).float().mean()
        for x in (waves(6, -3.0), plain, waves(6, 3.0))
    ]
    assert beats[0] < beats[1] < beats[2], "slow, plain, fast"
    for sign in range(7):
        assert (waves(sign, 3.0) - plain).square().mean() > 1e-3


def test_strange_words_and_arguments_are_refused() -> None:
    assert all(tokens_of([term]).any() for terms in PROPOSED.values() for term in terms)
    with pytest.raises(ValueError, match="'flutter' is not in the vocabulary"):
        tokens_of(["atrial flutter"])
    with pytest.raises(ValueError, match="more than 2 words"):
        tokens_of(["no p visible"], 2)
    for wrong in ({"prevalence": 0.0}, {"told": 2.0}, {"distance": -1.0}):
        with pytest.raises(ValueError, match="are probabilities"):
            ecg_world(**wrong)
