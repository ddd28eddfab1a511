"""A picture with nothing on it does not become a page."""

from __future__ import annotations

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from mmlab.publish.run.outputs import empty_figure
from mmlab.viz.markup import FEWEST_COLOURS


def picture(colours: int) -> str:
    """A PNG of so many colours, in base 64."""
    values = np.zeros((8, 8), dtype=np.uint8)
    values.flat[:colours] = 3 * np.arange(colours)
    content = io.BytesIO()
    Image.fromarray(values).save(content, "png")
    return base64.b64encode(content.getvalue()).decode()


def notebook(**data: str):
    shown = nbformat.v4.new_output("display_data", data={name.replace("_", "/"): text for name, text in data.items()})
    cells = [nbformat.v4.new_markdown_cell("Text."), nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell("2")]
    cells[2].outputs = [nbformat.v4.new_output("stream", text="words"), shown]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize("colours", [1, FEWEST_COLOURS - 1])
def test_a_blank_picture_is_found(colours: int) -> None:
    for data in (
        {"image_png": picture(colours)},
        {"text_html": f'<img src="data:image/png;base64,{picture(colours)}">'},
    ):
        status, sentence = empty_figure(notebook(**data))
        assert status == "incomplete"
        assert sentence.startswith(f"code cell 2 shows a picture with nothing on it: it has {colours} colour")


def test_a_picture_with_something_on_it_may_stay() -> None:
    assert empty_figure(notebook(image_png=picture(FEWEST_COLOURS))) is None
    assert empty_figure(notebook(text_html="<p>No picture.</p>")) is None
