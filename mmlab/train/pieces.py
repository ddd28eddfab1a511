"""The pieces of a batch on their way to the losses: on the device, and prepared by the method."""

from __future__ import annotations

from typing import NamedTuple

import torch

from mmlab.method import Batch, Method
from mmlab.train.randomness import derive, seed_dropout
from mmlab.train.settings import Settings

__all__ = ["Piece", "on_device", "pieces_of_a_batch", "prepared", "shared_evenly"]


class Piece(NamedTuple):
    """A part of one step's batch.

    Attributes:
        number: Which part of the batch it is.
        weight: Its share of the batch's items; the weights of all pieces sum to 1.
        batch: The items, on the device of the method.
    """

    number: int
    weight: float
    batch: Batch


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device; from page-locked memory the copy goes on while the caller does."""
    return {key: value.to(device, non_blocking=True) for key, value in batch.items()}


def prepared(method: Method, batch: Batch, seed: int, *purpose: int | str) -> Batch:
    """The batch that the losses see, where the method has a say in it.

    Args:
        method: Its :meth:`mmlab.method.Method.prepare` is called, without gradients.
        batch: On the device of the method.
        seed: Seed of the run.
        *purpose: What the randomness is for, see :func:`mmlab.train.randomness.derive`.

    Raises:
        ValueError: If what comes back is no batch.
    """
    if type(method).prepare is Method.prepare:
        return batch
    own = derive(seed, "prepare", *purpose)
    device = next((value.device for value in batch.values()), method.device)
    seed_dropout(device, own ^ 0x5DEECE66D)
    with torch.no_grad():
        result = method.prepare(batch, torch.Generator(device).manual_seed(own))
    if not isinstance(result, dict):
        kind = type(method).__name__
        raise ValueError(f"prepare() of {kind} returned a {type(result).__name__}; it must return a batch, a dict.")
    return result


def pieces_of_a_batch(settings: Settings, processes: int) -> int:
    """The number of pieces of a batch: as asked for, rounded up so that the processes have equally many.

    Raises:
        ValueError: If a batch has too few items for that.
    """
    pieces = -(-settings.accumulation // processes) * processes
    if pieces > settings.batch_size:
        raise ValueError(f"fit: batch_size is {settings.batch_size}; {processes} processes need {pieces} or more.")
    return pieces


def shared_evenly(pieces: int, processes: int, where: str) -> int:
    """The number of pieces that a run began with: any number of processes that divides it gives the same run.

    Raises:
        ValueError: If the processes cannot share them; ``where`` says which checkpoint asks for that.
    """
    if pieces % processes:
        raise ValueError(
            f"{where} cuts its batches into {pieces} pieces, which {processes} processes cannot share evenly: "
            "use a number of processes that divides it."
        )
    return pieces
