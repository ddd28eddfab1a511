"""The painter: components that keep distances, and a pipeline like those of diffusers."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.matrix_words import picture_edges
from mmlab.data.worlds.rest_motor_world import rest_motor_world
from mmlab.nn.drawing import draw
from mmlab.nn.matrix_painter import MatrixPainter

WORLD = rest_motor_world(40, 12, 0)
VALUES, REGIONS = WORLD.pairs.target, WORLD.pairs.regions


def test_distances_of_vectors_are_those_of_matrices_and_the_rest_is_the_least() -> None:
    painter = MatrixPainter(VALUES, REGIONS, queries=3, width=4)
    codes = painter.encode(VALUES)
    assert codes.shape == (40, 3, 4)
    assert codes.square().mean().item() == pytest.approx(1, abs=1e-5)
    back = painter.decode(codes)
    torch.testing.assert_close(painter.encode(back), codes, atol=1e-4, rtol=1e-4)
    apart = (codes[0] - codes[1]).norm() * painter.size
    assert apart.item() == pytest.approx((back[0] - back[1]).norm().item(), rel=1e-4)
    values = torch.linalg.svdvals(VALUES.double() - VALUES.double().mean(0))
    left = (VALUES - back).double().square().sum()
    assert left.item() == pytest.approx(values[12:].square().sum().item(), rel=1e-3)  # Eckart and Young


def test_it_draws_where_a_pipeline_would() -> None:
    painter = MatrixPainter(VALUES, REGIONS, queries=3, width=4)
    codes = painter.encode(VALUES[:2])
    pictures = draw(painter, codes)
    assert pictures.shape == (2, 3, 12, 12)
    torch.testing.assert_close(picture_edges(pictures, REGIONS), painter.decode(codes).clamp(-1, 1), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"vectors of shape \(3, 4\), not \(4, 3\)"):
        draw(painter, codes.mT.contiguous())


def test_more_components_than_matrices_are_refused() -> None:
    with pytest.raises(ValueError, match="ask for fewer"):
        MatrixPainter(VALUES[:12], REGIONS, 3, 4)
