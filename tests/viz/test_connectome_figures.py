"""Figures: values at the right places, in network order, on one scale that is centred at zero."""

import numpy as np
import pytest
import torch

from mmlab.data.connectome import Regions, matrices
from mmlab.data.worlds.rest_motor_world import atlas_regions
from mmlab.viz.connectome import connectome_figure, matrices_figure

REGIONS = Regions(names=tuple("abcde"), networks=("y", "x", "y", "x", "z"))
EDGES = torch.linspace(-0.9, 0.6, 10)


def test_matrices_are_in_network_order_on_one_scale() -> None:
    figure = matrices_figure({"rest": EDGES, "motor": EDGES / 2}, REGIONS)
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["rest", "motor"]
    shown = np.asarray(panels[0].images[0].get_array())
    order = [1, 3, 0, 2, 4]
    expected = matrices(EDGES.double(), diagonal=np.nan).numpy()[np.ix_(order, order)]
    assert np.array_equal(np.ma.filled(shown, np.nan), expected, equal_nan=True)
    for axes in panels:
        low, high = axes.images[0].get_clim()
        assert -low == high == pytest.approx(0.9)
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["x", "y", "z"]
    assert panels[0].get_yticks().tolist() == [0.5, 2.5, 4]
    assert sorted({float(line.get_ydata()[0]) for line in panels[0].lines if len(set(line.get_ydata())) == 1}) == [
        1.5,
        3.5,
    ]
    bar = next(axes for axes in figure.axes if axes.get_ylabel())
    assert bar.get_ylabel() == "Pearson r"
    sizes = [
        t.get_fontsize() for axes in panels for t in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title)
    ]
    assert min(sizes) >= 10


def test_several_rows() -> None:
    figure = matrices_figure({str(i): EDGES for i in range(5)}, REGIONS, columns=3, limit=0.5, label="difference")
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.get_visible() and axes.images]
    assert len(shown) == 5
    assert shown[0].images[0].get_clim() == (-0.5, 0.5)


def test_only_the_strongest_edges_are_drawn() -> None:
    regions = atlas_regions(12)
    values = torch.linspace(-0.2, 0.4, 66)
    figure = connectome_figure(values, regions, strongest=5, title="Motor minus rest")
    bar = next(axes for axes in figure.axes if axes.get_ylabel())
    assert bar.get_ylabel() == "difference in Pearson r"
    views = [axes for axes in figure.axes if axes is not bar and len(axes.lines) > 1]
    drawn = [sum(len(line.get_xdata()) == 2 for line in axes.lines) for axes in views]
    assert max(drawn) == 5
    assert {text.get_text() for legend in figure.legends for text in legend.get_texts()} == set(regions.networks)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no matrix to show"):
        matrices_figure({}, REGIONS)
    with pytest.raises(ValueError, match=r"'rest' is \(2, 10\); 5 regions have \(10,\) edges: pass one subject"):
        matrices_figure({"rest": EDGES.expand(2, 10)}, REGIONS)
    with pytest.raises(ValueError, match="no coordinates"):
        connectome_figure(EDGES, REGIONS)


def test_narrow_networks_have_lines_but_no_names() -> None:
    regions = Regions(tuple(map(str, range(100))), ("a",) * 60 + ("b",) + ("c",) * 39)
    figure = matrices_figure({"rest": torch.zeros(4950)}, regions)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c"]
    assert len(axes.lines) == 4
