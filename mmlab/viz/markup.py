"""Small pieces of HTML that figures, tables and widgets share: inline Markdown, images, and the check of alt text."""

from __future__ import annotations

import base64
import html
import io
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FEWEST_COLOURS", "alt_problem", "bare", "colours", "emit", "img", "inline_html", "png"]

_DPI = 144  # 1.5 times the 96 pixels per inch of CSS: crisp on most screens, half the bytes of 2 times
FEWEST_COLOURS = 5
"""A picture with fewer is blank: an axis with its labels alone has more."""

_FILE_NAME = re.compile(r"\S*\.(png|jpe?g|gif|svg|pdf|webp|bmp|tiff?|ipynb|html?)\s*", re.IGNORECASE)
_REPRESENTATION = re.compile(r"<[\w.]+( object)?[^>]*>|figure \d+|\[?<.*axes.*>\]?", re.IGNORECASE)
_INLINE = re.compile(
    r"(?P<escaped>\\[$*`])|\$(?P<math>[^$]+)\$|`(?P<code>[^`]+)`"
    r"|\*\*(?P<strong>.+?)\*\*|\*(?P<em>[^*\s][^*]*)\*"
)
# A formula may come from data, and must not become a link, a script or a style of the page: these are shown as words.
_UNSAFE = re.compile(r"\\(?=(?:href|class|cssId|style|data|require|csname|mmlToken|bbox|unicode|enclose)(?![a-zA-Z]))")
# Where a page typesets whatever stands between such brackets, those of data must stay brackets.
_BRACKET = re.compile(r"\\(?=[(\[])")
# Colab does not typeset mathematics in HTML outputs by itself; elsewhere the page has MathJax already.
_COLAB_MATHJAX = '<script async src="https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-mml-chtml.js"></script>'


def alt_problem(alt: str) -> str | None:
    """What is wrong with an alt text, as the end of a sentence that begins with its name; None if nothing is."""
    text = alt.strip()
    if not text:
        return "is empty: say what the figure shows to somebody who cannot see it."
    if _FILE_NAME.fullmatch(text) or _REPRESENTATION.fullmatch(text):
        return f"is {text!r}, a name and no description: say what the figure shows."
    if len(text.split()) < 3:
        return f"is only {text!r}: say in a sentence what the figure shows."
    return None


def inline_html(text: str) -> str:
    r"""Inline Markdown as HTML: ``$math$``, ``**bold**``, ``*emphasis*``, code, and ``\$`` for a dollar."""

    def replace(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        if kind == "escaped":
            return match[kind][1:]
        if kind == "math":
            return rf'<span class="math notranslate nohighlight">\({_UNSAFE.sub("", match[kind])}\)</span>'
        return f"<{kind}>{_plain(match[kind])}</{kind}>"

    made, end, escaped = "", 0, html.escape(text, quote=False)
    for match in _INLINE.finditer(escaped):
        made, end = made + _plain(escaped[end : match.start()]) + replace(match), match.end()
    return made + _plain(escaped[end:])


def _plain(text: str) -> str:
    """Words of HTML in which no formula begins."""
    return _BRACKET.sub(r"\\<span></span>", text)


def bare(text: str) -> str:
    """Text without inline marks, for attributes."""
    return re.sub(r"[$*`\\]", "", text)


def colours(image: bytes) -> int:
    """How many colours a PNG has; counting stops at 257."""
    from PIL import Image

    with Image.open(io.BytesIO(image)) as picture:
        found = picture.convert("RGB").getcolors(256)
    return 257 if found is None else len(found)


def png(figure: Figure, *, dpi: int = _DPI, colours: int | None = None) -> tuple[bytes, int]:
    """Draw a figure, close it, and return its PNG and its width on the page in CSS pixels.

    Args:
        figure: What to draw.
        dpi: Pixels per inch; 96 is one image pixel per CSS pixel.
        colours: Reduce to so many colours (at most 256), which makes the file about three times smaller.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    buffer = io.BytesIO()
    # A white ground keeps labels readable on a dark page; without the software tag equal figures are equal bytes.
    plain: dict[str, str | None] = {"Software": None}
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", facecolor="white", metadata=plain)
    plt.close(figure)
    with Image.open(buffer) as image:
        width = image.width
        if colours:
            reduced = io.BytesIO()
            image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(reduced, "png", optimize=True)
            buffer = reduced
    return buffer.getvalue(), round(width * 96 / dpi)


def img(image: bytes, width: int, alt: str) -> str:
    """An ``<img>`` with the PNG inside: ``width`` CSS pixels wide, and never wider than the page."""
    data = base64.b64encode(image).decode("ascii")
    style = f"width: {width}px; max-width: 100%; height: auto; background: white"
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(alt)}" style="{style}">'


def emit(bundle: dict[str, str]) -> None:
    """Hand a bundle of representations by MIME type to IPython; without it, print the plain text."""
    if "google.colab" in sys.modules and r"\(" in bundle.get("text/html", ""):
        bundle["text/html"] = _COLAB_MATHJAX + bundle["text/html"]
    shell = sys.modules.get("IPython.core.interactiveshell")  # absent outside IPython: then there is no display
    if shell is None or not shell.InteractiveShell.initialized():
        sys.stdout.write(bundle["text/plain"] + "\n")
        return
    from IPython.display import display

    display(bundle, raw=True)  # type: ignore[no-untyped-call]
