"""One look for all figures, and the three kinds that chapters draw most: lines over seeds, bars, rows of images.

The colours can be told apart by colour-blind readers, and texts stay readable when a phone of 390 pixels shrinks the
figure. A chapter calls :func:`use_theme` once, or draws with the functions below, which do it by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "WIDTH", "bars", "image_rows", "lines", "use_theme"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a5a5a")
"""Okabe and Ito's palette for colour-blind readers, in the order in which series take them; grey is for references."""

WIDTH = 5.6
"""Inches of a figure's width: 538 pixels on the page, shrunk by a third on a phone."""

_FONTS = ("Inter", "Segoe UI", "Helvetica Neue", "Helvetica", "Arial", "Noto Sans", "Liberation Sans", "DejaVu Sans")
_MOST_TICKS = 8
_INK, _GRID = "#1f2933", "#d9dee3"


def use_theme() -> None:
    """Set the look of all figures that are drawn from here on: font, sizes, colours, grid."""
    import matplotlib as mpl
    import seaborn as sns
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette=list(COLOURS),
        rc={
            "font.family": "sans-serif",
            "font.sans-serif": [name for name in _FONTS if name in installed] or ["DejaVu Sans"],
            "font.size": 10.5,
            "axes.labelsize": 10.5,
            "axes.titlesize": 11.0,
            "xtick.labelsize": 10.0,
            "ytick.labelsize": 10.0,
            "legend.fontsize": 10.0,
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
            "axes.edgecolor": _INK,
            "grid.color": _GRID,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "figure.figsize": (WIDTH, 3.2),
            "figure.constrained_layout.use": True,
            "image.cmap": "viridis",
        },
    )
    mpl.rcParams["legend.frameon"] = False


def lines(
    frame: pd.DataFrame,
    x: str,
    y: str | Sequence[str],
    *,
    by: str = "method",
    log_x: bool = False,
    references: Mapping[str, float] | None = None,
    height: float = 3.2,
) -> Figure:
    """Lines over a setting, one for each series: the mean over seeds, with its 95 % interval as a band.

    Args:
        frame: One line for each run: columns ``x``, ``y`` and ``by``; several runs share an x.
        x: Column of the horizontal axis.
        y: Column of the vertical axis, or several, each in a panel of its own.
        by: Column of the series' names.
        log_x: Whether the horizontal axis is logarithmic.
        references: Levels to mark by dashed lines in the first panel, by name.
        height: Height of a panel, in inches; panels stand one above the other so that a phone can show them.

    Raises:
        ValueError: If a column is absent or there is nothing to draw.
    """
    import seaborn as sns

    measures = [y] if isinstance(y, str) else list(y)
    _check(frame, [x, by, *measures])
    figure, panels = _panels(len(measures), height)
    for axes, measure in zip(panels, measures, strict=True):
        several = frame.groupby([by, x]).size().max() > 1
        sns.lineplot(
            frame, x=x, y=measure, hue=by, style=by, markers=True, dashes=False, ax=axes,
            errorbar=_t_interval if several else None, legend=axes is panels[0],
        )  # fmt: skip
        if log_x:
            axes.set_xscale("log")
            if len(places := sorted(frame[x].unique())) <= _MOST_TICKS:  # the settings themselves, not powers of ten
                axes.set_xticks(places, [f"{place:g}" for place in places])
                axes.minorticks_off()
    _reference_lines(panels[0], references, horizontal=True)
    if panels[0].get_legend():
        panels[0].legend(title="")
    return figure


def bars(
    frame: pd.DataFrame,
    value: str,
    *,
    by: str = "method",
    order: Sequence[str] | None = None,
    references: Mapping[str, float] | None = None,
    panel: str | None = None,
) -> Figure:
    """A point for each run and the mean with its 95 % interval, one row for each method, with references as lines.

    Points tell more than bars do: how many runs there were, and whether one of them makes the mean.

    Args:
        frame: One line for each run: columns ``value`` and ``by``.
        value: Column of the score.
        by: Column of the rows' names.
        order: Rows to show, from the top.
        references: Levels such as chance or the ceiling, by name; in every panel.
        panel: Column whose values have a panel each, one above the other, with its rows and a scale of its own.
    """
    import seaborn as sns

    _check(frame, [value, by, *([panel] if panel else [])])
    parts = dict(tuple(frame.groupby(panel, sort=False))) if panel else {"": frame}
    rows = {name: _rows(part, by, order) for name, part in parts.items()}
    count = max(len(names) for names in rows.values())
    figure, panels = _panels(len(parts), 0.7 + 0.38 * count, shared=False)
    for axes, (name, part) in zip(panels, parts.items(), strict=True):
        shown = part[part[by].isin(rows[name])]
        sns.stripplot(shown, x=value, y=by, order=rows[name], ax=axes, color=COLOURS[4], size=4, jitter=0.15)
        several = shown.groupby(by).size().max() > 1
        sns.pointplot(
            shown, x=value, y=by, order=rows[name], ax=axes, color=COLOURS[0], linestyle="none", markersize=6,
            errorbar=_t_interval if several else None, capsize=0.2, err_kws={"linewidth": 1.5},
        )  # fmt: skip
        axes.set(ylabel="", title=str(name))
        _reference_lines(axes, references, horizontal=False)
    return figure


def _rows(frame: pd.DataFrame, by: str, order: Sequence[str] | None) -> list[str]:
    there = list(dict.fromkeys(frame[by]))
    return there if order is None else [name for name in order if name in there]


def image_rows(rows: Mapping[str, Sequence[Any]], *, columns: Sequence[str] = (), size: float = 0.8) -> Figure:
    """Rows of small images with a name each.

    Args:
        rows: By name, images (H, W), (H, W, 3) or (3, H, W) with values in [0, 1]: arrays or tensors, the same number
            in each row.
        columns: Headings of the columns.
        size: Size of an image, in inches.

    Raises:
        ValueError: If rows differ in length, or an image has another shape.
    """
    import matplotlib.pyplot as plt

    use_theme()
    counts = {len(images) for images in rows.values()}
    if len(counts) != 1 or counts == {0}:
        lengths = ", ".join(f"{name} has {len(images)}" for name, images in rows.items()) or "there are none"
        raise ValueError(f"image_rows: give every row the same number of images, at least one; {lengths}.")
    count = counts.pop()
    if columns and len(columns) != count:
        raise ValueError(f"image_rows: there are {len(columns)} headings for {count} columns.")
    figure, grid = plt.subplots(
        len(rows), count, squeeze=False, figsize=(1.4 + size * count, 0.3 + size * len(rows)), layout="constrained"
    )
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.imshow(_picture(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            for spine in axes.spines.values():
                spine.set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axes, heading in zip(grid[0], columns, strict=False):
        axes.set_title(heading)
    return figure


def _panels(count: int, height: float, *, shared: bool = True) -> tuple[Figure, list[Axes]]:
    import matplotlib.pyplot as plt

    use_theme()
    figure, panels = plt.subplots(
        count, 1, squeeze=False, figsize=(WIDTH, height * count), layout="constrained", sharex=shared and count > 1
    )
    return figure, list(panels[:, 0])


def _t_interval(values: Any) -> tuple[float, float]:
    """The interval that tables and claims use; the mean itself for a single run."""
    import math

    import numpy as np

    from mmlab.compare.intervals import paired_interval

    low, high = paired_interval(np.asarray(values, dtype=np.float64))
    middle = float(np.mean(values))
    return (low, high) if math.isfinite(low) else (middle, middle)


def _reference_lines(axes: Axes, references: Mapping[str, float] | None, *, horizontal: bool) -> None:
    for name, level in (references or {}).items():
        draw = axes.axhline if horizontal else axes.axvline
        draw(level, color=COLOURS[6], lw=1.2, ls="--", zorder=0)
        place = (0.99, level) if horizontal else (level, 0.99)
        axes.annotate(
            name, place, xycoords=("axes fraction", "data") if horizontal else ("data", "axes fraction"),
            ha="right" if horizontal else "left", va="bottom" if horizontal else "top", color=COLOURS[6], fontsize=10,
            xytext=(0, 2) if horizontal else (3, 0), textcoords="offset points",
        )  # fmt: skip


def _picture(image: Any) -> Any:
    import numpy as np

    values = np.asarray(image.detach().cpu() if hasattr(image, "detach") else image, dtype=np.float64)
    if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[-1] not in (1, 3):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[-1] != 3):
        raise ValueError(f"image_rows: an image has the shape {values.shape}: expected (H, W), (H, W, 3) or (3, H, W).")
    return np.clip(values, 0, 1)


def _check(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    if absent := [name for name in columns if name not in frame.columns]:
        raise ValueError(f"There is no column {absent[0]!r}; the columns are {', '.join(map(str, frame.columns))}.")
    if frame.empty:
        raise ValueError("There is nothing to draw: the frame has no rows.")
