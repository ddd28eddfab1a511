"""The README.md that goes with saved weights: what they are, what they were trained on, how good they are."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab.card import Card

__all__ = ["MARK", "Provenance", "card_text", "code", "has_own_readme", "model_card", "plain"]

MARK = "<!-- Written by mmlab when the weights were saved. Delete this line to keep your own edits. -->"
"""A README with this line is replaced by the next save; one without it is left alone."""

_NOT_STATED = "Not stated when the weights were saved. Ask whoever passed them on."
_CLINICAL = (
    "> **Not for clinical use.** These weights were trained on data of patients or on clinical images. They are no "
    "medical device, were not validated for diagnosis or treatment, and can fail on people, machines and sites "
    "that their data did not cover. Outputs that look real may be wrong."
)


@dataclass(frozen=True)
class Provenance:
    """What the weights cannot tell about themselves. Everything may be left out; the card then says so.

    Attributes:
        data: What the model was trained on, and how that was split.
        data_licence: Licence or terms of these data, with the acknowledgement that they ask for.
        metrics: Measured values by name, one value per seed or fold: the card shows mean and standard deviation.
        intended_use: What the model is good for.
        limits: What it is known to be bad at, or was not tested for.
        clinical: Whether the data describe patients or are clinical images; adds a warning.
    """

    data: str = ""
    data_licence: str = ""
    metrics: Mapping[str, Sequence[float] | float] = field(default_factory=dict)
    intended_use: str = "Teaching, and research on the method."
    limits: str = ""
    clinical: bool = False


def model_card(stem: str, class_name: str, card: Card, config: Mapping[str, Any], provenance: Provenance) -> str:
    """Write the card.

    Args:
        stem: Module of the method in ``mmlab.methods``, or an empty string if it lives elsewhere.
        class_name: Name of its class.
        card: Its identity card.
        config: Its constructor arguments.
        provenance: Data, results and limits.

    Returns:
        Markdown with the YAML header that the Hugging Face Hub reads.
    """
    load = (
        f"```python\nfrom mmlab.methods.{stem} import {class_name}\n\n"
        f'method = {class_name}.from_pretrained("this folder, or its name on the Hub")\n```'
    )
    header = {"library_name": "mmlab", "tags": ["mmlab", card.family, *([stem] if stem else [])]}
    return card_text(
        card.name,
        header,
        {"Method": f"{card.summary}\n\nPaper: `{card.paper}` in the bibliography of mmlab."},
        provenance,
        {**({"Loading": load} if stem else {}), "Arguments": _as_json(config)},
    )


def card_text(
    title: str,
    header: Mapping[str, str | Sequence[str]],
    before: Mapping[str, str],
    provenance: Provenance,
    after: Mapping[str, str],
) -> str:
    """Put a card together.

    Args:
        title: Its heading.
        header: What the Hugging Face Hub reads: texts, or lists of texts, by name.
        before: Sections that come first, by title.
        provenance: Data, results and limits: the sections in the middle.
        after: Sections that come last.

    Returns:
        Markdown with a YAML header, and with :data:`MARK`.
    """
    lines = []
    for name, value in header.items():
        items = [] if isinstance(value, str) else [f"- {_scalar(item)}" for item in value]
        lines += [f"{name}: {_scalar(value)}" if isinstance(value, str) else f"{name}:", *items]
    sections = {
        **before,
        "Data": provenance.data or _NOT_STATED,
        "Licence of the data": provenance.data_licence or _NOT_STATED,
        "Results": _results(provenance.metrics),
        "Intended use": provenance.intended_use,
        "Limits": provenance.limits or "The results above hold for these data alone; nothing else was tested.",
        **after,
    }
    parts = [
        "\n".join(["---", *lines, "---"]),
        MARK,
        f"# {plain(title)}",
        *([_CLINICAL] if provenance.clinical else []),
    ]
    parts += [f"## {heading}\n\n{text}" for heading, text in sections.items()]
    return "\n\n".join(parts) + "\n"


def has_own_readme(folder: Path) -> bool:
    """Whether the folder has a README that somebody wrote, which is to be kept."""
    readme = folder / "README.md"
    return readme.exists() and MARK not in readme.read_text(encoding="utf-8", errors="replace")


def plain(text: str) -> str:
    """Somebody's text on one line of Markdown, in which nothing is markup: no HTML, link, table cell or heading."""
    one_line = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    escaped = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$!])", r"\\\1", escaped)


def code(text: str) -> str:
    """Somebody's text as inline code of Markdown, which it cannot end."""
    one_line = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    longest = max(map(len, re.findall("`+", one_line)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {one_line} {fence}" if longest else f"`{one_line}`"


def _scalar(text: str) -> str:
    """A text as YAML: as it stands where it can be nothing else, and quoted like JSON otherwise."""
    safe = re.fullmatch(r"[A-Za-z][\w-]*(/[\w.-]+)?", text) and text.lower() not in (
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
    )
    return (
        text if safe else json.dumps(text).replace("-", "\\u002d")
    )  # so that no program takes it for the header's end


def _as_json(value: Mapping[str, Any]) -> str:
    return f"```json\n{json.dumps(value, indent=2, sort_keys=True)}\n```"


def _results(metrics: Mapping[str, Sequence[float] | float]) -> str:
    if not metrics:
        return _NOT_STATED
    rows = ["| metric | mean | standard deviation | runs |", "| --- | --- | --- | --- |"]
    for name, measured in metrics.items():
        values = list(measured) if isinstance(measured, Sequence) else [measured]
        spread = f"{statistics.stdev(values):.4g}" if len(values) > 1 else "one run only"
        rows.append(f"| {plain(name)} | {statistics.fmean(values):.4g} | {spread} | {len(values)} |")
    return "\n".join(rows)
