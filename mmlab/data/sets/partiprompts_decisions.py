"""Five people's choices for each of 1,632 prompts: is a retrieved or a generated picture the better answer?

Koh, Fried and Salakhutdinov 2023, Generating images with multimodal language models; files of kohjingyu/gill under
Apache-2.0. Who gave which vote is not in the files: the five votes of a prompt stand in no order that means a person.
"""

from __future__ import annotations

import csv
from typing import Literal

from mmlab.data.files import registry

__all__ = ["CHOICES", "partiprompts_decisions"]

CHOICES = ("gen", "ret", "same")
"""Generated, retrieved, or as good as each other."""


def partiprompts_decisions(question: Literal["Alignment", "Realism"] = "Alignment") -> dict[str, tuple[str, ...]]:
    """The votes by prompt; two prompts have four, all others five.

    Args:
        question: Whether people were asked which picture fits the prompt, or which looks real.

    Returns:
        For each prompt its votes, each one of :data:`CHOICES`. A prompt that stands twice gets a number behind it.

    Raises:
        FileNotFoundError: If the set is not there; the message says how to get it.
        ValueError: If the question is another one, or a line is not as it should be.
    """
    if question not in ("Alignment", "Realism"):
        raise ValueError(f"question={question!r}: it is 'Alignment' or 'Realism'.")
    path = registry.where("partiprompts_decisions") / f"PartiPromptsAllDecisions_{question}.tsv"
    if not path.is_file():
        how = registry.source("partiprompts_decisions").how_to_get
        raise FileNotFoundError(f"partiprompts_decisions needs {path}, which is not there: {how}")
    found: dict[str, tuple[str, ...]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), start=2):
            votes = tuple((row.get("Decisions") or "").split(","))
            if not row.get("Prompt") or not set(votes) <= set(CHOICES):
                raise ValueError(
                    f"{path.name}, line {line}: {','.join(votes)[:60]!r} are no votes out of {', '.join(CHOICES)}: "
                    "put the right file there (check: mmlab data verify partiprompts_decisions)."
                )
            name, number = row["Prompt"], 2
            while name in found:
                name, number = f"{row['Prompt']} ({number})", number + 1
            found[name] = votes
    return found
