"""HEADSET (Lohesara et al. 2023): faces of 27 people with posed expressions, and of 11 with a headset on.

The set holds volumes, clouds, light fields and views of many cameras; its authors give it on agreement, and mmlab has
not seen its folders. So the reader of this module takes what can be cut out of them: one row for each face, in a table
``manifest.csv`` with the columns

=========  =============================================================================
column     what stands in it
=========  =============================================================================
subject    who it is
emotion    which expression was posed, in words
headset    1 with a headset, else 0
picture    file of the cut-out face, relative to the table
depth      file of its depth map, ``.npy`` (H, W), registered to the picture
mask       file of a picture that is white where the headset is; empty where there is none
=========  =============================================================================

A row with a headset and without a mask is refused: who is not told what is hidden takes the headset for a face.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.data.files import registry
from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.patterns import named_file
from mmlab.data.files.pictures import read_picture
from mmlab.data.files.tables import read_table
from mmlab.data.splits import Splits
from mmlab.data.tensors import TensorData
from mmlab.paths import expand
from mmlab.wording import require_at_least

__all__ = ["headset_faces"]

_COLUMNS = {"subject": "U", "emotion": "U", "headset": "i", "picture": "U", "depth": "U", "mask": "U?"}
_REMEDY = "correct manifest.csv, or take the row out."


def headset_faces(
    folder: str | Path | None = None,
    size: int = 16,
    shares: tuple[float, float] = (0.2, 0.2),
    seed: int = 0,
) -> Splits:
    """Faces by person: nobody is in two parts.

    Args:
        folder: With ``manifest.csv``; by default the folder ``headset`` under ``MMLAB_DATA``.
        size: Side of the maps, in pixels. A pixel is hidden if any pixel of the mask that falls into it is.
        shares: Shares of the people to choose by, and of the test; at least one each.
        seed: Seed of who is where.

    Returns:
        Splits with ``picture`` and ``depth`` (N, 1, size, size), the first one in [-1, 1]; ``picture_hidden`` and
        ``depth_hidden`` likewise, bool; ``label`` (N,), numbers of the emotions in alphabetical order; and ``headset``
        (N,) bool. The subjects are the people.

    Raises:
        FileNotFoundError: If the table or a file is not there; the message says how to get it.
        ValueError: If a row is not as it should be, or there are fewer than three people.
    """
    require_at_least(size=(size, 1))
    place = registry.where("headset") if folder is None else expand(folder, "folder")
    path = place / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {registry.source('headset').how_to_get}")
    table = read_table(path, _COLUMNS, "see mmlab.data.sets.headset_faces for the columns.")
    rows = [
        _row(path, number, dict(zip(table, values, strict=True)), size)
        for number, values in enumerate(zip(*table.values(), strict=True), 2)
    ]
    people = sorted(set(table["subject"]))
    if len(people) < 3:
        raise ValueError(f"{path} names {len(people)} people: three parts need at least three.")
    emotions = sorted(set(table["emotion"]))
    tensors = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
    tensors["label"] = torch.tensor([emotions.index(emotion) for emotion in table["emotion"]])
    whole = TensorData(tensors, table["subject"])
    order = [people[i] for i in torch.randperm(len(people), generator=torch.Generator().manual_seed(seed)).tolist()]
    held = [max(1, round(share * len(people))) for share in shares]
    if sum(held) >= len(people):
        raise ValueError(f"shares={shares} leave nobody of {len(people)} people to learn from: hold back fewer.")
    groups = [order[sum(held) :], order[: held[0]], order[held[0] : sum(held)]]
    parts = [whole.subset([i for i, who in enumerate(table["subject"]) if who in group]) for group in groups]
    train, validation, test = parts
    return Splits(
        train, validation, test, f"HEADSET, {len(people)} people, emotions {', '.join(emotions)}.", ("headset",)
    )


def _row(path: Path, number: int, row: dict[str, object], size: int) -> dict[str, Tensor]:
    """Both maps of one row and what is hidden of them."""
    where = f"{path}, row {number}"
    if row["headset"] not in (0, 1):
        raise ValueError(f"{where}: headset is {row['headset']}, not 0 or 1: {_REMEDY}")
    if row["headset"] and not row["mask"]:
        raise ValueError(f"{where} has a headset and no mask: name a picture that is white where the headset is.")
    grey = _grey(path.parent, where, str(row["picture"]))
    depth = torch.from_numpy(
        read_array(_file(path.parent, where, str(row["depth"])), Array("f", (None, None)), _REMEDY).astype(np.float32)
    )
    if depth.shape != grey.shape:
        raise ValueError(f"{where}: picture {tuple(grey.shape)} and depth {tuple(depth.shape)} differ: {_REMEDY}")
    hidden = torch.zeros_like(grey)
    if row["mask"]:
        hidden = (_grey(path.parent, where, str(row["mask"])) > 0).float()
        if hidden.shape != grey.shape:
            raise ValueError(f"{where}: picture {tuple(grey.shape)} and mask {tuple(hidden.shape)} differ: {_REMEDY}")
    small = F.adaptive_max_pool2d(hidden[None], size) > 0  # (1, size, size)
    maps = {"picture": F.adaptive_avg_pool2d(grey[None], size), "depth": F.adaptive_avg_pool2d(depth[None], size)}
    marks = {f"{name}_hidden": small for name in maps}
    return maps | marks | {"headset": torch.tensor(bool(row["headset"]))}


def _grey(folder: Path, where: str, name: str) -> Tensor:
    """A picture in grey, (H, W) in [-1, 1]."""
    image = read_picture(_file(folder, where, name)).convert("L")
    return torch.from_numpy(np.array(image)).float() / 127.5 - 1


def _file(folder: Path, where: str, name: str) -> Path:
    found = named_file(folder, name.strip())
    if found is None or not found.resolve().is_relative_to(folder.resolve()):
        raise FileNotFoundError(f"{where}: there is no file {name[:200]!r} in {folder}: {_REMEDY}")
    return found
