"""The prior of Kandinsky and unCLIP: from the embedding of a text to the embedding of a picture that it may describe.

Symbols: y is a text's embedding and e a picture's; μ(y) and S are mean and covariance of e given y by a linear map;
ᾱ_t is how much of e's variance is left at time t (0 the embedding, T - 1 almost pure noise), f the prior, which expects
e, ∅ no text, and g the guidance scale.

The diffusion prior starts from the linear one: before any training it draws exactly what the linear prior with Gaussian
errors draws, and the network adds what is not Gaussian.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.field import ridge
from mmlab.nn.mlp import FiLMBlock
from mmlab.nn.time import TimeEmbedding
from mmlab.wording import require_at_least

__all__ = [
    "KandinskyPrior",
    "LinearPrior",
    "cosine_levels",
    "gaussian_denoiser",
    "guided",
    "linear_prior",
    "perturb",
    "posterior_step",
    "prior_times",
]

ITEMS = 20_000
"""Most pairs that the linear start looks at; of more it takes this many, evenly spaced."""


class LinearPrior(NamedTuple):
    """A text embedding's picture embedding by a linear map, and what that leaves open.

    Attributes:
        weight: (D, E).
        offset: (E,).
        covariance: S, of what is left, (E, E).
    """

    weight: Tensor
    offset: Tensor
    covariance: Tensor

    def expect(self, text: Tensor) -> Tensor:
        """μ(y) of text embeddings (B, D), (B, E)."""
        return text @ self.weight + self.offset  # Eq. (1)

    def sample(self, text: Tensor, rng: torch.Generator) -> Tensor:
        """A draw from N(μ(y), S) for text embeddings (B, D), (B, E): exact if both embeddings are jointly Gaussian."""
        values, vectors = torch.linalg.eigh(self.covariance)
        noise = torch.randn(len(text), len(values), generator=rng, device=text.device, dtype=text.dtype)
        return self.expect(text) + noise * values.clamp_min(0).sqrt() @ vectors.T  # Eq. (2)


def linear_prior(text: Tensor, image: Tensor) -> LinearPrior:
    """Ridge regression of picture embeddings on text embeddings, its penalty by leave-one-out, and its residuals.

    Args:
        text: y, (N, D).
        image: e of the same pairs, (N, E).

    Raises:
        ValueError: If there are fewer than two pairs, or not as many of one as of the other.
    """
    if len(text) != len(image) or len(text) < 2:
        raise ValueError(f"There are {len(text)} text and {len(image)} picture embeddings: at least two pairs.")
    y, e = text.double(), image.double()
    directions, coefficients, _ = ridge(y - y.mean(0), e - e.mean(0), min(y.shape))
    weight = directions @ coefficients
    offset = e.mean(0) - y.mean(0) @ weight
    left = e - y @ weight - offset
    return LinearPrior(*(part.to(image.dtype) for part in (weight, offset, left.T @ left / len(left))))


def cosine_levels(steps: int) -> Tensor:
    """ᾱ_t for t = 0 ... T-1, (T,): the cosine schedule, whose steps lose at most 0.999 of what is left."""
    share = ((torch.arange(steps + 1, dtype=torch.float64) / steps + 0.008) / 1.008 * math.pi / 2).cos().square()
    beta = (1 - share[1:] / share[:-1]).clamp(max=0.999)
    return (1 - beta).cumprod(0).float()  # Eq. (3)


def perturb(e: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """e_t of embeddings (B, E), for ᾱ_t = ``level``, which broadcasts against them."""
    return level.sqrt() * e + (1 - level).sqrt() * noise  # Eq. (4)


def gaussian_denoiser(x: Tensor, mean: Tensor, vectors: Tensor, values: Tensor, level: Tensor) -> Tensor:
    """E[e | e_t = x, y] if e given y is N(μ(y), S): exact, for any S.

    Args:
        x: Noised embeddings, (B, E).
        mean: μ(y), (B, E).
        vectors: Eigenvectors of S, in columns, (E, E).
        values: Eigenvalues of S, (E,).
        level: ᾱ_t, (B, 1).
    """
    gain = level.sqrt() * values / (level * values + 1 - level)  # (B, E)
    return mean + (gain * ((x - level.sqrt() * mean) @ vectors)) @ vectors.T  # Eq. (5)


def guided(without: Tensor, told: Tensor, scale: float) -> Tensor:
    """The embedding expected without the text, and beyond the one that the text makes expect: 1 is the text alone."""
    return without + scale * (told - without)  # Eq. (7)


def posterior_step(x: Tensor, clean: Tensor, now: Tensor, then: Tensor, noise: Tensor) -> Tensor:
    """Draw e_s given e_t = x and the embedding, s < t.

    Args:
        x: (B, E).
        clean: The embedding, known or expected, (B, E).
        now: ᾱ_t.
        then: ᾱ_s; at 1 the step returns ``clean``.
        noise: Standard normal, (B, E).
    """
    kept = now / then
    mean = then.sqrt() * (1 - kept) / (1 - now) * clean + kept.sqrt() * (1 - then) / (1 - now) * x
    return mean + ((1 - then) / (1 - now) * (1 - kept)).sqrt() * noise  # Eq. (8)


def prior_times(train_steps: int, steps: int) -> Tensor:
    """Times that the sampler visits, (steps,) from late to early: evenly spaced, with both ends."""
    return (torch.arange(steps, dtype=torch.float64) * (train_steps - 1) / max(steps - 1, 1)).round().long().flip(0)


class _Residual(nn.Module):
    """What the linear prior misses, from a noised embedding, the text, whether it is told, and the time."""

    def __init__(self, text: int, image: int, width: int, depth: int) -> None:
        super().__init__()
        self.time = TimeEmbedding(width)
        self.encode = nn.Linear(image + text + 1, width)
        self.blocks = nn.ModuleList(FiLMBlock(width, width) for _ in range(depth))
        self.norm, self.decode = nn.LayerNorm(width), nn.Linear(width, image)
        nn.init.zeros_(self.decode.weight)
        nn.init.zeros_(self.decode.bias)

    def forward(self, x: Tensor, text: Tensor, told: Tensor, t: Tensor) -> Tensor:
        """(B, E) of (B, E), (B, D), (B, 1) and (B,)."""
        time = self.time(t)
        hidden = self.encode(torch.cat([x, text, told], 1))
        for block in self.blocks:
            hidden = block(hidden, time)
        out: Tensor = self.decode(self.norm(hidden))
        return out


class KandinskyPrior(Method):
    """Draw picture embeddings from text embeddings by diffusion; the network predicts the embedding itself.

    :func:`mmlab.fit` first calls :meth:`start_from`, which solves two linear priors, with the text and without. The
    network predicts what they miss, in units of what they leave open; untrained it adds nothing.

    Args:
        text: Length D of a text embedding.
        image: Length E of a picture embedding.
        width: Features of the network.
        depth: Residual blocks.
        drop_condition: Probability with which training hides the text; guidance needs it above 0.
        levels: Number of times T.

    Raises:
        ValueError: If a size or a probability cannot be.

    Source:
        Razzhigaev et al. 2023, "Kandinsky"; Ramesh et al. 2022, "Hierarchical text-conditional image generation with
        CLIP latents" (unCLIP). Theirs is a transformer over the tokens of the text, and starts from no linear map.
    """

    card = Card(
        name="Kandinsky's image prior (unCLIP)",
        family="words to pictures",
        paper="razzhigaev2023kandinsky",
        summary="Draws the embedding of a picture from that of a text, for a decoder that knows pictures alone.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("energy distance where facts are open", "linear prior", "lower"),
            Claim("energy distance where facts are open", "untrained prior", "lower", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2, gpu_minutes=10, gpu_memory_gb=4),
        chapter="which_generator",
        tags=("Kandinsky", "unCLIP", "text to image", "embeddings", "diffusion", "colonoscopy"),
    )
    draws = None  # texts and pictures have embeddings of their own lengths: there is no common shape

    text_mean: Tensor
    text_scale: Tensor
    scale: Tensor
    weight: Tensor
    offset: Tensor
    vectors: Tensor
    values: Tensor
    started: Tensor

    def __init__(
        self,
        text: int,
        image: int,
        width: int = 256,
        depth: int = 2,
        drop_condition: float = 0.1,
        levels: int = 1000,
    ) -> None:
        super().__init__()
        require_at_least(text=(text, 1), image=(image, 1), width=(width, 1), depth=(depth, 0), levels=(levels, 2))
        if not 0 <= drop_condition <= 1:
            raise ValueError(f"drop_condition={drop_condition} is a probability and must be in [0, 1].")
        self.text, self.image, self.drop_condition = text, image, drop_condition
        self.network = _Residual(text, image, width, depth)
        self.levels: Tensor
        self.register_buffer("levels", cosine_levels(levels), persistent=False)
        start = {
            "text_mean": torch.zeros(text), "text_scale": torch.ones(text), "scale": torch.ones(()),
            "weight": torch.zeros(2, text, image), "offset": torch.zeros(2, image),
            "vectors": torch.eye(image).repeat(2, 1, 1), "values": torch.ones(2, image),
        }  # fmt: skip
        for name, value in start.items():
            self.register_buffer(name, value)
        self.register_buffer("started", torch.zeros(()))

    @torch.no_grad()
    def start_from(self, dataset: Any) -> None:
        """Solve the linear prior with the text, and the Gaussian without it, unless that was done before.

        Args:
            dataset: With ``len()`` and ``dataset[i]``: ``source`` (D,) and ``target`` (E,).
        """
        if self.started:
            return
        count = min(len(dataset), ITEMS)
        items = [dataset[i * len(dataset) // count] for i in range(count)]
        y, e = (torch.stack([item[name] for item in items]).to(self.weight) for name in ("source", "target"))
        self._check(y, e)
        self.text_mean.copy_(y.mean(0))
        self.text_scale.copy_(y.std(0).clamp_min(1e-6))
        self.scale.copy_(e.var(0).mean().sqrt().clamp_min(1e-6))
        e = e / self.scale
        told = linear_prior(self._plain(y), e)
        nothing = LinearPrior(
            torch.zeros_like(told.weight), e.mean(0), torch.cov(e.T, correction=0).view(self.image, -1)
        )
        for row, found in enumerate((nothing, told)):
            self.weight[row], self.offset[row] = found.weight, found.offset
            values, vectors = torch.linalg.eigh(found.covariance.double())
            self.values[row], self.vectors[row] = values.clamp_min(0), vectors
        self.started.fill_(1)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the expected embedding at random times, with now and then no text.

        Args:
            batch: Embeddings of texts, ``source`` (B, D), and of pictures, ``target`` (B, E).
            rng: Draws times, noise and whose text is hidden.
        """
        self._check(batch["source"], batch["target"])
        y, e = self._plain(batch["source"]), batch["target"] / self.scale
        t = torch.randint(len(self.levels), (len(e),), generator=rng, device=e.device)
        noise = torch.randn(e.shape, generator=rng, device=e.device, dtype=e.dtype)
        told = torch.rand(len(e), generator=rng, device=e.device) >= self.drop_condition
        x = perturb(e, noise, self.levels[t, None])
        return {"loss": (self._expected(x, y, told, t) - e).square().mean()}  # Eq. (6)

    def expect(self, x: Tensor, text: Tensor, t: int) -> Tensor:
        """f(e_t, t, y): the embedding expected, in its own units.

        Args:
            x: Noised embeddings in units of ``scale``, (B, E).
            text: y, (B, D).
            t: Time, from 0 to T - 1.
        """
        times = torch.full((len(x),), t, device=x.device)
        told = torch.ones(len(x), dtype=torch.bool, device=x.device)
        return self._expected(x, self._plain(text), told, times) * self.scale

    @torch.no_grad()
    def sample(self, source: Tensor, *, steps: int = 25, guidance: float = 1.0, rng: torch.Generator) -> Tensor:
        """Draw a picture embedding for each text embedding.

        Args:
            source: y, (B, D).
            steps: Looks at the network.
            guidance: Scale g; at 1 the network sees half as much.
            rng: Draws the start and the noise of each step.

        Returns:
            (B, E).

        Raises:
            ValueError: If the embeddings have another length, or there are too few steps or too many.
        """
        if not 1 <= steps <= len(self.levels):
            raise ValueError(f"steps={steps}: the sampler takes 1 to {len(self.levels)} steps.")
        self._check(source, None)
        y, count = self._plain(source), len(source)
        yes = torch.ones(count, dtype=torch.bool, device=y.device)

        def draw() -> Tensor:
            return torch.randn(count, self.image, generator=rng, device=y.device, dtype=y.dtype)

        x, times = draw(), prior_times(len(self.levels), steps).to(y.device)
        levels = torch.cat([self.levels[times], self.levels.new_ones(1)])
        for t, (now, then) in zip(times, pairwise(levels), strict=True):
            clean = self._expected(x, y, yes, t.expand(count))
            if guidance != 1:
                clean = guided(self._expected(x, y, ~yes, t.expand(count)), clean, guidance)
            x = posterior_step(x, clean, now, then, draw())
        return x * self.scale

    def _expected(self, x: Tensor, y: Tensor, told: Tensor, t: Tensor) -> Tensor:
        """The Gaussian's answer, with the text or without, and what the network adds in units of its error."""
        level, row = self.levels[t, None], told.long()
        y = y * told[:, None]
        without, with_text = (  # both are cheap, and no row has to be picked out
            gaussian_denoiser(x, y @ weight + offset, vectors, values, level)
            for weight, offset, vectors, values in zip(self.weight, self.offset, self.vectors, self.values, strict=True)
        )
        base = torch.where(told[:, None], with_text, without)
        spread = self.values.mean(1)[row, None]
        open_still = ((1 - level) * spread / (level * spread + 1 - level)).sqrt()  # the Gaussian's own error
        added: Tensor = self.network(x, y, told[:, None].to(x), t / (len(self.levels) - 1))
        return base + open_still * added

    def _plain(self, text: Tensor) -> Tensor:
        return (text - self.text_mean) / self.text_scale

    def _check(self, text: Tensor, image: Tensor | None) -> None:
        for name, value, length in (("source", text, self.text), ("target", image, self.image)):
            if value is not None and (value.ndim != 2 or value.shape[1] != length):
                raise ValueError(
                    f"{name} is {tuple(value.shape)}: this prior was built for (B, {length}); give one vector "
                    "for each item."
                )

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Lengths of the two embeddings.

        Raises:
            ValueError: If an item has no vector for one of them.
        """
        found = {}
        for name, key in (("text", "source"), ("image", "target")):
            if key in item:
                if item[key].ndim != 1:
                    raise ValueError(f"{key} is {tuple(item[key].shape)}: this prior takes vectors, so embed it first.")
                found[name] = len(item[key])
        return found

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three-dimensional text embeddings, and picture embeddings that lie on either side of what the text says."""
        rng = torch.Generator().manual_seed(seed)
        text = torch.randn(48, 3, generator=rng)
        side = torch.randint(2, (48, 1), generator=rng) * 2.0 - 1
        towards = torch.randn(3, 4, generator=rng)
        image = text @ towards + 2 * side + 0.1 * torch.randn(48, 4, generator=rng)
        return cls.seeded(seed, 3, 4, width=32, depth=1), {"source": text, "target": image}
