"""Oracles of ITHP: the authors' numbers on seeded inputs, closed forms, and what must have no effect."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmlab.methods.ithp import ITHP, bottleneck_loss, draw_bottleneck, gaussian_kl, kept_information


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_forward_pass_has_the_numbers_of_the_authors_code():
    """Seeds 0, 1 and 2; theirs is the mean KL over dimensions, and a sigmoid at the end of each predictor."""

    def perceptron(inputs, outputs):
        return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, audio, second, video = perceptron(12, 12), perceptron(6, 5), perceptron(6, 6), perceptron(3, 4)
        rng = generator(1)
        x0, x1, x2 = (torch.randn(16, 12, generator=rng), torch.rand(16, 5, generator=rng),
                      torch.rand(16, 4, generator=rng))  # fmt: skip
    noise = generator(2)
    b0 = draw_bottleneck(*(one := first(x0).chunk(2, -1)), noise)
    b1 = draw_bottleneck(*(two := second(b0).chunk(2, -1)), noise)
    kl = [gaussian_kl(*one).mean() / 6, gaussian_kl(*two).mean() / 3]
    error = [F.mse_loss(audio(b0).sigmoid(), x1), F.mse_loss(video(b1).sigmoid(), x2)]
    assert [v.item() for v in (*kl, *error)] == pytest.approx([0.0574915, 0.0922835, 0.1002733, 0.0644189], abs=1e-6)
    total = bottleneck_loss(kl[0], error[0], 8.0) + 0.3 * bottleneck_loss(kl[1], error[1], 32.0)
    assert total.item() == pytest.approx(1.5057843, abs=1e-6)
    assert b1.sum().item() == pytest.approx(9.7236891, abs=1e-5)


def test_kl_is_that_of_torch_and_zero_at_the_prior():
    mean, log_variance = torch.randn(7, 5, generator=generator()), torch.randn(7, 5, generator=generator(1))
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    theirs = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), theirs)
    assert gaussian_kl(torch.zeros(1, 5), torch.zeros(1, 5)).item() == 0


def test_draws_have_their_mean_and_variance():
    mean, log_variance = torch.tensor([1.0, -2.0]), torch.tensor([0.0, -2.0])
    drawn = draw_bottleneck(mean.expand(100_000, 2), log_variance.expand(100_000, 2), generator())
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.var(0), log_variance.exp(), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("weight", [0.2, 1.0, 4.0])
def test_kept_information_is_the_minimum_of_the_loss(weight):
    """A linear bottleneck on independent directions, minimised numerically, in double precision."""
    strength = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    slope = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)  # b = slope s + σ ε
    log_variance = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([slope, log_variance], max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        variance = log_variance.exp()
        kl = gaussian_kl(slope, log_variance).sum()  # E over s of unit variance is that at s = 1
        left = strength.square() * variance / (slope.square() + variance)  # error of the best decoder
        value = bottleneck_loss(kl, left.sum(), weight)
        value.backward()
        return value

    optimiser.step(loss)
    information = 0.5 * (1 + slope.square() / log_variance.exp()).log()
    torch.testing.assert_close(information.detach(), kept_information(strength, weight), atol=2e-3, rtol=0)
    assert kept_information(torch.tensor(0.3), weight).item() == pytest.approx(max(0, 0.5 * math.log(0.18 * weight)))


def test_the_loss_by_hand():
    method, batch = ITHP.demo()
    found = method.loss(batch, generator(3))
    rng = generator(3)
    x = method.encoders["text"](batch["text"])
    m0, l0 = method.narrow[0](x).chunk(2, -1)
    b0 = m0 + torch.exp(l0 / 2) * torch.randn(32, 6, generator=rng)
    m1, l1 = method.narrow[1](b0).chunk(2, -1)
    b1 = m1 + torch.exp(l1 / 2) * torch.randn(32, 4, generator=rng)
    heard = batch["audio_present"]
    audio = ((method.predictors["audio"](b0) - batch["audio"])[heard] ** 2).mean()
    video = ((method.predictors["video"](b1) - batch["video"].flatten(1)) ** 2).mean()
    kl = [(0.5 * (m**2 + v.exp() - 1 - v)).sum(1).mean() for m, v in ((m0, l0), (m1, l1))]
    known = batch["label_present"]
    task = F.cross_entropy(method.answer(b1)[known], batch["label"][known])
    chain = 0.05 * kl[0] + 8 * audio + 0.3 * (0.05 * kl[1] + 32 * video)
    torch.testing.assert_close(found["loss"], task + 2 / 40 * chain)
    torch.testing.assert_close(found["audio_error"], audio)


def test_detectors_have_no_effect_at_test_and_need_not_be_there():
    method, batch = ITHP.demo()
    made = method.train().predict(batch)
    torch.testing.assert_close(made.sum(1), torch.ones(32))
    assert torch.equal(method.predict({"text": batch["text"]}), made)
    assert torch.equal(method.predict(batch | {"audio": batch["audio"] * torch.nan}), made)  # and it has no noise


def test_absent_labels_and_detectors_do_not_count():
    method, batch = ITHP.demo()
    found = method.loss(batch, generator())
    other = dict(batch)
    other["label"] = torch.where(batch["label_present"], batch["label"], -1)
    other["audio"] = torch.where(batch["audio_present"][:, None], batch["audio"], torch.nan)
    again = method.loss(other, generator())
    assert all(torch.equal(found[key], again[key]) for key in found)
    unknown = method.loss(batch | {"label_present": torch.zeros(32, dtype=torch.bool)}, generator())
    assert unknown["task"] == 0
    assert unknown["bottlenecks"] == found["bottlenecks"]


def test_without_information_the_chain_is_without_noise():
    method, batch = ITHP.demo()
    plain = ITHP(**method.config | {"information": 0.0})
    plain.load_state_dict(method.state_dict())
    one, other = plain.loss(batch, generator(0)), plain.loss(batch, generator(1))
    assert torch.equal(one["loss"], other["loss"])
    assert plain.chain(batch, generator())[0][0].equal(plain.chain(batch)[0][0])


def test_the_first_bottleneck_hears_of_the_later_ones():
    """It is a chain: what video asks of the second bottleneck reaches the first one."""
    method, batch = ITHP.demo()
    method.loss(batch, generator())["video_error"].backward()
    assert method.narrow[0].weight.grad.any()
    assert all(p.grad is None or not p.grad.any() for p in method.predictors["audio"].parameters())


def test_own_encoder_and_three_detectors():
    shapes = {"a": (2,), "b": (3,), "c": (4,), "eye": (1, 4, 4)}
    own = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    method = ITHP(shapes, prime="eye", width=8, bottlenecks=(6, 5, 4), weights=(1, 2, 3), encoders={"eye": own})
    batch = {name: torch.randn(5, *shape, generator=generator()) for name, shape in shapes.items()}
    assert method.loss(batch | {"label": torch.arange(5) % 4}, generator())["loss"].isfinite()
    assert [tuple(b.shape) for b in method.chain(batch)[0]] == [(5, 6), (5, 5), (5, 4)]
    item = {name: value[0] for name, value in batch.items()} | {"label": torch.tensor(1)}
    assert ITHP(**ITHP.arguments_for(item)).prime == "a"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prime": "smell"}, "must be audio, text, video"),
        ({"detectors": ("audio",)}, "once each"),
        ({"bottlenecks": (4,)}, "2 detectors, 1 bottlenecks"),
        ({"weights": (8.0, 0.0)}, "must be positive"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ITHP({"audio": (3,), "text": (8,), "video": (4,)}, **wrong)
