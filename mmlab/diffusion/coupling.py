"""Who goes to whom: partners for unpaired samples by optimal transport within a batch."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["entropic_partners", "entropic_plan", "optimal_partners", "squared_distances"]

ITERATIONS = 300
"""Most iterations of Sinkhorn. From the exact potentials few are needed, except for an ε that hardly blurs the plan."""


def squared_distances(x0: Tensor, x1: Tensor) -> NDArray[np.float64]:
    """Squared Euclidean distances (B, B) between all sources (B, ...) and all targets (B, ...), on the CPU.

    Raises:
        ValueError: If the two have different shapes, or values that are not finite.
    """
    if x0.shape != x1.shape:
        raise ValueError(f"Sources {tuple(x0.shape)} and targets {tuple(x1.shape)} must have the same shape.")
    if not bool(torch.isfinite(x0).all() and torch.isfinite(x1).all()):
        raise ValueError("Sources or targets hold NaN or infinity, to which there is no distance: leave them out.")
    a, b = (x.detach().flatten(1).double().cpu() for x in (x0, x1))
    centre = b.mean(0)  # far from the origin, the fast formula of cdist would lose the digits that differ
    squared: NDArray[np.float64] = torch.cdist(a - centre, b - centre).square().numpy()
    return squared


def optimal_partners(x0: Tensor, x1: Tensor) -> Tensor:
    """The one-to-one pairing with the least sum of squared distances: exact optimal transport within a batch.

    Args:
        x0: Sources, (B, ...).
        x1: Targets, of the same shape.

    Returns:
        (B,) int64, a permutation: source i goes to ``x1[partners[i]]``.

    Source:
        Tong et al. 2024, "Improving and generalizing flow-based generative models with minibatch optimal transport".
    """
    import ot

    cost = squared_distances(x0, x1)
    plan = ot.emd([], [], cost, numItermax=1_000_000)  # equal weights; the optimum is a permutation
    return torch.from_numpy(plan.argmax(1)).to(x0.device)


def entropic_plan(x0: Tensor, x1: Tensor, regularisation: float) -> Tensor:
    """The entropic transport plan within a batch: π minimises Σ π |x0 - x1|² + ε Σ π log π.

    With ε = 2σ² it is, for large batches, the coupling of the Schrödinger bridge whose reference gathers the variance
    σ². For ε → 0 it is the exact pairing.

    Args:
        x0: Sources, (B, ...).
        x1: Targets, of the same shape.
        regularisation: ε > 0, in squared units of the data.

    Returns:
        (B, B) float64; rows and columns sum to 1/B.

    Source:
        Cuturi 2013, "Sinkhorn distances: Lightspeed computation of optimal transport".
    """
    import ot

    if not 0 < regularisation < math.inf:
        raise ValueError(f"regularisation={regularisation}: ε must be positive and finite.")
    cost = squared_distances(x0, x1)
    _, exact = ot.emd([], [], cost, numItermax=1_000_000, log=True)
    # Less the exact potentials, costs are zero on the optimal pairs and positive elsewhere. The plan is the same, and
    # exp(-cost / ε) cannot vanish in a whole row, however small ε is.
    excess = np.maximum(cost - exact["u"][:, None] - exact["v"], 0)
    plan = ot.sinkhorn([], [], excess, regularisation, stopThr=1e-5, numItermax=ITERATIONS, warn=False)
    return torch.from_numpy(plan).to(x0.device)


def entropic_partners(x0: Tensor, x1: Tensor, regularisation: float, rng: torch.Generator) -> Tensor:
    """Partners drawn from :func:`entropic_plan`, whose other arguments it takes.

    Args:
        x0: Sources, (B, ...).
        x1: Targets, of the same shape.
        regularisation: ε > 0, in squared units of the data.
        rng: Draws one target for each source.

    Returns:
        (B,) int64: source i goes to ``x1[partners[i]]``; a target may be drawn more than once.

    Source:
        Tong et al. 2024, "Simulation-free Schrödinger bridges via score and flow matching".
    """
    plan = entropic_plan(x0, x1, regularisation)
    return torch.multinomial(plan / plan.sum(1, keepdim=True), 1, generator=rng).squeeze(1)
