"""AstroM3: two InfoNCE for each pair, scales of their own within bounds, and one vector of whatever is there."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.methods.astro_m3 import AstroM3, CurveTower, joined, pair_loss


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_pair_is_two_infonce_and_the_loss_their_sum_with_own_scales() -> None:
    method, batch = AstroM3.demo()
    with torch.no_grad():
        method.log_scales.copy_(torch.tensor([2.0, 5.0, 50.0]).log())
    u = method.vectors(batch)
    total = 0.0
    for (a, b), s in zip(itertools.combinations(("light", "spectrum", "metadata"), 2), (2, 5, 50), strict=True):
        each = soft_contrastive(u[a], u[b], identity_targets(12), 1 / s)
        assert torch.allclose(pair_loss(u[a], u[b], s), 2 * each, atol=1e-4)
        total += 2 * each.item()
    found = method.loss(batch, rng())
    assert found["loss"].item() == pytest.approx(total, rel=1e-5)
    assert set(found) == {"loss", "light_spectrum", "light_metadata", "spectrum_metadata"}


def test_a_pair_by_sums() -> None:
    u, v = torch.randn(2, 5, 3, generator=rng(), dtype=torch.float64)
    total = 0.0
    for i in range(5):
        for mine, theirs in ((u, v), (v, u)):
            s = [4 * float(F.cosine_similarity(mine[i], theirs[j], dim=0)) for j in range(5)]
            total += math.log(sum(math.exp(x) for x in s)) - s[i]
    assert float(pair_loss(u, v, 4.0)) == pytest.approx(total / 5)
    assert float(pair_loss(u, v, 4.0)) == pytest.approx(float(pair_loss(v, u, 4.0)))
    one = torch.ones(32, 3)
    assert float(pair_loss(one, one, 9.0)) == pytest.approx(2 * math.log(32), abs=1e-4)


def test_the_order_of_modalities_in_a_pair_does_not_count() -> None:
    _, batch = AstroM3.demo()
    shape = {"bins": 32, "columns": 3, "width": 16, "channels": 8, "scale": 10.0}
    one = AstroM3.seeded(0, **shape)
    turned = AstroM3.seeded(0, **shape, pairs=[("spectrum", "light"), ("metadata", "light"), ("metadata", "spectrum")])
    assert one.loss(batch, rng())["loss"].item() == pytest.approx(turned.loss(batch, rng())["loss"].item(), rel=1e-5)


def test_scales_start_where_they_are_told_and_stay_within_one_and_a_hundred() -> None:
    method, batch = AstroM3.demo()
    assert AstroM3().scales().tolist() == pytest.approx([100.0] * 3)
    with torch.no_grad():
        method.log_scales.copy_(torch.tensor([-3.0, 2.0, 9.0]))
    assert method.scales().tolist() == pytest.approx([1.0, math.exp(2), 100.0], rel=1e-5)
    method.loss(batch, rng())["loss"].backward()
    assert method.log_scales.grad is not None
    assert method.log_scales.grad[[0, 2]].tolist() == [0, 0], "beyond the clamp nothing pulls"
    assert method.log_scales.grad[1] != 0


def test_a_star_is_the_mean_of_what_it_has() -> None:
    method, batch = AstroM3.demo()
    whole = method.embed(batch)
    assert whole.shape == (12, 3, 16)
    assert torch.allclose(whole.norm(dim=2), torch.ones(12, 3), atol=1e-5)
    assert torch.allclose(joined(3.0 * whole), whole.mean(1), atol=1e-6)
    alone = method.embed({"metadata": batch["metadata"]})
    assert torch.allclose(joined(alone), whole[:, 2], atol=1e-6)


def test_a_curve_that_begins_elsewhere_by_the_strides_has_the_same_vector() -> None:
    tower, x = CurveTower(8, 8), torch.randn(3, 1, 64, generator=rng())
    assert torch.allclose(tower(x), tower(x.roll(12, 2)), atol=1e-5)
    assert not torch.allclose(tower(x), tower(x.flip(2)), atol=1e-3)


def test_one_pair_trains_two_towers_and_impossible_arguments_are_refused() -> None:
    _, batch = AstroM3.demo()
    method = AstroM3.seeded(0, 32, 3, 16, 8, 10.0, pairs=[("light", "metadata")])
    method.loss(batch, rng())["loss"].backward()
    grads = {name: [p.grad for p in tower.parameters()] for name, tower in method.towers.items()}
    assert all(grad is None for grad in grads["spectrum"])
    assert all(grad is not None for grad in grads["light"] + grads["metadata"])
    for wrong in ({"scale": 0.5}, {"scale": 101.0}, {"bins": 20}):
        with pytest.raises(ValueError, match="from 1 to 100"):
            AstroM3(**wrong)  # type: ignore[arg-type]
    for pairs in ([("light", "light")], [("light", "radio")], []):
        with pytest.raises(ValueError, match="names two of light"):
            AstroM3(pairs=pairs)
    with pytest.raises(ValueError, match="there is no 'spectrum' here"):
        AstroM3.arguments_for({"light": torch.zeros(1, 8)})
