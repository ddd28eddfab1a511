"""M3CoL: a classifier on all modalities, with a contrastive loss between embeddings of modality pairs.

Symbols: z_m are the embeddings (B, D) of modality m, p_m the answer of its own head, p the answer of the head on all,
y the class, β_i the weight of item i in its mixture, π its partner, τ a temperature, λ the weight of the contrast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy
from mmlab.losses.contrastive import draw_mixing, mix, mixup_targets, similarity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind
from mmlab.nn.fusion import classifier, make_fusion
from mmlab.nn.modalities import ModalityEncoders

__all__ = ["M3CoL", "cycle", "mixup_contrast", "softclip_contrast"]


def cycle(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each modality with the next, the last with the first: (1, 2), (2, 3), (3, 1); of one modality, no pair."""
    return list(zip(names, [*names[1:], *names[:1]], strict=True)) if len(names) > 1 else []


def mixup_contrast(a: Tensor, b: Tensor, weight: Tensor, partner: Tensor, temperature: float) -> Tensor:
    """Contrast of mixtures of the items a (B, D), by β (B,) and π (B,), with the clean items b (B, D) at τ."""
    mixed = mix(a, weight, partner)  # Eq. (3)
    return soft_contrastive(mixed, b, mixup_targets(weight, partner), temperature)  # Eqs. (1), (2) and (4)


def softclip_contrast(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Contrast of a (B, D) with b (B, D) whose targets are how similar the items are within b; both at τ."""
    targets = similarity_targets(b, temperature)  # Eq. (5)
    return soft_contrastive(a, b, targets, temperature, backward=targets)


class M3CoL(Method):
    """Concatenation, one more head on each modality, and a contrast: of mixtures first, with soft targets later.

    An item that lacks a modality is in no pair with it, and in the mean of no head on it. With ``contrast=0`` it is
    the same network with auxiliary heads only, with ``auxiliary=0`` as well it is plain concatenation; with
    ``mixed=0, switch=1`` the contrast is that of CLIP.

    Args:
        shapes: Shape of one item of each modality.
        classes: Number of classes K.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Embedding size D, and width of the hidden layer of each head.
        dropout: Dropout probability of the hidden features.
        contrast: λ, weight of the contrast; with 0 it is not computed, and reported as 0.
        auxiliary: Weight of the heads on single modalities; the paper's is 1.
        temperatures: τ of the mixtures; and τ of the soft targets and of what they are compared with.
        concentration: c of β ~ Beta(c, c).
        mixed: Probability with which an item is mixed at all.
        switch: Fraction of training after which soft targets replace mixtures.
        encoders: Encoders of your own by modality, from items (B, *shape) to embeddings (B, D).

    Source:
        Kumar et al. 2024.
    """

    uses_progress: ClassVar[bool] = True
    card = Card(
        name="M3CoL",
        family="fusion",
        paper="m3col",
        summary="Adds a head per modality and a contrastive loss, of mixtures and then with soft targets, to fusion.",
        inputs=("methylation", "mirna", "mrna", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "concatenation", "higher"),
            Claim("accuracy", "logistic regression", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("omics", "contrastive", "mixup"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 2,
        encoder: EncoderKind = "perceptron",
        width: int = 200,
        dropout: float = 0.0,
        contrast: float = 0.1,
        auxiliary: float = 1.0,
        temperatures: Sequence[float] = (0.1, 0.125),
        concentration: float = 0.15,
        mixed: float = 0.5,
        switch: float = 1 / 3,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if len(temperatures) != 2 or min(temperatures) <= 0:
            raise ValueError(
                f"temperatures={list(temperatures)} must be two positive numbers, of mixtures and of soft targets, "
                "such as (0.1, 0.125)."
            )
        self.contrast = contrast
        self.auxiliary = auxiliary
        self.temperature, self.soft_temperature = temperatures
        self.concentration = concentration
        self.mixed = mixed
        self.switch = switch
        self.encoders = ModalityEncoders(shapes, encoder, width, dropout, encoders)
        self.heads = nn.ModuleDict({name: classifier(width, width, classes, dropout) for name in self.encoders})
        self.fusion = make_fusion("concatenation", list(self.encoders), width, classes, dropout=dropout)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of all heads, and the contrast of the present phase.

        Args:
            batch: The modalities (B, ...), optionally their masks, and ``label`` (B,).
            rng: Draws the mixtures.

        Returns:
            ``loss``, and its parts before they are weighed: ``fused``, ``auxiliary`` and ``contrast``.
        """
        label = batch["label"]
        z, present = self.encoders(batch)
        fused = cross_entropy(self.fusion(z, present), label)
        auxiliary = torch.zeros_like(fused)
        for name, head in self.heads.items():
            auxiliary = auxiliary + cross_entropy(head(z[name]), label, present[name])
        contrast = torch.zeros_like(fused)
        for first, second in cycle(list(z)) if self.contrast else ():
            both = present[first] & present[second]
            contrast = contrast + self._contrast(z[first][both], z[second][both], rng)
        total = fused + self.auxiliary * auxiliary + self.contrast * contrast  # Eq. (6)
        return {"loss": total, "fused": fused, "auxiliary": auxiliary, "contrast": contrast}

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K) of the fused head, without dropout; a label in the batch is not looked at."""
        with self.evaluating():
            return self.fusion(*self.encoders(batch)).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three short vectors in noise that tell one of two classes; some of them are absent."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls({"methylation": (6,), "mirna": (4,), "mrna": (8,)}, width=16)
        label = torch.arange(24) % 2
        batch = {"label": label, "mirna_present": torch.arange(24) % 7 != 3}
        for name, (size,) in method.encoders.shapes.items():
            batch[name] = torch.randn(2, size, generator=rng)[label] + torch.randn(24, size, generator=rng)
        return method, batch

    def _contrast(self, a: Tensor, b: Tensor, rng: torch.Generator) -> Tensor:
        """Contrast of one pair of modalities, over the items that have both."""
        if len(a) < 2:
            return a.sum() * 0  # with one item there is nothing to tell apart
        if self.progress >= self.switch:
            return softclip_contrast(a, b, self.soft_temperature)
        weight, partner = draw_mixing(len(a), self.concentration, self.mixed, rng)
        return mixup_contrast(a, b, weight.to(a), partner, self.temperature)
