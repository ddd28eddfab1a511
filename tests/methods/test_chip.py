"""CHIP: the algebra of the projection, and the whole of it by an independent transcription."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.methods.chip import Chip, basis, projected, selected
from mmlab.methods.tinyllava import TinyLLaVA


def directions(count: int = 3, width: int = 8, seed: int = 0) -> Tensor:
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return drawn / drawn.norm(dim=1, keepdim=True)


def test_the_neurons_are_those_that_answer_more_to_what_is_to_be_forgotten() -> None:
    forget = torch.tensor([[1.0, -5.0, 0.0, 2.0], [1.0, 5.0, 0.0, -2.0]])
    retain = torch.tensor([[1.0, 1.0, 9.0, 0.5]])
    assert selected(forget, retain, 0.5).tolist() == [1, 3]  # scores 0, 4, -9, 1.5
    assert selected(forget, retain, 0.01).tolist() == [1]


def test_the_basis_is_orthonormal_and_as_large_as_the_energy_asks() -> None:
    Q = basis(directions(), 1.0)
    assert Q.shape == (8, 3)
    assert torch.allclose(Q.mT @ Q, torch.eye(3).double())
    assert torch.allclose(Q @ Q.mT @ directions().mT, directions().mT)  # all lie in it
    straight = torch.diag(torch.tensor([3.0, 2.0, 1.0]))  # squares 9, 4, 1 of 14
    assert [basis(straight, energy).shape[1] for energy in (0.5, 9 / 14, 0.7, 13 / 14, 0.95, 1.0)] == [1, 1, 2, 2, 3, 3]
    assert basis(torch.zeros(2, 5), 0.95).shape == (5, 0)


def test_the_projection_takes_the_directions_away_and_makes_nothing_longer() -> None:
    Q = basis(directions(), 1.0)
    rng = torch.Generator().manual_seed(1)
    W, x = torch.randn(8, 6, generator=rng).double(), torch.randn(6, 20, generator=rng).double()
    new = projected(W, Q)
    assert torch.allclose(Q.mT @ new @ x, torch.zeros(3, 20).double(), atol=1e-12)
    assert torch.allclose(projected(new, Q), new, atol=1e-12)  # idempotent
    P = torch.eye(8).double() - Q @ Q.mT
    assert torch.allclose(P @ P, P, atol=1e-12)
    assert torch.allclose(P, P.mT)
    assert torch.allclose(new, P @ W)
    assert new.norm() < W.norm()
    assert (torch.linalg.svdvals(new) <= torch.linalg.svdvals(W) + 1e-12).all()
    assert ((new @ x).norm(dim=0) <= (W @ x).norm(dim=0) + 1e-12).all()
    left = torch.randn(8, generator=rng).double()
    left -= Q @ (Q.mT @ left)
    assert torch.allclose(left @ new, left @ W, atol=1e-12)  # what is orthogonal to Q stays


def outputs(method: Chip, images: Tensor) -> np.ndarray:
    with torch.no_grad():
        return method.policy.encoder(images[:, 0]).numpy()


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_whole_of_it_by_numpy(share: float) -> None:
    method, batch = Chip.demo()
    method.share = share
    W = method.policy.encoder[3].weight.detach().numpy().copy()
    f, r = outputs(method, batch["images"]), outputs(method, batch["retain_images"])
    S = np.argsort(-(np.abs(f).mean(0) - np.abs(r).mean(0)))[: max(1, round(share * len(W)))]
    D = np.stack([f[np.arange(6) % 2 == c][:, S].mean(0) - r[:, S].mean(0) for c in (0, 1)])
    D /= np.linalg.norm(D, axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(D.T @ D)  # the same basis by the other road
    values, vectors = values[::-1], vectors[:, ::-1]
    r_needed = int(np.searchsorted(np.cumsum(values) / values.sum(), 0.95 - 1e-6)) + 1
    Q = vectors[:, :r_needed]
    expected = W.copy()
    expected[S] = W[S] - Q @ Q.T @ W[S]
    before = copy.deepcopy(method.policy.state_dict())
    method.solve(TensorData(batch))
    assert np.allclose(method.policy.encoder[3].weight.detach().numpy(), expected, atol=1e-5)
    same = [name for name, value in method.policy.state_dict().items() if torch.equal(value, before[name])]
    assert set(before) - set(same) == {"encoder.3.weight"}


def test_with_all_neurons_and_energy_the_children_answer_like_what_stays() -> None:
    method, batch = Chip.demo()
    method.share = method.energy = 1.0
    method.solve(TensorData(batch))
    f, r = outputs(method, batch["images"]), outputs(method, batch["retain_images"])
    for child in (0, 1):
        assert np.allclose(f[child::2].mean(0), r.mean(0), atol=1e-5)


def test_equal_means_change_nothing() -> None:
    method, batch = Chip.demo()
    for name in ("input_ids", "length", "images", "completions"):
        batch[name] = batch["retain_" + name]
    batch["child"] = torch.zeros(6, dtype=torch.long)
    before = method.policy.encoder[3].weight.clone()
    method.solve(TensorData(batch))
    assert torch.equal(method.policy.encoder[3].weight, before)


def test_without_what_stays_directions_are_from_zero() -> None:
    method, batch = Chip.demo()
    method.share = method.energy = 1.0
    method.solve(TensorData({key: value for key, value in batch.items() if not key.startswith("retain_")}))
    f, b = outputs(method, batch["images"]), method.policy.encoder[3].bias.detach().numpy()
    free, _ = Chip.demo()
    means = [outputs(free, batch["images"])[child::2].mean(0) for child in (0, 1)]
    assert np.allclose((f - b) @ np.stack(means, 1), 0, atol=1e-5)


def test_padding_has_no_part_in_the_means_of_the_language_model() -> None:
    method, batch = Chip.demo()
    short = method._outputs(batch, method.policy.head)
    longer = {**batch, "input_ids": torch.nn.functional.pad(batch["input_ids"], (0, 4))}
    assert torch.allclose(method._outputs(longer, method.policy.head), short, atol=1e-6)


def test_layers_of_a_tinyllava_are_projected() -> None:
    tiny, held = TinyLLaVA.demo()
    names = [
        name for name, module in tiny.named_modules() if isinstance(module, torch.nn.Linear) and "language" in name
    ]
    batch = {key: held[key] for key in ("input_ids", "length", "images")}
    batch["completions"] = torch.randint(1, 24, (3, 1, 3), generator=torch.Generator().manual_seed(0))
    data = {**batch, **{f"retain_{key}": value.flip(0)[:3] for key, value in batch.items()}}
    data["retain_images"] = -data["retain_images"]
    method = Chip(tiny, layers=names[-2:-1], share=0.5)
    layer = dict(tiny.named_modules())[names[-2]]
    before = layer.weight.norm().item()
    method.solve(TensorData(data))
    assert layer.weight.norm().item() < before


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"share=0"):
        Chip(share=0)
    with pytest.raises(ValueError, match=r"'encoder\.0' is no linear layer"):
        Chip(layers=("encoder.0",))
