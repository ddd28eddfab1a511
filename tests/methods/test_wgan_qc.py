"""Oracles of WGAN-QC: closed forms of transport, SciPy's linear programme, sorting in one dimension."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance
from torch import Tensor

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.methods.wgan_qc import WGANQC, batch_dual, quadratic_cost, regression_loss, transport_regulariser


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_dual_is_that_of_scipys_linear_programme() -> None:
    cost = quadratic_cost(_normal(9, 3) + 1, _normal(9, 3, seed=1), 1 / 3)
    real, fake, _ = batch_dual(cost)
    n = len(cost)
    rows = [np.concatenate([np.eye(n)[i], -np.eye(n)[j]]) for i in range(n) for j in range(n)]
    objective = np.concatenate([-np.ones(n), np.ones(n)]) / n
    best = linprog(objective, np.array(rows), cost.flatten().numpy(), bounds=(None, None))
    assert (fake.mean() - real.mean()).item() == pytest.approx(best.fun)
    assert (real[:, None] - fake - cost).max() < 1e-9  # feasible
    assert torch.cat([real, fake]).mean().abs() < 1e-12


def test_partners_are_where_the_dual_is_tight() -> None:
    cost = quadratic_cost(_normal(20, 4), _normal(20, 4, seed=1), 0.25)
    real, fake, partners = batch_dual(cost)
    at = torch.arange(20)
    assert sorted(partners.tolist()) == at.tolist()
    torch.testing.assert_close(real[partners] - fake, cost[partners, at])


def test_partners_on_a_line_are_sorted() -> None:
    y, fake = _normal(30, 1), 2 * _normal(30, 1, seed=1) + 1
    real, high, partners = batch_dual(quadratic_cost(y, fake, 1.0))
    assert torch.equal(y[partners, 0].argsort(), fake[:, 0].argsort())
    distance = (y.sort(0).values - fake.sort(0).values).square().mean() / 2
    assert (real.mean() - high.mean()).item() == pytest.approx(distance.item())
    real, high, _ = batch_dual(torch.cdist(y, fake))  # the same programme with the cost of W1
    assert (real.mean() - high.mean()).item() == pytest.approx(wasserstein_distance(y[:, 0], fake[:, 0]))


def test_a_shift_is_found_exactly_and_a_large_batch_meets_the_distance_of_gaussians() -> None:
    y = _normal(40, 3)
    real, fake, _ = batch_dual(quadratic_cost(y + 2, y, 1.0))
    assert (real.mean() - fake.mean()).item() == pytest.approx(3 * 2**2 / 2)  # W2 = |m|, for any batch
    one, two = _normal(1500, 2), 2 * _normal(1500, 2, seed=1) + 1
    real, fake, _ = batch_dual(quadratic_cost(two, one, 1.0))
    truth = 2 * 1**2 + 2 * (2 - 1) ** 2  # |m|² + Σ (s - 1)²
    assert 2 * (real.mean() - fake.mean()).item() == pytest.approx(truth, rel=0.08)


def test_the_slope_of_the_quadratic_potential_is_k_times_the_way() -> None:
    """T(ŷ) = Aŷ + b with A positive is optimal, and D(ŷ) = K(ŷᵀAŷ/2 + bᵀŷ - |ŷ|²/2) meets the dual on any batch."""
    fake, K = _normal(12, 3).requires_grad_(), 0.5
    root, b = _normal(3, 3, seed=1), _normal(3, seed=2)
    y = (fake @ root @ root.T + b).detach()
    critic = K * ((fake @ root).square().sum(1) / 2 + fake @ b - fake.square().sum(1) / 2)
    (slope,) = torch.autograd.grad(critic.sum(), fake)
    way = (y - fake).detach()
    torch.testing.assert_close(slope, K * way)
    cost = quadratic_cost(y, fake.detach(), K)
    real, high, partners = batch_dual(cost)
    assert partners.tolist() == list(range(12))
    assert (real.mean() - high.mean()).item() == pytest.approx(K / 2 * way.square().sum(1).mean().item())
    on_real = critic.detach() + cost.diagonal()  # a second solution of the same programme
    assert (on_real[:, None] - critic.detach() - cost).max() < 1e-9
    for compare in ("length", "vector"):
        assert transport_regulariser(slope, way, K, compare).item() == pytest.approx(0, abs=1e-12)


def test_lengths_do_not_see_that_the_critic_points_away() -> None:
    way = _normal(10, 3)
    assert transport_regulariser(-0.5 * way, way, 0.5).item() == pytest.approx(0)
    assert transport_regulariser(-0.5 * way, way, 0.5, "vector").item() == pytest.approx(
        (2 * 0.5 * way).square().sum(1).mean().item() / (8 * 0.5)
    )


def test_the_regulariser_is_the_published_expression() -> None:
    slope, way, K = _normal(10, 3), _normal(10, 3, seed=1), 0.3
    published = (slope.norm(dim=1) / (2 * K**0.5) - K**0.5 / 2 * way.norm(dim=1)).square().mean() / 2
    torch.testing.assert_close(transport_regulariser(slope, way, K), published)


def test_reals_count_only_in_their_mean() -> None:
    fake = torch.tensor([0.0, 1.0])
    loss = regression_loss(torch.tensor([5.0, -1.0]), fake + 1, torch.tensor([1.0, 1.0]), fake)
    assert loss.item() == pytest.approx((1**2 + 1**2) / 2)


def _values(source_weight: float, conditional: bool = True) -> tuple[float, float]:
    torch.manual_seed(0)
    method = WGANQC((3,), noise=2, conditional=conditional, source_weight=source_weight).double()
    batch = {"source": _normal(40, 3), "target": _normal(40, 3, seed=1)}
    values = method.critic_loss(batch, torch.Generator().manual_seed(0))
    return values["own_partner"].item(), values["transport"].item()


def test_a_large_weight_keeps_pairs_together_and_a_small_one_does_not() -> None:
    assert _values(1e6)[0] == 1
    assert _values(0)[0] < 0.3
    assert _values(0)[1] < _values(1)[1] < _values(1e6)[1]  # the cost grows with every constraint
    assert _values(1e6, conditional=False) == _values(0, conditional=False)


def test_training_finds_a_shift() -> None:
    source = _normal(400, 2).float()
    data = TensorData({"source": source, "target": _normal(400, 2, seed=1).float() + torch.tensor([3.0, -2.0])})
    torch.manual_seed(0)
    method = WGANQC((2,), width=16, depth=1, noise=0, conditional=False)
    rates = {"critic": 1e-2, "generator": 3e-3}
    history = fit(method, data, steps=150, lr=rates, betas=(0.5, 0.999), schedule="cosine", progress=False)
    moved = (method.sample(source) - source).mean(0)
    torch.testing.assert_close(moved, torch.tensor([3.0, -2.0]), atol=0.4, rtol=0)
    assert history.last("critic/transport") < 0.15 * history.values("critic/transport")[0]


def test_samples_differ_by_noise_and_are_one_without() -> None:
    method, batch = WGANQC.demo()
    source = batch["source"]
    one, two = (method.sample(source, rng=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert (one - two).abs().min() > 0
    assert torch.equal(method.sample(source), method.sample(source))


def test_the_scale_is_a_change_of_units() -> None:
    methods = []
    for scale in (1.0, 10.0):
        torch.manual_seed(0)
        methods.append(WGANQC((2,), noise=0, scale=scale))
    source = _normal(5, 2).float()
    torch.testing.assert_close(10 * methods[0].sample(source), methods[1].sample(10 * source))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"compare": "angle"}, "compare='angle' is none of"),
        ({"noise": -1}, "noise=-1 is too small"),
        ({"width": 0}, "width=0 is too small"),
        ({"depth": -1}, "depth=-1 is too small"),
        ({"source_weight": -1.0}, "source_weight=-1.0: a weight must be"),
        ({"gamma": float("nan")}, "gamma=nan: a weight must be"),
        ({"l1_weight": float("inf")}, "l1_weight=inf: a weight must be"),
        ({"scale": 0.0}, "scale=0.0: the size of a typical value"),
        ({"dropout": 1.0}, "dropout=1.0: a dropout probability"),
        ({"shape": (0,)}, r"shape=\(0,\) holds no values"),
    ],
)
def test_each_argument_has_a_sentence_of_its_own(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WGANQC(**{"shape": (2,), **arguments})


def test_shapes_that_do_not_fit_are_named() -> None:
    method = WGANQC((2,), width=4)
    with pytest.raises(ValueError, match=r"source \(4, 3\) must have shape \(B, 2\), .* built for"):
        method.sample(torch.zeros(4, 3))
    with pytest.raises(ValueError, match=r"source \(4, 2\) and target \(3, 2\) must both have"):
        method.critic_loss({"source": torch.zeros(4, 2), "target": torch.zeros(3, 2)}, torch.Generator())
