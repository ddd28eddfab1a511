"""MemeCap: memes with what is to be seen, what is meant, and what stands for what; and your own memes likewise.

Hwang and Shwartz 2023, MemeCap: a dataset for captioning and interpreting memes. The repository ``eujhwang/meme-cap``
states no licence and the pictures belong to others, so nothing of it is shipped: the file format is, and whoever has
the files reads them here. Your own memes need a folder of pictures and a list with the same fields.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmlab.data.chat import Turn
from mmlab.data.files import registry
from mmlab.data.files.patterns import named_file
from mmlab.data.files.tables import read_records
from mmlab.paths import expand
from mmlab.wording import few

__all__ = ["Meme", "MemeSplits", "conversations", "meme_folder", "memecap", "read_memes"]

Kind = Literal["literal", "meaning"]

_QUESTIONS: dict[Kind, str] = {
    "literal": "What is to be seen in this picture?",
    "meaning": "What does the one who posted this meme mean?",
}


@dataclass(frozen=True)
class Meme:
    """One meme.

    Attributes:
        name: Number of the post, or name of the picture's file.
        title: Title of the post; may be empty.
        picture: Its file; it need not be there before it is read.
        literal: What is to be seen, in one or more wordings.
        meanings: What is meant, likewise.
        metaphors: Pairs of what is to be seen and what it stands for.
    """

    name: str
    title: str
    picture: Path
    literal: tuple[str, ...]
    meanings: tuple[str, ...]
    metaphors: tuple[tuple[str, str], ...]


class MemeSplits(NamedTuple):
    """Memes to learn from, to choose with, and to test on; no post is in two of them."""

    train: list[Meme]
    validation: list[Meme]
    test: list[Meme]


def read_memes(file: str | Path, pictures: str | Path | None = None, strict: bool = True) -> list[Meme]:
    """Read a JSON list in MemeCap's fields, and check every record.

    Args:
        file: Records with ``img_fname``, and any of ``post_id``, ``title``, ``img_captions`` (literal),
            ``meme_captions`` (meant) and ``metaphors`` (a list of objects with ``metaphor`` and ``meaning``).
        pictures: Their folder; by default ``images`` beside the file.
        strict: Whether an odd record is an error, as suits a list of your own. If not, odd records are left out, with a
            warning that counts and names them; an error is raised only if no record is left.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If a record is not as described, or a post comes twice; the sentence names file and record.
    """
    file = expand(file, "file")
    folder = file.parent / "images" if pictures is None else expand(pictures, "pictures")
    fields = {"img_fname": "U", "title": "U?", "img_captions": "l?", "meme_captions": "l?", "metaphors": "l?"}
    memes: dict[str, Meme] = {}
    odd: list[str] = []
    for number, record in enumerate(read_records(file, fields, remedy="correct it, or get the file again.")):
        try:
            meme = _meme(record, folder)
            if meme.name in memes:
                raise ValueError(f"the post {meme.name!r} comes twice")
        except ValueError as error:
            odd.append(f"record {number}: {error}")
            if strict:
                raise ValueError(f"{file}: {odd[0]}.") from None
            continue
        memes[meme.name] = meme
    if odd and not memes:
        raise ValueError(f"{file}: no record can be read, as {odd[0]}.")
    if odd:
        told = few(odd, "; ")
        warnings.warn(f"{file}: {len(odd)} of {len(odd) + len(memes)} records are left out: {told}.", stacklevel=2)
    return list(memes.values())


def memecap(validation: float = 0.1, seed: int = 0) -> MemeSplits:
    """MemeCap, from the folder ``memecap`` under ``MMLAB_DATA``: two JSON files, and the pictures in ``images``.

    Its authors took a tenth of the first file to choose with, but published no list: ours is drawn by the seed.

    Args:
        validation: About this share of ``memes-trainval.json`` is for choosing.
        seed: Seed of that choice, which depends on the posts' numbers and not on the order of the file.

    Raises:
        FileNotFoundError: If a file is not there; the message says how to get it.
        ValueError: If a record is not as it should be, a share is out of [0, 1), or a post is in both files.
    """
    if not 0 <= validation < 1:
        raise ValueError(f"validation={validation} must be at least 0 and below 1.")
    folder = registry.where("memecap")
    files = [folder / f"memes-{part}.json" for part in ("trainval", "test")]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"memecap needs {file}, which is not there: {registry.source('memecap').how_to_get}"
            )
    known, test = (read_memes(file, strict=False) for file in files)
    if both := sorted({meme.name for meme in known} & {meme.name for meme in test}):
        raise ValueError(f"{files[0]} and {files[1]} share {len(both)} posts, among them {both[0]}: get both again.")
    names = sorted(meme.name for meme in known)
    random.Random(seed).shuffle(names)
    held = set(names[: round(validation * len(names))])
    return MemeSplits([m for m in known if m.name not in held], [m for m in known if m.name in held], test)


def meme_folder(folder: str | Path) -> list[Meme]:
    """Your own memes: a folder of pictures and ``memes.json``, see :func:`read_memes`.

    Raises:
        FileNotFoundError: If the list or a picture that it names is not there.
        ValueError: If a record is not as it should be.
    """
    memes = read_memes(expand(folder, "folder") / "memes.json", pictures=folder)
    if lacking := [meme.picture.name for meme in memes if not meme.picture.is_file()]:
        raise FileNotFoundError(f"{folder} lacks {len(lacking)} pictures that memes.json names, such as {lacking[0]}.")
    return memes


def conversations(memes: Sequence[Meme], kind: Kind) -> list[tuple[Path, list[Turn], Meme]]:
    """Items for :class:`mmlab.data.conversations.Conversations`: each wording of an answer is an item.

    Args:
        memes: Those without an answer of this kind are left out; compare the numbers.
        kind: What is asked for: what is to be seen, or what is meant. The title is told for the latter only.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind not in _QUESTIONS:
        raise ValueError(f"Memes are asked about as {' or '.join(_QUESTIONS)}, not as {kind!r}.")
    items = []
    for meme in memes:
        title = meme.title if kind == "meaning" else ""
        question = f"{_QUESTIONS[kind]} Its title is: {title}" if title else _QUESTIONS[kind]
        answers = meme.literal if kind == "literal" else meme.meanings
        items += [(meme.picture, [Turn(question, answer, quoted=title)], meme) for answer in answers]
    return items


def _meme(record: dict[str, Any], folder: Path) -> Meme:
    name = record["img_fname"]
    if {"/", "\\"} & set(name) or name in ("", ".", ".."):
        raise ValueError(f"img_fname {name[:50]!r} is no plain file name")
    texts = {field: _texts(record, field) for field in ("img_captions", "meme_captions")}
    pairs = []
    for pair in record["metaphors"] or []:
        if not (isinstance(pair, dict) and all(isinstance(pair.get(key), str) for key in ("metaphor", "meaning"))):
            raise ValueError(f"metaphors holds {str(pair)[:50]!r}, not an object with metaphor and meaning")
        pairs.append((pair["metaphor"], pair["meaning"]))
    post = record.get("post_id", name)
    if not isinstance(post, str | int) or isinstance(post, bool):
        raise ValueError(f"post_id is {str(post)[:50]!r}, not a name")
    return Meme(
        str(post),
        record["title"] or "",
        _picture(folder, name),
        texts["img_captions"],
        texts["meme_captions"],
        tuple(pairs),
    )


def _picture(folder: Path, name: str) -> Path:
    """The picture's file, under whichever of Unicode's two spellings of its name it is there: systems differ in it."""
    return named_file(folder, name) or folder / name


def _texts(record: dict[str, Any], field: str) -> tuple[str, ...]:
    texts = record[field] or []
    if wrong := [text for text in texts if not isinstance(text, str) or not text.strip()]:
        raise ValueError(f"{field} holds {str(wrong[0])[:50]!r}, not a text")
    return tuple(texts)
