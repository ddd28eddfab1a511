"""Fusion heads: features of several modalities in, one answer over the classes out, whichever modalities are there.

Every head takes features (B, D) and presence (B,) by modality and gives logits (B, K). What stands in the place of an
absent feature never matters: it is set to zero before anything reads it. With nothing present the answer is finite, and
the two heads of experts then give each class the same probability.

In the formulas z_m is the feature vector of modality m, M the number of modalities, and p_m the answer of its expert.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.nn.encoders import AttentionBlock

__all__ = [
    "Concatenation",
    "CrossAttention",
    "Experts",
    "FusionHead",
    "FusionKind",
    "Gated",
    "LowRank",
    "classifier",
    "low_rank_product",
    "make_fusion",
    "mean_of_probabilities",
    "product_of_experts",
]

FusionKind = Literal["concatenation", "mean", "product", "low_rank", "gated", "bilinear", "cross_attention"]


def product_of_experts(log_probabilities: Tensor, present: Tensor) -> Tensor:
    """Multiply the experts' probabilities and renormalise: log-softmax of Σ_m log p_m over those present.

    An absent expert counts as uniform, which changes nothing.

    Args:
        log_probabilities: Log-probabilities of each expert, shape (B, M, K). A constant added to an expert's row has
            no effect, so logits do as well.
        present: Which experts are present, boolean (B, M).

    Returns:
        Log-probabilities, shape (B, K).

    Source:
        Hinton 2002, Training products of experts.
    """
    return torch.where(present[..., None], log_probabilities, 0).sum(1).log_softmax(-1)


def mean_of_probabilities(log_probabilities: Tensor, present: Tensor) -> Tensor:
    """Logarithm of the mean of the experts' probabilities, over those present; uniform where there is none.

    Args:
        log_probabilities: Normalised log-probabilities of each expert, shape (B, M, K).
        present: Which experts are present, boolean (B, M).

    Returns:
        Log-probabilities, shape (B, K).
    """
    uniform = -math.log(log_probabilities.shape[-1])
    known = torch.where(present[..., None], log_probabilities, uniform)
    counted = present | ~present.any(1, keepdim=True)  # with nothing present, count the uniform stand-ins
    total = known.masked_fill(~counted[..., None], -math.inf).logsumexp(1)
    return total - counted.sum(1, keepdim=True).log()


def low_rank_product(features: Sequence[Tensor], factors: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Contract the outer product of all features with a tensor of low rank, without forming either.

    Args:
        features: z_m of each modality, shape (B, D_m).
        factors: W_m of each modality, shape (R, D_m, H).
        weights: Weight of each rank-one part, shape (R,).

    Returns:
        Σ_r w_r ∏_m z_m W_m[r], shape (B, H).

    Source:
        Liu et al. 2018, Efficient low-rank multimodal fusion with modality-specific factors.
    """
    parts = torch.ones((), device=weights.device)
    for values, factor in zip(features, factors, strict=True):
        parts = parts * torch.einsum("bd,rdh->rbh", values, factor)  # (R, B, H)
    return torch.einsum("r,rbh->bh", weights, parts)


def classifier(inputs: int, width: int, classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Features (B, inputs) to logits (B, classes), through one hidden layer."""
    return nn.Sequential(nn.ReLU(), nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, classes))


class FusionHead(nn.Module):
    """What all heads share: the modalities in sorted order, and zeros in the place of absent features.

    Args:
        modalities: Names of the modalities; their order does not matter.
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        super().__init__()
        self.modalities = tuple(sorted(modalities))
        if not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"A fusion head needs modalities with different names, not {list(modalities)}.")

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """Fuse.

        Args:
            features: Features (B, D) by modality.
            present: Boolean (B,) by modality; a modality that is not named is present.

        Returns:
            Logits (B, K); the heads of experts give log-probabilities.

        Raises:
            KeyError: If a modality has no features.
        """
        return self.fuse(*self.stack(features, present))

    def stack(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features (B, M, D) with zeros for absent ones, and presence (B, M)."""
        if missing := [name for name in self.modalities if name not in features]:
            raise KeyError(f"The head fuses {', '.join(self.modalities)}; there are no features of {missing[0]!r}.")
        every = torch.stack([features[name] for name in self.modalities], dim=1)  # (B, M, D)
        everywhere = torch.ones(len(every), dtype=torch.bool, device=every.device)
        mask = torch.stack([present.get(name, everywhere) for name in self.modalities], dim=1)  # (B, M)
        return torch.where(mask[..., None], every, 0), mask

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """Logits (B, K) from features (B, M, D), zero where absent, and presence (B, M)."""
        raise NotImplementedError


class Concatenation(FusionHead):
    """All features side by side into one classifier, with one bit per modality that says whether it is there.

    The weights of a bit are what the classifier puts in the place of the absent features: a learned stand-in.
    """

    def __init__(self, modalities: Sequence[str], width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__(modalities)
        self.answer = classifier(len(self.modalities) * (width + 1), width, classes, dropout)

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """One classifier on everything."""
        return self.answer(torch.cat([z.flatten(1), present.to(z)], dim=1))


class Experts(FusionHead):
    """One classifier per modality; their answers are multiplied (``"product"``) or averaged (``"mean"``)."""

    def __init__(
        self,
        kind: Literal["product", "mean"],
        modalities: Sequence[str],
        width: int,
        classes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(modalities)
        self.kind = kind
        self.answers = nn.ModuleList(classifier(width, width, classes, dropout) for _ in self.modalities)

    def log_probabilities(self, z: Tensor) -> Tensor:
        """Answer of each expert alone: features (B, M, D) to log-probabilities (B, M, K)."""
        answers = [answer(values) for answer, values in zip(self.answers, z.unbind(1), strict=True)]
        return torch.stack(answers, dim=1).log_softmax(-1)

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """Log-probabilities of all experts together."""
        combine = product_of_experts if self.kind == "product" else mean_of_probabilities
        return combine(self.log_probabilities(z), present)


class LowRank(FusionHead):
    """The outer product of all features, contracted with a tensor of low rank, into a classifier.

    With ``append_one`` it is low-rank tensor fusion (Liu et al. 2018): each vector is [1, z_m], so the product keeps
    the terms of lower order, and an absent modality leaves those of the others. Without, it is low-rank bilinear
    pooling (Kim et al. 2017; Yu et al. 2017) without their normalisations: products of all modalities only, and an
    absent one counts as a factor of one.

    The factors are in a ``ParameterList``. In a plain list, as in a widely copied implementation, no optimiser would
    see them and no checkpoint would hold them.

    Source:
        Liu et al. 2018; Zadeh et al. 2017 for the full tensor.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        classes: int,
        rank: int = 4,
        append_one: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(modalities)
        self.append_one = append_one
        size = width + 1 if append_one else width
        factors = [torch.randn(rank, size, width) / math.sqrt(size) for _ in self.modalities]
        self.factors = nn.ParameterList(nn.Parameter(factor) for factor in factors)
        self.weights = nn.Parameter(torch.full((rank,), 1 / math.sqrt(rank)))
        self.answer = classifier(width, width, classes, dropout)

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """Contract and classify."""
        if self.append_one:
            vectors = [torch.cat([torch.ones_like(values[:, :1]), values], dim=1) for values in z.unbind(1)]
            return self.answer(low_rank_product(vectors, list(self.factors), self.weights))
        parts = torch.ones((), device=z.device)
        for values, factor, known in zip(z.unbind(1), self.factors, present.unbind(1), strict=True):
            parts = parts * torch.where(known[None, :, None], torch.einsum("bd,rdh->rbh", values, factor), 1)
        return self.answer(torch.einsum("r,rbh->bh", self.weights, parts))


class Gated(FusionHead):
    """Gated multimodal unit: a mean of tanh(W_m z_m) whose weights, one per feature, are learned from all modalities.

    The weights are a softmax over the modalities that are present; for two it is the paper's sigmoid and one minus it.

    Source:
        Arevalo et al. 2017, Gated multimodal units for information fusion.
    """

    def __init__(self, modalities: Sequence[str], width: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__(modalities)
        self.values = nn.ModuleList(nn.Linear(width, width) for _ in self.modalities)
        self.gates = nn.Linear(len(self.modalities) * width, len(self.modalities) * width)
        self.answer = classifier(width, width, classes, dropout)

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """Weigh, add and classify."""
        values = torch.stack([layer(z[:, m]).tanh() for m, layer in enumerate(self.values)], dim=1)  # (B, M, D)
        scores = self.gates(z.flatten(1)).view_as(z)
        gates = scores.masked_fill(~present[..., None], -1e9).softmax(1)  # finite: with nothing present all weigh alike
        return self.answer((gates * values).sum(1))


class CrossAttention(FusionHead):
    """Modalities as tokens: a learned query looks at those that are present, and at itself, and is classified.

    Source:
        The class token of Dosovitskiy et al. 2021, over modalities in place of patches.
    """

    def __init__(
        self, modalities: Sequence[str], width: int, classes: int, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(modalities)
        self.query = nn.Parameter(0.02 * torch.randn(width))
        self.names = nn.Parameter(0.02 * torch.randn(len(self.modalities), width))
        self.block = AttentionBlock(width, heads, dropout)
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, classes)

    def fuse(self, z: Tensor, present: Tensor) -> Tensor:
        """Attend and classify."""
        query = self.query.expand(len(z), 1, -1)  # (B, 1, D)
        tokens = torch.cat([query, z + self.names], dim=1)  # (B, 1 + M, D)
        mask = F.pad(present, (1, 0), value=True)
        return self.answer(self.norm(self.block(query, tokens, mask)[:, 0]))


def make_fusion(
    kind: FusionKind, modalities: Sequence[str], width: int, classes: int, *, rank: int = 4, dropout: float = 0.0
) -> FusionHead:
    """A fusion head; its forward takes features (B, D) and presence (B,) by modality and gives logits (B, K).

    Args:
        kind: ``"concatenation"``, ``"mean"`` of the experts' probabilities, ``"product"`` of experts, ``"low_rank"``
            tensor fusion, ``"gated"``, ``"bilinear"`` or ``"cross_attention"``.
        modalities: Names of the modalities; their order does not matter.
        width: Number of features D of each modality; for cross-attention a multiple of 4.
        classes: Number of classes K.
        rank: Rank R of ``"low_rank"`` and ``"bilinear"``.
        dropout: Dropout probability of the hidden features.

    Raises:
        ValueError: If there is no such kind, or the names of the modalities are not unique.
    """
    if kind not in get_args(FusionKind):
        raise ValueError(f"There is no fusion {kind!r}: choose one of {', '.join(get_args(FusionKind))}.")
    if kind == "concatenation":
        return Concatenation(modalities, width, classes, dropout)
    if kind == "gated":
        return Gated(modalities, width, classes, dropout)
    if kind == "cross_attention":
        return CrossAttention(modalities, width, classes, dropout=dropout)
    if kind in ("low_rank", "bilinear"):
        return LowRank(modalities, width, classes, rank, kind == "low_rank", dropout)
    return Experts(kind, modalities, width, classes, dropout)  # type: ignore[arg-type]
