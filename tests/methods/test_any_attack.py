"""AnyAttack: bounds that hold exactly, the schedule's ends, and the loss by an independent transcription."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional as F

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.losses.contrastive import cosine_similarity
from mmlab.methods.any_attack import AnyAttack, attacked, temperature, toward


def test_the_bound_and_the_range_of_pictures_hold_exactly() -> None:
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.rand(5, 3, 4, 4, generator=rng) * 2 - 1, 9 * torch.randn(5, 3, 4, 4, generator=rng)
    x[0] = 1.0
    radius = 0.125  # exact in binary
    made = attacked(x, noise, radius)
    assert made.abs().max() <= 1
    assert (made - x).abs().max() <= radius + 1e-6
    bounded = noise.sign() * noise.abs().clamp(max=radius)
    assert torch.equal(made, (x + bounded).clip(-1, 1))
    assert torch.equal(attacked(x, torch.zeros_like(x), radius), x)
    method, batch = AnyAttack.demo()
    with torch.no_grad():
        method.generator[2].weight.mul_(100)
        found = method.noise(method.vectors(batch["image"]))
    assert found.abs().max() == method.radius


def test_the_clamp_passes_no_gradient_where_it_holds() -> None:
    noise = torch.tensor([0.05, 0.5, -0.5], requires_grad=True)
    attacked(torch.zeros(3), noise, 0.1).sum().backward()
    assert noise.grad is not None
    assert noise.grad.tolist() == [1.0, 0.0, 0.0]


def test_the_schedule_begins_at_one_ends_at_its_end_and_falls_by_equal_factors() -> None:
    assert temperature(0.0, 1.0, 0.07, 0.8) == 1.0
    assert temperature(0.8, 1.0, 0.07, 0.8) == pytest.approx(0.07)
    assert temperature(1.0, 1.0, 0.07, 0.8) == pytest.approx(0.07)
    assert temperature(0.4, 1.0, 0.07, 0.8) == pytest.approx(0.07**0.5)
    assert temperature(0.0, 1.0, 0.07, 0.0) == pytest.approx(0.07)
    steps = [temperature(t / 10, 1.0, 0.07, 1.0) for t in range(11)]
    ratios = [b / a for a, b in itertools.pairwise(steps)]
    assert max(ratios) - min(ratios) < 1e-12


def test_with_one_carrier_it_is_plain_contrast_of_one_direction() -> None:
    rng = torch.Generator().manual_seed(1)
    e, a = (F.normalize(torch.randn(6, 4, generator=rng), dim=1) for _ in range(2))
    s = cosine_similarity(e, a) / 0.3
    by_hand = -(s.diag() - s.exp().sum(1).log()).mean()
    assert torch.allclose(toward(e, a[None], 0.3), by_hand, atol=1e-6)
    assert torch.allclose(toward(e, torch.stack([a, a]), 0.3), by_hand, atol=1e-6)
    assert not torch.allclose(toward(a, e[None], 0.3), by_hand)


@pytest.mark.parametrize("others", [1, 3])
def test_the_loss_by_another_road(others: int) -> None:
    method, batch = AnyAttack.demo()
    method.others, method.progress = others, 0.4
    x = batch["image"]
    found = method.loss(batch, torch.Generator().manual_seed(3))["loss"]
    rng = torch.Generator().manual_seed(3)
    e = method.encoder(x)
    e = e / e.norm(dim=1, keepdim=True)
    delta = method.generator(e * 4.0).view(12, 3, 16, 16)
    total = torch.zeros(12, 16)
    for _ in range(others):
        order = torch.randperm(12, generator=rng)
        v = method.encoder((x[order] + delta.clip(-1, 1)).clip(-1, 1))
        total = total + v / v.norm(dim=1, keepdim=True)
    s = cosine_similarity(e, total) / (0.2 * (0.07 / 0.2) ** 0.5)
    assert torch.allclose(found, -(s.diag() - s.logsumexp(1)).mean(), atol=1e-5)


def test_training_leaves_the_bits_of_the_encoder_alone() -> None:
    method, batch = AnyAttack.demo()
    before = {name: value.clone() for name, value in method.encoder.state_dict().items()}
    first = method.loss(batch, torch.Generator().manual_seed(0))["cosine"]
    mmlab.fit(method, TensorData(batch), steps=40, batch_size=12, lr=3e-3, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in method.encoder.state_dict().items())
    assert method.loss(batch, torch.Generator().manual_seed(0))["cosine"] > first


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="others=0"):
        AnyAttack(others=0)
