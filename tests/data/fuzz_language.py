"""Fuzz targets for what the chapters on language read; see ``fuzzing.py``."""

from __future__ import annotations

import io
import json
from typing import Any

import torch
from fuzzing import Target

from mmlab.data.conversations import read_picture
from mmlab.data.sets.memecap import Meme, read_memes
from mmlab.data.sets.memecraft import WrittenMemes, read_memecraft_captions


def language_targets() -> dict[str, Target]:
    """Memes of both kinds, and pictures."""
    from PIL import Image

    memes = [
        {"img_fname": f"{i}.png", "title": "a", "img_captions": ["b"], "meme_captions": ["c", "d"], "post_id": f"p{i}",
         "metaphors": [{"metaphor": "e", "meaning": "f"}]} for i in range(3)
    ]  # fmt: skip
    written = {"Cat": ["a <-> b", "c"], "Dog": ["Error", "d"], "Owl": ["Hateful", ""]}
    picture = io.BytesIO()
    Image.new("RGB", (6, 5), (255, 0, 9)).save(picture, "PNG")
    return {
        "read_memes": Target("m.json", json.dumps(memes).encode(), read_memes, _check_memes),
        "read_memecraft_captions": Target(
            "c.json", json.dumps(written).encode(), read_memecraft_captions, _check_written
        ),
        "read_picture": Target("p.png", picture.getvalue(), lambda path: read_picture(path, 4), _check_picture),
    }


def _check_memes(read: list[Meme]) -> None:
    assert len({meme.name for meme in read}) == len(read)
    for meme in read:
        assert meme.picture.parent.name == "images"
        assert all(isinstance(text, str) and text.strip() for text in (*meme.literal, *meme.meanings))
        assert all(isinstance(part, str) for pair in meme.metaphors for part in pair)


def _check_written(read: WrittenMemes) -> None:
    assert all(meme.parts and all(part.strip() == part != "" for part in meme.parts) for meme in read.memes)
    assert not {"Error", "Hateful"} & {meme.parts[0] for meme in read.memes if len(meme.parts) == 1}


def _check_picture(read: Any) -> None:
    assert read.shape == (3, 4, 4)
    assert read.dtype == torch.float32
    assert read.abs().max() <= 1
