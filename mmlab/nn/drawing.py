"""Pictures from the states of words: any text-to-picture pipeline of diffusers that takes ``prompt_embeds``."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

__all__ = ["draw"]


def draw(
    pipeline: Any,
    prompt_embeds: Tensor,
    rng: torch.Generator | None = None,
    *,
    steps: int = 50,
    guidance: float = 7.5,
    progress: bool = False,
) -> Tensor:
    """Draw what states stand for, in place of what the pipeline's own text encoder would say.

    Args:
        pipeline: A pipeline of diffusers such as ``StableDiffusionPipeline``. The empty prompt of guidance is read by
            its own text encoder.
        prompt_embeds: (B, Q, D), as its text encoder would give them.
        rng: Draws the noise; None is the global generator.
        steps: Steps of its sampler.
        guidance: Scale of classifier-free guidance.
        progress: Whether its progress bar is shown.

    Returns:
        Pictures (B, 3, H, W) in [-1, 1].

    Raises:
        ValueError: If the pipeline takes no such states, or states of another shape.
    """
    taken = inspect.signature(pipeline.__call__).parameters
    if "prompt_embeds" not in taken or "pooled_prompt_embeds" in taken:
        raise ValueError(
            f"{type(pipeline).__name__} does not take the states of one text encoder alone as prompt_embeds."
        )
    encoder, tokenizer = getattr(pipeline, "text_encoder", None), getattr(pipeline, "tokenizer", None)
    width = getattr(getattr(encoder, "config", None), "hidden_size", None)
    length = getattr(tokenizer, "model_max_length", None)
    if (width, length) != (prompt_embeds.shape[-1], prompt_embeds.shape[1]) and None not in (width, length):
        raise ValueError(
            f"{type(pipeline).__name__} reads states of shape ({length}, {width}), not "
            f"{tuple(prompt_embeds.shape[1:])}: build the mapper with queries and target_width of its text encoder."
        )
    pipeline.set_progress_bar_config(disable=not progress)
    made = pipeline(
        prompt_embeds=prompt_embeds,
        generator=rng,
        num_inference_steps=steps,
        guidance_scale=guidance,
        output_type="pt",
    ).images
    pictures: Tensor = made.float() * 2 - 1
    return pictures
