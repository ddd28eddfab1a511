"""Oracles of the single modality: the closed form of its loss, and that it sees nothing else."""

import math

import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.methods.unimodal import Unimodal
from mmlab.metrics.classification import accuracy
from mmlab.train.fit import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("encoder", ["perceptron", "lenet", "transformer"])
def test_predictions_are_probabilities_and_see_nothing_else(encoder):
    shape = (5, 3) if encoder == "transformer" else (1, 8, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = Unimodal("audio", shape, 4, encoder, width=8, dropout=0.5)
    batch = {"audio": torch.randn(6, *shape, generator=generator()), "image": torch.randn(6, 2), "label": torch.ones(6)}
    made = method.predict(batch)
    torch.testing.assert_close(made.sum(1), torch.ones(6))
    assert torch.equal(made, method.predict({"audio": batch["audio"]})), "the label or another modality is looked at"
    assert method.training, "predict() leaves the mode as it was"
    assert not made.requires_grad


def test_an_absent_item_gets_the_uniform_answer_whatever_stands_there():
    method, batch = Unimodal.demo()
    assert not batch["image_present"][7]
    torch.testing.assert_close(method.predict(batch)[7], torch.full((3,), 1 / 3))
    before = method.loss(batch, generator())["loss"]
    batch["image"][7] = torch.nan
    after = method.loss(batch, generator())["loss"]
    assert torch.equal(before, after)
    after.backward()
    assert all(p.grad.isfinite().all() for p in method.parameters())


def test_it_reaches_the_bayes_rate_of_two_gaussians():
    """Classes N(±a, I): the best classifier is right with probability Φ(a)."""
    y = torch.arange(6000) % 2
    x = torch.randn(6000, 4, generator=generator())
    x[:, 0] += 2 * y - 1
    data = TensorData({"x": x, "label": y})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = Unimodal("x", (4,), classes=2, width=16)
    fit(method, data.subset(range(4000)), steps=150, batch_size=128, lr=3e-3, progress=False)
    test = data.subset(range(4000, 6000)).tensors
    best = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    assert accuracy(method.predict(test), test["label"]) == pytest.approx(best, abs=0.025)


def test_arguments_from_the_data():
    item = {"audio": torch.zeros(1, 4, 4), "audio_present": torch.tensor(True), "label": torch.tensor(0)}
    assert Unimodal.arguments_for(item) == {"modality": "audio", "shape": [1, 4, 4]}
    assert Unimodal.arguments_for(item | {"image": torch.zeros(1, 8, 8)})["modality"] == "image"
