"""Oracles of Kandinsky's prior: conditioning by blocks, the scheduler of diffusers, and the sampler's own law."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.methods.kandinsky_prior import (
    KandinskyPrior,
    cosine_levels,
    gaussian_denoiser,
    guided,
    linear_prior,
    perturb,
    posterior_step,
    prior_times,
)

D, E = 3, 4


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _joint(seed: int = 1) -> tuple[Tensor, Tensor]:
    """Mean and covariance of texts and pictures, (D + E,) and (D + E, D + E), in double precision."""
    root = torch.randn(D + E, D + E, generator=_rng(seed), dtype=torch.float64)
    return torch.randn(D + E, generator=_rng(seed + 1), dtype=torch.float64), root @ root.T / (D + E)


def _conditioned(mean: Tensor, covariance: Tensor, known: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Law of the rest of a Gaussian vector given its first entries, by blocks."""
    cross = covariance[first:, :first] @ covariance[:first, :first].inverse()
    rest = mean[first:] + (known - mean[:first]) @ cross.T
    return rest, covariance[first:, first:] - cross @ covariance[:first, first:]


def _pairs(count: int) -> tuple[Tensor, Tensor]:
    mean, covariance = _joint()
    z = torch.randn(count, D + E, generator=_rng(5), dtype=torch.float64)
    both = mean + z @ torch.linalg.cholesky(covariance).T
    return both[:, :D].float(), both[:, D:].float()


def _started(count: int = 40_000) -> tuple[KandinskyPrior, Tensor, Tensor]:
    text, image = _pairs(count)
    prior = KandinskyPrior.seeded(0, D, E, width=16, depth=1)
    prior.start_from(TensorData({"source": text[:20_000], "target": image[:20_000]}))
    return prior.eval(), text, image


def test_the_linear_prior_is_the_conditional_law_of_gaussian_embeddings() -> None:
    mean, covariance = _joint()
    found = linear_prior(*_pairs(200_000))
    text = torch.randn(5, D, generator=_rng(7))
    expected, left = _conditioned(mean, covariance, text.double(), D)
    torch.testing.assert_close(found.expect(text).double(), expected, atol=0.02, rtol=0.02)
    torch.testing.assert_close(found.covariance.double(), left, atol=0.02, rtol=0.02)
    drawn = found.sample(text[:1].expand(100_000, D), _rng(8)).double()
    torch.testing.assert_close(drawn.mean(0), expected[0], atol=0.03, rtol=0.02)
    torch.testing.assert_close(torch.cov(drawn.T), left, atol=0.03, rtol=0.03)


def test_the_levels_and_times_are_those_of_diffusers() -> None:
    from diffusers import UnCLIPScheduler

    theirs = UnCLIPScheduler(prediction_type="sample", clip_sample=False)
    torch.testing.assert_close(cosine_levels(1000), theirs.alphas_cumprod, atol=1e-6, rtol=1e-3)
    for steps in (2, 5, 25):
        theirs.set_timesteps(steps)
        assert torch.equal(prior_times(1000, steps), theirs.timesteps)


@pytest.mark.parametrize("steps", [2, 5, 25])
def test_the_sampler_is_that_of_the_unclip_pipeline(steps: int) -> None:
    from diffusers import UnCLIPScheduler

    prior, text, _ = _started(2000)
    with torch.no_grad():
        prior.network.decode.weight.normal_(std=0.3, generator=_rng(4))
    text = text[:6]
    theirs = UnCLIPScheduler(prediction_type="sample", clip_sample=False)
    theirs.set_timesteps(steps)
    rng = _rng(3)
    x = torch.randn(6, E, generator=rng)
    for t, after in pairwise([*theirs.timesteps.tolist(), None]):
        with torch.no_grad():
            clean = prior.expect(x, text, t) / prior.scale
        x = theirs.step(clean, t, x, prev_timestep=after, generator=rng).prev_sample
    torch.testing.assert_close(prior.sample(text, steps=steps, rng=_rng(3)), x * prior.scale, atol=2e-4, rtol=1e-3)


def test_the_gaussian_denoiser_is_conditioning_by_blocks() -> None:
    _, covariance = _joint(9)
    s, mean = covariance[:E, :E], torch.randn(2, E, generator=_rng(1), dtype=torch.float64)
    x, level = torch.randn(2, E, generator=_rng(2), dtype=torch.float64), torch.tensor([[0.9], [0.05]])
    values, vectors = torch.linalg.eigh(s)
    ours = gaussian_denoiser(x, mean, vectors, values, level.double())
    for row in range(2):
        a = level[row].double()
        # of e_t and e together: e_t = √a e + √(1 - a) ε
        whole = torch.cat(
            [torch.cat([a * s + (1 - a) * torch.eye(E), a.sqrt() * s], 1), torch.cat([a.sqrt() * s, s], 1)]
        )
        both = torch.cat([a.sqrt() * mean[row], mean[row]])
        torch.testing.assert_close(ours[row], _conditioned(both, whole, x[row], E)[0])


def test_noising_and_stepping_back_with_the_known_embedding_leaves_the_law_alone() -> None:
    levels = cosine_levels(1000)
    e = torch.full((200_000, 1), 0.7)
    now, then = levels[600], levels[250]
    x = perturb(e, torch.randn(e.shape, generator=_rng(1)), now)
    back = posterior_step(x, e, now, then, torch.randn(e.shape, generator=_rng(2)))
    assert back.mean().item() == pytest.approx(0.7 * then.sqrt().item(), abs=0.01)
    assert back.var().item() == pytest.approx(1 - then.item(), rel=0.02)
    assert torch.equal(posterior_step(x, e, now, torch.ones(()), torch.randn(e.shape)), e)


def _law_of_the_sampler(prior: KandinskyPrior, text: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of what an untrained prior draws for one text, step by step, in the eigenbasis of S."""
    values, vectors = prior.values[1].double(), prior.vectors[1].double()
    mu = (prior._plain(text) @ prior.weight[1] + prior.offset[1])[0].double() @ vectors
    mean, variance = torch.zeros(E, dtype=torch.float64), torch.ones(E, dtype=torch.float64)
    times = prior_times(1000, steps)
    levels = [*prior.levels[times].double().tolist(), 1.0]
    for now, then in pairwise(levels):
        kept = now / then
        to_clean, to_x = then**0.5 * (1 - kept) / (1 - now), kept**0.5 * (1 - then) / (1 - now)
        gain = now**0.5 * values / (now * values + 1 - now)  # clean = mu + gain (x - √now mu)
        mean, variance = (
            to_clean * (mu + gain * (mean - now**0.5 * mu)) + to_x * mean,
            (to_clean * gain + to_x) ** 2 * variance + (1 - then) / (1 - now) * (1 - kept),
        )
    scale = prior.scale.double()
    return mean @ vectors.T * scale, (vectors * variance) @ vectors.T * scale**2


def test_an_untrained_prior_draws_the_linear_prior_and_its_error_falls_with_the_steps() -> None:
    prior, text, _ = _started()
    true_mean, true_covariance = _conditioned(*_joint(), text[:1].double(), D)
    gaps = []
    for steps in (5, 25, 400):
        mean, covariance = _law_of_the_sampler(prior, text[:1], steps)
        torch.testing.assert_close(mean, true_mean[0], atol=0.03, rtol=0.02)
        gaps.append(float((covariance - true_covariance).norm() / true_covariance.norm()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.04  # what is left is the estimate from 20 000 pairs
    drawn = prior.sample(text[:1].expand(60_000, D), steps=25, rng=_rng(1)).double()
    mean, covariance = _law_of_the_sampler(prior, text[:1], 25)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.02, rtol=0.02)
    torch.testing.assert_close(torch.cov(drawn.T), covariance, atol=0.02, rtol=0.03)


def test_without_guidance_of_the_text_the_law_of_all_pictures_is_drawn() -> None:
    prior, text, image = _started()
    drawn = prior.sample(text[:1].expand(40_000, D), steps=100, guidance=0.0, rng=_rng(1))
    torch.testing.assert_close(drawn.mean(0), image.mean(0), atol=0.03, rtol=0.03)
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(image.T), atol=0.05, rtol=0.05)
    torch.testing.assert_close(guided(torch.zeros(2), torch.ones(2), 3.0), torch.full((2,), 3.0))


def _two_modes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    text = torch.randn(count, 1, generator=_rng(seed))
    side = torch.randint(2, (count, 1), generator=_rng(seed + 1)) * 2.0 - 1
    return text, text * torch.tensor([[1.0, 0.5]]) + side * torch.tensor([[0.0, 2.0]]) + 0.2 * torch.randn(
        count, 2, generator=_rng(seed + 2)
    )


def test_of_two_modes_the_trained_prior_draws_both_and_nothing_between() -> None:
    text, image = _two_modes(4000, 1)
    data = TensorData({"source": text, "target": image})
    prior = KandinskyPrior.seeded(0, 1, 2, width=64, depth=1)
    fit(prior, data, steps=400, batch_size=128, lr=3e-3, schedule="cosine", progress=False)
    asked = torch.full((1000, 1), 0.4)
    off = prior.sample(asked, rng=_rng(3))[:, 1] - 0.2  # from the middle between the modes
    linear = linear_prior(text, image)
    assert float(linear.expect(asked[:1])[0, 1]) == pytest.approx(0.2, abs=0.15)
    between = (off.abs() < 1).float().mean()
    assert between < 0.06
    assert (linear.sample(asked, _rng(4))[:, 1] - 0.2).abs().lt(1).float().mean() > 0.25
    assert 0.35 < (off > 0).float().mean() < 0.65


def test_what_cannot_be_is_refused() -> None:
    prior, batch = KandinskyPrior.demo()
    with pytest.raises(ValueError, match=r"one vector for each item"):
        prior.sample(batch["target"], rng=_rng())
    with pytest.raises(ValueError, match=r"takes 1 to 1000 steps"):
        prior.sample(batch["source"], steps=0, rng=_rng())
    with pytest.raises(ValueError, match=r"is a probability"):
        KandinskyPrior(2, 2, drop_condition=2.0)
    with pytest.raises(ValueError, match=r"at least two pairs"):
        linear_prior(batch["source"], batch["target"][:3])
