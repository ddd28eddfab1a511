"""Which items make which batch: a function of (seed, step), computed for any step without walking there.

The run draws from an endless row of positions 0, 1, 2, ... Each stretch of n positions (an epoch) is a permutation of
the n items, and step k takes the positions ``k * batch_size`` to ``(k + 1) * batch_size - 1``. A batch may therefore
straddle two epochs: no item is dropped, none is seen twice in one epoch, and every batch has the same size.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import active_children
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmlab.data.batches import collate, read
from mmlab.data.tensors import TensorData
from mmlab.method import Batch
from mmlab.train.randomness import derive, seed_everything
from mmlab.train.shuffle import shuffled

__all__ = ["Feed", "Order", "cut", "stream"]

_MANY = 1_000_000
"""With more items than that, no permutation of all of them is written out."""
_BLOCK = 8192  # places that are computed at once: one at a time they would cost a tenth of a millisecond each


def cut(length: int, pieces: int, piece: int) -> range:
    """The part of ``range(length)`` that belongs to one of several pieces; their sizes differ by at most one."""
    return range(length * piece // pieces, length * (piece + 1) // pieces)


@dataclass(frozen=True)
class Order:
    """The order of the training data.

    Attributes:
        length: Number of items n in the dataset.
        batch_size: Items per optimiser step, over all pieces and processes.
        pieces: Number of pieces that each batch is cut into; gradients are summed over them, wherever they are made.
        seed: Seed of the run.
    """

    length: int
    batch_size: int
    pieces: int
    seed: int
    _cache: dict[tuple[int, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def epoch(self, epoch: int, start: int, stop: int) -> Tensor:
        """The items at some places of one epoch, shape (stop - start,): a function of (seed, epoch, place)."""
        size = self.length if self.length <= _MANY else _BLOCK
        first = start // size
        blocks = [self._block(epoch, number, size) for number in range(first, -(-stop // size))]
        row = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return row[start - first * size : stop - first * size]

    def _block(self, epoch: int, number: int, size: int) -> Tensor:
        if (epoch, number) not in self._cache:
            while len(self._cache) > 1:  # a batch straddles two at most, unless n is tiny or the batch is large
                self._cache.pop(min(self._cache))
            seed = derive(self.seed, "epoch", epoch)
            if size == self.length:
                row = torch.randperm(self.length, generator=torch.Generator().manual_seed(seed))
            else:
                places = np.arange(number * size, min((number + 1) * size, self.length), dtype=np.uint64)
                row = torch.from_numpy(shuffled(places, self.length, seed).astype(np.int64))
            self._cache[epoch, number] = row
        return self._cache[epoch, number]

    def weight(self, piece: int) -> float:
        """The share of a batch's items that are in one piece."""
        return len(cut(self.batch_size, self.pieces, piece)) / self.batch_size if self.pieces > 1 else 1.0

    def positions(self, step: int, piece: int = 0) -> range:
        """The positions that one piece of the batch of one step takes in the endless row; steps count from 0."""
        part = cut(self.batch_size, self.pieces, piece)
        first = step * self.batch_size
        return range(first + part.start, first + part.stop)

    def indices(self, step: int, piece: int = 0) -> Tensor:
        """The items at those positions: position p holds the item at place p % n of epoch p // n."""
        row = self.positions(step, piece)
        epoch, offset = divmod(row.start, self.length)
        if offset + len(row) <= self.length:  # nearly always: all in one epoch, and that at hand
            known = self._cache.get((epoch, 0)) if self.length <= _MANY else None
            if known is not None:
                return known[offset : offset + len(row)]
            return self.epoch(epoch, offset, offset + len(row))
        parts, at = [], row.start
        while at < row.stop:
            epoch, offset = divmod(at, self.length)
            parts.append(self.epoch(epoch, offset, min(offset + row.stop - at, self.length)))
            at += len(parts[-1])
        return torch.cat(parts)


@dataclass
class Feed(Dataset):
    """Makes the piece of a batch that belongs to (step, piece): the same wherever and whenever it is asked for.

    A dataset with ``draw(index, rng)`` is augmented, with a generator seeded from (seed, position). Others are read.

    Attributes:
        dataset: The training data.
        order: Which items make which batch.
        door: What is done to each batch, see :class:`mmlab.train.door.Door`.
    """

    dataset: Any
    order: Order
    door: Callable[[Batch], Batch] | None = None

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """The piece of the batch of that step."""
        if type(self.dataset) is not TensorData:  # others may draw from the global generators, in a worker or here
            seed_everything(derive(self.order.seed, "data", *key))
        batch = self._drawn(key) if hasattr(self.dataset, "draw") else read(self.dataset, self.order.indices(*key))
        return batch if self.door is None else self.door(batch)

    def _drawn(self, key: tuple[int, int]) -> Batch:
        rng = torch.Generator()
        numbers = self.order.indices(*key).tolist()
        seeds = (derive(self.order.seed, "draw", position) for position in self.order.positions(*key))
        items = [self.dataset.draw(i, rng.manual_seed(s)) for i, s in zip(numbers, seeds, strict=True)]
        return collate(items, numbers)


def stream(feed: Feed, keys: Iterable[tuple[int, int]], workers: int = 0, pin_memory: bool = False) -> Iterator[Batch]:
    """The pieces for those keys, in order, made here or ahead of time by worker processes.

    Args:
        feed: Makes a piece.
        keys: Pairs (step, piece).
        workers: Number of worker processes.
        pin_memory: Whether to put them in page-locked memory, for a faster copy to a GPU.
    """
    if workers == 0:
        for key in keys:
            yield feed[key]
        return
    loader = DataLoader(
        feed,
        sampler=keys,
        batch_size=None,
        collate_fn=_same,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_begin_worker,
        generator=torch.Generator(),  # else the loader draws from the global one
    )
    before = active_children()
    pieces = iter(loader)
    started = [process for process in active_children() if process not in before]
    try:
        yield from pieces
    finally:
        for process in started:  # the loader would wait up to five seconds for each that is busy
            process.terminate()


def _same(batch: Any) -> Any:
    return batch


def _begin_worker(worker: int) -> None:
    """Leave Ctrl-C to the main process, which saves and then ends its workers; be gone at once when it says so.

    Exit code 0, since the loader takes any other for a crash.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
