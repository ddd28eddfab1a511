"""AstroM3: light curve, spectrum and metadata of one star, contrasted in pairs, each pair with a scale of its own.

Symbols: u_a an embedding of modality a; s_ab the learnt scale of a pair, between 1 and 100.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.contrastive import cosine_similarity
from mmlab.method import Batch, Method

__all__ = ["MODALITIES", "AstroM3", "CurveTower", "RowTower", "SpectrumTower", "joined", "pair_loss"]

MODALITIES = ("light", "spectrum", "metadata")


def pair_loss(u: Tensor, v: Tensor, scale: float | Tensor) -> Tensor:
    """Cross-entropy of both directions, summed, for embeddings (B, D) that need no normalisation.

    Args:
        u: Embeddings of one modality.
        v: Embeddings of the other.
        scale: s, what cosines are multiplied by.
    """
    logits = scale * cosine_similarity(u, v)
    place = torch.arange(len(u), device=u.device)
    return F.cross_entropy(logits, place) + F.cross_entropy(logits.mT, place)  # Eq. (1)


def joined(vectors: Tensor) -> Tensor:
    """One vector of a star: the mean of the unit vectors of its modalities, (N, M, D) to (N, D)."""
    return F.normalize(vectors, dim=-1).mean(1)  # Eq. (3)


class CurveTower(nn.Module):
    """A folded light curve: convolutions around the circle, then mean and largest value of each map.

    Where the curve begins makes no difference but for the strides.

    Args:
        width: Number of features D.
        channels: Maps of the first convolution; the second has twice as many.
    """

    def __init__(self, width: int, channels: int = 16) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv1d(1, channels, 9, stride=2, padding=4, padding_mode="circular"), nn.SiLU(),
            nn.Conv1d(channels, 2 * channels, 9, stride=2, padding=4, padding_mode="circular"), nn.SiLU(),
        )  # fmt: skip
        self.out = nn.Sequential(nn.LayerNorm(4 * channels), nn.Linear(4 * channels, width))

    def forward(self, x: Tensor) -> Tensor:
        """Curves (B, 1, T) to (B, D)."""
        maps = self.maps(x)
        made: Tensor = self.out(torch.cat([maps.mean(2), maps.amax(2)], 1))
        return made


class SpectrumTower(nn.Module):
    """A spectrum: two convolutions with pooling between; places along it are kept.

    Args:
        width: Number of features D.
        bins: Number of wavelengths, a multiple of 16.
        channels: Maps.
    """

    def __init__(self, width: int, bins: int = 64, channels: int = 8) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv1d(1, channels, 5, padding=2), nn.SiLU(), nn.MaxPool1d(4),
            nn.Conv1d(channels, 2 * channels, 3, padding=1), nn.SiLU(), nn.MaxPool1d(2), nn.Flatten(),
        )  # fmt: skip
        wide = 2 * channels * (bins // 8)
        self.out = nn.Sequential(nn.LayerNorm(wide), nn.Linear(wide, width))

    def forward(self, x: Tensor) -> Tensor:
        """Spectra (B, 1, bins) to (B, D)."""
        made: Tensor = self.out(self.maps(x))
        return made


class RowTower(nn.Module):
    """A row of a catalogue through a perceptron.

    Args:
        columns: Number of values.
        width: Number of features D.
    """

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(columns, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Rows (B, columns) to (B, D)."""
        made: Tensor = self.out(x)
        return made


class AstroM3(Method):
    """Pre-training of three towers by the contrast of all pairs.

    Args:
        bins: Number of wavelengths of a spectrum, a multiple of 16.
        columns: Number of values of the metadata.
        width: Number of common features D.
        channels: Maps of the light curve's first convolution.
        scale: All scales at the start, from 1 to 100.
        pairs: Which pairs are contrasted; by default all three.

    Raises:
        ValueError: If the scale is out of its range, the bins do not fit, or a pair is none.

    Source:
        Rizhko and Bloom 2024, with details as in their code.
    """

    card = Card(
        name="AstroM3",
        family="contrast",
        paper="rizhko2024astrom3",
        summary="Pre-trains towers for light curve, spectrum and metadata by three contrasts, for few labels after it.",
        inputs=("light", "spectrum", "metadata"),
        claims=(
            Claim("accuracy", "from scratch, both tuned", "higher", name="astro-scratch-tuned"),
            Claim("accuracy", "from scratch", "higher", kind="sanity", name="astro-scratch"),
            Claim("accuracy", "from scratch, views", "higher", kind="sanity", name="astro-scratch-views"),
            Claim("accuracy", "harmonics and phases", "higher", kind="sanity", name="astro-phases"),
            Claim("accuracy", "light curves alone", "higher", kind="sanity", name="astro-one"),
            Claim("accuracy", "predicted metadata", "higher", kind="sanity", name="astro-predicted"),
            Claim("accuracy", "shuffled pairs", "higher", kind="sanity", name="astro-shuffled"),
            Claim("accuracy", "a line on metadata", "higher", kind="sanity", name="astro-metadata"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("astronomy", "three modalities", "few labels", "light curves", "CLIP"),
    )

    def __init__(
        self,
        bins: int = 64,
        columns: int = 6,
        width: int = 32,
        channels: int = 16,
        scale: float = 100.0,
        pairs: Sequence[Sequence[str]] = (("light", "spectrum"), ("light", "metadata"), ("spectrum", "metadata")),
    ) -> None:
        super().__init__()
        if not 1 <= scale <= 100 or bins % 16 or bins < 16:
            raise ValueError(f"scale={scale}, bins={bins}: the first is from 1 to 100, the second a multiple of 16.")
        known = [set(two) for two in itertools.combinations(MODALITIES, 2)]
        if not pairs or any(set(pair) not in known or len(pair) != 2 for pair in pairs):
            raise ValueError(f"pairs={pairs!r}: each names two of {', '.join(MODALITIES)}.")
        self.pairs = tuple((first, second) for first, second in pairs)
        self.towers = nn.ModuleDict(
            {
                "light": CurveTower(width, channels),
                "spectrum": SpectrumTower(width, bins),
                "metadata": RowTower(columns, width),
            }
        )
        self.log_scales = nn.Parameter(torch.full((len(self.pairs),), math.log(scale)))

    def scales(self) -> Tensor:
        """S of each pair, from 1 to 100."""
        return self.log_scales.clamp(0, math.log(100)).exp()

    def vectors(self, batch: Batch) -> dict[str, Tensor]:
        """Embeddings (B, D) by modality, not normalised, of the modalities that are there."""
        return {name: self.towers[name](batch[name].float()) for name in MODALITIES if name in batch}

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The sum over pairs.

        Args:
            batch: ``light`` (B, 1, T), ``spectrum`` (B, 1, bins) and ``metadata`` (B, columns).
            rng: Not used.
        """
        u, scales = self.vectors(batch), self.scales()
        each = {
            f"{first}_{second}": pair_loss(u[first], u[second], scale)
            for (first, second), scale in zip(self.pairs, scales, strict=True)
        }
        return {"loss": torch.stack(list(each.values())).sum(), **each}  # Eq. (2)

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors (B, M, D) of the modalities that are there, in the order of :data:`MODALITIES`."""
        with self.evaluating():
            return F.normalize(torch.stack(list(self.vectors(batch).values()), 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Numbers of bins and columns.

        Raises:
            ValueError: If a modality is absent.
        """
        if absent := [name for name in MODALITIES if name not in item]:
            raise ValueError(f"AstroM3 needs light, spectrum and metadata; there is no {absent[0]!r} here.")
        return {"bins": item["spectrum"].shape[-1], "columns": item["metadata"].shape[-1]}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve stars: three views of one angle each."""
        rng = torch.Generator().manual_seed(seed)
        angle = 0.5 * torch.arange(12)[:, None]
        x = 6.28 * torch.arange(32) / 32
        batch = {
            "light": (1 + angle / 3) * (x + angle).sin() + angle / 6 * (2 * x).cos(),
            "spectrum": (x - angle).cos() + (2 * x + angle).sin(),
        }
        batch = {name: (value + 0.05 * torch.randn(12, 32, generator=rng))[:, None] for name, value in batch.items()}
        metadata = torch.cat([angle.sin(), angle.cos(), angle / 3], 1)
        return cls.seeded(seed, 32, 3, width=16, channels=8, scale=10.0), {**batch, "metadata": metadata}
