"""Sentences whose truth is computed: the run decides between better, worse and undecided, and says what it decided."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ParamSpec

from mmlab.compare.intervals import Decision, Direction, Over, decide
from mmlab.viz.display import record
from mmlab.viz.markup import emit

__all__ = ["claim", "claimed"]

_P = ParamSpec("_P")
_FIELD = re.compile(r"(?P<formula>\$[^$]+\$)|\{(?P<name>[A-Za-z_]\w*)(?::(?P<format>[^{}`]*))?\}(?!`)")
_MARKUP = re.compile(r"[<>$`\[\]\\{}|]|://|\n")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def claimed(
    name: str,
    ours: Any,
    theirs: Any,
    *,
    direction: Direction,
    better: str | None = None,
    worse: str | None = None,
    undecided: str | None = None,
    equivalent: str | None = None,
    over: Over = "seeds",
    clusters: Any = None,
    margin: float | None = None,
    level: float = 0.95,
    unit: str = "",
    digits: int | None = None,
    called: str = "",
    **more: Any,
) -> str:
    """Decide a comparison by a paired interval, record it, and give the sentence that was written for the outcome.

    :func:`claim` displays the sentence; ``claimed`` returns it, for captions, alt texts and lists.

    The numbers stand in the sentences by name: ``{ours}`` and ``{theirs}`` (means), ``{difference}`` (with its sign),
    ``{gap}`` (without), ``{low}``, ``{high}`` and ``{n}``. They come with the unit and with as many decimals as the
    interval supports; ``{ours:.2f}`` formats the bare number. A sentence that names neither end of the interval gets it
    in brackets at its end. A single run is undecided by construction, and the sentence says so.

    *Keeps at least nine tenths of it* is a comparison with ``0.9 * theirs``. *As good as* is one with a ``margin``.

    Example::

        claim(
            "bridge-beats-shift",
            scores.loc["bridge", "RMSE"],
            scores.loc["mean shift", "RMSE"],
            direction="lower",
            better="The bridge is closer to the truth than the mean shift: {ours} against {theirs}.",
            worse="The mean shift is closer to the truth than the bridge: {theirs} against {ours}.",
            undecided="Bridge ({ours}) and mean shift ({theirs}) cannot be told apart.",
        )

    Args:
        name: Name that stays: lower-case words with hyphens, unique in the chapter. A claim of the method's card is
            decided by the one that has its name.
        ours: One value for each seed or item: a list, an array, a tensor, or a pandas Series.
        theirs: Values of the rival for the same seeds or items; or a number, such as chance or a ceiling.
        direction: Whether ``"higher"`` or ``"lower"`` is better.
        better: Sentence for when ours is better; inline Markdown.
        worse: Sentence for when ours is worse.
        undecided: Sentence for when the interval holds zero, and for single runs.
        equivalent: Sentence for when the interval lies within the margin.
        over: ``"seeds"`` (Student's t over runs) or ``"items"`` (over the test items of one run).
        clusters: For items of which several belong together: a name for each item, as the person.
        margin: Largest difference that counts as none.
        level: Coverage of the interval.
        unit: Printed after each number; with ``"%"`` shares are printed in per cent and differences in points.
        digits: Decimals; by default two digits of the half-width of the interval.
        called: Word for the units, such as ``"worlds"``, where seeds, items or clusters is not the right one.
        **more: Further values for the sentences, by name: numbers, and words without markup.

    Raises:
        ValueError: If no sentence was written for the outcome; also if the values cannot be compared, the name is of
            another form, or a sentence names a number that there is not.
    """
    if not _NAME.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "our-method-beats-theirs"
        raise ValueError(f"The claim {name!r} needs a name of lower-case words with hyphens, such as {plain!r}.")
    sentences = {"better": better, "worse": worse, "undecided": undecided, "equivalent": equivalent}
    try:
        found = decide(ours, theirs, direction=direction, over=over, clusters=clusters, margin=margin, level=level)
    except ValueError as problem:
        raise ValueError(f"The claim {name!r} cannot be decided. {problem}") from None
    sentence = sentences[found.outcome]
    if not sentence or not sentence.strip():
        raise ValueError(_unwritten(name, found, unit, digits, called))
    for key, value in {"called": called, "unit": unit, **more}.items():
        if isinstance(value, str) and (mark := _MARKUP.search(value)):
            raise ValueError(f"The claim {name!r} was given {key}={value[:50]!r}: {mark[0]!r} is markup; give words.")
    units = called or ("clusters" if clusters is not None else found.over)
    values = _placeholders(found, unit, digits) | more
    text = _filled(name, sentence, values)
    if not re.search(r"\{(low|high)\b", sentence):
        text = _with_interval(text, found, values, units)
    _record(name, found, text, unit, units)
    return text


def _displayed(sentence: Callable[_P, str]) -> Callable[_P, None]:
    @functools.wraps(sentence)
    def display(*arguments: _P.args, **keywords: _P.kwargs) -> None:
        text = sentence(*arguments, **keywords)
        emit({"text/markdown": text, "text/plain": text})

    return display


claim = _displayed(claimed)
"""Display the sentence of :func:`claimed`, with the same arguments."""


def _filled(name: str, sentence: str, values: dict[str, Any]) -> str:
    """The sentence with its numbers; braces of formulas and of roles such as ``{doc}`` stay as they are."""

    def replace(match: re.Match[str]) -> str:
        if formula := match["formula"]:
            return re.sub(r"\{(\w+)\}", lambda inner: str(values.get(inner[1], inner[0])), formula)
        if match["name"] not in values:
            there = ", ".join(f"{{{key}}}" for key in values)
            raise ValueError(f"The claim {name!r} names {{{match['name']}}}; there are {there}.")
        return format(values[match["name"]], match["format"] or "")

    return _FIELD.sub(replace, sentence)


def _record(name: str, found: Decision, text: str, unit: str, units: str) -> None:
    numbers = {key: value for key, value in asdict(found).items() if value is not None}
    finite = {key: None if value in (math.inf, -math.inf) else value for key, value in numbers.items()}
    record(**{f"claim:{name}": finite | {"sentence": text, "unit": unit, "called": units}})


class _Shown(float):
    """A number that prints itself with its unit; with a format of its own, without."""

    text: str

    def __new__(cls, value: float, text: str) -> _Shown:
        made = super().__new__(cls, value)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text

    def __format__(self, spec: str) -> str:
        return format(float(self), spec).replace("-", "−") if spec else self.text


def _placeholders(found: Decision, unit: str, digits: int | None) -> dict[str, Any]:
    factor = 100.0 if unit == "%" else 1.0
    places = _decimals(found, factor) if digits is None else digits
    own = " %" if unit == "%" else f" {unit.strip()}" if unit else ""
    apart = " points" if unit == "%" else own

    ends = places  # of an interval without zero, no end is printed as zero
    if found.low * found.high > 0:
        while ends < 6 and not round(factor * min(abs(found.low), abs(found.high)), ends):
            ends += 1

    def shown(value: float, after: str, sign: str = "", places: int = places) -> _Shown:
        if math.isinf(value):
            return _Shown(value, "∞" if value > 0 else "−∞")
        rounded = round(factor * value, places) + 0.0  # no minus before a zero
        return _Shown(value, f"{rounded:{sign}.{places}f}".replace("-", "−") + after)

    return {
        "ours": shown(found.ours, own),
        "theirs": shown(found.theirs, own),
        "difference": shown(found.difference, apart, "+"),
        "gap": shown(abs(found.difference), apart),
        "low": shown(found.low, "", "+", ends),
        "high": shown(found.high, apart, "+", ends),
        "n": found.n,
    }


def _decimals(found: Decision, factor: float) -> int:
    """Two digits of the half-width of the interval; without one, three digits of the largest number."""
    half = factor * (found.high - found.low) / 2
    if 0 < half < math.inf:
        return min(6, max(0, 1 - math.floor(math.log10(half))))
    largest = factor * max(abs(found.ours), abs(found.theirs))
    return min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest else 1


def _with_interval(text: str, found: Decision, values: dict[str, Any], units: str) -> str:
    """The sentence with its interval in brackets, before the full stop."""
    if math.isinf(found.high):
        runs = "a single run" if found.n == 1 and found.over == "seeds" else f"only {found.n} of the {units}"
        inside = f"difference {values['difference']}; {runs}, which decides nothing"
    else:
        interval = f"{100 * found.level:g} % interval {values['low']} to {values['high']}"
        inside = f"difference {values['difference']}, {interval}, {found.n} {units}"
    body = text.rstrip()
    stop = body[-1] if body[-1] in ".!" else ""
    return f"{body.removesuffix(stop)} ({inside}){stop}"


def _unwritten(name: str, found: Decision, unit: str, digits: int | None, called: str) -> str:
    values = _placeholders(found, unit, digits)
    interval = f"from {values['low']} to {values['high']}"
    return (
        f"The claim {name!r} is {found.outcome} in this run (ours {values['ours']}, theirs {values['theirs']}, "
        f"difference {values['difference']}, {interval}, {found.n} {called or found.over}), and no sentence was "
        f"written for that: add {found.outcome}=, and write it for what the run shows."
    )
