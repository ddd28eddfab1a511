"""Oracles of InstructPix2Pix: the model before its source, diffusers' pipeline, the shares that are hidden."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import mmlab
from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.data.tensors import TensorData
from mmlab.methods.instruct_pix2pix import InstructPix2Pix, guided_twice, hidden
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import SD_UNET


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _with_words() -> tuple[InstructPix2Pix, Any]:
    """The demo's networks with a tokenizer's vocabulary, and all weights at random, those for the source too."""
    tokenizer = prompt_tokenizer(["red polyp above"], 4)
    base, _ = LatentDiffusion.demo()
    config = base.config["text_encoder"] | {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id}
    config |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vae = base.config["vae"] | {"scaling_factor": 0.7}
    method = InstructPix2Pix.seeded(1, base.config["unet"], vae, config).eval()
    with torch.no_grad():
        method.unet.conv_out.weight.normal_(std=0.2, generator=_rng(3))
        method.unet.conv_in.weight.normal_(std=0.2, generator=_rng(4))
    return method, tokenizer


def test_at_first_the_source_changes_nothing_and_the_rest_is_the_base() -> None:
    base, batch = LatentDiffusion.demo()
    method = InstructPix2Pix.on(base).eval()
    ids = batch["input_ids"]
    made = method.sample(ids, batch["image"], steps=4, rng=_rng(2))
    torch.testing.assert_close(made, base.eval().sample(ids, steps=4, guidance=3.0, rng=_rng(2)), atol=1e-5, rtol=1e-4)
    assert base.unet.conv_in.in_channels == 4
    assert method.unet.conv_in.in_channels == 8


def test_the_full_size_has_the_published_number_of_new_weights() -> None:
    with torch.device("meta"):
        plain, wide = LatentDiffusion(SD_UNET), InstructPix2Pix(SD_UNET)
    count = [sum(p.numel() for p in method.unet.parameters()) for method in (plain, wide)]
    assert count[1] - count[0] == 320 * 4 * 9


@pytest.mark.parametrize(("of_source", "of_prompt"), [(1.5, 4.0), (1.2, 1.1)])
def test_it_draws_what_the_pipeline_of_diffusers_draws(of_source: float, of_prompt: float) -> None:
    method, tokenizer = _with_words()
    texts = ["red polyp", "polyp above"]
    pictures = torch.rand(2, 3, 8, 8, generator=_rng(6)) * 2 - 1
    ids = encode_prompts(texts, tokenizer)
    ours = method.sample(ids, pictures, steps=5, guidance=of_prompt, image_guidance=of_source, rng=_rng(5))
    pipeline = method.pipeline(tokenizer)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 4, 4, generator=_rng(5))
    theirs = pipeline(
        texts, image=pictures / 2 + 0.5, num_inference_steps=5, guidance_scale=of_prompt,
        image_guidance_scale=of_source, latents=noise, output_type="pt",
    ).images * 2 - 1  # fmt: skip
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, atol=2e-5, rtol=1e-4)
    assert theirs.std() > 0.01


def test_the_shares_that_are_hidden_are_the_published_ones() -> None:
    draw = torch.linspace(0, 1, 10001)[:-1]
    no_prompt, no_source = hidden(draw, 0.05)
    shares = [(no_prompt & ~no_source), (no_source & ~no_prompt), (no_prompt & no_source), ~(no_prompt | no_source)]
    assert [round(float(s.float().mean()), 3) for s in shares] == [0.05, 0.05, 0.05, 0.85]


def test_two_scales_of_one_follow_both_conditions_and_of_zero_none() -> None:
    nothing, source, both = torch.randn(3, 5)
    torch.testing.assert_close(guided_twice(nothing, source, both, 1.0, 1.0), both)
    torch.testing.assert_close(guided_twice(nothing, source, both, 1.0, 0.0), source)
    torch.testing.assert_close(guided_twice(nothing, source, both, 0.0, 0.0), nothing)


def test_scales_of_one_take_a_third_of_the_work_and_draw_the_same() -> None:
    method, _ = _with_words()
    ids = method.empty.expand(2, -1)
    pictures = torch.rand(2, 3, 8, 8, generator=_rng(6)) * 2 - 1
    short, long = (
        method.sample(ids, pictures, steps=4, guidance=1.0, image_guidance=scale, rng=_rng(5))
        for scale in (1.0, 1.0 + 1e-7)
    )
    torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)


def test_the_source_is_the_mean_unscaled_and_the_target_a_draw_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = InstructPix2Pix.demo()
    method.vae.register_to_config(scaling_factor=0.3)
    method.drop_condition = 0.0
    seen: dict[str, Tensor] = {}

    def note(z: Tensor, rng: torch.Generator, predict: Any) -> Tensor:
        seen["z"] = z
        predict(z, torch.zeros(len(z)))
        return z.mean()

    monkeypatch.setattr(method, "_error", note)
    look = method.unet.forward
    monkeypatch.setattr(method.unet, "forward", lambda z, *rest: seen.update(beside=z[:, 4:]) or look(z, *rest))
    method.loss(batch, _rng(1))
    source, target = (method.vae.encode(batch[name]).latent_dist for name in ("source", "image"))
    torch.testing.assert_close(seen["beside"], source.mode())
    noise = torch.randn(target.mean.shape, generator=_rng(1))
    torch.testing.assert_close(seen["z"], (target.mean + target.std * noise) * 0.3)
    given = {"moments": method.moments(batch["image"]), "source_moments": method.moments(batch["source"])}
    before = dict(seen)
    method.loss({"input_ids": batch["input_ids"], **given}, _rng(1))
    assert all(torch.equal(before[name], seen[name]) for name in seen)


def test_a_trained_one_follows_its_source() -> None:
    """The prompt says nothing here, and target and source are the same: only the source tells one from another."""
    base, _ = LatentDiffusion.demo()
    codes = torch.randn(64, 4, 1, 1, generator=_rng(7)).sign().expand(64, 4, 4, 4)
    moments = torch.cat([codes, torch.full_like(codes, -20.0)], 1)
    ids = base.empty.expand(64, 4)
    method = InstructPix2Pix.on(base)
    items = TensorData({"input_ids": ids, "moments": moments, "source_moments": moments})
    mmlab.fit(method, items, steps=120, batch_size=32, lr=5e-3, progress=False)

    def error(source: Tensor) -> float:
        with torch.no_grad():
            see = method.unet
            return float(
                method._error(codes, _rng(1), lambda z, t: see(torch.cat([z, source], 1), t, method.read(ids)).sample)
            )

    method.eval()
    assert error(codes) < 0.9 * error(codes.roll(1, 0))


def test_bad_input_gets_one_sentence() -> None:
    base, _ = LatentDiffusion.demo()
    parts = [base.config[name] for name in ("unet", "vae", "text_encoder")]
    with pytest.raises(ValueError, match="fit into one"):
        InstructPix2Pix(*parts, drop_condition=0.5)
    with pytest.raises(ValueError, match="or twice as many"):
        InstructPix2Pix(parts[0] | {"in_channels": 5}, *parts[1:])
