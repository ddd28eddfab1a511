"""VQGAN: pictures become a grid of words from a learnt codebook, under a perceptual and an adversarial loss.

Symbols: x is a picture, E the encoder, z = E(x) a grid of vectors, e_k the codes, k = 1 ... K, q(z) the nearest codes,
G the decoder and x̂ = G(q(z)), φ the features of the perceptual loss, d the logits of the critic, one for each patch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from mmlab.card import Card, Claim
from mmlab.method import Batch, Method, Objective
from mmlab.nn.perceptual import PictureFeatures, feature_distance
from mmlab.wording import require_at_least

__all__ = [
    "VQGAN",
    "adaptive_weight",
    "averaged",
    "codebook_loss",
    "critic_loss",
    "fooling_loss",
    "nearest",
    "perplexity",
    "straight_through",
]

GAMMA = 0.99
"""Decay of the counts where the codebook itself follows the gradient."""


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Numbers k of the codes (K, D) that are nearest to vectors z (..., D), (...) int64."""
    return torch.cdist(z.reshape(-1, z.shape[-1]), codebook).argmin(1).view(z.shape[:-1])  # Eq. (1)


def straight_through(z: Tensor, code: Tensor) -> Tensor:
    """The value of the code, and the gradient of z as if it had not been rounded."""
    return z + (code - z).detach()  # Eq. (2)


def codebook_loss(z: Tensor, code: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Mean squares that pull codes to vectors, and β times those that pull vectors to codes (the commitment)."""
    return (z.detach() - code).square().mean(), beta * (z - code.detach()).square().mean()  # Eq. (3)


def averaged(counts: Tensor, sums: Tensor, k: Tensor, z: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Running counts N (K,) and sums (K, D) of the vectors z (n, D) that chose the codes k (n,): codes are sums / N."""
    n = torch.bincount(k, minlength=len(counts)).to(counts)
    total = torch.zeros_like(sums).index_add_(0, k, z)
    return decay * counts + (1 - decay) * n, decay * sums + (1 - decay) * total  # Eq. (4)


def perplexity(counts: Tensor) -> Tensor:
    """How many codes used evenly are as varied as these counts (K,): the exponential of the entropy."""
    p = counts / counts.sum()
    return torch.special.entr(p).sum().exp()  # Eq. (5)


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of a critic, from its logits of any shape: real ones should pass 1, fake ones fall below -1."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2  # Eq. (7)


def fooling_loss(fake: Tensor) -> Tensor:
    """What the decoder gets from the critic: the mean logit, with a minus."""
    return -fake.mean()  # Eq. (8)


def adaptive_weight(of_error: Tensor, of_adversary: Tensor, delta: float = 1e-6) -> Tensor:
    """λ: how much larger the error's gradient at the decoder's last layer is than the adversary's, at most 10⁴."""
    return (of_error.norm() / (of_adversary.norm() + delta)).clamp(max=1e4).detach()  # Eq. (9)


class _Block(nn.Module):
    """A residual block: normalisation, a 3 x 3 and a 1 x 1 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.into, self.out = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(F.silu(self.into(F.silu(self.norm(x)))))  # type: ignore[no-any-return]


def _widths(width: int, halvings: int) -> list[int]:
    """Channels from the finest grid to that of the codes: they double, in multiples of 4."""
    return [max(4, width // 2 ** (halvings - 1 - level) // 4 * 4) for level in range(halvings)]


def _encoder(channels: int, width: int, halvings: int, code: int) -> nn.Sequential:
    widths = _widths(width, halvings)
    layers: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, widths[0], 3, padding=1)]
    for before, after in pairwise(widths):
        layers += [_Block(before), nn.Conv2d(before, after, 4, stride=2, padding=1)]
    width = widths[-1]
    return nn.Sequential(*layers, _Block(width), _Block(width), nn.GroupNorm(4, width), nn.Conv2d(width, code, 1))


def _decoder(channels: int, width: int, halvings: int, code: int) -> nn.Sequential:
    widths = _widths(width, halvings)[::-1]
    layers: list[nn.Module] = [nn.Conv2d(code, widths[0], 3, padding=1), _Block(widths[0]), _Block(widths[0])]
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2), _Block(after)]
    last = nn.Conv2d(widths[-1], 4 * channels, 3, padding=1)
    return nn.Sequential(*layers, nn.GroupNorm(4, widths[-1]), nn.SiLU(), last, nn.PixelShuffle(2))


def _critic(channels: int, width: int) -> nn.Sequential:
    """Pictures (B, C, H, W) to logits (B, 1, H / 4, W / 4), each of a patch of 18 pixels."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 3, padding=1),
    )


class VQGAN(Method):
    """Write pictures with the words of a learnt codebook, and read them back.

    Args:
        shape: (C, H, W) of the pictures; H and W are multiples of 2 to the power of ``halvings``.
        width: Channels of encoder and decoder on the grid of the codes, a multiple of 4.
        halvings: Halvings of the sides: with 2 a picture of 32 x 32 becomes 8 x 8 codes.
        codes: Number of codes K; 0 for none: an ordinary autoencoder.
        code_width: Length D of a code.
        beta: Weight β of the commitment.
        decay: γ of the running means that the codes are; None: the codes follow the gradient of their own loss.
        revive: Codes that are chosen less often than this share of the mean are moved onto vectors of the batch; 0
            leaves them where they are.
        features: Widths of the perceptual network's stages; empty for no perceptual loss. It is frozen, and random
            until :meth:`look_with` hands it trained weights.
        perceptual_weight: Weight of the perceptual loss beside the mean absolute error.
        adversarial_weight: Weight of the adversary, multiplied by λ; 0 trains no critic.
        critic_width: Channels of the critic's first layer.

    Raises:
        ValueError: If a number is out of its range, or the sides of the pictures cannot be halved so often.

    Source:
        Esser, Rombach, Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis"; codebook and running
        means: van den Oord, Vinyals, Kavukcuoglu 2017; moving unused codes: Dhariwal et al. 2020.
    """

    card = Card(
        name="VQGAN",
        family="words to pictures",
        paper="esser2021taming",
        summary="An autoencoder whose codes are words of a learnt codebook, trained by perception and an adversary.",
        inputs=("image",),
        outputs=("tokens",),
        claims=(
            Claim("features", "no adversary and no perception", "lower", name="vqgan-features-error-alone"),
            Claim("facts", "principal components", "higher", kind="sanity", name="vqgan-facts-principal-components"),
        ),
        tags=("vector quantisation", "tokens", "codebook", "GAN", "colonoscopy"),
    )

    counts: Tensor
    sums: Tensor

    def __init__(
        self, shape: Sequence[int] = (3, 32, 32), width: int = 48, halvings: int = 2, codes: int = 256,
        code_width: int = 8, beta: float = 0.25, decay: float | None = GAMMA, revive: float = 0.1,
        features: Sequence[int] = (), perceptual_weight: float = 1.0, adversarial_weight: float = 0.0,
        critic_width: int = 16,
    ) -> None:  # fmt: skip
        super().__init__()
        require_at_least(width=(width, 4), halvings=(halvings, 1), codes=(codes, 0), code_width=(code_width, 1))
        weights = {"beta": beta, "revive": revive, "perceptual_weight": perceptual_weight}
        for name, value in (weights | {"adversarial_weight": adversarial_weight}).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value}: a weight must be finite and not negative; 0 switches it off.")
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(
                f"decay={decay} must be at least 0 and below 1; None lets the codes follow their gradient."
            )
        if width % 4:
            raise ValueError(f"width={width} must be a multiple of 4, the number of groups that are normalised.")
        self.shape = tuple(shape)
        if len(self.shape) != 3 or any(side < 1 or side % 2**halvings for side in self.shape[1:]):
            raise ValueError(
                f"shape={self.shape}: pictures are (C, H, W), and {halvings} halvings need sides that are multiples of "
                f"{2**halvings}; pad or crop them, or choose fewer halvings."
            )
        self.beta, self.decay, self.revive = beta, decay, revive
        self.perceptual_weight, self.adversarial_weight = perceptual_weight, adversarial_weight
        channels = self.shape[0]
        self.encoder = _encoder(channels, width, halvings, code_width)
        self.decoder = _decoder(channels, width, halvings, code_width)
        self.codebook = nn.Parameter(torch.randn(codes, code_width), requires_grad=bool(codes) and decay is None)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, code_width))
        self.features = PictureFeatures(channels, features).requires_grad_(False) if features else None
        self.critic = _critic(channels, critic_width) if adversarial_weight else None
        self._chosen: list[tuple[Tensor, Tensor]] = []

    def look_with(self, trained: PictureFeatures) -> Self:
        """Take over the weights of a trained perceptual network of the same widths; it is copied, and frozen.

        Raises:
            ValueError: If this method was built without one.
        """
        if self.features is None:
            raise ValueError("This VQGAN has no perceptual loss: build it with the widths of the network as features.")
        self.features.load_state_dict(trained.state_dict())
        return self

    def encode(self, image: Tensor) -> Tensor:
        """Numbers of the codes of pictures (B, C, H, W), (B, h, w) int64.

        Raises:
            ValueError: If the pictures have another shape, or there is no codebook.
        """
        if not len(self.codebook):
            raise ValueError("This autoencoder has no codebook (codes=0): its codes are vectors, not numbers.")
        with self.evaluating():
            return torch.cat([nearest(self.vectors(part), self.codebook) for part in torch.split(image, 256)])

    def decode(self, tokens: Tensor) -> Tensor:
        """Pictures (B, C, H, W) of numbers of codes (B, h, w)."""
        with self.evaluating():
            return torch.cat([self._drawn(self.codebook[part]) for part in torch.split(tokens, 256)])

    def reconstruct(self, image: Tensor) -> Tensor:
        """Pictures (B, C, H, W) written in codes and read back; without a codebook, through the vectors."""
        if len(self.codebook):
            return self.decode(self.encode(image))
        with self.evaluating():
            return torch.cat([self._drawn(self.vectors(part)) for part in torch.split(image, 256)])

    def embed(self, batch: Batch) -> Tensor:
        """The codes' numbers of a batch's ``image``, (B, h, w); see :meth:`encode`."""
        return self.encode(batch["image"])

    def vectors(self, image: Tensor) -> Tensor:
        """z, the encoder's vectors before they are rounded: (B, C, H, W) to (B, h, w, D)."""
        if tuple(image.shape[1:]) != self.shape:
            raise ValueError(f"Pictures {tuple(image.shape)} must have shape (B, {', '.join(map(str, self.shape))}).")
        z: Tensor = self.encoder(image)
        return z.movedim(1, -1)

    def objectives(self) -> list[Objective]:
        """The autoencoder's step, then the critic's, if there is one."""
        mine = [*self.encoder.parameters(), *self.decoder.parameters()]
        mine += [self.codebook] if self.codebook.requires_grad else []
        found = [Objective("autoencoder", mine, self.autoencoder_loss)]
        if self.critic is not None:
            found.append(Objective("critic", list(self.critic.parameters()), self.critic_loss))
        return found

    def autoencoder_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Error, perception, adversary, codebook and commitment.

        Args:
            batch: ``image``, (B, C, H, W).
            rng: Not used.
        """
        image = batch["image"]
        with torch.enable_grad():  # λ is a ratio of gradients, in a validation as well
            z = self.vectors(image)
            made, pulls, noted = self._through_codes(z)
            error = (made - image).abs().mean()
            looks = self._perceived(made, image) if self.features is not None else 0 * error
            loss = error + self.perceptual_weight * looks  # Eq. (6)
            total = loss + pulls
            if self.critic is not None:
                fooling = fooling_loss(self.critic(made))
                last: Any = self.decoder[-2].weight
                steep, pull = (torch.autograd.grad(term, last, retain_graph=True)[0] for term in (loss, fooling))
                balance = adaptive_weight(steep, pull)
                total = total + self.adversarial_weight * balance * fooling  # Eq. (10)
                noted["balance"] = balance
        return {"loss": total, "error": error.detach(), "looks": looks.detach(), **noted}

    def critic_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Tell pictures from what the decoder makes of their codes; arguments as above."""
        assert self.critic is not None
        with torch.no_grad():
            z = self.vectors(batch["image"])
            made = self._drawn(self.codebook[nearest(z, self.codebook)] if len(self.codebook) else z)
        return {"loss": critic_loss(self.critic(batch["image"]), self.critic(made))}

    @torch.no_grad()
    def after_step(self) -> None:
        """Running means: counts, the codes if they are means, and the revival of codes that are hardly used."""
        if not self._chosen or not len(self.codebook):
            return
        k, z = (_everywhere(torch.cat(parts)) for parts in zip(*self._chosen, strict=True))
        self._chosen.clear()
        counts, sums = averaged(self.counts, self.sums, k, z, GAMMA if self.decay is None else self.decay)
        if self.decay is not None:
            used = counts > 0
            self.codebook[used] = sums[used] / counts[used, None]
        dead = counts < self.revive * counts.mean()
        if dead.any():
            rows = torch.linspace(0, len(z) - 1, int(dead.sum()), device=z.device).long()  # a batch is in random order
            self.codebook[dead] = z[rows]
            counts[dead] = counts.mean()
            sums[dead] = counts[dead, None] * z[rows]
        self.counts.copy_(counts)
        self.sums.copy_(sums)

    def _through_codes(self, z: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """What the decoder makes of vectors (B, h, w, D), what pulls codes and vectors together, and what to log."""
        if not len(self.codebook):
            return self._drawn(z), z.new_zeros(()), {}
        k = nearest(z.detach(), self.codebook)
        code = self.codebook[k]
        of_codes, commitment = codebook_loss(z, code, self.beta)
        pulls = commitment + of_codes if self.decay is None else commitment
        if self.training:
            self._chosen.append((k.flatten(), z.detach().flatten(0, -2)))
        used = perplexity(torch.bincount(k.flatten(), minlength=len(self.codebook)).to(z))
        return self._drawn(straight_through(z, code)), pulls, {"commitment": commitment.detach(), "perplexity": used}

    def _drawn(self, z: Tensor) -> Tensor:
        made: Tensor = self.decoder(z.movedim(-1, 1))
        return made

    def _perceived(self, made: Tensor, image: Tensor) -> Tensor:
        assert self.features is not None
        with torch.no_grad():
            seen = self.features(image)
        return feature_distance(self.features(made), seen).mean()

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape of the pictures, and as many halvings as their sides allow, up to two."""
        shape = tuple(item["image"].shape)
        even = [math.gcd(*shape[1:]) % 2**n == 0 for n in (1, 2)] if len(shape) == 3 else [True, True]
        return {"shape": list(shape), "halvings": 2 if all(even) else 1}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Pictures of 8 x 8 of one colour each, and a critic."""
        rng = torch.Generator().manual_seed(seed)
        sizes = {"width": 8, "halvings": 1, "codes": 8, "code_width": 4, "features": (4, 8), "critic_width": 4}
        method = cls.seeded(seed, (3, 8, 8), adversarial_weight=0.1, **sizes)
        colours = torch.rand(6, 3, 1, 1, generator=rng) * 2 - 1
        return method, {"image": colours.expand(6, 3, 8, 8).contiguous()}


def _everywhere(values: Tensor) -> Tensor:
    """The values of all processes, one after the other."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, values)
    return torch.cat(parts)
