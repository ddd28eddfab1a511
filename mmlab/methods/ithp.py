"""ITHP: one modality is squeezed through a chain of bottlenecks, each of which must predict one of the others.

Symbols: x_0 is the prime modality, x_1, x_2, ... the detectors in their order; b_0, b_1, ... are the bottlenecks; μ and
σ² are the mean and variance of a bottleneck given what it is computed from; y is the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy, mean_over_present
from mmlab.method import Batch, Method
from mmlab.nn.modalities import ModalityEncoders, presence, read

__all__ = ["ITHP", "bottleneck_loss", "draw_bottleneck", "gaussian_kl", "kept_information"]


def draw_bottleneck(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """B = μ + σ ε for mean and log variance (B, K)."""
    noise = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
    return mean + (log_variance / 2).exp() * noise  # Eq. (1)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) in nats, summed over dimensions: (B, K) to (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)  # Eq. (2)


def bottleneck_loss(kl: Tensor, error: Tensor, weight: float) -> Tensor:
    """What a bottleneck pays: its information, and the error of what it must predict, with the weight β."""
    return kl + weight * error  # Eq. (3)


def kept_information(strength: Tensor, weight: float) -> Tensor:
    """Nats that the best linear bottleneck keeps of a direction: ½ log(2βg²), and none where 2βg² < 1.

    Args:
        strength: g, by how much the detector moves with one standard deviation of the direction.
        weight: β, on the squared error summed over the detector's values.
    """
    return 0.5 * (2 * weight * strength.square()).clamp(min=1).log()  # Eq. (6)


class ITHP(Method):
    """A chain of noisy bottlenecks on one modality; the others say what is kept, and are not needed afterwards.

    The class is read from the last bottleneck. Items may lack a label (``label_present``) or a detector
    (``audio_present``): they count where they can.

    The authors scale detectors to [0, 1] and end each predictor with a sigmoid. Here predictors are linear at the end:
    standardise the detectors. The KL is summed over dimensions, where the authors' code takes the mean.

    Args:
        shapes: Shape of one item of each modality.
        classes: Number of classes K.
        prime: The modality that is read.
        detectors: The others, in the order in which they are predicted; by default sorted by name.
        width: Width of hidden layers.
        bottlenecks: Dimensions of each bottleneck, one for each detector.
        weights: β and γ: what the error of each prediction weighs.
        decay: λ; the i-th bottleneck counts λ^i.
        amount: What all bottlenecks weigh beside the class; the paper's is 1, on top of 2 / (β + γ).
        information: What the KL weighs in each bottleneck; with 0 there is also no noise, and a plain chain is left.
        dropout: Dropout probability of the hidden features.
        encoders: An encoder of your own for the prime modality, from items (B, *shape) to features (B, D).

    Raises:
        ValueError: If prime and detectors are not modalities, or numbers do not go with the detectors.

    Source:
        Xiao et al. 2024, with a classifier on the last bottleneck in place of a language model.
    """

    card = Card(
        name="ITHP",
        family="fusion",
        paper="ithp",
        summary="Squeezes one modality through bottlenecks that must predict the others, which only training needs.",
        inputs=("text", "audio", "video", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "text alone", "higher", name="ithp-common-text-alone"),
            Claim("accuracy", "auxiliary regression", "higher", kind="sanity", name="ithp-common-auxiliary-regression"),
            Claim("accuracy", "two linear fits", "higher", kind="sanity", name="ithp-common-two-linear-fits"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("privileged information", "information bottleneck", "missing modality", "sentiment"),
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 4,
        prime: str = "text",
        detectors: Sequence[str] | None = None,
        width: int = 32,
        bottlenecks: Sequence[int] = (16, 8),
        weights: Sequence[float] = (8.0, 32.0),
        decay: float = 0.3,
        amount: float = 1.0,
        information: float = 1.0,
        dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        order = [name for name in sorted(shapes) if name != prime] if detectors is None else list(detectors)
        _check(shapes, prime, order, bottlenecks, weights)
        self.prime, self.detectors = prime, order
        self.shapes = {name: tuple(shapes[name]) for name in order}
        self.weights, self.decay = list(weights), decay
        self.amount, self.information = amount, information
        self.encoders = ModalityEncoders({prime: shapes[prime]}, "perceptron", width, dropout, encoders)
        inside: list[nn.Module] = [nn.Linear(width, 2 * bottlenecks[0])]
        inside += [_perceptron(a, width, 2 * b, dropout) for a, b in pairwise(bottlenecks)]
        self.narrow = nn.ModuleList(inside)
        pairs = zip(bottlenecks, order, strict=True)
        self.predictors = nn.ModuleDict(
            {name: _perceptron(size, width, prod(shapes[name]), dropout) for size, name in pairs}
        )
        self.answer = nn.Linear(bottlenecks[-1], classes)

    def chain(self, batch: Batch, rng: torch.Generator | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """The bottlenecks (B, K_i) of the prime modality, and the KL (B,) of each.

        Args:
            batch: The prime modality (B, ...); nothing else of it is read.
            rng: Draws the noise; None for the means.
        """
        z, present = self.encoders({key: batch[key] for key in (self.prime, f"{self.prime}_present") if key in batch})
        features = torch.where(present[self.prime][:, None], z[self.prime], 0)  # (B, D)
        drawn, kls = [], []
        for narrow in self.narrow:
            mean, log_variance = narrow(features).chunk(2, -1)  # (B, K_i) each
            noisy = rng is not None and self.information > 0
            features = draw_bottleneck(mean, log_variance, rng) if noisy and rng is not None else mean
            drawn.append(features)
            kls.append(gaussian_kl(mean, log_variance))
        return drawn, kls

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the class, and what the bottlenecks pay.

        Args:
            batch: The modalities (B, ...) and ``label`` (B,), each with its mask where some lack it.
            rng: Draws the noise of the bottlenecks.

        Returns:
            ``loss``, the ``task`` and the ``bottlenecks`` in it, and for each detector its ``error``.
        """
        drawn, kls = self.chain(batch, rng)
        detectors, there = read(batch, self.shapes)
        known = presence(batch, "label")
        task = cross_entropy(self.answer(drawn[-1]), batch["label"].where(known, 0), known)
        total = torch.zeros_like(task)
        errors = {}
        for level, name in enumerate(self.detectors):
            guess = self.predictors[name](drawn[level])  # (B, D_m)
            error = (guess - detectors[name].flatten(1)).square().mean(-1)  # (B,)
            errors[f"{name}_error"] = mean_over_present(error, there[name])
            paid = bottleneck_loss(self.information * kls[level].mean(), errors[f"{name}_error"], self.weights[level])
            total = total + self.decay**level * paid  # Eq. (4)
        paid = 2 / sum(self.weights) * self.amount * total
        return {"loss": task + paid, "task": task, "bottlenecks": paid, **errors}  # Eq. (5)

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K), from the prime modality alone and without noise.

        Args:
            batch: The prime modality; whatever else there is, is not looked at.
        """
        with self.evaluating():
            return self.answer(self.chain(batch)[0][-1]).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shapes of the modalities; text is the prime one if there is any, else the first."""
        shapes = super().arguments_for(item)["shapes"]
        found = {"shapes": shapes} if "text" in shapes else {"shapes": shapes, "prime": next(iter(shapes))}
        count = len(shapes) - 1
        return found if count == 2 else found | {"bottlenecks": [16] * count, "weights": [8.0] * count}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three short vectors that show two hidden numbers, of whose signs the class is made; some have no label."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(
            seed, {"audio": (3,), "text": (8,), "video": (2, 2)}, width=16, bottlenecks=(6, 4), information=0.05
        )
        hidden = torch.randn(32, 2, generator=rng)
        shown = {"audio": (3,), "text": (8,), "video": (2, 2)}
        batch: Batch = {
            name: (hidden @ torch.randn(2, prod(shape), generator=rng)).view(32, *shape)
            for name, shape in shown.items()
        }
        batch["label"] = 2 * (hidden[:, 0] > 0).long() + (hidden[:, 1] > 0).long()
        return method, batch | {"label_present": torch.arange(32) % 4 != 3, "audio_present": torch.arange(32) != 5}


def _perceptron(inputs: int, width: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs))


def _check(
    shapes: Mapping[str, Sequence[int]],
    prime: str,
    order: Sequence[str],
    bottlenecks: Sequence[int],
    weights: Sequence[float],
) -> None:
    if sorted({prime, *order}) != sorted(shapes) or len(order) + 1 != len(shapes) or not order:
        raise ValueError(f"prime={prime!r} and detectors={list(order)} must be {', '.join(sorted(shapes))}, once each.")
    if not len(order) == len(bottlenecks) == len(weights):
        raise ValueError(
            f"There are {len(order)} detectors, {len(bottlenecks)} bottlenecks and {len(weights)} weights: give one of "
            "each for every detector."
        )
    if min(weights) <= 0:
        raise ValueError(f"weights={list(weights)} must be positive.")
