"""OGM-GE: slow down the encoder of the modality that is ahead, and put noise where gradient was taken away.

Symbols: z_m are the features of modality m of M, W_m its columns of the classifier on their concatenation and b the
bias, s_m the mean probability that its own logits give to the true class, ρ_m its lead over the others, k_m the
coefficient of its encoder's gradient, α how hard a lead is punished.
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
from mmlab.nn.gradients import StepSums, draw_noise, scale_gradients
from mmlab.nn.modalities import ModalityEncoders
from mmlab.wording import nearest

__all__ = ["OGMGE", "discrepancy", "modulation", "own_logits"]


def own_logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What each modality adds to the classifier's answer: W_m z_m + b / M, (M, B, K).

    Args:
        features: z, shape (M, B, D).
        weight: Weights of the classifier on the concatenation, shape (K, M·D).
        bias: b, shape (K,).
    """
    columns = weight.view(len(weight), len(features), -1)  # (K, M, D)
    return torch.einsum("mbd,kmd->mbk", features, columns) + bias / len(features)  # Eq. (1)


def discrepancy(scores: Tensor, present: Tensor | None = None) -> Tensor:
    """Leads ρ: the score of each modality over the mean score of the others; the paper has one other.

    Args:
        scores: s, shape (M,).
        present: Whether the batch has the modality at all, bool (M,); None: all. Without rivals ρ is 1.
    """
    counted = torch.ones_like(scores) if present is None else present.to(scores.dtype)
    rivals = counted.sum() - counted  # (M,)
    mean = ((scores * counted).sum() - scores * counted) / rivals.clamp(min=1)
    return torch.where((rivals > 0) & (counted > 0), scores / mean.clamp(min=1e-30), 1.0)  # Eq. (3)


def modulation(rho: Tensor, alpha: float) -> Tensor:
    """Coefficients k: 1 - tanh(α ρ) for a modality that is ahead, ρ > 1, and 1 for the others. It jumps at ρ = 1."""
    return torch.where(rho > 1, 1 - torch.tanh(alpha * rho.relu()), 1.0)  # Eq. (4)


class OGMGE(Method):
    """A linear classifier on concatenated features, whose encoders get modulated gradients.

    The order of events in a step: :meth:`loss` and its backward pass are those of plain joint training;
    :meth:`after_backward` then measures the scores, computes k, and scales the encoders' gradients; the optimiser
    steps. :func:`mmlab.fit` does so; a loop of your own calls ``after_backward`` between backward and step.

    All parameters of an encoder are modulated; the authors' code does so for convolutions only. The classifier's
    gradient is left alone. An optimiser that divides by the size of the gradient, as Adam does, undoes most of it:
    train with ``optimiser="sgd"``.

    Args:
        shapes: Shape of one item of each modality; with one only this is a plain classifier.
        classes: Number of classes K.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Number of features D of each modality.
        dropout: Dropout probability of the encoders.
        alpha: α, how hard a lead is punished; 0 leaves plain joint training. The authors' code has no default.
        noise: GE: whether the gradients of all encoders get Gaussian noise with their own spread, Eq. (5).
        start: Fraction of training after which the modulation is on.
        end: Fraction of training until which it is on: half, as in the authors' code.
        fixed: Baseline: constant coefficients by modality in place of k, as different learning rates are.
        unimodal_weight: Baseline: weight of the cross-entropies of the modalities' own logits.
        encoders: Encoders of your own by modality, from items (B, *shape) to features (B, D).

    Attributes:
        k: Coefficient of each encoder in the last step, by modality.

    Raises:
        ValueError: If ``alpha`` is negative or ``fixed`` names no modality.

    Source:
        Peng et al. 2022, Equations 8 to 10, and its noise.
    """

    uses_progress: ClassVar[bool] = True
    card = Card(
        name="OGM-GE",
        family="fusion",
        paper="ogm_ge",
        summary="Slows down the encoder of the modality that leads, and adds noise to the gradients.",
        inputs=("image", "audio", "label"),
        outputs=("label",),
        claims=(Claim("accuracy", "joint", "higher"), Claim("audio encoder, probed", "joint", "higher")),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("audio", "image", "gradient modulation"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 10,
        encoder: EncoderKind = "perceptron",
        width: int = 64,
        dropout: float = 0.0,
        alpha: float = 0.5,
        noise: bool = True,
        start: float = 0.0,
        end: float = 0.5,
        fixed: Mapping[str, float] | None = None,
        unimodal_weight: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if alpha < 0:
            raise ValueError(f"alpha must be 0 or more, not {alpha}: below 0 the leader would be sped up.")
        if unknown := sorted(set(fixed or {}) - set(shapes)):
            raise ValueError(
                f"fixed names {unknown[0]!r}, which is none of the modalities; {nearest(unknown[0], shapes)}"
            )
        self.alpha = alpha
        self.noise = noise
        self.start = start
        self.end = end
        self.fixed = fixed
        self.unimodal_weight = unimodal_weight
        self.encoders = ModalityEncoders(shapes, encoder, width, dropout, encoders)
        self.classifier = nn.Linear(width * len(self.encoders), classes)
        self.k = dict.fromkeys(self.encoders, 1.0)
        self._measured = StepSums()

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the joint classifier; rng draws the noise of the gradients, if it is on.

        Args:
            batch: The modalities (B, ...), optionally their masks, and ``label`` (B,).
            rng: Draws the noise that :meth:`after_backward` adds.

        Returns:
            ``loss``, its first part ``fused``, and the score s of each modality on this batch.
        """
        label = batch["label"]
        z, present = self.encoders(batch)
        own = self._own(z, present)  # (M, B, K)
        mask = torch.stack(list(present.values()))  # (M, B)
        fused = cross_entropy(own.sum(0), label)
        auxiliary = cross_entropy(own, label, mask).sum()
        truth = (true_class(own.detach(), label) * mask).sum(1)  # (M,)
        count = mask.sum(1)
        if torch.is_grad_enabled():  # a backward pass may follow
            self._measured.add(truth=truth, count=count)
            if self.noise and self._is_on():
                self._measured.add(draws=torch.ones((), device=label.device), **draw_noise(self.encoders, rng))
        scores = truth / count.clamp(min=1)
        report = {f"score {name}": score for name, score in zip(z, scores, strict=True)}
        return {"loss": fused + self.unimodal_weight * auxiliary, "fused": fused.detach(), **report}

    @torch.no_grad()
    def after_backward(self) -> None:
        """Measure, and scale the encoders' gradients. The optimiser steps after this."""
        seen = self._measured.take()
        self.k = dict.fromkeys(self.encoders, 1.0)
        if not seen or not self._is_on():
            return
        # 1. Measure: how sure is each modality alone?
        s = seen["truth"] / seen["count"].clamp(min=1)  # Eq. (2)
        rho = discrepancy(s, seen["count"] > 0)
        # 2. Coefficients: the leader's is below 1.
        coefficients = modulation(rho, self.alpha).tolist()
        self.k = dict(zip(self.encoders, coefficients, strict=True))
        if self.fixed is not None:
            self.k = {name: float(self.fixed.get(name, 1.0)) for name in self.encoders}
        # 3. Scale, and add noise: g becomes k g + ε.
        for name, encoder in self.encoders.items():
            noise = None
            if "draws" in seen:  # the noise of several pieces is summed: keep its variance
                noise = {p: seen[f"{name}.{p}"] / seen["draws"].sqrt() for p, _ in encoder.named_parameters()}
            scale_gradients(encoder, self.k[name], noise)  # Eq. (5)

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Features z_m of each modality, (B, D), for a linear probe."""
        with self.evaluating():
            return self.encoders(batch)[0]

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities, shape (B, K)."""
        with self.evaluating():
            return self._own(*self.encoders(batch)).sum(0).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three classes in two short inputs; without noise, which the value of the loss never shows."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls({"image": [1, 4, 4], "audio": [6]}, classes=3, width=16, noise=False)
        label = torch.randint(3, (32,), generator=rng)
        x = torch.randn(3, 22, generator=rng)[label] + torch.randn(32, 22, generator=rng)
        return method, {"image": x[:, :16].reshape(-1, 1, 4, 4), "audio": x[:, 16:], "label": label}

    def _is_on(self) -> bool:
        return self.start <= self.progress <= self.end

    def _own(self, z: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The modalities' own logits (M, B, K); an absent one adds its part of the bias only."""
        stacked = torch.stack([z[name] * present[name].unsqueeze(1) for name in self.encoders])  # (M, B, D)
        return own_logits(stacked, self.classifier.weight, self.classifier.bias)
