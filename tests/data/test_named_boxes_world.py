"""Scenes by the colours of their figures: boxes are extents of masks, and features are means of patches."""

import pytest
import torch

from mmlab.data.worlds.named_boxes_world import named_boxes_world
from mmlab.data.worlds.scene_world import COLOURS, mask, scene_world
from mmlab.methods.medrega import MedRegA


def test_boxes_are_the_extents_of_the_figures_and_features_the_means_of_patches() -> None:
    items, scenes = named_boxes_world(30).pairs.tensors, scene_world(30)
    for n, scene in enumerate(scenes.scenes["train"]):
        figure = scene.figures[0]
        assert COLOURS[int(items["name"][n])] == figure.colour
        x1, y1, x2, y2 = (32 * items["box"][n]).round().long().tolist()
        inside = mask(figure, 32)
        assert inside[y1:y2, x1:x2].sum() == inside.sum()
        assert all(side.any() for side in (inside[y1], inside[y2 - 1], inside[:, x1], inside[:, x2 - 1]))
        patch = scenes.pictures["train"][n, 1, 4:8, 8:12].mean()
        assert items["features"][n].view(3, 8, 8)[1, 1, 2] == pytest.approx(float(patch), abs=1e-5)


def test_a_ridge_finds_them() -> None:
    world = named_boxes_world(400)
    method = MedRegA(features=192, **world.arguments).solve([world.pairs[i] for i in range(300)])
    batch = {name: value[300:] for name, value in world.pairs.tensors.items()}
    off = (method.boxes(batch) - batch["box"]).abs().mean()
    mean = (batch["box"].mean(0) - batch["box"]).abs().mean()
    assert off < 0.5 * mean
    assert torch.equal(named_boxes_world(30).pairs.tensors["box"], named_boxes_world(30).pairs.tensors["box"])
