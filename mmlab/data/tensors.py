"""A dataset that lies in memory as whole tensors: the fastest to read, and the one that the small worlds use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import torch
from torch import Tensor

__all__ = ["TensorData"]


class TensorData:
    """Tensors with the same first dimension, read as a map-style dataset.

    Args:
        tensors: One tensor per key, each of shape (N, ...).
        subjects: Who each item belongs to, N names or numbers; error messages name them.

    Raises:
        ValueError: If there is no tensor, or if their lengths differ.
        TypeError: If an entry is not a tensor.
    """

    def __init__(self, tensors: Mapping[str, Tensor], subjects: Sequence[str | int] | None = None) -> None:
        if not tensors:
            raise ValueError("TensorData needs at least one tensor.")
        for key, tensor in tensors.items():
            if not isinstance(tensor, Tensor) or tensor.ndim == 0:
                kind = "a scalar" if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}"
                raise TypeError(
                    f"TensorData: {key!r} is {kind}; it must be a tensor whose first dimension counts items."
                )
        lengths = {key: len(tensors[key]) for key in sorted(tensors)}
        if subjects is not None:
            lengths["subjects"] = len(subjects)
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise ValueError(f"TensorData: the first dimensions differ ({counts}); every item needs all keys.")
        self.tensors = {key: tensors[key] for key in sorted(tensors)}
        self.subjects = None if subjects is None else list(subjects)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One item: the tensors without their first dimension.

        Raises:
            IndexError: If there is no such item.
        """
        return {key: tensor[index] for key, tensor in self.tensors.items()}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """Several items at once.

        Args:
            indices: Which, an integer tensor of shape (B,).

        Returns:
            Copies of the rows, shape (B, ...) each.
        """
        return {key: _rows(tensor, indices.to(tensor.device)) for key, tensor in self.tensors.items()}

    def subset(self, indices: Tensor | Sequence[int]) -> TensorData:
        """A dataset of some of the items, in the given order, with their subjects."""
        rows = torch.as_tensor(indices, dtype=torch.long)
        subjects = None if self.subjects is None else [self.subjects[row] for row in rows.tolist()]
        return TensorData(self.batch(rows), subjects)

    def fingerprint(self) -> str:
        """A hash of all keys, shapes, types and values: a checkpoint refuses to go on with other data."""
        digest = blake2b(digest_size=16)
        for key, tensor in self.tensors.items():
            digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        shapes = ", ".join(f"{key} {tuple(tensor.shape[1:])}" for key, tensor in self.tensors.items())
        return f"TensorData({len(self)} items: {shapes})"


_WIDE = (torch.uint16, torch.uint32, torch.uint64)


def _rows(tensor: Tensor, indices: Tensor) -> Tensor:
    """Rows of a tensor; ``index_select`` is the fastest way, and does not know torch's newer types."""
    return tensor[indices] if tensor.dtype in _WIDE else tensor.index_select(0, indices)
