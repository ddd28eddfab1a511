"""The contrast of a batch that is too large for one matrix, one memory or one process.

A contrast compares every item of a batch with every other one. Three ways lead out of what that costs, and only the
first one changes the loss:

======================  ==========================================  =======================================
way                     what is compared                            function
======================  ==========================================  =======================================
groups                  items of one group; fewer negatives         :func:`grouped_contrast`
cached gradients        all; the towers run twice, piece by piece   :func:`in_pieces`
gathered processes      all; each process has its own rows          :func:`gathered_contrast`
======================  ==========================================  =======================================

:func:`mmlab.fit` with ``accumulation=G`` cuts a batch into G pieces and adds up their gradients: of a contrastive
method that is the grouped contrast of G groups, not the contrast of the batch. For the latter, let the method encode
by :func:`in_pieces`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mmlab.losses.contrastive import cosine_similarity

__all__ = ["gathered_contrast", "grouped_contrast", "in_pieces", "same_group"]


def same_group(count: int, groups: int, device: torch.device | None = None) -> Tensor:
    """Which pairs lie in one group, boolean (B, B): blocks along the diagonal.

    Args:
        count: B.
        groups: G, which divides B.
        device: Where the matrix lies.

    Raises:
        ValueError: If the groups would not be equally large.
    """
    _check_groups(count, groups)
    group = torch.arange(count, device=device) // (count // groups)
    return group[:, None] == group


def grouped_contrast(u: Tensor, v: Tensor, scale: float | Tensor, groups: int = 1) -> Tensor:
    """InfoNCE within each of G groups of neighbours, mean over the groups: B²/G similarities in place of B².

    One group is InfoNCE. It equals InfoNCE whose softmax leaves out all pairs but :func:`same_group`; here those are
    never computed.

    Args:
        u: Vectors of one modality, (B, D); they are normalised here.
        v: Vectors of the other, (B, D).
        scale: s = 1/τ.
        groups: G, which divides B.

    Returns:
        A scalar, in nats.

    Raises:
        ValueError: If the shapes differ, or the groups would not be equally large.

    Source:
        Guo et al. 2024, M2-Encoder; without their code, which is not released.
    """
    if u.shape != v.shape or u.ndim != 2:
        raise ValueError(f"The vectors are {tuple(u.shape)} and {tuple(v.shape)}; both must be the same (B, D).")
    _check_groups(len(u), groups)
    u, v = (F.normalize(x, dim=-1).reshape(groups, -1, x.shape[1]) for x in (u, v))  # (G, B/G, D)
    s = scale * u @ v.mT  # (G, B/G, B/G)
    own = s.diagonal(dim1=1, dim2=2)
    return ((s.logsumexp(2) + s.logsumexp(1)) / 2 - own).mean()


def in_pieces(encode: Callable[..., Tensor], *inputs: Tensor, size: int) -> Tensor:
    """Encode a batch piece by piece, with the memory of one piece and the gradients of the whole.

    What autograd keeps of a piece is its input alone. In the backward pass the gradient of the loss by the piece's
    vectors is there; the piece is encoded once more, with a graph, and that gradient is sent through it. So the loss
    is taken once, of all vectors, and a learnt scale gets its gradient once. Randomness of the global generator is
    played again; an encoder that draws from a generator of its own would draw anew, and must not.

    Args:
        encode: From inputs with first dimension B to vectors (B, D), item by item: no normalisation over the batch.
        *inputs: Tensors with first dimension B.
        size: Items of a piece; the last one may be smaller.

    Returns:
        (B, D), equal to ``encode(*inputs)`` but for rounding.

    Raises:
        ValueError: If the size is not positive, or the inputs differ in length.

    Source:
        Gao et al. 2021, GradCache, written as checkpointing.
    """
    if size < 1 or len({len(x) for x in inputs}) != 1:
        raise ValueError(
            f"in_pieces: size={size} of inputs of {[len(x) for x in inputs]} items: the size is 1 or more, and all "
            "inputs are equally long."
        )
    pieces = zip(*[torch.split(x, size) for x in inputs], strict=True)
    return torch.cat([checkpoint(encode, *piece, use_reentrant=False) for piece in pieces])


class _Gathered(torch.autograd.Function):
    """All processes' rows; the gradient of each row is the sum of what all processes send to it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rows = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, x.contiguous())
        ctx.mine = slice(dist.get_rank() * len(x), (dist.get_rank() + 1) * len(x))
        return torch.cat(rows)

    @staticmethod
    def backward(ctx: Any, *slope: Tensor) -> Tensor:
        total = slope[0].contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.mine]


def _all_rows(x: Tensor) -> Tensor:
    rows: Tensor = _Gathered.apply(x)  # type: ignore[no-untyped-call]
    return rows


def gathered_contrast(u: Tensor, v: Tensor, scale: float | Tensor) -> Tensor:
    """InfoNCE over the items of all processes; each computes the rows of its own, b x bW similarities twice.

    The mean over the processes is the loss of one process with all bW items, and the mean over the processes of the
    parameters' gradients, which data parallelism takes, is its gradient, that of a learnt scale included.

    Args:
        u: Vectors of this process's items, (b, D), as many as in every other one.
        v: Vectors of the other modality, (b, D).
        scale: s = 1/τ.

    Returns:
        A scalar: the share of this process. Without processes it is InfoNCE.
    """
    u, v = F.normalize(u, dim=-1), F.normalize(v, dim=-1)
    rank, all_u, all_v = 0, u, v
    if dist.is_available() and dist.is_initialized():
        rank, all_u, all_v = dist.get_rank(), _all_rows(u), _all_rows(v)
    places = rank * len(u) + torch.arange(len(u), device=u.device)
    there = F.cross_entropy(scale * cosine_similarity(u, all_v), places)
    return (there + F.cross_entropy(scale * cosine_similarity(v, all_u), places)) / 2


def _check_groups(count: int, groups: int) -> None:
    if groups < 1 or count % groups:
        raise ValueError(f"{count} items cannot be cut into groups={groups} of one size: take a divisor of {count}.")
