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

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.correlation import refuse_picture
from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.numbers import read_grid
from mmlab.data.files.odd import tell_left_out
from mmlab.data.files.patterns import SUBJECT, is_hidden, subject_files
from mmlab.paths import expand
from mmlab.wording import few, naming

__all__ = [
    "Estimator",
    "check_estimator",
    "cifti_regions",
    "connectivity",
    "find_scans",
    "read_time_series",
    "time_series_matrices",
    "time_series_pairs",
]

Estimator = Literal["empirical", "ledoit_wolf"]

_NO_SIGNAL = 1e-4  # a region that varies by less than this share of what others do: single precision leaves 1e-5


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
        strict: Refuse subjects without a partner or with a scan that cannot be read; if False, leave them out, the
            latter with a warning that counts and names them.
        acknowledgement: What the source of the data asks to be printed with results.

    Raises:
        FileNotFoundError: If no file fits a pattern.
        ValueError: If a file is not as it should be or a subject has no partner; the message names both.
    """
    check_estimator(estimator)
    first, second = find_scans(folder, source), find_scans(folder, target)
    if not strict:
        shared = first.keys() & second.keys()
        first = {subject: path for subject, path in first.items() if subject in shared}
        second = {subject: path for subject, path in second.items() if subject in shared}
    odd: list[str] | None = None if strict else []
    matrices = [_matrices(scans, regions, estimator, odd) for scans in (first, second)]
    tell_left_out(expand(folder, "folder"), odd or [], len(first) + len(second), "scans", "correct the files.")
    with naming(expand(folder, "folder")):
        return ConnectomePairs.join(
            matrices[0],
            matrices[1],
            regions,
            source_name=source_name,
            target_name=target_name,
            strict=strict,
            acknowledgement=acknowledgement,
        )


def time_series_matrices(
    folder: str | Path, pattern: str, *, regions: int | Regions, estimator: Estimator
) -> dict[str, Tensor]:
    """Connectivity (N, N) of each subject with a file that fits the pattern, in the order of their ids.

    Args:
        folder: The folder that the pattern is relative to.
        pattern: See :func:`find_scans`.
        regions: N, the number of regions of the parcellation; or the regions, see :func:`read_time_series`. Without
            their names, those in the first file count for all.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).

    Raises:
        FileNotFoundError: If no file fits the pattern.
        ValueError: If a file is not as it should be; the message names it.
    """
    return _matrices(find_scans(folder, pattern), regions, estimator)


def _matrices(
    scans: dict[str, Path], regions: int | Regions, estimator: Estimator, odd: list[str] | None = None
) -> dict[str, Tensor]:
    """The matrix of each scan; what is wrong with a scan is an error, or added to ``odd``."""
    known = regions if isinstance(regions, Regions) else None
    matrices = {}
    for subject, path in scans.items():
        try:
            series, names = _read_checked(path, regions if isinstance(regions, int) else len(regions))
            if names is not None:
                known = known or Regions(names, ("unknown",) * len(names))
                series = series[:, known.places(names, f"{path}")]
            matrices[subject] = connectivity(series, f"{path}", estimator)
        except ValueError as error:
            if odd is None:
                raise ValueError(f"Subject {subject}: {error}") from None
            odd.append(f"Subject {subject}: {str(error).rstrip('.')}")
    return matrices


def find_scans(folder: str | Path, pattern: str) -> dict[str, Path]:
    """Files that fit a pattern, by subject id, sorted.

    Args:
        folder: Where to look.
        pattern: Path relative to the folder, or a whole one. ``{subject}`` stands for the id; ``*``, ``?``, ``[12]``,
            ``**`` and ``{a,b}`` are those of a shell. Hidden files are left out, such as those that macOS puts beside
            others (``._name``).

    Raises:
        FileNotFoundError: If no file fits.
        ValueError: If the pattern has no ``{subject}``, names pictures, or finds two files for one subject.
    """
    root = expand(folder, "folder")
    refuse_picture(Path(pattern))
    if SUBJECT not in pattern:
        raise ValueError(f"The pattern {pattern!r} does not say where the subject's id stands: write {{subject}}.")
    scans: dict[str, Path] = {}
    for subject, path in subject_files(root, str(expand(pattern, "pattern"))):
        if subject in scans:
            raise ValueError(
                f"Subject {subject} has two files that fit {pattern!r}, {scans[subject].name} and {path.name}: "
                "make the pattern more exact, so that it finds one scan per subject."
            )
        scans[subject] = path
    if not scans:
        there = "which is not there" if not root.is_dir() else f"which holds {_some(root)}"
        raise FileNotFoundError(
            f"No file in {root} fits the pattern {pattern!r}: check the folder, {there}, and the pattern."
        )
    return dict(sorted(scans.items()))


def _some(folder: Path) -> str:
    """A few names in a folder, for a message."""
    names = sorted(path.name for path in islice(folder.iterdir(), 1000) if not is_hidden(path))
    return few(names) or "no files"


def read_time_series(path: str | Path, regions: int | Regions) -> NDArray[np.float64]:
    """One scan (T, N): frames x regions.

    Args:
        path: ``.npy``, ``.txt``, ``.tsv``, ``.csv`` or ``.ptseries.nii``. A text file may name its columns and count or
            name its rows.
        regions: The N that is expected; or the regions, with whose names those of the file are then compared: columns
            in another order are put right, other names are refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a picture or damaged, has other regions, NaN or infinity, or is the wrong way round.
    """
    series, names = _read_checked(expand(path), regions if isinstance(regions, int) else len(regions))
    if names is not None and isinstance(regions, Regions):
        series = series[:, regions.places(names, f"{path}")]
    return series


def _read_checked(file: Path, count: int) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    """A scan of ``count`` regions, checked, and their names where the file has them."""
    series, names = _read_named(file, count)
    if series.shape[1] != count:
        size = f"{series.shape[0]} x {series.shape[1]}"
        if series.shape[0] == count:
            raise ValueError(f"{file} is {size}, regions x frames: transpose it, frames come first.")
        hint = " If one column too many is an index of the frames, give it a header or leave it out."
        raise ValueError(
            f"{file} is {size} but {count} regions are expected: use one parcellation for all."
            f"{hint if series.shape[1] == count + 1 else ''}"
        )
    if bad := int((~np.isfinite(series)).sum()):
        frame, region = np.argwhere(~np.isfinite(series))[0]
        called = f"{region} ({names[region]})" if names else f"{region}"
        raise ValueError(
            f"{file} holds NaN or infinity ({bad} of {series.size} values), first in region {called}, frame {frame}: "
            "leave such regions or frames out for every subject."
        )
    return series, names


def _read_named(file: Path, regions: int | None) -> tuple[NDArray[np.float64], tuple[str, ...] | None]:
    """Frames x regions of any kind of file, and the names of the regions where it has them."""
    remedy = "give frames x regions, finite numbers only."
    refuse_picture(file)
    if file.name.endswith(".nii"):
        return _read_cifti(file)
    if file.suffix.lower() in {".txt", ".tsv", ".csv"}:
        read = read_grid(file, regions, remedy)
        counted = read.columns is None or all(name.isdecimal() for name in read.columns)
        return read.values, None if counted else read.columns
    return read_array(file, Array("fiu", (None, None), nan=True), remedy).astype(np.float64), None


def check_estimator(estimator: str) -> None:
    """Refuse an estimator that there is not.

    Raises:
        ValueError: If it is unknown.
    """
    if estimator not in get_args(Estimator):
        raise ValueError(
            f"There is no estimator {estimator!r}: choose 'empirical' (Pearson) or 'ledoit_wolf' (shrunk)."
        )


def connectivity(series: NDArray[Any], name: str, estimator: Estimator) -> Tensor:
    """Correlation matrix (N, N) of a scan (T, N), float64, by nilearn's ``ConnectivityMeasure``.

    Args:
        series: Frames x regions.
        name: What messages call it, for example the file.
        estimator: ``"empirical"`` (Pearson) or ``"ledoit_wolf"`` (shrunk).

    Raises:
        ValueError: If a region does not vary, there are fewer than 3 frames or 2 regions, or the estimator is unknown.
    """
    from nilearn.connectome import ConnectivityMeasure
    from sklearn.covariance import EmpiricalCovariance, LedoitWolf

    check_estimator(estimator)
    known = {"empirical": EmpiricalCovariance, "ledoit_wolf": LedoitWolf}
    if series.shape[1] < 2:
        raise ValueError(f"{name} has {series.shape[1]} regions: a correlation is between two of them at least.")
    if len(series) < 3:
        raise ValueError(f"{name} has {len(series)} frames: a correlation needs at least 3.")
    series = np.asarray(series, dtype=np.float64)
    if not np.isfinite(series).all():
        frame, region = np.argwhere(~np.isfinite(series))[0]
        raise ValueError(f"{name} holds NaN or infinity, first in region {region}, frame {frame}: leave it out.")
    centred = series - series.mean(0)
    spread = np.abs(centred).max(0)
    # A region without signal that was filtered is not constant: it is rounding noise beside the others' signal.
    noise = np.maximum(1e-12 * np.abs(series).max(0), _NO_SIGNAL * np.quantile(spread, 0.9))
    if (flat := np.flatnonzero(spread <= noise)).size:
        raise ValueError(
            f"{name} does not vary in {flat.size} of {series.shape[1]} regions, first in region {flat[0]}: "
            "a region without signal has no correlation; leave it out for every subject."
        )
    # Units do not matter to Pearson's r; without them the shrinkage of Ledoit and Wolf would depend on the scanner's.
    even = centred / spread  # so that no square of a large number overflows
    scaled = even / even.std(0)
    measure = ConnectivityMeasure(kind="correlation", cov_estimator=known[estimator](), standardize=None)
    matrix = torch.from_numpy(np.asarray(measure.fit_transform([scaled])[0], dtype=np.float64))
    return matrix.clamp(-1, 1).fill_diagonal_(1.0)


def cifti_regions(path: str | Path) -> Regions:
    """Names of the parcels of a ``.ptseries.nii`` file; CIFTI knows no networks, so each is ``"unknown"``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a parcellated time series.
    """
    names = _read_cifti(expand(path))[1]
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
    return series, tuple(str(name) for name in parcels.name)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in whatever goes wrong: nibabel and the XML parser below it raise many kinds of error on damage."""
    try:
        yield
    except Exception as error:
        detail = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} cannot be read as CIFTI ({type(error).__name__}: {detail}); get it again.") from None
