"""The sentences of NLVR2 with their labels, without the photographs: what does a model of text alone learn?

Suhr et al. 2019, A corpus for reasoning about natural language grounded in photographs, ACL; annotations CC BY 4.0.
Each sentence was written to be true of some pairs of photographs and false of others, so that text alone should stay
near chance: a model that does not has found a flaw of the set, or of its split. The photographs are not licensed;
their authors give them on request (see ``nlvr2_images`` in the registry).
"""

from __future__ import annotations

import re

import torch

from mmlab.data.files import registry
from mmlab.data.files.odd import tell_left_out
from mmlab.data.tensors import TensorData
from mmlab.data.words import Form, SentenceSplits, as_tensor, hold_out_groups, vocabulary

__all__ = ["nlvr2_text"]

_COLUMNS = {"split": "U", "identifier": "U", "label": "U", "sentence": "U"}


def nlvr2_text(
    form: Form = "bag", length: int = 40, least: int = 5, validation: float = 0.1, seed: int = 0
) -> SentenceSplits:
    """Sentences and whether they are true of a pair of photographs that is not there.

    Args:
        form: Form of ``text``; see :func:`mmlab.data.words.as_tensor`.
        length: T, largest number of words of a sentence.
        least: How often a word of the vocabulary occurs in the training sentences.
        validation: About this share of the development sentences is for choosing, whole sets of photographs.
        seed: Seed of the choice of these sets.

    Returns:
        Splits with keys ``text`` and ``label``, 1 if the sentence is true. Training and validation items come from the
        development part, test items from the public test part. The ``subjects`` are the identifiers.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If an argument is out of its range, or the file is not as it should be; the message names file and
            row. Single odd rows are left out, with a warning that counts and names them.
    """
    table = registry.load_table("nlvr2_text", "nlvr2.csv", _COLUMNS)
    path = registry.where("nlvr2_text") / "nlvr2.csv"
    remedy = "put the right file there (check: mmlab data verify nlvr2_text)."
    rows: dict[str, list[int]] = {"dev": [], "test1": []}
    odd = []
    for i, (split, name, label) in enumerate(zip(table["split"], table["identifier"], table["label"], strict=True)):
        if split not in rows or label not in ("true", "false"):
            told = f"has split {split[:50]!r} and label {label[:50]!r}, expected dev or test1 and true or false"
            odd.append(f"row {i + 2} {told}")
        elif not re.fullmatch(rf"{split}-[0-9]+-[0-9]+-[0-9]+", name, re.ASCII):
            odd.append(f"row {i + 2} has the identifier {name[:50]!r}, expected {split}-n-n-n")
        else:
            rows[split].append(i)
    tell_left_out(path, odd, len(table["split"]), "rows", remedy)
    if not all(rows.values()):
        raise ValueError(f"{path} lacks the rows of dev or of test1: {remedy}")
    groups = ["-".join(table["identifier"][i].split("-")[:2]) for i in rows["dev"]]
    kept, held = hold_out_groups(groups, validation, seed, path)
    parts = {
        "train": [rows["dev"][i] for i in kept],
        "validation": [rows["dev"][i] for i in held],
        "test": rows["test1"],
    }
    sentences = {part: tuple(table["sentence"][i] for i in chosen) for part, chosen in parts.items()}
    known = vocabulary(sentences["train"], least)
    made = {
        part: TensorData(
            {
                "text": as_tensor(sentences[part], known, form, length),
                "label": torch.tensor([int(table["label"][i] == "true") for i in chosen]),
            },
            subjects=[table["identifier"][i] for i in chosen],
        )
        for part, chosen in parts.items()
        if chosen
    }
    return SentenceSplits(
        train=made["train"],
        validation=made.get("validation"),
        test=made["test"],
        description="NLVR2, sentences only: text alone should stay near chance.",
        source=("nlvr2_text",),
        vocabulary=known,
        sentences=sentences,
    )
