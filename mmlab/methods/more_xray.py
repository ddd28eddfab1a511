"""MoRE: an X-ray tower and an ECG tower meet in the text of the report, without a person who had both examinations.

Symbols: x, e and t are the vectors of X-ray, ECG and report (B, D); q, k, v queries, keys and values of attention in
one head, N tokens of d numbers; M the mask that drops keys, p how often it does; τ the temperature.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method

__all__ = ["AttentiveTower", "MoRE", "Pairs", "attend", "pair_loss", "through_reports"]

Pairs = Literal["anchored", "separate", "all"]
EXAMINATIONS: tuple[Literal["xray"], Literal["ecg"]] = ("xray", "ecg")


def attend(q: Tensor, k: Tensor, v: Tensor, drop: float = 0.0, rng: torch.Generator | None = None) -> Tensor:
    """Attention in which every query loses each key with probability p, before the softmax: DropKey.

    What is left of a row still sums to one. A row that would lose all of its keys keeps them all.

    Args:
        q: Queries (B, H, N, d).
        k: Keys, likewise.
        v: Values, likewise.
        drop: p; 0 for attention as usual.
        rng: Draws M; without one nothing is dropped.
    """
    logits = q @ k.mT / math.sqrt(q.shape[-1])  # (B, H, N, N)
    if drop and rng is not None:
        lost = torch.rand(logits.shape, generator=rng, device=rng.device).to(q.device) < drop
        logits = logits.masked_fill(lost & ~lost.all(-1, keepdim=True), -math.inf)  # Eq. (1)
    return logits.softmax(-1) @ v


def pair_loss(a: Tensor, b: Tensor, temperature: Tensor | float) -> Tensor:
    """InfoNCE, mean of both directions; 0 for fewer than two items.

    Args:
        a: Vectors (B, D), of any length.
        b: Vectors of the same items.
        temperature: τ.
    """
    if len(a) < 2:
        return (a.sum() + b.sum()) * 0.0
    return soft_contrastive(a, b, identity_targets(len(a), a), temperature)  # Eq. (2)


def through_reports(first: Tensor, second: Tensor) -> Tensor:
    """How much more often two examinations go together than by chance, summed over the reports between them.

    With the scores that InfoNCE aims at, and where the report says all that the two share, it is
    p(x, e) / (p(x) p(e)), up to a factor for each row and each column.

    Args:
        first: Scores of X-rays with R reports, s(x, t) / τ, (N, R).
        second: Scores of ECGs with the same reports, (M, R).

    Returns:
        (N, M), positive.
    """
    return len(first.T) * first.softmax(1) @ second.softmax(1).T  # Eq. (4)


class AttentiveTower(nn.Module):
    """Patches of a picture or of a trace that overlap, a block of attention that drops keys, the mean over tokens.

    Args:
        channels: Number of channels.
        size: Number of pixels per side, or of samples.
        patch: Steps from a patch to the next one, which divide the size; a patch is nearly twice as long.
        dimensions: 2 for pictures, 1 for traces.
        width: Number of features D.
        drop: p of DropKey.
    """

    HEADS: ClassVar[int] = 4

    def __init__(self, channels: int, size: int, patch: int, dimensions: int, width: int, drop: float) -> None:
        super().__init__()
        kind = nn.Conv2d if dimensions == 2 else nn.Conv1d
        self.patches = nn.Sequential(kind(channels, width, 2 * patch - 1, stride=patch, padding=patch - 1), nn.GELU())
        self.place = nn.Parameter(0.5 * torch.randn((size // patch) ** dimensions, width))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.hidden = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.drop = drop

    def forward(self, x: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Pictures (B, C, S, S) or traces (B, C, S) to vectors (B, D); keys are dropped only with an rng."""
        tokens = self.patches(x).flatten(2).mT + self.place  # (B, N, D)
        q, k, v = self.qkv(self.before(tokens)).unflatten(-1, (3, self.HEADS, -1)).permute(2, 0, 3, 1, 4)
        tokens = tokens + self.out(attend(q, k, v, self.drop, rng).transpose(1, 2).flatten(2))
        tokens = tokens + self.hidden(self.after(tokens))
        return self.head(tokens.mean(1))  # type: ignore[no-any-return]


class ReportTower(nn.Sequential):
    """The phrases of a report (B, V) to vectors (B, D)."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__(nn.Linear(words, 2 * width), nn.GELU(), nn.LayerNorm(2 * width), nn.Linear(2 * width, width))


class MoRE(Method):
    """Three towers; X-rays and ECGs are each drawn to the vectors of reports, and so towards each other.

    Args:
        words: Number V of phrases that a report may say.
        side: Height and width of the X-rays.
        samples: Length of the ECGs.
        leads: Number of their channels.
        width: Number of features D; a multiple of 4.
        pairs: ``"anchored"`` has one report tower for both pairs. ``"separate"`` has a report tower for each, so that
            nothing binds the two. ``"all"`` is anchored, and adds the pair of X-ray and ECG for people who have both.
        drop: p of DropKey.
        temperature: τ at the start; its logarithm is learnt. A release leaves its own out of the optimiser.

    Raises:
        ValueError: If a size is no multiple of its patch, or a setting is out of its range.

    Source:
        Thapa et al. 2024; details as in their code.
    """

    PATCH: ClassVar[tuple[int, int]] = (6, 8)
    card = Card(
        name="MoRE",
        family="contrast",
        paper="thapa2024more",
        summary="Binds X-rays and ECGs through the reports that go with each, though nobody had both.",
        inputs=("xray", "ecg", "report", "xray_present", "ecg_present"),
        claims=(
            Claim("R@5", "separate pairs", "higher", kind="sanity", name="more-separate"),
            Claim("R@5", "reports of others", "higher", kind="sanity", name="more-shuffled"),
            Claim("R@5", "separate pairs and a line", "higher", name="more-line"),
            Claim("R@5", "MoRE, through reports", "higher", name="more-through"),
            Claim("R@5", "separate pairs, through reports", "higher", name="more-separate-through"),
            Claim("R@5", "words in between", "higher", name="more-words"),
            Claim("R@5", "words in between, more steps", "higher", name="more-words-longer"),
            Claim("R@5", "no dropped keys", "higher", name="more-drop"),
            Claim("R@5", "both seen", "lower", kind="sanity", name="more-both-seen"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLIP", "X-ray", "ECG", "report", "DropKey", "ImageBind", "retrieval"),
    )

    def __init__(
        self,
        words: int,
        side: int = 24,
        samples: int = 64,
        leads: int = 2,
        width: int = 32,
        pairs: Pairs = "anchored",
        drop: float = 0.3,
        temperature: float = 0.07,
    ) -> None:
        super().__init__()
        if side % self.PATCH[0] or samples % self.PATCH[1] or width % AttentiveTower.HEADS:
            raise ValueError(
                f"side={side}, samples={samples}, width={width}: they are multiples of {self.PATCH[0]}, "
                f"{self.PATCH[1]} and {AttentiveTower.HEADS}."
            )
        if pairs not in get_args(Pairs) or not 0 <= drop < 1 or not temperature > 0:
            raise ValueError(
                f"pairs={pairs!r}, drop={drop}, temperature={temperature}: the pairs are anchored, separate or all, "
                "drop is in [0, 1), and the temperature positive."
            )
        self.pairs: Pairs = pairs
        self.xray = AttentiveTower(1, side, self.PATCH[0], 2, width, drop)
        self.ecg = AttentiveTower(leads, samples, self.PATCH[1], 1, width, drop)
        self.report = ReportTower(words, width)
        if pairs == "separate":
            self.second = ReportTower(words, width)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def vectors(self, batch: Batch, name: Literal["xray", "ecg"], rng: torch.Generator | None = None) -> list[Tensor]:
        """Vectors of one examination and of the report as its partner, (B, D) each and of any length.

        Args:
            batch: With the examination and the reports.
            name: Which examination.
            rng: Draws the keys that are dropped; without one none are.
        """
        of_ecg = name == "ecg"
        tower = self.second if of_ecg and self.pairs == "separate" else self.report
        weight = self.xray.place
        seen = (self.ecg if of_ecg else self.xray)(batch[name].to(weight), rng)
        return [seen, tower(batch["report"].to(weight))]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The pairs (3) of those who have them.

        Args:
            batch: ``xray`` (B, 1, S, S), ``ecg`` (B, C, T), ``report`` (B, V), ``xray_present`` and ``ecg_present``
                (B,). What is not present is not looked at.
            rng: Draws the keys that are dropped.
        """
        tau = (-self.log_scale.clamp(max=math.log(100))).exp()
        found: dict[str, Tensor] = {}
        had: dict[str, Tensor] = {}
        seen: dict[str, Tensor] = {}
        for name in EXAMINATIONS:
            had[name] = batch[f"{name}_present"].bool()
            seen[name], report = self.vectors({key: value[had[name]] for key, value in batch.items()}, name, rng)
            found[f"report_{name}"] = pair_loss(report, seen[name], tau)
        if self.pairs == "all":
            both = had["xray"] & had["ecg"]
            x, e = (seen[name][both[had[name]]] for name in EXAMINATIONS)
            found["xray_ecg"] = pair_loss(x, e, tau)
        return {"loss": torch.stack(list(found.values())).sum(), **found}  # Eq. (3)

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors of X-ray, ECG, and report as the partner of the first and of the second, (B, 4, D)."""
        with self.evaluating():
            (x, t), (e, s) = (self.vectors(batch, name) for name in EXAMINATIONS)
            return F.normalize(torch.stack([x, e, t, s], 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Sizes of pictures, traces and reports.

        Raises:
            ValueError: If one of them is absent.
        """
        if absent := [name for name in ("xray", "ecg", "report") if name not in item]:
            raise ValueError(f"MoRE needs xray, ecg and report; there is no {absent[0]!r} here.")
        leads, samples = item["ecg"].shape[-2:]
        return {"words": item["report"].numel(), "side": item["xray"].shape[-1], "samples": samples, "leads": leads}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Sixteen people with both examinations, of whom each kind is missing for two."""
        rng = torch.Generator().manual_seed(seed)
        facts = torch.rand(16, 6, generator=rng).round()
        batch = {
            "xray": (facts @ torch.randn(6, 144, generator=rng)).view(16, 1, 12, 12),
            "ecg": (facts @ torch.randn(6, 32, generator=rng)).view(16, 2, 16),
            "report": facts,
            "xray_present": torch.arange(16) > 1,
            "ecg_present": torch.arange(16) < 14,
        }
        return cls.seeded(seed, 6, side=12, samples=16, width=16, drop=0.1), batch
