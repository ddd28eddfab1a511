"""The stages before the diffusion model: their losses by hand, and codes of mean zero and variance one."""

from __future__ import annotations

import torch

import mmlab
from mmlab.bases.colonoscopy import VAE
from mmlab.bases.stages import FirstStage, TextStage, standardise
from mmlab.data.tensors import TensorData

WORDS = {"vocab_size": 12, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
ENDS = {"max_position_embeddings": 5, "bos_token_id": 10, "eos_token_id": 11, "pad_token_id": 11}


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_standardised_codes_decode_to_the_same_pictures() -> None:
    vae = FirstStage.seeded(0, VAE).vae.eval()
    pictures = torch.rand(12, 3, 32, 32, generator=_rng()) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pictures).latent_dist
        wanted, spread = vae.decode(before.mean).sample, before.std / before.mean.std((0, 2, 3), keepdim=True)
        standardise(vae, pictures)
        after = vae.encode(pictures).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, wanted, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(after.mean.mean((0, 2, 3)), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.mean.std((0, 2, 3)), torch.ones(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.std, spread, atol=1e-5, rtol=1e-3)


def test_the_first_stage_begins_with_little_noise_and_its_loss_is_what_it_says() -> None:
    stage = FirstStage.seeded(0, VAE, kl=0.5)
    image = torch.rand(2, 3, 32, 32, generator=_rng()) * 2 - 1
    codes = stage.vae.encode(image).latent_dist
    assert codes.std.max() < 0.2
    made = stage.vae.decode(codes.mean + codes.std * torch.randn(codes.mean.shape, generator=_rng(4))).sample
    pull = 0.5 * (codes.mean**2 + codes.var - 1 - codes.var.log()).sum((1, 2, 3)).mean()
    wanted = (made - image).abs().mean() + (made - image).square().mean() + 0.5 * pull
    torch.testing.assert_close(stage.loss({"image": image}, _rng(4))["loss"], wanted, rtol=1e-4, atol=1e-4)


def test_the_text_stage_learns_to_tell_what_was_said() -> None:
    values = {"number": (0, 1), "shape": ("flat", "round")}
    told = [{"number": 0}, {"number": 1, "shape": "flat"}, {"shape": "round"}, {}]
    targets = TextStage.targets(told, values)
    assert targets["number"].tolist() == [0, 1, 2, 2]
    assert targets["shape"].tolist() == [2, 0, 1, 2]
    ids = torch.tensor([[10, 0, 11, 11, 11], [10, 1, 2, 11, 11], [10, 3, 11, 11, 11], [10, 11, 11, 11, 11]])
    stage = TextStage.seeded(0, WORDS | ENDS, {name: len(known) for name, known in values.items()})
    mmlab.fit(stage, TensorData({"input_ids": ids, **targets}), steps=80, batch_size=4, lr=1e-2, progress=False)
    states = stage.text_encoder(input_ids=ids).last_hidden_state[:, -1]
    for name, head in stage.heads.items():
        assert head(states).argmax(1).tolist() == targets[name].tolist()
