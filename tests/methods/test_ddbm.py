"""Oracles of DDBM: Gaussian conditioning, the Brownian bridge inside it, and the law that its sampler must draw."""

import math

import pytest
import torch
from torch import Tensor

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.diffusion.reference import Reference
from mmlab.methods.bridge_matching import bridge_moments
from mmlab.methods.ddbm import BETA, DDBM, Bridge, preconditioning
from mmlab.nn.field import LinearStart

BRIDGES = [Bridge("ve", 0.5), Bridge("ve", 3.0), Bridge("vp", 1.0), Bridge("vp", 0.4)]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _times(count: int = 9) -> Tensor:
    return torch.linspace(0.05, 0.95, count, dtype=torch.float64)


@pytest.mark.parametrize("bridge", BRIDGES, ids=str)
def test_the_bridge_is_gaussian_conditioning(bridge: Bridge) -> None:
    """X_t = α x_0 + σ ε; X_1 given X_t is Gaussian as well; condition X_t on x_0 and X_1 with the textbook formula."""
    one = torch.ones((), dtype=torch.float64)
    for t in _times():
        alpha, variance, end = bridge.alpha(t), bridge.variance(t), bridge.alpha(one)
        joint = end / alpha * variance  # covariance of X_t and X_1 given x_0
        gain = joint / bridge.variance(one)
        expected = gain, alpha - gain * end, variance - gain * joint
        torch.testing.assert_close(bridge.coefficients(t), expected)


@pytest.mark.parametrize("bridge", BRIDGES, ids=str)
def test_drift_and_rate_belong_to_alpha_and_sigma(bridge: Bridge) -> None:
    t = _times().requires_grad_()
    (alpha_slope,) = torch.autograd.grad(bridge.alpha(t).sum() + 0 * t.sum(), t)
    (variance_slope,) = torch.autograd.grad(bridge.variance(t).sum(), t)
    pull = bridge.drift(torch.ones_like(t), t)
    torch.testing.assert_close(alpha_slope, pull * bridge.alpha(t))
    torch.testing.assert_close(variance_slope, 2 * pull * bridge.variance(t) + bridge.diffusion_squared(t))


@pytest.mark.parametrize("bridge", BRIDGES, ids=str)
def test_the_pull_is_the_gradient_of_the_chance_of_arriving(bridge: Bridge) -> None:
    one, source = torch.ones((), dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    for t in _times():
        ratio = bridge.alpha(one) / bridge.alpha(t)
        log = -((source - ratio * x) ** 2) / (2 * (bridge.variance(one) - ratio**2 * bridge.variance(t)))
        (expected,) = torch.autograd.grad(log.sum(), x)
        torch.testing.assert_close(bridge.grad_log_h(x.detach(), source, t), expected)


def test_ve_is_the_brownian_bridge_in_another_clock() -> None:
    """With u = t² it is, exactly, the bridge of the chapter on bridge matching, walked from the other end."""
    x0, x1 = torch.randn(2, 9, 1, generator=_rng(), dtype=torch.float64)
    t = _times()[:, None]
    a, b, variance = Bridge("ve", 0.8).coefficients(t)
    mean, expected = bridge_moments(Reference(0.8), x0, x1, t**2)
    torch.testing.assert_close(a * x1 + b * x0, mean)
    torch.testing.assert_close(variance, expected)


def test_vp_becomes_the_brownian_bridge_where_nothing_decays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmlab.methods.ddbm.BETA", (1e-6, 0.0))
    t = _times()
    a, b, variance = Bridge("vp", 1.0).coefficients(t)
    torch.testing.assert_close(a, t, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(b, 1 - t, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(variance, 1e-6 * t * (1 - t), atol=1e-11, rtol=1e-4)
    assert BETA == (0.1, 2.0)


@pytest.mark.parametrize("bridge", BRIDGES, ids=str)
def test_the_preconditioning_is_the_best_line_through_the_state(bridge: Bridge) -> None:
    """c_skip is the least-squares slope of the target on the state, c_out what it leaves, c_in the state's size."""
    target, source, covariance = 0.9, 1.3, 0.6
    root = torch.linalg.cholesky(torch.tensor([[target**2, covariance], [covariance, source**2]]))
    x0, x1 = root @ torch.randn(2, 400_000, generator=_rng())
    for t in (0.1, 0.5, 0.9):
        time = torch.tensor(t)
        a, b, variance = bridge.coefficients(time)
        state = a * x1 + b * x0 + variance.sqrt() * torch.randn(len(x0), generator=_rng(1))
        c_in, c_skip, c_out = preconditioning(bridge, time, target, source, covariance)
        slope = (state * x0).mean() / state.square().mean()
        torch.testing.assert_close(c_in, state.square().mean().rsqrt(), rtol=0.01, atol=0)
        torch.testing.assert_close(c_skip, slope, rtol=0.02, atol=0.005)
        torch.testing.assert_close(c_out, (x0 - slope * state).std(), rtol=0.01, atol=0)


class Exact(DDBM):
    """The denoiser in closed form for x_0 = 0.5 x_T + 0.6 z."""

    def denoise(self, x: Tensor, t: Tensor, source: Tensor) -> Tensor:
        a, b, variance = (value[:, None] for value in self.bridge.coefficients(t))
        gain = b * 0.36 / (b**2 * 0.36 + variance)
        return 0.5 * source + gain * (x - a * source - b * 0.5 * source)


@pytest.mark.parametrize("bridge", BRIDGES, ids=str)
def test_the_hybrid_sampler_draws_the_conditional_law(bridge: Bridge) -> None:
    source = torch.randn(20_000, 1, generator=_rng(2), dtype=torch.float64)
    method = Exact((1,), 8, 1, bridge.schedule, bridge.sigma).double()
    drawn = method.sample(source, steps=60, rng=_rng(3))
    slope = float((drawn * source).mean() / source.square().mean())
    assert slope == pytest.approx(0.5, abs=0.02)
    assert float((drawn - slope * source).std()) == pytest.approx(0.6, abs=0.03)


def test_without_noise_every_source_has_one_answer() -> None:
    source = torch.randn(500, 1, generator=_rng(2), dtype=torch.float64)
    drawn = Exact((1,), 8, 1, "ve", 0.5).double().sample(source, steps=40, churn=0.0, rng=_rng())
    torch.testing.assert_close(drawn, 0.5 * source, atol=0.01, rtol=0)


@pytest.mark.parametrize("schedule", ["ve", "vp"])
def test_a_trained_network_finds_the_denoiser(schedule: str) -> None:
    source, z = torch.randn(2, 4000, 1, generator=_rng(4))
    data = TensorData({"source": source, "target": 0.5 * source + 0.6 * z})
    torch.manual_seed(0)
    method = DDBM((1,), 48, 2, schedule, 0.8, math.sqrt(0.61), 1.0, 0.5)
    fit(method, data, steps=300, batch_size=256, lr=5e-3, schedule="cosine", ema_decay=0.98, progress=False)
    exact = Exact((1,), 8, 1, schedule, 0.8)
    for t in (0.2, 0.5, 0.8):
        time = torch.full((4000,), t)
        a, b, variance = (value[:, None] for value in method.bridge.coefficients(time))
        x = a * source + b * data.tensors["target"] + variance.sqrt() * torch.randn(4000, 1, generator=_rng(5))
        missed = (method.denoise(x, time, source) - exact.denoise(x, time, source)).detach()
        assert float(missed.square().mean().sqrt()) < 0.06


def test_images_and_vectors_train_and_sample() -> None:
    torch.manual_seed(0)
    for method in (DDBM((1, 8, 8), 8, 1), DDBM((12,), 8, 0), DDBM((12,), 8, 0, "vp")):
        batch = {name: torch.randn(4, *method.shape, generator=_rng(i)) for i, name in enumerate(("source", "target"))}
        assert method.loss(batch, _rng())["loss"].isfinite()
        assert method.sample(batch["source"], steps=2, rng=_rng()).shape == (4, *method.shape)


@pytest.mark.parametrize("bridge", BRIDGES, ids=str)
def test_the_linear_start_is_the_published_preconditioning_of_what_it_leaves_open(bridge: Bridge) -> None:
    start = LinearStart((3,))
    source, z, x = torch.randn(3, 200, 3, generator=_rng()).double()
    start.double().solve(source, 0.5 * source + 0.3 * z)
    spread = float(start.spread)
    time = torch.full((200, 1), 0.4, dtype=torch.float64)
    a, b, variance = bridge.coefficients(time)
    view = start.view(x, source, a, b, variance)
    c_in, c_skip, c_out = preconditioning(bridge, time, spread, 0.0, 0.0)
    rest = x - a * source - b * start(source)
    torch.testing.assert_close(view.inputs[:, 0], c_in * rest)
    torch.testing.assert_close(view.base, start(source) + c_skip * rest)
    torch.testing.assert_close(view.gain, c_out)


def test_unfit_arguments_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="is impossible for deviations"):
        DDBM((6,), covariance=1.0)
    with pytest.raises(ValueError, match="schedule='cosine' must be one of"):
        DDBM((6,), schedule="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a churn in"):
        DDBM((6,)).sample(torch.zeros(2, 6), churn=1.0, rng=_rng())
    with pytest.raises(ValueError, match="must both have shape"):
        DDBM((6,)).loss({"source": torch.zeros(2, 6), "target": torch.zeros(2, 5)}, _rng())


def test_the_network_is_asked_near_the_ends_and_never_at_them() -> None:
    method = DDBM((6,))
    asked: list[torch.Tensor] = []
    method.network.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[1].flatten()))
    batch = {"source": torch.zeros(4096, 6), "target": torch.ones(4096, 6)}
    method.loss(batch, _rng())
    method.sample(batch["source"][:2], steps=50, rng=_rng())
    times = torch.cat(asked)
    assert 0 < times.min() < 0.01
    assert 0.99 < times.max() < 1
