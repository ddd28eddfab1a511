"""Oracles of score diffusion: exact scores of Gaussian mixtures, and diffusers' schedulers for the steps."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.methods.score_diffusion import (
    BETA,
    MARGIN,
    ScoreDiffusion,
    ancestral_step,
    euler_step,
    noise_level,
    ode_step,
    perturb,
    rate,
    score_from_endpoint,
    signal,
)

CENTRES, WEIGHTS, SPREAD = torch.tensor([-1.5, 0.5, 1.5]).double(), torch.tensor([0.5, 0.2, 0.3]).double(), 0.3


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _log_density(x: Tensor, t: Tensor) -> Tensor:
    """Log density of the blurred mixture at x (n,)."""
    variance = (signal(t) * SPREAD) ** 2 + noise_level(t) ** 2
    exponents = -((x[:, None] - signal(t) * CENTRES) ** 2) / (2 * variance)
    return torch.logsumexp(exponents + WEIGHTS.log(), 1) - 0.5 * (2 * math.pi * variance).log()


def _endpoint(x: Tensor, t: Tensor) -> Tensor:
    """E[X₀ | X_t = x] of the mixture, by Bayes' rule and Gaussian conditioning for each component."""
    variance = (signal(t) * SPREAD) ** 2 + noise_level(t) ** 2
    shares = torch.softmax(-((x[:, None] - signal(t) * CENTRES) ** 2) / (2 * variance) + WEIGHTS.log(), 1)
    means = CENTRES + signal(t) * SPREAD**2 / variance * (x[:, None] - signal(t) * CENTRES)
    return (shares * means).sum(1)


def _times(steps: int) -> Tensor:
    return (1 - (1 - MARGIN**0.5) * torch.linspace(0, 1, steps + 1, dtype=torch.float64)).square()


def test_the_schedule_is_the_solution_of_its_equation() -> None:
    t = torch.linspace(0.01, 1, 50, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(signal(t).sum(), t)
    torch.testing.assert_close(slope, -rate(t) / 2 * signal(t))
    torch.testing.assert_close(signal(t) ** 2 + noise_level(t) ** 2, torch.ones_like(t))
    assert noise_level(torch.tensor(1e-9)) == pytest.approx(math.sqrt(BETA[0] * 1e-9), rel=1e-4)  # no cancellation


@pytest.mark.parametrize("t", [0.05, 0.3, 0.9])
def test_the_score_is_the_gradient_of_the_log_density(t: float) -> None:
    x, t = torch.linspace(-3, 3, 41, dtype=torch.float64, requires_grad=True), torch.tensor(t).double()
    (gradient,) = torch.autograd.grad(_log_density(x, t).sum(), x)
    torch.testing.assert_close(score_from_endpoint(x, _endpoint(x, t), t).detach(), gradient)


@pytest.mark.parametrize("t", [0.1, 0.5])
def test_the_best_regression_is_the_conditional_expectation(t: float) -> None:
    """What the loss is minimal at, from samples: the mean of the clean sample in narrow bins of the state."""
    rng, t = _rng(), torch.tensor(t).double()
    which = torch.multinomial(WEIGHTS, 400_000, True, generator=rng)
    x0 = CENTRES[which] + SPREAD * torch.randn(len(which), generator=rng, dtype=torch.float64)
    x = perturb(x0, t, torch.randn(len(which), generator=rng, dtype=torch.float64))
    for centre in (-1.0, -0.2, 0.4, 1.0):
        near = (x - centre).abs() < 0.02
        assert float(x0[near].mean()) == pytest.approx(float(_endpoint(torch.tensor([centre]).double(), t)), abs=0.05)


@pytest.mark.parametrize("sampler", ["ancestral", "euler", "ode"])
def test_the_samplers_draw_the_mixture(sampler: str) -> None:
    rng = _rng(1)
    x = torch.randn(20_000, generator=rng, dtype=torch.float64)
    for t, s in pairwise(_times(300)):
        noise = torch.randn(len(x), generator=rng, dtype=torch.float64)
        if sampler == "ancestral":
            x = ancestral_step(x, _endpoint(x, t), t, s, noise)
        elif sampler == "euler":
            x = euler_step(x, score_from_endpoint(x, _endpoint(x, t), t), t, s, noise)
        else:
            x = ode_step(x, _endpoint(x, t), t, s)
    nearest = (x[:, None] - CENTRES).abs().argmin(1)
    shares = torch.bincount(nearest, minlength=3) / len(x)
    torch.testing.assert_close(shares.double(), WEIGHTS, atol=0.03, rtol=0)  # the components overlap a little
    left = x[nearest == 0]
    assert float(left.mean()) == pytest.approx(-1.5, abs=0.03)
    assert float(left.std()) == pytest.approx(SPREAD, abs=0.03)


def test_an_ancestral_step_is_exact_in_any_number_of_steps() -> None:
    """For a known clean sample, t -> s -> r has the law of t -> r, and both that of the forward process."""
    t, s, r = (torch.tensor(v).double() for v in (0.9, 0.5, 0.2))
    x0, x = torch.tensor(0.7).double(), torch.tensor(1.1).double()
    zero, one = torch.zeros(()).double(), torch.ones(()).double()

    def moments(start: Tensor, variance: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        mean = ancestral_step(start, x0, t, s, zero)
        slope = ancestral_step(start + 1, x0, t, s, zero) - mean
        return mean, slope**2 * variance + (ancestral_step(start, x0, t, s, one) - mean) ** 2

    mean, variance = moments(x, zero, t, s)
    twice = moments(mean, variance, s, r)
    torch.testing.assert_close(twice, moments(x, zero, t, r))
    forward = moments(signal(t) * x0, noise_level(t) ** 2, t, r)  # started from the marginal, it stays the marginal
    torch.testing.assert_close(forward, (signal(r) * x0, noise_level(r) ** 2))


def test_the_steps_are_those_of_diffusers() -> None:
    from diffusers import DDIMScheduler, DDPMScheduler

    def betas(steps: int) -> list[float]:
        t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        return (1 - (signal(t[1:]) / signal(t[:-1])) ** 2).tolist()

    arguments = {
        "num_train_timesteps": 100,
        "trained_betas": betas(100),
        "prediction_type": "sample",
        "clip_sample": False,
    }
    ddpm, ddim = DDPMScheduler(variance_type="fixed_small", **arguments), DDIMScheduler(**arguments)
    ddpm.set_timesteps(100)
    ddim.set_timesteps(100)
    x, endpoint = torch.randn(2, 1, 5, generator=_rng(2))
    t, s = torch.tensor(0.61), torch.tensor(0.60)  # diffusers counts states from 0: its 60 is our 0.61
    noise = torch.randn(1, 5, generator=_rng(3))
    theirs = ddpm.step(endpoint, 60, x, generator=_rng(3)).prev_sample
    torch.testing.assert_close(ancestral_step(x, endpoint, t, s, noise), theirs, atol=1e-4, rtol=1e-3)
    theirs = ddim.step(endpoint, 60, x).prev_sample
    torch.testing.assert_close(ode_step(x, endpoint, t, s), theirs, atol=1e-4, rtol=1e-3)


def test_the_ode_is_a_map_with_a_closed_form_for_a_gaussian() -> None:
    """N(m, v): the flow keeps the number of standard deviations from the mean."""
    m, v = 0.8, 0.25
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    start = x.clone()
    for t, s in pairwise(_times(2000)):
        variance = signal(t) ** 2 * v + noise_level(t) ** 2
        x = ode_step(x, m + signal(t) * v / variance * (x - signal(t) * m), t, s)
    one, last = torch.ones(()).double(), torch.tensor(MARGIN).double()
    deviations = (start - signal(one) * m) / (signal(one) ** 2 * v + noise_level(one) ** 2).sqrt()
    expected = signal(last) * m + deviations * (signal(last) ** 2 * v + noise_level(last) ** 2).sqrt()
    torch.testing.assert_close(x, expected, atol=3e-3, rtol=0)


def test_discrete_times_approach_the_integral() -> None:
    """The sum over ever more levels of an exact error converges to its integral over time."""

    def error(t: Tensor) -> Tensor:
        return SPREAD**2 * noise_level(t) ** 2 / ((signal(t) * SPREAD) ** 2 + noise_level(t) ** 2)

    fine = error(MARGIN + (1 - MARGIN) * (torch.arange(100_000).double() + 0.5) / 100_000).mean()
    gaps = []
    for levels in (10, 100, 1000):
        t = MARGIN + (1 - MARGIN) * torch.arange(levels).double() / (levels - 1)
        gaps.append(abs(float(error(t).mean() - fine)))
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]


@pytest.mark.parametrize("parametrisation", ["endpoint", "noise"])
def test_a_trained_network_finds_the_conditional_law(parametrisation: str) -> None:
    """One value: target = 0.8 c + 0.6 z. The samples have that mean, spread and correlation with the condition."""
    rng = _rng(4)
    condition, z = torch.randn(2, 4000, 1, generator=rng)
    data = TensorData({"source": condition, "target": 0.8 * condition + 0.6 * z})
    torch.manual_seed(0)
    method = ScoreDiffusion((1,), 48, 2, parametrisation)
    fit(method, data, steps=400, batch_size=256, lr=5e-3, schedule="cosine", ema_decay=0.98, progress=False)
    drawn = method.sample(condition, steps=200, rng=_rng(5))  # fewer ancestral steps are too narrow
    slope = float((drawn * condition).mean() / condition.square().mean())
    assert slope == pytest.approx(0.8, abs=0.06)
    assert float((drawn - slope * condition).std()) == pytest.approx(
        0.6, abs=0.08
    )  # 'endpoint' weighs early times less


def test_guidance_moves_away_from_the_unconditional_answer() -> None:
    method, batch = ScoreDiffusion.demo()
    torch.nn.init.normal_(method.network.decode.weight, generator=_rng(6))
    x, condition, t = batch["target"], batch["source"], torch.full((32,), 0.4)
    given, free = method.endpoint(x, t, condition), method.endpoint(x, t, torch.zeros_like(condition))
    torch.testing.assert_close(method.endpoint(x, t, condition, 2.0), 3 * given - 2 * free)
    torch.testing.assert_close(method.endpoint(x, t, condition, -1.0), free)  # the condition is undone
    assert not torch.allclose(given, free)


def test_hidden_conditions_are_never_seen() -> None:
    torch.manual_seed(0)
    method, batch = ScoreDiffusion((6,), 16, 1, drop_condition=1.0), ScoreDiffusion.demo()[1]
    torch.nn.init.normal_(method.network.decode.weight, generator=_rng(6))
    other = batch | {"source": torch.randn(32, 6, generator=_rng(9))}
    assert torch.equal(method.loss(batch, _rng())["loss"], method.loss(other, _rng())["loss"])


def test_images_and_discrete_levels_train_and_sample() -> None:
    torch.manual_seed(0)
    method = ScoreDiffusion((1, 8, 8), width=8, depth=1, levels=10)
    batch = {name: torch.randn(4, 1, 8, 8, generator=_rng(i)) for i, name in enumerate(("source", "target"))}
    assert method.loss(batch, _rng())["loss"].isfinite()
    assert method.sample(batch["source"], steps=3, rng=_rng()).shape == (4, 1, 8, 8)


def test_unfit_arguments_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="drop_condition above 0"):
        ScoreDiffusion((6,)).sample(torch.zeros(2, 6), guidance=1.0, rng=_rng())
    with pytest.raises(ValueError, match="steps >= 1"):
        ScoreDiffusion((6,)).sample(torch.zeros(2, 6), steps=0, rng=_rng())
    with pytest.raises(ValueError, match="must both have shape"):
        ScoreDiffusion((6,)).loss({"source": torch.zeros(2, 6), "target": torch.zeros(2, 5)}, _rng())
    with pytest.raises(ValueError, match="parametrisation is one of"):
        ScoreDiffusion((6,), parametrisation="drift")  # type: ignore[arg-type]
