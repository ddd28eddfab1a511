"""The landing page: how long a chapter takes to read, how difficult it is, what it is about, and who wrote the book."""

from __future__ import annotations

from mmlab.card import Card
from mmlab.publish.site import landing
from mmlab.publish.site.generated import listed_in

TOC = """\
format: jb-book
root: book/intro
parts:
  - caption: Bridges
    chapters:
      - file: book/parts/bridges
      - file: notebooks/toy
      - file: notebooks/story
      - file: notebooks/not_run
  - caption: Reference
    chapters:
      - file: book/map
      - glob: book/api/*
"""


def card(name="Toy", level="intermediate", **changes):
    return Card(name, "toys", "toy2020", "Plays.", ("a",), level=level, **changes)


def prose(text):
    return {"cell_type": "markdown", "source": [text], "metadata": {}}


def code(text, *tags):
    return {"cell_type": "code", "source": [text], "metadata": {"tags": list(tags)}}


def test_the_minutes_follow_from_words_and_from_code_that_is_shown():
    words = prose("word " * 1000 + "$$ a + b + c $$ and `many.dotted.names` and $x$")  # five minutes and a little
    assert landing.minutes({"cells": [words]}) == 10
    assert landing.minutes({"cells": [prose("word " * 900)]}) == 5
    shown = [code("1")] * 8  # four minutes more
    assert landing.minutes({"cells": [prose("word " * 900), *shown]}) == 10
    folded = [code("1", "hide-input"), code("1", "remove-cell")] * 20
    assert landing.minutes({"cells": [prose("word " * 900), *folded]}) == 5


def test_a_chapter_is_as_difficult_as_the_hardest_of_its_methods():
    assert landing.level([card(), card(level="advanced"), card(level="introductory")]) == "advanced"
    assert landing.level([card(level="introductory")]) == "introductory"
    assert landing.level([]) == "intermediate"


def test_the_chapters_stand_by_part_and_those_without_a_method_are_told_by_what_they_use(tmp_path):
    (tmp_path / "_toc.yml").write_text(TOC)
    assert listed_in(tmp_path) == {"Bridges": ["toy", "story", "not_run"], "Reference": []}
    cards = {"toy": card(tags=("brain", "image"), level="advanced"), "story": Card("A story", "", "", "", (), ())}
    used = {"cells": [code("from mmlab.methods.toy import Toy"), prose("word " * 1100)]}
    text = landing.tables(tmp_path, {"toy": {"cells": []}, "story": used}, cards)
    assert "### Bridges" in text
    assert "Reference" not in text
    assert "Bridges: 2 chapters, 15 minutes to read." in text
    assert "| [Toy](/notebooks/toy.ipynb) | 5 | advanced | brain, image |" in text
    assert "| [A story](/notebooks/story.ipynb) | 10 | advanced | brain, image |" in text


def test_the_edition_names_authors_version_and_the_latest_run(tmp_path):
    class Run:
        def __init__(self, date):
            self.date = date

    (tmp_path / "_config.yml").write_text("author: The toy authors\n")
    text = landing.edition(tmp_path, [Run("2026-01-02T03:04:05+00:00"), Run("2025-12-31T03:04:05+00:00")])
    assert text.startswith("By the toy authors · version ")
    assert text.endswith(" · run on 2 January 2026\n")
    assert "run on" not in landing.edition(tmp_path, [])
