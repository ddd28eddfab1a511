"""The competition inside a notebook: the same store, the same silence."""

from __future__ import annotations

import pytest
from arena_world import SYSTEMS

from mmlab.arena.store import RefusedError
from mmlab.arena.widget import ballot


def words(widget) -> str:
    """All that a widget shows, as text."""
    own = f"{getattr(widget, 'value', '')} {getattr(widget, 'description', '')} {getattr(widget, 'options', '')}"
    return own + "".join(words(child) for child in getattr(widget, "children", ()))


def test_a_respondent_goes_through_and_nothing_is_said(store):
    box = ballot(store)
    box.children[1].click()
    for number in range(9):
        shown = words(box)
        assert f"{number + 1} of 9" in shown
        assert not any(name in shown for name in (*SYSTEMS, "item-"))
        box.parts["send"].click()
        assert "Choose an answer" in box.parts["told"].value
        box.parts["choice"].value = "1"
        for rows in box.parts["ratings"].values():
            for row in rows:
                row.value = 3
        box.parts["reason"].value = "so"
        box.parts["send"].click()
    assert "Thank you" in words(box)
    assert len(store.votes()) == 9
    assert store.votes()[0].ratings == {"understanding": [3, 3]}
    with pytest.raises(RefusedError):
        ballot(store, "guess")


def test_a_disk_without_room_keeps_what_was_chosen(store, monkeypatch):
    box = ballot(store)
    box.children[1].click()
    box.parts["choice"].value = "0"
    for row in box.parts["ratings"]["understanding"]:
        row.value = 1

    def full(*_):
        raise OSError("no room")

    with monkeypatch.context() as broken:
        broken.setattr(store, "vote", full)
        box.parts["send"].click()
    assert "try again" in box.parts["told"].value
    box.parts["send"].click()
    assert len(store.votes()) == 1
    again = ballot(store, box.token)
    again.children[1].click()
    assert "2 of 9" in words(again)
