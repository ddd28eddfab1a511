"""Figures of connectivity: matrices in network order, and the strongest edges on a glass brain.

Each function returns a Matplotlib figure; whoever shows it gives the alternative text (``mmlab.viz.show``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmlab.data.correlation import matrices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmlab.data.connectome import Regions

__all__ = ["connectome_figure", "matrices_figure"]

_MAP = "RdBu_r"


def matrices_figure(
    edges: Mapping[str, Tensor],
    regions: Regions,
    *,
    limit: float | None = None,
    label: str = "Pearson r",
    columns: int = 4,
    size: float = 2.9,
) -> Figure:
    """Matrices side by side, regions in network order, on one colour scale with white at 0.

    Args:
        edges: Edges (E,) of each matrix by its title.
        regions: The N regions; their networks give the order, the lines and the labels.
        limit: Colours go from -limit to limit; by default the largest absolute value shown.
        label: Label of the colour bar. For differences say so.
        columns: Matrices per row, at most.
        size: Width of one matrix in inches.

    Raises:
        ValueError: If there is nothing to show, or a matrix is not one vector of edges of these regions.
    """
    from matplotlib.figure import Figure

    if not edges:
        raise ValueError("There is no matrix to show.")
    for title, values in edges.items():
        _check(values, regions, title)
    order = regions.order().numpy()
    top = limit or max(float(values.abs().max()) for values in edges.values()) or 1.0
    across = min(columns, len(edges))
    down = -(-len(edges) // across)
    figure = Figure(figsize=(size * across + 2.1, size * down + 1.6), layout="compressed")
    grid = figure.subplots(down, across, squeeze=False)
    image: Any = None
    for place, axes in enumerate(grid.flat):
        if place >= len(edges):
            axes.set_visible(False)
            continue
        title = list(edges)[place]
        full = matrices(edges[title].detach().cpu().double(), diagonal=np.nan).numpy()[np.ix_(order, order)]
        image = axes.imshow(full, cmap=_MAP, vmin=-top, vmax=top, interpolation="nearest")
        axes.set_title(title, fontsize=12)
        is_lowest = place + across >= len(edges)
        _mark_networks(axes, regions, 66 * size, left=place % across == 0, below=is_lowest)
    bar = figure.colorbar(image, ax=grid, shrink=0.85, pad=0.02)
    bar.set_label(label, fontsize=11)
    bar.ax.tick_params(labelsize=10)
    return figure


def connectome_figure(
    edges: Tensor,
    regions: Regions,
    *,
    strongest: int = 60,
    limit: float | None = None,
    label: str = "difference in Pearson r",
    title: str = "",
) -> Figure:
    """The strongest edges on a glass brain, from the side, the front and above (nilearn's ``plot_connectome``).

    Args:
        edges: (E,), for example the difference of two states; sign gives the colour, size the width.
        regions: The N regions, with coordinates.
        strongest: How many edges are drawn: those largest in absolute value.
        limit: Colours go from -limit to limit; by default the largest absolute value.
        label: Label of the colour bar.
        title: Above the figure.

    Raises:
        ValueError: If the regions have no coordinates, or edges are not those of these regions.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from nilearn import plotting

    _check(edges, regions, "edges")
    if regions.coordinates is None:
        raise ValueError("These regions have no coordinates, and cannot be drawn on a brain: use matrices_figure.")
    values = edges.detach().cpu().double()
    kept = torch.zeros_like(values)
    chosen = values.abs().topk(min(strongest, len(values))).indices
    kept[chosen] = values[chosen]
    top = limit or float(values.abs().max()) or 1.0
    colours = dict(sorted(zip(regions.networks, _node_colours(regions), strict=True)))
    per_row = len(colours) if len(colours) <= 7 else 5
    legend = 0.25 * -(-len(colours) // per_row)  # inches
    figure = Figure(figsize=(9.5, 3.65 + legend))
    plotting.plot_connectome(
        matrices(kept, diagonal=0.0).numpy(),
        regions.coordinates.numpy(),
        node_color=_node_colours(regions),
        node_size=22,
        edge_cmap=_MAP,
        edge_vmin=-top,
        edge_vmax=top,
        figure=figure,
        axes=(0.0, legend / (3.65 + legend), 0.87, 0.85),
        colorbar=False,
    )
    bar = figure.colorbar(
        ScalarMappable(Normalize(-top, top), _MAP), cax=figure.add_axes((0.905, 0.22, 0.016, 0.62)), label=label
    )
    bar.ax.tick_params(labelsize=10)
    for name, colour in colours.items():
        figure.axes[0].plot([], [], "o", color=colour, label=name)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=per_row, frameon=False, handletextpad=0.1)
    if title:
        figure.suptitle(title, fontsize=12)
    return figure


def _check(values: Tensor, regions: Regions, title: str) -> None:
    expected = len(regions) * (len(regions) - 1) // 2
    if tuple(values.shape) != (expected,):
        shape = tuple(values.shape)
        raise ValueError(f"{title!r} is {shape}; {len(regions)} regions have ({expected},) edges: pass one subject.")


def _mark_networks(axes: Axes, regions: Regions, room: float, *, left: bool, below: bool) -> None:
    """Lines between networks; names at the left and below, in the middle of each, on an axis of ``room`` points."""
    names = sorted(set(regions.networks))
    sizes = np.array([regions.networks.count(name) for name in names])
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color="0.25", linewidth=0.6)
        axes.axvline(end - 0.5, color="0.25", linewidth=0.6)
    middles = ends - sizes / 2 - 0.5
    wide = [i for i in range(len(names)) if room * sizes[i] / len(regions) >= 9]  # narrower than a letter: no name
    shown = [names[i] for i in wide]
    axes.set_yticks(middles[wide], shown if left else [""] * len(wide), fontsize=10)
    axes.set_xticks(middles[wide], shown if below else [""] * len(wide), fontsize=10, rotation=90)
    axes.tick_params(length=0)


def _node_colours(regions: Regions) -> list[Any]:
    from matplotlib import colormaps

    names = sorted(set(regions.networks))
    palette = colormaps["tab20" if len(names) > 10 else "tab10"]
    return [palette(names.index(network)) for network in regions.networks]
