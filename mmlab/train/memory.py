"""Trades: time against memory (gradient checkpointing), a slow first step against fast ones (compilation)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from torch import nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from mmlab.method import Method

__all__ = ["compiled", "recomputed"]


@contextmanager
def compiled(method: Method, on: bool = True) -> Iterator[None]:
    """Run the networks of a method through ``torch.compile``: what the loss does around them stays as it is.

    A loss draws from a generator, which the compiler cannot follow; the networks, where the time goes, do not.

    Args:
        method: Its children are compiled in place; their names and weights do not change.
        on: Whether to do anything.
    """
    networks = list(_callable_children(method)) if on else []
    for network in networks:
        network.compile()
    try:
        yield
    finally:
        for network in networks:
            network._compiled_call_impl = None


@contextmanager
def recomputed(method: Method, on: bool = True) -> Iterator[None]:
    """Keep only the inputs of each block, and compute the rest again in the backward pass (gradient checkpointing).

    The blocks are the members of the outermost ``nn.ModuleList`` objects. The numbers do not change: dropout draws the
    same again.

    Args:
        method: Its blocks are changed for a while.
        on: Whether to do anything.

    Raises:
        ValueError: If the method has no list of blocks.
    """
    blocks = list(_blocks(method)) if on else []
    if on and not blocks:
        kind = type(method).__name__
        raise ValueError(f"fit: gradient_checkpointing needs an nn.ModuleList of blocks; {kind} has none.")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the one of the class shows again


def _callable_children(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _callable_children(child)
        else:
            yield child


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        members = list(child) if isinstance(child, nn.ModuleList) else []
        nested = any(isinstance(member, nn.ModuleList) for member in members)
        yield from members if members and not nested else _blocks(child)
