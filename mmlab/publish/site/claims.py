"""The register of claims: every claim of every card, what the paper says, what came out here, and how sure it is.

A claim is decided by the chapter's :func:`mmlab.viz.claim` of the same name, or, where the chapter only recorded the
values of its runs, by the same paired interval. One run decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmlab.card import Card, Claim
from mmlab.compare.intervals import decide
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site.escape import cell, code
from mmlab.store import sheets

__all__ = ["COLUMNS", "SCHEMA", "VERDICTS", "as_csv", "as_json", "claim_id", "page", "quoted", "register"]

VERDICTS = ("holds", "undecided", "does not hold", "not tried")

COLUMNS: dict[str, tuple[str, str]] = {
    "id": ("string", "Stays the same for good: method/metric-vs-rival."),
    "kind": (
        "string",
        "'paper': the paper claims it; 'sanity': a control of this book that a working method must pass.",
    ),
    "method": ("string", "Name of the method."),
    "paper": ("string", "Key of the paper in references.bib."),
    "claim": ("string", "The claim in words."),
    "metric": ("string", "What is measured."),
    "rival": ("string", "What the method is compared with."),
    "direction": ("string", "Whether 'higher' or 'lower' is better."),
    "published": ("string", "The published number and its setting; empty where none was checked."),
    "published_sure": (
        "string",
        "How the published number is known: 'read' (paper or its authors' repository), 'second-hand', or empty.",
    ),
    "ours": ("number", "Mean of the method here."),
    "theirs": ("number", "Mean of the rival here."),
    "difference": ("number", "Ours minus theirs."),
    "low": ("number", "Lower end of the paired interval of the difference."),
    "high": ("number", "Upper end."),
    "level": ("number", "Coverage of the interval."),
    "n": ("integer", "Number of runs, worlds, items or clusters behind the interval."),
    "over": ("string", "What n counts."),
    "setting": ("string", "Data of the chapter: 'synthetic: ...' or 'real: ...'."),
    "profile": ("string", "Size of the run: 'cpu' or 'gpu'."),
    "verdict": ("string", "One of: holds, undecided, does not hold, not tried."),
    "receipt": ("string", "Address of the page with the receipt, from the root of the site."),
    "run": ("string", "First digits of the hash over all that the run depends on."),
    "command": ("string", "What runs it again."),
    "date": ("string", "When it ran, UTC, ISO 8601."),
}
"""Columns of the register: type and meaning. Numbers may be null, where nothing was measured."""

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Register of claims",
    "type": "object",
    "required": ["version", "date", "licence", "claims"],
    "properties": {
        "version": {"type": "string", "description": "Version of mmlab."},
        "date": {"type": "string", "description": "Date of the newest run, ISO 8601."},
        "licence": {"const": "CC-BY-4.0"},
        "claims": {
            "type": "array",
            "items": {
                "type": "object",
                "required": list(COLUMNS),
                "additionalProperties": False,
                "properties": {
                    name: {"type": kind if kind == "string" else [kind, "null"], "description": words}
                    for name, (kind, words) in COLUMNS.items()
                }
                | {"verdict": {"enum": list(VERDICTS)}, "kind": {"enum": ["paper", "sanity"]}},
            },
        },
    },
}
"""JSON Schema of :func:`as_json`."""


def claim_id(stem: str, claim: Claim) -> str:
    """The name of a claim that stays: ``"i2m2/accuracy-vs-late-fusion"``."""
    return f"{stem}/{claim.name or _slug(f'{claim.metric} vs {claim.baseline}')}"


def register(cards: Mapping[str, Card], receipts: Mapping[str, Receipt]) -> list[dict[str, Any]]:
    """One row for each claim of each card, the papers' claims first.

    Args:
        cards: Cards of all methods, by stem, in the order of the book.
        receipts: Receipts of the chapters that ran, by stem.
    """
    rows = [_row(stem, card, claim, receipts) for stem, card in cards.items() for claim in card.claims]
    return sorted(rows, key=lambda row: row["kind"] != "paper")  # a stable sort: the order of the book remains


def as_json(rows: Sequence[Mapping[str, Any]], version: str) -> str:
    """The register with version and date, as :data:`SCHEMA` describes it."""
    whole = {"version": version, "date": _date(rows), "licence": "CC-BY-4.0", "claims": list(rows)}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of the register, with the columns in order; what was not measured is empty.

    No text is a formula, see :mod:`mmlab.store.sheets`.
    """
    return sheets.as_csv(list(COLUMNS), rows)


def page(rows: Sequence[Mapping[str, Any]], version: str) -> str:
    """The register as Markdown: what the papers claim, then the controls of this book, each as a table to search."""
    papers = [row for row in rows if row["kind"] == "paper"]
    own = [row for row in rows if row["kind"] != "paper"]
    counts = ", ".join(f"{sum(row['verdict'] == verdict for row in papers)} {verdict}" for verdict in VERDICTS)
    files = " · ".join(f'<a href="../claims.{end}">{name}</a>' for end, name in _FILES.items())
    return (
        f"Version {version}, {_date(rows) or 'no runs'}. {len(papers)} claims of papers: {counts}. "
        f"As data: {files}.\n\n"
        f"## What the papers claim\n\n{_table(papers, 'Claims of papers, and what the chapters found.')}\n"
        "## Controls of this book\n\nThese are no claims of a paper. They ask whether the method works at all here: "
        f"whether it beats a baseline.\n\n{_table(own, 'Controls, decided in the same way.')}"
    )


def quoted(text: str, page: str, receipts: Mapping[str, Receipt]) -> str:
    """A page with each ``<!-- claim: chapter name -->`` replaced by the sentence that the chapter's run decided.

    Args:
        text: The page; a mark may stand in the cell of a table.
        page: What the page is called, for the error.
        receipts: By chapter.

    Raises:
        ValueError: If a chapter has not run.
    """

    def expand(match: re.Match[str]) -> str:
        chapter, name = match.groups()
        if chapter not in receipts:
            raise ValueError(f"{page}.md quotes the claim {name!r} of the chapter {chapter!r}, which has not run.")
        made = receipts[chapter].metrics.get(f"claim:{name}")
        if not isinstance(made, Mapping):  # some are asked only if the run came to that, such as those at one rate
            return "(This run had no reason to ask more.)"
        return str(made["sentence"]).removeprefix("- ").replace("|", "\\|")

    return _QUOTED.sub(expand, text)


_QUOTED = re.compile(r"<!-- claim: (\w+) ([a-z0-9-]+) -->")
_FILES = {"json": "JSON", "csv": "CSV", "schema.json": "schema"}


def _row(stem: str, card: Card, claim: Claim, receipts: Mapping[str, Receipt]) -> dict[str, Any]:
    chapter = card.chapter or stem
    receipt = receipts.get(chapter)
    found = _decided(claim, claim_id(stem, claim).partition("/")[2], receipt, stem, card.name) if receipt else {}
    row: dict[str, Any] = {
        "id": claim_id(stem, claim),
        "kind": claim.kind,
        "method": card.name,
        "paper": card.paper,
        "claim": f"{claim.metric} {claim.direction} than {claim.baseline.replace('_', ' ')}",
        "metric": claim.metric,
        "rival": claim.baseline.replace("_", " "),
        "direction": claim.direction,
        "published": claim.published,
        "published_sure": claim.sure,
        **dict.fromkeys(("ours", "theirs", "difference", "low", "high", "level", "n")),
        "over": "",
        "setting": _setting(receipt) if receipt else "",
        "profile": receipt.profile if receipt else "",
        "verdict": "not tried",
        "receipt": f"notebooks/{chapter}.html" if receipt else "",
        "run": receipt.key[:12] if receipt else "",
        "command": f"mmlab book execute {chapter}",
        "date": receipt.date if receipt else "",
    }
    return row | {name: value for name, value in found.items() if name in row}


def _decided(claim: Claim, name: str, receipt: Receipt, stem: str, title: str) -> dict[str, Any]:
    """Numbers and verdict, from the chapter's claim or from the values that it recorded; empty if neither is there."""
    if isinstance(made := receipt.metrics.get(f"claim:{name}"), Mapping):
        numbers = {key: made.get(key) for key in ("ours", "theirs", "difference", "low", "high", "level", "n")}
        return {**numbers, "over": made.get("called", made.get("over", "")), "verdict": _VERDICT[made["outcome"]]}
    own, rival = _by_metric(claim, receipt, stem, title) or _by_name(claim, receipt, stem)
    if not own or not rival or (len(own) != len(rival) and len(rival) != 1):
        return {}
    found = decide(own, rival[0] if len(rival) < len(own) else rival, direction=claim.direction)
    ends = {} if found.n < 2 else {"low": _finite(found.low), "high": _finite(found.high)}
    return {
        "ours": found.ours,
        "theirs": found.theirs,
        "difference": found.difference,
        **ends,
        "level": found.level,
        "n": found.n,
        "over": "runs",
        "verdict": _VERDICT[found.outcome],
    }


_VERDICT = {"better": "holds", "worse": "does not hold", "equivalent": "does not hold", "undecided": "undecided"}


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _setting(receipt: Receipt) -> str:
    """What the chapter's data are, from the modules that it reaches."""
    names = list(receipt.inputs.get("modules", {}))
    found = []
    for folder, word in (("mmlab.data.worlds.", "synthetic"), ("mmlab.data.sets.", "real")):
        sets = [name.removeprefix(folder) for name in names if name.startswith(folder)]
        found += [f"{word}: {', '.join(sets)}"] if sets else []
    return "; ".join(found) or "drawn in the chapter"


def _by_name(claim: Claim, receipt: Receipt, stem: str) -> tuple[list[float], list[float]]:
    """Values recorded as ``record(rmse=[...], mean_shift={"RMSE": [...]})``; empty where there are none."""
    metrics = receipt.metrics
    own = _values(_find(metrics, claim.metric)) or _values(_find(_find(metrics, stem), claim.metric))
    rival = _values(_find(_find(metrics, claim.baseline), claim.metric))
    return own, rival or _values(_find(metrics, f"{claim.baseline} {claim.metric}"))


def _by_metric(claim: Claim, receipt: Receipt, stem: str, title: str) -> tuple[list[float], list[float]] | None:
    """Values recorded as ``record(accuracy={"I2M2": [...], "late fusion": [...]})``, or deeper, as by data set."""
    places = [_find(receipt.metrics, claim.metric)]
    while places:
        place = places.pop(0)
        if isinstance(place, Mapping):
            own = _values(_find(place, title)) or _values(_find(place, stem))
            rival = _values(_find(place, claim.baseline))
            if own and rival:
                return own, rival
            places += place.values()
    return None


def _find(metrics: Any, name: str) -> Any:
    """What was recorded under a name; case, blanks and underscores do not matter."""
    if not isinstance(metrics, Mapping):
        return None
    return next((value for key, value in metrics.items() if _plain(key) == _plain(name)), None)


def _plain(name: str) -> str:
    return re.sub(r"\W|_", "", name).lower()


def _values(found: Any) -> list[float]:
    values = found if isinstance(found, list) else [found]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(values) else []


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _date(rows: Sequence[Mapping[str, Any]]) -> str:
    return max((row["date"][:10] for row in rows), default="")


def _table(rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """A MyST table that the page's script makes searchable and sortable."""
    heads = ["Method", "Claim", "Verdict", "Here, difference", "n", "Published", "Setting", "Id"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        published = f"{row['published']} ({row['published_sure']})" if row["published"] else "–"
        chapter = f"[{cell(row['method'])}](/{row['receipt'].removesuffix('.html')}.ipynb)"
        lines.append(
            [
                chapter if row["receipt"] else cell(row["method"]),
                f"{cell(row['claim'])} {{cite}}`{row['paper']}`" if row["kind"] == "paper" else cell(row["claim"]),
                row["verdict"] if row["verdict"] in ("holds", "not tried") else f"**{row['verdict']}**",
                _interval(row),
                f"{row['n']} {cell(str(row['over']))}" if row["n"] else "–",
                cell(published),
                cell(row["setting"]) or "–",
                code(row["id"]),
            ]
        )
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    made = f"```{{table}} {caption}\n:class: mm-made mm-filter mm-sortable\n:align: left\n\n{body}\n```\n"
    return f"::::{{div}} mm-wide\n{made}::::\n"


def _interval(row: Mapping[str, Any]) -> str:
    if row["difference"] is None:
        return "–"
    ends = f" ({row['low']:+.3g} to {row['high']:+.3g})" if row["low"] is not None and row["high"] is not None else ""
    return f"{row['difference']:+.3g}{ends}".replace("-", "−")
