"""The preprocessed archives of DiffeoCFM: ABIDE, ADNI and OASIS3, rest scans in the 39 regions of the MSDL atlas.

One archive at osf.io/h7sw5 unpacks to ``data_atlas_msdl/<set>_X_y.pkl``, a pickled table of pandas with a row for each
scan: ``SubjectID``, ``TimeSeries`` (frames x regions), ``Diagnosis`` (0 for controls) and ``Age``. Opening a pickle
runs whatever its author put in, so this package never does. :data:`CONVERT` does it once, in a place of your choice,
and writes plain arrays beside it, which the loader reads.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from mmlab.data.correlation import edges
from mmlab.data.files import registry
from mmlab.data.files.arrays import Array, read_arrays
from mmlab.data.sets.time_series_folder import Estimator, connectivity
from mmlab.data.subjects import subject_id
from mmlab.data.tensors import TensorData
from mmlab.paths import expand
from mmlab.wording import nearest

__all__ = ["CONVERT", "Archive", "diffeocfm_archive"]

Archive = Literal["abide", "adni", "oasis3"]

CONVERT = """
import sys
import numpy as np
import pandas as pd

for path in sys.argv[1:]:
    table = pd.read_pickle(path)
    series = [np.asarray(scan, dtype=np.float32) for scan in table["TimeSeries"]]
    np.savez(
        path.removesuffix(".pkl") + ".npz",
        series=np.concatenate(series),
        offset=np.cumsum([0, *map(len, series)]),
        subject=np.array([str(subject) for subject in table["SubjectID"]]),
        diagnosis=table["Diagnosis"].to_numpy(dtype=np.int64),
    )
"""
"""Turns the pickles named on the command line into arrays: ``python convert.py data_atlas_msdl/*_X_y.pkl``."""

_REMEDY = (
    "unpack https://osf.io/h7sw5 and run mmlab.data.sets.diffeocfm_archives.CONVERT on its .pkl files, where you would "
    "run a stranger's program."
)


def diffeocfm_archive(
    name: Archive, folder: str | Path | None = None, *, estimator: Estimator = "empirical"
) -> TensorData:
    """Connectivity and diagnosis of every scan of a set.

    Args:
        name: ``"abide"``, ``"adni"`` or ``"oasis3"``.
        folder: Where ``<name>_X_y.npz`` lies; by default ``data_atlas_msdl`` in the folder of ``diffeocfm_archives`` in
            the data registry.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).

    Returns:
        ``label`` (S,), 0 for controls and 1 for all others, and ``target``, edges (S, E); ``subjects`` are the ids. A
        subject may have several scans: split by subject, as :func:`mmlab.data.pairs.Pairs.split` does.

    Raises:
        FileNotFoundError: If the file is not there; the message says how to make it.
        ValueError: If the set is unknown, or the file or a scan is not as it should be; the message names it.
    """
    if name not in get_args(Archive):
        raise ValueError(f"There is no archive {name!r}: {nearest(name, get_args(Archive))}")
    root = registry.where("diffeocfm_archives") / "data_atlas_msdl" if folder is None else expand(folder, "folder")
    path = root / f"{name}_X_y.npz"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {_REMEDY}")
    expected = {
        "series": Array("f", (None, None)),
        "offset": Array("iu", (None,), 0),
        "subject": Array("U", (None,)),
        "diagnosis": Array("iu", (None,), 0),
    }
    arrays = read_arrays(path, expected, _REMEDY)
    series, offset = arrays["series"], arrays["offset"].astype(np.int64)
    count = len(arrays["subject"])
    if len(offset) != count + 1 or len(arrays["diagnosis"]) != count or not count:
        raise ValueError(
            f"{path} has {len(offset)} offsets, {count} subjects and {len(arrays['diagnosis'])} diagnoses, which are "
            f"not those of one table: {_REMEDY}"
        )
    if offset[0] != 0 or offset[-1] != len(series) or (np.diff(offset) < 1).any():
        raise ValueError(f"{path}: the offsets do not cut its {len(series)} frames into {count} scans: {_REMEDY}")
    try:
        subjects = [subject_id(subject) for subject in arrays["subject"]]
    except ValueError as error:
        raise ValueError(f"{path}, array 'subject': {error} To correct it, {_REMEDY}") from None
    found = [
        connectivity(series[first:last], f"{path}, scan {number} (subject {subjects[number]})", estimator)
        for number, (first, last) in enumerate(pairwise(offset))
    ]
    label = torch.from_numpy((arrays["diagnosis"] != 0).astype(np.int64))
    return TensorData({"label": label, "target": edges(torch.stack(found)).float()}, subjects)
