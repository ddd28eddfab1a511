"""What a chapter shows: figures with alt text, tables, and sentences whose numbers come from the run.

All of it is emitted as HTML or Markdown that Jupyter, Colab and the published page render alike. Write the
numbers in captions and alt text with f-strings, never by hand.
"""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmlab.viz.markup import FEWEST_COLOURS, alt_problem, bare, colours, emit, img, inline_html, png
from mmlab.viz.numbering import anchor, number_of, referred

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mmlab.compare.budget import Budgets
    from mmlab.compare.seeds import OverSeeds

__all__ = ["record", "say", "show", "table", "table_over_seeds"]

_SIGNS = {"higher": ("↑", "higher is better"), "lower": ("↓", "lower is better")}


def show(figure: Figure, alt: str, caption: str, *, label: str | None = None) -> None:
    """Display a Matplotlib figure with alternative text, a number and a caption, then close it.

    Args:
        figure: The figure; its size in inches times 96 is its width on the page in CSS pixels.
        alt: What the figure shows, for readers who cannot see it: a sentence or two, with the numbers that matter.
        caption: The visible caption; ``$...$``, ``**bold**``, ``*emphasis*`` and code in backticks are rendered.
        label: Name by which the text refers to it: ``[](#figure-paths)`` reads "Figure 3" for ``label="paths"``.

    Raises:
        ValueError: If the alt text or the caption is empty, the alt text is a file name or says nothing, nothing is
            drawn on the figure, or the label is no label.
    """
    if problem := alt_problem(alt):
        raise ValueError(f"The alt text of the figure captioned {caption[:60]!r} {problem}")
    if not caption.strip():
        raise ValueError(f"The figure with the alt text {alt[:60]!r} has no caption: say what to see in it.")
    content, width = png(figure)
    if (found := colours(content)) < FEWEST_COLOURS:
        raise ValueError(f"The figure captioned {caption[:60]!r} has nothing on it: it has {found} colours in all.")
    numbered = f"<strong>Figure {number_of(caption, label)}.</strong> {inline_html(caption)}"
    markup = (
        f'<figure class="mm-figure"{anchor(label)} style="margin: 1em 0">{img(content, width, alt)}'
        f'<figcaption style="font-size: 0.9em; margin-top: 0.5em">{numbered}</figcaption></figure>'
    )
    emit({"text/html": markup, "text/plain": alt})


def say(markdown: str) -> None:
    """Display Markdown, mathematics included. Write the numbers of the run into it with an f-string.

    Args:
        markdown: The text, for example ``f"The bridge needs {calls} network calls."``; ``[](#figure-paths)`` refers to
            the figure with this label.

    Raises:
        ValueError: If there is nothing to say, or a figure is referred to that was not shown yet.
    """
    if not markdown.strip():
        raise ValueError("say() was given an empty text.")
    markdown = referred(markdown)
    emit({"text/markdown": markdown, "text/plain": markdown})


def record(**metrics: Any) -> None:
    """Leave metrics of the run in its receipt; the page and the status page print them from there.

    Does nothing where no runner listens, as in Jupyter and on Colab. Tensors of one element count as numbers.

    Args:
        **metrics: Numbers, strings, or lists and dicts of them.

    Raises:
        ValueError: If a value is not finite or JSON cannot hold it, or a name is recorded twice in one run.
    """
    line = json.dumps({name: _plain(name, value) for name, value in metrics.items()})
    if not (target := os.environ.get("MMLAB_METRICS")):
        return
    path = Path(target)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {name for text in lines for name in json.loads(text)}
    if twice := known & metrics.keys():
        raise ValueError(f"The metric {min(twice)!r} was recorded before in this run: give each its own name.")
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def table(
    frame: pd.DataFrame,
    caption: str,
    *,
    spread: pd.DataFrame | None = None,
    best: Mapping[str, Literal["higher", "lower"]] | None = None,
    reference: Sequence[str] = (),
    digits: int | Mapping[str, int] = 3,
    paired: pd.DataFrame | OverSeeds | None = None,
    called: str = "seeds",
    budgets: Budgets | None = None,
    ceiling: str | None = None,
) -> None:
    """Display a data frame as a table with a caption, row headings, and the best of each column in bold.

    With the values of the single runs (``paired``), all rows are in bold that a paired interval does not tell from the
    best, and the caption says so. Without them the best value is in bold, however small its lead.

    Args:
        frame: One row per method, one column per metric; the index gives the row headings.
        caption: What the table compares; inline Markdown and mathematics are rendered.
        spread: Same shape: printed after each value as ± (say in the caption of what: folds, seeds, people).
        best: For each column to be judged, whether higher or lower is better.
        reference: Rows that do not compete, such as the ceiling: set in italics, never in bold.
        digits: Decimals of real numbers, for all columns or by column. Whole numbers are printed whole.
        paired: The values behind the means: indexed by (row, seed), or what
            :func:`mmlab.compare.seeds.over_seeds` gives.
        called: Word for the runs in the caption, such as ``"worlds"``.
        budgets: What each row was allowed; where the proposed method had more than a rival, a column must show it.
        ceiling: The row that nobody can beat. A mean beyond it by more than three of its own spreads is an error of the
            measurement or of the ceiling, and no result.

    Raises:
        ValueError: If the caption is empty, ``best`` or ``reference`` names what is not in the table, the proposed
            method had more of something than a rival and no column says so, or a row is beyond the ceiling.
    """
    best = dict(best or {})
    if budgets is not None:
        budgets.check(shown=[str(column) for column in frame.columns], rows=[str(row) for row in frame.index])
    if not caption.strip():
        raise ValueError("A table needs a caption: say what it compares.")
    if spread is not None and spread.shape != frame.shape:
        raise ValueError(f"table(): the spread is {spread.shape}, the values are {frame.shape}.")
    for what, names, known in (("best", best, frame.columns), ("reference", reference, frame.index)):
        if unknown := [name for name in names if name not in known]:
            there = ", ".join(map(str, known))
            raise ValueError(f"table(): {what} names {unknown[0]!r}, but there are only {there}.")
    if ceiling is not None:
        _check_ceiling(frame, spread, best, ceiling)
    tied, note = _tied_sets(paired, best, reference, called)
    caption = caption.rstrip()
    if note:
        caption = f"{caption}{'' if caption[-1] in '.!?' else '.'} {note}"
    heads = [_head(column, best.get(str(column))) for column in frame.columns]
    rows = [""] * len(frame)
    for j, column in enumerate(frame.columns):
        places = digits if isinstance(digits, int) else digits.get(str(column), 3)
        texts = [_number(value, places) for value in frame.iloc[:, j]]
        winner = _winner(frame.iloc[:, j].drop(list(reference)), best.get(str(column)))
        for i, name in enumerate(frame.index):
            # Equal as printed is equal: two rows that win to the shown precision are both set in bold.
            won = winner is not None and name not in reference and texts[i] == _number(winner, places)
            if column in tied:
                won = str(name) in tied[column]
            extra = "" if spread is None else _number(spread.iloc[i, j], places)
            text = f"{texts[i]} ± {extra}" if extra not in ("", "–") and texts[i] != "–" else texts[i]
            text = f"<strong>{text}</strong>" if won else text
            rows[i] += f"<td>{f'<em>{text}</em>' if name in reference else text}</td>"
    body = "".join(
        f'<tr><th scope="row" style="text-align: left">{inline_html(str(name))}</th>{row}</tr>'
        for name, row in zip(frame.index, rows, strict=True)
    )
    name = inline_html(str(frame.index.name or ""))
    corner = f'<th scope="col" style="text-align: left">{name}</th>' if name else "<td></td>"
    emit({"text/html": _table(caption, corner + "".join(heads), body), "text/plain": f"{caption}\n\n{frame}"})


def table_over_seeds(
    frame: pd.DataFrame,
    caption: str,
    *,
    by: str = "method",
    over: str = "seed",
    best: Mapping[str, Literal["higher", "lower"]] | None = None,
    reference: Sequence[str] = (),
    digits: int | Mapping[str, int] = 3,
    order: Sequence[str] | None = None,
    budgets: Budgets | None = None,
    ceiling: str | None = None,
) -> None:
    """Display results of several runs: mean ± standard deviation, and in bold all that is tied with the best.

    The caption is completed by what the numbers are. The values themselves come from
    :func:`mmlab.compare.seeds.over_seeds` with the same arguments.

    Args:
        frame: One line for each run of each row; see :func:`mmlab.compare.seeds.over_seeds`.
        caption: What the table compares.
        by: Column of the row's name.
        over: Column of the seed or world; its plural stands in the caption.
        best: For each column to be judged, whether higher or lower is better.
        reference: Rows that do not compete, such as the ceiling.
        digits: Decimals, for all columns or by column.
        order: Rows to show, in this order.
        budgets: What each row was allowed; see :func:`table`. What the proposal had more of becomes a column.
        ceiling: The row that nobody can beat; see :func:`table`. A single run may pass it by luck.
    """
    from mmlab.compare.seeds import over_seeds

    runs = over_seeds(frame, by, over, order)
    units = f"{over}s" if runs.n > 1 else over
    what = f"Mean ± standard deviation over {runs.n} {units}." if runs.n > 1 else f"A single {over}."
    more = list(budgets.advantages(runs.mean.index)) if budgets else []
    shown = runs.mean.join(budgets.columns()[more]) if budgets else runs.mean
    table(
        shown,
        f"{caption.rstrip()} {what}",
        spread=runs.spread.reindex(columns=shown.columns),
        best=best,
        reference=reference,
        digits=digits,
        paired=runs,
        called=units,
        budgets=budgets,
        ceiling=ceiling if runs.n > 1 else None,
    )


def _check_ceiling(frame: pd.DataFrame, spread: pd.DataFrame | None, best: Mapping[str, Any], ceiling: str) -> None:
    """Raise if a row is beyond what is possible, by more than its spread explains."""
    if ceiling not in frame.index:
        raise ValueError(f"table(): ceiling names {ceiling!r}, but there are only {', '.join(map(str, frame.index))}.")
    for column, better in best.items():
        values = frame[column].astype(float)
        noise = 0.0 if spread is None else 3 * spread[column].astype(float).fillna(0.0)
        beyond = (values - values[ceiling]) * (1 if better == "higher" else -1) - noise
        if (worst := beyond.drop(ceiling).max()) > 1e-9:
            name = str(beyond.drop(ceiling).idxmax())
            raise ValueError(
                f"{name!r} has the {column} {values[name]:.4g}, which is {worst:.2g} further beyond the ceiling "
                f"{values[ceiling]:.4g} than its spread explains: one of the two is measured wrongly."
            )


def _tied_sets(
    paired: pd.DataFrame | OverSeeds | None, best: Mapping[str, Any], reference: Sequence[str], called: str
) -> tuple[dict[str, list[str]], str]:
    """The rows to mark in each judged column, and what the caption says of it; nothing without single runs."""
    from mmlab.compare.seeds import OverSeeds, over_seeds

    if paired is None or not best:
        return {}, ""
    runs = paired if isinstance(paired, OverSeeds) else over_seeds(paired)
    absent = [name for name in reference if name not in runs.mean.index]
    without = [name for name in reference if name not in absent]
    tied = {column: runs.tied(column, better, without) for column, better in best.items() if column in runs.mean}
    if runs.n < 2:
        return tied, "One run tells nothing apart, so nothing is in bold."
    return tied, f"In bold: the best, and all that a paired 95 % interval over {runs.n} {called} does not tell from it."


def _table(caption: str, head: str, body: str) -> str:
    # The wrapper scrolls by itself on a narrow screen, and can be reached and scrolled with the keyboard.
    return (
        f'<div class="mm-table" role="region" tabindex="0" aria-label="{html.escape(bare(caption))}" '
        'style="overflow-x: auto"><table class="dataframe" style="text-align: right; '
        'font-variant-numeric: tabular-nums"><caption style="text-align: left; caption-side: top">'
        f"{inline_html(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(column: Any, better: str | None) -> str:
    sign, words = _SIGNS.get(better or "", ("", ""))
    arrow = f' <abbr title="{words}" style="text-decoration: none">{sign}</abbr>' if sign else ""
    return f'<th scope="col" style="text-align: right">{inline_html(str(column))}{arrow}</th>'


def _winner(column: pd.Series, better: str | None) -> Any:
    """The best value of a column, or None if it is not judged or has nothing to compare."""
    if better not in (None, *_SIGNS):
        raise ValueError(f"table(): {column.name!r} can be better 'higher' or 'lower', not {better!r}.")
    column = column.dropna()
    if better is None or column.empty:
        return None
    return column.max() if better == "higher" else column.min()


def _number(value: Any, places: int) -> str:
    """A cell as text: true minus signs, whole numbers whole, a dash for what is missing."""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "no"
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.{places}f}".replace("-", "−")
    if hasattr(value, "__index__"):
        return f"{int(value):,}".replace("-", "−").replace(",", "\u202f")  # a narrow space between thousands
    return inline_html(str(value))


def _plain(name: str, value: Any) -> Any:
    """A value that JSON can hold, or a sentence about why there is none."""
    if hasattr(value, "tolist"):  # NumPy and torch, scalars included
        value = value.tolist()
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, Mapping):
        return {str(key): _plain(name, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"The metric {name!r} is {value}: a number that is not finite is no result.")
    if value is None or isinstance(value, str | int | float):
        return value
    kind = type(value).__name__
    raise ValueError(f"The metric {name!r} is a {kind}: record numbers, strings, or lists and dicts of them.")
