"""Rest connectivity and task activation of 30 people of the Human Connectome Project, 360 Glasser regions.

Real, truly paired, and small: the two halves of one rest scan are the test bed of every predictor of connectivity (the
truth is nearly the input, so the identity and the mean shift are hard to beat), and rest connectivity with the
activation in 24 task conditions is a translation across modalities. There is no task connectivity in this set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.files import registry

__all__ = ["RestActivation", "acknowledgement", "hcp_rest_task30", "rest_activation"]

Part = Literal["half1", "half2", "whole"]

_ARRAYS = {"half1": "rest_fc_half1", "half2": "rest_fc_half2", "whole": "rest_fc"}


@dataclass(frozen=True, eq=False)
class RestActivation:
    """Rest connectivity and task activation of the same people.

    Attributes:
        connectivity: (S, E), Pearson correlations of the whole rest scan.
        activation: (S, C, N), amplitude of the response (GLM beta) of each region to each of C conditions.
        conditions: C names, ``TASK:condition``.
        subjects: S ids.
        regions: The N regions.
        acknowledgement: To be printed with results.
    """

    connectivity: Tensor
    activation: Tensor
    conditions: tuple[str, ...]
    subjects: tuple[str, ...]
    regions: Regions
    acknowledgement: str


def hcp_rest_task30(source: Part = "half1", target: Part = "half2") -> ConnectomePairs:
    """Connectivity of two parts of one rest scan of 1195 frames.

    Args:
        source: ``"half1"``, ``"half2"`` or ``"whole"``. Beware that the whole contains both halves.
        target: Likewise.

    Returns:
        30 pairs of 64620 edges; halves are rounded to half precision (error below 0.0005).

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If a part is unknown, or the file is not as it should be.
    """
    for part in (source, target):
        if part not in _ARRAYS:
            raise ValueError(f"There is no part {part!r} of the rest scan: choose from {', '.join(_ARRAYS)}.")
    arrays = registry.load_arrays("hcp_rest_task30", "hcp_rest_task30.npz")
    return ConnectomePairs(
        source=torch.from_numpy(arrays[_ARRAYS[source]]).float(),
        target=torch.from_numpy(arrays[_ARRAYS[target]]).float(),
        subjects=_subjects(len(arrays["rest_fc"])),
        regions=_regions(),
        source_name=f"rest, {source}",
        target_name=f"rest, {target}",
        acknowledgement=acknowledgement(),
    )


def rest_activation() -> RestActivation:
    """Rest connectivity (whole scan) and the activation in 24 conditions of the seven tasks.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If the file is not as it should be.
    """
    arrays = registry.load_arrays("hcp_rest_task30", "hcp_rest_task30.npz")
    return RestActivation(
        connectivity=torch.from_numpy(arrays["rest_fc"]).float(),
        activation=torch.from_numpy(arrays["task_activation"]).float(),
        conditions=tuple(str(name) for name in arrays["condition"]),
        subjects=_subjects(len(arrays["rest_fc"])),
        regions=_regions(),
        acknowledgement=acknowledgement(),
    )


def acknowledgement() -> str:
    """The sentence that the data use terms ask everybody to print with results."""
    return registry.source("hcp_rest_task30").acknowledgement or ""


def _subjects(count: int) -> tuple[str, ...]:
    """The set has no subject numbers; its order is the identity."""
    return tuple(f"hcp30-{number:02d}" for number in range(count))


def _regions() -> Regions:
    """360 parcels, the left hemisphere first: moving the right hand activates the first half, the left hand the second.

    The set names neither parcels nor networks, and has no coordinates; hemispheres stand in for the networks.
    """
    sides = ("left", "right")
    names = tuple(f"{side} parcel {number}" for side in sides for number in range(1, 181))
    return Regions(names=names, networks=tuple(f"{side} hemisphere" for side in sides for _ in range(180)))
