"""Inverse effectiveness: update the fused classifier faster, the weaker the unimodal ones are.

Symbols: s_m is the sum over the batch of the probability that the head of modality m gives to the true class, s_f that
of the fused classifier, r the mean of the s_m over s_f, ξ the coefficient of the fused classifier's gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy, true_class
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind
from mmlab.nn.fusion import make_fusion
from mmlab.nn.gradients import StepSums, draw_noise, scale_gradients
from mmlab.nn.modalities import ModalityEncoders

__all__ = ["IEMF", "coefficient", "unimodal_score", "weakness"]


def unimodal_score(probabilities: Tensor, present: Tensor | None = None) -> Tensor:
    """Probability of the true class, averaged over an item's modalities and summed over the batch, a scalar.

    Args:
        probabilities: Probability of the true class by head, shape (M, B).
        present: Which modalities each item has, bool (M, B): the mean is over those. None: all.
    """
    counted = torch.ones_like(probabilities) if present is None else present.to(probabilities.dtype)
    return ((probabilities * counted).sum(0) / counted.sum(0).clamp(min=1)).sum()


def weakness(unimodal: Tensor, fused: Tensor, present: Tensor | None = None) -> Tensor:
    """The ratio r: how sure the unimodal heads are of the truth, compared with the fused classifier.

    Args:
        unimodal: Probability of the true class by head, shape (M, B).
        fused: The same by the fused classifier, shape (B,).
        present: Which modalities each item has, bool (M, B): the mean is over those. None: all.
    """
    return unimodal_score(unimodal, present) / fused.sum()  # Eq. (2)


def coefficient(r: Tensor) -> Tensor:
    """ξ: 1 where the unimodal heads are as good as the fused classifier, up to 1 + tanh 1 where they know nothing."""
    return 1 + torch.tanh(1 - r)  # Eq. (3)


class IEMF(Method):
    """Concatenation with unimodal heads, and a coefficient on the gradient of the fused classifier alone.

    The order of events in a step: :meth:`loss` and its backward pass know nothing of the coefficient;
    :meth:`after_backward` then measures r, computes ξ, and scales the gradient of the fused classifier; the optimiser
    steps. :func:`mmlab.fit` does so; a loop of your own calls ``after_backward`` between backward and step. The value
    of the loss, the encoders' gradients and the heads' gradients do not depend on the coefficient. An optimiser that
    divides by the size of the gradient, as Adam does, undoes it: train with ``optimiser="sgd"``.

    Args:
        shapes: Shape of one item of each modality.
        classes: Number of classes K.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Number of features D of each modality.
        dropout: Dropout probability of the encoders.
        unimodal_weight: Weight of the cross-entropies of the unimodal heads; 0 leaves plain concatenation.
        fixed: Baseline: this number in place of ξ. With 1 the gradients are plain. None: ξ of Eq. (3).
        noise: Whether to add Gaussian noise with the spread of the gradient, as the authors do.
        start: Fraction of training after which coefficient and noise are on; in the authors' code, the heads too.
        end: Fraction of training until which they are on.
        encoders: Encoders of your own by modality, from items (B, *shape) to features (B, D).

    Attributes:
        xi: Coefficient of the fused classifier's gradient in the last step.

    Raises:
        ValueError: If the coefficient is to be computed from heads that are not trained.

    Source:
        He et al. 2025.
    """

    uses_progress: ClassVar[bool] = True
    card = Card(
        name="IEMF",
        family="fusion",
        paper="iemf",
        summary="Scales the gradient of the fused classifier by how weak the unimodal heads are.",
        inputs=("image", "audio", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "joint", "higher", published="63.44 % against 62.63 % (CREMA-D)", sure="read"),
            Claim("accuracy", "joint + heads", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("audio", "image"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 10,
        encoder: EncoderKind = "perceptron",
        width: int = 64,
        dropout: float = 0.0,
        unimodal_weight: float = 1.0,
        fixed: float | None = None,
        noise: bool = False,
        start: float = 0.0,
        end: float = 1.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if fixed is None and unimodal_weight == 0:
            raise ValueError(
                "unimodal_weight=0: the coefficient needs trained heads. Set it above 0, or give fixed=1.0."
            )
        self.unimodal_weight = unimodal_weight
        self.fixed = fixed
        self.noise = noise
        self.start = start
        self.end = end
        self.encoders = ModalityEncoders(shapes, encoder, width, dropout, encoders)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name in self.encoders})
        self.fusion = make_fusion("concatenation", list(self.encoders), width, classes)
        self.xi = 1.0
        self._measured = StepSums()

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the fused classifier, plus that of every head.

        Args:
            batch: The modalities (B, ...), optionally their masks, and ``label`` (B,).
            rng: Draws the noise that :meth:`after_backward` adds, if it is on.

        Returns:
            ``loss``, its parts ``fused`` and ``unimodal``, and the ``ratio`` r on this batch.
        """
        label = batch["label"]
        z, present = self.encoders(batch)
        mask = torch.stack(list(present.values()))  # (M, B)
        fused = self.fusion(z, present)  # (B, K)
        unimodal = torch.stack([self.heads[name](features) for name, features in z.items()])  # (M, B, K)
        main = cross_entropy(fused, label)
        auxiliary = cross_entropy(unimodal, label, mask).sum()
        s_unimodal = unimodal_score(true_class(unimodal.detach(), label), mask)
        s_fused = true_class(fused.detach(), label).sum()  # Eq. (1)
        if torch.is_grad_enabled():  # a backward pass may follow
            self._measured.add(unimodal=s_unimodal, fused=s_fused)
            if self.noise and self._is_on():
                self._measured.add(draws=torch.ones((), device=label.device), **draw_noise(self.fusion, rng))
        report = {"fused": main.detach(), "unimodal": auxiliary.detach(), "ratio": s_unimodal / s_fused}
        return {"loss": main + self.unimodal_weight * auxiliary, **report}  # Eq. (4)

    @torch.no_grad()
    def after_backward(self) -> None:
        """Measure, and scale the gradient of the fused classifier. The optimiser steps after this."""
        seen = self._measured.take()
        self.xi = 1.0
        if not seen or not self._is_on():
            return
        # 1. Measure: how weak are the unimodal heads beside the fused classifier?
        r = seen["unimodal"] / seen["fused"]  # Eq. (2), over all pieces of the batch
        # 2. The coefficient.
        self.xi = float(coefficient(r) if self.fixed is None else self.fixed)
        # 3. Scale, and add noise, in the fused classifier only.
        noise = None
        if "draws" in seen:  # the noise of several pieces is summed: keep its variance
            noise = {name: seen[name] / seen["draws"].sqrt() for name, _ in self.fusion.named_parameters()}
        scale_gradients(self.fusion, self.xi, noise)

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities of the fused classifier, shape (B, K)."""
        with self.evaluating():
            return self.fusion(*self.encoders(batch)).softmax(-1)

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

    def _is_on(self) -> bool:
        return self.start <= self.progress <= self.end
