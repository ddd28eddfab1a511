"""The world of sensors that are there in training only: its Bayes rates are those of the exact classifier."""

import math

import pytest
import torch

from mmlab.data.worlds.privileged_world import _SEES, SENSORS, privileged_world


def best_guess(world, items, sensors):
    """The class by the signs of the posterior means of u and v, from the joint covariance of all that is seen."""
    rows = [torch.cat([t @ torch.eye(t.shape[1], dtype=t.dtype) for t in (world.turns[name],)], 1) for name in sensors]
    loads = []
    for name, turn in zip(sensors, rows, strict=True):
        load = torch.zeros(len(turn), 6, dtype=torch.float64)
        load[:, list(_SEES[name])] = turn[:, : len(_SEES[name])]
        loads.append(load)
    load = torch.cat(loads)
    noise = torch.block_diag(
        *(
            turn
            @ torch.diag(
                torch.cat(
                    [
                        torch.full((len(_SEES[name]),), world.noise[name] ** 2, dtype=torch.float64),
                        torch.full((turn.shape[1] - len(_SEES[name]),), world.clutter**2, dtype=torch.float64),
                    ]
                )
            )
            @ turn.T
            for name, turn in zip(sensors, rows, strict=True)
        )
    )
    x = torch.cat([items.tensors[name] for name in sensors], 1).double()
    whitener = torch.linalg.pinv(load @ load.T + noise)
    mean = x @ whitener @ load  # E[z | x]
    u, v = (mean @ d for d in world.directions())
    return 2 * (u > 0).long() + (v > 0).long()


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
@pytest.mark.parametrize("sensors", [("text",), ("audio",), ("audio", "video"), SENSORS])
def test_the_bayes_rate_is_that_of_the_exact_posterior(angle, sensors):
    world = privileged_world(angle)
    items = world.draw(40_000, seed=5)
    found = float((best_guess(world, items, sensors) == items.tensors["label"]).double().mean())
    assert world.bayes_rate(sensors) == pytest.approx(found, abs=4 * 0.5 / 200)


def test_text_knows_as_much_at_every_angle_and_nothing_alone_is_chance():
    rates = [privileged_world(angle).bayes_rate() for angle in (0, 45, 90)]
    assert rates == pytest.approx([rates[0]] * 3)
    assert privileged_world().bayes_rate(()) == 0.25
    assert privileged_world(90).bayes_rate(["audio"]) == pytest.approx(
        0.5 * (0.5 + math.asin((4 / 5) ** 0.5) / math.pi)
    )
    with pytest.raises(ValueError, match="not 'smell'"):
        privileged_world().bayes_rate(["smell"])


def test_items_are_reproducible_and_labels_are_where_they_are_said_to_be():
    world = privileged_world(45)
    items = world.draw(50, 10, seed=3)
    assert items.fingerprint() == privileged_world(45).draw(50, 10, seed=3).fingerprint()
    assert items.fingerprint() != world.draw(50, 10, seed=4).fingerprint()
    assert items.tensors["label_present"].tolist() == [True] * 10 + [False] * 40
    assert (items.tensors["label"][10:] == -1).all()
    assert set(world.draw(400, seed=1).tensors["label"].tolist()) == {0, 1, 2, 3}


def test_the_factors_are_those_behind_the_items():
    world = privileged_world(noise=1e-3)
    z, items = world.factors(20, seed=6), world.draw(20, seed=6)
    seen = items.tensors["text"].double() @ world.turns["text"][:, :6]
    torch.testing.assert_close(seen, z, atol=0.01, rtol=0)


@pytest.mark.parametrize("wrong", [{"angle": 91}, {"noise": 0}, {"clutter": -1}, {"clutter_directions": -1}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        privileged_world(**wrong)
