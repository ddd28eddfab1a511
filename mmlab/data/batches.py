"""Items as batches: plain dicts of tensors, keyed by modality or role, with first dimension B."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mmlab.method import Batch

__all__ = ["collate", "read", "read_all"]


def collate(items: Sequence[dict[str, Any]], indices: Sequence[int]) -> Batch:
    """Stack items into a batch.

    Args:
        items: One dict per item, all with the same keys and shapes.
        indices: Their numbers in the dataset, for messages.

    Raises:
        ValueError: If an item is no dict of tensors or numbers, or if two differ in keys or shapes; the message names
            the item and the key.
    """
    first: Batch = {}
    for index, item in zip(indices, items, strict=True):
        if not isinstance(item, Mapping):
            raise ValueError(f"Item {index} is a {type(item).__name__}; an item must be a dict of tensors.")
        first = first or {key: _tensor(item[key], key, index) for key in sorted(item)}
        if sorted(item) != list(first):
            raise ValueError(f"Item {index} has the keys {sorted(item)}, item {indices[0]} has {list(first)}.")
        for key, value in first.items():
            if (shape := _tensor(item[key], key, index).shape) != value.shape:
                raise ValueError(
                    f"Item {index}: {key!r} has shape {tuple(shape)}, in item {indices[0]} it is {tuple(value.shape)}; "
                    "items of one batch must have one shape."
                )
    return {key: torch.stack([torch.as_tensor(item[key]) for item in items]) for key in first}


def _tensor(value: Any, key: str, index: int) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        kind = type(value).__name__
        raise ValueError(
            f"Item {index}: {key!r} is a {kind}, of which no tensor can be made: leave {key!r} out, or give numbers."
        ) from None


def read(dataset: Any, indices: Tensor) -> Batch:
    """Some items as a batch, without augmentation, by the fastest way that the dataset offers.

    Args:
        dataset: With ``batch(indices)``, ``__getitems__(indices)`` or ``dataset[index]``.
        indices: Which items, shape (B,).
    """
    if _takes_indices(getattr(dataset, "batch", None)):
        batch: Batch = dataset.batch(indices)
        return batch
    numbers = indices.tolist()
    items = dataset.__getitems__(numbers) if hasattr(dataset, "__getitems__") else [dataset[i] for i in numbers]
    return collate(items, numbers)


def _takes_indices(function: Any) -> bool:
    """Whether a method called ``batch`` is ours: others, of Hugging Face datasets for example, take a batch size."""
    if not callable(function):
        return False
    own = getattr(function, "__func__", None)
    return _indices_first(function, 0) if own is None else _indices_first(own, 1)


@lru_cache(maxsize=64)  # it is asked for every batch, and a signature takes several microseconds
def _indices_first(function: Any, position: int) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())[position:]
    except (TypeError, ValueError):  # written in C
        return True
    return bool(parameters) and "size" not in parameters[0].name and parameters[0].annotation not in (int, "int")


def read_all(dataset: Any) -> dict[str, Tensor]:
    """The whole dataset as one batch.

    Args:
        dataset: As for :func:`read`.
    """
    return read(dataset, torch.arange(len(dataset)))
