"""Unit vectors that are looked up by their cosine: what a model retrieves from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mmlab.paths import expand
from mmlab.store.folders import replaced_files
from mmlab.store.weights import read_tensors, write_tensors

__all__ = ["VectorIndex"]

_FILE = "index.safetensors"


class VectorIndex:
    """N vectors and their names, searched one by one: exact, and for a hundred thousand quick enough.

    Args:
        vectors: (N, D); they are given length one.
        names: What each stands for, such as the file of a picture; by default their numbers.
        engine: ``"numpy"``, or ``"faiss"`` for its exact index where that library is installed.

    Raises:
        ValueError: If there is no vector, one has no direction, or names and vectors differ in number.
        ImportError: If faiss is asked for and not installed.
    """

    def __init__(
        self, vectors: Any, names: Sequence[str] | None = None, engine: Literal["numpy", "faiss"] = "numpy"
    ) -> None:
        held = np.asarray(vectors, dtype=np.float32)
        if held.ndim != 2 or not len(held):
            raise ValueError(f"VectorIndex: vectors of shape {held.shape}; it needs (N, D) with at least one.")
        size = np.linalg.norm(held, axis=1, keepdims=True)
        if not (np.isfinite(size).all() and (size > 0).all()):
            row = int(np.flatnonzero(~(np.isfinite(size) & (size > 0)))[0])
            raise ValueError(f"VectorIndex: vector {row} is zero or not finite, and has no direction.")
        self.names = [str(row) for row in range(len(held))] if names is None else [str(name) for name in names]
        if len(self.names) != len(held):
            raise ValueError(f"VectorIndex: {len(held)} vectors and {len(self.names)} names; one for each is needed.")
        if engine not in ("numpy", "faiss"):
            raise ValueError(f"VectorIndex: engine={engine!r} is neither 'numpy' nor 'faiss'.")
        self.vectors: NDArray[np.float32] = np.ascontiguousarray(held / np.where(abs(size - 1) < 1e-6, 1, size))
        self._faiss: Any = None
        if engine == "faiss":
            try:
                import faiss
            except ImportError:
                raise ImportError("VectorIndex: engine='faiss' needs faiss: pip install faiss-cpu.") from None
            self._faiss = faiss.IndexFlatIP(held.shape[1])
            self._faiss.add(self.vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, query: Any, count: int = 3, skip: Sequence[int] = ()) -> list[tuple[int, float]]:
        """The nearest vectors.

        Args:
            query: (D,), of any length but zero.
            count: Most answers.
            skip: Numbers that are not to be found again.

        Returns:
            Number and cosine of each, the nearest first; equals stand in the order of their numbers.

        Raises:
            ValueError: If the query does not fit.
        """
        q = np.asarray(query, dtype=np.float32).reshape(-1)
        size = float(np.linalg.norm(q))
        if q.shape != self.vectors.shape[1:] or not np.isfinite(size) or size == 0:
            raise ValueError(f"search: a query has {self.vectors.shape[1]} finite numbers, not all zero.")
        q = q / size
        left = min(count, len(self) - len(set(skip)))
        if left < 1:
            return []
        if self._faiss is not None:
            scores, rows = self._faiss.search(q[None], min(left + len(set(skip)), len(self)))
            pairs = zip(rows[0].tolist(), scores[0].tolist(), strict=True)
            return [(row, score) for row, score in pairs if row not in set(skip)][:left]
        found = self.vectors @ q  # (N,)
        found[list(skip)] = -np.inf
        border = np.partition(found, len(found) - left)[len(found) - left]
        rows = np.flatnonzero(found >= border)
        rows = rows[np.argsort(-found[rows], kind="stable")][:left]
        return [(int(row), float(found[row])) for row in rows]

    def save(self, folder: str | Path) -> None:
        """Write vectors and names as ``index.safetensors``.

        Args:
            folder: Where to; other files in it are left alone.
        """
        with replaced_files(expand(folder, "folder"), [_FILE]) as new:
            write_tensors(new / _FILE, {"vectors": torch.from_numpy(self.vectors)}, {"names": self.names})

    @classmethod
    def load(cls, folder: str | Path, engine: Literal["numpy", "faiss"] = "numpy") -> VectorIndex:
        """Read what :meth:`save` wrote.

        Args:
            folder: Where it lies.
            engine: As for the class.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If it is damaged.
        """
        import json

        file = expand(folder, "folder") / _FILE
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there: write one with VectorIndex(...).save(folder).")
        tensors, header = read_tensors(file)
        try:
            names = json.loads(header["mmlab"])["names"]
            return cls(tensors["vectors"].numpy(), names, engine)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file} is no index ({error}): write it again.") from None
