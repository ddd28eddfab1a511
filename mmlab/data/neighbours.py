"""Neighbours in a graph as a table, the form in which a batch holds them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["neighbour_table"]


def neighbour_table(edges: Tensor, nodes: int, limit: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Neighbours of each node as a table: the form in which a batch holds them.

    Args:
        edges: Pairs (from, to), (2, E) long: the first is a neighbour of the second, not the other way round.
        nodes: Number of nodes V.
        limit: Columns N of the table; of more neighbours, N are drawn without replacement.
        rng: Draws them.

    Returns:
        Numbers of the neighbours (V, N), 0 where there is none, and which are there (V, N) bool.

    Raises:
        ValueError: If an edge leads out of the graph, or the limit is not positive.
    """
    if limit < 1 or (edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < nodes):
        raise ValueError(
            f"limit={limit}, {nodes} nodes: give a positive limit, and edges between nodes 0 to {nodes - 1}."
        )
    mixed = edges[:, torch.randperm(edges.shape[1], generator=rng)]
    source, target = mixed[:, torch.argsort(mixed[1], stable=True)]
    degree = torch.bincount(target, minlength=nodes)
    place = torch.arange(len(target)) - (degree.cumsum(0) - degree)[target]  # which neighbour of its node it is
    kept = place < limit
    table = torch.zeros(nodes, limit, dtype=torch.long)
    there = torch.zeros(nodes, limit, dtype=torch.bool)
    table[target[kept], place[kept]] = source[kept]
    there[target[kept], place[kept]] = True
    return table, there
