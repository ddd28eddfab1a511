"""What makes a run this run, and whether what a checkpoint holds fits it: compared before anything is loaded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from mmlab.data.batches import read
from mmlab.store.weights import safetensors_chunks
from mmlab.train.randomness import seed_everything

__all__ = ["SECONDS", "compare_facts", "compare_tensors", "data_facts", "flat"]

SECONDS = 5.0
"""How long the items of a dataset are read for its fingerprint; all of them, where that is enough."""


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    result: dict[str, Any] = {}
    for key in value:
        result |= flat(value[key], f"{prefix}.{key}" if prefix else str(key))
    return result


def data_facts(data: Any, count: int | None = None) -> dict[str, Any]:
    """Length and fingerprint of a dataset: its own, or one that is made of its items.

    The items are read in an order that scatters over the whole set. All are, unless that takes too long.

    Args:
        data: The dataset.
        count: How many items to read, as a checkpoint says; None: as many as come in :data:`SECONDS`.

    Returns:
        ``length``, ``read`` (the number of items that were looked at) and ``fingerprint``: None if the items are
        others each time they are read, although all global generators are seeded.
    """
    if hasattr(data, "fingerprint"):
        return {"length": len(data), "read": len(data), "fingerprint": data.fingerprint()}
    if count == 0:  # they were others each time when the checkpoint was made
        return {"length": len(data), "read": 0, "fingerprint": None}
    digest = sha256()
    began = time.monotonic()
    done = 0
    for rows in _scattered(len(data)):
        late = done > 0 and time.monotonic() - began > SECONDS
        if done >= count if count is not None else late:
            break
        content = _content(data, rows)
        if done == 0 and _content(data, rows) != content:
            return {"length": len(data), "read": 0, "fingerprint": None}
        digest.update(content)
        done += len(rows)
    return {"length": len(data), "read": done, "fingerprint": digest.hexdigest()}


def _scattered(length: int, chunk: int = 64, small: int = 8) -> Iterator[Tensor]:
    """Rows in chunks that scatter over the whole set; the first one is cut up, since items may take long to read."""
    starts = torch.randperm(-(-length // chunk), generator=torch.Generator().manual_seed(0)) * chunk
    for number, start in enumerate(starts.tolist()):
        end = min(start + chunk, length)
        size = small if number == 0 else chunk
        for first in range(start, end, size):
            yield torch.arange(first, min(first + size, end))


def _content(data: Any, rows: Tensor) -> bytes:
    """The sha256 of some items."""
    seed_everything(0)
    batch = {key: value.detach().cpu().contiguous() for key, value in read(data, rows).items()}
    digest = sha256()
    for chunk in safetensors_chunks(batch):
        digest.update(chunk)
    return digest.digest()


def compare_facts(where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse a checkpoint that belongs to another run.

    Args:
        where: Which checkpoint, for the message.
        ours: The facts of this run, nested dicts.
        theirs: Those of the checkpoint.

    Raises:
        ValueError: If they differ; the message names the first field that does, and both values.
    """
    here, there = flat(ours), flat(theirs)
    for field in dict.fromkeys([*here, *there]):  # in order, the method first
        mine, its = here.get(field), there.get(field)
        if mine == its:
            continue
        if field == "trained" and isinstance(mine, list) and isinstance(its, list):
            name = sorted(set(mine) ^ set(its))[0]
            what = f"{where} {'trains' if name in its else 'does not train'} {name!r}, and this run does the opposite"
        else:
            what = f"{where} has {field} = {its!r}, this run has {mine!r}"
        more = ""
        if field == "threads" and its:
            more = f" (OMP_NUM_THREADS={its} before the command, which torchrun sets to 1 if it is not set; "
            more += f"or torch.set_num_threads({its}))"
        raise ValueError(f"{what}: use the same{more}, another `out`, or resume=False.")


def compare_tensors(where: str, group: str, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or types.

    Args:
        where: Which checkpoint, for the message.
        group: What the tensors are, for the message.
        ours: What is needed.
        theirs: What the checkpoint has.

    Raises:
        ValueError: If they differ; the message names the first tensor that does.
    """
    if different := sorted(ours.keys() ^ theirs.keys()):
        side = "lacks" if different[0] in ours else "has an unknown"
        raise ValueError(
            f"{where} {side} tensor {different[0]!r} ({group}): it was made by a different version of the method."
        )
    for name in sorted(ours):
        a, b = ours[name], theirs[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ValueError(
                f"{where} holds {name!r} ({group}) as {b.dtype} {tuple(b.shape)}, "
                f"the method has {a.dtype} {tuple(a.shape)}."
            )
