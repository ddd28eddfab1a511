"""Connectivity matrices as pictures, and as a few words: what a model that reads pictures and writes needs of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mmlab.data.correlation import edges, matrices
from mmlab.data.regions import Regions

__all__ = ["LEVELS", "MatrixWords", "block_strength", "matrix_pictures", "picture_edges"]

LEVELS = ("low", "middle", "high")
"""A third of the training people each."""


def matrix_pictures(values: Tensor, regions: Regions, size: int | None = None, limit: float = 1.0) -> Tensor:
    """Matrices as pictures: red above zero, blue below, white at zero and on the diagonal; networks side by side.

    Args:
        values: Edges (S, E).
        regions: The N regions.
        size: H = W of the pictures; by default N, so that each pixel is an entry.
        limit: Absolute value of full colour; what is larger is cut there.

    Returns:
        (S, 3, H, W) in [-1, 1].

    Raises:
        ValueError: If the edges are not those of the regions.
    """
    count = len(regions)
    if values.ndim != 2 or values.shape[1] != count * (count - 1) // 2:
        raise ValueError(f"matrix_pictures: edges of shape {tuple(values.shape)}; {count} regions need (S, E).")
    order = regions.order()
    x = (matrices(values, diagonal=0.0)[:, order][:, :, order] / limit).clamp(-1, 1)
    picture = 1 - 2 * torch.stack([(-x).clamp(min=0), x.abs(), x.clamp(min=0)], 1)
    if size in (None, count):
        return picture.float()
    return interpolate(picture.float(), size, mode="bilinear", antialias=True, align_corners=False)


def picture_edges(pictures: Tensor, regions: Regions, limit: float = 1.0) -> Tensor:
    """Edges (S, E) of pictures (S, 3, N, N) that :func:`matrix_pictures` made with a pixel for each entry.

    Raises:
        ValueError: If the pictures have another size.
    """
    count = len(regions)
    if pictures.shape[1:] != (3, count, count):
        raise ValueError(f"picture_edges: pictures of shape {tuple(pictures.shape)}; (S, 3, {count}, {count}) is read.")
    x = (pictures[:, 0] - pictures[:, 2]) / 2 * limit
    back = regions.order().argsort()
    return edges(((x + x.mT) / 2)[:, back][:, :, back])


def block_strength(values: Tensor, regions: Regions) -> tuple[Tensor, list[str]]:
    """Mean edge of every pair of networks, (S, K) float64, and the K names, such as ``default_occipital``.

    A pair without an edge, as of a network of one region with itself, is left out.
    """
    names = sorted(set(regions.networks))
    of = torch.tensor([names.index(network) for network in regions.networks])
    i, j = torch.triu_indices(len(regions), len(regions), offset=1)
    low, high = torch.minimum(of[i], of[j]), torch.maximum(of[i], of[j])
    pair = low * len(names) + high
    kept, where, count = pair.unique(return_inverse=True, return_counts=True)  # type: ignore[no-untyped-call]
    total = torch.zeros(len(values), len(kept), dtype=torch.float64).index_add_(1, where, values.double())
    plain = [re.sub(r"\W+", "", name) or "unnamed" for name in names]  # one word for every tokenizer
    called = [f"{plain[k // len(names)]}_{plain[k % len(names)]}" for k in kept.tolist()]
    return total / count, called


@dataclass(frozen=True, eq=False)
class MatrixWords:
    """What is said of a matrix: for some pairs of networks, whether they are coupled less or more than in most people.

    Attributes:
        regions: The N regions.
        pairs: Names of the F pairs of networks, in the order in which they are told.
        columns: Their places among all pairs of :func:`block_strength`.
        borders: (F, 2) float64, between low and middle, and between middle and high.
    """

    regions: Regions
    pairs: tuple[str, ...]
    columns: tuple[int, ...]
    borders: Tensor

    @classmethod
    def of(cls, values: Tensor, regions: Regions, facts: int = 8) -> MatrixWords:
        """Choose the pairs of networks in which people differ most, and borders that leave a third on each side.

        Args:
            values: Edges (S, E) of the training people.
            regions: The N regions.
            facts: F, at most as many as there are pairs of networks.

        Raises:
            ValueError: If there are fewer than three people, or not so many pairs of networks.
        """
        strength, names = block_strength(values, regions)
        if len(values) < 3 or not 1 <= facts <= len(names):
            raise ValueError(
                f"MatrixWords: {len(values)} people and facts={facts}; it needs 3 people, and 1 to {len(names)} facts, "
                "as many as there are pairs of networks."
            )
        chosen = strength.std(0).argsort(descending=True, stable=True)[:facts].sort().values.tolist()
        thirds = torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)
        borders = torch.quantile(strength[:, chosen], thirds, dim=0).mT.contiguous()
        return cls(regions, tuple(names[k] for k in chosen), tuple(chosen), borders)

    def levels(self, values: Tensor) -> Tensor:
        """The levels (S, F) of edges (S, E): 0, 1 or 2."""
        strength = block_strength(values, self.regions)[0][:, list(self.columns)]
        return (strength[..., None] > self.borders).sum(-1)

    def describe(self, levels: Tensor) -> list[str]:
        """Levels (S, F) in words, such as ``default_occipital_high``, a word for each pair of networks."""
        return [
            " ".join(f"{pair}_{LEVELS[level]}" for pair, level in zip(self.pairs, row, strict=True))
            for row in levels.tolist()
        ]

    def read(self, texts: Sequence[str]) -> Tensor:
        """Levels (S, F) of descriptions; -1 where a pair of networks is not told. The last word on a pair counts."""
        told = [dict(word.rpartition("_")[::2] for word in text.split()) for text in texts]
        rows = [[LEVELS.index(of[pair]) if of.get(pair) in LEVELS else -1 for pair in self.pairs] for of in told]
        return torch.tensor(rows)

    def words(self) -> list[str]:
        """All words that a description can have."""
        return [f"{pair}_{level}" for pair in self.pairs for level in LEVELS]
