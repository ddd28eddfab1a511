"""MuMiN's claims without their graph: text, verdict and split, from a table.

The tweets, authors and pictures of MuMiN (Nielsen and McConville 2022) have to be fetched through an interface that is
gone. The repository ``MuMiN-dataset/mumin-baseline`` (MIT) holds the claims with their verdicts and the masks of the
split by clusters, as pickled tables, which this package does not open. Where you trust the file, this makes a table of
it, outside of mmlab::

    import pandas
    pandas.read_pickle("claim_dump_small.pkl.xz").to_csv("claim_dump_small.csv", index=False)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmlab.data.files.tables import read_rows
from mmlab.paths import expand
from mmlab.wording import few, nearest

__all__ = ["Claims", "read_mumin_claims"]

_VERDICTS = {"factual": 0, "misinformation": 1}
_YES, _NO = ("true", "1", "1.0"), ("false", "0", "0.0")


@dataclass(frozen=True, eq=False)
class Claims:
    """One part of the split.

    Attributes:
        texts: N texts.
        label: (N,) long, 1 for misinformation.
    """

    texts: tuple[str, ...]
    label: Tensor

    @property
    def majority_macro_f1(self) -> float:
        """What always saying the more frequent verdict gets; nan without claims."""
        if not len(self.label):
            return float("nan")
        p = max(float(self.label.double().mean()), 1 - float(self.label.double().mean()))
        return p / (1 + p)  # half of F1 = 2 p / (1 + p); the other class has none


def read_mumin_claims(
    path: str | Path,
    text: str = "claim",
    label: str = "label",
    masks: Sequence[str] = ("train_mask", "val_mask", "test_mask"),
) -> dict[str, Claims]:
    """Read claims, part by part.

    Args:
        path: A ``.csv`` or ``.tsv`` with a header.
        text: Column of the text, or of its translation.
        label: Column of the verdict, ``factual`` or ``misinformation``.
        masks: Columns that say by true and false, or 1 and 0, whether a claim is for training, validation, test.

    Returns:
        ``train``, ``validation`` and ``test``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is not there, a text is empty, a verdict is neither, or a claim is not in exactly one
            part; the message names file and row.
    """
    file = expand(path, "path")
    if len(masks) != 3:
        raise ValueError(f"masks has {len(masks)} names; name the columns of training, validation and test.")
    rows = read_rows(file, "make it again from the pickled table.")
    header = [name for name in (rows[0] if rows else {}) if name]
    for name in (text, label, *masks):
        if name not in header:
            raise ValueError(f"{file} has no column {name!r}: {nearest(name, header)}")
    texts = [(row[text] or "").strip() for row in rows]
    verdicts = [(row[label] or "").strip().lower() for row in rows]
    if "" in texts:
        raise ValueError(f"{file}, row {texts.index('') + 1}, column {text!r} is empty: leave out that row.")
    if odd := [at for at, verdict in enumerate(verdicts) if verdict not in _VERDICTS]:
        raise ValueError(
            f"{file}, row {odd[0] + 1}: the verdict {verdicts[odd[0]]!r} is neither of {few(_VERDICTS, ' and ')}: "
            "leave out that row."
        )
    held = torch.tensor([[_mask(row[name], file, at, name) for name in masks] for at, row in enumerate(rows)])
    if len(wrong := (held.sum(1) != 1).nonzero()):
        raise ValueError(
            f"{file}, row {int(wrong[0]) + 1}: the claim is in {int(held[wrong[0, 0]].sum())} parts of the split, and "
            f"must be in one; {len(wrong)} claims are so."
        )
    truth = torch.tensor([_VERDICTS[verdict] for verdict in verdicts])
    parts = {}
    for at, name in enumerate(("train", "validation", "test")):
        chosen = held[:, at].nonzero()[:, 0]
        parts[name] = Claims(tuple(texts[row] for row in chosen.tolist()), truth[chosen])
    return parts


def _mask(value: str | None, file: Path, at: int, name: str) -> bool:
    said = (value or "").strip().lower()
    if said not in (*_YES, *_NO):
        raise ValueError(f"{file}, row {at + 1}, column {name!r} is {said!r}: write true or false.")
    return said in _YES
