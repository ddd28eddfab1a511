"""The cache: weights of zero are zero-shot, its parts by transcription, its limits, and a search that sees no test."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.methods.caps_adapter import CapsAdapter, affinity, cache, divergence, search


def solved(**arguments: float) -> tuple[CapsAdapter, dict[str, torch.Tensor]]:
    _, batch = CapsAdapter.demo()
    return CapsAdapter(8, 3, 16, **arguments).solve(TensorData(batch)), batch  # type: ignore[arg-type]


def test_weights_of_zero_are_zero_shot() -> None:
    method, batch = solved(weight=0.0, distributions=0.0)
    prompts = torch.stack([F.normalize(batch["prompt"][k], dim=0) for k in range(3)])
    expected = (100 * F.normalize(batch["image"], dim=1) @ prompts.T).softmax(1)
    assert torch.allclose(method.predict(batch), expected, atol=1e-5)


def test_without_captions_it_is_tip_adapter_by_transcription() -> None:
    method, batch = solved(weight=2.0, sharpness=3.0, captions=0.0)
    f, prompts = F.normalize(batch["image"], dim=1), F.normalize(batch["prompt"][:3], dim=1)
    for i in range(12):
        expected = 100 * prompts @ f[i]
        for j in range(12):
            expected[batch["label"][j]] += 2.0 * math.exp(-3.0 * (1 - float(f[i] @ f[j])))
        assert torch.allclose(method.logits(batch)[i], expected, atol=1e-4)


def test_keys_of_captions_alone_do_not_look_at_support_pictures() -> None:
    method, batch = solved(captions=1.0)
    before = method.predict(batch)
    method.pictures = method.pictures.clone()
    method.pictures[:12] = method.pictures[:12].flip(0)
    assert torch.equal(method.predict(batch), before)
    method.captions = 0.5
    assert not torch.allclose(method.predict(batch), before)


def test_a_blunt_cache_counts_items_and_a_sharp_one_takes_the_nearest_key() -> None:
    K = torch.tensor([[0.9, 0.5, 0.8, 0.1]])
    Y = F.one_hot(torch.tensor([0, 1, 1, 1]), 2).float()
    assert torch.allclose(cache(K, Y, 0.0), torch.tensor([[1.0, 3.0]]))
    assert cache(K, Y, 200.0).argmax() == 0
    assert cache(K, Y, 0.5).argmax() == 1


def test_the_divergence_is_the_loop() -> None:
    p, q = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    for i in range(5):
        for j in range(5):
            expected = float((p[i] * (p[i] / q[j]).log()).sum())
            assert divergence(p, q)[i, j] == pytest.approx(expected, abs=1e-6)


def test_an_item_twice_with_half_the_weight_is_the_item_once() -> None:
    method, batch = solved(weight=4.0)
    twice = CapsAdapter(8, 3, 24, weight=2.0)
    twice.solve(TensorData({name: torch.cat([value, value]) for name, value in batch.items()}))
    assert torch.allclose(method.logits(batch), twice.logits(batch), atol=1e-4)


def test_raw_distributions_are_others_and_answers_do_not_hang_together() -> None:
    method, batch = solved(weight=0.0, distributions=5.0)
    released, _ = solved(weight=0.0, distributions=5.0)
    released.raw = True
    assert (method.logits(batch) - released.logits(batch)).abs().max() > 1e-3
    q = method.spread(method.pictures)
    assert q.shape == (16, 3)
    assert released.spread(released.pictures).shape == (16, 8)
    roomy = CapsAdapter(8, 3, 40, weight=0.0, distributions=5.0).solve(TensorData(batch))
    assert torch.allclose(roomy.logits(batch), method.logits(batch), atol=1e-5)
    one = method.predict({"image": batch["image"][4:5]})
    assert torch.allclose(one[0], method.predict(batch)[4], atol=1e-6)


def test_the_search_is_brute_force_on_validation_and_sees_nothing_else() -> None:
    method, batch = solved()
    rng = torch.Generator().manual_seed(3)
    validation = {
        "image": batch["prompt"] + 1.5 * torch.randn(12, 8, generator=rng),
        "label": torch.randint(3, (12,), generator=rng),
    }
    grid = {"captions": [0.0, 1.0], "sharpness": [1.0, 9.0], "weight": [0.0, 50.0], "distributions": [0.0, 20.0]}
    found = search(method, validation, grid)
    scores = {}
    for d in grid["captions"]:
        for b in grid["sharpness"]:
            for a in grid["weight"]:
                for c in grid["distributions"]:
                    tried, _ = solved(captions=d, sharpness=b, weight=a, distributions=c)
                    right = (tried.predict(validation).argmax(1) == validation["label"]).float().mean()
                    scores[d, b, a, c] = float(right)
    assert found.accuracy == pytest.approx(max(scores.values()))
    assert scores[tuple(found.settings.values())] == pytest.approx(found.accuracy)  # type: ignore[index]
    assert found.tries == 16
    assert (method.captions, method.weight) == (0.5, 1.0), "the method is left as it is"
    with pytest.raises(ValueError, match="'test' is no setting"):
        search(method, validation, {"test": [0.0]})


def test_the_affinity_is_a_mixture() -> None:
    f, i, t = F.normalize(torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1)), dim=-1)
    assert torch.allclose(affinity(f, i, t, 0.25), 0.75 * f @ i.T + 0.25 * f @ t.T, atol=1e-6)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the first three is negative"):
        CapsAdapter(8, 3, weight=-1.0)
    _, batch = CapsAdapter.demo()
    with pytest.raises(ValueError, match="room for items=5 of features=8, and is given 12"):
        CapsAdapter(8, 3, 5).solve(TensorData(batch))
