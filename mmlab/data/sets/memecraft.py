"""MemeCraft's texts: what models wrote on meme templates when they were told a topic and a stance.

Wang and Lee 2024, MemeCraft: contextual and stance-driven multimodal meme generation. This is *writing*: from a
template and a stance to a text. MemeCap asks the reverse, from a meme to what it means. Training one model on both as
if they were one task teaches it neither, so the records have types of their own and do not become questions about a
picture's meaning. A quarter of the entries are no texts but marks that writing failed or was found hateful; they are
left out and counted. The repository ``Social-AI-Studio/MemeCraft`` states no licence, part of it argues against
climate action and equality on purpose, and nothing of it is shipped.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

from mmlab.data.files.text import read_json
from mmlab.paths import expand
from mmlab.wording import few

__all__ = ["MARKS", "Written", "WrittenMemes", "read_memecraft_captions", "read_memecraft_descriptions"]

MARKS = ("Error", "Hateful")
"""What stands where there is no text."""

_REMEDY = "get the file again from github.com/Social-AI-Studio/MemeCraft."


class Written(NamedTuple):
    """A text for a template.

    Attributes:
        template: Name of the template.
        parts: The text's boxes, from top to bottom.
        reply: All that the model had answered, its reasoning included.
    """

    template: str
    parts: tuple[str, ...]
    reply: str


class WrittenMemes(NamedTuple):
    """The texts of one file, and how many entries were marks instead, by mark."""

    memes: list[Written]
    left_out: dict[str, int]


def read_memecraft_captions(file: str | Path) -> WrittenMemes:
    """Read a file ``*_caption.json`` of one model and one topic: an object from template to [text, reply].

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is not such a file, or no record can be read. Single odd records are left out, with a warning
            that counts and names them.
    """
    memes, left_out = [], dict.fromkeys(MARKS, 0)
    for template, text, reply in _pairs(expand(file, "file"), least=2):
        if (mark := text.strip()) in left_out:
            left_out[mark] += 1
            continue
        parts = tuple(part.strip() for part in text.split("<->") if part.strip())
        memes.append(Written(template, parts, reply))
    return WrittenMemes(memes, left_out)


def read_memecraft_descriptions(file: str | Path) -> dict[str, str]:
    """Read ``meme_text_description.json``: what a model saw in each template, which is often little.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is not such a file, or no record can be read. Single odd records are left out, with a warning
            that counts and names them.
    """
    return {template: description for template, description, _ in _pairs(expand(file, "file"), least=1)}


def _pairs(file: Path, least: int) -> list[tuple[str, str, str]]:
    """Template, text and reply ("" if ``least`` is 1 and there is none); other records are counted, named, left out."""
    value = read_json(file, _REMEDY)
    if not isinstance(value, dict):
        raise ValueError(f"{file} holds no object of templates: {_REMEDY}")
    read = {}
    for template, pair in value.items():
        texts = pair if isinstance(pair, list) and all(isinstance(text, str) for text in pair) else []
        if least <= len(texts) <= 2 and texts[0].replace("<->", "").strip():
            read[template] = (texts[0], texts[1] if len(texts) == 2 else "")
    odd = [repr(template[:50]) for template in value if template not in read]
    if odd and not read:
        raise ValueError(f"{file}: the record {odd[0]} is not a list of two texts, and no other is: {_REMEDY}")
    if odd:
        told = f"{len(odd)} of {len(value)} records hold no texts and are left out: {few(odd)}"
        warnings.warn(f"{file}: {told}.", stacklevel=3)
    return [(template, *texts) for template, texts in read.items()]
