"""The planar distributions have the scales that they say they have."""

import math

import pytest
import torch
from sklearn.datasets import make_moons, make_s_curve

from mmlab.data.worlds.planar_world import planar_sample, planar_world


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_eight_gaussians():
    x = planar_sample("eight_gaussians", 40_000, generator())
    angle = (torch.atan2(x[:, 1], x[:, 0]) / (math.pi / 4)).round().long() % 8
    counts = torch.bincount(angle, minlength=8)
    assert counts.min() > 4500
    right = x[angle == 0]
    assert right.mean(0).tolist() == pytest.approx([5, 0], abs=0.15)
    assert x.square().sum(1).mean().item() == pytest.approx(27, abs=0.3)  # 5² + 1 + 1


def library(name, count):
    """The same distribution by scikit-learn, scaled."""
    if name == "moons":
        return torch.tensor(make_moons(count, noise=0.05, random_state=0)[0]) * 2 - torch.tensor([1.0, 0.0])
    return torch.tensor(make_s_curve(count, noise=0.05, random_state=0)[0][:, [0, 2]]) * 1.5


@pytest.mark.parametrize("name", ["moons", "s_curve"])
def test_shapes_are_those_of_scikit_learn(name):
    ours, theirs = planar_sample(name, 20_000, generator()).double(), library(name, 20_000)
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(torch.cov(ours.T), torch.cov(theirs.T), rtol=0.04, atol=0.08)
    nearest = torch.cdist(ours[:2000], theirs).min(1).values
    assert nearest.max() < 0.4  # every point lies on their curve, up to the noise


def test_worlds_are_made_from_the_seed_and_their_points_are_fresh():
    one, same, other = (planar_world("moons", "eight_gaussians", 50, 20, seed) for seed in (1, 1, 2))
    assert one.train.fingerprint() == same.train.fingerprint() != other.train.fingerprint()
    assert len(one.train) == 50
    assert len(one.test) == 20
    for key in ("source", "target"):
        assert torch.cdist(one.train.tensors[key], one.test.tensors[key]).min() > 0


def test_rows_are_no_pairs():
    world = planar_world("normal", "normal", points=20_000, fresh=1)
    x, y = world.train.tensors["source"], world.train.tensors["target"]
    assert (x * y).mean(0).abs().max() < 0.03


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="is no planar distribution: "):
        planar_sample("swiss_roll", 3, generator())
