"""Shapes with textures: the posterior is exact and calibrated, and half the size holds nothing of the texture."""

import pytest
import torch

from mmlab.data.worlds.shape_texture_world import shape_texture_world


def test_the_posterior_is_that_of_the_mixture_written_out() -> None:
    world = shape_texture_world(side=8)
    image = world.draw(3, seed=1).tensors["image"].double()
    expected = torch.zeros(3, 12, dtype=torch.float64)
    for c in range(4):
        for k in range(3):
            for place in range(16):
                for sign in (-1, 1):
                    mean = (world.shapes[c, place] + sign * world.textures[k]).double()
                    expected[:, 3 * c + k] += (-(image[:, 0] - mean).square().sum((1, 2)) / 2).exp()
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(world.posterior(image.float()), expected.float(), atol=1e-5, rtol=1e-4)


def test_confidence_is_accuracy() -> None:
    world = shape_texture_world(texture=0.15)
    items = world.draw(6000, seed=3).tensors
    for reduction in (1, 2):
        p = world.posterior(items["image"], reduction)
        right = (p.argmax(1) == items["label"]).float().mean()
        assert float(right) == pytest.approx(world.bayes_rate(reduction), abs=0.03)


def test_half_the_size_holds_nothing_of_the_texture() -> None:
    world = shape_texture_world()
    image = world.draw(50, seed=2).tensors["image"]
    by_texture = world.posterior(image, 2).view(50, 4, 3)
    torch.testing.assert_close(by_texture, by_texture.mean(2, keepdim=True).expand(50, 4, 3), atol=1e-6, rtol=1e-5)
    assert world.bayes_rate(2, 500) < 1 / 3
    assert world.bayes_rate(1, 500) > 2 * world.bayes_rate(2, 500)


def test_labels_are_shape_and_texture_and_draws_repeat() -> None:
    world = shape_texture_world()
    items = world.draw(2000, seed=5)
    assert items.fingerprint() == world.draw(2000, seed=5).fingerprint()
    assert items.fingerprint() != world.draw(2000, seed=6).fingerprint()
    counts = torch.bincount(items.tensors["label"], minlength=12)
    assert counts.min() > 110
    energy = (items.tensors["image"][:, 0] * world.textures[1]).sum((1, 2)).square()
    has = items.tensors["label"] % 3 == 1
    assert energy[has].mean() > 4 * energy[~has].mean()


def test_what_is_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of 4"):
        shape_texture_world(side=10)
    with pytest.raises(ValueError, match="positive"):
        shape_texture_world(texture=0)
