"""The world of visits: its posterior is a posterior, and is calibrated."""

import pytest
import torch

from mmlab.data.worlds.follow_up_world import GRADES, follow_up_world
from mmlab.metrics.classification import accuracy, expected_calibration_error, log_loss


def test_the_posterior_is_calibrated_and_beats_what_it_forgets():
    world = follow_up_world()
    items = world.draw(20_000, seed=3).tensors
    made = world.posterior(items)
    torch.testing.assert_close(made.sum(-1), torch.ones(20_000, 4, dtype=torch.float64))
    without_risk = world.posterior(items | {"clinical_known": torch.zeros_like(items["clinical_known"])})
    scores = []
    for visit in range(4):
        seen = items["grade_seen"][:, visit]
        label = items["grade"][seen, visit]
        assert expected_calibration_error(made[seen, visit], label) < 0.02
        scores.append(accuracy(made[seen, visit], label))
        if visit:
            assert log_loss(made[seen, visit], label) < log_loss(without_risk[seen, visit], label)
    assert scores[0] > max(scores[1:])


def test_grades_rise_by_one_at_most_and_absent_values_do_not_matter():
    world = follow_up_world()
    items = world.draw(3000, seed=1, held_out=100).tensors
    both = items["grade_seen"].all(1)
    steps = items["grade"][both].diff(dim=1)
    assert set(steps.flatten().tolist()) == {0, 1}
    assert items["grade_seen"][:, 0].all()
    shares = items["grade_seen"].double().mean(0)
    assert (shares.diff() < 0).all()
    assert int(items["grade"].max()) == GRADES - 1
    assert int(items["held_out"].sum()) == 100
    other = items | {"clinical": torch.where(items["clinical_known"], items["clinical"], 9.0)}
    assert torch.equal(world.posterior(items), world.posterior(other))


def test_items_are_reproducible_and_noise_is_checked():
    assert follow_up_world().draw(9, 4).fingerprint() == follow_up_world().draw(9, 4).fingerprint()
    assert follow_up_world().draw(9, 4).fingerprint() != follow_up_world().draw(9, 5).fingerprint()
    with pytest.raises(ValueError, match="noise=0"):
        follow_up_world(0)
