"""NLVR: is a sentence true of a picture? Sentences about three boxes of coloured shapes.

Suhr, Lewis, Yeh, Artzi 2017, A corpus of natural language for visual reasoning, ACL; CC BY 4.0. Most of the time
neither the picture nor the sentence tells the answer: the label is in how the two belong together.

The prepared set has the development part and both test parts, with one of six arrangements of the boxes each: train on
development and hidden test, report on the public test. If you have cloned the repository, give its folder
``nlvr/train`` to train on the 12,409 training sentences instead; then the development part is for choosing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.files.odd import tell_left_out
from mmlab.data.files.pictures import read_picture
from mmlab.data.files.text import parse_json, read_lines
from mmlab.data.tensors import TensorData
from mmlab.data.words import Form, SentenceSplits, as_tensor, hold_out_groups, vocabulary
from mmlab.paths import expand

__all__ = ["nlvr1", "read_nlvr"]

_REMEDY = "get the file again from github.com/lil-lab/nlvr."
_FIELDS = ("sentence", "identifier", "directory", "label")


def nlvr1(
    reduce: int = 2,
    form: Form = "bag",
    length: int = 30,
    least: int = 2,
    validation: float = 0.1,
    seed: int = 0,
    train: str | Path | None = None,
) -> SentenceSplits:
    """Pictures, sentences and whether the sentence is true of the picture.

    Args:
        reduce: Pictures are made smaller by this factor, by means over squares: 1, 2, 4, 5, 10 or 20.
        form: Form of ``text``; see :func:`mmlab.data.words.as_tensor`.
        length: T, largest number of words of a sentence.
        least: How often a word of the vocabulary occurs in the training sentences.
        validation: About this share of the sentences to train on is for choosing, whole groups of sentences that were
            written together. Not used with ``train``.
        seed: Seed of the choice of these groups.
        train: Folder of the original training part, with ``train.json`` and ``images``.

    Returns:
        Splits with keys ``image`` (3, 100/reduce, 400/reduce) from 0 to 1, ``text``, and ``label``, 1 if the sentence
        is true. The ``subjects`` of the parts are the identifiers of the items.

    Raises:
        FileNotFoundError: If a file is not there; the message says how to get it.
        ValueError: If an argument is out of its range, or a file is not as it should be; the message names the file,
            and its record or line. Single odd records are left out, with a warning that counts and names them.
    """
    if reduce not in (1, 2, 4, 5, 10, 20):
        raise ValueError(f"reduce={reduce} does not divide pictures of 100 x 400: choose 1, 2, 4, 5, 10 or 20.")
    records = registry.load_records(
        "nlvr1", "nlvr1.json", {"split": "U", "identifier": "U", "sentence": "U", "label": "b"}
    )
    arrays = registry.load_arrays("nlvr1", "images.npz")
    if len(records) != len(arrays["index"]):
        raise ValueError(
            f"{registry.where('nlvr1') / 'nlvr1.json'} has {len(records)} records, images.npz {len(arrays['index'])} "
            "pictures: put the right files there (check: mmlab data verify nlvr1)."
        )
    pixels = [arrays["palette"][index] for index in arrays["index"]]
    by_split: dict[str, list[int]] = {"dev": [], "hidden": [], "test": []}
    odd = []
    for i, record in enumerate(records):
        if record["split"] in by_split:
            by_split[record["split"]].append(i)
        else:
            odd.append(f"record {i} is of the split {record['split'][:50]!r}, expected {', '.join(by_split)}")
    path = registry.where("nlvr1") / "nlvr1.json"
    tell_left_out(path, odd, len(records), "records", _REMEDY)
    if train is not None:
        more, drawn = read_nlvr(train)
        by_split = {**by_split, "train": [*range(len(records), len(records) + len(more))]}
        records, pixels = records + more, pixels + drawn
        parts = (by_split["train"], by_split["dev"], by_split["test"])
    else:
        rows = by_split["dev"] + by_split["hidden"]
        kept, held = hold_out_groups([_group(records[i]) for i in rows], validation, seed, path)
        parts = ([rows[i] for i in kept], [rows[i] for i in held], by_split["test"])
    known = vocabulary([records[i]["sentence"] for i in parts[0]], least)
    made = [
        _items([records[i] for i in rows], [pixels[i] for i in rows], known, form, length, reduce) if rows else None
        for rows in parts
    ]
    if made[0] is None or made[2] is None:
        raise ValueError(f"{registry.where('nlvr1') / 'nlvr1.json'} has no sentences to train on or to test: {_REMEDY}")
    names = ("train", "validation", "test")
    return SentenceSplits(
        train=made[0],
        validation=made[1],
        test=made[2],
        description="NLVR: is the sentence true of the picture? One arrangement of the boxes per sentence.",
        source=("nlvr1",) if train is None else ("nlvr1", "nlvr1_train"),
        vocabulary=known,
        sentences={name: tuple(records[i]["sentence"] for i in rows) for name, rows in zip(names, parts, strict=True)},
    )


def read_nlvr(folder: str | Path, arrangement: int = 0) -> tuple[list[dict[str, Any]], list[NDArray[np.uint8]]]:
    """Read a part of the original: ``<part>.json`` with one object per line, and ``images/<directory>/*.png``.

    Args:
        folder: Folder of the part, such as ``nlvr/train``; its name is the part's.
        arrangement: Which of the six arrangements of the boxes, 0 to 5.

    Returns:
        N records with ``split``, ``identifier``, ``sentence`` and ``label`` (bool), and N pictures (100, 400, 3).

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If no line is as it should be; the message names file and line. Single odd lines, and those whose
            picture is damaged, are left out, with a warning that counts and names them.
    """
    place = expand(folder, "folder").resolve()  # "." and ".." have the name of the folder that they are
    path = place / f"{place.name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: {registry.source('nlvr1_train').how_to_get}")
    lines = read_lines(path, _REMEDY)
    records: list[dict[str, Any]] = []
    pictures, odd = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = _record(line)
            name = f"{place.name}-{record['identifier']}-{arrangement}.png"
            pictures.append(_picture(place / "images" / record["directory"] / name, f"{path}, line {number}"))
        except ValueError as error:
            odd.append(f"line {number}: {str(error).removesuffix(f': {_REMEDY}').rstrip('.')}")
            continue
        records.append({**record, "split": place.name, "label": record["label"] == "true"})
    tell_left_out(path, odd, len(records) + len(odd), "lines", _REMEDY)
    if not records:
        raise ValueError(f"{path} holds no sentences: {_REMEDY}")
    return records, pictures


def _record(line: str) -> dict[str, str]:
    try:
        value = parse_json(line, "this")
    except ValueError as error:
        raise ValueError(str(error)[:150]) from None
    if not isinstance(value, dict):
        raise ValueError("this is no object")
    for name in _FIELDS:
        if not isinstance(value.get(name), str):
            raise ValueError(f"field {name!r} holds {str(value.get(name))[:50]!r}, expected text")
    # Both are parts of a file's name: nothing but digits may be in them.
    for name, pattern in (("identifier", r"[0-9]+-[0-9]+"), ("directory", r"[0-9]+"), ("label", "true|false")):
        if not re.fullmatch(pattern, value[name], re.ASCII):
            raise ValueError(f"field {name!r} holds {value[name][:50]!r}, expected {pattern}")
    return {name: value[name] for name in _FIELDS}


def _picture(path: Path, where: str) -> NDArray[np.uint8]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}, which {where} names: {_REMEDY}")
    image = read_picture(path, formats=("PNG",))
    if image.size != (400, 100):
        raise ValueError(f"{path}: it is {image.size[0]} x {image.size[1]}, expected 400 x 100: {_REMEDY}")
    return np.array(image)


def _group(record: dict[str, Any]) -> str:
    """Sentences with the same first number were written about the same four pictures."""
    return str(record["identifier"]).partition("-")[0]


def _items(
    records: Sequence[dict[str, Any]],
    pixels: Sequence[NDArray[np.uint8]],
    known: Sequence[str],
    form: Form,
    length: int,
    reduce: int,
) -> TensorData:
    sentences = [record["sentence"] for record in records]
    return TensorData(
        {
            "image": torch.cat([_shrink(picture, reduce) for picture in pixels]),
            "text": as_tensor(sentences, known, form, length),
            "label": torch.tensor([int(record["label"]) for record in records]),
        },
        subjects=[record["identifier"] for record in records],
    )


def _shrink(picture: NDArray[np.uint8], reduce: int) -> Tensor:
    """(100, 400, 3) uint8 to (1, 3, 100/reduce, 400/reduce) from 0 to 1."""
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    return torch.nn.functional.avg_pool2d(image, reduce) if reduce > 1 else image
