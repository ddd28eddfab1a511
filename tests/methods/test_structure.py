"""STRUCTURE: parity with the release, what the regulariser leaves alone, the bound it loses, and neighbours by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.structure import (
    Structure,
    divergence,
    mutual_neighbours,
    neighbourhoods,
    pick_layers,
    structure_loss,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("levels", "temperature", "found"),
    [(1, 0.05, 3.1235221219), (3, 0.05, 1.7697377004), (3, 0.1, 1.0219344201)],
)
def test_the_release_is_met_to_seven_billionths(levels: int, temperature: float, found: float) -> None:
    """Numbers of the public fork's function on these inputs, with the weights 1 / l."""
    g = torch.arange(60, dtype=torch.float64)
    x, a = torch.sin(1.7 * g).view(10, 6), torch.cos(0.9 * g[:40]).view(10, 4)
    assert float(structure_loss(x, a, temperature, levels, turned=True)) == pytest.approx(found, abs=7e-9)
    assert abs(float(structure_loss(x, a, temperature, levels)) - found) > 0.1, "the true divergence is another one"


def test_the_true_divergence_is_scipys_and_bounded_and_the_turned_one_is_not() -> None:
    from scipy.spatial.distance import jensenshannon

    p, q = (4 * torch.randn(2, 6, 9, generator=rng(), dtype=torch.float64)).softmax(-1)
    by_scipy = sum(jensenshannon(a, b) ** 2 for a, b in zip(p, q, strict=True)) / 6
    assert float(divergence(p, q)) == pytest.approx(by_scipy, abs=1e-8)
    one = torch.tensor([[1 - 1e-9, 1e-9]], dtype=torch.float64)
    assert float(divergence(one, one.flip(1))) == pytest.approx(math.log(2), abs=1e-6)
    assert float(divergence(one, one.flip(1), turned=True)) > 9
    assert float(divergence(p, p)) == pytest.approx(0, abs=1e-9)
    assert float(divergence(p, p, turned=True)) == pytest.approx(0, abs=1e-9)


def test_turning_and_scaling_cost_nothing_and_the_mean_comes_off_after_the_length() -> None:
    x = torch.randn(9, 5, generator=rng(), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=rng(1), dtype=torch.float64))[0]
    assert float(structure_loss(x, 3.0 * x @ turn, 0.05, 3)) == pytest.approx(0, abs=1e-9)
    assert float(structure_loss(x, x + 2.0, 0.05)) > 1e-3, "a shift is not free"
    z = F.normalize(x, dim=1)
    z = z - z.mean(0)
    by_hand = torch.stack([torch.softmax((z @ z[i]) / 0.1, 0) for i in range(9)])
    assert torch.allclose(neighbourhoods(x, 0.1), by_hand)


def test_levels_are_steps_with_falling_weights() -> None:
    x, a = torch.randn(2, 7, 5, generator=rng(), dtype=torch.float64)
    p, q = neighbourhoods(x, 0.2), neighbourhoods(a, 0.2)
    by_hand = (divergence(p, q) + divergence(p @ p, q @ q) / 2 + divergence(p @ p @ p, q @ q @ q) / 3) / 3
    assert torch.allclose(structure_loss(x, a, 0.2, 3), by_hand)


def test_the_loss_is_both_terms_and_the_ramp_is_a_share_of_the_training() -> None:
    method, batch = Structure.demo()
    u, v = method.aligned(batch)
    s = F.normalize(u, dim=1) @ F.normalize(v, dim=1).T / 0.05
    place = torch.arange(12)
    contrast = (F.cross_entropy(s, place) + F.cross_entropy(s.T, place)) / 2
    kept = (structure_loss(batch["image"], u, 0.05) + structure_loss(batch["caption"], v, 0.05)) / 2
    for progress, share in ((0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.9, 1.0)):
        method.progress = progress
        assert torch.allclose(method.loss(batch, rng())["loss"], contrast + share * 10.0 * kept, atol=1e-4)
    other = batch | {"image_kept": batch["image"].flip(0), "caption_kept": batch["caption"]}
    assert not torch.allclose(method.loss(other, rng())["loss"], method.loss(batch, rng())["loss"])
    method.strength = 0.0
    assert torch.allclose(method.loss(batch, rng())["loss"], contrast, atol=1e-5)


def test_mutual_neighbours_and_layers_by_hand() -> None:
    x, y = torch.randn(2, 12, 4, generator=rng())
    total = 0.0
    for i in range(12):
        sets = []
        for z in (x, y):
            cos = F.cosine_similarity(z[i : i + 1], z)
            cos[i] = -2
            sets.append(set(cos.argsort(descending=True)[:3].tolist()))
        total += len(sets[0] & sets[1]) / 3
    assert mutual_neighbours(x, y, 3) == pytest.approx(total / 12)
    assert mutual_neighbours(x, 5 * x, 3) == 1
    found = pick_layers([y, x], [torch.randn(12, 4, generator=rng(3)), -x, x.clone()])
    assert found.layers == (1, 1), "of equal shares the first"
    assert found.shares.shape == (2, 3)
    with pytest.raises(ValueError, match="k=12"):
        mutual_neighbours(x, y, 12)


def test_impossible_arguments_are_refused() -> None:
    sizes = {"image": 4, "caption": 3}
    for wrong in ({"strength": -1.0}, {"temperature": 0.0}, {"levels": 0}, {"ramp": 2.0}):
        with pytest.raises(ValueError, match="the first is positive"):
            Structure(sizes, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no 'caption' here"):
        Structure.arguments_for({"image": torch.zeros(3)})
