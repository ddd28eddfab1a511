"""A chapter knows its cards, its budget and its files, and says so when it is not there."""

from __future__ import annotations

import dataclasses

import pytest

from mmlab.card import Budget, Card
from mmlab.publish import chapter as module
from mmlab.publish.chapter import Chapter, chapters, code_cells, listed

CARD = Card("Toy", "toys", "toy2020", "Plays.", ("x",), budget=Budget(cpu_seconds=30, gpu_minutes=3))
CARDS = {
    "boy": dataclasses.replace(CARD, name="Boy", chapter="toy", budget=Budget(cpu_seconds=50, cpu_memory_gb=1)),
    "girl": dataclasses.replace(CARD, name="Girl"),
    "toy": CARD,
}


@pytest.fixture(autouse=True)
def cards(monkeypatch):
    monkeypatch.setattr(module, "list_methods", lambda: CARDS)


def test_methods_that_share_a_chapter_share_its_budget_and_its_own_comes_first(root):
    assert list(Chapter(root, "toy").cards) == ["toy", "boy"]
    assert Chapter(root, "toy").budget == Budget(cpu_seconds=50, cpu_memory_gb=1.5, gpu_minutes=3)
    assert Chapter(root, "boy").cards == {}
    assert Chapter(root, "girl").budget == CARD.budget
    assert Chapter(root, "story").budget == Budget(cpu_seconds=40, cpu_memory_gb=1.5)


def test_a_chapter_is_its_source_and_what_follows_from_it(root, write):
    write("toy", "x = 1", "y = 2")
    write("boy", "x = 1")
    (root / "_toc.yml").write_text("root: book/intro\nchapters:\n- file: notebooks/toy\n- file: book/end\n")
    toy = Chapter(root, "toy")
    assert chapters(root) == [Chapter(root, "boy"), toy]
    assert listed(root) == [toy]
    assert code_cells(toy.notebook)[1:] == ["x = 1", "y = 2"]
    before = toy.inputs("cpu", {})
    assert before == toy.inputs("cpu", {}) != toy.inputs("cpu", {"x": 2})
    write("toy", "x = 1", "y = 3")
    assert toy.inputs("cpu", {}) != before  # what is remembered goes by content
    assert toy.target(root / "out" / "cpu").receipt == root / "out" / "cpu" / "toy.receipt.json"


def test_a_chapter_that_is_not_there_names_the_nearest(root, write):
    write("toy", "x = 1")
    with pytest.raises(FileNotFoundError, match="did you mean 'toy'"):
        Chapter(root, "tyo").source  # noqa: B018
