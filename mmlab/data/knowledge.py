"""A knowledge file: for each class, the terms that describe it, as JSON; and prompts that are made of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from mmlab.data.files.text import read_json
from mmlab.paths import expand
from mmlab.store.folders import write_whole

__all__ = ["Knowledge", "PromptKind", "checked", "prompts_of", "read_knowledge", "write_knowledge"]

Knowledge = Mapping[str, Sequence[str]]
PromptKind = Literal["bare", "enriched", "label-free"]


def read_knowledge(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a knowledge file: one JSON object, by class a list of terms, or one text with commas between them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else, or a class has no term; the message names the file and the class.
    """
    file = expand(path, "path")
    found = read_json(file, "write one object with a list of terms for each class.")
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{file} holds no classes: write one object with a list of terms for each class.")
    made = {}
    for name, terms in found.items():
        listed = terms.split(",") if isinstance(terms, str) else terms
        if (
            not isinstance(listed, list)
            or not all(isinstance(term, str) and term.strip() for term in listed)
            or not listed
        ):
            raise ValueError(f"{file}, class {name!r}: its terms are a list of texts, none of them empty.")
        made[name] = tuple(term.strip() for term in listed)
    return made


def write_knowledge(path: str | Path, knowledge: Knowledge) -> None:
    """Write a knowledge file; :func:`read_knowledge` gives the same back.

    Args:
        path: Where; what is there is replaced.
        knowledge: Terms by class.
    """
    text = json.dumps({name: list(terms) for name, terms in knowledge.items()}, indent=1, ensure_ascii=False)
    write_whole(expand(path, "path"), text + "\n")


def checked(knowledge: Knowledge, known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Only those terms that a source knows: what was proposed and is nowhere to be found is left out.

    Args:
        knowledge: Proposed terms by class.
        known: Terms of the source.

    Raises:
        ValueError: If nothing is left of a class.
    """
    made = {name: tuple(term for term in terms if term in known) for name, terms in knowledge.items()}
    if empty := [name for name, terms in made.items() if not terms]:
        raise ValueError(f"checked: the source knows none of the terms of {empty[0]!r}: propose others.")
    return made


def prompts_of(knowledge: Knowledge, kind: PromptKind = "enriched") -> list[str]:
    """One prompt for each class, in the order of the file and in lower case.

    Args:
        knowledge: Terms by class.
        kind: The name alone; the name and its terms; or the terms without the name.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in get_args(PromptKind):
        raise ValueError(f"prompts_of: kind={kind!r} must be one of {', '.join(get_args(PromptKind))}.")
    parts = {
        name: ([] if kind == "label-free" else [name]) + ([] if kind == "bare" else list(terms))
        for name, terms in knowledge.items()
    }
    return [" ".join(each).lower() for each in parts.values()]
