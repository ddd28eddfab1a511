"""Oracles of DreamBooth: the sum of two losses by hand, and old pictures that hold the model in place."""

from __future__ import annotations

import pytest
import torch

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.methods.dreambooth import DreamBooth, with_prior
from mmlab.methods.latent_diffusion import LatentDiffusion


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_loss_is_the_sum_of_two() -> None:
    method, batch = DreamBooth.demo()
    method.prior_weight = 0.3
    rng = _rng()
    plain = LatentDiffusion(method.unet, method.vae, method.text_encoder, drop_condition=0.0)
    new = plain.loss({"input_ids": batch["input_ids"], "image": batch["image"]}, rng)["loss"]
    old = plain.loss({"input_ids": batch["prior_ids"], "image": batch["prior_image"]}, rng)["loss"]
    found = method.loss(batch, _rng())
    torch.testing.assert_close(found["loss"], new + 0.3 * old)
    torch.testing.assert_close(found["old"], old)
    method.prior_weight = 0.0
    torch.testing.assert_close(method.loss(batch, _rng())["loss"], new)


def test_old_pictures_come_from_the_untouched_model_in_turn() -> None:
    base, batch = LatentDiffusion.demo()
    new = TensorData({"input_ids": batch["input_ids"][:3], "moments": base.moments(batch["image"])[:3]})
    data = with_prior(base.eval(), new, batch["input_ids"][2:], rng=_rng(1), steps=3)
    ids = batch["input_ids"][[2, 3, 2]]
    assert torch.equal(data.tensors["prior_ids"], ids)
    drawn = base.sample(ids, steps=3, rng=_rng(1)).clamp(-1, 1)
    torch.testing.assert_close(data.tensors["prior_moments"], base.moments(drawn))
    loss = DreamBooth.on(base).loss(data.batch(torch.arange(3)), _rng())
    assert set(loss) == {"loss", "new", "old"}


def test_preservation_keeps_the_loss_on_old_pictures_lower() -> None:
    lost = []
    for weight in (0.0, 1.0):
        method, batch = DreamBooth.demo()
        old = {"input_ids": batch["prior_ids"], "image": batch["prior_image"]}
        new = {name: value[:1].expand_as(value).contiguous() for name, value in batch.items() if "prior" not in name}
        new |= {name: batch[name] for name in ("prior_ids", "prior_image")}
        method.prior_weight = weight
        mmlab.fit(method, TensorData(new), steps=60, batch_size=4, lr=3e-3, progress=False)
        with torch.no_grad():
            lost.append(sum(float(method.loss(old, _rng(seed))["new"]) for seed in range(10)))
    assert lost[1] < lost[0]


def test_a_negative_weight_is_refused() -> None:
    base, _ = LatentDiffusion.demo()
    with pytest.raises(ValueError, match="0 or more"):
        DreamBooth.on(base, prior_weight=-1.0)
