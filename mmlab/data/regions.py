"""The regions of a parcellation, and the names that tables of numbers state for their rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.subjects import spelled
from mmlab.wording import repeated

__all__ = ["Regions", "as_named", "square"]


@dataclass(frozen=True)
class Regions:
    """The regions of a parcellation.

    Attributes:
        names: One per region.
        networks: One label per region.
        coordinates: (N, 3) in mm, MNI space; None if the source does not give them.
    """

    names: tuple[str, ...]
    networks: tuple[str, ...]
    coordinates: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.networks) != len(self.names):
            raise ValueError(f"There are {len(self.names)} region names but {len(self.networks)} networks.")
        if self.coordinates is not None and tuple(self.coordinates.shape) != (len(self.names), 3):
            shape = tuple(self.coordinates.shape)
            raise ValueError(f"Coordinates of {len(self.names)} regions must be ({len(self.names)}, 3), not {shape}.")

    def __len__(self) -> int:
        return len(self.names)

    def places(self, names: Sequence[str], where: str) -> list[int]:
        """Where each of these regions stands among the names that a file gives to its columns.

        Args:
            names: As the file has them; in another order than here, perhaps.
            where: Name of the file, for messages.

        Returns:
            N positions: column ``places[i]`` of the file belongs to region i.

        Raises:
            ValueError: If the file names other regions, or names one twice in another order.
        """
        names = [spelled(name) for name in names]
        ours = [spelled(name) for name in self.names]
        if names == ours:
            return list(range(len(names)))
        at, known = {name: place for place, name in enumerate(names)}, set(ours)
        if len(at) == len(names) == len(ours) and at.keys() == known:
            return [at[name] for name in ours]
        unknown = [name for name in names if name not in known] or repeated(names) or names
        lacking = [name for name in ours if name not in at] or ours
        raise ValueError(
            f"{where} names its regions otherwise: it has {len(names)}, {unknown[0]!r} among them, and of the "
            f"{len(ours)} expected {lacking[0]!r} is not there. Use one parcellation for all, and take the regions "
            "from a file of it: Regions(names, networks), or cifti_regions(file)."
        )

    def order(self) -> Tensor:
        """Permutation (N,) that puts the regions of a network side by side, networks in alphabetical order."""
        return torch.tensor(sorted(range(len(self)), key=lambda i: (self.networks[i], i)))


def square(
    values: NDArray[Any], rows: Sequence[str] | None, columns: Sequence[str] | None, where: str
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """A matrix with its columns in the order of its rows, and the names of its regions; None where it has but counters.

    Args:
        values: (N, N).
        rows: What its source calls the rows.
        columns: What its source calls the columns.
        where: What messages call it.

    Raises:
        ValueError: If rows and columns are of different regions.
    """
    rows, columns = _names(rows), _names(columns)
    if rows is None or columns is None or rows == columns:
        return values, columns or rows
    if sorted(rows) != sorted(columns) or len(set(rows)) < len(rows):
        known = set(columns)
        other = next((name for name in rows if name not in known), rows[0])
        raise ValueError(
            f"{where} names its rows otherwise than its columns ({other!r}): a correlation matrix has the same regions "
            "on both sides."
        )
    at = {name: place for place, name in enumerate(columns)}
    return values[:, [at[name] for name in rows]], rows


def as_named(matrix: Any, regions: Regions, where: str) -> Any:
    """A matrix as it is, or, if it is a data frame of pandas that names its regions, in the order of ``regions``.

    Raises:
        ValueError: If it names other regions.
    """
    if not all(hasattr(matrix, name) for name in ("columns", "index", "to_numpy")):
        return matrix
    values = np.asarray(matrix.to_numpy(), dtype=np.float64)
    values, names = square(values, [str(name) for name in matrix.index], [str(n) for n in matrix.columns], where)
    if names is None or values.shape != (len(names), len(names)):
        return values
    places = regions.places(names, where)
    return values[np.ix_(places, places)]


def _names(stated: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names, and not the counters that programs write where there are none."""
    if stated is None or all(name.isdecimal() for name in stated):
        return None
    return tuple(spelled(name) for name in stated)
