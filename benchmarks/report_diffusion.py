"""The section of ``book/measured.md`` on tuning and sampling a latent diffusion model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Read = Callable[[str], dict[str, Any]]


def lora_speed(read: Read) -> str:
    """A step of LoRA and a sampled picture, against diffusers and peft."""
    result = read("lora_speed")
    versions, how = result["versions"], result["settings"]
    text = (
        "\n## Tuning and sampling a latent diffusion model\n\n`python benchmarks/lora_speed.py`: the book's small "
        f"text-to-image model, untrained. *LoRA*: rank {how['rank']} on all linear layers of the transformer blocks, "
        f"batches of {how['batch']}; `mmlab.fit` against a loop written with diffusers {versions['diffusers']} and "
        f"peft {versions['peft']}. *Sampling*: {how['pictures']} pictures in {how['draws']} steps with guidance, "
        "against `StableDiffusionPipeline` on the same weights. Processor time on one thread, interleaved; the ratio "
        "is the median over paired rounds, with the middle half of them.\n\n"
        "| what | mmlab | diffusers and peft | ratio |\n" + "| --- " * 4 + "|\n"
    )
    for key, name in (("step", "a step of LoRA"), ("sampling", "sampling")):
        row = result[key]
        low, high = row["ratio_middle_half"]
        text += f"| {name} | {row['ours_ms']:.1f} ms | {row['theirs_ms']:.1f} ms "
        text += f"| {row['ratio']:.3f} ({low:.3f} to {high:.3f}) |\n"
    return text
