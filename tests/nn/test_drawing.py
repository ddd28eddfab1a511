"""Drawing from states: through a tiny pipeline of diffusers' own classes, with random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.nn.drawing import draw

LENGTH, WIDTH = 8, 16


@pytest.fixture(scope="module")
def pipeline() -> Any:
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        words = prompt_tokenizer(["red circle above blue square"], LENGTH)
        text = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        ends = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        blocks = {"block_out_channels": [16, 16], "norm_num_groups": 4, "layers_per_block": 1}
        return StableDiffusionPipeline(
            vae=AutoencoderKL(
                down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, **blocks
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(**text, **ends, vocab_size=len(words), max_position_embeddings=LENGTH)
            ),
            tokenizer=words,
            unet=UNet2DConditionModel(
                sample_size=8,
                cross_attention_dim=WIDTH,
                attention_head_dim=4,
                down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
                up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
                **blocks,
            ),
            scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_text_encoders_states_draw_what_the_prompt_draws(pipeline: Any) -> None:
    prompt = "red circle above blue square"
    ids = encode_prompts([prompt], pipeline.tokenizer)
    states = pipeline.text_encoder(ids).last_hidden_state.detach()
    ours = draw(pipeline, states, rng(3), steps=2, guidance=3.0)
    how = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "pt"}
    theirs = pipeline(prompt, generator=rng(3), **how).images * 2 - 1
    assert ours.shape == (1, 3, 16, 16)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert (draw(pipeline, states + 1, rng(3), steps=2, guidance=3.0) - ours).abs().max() > 1e-4


def test_states_of_another_shape_are_refused(pipeline: Any) -> None:
    with pytest.raises(ValueError, match=r"reads states of shape \(8, 16\), not \(8, 12\)"):
        draw(pipeline, torch.zeros(1, 8, 12))


def test_a_pipeline_of_two_encoders_is_refused() -> None:
    class Two:
        def __call__(self, prompt_embeds: object, pooled_prompt_embeds: object) -> None: ...

    with pytest.raises(ValueError, match="Two does not take the states of one text encoder"):
        draw(Two(), torch.zeros(1, 8, 16))
