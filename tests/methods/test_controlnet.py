"""Oracles of ControlNet: the model before its hint, diffusers' pipeline, published sizes, and an effect of the hint."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mmlab
from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.data.tensors import TensorData
from mmlab.methods.controlnet import ControlNet
from mmlab.methods.latent_diffusion import LatentDiffusion


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _with_words() -> tuple[ControlNet, Any]:
    """The demo's networks with a tokenizer's vocabulary, and all weights at random, the zero convolutions too."""
    tokenizer = prompt_tokenizer(["red polyp above"], 4)
    base, _ = LatentDiffusion.demo()
    config = base.config["text_encoder"] | {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id}
    config |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    method = ControlNet.seeded(1, base.config["unet"], base.config["vae"], config, widths=(4, 8)).eval()
    with torch.no_grad():
        method.unet.conv_out.weight.normal_(std=0.2, generator=_rng(3))
        for parameter in method.control.parameters():
            if not parameter.any():
                parameter.normal_(std=0.2, generator=_rng(4))
    return method, tokenizer


def test_at_first_the_hint_changes_nothing_and_only_the_copy_is_trained() -> None:
    base, batch = LatentDiffusion.demo()
    method = ControlNet.on(base, widths=(4, 8)).eval()
    ids = batch["input_ids"]
    made = method.sample(ids, batch["image"], steps=4, rng=_rng(2))
    torch.testing.assert_close(made, base.eval().sample(ids, steps=4, guidance=3.0, rng=_rng(2)), atol=1e-6, rtol=1e-5)
    trained = {name.split(".")[0] for name, p in method.named_parameters() if p.requires_grad}
    assert trained == {"control"}


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_it_draws_what_the_pipeline_of_diffusers_draws(scale: float) -> None:
    method, tokenizer = _with_words()
    texts = ["red polyp", "polyp above"]
    hints = torch.rand(2, 3, 8, 8, generator=_rng(6))
    ours = method.sample(encode_prompts(texts, tokenizer), hints, steps=5, guidance=2.5, scale=scale, rng=_rng(5))
    plain = method.sample(encode_prompts(texts, tokenizer), hints, steps=5, guidance=2.5, scale=0.0, rng=_rng(5))
    pipeline = method.pipeline(tokenizer)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 4, 4, generator=_rng(5))
    theirs = pipeline(
        texts, image=hints, height=8, width=8, num_inference_steps=5, guidance_scale=2.5,
        controlnet_conditioning_scale=scale, latents=noise, output_type="pt",
    ).images * 2 - 1  # fmt: skip
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, atol=2e-5, rtol=1e-4)
    assert (ours - plain).abs().max() > 1e-3


def test_a_scale_of_one_takes_half_of_the_work_and_draws_the_same() -> None:
    method, tokenizer = _with_words()
    ids = encode_prompts(["red polyp", "polyp above"], tokenizer)
    hints = torch.rand(2, 3, 8, 8, generator=_rng(6))
    short, long = (method.sample(ids, hints, steps=4, guidance=g, rng=_rng(5)) for g in (1.0, 1.0 + 1e-7))
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)


def test_the_full_size_is_the_published_one() -> None:
    """A published float32 file of sd-controlnet-canny has 1,445,254,969 bytes, names and shapes included."""
    with torch.device("meta"):
        method = ControlNet()
    assert sum(p.numel() for p in method.control.parameters()) == 361_279_120
    assert 0 < 1_445_254_969 - 4 * 361_279_120 < 200_000


def test_a_trained_one_follows_its_hint() -> None:
    """The prompt says nothing here: only the hint tells one target from another."""
    base, _ = LatentDiffusion.demo()
    with torch.no_grad():
        base.unet.conv_out.weight *= 5
    signs = torch.randn(64, 3, 1, 1, generator=_rng(7)).sign()
    codes = torch.cat([signs, signs[:, :1]], 1).expand(64, 4, 4, 4)
    hints = (signs / 2 + 0.5).expand(64, 3, 8, 8).contiguous()
    ids = base.empty.expand(64, 4)
    method = ControlNet.on(base, widths=(4, 8))
    items = TensorData(
        {"input_ids": ids, "moments": torch.cat([codes, torch.full_like(codes, -20.0)], 1), "hint": hints}
    )
    mmlab.fit(method, items, steps=120, batch_size=32, lr=5e-3, progress=False)
    method.eval()

    def error(hint: torch.Tensor) -> float:
        with torch.no_grad():
            words = method.read(ids)
            return float(method._error(codes, _rng(1), lambda z, t: method._controlled(z, t, words, hint)))

    assert error(hints) < 0.9 * error(1 - hints)


def test_bad_input_gets_one_sentence() -> None:
    base, _ = LatentDiffusion.demo()
    parts = [base.config[name] for name in ("unet", "vae", "text_encoder")]
    with pytest.raises(ValueError, match="come to the same size"):
        ControlNet(*parts)


def test_without_a_hint_it_is_the_model_that_it_stands_on() -> None:
    method, tokenizer = _with_words()
    ids = encode_prompts(["red polyp"], tokenizer)
    hint = torch.rand(1, 3, 8, 8, generator=_rng(6))
    none, silent = method.sample(ids, steps=3, rng=_rng(5)), method.sample(ids, hint, steps=3, scale=0.0, rng=_rng(5))
    torch.testing.assert_close(none, silent, atol=1e-5, rtol=1e-4)
