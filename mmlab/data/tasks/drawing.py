"""Draw the items of the tasks, the same on every platform and for good.

All randomness is NumPy's ``RandomState``, whose streams are frozen, and all arithmetic is in double precision. What
platforms may do differently in the last bits is then rounded away: numbers have four decimals, pictures 256 levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.conditional_laws_world import ConditionalLaw
from mmlab.data.worlds.dependency_world import DependencyWorld
from mmlab.data.worlds.mini_memes import COLOURS, LAYOUTS, REMARKS, SHAPES, TOPICS, Meme, figure_distance, paint_of
from mmlab.data.worlds.omics_world import VIEWS, OmicsWorld

__all__ = ["DECIMALS", "Split", "clinic", "dial", "memes", "two_modes"]

DECIMALS = 4

Split = dict[str, NDArray[Any]]
"""Columns of one split, each with first dimension N: float32, uint8, int64, bool, or strings."""

_SIZES = {"train": 2000, "validation": 500, "test": 2000}
_PIXELS = 32


def dial(intra: float, inter: float, seed: int) -> tuple[dict[str, Split], DependencyWorld]:
    """Two vectors of eight numbers: the law of :mod:`mmlab.data.worlds.dependency_world`, without noise."""
    rng = np.random.RandomState(seed)

    def draw(count: int) -> Split:
        label = rng.permutation(np.arange(count) % 2)
        y = 2.0 * label - 1
        x1, x2 = rng.standard_normal((2, count, 8))
        agree = np.where(rng.random_sample(count) < inter, y, -y)
        x2[:, 1] = np.abs(x2[:, 1]) * np.sign(x1[:, 1]) * agree
        for x in (x1, x2):
            x[:, 0] += intra * y
        return {"x1": _rounded(x1), "x2": _rounded(x2), "label": label.astype(np.int64)}

    splits = _each(draw)
    return splits, DependencyWorld(_tensors(splits["test"]), intra, inter, (0.0, 0.0))


def clinic(seed: int) -> tuple[dict[str, Split], OmicsWorld]:
    """Three views of twenty numbers: the law of :mod:`mmlab.data.worlds.omics_world`, in a small form."""
    rng = np.random.RandomState(seed)
    shared, private, features, noise = 4, 4, 20, 1.0
    loadings = rng.standard_normal((3, features, shared + 3 * private))
    shift = np.zeros(shared + 3 * private)
    places = [slice(0, shared)] + [slice(shared + m * private, shared + (m + 1) * private) for m in range(3)]
    for place, strength in zip(places, (1.2, 0.5, 0.5, 0.8), strict=True):
        direction = rng.standard_normal(shift[place].shape)
        shift[place] = strength * direction / np.linalg.norm(direction)
    for m in range(3):
        for other in {0, 1, 2} - {m}:
            loadings[m, :, places[1 + other]] = 0

    def draw(count: int) -> Split:
        label = rng.permutation(np.arange(count) % 2)
        factors = (2.0 * label[:, None] - 1) * shift + rng.standard_normal((count, len(shift)))
        views = {
            view: _rounded(factors @ loading.T + noise * rng.standard_normal((count, features)))
            for view, loading in zip(VIEWS, loadings, strict=True)
        }
        return views | {"label": label.astype(np.int64)}

    splits = _each(draw)
    return splits, OmicsWorld(_tensors(splits["test"]), torch.as_tensor(loadings), torch.as_tensor(shift), noise)


def two_modes(seed: int) -> tuple[dict[str, Split], ConditionalLaw]:
    """Pairs of two numbers: ``two_modes`` of :mod:`mmlab.data.worlds.conditional_laws_world`."""
    rng = np.random.RandomState(seed)

    def draw(count: int) -> Split:
        source = rng.standard_normal((count, 2))
        sign = np.where(rng.random_sample((count, 1)) < 0.5, -1.0, 1.0)
        target = source / 2 + sign + 0.15 * rng.standard_normal((count, 2))
        return {"source": _rounded(source), "target": _rounded(target)}

    return _each(draw), ConditionalLaw("two_modes", 2)


def memes(seed: int) -> dict[str, Split]:
    """Pictures of two figures with a line of text: the law of :mod:`mmlab.data.worlds.mini_memes`, all pairs alike."""
    rng = np.random.RandomState(seed)
    pairs = list(permutations(product(COLOURS, SHAPES), 2))
    verbs = [verb for four in LAYOUTS.values() for verb in four]

    def draw(count: int) -> Split:
        made = []
        for _ in range(count):
            first, second = pairs[rng.randint(len(pairs))]
            layout, topic, remark = (list(names)[rng.randint(len(names))] for names in (LAYOUTS, TOPICS, REMARKS))
            made.append(Meme(first, second, layout, topic, remark))
        return {
            "picture": np.stack([_picture(meme, rng) for meme in made]),
            "title": np.array([meme.title for meme in made]),
            "caption": np.array([meme.caption for meme in made]),
            "meaning": np.array([meme.meaning for meme in made]),
            "label": np.array([verbs.index(meme.verb) for meme in made], dtype=np.int64),
        }

    return {name: draw(count) for name, count in {"train": 1500, "validation": 200, "test": 500}.items()}


def _picture(meme: Meme, rng: np.random.RandomState) -> NDArray[np.uint8]:
    """(H, W, 3), on a dark ground."""
    axis = (torch.arange(_PIXELS, dtype=torch.float64) + 0.5) / _PIXELS * 2 - 1
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    places = {
        "above": ((0.0, -0.5), (0.0, 0.5)),
        "beside": ((-0.5, 0.0), (0.5, 0.0)),
        "opposite": ((-0.5, -0.5), (0.5, 0.5)),
    }
    page = torch.as_tensor(rng.random_sample((_PIXELS, _PIXELS, 3)) * 0.1 - 0.65)
    for (colour, shape), (across, down) in zip((meme.first, meme.second), places[meme.layout], strict=True):
        right, below, larger = (rng.random_sample(3) * 2 - 1) * 0.06
        r = 0.42 * (1 + larger)
        inside = figure_distance(shape, (u - across - right) / r, (v - down - below) / r) * r
        cover = (0.5 - inside * _PIXELS / 2).clamp(0, 1)[:, :, None]
        page = page * (1 - cover) + cover * torch.tensor(paint_of(colour), dtype=torch.float64)
    return ((page + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()


def _each(draw: Callable[[int], Split]) -> dict[str, Split]:
    return {name: draw(count) for name, count in _SIZES.items()}


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (np.round(values, DECIMALS) + 0.0).astype(np.float32)  # no minus before a zero


def _tensors(split: Mapping[str, NDArray[Any]]) -> TensorData:
    return TensorData({name: torch.as_tensor(values) for name, values in split.items()})
