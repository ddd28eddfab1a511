"""Low-rank updates of weights that belong to no linear layer, such as those of a recurrent network.

:class:`mmlab.nn.low_rank.LowRank` takes the place of a layer. A GRU has no layers inside, only matrices: here each of
these is replaced by W + (α / r) B A wherever it is read.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mmlab.nn.low_rank import low_rank_update

__all__ = ["LowRankWeight", "adapt_weights", "merged_weights"]


class LowRankWeight(nn.Module):
    """What is added to one matrix of weights.

    Args:
        weight: The matrix W (out, in), for its shape.
        rank: Rank r.
        alpha: Scale α: the update is multiplied by α / r.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1], device=weight.device) / rank)
        self.b = nn.Parameter(
            torch.zeros(weight.shape[0], rank, device=weight.device)
        )  # so that nothing changes at first

    def forward(self, weight: Tensor) -> Tensor:
        """W (out, in) -> W + (α / r) B A."""
        return weight + low_rank_update(self.a.mT, torch.eye(len(self.a), device=weight.device), self.b, self.scale).mT


def adapt_weights(
    network: nn.Module, names: Sequence[str], rank: int, alpha: float | None = None
) -> list[nn.Parameter]:
    """Freeze a network, and put trained low-rank updates on some of its matrices.

    Args:
        network: Changed in place.
        names: Full names of parameters of two dimensions, such as ``"reader.weight_ih_l0"``.
        rank: Rank r.
        alpha: Scale α; None is r.

    Returns:
        The factors A and B, which alone are trained.

    Raises:
        ValueError: If the rank is no positive number, or a name is no matrix of the network.
    """
    if rank < 1:
        raise ValueError(f"rank={rank}: an update needs a rank of 1 or more.")
    known = {name: value for name, value in network.named_parameters() if value.ndim == 2}
    if wrong := [name for name in names if name not in known]:
        raise ValueError(f"adapt_weights: {wrong[0]!r} is no matrix of the network; there are {', '.join(known)}.")
    network.requires_grad_(False)
    factors: list[nn.Parameter] = []
    for name in names:
        parent, _, last = name.rpartition(".")
        update = LowRankWeight(known[name], rank, float(rank if alpha is None else alpha))
        parametrize.register_parametrization(network.get_submodule(parent), last, update)
        factors += [update.a, update.b]
    return factors


def merged_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a plain network with the same output as an adapted one, under the names that they had before."""
    plain: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        parent, adapted, rest = name.rpartition("parametrizations.")
        if not adapted:
            plain[name] = value.clone()
        elif rest.endswith(".original"):
            last = rest.removesuffix(".original")
            plain[parent + last] = getattr(network.get_submodule(parent.rstrip(".")), last).detach().clone()
    return plain
