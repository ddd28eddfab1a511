"""Oracles of trust among agents: counts by hand, records that leave an item out, and the gate by search."""

import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.agents_world import agents_world
from mmlab.methods.orchestrator import (
    Orchestrator,
    confidence_correlation,
    overconfidence_rate,
    stated_calibration_error,
    trust,
)
from mmlab.metrics.classification import expected_calibration_error


def drawn(count=60, agents=3, classes=4, seed=0, rounds=2):
    rng = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, (count,), generator=rng)
    items = {"label": label}
    for key, skill in (("answers", 0.5), ("again", 0.7))[:rounds]:
        guess = torch.randint(classes, (count, agents), generator=rng)
        items[key] = torch.where(torch.rand(count, agents, generator=rng) < skill, label[:, None], guess)
    return items


def test_the_calibration_error_is_the_usual_one_for_two_classes():
    confidence = torch.rand(200, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
    right = torch.rand(200, generator=torch.Generator().manual_seed(1)) < confidence**2
    usual = expected_calibration_error(torch.stack([confidence, 1 - confidence], 1), (~right).long(), bins=10)
    assert stated_calibration_error(confidence, right) == pytest.approx(usual, abs=1e-12)


def test_the_three_numbers_by_hand():
    confidence = torch.tensor([0.9, 0.9, 0.8, 0.5])
    right = torch.tensor([True, False, False, True])
    # Bins (.8, .9], (.7, .8] and (.4, .5]: gaps .9 - .5, .8 - 0 and 1 - .5.
    assert stated_calibration_error(confidence, right) == pytest.approx((2 * 0.4 + 0.8 + 0.5) / 4, abs=1e-6)
    assert confidence_correlation(confidence, right) == pytest.approx(-0.457496, abs=1e-5)
    assert overconfidence_rate(confidence, right) == 0.5
    assert overconfidence_rate(confidence, right, 0.85) == 0.25


def test_an_agent_that_always_states_the_same_has_no_correlation():
    assert torch.isnan(torch.tensor(confidence_correlation(torch.full((4,), 0.9), torch.tensor([1, 0, 1, 1]))))


def test_trust_is_drawn_from_the_share_of_the_class_to_the_share_of_the_agent():
    count, hits = torch.tensor([[8.0, 2.0, 0.0]]), torch.tensor([[8.0, 0.0, 0.0]])
    overall = 9 / 12
    expected = torch.tensor([[(8 + 2 * overall) / 10, 2 * overall / 4, overall]])
    torch.testing.assert_close(trust(count, hits, 2.0), expected)
    torch.testing.assert_close(trust(count, hits, 1e9), torch.full((1, 3), overall))


def test_the_record_is_what_counting_finds():
    items = drawn()
    method = Orchestrator(3, 4).solve(TensorData(items))
    for at, key in enumerate(("answers", "again")):
        for agent in range(3):
            for c in range(4):
                said = items[key][:, agent] == c
                assert method.count[at, agent, c] == said.sum()
                assert method.hits[at, agent, c] == (said & (items["label"] == c)).sum()


def test_the_answer_is_that_of_the_agent_with_the_best_record():
    items = drawn()
    method = Orchestrator(3, 4, threshold=0.0).solve(TensorData(items))
    found = method.predict(items)
    for i in range(60):
        trusts = [method.trusts(items["answers"][i : i + 1])[0, a] for a in range(3)]
        best = max(range(3), key=lambda a: trusts[a])
        assert found[i].argmax() == items["answers"][i, best]
    torch.testing.assert_close(found.sum(1), torch.ones(60))


def test_leaving_an_item_out_is_solving_without_it():
    items = drawn(20)
    method = Orchestrator(3, 4, threshold=0.0).solve(TensorData(items))
    for at, key in enumerate(("answers", "again")):
        found = method._without(items[key], items[key] == items["label"][:, None], at)
        for i in range(20):
            rest = TensorData({name: torch.cat([v[:i], v[i + 1 :]]) for name, v in items.items()})
            other = Orchestrator(3, 4, threshold=0.0).solve(rest)
            torch.testing.assert_close(found[i], other.trusts(items[key][i : i + 1], at)[0])


def test_the_threshold_is_the_best_by_search_over_records_without_the_item():
    items = drawn(40, seed=3)
    method = Orchestrator(3, 4).solve(TensorData(items))

    def score(gate):
        hits = 0
        for i in range(40):
            rest = TensorData({name: torch.cat([v[:i], v[i + 1 :]]) for name, v in items.items()})
            other = Orchestrator(3, 4, threshold=gate).solve(rest)
            hits += int(other.predict({k: v[i : i + 1] for k, v in items.items()}).argmax() == items["label"][i])
        return hits

    chosen = score(float(method.gate))
    assert chosen >= max(score(gate) for gate in (0.0, 0.3, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 2.0))


def test_who_is_asked_again_is_judged_by_the_record_of_the_second_round():
    items = drawn()
    never, always = (Orchestrator(3, 4, threshold=gate).solve(TensorData(items)) for gate in (0.0, 2.0))
    assert not never.asks_again(items).any()
    assert always.asks_again(items).all()
    second = Orchestrator(3, 4).solve(TensorData({"answers": items["again"], "label": items["label"]}))
    torch.testing.assert_close(always.predict(items), second.predict({"answers": items["again"]}))


def test_without_a_second_round_nobody_is_asked_again():
    items = drawn(rounds=1)
    method = Orchestrator(3, 4, threshold=2.0).solve(TensorData(items))
    assert not method.asks_again(items).any()


def test_two_halves_of_an_expert_make_one():
    """Agents that are right exactly when they name their own classes: their records tell whom to believe."""
    label = torch.arange(400) % 4
    wrong = (label + torch.randint(1, 4, (400,), generator=torch.Generator().manual_seed(0))) % 4
    one = torch.where(label < 2, label, wrong.clamp(min=2))
    two = torch.where(label >= 2, label, wrong.clamp(max=1))
    items = {"answers": torch.stack([one, two], 1), "label": label}
    method = Orchestrator(2, 4).solve(TensorData({k: v[:200] for k, v in items.items()}))
    found = method.predict({"answers": items["answers"][200:]}).argmax(1)
    expert = torch.where(one < 2, one, two)[200:]  # who names a class of its own
    assert (found == label[200:]).double().mean() >= (expert == label[200:]).double().mean() - 0.02


def test_on_digits_the_records_are_worth_something_and_those_of_shuffled_items_are_not():
    world = agents_world(0)
    record, test = world.train.tensors, world.test.tensors
    two = {"answers": record["answers"][:, :2], "label": record["label"]}
    method = Orchestrator(2, 10).solve(TensorData(two))
    shuffled = Orchestrator(2, 10).solve(TensorData(two | {"label": two["label"].roll(1)}))
    scores = [
        float((m.predict({"answers": test["answers"][:, :2]}).argmax(1) == test["label"]).double().mean())
        for m in (method, shuffled)
    ]
    alone = float((test["answers"][:, 0] == test["label"]).double().mean())
    assert scores[0] > alone + 0.03
    assert scores[1] < scores[0] - 0.03


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: Orchestrator(0, 3), "agents=0"),
        (lambda: Orchestrator(2, 1), "classes=1"),
        (lambda: Orchestrator(2, 3, prior=0), "prior=0"),
        (lambda: Orchestrator(2, 3).predict({"answers": torch.zeros(4, 3).long()}), r"expected \(B, 2\)"),
        (lambda: Orchestrator(2, 3).predict({"answers": torch.full((4, 2), 3)}), "number the 3 classes from 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(build, told):
    with pytest.raises(ValueError, match=told):
        build()
