"""The world of rumours: its posterior is calibrated, its clusters are told apart, and its splits keep them apart."""

from itertools import pairwise

import pytest
import torch

from mmlab.data.worlds.rumour_world import rumour_world, split_claims
from mmlab.metrics.classification import expected_calibration_error, log_loss


def test_the_posterior_is_calibrated_where_clusters_tell_nothing_and_each_part_adds():
    world = rumour_world(bias=0.5, clusters=1500, size=4, authors=600)
    items = world.draw(3).tensors
    losses = [
        log_loss(world.posterior(items, parts), items["label"])
        for parts in (
            (),
            ("claim",),
            ("claim", "pictures"),
            ("claim", "pictures", "authors"),
            ("claim", "pictures", "authors", "tweets"),
        )
    ]
    assert all(more < less - 0.01 for less, more in pairwise(losses))
    assert expected_calibration_error(world.posterior(items), items["label"]) < 0.03


def test_the_posterior_from_claim_and_tweets_is_that_of_their_joint_normal_law():
    world = rumour_world(bias=0.5)
    items = {key: value[:20] for key, value in world.draw(5).tensors.items()}
    found = world.posterior(items, ("claim", "tweets"))
    for i in range(20):
        tweets = items["tweets"][i][items["tweets_there"][i]].double()
        seen = torch.cat([items["claim"][i].double()[None], tweets]).flatten()
        load = torch.tensor([1.0] + [0.5] * len(tweets), dtype=torch.float64)  # of m_c in each text
        cov = torch.kron(1.5**2 * load.outer(load) + torch.eye(len(load)), torch.eye(24)).double()
        mean = torch.cat([0.8 * world.cues["text"].double(), torch.zeros(tweets.numel(), dtype=torch.float64)])
        law = [torch.distributions.MultivariateNormal(sign * mean, cov).log_prob(seen) for sign in (-1, 1)]
        torch.testing.assert_close(found[i], torch.stack(law).softmax(0))


def test_authors_agree_as_often_as_the_dial_says_and_write_at_home_half_of_the_time():
    world = rumour_world(trust=0.8, clusters=200, size=10, authors=800)
    items = world.draw(0).tensors
    leaning = items["who"] % 2
    there = items["tweets_there"]
    agrees = (leaning == items["label"][:, None])[there].double().mean()
    assert abs(float(agrees) - 0.8) < 0.02
    assert (items["who"][~there] == -1).all()
    assert not items["tweets"][~there].any()
    assert not (items["pictures_there"] & ~there).any()


def test_clusters_have_much_misinformation_or_little():
    items = rumour_world(bias=0.95, clusters=100, size=50).draw(1).tensors
    shares = items["label"].view(100, 50).double().mean(1)
    assert ((shares > 0.8) | (shares < 0.2)).all()
    assert 0.4 < float((shares > 0.5).double().mean()) < 0.8


def test_a_split_by_cluster_keeps_clusters_apart_and_a_random_one_does_not():
    cluster = torch.arange(30).repeat_interleave(5)
    for by_cluster in (True, False):
        parts = split_claims(cluster, by_cluster, seed=2)
        assert sorted(torch.cat(parts).tolist()) == list(range(150))
        assert [len(part) for part in parts] == [90, 30, 30]
        train, test = set(cluster[parts[0]].tolist()), set(cluster[parts[2]].tolist())
        assert bool(train & test) is not by_cluster


def test_graphs_are_reproducible_and_arguments_are_checked():
    world = rumour_world(clusters=4)
    assert world.draw(9).fingerprint() == world.draw(9).fingerprint() != world.draw(8).fingerprint()
    with pytest.raises(ValueError, match=r"bias=0\.2"):
        rumour_world(bias=0.2)
    with pytest.raises(ValueError, match="shares"):
        split_claims(torch.arange(4), True, (0.5, 0.5, 0.5))
