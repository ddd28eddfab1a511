"""The parts of ``book/measured.md`` on samplers where the law is known, and on DiffeoCFM; ``report.py`` shows them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

Read = Callable[[str], dict[str, Any]]
"""Name of a benchmark -> its results."""

TITLES = {
    "truth": "a second true draw",
    "bridge_matching": "bridge matching",
    "ddbm": "DDBM",
    "score_diffusion": "score-based diffusion",
    "flow_matching": "flow matching, from noise",
    "tangent_bridge": "tangent bridge",
    "diffeo_cfm": "DiffeoCFM",
    "schrodinger_bridge": "Schrödinger bridge",
    "conditional mean": "the conditional mean",
    "source ignored": "the right targets, source ignored",
}
LAWS = {
    "two_modes": "two modes",
    "skewed": "skewed",
    "unrelated": "unrelated",
    "heteroscedastic": "heteroscedastic",
    "weighted_modes": "weighted modes",
}
SHOWN = ("halves", "pain", "classes")


def _mean(values: list[float]) -> float:
    return statistics.mean(values) if values else float("nan")


def conditional_laws(read: Read) -> str:
    """What samplers draw where the law of the target given the source is known, and what few pairs ask of training."""
    result = read("conditional_laws")
    text = _laws(result["laws"])
    if any(row["use"] == "test" for row in result["rest_motor"]):
        text += _few_pairs(result["rest_motor"])
    if result["hemispheres"]:
        text += _hemispheres(result["hemispheres"])
    return text


def _laws(rows: list[dict[str, Any]]) -> str:
    seeds = sorted({row["seed"] for row in rows})
    sizes = sorted({row["size"] for row in rows})
    text = (
        "\n## Samplers where the law is known\n\n"
        "`python benchmarks/conditional_laws.py`: networks of width 64, trained for 300 steps on 8000 pairs, then one "
        f"draw for each of 1000 fresh sources; values to draw at once: {' or '.join(map(str, sizes))} (the methods "
        f"on correlation matrices: 1), seeds {', '.join(map(str, seeds))}. Energy distance from a true draw given the "
        "source, times "
        "1000; in brackets, in how many of the runs an exchange test at 0.2 % finds another law.\n\n"
    )
    text += "| sampler | " + " | ".join(LAWS.values()) + " |\n" + "| --- " * (len(LAWS) + 1) + "|\n"
    for name, title in TITLES.items():
        cells = []
        for law in LAWS:
            own = [row for row in rows if row["row"] == name and row["law"] == law]
            found = sum(row["p"] <= 0.002 for row in own)
            cells.append(f"{1000 * _mean([row['energy'] for row in own]):.1f} ({found} of {len(own)})" if own else "")
        text += f"| {title} | " + " | ".join(cells) + " |\n"
    gaps = {
        name: max(row["gap"] for row in rows if row["row"] == name and row["gap"] is not None)
        for name in TITLES
        if name not in ("conditional mean", "source ignored")
    }
    errors = {
        name: _mean([row["rmse of the mean"] for row in rows if row["row"] == name and row["rmse of the mean"]])
        for name in gaps
    }
    text += _older(rows, ("seed", "size", "law"))
    text += (
        "\nA sampler that ignores its source draws the right targets, and fails on every law but the one whose "
        "targets do "
        "not depend on the source. The Schrödinger bridge knows no pairs: it is not meant to pass, and shows "
        "what is lost.\n"
        "\n| sampler | two modes: largest share in the gap (%) | unrelated source: RMSE of the mean of 20 samples |\n"
        + "| --- " * 3
        + "|\n"
    )
    for name, gap in gaps.items():
        error = "" if math.isnan(errors[name]) else f"{errors[name]:.3f}"
        text += f"| {TITLES[name]} | {100 * gap:.1f} | {error} |\n"
    return text


def _few_pairs(rows: list[dict[str, Any]]) -> str:
    uses = {use: [row for row in rows if row["use"] == use] for use in ("choose", "test")}
    names = list(dict.fromkeys(row["row"] for row in uses["test"]))
    means = {
        use: {name: _mean([row["rmse"] for row in own if row["row"] == name]) for name in names}
        for use, own in uses.items()
    }
    settings = [name for name in names if any(row["row"] == name for row in uses["choose"])]
    chosen = min(settings, key=lambda name: means["choose"][name])
    worlds = {use: sorted({row["seed"] for row in own}) for use, own in uses.items()}
    text = (
        "\n### Few pairs of long vectors\n\n"
        "Bridge matching from rest to motor, 200 people to learn from, 100 to test, 780 edges, weight decay 10: "
        "RMSE of "
        f"the mean of 20 samples. The setting is chosen on worlds {worlds['choose'][0]} to "
        f"{worlds['choose'][-1]}, and the "
        f"last column is of worlds {worlds['test'][0]} to {worlds['test'][-1]}.\n\n"
        "| row | RMSE, worlds of the choice ↓ | RMSE, other worlds ↓ |\n" + "| --- " * 3 + "|\n"
    )
    for name in names:
        before = f"{means['choose'][name]:.4f}" if name in settings else ""
        label = f"bridge, {name}" if name in settings else name
        label = f"**{label}** (chosen)" if name == chosen else label
        text += f"| {label} | {before} | {means['test'][name]:.4f} |\n"
    return text + _older(rows, ("seed", "row"))


def _hemispheres(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(row["row"] for row in rows))
    seeds = sorted({row["seed"] for row in rows})
    text = (
        "\n### From one hemisphere to the other\n\n"
        "A low-rank world of positive weights in 400 edges, 160 people to learn from and 40 to test, "
        f"{len(seeds)} worlds; "
        "RMSE of the mean of 20 samples. The samplers start from a ridge regression. A mean of 20 samples still "
        "holds a twentieth of their variance, a fortieth of the error if they spread as the truth does; the last "
        "column takes it off.\n\n"
        "| row | RMSE ↓ | over ridge (%) | over ridge, of infinitely many samples (%) |\n" + "| --- " * 4 + "|\n"
    )
    means = {name: _mean([row["rmse"] for row in rows if row["row"] == name]) for name in names}
    ridge = min(means["ridge on PCA scores"], means["ridge on the change"])
    for name in names:
        limit = [row["limit"] for row in rows if row["row"] == name and "limit" in row]
        without = f"{100 * (_mean(limit) / ridge - 1):+.1f}" if limit else ""
        text += (
            f"| {TITLES.get(name, name)} | {means[name]:.4f} | {100 * (means[name] / ridge - 1):+.1f} | {without} |\n"
        )
    return text + _older(rows, ("seed",))


def _older(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> str:
    """Which runs, told by these keys, were kept from another day."""
    older = {(*(row[key] for key in keys), row["measured before"]) for row in rows if "measured before" in row}
    if not older:
        return ""
    dates = " and ".join(sorted({run[-1] for run in older}))
    return f"\nOf these runs, {len(older)} are of {dates}, and were not measured again with the others.\n"


def diffeo_cfm(read: Read) -> str:
    """DiffeoCFM beside the Gaussian that it starts from, on real scans."""
    result = read("diffeo_cfm_real")
    text = (
        "\n## DiffeoCFM and its prior on real scans\n\n"
        f"`MMLAB_DATA=... python benchmarks/diffeo_cfm_real.py`: folds by subject, "
        f"{result['training']['steps']} steps, matrices shrunk by a tenth. Differences have an interval over "
        "people, or over "
        "seeds for the classes.\n"
    )
    for short in (short for short in SHOWN if short in result):
        part = result[short]
        columns = list(dict.fromkeys(column for row in part["mean"].values() for column in row))
        seeds = f"{len(part['seeds'])} seeds" if len(part["seeds"]) > 1 else "one seed"
        size = f"{part['people']} people, {part['edges']} edges, {part['folds']} folds, {seeds}"
        text += f"\n### {part['title']} ({size})\n\n"
        text += "| row | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|\n"
        for name, row in part["mean"].items():
            cells = [f"{row[column]:.3f}" if column in row else "" for column in columns]
            text += f"| {name} | " + " | ".join(cells) + " |\n"
        said = []
        for column, made in part["flow against prior"].items():
            verdict = {"better": "is better than its prior", "worse": "is worse than its prior"}.get(
                made["outcome"], "and its prior cannot be told apart"
            )
            gap = f"difference {made['low']:+.4f} to {made['high']:+.4f}"
            said.append(f"{column}: the flow {verdict} ({made['ours']:.4f} and {made['theirs']:.4f}, {gap})")
        text += "\n" + "; ".join(said) + ".\n"
        if "measured before" in part:
            text += f"\nThese numbers are of {part['measured before']}, and were not measured again with the others.\n"
        if part.get("acknowledgement"):
            text += f"\n> {part['acknowledgement']}\n"
    return text
