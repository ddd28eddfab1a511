"""Pix2pix: translate by a network that stays close to the target and that a second network takes for real.

Symbols: source x, target y, noise z (dropout), generator G(x, z), probability D(x, y) that y is real, and its logit d.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.data.correlation import edges, matrices
from mmlab.method import Batch, Method, Objective
from mmlab.nn.field import check_pairs
from mmlab.nn.unet import UNet
from mmlab.wording import require_at_least

__all__ = ["Pix2pix", "adversarial_loss", "discriminator_loss", "patch_discriminator", "receptive_field"]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Half the cross-entropy of telling real from made, from logits of any shape; log 2 for one who cannot tell."""
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2  # Eq. (1), with log D = -softplus(-d)


def adversarial_loss(fake: Tensor) -> Tensor:
    """-log D(x, G(x, z)) from logits; log(1 - D) has the same end, but no slope where D is sure."""
    return F.softplus(-fake).mean()  # Eq. (2)


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Side, in pixels, of the patch of the input that one output of a chain of convolutions sees."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = stride * (field - 1) + kernel  # Eq. (4)
    return field


def patch_discriminator(inputs: int, width: int = 64, halvings: int = 3) -> nn.Sequential:
    """A "PatchGAN", which judges patches: images (B, inputs, H, W) to logits (B, 1, H', W').

    Args:
        inputs: Channels of source and target together.
        width: Channels of the first layer; they double from layer to layer, up to eightfold.
        halvings: Convolutions of stride 2, before two of stride 1: 0, 1, 2, 3 for patches of 7, 16, 34, 70 pixels.
    """
    channels = [inputs, *(width * min(2**i, 8) for i in range(halvings + 1)), 1]
    layers: list[nn.Module] = []
    for (before, after), stride in zip(pairwise(channels), [2] * halvings + [1, 1], strict=True):
        layers += [nn.Conv2d(before, after, kernel_size=4, stride=stride, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])  # logits; no normalisation, which would tell a patch of all the others


def most_halvings(shape: tuple[int, ...]) -> int:
    """How often a discriminator can halve images (C, H, W), or the matrices of edges (E,), before nothing is left."""
    return int(math.log2(max(_side(shape), 3) / 3))  # the two convolutions of stride 1 need 3 x 3 pixels


def _side(shape: tuple[int, ...]) -> int:
    """Pixels of the shorter side of images (C, H, W), or of the matrices of edges (E,)."""
    return min(shape[1:]) if len(shape) == 3 else int(matrices(torch.zeros(shape)).shape[-1])


class Pix2pix(Method):
    """Paired translation whose results look like targets where L1 alone gives a blur; not a way to get a spread.

    Args:
        shape: (C, H, W) for images; or (E,) for the E = N(N-1)/2 edges of connectomes, made N x N images inside.
        width: Channels of the U-Net at full resolution and of the discriminator's first layer.
        depth: Residual blocks per level of its encoder.
        halvings: Halvings of the discriminator, which set the size of its patches; see :func:`patch_discriminator`.
        dropout: Dropout probability: the only noise z, in training and in :meth:`sample`.
        l1_weight: λ, weight of the mean absolute error.
        adversarial_weight: Weight of the adversarial term; with 0 no discriminator is trained: L1 alone.
        residual: Whether the U-Net's output is added to the source.

    Source:
        Isola, Zhu, Zhou, Efros 2017. The U-Net is the book's: residual blocks and group normalisation.
    """

    card = Card(
        name="pix2pix",
        family="translation",
        paper="pix2pix",
        summary="A U-Net translates pairs, close to the target in L1 and judged patch by patch by an adversary.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(Claim("saturation", "L1 alone", "higher"),),
        tags=("GAN", "image", "MRI"),
    )
    draws = None  # a translation; its noise is no spread

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 64,
        depth: int = 1,
        halvings: int = 3,
        dropout: float = 0.5,
        l1_weight: float = 100.0,
        adversarial_weight: float = 1.0,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        if len(self.shape) not in (1, 3):
            raise ValueError(f"shape is (E,) for edges or (C, H, W) for images, not {self.shape}.")
        require_at_least(width=(width, 1), depth=(depth, 0), halvings=(halvings, 0))
        for name, value in (("l1_weight", l1_weight), ("adversarial_weight", adversarial_weight)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value}: a weight must be finite and not negative; 0 switches it off.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: a dropout probability must be at least 0 and below 1.")
        self.residual = residual
        self.halvings = halvings
        channels = self.shape[0] if len(self.shape) == 3 else 1
        self.l1_weight = l1_weight
        self.adversarial_weight = adversarial_weight
        self.generator = UNet(
            channels, channels, width, (1, 2, 4), depth, dropout, attention=False, time_conditioning=False
        )
        for part in self.generator.modules():
            if isinstance(part, nn.Conv2d):  # as published; through the zeros of this U-Net no noise would come
                nn.init.normal_(part.weight, std=0.02)
        self.discriminator = patch_discriminator(2 * channels, width, halvings)

    def objectives(self) -> list[Objective]:
        """First the discriminator's step, then the generator's; only the latter if there is no adversarial term."""
        critic = Objective("discriminator", list(self.discriminator.parameters()), self.discriminator_loss)
        generator = Objective("generator", list(self.generator.parameters()), self.generator_loss)
        return [critic, generator] if self.adversarial_weight else [generator]

    def discriminator_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Tell (source, target) from (source, made); both are (B, ...), and ``rng`` draws the dropout in training."""
        check_pairs(self.shape, source=batch["source"], target=batch["target"])
        made = self.sample(batch["source"], rng=rng if self.training else None)
        real = self.judge(batch["source"], batch["target"])
        fake = self.judge(batch["source"], made)
        return {"loss": discriminator_loss(real, fake), "accuracy": torch.cat([real > 0, fake < 0]).float().mean()}

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The adversarial term and λ times the mean absolute error; arguments as above."""
        check_pairs(self.shape, source=batch["source"], target=batch["target"])
        made = self(batch["source"], rng if self.training else None)
        l1 = (made - batch["target"]).abs().mean()
        fooled = adversarial_loss(self.judge(batch["source"], made)) if self.adversarial_weight else 0 * l1
        return {"loss": self.adversarial_weight * fooled + self.l1_weight * l1, "l1": l1}  # Eq. (3)

    def judge(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits that the targets (B, ...) are real, one for each patch: (B, 1, H', W')."""
        most = most_halvings(self.shape)
        if self.halvings > most:
            raise ValueError(f"halvings={self.halvings} leaves nothing of {self.shape}: choose {most} or less.")
        if _side(self.shape) < 3:
            raise ValueError(
                f"shape={self.shape} is too small for a discriminator, which needs 3 x 3 pixels even with halvings=0: "
                "train with adversarial_weight=0."
            )
        return self.discriminator(torch.cat([self._images(source), self._images(target)], dim=1))

    def forward(self, source: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """G(x, z): translations of sources (B, ...), with dropout drawn from ``rng``, or without noise."""
        check_pairs(self.shape, source=source)
        self.generator.train(rng is not None)  # as in the paper, dropout stays on when the network is used
        with torch.random.fork_rng([source.device] if source.is_cuda else []):
            if rng is not None:  # dropout draws from the global state: lend it one made from rng
                seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
                # the first is cheaper: torch's own function also notes for other devices where it was called
                (torch.default_generator.manual_seed if source.device.type == "cpu" else torch.manual_seed)(seed)
            made = self.generator(self._images(source), source.new_zeros(len(source)))  # (B, C, H, W); it sees no time
        if len(self.shape) == 1:
            made = edges((made + made.mT) / 2)[:, 0]  # (B, E): a connectome is symmetric, which a U-Net need not be
        return source + made if self.residual else made

    @torch.no_grad()
    def sample(self, source: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """One translation per source (B, ...), noisy by dropout as in the paper; without ``rng``, without noise."""
        return self(source, rng)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape of the source, and as many halvings as it allows, up to the published three."""
        shape = tuple(item["source"].shape)
        return {"shape": list(shape), "halvings": min(3, most_halvings(shape))}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two random images of 4 x 4 whose targets are the sources, upside down."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(1, 4, 4), width=8, halvings=0)
            source = torch.randn(2, 1, 4, 4)
        return method, {"source": source, "target": source.flip(2)}

    def _images(self, values: Tensor) -> Tensor:
        """Images (B, C, H, W), or matrices (B, 1, N, N) of edges (B, E)."""
        return values if len(self.shape) == 3 else matrices(values)[:, None]
