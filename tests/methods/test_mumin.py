"""Oracles of MuMiN's baseline: message passing over the whole graph by edge lists, and what must have no effect."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rumour_world import rumour_world, split_claims
from mmlab.methods.mumin import MuMiN, weighted_cross_entropy
from mmlab.metrics.classification import macro_f1
from mmlab.train.fit import fit


def test_the_answer_is_that_of_edge_lists_over_one_whole_graph():
    """All nodes in one table for each kind and one list for each kind of edge, as a library for graphs has them."""
    method, batch = MuMiN.demo()
    claims, places = batch["tweets_there"].nonzero().T  # the edges from tweets to claims
    tweets = batch["tweets"][claims, places]
    authors = batch["authors"][claims, places]
    pictures = batch["pictures"][claims, places]
    has = batch["pictures_there"][claims, places]
    told = torch.zeros(len(tweets), 12)
    told.index_add_(0, has.nonzero()[:, 0], pictures[has] @ method.tweet.told["pictures"].weight.T)
    total = tweets @ method.tweet.own.weight.T + method.tweet.own.bias + told
    total = total + authors @ method.tweet.told["authors"].weight.T
    h = F.layer_norm(total, (12,), method.tweet.norm.weight, method.tweet.norm.bias).relu()
    mean = torch.zeros(16, 12).index_add_(0, claims, h)
    mean = mean / torch.bincount(claims, minlength=16).clamp(min=1)[:, None]
    total = batch["claim"] @ method.claim.own.weight.T + method.claim.own.bias
    total = total + mean @ method.claim.told["tweets"].weight.T
    g = F.layer_norm(total, (12,), method.claim.norm.weight, method.claim.norm.bias).relu()
    torch.testing.assert_close(method(batch), method.head(g))


def test_the_weighted_loss_by_hand():
    logits = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.5]])
    label = torch.tensor([0, 1, 1])
    each = -logits.log_softmax(1)[torch.arange(3), label]
    expected = (3 * each[0] + each[1] + each[2]) / 5
    torch.testing.assert_close(weighted_cross_entropy(logits, label, 3.0), expected)
    torch.testing.assert_close(weighted_cross_entropy(logits, label, 1.0), F.cross_entropy(logits, label))
    method, batch = MuMiN.demo()
    weighted = MuMiN(**method.config | {"factual_weight": 4.0})
    weighted.load_state_dict(method.state_dict())
    expected = weighted_cross_entropy(method(batch), batch["label"], 4.0)
    torch.testing.assert_close(weighted.loss(batch, torch.Generator())["loss"], expected)


def test_what_is_absent_has_no_effect_and_tweets_have_no_order():
    method, batch = MuMiN.demo()
    made = method.predict(batch)
    absent, bare = ~batch["tweets_there"], ~batch["pictures_there"]
    other = dict(batch)
    for name, mask in (("tweets", absent), ("authors", absent), ("pictures", absent | bare)):
        other[name] = torch.where(mask[..., None], torch.nan, batch[name])
    assert torch.equal(method.predict(other), made)
    turned = {key: value.flip(1) if value.ndim > 1 and key != "claim" else value for key, value in batch.items()}
    torch.testing.assert_close(method.predict(turned), made)
    lonely = ~batch["tweets_there"].any(1)
    without = method.predict(batch | {"tweets_there": torch.zeros_like(absent)})
    torch.testing.assert_close(without[lonely], made[lonely])
    assert not torch.allclose(without[~lonely], made[~lonely])


def test_a_random_split_scores_more_than_new_clusters():
    items = rumour_world().draw(0).tensors
    keys = ("claim", "tweets", "authors", "pictures", "tweets_there", "pictures_there", "label")
    found = []
    for by_cluster in (False, True):
        train, _, test = split_claims(items["cluster"], by_cluster)
        parts = [{key: items[key][part] for key in keys} for part in (train, test)]
        method = MuMiN.seeded(0, **MuMiN.arguments_for({key: value[0] for key, value in parts[0].items()}))
        fit(method, TensorData(parts[0]), steps=120, batch_size=64, lr=1e-2, progress=False)
        found.append(macro_f1(method.predict(parts[1]), parts[1]["label"]))
    assert found[0] > found[1] + 0.05


def test_what_does_not_fit_is_refused():
    method, _ = MuMiN.demo()
    with pytest.raises(ValueError, match="factual_weight=0"):
        MuMiN(**method.config | {"factual_weight": 0})
    with pytest.raises(ValueError, match="no tweets, authors, pictures"):
        MuMiN.arguments_for({"claim": torch.zeros(3)})
