"""Data at the door of a run: looked at before the first step, put right where that is safe, refused in words otherwise.

What a method wants is seen in its own demo: which keys are real numbers, which are whole ones, which are masks.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from mmlab.data.batches import read
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.train.randomness import preserved, seed_everything

__all__ = ["Door", "beyond", "door", "lack", "misfit", "through_door"]

_log = logging.getLogger("mmlab")
_LOOKED_AT = 256
_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64)


@dataclass(frozen=True)
class Door:
    """What is done to every batch of a dataset.

    Attributes:
        name: ``"dataset"`` or ``"validation"``, for messages.
        casts: What a key is turned into, by key: a type, or ``"classes"`` for numbers of classes.
        classes: The number of classes, if there is a key ``label`` that has to lie below it.
        gaps: Whether the method leaves out labels where ``label_present`` is false, as its demo shows.
    """

    name: str
    casts: Mapping[str, torch.dtype | str] = field(default_factory=dict)
    classes: int | None = None
    gaps: bool = False

    def __call__(self, batch: Batch) -> Batch:
        """The batch as the method wants it.

        Raises:
            ValueError: If a label is none of the classes.
        """
        if self.casts:
            batch = {key: _cast(value, self.casts.get(key)) for key, value in batch.items()}
        if self.classes is not None and "label" in batch:
            label = batch["label"]
            if self.gaps and "label_present" in batch:
                label = label[batch["label_present"]]
            _check_range(label, self.classes, self.name)
        return batch


def door(method: Method, data: Any, name: str, *, quiet: bool = False) -> Door:
    """Look at the first items of a dataset, and say once what will be put right.

    Args:
        method: What is trained; it is not changed.
        data: A dataset.
        name: ``"dataset"`` or ``"validation"``.
        quiet: Whether to leave unsaid what will be put right.

    Raises:
        ValueError: If the items cannot be put right; the message names key, type, shape and a remedy.
    """
    with preserved(method.device):
        seed_everything(0)
        batch = _first_items(data, name)
        wanted = _wanted(method)
    real = _real_type(method)
    casts: dict[str, torch.dtype | str] = {}
    for key, value in batch.items():
        like = wanted.get(key)
        if like is None and key == "label" and not wanted:
            like = torch.zeros(1, dtype=torch.int64)
        if (cast := _needed(key, value, like, real, name)) is not None:
            casts[key] = cast
            if quiet:
                continue
            made = "numbers of classes, int64" if cast == "classes" else str(cast).removeprefix("torch.")
            _log.warning(
                "fit: %s %r is %s, of shape %s per item; it is turned into %s.",
                name, key, str(value.dtype).removeprefix("torch."), tuple(value.shape[1:]), made,
            )  # fmt: skip
    classes = getattr(method, "config", {}).get("classes")
    labelled = "label" in batch and isinstance(classes, int) and (not wanted or _whole(wanted.get("label")))
    found = Door(name, casts, classes if labelled else None, "label_present" in wanted)
    found(_all_labels(data, batch) if labelled else batch)
    # A label of items that lie in memory has been checked by now, and need not be checked in every batch.
    return replace(found, classes=None) if type(data) is TensorData else found


class _Passed:
    """Items as they are behind a door."""

    def __init__(self, data: Any, through: Door) -> None:
        self.data, self.through = data, through

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.batch(torch.tensor([index])).items()}

    def batch(self, indices: Tensor) -> Batch:
        return self.through(read(self.data, torch.as_tensor(indices)))


def through_door(data: Any, through: Door) -> Any:
    """A dataset of the items that have passed a door; the dataset itself if nothing is done to them.

    Args:
        data: A dataset.
        through: Its door.
    """
    return _Passed(data, through) if through.casts else data


def lack(title: str, keys: Iterable[str], error: KeyError) -> str | None:
    """The sentence on a key that items do not have; None if an error is about something else.

    Args:
        title: What asks for it, as the beginning of the sentence.
        keys: Those of an item.
        error: What was raised.
    """
    lacking = error.args[0] if error.args else None
    have = sorted(keys)
    if not isinstance(lacking, str) or lacking in have:
        return None
    if " " in lacking:  # a sentence already
        return f"{title} cannot be computed: {lacking}"
    return f"{title} asks for {lacking!r}, and the items of the dataset have {', '.join(have)}: rename or add it."


def beyond(title: str, batch: Batch, error: Exception) -> str | None:
    """The sentence on classes and tokens that a method does not know; None if an error is about something else.

    Args:
        title: Which loss could not be computed, as the beginning of the sentence.
        batch: What it could not be computed on.
        error: What torch said.
    """
    if type(error) not in (IndexError, RuntimeError) or not re.search(r"out of (range|bounds)", str(error)):
        return None
    kinds = (torch.bool, torch.complex64, torch.complex128)
    whole = {
        key: value.long()
        for key, value in sorted(batch.items())
        if value.numel() and value.dtype not in kinds and not value.is_floating_point()
    }
    ranges = ", ".join(f"{key!r} from {int(value.min())} to {int(value.max())}" for key, value in whole.items())
    return (
        f"{title} got a number that the method does not know ({str(error).rstrip('.')}): the items hold {ranges}; "
        "count classes from 0, as many as the method was built with, and make tokens with its tokenizer."
    )


def misfit(title: str, method: Method, batch: Batch, error: Exception) -> str | None:
    """The sentence on items whose shapes a method was not built for; None if an error is about something else.

    Args:
        title: Which loss could not be computed, as the beginning of the sentence.
        method: What is trained.
        batch: What it could not be computed on.
        error: What torch said.
    """
    about_shapes = re.search(r"shape|size|dimension|channels|columns|broadcast", str(error), re.IGNORECASE)
    if type(error) not in (RuntimeError, IndexError) or about_shapes is None:
        return None
    items = ", ".join(f"{key!r} of shape {tuple(value.shape[1:])}" for key, value in sorted(batch.items()))
    config = getattr(method, "config", {})
    many = [name for name, value in config.items() if value and isinstance(value, tuple | list | Mapping)]
    names = many or [name for name, value in config.items() if type(value) is int]
    built = ", ".join(f"{name}={config[name]!r}" for name in names) or "no arguments"
    said = re.split(r"[\n;]", str(error))[0].strip().rstrip(".")
    return (
        f"{title} cannot be computed on these items ({said}): the dataset gives {items}, and the method was built with "
        f"{built}: build it for the shapes of the items."
    )


def _first_items(data: Any, name: str) -> Batch:
    """Some items as a batch of tensors.

    Raises:
        ValueError: If they are not that.
    """
    rows = torch.arange(min(len(data), _LOOKED_AT if hasattr(data, "tensors") else 8))
    batch = read(data, rows)
    if not isinstance(batch, Mapping) or not batch:
        raise ValueError(f"fit: {name} gives {type(batch).__name__}s; an item must be a dict of tensors.")
    if odd := [key for key in batch if not isinstance(key, str)]:
        raise ValueError(f"fit: {name} has the key {odd[0]!r}; keys are texts, such as 'image': rename it.")
    for key, value in batch.items():
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != len(rows):
            kind = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
            raise ValueError(
                f"fit: {name}.batch(indices) gives {key!r} of {kind} for {len(rows)} indices; it must be a tensor "
                "whose first dimension counts the items."
            )
    return dict(batch)


def _wanted(method: Method) -> Batch:
    """A batch as the method wants it; empty where it cannot tell."""
    try:
        with torch.random.fork_rng(devices=[]):
            return type(method).demo()[1]
    except Exception:  # a class of the user's own need not have a demo
        return {}


def _real_type(method: Method) -> torch.dtype:
    """The type that real numbers get: the weights' own, where that is one."""
    kinds = {p.dtype for p in method.parameters() if p.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 else torch.float32


def _needed(key: str, value: Tensor, like: Tensor | None, real: torch.dtype, name: str) -> torch.dtype | str | None:
    """What a key has to be turned into, or None.

    Raises:
        ValueError: If nothing safe would make it what the method wants.
    """
    kind = str(value.dtype).removeprefix("torch.")
    what = f"fit: {name} {key!r} is {kind} of shape {tuple(value.shape[1:])} per item"
    if value.layout != torch.strided:
        raise ValueError(f"{what}, {str(value.layout).removeprefix('torch.')}: give value.to_dense().")
    if value.is_meta:
        raise ValueError(f"{what}, and holds no data: load it to a real device first.")
    if value.is_complex():
        raise ValueError(f"{what}, and no method takes complex numbers: give torch.view_as_real of it.")
    if like is None or like.is_floating_point():
        if value.is_floating_point():
            return real if value.dtype != real else None
        if like is None:
            return None
        if value.dtype == torch.uint8 and value.ndim > 1:
            raise ValueError(f"{what}, where real numbers are wanted: scale them, for example value.float() / 255.")
        return real
    if like.dtype == torch.bool:
        if value.dtype == torch.bool:
            return None
        if not ((value == 0) | (value == 1)).all():
            raise ValueError(f"{what}, where a mask of True and False is wanted: give value.bool().")
        return torch.bool
    return _classes_needed(value, like, what)


def _classes_needed(value: Tensor, like: Tensor, what: str) -> torch.dtype | str | None:
    if value.shape[1:] == like.shape[1:] and not value.is_floating_point():
        return None if value.dtype == torch.int64 else torch.int64
    if like.ndim > 1:  # numbers of tokens: of any length
        if value.is_floating_point():
            raise ValueError(f"{what}, where whole numbers are wanted: give value.long().")
        return torch.int64 if value.dtype in _WHOLE else None
    if value.ndim == 2 and value.shape[1] > 1:
        ones = ((value == 0) | (value == 1)).all() and (value.sum(1) == 1).all()
        if not ones:
            raise ValueError(f"{what}, where one number of a class is wanted: give value.argmax(1) if they are scores.")
        return "classes"
    if value.ndim > 2 or (value.ndim == 2 and value.shape[1] != 1):
        raise ValueError(f"{what}, where one number of a class is wanted.")
    if value.is_floating_point() and not (value == value.round()).all():
        raise ValueError(f"{what} with fractions such as {_fraction(value)}, where a number of a class is wanted.")
    return "classes"


def _fraction(value: Tensor) -> float:
    return float(value[value != value.round()][0])


def _cast(value: Tensor, to: torch.dtype | str | None) -> Tensor:
    if to is None:
        return value
    if isinstance(to, torch.dtype):
        made = value.to(to)
        if value.dtype.is_floating_point and not torch.equal(made.isfinite(), value.isfinite()):
            far = float(value[value.isfinite() & ~made.isfinite()][0])
            raise ValueError(f"fit: the items hold {far:g}, which {str(to).removeprefix('torch.')} cannot: scale them.")
        return made
    if value.ndim == 2:
        value = value.to(torch.float64).argmax(1) if value.shape[1] > 1 else value[:, 0]
    if value.is_floating_point() and not (value == value.round()).all():
        raise ValueError(f"fit: a label is {_fraction(value)}; it must be the number of a class, a whole number.")
    return value.long()


def _whole(like: Tensor | None) -> bool:
    return like is not None and not like.is_floating_point() and like.dtype != torch.bool and like.ndim == 1


def _all_labels(data: Any, batch: Batch) -> Batch:
    """All labels, where they lie in memory."""
    tensors = getattr(data, "tensors", None)
    if not isinstance(tensors, Mapping) or "label" not in tensors:
        return batch
    return {key: tensors[key] for key in ("label", "label_present") if key in tensors}


def _check_range(label: Tensor, classes: int, name: str) -> None:
    if not label.numel():
        return
    low, high = (int(value) for value in label.long().aminmax())
    if low >= 0 and high < classes:
        return
    remedy = f"build the method with classes={high + 1}, or leave those items out"
    if low < 0:
        remedy = "leave out the items with a negative label"
        remedy += f", or add {-low} to all" if high - low < classes else ""
    elif low >= 1 and high - low < classes:
        remedy = f"count them from 0 (label - {low})"
    elif high == classes:
        remedy = f"count them from 0 (label - 1), or build the method with classes={high + 1}"
    raise ValueError(
        f"fit: the labels of the {name} run from {low} to {high}, and the method has {classes} classes, 0 to "
        f"{classes - 1}: {remedy}."
    )
