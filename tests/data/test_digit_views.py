"""Digits with edges and a blurred copy: what is made from each digit, and that the splits are apart."""

import pytest
import torch

from mmlab.data.worlds.digit_views import blurred, digit_views, edges


def test_edges_and_blur_by_hand():
    image = torch.arange(9.0).view(1, 1, 3, 3).square()
    x = image[0, 0]
    across = (x[0, 2] + 2 * x[1, 2] + x[2, 2]) - (x[0, 0] + 2 * x[1, 0] + x[2, 0])
    down = (x[2, 0] + 2 * x[2, 1] + x[2, 2]) - (x[0, 0] + 2 * x[0, 1] + x[0, 2])
    torch.testing.assert_close(edges(image)[0, 0, 1, 1], (across**2 + down**2).sqrt())
    torch.testing.assert_close(blurred(image)[0, 0, 1, 1], x.mean())
    flat = torch.full((1, 1, 4, 4), 3.0)
    assert not edges(flat).any()
    torch.testing.assert_close(blurred(flat), flat)


def test_the_splits_are_apart_and_hold_all_digits():
    splits = digit_views(100, 50, seed=3)
    assert splits.validation is not None
    parts = [part.tensors for part in (splits.train, splits.validation, splits.test)]
    assert [len(part["label"]) for part in parts] == [100, 50, 1647]
    assert set(parts[0]) == {"image", "edge", "blur", "label"}
    for m in ("image", "edge", "blur"):
        torch.testing.assert_close(parts[0][m].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
        torch.testing.assert_close(parts[0][m].std(), torch.tensor(1.0))
    again = digit_views(100, 50, seed=3).test.tensors
    assert torch.equal(again["edge"], parts[2]["edge"])
    assert not torch.equal(digit_views(100, 50, seed=4).test.tensors["label"], parts[2]["label"])
    from sklearn.datasets import load_digits

    everything = torch.cat([part["image"] for part in parts]).flatten(1)
    expected = torch.from_numpy(load_digits().data).float() / 16
    low, high = everything.min(), everything.max()
    back = (everything - low) / (high - low)
    torch.testing.assert_close(back.sum(1).sort().values, expected.sum(1).sort().values, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("sizes", [(1, 10), (10, 0), (1797, 1), (1500, 297)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="there are 1797 digits"):
        digit_views(*sizes)
