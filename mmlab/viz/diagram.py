"""A drawing of what goes where: boxes on a grid and arrows between them, made from code, readable on a phone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mmlab.viz.theme import COLOURS, WIDTH, use_theme
from mmlab.wording import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Arrow", "Box", "diagram", "in_rows"]

Kind = Literal["data", "trained", "frozen", "loss", "changed"]
"""What a box is: something given, a part that learns, a part that does not, an objective, what the method adds."""

_FACES: dict[str, str] = {
    "data": "#ffffff",
    "trained": "#cfe3f3",
    "frozen": "#e3e6e8",
    "loss": "#cdebdd",
    "changed": "#fbe3d0",
}


@dataclass(frozen=True)
class Box:
    """A box of a diagram.

    Attributes:
        column: Its place from the left, in columns.
        row: Its place from the top, in rows; halves are allowed.
        text: What stands in it; lines of about 14 letters fit into three columns.
        kind: What it is, which gives its colour.
    """

    column: float
    row: float
    text: str
    kind: Kind = "data"


@dataclass(frozen=True)
class Arrow:
    """An arrow from box to box.

    Attributes:
        start: Name of the box that it leaves.
        end: Name of the box that it reaches.
        text: Short word beside its middle.
        back: Whether it is dashed and coloured, as for a gradient or a measurement.
        bend: Curvature; 0 is straight.
    """

    start: str
    end: str
    text: str = ""
    back: bool = False
    bend: float = 0.0


def diagram(boxes: Mapping[str, Box], arrows: Sequence[Arrow], *, row_height: float = 0.72) -> Figure:
    """Draw boxes on a grid, with arrows from edge to edge.

    Args:
        boxes: By name, as the arrows call them.
        arrows: In any order.
        row_height: Height of a row, in inches.

    Raises:
        ValueError: If there is no box, or an arrow names one that there is not.
    """
    from matplotlib.figure import Figure as NewFigure

    if not boxes:
        raise ValueError("diagram: there are no boxes to draw.")
    for arrow in arrows:
        for name in (arrow.start, arrow.end):
            if name not in boxes:
                raise ValueError(f"diagram: an arrow names the box {name!r}: {nearest(name, boxes)}")
    use_theme()
    columns = max(box.column for box in boxes.values()) + 1
    rows = max(box.row for box in boxes.values()) + 1
    figure = NewFigure(figsize=(WIDTH, 0.2 + row_height * rows), layout="constrained")
    axes = figure.subplots()
    for box in boxes.values():
        _draw_box(axes, box)
    for arrow in arrows:
        _draw_arrow(axes, boxes[arrow.start], boxes[arrow.end], arrow)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.axis("off")
    return figure


def in_rows(
    rows: Sequence[Mapping[str, str]],
    arrows: Sequence[tuple[str, str] | tuple[str, str, str]],
    *,
    trained: Sequence[str] = (),
) -> Figure:
    """Draw boxes in rows from the top down, each row spread over the width, with their words wrapped.

    Args:
        rows: The boxes of each row by name, with the words in each; mathematics between dollars stays whole.
        arrows: From which box to which, and what is written beside the arrow, if anything.
        trained: Boxes that learn.

    Raises:
        ValueError: If there is no box, two have one name, or an arrow or ``trained`` names one that there is not.
    """
    names = [name for row in rows for name in row]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"diagram: two boxes are called {twice[0]!r}: give each a name of its own.")
    if unknown := [name for name in trained if name not in names]:
        raise ValueError(f"diagram: trained names the box {unknown[0]!r}: {nearest(unknown[0], names)}")
    columns = max((len(row) for row in rows), default=1)
    boxes = {
        name: Box(
            (place + 0.5) * columns / len(row) - 0.5,
            at,
            _wrapped(words, {1: 52, 2: 26}.get(columns, 16)),
            "trained" if name in trained else "data",
        )
        for at, row in enumerate(rows)
        for place, (name, words) in enumerate(row.items())
    }
    return diagram(boxes, [Arrow(*arrow) for arrow in arrows], row_height=0.85)


def _wrapped(words: str, width: int) -> str:
    """Words in lines of about so many letters; a formula counts half of its letters and is never broken."""
    lines, used = [""], 0
    for word in re.findall(r"(?:\$[^$]*\$|\S)+", words):
        size = sum(len(part) // (1 + at % 2) for at, part in enumerate(word.split("$")))
        if used and used + size > width:
            lines, used = [*lines, ""], 0
        lines[-1] += f" {word}" if used else word
        used += size + 1
    return "\n".join(lines)


_HALF_WIDTH, _HALF_HEIGHT = 0.39, 0.32


def _draw_box(axes: Axes, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (box.column - _HALF_WIDTH, box.row - _HALF_HEIGHT)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            2 * _HALF_WIDTH,
            2 * _HALF_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=_FACES[box.kind],
            edgecolor=COLOURS[6],
            linewidth=1.0,
        )
    )
    axes.text(box.column, box.row, box.text, ha="center", va="center", fontsize=10, linespacing=1.15)


def _draw_arrow(axes: Axes, start: Box, end: Box, arrow: Arrow) -> None:
    from matplotlib.patches import FancyArrowPatch

    beside = abs(end.column - start.column) > 2 * _HALF_WIDTH  # else above or below
    if beside:
        side = 1 if end.column > start.column else -1
        ends = ((start.column + side * _HALF_WIDTH, start.row), (end.column - side * _HALF_WIDTH, end.row))
    else:
        side = 1 if end.row > start.row else -1
        ends = ((start.column, start.row + side * _HALF_HEIGHT), (end.column, end.row - side * _HALF_HEIGHT))
    colour = COLOURS[1] if arrow.back else COLOURS[6]
    axes.add_patch(
        FancyArrowPatch(
            *ends,
            arrowstyle="-|>",
            mutation_scale=12,
            color=colour,
            linestyle="--" if arrow.back else "-",
            shrinkA=1,
            shrinkB=1,
            linewidth=1.2,
            connectionstyle=f"arc3,rad={arrow.bend}",
        )
    )
    if arrow.text:
        (left, top), (right, low) = ends
        middle = (left + right) / 2, (top + low) / 2
        place = (0, 4) if beside else (5, 0)
        axes.annotate(
            arrow.text, middle, xytext=place, textcoords="offset points", color=colour, fontsize=10,
            ha="center" if beside else "left", va="bottom" if beside else "center",
        )  # fmt: skip
