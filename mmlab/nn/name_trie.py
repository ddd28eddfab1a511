"""Names as a tree of words: which word may follow which, and how probable a name is if nothing else may be said.

A name is a row of ids that ends with the id ``end``, so that one name may begin another.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["NameTrie"]


class NameTrie:
    """The tree of K names.

    Args:
        names: Ids of each name, without an end.
        end: Id that ends a name.

    Attributes:
        rows: Names with their end, padded with it, (K, L).
        depth: Number of words after which a name is the only one that is left, its end included if need be, (K,).

    Raises:
        ValueError: If there is no name, one is empty or comes twice, or holds the end.
    """

    def __init__(self, names: Sequence[Sequence[int]], end: int = 0) -> None:
        whole = [tuple(int(word) for word in name) for name in names]
        if not whole or not all(whole) or len(set(whole)) < len(whole) or any(end in name for name in whole):
            raise ValueError(
                f"NameTrie takes one name or more, each of one word or more, none twice, none with the end {end}: "
                f"it was given {len(whole)}, of which {len(set(whole))} differ and {sum(map(bool, whole))} have words."
            )
        self.end = end
        ended = [(*name, end) for name in whole]
        longest = max(map(len, ended))
        self.rows = torch.tensor([name + (end,) * (longest - len(name)) for name in ended])
        self._next: dict[tuple[int, ...], list[int]] = {}
        count: dict[tuple[int, ...], int] = {}
        for name in ended:
            for at, word in enumerate(name):
                known = self._next.setdefault(name[:at], [])
                if word not in known:
                    known.append(word)
                count[name[: at + 1]] = count.get(name[: at + 1], 0) + 1
        first = [next(at for at in range(1, len(name) + 1) if count[name[:at]] == 1) for name in ended]
        self.depth = torch.tensor(first if len(ended) > 1 else [0])
        # What may stand at each place of each name: ids (K, L, C), padded with -1; after the end, nothing.
        allowed = [[self.allowed(name[:at]) if at < len(name) else [] for at in range(longest)] for name in ended]
        widest = max(len(some) for row in allowed for some in row)
        self._children = torch.tensor([[some + [-1] * (widest - len(some)) for some in row] for row in allowed])

    def __len__(self) -> int:
        return len(self.rows)

    def allowed(self, prefix: Sequence[int]) -> list[int]:
        """The words that may follow a prefix; the end alone where there is no such prefix.

        Args:
            prefix: The ids so far.
        """
        return self._next.get(tuple(int(word) for word in prefix), [self.end])

    def log_probabilities(self, laws: Tensor) -> Tensor:
        """Log-probability of each word of each name among those that the tree allows there.

        Args:
            laws: Log-probabilities of all words at each place of each name, given the words before, (..., K, L, V); the
                last places may be left out, if they are beyond every :attr:`depth`.

        Returns:
            (..., K, L); 0 where only one word is allowed, and after the end. The sums over L are log-probabilities of
            the names, whose exponentials sum to 1.
        """
        held = laws.shape[-2]
        rows, children = self.rows[:, :held].to(laws.device), self._children[:, :held].to(laws.device)
        said = laws.gather(-1, rows.expand(*laws.shape[:-1])[..., None])[..., 0]
        there = children >= 0
        options = laws.gather(-1, children.clamp(min=0).expand(*laws.shape[:-1], -1))
        total = options.masked_fill(~there, -torch.inf).logsumexp(-1)
        choice = there.sum(-1) > 1
        return torch.where(choice, said - total, 0.0)

    def ended(self) -> Tensor:
        """Which places of the rows are words of the name or its end, (K, L) bool."""
        at_end = self.rows == self.end
        return at_end.cumsum(-1) - at_end.long() == 0
