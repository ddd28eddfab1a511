"""Tensors that a sharding wrapper has spread over the processes: gathered for a checkpoint, and spread again."""

from __future__ import annotations

from torch import Tensor

__all__ = ["gathered", "placed_like"]


def gathered(tensor: Tensor) -> Tensor:
    """A tensor as it is, or gathered from the processes that hold its shards; all of them must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def placed_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor, placed like another one: on its device, and in shards if that one is."""
    tensor = tensor.to(like.device, copy=True)
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor, like.device_mesh, like.placements)
