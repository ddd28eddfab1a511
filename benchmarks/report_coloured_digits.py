"""The section on the parts of the U-Net of the page of measurements."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

__all__ = ["coloured_digits"]

COLUMNS = {
    "to nearest right answer": "to nearest right answer ↓",
    "class kept": "class kept ↑",
    "saturation": "saturation",
    "uneven hues": "uneven hues ↓",
    "RMSE to the drawn one": "RMSE to the drawn one",
    "excess": "excess over the perfect network ↓",
}
TITLES = {"digits": "Digits of scikit-learn", "mnist": "MNIST, averaged down"}
FIXED = ("identity", "mean image", "half as bright")
KEY = "to nearest right answer"


def coloured_digits(read: Callable[[str], dict[str, Any]]) -> str:
    """Grey digits to coloured digits, each part of the network taken away in turn."""
    result = read("coloured_digits")
    text = (
        "\n## Inside the U-Net: grey digits to coloured digits\n\n"
        "`MMLAB_DATA=... python benchmarks/coloured_digits.py`: bridge matching with σ = "
        f"{result['sigma']:g}, each part of the network taken away in turn, with as many steps for every row; mean ± "
        f"standard deviation over {result['seeds']} seeds. What the measures mean stands in the chapter "
        "{doc}`../notebooks/inside_the_unet`. *Perfect network* is the closed form, *half as bright* the closed form "
        "of plain regression.\n"
    )
    for name, world in result["worlds"].items():
        text += _world(TITLES[name], world)
    return text


def _world(title: str, world: dict[str, Any]) -> str:
    """The table of one world, and what stands in it."""
    rows, side = world["rows"], world["side"]
    text = (
        f"\n{title}, {side} × {side} pixels, {world['images to train on']} images to train on, {world['test']} to "
        f"test, {world['steps']} steps:\n\n| row | " + " | ".join(COLUMNS.values()) + " |\n"
    )
    text += "| --- " * (len(COLUMNS) + 1) + "|\n"
    for name, runs in rows.items():
        text += f"| {name} | " + " | ".join(_cell(runs, key, name in FIXED) for key in COLUMNS) + " |\n"
    whole = [run[KEY] for run in rows["everything"]]
    parts = ("time", "attention", "skip connections", "the source")
    gaps = {part: _gaps([run[KEY] for run in rows[f"without {part}"]], whole) for part in parts}
    said = ", ".join(f"{part} {text}" for part, text in gaps.items())
    kept = (statistics.mean(run["class kept"] for run in rows[row]) for row in ("everything", "without the source"))
    text += (
        f"\nWithout a part, the distance to the nearest right answer changes by: {said}. The class is kept in "
        "{:.0%} with the source, and in {:.0%} without.\n".format(*kept).replace("%", " %")
    )
    if "drift as output" in rows:
        drift, blind, own, own_blind = (
            statistics.mean(run["excess"] for run in rows[name])
            for name in ("drift as output", "drift as output, without time", "everything", "without time")
        )
        far, grey = (statistics.mean(run[KEY] for run in rows[name]) for name in ("drift as output", "half as bright"))
        text += (
            f"\nA network that predicts the endpoint has an excess of {own:.3f} with time and {own_blind:.3f} "
            f"without; one that predicts the drift {drift:.3f} and {blind:.3f}. So whether time must be told depends "
            f"on what is asked for. By the distance to the nearest right answer the drift with time has {far:.3f}, and "
            f"*half as bright* {grey:.3f}.\n"
        )
    return text


def _cell(runs: list[dict[str, float | None]], key: str, fixed: bool) -> str:
    """Mean ± standard deviation over the runs; empty where any run has no value."""
    values = [run.get(key) for run in runs]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return ""
    mean = f"{statistics.mean(known):.3f}"
    return mean if fixed else f"{mean} ± {statistics.stdev(known):.3f}"


def _gaps(values: list[float], whole: list[float]) -> str:
    """Mean difference, and in how many seeds it is worse."""
    differences = [a - b for a, b in zip(values, whole, strict=True)]
    worse = sum(difference > 0 for difference in differences)
    return f"{statistics.mean(differences):+.3f} (worse in {worse} of {len(differences)} seeds)".replace("-", "−")
