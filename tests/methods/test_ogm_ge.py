"""Oracles of OGM-GE: scores and coefficients by hand, exactly scaled gradients, noise of the stated variance."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mmlab.data.tensors import TensorData
from mmlab.methods.ogm_ge import OGMGE, discrepancy, modulation, own_logits
from mmlab.train.fit import fit
from mmlab.train.optimisers import Optimiser


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gradients(method, batch, seed=0):
    method.zero_grad()
    values = method.loss(batch, generator(seed))
    values["loss"].backward()
    method.after_backward()
    return values, {name: p.grad.clone() for name, p in method.named_parameters()}


def twin(method, **changes):
    """The same weights under another configuration."""
    other = OGMGE(**method.config | changes)
    other.load_state_dict(method.state_dict())
    return other


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_own_logits_sum_to_the_classifier(modalities):
    layer = nn.Linear(4 * modalities, 3)
    z = torch.randn(modalities, 5, 4, generator=generator())
    own = own_logits(z, layer.weight, layer.bias)
    torch.testing.assert_close(own.sum(0), layer(torch.cat(list(z), 1)))
    torch.testing.assert_close(own[-1], z[-1] @ layer.weight[:, -4:].T + layer.bias / modalities)


def test_discrepancy_of_two_is_their_ratio():
    rho = discrepancy(torch.tensor([0.6, 0.2]))
    torch.testing.assert_close(rho, torch.tensor([3.0, 1 / 3]))
    assert rho.prod().item() == pytest.approx(1)


def test_discrepancy_of_more_is_against_the_mean_of_the_others():
    torch.testing.assert_close(discrepancy(torch.tensor([0.6, 0.2, 0.4])), torch.tensor([2.0, 0.4, 1.0]))


def test_without_rivals_nothing_leads():
    assert discrepancy(torch.tensor([0.3])).tolist() == [1.0]
    seen = torch.tensor([True, False, True])
    torch.testing.assert_close(discrepancy(torch.tensor([0.6, 0.0, 0.2]), seen), torch.tensor([3.0, 1.0, 1 / 3]))
    assert discrepancy(torch.tensor([0.6, 0.0]), torch.tensor([True, False])).tolist() == [1.0, 1.0]


def test_modulation_by_hand():
    k = modulation(torch.tensor([3.0, 1 / 3, 1.0]), 0.4)
    assert k[0].item() == pytest.approx(1 - math.tanh(1.2))
    assert k[1:].tolist() == [1.0, 1.0]
    assert modulation(torch.tensor([3.0]), 0.0).item() == 1


@pytest.mark.parametrize("alpha", [0.1, 0.8, 2.0])
def test_modulation_jumps_where_the_modalities_are_equal(alpha):
    below, above = modulation(torch.tensor([1 - 1e-6, 1 + 1e-6]), alpha)
    assert (below - above).item() == pytest.approx(math.tanh(alpha), abs=1e-4)


def leading(name):
    """A method whose modality ``name`` knows the label and whose other modality sees noise."""
    method, batch = OGMGE.demo()
    other = "image" if name == "audio" else "audio"
    batch[other] = torch.randn(batch[other].shape, generator=generator(9))
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    for _ in range(20):
        optimiser.zero_grad()
        method.loss(batch, generator())["loss"].backward()
        method.after_backward()
        optimiser.step()
    return method, batch, other


@pytest.mark.parametrize("name", ["audio", "image"])
def test_the_leader_is_found_and_its_encoder_scaled_exactly(name):
    method, batch, other = leading(name)
    values, changed = gradients(method, batch)
    _, plain = gradients(twin(method, alpha=0.0), batch)
    rho = values[f"score {name}"] / values[f"score {other}"]
    assert rho > 1
    assert method.k[other] == 1
    assert method.k[name] == pytest.approx(1 - math.tanh(method.alpha * rho.item()), rel=1e-5)
    for key, gradient in plain.items():
        factor = method.k[name] if key.startswith(f"encoders.{name}") else 1
        assert torch.equal(changed[key], factor * gradient), key


def test_scores_are_those_of_the_split_classifier():
    method, batch = OGMGE.demo()
    with torch.no_grad():
        z = method.embed(batch)
    columns, bias = method.classifier.weight.detach().split(16, 1), method.classifier.bias.detach() / 2
    values = method.loss(batch, generator())
    for m, name in enumerate(("audio", "image")):
        probabilities = functional.softmax(z[name] @ columns[m].T + bias, 1)
        score = sum(probabilities[i, y].item() for i, y in enumerate(batch["label"])) / 32
        assert values[f"score {name}"].item() == pytest.approx(score, abs=1e-6)
    expected = functional.cross_entropy(method.classifier(torch.cat([z["audio"], z["image"]], 1)), batch["label"])
    torch.testing.assert_close(values["loss"].detach(), expected.detach())


def test_noise_has_the_variance_of_the_plain_gradient_in_both_encoders():
    method, batch, _ = leading("image")
    _, silent = gradients(method, batch)
    _, plain = gradients(twin(method, alpha=0.0), batch)
    noisy = twin(method, noise=True)
    draws = [gradients(noisy, batch, seed)[1] for seed in range(300)]
    for name, gradient in plain.items():
        if name.startswith("classifier"):
            assert torch.equal(draws[0][name], silent[name])
            continue
        noise = torch.stack([draw[name] - silent[name] for draw in draws]) / gradient.std()
        entries = noise.numel()
        assert noise.mean().item() == pytest.approx(0, abs=4 / entries**0.5), name
        assert noise.var().item() == pytest.approx(1, abs=4 * (2 / entries) ** 0.5), name


def test_scores_are_those_of_the_whole_batch_however_it_is_cut():
    method, batch, _ = leading("image")
    batch["audio_present"] = torch.arange(32) % 5 > 0
    _, whole = gradients(method, batch)
    k = method.k
    assert k["image"] < 1
    method.zero_grad()
    for part in range(4):
        piece = {key: value[part::4] for key, value in batch.items()}
        (method.loss(piece, generator())["loss"] / 4).backward()
    method.after_backward()
    assert method.k == pytest.approx(k, rel=1e-5)
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name], msg=name)


def test_a_step_is_backward_measure_scale_step():
    """The order of events, written again from the published description, with the package's network alone."""
    method, batch, _ = leading("image")
    method = twin(method, alpha=0.7)
    mine = twin(method)
    labels = batch["label"]
    gradients(method, batch)
    torch.optim.SGD(method.parameters(), lr=0.1).step()

    mine.zero_grad()
    audio = mine.encoders["audio"](batch["audio"])
    image = mine.encoders["image"](batch["image"])
    functional.cross_entropy(mine.classifier(torch.cat([audio, image], 1)), labels).backward()
    weight, bias = mine.classifier.weight, mine.classifier.bias
    scores = []
    for z, columns in ((audio, weight[:, :16]), (image, weight[:, 16:])):
        answer = torch.softmax(z @ columns.T + bias / 2, dim=1)
        scores.append(sum(answer[i, labels[i]].item() for i in range(32)))
    ratio = scores[1] / scores[0]
    for name, lead in (("image", ratio), ("audio", 1 / ratio)):
        coefficient = 1 - math.tanh(0.7 * lead) if lead > 1 else 1.0
        for parameter in mine.encoders[name].parameters():
            parameter.grad *= coefficient
    for parameter in mine.parameters():
        parameter.data -= 0.1 * parameter.grad
    assert ratio > 1
    for (name, a), b in zip(method.named_parameters(), mine.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)


def test_fit_with_sgd_is_the_loop_that_one_would_write():
    """Forward, backward, measure, scale, step, for each of the steps that fit takes on the whole set."""
    demo, batch = OGMGE.demo()
    batch["audio"] = torch.randn(batch["audio"].shape, generator=generator(9))
    method, mine = twin(demo, alpha=0.7), twin(demo, alpha=0.7)
    training = {"steps": 12, "batch_size": 32, "lr": 0.1, "clip_norm": None, "progress": False}
    fit(method, TensorData(batch), optimiser=Optimiser("sgd", momentum=0.9), **training)
    optimiser = torch.optim.SGD(mine.parameters(), lr=0.1, momentum=0.9)
    for step in range(12):
        mine.progress = step / 12
        optimiser.zero_grad()
        mine.loss(batch, generator())["loss"].backward()
        mine.after_backward()
        optimiser.step()
    for (name, a), b in zip(method.named_parameters(), mine.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_it_is_on_between_start_and_end():
    method, batch, _ = leading("image")
    seen = []
    for progress in (0.0, 0.5, 0.51, 1.0):
        method.progress = progress
        gradients(method, batch)
        seen.append(method.k["image"] < 1)
    assert seen == [True, True, False, False]


def test_fixed_coefficients_are_learning_rates():
    method, batch, _ = leading("image")
    _, fixed = gradients(twin(method, fixed={"image": 0.25}), batch)
    _, plain = gradients(twin(method, alpha=0.0), batch)
    for key, gradient in plain.items():
        assert torch.equal(fixed[key], (0.25 if key.startswith("encoders.image") else 1) * gradient), key


def test_unimodal_losses_are_those_of_the_own_logits():
    method, batch = OGMGE.demo()
    plain, with_losses = (twin(method, unimodal_weight=w).loss(batch, generator())["loss"] for w in (0.0, 0.5))
    z = method.embed(batch)
    own = own_logits(torch.stack([z["audio"], z["image"]]), method.classifier.weight, method.classifier.bias)
    added = sum(functional.cross_entropy(logits, batch["label"]) for logits in own)
    torch.testing.assert_close((with_losses - plain).detach(), 0.5 * added.detach())


@pytest.mark.parametrize("name", ["audio", "image"])
def test_absent_values_do_not_matter(name):
    method, batch = OGMGE.demo()
    absent = torch.arange(32) % 3 == 0
    batch[f"{name}_present"] = ~absent
    other = dict(batch)
    other[name] = torch.where(absent.view(-1, *[1] * (batch[name].ndim - 1)), torch.nan, batch[name])
    assert torch.equal(method.predict(batch), method.predict(other))
    one, two = gradients(method, batch), gradients(method, other)
    assert one[0]["loss"] == two[0]["loss"]
    for key, gradient in one[1].items():
        assert torch.equal(gradient, two[1][key]), key


def test_a_modality_that_never_appears_is_no_rival():
    method, batch = OGMGE.demo()
    batch["audio_present"] = torch.zeros(32, dtype=torch.bool)
    _, found = gradients(method, batch)
    assert method.k == {"audio": 1, "image": 1}
    assert not any(gradient.any() for key, gradient in found.items() if key.startswith("encoders.audio"))


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="alpha must be 0 or more"):
        OGMGE({"image": [3]}, alpha=-0.1)
    with pytest.raises(ValueError, match="fixed names 'sound', which is none of the modalities; there are image"):
        OGMGE({"image": [3]}, fixed={"sound": 0.5})


def competition(a, steps=4000, lr=0.01, start=0.01, k=(1.0, 1.0), seen=(1.0, 1.0)):
    """The chapter's toy: descent on log(1 + exp(-f)), f = Σ a u v; weights of both layers, and ∫ sigmoid(-f)."""
    u, v = torch.full((2, 2), start, dtype=torch.float64)
    a, k, seen = (torch.tensor(x, dtype=torch.float64) for x in (a, k, seen))
    total = 0.0
    for _ in range(steps):
        residual = torch.sigmoid(-(seen * a * u * v).sum())
        u, v = u + lr * k * seen * a * residual * v, v + lr * seen * a * residual * u
        total += lr * residual.item()
    return u, v, total


def test_the_follower_of_the_chapter_obeys_its_law():
    u, v, _ = competition((2.0, 1.0))
    torch.testing.assert_close(u, v)
    assert u[1].item() == pytest.approx(0.01 * (u[0].item() / 0.01) ** 0.5, rel=0.02)
    alone, _, _ = competition((2.0, 1.0), seen=(0.0, 1.0))
    assert alone[1] ** 2 > 10 * u[1] ** 2  # by itself the weak modality is learned


def test_a_slowed_encoder_grows_with_the_root_of_its_coefficient():
    u, v, total = competition((2.0, 1.0), k=(0.25, 1.0))
    root, rate = 0.25**0.5, 0.25**0.5 * 2.0
    up, down = math.cosh(rate * total), math.sinh(rate * total)
    assert u[0].item() == pytest.approx(0.01 * (up + root * down), rel=0.03)
    assert v[0].item() == pytest.approx(0.01 * (up + down / root), rel=0.03)
    assert (2.0 * u[0] * v[0]).item() == pytest.approx(
        2.0 * (1 + root) * (1 + 1 / root) / 4 * u[1].item() ** 2, rel=0.03
    )
