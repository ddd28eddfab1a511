"""A small picture for each chapter: its first figure, or a drawing of what its card says goes in and comes out."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmlab.card import Card

__all__ = ["drawing", "first_figure", "picture"]

SUFFIXES = (".thumbnail.png", ".thumbnail.svg")
"""Ends of the names of these pictures: they change with a page, not with the style of all pages."""

_IMAGE = re.compile(r"<img\b[^>]*>")
_WIDTH, _HEIGHT = 360, 270  # twice what the page shows, for fine screens


def picture(notebook: Mapping[str, Any] | None, stem: str, card: Card) -> tuple[str, bytes, str]:
    """The name, the bytes and the alt text of a chapter's picture.

    Args:
        notebook: The executed notebook, or None if there is none.
        stem: Name of the chapter.
        card: Card of its method.
    """
    found = first_figure(notebook) if notebook else None
    if found:
        return f"{stem}{SUFFIXES[0]}", *found
    return f"{stem}{SUFFIXES[1]}", drawing(card).encode("utf-8"), _described(card)


def first_figure(notebook: Mapping[str, Any]) -> tuple[bytes, str] | None:
    """The first figure that a notebook shows, made small (PNG), and its alt text; None if there is none."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            shown = "".join(output.get("data", {}).get("text/html", []))
            for tag in _IMAGE.findall(shown):
                source = re.search(r'src="data:image/png;base64,([^"]+)"', tag)
                alt = re.search(r'alt="([^"]+)"', tag)
                if source and alt:
                    return _small(base64.b64decode(source[1])), html.unescape(alt[1])
    return None


def drawing(card: Card) -> str:
    """An SVG of a card: what goes in on the left, the method, what comes out on the right."""
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} 150" width="{_WIDTH}" height="150">',
        f'<rect width="{_WIDTH}" height="150" fill="#ffffff"/>',
        '<g font-family="sans-serif" font-size="14" text-anchor="middle" fill="#1f2933">',
        *_column(card.inputs, 55, "#dbeafe"),
        *_column(card.outputs or ("label",), _WIDTH - 55, "#dcfce7"),
        f'<rect x="120" y="50" width="{_WIDTH - 240}" height="50" rx="8" fill="#fef3c7" stroke="#92400e"/>',
        f'<text x="{_WIDTH // 2}" y="80" font-size="12">{html.escape(_short(card.name, 18))}</text>',
        f'<path d="M102 75h16m{_WIDTH - 238} 0h16" stroke="#1f2933" stroke-width="2"/>',
        "</g></svg>\n",
    ]
    return "".join(pieces)


def _column(names: Sequence[str], centre: int, colour: str) -> list[str]:
    """Boxes one above the other, at most four."""
    shown = [*names[:3], f"and {len(names) - 3} more"] if len(names) > 4 else list(names)
    top = 75 - 18 * len(shown)
    style = f'width="94" height="28" rx="6" fill="{colour}" stroke="#1f2933"'
    return [
        f'<rect x="{centre - 47}" y="{top + 36 * i + 4}" {style}/>'
        f'<text x="{centre}" y="{top + 36 * i + 23}" font-size="12">{html.escape(_short(name, 13))}</text>'
        for i, name in enumerate(shown)
    ]


def _described(card: Card) -> str:
    return f"Diagram: {', '.join(card.inputs)} go into {card.name}, {', '.join(card.outputs or ('label',))} comes out."


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _small(content: bytes) -> bytes:
    """A small copy of the whole picture."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        small = image.convert("RGB")
        small.thumbnail((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
        made = io.BytesIO()
        small.quantize(128, dither=Image.Dither.NONE).save(made, "png", optimize=True)
        return made.getvalue()
