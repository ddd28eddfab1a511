"""AnyAttack: a network that makes, of any target picture's vector, a bounded noise that lets others be taken for it.

Here it measures how robust a small encoder of our own is. Symbols: E is the frozen encoder and e the unit vector of a
target picture, δ its noise, ε the bound on each of its values, K the number of other pictures that carry it, τ the
temperature, t the share of the training that is done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.towers import PictureTower

__all__ = ["AnyAttack", "attacked", "temperature", "toward"]


def attacked(x: Tensor, noise: Tensor, radius: float) -> Tensor:
    """Pictures with a bounded noise, still pictures: min(max(x + min(max(δ, -ε), ε), -1), 1).

    Args:
        x: Pictures in [-1, 1].
        noise: δ, of any size.
        radius: ε.
    """
    return (x + noise.clamp(-radius, radius)).clamp(-1, 1)  # Eq. (1)


def toward(e: Tensor, seen: Tensor, tau: float) -> Tensor:
    """Each target looks for the pictures that carry its noise, among those of all targets; one direction alone.

    Args:
        e: Unit vectors of the targets, (B, D).
        seen: Unit vectors of the pictures with their noise, (K, B, D).
        tau: τ.
    """
    mean = F.normalize(seen.mean(0), dim=-1)  # Eq. (2)
    return F.cross_entropy(e @ mean.mT / tau, torch.arange(len(e), device=e.device))  # Eq. (3)


def temperature(progress: float, start: float, end: float, share: float) -> float:
    """From the start to the end by equal factors, in a share of the training; then it stays.

    Args:
        progress: t, from 0 to 1.
        start: τ at the start.
        end: τ at the end.
        share: Share of the training in which it falls; 0 for none, it is at the end from the first step.
    """
    done = min(progress / share, 1.0) if share else 1.0
    return float(start * (end / start) ** done)  # Eq. (4)


class AnyAttack(Method):
    """A generator of bounded noise against a frozen encoder, trained without labels.

    Args:
        encoder: E, a network from pictures (B, C, H, W) in [-1, 1] to vectors; or arguments of
            :class:`mmlab.nn.towers.PictureTower`. It is frozen.
        shape: Shape of a picture.
        features: Length D of the encoder's vectors.
        hidden: Width of the generator, a perceptron.
        radius: ε, where pictures reach from -1 to 1: twice that of pictures from 0 to 1.
        others: K.
        start: τ at the start.
        end: τ at the end.
        share: Share of the training in which τ falls; 0 for no schedule.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        Zhang et al. 2025, "AnyAttack", whose generator is convolutional.
    """

    card = Card(
        name="AnyAttack",
        family="contrast",
        paper="zhang2025anyattack",
        summary="Tests robustness by a learnt, bounded noise that makes an encoder take one picture for another.",
        inputs=("image",),
        claims=(
            Claim("cosine with the target", "random signs", "higher", kind="sanity", name="any-attack-noise"),
            Claim("cosine with the target", "pixels of the target", "higher", kind="sanity", name="any-attack-pixels"),
            Claim("cosine with the target", "no schedule", "higher", name="any-attack-schedule"),
            Claim(
                "cosine, other tower", "pixels of the target", "higher", kind="sanity", name="any-attack-pixels-other"
            ),
            Claim("cosine, other tower", "PGD", "higher", name="any-attack-pgd-other"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("adversarial robustness", "targeted noise", "CLIP", "PGD", "transfer"),
    )
    uses_progress = True

    def __init__(
        self,
        encoder: nn.Module | Mapping[str, Any] | None = None,
        shape: tuple[int, ...] = (3, 32, 32),
        features: int = 64,
        hidden: int = 128,
        radius: float = 32 / 255,
        others: int = 1,
        start: float = 1.0,
        end: float = 0.07,
        share: float = 0.8,
    ) -> None:
        super().__init__()
        if min(radius, start, end) <= 0 or others < 1 or not 0 <= share <= 1:
            raise ValueError(
                f"AnyAttack: radius={radius}, others={others}, start={start}, end={end}, share={share}; the bound and "
                "temperatures are above 0, at least one other picture carries a noise, and the share is one."
            )
        self.encoder: Any = encoder if isinstance(encoder, nn.Module) else PictureTower(**(encoder or {}))
        self.encoder.requires_grad_(False)
        self.shape, self.radius, self.others = tuple(shape), radius, others
        self.start, self.end, self.share = start, end, share
        size = math.prod(self.shape)
        self.generator = nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, size))

    def vectors(self, x: Tensor) -> Tensor:
        """Unit vectors of pictures, (B, D)."""
        return F.normalize(self.encoder(x), dim=-1)

    def noise(self, e: Tensor) -> Tensor:
        """δ (B, C, H, W) of targets' unit vectors (B, D), within the bound."""
        made: Tensor = self.generator(e * e.shape[-1] ** 0.5).view(-1, *self.shape)
        return made.clamp(-self.radius, self.radius)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The contrast between targets and the pictures that carry their noise.

        Args:
            batch: ``image`` (B, C, H, W): each is a target, and carries the noise of others.
            rng: Draws who carries whose.
        """
        x = batch["image"]
        with torch.no_grad():
            e = self.vectors(x)
        noise, seen = self.noise(e), []
        for _ in range(self.others):
            order = torch.randperm(len(x), generator=rng, device=rng.device)
            seen.append(self.vectors(attacked(x[order], noise, self.radius)))
        tau = temperature(self.progress, self.start, self.end, self.share)
        cosine = (e * torch.stack(seen).mean(0)).sum(-1).mean()
        return {"loss": toward(e, torch.stack(seen), tau), "cosine": cosine.detach()}

    def embed(self, batch: Batch) -> Tensor:
        """What the encoder sees in the noise alone, on a grey picture: unit vectors (B, D)."""
        with self.evaluating():
            x = batch["image"]
            return self.vectors(attacked(torch.zeros_like(x), self.noise(self.vectors(x)), self.radius))

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """An encoder for pictures of this shape."""
        shape = tuple(item["image"].shape)
        if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or shape[1] % 8:
            raise ValueError(
                f"AnyAttack: its own encoder takes pictures (3, S, S) with S a multiple of 8; these are {shape}."
            )
        return {"encoder": {"side": shape[1]}, "shape": list(shape)}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve pictures of noise, and an encoder that nobody has trained."""
        rng = torch.Generator().manual_seed(seed)
        image = torch.rand(12, 3, 8, 8, generator=rng).repeat(1, 1, 2, 2) * 2 - 1
        how: dict[str, Any] = {"features": 16, "hidden": 32, "radius": 1.0, "start": 0.2}
        return cls.seeded(seed, {"width": 16, "channels": 4, "side": 16}, [3, 16, 16], **how), {"image": image}
