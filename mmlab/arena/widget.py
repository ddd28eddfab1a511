"""The same competition inside a notebook: widgets over the same store."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from mmlab.arena.pictures import render
from mmlab.arena.store import Ballot, RefusedError, Round, Store
from mmlab.arena.votes import BOTH_BAD, TIE

__all__ = ["ballot"]

_PLACES = "ABCDEF"


def ballot(store: Store, token: str = "") -> Any:
    """A widget in which one respondent judges round after round. Like the page, it shows no name of a system.

    Args:
        store: Where the votes go; the server may use the same database at the same time.
        token: Invitation, or the token of a respondent who goes on; empty to join an open competition.

    Returns:
        A widget (``ipywidgets.VBox``) to display; its attribute ``token`` lets the respondent go on later.

    Raises:
        RefusedError: If the token is not known, or nobody else may join.
    """
    import ipywidgets as widgets

    token = store.join(token)
    box = widgets.VBox()
    box.token = token
    pictures = render(store.competition)
    agree = widgets.Button(description="I agree, begin", button_style="primary")
    c = store.competition
    box.children = [widgets.HTML(f"<h3>{escape(c.title)}</h3><p>{escape(c.consent)}</p>"), agree]
    agree.on_click(lambda _: _show(box, store, token, pictures, store.agree(token)))
    return box


def _show(box: Any, store: Store, token: str, pictures: dict[tuple[str, str], bytes], found: Round | None) -> None:
    import ipywidgets as widgets

    if found is None:
        box.children = [widgets.HTML("<h3>Thank you</h3><p>All your votes are saved.</p>")]
        return
    c, item, began = store.competition, store.items[found.item], time.monotonic()

    def part(system: str, title: str) -> list[Any]:
        answer = item.answers[system] if system else item.shown
        picture = pictures.get((found.item, system))
        shown = [widgets.HTML(f"<b>{title}</b>")] if title else []
        shown += [widgets.Image(value=picture, format="png", width=320)] if picture else []
        words = answer.text or (answer.alt if picture else "")
        return [*shown, widgets.HTML(f"<p style='white-space: pre-wrap'>{escape(words)}</p>")]

    ratings = {
        scale.name: [widgets.ToggleButtons(options=range(1, scale.points + 1), value=None, description=scale.label)
                     for _ in found.shown]
        for scale in c.scales
    }  # fmt: skip
    answers = [
        widgets.VBox([*part(name, f"Answer {_PLACES[at]}"), *(rows[at] for rows in ratings.values())])
        for at, name in enumerate(found.shown)
    ]
    options = [
        *((_PLACES[at], str(at)) for at in range(len(found.shown))),
        ("equally good", TIE),
        ("none good", BOTH_BAD),
    ]
    choice = widgets.ToggleButtons(options=options, value=None, description="Best")
    reason = widgets.Textarea(description="Why?")
    told = widgets.HTML()
    send = widgets.Button(description="Save and go on", button_style="primary")

    def save(_: Any) -> None:
        given = {name: [row.value for row in rows] for name, rows in ratings.items()}
        if choice.value is None or any(value is None for values in given.values() for value in values):
            told.value = "Choose an answer and rate each one first."
            return
        seconds = time.monotonic() - began
        try:
            after = store.vote(token, Ballot(found.id, choice.value, given, reason.value, seconds))
        except RefusedError as refused:
            told.value = escape(str(refused))
            return
        except Exception:  # the disk, or the database: what was chosen stays
            told.value = "Your answer could not be saved just now. It is kept here: try again."
            return
        _show(box, store, token, pictures, after)

    send.on_click(save)
    head = widgets.HTML(f"<p>{found.position + 1} of {found.total}</p><h3>{escape(c.question)}</h3>")
    why = [reason] if c.rationale else []
    box.children = [head, *part("", ""), widgets.HBox(answers), choice, *why, send, told]
    box.parts = {"choice": choice, "ratings": ratings, "reason": reason, "send": send, "told": told}
