"""What training a method will take, from one real batch and without training it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mmlab.data.batches import read
from mmlab.method import Batch, Method

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        parameters: Number of parameters.
        trainable: How many of them are trained.
        items: Number of training items.
        steps: Optimiser steps.
        epochs: How often each item is seen.
        memory: Estimated peak in bytes by part: weights, gradients, optimiser, average, activations. The last is
            measured on one batch; buffers of the libraries and the data come on top.
    """

    parameters: int
    trainable: int
    items: int
    steps: int
    epochs: float
    memory: dict[str, int]


def plan(method: Method, items: Any, *, steps: int, batch_size: int, average: bool = False, seed: int = 0) -> Plan:
    """Count parameters and steps, and estimate the memory of training from one real batch.

    Args:
        method: The method.
        items: What it will be trained on: ``len()``, and ``[i]`` gives a dict of tensors.
        steps: Optimiser steps.
        batch_size: Items per step.
        average: Whether an average of the weights is kept.
        seed: Seed of the batch's randomness.
    """
    trainable = [p for objective in method.objectives() for p in objective.parameters]
    moved = sum(p.numel() * p.element_size() for p in trainable)
    memory = {
        "weights": sum(p.numel() * p.element_size() for p in [*method.parameters(), *method.buffers()]),
        "gradients": moved,
        "optimiser": 2 * moved,
        "average": moved if average else 0,
        "activations": _activations(method, read(items, torch.arange(min(batch_size, len(items)))), seed)
        if trainable
        else 0,
    }
    return Plan(
        parameters=sum(p.numel() for p in method.parameters()),
        trainable=sum(p.numel() for p in trainable),
        items=len(items),
        steps=steps,
        epochs=steps * batch_size / len(items),
        memory=memory,
    )


def _activations(method: Method, batch: Batch, seed: int) -> int:
    """Bytes that autograd keeps for the backward pass of one batch; of several objectives the largest."""
    with torch.no_grad():  # as mmlab.fit does
        batch = method.prepare(batch, torch.Generator(method.device).manual_seed(seed))
    own = {p.untyped_storage().data_ptr() for p in [*method.parameters(), *batch.values()]}
    largest = 0
    for objective in method.objectives():
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            objective.loss(batch, torch.Generator(method.device).manual_seed(seed))
        largest = max(largest, sum(kept.values()))
    return largest
