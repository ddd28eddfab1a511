"""Turn the JSON of the benchmarks into the page ``book/measured.md``: no number on it is typed by hand.

python benchmarks/report.py            # writes the page
python benchmarks/report.py --check    # fails if the page is not what the results say
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from report_arena import arena_load  # noqa: E402
from report_coloured_digits import coloured_digits  # noqa: E402
from report_connectomes import connectomes  # noqa: E402
from report_diffusion import lora_speed  # noqa: E402
from report_language import meme_tuning, vision_language  # noqa: E402
from report_samplers import conditional_laws, diffeo_cfm  # noqa: E402
from report_tools import running, starting  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "book" / "measured.md"
PUBLISHED = {
    "I-CFM": ("flow matching, independent", (0.373, 0.178, 0.242)),
    "OT-CFM": ("flow matching, optimal", (0.303, 0.130, 0.144)),
    "DSBM-IPF": ("the same, three times as long", (0.315, 0.140, 0.140)),  # the better of their two
    "[SF]²M-Exact": ("Schrödinger bridge, Sinkhorn", (0.275, 0.124, 0.128)),
}
"""W2 as published, by name: our method beside it, and eight Gaussians, moons and S-curve."""

SECTIONS = {
    "diffeo_cfm_real": "DiffeoCFM and its prior on real scans",
    "conditional_laws": "Samplers where the law is known",
    "connectome_real": "Translators on real connectivity",
    "rosmap": "M3CoL on ROSMAP",
    "ithp_mosi": "ITHP on CMU-MOSI",
    "av_mnist_mini": "I2M2 on real digits and speech",
    "fusion_throughput": "Training small fusion models",
    "sampling_speed": "Sampling ten 400 × 400 matrices",
    "fit_overhead": "The training loop",
    "planar_transport": "Transport in the plane and between Gaussians",
    "coloured_digits": "Inside the U-Net: grey digits to coloured digits",
    "rest_to_activation": "Activity flow and its rivals",
    "unpaired_rest_task": "Without pairs: rest to the task of other people",
    "vision_language_training": "Training TinyLLaVA",
    "meme_tuning": "How much tuning a meaning needs",
    "lora_speed": "Tuning and sampling a latent diffusion model",
    "arena_load": "Two hundred respondents at once",
    "start_up": "Starting up",
    "runner": "Running a chapter",
}
"""Heading of the section that shows each result: below it the site says how old the result is."""

LAST = {"lora_speed": lora_speed, "arena_load": arena_load, "start_up": starting, "runner": running}
"""The sections at the end, by result."""

INTRODUCTION = """# Measured on real data, and against the clock

<!-- Written by benchmarks/report.py from benchmarks/results: do not edit. -->

Most chapters run on synthetic worlds, because recordings of people may not be published. This page holds what was
measured with the same code on real data. It also has what takes longer than a chapter may: larger or longer runs on
synthetic data, and clocks. Each section says what its data are, and each table names the script that makes it.
"""


def read(name: str) -> dict[str, Any]:
    """The results of one benchmark."""
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    result.pop("provenance", None)  # the site says how old a result is
    return result


def rosmap() -> str:
    """Fusion of three molecular views, beside its rivals."""
    result = read("rosmap")
    rows, gaps = result["rows"], result["M3CoL minus row, accuracy"]
    seeds, people = len(result["seeds"]), result["people to test"]
    tuned = ""
    if "chosen" in result:
        tuned = ", with learning rate and weight decay chosen for each row from the same few on a fifth of the people"
    text = (
        "\n## M3CoL on ROSMAP\n\n"
        "`MMLAB_DATA=... python benchmarks/rosmap.py`: Alzheimer's disease from methylation, miRNA and mRNA, in the "
        f"split of MOGONET ({result['people to train']} people to train on, {people} to test; its authors selected the "
        f"features beforehand). Networks: {result['steps']} full-batch steps{tuned}, measured after the last; mean ± "
        "standard "
        f"deviation over {seeds} seeds. The difference is M3CoL minus the row, paired by seed, with a 95 % t interval "
        f"over seeds. One person is {100 / people:.1f} points. The paper's own table could not be verified, and is not "
        "repeated here.\n\n"
        "| row | accuracy (%) ↑ | macro F1 (%) ↑ | AUC (%) ↑ | ECE (%) ↓ | M3CoL minus row |\n" + "| --- " * 6 + "|\n"
    )
    for name, row in rows.items():
        cells = [_with_spread(row[key]) for key in ("accuracy", "macro F1", "AUC", "ECE")]
        gap = gaps.get(name)
        last = "" if gap is None else f"{_points(gap['difference'])} [{_points(gap['low'])}, {_points(gap['high'])}]"
        text += f"| {name} | {' | '.join(cells)} | {last} |\n"
    ahead = int(gaps["concatenation"]["ahead"])
    verdicts = [
        f"{name} {_points(gaps[name]['difference'])}"
        + (" (the interval holds zero)" if gaps[name]["low"] <= 0 <= gaps[name]["high"] else "")
        for name in ("concatenation", "auxiliary heads", "auxiliary heads + CLIP", "logistic regression")
    ]
    looks = [
        f"{_points(look['gain'])} points for {name}" for name, look in result["best epoch on test minus last"].items()
    ]
    text += (
        f"\nM3CoL is ahead of plain concatenation in {ahead} of {seeds} seeds. In points of accuracy, against "
        f"{', '.join(verdicts)}. The penalty of logistic regression was chosen within the training set.\n"
        "\n**What it is worth to choose the epoch by test score**, looking every ten steps: "
        f"{' and '.join(looks)}. Compare that with the differences above.\n"
        "\nAccuracy / ECE (%) where the test set is damaged; nothing was trained for it. Noise is as large as the "
        "spread of each feature.\n\n"
    )
    hurt = result["damaged test set"]
    without = [part for title, part in hurt.items() if title.startswith("without")]

    def kept(row: str) -> float:
        return sum(part["M3CoL"]["accuracy"][0] - part[row]["accuracy"][0] for part in without) / len(without)

    text += "| row | " + " | ".join(hurt) + " |\n" + "| --- " * (len(hurt) + 1) + "|\n"
    for name in next(iter(hurt.values())):
        pairs = [f"{100 * part[name]['accuracy'][0]:.1f} / {100 * part[name]['ECE'][0]:.1f}" for part in hurt.values()]
        text += f"| {name} | {' | '.join(pairs)} |\n"
    return text + (
        f"\nWith one view missing, M3CoL is {_points(kept('concatenation'))} points from concatenation on average, "
        f"{_points(kept('auxiliary heads'))} from the auxiliary heads, "
        f"{_points(kept('auxiliary heads + CLIP'))} from CLIP and "
        f"{_points(kept('logistic regression'))} from logistic regression, which has no contrast. These means have no "
        "interval.\n"
    )


def opinions() -> str:
    """Text alone at test, beside its rivals, on opinions in videos."""
    result = read("ithp_mosi")
    rows, gaps, seeds = result["accuracy"], result["ITHP minus row"], result["seeds"]
    positive = result["positive"]
    text = (
        "\n## ITHP on CMU-MOSI\n\n"
        "`MMLAB_DATA=... python benchmarks/ithp_mosi.py`: the cells of [its chapter](../notebooks/ithp.ipynb) on "
        "opinions in videos, positive or negative, with the features of Poria et al. 2017 and not those of the paper. "
        f"Of {result['train']:,} utterances to train on {result['with a label']} keep their label. The test set is "
        f"{result['test']} from other videos, from text alone; {100 * max(positive, 1 - positive):.1f} % of them are "
        "of the more frequent class. The text features come from a network that was trained on *all* training labels, "
        f"so text is stronger than the few labels suggest. Networks: {result['steps']} steps. Each row chose among six "
        f"settings on halves of the training videos. Mean ± standard deviation over {seeds} seeds, which choose who "
        "keeps a label and where the training starts. The difference is ITHP minus the row, paired by seed, with a "
        "95 % t interval over seeds: other test videos would widen it.\n\n"
        "| row | setting | accuracy (%) ↑ | ITHP minus row (points) |\n" + "| --- " * 4 + "|\n"
    )
    for name, values in rows.items():
        gap = gaps.get(name)
        last = "" if gap is None else f"{_points(gap['difference'])} [{_points(gap['low'])}, {_points(gap['high'])}]"
        spread = statistics.stdev(values) if len(values) > 1 else None
        chosen = result["chosen"].get(name, "that of its row")
        text += f"| {name} | {chosen} | {_with_spread([statistics.mean(values), spread])} | {last} |\n"
    told = {
        word: [name for name, gap in gaps.items() if sign * gap["low"] > 0 and sign * gap["high"] > 0]
        for word, sign in (("ahead of", 1), ("behind", -1))
    }
    said = "; ".join(f"{word} {', '.join(names)}" for word, names in told.items() if names)
    apart = [name for name in gaps if not any(name in names for names in told.values())]
    return (
        text
        + "\nBy these intervals ITHP is "
        + (said or "ahead of or behind nobody")
        + (f"; not told from {', '.join(apart)}" if apart else "")
        + ".\n"
    )


def digits() -> str:
    """I2M2 on AV-MNIST-mini and on the dial: accuracies, and margins over the rivals, paired by seed."""
    result = read("av_mnist_mini")
    seeds, titles = result["seeds"], [title for title in result if " dB" in title]
    text = (
        "\n## I2M2 on real digits and speech\n\n`MMLAB_DATA=... python benchmarks/av_mnist_mini.py`: "
        "AV-MNIST-mini from "
        "MNIST and the Free Spoken Digit Dataset (CC BY-SA 4.0), 6000 pairs to train on and 3000 to test. "
        "Parts (image, "
        "audio, concatenation) are trained for N steps, and tuned products for T more; everything is "
        "measured after the "
        f"last step. Test accuracy in %, mean ± standard deviation over {seeds} seeds.\n\n"
    )
    heads = [
        f"{title.split(',')[0]}, N = T = {result[title]['N']}".replace("-", "−")
        + (", each bin standardised" if result[title]["standardise"] == "bin" else "")
        for title in titles
    ]
    text += "| row | " + " | ".join(heads) + " |\n" + "| --- " * (len(heads) + 1) + "|\n"
    for name in result[titles[0]]["accuracy"]["mean"]:
        cells = [result[title]["accuracy"] for title in titles]
        text += (
            f"| {name} | " + " | ".join(f"{c['mean'][name]:.1f} ± {c['deviation'][name]:.1f}" for c in cells) + " |\n"
        )
    text += "| *margin of tuned I2M2 over:* |" + " |" * len(titles) + "\n"
    for rival in result[titles[0]]["margins"]:
        margins = [result[title]["margins"][rival] for title in titles]
        text += f"| {rival} | " + " | ".join(_margin(values) for values in margins) + " |\n"
    first, last = result["-12 dB"]["margins"], result["-12 dB, long"]["margins"]
    bins = [result[title]["margins"] for title in ("-12 dB, each bin", "-12 dB, each bin, long")]
    rivals = list(first)
    found = [result[title]["accuracy"]["mean"] for title in titles]
    scratch = next(name for name in found[0] if name.startswith("I2M2, from scratch"))
    ahead = sum(mean[scratch] > mean["I2M2, tuned"] for mean in found)
    text += (
        f"\nThe margins are those of tuned I2M2; by its mean, I2M2 from scratch is above it in {ahead} of {len(found)} "
        "columns.\n"
        f"\nTrained like its parts, concatenation is {_mean(first[rivals[0]]):.1f} points behind, and an "
        "ensemble of three "
        f"{_mean(first[rivals[1]]):.1f}. Trained for as many steps as part and tuning together, they are "
        f"{_mean(first[rivals[2]]):.1f} and {_mean(first[rivals[3]]):.1f} behind, and with four times the steps "
        f"{_mean(last[rivals[2]]):.1f} and {_mean(last[rivals[3]]):.1f}. So most of the lead is a lead in "
        "time. **With each bin of the spectrogram standardised**, which the prototype left out, concatenation learns "
        f"the audio as fast: with as many steps, tuned I2M2 leads over it by {_mean(bins[0][rivals[2]]):+.1f} points "
        f"and over the ensemble by {_mean(bins[0][rivals[3]]):+.1f}; with four times the steps, by "
        f"{_mean(bins[1][rivals[2]]):+.1f} and {_mean(bins[1][rivals[3]]):+.1f}. The pairs "
        "are drawn independently given the digit, so the product is the true model here by construction.\n"
        "\nWith controllable dependency (synthetic, `dependency_world`), test accuracy in %:\n\n"
        "| world | intra | inter | I2M2 | Bayes rate |\n" + "| --- " * 5 + "|\n"
    )
    for title, found in result["dial"].items():
        mean, spread = found["mean"], found["deviation"]
        cells = [f"{mean[name]:.1f} ± {spread[name]:.1f}" for name in ("intra", "inter", "I2M2")]
        text += f"| {title} | {' | '.join(cells)} | {mean['Bayes']:.1f} |\n"
    return text


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _margin(values: list[float]) -> str:
    """Mean and standard deviation of differences in points, with the sign."""
    return f"{_mean(values):+.1f} ± {statistics.stdev(values):.1f}".replace("-", "−")


def throughput() -> str:
    """Training of small fusion models, against a loop by hand at its best."""
    result = read("fusion_throughput")
    loops = ("TensorDataset and BatchSampler", "list of items")
    text = (
        "\n## Training small fusion models\n\n`python benchmarks/fusion_throughput.py`: `mmlab.fit` against the loop "
        "that one would write by hand over a `TensorDataset` with a `BatchSampler`, in one process, on the same model "
        f"and batches of {result['batch']}. For orientation, the loop over a list of float64 items that are collated "
        "one by one stands beside it. Items per second of processor time; the ratio is that of `fit` to the loop, the "
        "median over paired rounds, which need not be the ratio of the two columns.\n\n"
        "| model | `fit` | TensorDataset and BatchSampler | list of items | ratio to the first | to the second |\n"
    )
    text += "| --- " * 6 + "|\n"
    for name, row in result.items():
        if isinstance(row, dict):
            rates = [f"{row[f'{loop}, items per second']:,}" for loop in ("fit", *loops)]
            ratios = [f"{row[f'ratio, {loop}']['median']:.2f}" for loop in loops]
            text += f"| {name} | {' | '.join(rates + ratios)} |\n"
    return text


def _points(share: float) -> str:
    """A difference of shares as points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def _with_spread(pair: list[float | None]) -> str:
    """Mean ± standard deviation in percent; the latter only where there is one."""
    mean, spread = pair
    return f"{100 * (mean or 0):.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")


def speed() -> str:
    """Sampling, the cost of the loop, of checkpoints and of reading."""
    sampling = read("sampling_speed")
    rows = sampling["samplers"]
    text = (
        "\n## Sampling ten 400 × 400 matrices\n\n`python benchmarks/sampling_speed.py`: one thread, all samplers of "
        "one trained network, interleaved. Seconds are the least of five rounds. The spread is the standard deviation "
        "between two samples of one source; a posterior step alone gives the conditional mean, which has none.\n\n"
        "| sampler | network calls | seconds | demeaned r | spread |\n" + "| --- " * 5 + "|\n"
    )
    for row in rows:
        text += (
            f"| {row['sampler']}, steps: {row['steps']} | {row['calls']} | {row['seconds']:.3f} | "
            f"{row['demeaned_r']:.4f} | {row['spread']:.4f} |\n"
        )
    by_calls = {(row["sampler"], row["calls"]): row["demeaned_r"] for row in rows}
    shared = [calls for name, calls in by_calls if name == "posterior" and ("euler", calls) in by_calls]
    leads = [by_calls["posterior", calls] / by_calls["euler", calls] - 1 for calls in shared]
    each = sampling["seconds per call"]
    text += (
        f"\nAt equal calls ({', '.join(map(str, shared))}), the posterior steps differ from the Euler steps by "
        f"{100 * min(leads):+.1f} to {100 * max(leads):+.1f} % in demeaned r. A call takes "
        f"{1000 * each['posterior']:.1f} ms in the one and {1000 * each['euler']:.1f} ms in the other, so time goes "
        "with the calls. One call of a small U-Net on the ten matrices as images takes "
        f"{sampling['seconds of one U-Net call on ten images']:.1f} s.\n"
    )
    overhead = read("fit_overhead")
    text += (
        "\n## The training loop\n\n`python benchmarks/fit_overhead.py`: `mmlab.fit` against the same loop written by "
    )
    text += "hand and against transformers' Trainer, interleaved; processor time of a step, and ratios to the loop by "
    text += "hand, which are medians over paired rounds and need not be the ratio of two columns.\n\n"
    text += (
        "| values, moving average of the weights | by hand | `fit` | ratio | Trainer | ratio |\n" + "| --- " * 6 + "|\n"
    )
    begin = overhead.pop("start")
    for name, row in overhead.items():
        if isinstance(row, dict):
            text += f"| {name} | {row['hand_ms']:.3f} ms | {row['fit_ms']:.3f} ms | {row['fit_ratio']:.2f} |"
            text += f" {row['trainer_ms']:.3f} ms | {row['trainer_ratio']:.2f} |\n" if "trainer_ms" in row else " | |\n"
    text += f"\nBefore the first step, the look at the data takes {begin['door_ms']:.2f} ms, and a whole `fit` of one "
    return text + f"step {begin['fit_of_one_step_ms']:.1f} ms.\n"


def plane() -> str:
    """Transport in the plane and between Gaussians, beside the published rows."""
    results = read("planar_transport")
    targets = {"eight_gaussians": "eight Gaussians", "moons": "moons", "s_curve": "S-curve"}
    seeds = len(results["plane"]["moons"])
    text = (
        "\n## Transport in the plane and between Gaussians\n\n`python benchmarks/planar_transport.py`: from N(0, I), "
        "10 000 training points a side, exact W2 between 4000 samples and 4000 fresh points of the target; mean ± "
        f"standard deviation over {seeds} seeds. *Floor*: true points in place of samples. Published rows are "
        "second-hand {cite}`tong2024`, for other training, other draws and test sets of another size.\n\n"
    )
    text += "| method | " + " | ".join(targets.values()) + " |\n" + "| --- " * (len(targets) + 1) + "|\n"
    means: dict[str, list[float]] = {}
    for name in ("floor", *(name for name in results["plane"]["moons"][0] if name != "floor")):
        cells = []
        for target in targets:
            values = [rows[name]["W2"] for rows in results["plane"][target]]
            means.setdefault(name, []).append(statistics.mean(values))
            cells.append(f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}")
        text += f"| {name} | " + " | ".join(cells) + " |\n"
        if name == "Schrödinger bridge, fitted":
            text += _longer(results, list(targets), means)
    for name, row in PUBLISHED.items():
        text += f"| *published: {name}* | " + " | ".join(f"*{value:.3f}*" for value in row[1]) + " |\n"
    for name, (own, best) in PUBLISHED.items():
        within = [mine <= 1.25 * theirs for mine, theirs in zip(means[own], best, strict=True)]
        places = ", ".join(place for place, met in zip(targets.values(), within, strict=True) if met) or "none"
        text += f"\n- *{own}* within 25 % of the published {name}: {places}."
    short, long = (means[name] for name in ("Schrödinger bridge, fitted", "the same, three times as long"))
    below = [
        name
        for column, name in enumerate(targets.values())
        if any(row[column] < means["floor"][column] for row in means.values())
    ]
    helped = [name for name, a, b in zip(targets.values(), short, long, strict=True) if b < 0.9 * a]
    text += (
        "\n\nThree times as many steps bring the fitted bridge a tenth or more nearer on: "
        f"{', '.join(helped) or 'none'}; hold that against the deviations in the table. Is the rest still a matter of "
        "training, or of errors that each round of the fitting hands to the next? No run here separates the two. The "
        f"floor is a draw as well, and a row can lie below it: on the {' and the '.join(below) or 'none'} some do. "
        "Where the floor is near the published rows, as on the eight Gaussians, being near them says little."
    )
    protocol = results["gaussians"]
    text += (
        "\n\nFrom N(-0.1, I) to N(0.1, I) with σ = 1, the Schrödinger bridge fitted in 1200 steps; the closed form has "
        f"mean 0.1, variance 1 and covariance {(5**0.5 - 1) / 2:.4f}.\n\n"
        "| dimension | seed | mean | variance | covariance |\n" + "| --- " * 5 + "|\n"
    )
    for row in protocol:
        moments = " | ".join(f"{row[key]:.4f}" for key in ("mean", "variance", "covariance"))
        text += f"| {row['dimension']} | {row['seed']} | {moments} |\n"
    return text


def _longer(results: dict[str, Any], targets: list[str], means: dict[str, list[float]]) -> str:
    """The row of the bridge that was trained for longer."""
    cells, name = [], "the same, three times as long"
    for target in targets:
        values = [row["W2"] for row in results["longer"] if row["target"] == target]
        means.setdefault(name, []).append(statistics.mean(values))
        cells.append(f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}")
    return f"| {name} | " + " | ".join(cells) + " |\n"


def measured(name: str) -> bool:
    """Whether a benchmark has been run: the page has no section for one that has not."""
    return (RESULTS / f"{name}.json").exists()


def page() -> str:
    """All sections, in order."""
    parts = (
        connectomes(read),
        diffeo_cfm(read),
        conditional_laws(read),
        rosmap(),
        *([opinions()] if measured("ithp_mosi") else []),
        digits(),
        coloured_digits(read),
        plane(),
        speed(),
        throughput(),
        vision_language(read),
        meme_tuning(read),
        *(section(read) for stem, section in LAST.items() if measured(stem)),
    )
    text = INTRODUCTION + "".join(parts)
    for stem, heading in ((stem, heading) for stem, heading in SECTIONS.items() if measured(stem)):
        line = f"\n## {heading}\n"
        if line not in text:
            raise ValueError(f"The page has no section {heading!r} for the result {stem}: mend SECTIONS.")
        text = text.replace(line, f"{line}\n<!-- measured: {stem} -->\n")
    return text


def main() -> None:
    """Write the page, or check it."""
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("book/measured.md is not what benchmarks/results say: run `python benchmarks/report.py`.")


if __name__ == "__main__":
    main()
