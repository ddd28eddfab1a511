"""The part of ``book/measured.md`` on real connectomes; ``report.py`` puts it on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Read = Callable[[str], dict[str, Any]]
"""Name of a benchmark -> its results."""

MEASURES = {
    "rmse": "RMSE ↓",
    "demeaned_r": "demeaned r ↑",
    "identification_demeaned": "identification, in fold ↑",
    "among all, forward": "among all, prediction to true ↑",
    "among all, backward": "among all, true to prediction ↑",
}
TIED = 5e-4
"""Means that are nearer to the best one than this are bold as well."""
METHODS = ("bridge matching", "tangent bridge", "C2C")

INTRODUCTION = """
## Translators on real connectivity

`MMLAB_DATA=... python benchmarks/connectome_real.py`: five folds by subject, repeated with three seeds; mean ± standard
deviation over folds and seeds. Everything that is chosen (components, penalties, training steps) is chosen inside the
training people. *Among all* asks each prediction for its person among everybody at once. **Shrunk shift** is the dull
rival with one slope: the group's mean target plus a constant times the person's deviation at the source. In bold: all
means within 0.0005 of the best one. Folds share training people, so the deviations are not those of independent runs.

A score in *tangent space* is of the same predictor, fitted to the matrices' tangent coordinates and mapped back.
"""


def connectomes(read: Read) -> str:
    """All sections on connectomes."""
    return INTRODUCTION + pairs(read) + activation(read) + unpaired(read)


def pairs(read: Read) -> str:
    """One table for each real set, the best of each column in bold, and what the table says."""
    text = ""
    for title, result in read("connectome_real").items():
        mean, spread = result["mean"], result["standard deviation over folds and seeds"]
        text += f"\n### {title} ({result['people']} people, {result['edges']} edges)\n\n"
        text += "| prediction | " + " | ".join(MEASURES.values()) + " |\n" + "| --- " * (len(MEASURES) + 1) + "|\n"
        ideal = {key: (min if key == "rmse" else max)(row[key] for row in mean.values()) for key in MEASURES}
        for name, row in mean.items():
            cells = []
            for key in MEASURES:
                value = f"{row[key]:.3f}"
                value = f"**{value}**" if abs(row[key] - ideal[key]) < TIED else value
                cells.append(f"{value} ± {spread[name][key]:.3f}")
            text += f"| {name} | " + " | ".join(cells) + " |\n"
        limit = result["noise ceiling"]
        text += (
            f"\nThe noise ceiling, knowing each person's own matrix without noise, is about {limit['rmse']:.3f} in "
            f"RMSE and {limit['demeaned_r']:.2f} in demeaned r, estimated from two measurements of the target.\n"
        )
        rivals = {name: row["rmse"] for name, row in mean.items() if name not in METHODS}
        best = min(rivals, key=lambda name: rivals[name])
        text += f"\nThe best baseline in RMSE is *{best}* with {rivals[best]:.4f}.\n"
        if "minus rival" in result:
            text += _gaps(result["minus rival"])
        if "with a linear correction" in result:
            text += _changed(mean, result["with a linear correction"])
        if "measured before" in result:
            text += f"\nThese numbers are of {result['measured before']}, and were not measured again with the others."
            text += "\n"
        if result.get("acknowledgement"):
            text += f"\n> {result['acknowledgement']}\n"
    return text


def _changed(now: dict[str, dict[str, float]], before: dict[str, dict[str, float]]) -> str:
    """What a network that corrects the state linearly gives on the same folds and seeds."""
    said = [
        f"{name} has an RMSE of {old['rmse']:.4f} with it ({now[name]['rmse']:.4f} with the default) and a demeaned r "
        f"of {old['demeaned_r']:.3f} ({now[name]['demeaned_r']:.3f})"
        for name, old in before.items()
    ]
    return (
        "\nA network whose correction is linear in the state cannot draw a law with two modes: its samples stay "
        "Gaussian given the source. The default network is free of that, and starts from a ridge regression. On the "
        f"same folds, {'; '.join(said)}. These differences have no interval. What the freedom is for, this mean does "
        "not show; the section on samplers where the law is known does.\n"
    )


def _gaps(gaps: dict[str, dict[str, dict[str, dict[str, Any]]]]) -> str:
    """Each method less each rival on edges, with its interval over people."""
    text = (
        "\nMethod minus rival, 95 % interval over people of the mean over seeds; bold where it excludes zero in "
        "favour of "
        "the method, italic where it does so in favour of the rival.\n\n"
    )
    rivals = list(next(iter(gaps.values())))
    text += "| method, measure | " + " | ".join(rivals) + " |\n" + "| --- " * (len(rivals) + 1) + "|\n"
    marks = {"better": "**", "worse": "*"}
    for name, against in gaps.items():
        for measure, label in (("rmse", "RMSE ↓"), ("demeaned_r", "demeaned r ↑")):
            cells = []
            for rival in rivals:
                made = against[rival][measure]
                mark = marks.get(made["outcome"], "")
                cells.append(f"{mark}{made['low']:+.4f} to {made['high']:+.4f}{mark}")
            text += f"| {name}, {label} | " + " | ".join(cells) + " |\n"
    return text


def activation(read: Read) -> str:
    """Activation maps from connectivity, and what of it needs the person's own."""
    result = read("rest_to_activation")
    text = (
        "\n## Activity flow and its rivals\n\n"
        "`MMLAB_DATA=... python benchmarks/rest_to_activation.py`: rest connectivity to the activation of "
        f"{result['regions']} regions in {result['conditions']} task conditions, {result['people']} people, five folds "
        "by subject with three seeds {cite}`cole2016activity`. *Connectivity alone* predicts a person never scanned at "
        "a task. *Held out* predicts one region from the person's activation in all others, which is another and "
        "easier question. Correlations are over regions; *demeaned* ones after the training people's mean map was "
        "taken from both.\n\n| prediction | r ↑ | demeaned r ↑ | explained beyond the mean map (%) ↑ |\n"
        + "| --- " * 4
        + "|\n"
    )
    for name, row in result["mean"].items():
        spread = result["standard deviation over folds and seeds"][name]
        demeaned = "" if row["demeaned r"] is None else f"{row['demeaned r']:.3f} ± {spread['demeaned r']:.3f}"
        explained = round(100 * row["explained beyond the mean map"], 1) + 0.0  # no minus zero
        text += f"| {name} | {row['r']:.3f} ± {spread['r']:.3f} | {demeaned} | {explained:.1f} |\n"
    mean = {name.split(": ")[1]: row for name, row in result["mean"].items()}
    own, average = mean["activity flow, own connectome"], mean["activity flow, average connectome"]
    told = {whose: mean[f"mean map + flow of the deviation, {whose}"]["demeaned r"] for whose in ("own", "average")}
    return text + (
        f"\nActivity flow (r {own['r']:.3f}) is below the mean map of other people "
        f"({mean['mean map of the training people']['r']:.3f}), and through the average connectome it has "
        f"{average['r']:.3f}. So the map of a task is mostly what all people share. The person's own connectome adds "
        f"{own['demeaned r'] - average['demeaned r']:+.3f} to the demeaned correlation of the raw flow, and "
        f"{told['own'] - told['average']:+.3f}"
        " once the mean map is known; these two differences have no interval. A regression on the other "
        "regions, which sees no connectivity, has "
        f"{mean['mean map + regression on the other regions']['demeaned r']:.3f}. With this few people, connectivity "
        "alone predicts nothing beyond the mean map.\n"
        f"\n> {result['acknowledgement']}\n"
    )


def unpaired(read: Read) -> str:
    """Rest moved to the task of other people."""
    result = read("unpaired_rest_task")
    columns = list(result["mean"]["identity"])
    text = (
        "\n## Without pairs: rest to the task of other people\n\n"
        f"`MMLAB_DATA=... python benchmarks/unpaired_rest_task.py`: {result['rest']} people at rest, {result['task']} "
        "others in heat pain (`mist122_rest_pain`), 20 principal components, five folds with three seeds. "
        "**The two sets come from other scanners and were cleaned in other ways.** What moves one to the other is "
        "therefore partly processing, and nothing here says how much of it is pain.\n\n"
        f"| mover | {columns[0]} ↓ | {columns[1]} (%) | {columns[2]} ↑ |\n" + "| --- " * 4 + "|\n"
    )
    for name, row in result["mean"].items():
        spread = result["standard deviation over folds and seeds"][name]
        kept = "" if row[columns[2]] is None else f"{row[columns[2]]:.3f} ± {spread[columns[2]]:.3f}"
        near = f"{row[columns[0]]:.3f} ± {spread[columns[0]]:.3f}"
        text += f"| {name} | {near} | {100 * row[columns[1]]:.0f} | {kept} |\n"
    shift, bridge = result["mean"]["mean shift"], result["mean"]["Schrödinger bridge, Sinkhorn"]
    moved = [name for name in result["mean"] if name != "identity" and not name.startswith("floor")]
    distances = [result["mean"][name][columns[0]] for name in moved]
    least = min(result["standard deviation over folds and seeds"][name][columns[0]] for name in moved)
    return text + (
        f"\nThe distances of all that was moved lie within {max(distances) - min(distances):.3f} of each other, and "
        f"their deviations over folds and seeds are {least:.3f} or more: the first column ranks none of them. "
        f"Adding one vector to everybody ({shift[columns[0]]:.3f}; the bridge with Sinkhorn's pairs: "
        f"{bridge[columns[0]]:.3f}) leaves all differences between people as they were; the bridge keeps "
        f"{bridge[columns[2]]:.2f} of them. The classifier calls nearly everything task that was moved at all: it is "
        "no measure of quality here.\n"
    )
