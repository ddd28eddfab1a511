"""MERL: heartbeats and reports are held against each other, and one record against itself under two dropouts.

Symbols: u an embedding of a record, v one of its report; z the pooled features of a record, W1 and W2 two lines on
them; τ a fixed temperature, α the weight of the alignment within records.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method

__all__ = ["LeadTower", "Merl", "ReportTower", "contrast", "thinned"]


def contrast(u: Tensor, v: Tensor, temperature: float) -> Tensor:
    """InfoNCE in both directions, their *sum*, for embeddings (B, D) that need no normalisation."""
    return 2 * soft_contrastive(u, v, identity_targets(len(u), u), temperature)  # Eq. (1)


def thinned(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Dropout: each value is zero with the probability ``share``, and what is left is larger by 1 / (1 - share)."""
    kept = torch.rand(x.shape, generator=rng, device=rng.device) >= share
    return x * kept.to(x) / (1 - share)


class LeadTower(nn.Module):
    """Three convolutions over time; of each map the mean and the largest value.

    Args:
        leads: Number of leads.
        channels: Maps of the first convolution; the next two have twice as many.
    """

    def __init__(self, leads: int, channels: int = 16) -> None:
        super().__init__()
        maps, self.width = 2 * channels, 4 * channels
        self.maps = nn.Sequential(
            nn.Conv1d(leads, channels, 8, stride=4, padding=2), nn.SiLU(),
            nn.Conv1d(channels, maps, 5, stride=2, padding=2), nn.SiLU(),
            nn.Conv1d(maps, maps, 5, stride=2, padding=2), nn.SiLU(),
        )  # fmt: skip
        self.scale = nn.LayerNorm(self.width)

    def forward(self, x: Tensor) -> Tensor:
        """Records (B, leads, T) to z (B, 4 channels)."""
        maps = self.maps(x)
        made: Tensor = self.scale(torch.cat([maps.mean(2), maps.amax(2)], 1))
        return made


class ReportTower(nn.Module):
    """The mean of the words' vectors, fillers left out, through a perceptron.

    Args:
        words: Size of the vocabulary; token 0 fills up.
        width: Number of features D.
        frozen: Whether the words keep the vectors that they start with.
    """

    def __init__(self, words: int, width: int, frozen: bool = False) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(words, width, mode="mean", padding_idx=0)
        self.table.weight.requires_grad_(not frozen)
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.LayerNorm(2 * width), nn.GELU())
        self.out = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Reports (B, T) to v (B, D)."""
        made: Tensor = self.out(self.head(self.table(tokens)))
        return made


class Merl(Method):
    """Contrast of records and reports, and of two thinned views of a record; classes are told by prompts afterwards.

    Args:
        leads: Number of leads.
        words: Size of the vocabulary.
        width: Number of features D.
        channels: Maps of the first convolution.
        temperature: τ, fixed.
        alignment: α; 0 for the contrast with reports alone.
        dropout: Share of values that either view loses.
        frozen: Whether words keep their first vectors, as in the release, where a language model is called without
            gradients.

    Raises:
        ValueError: If the temperature is not positive, the weight negative, or the dropout no share below one.

    Source:
        Liu et al. 2024, with details as in their code.
    """

    card = Card(
        name="MERL",
        family="contrast",
        paper="liu2024merl",
        summary="Holds ECGs against reports and against themselves, and classifies by prompts from a knowledge file.",
        inputs=("ecg", "report"),
        claims=(
            Claim("AUC", "bare labels", "higher", name="merl-bare"),
            Claim("AUC", "a shuffled knowledge file", "higher", kind="sanity", name="merl-shuffled"),
            Claim("AUC", "without alignment", "higher", name="merl-alignment"),
            Claim("AUC", "keywords as labels", "higher", kind="sanity", name="merl-keywords"),
            Claim("AUC", "a linear probe with few labels", "higher", kind="sanity", name="merl-probe"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("ECG", "zero-shot", "prompts", "CKEPE", "reports"),
    )

    def __init__(
        self,
        leads: int = 4,
        words: int = 80,
        width: int = 32,
        channels: int = 16,
        temperature: float = 0.07,
        alignment: float = 1.0,
        dropout: float = 0.1,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0 or alignment < 0 or not 0 <= dropout < 1:
            raise ValueError(
                f"temperature={temperature}, alignment={alignment}, dropout={dropout}: the first is positive, the "
                "second not negative, and the third a share below one."
            )
        self.temperature, self.alignment, self.dropout = temperature, alignment, dropout
        self.tower = LeadTower(leads, channels)
        self.line = nn.Linear(self.tower.width, width)
        if alignment:
            self.views = nn.ModuleList(nn.Linear(self.tower.width, width) for _ in range(2))
        self.reports = ReportTower(words, width, frozen)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Both alignments.

        Args:
            batch: ``ecg`` (B, leads, T) and ``report`` (B, L), tokens.
            rng: Draws what the views lose.
        """
        z = self.tower(batch["ecg"])
        across = contrast(self.line(z), self.reports(batch["report"]), self.temperature)
        if not self.alignment:
            return {"loss": across}
        first, second = (thinned(view(z), self.dropout, rng) for view in self.views)
        within = contrast(first, second, self.temperature)  # Eq. (2)
        return {"loss": across + self.alignment * within, "across": across, "within": within}  # Eq. (3)

    def scores(self, ecg: Tensor, prompts: Tensor) -> Tensor:
        """Cosines of records (N, leads, T) with the prompts of K classes (K, L), (N, K)."""
        with self.evaluating():
            u, v = self.line(self.tower(ecg)), self.reports(prompts)
        return F.normalize(u, dim=1) @ F.normalize(v, dim=1).mT  # Eq. (4)

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors of record and report, (B, 2, D)."""
        with self.evaluating():
            u, v = self.line(self.tower(batch["ecg"])), self.reports(batch["report"])
        return F.normalize(torch.stack([u, v], 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The number of leads.

        Raises:
            ValueError: If there is no record or no report, or they are no leads over time and no tokens.
        """
        if absent := [name for name in ("ecg", "report") if name not in item]:
            raise ValueError(f"Merl needs records under ecg and tokens under report; there is no {absent[0]!r} here.")
        if item["ecg"].ndim != 2 or item["report"].ndim != 1 or item["report"].is_floating_point():
            raise ValueError(
                "Merl reads an ecg of leads over time and a report of whole numbers, and not "
                f"{tuple(item['ecg'].shape)} and {item['report'].dtype}."
            )
        return {"leads": item["ecg"].shape[0], "words": max(80, int(item["report"].max()) + 1)}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve records of two leads, each a wave of its own, whose report has the number of its wave."""
        rng = torch.Generator().manual_seed(seed)
        kind = torch.arange(12)
        time = torch.arange(64) / 64
        wave = ((1 + kind[:, None, None]) * 6.28 * time + torch.rand(12, 2, 1, generator=rng)).sin()
        ecg = wave * (1 + kind[:, None, None] % 3) / 2 + 0.05 * torch.randn(12, 2, 64, generator=rng)
        report = torch.stack([1 + kind, 13 + kind % 3, torch.zeros_like(kind)], 1)
        return cls.seeded(seed, 2, 16, width=16, channels=8), {"ecg": ecg, "report": report}
