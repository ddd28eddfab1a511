"""Pictures as respondents get them: drawn anew as PNG, so that neither format nor metadata tells where one is from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmlab.arena.competition import Answer, Competition, Item
from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.pictures import read_picture

__all__ = ["render"]

_WIDEST = 1600  # pixels


def render(competition: Competition) -> dict[tuple[str, str], bytes]:
    """Every picture and matrix of a competition as PNG, by item and system; the item's own has the system "".

    Matrices of an item share one colour scale around zero, so that the scale cannot tell them apart.

    Args:
        competition: What is judged.

    Raises:
        ValueError: If a file is no picture, or no matrix.
    """
    found = {}
    for item in competition.items:
        parts = {"": item.shown, **item.answers}
        bound = _bound(item, competition.folder)
        for name, part in parts.items():
            if part.image is not None:
                found[item.name, name] = _picture(competition.folder / part.image)
            elif part.matrix is not None:
                found[item.name, name] = _matrix(_read_matrix(competition.folder / part.matrix), bound)
    return found


def _picture(path: Path) -> bytes:
    from PIL import Image

    upright = read_picture(path, background=(255, 255, 255))
    upright.thumbnail((_WIDEST, _WIDEST))
    clean = Image.new("RGB", upright.size)  # its pixels alone: what else the file said stays behind
    clean.paste(upright)
    content = io.BytesIO()
    clean.save(content, "PNG", optimize=False)
    return content.getvalue()


def _bound(item: Item, folder: Path) -> float:
    answers: Mapping[str, Answer] = {"": item.shown, **item.answers}
    values = [np.abs(_read_matrix(folder / part.matrix)).max() for part in answers.values() if part.matrix is not None]
    return max([float(value) for value in values], default=1.0) or 1.0


def _read_matrix(path: Path) -> np.ndarray[Any, Any]:
    values = read_array(path, Array("fiu", (None, None)), "save a matrix of finite numbers as .npy or .csv.")
    if not values.size:
        raise ValueError(f"{path} holds no number: save a matrix as .npy or .csv.")
    return np.asarray(values, dtype=np.float64)


def _matrix(values: np.ndarray[Any, Any], bound: float) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    figure.colorbar(drawn)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    return content.getvalue()
