"""M2-Encoder: one group is CLIP's loss, groups never meet, depths have their own scales, pieces change nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from mmlab.methods.m2_encoder import M2Encoder, comparisons, in_language

RNG = torch.Generator()


def by_transcription(method: M2Encoder, batch: dict[str, Tensor]) -> Tensor:
    """Depth by depth, group by group, row by row."""
    x, y = method.towers.picture(batch["image"]), method.towers.caption(batch["caption"])
    total = torch.zeros(())
    for d in range(method.depths):
        deep = d == method.depths - 1
        u, v = ((z + method.shared(z) if deep else z) @ heads[d].weight.T for z, heads in
                ((x, method.picture_heads), (y, method.caption_heads)))  # fmt: skip
        s, n = math.exp(float(method.log_scales.detach()[d])), len(u) // method.groups
        for i in range(len(u)):
            mine = range(i // n * n, i // n * n + n)
            there = torch.stack([s * F.cosine_similarity(u[i], v[j], dim=0) for j in mine])
            back = torch.stack([s * F.cosine_similarity(u[j], v[i], dim=0) for j in mine])
            total = total + (there.logsumexp(0) + back.logsumexp(0) - 2 * there[i % n]) / (2 * len(u) * method.depths)
    return total


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_loss_by_transcription(groups: int) -> None:
    method, batch = M2Encoder.demo()
    method.groups = groups
    with torch.no_grad():
        method.log_scales.copy_(torch.tensor([1.0, 2.5]))
    assert torch.allclose(method.loss(batch, RNG)["loss"], by_transcription(method, batch), atol=1e-5)


def test_one_group_at_one_depth_is_the_loss_of_clip() -> None:
    batch = M2Encoder.demo()[1]
    method = M2Encoder.seeded(0, 40, width=16, channels=8, groups=1)
    u, v = method.embed(batch).unbind(1)
    expected = image_text_contrastive_loss(v @ u.T * method.scales()[0])
    assert torch.allclose(method.loss(batch, RNG)["loss"], expected, atol=1e-5)


def test_an_item_of_another_group_changes_nothing() -> None:
    method, batch = M2Encoder.demo()
    other = {name: value.clone() for name, value in batch.items()}
    other["image"][8] = other["image"][0]

    def first_group(items: dict[str, Tensor]) -> Tensor:
        slopes = torch.autograd.grad(method.loss(items, RNG)["loss"], method.towers.caption.table.weight)[0]
        first = items["caption"][:6].unique()
        return slopes[first[~torch.isin(first, items["caption"][6:])]]

    assert torch.allclose(first_group(batch), first_group(other), atol=1e-7)
    method.groups = 1
    assert not torch.allclose(first_group(batch), first_group(other), atol=1e-7)


def test_a_batch_in_pieces_has_the_loss_and_the_gradients_of_the_whole() -> None:
    whole, batch = M2Encoder.demo()
    cut = copy.deepcopy(whole)
    cut.piece = 5
    for method in (whole, cut):
        method.loss(batch, RNG)["loss"].backward()
    for (name, a), (_, b) in zip(whole.named_parameters(), cut.named_parameters(), strict=True):
        if a.requires_grad:
            assert a.grad is not None
            assert b.grad is not None, name
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


def test_counts_and_languages() -> None:
    assert comparisons(128, 8) == (2048, 15)
    tokens = torch.tensor([[0, 3], [1, 2]])
    assert in_language(tokens, 1, 10).tolist() == [[10, 13], [11, 12]]
    assert in_language(tokens, torch.tensor([0, 2]), 10).tolist() == [[0, 3], [21, 22]]


def test_embed_is_the_deepest_pair_and_what_cannot_be_is_refused() -> None:
    method, batch = M2Encoder.demo()
    deep = method.picture_heads[1]((x := method.towers.picture(batch["image"])) + method.shared(x))
    assert torch.allclose(method.embed(batch)[:, 0], F.normalize(deep, dim=1), atol=1e-5)
    with pytest.raises(ValueError, match="take a divisor of 12"):
        M2Encoder.seeded(0, 40, groups=5).loss(batch, RNG)
    for wrong in ({"groups": 0}, {"depths": 3}, {"piece": -1}, {"temperature": 0.0}):
        with pytest.raises(ValueError, match="there is a group"):
            M2Encoder(10, **wrong)  # type: ignore[arg-type]
