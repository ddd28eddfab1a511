"""Oracles of MaKD: closed forms of its loss, and what must have no effect."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from mmlab.methods.makd import MaKD, aspect_loss, yes_share


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_share_of_yes_is_a_softmax_of_two() -> None:
    yes, no = torch.randn(2, 5, 3, generator=rng())
    assert torch.allclose(yes_share(yes, no), torch.stack([yes, no]).softmax(0)[0])
    assert torch.allclose(yes_share(yes, no) + yes_share(no, yes), torch.ones(5, 3))


def test_the_aspect_loss_by_hand_and_its_gradient() -> None:
    z, q = torch.randn(5, 3, generator=rng()).requires_grad_(), torch.rand(5, 3, generator=rng())
    p = z.sigmoid()
    loss = aspect_loss(z, q)
    assert torch.allclose(loss, -(q * p.log() + (1 - q) * (1 - p).log()).mean())
    loss.backward()
    assert torch.allclose(z.grad, (p - q).detach() / z.numel(), atol=1e-7)
    entropy = -(q * q.log() + (1 - q) * (1 - q).log()).mean()
    assert torch.allclose(aspect_loss(q.logit(), q), entropy, atol=1e-6)  # the least value


def test_hard_answers_are_multi_label_classification() -> None:
    z, hard = torch.randn(5, 3, generator=rng()), torch.randint(2, (5, 3), generator=rng())
    chosen = torch.where(hard.bool(), z, -z)
    assert torch.allclose(aspect_loss(z, hard.float()), torch.log1p((-chosen).exp()).mean())


@pytest.mark.parametrize("alpha", [0.0, 1.0, 4.0])
def test_the_whole_loss_and_the_gradient_without_a_weight(alpha: float) -> None:
    method, batch = MaKD.demo()
    method = MaKD.seeded(0, **method.config | {"alpha": alpha})
    z, answers = method.outputs(batch)
    values = method.loss(batch, rng())
    classes = cross_entropy(z, batch["label"])
    assert torch.allclose(values["loss"], classes + alpha * aspect_loss(answers, batch["aspects"]))
    values["loss"].backward()
    own = method.out.weight.grad[method.classes :]
    assert bool(own.abs().sum() == 0) == (alpha == 0)


def test_predictions_look_at_the_picture_alone() -> None:
    method, batch = MaKD.demo()
    alone = method.predict({"image": batch["image"]})
    assert torch.equal(alone, method.predict(batch))
    assert torch.allclose(alone.sum(1), torch.ones(16))
    assert method.answers(batch).shape == batch["aspects"].shape


def test_arguments_come_from_an_item_and_impossible_ones_are_refused() -> None:
    _, batch = MaKD.demo()
    item = {key: value[0] for key, value in batch.items()}
    assert MaKD(**MaKD.arguments_for(item), classes=4).outputs(batch)[1].shape == (16, 2)
    unasked = {"image": item["image"]}
    plain = MaKD(**MaKD.arguments_for(unasked), classes=4)
    assert list(plain.loss({"image": batch["image"], "label": batch["label"]}, rng())) == ["loss"]
    with pytest.raises(ValueError, match="aspects=-1"):
        MaKD([1, 8, 8], aspects=-1)
