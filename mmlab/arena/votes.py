"""Votes as rows that anybody can read: with what was shown where, and the hidden mapping joined afterwards."""

from __future__ import annotations

import json
import math
import re
import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab.arena.competition import Item
from mmlab.data.files.tables import read_rows
from mmlab.data.files.text import parse_json, read_json, read_json_lines, read_text
from mmlab.data.subjects import spelled, subject_id
from mmlab.paths import expand
from mmlab.store.sheets import as_csv, from_cell
from mmlab.wording import few, visible

__all__ = [
    "BOTH_BAD",
    "TIE",
    "Vote",
    "from_chatbot_arena",
    "read_chatbot_arena",
    "read_votes",
    "stored_vote",
    "write_votes",
]

TIE, BOTH_BAD = "tie", "none"
"""Choices beside the places of the answers: as good as each other; none of them is good."""
LONGEST_NAME = 200
"""Letters of a system's name."""
_LARGEST_RATING = 10**6


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

    Raises:
        ValueError: If it is none, as when the choice is no place among the answers.
    """

    respondent: str
    item: str
    shown: tuple[str, ...]
    choice: str
    ratings: Mapping[str, Sequence[int | None]] = field(default_factory=dict)
    rationale: str = ""
    seconds: float = math.nan
    attention: str = ""

    def __post_init__(self) -> None:
        _check(self)

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
        except ValueError as problem:
            raise ValueError(f"{source}, row {number}, is no vote: {str(problem).rstrip('.')}.") from None
    return found


def read_chatbot_arena(path: str | Path) -> list[Vote]:
    """Votes in a file as Chatbot Arena published them, see :func:`from_chatbot_arena`.

    Args:
        path: A list in JSON, or a record on each line.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is neither, or no record is a vote.
    """
    source = expand(path)
    remedy = "give a list, or a record on each line, in the form of Chatbot Arena."
    rows = (read_json if read_text(source, remedy).lstrip()[:1] == "[" else read_json_lines)(source, remedy)
    if not rows:
        raise ValueError(f"{source} holds no records: {remedy}")
    try:
        return from_chatbot_arena(rows)
    except ValueError as problem:
        raise ValueError(f"{source}: {problem}") from None


def from_chatbot_arena(rows: Iterable[Mapping[str, Any]]) -> list[Vote]:
    """Votes in the form that Chatbot Arena published: ``model_a``, ``model_b``, ``winner``, and who judged what.

    The judge is ``judge``, ``judge_hash`` or ``user_id``, the item ``question_id``, ``item`` or the first prompt of
    ``conversation_a``. A row that names none is a judge, or an item, of its own: then its votes count as independent,
    and the intervals are as narrow as that makes them. Single rows that are no votes are left out, with a warning that
    counts and names them.

    Args:
        rows: The records of the JSON file.

    Raises:
        ValueError: If no row is a vote: each lacks a model, compares one with itself, or has a winner that is none of
            model_a, model_b, tie and tie (bothbad).
    """
    found, odd, count = [], [], 0
    for count, row in enumerate(rows, start=1):
        try:
            found.append(_from_row(row, count))
        except ValueError as problem:
            odd.append(f"Row {count} {str(problem).rstrip('.')}")
    if odd and not found:
        raise ValueError(f"{odd[0]}, and no other row is a vote: give a file in the form of Chatbot Arena.")
    if odd:
        warnings.warn(f"{len(odd)} of {count} rows are no votes and are left out: {few(odd, '; ')}.", stacklevel=2)
    return found


_CHOICES = {"model_a": "0", "model_b": "1", "tie": TIE, "tie (bothbad)": BOTH_BAD, "both_bad": BOTH_BAD}


def _from_row(row: Any, number: int) -> Vote:
    if not isinstance(row, Mapping) or not row.get("model_a") or not row.get("model_b"):
        raise ValueError("lacks model_a or model_b")
    models = tuple(_system(row[name]) for name in ("model_a", "model_b"))
    if len(set(models)) == 1:
        raise ValueError(f"compares {models[0]} with itself")
    choice = _CHOICES.get(str(row.get("winner", "")).replace("tie(bothbad)", "tie (bothbad)"))
    if choice is None:
        raise ValueError(f"has the winner {str(row.get('winner'))[:50]!r}, which is none of {', '.join(_CHOICES)}")
    judge = _first(row, ("judge", "judge_hash", "user_id"), f"row {number}")
    item = _first(row, ("question_id", "item", "question"), "") or _prompt(row) or f"row {number}"
    return Vote(judge, item, models, choice)


def _first(row: Mapping[str, Any], names: Sequence[str], otherwise: str) -> str:
    """Who, or what, the first of some fields names: a text, a number, or a list of texts."""
    value = next((row[name] for name in names if row.get(name) not in (None, "", [])), None)
    if value is None:
        return otherwise
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    return visible(subject_id(value))


def _prompt(row: Mapping[str, Any]) -> str:
    talk = row.get("conversation_a")
    first = talk[0] if isinstance(talk, list) and talk else None
    return visible(str(first.get("content", ""))) if isinstance(first, Mapping) else ""


def stored_vote(row: Any, items: Mapping[str, Item]) -> Vote:
    """The vote in a row of a store.

    Args:
        row: A round and what was voted in it.
        items: The items of the competition, by name.

    Raises:
        ValueError: If it is no vote on one of them: then somebody changed the store.
    """
    try:
        if row.item not in items:
            raise ValueError(f"there is no item {str(row.item)[:60]!r}")
        shown, answers = parse_json(row.shown, "shown"), items[row.item].answers
        if not isinstance(shown, list) or not all(name in answers for name in map(str, shown)):
            raise ValueError(f"{str(shown)[:60]} are no answers to {row.item}")
        ratings = parse_json(row.ratings, "ratings")
        seconds = math.nan if row.seconds is None else row.seconds
        attention = items[row.item].attention
        return Vote(str(row.respondent), row.item, tuple(shown), row.choice, ratings, row.rationale, seconds, attention)
    except ValueError as problem:
        raise ValueError(
            f"The store holds a round {str(row.id)[:30]!r} that is no vote: {problem}. Put a copy in its place."
        ) from None


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


def _check(vote: Vote) -> None:
    """Refuse what is no vote. The end of the sentence is the caller's."""
    shown, ratings = vote.shown, vote.ratings
    if not isinstance(shown, tuple) or not all(isinstance(name, str) for name in shown):
        raise ValueError("shown must be a list of systems")
    if len(set(shown)) != len(shown) or len(shown) < 2:
        raise ValueError(f"shown is {str(list(shown))[:100]}, and must be two or more different systems")
    if vote.choice not in (TIE, BOTH_BAD, *map(str, range(len(shown)))):
        raise ValueError(f"choice is {str(vote.choice)[:50]!r}, and must be a place from 0, 'tie' or 'none'")
    if not isinstance(ratings, Mapping) or not all(isinstance(values, Sequence) for values in ratings.values()):
        raise ValueError("ratings must be an object with a list for each scale")
    for name, values in ratings.items():
        if len(values) != len(shown):
            raise ValueError(f"the scale {name[:50]!r} has {len(values)} ratings, and there are {len(shown)} answers")
        for value in values:
            if value is not None and (type(value) is not int or abs(value) > _LARGEST_RATING):
                raise ValueError(f"the rating {str(value)[:50]!r} is no whole number up to {_LARGEST_RATING:,}")
    if type(vote.seconds) not in (int, float) or not (math.isnan(vote.seconds) or 0 <= vote.seconds < math.inf):
        raise ValueError(f"seconds is {str(vote.seconds)[:50]!r}, and must be a number from 0, or nothing")
    texts = {key: getattr(vote, key) for key in ("respondent", "item", "rationale", "attention")}
    if odd := next((key for key, text in texts.items() if not isinstance(text, str)), ""):
        raise ValueError(f"{odd} is {str(texts[odd])[:50]!r}, and must be a text")
    if vote.attention and vote.attention not in shown:
        raise ValueError(f"attention names {vote.attention[:50]!r}, which is not among shown")


def _vote(row: Mapping[str, Any]) -> Vote:
    if lacking := [key for key in ("respondent", "item", "shown", "choice", "ratings") if row.get(key) is None]:
        raise ValueError(f"it lacks {few(lacking)}")
    shown, ratings, seconds = row["shown"], row["ratings"], row.get("seconds")
    if isinstance(ratings, Mapping):
        ratings = {str(name): _ratings(values) for name, values in ratings.items()}
    try:
        seconds = math.nan if seconds in (None, "") else seconds if isinstance(seconds, bool) else float(seconds)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"seconds is {str(seconds)[:50]!r}, and must be a number") from None
    found = Vote(
        subject_id(row["respondent"]),
        _item(row["item"]),
        tuple(map(_system, shown)) if isinstance(shown, list) else shown,
        str(row["choice"]),
        ratings,
        _text(row.get("rationale")),
        seconds,
        _text(row.get("attention")) and _system(row["attention"]),
    )
    if (said := row.get("winner")) not in (None, "") and _system(said) != found.winner:
        raise ValueError(f"winner is {str(said)[:50]!r}, and the choice {found.choice!r} among shown says otherwise")
    return found


def _system(value: Any) -> str:
    """The name of a system in one spelling and on one line."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError(f"{str(value)[:50]!r} is no name of a system")
    name = " ".join(visible(spelled(str(value))).split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"{name[:50]!r} is no name of a system: it has {len(name)} letters")
    return name


def _item(value: Any) -> str:
    """What was judged: a text stays as it is, and a number is one however it is written."""
    if isinstance(value, str) and value and not value.strip(" ").replace(".", "").isdecimal():
        return unicodedata.normalize("NFC", value)
    return subject_id(value)


def _text(value: Any) -> Any:
    return "" if value is None else value


def _ratings(values: Any) -> Any:
    """Ratings in which 4.0 and "4" are 4."""
    if not isinstance(values, list):
        return values
    return [
        int(float(v)) if not isinstance(v, bool) and re.fullmatch(r"-?\d{1,7}(\.0)?", str(v)) else v for v in values
    ]


def _unfold(row: Mapping[str, str | None]) -> dict[str, Any]:
    found: dict[str, Any] = {key: None if value is None else from_cell(value) for key, value in row.items()}
    for key in ("shown", "ratings"):
        if found.get(key) is not None:
            found[key] = parse_json(found[key], key)
    return found
