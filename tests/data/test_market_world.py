"""The drawn market: exact probabilities, relations that carry what they should, and nothing else."""

import pytest
import torch

from mmlab.data.worlds.market_world import market_world
from mmlab.metrics.classification import expected_calibration_error, log_loss


def test_the_posterior_is_calibrated_and_related_items_tell_more_where_creators_matter():
    for share in (0.0, 0.4):
        world = market_world(share, creators=1500)
        items = world.draw(1).tensors
        whole, alone = (world.posterior(items, related) for related in (True, False))
        torch.testing.assert_close(whole.sum(1), torch.ones(len(whole), dtype=torch.float64))
        assert expected_calibration_error(whole, items["label"]) < 0.02
        assert expected_calibration_error(alone, items["label"]) < 0.02
        better = log_loss(alone, items["label"]) - log_loss(whole, items["label"])
        assert better > 0.03 if share else abs(better) < 1e-9


def test_classes_are_thirds_and_relations_do_not_change_the_items():
    world = market_world(creators=1000)
    made = {relation: world.draw(3, relation).tensors for relation in ("creator", "shuffled")}
    shares = made["creator"]["label"].bincount() / 8000
    assert (abs(shares - 1 / 3) < 0.03).all()
    assert torch.equal(made["creator"]["text"], made["shuffled"]["text"])
    assert torch.equal(made["creator"]["label"], made["shuffled"]["label"])


def test_each_relation_joins_what_it_says():
    world = market_world(creators=20, size=5)
    same, alike, wrong = (world.draw(0, relation).tensors for relation in ("creator", "alike", "shuffled"))
    creator = same["creator"]
    assert (creator[same["near"]] == creator[:, None]).all()
    assert (same["near"] != torch.arange(100)[:, None]).all()
    assert (creator[wrong["near"]] == creator[:, None]).float().mean() < 0.3
    torch.testing.assert_close(same["text_near"], same["text"][same["near"]])
    both = torch.cat([alike["text"], alike["picture"]], 1)
    distance = (both - both[:, None]).norm(dim=2).fill_diagonal_(torch.inf)
    nearest = distance.argmin(1)
    assert torch.equal(alike["near"][:, 0], nearest)


def test_markets_are_reproducible_and_arguments_are_checked():
    world = market_world(creators=4)
    assert world.draw(9).fingerprint() == world.draw(9).fingerprint() != world.draw(8).fingerprint()
    with pytest.raises(ValueError, match=r"share=0\.9"):
        market_world(0.9)
    with pytest.raises(ValueError, match="no relation 'friend'"):
        world.draw(0, "friend")
