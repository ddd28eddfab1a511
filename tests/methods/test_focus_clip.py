"""FocusCLIP: NT-Xent by transcription, what becomes of the view in its limits, and answers that no heat map changes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.worlds.shape_world import heat_map
from mmlab.methods.focus_clip import FocusCLIP, blend


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simclr(a: torch.Tensor, b: torch.Tensor, tau: float) -> torch.Tensor:
    """NT-Xent over 2B rows, row by row: Chen et al. 2020, equation 1."""
    rows = F.normalize(torch.cat([a, b]), dim=1)
    n, total = len(a), torch.zeros(())
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = torch.stack([(rows[i] @ rows[k] / tau).exp() for k in range(2 * n) if k != i])
        total = total - ((rows[i] @ rows[partner] / tau).exp() / others.sum()).log()
    return total / (2 * n)


def test_the_loss_is_three_times_simclr() -> None:
    method, batch = FocusCLIP.demo()
    alpha = float(method.alpha().detach())
    assert alpha == pytest.approx(0.5)
    u, v = method.towers.picture(batch["image"]), method.towers.caption(batch["caption"])
    r = method.towers.picture(batch["image"] * torch.where(batch["heat"] > 0, 1.0, alpha))
    found = method.loss(batch, rng())
    assert torch.allclose(found["view_picture"], simclr(r, u, 0.2), atol=1e-5)
    assert torch.allclose(found["loss"], simclr(r, u, 0.2) + simclr(r, v, 0.2) + simclr(u, v, 0.2), atol=1e-5)
    both = F.cosine_similarity(u[:, None], v[None], dim=-1) / 0.2
    clip = (F.cross_entropy(both, torch.arange(12)) + F.cross_entropy(both.T, torch.arange(12))) / 2
    assert not torch.allclose(found["picture_caption"], clip, atol=0.1), "InfoNCE has no negatives of its own modality"


def test_in_its_limits_the_view_is_the_picture() -> None:
    x, h = torch.randn(4, 3, 8, 8, generator=rng()), torch.rand(4, 1, 8, 8, generator=rng(1))
    assert torch.allclose(blend(x, h, 1.0), x)
    assert torch.allclose(blend(x, torch.ones_like(h), 0.3), x)
    assert torch.equal(blend(x, torch.zeros_like(h), 0.0), torch.zeros_like(x))
    method, batch = FocusCLIP.demo()
    found = method.loss(batch | {"heat": torch.ones_like(batch["heat"])}, rng())
    u = method.towers.picture(batch["image"])
    assert torch.allclose(found["view_picture"], simclr(u, u, 0.2), atol=1e-5)
    assert torch.allclose(found["view_caption"], found["picture_caption"], atol=1e-5)


def test_answers_do_not_hang_on_heat_and_alpha_is_learnt() -> None:
    method, batch = FocusCLIP.demo()
    plain = {name: batch[name] for name in ("image", "caption")}
    assert torch.equal(method.embed(batch), method.embed(plain))
    method.loss(batch, rng())["loss"].backward()
    assert method.left.grad is not None
    assert method.left.grad != 0
    for third in ("plain", "none"):
        assert not hasattr(FocusCLIP(20, third=third), "left")  # type: ignore[arg-type]


def test_without_a_third_view_it_is_one_pair_and_a_plain_view_is_drawn() -> None:
    method, batch = FocusCLIP.demo()
    u, v = method.towers.picture(batch["image"]), method.towers.caption(batch["caption"])
    method.third = "none"
    assert torch.allclose(method.loss(batch, rng())["loss"], simclr(u, v, 0.2), atol=1e-5)
    method.third, method.noise = "plain", 0.0
    assert torch.allclose(method.loss(batch, rng())["view_picture"], simclr(u, u, 0.2), atol=1e-5)
    method.noise = 0.5
    first, again, other = (method.loss(batch, rng(seed))["loss"] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_heat_map_is_one_at_its_middle() -> None:
    at = torch.tensor([[10.5, 20.5]])
    heat = heat_map(at)
    assert float(heat.max()) == 1
    assert heat[0, 0].flatten().argmax() == 20 * 32 + 10


def test_impossible_arguments_are_refused() -> None:
    for wrong in ({"third": "crop"}, {"temperature": 0.0}, {"alpha": 1.0}, {"noise": -1.0}):
        with pytest.raises(ValueError, match="the view is heat, plain or none"):
            FocusCLIP(20, **wrong)  # type: ignore[arg-type]
    assert FocusCLIP.arguments_for({"image": torch.zeros(3, 32, 32)}) == {"third": "plain"}
