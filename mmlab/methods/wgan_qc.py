"""WGAN-QC: an adversary whose critic is fitted to the exact optimal transport of each batch, for a quadratic cost.

x is the source, z noise, ŷ = G(x, z) a generated target (a fake), y a real one, D the critic, K the factor of the cost,
H the potentials of a batch (high at reals, so the generator climbs), T(ŷ) the real target that the plan pairs ŷ with.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.method import Batch, Method, Objective
from mmlab.nn.field import check_pairs
from mmlab.wording import require_at_least

__all__ = ["WGANQC", "batch_dual", "quadratic_cost", "regression_loss", "transport_regulariser"]


def quadratic_cost(real: Tensor, fake: Tensor, K: float) -> Tensor:
    """Costs (N, M) of carrying fakes (M, E) to reals (N, E), in double precision: K/2 |y - ŷ|²."""
    return K / 2 * torch.cdist(real.double(), fake.double()).square()  # Eq. (1)


def batch_dual(cost: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The exact dual of optimal transport between two batches of equal weights, a linear programme.

    Costs are (N, M), reals by fakes. Maximises mean(H) of reals less that of fakes with H[i] - H[j] <= cost[i, j].
    Returns H of reals (N,), H of fakes (M,), with a common mean of zero, and the index of each fake's paired real (M,).
    """
    import ot

    plan, log = ot.emd([], [], cost.detach().cpu().numpy(), numItermax=1_000_000, log=True)
    real = torch.as_tensor(log["u"])
    fake = -torch.as_tensor(log["v"])  # Eq. (2)
    middle = torch.cat([real, fake]).mean()
    return (real - middle).to(cost), (fake - middle).to(cost), torch.as_tensor(plan.argmax(0)).to(cost.device)


def regression_loss(on_real: Tensor, on_fake: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """Half the squared error of the critic D against the potentials H, in the mean of reals and pointwise at fakes.

    ``on_real`` (N,) and ``on_fake`` (M,) are values of D; ``real`` (N,) and ``fake`` (M,) those of H.
    """
    return ((on_real.mean() - real.mean()).square() + (on_fake - fake).square().mean()) / 2  # Eq. (3)


def transport_regulariser(gradient: Tensor, displacement: Tensor, K: float, compare: str = "length") -> Tensor:
    """Squared error of ∇D at fakes (M, E) against K times the displacement T(ŷ) - ŷ (M, E), over 8K.

    With ``compare="length"``, as published, the norms are compared; with ``"vector"``, the vectors.
    """
    best = K * displacement  # Eq. (4)
    if compare == "vector":
        return (gradient - best).square().sum(1).mean() / (8 * K)  # Eq. (6)
    return (gradient.norm(dim=1) - best.norm(dim=1)).square().mean() / (8 * K)  # Eq. (5)


class WGANQC(Method):
    """Makes targets that are distributed like the real ones, for each source if it is conditional.

    Args:
        shape: Shape of one source and one target.
        width: Width of both networks.
        depth: Hidden layers of both; a generator with 0 is linear.
        noise: Length of z; with 0 there is one answer for each source.
        conditional: Whether critic and cost see the source. If not, and the source is noise: as published.
        source_weight: w of a squared difference of sources, beside 1 for targets; a large one leaves least squares.
        gamma: γ.
        compare: What the regulariser compares: ``"length"``, as published, or ``"vector"``.
        l1_weight: Weight of the mean absolute error of the pairs, in units of ``scale``.
        dropout: Dropout probability at the generator's last hidden layer.
        scale: Size of a typical value; networks and cost see values divided by it.

    Source:
        Liu, Gu, Samaras 2019. A conditional version is not published; this one puts the pair into the cost.
    """

    card = Card(
        name="WGAN-QC",
        family="translation",
        paper="wgan_qc",
        summary="A generator climbs a critic that is fitted to the exact optimal transport of each batch.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("W2", "Gaussian map", "lower", kind="sanity"),
            Claim("joint W2", "plain regression", "lower", kind="sanity"),
        ),
        tags=("GAN", "optimal transport"),
        level="advanced",
    )
    draws = None  # transport of whole batches; which pairs belong together counts only in part

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int = 64,
        depth: int = 2,
        noise: int = 8,
        conditional: bool = True,
        source_weight: float = 1.0,
        gamma: float = 0.1,
        compare: str = "length",
        l1_weight: float = 0.0,
        dropout: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if compare not in ("length", "vector"):
            raise ValueError(f"compare={compare!r} is none of the regulariser's two: choose 'length' or 'vector'.")
        require_at_least(width=(width, 1), depth=(depth, 0), noise=(noise, 0))
        for name, value in (("source_weight", source_weight), ("gamma", gamma), ("l1_weight", l1_weight)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}={value}: a weight must be finite and not negative; 0 switches it off.")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale}: the size of a typical value must be positive and finite.")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout}: a dropout probability must be at least 0 and below 1.")
        self.shape = tuple(shape)
        size = math.prod(self.shape)
        if size < 1:
            raise ValueError(f"shape={self.shape} holds no values: every length must be at least 1.")
        self.K = 1 / size
        self.scale = scale
        self.compare = compare
        self.noise = noise
        self.conditional = conditional
        self.source_weight = source_weight
        self.gamma = gamma
        self.l1_weight = l1_weight
        self.generator = _perceptron(size + noise, width, depth, size, dropout)
        self.critic = _perceptron((1 + conditional) * size, width, max(depth, 1), 1)

    def objectives(self) -> list[Objective]:
        """First the critic's step, then the generator's, on the same batch."""
        critic = Objective("critic", list(self.critic.parameters()), self.critic_loss)
        return [critic, Objective("generator", list(self.generator.parameters()), self.generator_loss)]

    def critic_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Fit D to the potentials of a batch of ``source`` and ``target``, (B, ...); ``rng`` draws z."""
        source, real, made = self._flat_and_made(batch, rng)
        w = self.source_weight * self.conditional
        fake = made.detach().requires_grad_()
        cost = quadratic_cost(real, fake, self.K) + w * quadratic_cost(source, source, self.K)  # Eq. (7)
        H_real, H_fake, partners = batch_dual(cost)
        with torch.enable_grad():  # also where a validation has switched it off
            on_real = self.judge(source, real)
            on_fake = self.judge(source, fake)
            (gradient,) = torch.autograd.grad(on_fake.sum(), fake, create_graph=True)
        off = transport_regulariser(gradient, real[partners] - fake.detach(), self.K, self.compare)
        fit = regression_loss(on_real, on_fake, H_real, H_fake) + 4 * self.K**0.5 * self.gamma * off
        own = (partners == torch.arange(len(partners)).to(partners)).float().mean()
        return {"loss": fit, "transport": H_real.mean() - H_fake.mean(), "own_partner": own}

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Climb D, and stay near the pairs if that has a weight; arguments as above."""
        source, real, fake = self._flat_and_made(batch, rng)
        return {"loss": self.l1_weight * (fake - real).abs().mean() - self.judge(source, fake).mean()}  # Eq. (8)

    def judge(self, source: Tensor, target: Tensor) -> Tensor:
        """D of flat sources and targets, (B, E) each in units of ``scale``: (B,)."""
        return torch.squeeze(self.critic(torch.cat([source, target], 1) if self.conditional else target), 1)

    @torch.no_grad()
    def sample(self, source: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """One target for each source (B, ...), of the same shape; without ``rng`` the noise is zero."""
        check_pairs(self.shape, source=source)
        _, _, made = self._flat_and_made({"source": source, "target": source}, rng)
        return (self.scale * made).view_as(source)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Points in the plane whose targets are the sources, mirrored and moved."""
        source = torch.randn(32, 2, generator=torch.Generator().manual_seed(seed))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(2,), width=16, depth=1, noise=2)
        return method, {"source": source, "target": source.flip(1) + 2}

    def _flat_and_made(self, batch: Batch, rng: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """x, y and ŷ = x + a correction, (B, E) each in units of ``scale``."""
        check_pairs(self.shape, source=batch["source"], target=batch["target"])
        source, real = (batch[key].flatten(1) / self.scale for key in ("source", "target"))
        z = source.new_zeros(len(source), self.noise)
        if rng is not None:
            z.normal_(generator=rng)
        return source, real, source + self.generator(torch.cat([source, z], 1))


def _perceptron(inputs: int, width: int, depth: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    hidden = [layer for _ in range(depth) for layer in (nn.SiLU(), nn.Linear(width, width))]
    return nn.Sequential(nn.Linear(inputs, width), *hidden, nn.Dropout(dropout), nn.Linear(width, outputs))
