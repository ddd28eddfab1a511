"""The world of brains: its rhythms, its padding, and the same people at two repetition times."""

import pytest
import torch

from mmlab.data.worlds.brain_world import DURATION, FREQUENCIES, brain_world


def test_the_loudest_frequency_is_that_of_the_rhythm_at_any_repetition_time():
    world = brain_world(shortest=4, noise=0.2)
    for samples in (12, 48, 96):
        items = world.draw(200, seed=1, samples=samples).tensors
        x = items["function"]
        assert x.shape == (200, 3, 4 * samples)
        power = torch.fft.rfft(x).abs().square().mean(1)
        hertz = power[:, 1:].argmax(1) + 1
        found = hertz / (4 * DURATION)
        nearest = (found[:, None] - torch.tensor(FREQUENCIES)).abs().argmin(1)
        assert (nearest == items["label"] % 4).float().mean() > 0.97


def test_the_same_people_at_another_repetition_time():
    world = brain_world(noise=0.0)
    one, other = (world.draw(50, seed=2, samples=s).tensors for s in (24, 48))
    assert torch.equal(one["label"], other["label"])
    assert torch.equal(one["structure"], other["structure"])
    torch.testing.assert_close(one["function"], other["function"][..., ::2], atol=1e-4, rtol=0)
    assert torch.equal(2 * one["length"], other["length"])


def test_padding_is_zero_and_the_structure_holds_the_pattern():
    items = brain_world().draw(3000, seed=0).tensors
    inside = torch.arange(192) < items["length"][:, None, None]
    assert not items["function"][~inside.expand(-1, 3, -1)].any()
    assert sorted(items["length"].unique().tolist()) == [96, 144, 192]
    means = torch.stack([items["structure"][items["label"] // 4 == k].mean(0) for k in range(2)])
    torch.testing.assert_close(means[1], brain_world().pattern[0], atol=0.12, rtol=0)
    torch.testing.assert_close(means[0], -means[1], atol=0.2, rtol=0)


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="shortest=5 is more than patches=4"):
        brain_world(shortest=5)
    with pytest.raises(ValueError, match="samples=1 is too small"):
        brain_world().draw(3, samples=1)
    with pytest.raises(ValueError, match="noise=-1"):
        brain_world(noise=-1)
