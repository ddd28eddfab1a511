"""Oracles of CLIMATv2: the bound, the authors' formula on fixed numbers, and what must have no effect."""

import math

import pytest
import torch
from torch.nn import functional as F

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.follow_up_world import follow_up_world
from mmlab.methods.climat import CLIMAT, club, sharpness


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_bound_has_the_numbers_of_the_authors_code():
    """Six items and four classes from seed 0, computed with the authors' loss, for three values of τ."""
    logits = torch.randn(6, 4, generator=generator())
    label = torch.tensor([0, 1, 2, 3, 0, 1])
    chosen = logits.log_softmax(1).gather(1, label[:, None])[:, 0]
    found = [club(chosen, torch.tensor(tau), 4).mean().item() for tau in (1.0, 0.5, 0.1)]
    assert found == pytest.approx([1.4164993, 1.4013968, 1.3893148], abs=1e-6)


@pytest.mark.parametrize("tau", [0.05, 0.4, 0.9])
def test_it_bounds_the_cross_entropy_at_tempered_logits(tau):
    logits = 4 * torch.randn(500, 5, generator=generator(), dtype=torch.float64)
    label = torch.randint(5, (500,), generator=generator(1))
    chosen = logits.log_softmax(1).gather(1, label[:, None])[:, 0]
    tempered = F.cross_entropy(tau * logits, label, reduction="none")
    assert (club(chosen, torch.tensor(tau), 5) >= tempered - 1e-12).all()
    uniform = torch.full((1,), -math.log(5))
    assert club(uniform, torch.tensor(tau), 5).item() == pytest.approx(math.log(5))  # equal for uniform logits
    assert torch.equal(club(chosen, torch.tensor(1.0), 5), -chosen)  # and plain cross-entropy at τ = 1


def test_the_bound_is_linear_in_tau_and_turns_where_the_loss_is_that_of_chance():
    for loss, sign in ((math.log(4) + 0.3, 1), (math.log(4) - 0.3, -1)):
        low, high = (club(torch.tensor(-loss), torch.tensor(tau), 4) for tau in (0.2, 0.6))
        assert ((high - low) / 0.4).item() == pytest.approx(sign * 0.3, abs=1e-5)


def test_sharpness_by_hand_and_its_floor():
    a = torch.tensor([0.3, -1.0, 2.0])
    q = [1 / (math.exp(v) + 0.5) for v in a.tolist()]
    soft = torch.tensor(q).softmax(0)
    torch.testing.assert_close(sharpness(a, 0.5), soft / soft.max())
    assert torch.equal(sharpness(torch.zeros(4), 1.0), torch.ones(4))
    extreme = sharpness(torch.tensor([-50.0, 50.0]), 1.0)
    assert extreme.tolist() == pytest.approx([1.0, math.exp(-1)])


def test_the_loss_by_hand():
    method, batch = CLIMAT.demo()
    with torch.no_grad():
        method.a.copy_(torch.tensor([0.0, 1.0]))
    found = method.loss(batch, generator())
    forecast, diagnosis = method(batch)
    rows = ~batch["held_out"]
    parts = []
    for t in range(2):
        which = rows & batch["grade_seen"][:, t]
        ce = F.cross_entropy(forecast[which, t], batch["grade"][which, t])
        parts.append(method.tau[t] * ce + (1 - method.tau[t]) * math.log(3))
    apart = F.l1_loss(forecast[rows, 0], diagnosis[rows])
    torch.testing.assert_close(found["loss"], (parts[0] + parts[1] + 0.5 * apart).detach(), check_stride=False)


def test_only_held_out_items_teach_the_sharpness_and_only_others_the_networks():
    method, batch = CLIMAT.demo()
    changed = dict(batch)
    changed["grade"] = torch.where(batch["held_out"][:, None], (batch["grade"] + 1) % 3, batch["grade"])
    assert torch.equal(method.loss(batch, generator())["loss"], method.loss(changed, generator())["loss"])
    one, other = (method.calibration_loss(b, generator())["loss"] for b in (batch, changed))
    assert not torch.equal(one, other)
    one.backward()
    assert method.a.grad.any()
    assert all(p.grad is None for name, p in method.named_parameters() if name != "a")
    method.zero_grad()
    method.loss(batch, generator())["loss"].backward()
    assert method.a.grad is None


def test_the_sharpness_moves_under_fit_and_stays_without_pace():
    method, batch = CLIMAT.demo()
    fit(method, TensorData(batch), steps=20, batch_size=32, lr=0.01, progress=False)
    assert method.tau[0] == 1
    assert method.tau[1] < 0.95  # the switch of the original that never turned it on
    still = CLIMAT(**method.config | {"pace": 0.0})
    assert [objective.name for objective in still.objectives()] == ["networks"]
    fit(still, TensorData(batch), steps=3, batch_size=32, progress=False)
    assert torch.equal(still.tau, torch.ones(2))


def test_unseen_grades_and_unknown_variables_have_no_effect():
    method, batch = CLIMAT.demo()
    other = dict(batch)
    other["grade"] = torch.where(batch["grade_seen"], batch["grade"], -1)
    other["clinical"] = torch.where(batch["clinical_known"], batch["clinical"], torch.nan)
    one, two = method.loss(batch, generator()), method.loss(other, generator())
    assert all(torch.equal(one[key], two[key]) for key in one)
    made = method.predict(batch)
    assert torch.equal(method.predict(other), made)
    torch.testing.assert_close(made.sum(-1), torch.ones(32, 2))
    nobody = batch | {"grade_seen": torch.zeros_like(batch["grade_seen"])}
    assert method.loss(nobody, generator())["later"] == 0
    alone = batch | {"grade_seen": torch.ones_like(batch["grade_seen"]) & torch.tensor([True, False])}
    method.zero_grad()
    method.loss(alone, generator())["loss"].backward()
    assert method.heads[1].weight.grad is None or not method.heads[1].weight.grad.any()


def test_both_inputs_are_used_and_an_item_does_not_see_its_neighbours():
    method, batch = CLIMAT.demo()
    made = method.predict(batch)
    for key in ("image", "clinical"):
        assert not torch.allclose(method.predict(batch | {key: batch[key].roll(1, 0)}), made)
    alone = method.predict({key: value[4:5] for key, value in batch.items()})
    torch.testing.assert_close(alone[0], made[4])


def test_it_learns_the_world_of_visits():
    world = follow_up_world()
    method = CLIMAT.seeded(0, (1, 8, 8), 5, width=16, pace=0.0)
    fit(method, world.draw(400, 1), steps=60, batch_size=100, lr=5e-3, progress=False)
    test = world.draw(1000, 2).tensors
    right = (method.predict(test)[:, 0].argmax(1) == test["grade"][:, 0]).double().mean()
    assert right > 0.45
    assert CLIMAT.arguments_for(world.draw(2)[0]) == {"shape": [1, 8, 8], "variables": 5, "horizons": 4}


@pytest.mark.parametrize("wrong", [{"patch": 3}, {"softness": 0.0}, {"pace": -1.0}, {"classes": 1}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CLIMAT((1, 8, 8), 2, **wrong)
