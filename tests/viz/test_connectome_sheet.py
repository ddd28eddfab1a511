"""The clinicians' sheet: what it shows is right, and a blind one tells neither in the picture nor in the file."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch import Tensor

from mmlab.data.connectome import Regions, matrices
from mmlab.data.worlds.rest_motor_world import atlas_regions
from mmlab.viz.connectome_sheet import Sheet, blind_order, connectome_sheet, save_sheet

REGIONS = Regions(names=tuple("abcde"), networks=("y", "x", "y", "x", "z"))
REST = torch.linspace(-0.9, 0.6, 10)
TRUTH = torch.linspace(0.7, -0.5, 10)
SAMPLES = torch.stack([torch.linspace(0.6, -0.8, 10), torch.linspace(0.2, -0.4, 10)])


def draw(regions: Regions = REGIONS, **changes: Any) -> Sheet:
    return connectome_sheet(REST, TRUTH, SAMPLES, regions, **{"code": "case 07", "layout": "circle"} | changes)


def panels(sheet: Sheet) -> dict[str, Any]:
    return {axes.get_title(): axes for axes in sheet.figure.axes if axes.get_title()}


def shown(axes: Any) -> np.ndarray[Any, Any]:
    return np.ma.filled(np.asarray(axes.images[0].get_array()), np.nan)


def in_order(edges: Tensor) -> np.ndarray[Any, Any]:
    order = [1, 3, 0, 2, 4]
    return np.asarray(matrices(edges.double(), diagonal=np.nan).numpy()[np.ix_(order, order)])


def test_an_open_sheet_shows_what_it_says() -> None:
    found = panels(draw())
    assert list(found) == ["rest", "truth", "prediction", "truth − prediction", "spread of the samples"]
    expected = [REST, TRUTH, SAMPLES[0], TRUTH - SAMPLES[0], (SAMPLES[0] - SAMPLES[1]).abs() / 2**0.5]
    for axes, edges in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(shown(axes), in_order(edges), atol=1e-6)
    for title in ("rest", "truth", "prediction"):
        assert found[title].images[0].get_clim() == pytest.approx((-0.9, 0.9))
    assert found["spread of the samples"].images[0].get_clim()[0] == 0
    mean = panels(draw(shown="mean"))["prediction"]
    np.testing.assert_allclose(shown(mean), in_order(SAMPLES.mean(0)), atol=1e-6)


def test_the_order_of_a_blind_sheet_follows_from_its_seed() -> None:
    orders = {blind_order("case 07", seed) for seed in range(20)}
    assert orders == {("truth", "prediction"), ("prediction", "truth")}
    assert {blind_order(f"case {i}", 0) for i in range(20)} == orders
    counts = sum(blind_order(f"case {i}", 1)[0] == "truth" for i in range(400))
    assert 150 < counts < 250
    for seed in range(6):
        sheet = draw(seed=seed)
        assert tuple(sheet.key.values()) == blind_order("case 07", seed)
        truth = next(panel for panel, kind in sheet.key.items() if kind == "truth")
        np.testing.assert_allclose(shown(panels(sheet)[truth]), in_order(TRUTH), atol=1e-6)


def test_a_blind_sheet_says_the_same_of_both_panels() -> None:
    sheet = draw(seed=1)
    words = " ".join(text.get_text() for text in sheet.figure.findobj(Text) if isinstance(text, Text))
    for told in (words, sheet.alt):
        assert not re.search("truth|true|predict|measured|world", told)
        assert "A" in told
        assert "B" in told
    gaps = panels(sheet)["A − B"]
    np.testing.assert_allclose(
        shown(gaps), shown(panels(sheet)["A"]) - shown(panels(sheet)["B"]), atol=1e-6
    )  # fmt: skip
    assert gaps.images[0].get_clim()[0] == -gaps.images[0].get_clim()[1]


def test_two_matrices_that_change_places_change_nothing_else() -> None:
    """With the truth and the sample exchanged and the other order, the pictures of A and B are the same bits."""
    seeds = {blind_order("case 07", seed): seed for seed in range(20)}
    one = connectome_sheet(REST, TRUTH, SAMPLES, REGIONS, code="case 07", seed=seeds["truth", "prediction"])
    swapped = torch.stack([TRUTH, SAMPLES[1]])
    other = connectome_sheet(REST, SAMPLES[0], swapped, REGIONS, code="case 07", seed=seeds["prediction", "truth"])
    for title in ("rest", "A", "B", "A − B"):
        assert np.array_equal(shown(panels(one)[title]), shown(panels(other)[title]), equal_nan=True)


def test_files_hold_the_alt_text_and_nothing_else(tmp_path: Path) -> None:
    sheet = draw(seed=3)
    save_sheet(sheet, tmp_path / "07.png")
    save_sheet(draw(seed=3), tmp_path / "again.png")
    assert (tmp_path / "07.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    with Image.open(tmp_path / "07.png") as image:
        assert {key for key in image.info if key != "dpi"} == {"Description"}
        assert image.info["Description"] == sheet.alt
        assert image.width > 1000
    save_sheet(sheet, tmp_path / "07.pdf")
    content = (tmp_path / "07.pdf").read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    plain = content + b"".join(zlib.decompressobj().decompress(part) for part in streams if part[:1] == b"\x78")
    for word in (b"truth", b"predict", b"atplotlib", b"CreationDate", b"Producer", b"Author"):
        assert word not in plain
    assert b"/Subject" in content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["07.pdf", "07.png", "again.png"]


def test_brain_and_circle(tmp_path: Path) -> None:
    regions = atlas_regions(12)
    edges = torch.linspace(-0.5, 0.8, 66)
    samples = torch.stack([edges.flip(0), edges.roll(3)])
    sheet = connectome_sheet(edges.roll(1), edges, samples, regions, code="case 1", strongest=7)
    drawn = [sum(np.size(line.get_xdata()) == 2 for line in axes.lines) for axes in sheet.figure.axes]
    assert drawn.count(7) == 6  # two brains from three sides
    save_sheet(sheet, tmp_path / "brain.png")
    circle = draw(strongest=4)
    assert [len(axes.patches) for axes in circle.figure.axes if axes.patches] == [4, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "brain"}, "have no coordinates"),
        ({"code": " "}, "needs a code"),
        ({"samples": SAMPLES[:1]}, "at least 2 samples"),
        ({"truth": TRUTH[:6]}, r"'truth' is \(6,\)"),
        ({"rest": REST.log()}, "'case 07': rest holds values that are not finite"),
    ],
)
def test_refusals(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"rest": REST, "truth": TRUTH, "samples": SAMPLES, "regions": REGIONS, "code": "case 07"}
    with pytest.raises(ValueError, match=message):
        connectome_sheet(**given | changes)


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"07\.svg: a sheet is saved as \.png or \.pdf"):
        save_sheet(draw(), tmp_path / "07.svg")
    assert not list(tmp_path.iterdir())
