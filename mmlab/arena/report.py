"""The results as a page that stands by itself, and as a table."""

from __future__ import annotations

import base64
import io
import math
import warnings
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from mmlab.compare.two_way import Estimate
from mmlab.paths import expand

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmlab.arena.results import Results

__all__ = ["figure_of", "page_of", "write_report"]

_BEGINNING = '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="generator" content="mmlab arena">'
_LONGEST = 30
"""Letters of a name in the figure."""
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
.verdict { font-size: 1.2rem; font-weight: 600; border-left: 0.3rem solid #0b5cad; padding-left: 0.8rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
td, th { padding: 0.25rem 0.9rem 0.25rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } tr { border-bottom: 1px solid #8886; }
img { max-width: 100%; background: #fff; } figure { margin: 1rem 0; }
"""


def write_report(results: Results, folder: str | Path, title: str) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.csv``.

    Args:
        results: What :func:`mmlab.arena.results.judge` found.
        folder: Where to; made if it is not there.
        title: Heading of the page.

    Returns:
        Paths of page and table.

    Raises:
        NotADirectoryError: If the folder is a file.
        NotOursError: If the folder has files of these names that are no report.
    """
    from mmlab.store import sheets
    from mmlab.store.files import replace_file
    from mmlab.store.folders import refuse_other_file

    target = expand(folder)
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} is a file: name a folder for the report.")
    rows = results.table()
    page, table = target / "report.html", target / "report.csv"
    refuse_other_file(page, _BEGINNING)
    refuse_other_file(table, ",".join(rows.columns))
    records = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
    target.mkdir(parents=True, exist_ok=True)
    replace_file(page, [page_of(results, title).encode()])
    replace_file(table, [sheets.as_csv(list(rows.columns), records).encode()])
    return page, table


def page_of(results: Results, title: str) -> str:
    """The page as HTML, with its figure inside.

    Args:
        results: What was found.
        title: Its heading.
    """
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the words of the page have every letter
        figure_of(results).savefig(picture, format="png", dpi=130, metadata={"Software": None})
    shown = base64.b64encode(picture.getvalue()).decode()
    c = results.counts
    facts = [
        f"{c.votes} votes of {c.respondents} respondents on {c.items} items; the item with the fewest has {c.fewest}.",
        f"{c.ties} votes were ties, {c.both_bad} said that no answer is good; both count as half a vote for each.",
        f"{c.excluded} respondents were left out because they missed attention items.",
        f"Intervals of {results.level:.0%} draw respondents and items anew, since votes of one person hang together, "
        "and so do votes on one item. Differences of strength hold for all pairs at once. The pooled interval takes "
        "every vote for independent; it stands here to be mistrusted.",
    ]
    if results.separated:
        facts.append(results.separated)
    return (
        _BEGINNING + '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: results</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f'<p class="verdict">{escape(results.verdict())}</p>'
        f'<figure><img src="data:image/png;base64,{shown}" alt="{escape(describe(results))}"></figure>'
        + "".join(f"<p>{escape(fact)}</p>" for fact in facts)
        + f'<div class="scroll" tabindex="0" role="region" aria-label="All numbers">{_rows(results)}</div>'
        "</main></body></html>"
    )


def figure_of(results: Results) -> Figure:
    """Shares of votes and of rounds won with their intervals, and strengths.

    Args:
        results: What was found.
    """
    from matplotlib.figure import Figure

    pairs = results.pairs
    figure = Figure(figsize=(8.4, 1.6 + 0.75 * max(len(pairs), len(results.systems))), layout="constrained")
    left, right = figure.subplots(1, 2)
    kinds = (("votes", "share", "tab:blue"), ("rounds won", "rounds", "tab:orange"), ("votes, pooled", "pooled", "0.6"))
    for shift, (label, name, colour) in zip((0.2, 0.0, -0.2), kinds, strict=True):
        values = [getattr(pair, name) for pair in pairs]
        _bars(left, [at + shift for at in range(len(pairs))], values, colour, label)
    left.axvline(0.5, color="black", lw=0.8)
    left.set(xlim=(0, 1), ylim=(-0.6, len(pairs) - 0.4), xlabel="share")
    left.set_yticks(
        range(len(pairs)),
        [f"{_label(p.first)}\nagainst {_label(p.second)}\nn = {p.votes}" for p in pairs],
        parse_math=False,
    )
    left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=3)
    names = list(results.systems)[::-1]
    _bars(right, list(range(len(names))), [results.strengths[name] for name in names], "tab:green", "")
    right.axvline(0, color="black", lw=0.8)
    right.set_yticks(range(len(names)), [_label(name) for name in names], parse_math=False)
    right.set(xlabel="strength, Elo points", ylim=(-0.6, len(names) - 0.4))
    return figure


def _label(name: str) -> str:
    """A name beside an axis: on one line, and shorter than the axis."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def describe(results: Results) -> str:
    """What the figure shows, in words.

    Args:
        results: What was found.
    """
    parts = [
        f"{p.first} against {p.second}: {_shown(p.share)} of {p.votes} votes, "
        f"{_shown(p.rounds)} of {sum(p.items)} rounds."
        for p in results.pairs
    ]
    return f"Shares with intervals. {' '.join(parts)} {results.verdict()}"


def _bars(axes: object, heights: list[float], values: list[Estimate], colour: str, label: str) -> None:
    for number, (height, e) in enumerate(zip(heights, values, strict=True)):
        if not math.isfinite(e.value):
            continue
        axes.plot([e.value], [height], "o", color=colour, label=label if number == 0 else None)  # type: ignore[attr-defined]
        if math.isfinite(e.low) and math.isfinite(e.high):
            axes.plot([e.low, e.high], [height, height], color=colour, lw=2)  # type: ignore[attr-defined]


def _rows(results: Results) -> str:
    head = "".join(f"<th scope=col>{name}</th>" for name in ("measure", "of", "value", "interval", "n"))
    body = ""
    for row in results.table().itertuples():
        e = Estimate(*(float(number) for number in (row.value, row.low, row.high)))  # type: ignore[arg-type]
        body += (
            f"<tr><td>{escape(str(row.measure))}</td><td>{escape(str(row.of))}</td>"
            f"<td class=number>{escape(_number(e.value))}</td><td>{_interval(e)}</td><td class=number>{row.n}</td></tr>"
        )
    return f"<table><caption>All numbers</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(e: Estimate) -> str:
    return f"{_number(e.value)} ({_interval(e)})"


def _interval(e: Estimate) -> str:
    if math.isnan(e.low):
        return ""
    return "no interval" if math.isinf(e.low) and math.isinf(e.high) else f"{_number(e.low)} to {_number(e.high)}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "none"
    if 0 < value < 0.0005:
        return "< 0.001"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.1f}".replace("-", "−") if abs(value) >= 10 else f"{value:.3f}".replace("-", "−")
