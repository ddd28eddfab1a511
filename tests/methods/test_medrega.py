"""Oracles of MedRegA: round trips of text, areas by counting, all matchings tried, ridge regression in primal form."""

import itertools

import numpy as np
import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.methods.medrega import (
    MedRegA,
    crop_window,
    iou_table,
    matched,
    read_boxes,
    region_scores,
    ridge_of,
    single_scores,
    write_box,
)


def some_boxes(count, seed=0):
    rng = torch.Generator().manual_seed(seed)
    low, side = torch.rand(count, 2, generator=rng) * 0.6, 0.1 + 0.3 * torch.rand(count, 2, generator=rng)
    return torch.cat([low, low + side], 1)


def test_a_box_comes_back_to_within_half_a_step():
    for box in some_boxes(50).tolist():
        (back,) = read_boxes(write_box(box))
        assert max(abs(a - b) for a, b in zip(box, back, strict=True)) <= 0.0005 + 1e-9
    assert write_box([-0.1, 0.0, 1.0, 2.0]) == "[0,0,999,999]"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("[10,20,30,40]", 1),
        ("10, 20, 30, 40", 1),
        ("it is at [10 20 30 40] .", 1),
        ("[10,20,30,40", 1),
        ("[10,20,30]", 0),
        ("[10,20,30,40], [50,60,70,80]", 2),
        ("[[10,20,30,40],[50,60,70,80]]", 2),
        ("nodule [10,20,30,40] and mass [50,60,70,80]", 2),
        ("[40,20,30,40]", 0),
        ("[10,20,30,1040]", 0),
        ("none", 0),
        ("[10,20,30,40],[50,60", 1),
    ],
)
def test_what_is_read_of_damaged_text(text, count):
    boxes = read_boxes(text)
    assert len(boxes) == count
    if count:
        assert boxes[0] == pytest.approx((0.0105, 0.0205, 0.0305, 0.0405))


def test_overlaps_are_those_of_counted_pixels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        ends = np.sort(rng.integers(0, 21, (2, 2, 2)), 2)  # box, axis, ends
        masks = []
        for (x1, x2), (y1, y2) in ends:
            mask = np.zeros((20, 20), bool)
            mask[y1:y2, x1:x2] = True
            masks.append(mask)
        boxes = torch.tensor(ends / 20).mT.flatten(1)  # x1, y1, x2, y2
        either = (masks[0] | masks[1]).sum()
        expected = (masks[0] & masks[1]).sum() / either if either else 0.0
        assert float(iou_table(boxes[:1], boxes[1:])) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("said", "there"), [(3, 3), (2, 4), (4, 2)])
def test_the_matching_is_the_best_of_all(said, there):
    for seed in range(5):
        p, g = some_boxes(said, seed), some_boxes(there, seed + 100)
        rows, columns, overlaps = matched(p, g)
        assert len(set(rows.tolist())) == len(set(columns.tolist())) == min(said, there)
        table = iou_table(p, g)
        best = max(
            sum(float(table[i, j]) for i, j in zip(a, b, strict=True))
            for a in itertools.permutations(range(said), min(said, there))
            for b in itertools.combinations(range(there), min(said, there))
        )
        assert float(overlaps.sum()) == pytest.approx(best, abs=1e-6)


def test_scores_by_hand_and_in_any_order():
    g = torch.tensor([[0.0, 0, 0.2, 0.2], [0.5, 0.5, 0.7, 0.7]])
    p = torch.tensor([[0.5, 0.5, 0.7, 0.7], [0.0, 0.0, 0.2, 0.1], [0.8, 0.8, 0.9, 0.9]])
    scores = region_scores([p], [g])
    assert scores == pytest.approx({"precision": 2 / 3, "recall": 1.0, "F1": 0.8, "IoU": 0.75})
    assert region_scores([p[[2, 0, 1]]], [g[[1, 0]]]) == pytest.approx(scores)
    assert region_scores([p], [g], 0.75)["recall"] == 0.5
    empty = torch.zeros(0, 4)
    assert region_scores([empty], [g])["F1"] == 0.0
    assert region_scores([empty, g], [g, empty])["precision"] == 0.0
    one = single_scores(g, g)
    assert one == pytest.approx({"IoU": 1.0, "above 0.25": 1, "above 0.5": 1, "above 0.75": 1})
    assert single_scores(p[1:2], g[:1])["above 0.5"] == 1  # an edge counts


def test_windows_are_square_hold_the_box_and_stay_inside():
    boxes = some_boxes(60)
    window = crop_window(boxes, 1.0, 0.0)
    sides = window[:, 2:] - window[:, :2]
    torch.testing.assert_close(sides[:, 0], sides[:, 1])
    torch.testing.assert_close(sides[:, 0], (boxes[:, 2:] - boxes[:, :2]).amax(1))
    assert (window >= -1e-6).all()
    assert (window <= 1 + 1e-6).all()
    assert (window[:, :2] <= boxes[:, :2] + 1e-6).all()
    assert (window[:, 2:] >= boxes[:, 2:] - 1e-6).all()
    torch.testing.assert_close(crop_window(boxes, 99.0), torch.tensor([0.0, 0, 1, 1]).expand(60, -1))


def test_the_dual_ridge_is_the_primal_one():
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 6, generator=rng).double(), torch.randn(20, 4, generator=rng).double()
    middle, weight, level = ridge_of(x, y, 0.3)
    a, b = x - x.mean(0), y - y.mean(0)
    strength = 0.3 * a.square().sum(1).mean()
    primal = torch.linalg.solve(a.T @ a + strength * torch.eye(6), a.T @ b)
    torch.testing.assert_close(weight, primal)
    torch.testing.assert_close(middle, x.mean(0))
    torch.testing.assert_close(level, y.mean(0))


def test_each_name_has_its_own_boxes_and_they_are_written():
    _, batch = MedRegA.demo()
    method = MedRegA(2, 4, 1e-6).solve(TensorData(batch))
    found = method.boxes(batch)
    torch.testing.assert_close(found, batch["box"], atol=1e-3, rtol=0)
    assert not torch.allclose(method.boxes(batch | {"name": 1 - batch["name"]}), found, atol=1e-2)
    for text, box, numbers in zip(method.write(batch), found, method.generate(batch), strict=True):
        assert text == write_box(box.tolist())
        assert text == "[" + ",".join(map(str, numbers.tolist())) + "]"


def test_a_name_without_items_gets_the_middle():
    _, batch = MedRegA.demo()
    own = TensorData({k: v[batch["name"] == 0] for k, v in batch.items()})
    found = MedRegA(2, 4).solve(own).boxes(batch)[batch["name"] == 1]
    torch.testing.assert_close(found, torch.tensor([0.25, 0.25, 0.75, 0.75]).expand_as(found))


@pytest.mark.parametrize(
    ("build", "told"),
    [(lambda: MedRegA(0, 4), "names=0"), (lambda: region_scores([torch.zeros(0, 4)], []), "1 answers for 0")],
)
def test_what_does_not_fit_is_refused(build, told):
    with pytest.raises(ValueError, match=told):
        build()
