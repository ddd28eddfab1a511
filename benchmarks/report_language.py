"""The section of ``book/measured.md`` on training a vision-language model."""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

VOCABULARY = 51_200


def vision_language(read: Callable[[str], dict[str, Any]]) -> str:
    """Speed beside transformers' Trainer, memory of the logits, and the published size where a GPU was at hand."""
    result = read("vision_language_training")
    batch = result["batch"]
    text = (
        "\n## Training TinyLLaVA\n\n`python benchmarks/vision_language_training.py`: `mmlab.fit` against the `Trainer` "
        f"of transformers, on the same weights and batches of {batch}, interleaved on one thread; tokens per second of "
        "processor time, pictures' tokens counted, and the ratio with the middle half of the rounds. Llava is that of "
        "transformers with a bias put into its head, which makes it the same model.\n\n"
        "| language model and tower | `fit` | `Trainer`, TinyLLaVA | ratio | `Trainer`, Llava | ratio |\n"
        + "| --- " * 6
        + "|\n"
    )
    for name, row in result["speed"].items():
        text += f"| {name} | {row['fit, TinyLLaVA']['tokens per second']:,.0f} "
        for rival in ("Trainer, TinyLLaVA", "Trainer, Llava"):
            found, (low, high) = row[rival], row[rival]["middle half"]
            text += f"| {found['tokens per second']:,.0f} | {found['fit against it']:.2f} ({low:.2f} to {high:.2f}) "
        text += "|\n"
    apart = max(row["losses apart by at most"] for row in result["speed"].values())
    text += (
        f"\nIt is the same training: the losses of `fit` and of `Trainer` with Llava differ by at most {apart:.0e} of "
        "their value, step by step.\n\n"
        f"**Logits where nobody asks.** By how much the peak of memory rises in three steps, with a vocabulary of "
        f"{VOCABULARY:,}, {batch} rows and 8 answer tokens a row, 64 wide. The loss is the same number.\n\n"
        "| positions a row | logits at the answers alone | at every position | one copy of the latter's logits |\n"
        + "| --- " * 4
        + "|\n"
    )
    rows = {(row["positions"], row["logits at"]): row["MB"] for row in result["memory"]}
    for positions in sorted({positions for positions, _ in rows}):
        text += (
            f"| {positions} | {rows[positions, 'answers alone']:,.0f} MB | {rows[positions, 'every position']:,.0f} MB "
            f"| {batch * positions * VOCABULARY * 4 / 1e6:,.0f} MB |\n"
        )
    return text + (_gpu(result["gpu"]) if "gpu" in result else "")


def meme_tuning(read: Callable[[str], dict[str, Any]]) -> str:
    """Which tuning teaches a meaning, from how many examples, and what it costs the old skill."""
    result = read("meme_tuning")
    text = (
        "\n## How much tuning a meaning needs\n\n`python benchmarks/meme_tuning.py`: the base of the chapter on memes, "
        f"tuned for {result['steps']} steps of 16 memes, asked about {result['asked']} memes whose pair of figures is "
        "in no training example. Exact answers, mean ± standard deviation over "
        f"{len(result['seeds'])} seeds (world, base, choice of memes, adapter). LoRA is on the language model, with "
        "the connector trained beside it; one learning rate for all ranks, but where it says so, and everything at a "
        "third of it; none was searched. *What is drawn* is the old skill, asked of the tuned model.\n\n"
        "| trained | examples | weights | what it means ↑ | what is drawn ↑ |\n" + "| --- " * 5 + "|\n"
    )
    for row in result["rows"]:
        cells = [f"{mean(row[key]):.2f} ± {stdev(row[key]):.2f}" for key in ("meaning", "literal")]
        text += f"| {row['what']} | {row['examples']} | {row['weights']:,} | " + " | ".join(cells) + " |\n"
    return text


def _gpu(found: dict[str, Any]) -> str:
    text = (
        f"\n**At the published size** (3.2 billion random weights in bf16, 800 positions, {found['device']}); memory "
        "was predicted from the sizes before it was measured.\n\n"
        "| rank | checkpointing | logits at | batch | predicted | measured | tokens per second |\n"
        + "| --- " * 7
        + "|\n"
    )
    for row in found["rows"]:
        text += (
            f"| {row['rank']} | {'yes' if row['checkpointing'] else 'no'} | {row['logits at']} | {row['batch']} | "
            f"{row['predicted GB']:.1f} GB | {row['measured GB']:.1f} GB | {row['tokens per second']:,.0f} |\n"
        )
    return text
