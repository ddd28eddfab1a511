"""OGM-GE: slow down the encoder of the modality that is ahead, and put noise where gradient was taken away.

Symbols: z_m are the features of modality m of M, W_m its columns of the classifier on their concatenation and b the
bias, s_m the mean probability that its own logits give to the true class, ρ_m its lead over the others, k_m the
coefficient of its encoder's gradient, α how hard a lead is punished.
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
from mmlab.nn.gradients import modulated
from mmlab.nn.modalities import AV_MNIST, read

__all__ = ["OGMGE", "discrepancy", "modulation", "own_logits"]


def own_logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What each modality adds to the classifier's answer: W_m z_m + b / M, (M, B, K).

    Args:
        features: z, shape (M, B, D).
        weight: Of the classifier on the concatenation, shape (K, M·D).
        bias: b, shape (K,).
    """
    columns = weight.view(len(weight), len(features), -1)  # (K, M, D)
    return torch.einsum("mbd,kmd->mbk", features, columns) + bias / len(features)  # Eq. (1)


def discrepancy(scores: Tensor, seen: Tensor | None = None) -> Tensor:
    """Leads ρ: the score of each modality over the mean score of the others; the paper has one other.

    Args:
        scores: s, shape (M,).
        seen: Whether the batch has the modality at all, bool (M,); None: all. Without rivals ρ is 1.
    """
    there = torch.ones_like(scores) if seen is None else seen.to(scores.dtype)
    rivals = there.sum() - there
    mean = ((scores * there).sum() - scores * there) / rivals.clamp(min=1)
    return torch.where((rivals > 0) & (there > 0), scores / mean.clamp(min=1e-30), 1.0)  # Eq. (3)


def modulation(rho: Tensor, alpha: float) -> Tensor:
    """Coefficients k: 1 - tanh(α ρ) for a modality that is ahead, ρ > 1, and 1 for the others. It jumps at ρ = 1."""
    return torch.where(rho > 1, 1 - torch.tanh(alpha * rho.relu()), 1.0)  # Eq. (4)


class OGMGE(Method):
    """A linear classifier on concatenated features, whose encoders get modulated gradients.

    All parameters of an encoder are modulated; the authors' code does so for convolutions only. The classifier's
    gradient is left alone. An optimiser that divides by the size of the gradient, as Adam does, undoes most of it.

    Args:
        shapes: Shape of one item of each modality; with one only this is a plain classifier.
        classes: Number of classes K.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Features per modality, D.
        dropout: Share of features dropped in training.
        alpha: α, how hard a lead is punished; 0 leaves plain joint training. The authors' code has no default.
        noise: GE: whether the gradients of all encoders get Gaussian noise with their own spread, Eq. (5).
        start: Share of the training after which the modulation is on.
        end: Share of the training until which it is on: half, as in the authors' code.
        fixed: The dull control: constant coefficients by modality in place of k, as different learning rates are.
        unimodal_weight: The other dull control: weight of the cross-entropies of the modalities' own logits.

    Source:
        Peng et al. 2022, Equations 8 to 10, and its noise.
    """

    card = Card(
        name="OGM-GE",
        family="fusion",
        paper="ogm_ge",
        summary="Slows down the encoder of the modality that leads, and adds noise to the gradients.",
        inputs=("image", "audio", "label"),
        outputs=("label",),
        claims=(Claim("accuracy", "joint", "higher"), Claim("audio encoder, probed", "joint", "higher")),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
    )

    def __init__(
        self, shapes: Mapping[str, Sequence[int]] = AV_MNIST, classes: int = 10, encoder: EncoderKind = "perceptron",
        width: int = 64, dropout: float = 0.0, alpha: float = 0.5, noise: bool = True, start: float = 0.0,
        end: float = 0.5, fixed: Mapping[str, float] | None = None, unimodal_weight: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        if alpha < 0:
            raise ValueError(f"alpha must be 0 or more, not {alpha}: below 0 the leader would be sped up.")
        if unknown := sorted(set(fixed or {}) - set(shapes)):
            raise ValueError(f"fixed names {unknown[0]!r}, which is none of the modalities {', '.join(shapes)}.")
        self.shapes = {name: tuple(shapes[name]) for name in sorted(shapes)}
        self.alpha, self.noise, self.fixed, self.unimodal_weight = alpha, noise, fixed, unimodal_weight
        self.start, self.end = start, end
        self.encoders = nn.ModuleDict({n: make_encoder(encoder, s, width, dropout) for n, s in self.shapes.items()})
        self.classifier = nn.Linear(width * len(self.shapes), classes)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the joint classifier; rng draws the noise of the gradients, if it is on."""
        (inputs, present), label = read(batch, self.shapes), batch["label"]
        on = self.start <= self.progress <= self.end
        noise = rng if self.noise and on else None
        k = {name: torch.ones((), device=label.device) for name in inputs}  # filled in below, read in the backward pass
        features = {n: modulated(self.encoders[n], x, factor=k[n], rng=noise) for n, x in inputs.items()}  # Eq. (5)
        own = self._own(features, present)  # (M, B, K)
        fused = functional.cross_entropy(own.sum(0), label)
        there = torch.stack(list(present.values()))  # (M, B)
        shares = there / there.sum(1, keepdim=True).clamp(min=1)  # the mean over the items that are present
        nll = -own.log_softmax(-1).gather(-1, label.expand(len(own), -1).unsqueeze(-1)).squeeze(-1)  # (M, B)
        scores = (nll.detach().neg().exp() * shares).sum(1)  # Eq. (2)
        found = dict(zip(inputs, modulation(discrepancy(scores, there.any(1)), self.alpha), strict=True))
        for name in inputs if on else ():
            k[name].copy_(found[name] if self.fixed is None else torch.as_tensor(self.fixed.get(name, 1.0)))
        report = {f"k {name}": value.clone() for name, value in k.items()} | {"fused": fused.detach()}
        report |= {f"score {name}": score for name, score in zip(inputs, scores, strict=True)}
        return {"loss": fused + self.unimodal_weight * (nll * shares).sum(), **report}

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Features z_m of each modality, (B, D), for a probe."""
        with self.evaluating():
            return {name: self.encoders[name](x) for name, x in read(batch, self.shapes)[0].items()}

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities, shape (B, K)."""
        return self._own(self.embed(batch), read(batch, self.shapes)[1]).sum(0).softmax(-1)

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

    def _own(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The modalities' own logits (M, B, K); an absent one adds its share of the bias only."""
        stacked = torch.stack([z * present[name].unsqueeze(1) for name, z in features.items()])  # (M, B, D)
        return own_logits(stacked, self.classifier.weight, self.classifier.bias)
