"""Replies to several questions at once, read one by one: what cannot be read is counted, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmlab.metrics.multiple_choice import AMBIGUOUS, UNREADABLE, read_name

__all__ = ["Replies", "read_replies", "write_replies"]


@dataclass(frozen=True)
class Replies:
    """What a reply says to each question.

    Attributes:
        read: Numbers of classes, :data:`mmlab.metrics.multiple_choice.UNREADABLE` or ``AMBIGUOUS``; one for each
            question that was asked, for :func:`mmlab.metrics.multiple_choice.choice_scores`.
        confidence: Stated confidences; nan where there is none between 0 and 1.
    """

    read: tuple[int, ...]
    confidence: tuple[float, ...]


def read_replies(text: str, questions: int, names: Sequence[str]) -> Replies:
    """Read a reply to the prompt of :func:`mmlab.data.demonstrations.write_prompt`.

    A question without a line of its own is unreadable. If it has two lines that say different things, it is
    ambiguous, as is a line with two names. Names are whole words: "bear" is not read in "polar bear".

    Args:
        text: The reply.
        questions: How many were asked.
        names: Names of the classes.
    """
    said: dict[int, set[int]] = {}
    stated: dict[int, list[float]] = {}
    for kind, number, rest in re.findall(r"^[\W_]*(answer|confidence)\s+(\d+)\s*:(.*)$", text, re.I | re.M):
        place = int(number)
        if kind.lower() == "answer":
            said.setdefault(place, set()).add(read_name(rest, names))
        elif number_said := re.fullmatch(r"\s*(\d*\.?\d+)\s*", rest):
            stated.setdefault(place, []).append(float(number_said[1]))
    read, confidence = [], []
    for place in range(1, questions + 1):
        found = said.get(place, {UNREADABLE})
        read.append(next(iter(found)) if len(found) == 1 else AMBIGUOUS)
        values = stated.get(place, [])
        confidence.append(values[0] if len(values) == 1 and 0 <= values[0] <= 1 else float("nan"))
    return Replies(tuple(read), tuple(confidence))


def write_replies(answers: Sequence[int], names: Sequence[str], confidence: Sequence[float] | None = None) -> str:
    """The reply of somebody who keeps to the form; :func:`read_replies` gives the answers back.

    Args:
        answers: Numbers of classes.
        names: Names of the classes.
        confidence: Stated confidences; none if they are left out.
    """
    lines = []
    for place, answer in enumerate(answers):
        lines.append(f"Answer {place + 1}: {names[answer]}")
        if confidence is not None:
            lines.append(f"Confidence {place + 1}: {confidence[place]:.2f}")
    return "\n".join(lines)
