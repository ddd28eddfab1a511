"""Oracles of bridge matching: closed forms for pinned diffusions and for Gaussian ends."""

import functools
import math
from itertools import pairwise

import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.diffusion.gaussian import (
    conditional_end,
    coupling_after_matching,
    intermediate_covariance,
)
from mmlab.diffusion.reference import Reference
from mmlab.methods import bridge_matching as bm
from mmlab.methods.bridge_matching import MARGIN, BridgeMatching, bridge_drift, bridge_moments
from mmlab.train import fit

SCHEDULES = ["constant", "triangular"]
KINDS = ["endpoint", "displacement", "noise", "drift"]


def heun_step(field, x, s, t):
    """One step of Heun's second-order method for dx/dt = field(x, t)."""
    slope = field(x, s)
    return x + (t - s) / 2 * (slope + field(x + (t - s) * slope, t))


def float64(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_variances_integrate_beta(schedule):
    reference = Reference(0.7, schedule)
    t = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)  # symmetric about 1/2, away from its kink by halves
    slope = (reference.from_start(t + 1e-6) - reference.from_start(t - 1e-6)) / 2e-6
    torch.testing.assert_close(slope, reference.beta(t), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(reference.from_start(t) + reference.to_end(t), torch.full_like(t, 0.49))
    half = torch.tensor(0.5, dtype=torch.float64)
    assert reference.from_start(half) == pytest.approx(0.245)
    assert reference.to_end(half) == pytest.approx(0.245)


def test_bridge_of_brownian_motion():
    x0, x1, t = float64([1.0], [3.0], 0.25)
    mean, variance = bridge_moments(Reference(0.8), x0, x1, t)
    assert mean.item() == pytest.approx(1.5)
    assert variance.item() == pytest.approx(0.64 * 0.25 * 0.75)
    assert bridge_moments(Reference(0.8), x0, x1, torch.tensor(0.5))[1].item() == pytest.approx(0.16)  # σ²/4


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
def test_parametrisations_are_inverses(kind, schedule):
    reference = Reference(0.3, schedule)
    t = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)[:, None]
    x, x1 = torch.randn(2, 25, 4, generator=generator(), dtype=torch.float64)
    output = bm.from_endpoint(kind, reference, x, x1, t)
    torch.testing.assert_close(bm.to_endpoint(kind, reference, x, output, t), x1)


def test_drift_target_of_brownian_bridge():
    sigma, reference = 0.6, Reference(0.6)
    x0, x1, z = torch.randn(3, 50, 3, generator=generator(), dtype=torch.float64)
    t = torch.rand(50, 1, generator=generator(1), dtype=torch.float64) * 0.98 + 0.01
    mean, variance = bridge_moments(reference, x0, x1, t)
    drift = bridge_drift(reference, mean + variance.sqrt() * z, x1, t)
    torch.testing.assert_close(drift, x1 - x0 - sigma * (t / (1 - t)).sqrt() * z)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("grid", [[0, 1], [0, 0.3, 0.9], [0, 0.1, 0.5, 0.51, 0.97]])
def test_posterior_steps_reproduce_the_bridge(schedule, grid):
    reference = Reference(0.9, schedule)
    x0, x1 = float64(-1.0, 2.0)
    mean, variance = x0, torch.zeros(())
    one, zero = float64(1.0, 0.0)
    for s, t in pairwise(grid):
        s, t = float64(s, t)
        keep = bm.posterior_step(reference, one, zero, s, t, zero)  # weight of the state
        spread = bm.posterior_step(reference, zero, zero, s, t, one)
        mean = bm.posterior_step(reference, mean, x1, s, t, zero)
        variance = keep**2 * variance + spread**2
        expected = bridge_moments(reference, x0, x1, t)
        torch.testing.assert_close((mean, variance), expected, check_dtype=False)


def test_least_squares_finds_the_closed_form():
    n, sigma, t, correlation = 200_000, 0.7, 0.3, 0.4
    x0, noise, z = torch.randn(3, n, generator=generator(), dtype=torch.float64)
    x1 = correlation * x0 + math.sqrt(1 - correlation**2) * noise
    mean, variance = bridge_moments(Reference(sigma), x0, x1, torch.tensor(t, dtype=torch.float64))
    x = mean + variance.sqrt() * z
    slope = (x @ x1) / (x @ x)
    one, cross, zero = torch.ones(1, 1).double(), torch.full((1, 1), correlation).double(), torch.zeros(1).double()
    exact = conditional_end(torch.ones(1, 1).double(), t, (zero, zero), one, one, cross, sigma)
    assert slope.item() == pytest.approx(exact.item(), abs=0.006)  # 3 standard errors
    assert abs(exact.item() - correlation) > 0.1  # a formula without the noise would be far off


def gaussian_moments(step, steps, coupling):
    """Variance of the end and covariance of the ends of a sampler with the exact E[X₁ | X_t], ends N(0, 1), σ = 1."""
    reference = Reference(1.0)
    variance = covariance = torch.ones((), dtype=torch.float64)
    one, zero = float64(1.0, 0.0)
    grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    for s, t in pairwise(grid):
        end = ((1 - s) * coupling + s) / ((1 - s) ** 2 + s**2 + s * (1 - s) * (2 * coupling + 1))
        slope = step(reference, one, end, s, t, zero)
        noise = step(reference, zero, zero, s, t, one)
        variance, covariance = slope**2 * variance + noise**2, slope * covariance
    return variance.item(), covariance.item()


@pytest.mark.parametrize(
    ("sampler", "coupling", "steps", "expected"),
    [
        ("euler_step", (math.sqrt(5) - 1) / 2, 20, (1.01565, 0.61803)),
        ("euler_step", 0.0, 20, (0.97582, 0.52613)),
        ("euler_step", (math.sqrt(5) - 1) / 2, 100, (1.00310, None)),
        ("euler_step", 0.0, 100, (0.99503, None)),
        ("posterior_step", (math.sqrt(5) - 1) / 2, 20, (0.87025, None)),
        ("posterior_step", 0.0, 20, (0.81845, None)),
    ],
)
def test_samplers_have_their_known_bias(sampler, coupling, steps, expected):
    variance, covariance = gaussian_moments(getattr(bm, sampler), steps, coupling)
    assert variance == pytest.approx(expected[0], abs=1e-5)
    if expected[1] is not None:
        assert covariance == pytest.approx(expected[1], abs=1e-5)


def flow(steps, x, start=0.0):
    """Carry x along the probability-flow ODE of a Gaussian bridge in two commuting dimensions."""
    s0, s1, cross = (torch.diag(torch.tensor(v, dtype=torch.float64)) for v in ([1.0, 0.5], [0.3, 2.0], [0.2, -0.4]))
    means = float64([0.0, 1.0], [2.0, -1.0])
    sigma, reference = 0.7, Reference(0.7)

    def field(x, t):
        end = conditional_end(x, t.item(), tuple(means), s0, s1, cross, sigma)
        origin = conditional_end(x, 1 - t.item(), (means[1], means[0]), s1, s0, cross.T, sigma)
        return bm.velocity(reference, x, origin, end, t)

    grid = torch.linspace(0.1, 0.9, steps + 1, dtype=torch.float64)
    for s, t in pairwise(grid):
        x = heun_step(field, x, s, t)
    ends = [intermediate_covariance(s0, s1, cross, sigma, t).diagonal().sqrt() for t in (0.1, 0.9)]
    centres = [(1 - t) * means[0] + t * means[1] for t in (0.1, 0.9)]
    return x, centres, ends


def test_probability_flow_of_a_gaussian_bridge_to_second_order():
    start = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    errors = []
    for steps in (20, 40, 80):
        x, centres, ends = flow(steps, start)
        exact = centres[1] + (start - centres[0]) * ends[1] / ends[0]
        errors.append((x - exact).abs().max().item())
    assert errors[-1] < 5e-4
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.25)


def test_flow_step_solves_the_velocity_for_fixed_ends():
    x, x0, x1 = torch.randn(3, 10, generator=generator(), dtype=torch.float64)
    for reference in (Reference(0.7), Reference(0.7, "triangular")):
        s, t = float64(0.2, 0.8)
        y = x
        grid = torch.linspace(0.2, 0.8, 2001, dtype=torch.float64)
        for a, b in pairwise(grid):
            y = heun_step(lambda y, t, r=reference: bm.velocity(r, y, x0, x1, t), y, a, b)
        torch.testing.assert_close(bm.flow_step(reference, x, x0, x1, s, t), y, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [2, 5, 20])
def test_flow_is_stable_in_few_steps(steps):
    method, x0, _ = ends_after_training(given=True)
    x1 = method.sample(x0, steps=steps, sampler="ode", rng=generator(2))
    assert 0.5 < x1.std() < 1.5
    assert torch.corrcoef(torch.cat([x0, x1], 1).T)[0, 1].item() == pytest.approx(-0.5, abs=0.2)


def test_last_euler_step_of_the_triangular_schedule_overshoots():
    reference, h = Reference(math.sqrt(7.5e-5), "triangular"), 0.01

    def coefficient(t):
        t = torch.tensor(t, dtype=torch.float64)
        return (h * reference.beta(t) / reference.to_end(t)).item()

    assert coefficient(0.98) == pytest.approx(1.0)
    assert coefficient(0.99) == pytest.approx(2.0)
    variance, (zero, one) = torch.zeros(()), float64(0.0, 1.0)
    grid = torch.linspace(0, 1, 101, dtype=torch.float64)
    for s, t in pairwise(grid):
        keep = bm.euler_step(reference, one, zero, s, t, zero)
        variance = keep**2 * variance + bm.euler_step(reference, zero, zero, s, t, one) ** 2
    assert variance.sqrt().item() == pytest.approx(3.0e-4, rel=0.01)
    exact = bm.posterior_step(reference, torch.randn(5), torch.zeros(5), grid[-2], grid[-1], torch.randn(5))
    assert exact.abs().max() == 0


@pytest.mark.parametrize("shape", [(6,), (1, 12, 12)])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_nothing_blows_up(shape, given, kind, schedule):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = BridgeMatching(shape, 16, 1, 0.4, schedule, kind, given).eval()
        for parameter in method.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    x = torch.randn(3, *shape, generator=generator())
    for t in (0.0, MARGIN, 0.5, 1.0):
        for end in method.ends(x, torch.full((3,), t), x):
            assert end.shape == x.shape
            assert end.abs().max() < 1e3
    for sampler in ("posterior", "euler", "ode"):
        sample = method.sample(x, steps=7, sampler=sampler, rng=generator())
        assert sample.shape == x.shape
        assert sample.isfinite().all()


@pytest.mark.parametrize(("sampler", "steps"), [("posterior", 1), ("posterior", 8), ("euler", 5), ("ode", 4)])
def test_network_calls_are_counted(sampler, steps):
    method, batch = BridgeMatching.demo()
    calls = []
    method.network.register_forward_hook(lambda *_: calls.append(1))
    method.sample(batch["source"], steps=steps, sampler=sampler, rng=generator())
    assert len(calls) == bm.network_calls(sampler, steps)


@functools.cache
def ends_after_training(given, correlation=-0.5, sigma=1.0, n=4000):
    x0, noise = torch.randn(2, n, 1, generator=generator(1))
    data = TensorData({"source": x0, "target": correlation * x0 + math.sqrt(1 - correlation**2) * noise})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = BridgeMatching((1,), 32, 1, sigma, condition_on_source=given)
    fit(method, data, steps=500, batch_size=256, lr=5e-3, schedule="cosine", progress=False)
    return method, x0, method.sample(x0, steps=50, sampler="euler", rng=generator(2))


def test_trained_process_keeps_the_pairing_only_if_it_sees_the_source():
    for given, expected in [(True, -0.5), (False, coupling_after_matching(-0.5, 1.0))]:
        _, x0, x1 = ends_after_training(given)
        assert torch.corrcoef(torch.cat([x0, x1], 1).T)[0, 1].item() == pytest.approx(expected, abs=0.06), given
        assert x1.std().item() == pytest.approx(1, abs=0.06)


def test_trained_flow_transports_the_marginal():
    method, x0, _ = ends_after_training(given=False)
    x1 = method.sample(x0, steps=20, sampler="ode", rng=generator(2))
    assert x1.std().item() == pytest.approx(1, abs=0.08)
    assert torch.corrcoef(torch.cat([x0, x1], 1).T)[0, 1] > 0.98  # a flow in one dimension keeps the order


def test_clock_makes_the_schedules_one_bridge():
    method, batch = BridgeMatching.demo()
    twin = BridgeMatching(**(method.config | {"schedule": "triangular"}))
    twin.load_state_dict(method.state_dict())
    x, t = batch["target"], torch.full((32,), 0.25)
    u = twin.reference.from_start(t) / twin.reference.sigma**2
    assert u[0] == pytest.approx(0.125)
    torch.testing.assert_close(twin.ends(x, t, batch["source"]), method.ends(x, u, batch["source"]))


def test_scale_only_changes_units():
    method, batch = BridgeMatching.demo()
    twin = BridgeMatching(**(method.config | {"scale": 10.0, "sigma": 10 * method.reference.sigma}))
    twin.load_state_dict(method.state_dict())
    small = method.sample(batch["source"], steps=3, rng=generator())
    torch.testing.assert_close(twin.sample(10 * batch["source"], steps=3, rng=generator()), 10 * small)


def test_mean_of_samples_is_the_expected_end():
    method, batch = ends_after_training(given=True)[0], torch.linspace(-1, 1, 5)[:, None]
    samples = method.sample(batch.repeat(20_000, 1), steps=5, rng=generator()).view(20_000, 5, 1)
    torch.testing.assert_close(
        samples.mean(0), method.ends(batch, torch.zeros(5), batch)[1].detach(), rtol=0, atol=0.03
    )
    assert samples.std(0).mean() > 0.5


def test_refuses_what_does_not_fit():
    method, batch = BridgeMatching.demo()
    with pytest.raises(ValueError, match=r"must both have shape \(B, 12\)"):
        method.loss(batch | {"target": torch.zeros(32, 11)}, generator())
    with pytest.raises(ValueError, match="must be positive"):
        BridgeMatching((4,), sigma=0)
    with pytest.raises(ValueError, match="not one of endpoint"):
        BridgeMatching((4,), parametrisation="score")
    with pytest.raises(ValueError, match="steps >= 1"):
        method.sample(batch["source"], steps=0, rng=generator())


def test_posterior_steps_shrink_a_gaussian_spread_as_the_closed_form_says():
    """With the exact endpoint of a Gaussian law, x -> c x + noise in every step: its variance by recursion."""
    rng = torch.Generator().manual_seed(0)
    source, noise = torch.randn(2, 4000, 1, generator=rng)
    method = BridgeMatching.seeded(0, (1,), width=8).double()
    method.linear.solve(source.double(), (source / 2 + noise).double())
    torch.nn.init.zeros_(method.network.decode.weight)  # the linear start alone is the exact endpoint
    torch.nn.init.zeros_(method.network.decode.bias)
    open_variance, unit = float(method.linear.spread) ** 2, method.reference.sigma**2
    for steps, about in ((20, 0.90), (80, 0.97)):
        times = method._grid(steps)
        variance = 0.0
        for s, t in zip(times[:-1].tolist(), times[1:].tolist(), strict=True):
            slope = s * open_variance / (s**2 * open_variance + s * (1 - s) * unit) if s else 0.0
            kept = 1 + (t - s) / (1 - s) * (slope - 1)
            variance = kept**2 * variance + unit * (t - s) * (1 - t) / (1 - s)
        shrunk = (variance / open_variance) ** 0.5
        assert shrunk == pytest.approx(about, abs=0.01)
        drawn = method.sample(source.double(), steps=steps, rng=rng)
        left = drawn - method.linear(source.double())
        assert left.std().item() / open_variance**0.5 == pytest.approx(shrunk, abs=0.03)
