"""A sheet for clinicians: one person's predicted connectome beside rest, truth and difference, open or blind.

A blind sheet shows the truth and the prediction as A and B. Which is which follows from a seed that is in neither the
picture nor the file; the answer is in :attr:`Sheet.key`, for whoever keeps the key. What else is on the sheet is
computed for both panels alike. That does not make it blind: a prediction that lies nearer to rest than a scan does is
known by its pale changes, and by its correlation with rest. Measure how often before you trust a study.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmlab.data.correlation import matrices
from mmlab.metrics.connectome import rowwise_correlation
from mmlab.paths import expand
from mmlab.viz.connectome import _MAP, _check, _mark_networks, _node_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmlab.data.connectome import Regions

__all__ = ["Layout", "Sheet", "blind_order", "connectome_sheet", "save_sheet"]

Layout = Literal["brain", "circle"]
ORDER = ("truth", "prediction")
"""The panels of an open sheet; a blind one shows them as A and B, in an order of its own."""
_PAGE = (8.27, 11.3)  # inches: A4 with margins to spare
_DPI = 150


@dataclass(frozen=True, eq=False)
class Sheet:
    """A drawn sheet.

    Attributes:
        figure: What is shown; it names neither the person nor, if blind, which panel is the truth.
        alt: What it shows, in words: as silent as the figure.
        key: What panel A and panel B are, ``"truth"`` and ``"prediction"``: keep it away from those who judge.
    """

    figure: Figure
    alt: str
    key: dict[str, str]


def blind_order(code: str, seed: int) -> tuple[str, str]:
    """What panel A and panel B of a sheet are: each order is as likely, and a function of the code and the seed alone.

    Args:
        code: The sheet's code, such as ``"case 07"``.
        seed: Secret of the evaluation; without it the order cannot be told.
    """
    swapped = sha256(f"{seed}:{code}".encode()).digest()[0] % 2
    return (ORDER[1], ORDER[0]) if swapped else ORDER


def connectome_sheet(
    rest: Tensor,
    truth: Tensor,
    samples: Tensor,
    regions: Regions,
    *,
    code: str,
    seed: int | None = None,
    shown: Literal["mean", "sample"] = "sample",
    strongest: int = 40,
    layout: Layout | None = None,
) -> Sheet:
    """Draw the sheet of one person.

    On it: rest, and truth and prediction on one colour scale, regions in network order; the first of these two minus
    the second; how much the samples spread; and for each of the two the strongest changes from rest.

    Args:
        rest: Edges (E,) of the source state.
        truth: Edges (E,) of the measured target.
        samples: Samples (K, E) of the predicted target, K at least 2.
        regions: The N regions, with E = N(N-1)/2.
        code: What the sheet is called in the study. It is printed: give no name and no birthday.
        seed: If given, the sheet is blind, and :func:`blind_order` says which panel is the truth.
        shown: Which prediction: one ``"sample"``, as rough as a measurement, or the ``"mean"`` of all, which is
            smoother than any measurement and so gives itself away.
        strongest: How many changes are drawn.
        layout: ``"brain"`` (needs coordinates) or ``"circle"``; by default the brain if there are coordinates.

    Raises:
        ValueError: If a tensor does not fit the regions or is not finite, there are fewer than 2 samples, the code is
            empty, or a brain is wanted without coordinates.
    """
    for title, values in (("rest", rest), ("truth", truth), *((f"sample {i}", v) for i, v in enumerate(samples))):
        _check(values, regions, title)
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"The sheet {code!r}: {title} holds values that are not finite.")
    if len(samples) < 2:
        raise ValueError(f"The sheet {code!r} needs at least 2 samples for the map of their spread: draw more.")
    if not code.strip():
        raise ValueError("A sheet needs a code, by which the study finds it again.")
    layout = layout or ("circle" if regions.coordinates is None else "brain")
    if layout == "brain" and regions.coordinates is None:
        raise ValueError("These regions have no coordinates, and cannot be drawn on a brain: use layout='circle'.")
    rest, truth, samples = (value.detach().cpu().double() for value in (rest, truth, samples))
    known = {"truth": truth, "prediction": samples[0] if shown == "sample" else samples.mean(0)}
    order = ORDER if seed is None else blind_order(code, seed)
    names = ORDER if seed is None else ("A", "B")
    pair = [known[kind].clamp(-1, 1) for kind in order]
    spread = samples.std(0)
    figure = _drawn(rest, pair, spread, regions, code, names, strongest, layout)
    alt = _described(rest, pair, spread, regions, code, names, strongest)
    return Sheet(figure, alt, dict(zip(("A", "B"), order, strict=True)))


def save_sheet(sheet: Sheet, path: str | Path) -> None:
    """Save a sheet as PNG or PDF, with its alt text inside and no other metadata; equal sheets are equal bytes.

    Args:
        sheet: What :func:`connectome_sheet` drew.
        path: Ends in ``.png`` or ``.pdf``. The name is the caller's: let it tell no more than the code does.

    Raises:
        ValueError: If the ending is another one.
    """
    from mmlab.store.files import replace_file

    path = expand(path)
    kind = path.suffix.lower().removeprefix(".")
    # None takes away what Matplotlib would write by itself: its name, and the time, which tells the order of making.
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None, "Description": sheet.alt},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None, "Subject": sheet.alt},
    }
    if kind not in metadata:
        raise ValueError(f"{path.name}: a sheet is saved as .png or .pdf.")
    buffer = io.BytesIO()
    sheet.figure.savefig(buffer, format=kind, dpi=_DPI, facecolor="white", metadata=metadata[kind])
    replace_file(path, [buffer.getvalue()])


def _drawn(
    rest: Tensor,
    pair: Sequence[Tensor],
    spread: Tensor,
    regions: Regions,
    code: str,
    names: Sequence[str],
    strongest: int,
    layout: Layout,
) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_PAGE)
    figure.set_layout_engine("none")
    figure.suptitle(code, x=0.05, y=0.985, ha="left", fontsize=13, fontweight="bold")
    top = max(float(values.abs().max()) for values in (rest, *pair)) or 1.0
    apart = pair[0] - pair[1]
    left, width, height = (0.15, 0.42, 0.69), 0.25, 0.183
    upper, lower, middle = 0.755, 0.51, 0.475
    panels = [
        (left[0], upper, rest, "rest", _MAP, (-top, top)),
        (left[1], upper, pair[0], names[0], _MAP, (-top, top)),
        (left[2], upper, pair[1], names[1], _MAP, (-top, top)),
        (left[0], lower, apart, f"{names[0]} − {names[1]}", _MAP, _around_zero(apart)),
        (middle, lower, spread, "spread of the samples", "viridis", (0.0, float(spread.max()) or 1.0)),
    ]
    for at, bottom, values, title, colours, limits in panels:
        axes = figure.add_axes((at, bottom, width, height))
        image = _matrix(axes, values, regions, title, colours, limits, first=at == left[0], last=bottom == lower)
        if bottom == lower or at == left[2]:
            bar = figure.colorbar(image, cax=figure.add_axes((at + width + 0.005, bottom, 0.01, height)))
            bar.ax.tick_params(labelsize=7, pad=1, length=2)
    _legend(figure, regions, (0.785, lower, 0.2, height))
    changes = [values - rest for values in pair]
    limit = max(float(change.abs().max()) for change in changes) or 1.0
    for row, (name, change) in enumerate(zip(names, changes, strict=True)):
        bottom = 0.21 - 0.205 * row
        figure.text(0.05, bottom + 0.177, f"{name} − rest: the {strongest} largest changes", fontsize=10)
        draw = _brain if layout == "brain" else _circle
        draw(figure, (0.05, bottom, 0.9, 0.17), _largest(change, strongest), regions, limit)
    return figure


def _around_zero(values: Tensor) -> tuple[float, float]:
    top = float(values.abs().max()) or 1.0
    return -top, top


def _largest(values: Tensor, count: int) -> Tensor:
    kept = torch.zeros_like(values)
    chosen = values.abs().topk(min(count, len(values))).indices
    kept[chosen] = values[chosen]
    return kept


def _matrix(
    axes: Axes,
    values: Tensor,
    regions: Regions,
    title: str,
    colours: str,
    limits: tuple[float, float],
    *,
    first: bool,
    last: bool,
) -> Any:
    order = regions.order().numpy()
    full = matrices(values, diagonal=np.nan).numpy()[np.ix_(order, order)]
    image = axes.imshow(full, cmap=colours, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="auto")
    axes.set_title(title, fontsize=11)
    _mark_networks(axes, regions, 149, left=first, below=last)
    axes.tick_params(labelsize=8)
    return image


def _legend(figure: Figure, regions: Regions, place: tuple[float, float, float, float]) -> None:
    """Colours of the networks, and of the values."""
    axes = figure.add_axes(place)
    axes.axis("off")
    for name, colour in dict(sorted(zip(regions.networks, _node_colours(regions), strict=True))).items():
        axes.plot([], [], "o", color=colour, label=name)
    columns = 1 + (len(set(regions.networks)) > 8)
    axes.legend(loc="upper left", fontsize=8, frameon=False, handletextpad=0.1, ncols=columns, borderpad=0)
    words = "Pearson r throughout.\nRed: more, blue: less.\nThe upper three share\none scale."
    axes.text(0.02, 0.0, words, fontsize=8, va="bottom", transform=axes.transAxes)


def _brain(
    figure: Figure, place: tuple[float, float, float, float], kept: Tensor, regions: Regions, limit: float
) -> None:
    from nilearn import plotting

    assert regions.coordinates is not None
    plotting.plot_connectome(
        matrices(kept, diagonal=0.0).numpy(), regions.coordinates.numpy(), node_color=_node_colours(regions),
        node_size=14, edge_cmap=_MAP, edge_vmin=-limit, edge_vmax=limit, figure=figure, axes=place, colorbar=False,
        edge_kwargs={"linewidth": 1.2},
    )  # fmt: skip


def _circle(
    figure: Figure, place: tuple[float, float, float, float], kept: Tensor, regions: Regions, limit: float
) -> None:
    """Regions on a circle in network order; each edge is a curve that bends towards the middle."""
    from matplotlib import colormaps
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    axes = figure.add_axes(place)
    axes.set(aspect="equal", xlim=(-1.1, 1.1), ylim=(-1.1, 1.1))
    axes.axis("off")
    angle = torch.empty(len(regions), dtype=torch.float64)
    angle[regions.order()] = torch.arange(len(regions), dtype=torch.float64) * 2 * torch.pi / len(regions)
    where = torch.stack([angle.sin(), angle.cos()], 1).numpy()
    rows, columns = torch.triu_indices(len(regions), len(regions), offset=1)
    for edge in kept.nonzero()[:, 0].tolist():
        ends = where[int(rows[edge])], where[int(columns[edge])]
        curve = Curve([ends[0], 0.3 * (ends[0] + ends[1]) / 2, ends[1]], [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
        colour = colormaps[_MAP]((float(kept[edge]) / limit + 1) / 2)
        axes.add_patch(PathPatch(curve, fill=False, edgecolor=colour, linewidth=1.2))
    axes.scatter(where[:, 0], where[:, 1], s=14, c=_node_colours(regions), zorder=3)


def _described(
    rest: Tensor,
    pair: Sequence[Tensor],
    spread: Tensor,
    regions: Regions,
    code: str,
    names: Sequence[str],
    strongest: int,
) -> str:
    """The sheet in words; what it says of one panel it says of the other."""
    with_rest = [float(rowwise_correlation(values[None], rest[None])) for values in pair]
    between = float(rowwise_correlation(pair[0][None], pair[1][None]))
    apart = float((pair[0] - pair[1]).square().mean().sqrt())
    return (
        f"Sheet {code}: five matrices of {len(regions)} regions in network order, and two drawings of the {strongest} "
        f"largest changes from rest. {names[0]} and {names[1]} correlate by {between:.2f} over edges and differ by "
        f"{apart:.3f} (root mean square); with rest they correlate by {with_rest[0]:.2f} and {with_rest[1]:.2f}. The "
        f"samples spread by {float(spread.mean()):.3f} per edge on average."
    )
