"""Is the right item found? Recall at k, mean reciprocal rank and median rank, from similarities and from names.

Rows ask and columns answer. Which column is right for which row is said by *names*: a picture and its five captions
have one name. So nothing is read off the position in a matrix, where a set with five captions for each picture is
easily scored as if it had one. The similarities have one row for each name of those who ask and one column for each of
those who answer; two counts that were exchanged do not fit, and are refused, and the other direction is the same call
with the matrix turned over and the names exchanged.

Ties count against: a wrong column that is as similar as the right one stands before it. A model that finds all alike
finds nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["mean_reciprocal_rank", "median_rank", "ranks", "recall_at"]

Names = Sequence[Hashable] | Tensor


def ranks(similarity: Tensor, asks: Names | None = None, answers: Names | None = None) -> Tensor:
    """Rank of the best right column in each row: one more than the wrong columns that are at least as similar.

    Args:
        similarity: (N, M), larger is more similar.
        asks: Name of each row, N; by default 0 to N - 1.
        answers: Name of each column, M; a column is right if it has the row's name. By default 0 to M - 1.

    Returns:
        (N,) long, from 1 on.

    Raises:
        ValueError: If it is no matrix or not a number everywhere, the counts do not fit, or a row has no right column.
    """
    if similarity.ndim != 2 or not similarity.numel():
        raise ValueError(f"ranks: the similarities are {tuple(similarity.shape)}; they must be a matrix (N, M).")
    if similarity.isnan().any():
        raise ValueError("ranks: a similarity is not a number: look for a vector of zeros, or a diverged training.")
    rows, columns = similarity.shape
    names = [
        list(range(size)) if given is None else _plain(given)
        for size, given in zip(similarity.shape, (asks, answers), strict=True)
    ]
    if (len(names[0]), len(names[1])) != (rows, columns):
        raise ValueError(
            f"ranks: {rows} rows and {columns} columns have {len(names[0])} and {len(names[1])} names; rows ask and "
            "columns answer, so give a name for each, or turn the matrix over."
        )
    number = {name: at for at, name in enumerate(dict.fromkeys(names[1]))}
    if absent := [name for name in names[0] if name not in number]:
        raise ValueError(f"ranks: no column has the name {absent[0]!r} of a row: it cannot be found.")
    ask, answer = (torch.tensor([number[name] for name in given], device=similarity.device) for given in names)
    right = ask[:, None] == answer  # (N, M)
    best = similarity.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return 1 + ((similarity >= best) & ~right).sum(1)


def recall_at(rank: Tensor, k: int) -> Tensor:
    """Whether the right item is among the first k, (N,) float: its mean is R@k.

    Raises:
        ValueError: If k is no positive number.
    """
    if k < 1:
        raise ValueError(f"recall_at: k={k} must be at least 1.")
    return (rank <= k).float()


def mean_reciprocal_rank(rank: Tensor) -> float:
    """Mean of 1 / rank."""
    return float((1 / rank.double()).mean())


def median_rank(rank: Tensor) -> float:
    """The middle rank; of an even number, the mean of the middle two."""
    return float(rank.double().quantile(0.5))


def _plain(names: Names) -> list[Hashable]:
    return list(names.tolist()) if isinstance(names, Tensor) else list(names)
