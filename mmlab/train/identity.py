"""What makes a run this run, and whether what a checkpoint holds fits it: compared before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from mmlab.store.weights import safetensors_chunks

__all__ = ["compare_facts", "compare_tensors", "data_facts", "flat"]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    result: dict[str, Any] = {}
    for key in value:
        result |= flat(value[key], f"{prefix}.{key}" if prefix else str(key))
    return result


def data_facts(data: Any) -> dict[str, Any]:
    """Length and fingerprint of a dataset: its own, or that of at most 256 of its items where they come fast."""
    fingerprint = None
    if hasattr(data, "fingerprint"):
        fingerprint = data.fingerprint()
    elif hasattr(data, "batch"):
        rows = torch.linspace(0, len(data) - 1, min(len(data), 256), dtype=torch.float64).long()
        batch = {key: value.cpu().contiguous() for key, value in data.batch(rows).items()}
        fingerprint = sha256(b"".join(safetensors_chunks(batch))).hexdigest()
    return {"length": len(data), "fingerprint": fingerprint}


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
        if here.get(field) != there.get(field):
            raise ValueError(
                f"{where} has {field} = {there.get(field)!r}, this run has {here.get(field)!r}: "
                "use the same, another `out`, or resume=False."
            )


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
