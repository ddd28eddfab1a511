"""Towers: shapes, that the order of words does not count, that places do, and the clamp of the scale."""

from __future__ import annotations

import math

import pytest
import torch

from mmlab.nn.towers import TwoTowers


@pytest.mark.parametrize("patches", [False, True])
def test_shapes_and_what_counts(patches: bool) -> None:
    torch.manual_seed(0)
    towers = TwoTowers(26, 32, 8, patches=patches)
    x, t = torch.rand(3, 3, 32, 32), torch.randint(26, (3, 5))
    assert towers.picture(x).shape == towers.caption(t).shape == (3, 32)
    assert torch.allclose(towers.caption(t.flip(1)), towers.caption(t), atol=1e-6)
    assert not torch.allclose(towers.picture(x.flip(3)), towers.picture(x), atol=1e-2)
    assert torch.allclose(towers.picture(x)[1], towers.picture(x[1:2])[0], atol=1e-5)


def test_the_scale_begins_at_one_over_the_temperature_and_stays_below_100() -> None:
    towers = TwoTowers(26, temperature=0.05)
    assert towers.scale().item() == pytest.approx(20)
    with torch.no_grad():
        towers.log_scale.fill_(math.log(400))
    assert towers.scale().item() == pytest.approx(100)
