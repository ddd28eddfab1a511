"""Fuzz targets for what the chapters on language read; see ``fuzzing.py``."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import torch
from fuzzing import Target

from mmlab.data.conversations import read_picture
from mmlab.data.sets.memecap import Meme, read_memes
from mmlab.data.sets.memecraft import WrittenMemes, read_memecraft_captions


def language_targets() -> dict[str, Target]:
    """Memes of both kinds, and pictures."""
    memes = [
        {"img_fname": f"{i}.png", "title": "a", "img_captions": ["b"], "meme_captions": ["c", "d"], "post_id": f"p{i}",
         "metaphors": [{"metaphor": "e", "meaning": "f"}]} for i in range(3)
    ]  # fmt: skip
    written = {"Cat": ["a <-> b", "c"], "Dog": ["Error", "d"], "Owl": ["Hateful", ""]}
    return {
        "read_memes": Target("m.json", json.dumps(memes).encode(), read_memes, _check_memes),
        "read_memecraft_captions": Target(
            "c.json", json.dumps(written).encode(), read_memecraft_captions, _check_written
        ),
        **{
            f"read_picture, {kind}": Target(f"p.{kind}", content, lambda path: read_picture(path, 4), _check_picture)
            for kind, content in _pictures().items()
        },
    }


def _pictures() -> dict[str, bytes]:
    """A small picture in every format that is read, with a rotation where the format has one; and deep ones."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (6, 5), (255, 0, 9))
    made = {
        "png": (image, {}), "jpeg": (image, {"exif": exif}), "webp": (image, {"exif": exif}), "gif": (image, {}),
        "bmp": (image, {}), "tiff": (image, {"exif": exif, "compression": "tiff_lzw"}),
        "deep.png": (Image.fromarray(np.arange(30, dtype=np.uint16).reshape(5, 6) * 2000), {}),
        "float.tiff": (Image.fromarray(np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)), {}),
        "clear.png": (Image.new("RGBA", (6, 5), (9, 9, 9, 99)), {}),
    }  # fmt: skip
    contents = {}
    for kind, (picture, how) in made.items():
        stream = io.BytesIO()
        picture.save(stream, kind.rpartition(".")[2].upper(), **how)
        contents[kind] = stream.getvalue()
    return contents


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
