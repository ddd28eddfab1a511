"""MobileCLIP: one-hot targets are CLIP's, one teacher twice is one, and the matrix turned over is no target."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.methods.mobile_clip import MobileCLIP, affinities, reinforce
from mmlab.nn.towers import TwoTowers


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip_by_hand(u: torch.Tensor, v: torch.Tensor, scale: float) -> torch.Tensor:
    """Radford et al. 2021, figure 3, with PyTorch's cross-entropy of classes."""
    s = scale * F.normalize(u, dim=1) @ F.normalize(v, dim=1).T
    places = torch.arange(len(u))
    return (F.cross_entropy(s, places) + F.cross_entropy(s.T, places)) / 2


def test_without_teachers_it_is_clip_and_caption_sets_are_averaged() -> None:
    method, batch = MobileCLIP.demo()
    method.distilled = 0.0
    u, scale = method.towers.picture(batch["image"]), float(method.towers.scale().detach())
    each = [clip_by_hand(u, method.towers.caption(batch[name]), scale) for name in ("caption", "synthetic")]
    assert torch.allclose(method.loss(batch, rng())["loss"], (each[0] + each[1]) / 2, atol=1e-6)
    alone = {name: batch[name] for name in ("image", "caption")}
    assert torch.allclose(method.loss(alone, rng())["loss"], each[0], atol=1e-6)


def test_one_hot_targets_are_the_contrast_of_clip() -> None:
    """Teachers of an endless scale that agree with the pairs: both terms are the same, whatever the share."""
    method, batch = MobileCLIP.demo()
    method.teacher_scale = 1e6
    losses = []
    for share in (0.0, 0.3, 1.0):
        method.distilled = share
        losses.append(method.loss(batch, rng())["loss"])
    assert torch.allclose(losses[0], losses[1], atol=1e-5)
    assert torch.allclose(losses[0], losses[2], atol=1e-5)


def test_the_distillation_by_transcription() -> None:
    """Expert by expert and row by row, with the cross-entropy of probabilities that PyTorch has."""
    method, batch = MobileCLIP.demo()
    method.teacher_scale = 3.0
    u, scale = method.towers.picture(batch["image"]), float(method.towers.scale().detach())
    total = 0.0
    for name in ("caption", "synthetic"):
        v = method.towers.caption(batch[name])
        s = scale * F.normalize(u, dim=1) @ F.normalize(v, dim=1).T
        there, back = torch.zeros(12, 12), torch.zeros(12, 12)
        for k in range(2):
            a, b = F.normalize(batch["teacher_image"][:, k], dim=1), F.normalize(batch[f"teacher_{name}"][:, k], dim=1)
            for i in range(12):
                there[i] += torch.softmax(3.0 * (b @ a[i]), 0) / 2
                back[i] += torch.softmax(3.0 * (a @ b[i]), 0) / 2
        total = total + (F.cross_entropy(s, there) + F.cross_entropy(s.T, back)) / 4
    assert torch.allclose(method.loss(batch, rng())["loss"], total, atol=1e-5)


def test_a_student_that_is_the_teacher_has_the_least_loss_and_no_gradient() -> None:
    a, b = torch.randn(2, 9, 1, 6, generator=rng())
    there, back = affinities(a, b, 5.0)
    from mmlab.losses.contrastive import soft_contrastive

    u = a[:, 0].clone().requires_grad_(True)
    loss = soft_contrastive(u, b[:, 0], there, 1 / 5.0, backward=back)
    entropy = -(there * there.log()).sum(1).mean() / 2 - (back * back.log()).sum(1).mean() / 2
    assert torch.allclose(loss, entropy, atol=1e-6)
    (slope,) = torch.autograd.grad(loss, u)
    assert slope.abs().max() < 1e-6


def test_one_teacher_is_two_copies_of_it_and_averaging_comes_after_the_softmax() -> None:
    a, b = torch.randn(2, 7, 2, 6, generator=rng(1))
    one = affinities(a[:, :1], b[:, :1], 4.0)
    twice = affinities(a[:, :1].repeat(1, 2, 1), b[:, :1].repeat(1, 2, 1), 4.0)
    assert all(torch.allclose(x, y, atol=1e-6) for x, y in zip(one, twice, strict=True))
    each = [affinities(a[:, k : k + 1], b[:, k : k + 1], 4.0)[0] for k in range(2)]
    mean = affinities(a, b, 4.0)[0]
    assert torch.allclose(mean, (each[0] + each[1]) / 2, atol=1e-6)
    before = (each[0].log() + each[1].log()).div(2).softmax(1)  # of the mean logits
    assert (mean - before).abs().max() > 0.05


def test_the_matrix_turned_over_has_rows_that_sum_to_anything() -> None:
    a, b = torch.randn(2, 40, 2, 6, generator=rng(2))
    there, back = affinities(a, b, 10.0)
    same, over = affinities(a, b, 10.0, transposed=True)
    assert torch.equal(there, same)
    assert torch.equal(over, there.mT)
    for right in (there, back):
        assert torch.allclose(right.sum(1), torch.ones(40), atol=1e-5)
    assert over.sum(1).min() < 0.5
    assert over.sum(1).max() > 2
    symmetric = affinities(a, a, 10.0)  # of one set with itself the two directions are one
    assert torch.allclose(symmetric[0], symmetric[1], atol=1e-6)


def test_smoothing_is_a_mixture_of_clip_and_the_uniform_target() -> None:
    method, batch = MobileCLIP.demo()
    method.distilled, method.smoothing = 0.0, 0.3
    batch = {name: batch[name] for name in ("image", "caption")}
    u, v = method.towers.picture(batch["image"]), method.towers.caption(batch["caption"])
    s = float(method.towers.scale().detach()) * F.normalize(u, dim=1) @ F.normalize(v, dim=1).T
    places = torch.arange(12)
    wanted = (F.cross_entropy(s, places, label_smoothing=0.3) + F.cross_entropy(s.T, places, label_smoothing=0.3)) / 2
    assert torch.allclose(method.loss(batch, rng())["loss"], wanted, atol=1e-5)


def test_what_is_stored_is_what_the_teachers_say() -> None:
    torch.manual_seed(0)
    teachers = [TwoTowers(10, 8, 4) for _ in range(2)]
    data = TensorData({"image": torch.rand(6, 3, 32, 32), "caption": torch.randint(10, (6, 5))})
    candidates = torch.randint(10, (4, 5))
    made = reinforce(data, candidates, teachers).tensors
    assert made["teacher_image"].shape == made["teacher_caption"].shape == (6, 2, 8)
    for i in range(6):
        scores = torch.zeros(4)
        for k, towers in enumerate(teachers):
            a = towers.picture(data.tensors["image"][i : i + 1])
            assert torch.allclose(made["teacher_image"][i, k], F.normalize(a[0], dim=0), atol=1e-5)
            scores += F.cosine_similarity(a, towers.caption(candidates)).detach()
        best = int(scores.argmax())
        assert torch.equal(made["synthetic"][i], candidates[best])
        found = F.normalize(teachers[1].caption(candidates[best : best + 1])[0], dim=0)
        assert torch.allclose(made["teacher_synthetic"][i, 1], found, atol=1e-5)
    assert not made["teacher_image"].requires_grad


def test_embed_gives_unit_vectors_of_both() -> None:
    method, batch = MobileCLIP.demo()
    made = method.embed(batch)
    assert made.shape == (12, 2, 16)
    assert torch.allclose(made.norm(dim=-1), torch.ones(12, 2), atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"distilled": 1.5}, {"smoothing": 1.0}, {"teacher_scale": 0.0}, {"distilled": math.nan}]
)
def test_impossible_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the scale is positive"):
        MobileCLIP(10, **wrong)  # type: ignore[arg-type]
