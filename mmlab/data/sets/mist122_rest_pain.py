"""Connectivity during heat pain, felt passively and while regulating it, of 33 people; rest of 90 others. 122 regions.

Three task scans per person: passive (run01), and two in which the person turns the pain up or down by thought (run03
and run07, in balanced order). Rest and task come from different people and differently cleaned scans: what separates
them is partly processing and site, and they are not pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.files import registry
from mmlab.wording import few, naming

__all__ = ["RestTask", "mist122_rest_pain", "unpaired_rest_task"]

State = Literal["passive", "regulate", "up", "down", "run03", "run07"]

_STATES = ("passive", "regulate", "up", "down", "run03", "run07")
_NAME = "mist122_rest_pain"
_TASK = "pain_task.npz"
_REMEDY = f"put the right file there (check: mmlab data verify {_NAME})."


@dataclass(frozen=True, eq=False)
class RestTask:
    """Connectivity of people at rest and of *other* people during passive heat pain.

    Attributes:
        rest: (90, E), Pearson correlations.
        task: (32, E), likewise.
        site: Where each rest scan was made, 90 names.
        regions: The N regions.
    """

    rest: Tensor
    task: Tensor
    site: tuple[str, ...]
    regions: Regions


def mist122_rest_pain(source: State = "passive", target: State = "regulate") -> ConnectomePairs:
    """Two states of the same people.

    ``"regulate"`` is the mean of the matrices of run03 and run07: one is up and the other down, in an order that
    differs between people, so that one run alone would mix the direction of regulation into the differences between
    people; the mean also halves the sampling noise, and a mean of correlation matrices is one. ``"up"`` and ``"down"``
    follow the instruction (one person's is unknown in one run, and is left out there), ``"run03"`` and ``"run07"`` the
    order; run03 against run07 shows what a second scan of the same task agrees on.

    Args:
        source: State to start from.
        target: State to arrive at.

    Returns:
        Pairs of 7381 edges of the people who have both: 32 with ``"passive"``. Band-passed series of about 200 frames
        give matrices that are singular; a region without signal (rare, lower cerebellum) has correlations of 0.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If a state is unknown, or the file is not as it should be.
    """
    arrays = registry.load_arrays(_NAME, _TASK)
    with naming(registry.where(_NAME) / _TASK):
        first, second = _state(arrays, source), _state(arrays, target)
        both = np.flatnonzero(~np.isnan(first).any(1) & ~np.isnan(second).any(1))
        if not len(both):
            raise ValueError(f"nobody in it has both {source} and {target}: {_REMEDY}")
    return ConnectomePairs(
        source=torch.from_numpy(first[both]).float(),
        target=torch.from_numpy(second[both]).float(),
        subjects=tuple(f"pain-{number:02d}" for number in both),
        regions=_regions(arrays),
        source_name=source,
        target_name=target,
    )


def unpaired_rest_task() -> RestTask:
    """Rest of 90 people and passive pain of 32 others, for translation between distributions without pairs.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If a file is not as it should be.
    """
    rest = registry.load_arrays(_NAME, "rest.npz")
    task = registry.load_arrays(_NAME, _TASK)
    with naming(registry.where(_NAME) / _TASK):
        passive = _state(task, "passive")
        felt = passive[~np.isnan(passive).any(1)]
        if not len(felt):
            raise ValueError(f"nobody in it has the passive state: {_REMEDY}")
    return RestTask(
        rest=torch.from_numpy(rest["fc"]).float(),
        task=torch.from_numpy(felt).float(),
        site=tuple(str(rest["site_name"][number]) for number in rest["site"]),
        regions=_regions(task),
    )


def _state(arrays: dict[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    """Edges (33, E) of a state; NaN for a person who does not have it."""
    fc = arrays["fc"].astype(np.float64)  # (33 people, 3 runs, E)
    runs = {str(run): number for number, run in enumerate(arrays["condition"])}
    if name not in _STATES:
        raise ValueError(f"There is no state {name!r} in mist122_rest_pain: choose from {', '.join(_STATES)}.")
    if lacking := {"run01", "run03", "run07"} - runs.keys():
        raise ValueError(f"it has the runs {few(runs)}, and not {few(sorted(lacking))}: {_REMEDY}")
    if name == "passive":
        return np.asarray(fc[:, runs["run01"]])
    if name == "regulate":
        return np.asarray((fc[:, runs["run03"]] + fc[:, runs["run07"]]) / 2)
    if name in runs:
        return np.asarray(fc[:, runs[name]])
    told = arrays["regulate"] == name  # (33, 3), at most one true per person
    chosen = np.full((len(fc), fc.shape[2]), np.nan)
    people, run = np.nonzero(told)
    chosen[people] = fc[people, run]
    return chosen


def _regions(arrays: dict[str, NDArray[Any]]) -> Regions:
    """Names and modules of the MIST parcellation at 122 regions; the set has no coordinates."""
    return Regions(tuple(str(r) for r in arrays["region"]), tuple(str(m) for m in arrays["module"]))
