"""Who goes to whom: partners for unpaired samples by optimal transport within a batch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["entropic_partners", "optimal_partners", "squared_distances"]

LARGEST_EXPONENT = 300.0
"""Above this ratio of cost to regularisation the plan is computed with logarithms: e⁻³⁰⁰ is near the smallest float."""
SHARPEST = 5000.0
"""Above this ratio Sinkhorn's iterations no longer converge in time, and the exact plan takes their place."""


def squared_distances(x0: Tensor, x1: Tensor) -> NDArray[np.float64]:
    """Squared Euclidean distances (B, B) between all sources (B, ...) and all targets (B, ...), on the CPU.

    Raises:
        ValueError: If the two have different shapes.
    """
    if x0.shape != x1.shape:
        raise ValueError(f"Sources {tuple(x0.shape)} and targets {tuple(x1.shape)} must have the same shape.")
    a, b = (x.detach().flatten(1).double().cpu() for x in (x0, x1))
    squared: NDArray[np.float64] = torch.cdist(a, b).square().numpy()
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


def entropic_partners(x0: Tensor, x1: Tensor, regularisation: float, rng: torch.Generator) -> Tensor:
    """Partners drawn from the entropic transport plan within a batch.

    The plan π minimises Σ π |x0 - x1|² + ε Σ π log π. With ε = 2σ² it is, for large batches, the coupling of the
    Schrödinger bridge whose reference gathers the variance σ². Where ε is less than the largest cost / 5000, the limit
    ε → 0 is returned: the exact plan.

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
    import ot

    cost = squared_distances(x0, x1)
    if cost.max() > SHARPEST * regularisation:
        return optimal_partners(x0, x1)
    kind = "sinkhorn" if cost.max() < LARGEST_EXPONENT * regularisation else "sinkhorn_log"
    plan = ot.sinkhorn([], [], cost, regularisation, method=kind, stopThr=1e-6, warn=False)
    weights = torch.from_numpy(plan).to(x0.device)
    return torch.multinomial(weights / weights.sum(1, keepdim=True), 1, generator=rng).squeeze(1)
