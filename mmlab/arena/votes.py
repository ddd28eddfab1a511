"""Votes as rows that anybody can read: with what was shown where, and the hidden mapping joined afterwards."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab.data.files.tables import read_rows
from mmlab.paths import expand
from mmlab.store.sheets import as_csv, from_cell
from mmlab.wording import visible

__all__ = ["BOTH_BAD", "TIE", "Vote", "from_chatbot_arena", "read_votes", "write_votes"]

TIE, BOTH_BAD = "tie", "none"
"""Choices beside the places of the answers: as good as each other; none of them is good."""


@dataclass(frozen=True)
class Vote:
    """One respondent's judgement of one item.

    Attributes:
        respondent: Who judged: a number or a hash, never a name.
        item: What was judged.
        shown: The systems in the order in which the respondent saw their answers.
        choice: Place of the best one as text ("0" is the first), "tie", or "none" if no answer is good.
        ratings: For each scale the ratings of the answers, in the order shown; None for one that was not given.
        rationale: Why, in the respondent's words.
        seconds: Time from showing to voting, as the page measured it; NaN if not known.
        attention: The system that an attentive respondent chooses, for items that test it; empty for others.
    """

    respondent: str
    item: str
    shown: tuple[str, ...]
    choice: str
    ratings: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    rationale: str = ""
    seconds: float = math.nan
    attention: str = ""

    @property
    def winner(self) -> str:
        """The system that was chosen; empty if none was."""
        return "" if self.choice in (TIE, BOTH_BAD) else self.shown[int(self.choice)]


_LINE = '{"respondent": "'
_COLUMNS = ("respondent", "item", "shown", "choice", "winner", "ratings", "rationale", "seconds", "attention")


def write_votes(votes: Iterable[Vote], path: str | Path) -> Path:
    """Write all rows, as ``.jsonl`` or ``.csv``; a file is written whole or not at all.

    In a csv no text is a formula, see :mod:`mmlab.store.sheets`.

    Args:
        votes: The votes.
        path: The file.

    Raises:
        ValueError: If the ending is another one.
        NotOursError: If there is a file already that holds no votes in this form.
    """
    from mmlab.store.files import replace_file
    from mmlab.store.folders import refuse_other_file

    target = expand(path)
    text = encode(votes, target.suffix.lower().removeprefix("."))
    refuse_other_file(target, ",".join(_COLUMNS[:4]) if target.suffix.lower() == ".csv" else _LINE)
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_file(target, [text.encode(errors="replace")])
    return target


def encode(votes: Iterable[Vote], kind: str) -> str:
    """All rows as text.

    Args:
        votes: The votes.
        kind: ``"jsonl"`` or ``"csv"``.

    Raises:
        ValueError: If the kind is another one.
    """
    rows = [_row(vote) for vote in votes]
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if kind != "csv":
        raise ValueError(
            f"Votes are written as .jsonl or .csv, not as {'.' + kind if kind else 'a file without ending'}."
        )
    nested = ("shown", "ratings")
    return as_csv(_COLUMNS, [row | {key: json.dumps(row[key], ensure_ascii=False) for key in nested} for row in rows])


def read_votes(path: str | Path) -> list[Vote]:
    """Read what :func:`write_votes` wrote.

    Args:
        path: A ``.jsonl`` or ``.csv`` file.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no such file; the message names the line.
    """
    source = expand(path)
    kind = source.suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise ValueError(f"{source} is no file of votes: they are written as .jsonl or .csv by `mmlab arena export`.")
    found = []
    for number, row in enumerate(read_rows(source, "`mmlab arena export` writes a file of votes."), start=1):
        try:
            found.append(_vote(_unfold(row) if kind == ".csv" else row))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
            raise ValueError(
                f"{source.name}, row {number}, is no vote ({type(problem).__name__}: {problem})."
            ) from None
    return found


def from_chatbot_arena(rows: Iterable[Mapping[str, Any]]) -> list[Vote]:
    """Votes in the form that Chatbot Arena published: ``model_a``, ``model_b``, ``winner``, and who judged what.

    The judge is ``judge``, ``judge_hash`` or ``user_id``, the item ``question_id``, ``item`` or the first prompt of
    ``conversation_a``. A row that names none is a judge, or an item, of its own: then its votes count as independent,
    and the intervals are as narrow as that makes them.

    Args:
        rows: The records of the JSON file.

    Raises:
        ValueError: If a row lacks a model or its winner is none of model_a, model_b, tie and tie (bothbad).
    """
    choices = {"model_a": "0", "model_b": "1", "tie": TIE, "tie (bothbad)": BOTH_BAD, "both_bad": BOTH_BAD}
    found = []
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping) or not row.get("model_a") or not row.get("model_b"):
            raise ValueError(f"Row {number} lacks model_a or model_b: is it a file of Chatbot Arena?")
        models = tuple(visible(str(row[name])) for name in ("model_a", "model_b"))
        if len(set(models)) == 1:
            raise ValueError(f"Row {number} compares {models[0]} with itself: leave it out.")
        choice = choices.get(str(row.get("winner", "")).replace("tie(bothbad)", "tie (bothbad)"))
        if choice is None:
            raise ValueError(f"Row {number} has the winner {row.get('winner')!r}: it is one of {', '.join(choices)}.")
        judge = _first(row, ("judge", "judge_hash", "user_id"), f"row {number}")
        item = _first(row, ("question_id", "item", "question"), "") or _prompt(row) or f"row {number}"
        found.append(Vote(judge, item, models, choice))
    return found


def _first(row: Mapping[str, Any], names: Sequence[str], otherwise: str) -> str:
    return next((visible(str(row[name])) for name in names if row.get(name) not in (None, "")), otherwise)


def _prompt(row: Mapping[str, Any]) -> str:
    talk = row.get("conversation_a")
    first = talk[0] if isinstance(talk, list) and talk else None
    return visible(str(first.get("content", ""))) if isinstance(first, Mapping) else ""


def _row(vote: Vote) -> dict[str, Any]:
    return {
        "respondent": vote.respondent,
        "item": vote.item,
        "shown": list(vote.shown),
        "choice": vote.choice,
        "winner": vote.winner,
        "ratings": {name: list(values) for name, values in vote.ratings.items()},
        "rationale": vote.rationale,
        "seconds": None if math.isnan(vote.seconds) else round(vote.seconds, 2),
        "attention": vote.attention,
    }


def _vote(row: Any) -> Vote:
    if not isinstance(row["shown"], list):
        raise ValueError("shown must be a list of systems")
    shown = tuple(visible(str(name)) for name in row["shown"])
    choice = str(row["choice"])
    if len(set(shown)) != len(shown) or len(shown) < 2:
        raise ValueError(f"shown is {list(shown)}, and must be two or more different systems")
    if choice not in (TIE, BOTH_BAD, *map(str, range(len(shown)))):
        raise ValueError(f"choice is {choice!r}, and must be a place from 0, 'tie' or 'none'")
    ratings = {str(name): [None if v is None else _whole(v) for v in values] for name, values in row["ratings"].items()}
    if any(len(values) != len(shown) for values in ratings.values()):
        raise ValueError("a scale has more or fewer ratings than there are answers")
    seconds = math.nan if row.get("seconds") in (None, "") else float(row["seconds"])
    text = [str(row[key]) for key in ("respondent", "item")]
    return Vote(
        text[0], text[1], shown, choice, ratings, str(row.get("rationale", "")), seconds, str(row.get("attention", ""))
    )


def _whole(value: Any) -> int:
    if value != int(value):
        raise ValueError(f"the rating {value} is no whole number")
    return int(value)


def _unfold(row: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {key: from_cell(value) for key, value in row.items()}
    return found | {key: json.loads(found[key]) for key in ("shown", "ratings")}
