"""Text of a run in the Markdown of a page: the renderer's own parser reads it back as text, and as nothing else."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from mmlab.publish.site.escape import cell, code

TEXTS = [
    "<script>alert(1)</script>",
    "<b>x</b> &lt; &amp; &#106;",
    "a|b||c \\| d",
    "`a` ``b`` `",
    "$x$ $$y$$ \\(z\\)",
    "{cite}`amico2018` {{ b }} {% raw %}",
    "[l](javascript:alert(1)) ![i](x) [a]: b",
    "*a* **b** _c_ __d__ ~~e~~ ^f^",
    "\\",
    "ends with \\",
    "a\n\n:::\n\n# Heading\n\n- item",
    "a\r\nb\tc",
    "<https://evil.example>",
    "https://evil.example/x?y=1 http://a.b www.evil.com ftp://c.de a.person@evil.org",
    "```{raw} html",
    "% comment",
    "(label)=",
    "\u202ereversed\u0000\x1b[31m",
    "\ud83d",
    "",
]


def tokens(markdown):
    parser = MarkdownIt("commonmark").enable("table")
    return parser.parse(f"| What | Value |\n| --- | --- |\n| x | {markdown} |\n\nafter")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("escape", [cell, code])
def test_a_cell_shows_the_text_and_nothing_happens(text, escape):
    found = tokens(escape(text))
    cells = [token for token in found if token.type == "inline"]
    assert len(cells) == 5  # two heads, two cells, and the paragraph after the table
    inner = [token for token in cells[3].children if not (token.type == "text" and not token.content)]
    assert {token.type for token in inner} <= {"text", "text_special", "code_inline"}
    shown = "".join(token.content for token in inner)
    plain = re.sub(r"[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\ud800-\udfff]", "\ufffd", text)
    assert shown.strip() == " ".join(plain.split())


@pytest.mark.parametrize("text", ["https://evil.example", "www.evil.com", "evil.org/x", "a.b@evil.org", "v1.5, 0.5 s"])
def test_no_address_becomes_a_link(text):
    """The book's Markdown makes links of plain addresses."""
    shown = MarkdownIt("commonmark", {"linkify": True}).enable(["table", "linkify"]).render(cell(text))
    assert "<a" not in shown
    assert text in shown


@pytest.mark.parametrize("text", ["$x$", "{cite}`a`", "{{ b }}", "\\(x\\)", "a_b*c", "$$y$$"])
def test_no_mark_of_myst_is_left_bare(text):
    assert not re.search(r"(?<!\\)[$`{}*_\[\]<|~]", cell(text).replace("\\\\", ""))
