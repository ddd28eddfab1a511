"""Oracles of latent diffusion: diffusers and its pipeline, published sizes, and a network that knows the answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mmlab.data.prompts import encode_prompts, prompt_tokenizer
from mmlab.methods.latent_diffusion import (
    SCHEDULE,
    LatentDiffusion,
    alpha_bar,
    ddim_times,
    guided,
    min_snr_weight,
    perturb,
    shifted_times,
    velocity,
)
from mmlab.store.pipelines import save_pipeline


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _with_words(**schedule: Any) -> tuple[LatentDiffusion, object]:
    """The demo's networks with a tokenizer's vocabulary, all weights at random."""
    tokenizer = prompt_tokenizer(["red polyp above"], 4)
    method, _ = LatentDiffusion.demo()
    config = method.config["text_encoder"] | {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id}
    config |= {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vae = method.config["vae"] | {"scaling_factor": 0.7}
    made = LatentDiffusion.seeded(1, method.config["unet"], vae, config, schedule).eval()
    with torch.no_grad():
        made.unet.conv_out.weight.normal_(std=0.2, generator=_rng(3))
    return made, tokenizer


def test_the_schedule_and_the_noised_codes_are_those_of_diffusers() -> None:
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(**SCHEDULE)
    levels = alpha_bar(1000, 0.00085, 0.012)
    torch.testing.assert_close(levels, theirs.alphas_cumprod)
    z, noise, t = torch.randn(5, 4, 2, 2), torch.randn(5, 4, 2, 2), torch.tensor([0, 1, 250, 700, 999])
    ours = perturb(z, noise, levels[t].view(-1, 1, 1, 1))
    torch.testing.assert_close(ours, theirs.add_noise(z, noise, t))
    for steps in (1, 7, 20, 1000):
        theirs.set_timesteps(steps)
        want = theirs.timesteps.clamp(max=999) if steps == 1000 else theirs.timesteps
        assert torch.equal(ddim_times(1000, steps).clamp(max=999), want)


@pytest.mark.parametrize("asked", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("steps", "guidance"), [(1, 1.0), (7, 1.0), (5, 4.5), (20, 0.0)])
def test_sampling_draws_what_the_pipeline_of_diffusers_draws(steps: int, guidance: float, asked: str) -> None:
    method, tokenizer = _with_words(prediction_type=asked)
    texts = ["red polyp", "polyp above"]
    ours = method.sample(encode_prompts(texts, tokenizer), steps=steps, guidance=guidance, rng=_rng(5))
    pipeline = method.pipeline(tokenizer)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(2, 4, 4, 4, generator=_rng(5))
    how = {"num_inference_steps": steps, "guidance_scale": max(guidance, 1.0), "output_type": "pt", "latents": noise}
    if guidance == 0:  # diffusers takes scales up to 1 for none: with 0 nothing but the empty prompt is left
        texts = ["", ""]
    theirs = pipeline(texts, **how).images * 2 - 1
    torch.testing.assert_close(ours.clamp(-1, 1), theirs, atol=2e-5, rtol=1e-4)
    assert theirs.std() > 0.01


def test_a_network_that_knows_the_code_leads_to_it_from_any_noise() -> None:
    method, batch = LatentDiffusion.demo()
    code = torch.randn(1, 4, 4, 4, generator=_rng(2))

    class Knows(torch.nn.Module):
        config = method.unet.config

        def forward(self, z: Tensor, t: Tensor, words: Tensor, return_dict: bool = True) -> tuple[Tensor]:
            level = method.levels[t]
            return ((z - level.sqrt() * code) / (1 - level).sqrt(),)

    method.unet = Knows()
    made = method.sample(batch["input_ids"], steps=6, guidance=2.0, rng=_rng())
    left = ((1 - method.levels[0]) / 1).sqrt()  # the last step ends at t = 0, where a little noise remains
    drift = method.levels[0].sqrt() * code
    clean, spread = method.decode(drift), left
    noise_end = made - clean
    assert noise_end.abs().max() < 20 * spread  # the same picture for every start, but for that noise
    torch.testing.assert_close(made, clean.expand_as(made), atol=0.2, rtol=0)


def test_min_snr_is_the_minimum_of_gamma_and_the_ratio() -> None:
    from diffusers import DDPMScheduler
    from diffusers.training_utils import compute_snr

    t = torch.tensor([0, 10, 300, 999])
    kept = {name: value for name, value in SCHEDULE.items() if name not in ("set_alpha_to_one", "steps_offset")}
    snr = compute_snr(DDPMScheduler(**kept), t)
    theirs = torch.stack([snr, 5.0 * torch.ones(4)], dim=1).min(dim=1)[0] / snr  # the official training script
    torch.testing.assert_close(min_snr_weight(alpha_bar(1000, 0.00085, 0.012)[t], 5.0), theirs)
    assert theirs[0] < 0.01
    assert theirs[3] == 1


def test_the_velocity_is_that_of_diffusers_and_its_loss_is_the_loss_of_the_noise() -> None:
    from diffusers import DDPMScheduler

    kept = {name: value for name, value in SCHEDULE.items() if name not in ("set_alpha_to_one", "steps_offset")}
    theirs, levels = DDPMScheduler(**kept), alpha_bar(1000, 0.00085, 0.012)
    z, noise, t = torch.randn(4, 4, 2, 2), torch.randn(4, 4, 2, 2), torch.tensor([0, 250, 700, 999])
    level = levels[t].view(-1, 1, 1, 1)
    torch.testing.assert_close(velocity(z, noise, level), theirs.get_velocity(z, noise, t))

    class SaysTheSame(torch.nn.Module):
        """The noise or, of the same network, the velocity that goes with it."""

        def __init__(self, method: LatentDiffusion, as_velocity: bool) -> None:
            super().__init__()
            self.network, self.levels, self.as_velocity = method.unet, method.levels, as_velocity

        def forward(self, z: Tensor, t: Tensor, words: Tensor) -> SimpleNamespace:
            level = self.levels[t].view(-1, 1, 1, 1)
            noise = self.network(z, t, words).sample
            clean = (z - (1 - level).sqrt() * noise) / level.sqrt()
            return SimpleNamespace(sample=velocity(clean, noise, level) if self.as_velocity else noise)

    of_noise, batch = LatentDiffusion.demo()
    parts = (of_noise.unet, of_noise.vae, of_noise.text_encoder)
    of_velocity = LatentDiffusion(*parts, {"prediction_type": "v_prediction"}, min_snr=5.0)
    of_noise.min_snr = 5.0
    of_noise.unet, of_velocity.unet = SaysTheSame(of_noise, False), SaysTheSame(of_velocity, True)
    one, other = (method.loss(batch, _rng(1))["loss"] for method in (of_noise, of_velocity))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_shifted_times_are_those_of_flow_matching_and_without_shift_uniform() -> None:
    draw = (torch.arange(1000) + 0.5) / 1000
    assert torch.equal(shifted_times(draw, 1.0, 1000).bincount(), torch.ones(1000, dtype=torch.long))
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(1000, shift=3.0).sigmas.flip(0)[:-1]  # of u = 1/1000 ... 999/1000
    ours = shifted_times(torch.arange(1, 1000) / 1000, 3.0, 1_000_000) / 1e6
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
    assert shifted_times(torch.tensor([0.9999999]), 3.0, 10).item() == 9


def test_guidance_is_a_line_through_both_predictions() -> None:
    a, b = torch.randn(2, 3)
    assert torch.equal(guided(a, b, 0.0), a)
    torch.testing.assert_close(guided(a, b, 1.0), b)
    torch.testing.assert_close(guided(a, b, 3.0), 3 * b - 2 * a)


def test_codes_are_those_of_diffusers_scaled() -> None:
    method, batch = LatentDiffusion.demo()
    method.vae.register_to_config(scaling_factor=0.3)
    theirs = method.vae.encode(batch["image"]).latent_dist
    torch.testing.assert_close(method.encode(batch["image"]), theirs.mode() * 0.3)
    noise = torch.randn(theirs.mean.shape, generator=_rng(4))
    drawn = method.encode(batch["image"], _rng(4))
    torch.testing.assert_close(drawn, (theirs.mean + theirs.std * noise) * 0.3)
    given = {"input_ids": batch["input_ids"], "moments": method.moments(batch["image"])}
    assert torch.equal(method.loss(given, _rng())["loss"], method.loss(batch, _rng())["loss"])


def test_a_dropped_prompt_is_the_empty_one_and_the_share_is_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = LatentDiffusion.demo()
    seen: list[Tensor] = []
    read = method.text_encoder.forward

    def note(input_ids: Tensor, **rest: object) -> object:
        seen.append(input_ids)
        return read(input_ids=input_ids, **rest)

    monkeypatch.setattr(method.text_encoder, "forward", note)
    for seed in range(150):
        with torch.no_grad():
            method.loss(batch, _rng(seed))
    rows = torch.cat(seen)
    dropped = (rows == method.empty).all(1).float().mean()
    assert abs(dropped - method.drop_condition) < 4 * (0.1 * 0.9 / len(rows)) ** 0.5
    assert method.empty.tolist() == [6, 7, 7, 7]


def test_full_sizes_are_the_published_ones() -> None:
    with torch.device("meta"):
        method = LatentDiffusion()
    parts = (method.unet, method.vae, method.text_encoder)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [859_520_964, 83_653_863, 123_060_480]


def test_a_saved_folder_is_read_by_plain_diffusers_and_by_us(tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    method, tokenizer = _with_words()
    save_pipeline(method.pipeline(tokenizer), tmp_path / "base")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "base")
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 4, 4, generator=_rng(5))
    theirs = pipeline(["red polyp"], num_inference_steps=4, guidance_scale=3.0, output_type="pt", latents=noise).images
    again, words = LatentDiffusion.from_pipeline(tmp_path / "base")
    ours = again.sample(encode_prompts(["red polyp"], words), steps=4, guidance=3.0, rng=_rng(5))
    torch.testing.assert_close(ours.clamp(-1, 1), theirs * 2 - 1, atol=2e-5, rtol=1e-4)
    assert again.config["unet"]["block_out_channels"] == [16]


def test_bad_input_gets_one_sentence() -> None:
    method, batch = LatentDiffusion.demo()
    parts = [method.config[name] for name in ("unet", "vae", "text_encoder")]
    wrong = [
        ({"unet": 3}, TypeError, "hand over a UNet2DConditionModel"),
        ({"unet": parts[0] | {"sample_sise": 4}}, ValueError, "did you mean|sample_size"),
        ({"unet": parts[0] | {"block_out_channels": [16, 16]}}, ValueError, "make no UNet2DConditionModel"),
        ({"text_encoder": parts[2] | {"hidden_size": 32}}, ValueError, "set cross_attention_dim"),
        ({"vae": parts[1] | {"latent_channels": 3}}, ValueError, "they must agree"),
        ({"min_snr": -1.0}, ValueError, "must be positive"),
        ({"shift": 0.0}, ValueError, "draws all times alike"),
        ({"drop_condition": 2.0}, ValueError, "probability"),
        ({"schedule": {"beta_schedule": "linear"}}, ValueError, "scaled_linear"),
        ({"schedule": {"prediction_type": "sample"}}, ValueError, "none of epsilon, v_prediction"),
    ]
    for change, kind, message in wrong:
        with pytest.raises(kind, match=message):
            LatentDiffusion(**({"unet": parts[0], "vae": parts[1], "text_encoder": parts[2]} | change))
    with pytest.raises(ValueError, match="1 to 1000 steps"):
        method.sample(batch["input_ids"], steps=0, rng=_rng())
    with pytest.raises(ValueError, match="StableDiffusionPipeline is needed"):
        LatentDiffusion.from_pipeline(SimpleNamespace(components={"unet": None}))
