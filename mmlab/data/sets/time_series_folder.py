"""Folders of parcellated time series, as users of the Human Connectome Project have them, made into connectivity.

One file per subject and scan: ``.npy``, text (``.txt``, ``.tsv``, ``.csv``) or CIFTI (``.ptseries.nii``), frames x
regions. A pattern says where the subject's id stands in the file name::

    "{subject}_REST1_LR.npy"
    "{subject}/MNINonLinear/Results/tfMRI_MOTOR_LR/tfMRI_MOTOR_LR_*.ptseries.nii"

The estimator has no default, because it changes what the numbers mean: ``"empirical"`` gives Pearson correlations,
``"ledoit_wolf"`` shrinks the covariance first (the shorter the scan, the more), so that even a scan with fewer frames
than regions gives a positive definite matrix, but its entries are no longer Pearson's r.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.correlation import refuse_picture
from mmlab.data.files.arrays import Array, read_array

__all__ = [
    "Estimator",
    "cifti_regions",
    "connectivity",
    "find_scans",
    "read_time_series",
    "time_series_matrices",
    "time_series_pairs",
]

Estimator = Literal["empirical", "ledoit_wolf"]


def time_series_pairs(
    folder: str | Path,
    source: str,
    target: str,
    regions: Regions,
    *,
    estimator: Estimator,
    source_name: str = "rest",
    target_name: str = "motor",
    strict: bool = True,
    acknowledgement: str = "",
) -> ConnectomePairs:
    """Connectivity of two states of the same subjects, joined by the id in the file names.

    Args:
        folder: The folder that the patterns are relative to.
        source: Pattern of the first state's files; see :func:`find_scans`.
        target: Pattern of the second state's files.
        regions: The N regions of the parcellation; :func:`cifti_regions` reads their names from a CIFTI file.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).
        source_name: Name of the first state, for messages and figures.
        target_name: Name of the second state.
        strict: Refuse subjects without a partner; if False, leave them out.
        acknowledgement: What the source of the data asks to be printed with results.

    Raises:
        FileNotFoundError: If no file fits a pattern.
        ValueError: If a file is not as it should be or a subject has no partner; the message names both.
    """
    first, second = find_scans(folder, source), find_scans(folder, target)
    if not strict:
        shared = first.keys() & second.keys()
        first = {subject: path for subject, path in first.items() if subject in shared}
        second = {subject: path for subject, path in second.items() if subject in shared}
    return ConnectomePairs.join(
        _matrices(first, len(regions), estimator),
        _matrices(second, len(regions), estimator),
        regions,
        source_name=source_name,
        target_name=target_name,
        acknowledgement=acknowledgement,
    )


def time_series_matrices(folder: str | Path, pattern: str, *, regions: int, estimator: Estimator) -> dict[str, Tensor]:
    """Connectivity (N, N) of each subject with a file that fits the pattern, in the order of their ids.

    Args:
        folder: The folder that the pattern is relative to.
        pattern: See :func:`find_scans`.
        regions: N, the number of regions of the parcellation.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).

    Raises:
        FileNotFoundError: If no file fits the pattern.
        ValueError: If a file is not as it should be; the message names it.
    """
    return _matrices(find_scans(folder, pattern), regions, estimator)


def _matrices(scans: dict[str, Path], regions: int, estimator: Estimator) -> dict[str, Tensor]:
    matrices = {}
    for subject, path in scans.items():
        try:
            matrices[subject] = connectivity(read_time_series(path, regions), f"{path}", estimator)
        except ValueError as error:
            raise ValueError(f"Subject {subject}: {error}") from None
    return matrices


def find_scans(folder: str | Path, pattern: str) -> dict[str, Path]:
    """Files that fit a pattern, by subject id, sorted.

    Args:
        folder: Where to look.
        pattern: Path relative to the folder. ``{subject}`` stands for the id, ``*`` for anything within one name.

    Raises:
        FileNotFoundError: If no file fits.
        ValueError: If the pattern has no ``{subject}``, names pictures, or finds two files for one subject.
    """
    root = Path(folder)
    refuse_picture(Path(pattern))
    if "{subject}" not in pattern:
        raise ValueError(f"The pattern {pattern!r} does not say where the subject's id stands: write {{subject}}.")
    first, *others = (re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split("{subject}"))
    match = re.compile(f"{first}(?P<subject>[^/]+?)" + "(?P=subject)".join(others))
    scans: dict[str, Path] = {}
    for path in sorted(root.glob(pattern.replace("{subject}", "*"))):
        if not (found := match.fullmatch(path.relative_to(root).as_posix())):
            continue
        subject = found["subject"]
        if subject in scans:
            raise ValueError(
                f"Subject {subject} has two files that fit {pattern!r}, {scans[subject].name} and {path.name}: "
                "make the pattern more exact, so that it finds one scan per subject."
            )
        scans[subject] = path
    if not scans:
        raise FileNotFoundError(f"No file in {root} fits the pattern {pattern!r}: check the folder and the pattern.")
    return dict(sorted(scans.items()))


def read_time_series(path: str | Path, regions: int) -> NDArray[np.float64]:
    """One scan (T, N): frames x regions.

    Args:
        path: ``.npy``, ``.txt``, ``.tsv``, ``.csv`` or ``.ptseries.nii``.
        regions: The N that is expected.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a picture or damaged, has another number of regions, NaN or infinity, or is the wrong
            way round.
    """
    file = Path(path)
    refuse_picture(file)
    if file.name.endswith(".nii"):
        series = _read_cifti(file)[0]
    else:
        series = read_array(file, Array("fiu", (None, None)), "give frames x regions, finite numbers only.")
    if series.shape[1] != regions:
        size = f"{series.shape[0]} x {series.shape[1]}"
        if series.shape[0] == regions:
            raise ValueError(f"{file} is {size}, regions x frames: transpose it, frames come first.")
        raise ValueError(f"{file} is {size} but {regions} regions are expected: use one parcellation for all.")
    return series.astype(np.float64)


def connectivity(series: NDArray[Any], name: str, estimator: Estimator) -> Tensor:
    """Correlation matrix (N, N) of a scan (T, N), float64, by nilearn's ``ConnectivityMeasure``.

    Args:
        series: Frames x regions.
        name: What messages call it, for example the file.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).

    Raises:
        ValueError: If a region does not vary, there are fewer than 3 frames, or the estimator is unknown.
    """
    from nilearn.connectome import ConnectivityMeasure
    from sklearn.covariance import EmpiricalCovariance, LedoitWolf

    known = {"empirical": EmpiricalCovariance, "ledoit_wolf": LedoitWolf}
    if estimator not in known:
        raise ValueError(
            f"There is no estimator {estimator!r}: choose 'empirical' (Pearson) or 'ledoit_wolf' (shrunk)."
        )
    if len(series) < 3:
        raise ValueError(f"{name} has {len(series)} frames: a correlation needs at least 3.")
    centred = series - series.mean(0)
    spread = np.abs(centred).max(0)
    if (flat := np.flatnonzero(spread <= 1e-12 * np.abs(series).max(0))).size:
        raise ValueError(
            f"{name} does not vary in {flat.size} of {series.shape[1]} regions, first in region {flat[0]}: "
            "a region without signal has no correlation; leave it out for every subject."
        )
    # Units do not matter to Pearson's r; without them the shrinkage of Ledoit and Wolf would depend on the scanner's.
    scaled = centred / centred.std(0)
    measure = ConnectivityMeasure(kind="correlation", cov_estimator=known[estimator](), standardize=None)
    matrix = torch.from_numpy(np.asarray(measure.fit_transform([scaled])[0], dtype=np.float64))
    return matrix.clamp(-1, 1).fill_diagonal_(1.0)


def cifti_regions(path: str | Path) -> Regions:
    """Names of the parcels of a ``.ptseries.nii`` file; CIFTI knows no networks, so each is ``"unknown"``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a parcellated time series.
    """
    names = _read_cifti(Path(path))[1]
    return Regions(names=names, networks=("unknown",) * len(names))


def _read_cifti(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Frames x parcels of a CIFTI-2 file, and the names of the parcels."""
    import nibabel
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, ParcelsAxis, SeriesAxis

    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: check the folder.")
    with _naming(path):
        image: Any = nibabel.load(path)
        flat = isinstance(image, nibabel.Cifti2Image) and len(image.shape) == 2
        header: Any = image.header
        frames, parcels = (header.get_axis(0), header.get_axis(1)) if flat else (None, None)
    if not flat:
        raise ValueError(f"{path} is not a CIFTI time series: give a .ptseries.nii file.")
    if isinstance(parcels, BrainModelAxis):
        raise ValueError(
            f"{path} is dense ({len(parcels)} grayordinates): parcellate it first (wb_command -cifti-parcellate)."
        )
    if not isinstance(frames, SeriesAxis) or not isinstance(parcels, ParcelsAxis):
        raise ValueError(f"{path} is not frames x parcels: give a .ptseries.nii file.")
    with _naming(path):
        series = np.asarray(image.get_fdata(), dtype=np.float64)
    if not np.isfinite(series).all():
        raise ValueError(f"{path} has NaN or infinity: leave such frames or regions out before.")
    return series, tuple(str(name) for name in parcels.name)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong: nibabel and the XML parser below it raise many kinds of error on damage."""
    try:
        yield
    except Exception as error:
        detail = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as CIFTI ({type(error).__name__}: {detail}); get it again.") from None
