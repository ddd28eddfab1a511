"""Inverse effectiveness: update the fused classifier faster, the weaker the unimodal ones are.

Symbols: s_m is the sum over the batch of the probability that the head of modality m gives to the true class, s_f that
of the fused classifier, r the mean of the s_m over s_f, ξ the coefficient of the fused classifier's gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind, make_encoder
from mmlab.nn.fusion import make_fusion
from mmlab.nn.gradients import modulated
from mmlab.nn.modalities import AV_MNIST, read

__all__ = ["IEMF", "coefficient", "true_class", "weakness"]


def true_class(logits: Tensor, label: Tensor) -> Tensor:
    """Probability of the true class, (..., B), from logits (..., B, K) and labels (B,); s is its sum over the batch."""
    index = label.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.softmax(-1).gather(-1, index).squeeze(-1)  # Eq. (1)


def weakness(unimodal: Tensor, fused: Tensor, present: Tensor | None = None) -> Tensor:
    """The ratio r: how sure the unimodal heads are of the truth, compared with the fused classifier.

    Args:
        unimodal: Probability of the true class by head, shape (M, B).
        fused: The same by the fused classifier, shape (B,).
        present: Which modalities each item has, bool (M, B): the mean is over those. None: all.
    """
    there = torch.ones_like(unimodal) if present is None else present.to(unimodal.dtype)
    mean = (unimodal * there).sum(0) / there.sum(0).clamp(min=1)  # (B,)
    return mean.sum() / fused.sum()  # Eq. (2)


def coefficient(r: Tensor) -> Tensor:
    """ξ: 1 where the unimodal heads are as good as the fused classifier, up to 1 + tanh 1 where they know nothing."""
    return 1 + torch.tanh(1 - r)  # Eq. (3)


class IEMF(Method):
    """Concatenation with unimodal heads, and a coefficient on the gradient of the fused classifier alone.

    The value of the loss, the encoders' gradients and the heads' gradients do not depend on the coefficient.

    Args:
        shapes: Shape of one item of each modality.
        classes: Number of classes K.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Features per modality.
        dropout: Share of features dropped in training.
        unimodal_weight: Weight of the cross-entropies of the unimodal heads; 0 leaves plain concatenation.
        fixed: The dull control: this number in place of ξ. With 1 the gradients are plain. None: ξ of Eq. (3).
        noise: Whether to add Gaussian noise with the spread of the gradient, as the authors do.
        start: Share of the training after which coefficient and noise are on; in the authors' code, the heads too.
        end: Share of the training until which they are on.

    Source:
        He et al. 2025.
    """

    card = Card(
        name="IEMF",
        family="fusion",
        paper="iemf",
        summary="Scales the gradient of the fused classifier by how weak the unimodal heads are.",
        inputs=("image", "audio", "label"),
        outputs=("label",),
        claims=(Claim("accuracy", "joint", "higher"), Claim("accuracy", "joint + heads", "higher")),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
    )

    def __init__(
        self, shapes: Mapping[str, Sequence[int]] = AV_MNIST, classes: int = 10, encoder: EncoderKind = "perceptron",
        width: int = 64, dropout: float = 0.0, unimodal_weight: float = 1.0, fixed: float | None = None,
        noise: bool = False, start: float = 0.0, end: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if fixed is None and unimodal_weight == 0:
            raise ValueError("The coefficient needs trained heads: set unimodal_weight above 0, or give a fixed one.")
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        self.unimodal_weight, self.fixed, self.noise, self.start, self.end = unimodal_weight, fixed, noise, start, end
        self.encoders = nn.ModuleDict({n: make_encoder(encoder, s, width, dropout) for n, s in self.shapes.items()})
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name in self.shapes})
        self.fusion = make_fusion("concatenation", list(self.shapes), width, classes)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the fused classifier, plus that of every head; rng draws the gradient's noise, if any."""
        label = batch["label"]
        features, present = self._features(batch)
        on = self.start <= self.progress <= self.end
        xi = torch.ones((), device=label.device)
        # ξ depends on what the classifier says: it is filled in below, and read in the backward pass.
        fused = modulated(self.fusion, features, present, factor=xi, rng=rng if self.noise and on else None)  # (B, K)
        unimodal = torch.stack([self.heads[name](z) for name, z in features.items()])  # (M, B, K)
        there = torch.stack([present[name] for name in features])  # (M, B)
        with torch.no_grad():
            r = weakness(true_class(unimodal, label), true_class(fused, label), there)
            if on:
                xi.copy_(coefficient(r) if self.fixed is None else torch.as_tensor(self.fixed))
        each = functional.cross_entropy(unimodal.flatten(0, 1), label.repeat(len(unimodal)), reduction="none")
        shares = there / there.sum(1, keepdim=True).clamp(min=1)  # (M, B): the mean over the items that are present
        auxiliary = (each.view_as(there) * shares).sum()
        main = functional.cross_entropy(fused, label)
        report = {"fused": main.detach(), "unimodal": auxiliary.detach(), "ratio": r, "coefficient": xi.clone()}
        return {"loss": main + self.unimodal_weight * auxiliary, **report}  # Eq. (4)

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities of the fused classifier, shape (B, K)."""
        with self.evaluating():
            return self.fusion(*self._features(batch)).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three classes, seen in an 'image' of 4 x 4 and a short 'audio' vector."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls({"image": [1, 4, 4], "audio": [6]}, classes=3, width=16)
        label = torch.randint(3, (32,), generator=rng)
        x = torch.randn(3, 22, generator=rng)[label] + torch.randn(32, 22, generator=rng)
        return method, {"image": x[:, :16].reshape(-1, 1, 4, 4), "audio": x[:, 16:], "label": label}

    def _features(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Features (B, width) and presence (B,) of each modality, in sorted order."""
        inputs, present = read(batch, self.shapes)
        return {name: self.encoders[name](x) for name, x in inputs.items()}, present
