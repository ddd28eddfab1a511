"""Oracles of MERLIN: an adjacency matrix over all items, the plain classifier without relations, and the threshold."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.worlds.market_world import market_world
from mmlab.methods.merlin import MERLIN, called_high


def test_the_answer_is_that_of_an_adjacency_matrix_over_all_items():
    items = market_world(creators=5, size=4).draw(0).tensors
    method = MERLIN.seeded(0, 12, 12, width=10)
    same = (items["creator"][:, None] == items["creator"]).float() - torch.eye(20)
    x = torch.cat([items["text"], items["picture"]], 1)
    e = (x @ method.embed.weight.T + method.embed.bias).relu()
    layer = method.messages
    total = e @ layer.own.weight.T + layer.own.bias + (same / 3) @ e @ layer.told["near"].weight.T
    expected = method.head(F.layer_norm(total, (10,), layer.norm.weight, layer.norm.bias).relu())
    torch.testing.assert_close(method(items), expected)
    loss = method.loss(items, torch.Generator())["loss"]
    torch.testing.assert_close(loss, -expected.log_softmax(1)[torch.arange(20), items["label"]].mean())


def test_without_related_items_it_is_the_plain_classifier_and_their_order_does_not_matter():
    method, batch = MERLIN.demo()
    made = method.predict(batch)
    e = method.embed(torch.cat([batch["text"], batch["picture"]], 1)).relu()
    plain = method.head(method.messages.norm(method.messages.own(e)).relu()).softmax(1)
    lonely = ~batch["near_there"].any(1)
    assert lonely.any()
    torch.testing.assert_close(made[lonely], plain[lonely])
    assert not torch.allclose(made[~lonely], plain[~lonely])
    near = ("text_near", "picture_near", "near_there")
    torch.testing.assert_close(method.predict(batch | {key: batch[key].flip(1) for key in near}), made)
    absent = ~batch["near_there"][..., None]
    noise = {key: torch.where(absent, torch.nan, batch[key]) for key in near[:2]}
    assert torch.equal(method.predict(batch | noise), made)


def test_recall_of_the_high_class_falls_with_the_threshold():
    p = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    before = torch.ones(50, dtype=torch.bool)
    for tau in (0.0, 0.2, 0.3, 0.4, 1.0):
        called = called_high(p, tau)
        assert not (called & ~before).any()
        assert torch.equal(called, p[:, 2] >= tau)
        before = called
    assert called_high(p, 0.0).all()
    assert not called_high(p, 1.0).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="classes=1"):
        MERLIN(3, 3, classes=1)
    with pytest.raises(ValueError, match="no picture, text_near"):
        MERLIN.arguments_for({"text": torch.zeros(3)})
    assert MERLIN.arguments_for(market_world().draw(0)[0]) == {"text": 12, "picture": 12}
