"""Generated tables, pictures and citations say what receipts, cards and the bibliography say."""

from __future__ import annotations

import base64
import dataclasses
import io
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from mmlab.card import Budget, Card, Claim
from mmlab.publish import project
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site import generated
from mmlab.publish.site.citing import citation, entry
from mmlab.publish.site.pictures import drawing, first_figure, picture
from mmlab.publish.site.staging import Ran

CARD = Card(
    name="Toy",
    family="toys",
    paper="toy2020",
    summary="Plays.",
    inputs=("a", "b"),
    outputs=("c",),
    claims=(Claim("Error rate", "group mean", "lower"),),
    budget=Budget(),
)


def receipt(**changes):
    values = {
        "stem": "toy",
        "profile": "cpu",
        "status": "ok",
        "key": "0" * 64,
        "inputs": {},
        "date": "2026-01-02T03:04:05+00:00",
        "seconds": 12.34,
        "cpu_seconds": 9.87,
        "machine_factor": 2.0,
        "peak_memory_mb": 567.0,
        "device": "a processor",
        "versions": {"python": "3.11.7"},
        "budget": {"seconds": 60.0, "memory_mb": 2000.0},
    }
    return Receipt(**values | changes)


def rows(text, heading):
    """The cells of the rows of the table with this first heading."""
    lines = text[text.index(f"| {heading} |") :].splitlines()
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:] if line.startswith("|")]


def test_a_chapter_without_a_method_is_told_by_its_heading_and_question():
    cells = [
        {
            "cell_type": "markdown",
            "source": ["# A story\n", "\n", "**Who wins,\n", "and why?**\n", "\n", "**Rest.** So."],
        }
    ]
    story = Ran("toy", {"cells": cells}, receipt(), [])
    assert (story.card.name, story.card.summary, story.card.claims) == ("A story", "Who wins, and why?", ())
    row = rows(generated.part_table([story.receipt], {"toy": story.card}), "Chapter")[0]
    assert row[:2] == ["[A story](/notebooks/toy.ipynb)", "Who wins, and why?"]
    named = Ran("i2m2", {"cells": cells}, receipt(stem="i2m2"), [])
    assert named.card.name == "I2M2"


def test_a_run_is_told_in_a_row():
    text = generated.status([receipt()], {})
    assert rows(text, "Chapter") == [
        [
            "[Toy](/notebooks/toy.ipynb)",
            "2026-01-02 03:04",
            "a processor (`cpu`)",
            "12.3",
            "9.9",
            "2.00",
            "4.9",
            "60",
            "0.57",
            "2.0",
            "✓ pass",
        ]
    ]
    assert "**1 of 1 runs kept their budget" in text
    assert "](claims.md)" not in text  # a book of one's own need not have that page


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"cpu_seconds": 120.2}, "✗ **fail**: time"),
        ({"cpu_seconds": 60.1, "machine_factor": 1.0}, "✗ **fail**: time"),
        ({"profile": "gpu", "seconds": 60.1}, "✗ **fail**: time"),
        ({"peak_memory_mb": 2001.0}, "✗ **fail**: memory"),
        ({"cpu_seconds": 122.0, "peak_memory_mb": 2001.0}, "✗ **fail**: time and memory"),
    ],
)
def test_what_went_over_its_budget_is_said_in_words(changes, verdict):
    text = generated.status([receipt(**changes), receipt()], {})
    assert [row[-1] for row in rows(text, "Chapter")] == [verdict, "✓ pass"]
    assert "**1 of 2 runs kept their budget" in text


@pytest.mark.parametrize("changes", [{"seconds": 600.0}, {"cpu_seconds": 119.0}])
def test_a_busy_or_a_slow_machine_breaks_no_budget(changes):
    text = generated.status([receipt(**changes)], {})
    assert [row[-1] for row in rows(text, "Chapter")] == ["✓ pass"]


def test_the_mean_of_the_chapters_stands_on_the_page():
    runs = [receipt(cpu_seconds=20.0), receipt(cpu_seconds=60.0), receipt(profile="gpu", cpu_seconds=1000.0)]
    assert "On average a chapter takes 20.0 processor seconds" in generated.status(runs, {})
    assert "On average" not in generated.status(runs[2:], {})


def test_versions_get_a_column_when_they_differ():
    text = generated.status([receipt(), receipt(versions={"python": "3.13.1"})], {})
    assert [row[-1] for row in rows(text, "Chapter")] == ["python 3.11.7", "python 3.13.1"]


def test_methods_that_share_a_chapter_have_their_own_rows_and_one_page(root):
    girl = dataclasses.replace(CARD, name="Girl", chapter="toy", claims=(Claim("Error rate", "toy", "lower"),))
    cards = {"toy": CARD, "girl": girl}
    (row,) = rows(generated.part_table([receipt()], cards), "Chapter")
    assert row[0] == "[Toy](/notebooks/toy.ipynb)"
    assert row[2] == "group mean, toy"
    shown = generated.map_of_methods(cards, dict.fromkeys(cards, ("/x.png", "A line.")), root)
    assert "[Girl](/notebooks/toy.ipynb)" in shown
    assert "API <mmlab.methods.girl>" in shown
    assert "notebooks/girl" not in shown


TOC = """\
parts:
  - caption: One
    chapters:
      - file: book/parts/one
      - file: notebooks/b
      - file: notebooks/a
  - caption: Two
    chapters:
      - file: notebooks/c
"""


def test_a_part_has_the_chapters_beside_its_opener_in_the_order_of_the_contents(root):
    (root / "_toc.yml").write_text(TOC)
    assert generated.chapters_of("book/parts/one", root) == ["b", "a"]
    assert generated.chapters_of("book/parts/three", root) == []


def test_what_stands_in_an_alt_text_does_not_break_the_table(root):
    text = generated.map_of_methods({"toy": CARD}, {"toy": ("/x.png", "a | b $c$ [d]\ne `f` _g_")}, root)
    (row,) = [line for line in text.splitlines() if line.startswith("| ![")]
    assert row.startswith(r"| ![a \| b \$c\$ \[d\] e \`f\` \_g\_](/x.png) | [Toy](/notebooks/toy.ipynb) (")
    assert f"https://example.org/someone/book/blob/{project.tag(root)}/notebooks/toy.ipynb" in row


def png(width, height):
    made = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(made, "png")
    return made.getvalue()


def notebook(*shown):
    return {"cells": [{"outputs": [{"data": {"text/html": [text]}}]} for text in shown]}


def test_the_picture_is_the_first_figure_made_small():
    data = base64.b64encode(png(2000, 500)).decode()
    shown = notebook("<p>words</p>", f'<figure><img src="data:image/png;base64,{data}" alt="A &amp; B rise."></figure>')
    name, content, alt = picture(shown, "toy", CARD)
    assert (name, alt) == ("toy.thumbnail.png", "A & B rise.")
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (360, 90)  # all of it
    assert first_figure(shown) == first_figure(shown)  # the same bytes: nothing is rendered again for it


@pytest.mark.parametrize("inputs", [("a",), ("a", "<b>"), tuple("abcdef")])
def test_without_a_figure_the_picture_is_drawn_from_the_card(inputs):
    card = Card("Toy", "toys", "toy2020", "Plays.", inputs)
    name, content, alt = picture(notebook("<p>words</p>"), "toy", card)
    assert name == "toy.thumbnail.svg"
    texts = [node.text for node in ElementTree.fromstring(content).iter() if node.text]
    assert texts[-1] == "Toy"
    assert set(texts) >= set(inputs[:3]) | {"label"}
    assert alt == f"Diagram: {', '.join(inputs)} go into Toy, label comes out."
    assert drawing(card).encode() == content


BIB = "@article{toy2020,\n  title = {A {T}oy}\n}\n\n@misc{toy2020b,\n  title = {Another}\n}\n"
CFF = """\
cff-version: 1.2.0
title: "A book"
version: 0.0.0
authors:
  - name: The authors
  - family-names: Doe
    given-names: Jane
date-released: 2031-05-06
url: https://example.org/book
"""


def test_a_citation_is_made_from_the_cff_and_the_bibliography(root):
    (root / "CITATION.cff").write_text(CFF)
    text = citation("toy", "Of toys", root)
    assert "The authors; Jane Doe (2031). Of toys. In *A book*, version" in text
    assert "(2031). Why toys? In *A book*" in citation("toy", "Why toys?", root)
    assert "@misc{mmlab_toy," in text
    assert "= {{The authors} and Doe, Jane}," in text
    assert "<https://example.org/book/notebooks/toy.html>" in text
    assert "paper" not in text


def test_a_chapter_of_a_method_asks_to_cite_its_paper(root):
    from mmlab.registry import list_methods

    key = list_methods()["bridge_matching"].paper
    (root / "CITATION.cff").write_text(CFF)
    (root / "book").mkdir()
    (root / "book" / "references.bib").write_text(BIB.replace("toy2020,", f"{key},"))
    text = citation("bridge_matching", "A bridge", root)
    assert f"{{cite:t}}`{key}`" in text
    assert f"```bibtex\n@article{{{key},\n  title = {{A {{T}}oy}}\n}}\n```" in text


def test_a_book_without_a_cff_has_no_citation(root):
    assert citation("toy", "Toy", root) == ""
    assert entry("toy2020", root) == ""
