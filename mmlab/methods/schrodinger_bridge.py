"""Schrödinger bridges: bridge matching on pairs that the method makes itself, until nothing changes any more.

Time 0 is the source, time 1 the target, and nobody knows which source belongs to which target. Two ways lead to the
Schrödinger bridge: bridge matching on pairs that the process of the iteration before has made (iterative Markovian
fitting), or once on pairs from entropic optimal transport within the batch. Symbols as in bridge matching; ε is the
regularisation of the transport.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch
from mmlab.methods.bridge_matching import MARGIN, BridgeMatching, bridge_moments, euler_step
from mmlab.nn.coupling import entropic_partners
from mmlab.nn.reference import Reference, like

__all__ = ["SchrodingerBridge", "SchrodingerCoupling", "iteration_at", "regularisation", "simulate"]

SchrodingerCoupling = Literal["markovian", "sinkhorn"]


def regularisation(sigma: float) -> float:
    """ε of the entropic transport with cost |x0 - x1|² whose optimum is the Schrödinger bridge's coupling."""
    return 2 * sigma**2  # Eq. (3)


def iteration_at(progress: float, iterations: int, first: float) -> int:
    """Which iteration of the fitting a run is in, from 0 to iterations - 1.

    Args:
        progress: Share of the training that is done, from 0 to 1.
        iterations: Number of iterations.
        first: Share of the training that the first iteration takes; the others share the rest equally.
    """
    if progress < first:
        return 0
    return min(1 + int((progress - first) / (1 - first) * (iterations - 1)), iterations - 1)


def simulate(
    end: Callable[[Tensor, Tensor], Tensor], reference: Reference, x: Tensor, steps: int, rng: torch.Generator
) -> Tensor:
    """Walk from time 0 to 1 by Euler-Maruyama, with the drift towards ``end(x, t)``, the expected end given X_t = x.

    Args:
        end: Function of states (B, ...) and one time, a scalar.
        reference: The reference diffusion.
        x: States at time 0, (B, ...).
        steps: Number of equal steps.
        rng: Draws the noise; the last step has none, since it would only blur the end.

    Returns:
        States at time 1, of the shape of x.
    """
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64).to(x)
    for s, t in pairwise(times):
        noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        x = euler_step(reference, x, end(x, s), s, t, noise * (t < 1))  # Eq. (2)
    return x


class SchrodingerBridge(BridgeMatching):
    """The Schrödinger bridge between two distributions without pairs, images or vectors.

    With ``coupling="markovian"`` (DSBM-IMF, IDBM), training runs in iterations. In the first, targets are shuffled
    within the batch. At the start of each later one the network is copied; the copy carries the batch's sources
    forward and its targets backward, and the network learns each way from the pairs of the other, so that the ends
    that it regresses on are always data. With ``coupling="sinkhorn"`` (SB-CFM), pairs are drawn once and for all from
    the entropic transport plan of the batch. The copy and its iteration are part of the state: a resumed run goes on
    with the same bits.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        width: Width of the network: channels of the U-Net, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        sigma: Standard deviation that the reference gathers from t = 0 to 1, in units of the data.
        coupling: ``"markovian"`` or ``"sinkhorn"``.
        iterations: Number of iterations of the Markovian fitting; 1 is plain bridge matching of shuffled pairs.
        first: Share of the training that the first iteration takes.
        simulation_steps: Euler steps of the copy, per batch.
        dropout: Share of features dropped in training.
        scale: Typical size of a value in the data; the network works in units of it.

    Source:
        Shi et al. 2023; Peluchetti 2023; Tong et al. 2024.
    """

    card = Card(
        title="Schrödinger bridge",
        family="translation",
        paper="shi2023dsbm",
        summary="Learns the most likely diffusion between two unpaired distributions by repeated bridge matching.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("error of the coupling", "one pass of bridge matching", "lower"),
            Claim("class kept", "independent coupling", "higher"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
    )
    iteration: Tensor

    def __init__(
        self,
        shape: Sequence[int] = (780,),
        width: int = 256,
        depth: int = 2,
        sigma: float = 1.0,
        coupling: SchrodingerCoupling = "markovian",
        iterations: int = 5,
        first: float = 0.4,
        simulation_steps: int = 20,
        dropout: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(shape, width, depth, sigma, condition_on_source=False, dropout=dropout, scale=scale)
        if coupling not in get_args(SchrodingerCoupling):
            raise ValueError(f"coupling is one of {', '.join(get_args(SchrodingerCoupling))}, not {coupling!r}.")
        if iterations < 1 or simulation_steps < 1 or not 0 < first < 1:
            raise ValueError("iterations and simulation_steps are at least 1, and first is between 0 and 1.")
        self.coupling, self.iterations, self.first, self.simulation_steps = (
            coupling,
            iterations,
            first,
            simulation_steps,
        )
        self.previous = copy.deepcopy(self.network).requires_grad_(False)
        self.register_buffer("iteration", torch.zeros((), dtype=torch.long))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of both expected ends at random times of bridges between pairs of the method's making.

        Args:
            batch: ``source`` and ``target``, shape (B, ...); rows need not belong together.
            rng: Draws the pairs, the times and the noise.
        """
        x0, x1 = batch["source"], batch["target"]
        if self.coupling == "sinkhorn":
            partners = entropic_partners(x0, x1, regularisation(self.reference.sigma), rng)
            return super().loss({"source": x0, "target": x1[partners]}, rng)
        self._advance()
        if self.iteration == 0:
            partners = torch.randperm(len(x1), generator=rng, device=x1.device)
            return super().loss({"source": x0, "target": x1[partners]}, rng)
        other1, other0 = self.recouple(x0, x1, rng)
        starts, ends = torch.cat([x0, other0]), torch.cat([other1, x1])  # (2B, ...)
        t = MARGIN + (1 - 2 * MARGIN) * torch.rand(len(starts), generator=rng, device=x0.device, dtype=x0.dtype)
        mean, variance = bridge_moments(self.reference, starts, ends, like(t, starts))
        noise = torch.randn(starts.shape, generator=rng, device=x0.device, dtype=x0.dtype)
        expected = self._output(mean + variance.sqrt() * noise, t, starts)  # (2B, 2, ...): E[X₁ | X_t], E[X₀ | X_t]
        backward = (expected[: len(x0), 1] - x0).square().mean()
        forward = (expected[len(x0) :, 0] - x1).square().mean()
        return {"loss": (forward + backward) / 2}  # Eq. (1)

    @torch.no_grad()
    def recouple(self, x0: Tensor, x1: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where the copied network carries the sources forward and the targets backward, each (B, ...)."""
        size = len(x0)

        def end(x: Tensor, t: Tensor) -> Tensor:
            times = torch.cat([t.expand(size), (1 - t).expand(size)]).clamp(MARGIN, 1 - MARGIN)
            both = self._heads(x, times, previous=True)  # backward in time, the ends change places
            return torch.cat([both[:size, 0], both[size:, 1]])

        ends = simulate(end, self.reference, torch.cat([x0, x1]), self.simulation_steps, rng)
        return ends[:size], ends[size:]

    @torch.no_grad()
    def sample_source(self, target: Tensor, *, steps: int = 20, rng: torch.Generator) -> Tensor:
        """Carry targets (B, ...) back to samples of the source, by Euler-Maruyama."""

        def end(x: Tensor, t: Tensor) -> Tensor:
            return self.ends(x, (1 - t).expand(len(x)), target)[0]

        return simulate(end, self.reference, target, steps, rng)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Points in 8 dimensions that have to move by 3 and be shrunk to a half."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(8,), width=32, depth=1, sigma=0.5, simulation_steps=4)
        source, target = torch.randn(2, 32, 8, generator=rng)
        return method, {"source": source, "target": 3 + target / 2}

    def _advance(self) -> None:
        """Copy the network when an iteration begins. Only training does so: validation sees averaged weights."""
        now = iteration_at(self.progress, self.iterations, self.first)
        if self.training and now != int(self.iteration):
            self.previous.load_state_dict(self.network.state_dict())
            self.iteration.fill_(now)

    def _output(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        return self._heads(x, t)

    def _heads(self, x: Tensor, t: Tensor, previous: bool = False) -> Tensor:
        """E[X₁ | X_t] and E[X₀ | X_t] at states (B, ...) and times (B,), as (B, 2, ...)."""
        network = self.previous.eval() if previous else self.network
        if len(self.shape) == 1:
            return self.scale * network(x.unsqueeze(1) / self.scale, t)
        return self.scale * network(x / self.scale, t).unflatten(1, (2, self.shape[0]))
