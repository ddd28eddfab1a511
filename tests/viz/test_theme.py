"""Figures have one look, can be told apart by the colour-blind, and can be read on a phone."""

from __future__ import annotations

import itertools
import math

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from mmlab.viz.markup import colours, png
from mmlab.viz.theme import COLOURS, WIDTH, bars, image_rows, lines, use_theme

mpl.use("Agg")

RUNS = pd.DataFrame(
    [
        {"method": name, "steps": steps, "seed": seed, "accuracy": 0.5 + 0.01 * steps + 0.02 * seed + 0.1 * place}
        for place, name in enumerate(["ours", "theirs"])
        for steps in (1, 5, 10)
        for seed in range(3)
    ]
)


@pytest.fixture(autouse=True)
def as_before():
    with mpl.rc_context():
        yield
    plt.close("all")


def seen(colour: str, kind: str) -> np.ndarray:
    """A colour as somebody without one kind of cones sees it (Viénot, Brettel and Mollon 1999, linear RGB)."""
    protan = [[0.1121, 0.8853, -0.0005], [0.1127, 0.8897, -0.0001], [0.0045, 0.0000, 1.0019]]
    deutan = [[0.2920, 0.7054, -0.0003], [0.2934, 0.7089, 0.0000], [-0.0210, 0.0256, 1.0018]]
    linear = np.array([(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4) for c in to_rgb(colour)])
    return np.clip(np.array({"protan": protan, "deutan": deutan}[kind]) @ linear, 0, 1)


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_no_two_colours_look_alike_to_the_colour_blind(kind: str) -> None:
    apart = {(a, b): np.abs(seen(a, kind) - seen(b, kind)).max() for a, b in itertools.combinations(COLOURS, 2)}
    assert min(apart.values()) > 0.05, min(apart, key=apart.get)
    red_green = np.abs(seen("#cc0000", kind) - seen("#4a7000", kind)).max()  # a pair that is famous for it
    assert red_green < 0.12


def test_texts_can_be_read_where_a_phone_shrinks_the_figure() -> None:
    use_theme()
    shrunk = min(1.0, (390 - 32) / (WIDTH * 96))
    for name in ("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"):
        assert mpl.rcParams[name] * 96 / 72 * shrunk >= 8.8, name


def test_lines_have_a_band_over_seeds_and_none_for_one() -> None:
    figure = lines(RUNS, "steps", "accuracy", references={"chance": 0.5})
    (axes,) = figure.axes
    assert len(axes.collections) == 2  # a band for each method
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"ours", "theirs"}
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    half = 4.303 * 0.02 / math.sqrt(3)  # Student's t for three runs, as in the tables
    assert band.min() == pytest.approx(0.51 + 0.02 - half, abs=1e-3)
    assert "chance" in [text.get_text() for text in axes.texts]
    single = lines(RUNS[RUNS.seed == 0], "steps", ["accuracy", "seed"], log_x=True)
    assert [len(a.collections) for a in single.axes] == [0, 0]
    assert single.axes[0].get_xscale() == "log"


def test_bars_show_every_run_and_the_references() -> None:
    figure = bars(RUNS[RUNS.steps == 10], "accuracy", order=["theirs", "ours"], references={"ceiling": 0.9})
    (axes,) = figure.axes
    points = [c for c in axes.collections if len(c.get_offsets())]
    assert [len(c.get_offsets()) for c in points] == [3, 3]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["theirs", "ours"]
    assert "ceiling" in [text.get_text() for text in axes.texts]
    bars(RUNS[(RUNS.steps == 10) & (RUNS.seed == 0)], "accuracy")


def test_rows_of_images_have_names_and_headings() -> None:
    images = {"truth": torch.rand(4, 3, 8, 8), "ours": np.random.default_rng(0).random((4, 8, 8))}
    figure = image_rows(images, columns=list("abcd"))
    assert [axes.get_title() for axes in figure.axes[:4]] == list("abcd")
    assert figure.axes[0].get_ylabel() == "truth"
    assert figure.axes[0].images[0].get_array().shape == (8, 8, 3)
    content, width = png(figure)
    assert colours(content) > 5
    assert width < 6 * 96


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: lines(RUNS, "step", "accuracy"), "no column 'step'; the columns are"),
        (lambda: lines(RUNS.iloc[:0], "steps", "accuracy"), "nothing to draw"),
        (lambda: bars(RUNS, "error"), "no column 'error'"),
        (lambda: image_rows({}), "there are none"),
        (lambda: image_rows({"a": [np.zeros((2, 2))], "b": []}), "b has 0"),
        (lambda: image_rows({"a": [np.zeros(4)]}), r"an image has the shape \(4,\)"),
        (lambda: image_rows({"a": [np.zeros((2, 2))]}, columns=["x", "y"]), "2 headings for 1 columns"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, words) -> None:
    with pytest.raises(ValueError, match=words):
        draw()


def test_panels_of_bars_have_rows_of_their_own() -> None:
    frame = RUNS[RUNS.steps == 10].assign(world="one")
    two = frame[frame.method == "ours"].assign(world="two")
    figure = bars(pd.concat([frame, two]), "accuracy", panel="world")
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    assert [len(axes.get_yticks()) for axes in figure.axes] == [2, 1]
