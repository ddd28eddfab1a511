"""Knee scans of fastMRI: k-space to magnitude and phase, with labels from the boxes of fastMRI+.

fastMRI's single-coil files are HDF5: ``kspace`` complex (slices, H, W), ``reconstruction_esc`` (slices, 320, 320) real,
``ismrmrd_header``, and the attributes ``acquisition``, ``max``, ``norm`` and ``patient_id``. NYU Langone Health gives
them to those who sign its agreement; they may not be passed on. The boxes (Zhao et al. 2022, fastMRI+, Scientific Data
9:152; MIT licence) are public: ``mmlab data fetch fastmri_plus``.

A magnitude and a phase are two views of one complex image, which is what I2M2 fuses. Models trained on it are for
research, not for decisions about people.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.files.odd import tell_left_out
from mmlab.data.files.patterns import is_hidden
from mmlab.data.files.tables import read_table
from mmlab.data.files.text import read_lines
from mmlab.data.sets.kspace import about, centre_crop, centred_inverse, read_kspace
from mmlab.paths import expand

__all__ = ["FINDINGS", "KneeLabels", "KneeSlices", "class_weights", "fastmri_knee", "knee_labels"]

FINDINGS = ("abnormal", "meniscus tear", "ACL", "cartilage")
"""The binary labels of I2M2. ``abnormal`` is any finding at all; an image artifact is none."""
_BEGINS = {"meniscus tear": "meniscus tear", "ACL": "ligament - acl", "cartilage": "cartilage"}

_REMEDY = "get the file again."


@dataclass(frozen=True)
class KneeLabels:
    """What radiologists marked.

    Attributes:
        findings: For each file that was read by a radiologist, such as ``file1000001``, for each marked slice, which
            of :data:`FINDINGS` hold. A file without findings has no marked slice.
    """

    findings: Mapping[str, Mapping[int, tuple[bool, bool, bool, bool]]]

    def of_slice(self, file: str, number: int) -> Tensor:
        """(4,) int64: the findings that are marked on a slice.

        Raises:
            ValueError: If nobody read this file.
        """
        return torch.tensor(self._of(file).get(number, (False,) * 4), dtype=torch.long)

    def of_file(self, file: str) -> Tensor:
        """(4,) int64: the findings that are marked on any slice.

        Raises:
            ValueError: If nobody read this file.
        """
        return torch.tensor([(False,) * 4, *self._of(file).values()]).any(0).long()

    def _of(self, file: str) -> Mapping[int, tuple[bool, bool, bool, bool]]:
        if file not in self.findings:
            raise ValueError(f"fastMRI+ does not say what is on {file!r}: it is not in knee_file_list.csv.")
        return self.findings[file]


class _Slice(NamedTuple):
    path: Path
    number: int
    scale: float
    label: Tensor


class KneeSlices:
    """Slices of knee scans, read from their files when they are asked for.

    An item has ``magnitude`` (1, size, size), in units of the file's largest reconstructed value; ``phase`` (1, size,
    size), in units of π; and ``label``: (4,) int64 in the order of :data:`FINDINGS`, or () if one finding was chosen.

    Attributes:
        subjects: The file of each item; split by it, since slices of one knee are alike. Somebody who was scanned twice
            has two files: look at their attribute ``patient_id`` where that matters.
        labels: (N, 4) or (N,) int64, the labels of all items.
    """

    def __init__(self, slices: Sequence[_Slice], size: int) -> None:
        self._slices = tuple(slices)
        self._size = size
        self.subjects = [part.path.stem for part in self._slices]
        self.labels = torch.stack([part.label for part in self._slices])

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One slice.

        Raises:
            IndexError: If there is no such item.
            ValueError: If its file is damaged; the message names it.
        """
        path, number, scale, label = self._slices[index]
        image = centre_crop(centred_inverse(read_kspace(path, number)), self._size)
        return {"magnitude": image.abs()[None] / scale, "phase": image.angle()[None] / torch.pi, "label": label}

    def split(self, test: int, seed: int = 0) -> tuple[KneeSlices, KneeSlices]:
        """Split at random by file, so that at least ``test`` slices are for the test.

        Raises:
            ValueError: If a side would be empty.
        """
        files = sorted(set(self.subjects))
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed)).tolist()
        held: set[str] = set()
        for place in order:
            if sum(subject in held for subject in self.subjects) >= test:
                break
            held.add(files[place])
        sides = [[part for part in self._slices if (part.path.stem in held) is wanted] for wanted in (False, True)]
        if not all(sides):
            raise ValueError(f"A test of {test} of {len(self)} slices from {len(files)} files leaves one side empty.")
        return KneeSlices(sides[0], self._size), KneeSlices(sides[1], self._size)


def fastmri_knee(
    folder: str | Path | None = None,
    annotations: str | Path | None = None,
    size: int = 320,
    finding: str | None = None,
    acquisition: str | None = None,
    margin: int = 0,
) -> KneeSlices:
    """Slices of all knee files in a folder (and those below it) that fastMRI+ has labels for.

    Args:
        folder: Where the ``.h5`` files are; by default the folder of ``fastmri`` in the data registry.
        annotations: Where ``knee.csv`` and ``knee_file_list.csv`` are; by default the folder of ``fastmri_plus``.
        size: Side of the square that is cut from the centre of the image, or padded with zeros to.
        finding: One of :data:`FINDINGS`, for a single binary label; default all four.
        acquisition: Take only files with this attribute: ``"CORPD_FBK"`` or ``"CORPDFS_FBK"`` (fat suppressed).
        margin: How many slices to leave out at either end of a file, where there is no joint.

    Returns:
        The slices. Their ``split`` is by file; :func:`class_weights` of their ``labels`` balances rare findings.

    Raises:
        FileNotFoundError: If there are no such files, or no annotations; the message says how to get them.
        ValueError: If an argument is unknown, or no file is as it should be; the message names file and dataset. Single
            files that are damaged, of another kind, or lack a slice with a mark are left out, with a warning that
            counts and names them.
    """
    if finding is not None and finding not in FINDINGS:
        raise ValueError(f"There is no finding {finding!r}: choose from {', '.join(FINDINGS)}.")
    if size < 1 or margin < 0:
        raise ValueError(f"size={size} and margin={margin}: give a side of at least 1, and 0 or more slices.")
    labels = knee_labels(annotations)
    place = registry.where("fastmri") if folder is None else expand(folder, "folder")
    slices, odd, count_read = [], [], 0
    fault: ValueError | None = None
    seen: dict[str, Path] = {}
    for path in sorted(place.rglob("*.h5")):
        if is_hidden(path.relative_to(place)) or path.stem not in labels.findings:
            continue
        if (other := seen.setdefault(path.stem, path)) != path:
            raise ValueError(f"{other} and {path} are of one name, so of one knee: move one of them out of {place}.")
        count_read += 1
        try:
            count, scale, kind = about(path, acquisition is not None)
        except ValueError as error:
            odd.append(str(error).rstrip("."))
            fault = fault or error
            continue
        if (highest := max(labels.findings[path.stem], default=0)) >= count:
            odd.append(f"{path}: dataset 'kspace' has {count} slices, but fastMRI+ marks slice {highest}")
            continue
        if acquisition is None or kind == acquisition:
            for number in range(margin, count - margin):
                label = labels.of_slice(path.stem, number)
                slices.append(_Slice(path, number, scale, label if finding is None else label[FINDINGS.index(finding)]))
    if fault and len(odd) == count_read:  # whose remedy is that of its own fault
        raise fault
    tell_left_out(place, odd, count_read, "knee files", _REMEDY)
    if not slices:
        what = f"knee file (.h5{f', {acquisition}' if acquisition else ''}) that fastMRI+ has labels for"
        raise FileNotFoundError(f"There is no {what} in {place}: {registry.source('fastmri').how_to_get}")
    return KneeSlices(slices, size)


def knee_labels(annotations: str | Path | None = None) -> KneeLabels:
    """Labels from the boxes of fastMRI+.

    A scan with an odd row is left out, for what is marked on it is not known then; a row of no scan that was read is
    passed over. A warning counts and names both.

    Args:
        annotations: Where ``knee.csv`` and ``knee_file_list.csv`` are; by default the folder of ``fastmri_plus``.

    Raises:
        FileNotFoundError: If a file is not there; the message says how to get it.
        ValueError: If a file is not as it should be, or all its rows are odd; the message names file and line.
    """
    folder = registry.where("fastmri_plus") if annotations is None else expand(annotations, "annotations")
    entry = registry.source("fastmri_plus")
    table = read_table(folder / "knee.csv", {"file": "U", "slice": "U", "label": "U"}, entry.how_to_get)
    listing = folder / "knee_file_list.csv"
    lines = read_lines(listing, entry.how_to_get)
    found: dict[str, dict[int, tuple[bool, bool, bool, bool]]] = {line.strip(): {} for line in lines if line.strip()}
    odd: list[str] = []
    unknown: set[str] = set()  # what is on them nobody can tell
    for row, (file, number, said) in enumerate(zip(table["file"], table["slice"], table["label"], strict=True), 2):
        name = said.strip().lower()
        if file not in found:
            odd.append(f"row {row} marks slice {number[:20]} of {file[:50]!r}, which is not in {listing.name}")
            continue
        if not re.fullmatch(r"[0-9]{1,9}", number.strip(), re.ASCII) or not name:
            odd.append(f"row {row} marks slice {number[:20]!r} of {file[:50]!r} as {name[:50]!r}, and the scan with it")
            unknown.add(file)
            continue
        marks = [name != "artifact", *(name.startswith(_BEGINS[finding]) for finding in FINDINGS[1:])]
        before = found[file].get(int(number), (False,) * 4)
        a, b, c, d = (old or new for old, new in zip(before, marks, strict=True))
        found[file][int(number)] = (a, b, c, d)
    tell_left_out(folder / "knee.csv", odd, len(table["file"]), "rows", _REMEDY)
    return KneeLabels({file: marks for file, marks in found.items() if file not in unknown})


def class_weights(labels: Tensor) -> Tensor:
    """Weights that give both classes of each binary label the same say: N/(2 Nₖ).

    Args:
        labels: (N, L) or (N,) int64, 0 or 1.

    Returns:
        (L, 2) or (2,) float32: of class 0 and class 1. Their mean over the items is 1.

    Raises:
        ValueError: If a label has only one class.
    """
    positive = labels.float().mean(0)
    if not bool(((positive > 0) & (positive < 1)).all()):
        raise ValueError("A label has only one class among these items: no weight can balance it.")
    return 0.5 / torch.stack([1 - positive, positive], -1)
