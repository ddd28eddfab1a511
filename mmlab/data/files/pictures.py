"""Pictures as people have them, read in one place: upright, opaque, eight bits a channel, and harmless.

Six formats are read: PNG, JPEG, WebP, GIF, BMP and TIFF. Pillow knows more, and starts other programs for some of them
(Ghostscript for PostScript), whatever the file's name says: those are refused before they are decoded. So is what is
larger than the limits below.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmlab.paths import expand

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FORMATS", "LARGEST_FILE", "MOST_PIXELS", "read_picture"]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are read."""
MOST_PIXELS = 2**26
"""A larger picture is refused before its pixels are decoded: with three bytes each these are 200 MB."""
LARGEST_FILE = 2**27
"""Bytes of the largest file that is opened."""
DENSEST = 2000
"""Pixels for each byte of a file above which a picture of more than 4 megapixels is refused: none has as many."""

Colour = tuple[int, int, int]

# What a file is that is no picture of the six formats, by its first bytes: the remedy depends on it.
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%!PS", "PostScript: convert it to PNG"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript: convert it to PNG"),
    (0, b"%PDF", "a PDF: convert the page to PNG"),
    (4, b"ftypavif", "AVIF: convert it to PNG"),
    (4, b"ftyp", "HEIC or a film: convert the picture to JPEG"),
    (0, b"\x00\x00\x00\x0cjP", "JPEG 2000: convert it to PNG"),
    (0, b"<svg", "SVG: convert it to PNG"),
    (0, b"<?xml", "SVG or other XML: convert it to PNG"),
    (0, b"<!doctype", "a web page, perhaps of an error or a login: get the file again"),
    (0, b"<html", "a web page, perhaps of an error or a login: get the file again"),
    (0, b"version https://git-lfs", "the pointer of Git LFS: run `git lfs pull`"),
)


def read_picture(
    picture: str | Path | Image.Image, background: Colour = (0, 0, 0), formats: Sequence[str] = FORMATS
) -> Image.Image:
    """A picture in RGB, as a viewer shows it.

    Of several frames the first is taken. The rotation that a camera notes in EXIF is carried out. What is transparent
    shows the background. Palettes and single bits become colours. Sixteen bits are scaled to eight by their whole
    range; 32-bit integers are taken for eight or sixteen bits by their largest value; and floats must be from 0 to 1 or
    from 0 to 255.

    Args:
        picture: A file, or an image of Pillow's.
        background: What is behind transparent pixels; black by default, as where published models were trained.
        formats: Which of :data:`FORMATS` are allowed.

    Returns:
        An image of Pillow's, mode RGB.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture of these formats, is damaged or too large, or has values of an unknown range.
        TypeError: If it is neither a file nor an image.
    """
    from PIL import Image

    if isinstance(picture, Image.Image):
        return _checked(picture, getattr(picture, "filename", "") or "The image", background, formats)
    if not isinstance(picture, str | Path):
        raise TypeError(f"A picture is a file or an image of Pillow's, not a {type(picture).__name__}.")
    try:
        path = expand(picture, "The picture")
    except ValueError as error:
        if "so long a name" in str(error):
            raise FileNotFoundError(f"There is no picture {str(picture)[:300]}: {error}") from None
        raise
    name = str(path) if len(str(path)) <= 300 else f"{str(path)[:300]}..."
    try:
        size = path.stat().st_size if path.is_file() else -1
    except OSError as error:  # the name itself is impossible, for example too long
        raise FileNotFoundError(f"There is no picture {name} ({error.strerror}).") from None
    if size < 0:
        raise FileNotFoundError(f"There is no picture {name}.")
    if size > LARGEST_FILE:
        raise ValueError(f"{name} has {size:,} bytes, more than {LARGEST_FILE:,}: make the picture smaller first.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's are about what is decided here
        try:
            opened = Image.open(path, formats=list(formats))
        except PermissionError:
            raise
        except Exception as error:  # decoders raise almost anything on damaged input
            raise ValueError(f"{name} cannot be read as a picture: {_what(path, error, formats)}.") from None
        with opened:
            width, height = opened.size
            if width * height > max(2**22, DENSEST * size):
                raise ValueError(
                    f"{name} says {width} x {height} pixels in {size:,} bytes: it is damaged, or made to take "
                    "time; get it again."
                )
            return _checked(opened, name, background, formats)


def _what(path: Path, error: Exception, formats: Sequence[str]) -> str:
    """What is wrong with a file that Pillow could not open, and what to do."""
    with path.open("rb") as stream:
        start = stream.read(64)
    for place, magic, answer in _OTHERS:
        if start[place:].lstrip(b"\xef\xbb\xbf \r\n\t").lower().startswith(magic.lower()):
            return f"it is {answer}"
    if type(error).__name__ == "DecompressionBombError":
        return f"it says more than the {MOST_PIXELS:,} pixels allowed: make it smaller first"
    if not start:
        return "it is empty: get the file again"
    return f"it is none of {', '.join(formats)}, or damaged ({type(error).__name__}): convert it, or get it again"


def _checked(image: Image.Image, name: str, background: Colour, formats: Sequence[str]) -> Image.Image:
    """The image in RGB, upright; whatever goes wrong in a decoder becomes one sentence."""
    if image.format not in (None, "MPO", *formats):  # MPO: a JPEG that holds further pictures
        raise ValueError(
            f"{name} is a picture in {image.format}, of which mmlab does not decode files: hand over image.copy(), "
            "or convert it to PNG."
        )
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"{name} has {width} x {height} pixels, more than the {MOST_PIXELS:,} allowed: make it smaller first."
        )
    if not width * height:
        raise ValueError(f"{name} is {width} x {height}: there is nothing to see in it.")
    try:
        _load(image)
        return _opaque(_upright(image), background)
    except _RangeError as error:
        raise ValueError(f"{name} {error}.") from None
    except PermissionError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{name} cannot be read as a picture, it is damaged ({type(error).__name__}: {detail}): get it again."
        ) from None


def _load(image: Image.Image) -> None:
    """Decode the pixels, and never by mapping the file: Pillow 13 maps a rotated TIFF with its sides exchanged."""
    named = getattr(image, "filename", None)
    if named is None or image.format != "TIFF":
        image.load()
        return
    image.filename = ""  # type: ignore[attr-defined]
    try:
        image.load()
    finally:
        image.filename = named  # type: ignore[attr-defined]


class _RangeError(Exception):
    """Why values are no brightness; the caller adds the name."""


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF says nothing about the pixels, which are there
        return image


def _opaque(image: Image.Image, background: Colour) -> Image.Image:
    """RGB, with transparent pixels on the background."""
    from PIL import Image

    if image.mode == "La":  # which Pillow turns into nothing but LA
        image = image.convert("LA")
    if image.mode == "F" or image.mode.startswith("I"):
        grey, clear = _eight_bits(np.asarray(image), image.mode, image.info.get("transparency"))
        image = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(clear)))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (*background, 255))
        return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: Any, mode: str, transparent: Any) -> tuple[Any, Any]:
    """Grey (H, W) of any depth in eight bits, and the opacity."""
    clear = np.full(values.shape, 255, np.uint8)
    if isinstance(transparent, int):
        clear[values == transparent] = 0
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high) and low >= 0):
        raise _RangeError(f"holds values from {low:.4g} to {high:.4g}: scale them to 0..1 before")
    tops = {"F": (1.0, 255.0), "I": (255.0, 65535.0)}.get(mode, (65535.0,))
    top = next((top for top in tops if high <= top), 0.0)
    if not top:
        known = "0..1 nor 0..255" if mode == "F" else "8 nor 16 bits"
        raise _RangeError(f"holds values from {low:.4g} to {high:.4g}, which is neither {known}: scale them before")
    return np.rint(values / top * 255).astype(np.uint8), clear
