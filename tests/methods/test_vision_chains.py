"""Oracles of vision chains: a zoom on plain numbers, a bound, normal equations by a general solver, a crop by hand."""

import math

import numpy as np
import pytest
import torch

from mmlab.methods.vision_chains import (
    VisionChains,
    box_iou,
    crops,
    floor_of,
    order_by_pairs,
    scale_and_shift,
    superpixels,
    win_rates,
    zoom,
)


def some_boxes(count, seed=0):
    rng = torch.Generator().manual_seed(seed)
    size = 0.1 + 0.5 * torch.rand(count, 2, generator=rng)
    low = torch.rand(count, 2, generator=rng) * (1 - size)
    return torch.cat([low, low + size], 1)


def truth_of(boxes):
    def ask(cells, which):
        b = boxes[which][:, None]
        low = torch.maximum(cells[..., :2], b[..., :2])
        return (torch.minimum(cells[..., 2:], b[..., 2:]) - low > 1e-9).all(-1)

    return ask


def by_hand(box, rounds, cut=1 / 4, fine=1 / 8):
    """The same zoom on plain numbers, axis by axis: cells with a yes are a rectangle if nobody errs."""
    window, c, asked = [0.0, 0.0, 1.0, 1.0], cut, 0
    for _ in range(rounds):
        asked += 9
        new = list(window)
        for axis in (0, 1):
            a, b = window[axis], window[axis + 2]
            at = [a, a + c * (b - a), a + (1 - c) * (b - a), b]
            hit = [i for i in range(3) if min(at[i + 1], box[axis + 2]) - max(at[i], box[axis]) > 1e-9]
            new[axis], new[axis + 2] = at[hit[0]], at[hit[-1] + 1]
        if max(abs(p - q) for p, q in zip(new, window, strict=True)) < 1e-9:
            if c <= fine:
                break
            c = fine
        window = new
    return window, asked


@pytest.mark.parametrize("rounds", [1, 4, 7, 20])
def test_the_zoom_is_that_of_plain_numbers(rounds):
    boxes = some_boxes(40)
    found, asked = zoom(truth_of(boxes.double()), 40, rounds=rounds)
    for box, one, count in zip(boxes.double().tolist(), found.tolist(), asked.tolist(), strict=True):
        expected, questions = by_hand(box, rounds)
        assert one == pytest.approx(expected, abs=1e-5)
        assert count == questions


def test_an_errorless_zoom_that_stops_keeps_the_bound_and_covers_the_box():
    for fine in (1 / 8, 1 / 16, 1 / 5):
        boxes = some_boxes(300, 1)
        found, _ = zoom(truth_of(boxes), 300, fine=fine, rounds=60)
        assert box_iou(found, boxes).min() > floor_of(fine) - 1e-5
        assert (found[:, :2] <= boxes[:, :2] + 1e-5).all()
        assert (found[:, 2:] >= boxes[:, 2:] - 1e-5).all()


def test_no_yes_at_all_is_nine_times_yes():
    found, asked = zoom(lambda cells, which: torch.zeros(cells.shape[:2], dtype=torch.bool), 2)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0, 1, 1]]).expand(2, -1))
    assert asked.tolist() == [18, 18]  # once with each cut


def test_overlap_by_hand():
    a, b = torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 1, 3, 3])
    assert box_iou(a, b) == pytest.approx(1 / 7)
    assert box_iou(a, a) == 1
    assert box_iou(a, a + 5) == 0


def test_depths_are_those_of_a_general_least_squares_solver():
    rng = torch.Generator().manual_seed(0)
    pairs = torch.stack([torch.randperm(12, generator=rng)[:2] for _ in range(50)])
    near = torch.stack([torch.arange(11), torch.arange(1, 12)], 1)
    weight = torch.rand(50, generator=rng)
    rows, sides = [], []
    for (i, j), w in zip(pairs.tolist(), weight.tolist(), strict=True):
        row = np.zeros(12)
        row[i], row[j] = math.sqrt(w), -math.sqrt(w)
        rows.append(row)
        sides.append(math.sqrt(w))
    for i, j in near.tolist():
        row = np.zeros(12)
        row[i], row[j] = math.sqrt(0.7), -math.sqrt(0.7)
        rows.append(row)
        sides.append(0.0)
    expected = np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0]
    found = order_by_pairs(pairs, 12, 0.7, near, weight)
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-5)


def test_all_pairs_without_error_give_equal_steps():
    i, j = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
    pairs = torch.stack([i[i > j], j[i > j]], 1)
    steps = order_by_pairs(pairs, 6).diff()
    torch.testing.assert_close(steps, steps[:1].expand(5), atol=1e-6, rtol=0)
    assert (steps > 0).all()


def test_a_win_rate_counts():
    pairs = torch.tensor([[0, 1], [0, 2], [1, 0]])
    expected = torch.tensor([2.5 / 4, 1.5 / 3, 0.5 / 2, 0.5], dtype=torch.float64)
    torch.testing.assert_close(win_rates(pairs, 4), expected)


def test_scale_and_shift_are_found_again_and_are_those_of_regression():
    d = torch.rand(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = scale_and_shift(d, 3 * d - 2)
    assert (float(a), float(b)) == pytest.approx((3, -2))
    t = torch.rand(30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert [float(v) for v in scale_and_shift(d, t)] == pytest.approx(list(np.polyfit(d, t, 1)))
    assert float(scale_and_shift(torch.ones(5), torch.arange(5.0))[1]) == pytest.approx(2)


def test_a_crop_of_everything_is_the_picture_and_one_of_a_quarter_is_the_quarter():
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    flat = picture.repeat_interleave(8, 2).repeat_interleave(8, 3)  # so that interpolation hardly shows
    whole = crops(flat, torch.tensor([[[0.0, 0, 1, 1]]]), 16)
    torch.testing.assert_close(whole[0, 0], picture[0], atol=1e-4, rtol=0)
    quarter = crops(flat, torch.tensor([[[0.5, 0, 1, 0.5]]]), 8)  # right, upper
    torch.testing.assert_close(quarter[0, 0], picture[0, :, :8, 8:], atol=1e-4, rtol=0)


def test_pieces_follow_an_edge_that_the_grid_cuts_through():
    picture = torch.zeros(1, 24, 24)
    picture[:, :, 9:] = 1  # the cells of a grid of 4 end at 6, 12 and 18
    for weight, mixed in ((0.0, True), (5.0, False)):
        piece = superpixels(picture, 4, weight)
        both = set(piece[:, :9].flatten().tolist()) & set(piece[:, 9:].flatten().tolist())
        assert bool(both) == mixed


def test_the_method_asks_its_model():
    """A model that looks for brightness finds a bright square."""

    class Bright(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.at = torch.nn.Parameter(torch.tensor(1.05))

        def forward(self, x):
            return x.amax((1, 2, 3)) - self.at

    _, batch = VisionChains.demo()
    method = VisionChains([1, 16, 16], Bright())
    boxes, asked = method.boxes(batch)
    bright = batch["image"][:, 0] > 1
    for box, mask in zip(boxes, bright, strict=True):
        y, x = mask.nonzero().float().unbind(1)
        true = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]) / 16
        assert box_iou(box, true) > 0.4
    assert (asked <= 63).all()
    assert method.generate(batch).shape == (6, 4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"cut=0\.6"):
        VisionChains([1, 16, 16], cut=0.6)
