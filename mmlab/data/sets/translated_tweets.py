"""Tweets about disasters that people translated into five languages, in files that have to be counted.

Verma et al. 2022. The repository ``claws-lab/multimodality-language-disparity`` (MIT) holds, in the folder
``human-translated-eval-set``, a file of tweet ids and for each language a file of texts, line by line. Texts, classes
and pictures of the English originals are in CrisisMMD. Two of the published files (commit 9bd2451) are not as they
should be: the Hindi one ends after 98 of 202 lines, and in the Spanish one line 40 holds the text of id 41, and line 41
is empty.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from mmlab.data.files import registry
from mmlab.data.files.text import read_lines
from mmlab.paths import expand
from mmlab.wording import few, nearest

__all__ = ["FILES", "count_lines", "read_translations"]

FILES = {
    "es": "spanish_translation.txt",
    "pt": "portuguese_translation.txt",
    "fr": "french_translation.txt",
    "zh": "chinese_translation.txt",
    "hi": "hindi_translation.txt",
}
"""The file of each language."""
IDS = "tweet_ids.txt"
_REMEDY = "get the folder human-translated-eval-set of the repository again."


def read_translations(language: str, folder: str | Path | None = None) -> dict[str, str]:
    """The texts of a language by tweet id; refused unless there is one line for each id.

    An empty line is a line, with a warning: where a text is lacking, its neighbour's may have slipped into its place.

    Args:
        language: One of :data:`FILES`.
        folder: Where the files are; by default ``translated_tweets`` under ``MMLAB_DATA``.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If there is no such language, an id comes twice or is none, or texts and ids differ in number.
    """
    if language not in FILES:
        raise ValueError(f"There is no file of translations into {language!r}: {nearest(language, FILES)}")
    place = _folder(folder)
    ids, texts = _lines(place / IDS), _lines(place / FILES[language])
    if wrong := [name for name in ids if not name.isdigit()]:
        raise ValueError(f"{place / IDS} holds {wrong[0][:40]!r}, which is no tweet id: {_REMEDY}")
    if len(set(ids)) < len(ids):
        raise ValueError(f"{place / IDS} holds a tweet id twice: {_REMEDY}")
    if len(ids) != len(texts):
        raise ValueError(
            f"{FILES[language]} has {len(texts)} lines for {len(ids)} tweet ids, so no line can be said to belong to "
            "an id: leave the language out, or find out which lines are lacking."
        )
    if empty := [str(number) for number, text in enumerate(texts, 1) if not text]:
        warnings.warn(
            f"{FILES[language]} has nothing in line {few(empty, ', ')}: compare its neighbours with another language.",
            stacklevel=2,
        )
    return dict(zip(ids, texts, strict=True))


def count_lines(folder: str | Path | None = None) -> dict[str, int]:
    """Lines of each file that is there: ``ids``, and each language.

    Args:
        folder: Where the files are; by default ``translated_tweets`` under ``MMLAB_DATA``.
    """
    place = _folder(folder)
    files = {"ids": IDS, **FILES}
    return {name: len(_lines(place / file)) for name, file in files.items() if (place / file).is_file()}


def _folder(folder: str | Path | None) -> Path:
    return registry.where("translated_tweets") if folder is None else expand(folder, "folder")


def _lines(path: Path) -> list[str]:
    """Lines with the emptiness at the end left out; an empty line between others stays, since lines are counted."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {registry.source('translated_tweets').how_to_get}")
    lines = [line.strip() for line in read_lines(path, _REMEDY)]
    while lines and not lines[-1]:
        lines.pop()
    return lines
