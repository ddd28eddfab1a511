"""Oracles of VALE: orders in place of sets, the four axioms, closed forms, and a labelling of connected pixels."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmlab.methods.vale import (
    Vale,
    coalitions,
    extent,
    flood,
    grid_segments,
    leave_one_out,
    only_one,
    shapley,
    shown,
)


def by_orders(v, n):
    shares = np.zeros(n)
    for order in itertools.permutations(range(n)):
        members = frozenset()
        for i in order:
            shares[i] += v[members | {i}] - v[members]
            members = members | {i}
    return shares / math.factorial(n)


def random_game(n, seed=0):
    return torch.rand(2**n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_sets_and_orders_agree(n):
    game = random_game(n)
    named = {frozenset(m.nonzero()[:, 0].tolist()): float(v) for m, v in zip(coalitions(n), game, strict=True)}
    assert len(named) == 2**n
    np.testing.assert_allclose(shapley(game), by_orders(named, n), atol=1e-12)


def test_the_axioms():
    a, b = random_game(4), random_game(4, 1)
    torch.testing.assert_close(shapley(a).sum(), a[-1] - a[0])  # efficiency
    torch.testing.assert_close(shapley(2 * a + b), 2 * shapley(a) + shapley(b))  # linearity
    members = coalitions(4)
    swapped = torch.tensor([sum(2**j for j, i in enumerate((1, 0, 2, 3)) if row[i]) for row in members])
    torch.testing.assert_close(shapley(a[swapped]), shapley(a)[[1, 0, 2, 3]])  # symmetry
    without = torch.arange(16) & ~4  # the game that does not look at player 2
    assert shapley(a[without])[2] == 0  # dummy


def test_a_sum_of_parts_gives_each_its_part_by_all_three_rules():
    parts = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    game = coalitions(5).double() @ parts + 3
    for rule in (shapley, leave_one_out, only_one):
        torch.testing.assert_close(rule(game), parts)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_any_copy_is_enough(k):
    game = coalitions(5)[:, :k].any(1).double()
    expected = torch.tensor([1 / k] * k + [0.0] * (5 - k), dtype=torch.float64)
    torch.testing.assert_close(shapley(game), expected)
    assert leave_one_out(game).sum() == (k == 1)


def test_rules_work_in_batches():
    games = torch.stack([random_game(3, s) for s in range(4)])
    for rule in (shapley, leave_one_out, only_one):
        torch.testing.assert_close(rule(games), torch.stack([rule(g) for g in games]))


def test_a_linear_model_has_the_closed_form():
    """phi is w (x - b), summed over the segment, if the value is linear in the pixels."""
    rng = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 2, 6, 6, generator=rng), torch.randn(2, 6, 6, generator=rng)
    segments = grid_segments(6, 3)
    copies = shown(x, segments, coalitions(9), torch.tensor(0.4))[0]
    found = shapley((copies * w).sum((1, 2, 3)))
    by_pixel = (w * (x[0] - 0.4)).sum(0)
    expected = torch.stack([by_pixel[segments == k].sum() for k in range(9)])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_grid_has_equal_cells():
    segments = grid_segments(6, 3)
    assert [int((segments == k).sum()) for k in range(9)] == [4] * 9
    assert (segments[0, 0], segments[0, 5], segments[5, 0]) == (0, 2, 6)


def test_flood_filling_is_a_component_of_like_pixels():
    rng = np.random.default_rng(0)
    for _ in range(5):
        plain = torch.from_numpy((rng.random((14, 14)) < 0.55).astype(np.float32))
        plain[0] = 0
        inside = torch.zeros(14, 14, dtype=torch.bool)
        inside[4:11, 4:11] = True
        picture = torch.zeros(3, 14, 14) + plain  # the median may be 0 or 1
        ground = picture.flatten(1).median(1).values[0]
        striking = (picture[0] - ground).abs() * inside
        start = int(torch.where(inside, striking, -1.0).argmax())
        labels, _ = ndimage.label(picture[0] == picture[0].flatten()[start])
        expected = torch.from_numpy(labels == labels.flatten()[start])
        assert torch.equal(flood(picture, inside), expected)


def test_the_extent_holds_the_mask():
    mask = torch.zeros(8, 9, dtype=torch.bool)
    mask[2:5, 3:8] = True
    assert extent(mask) == (3, 2, 8, 5)
    assert extent(torch.zeros(4, 4, dtype=torch.bool)) == (0, 0, 0, 0)


def test_the_method_finds_the_segment_that_a_model_looks_at():
    class Corner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, x):
            corner = x[:, 0, :4, 4:].mean((1, 2))  # upper right
            return torch.stack([corner, -corner], 1) * self.scale

    _, batch = Vale.demo()
    method = Vale([1, 8, 8], 2, Corner(), side=2)
    batch["label"] = torch.zeros(6, dtype=torch.long)
    assert (method.predict(batch).argmax(1) == 1).all()
    value = method.values(batch)
    assert torch.equal(value[:, 0], torch.full((6,), 0.5))
    torch.testing.assert_close(shapley(value)[:, 1], value[:, -1] - value[:, 0])
    masks = method.masks(batch, torch.ones(6, dtype=torch.long))
    assert masks.any((1, 2)).all()
    cut = method.cut(batch, masks)
    assert torch.equal(cut[:, 0][masks], batch["image"][:, 0][masks])


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: coalitions(13), "players=13"),
        (lambda: shapley(torch.zeros(6)), "6 values"),
        (lambda: Vale([1, 8, 8], 2, side=4), "16 segments"),
    ],
)
def test_what_does_not_fit_is_refused(build, told):
    with pytest.raises(ValueError, match=told):
        build()
