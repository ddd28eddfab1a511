"""ROSMAP in the MOGONET split: three kinds of omics of 351 people, with and without Alzheimer's disease.

245 people to train on and 106 to test, 200 features each of mRNA expression, DNA methylation and miRNA expression. The
features were selected by the authors of MOGONET (Wang et al. 2021, Nature Communications 12:3445) before the set was
published, so that accuracies are somewhat too high for all methods. The repository is under the MIT licence; the study
itself is under controlled access. Models trained on it are for research, not for decisions about people.

The reader also takes MOGONET's other sets, such as its complete BRCA, in the same layout of csv files. Files that name
their people or their features are put in one order by these names::

    1_tr.csv  2_tr.csv  3_tr.csv  labels_tr.csv     one row per person, without a header
    1_te.csv  2_te.csv  3_te.csv  labels_te.csv
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.files.arrays import Array, read_named
from mmlab.data.files.numbers import Grid, same_columns, same_rows
from mmlab.data.splits import Scale, Splits, rescale, stratified
from mmlab.data.tensors import TensorData
from mmlab.paths import expand
from mmlab.wording import naming

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
    return _splits(parts, scale, validation, seed, "ROSMAP", folder / "rosmap.npz")


def mogonet(folder: str | Path, scale: Scale = "minmax", validation: float = 0.0, seed: int = 0) -> Splits:
    """A set in MOGONET's layout of csv files; arguments and result as in :func:`mogonet_rosmap`.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If a file is not as it should be, or the files do not belong together; the message names them.
    """
    place = expand(folder, "folder").absolute()  # "." has the name of its folder
    parts = [_tensors(place, side, tables) for side, tables in _tables(place).items()]
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
    return _splits(parts, scale, validation, seed, place.name, place)


_REMEDY = "take the files of one folder of github.com/txWang/MOGONET."


def _tables(folder: Path) -> dict[str, dict[str, Grid]]:
    """The files of both sides by view, each side's rows in one order, each view's columns in one."""
    sides = {}
    for side in ("tr", "te"):
        named = [(folder / f"{number}_{side}.csv", Array("f", (None, None))) for number in range(1, len(VIEWS) + 1)]
        named.append((folder / f"labels_{side}.csv", Array("f", (None, 1), low=0, high=999)))
        tables = {str(path): read_named(path, wanted, _REMEDY) for path, wanted in named}
        sides[side] = list((same_rows(tables) if _one_length(tables) else tables).items())
    for number in range(len(VIEWS)):
        pair = {side: tables[number] for side, tables in sides.items()}
        if len({table.values.shape[1] for _, table in pair.values()}) == 1:
            alike = same_columns(dict(pair.values()))
            for side, (path, _) in pair.items():
                sides[side][number] = (path, alike[path])
    return {
        side: dict(zip((*VIEWS, "label"), (table for _, table in tables), strict=True))
        for side, tables in sides.items()
    }


def _one_length(tables: dict[str, Grid]) -> bool:
    return len({len(table.values) for table in tables.values()}) == 1


def _tensors(folder: Path, side: str, tables: dict[str, Grid]) -> dict[str, Tensor]:
    part = {}
    for number, view in enumerate(VIEWS, 1):
        part[view] = torch.from_numpy(tables[view].values).float()
        if not bool(torch.isfinite(part[view]).all()):
            raise ValueError(f"{folder / f'{number}_{side}.csv'} holds numbers beyond single precision; {_REMEDY}")
    path = folder / f"labels_{side}.csv"
    label = torch.from_numpy(tables["label"].values)[:, 0]
    if not torch.equal(label, label.round()):
        raise ValueError(f"{path} holds labels that are no integers; {_REMEDY}")
    for number, view in enumerate(VIEWS, 1):
        if len(part[view]) != len(label):
            raise ValueError(
                f"{folder / f'{number}_{side}.csv'} has {len(part[view])} rows, {path.name} {len(label)}; {_REMEDY}"
            )
    return {**part, "label": label}


def _splits(
    parts: list[dict[str, Tensor]], scale: Scale, validation: float, seed: int, name: str, where: Path
) -> Splits:
    if not 0 <= validation < 1:
        raise ValueError(f"validation={validation} is no share of the training people: choose 0 or more, below 1.")
    train, test = (TensorData({**part, "label": part["label"].long()}) for part in parts)
    chosen = []
    with naming(where):
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
