"""Five people's choices for each of 1,632 prompts: is a retrieved or a generated picture the better answer?

Koh, Fried and Salakhutdinov 2023, Generating images with multimodal language models; files of kohjingyu/gill under
Apache-2.0. Who gave which vote is not in the files: the five votes of a prompt stand in no order that means a person.
"""

from __future__ import annotations

from typing import Literal

from mmlab.data.files import registry
from mmlab.data.files.odd import tell_left_out

__all__ = ["CHOICES", "partiprompts_decisions"]

CHOICES = ("gen", "ret", "same")
"""Generated, retrieved, or as good as each other."""
_NAME = "partiprompts_decisions"


def partiprompts_decisions(question: Literal["Alignment", "Realism"] = "Alignment") -> dict[str, tuple[str, ...]]:
    """The votes by prompt; two prompts have four, all others five.

    Args:
        question: Whether people were asked which picture fits the prompt, or which looks real.

    Returns:
        For each prompt its votes, each one of :data:`CHOICES`. A prompt that stands twice gets a number behind it.

    Raises:
        FileNotFoundError: If the set is not there; the message says how to get it.
        ValueError: If the question is another one, or no line is as it should be. Single odd lines are left out, with a
            warning that counts and names them.
    """
    if question not in ("Alignment", "Realism"):
        raise ValueError(f"question={question!r}: it is 'Alignment' or 'Realism'.")
    name = f"PartiPromptsAllDecisions_{question}.tsv"
    table = registry.load_table(_NAME, name, {"Prompt": "U", "Decisions": "U"})
    found: dict[str, tuple[str, ...]] = {}
    odd = []
    for line, (prompt, given) in enumerate(zip(table["Prompt"], table["Decisions"], strict=True), start=2):
        votes = tuple(given.strip().split(","))
        if not prompt.strip() or not set(votes) <= set(CHOICES):
            odd.append(f"line {line}: {given[:60]!r} are no votes out of {', '.join(CHOICES)}")
            continue
        known, number = prompt, 2
        while known in found:
            known, number = f"{prompt} ({number})", number + 1
        found[known] = votes
    remedy = f"put the right file there (check: mmlab data verify {_NAME})."
    tell_left_out(registry.where(_NAME) / name, odd, len(table["Prompt"]), "lines", remedy)
    return found
