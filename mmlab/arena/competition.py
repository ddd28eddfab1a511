"""What is judged: items, the answers of two or more systems to each, and the rules; written as a TOML file.

The names of systems are in this file, and never on the page that respondents see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

from mmlab.data.files.text import read_toml
from mmlab.data.subjects import spelled
from mmlab.data.words import normal
from mmlab.paths import expand
from mmlab.wording import few, nearest, repeated

__all__ = ["Answer", "Competition", "Item", "Scale", "read_competition"]

LONGEST = 10_000
"""Letters of a text: of an item, an answer, a rationale."""
_MOST_SETS = 1000
_NAME = re.compile(r"[\w.+-](?:[\w.+ -]{0,58}[\w.+-])?")
_BEGINNING = "# A competition of mmlab: see the page 'Run a competition'.\n"


@dataclass(frozen=True)
class Answer:
    """What a system said to an item, or what an item shows: text, a picture, or a matrix. One of them at least.

    Attributes:
        text: Words; empty if there are none.
        image: A picture file; None if there is none.
        matrix: A .csv or .npy file with a matrix, drawn on the scale of its item; None if there is none.
        alt: What picture or matrix shows, for those who do not see it; it must not say whose it is.
    """

    text: str = ""
    image: Path | None = None
    matrix: Path | None = None
    alt: str = ""


@dataclass(frozen=True)
class Item:
    """One thing to judge.

    Attributes:
        name: Its name in the results, which respondents do not see.
        shown: What is shown above the answers.
        answers: The answers by system.
        attention: For an item with an obvious answer: the system that whoever looks at it chooses. Empty for others.
    """

    name: str
    shown: Answer
    answers: Mapping[str, Answer]
    attention: str = ""


@dataclass(frozen=True)
class Scale:
    """Something each answer is rated on.

    Attributes:
        name: Its name in the results.
        label: What is asked.
        low: What the lowest number means.
        high: What the highest number means.
        points: How many numbers there are, from 1.
    """

    name: str
    label: str
    low: str = ""
    high: str = ""
    points: int = 5


@dataclass(frozen=True)
class Competition:
    """What is judged and how.

    Attributes:
        title: Shown at the top; it must not name a system.
        question: What respondents are asked about each item.
        items: The items.
        consent: What respondents agree to before the first one.
        shown: How many answers are compared at once; each item gives a round for each choice of so many of its answers.
        rounds: Items that one respondent judges, attention items not counted.
        votes_per_item: Respondents that each item needs at least, for planning and for the administrator's page.
        scales: What each answer is rated on as well.
        rationale: Whether a reason may be written.
        invited: Whether one needs an invitation.
        most_respondents: How many may take part.
        ends: When it closes; None if it does not.
        attention_share: Share of the attention items that a respondent must get right to be counted.
        folder: Folder that files are named from.
    """

    title: str
    question: str
    items: Sequence[Item]
    consent: str = "Your votes and reasons are stored without your name or address. You can stop at any time."
    shown: int = 2
    rounds: int = 20
    votes_per_item: int = 3
    scales: Sequence[Scale] = ()
    rationale: bool = True
    invited: bool = False
    most_respondents: int = 1000
    ends: datetime | None = None
    attention_share: float = 0.5
    folder: Path = field(default=Path(), repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def systems(self) -> list[str]:
        """Names of the systems that compete, sorted; what only attention items hold is not among them."""
        return sorted({name for item in self.items if not item.attention for name in item.answers})

    def tasks(self, item: Item) -> list[tuple[str, ...]]:
        """The sets of systems that are compared on an item."""
        return list(combinations(sorted(item.answers), min(self.shown, len(item.answers))))

    def fingerprint(self) -> str:
        """A hash of what is judged, files included: votes belong to it. Changes of dates and limits keep it."""
        plain = [self.title, self.question, self.shown, [[s.name, s.points] for s in self.scales]]
        for item in self.items:
            parts = {"": item.shown, **item.answers}
            plain.append([item.name, item.attention, *([key, *self._content(part)] for key, part in parts.items())])
        return sha256(json.dumps(plain, ensure_ascii=False).encode()).hexdigest()

    def _content(self, answer: Answer) -> list[str]:
        files = [path for path in (answer.image, answer.matrix) if path is not None]
        return [answer.text, answer.alt, *(sha256((self.folder / path).read_bytes()).hexdigest() for path in files)]

    def write(self, path: str | Path) -> Path:
        """Write it as TOML; picture files are named, not copied.

        Args:
            path: The file, ending in ``.toml``; files are named as seen from its folder.

        Raises:
            NotOursError: If there is a file already that this method did not write.
            ValueError: If the ending is another one.
        """
        from mmlab.store.files import replace_file
        from mmlab.store.folders import refuse_other_file

        target = expand(path)
        if target.suffix.lower() != ".toml":
            raise ValueError(f"A competition is written as .toml, not as {target.name}: give the file that ending.")
        refuse_other_file(target, _BEGINNING)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, [_toml(self, target.parent.absolute()).encode()])
        return target


def read_competition(path: str | Path) -> Competition:
    """Read a competition from a TOML file.

    Args:
        path: The file. Pictures and matrices are looked for beside it.

    Raises:
        FileNotFoundError: If the file, or one that it names, is not there.
        ValueError: If it is no TOML, has a key that is not known, lacks one, or breaks a rule; the message says where.
    """
    source = expand(path)
    found = read_toml(source, "write a competition as the page 'Run a competition' shows.")
    items = _list(source, found.pop("items", None), "items")
    scales = _list(source, found.pop("scales", []), "scales")
    values = _known(source, found, Competition, {"folder", "items", "scales"})
    for key in ("title", "question"):
        if key not in values:
            raise ValueError(f'{source} lacks {key}: add a line {key} = "..." above the first [[items]].')
    folder = source.parent
    read = [_read_item(f"{source}, item {n}", item, folder) for n, item in enumerate(items, start=1)]
    rated = [
        Scale(**_known(f"{source}, scale {n}", scale, Scale, needed=("name", "label")))
        for n, scale in enumerate(scales, start=1)
    ]
    try:
        return Competition(**values, items=read, scales=rated, folder=folder)
    except ValueError as problem:
        raise ValueError(f"{source}: {problem}") from None


def _read_item(where: str, found: dict[str, Any], folder: Path) -> Item:
    answers = found.pop("answers", {})
    name = found.pop("id", "")
    attention = found.pop("attention", "")
    if not isinstance(name, str) or not isinstance(attention, str) or not isinstance(answers, dict):
        raise ValueError(f"{where}: id and attention are texts, and answers a table with a line for each system.")
    read = {
        spelled(key): _read_answer(f"{where} ({name[:70]}), answer of {key[:70]}", value, folder)
        for key, value in answers.items()
    }
    if len(read) < len(answers):
        raise ValueError(
            f"{where} ({name[:70]}): two systems have one name, in two spellings of Unicode: leave one out."
        )
    return Item(spelled(name), _read_answer(where, found, folder), read, spelled(attention))


def _read_answer(where: str, found: Any, folder: Path) -> Answer:
    if isinstance(found, str):
        return Answer(found)
    if not isinstance(found, dict):
        raise ValueError(f"{where} is neither a text nor a table with text, image, matrix, alt.")
    values = _known(where, found, Answer)
    for key in ("image", "matrix"):
        if key in values:
            values[key] = expand(values[key], f"{where}: {key}")
            if not (folder / values[key]).is_file():
                raise FileNotFoundError(f"{where}: there is no file {folder / values[key]}.")
    return Answer(**values)


def _list(where: str | Path, found: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"{where} lacks its {name}: begin each with a line [[{name}]].")
    return found


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "Path | None": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "datetime | None": (datetime,),
}


_DATE = "2027-01-31T18:00:00+01:00"
_WANTED = {
    "str": 'a text, as "this"',
    "Path | None": "the name of a file",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "datetime | None": f"a time with its zone, as {_DATE}",
}


def _known(
    where: str | Path, found: dict[str, Any], kind: type, hidden: set[str] | None = None, needed: Sequence[str] = ()
) -> dict[str, Any]:
    """The values, if their names and types are those of the dataclass."""
    types = {name: str(hint) for name, hint in kind.__annotations__.items() if name not in (hidden or set())}
    for name, value in found.items():
        if name not in types:
            raise ValueError(f"{where} has a key {name[:70]!r}, which is not known: {nearest(name, types)}")
        kinds = _KINDS[types[name]]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = _WANTED.get(types[name], f"of the kind {types[name].split(' ')[0]}")
            raise ValueError(f"{where}: {name} is {value!r:.50}, and must be {wanted}.")
    if absent := [name for name in needed if name not in found]:
        raise ValueError(f"{where} lacks {few(absent)}.")
    return dict(found)


def _check(c: Competition) -> None:
    """Refuse what cannot be run, and what would tell respondents whose answer they see."""
    names = [item.name for item in c.items]
    if twice := repeated(names):
        raise ValueError(f"Two items have the id {few(sorted(twice))}: give each its own.")
    if not 2 <= c.shown <= 6:
        raise ValueError(f"shown is {c.shown}: from 2 to 6 answers can be compared at once.")
    for item in c.items:
        _check_item(c, item)
    if not any(not item.attention for item in c.items):
        raise ValueError("A competition needs an item, begun by a line [[items]], that is not for attention.")
    for name in ("rounds", "votes_per_item", "most_respondents"):
        if getattr(c, name) < 1:
            raise ValueError(f"{name} is {getattr(c, name)}: choose at least 1.")
    if not 0 <= c.attention_share <= 1:
        raise ValueError(f"attention_share is {c.attention_share}: it is a share, from 0 to 1.")
    if c.ends is not None and (c.ends.tzinfo is None or not 2 < c.ends.year < 9998):
        raise ValueError(f"ends is {c.ends}, without a time zone or of no year of ours: write it as {_DATE}.")
    labels = [scale.name for scale in c.scales]
    for scale in c.scales:
        if not _NAME.fullmatch(scale.name) or labels.count(scale.name) > 1 or not 2 <= scale.points <= 10:
            raise ValueError(f"The scale {scale.name[:70]!r} needs a short name of its own, and from 2 to 10 points.")
    _refuse_alike("item", names)
    _refuse_alike("system", sorted({name for item in c.items for name in item.answers}))
    _check_silence(c)


def _refuse_alike(what: str, names: Sequence[str]) -> None:
    """Two names that differ in capitals or marks alone are one, mistyped: its votes would be those of two."""
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(normal(name), name)) != name:
            raise ValueError(
                f"The {what}s {other!r} and {name!r} have almost one name: write both alike, or name one otherwise."
            )


def _check_item(c: Competition, item: Item) -> None:
    if not _NAME.fullmatch(item.name):
        raise ValueError(f"An item has the id {item.name[:70]!r}: give it letters, digits, '-' or '_', 60 at most.")
    if len(item.answers) < 2:
        raise ValueError(f"The item {item.name} has {len(item.answers)} answers: two or more are compared.")
    if (sets := comb(len(item.answers), min(c.shown, len(item.answers)))) > _MOST_SETS:
        raise ValueError(
            f"The item {item.name} has {len(item.answers)} answers, of which {c.shown} can be shown in {sets:,} ways: "
            "lower shown, or give it fewer answers."
        )
    if item.attention and item.attention not in item.answers:
        raise ValueError(f"The item {item.name} has no answer {item.attention[:70]!r}, which attention names.")
    for name, answer in {"": item.shown, **item.answers}.items():
        of = f"The answer of {name[:70]} to the item {item.name}" if name else f"The item {item.name}"
        if name and not _NAME.fullmatch(name):
            raise ValueError(f"{of}: a system's name has letters, digits, '-' or '_', 60 at most.")
        if name and not (answer.text.strip() or answer.image or answer.matrix):
            raise ValueError(
                f"{of} is empty: an empty answer shows whose it is; leave out the item, or say what it means."
            )
        if (answer.image or answer.matrix) and not answer.alt.strip():
            raise ValueError(f"{of} has a picture without alt: say what it shows, for those who do not see it.")
        if max(len(answer.text), len(answer.alt)) > LONGEST:
            raise ValueError(f"{of} has more than {LONGEST:,} letters: shorten it.")


def _check_silence(c: Competition) -> None:
    """No text that is shown holds the name of a system as a word."""
    names = [normal(name) for name in c.systems]
    spoken = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)", re.IGNORECASE)
    texts = {"The title": c.title, "The question": c.question, "The consent": c.consent}
    for scale in c.scales:
        texts[f"The scale {scale.name}"] = f"{scale.name} {scale.label} {scale.low} {scale.high}"
    for item in c.items:
        for name, part in {"": item.shown, **item.answers}.items():
            texts[f"The answer of {name} to {item.name}" if name else f"The item {item.name}"] = (
                f"{part.text} {part.alt}"
            )
    for where, text in texts.items():
        if said := spoken.search(normal(text)):
            raise ValueError(
                f"{where} says {said[0]!r}, the name of a system, and respondents would read it: "
                "call the system something else in this file, such as 'system-1'."
            )


def _toml(c: Competition, folder: Path) -> str:
    def value(found: Any) -> str:
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, datetime):
            return found.isoformat()
        return json.dumps(found, ensure_ascii=False).replace("\x7f", "\\u007F")

    def answer(part: Answer) -> dict[str, str]:
        found = {"text": part.text, "alt": part.alt}
        for key in ("image", "matrix"):
            if (path := getattr(part, key)) is not None:
                place = (c.folder / path).absolute()
                found[key] = str(place.relative_to(folder) if place.is_relative_to(folder) else place)
        return {key: text for key, text in found.items() if text}

    plain = [
        *("title", "question", "consent", "shown", "rounds", "votes_per_item", "rationale", "invited"),
        *("most_respondents", "ends", "attention_share"),
    ]
    lines = [
        _BEGINNING.rstrip(),
        *(f"{key} = {value(getattr(c, key))}" for key in plain if getattr(c, key) is not None),
    ]
    for scale in c.scales:
        lines += ["", "[[scales]]", *(f"{key} = {value(getattr(scale, key))}" for key in Scale.__annotations__)]
    for item in c.items:
        lines += ["", "[[items]]", f"id = {value(item.name)}"]
        lines += [f"attention = {value(item.attention)}"] if item.attention else []
        lines += [f"{key} = {value(text)}" for key, text in answer(item.shown).items()]
        lines.append("[items.answers]")
        for name, part in item.answers.items():
            parts = ", ".join(f"{key} = {value(text)}" for key, text in answer(part).items())
            lines.append(f"{value(name)} = {{ {parts} }}")
    return "\n".join(lines) + "\n"
