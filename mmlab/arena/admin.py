"""The organiser's page: how far a competition is. It shows no vote and no name of a system."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from mmlab.arena.competition import Competition

__all__ = ["admin_page"]


def admin_page(competition: Competition, progress: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        competition: What is judged.
        progress: What the store says of its progress.
    """
    need = competition.votes_per_item
    by_item = {item.name: progress["by_item"][item.name] for item in competition.items}
    open_items = [item.name for item in competition.items if not item.attention and by_item[item.name] < need]
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{count}</td></tr>" for name, count in sorted(by_item.items())
    )
    state = (
        f"{len(open_items)} items lack some of their {need} votes." if open_items else f"Every item has {need} votes."
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(competition.title)}: progress</title><link rel=stylesheet href=/page.css>"
        f"<main><h1>{escape(competition.title)}</h1>"
        f"<p>{progress['respondents']} respondents, {progress['votes']} votes. {state}</p>"
        "<p>Rows with the hidden mapping: <a href=/admin/votes.csv>votes.csv</a>, "
        "<a href=/admin/votes.jsonl>votes.jsonl</a>. Whoever has seen them is no longer blind.</p>"
        "<table><caption>Votes by item</caption><tr><th scope=col>item</th><th scope=col>votes</th></tr>"
        f"{rows}</table></main></html>"
    )
