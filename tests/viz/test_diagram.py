"""A diagram draws every box and arrow it is given, and names the box that it does not know."""

from __future__ import annotations

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mmlab.viz.diagram import Arrow, Box, diagram

BOXES = {"x": Box(0, 0, "picture"), "f": Box(1, 0, "encoder", "trained"), "L": Box(1, 1, "loss", "loss")}


def test_every_box_and_every_arrow_is_drawn_from_edge_to_edge() -> None:
    figure = diagram(BOXES, [Arrow("x", "f", "z"), Arrow("f", "L"), Arrow("L", "f", back=True, bend=0.3)])
    (axes,) = figure.axes
    kinds = [type(patch) for patch in axes.patches]
    assert kinds.count(FancyBboxPatch) == 3
    assert kinds.count(FancyArrowPatch) == 3
    assert {text.get_text() for text in axes.texts} == {"picture", "encoder", "loss", "z"}
    across = next(patch for patch in axes.patches if isinstance(patch, FancyArrowPatch))
    (left, top), (right, bottom) = across._posA_posB
    assert 0 < left < right < 1, "the arrow runs from the right edge of the one to the left edge of the other"
    assert top == bottom == 0


def test_an_unknown_box_is_named() -> None:
    with pytest.raises(ValueError, match="'g'"):
        diagram(BOXES, [Arrow("x", "g")])
    with pytest.raises(ValueError, match="no boxes"):
        diagram({}, [])


def test_rows_become_boxes_with_wrapped_words():
    from mmlab.viz.diagram import in_rows

    rows = [
        {"source": "source $x_0$", "target": "target"},
        {"network": "a network that sees the state and the time of it"},
    ]
    figure = in_rows(rows, [("source", "network", "and $t$"), ("target", "network")], trained=["network"])
    words = [text.get_text() for text in figure.axes[0].texts]
    assert {"source $x_0$", "target", "and $t$"} <= set(words)
    assert "a network that sees the\nstate and the time of it" in words
    with pytest.raises(ValueError, match=r"names the box 'netwrk': .*'network'"):
        in_rows(rows, [], trained=["netwrk"])
    with pytest.raises(ValueError, match="two boxes are called 'source'"):
        in_rows([*rows, {"source": "again"}], [])
