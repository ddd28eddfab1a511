"""Message passing for graphs: a node is told the mean of what each kind of its neighbours says (GraphSAGE).

A batch holds nodes with their sampled neighbours, padded to the same number: neighbours (..., N, D) and which of them
are there (..., N) bool. The value of an absent neighbour never matters, and a node without neighbours is told zeros.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["SageLayer", "mean_over"]


def mean_over(neighbours: Tensor, there: Tensor) -> Tensor:
    """Mean (..., D) over the neighbours that are there; 0 where there is none.

    Args:
        neighbours: (..., N, D).
        there: (..., N) bool.
    """
    values = torch.where(there[..., None], neighbours, 0)  # where() and not a product: what is absent may be NaN
    return values.sum(-2) / there.sum(-1, keepdim=True).clamp(min=1)


class SageLayer(nn.Module):
    """A node and its neighbours in, new features of the node out: ReLU(norm(W h + Σ_r W_r mean_{N_r} h)).

    Args:
        features: Features D of the node itself.
        relations: Name of each relation to the features of the neighbours by it.
        width: Features that come out.
        normalise: Whether there is a layer norm.
    """

    def __init__(self, features: int, relations: Mapping[str, int], width: int, normalise: bool = True) -> None:
        super().__init__()
        self.own = nn.Linear(features, width)
        self.told = nn.ModuleDict({name: nn.Linear(relations[name], width, bias=False) for name in sorted(relations)})
        self.norm = nn.LayerNorm(width) if normalise else nn.Identity()

    def forward(self, node: Tensor, neighbours: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Tensor:
        """New features (..., width).

        Args:
            node: h, (..., D).
            neighbours: By relation, (..., N, D_r).
            there: By relation, (..., N) bool.
        """
        total = self.own(node)
        for name, weight in self.told.items():
            total = total + weight(mean_over(neighbours[name], there[name]))
        return torch.relu(self.norm(total))
