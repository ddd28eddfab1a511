"""Oracles of late fusion: what each head can and cannot express, on the dial, and that absence is never seen."""

from typing import get_args

import pytest
import torch

from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.losses.classification import cross_entropy
from mmlab.methods.late_fusion import LateFusion
from mmlab.metrics.classification import accuracy
from mmlab.nn.fusion import FusionKind, product_of_experts
from mmlab.train.fit import fit

every_head = pytest.mark.parametrize("fusion", get_args(FusionKind))
SHAPES = {"x1": (4,), "x2": (4,)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built(fusion, shapes=SHAPES, classes=2, **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LateFusion(shapes, classes, width=16, fusion=fusion, **arguments)


def trained(fusion, world, steps=120, **arguments):
    method = built(fusion, **arguments)
    fit(method, world.pairs, steps=steps, batch_size=128, lr=5e-3, progress=False)
    return method


def right(method, world):
    test = world.pairs.tensors
    return accuracy(method.predict(test), test["label"])


@every_head
def test_gradients_probabilities_and_absence(fusion):
    method, batch = built(fusion, {"a": (3,), "b": (1, 4, 4), "c": (5, 2)}, 3, dropout=0.2), {
        "a": torch.randn(9, 3, generator=generator()),
        "b": torch.randn(9, 1, 4, 4, generator=generator()),
        "c": torch.randn(9, 5, 2, generator=generator()),
        "label": torch.arange(9) % 3,
        "b_present": torch.arange(9) > 3,
    }  # fmt: skip
    method.eval().loss(batch, generator())["loss"].backward()
    assert not [name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()]
    made = method.predict(batch)
    torch.testing.assert_close(made.sum(1), torch.ones(9))
    batch["b"][:4] = torch.nan
    assert torch.equal(method.predict(batch), made)
    assert torch.equal(method.predict({key: value for key, value in batch.items() if key != "label"}), made)
    one = method.predict({key: value[6:7] for key, value in batch.items()})
    torch.testing.assert_close(one[0], made[6], rtol=1e-4, atol=1e-6)


def test_loss_is_the_cross_entropy_of_the_product():
    method, batch = built("product").eval(), dependency_world(12, 4, seed=1).pairs.tensors
    features, there = method.encoders(batch)
    experts = method.fusion.log_probabilities(method.fusion.stack(features, there)[0])
    total = experts[:, 0] + experts[:, 1]
    value = method.loss(batch, generator())["loss"]
    torch.testing.assert_close(value, cross_entropy(total, batch["label"]))
    torch.testing.assert_close(method.predict(batch), product_of_experts(experts, torch.ones(12, 2).bool()).exp())


def test_every_expert_of_a_product_has_the_same_gradient():
    """The derivative of the loss by a logit of any expert is p_k - 1[y = k]: the residual of the whole."""
    method, batch = built("product").eval(), dependency_world(12, 4, seed=1).pairs.tensors
    residual = (method.predict(batch) - torch.nn.functional.one_hot(batch["label"], 2)) / 12
    outputs = []

    def keep(module, given, made):
        made.retain_grad()
        outputs.append(made)

    for answer in method.fusion.answers:
        answer.register_forward_hook(keep)
    method.loss(batch, generator())["loss"].backward()
    for output in outputs:
        torch.testing.assert_close(output.grad, residual)


def test_a_product_cannot_see_what_two_modalities_say_together():
    """On the dial, inter only, each modality alone is noise: no sum of unimodal evidence can help, however trained."""
    train, test = (dependency_world(3000, 4, intra=0.0, inter=0.95, seed=seed) for seed in (0, 1))
    assert right(trained("product", train), test) == pytest.approx(0.5, abs=0.04)
    assert right(trained("mean", train), test) == pytest.approx(0.5, abs=0.04)
    assert right(trained("concatenation", train), test) > 0.85


def test_with_independent_modalities_the_product_is_near_bayes():
    train, test = (dependency_world(3000, 4, intra=0.8, inter=0.5, seed=seed) for seed in (0, 1))
    assert right(trained("product", train), test) > test.bayes_rate - 0.03


def test_modality_dropout_is_on_in_training_only():
    method, batch = built("concatenation", modality_dropout=0.5), dependency_world(64, 4, seed=1).pairs.tensors
    losses = {method.loss(batch, generator(seed))["loss"].item() for seed in range(3)}
    assert len(losses) == 3
    method.eval()
    assert len({method.loss(batch, generator(seed))["loss"].item() for seed in range(3)}) == 1
    with pytest.raises(ValueError, match="modality_dropout is a probability below 1, not 1"):
        built("mean", modality_dropout=1.0)


def test_frozen_factors_stay_where_they_were():
    """The published fault, made on purpose: factors outside of the parameters never move."""
    world = dependency_world(200, 4, seed=0)
    method = built("low_rank")
    before = [factor.detach().clone() for factor in method.fusion.factors]
    method.fusion.factors.requires_grad_(False)
    fit(method, world.pairs, steps=3, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, method.fusion.factors, strict=True))
    method.fusion.factors.requires_grad_(True)
    fit(method, world.pairs, steps=3, progress=False)
    assert not any(torch.equal(a, b) for a, b in zip(before, method.fusion.factors, strict=True))


def test_arguments_from_the_data():
    item = {"x1": torch.zeros(4), "x2": torch.zeros(2, 3), "x1_present": torch.tensor(True), "label": torch.tensor(0)}
    assert LateFusion.arguments_for(item) == {"shapes": {"x1": [4], "x2": [2, 3]}}


def own_encoder():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 16))


def test_an_encoder_of_your_own_is_saved_and_taken_back(tmp_path):
    shapes = {"audio": (6,), "image": (1, 4, 4)}
    method = LateFusion(shapes, 3, width=16, encoders={"image": own_encoder()})
    batch = {
        "audio": torch.randn(5, 6, generator=generator()),
        "image": torch.randn(5, 1, 4, 4, generator=generator(1)),
    }
    method.save_pretrained(tmp_path)
    again = LateFusion.from_pretrained(tmp_path, encoders={"image": own_encoder()})
    assert torch.equal(again.predict(batch), method.predict(batch))
    with pytest.raises((TypeError, ValueError), match="encoders"):
        LateFusion.from_pretrained(tmp_path)
