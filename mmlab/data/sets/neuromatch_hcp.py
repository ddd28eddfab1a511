"""The Human Connectome Project subset of Neuromatch Academy: 339 people, rest and seven tasks, 360 Glasser regions.

The layout that its archives unpack to::

    hcp_rest/subjects/<0..338>/timeseries/bold<1..4>_Atlas_MSMAll_Glasser360Cortical.npy
    hcp_task/subjects/<0..338>/timeseries/bold<5..18>_Atlas_MSMAll_Glasser360Cortical.npy
    hcp_task/regions.npy        (also in hcp_rest or in the folder itself)

Each scan is regions x frames; runs are numbered through rest and tasks. The data come under the Open Access Data Use
Terms of the Human Connectome Project, and cannot be shipped with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.odd import tell_left_out
from mmlab.data.sets.time_series_folder import Estimator, check_estimator, connectivity
from mmlab.paths import expand
from mmlab.wording import naming

__all__ = ["RUNS", "neuromatch_hcp", "neuromatch_regions"]

RUNS = {
    "rest": (1, 2, 3, 4),
    "motor": (5, 6),
    "working memory": (7, 8),
    "emotion": (9, 10),
    "gambling": (11, 12),
    "language": (13, 14),
    "relational": (15, 16),
    "social": (17, 18),
}
"""Numbers of the runs of each state. Rest: REST1 LR, RL, REST2 LR, RL; tasks: RL, LR."""

_FILE = "subjects/{subject}/timeseries/bold{run}_Atlas_MSMAll_Glasser360Cortical.npy"


def neuromatch_hcp(
    folder: str | Path | None = None,
    source: str = "rest",
    target: str = "motor",
    *,
    estimator: Estimator,
    source_runs: Sequence[int] = (1,),
    target_runs: Sequence[int] = (6,),
    subjects: int | None = None,
    strict: bool = True,
) -> ConnectomePairs:
    """Pairs of two states of the same people.

    The defaults are one run each, both with left-to-right phase encoding: REST1_LR and MOTOR_LR.

    Args:
        folder: Where the archives were unpacked; by default the folder of ``neuromatch_hcp`` in the data registry.
        source: State to start from, a key of :data:`RUNS`.
        target: State to arrive at.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).
        source_runs: Runs of the source; the matrices of several runs are averaged (which keeps them correlations).
        target_runs: Runs of the target.
        subjects: Read only this many, the first by number.
        strict: Refuse subjects without a scan of one of the states, or with one that cannot be read; if False, leave
            them out, the latter with a warning that counts and names them.

    Raises:
        FileNotFoundError: If the folder or a file is not there.
        ValueError: If a state or run is unknown or a file is not as it should be; the message names the file.
    """
    from mmlab.data.files import registry

    check_estimator(estimator)
    entry = registry.source("neuromatch_hcp")
    root = registry.where("neuromatch_hcp") if folder is None else expand(folder, "folder")
    regions = neuromatch_regions(root)
    found = []
    for state, runs in ((source, source_runs), (target, target_runs)):
        _check_runs(state, runs)
        home = root / ("hcp_rest" if state == "rest" else "hcp_task")
        numbers = sorted(int(path.name) for path in (home / "subjects").glob("*") if path.name.isdecimal())
        if not numbers:
            raise FileNotFoundError(f"There are no subjects in {home / 'subjects'}: {entry.how_to_get}")
        found.append((home, numbers, runs))
    if not strict:
        shared = set(found[0][1]) & set(found[1][1])
        found = [(home, [number for number in numbers if number in shared], runs) for home, numbers, runs in found]
    sides: list[dict[str, torch.Tensor]] = []
    odd: list[str] = []
    for home, numbers, runs in found:
        sides.append({})
        for number in numbers[:subjects]:
            try:
                sides[-1][f"{number:03d}"] = _average(home, number, runs, len(regions), estimator)
            except (ValueError, FileNotFoundError) as error:
                if strict:
                    raise
                odd.append(str(error).rstrip("."))
    tell_left_out(root, odd, len(odd) + sum(map(len, sides)), "scans", entry.how_to_get)
    with naming(root):
        return ConnectomePairs.join(
            sides[0],
            sides[1],
            regions,
            source_name=source,
            target_name=target,
            strict=strict,
            acknowledgement=entry.acknowledgement or "",
        )


def neuromatch_regions(folder: str | Path) -> Regions:
    """Names and networks of the regions, from ``regions.npy``; the set has no coordinates.

    Raises:
        FileNotFoundError: If it is in none of the usual places.
        ValueError: If it is not a table of text with name and network in its first columns.
    """
    root = expand(folder, "folder")
    places = [root / part / "regions.npy" for part in ("hcp_task", "hcp_rest", "hcp", "")]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"There is no regions.npy in {root}, hcp_task or hcp_rest: unpack the archive there.")
    table = read_array(path, Array("U", (None, None)))
    if table.shape[1] < 2 or not len(table):
        rows, columns = table.shape
        raise ValueError(f"{path} has {rows} rows and {columns} columns: name and network are expected.")
    return Regions(tuple(str(name) for name in table[:, 0]), tuple(str(network) for network in table[:, 1]))


def _check_runs(state: str, runs: Sequence[int]) -> None:
    if state not in RUNS:
        raise ValueError(f"There is no state {state!r}: choose from {', '.join(RUNS)}.")
    if not runs or not set(runs) <= set(RUNS[state]):
        raise ValueError(f"Runs {list(runs)} are not those of {state}: choose from {list(RUNS[state])}.")


def _average(home: Path, number: int, runs: Sequence[int], regions: int, estimator: Estimator) -> torch.Tensor:
    matrices = []
    for run in runs:
        path = home / _FILE.format(subject=number, run=run)
        try:
            series = read_array(path, Array("fiu", (regions, None)), "get the archive again.").T
            matrices.append(connectivity(series, str(path), estimator))
        except FileNotFoundError:
            raise FileNotFoundError(f"Subject {number} has no {path}: unpack the whole archive.") from None
        except ValueError as error:
            raise ValueError(f"Subject {number}: {error}") from None
    return torch.stack(matrices).mean(0)
