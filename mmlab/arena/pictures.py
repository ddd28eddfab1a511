"""Pictures as respondents get them: drawn anew as PNG, so that neither format nor metadata tells where one is from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmlab.arena.competition import Answer, Competition, Item

__all__ = ["render"]

_WIDEST = 1600  # pixels
_LARGEST = 50_000_000  # pixels of a picture that is read


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
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path, formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")) as opened:
            if opened.width * opened.height > _LARGEST:
                raise ValueError(f"{path} has {opened.width} x {opened.height} pixels: make it smaller.")
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as problem:
        raise ValueError(f"{path} cannot be read as a picture ({problem}): save it as PNG or JPEG.") from None
    upright.thumbnail((_WIDEST, _WIDEST))
    clean = Image.new("RGB", upright.size, "white")
    clean.paste(upright, mask=upright.getchannel("A"))
    content = io.BytesIO()
    clean.save(content, "PNG", optimize=False)
    return content.getvalue()


def _bound(item: Item, folder: Path) -> float:
    answers: Mapping[str, Answer] = {"": item.shown, **item.answers}
    values = [np.abs(_read_matrix(folder / part.matrix)).max() for part in answers.values() if part.matrix is not None]
    return max([float(value) for value in values], default=1.0) or 1.0


def _read_matrix(path: Path) -> np.ndarray[Any, Any]:
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.loadtxt(path, delimiter=",", ndmin=2)
    except (ValueError, OSError) as problem:
        raise ValueError(
            f"{path} cannot be read as a matrix ({problem}): save it as .npy, or .csv without a header."
        ) from None
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or not np.isfinite(values).all():
        raise ValueError(f"{path} holds no matrix of finite numbers, but {values.dtype} of shape {values.shape}.")
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
