"""ROSMAP in the MOGONET split: three kinds of omics of 351 people, with and without Alzheimer's disease.

245 people to train on and 106 to test, 200 features each of mRNA expression, DNA methylation and miRNA expression. The
features were selected by the authors of MOGONET (Wang et al. 2021, Nature Communications 12:3445) before the set was
published, so that accuracies are somewhat too high for all methods. The repository is under the MIT licence; the study
itself is under controlled access. Models trained on it are for research, not for decisions about people.

The reader also takes MOGONET's other sets, such as its complete BRCA, in the same layout of csv files::

    1_tr.csv  2_tr.csv  3_tr.csv  labels_tr.csv     one row per person, without a header
    1_te.csv  2_te.csv  3_te.csv  labels_te.csv
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.files.arrays import Array, read_array
from mmlab.data.splits import Scale, Splits, rescale, stratified
from mmlab.data.tensors import TensorData
from mmlab.paths import expand

__all__ = ["VIEWS", "mogonet", "mogonet_rosmap"]

VIEWS = ("mrna", "methylation", "mirna")
"""The views, in the order of MOGONET's files 1 to 3."""
_PREPARED = {"mrna": "mrna", "methylation": "meth", "mirna": "mirna", "label": "y"}


def mogonet_rosmap(scale: Scale = "minmax", validation: float = 0.0, seed: int = 0) -> Splits:
    """ROSMAP, from the prepared file or the original csv files in the folder of this name (see the registry).

    Args:
        scale: How features are rescaled, by the training people only; see :func:`mmlab.data.splits.rescale`.
        validation: Share of each class of the training people that is set aside to choose by; 0 for none.
        seed: Seed of the choice of these people.

    Returns:
        Splits with keys ``mrna``, ``methylation``, ``mirna`` (N, 200) and ``label``: 1 is Alzheimer's disease.

    Raises:
        FileNotFoundError: If the files are not there; the message says how to get them.
        ValueError: If an argument is out of its range, or a file is not as it should be.
    """
    folder = registry.where("mogonet_rosmap")
    if not (folder / "rosmap.npz").is_file() and (folder / "1_tr.csv").is_file():
        return mogonet(folder, scale, validation, seed)
    arrays = registry.load_arrays("mogonet_rosmap", "rosmap.npz")
    parts = [
        {key: torch.from_numpy(arrays[f"{name}_{side}"]) for key, name in _PREPARED.items()} for side in ("tr", "te")
    ]
    return _splits(parts, scale, validation, seed, "ROSMAP")


def mogonet(folder: str | Path, scale: Scale = "minmax", validation: float = 0.0, seed: int = 0) -> Splits:
    """A set in MOGONET's layout of csv files; arguments and result as in :func:`mogonet_rosmap`.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is not as it should be, or the files do not belong together; the message names them.
    """
    place = expand(folder, "folder").absolute()  # "." has the name of its folder
    parts = [_read(place, side) for side in ("tr", "te")]
    for number, view in enumerate(VIEWS, 1):
        widths = [part[view].shape[1] for part in parts]
        if widths[0] != widths[1]:
            raise ValueError(
                f"{place / f'{number}_te.csv'} has {widths[1]} columns, {number}_tr.csv {widths[0]}: get both again."
            )
    classes = int(parts[0]["label"].max()) + 1
    absent = set(range(classes)) - set(parts[0]["label"].tolist())
    if absent or int(parts[1]["label"].max()) >= classes:
        raise ValueError(
            f"{place / 'labels_tr.csv'} does not have every class from 0 to the highest of both label files: "
            "get both again."
        )
    return _splits(parts, scale, validation, seed, place.name)


def _read(folder: Path, side: str) -> dict[str, Tensor]:
    remedy = "take the files of one folder of github.com/txWang/MOGONET."
    part = {}
    for number, view in enumerate(VIEWS, 1):
        array = read_array(folder / f"{number}_{side}.csv", Array("f", (None, None)), remedy)
        part[view] = torch.from_numpy(array).float()
        if not bool(torch.isfinite(part[view]).all()):
            raise ValueError(f"{folder / f'{number}_{side}.csv'} holds numbers beyond single precision; {remedy}")
    path = folder / f"labels_{side}.csv"
    label = torch.from_numpy(read_array(path, Array("f", (None, 1), low=0, high=999), remedy))[:, 0]
    if not torch.equal(label, label.round()):
        raise ValueError(f"{path} holds labels that are no integers; {remedy}")
    for number, view in enumerate(VIEWS, 1):
        if len(part[view]) != len(label):
            raise ValueError(
                f"{folder / f'{number}_{side}.csv'} has {len(part[view])} rows, {path.name} {len(label)}; {remedy}"
            )
    return {**part, "label": label}


def _splits(parts: list[dict[str, Tensor]], scale: Scale, validation: float, seed: int, name: str) -> Splits:
    if not 0 <= validation < 1:
        raise ValueError(f"validation={validation} is no share of the training people: choose 0 or more, below 1.")
    train, test = (TensorData({**part, "label": part["label"].long()}) for part in parts)
    chosen = []
    if validation:
        kept, held = stratified(train.tensors["label"], validation, seed)
        train, chosen = train.subset(kept), [train.subset(held)]
    train, test, *chosen = rescale([train, test, *chosen], VIEWS, scale)
    return Splits(
        train=train,
        validation=chosen[0] if chosen else None,
        test=test,
        description=f"{name} in MOGONET's split; its authors selected the features beforehand.",
        source=("mogonet_rosmap",) if name == "ROSMAP" else (name,),
    )
