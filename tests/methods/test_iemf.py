"""Oracles of IEMF: the coefficient by hand, and that it multiplies the fused classifier's gradient and nothing else."""

import math

import pytest
import torch
from torch.nn import functional

from mmlab.data.tensors import TensorData
from mmlab.losses.classification import true_class
from mmlab.methods.iemf import IEMF, coefficient, weakness
from mmlab.train.fit import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gradients(method, batch, seed=0):
    method.zero_grad()
    values = method.loss(batch, generator(seed))
    values["loss"].backward()
    method.after_backward()
    return values, {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


def twin(method, **changes):
    """The same weights under another configuration."""
    other = IEMF(**method.config | changes)
    other.load_state_dict(method.state_dict())
    return other


def trained(**changes):
    """A demo whose fused classifier is already better than its heads."""
    method, batch = IEMF.demo()
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        method.loss(batch, generator())["loss"].backward()
        method.after_backward()
        optimiser.step()
    return twin(method, **changes), batch


def test_ratio_and_coefficient_by_hand():
    unimodal, fused = torch.tensor([[0.2, 0.4], [0.6, 0.4]]), torch.tensor([0.9, 0.7])
    r = weakness(unimodal, fused)
    assert r.item() == pytest.approx(((0.6 + 1.0) / 2) / 1.6)
    assert coefficient(r).item() == pytest.approx(1 + math.tanh(0.5))


@pytest.mark.parametrize("modalities", [1, 2, 5])
def test_equal_heads_leave_the_gradient_alone(modalities):
    fused = torch.rand(7, generator=generator()).double()
    assert weakness(fused.expand(modalities, 7), fused).item() == pytest.approx(1)
    assert coefficient(torch.ones(())).item() == 1


def test_coefficient_lies_between_its_bounds():
    r = torch.linspace(0.001, 0.999, 50)
    assert (coefficient(r) > 1).all()
    assert (coefficient(r) < 1 + math.tanh(1)).all()
    assert (coefficient(r).diff() < 0).all()  # the weaker the heads, the larger
    assert 0 < coefficient(torch.tensor(3.0)) < 1  # heads better than the fused classifier slow it down


def test_missing_modalities_do_not_count():
    unimodal, fused = torch.tensor([[0.2, 0.9], [0.6, 0.4]]), torch.tensor([0.9, 0.7])
    present = torch.tensor([[True, False], [True, True]])
    assert weakness(unimodal, fused, present).item() == pytest.approx(((0.2 + 0.6) / 2 + 0.4) / 1.6)
    assert weakness(unimodal, fused, ~present | present).item() == pytest.approx(weakness(unimodal, fused).item())


def test_only_the_fused_classifiers_gradient_is_multiplied():
    method, batch = trained()
    values, changed = gradients(method, batch)
    plain_values, plain = gradients(twin(method, fixed=1.0), batch)
    xi = method.xi
    assert values["loss"] == plain_values["loss"]
    assert 1 < xi < 1 + math.tanh(1)
    assert xi == pytest.approx(1 + math.tanh(1 - values["ratio"].item()))
    for name, gradient in plain.items():
        factor = xi if name.startswith("fusion") else 1
        assert torch.equal(changed[name], factor * gradient), name


def test_the_ratio_is_that_of_the_heads():
    method, batch = IEMF.demo()
    with torch.no_grad():
        features, present = method.encoders(batch)
        own = [functional.softmax(method.heads[name](z), 1) for name, z in features.items()]
        fused = functional.softmax(method.fusion(features, present), 1)
    sums = [sum(p[i, y].item() for i, y in enumerate(batch["label"])) for p in (*own, fused)]
    assert method.loss(batch, generator())["ratio"].item() == pytest.approx((sums[0] + sums[1]) / 2 / sums[2])


def test_a_fixed_coefficient_is_that_coefficient():
    method, batch = IEMF.demo()
    constant = twin(method, fixed=1.36)
    _, fixed = gradients(constant, batch)
    _, plain = gradients(twin(method, fixed=1.0), batch)
    assert constant.xi == 1.36
    for name, gradient in plain.items():
        torch.testing.assert_close(fixed[name], (1.36 if name.startswith("fusion") else 1) * gradient)


def test_noise_is_that_of_the_gradient_and_in_the_fused_classifier_only():
    method, batch = IEMF.demo()
    _, silent = gradients(method, batch)
    _, noisy = gradients(twin(method, noise=True), batch, seed=4)
    xi, rng = method.xi, generator(4)
    for name, gradient in silent.items():
        if not name.startswith("fusion"):
            assert torch.equal(noisy[name], gradient), name
            continue
        spread = (gradient / xi).std() if gradient.numel() > 1 else 0.0
        expected = gradient + spread * torch.randn(gradient.shape, generator=rng)
        torch.testing.assert_close(noisy[name], expected)


def pieces(method, batch, count, seed=0):
    """Gradients of the batch that reaches the loss in pieces, as accumulation cuts it."""
    method.zero_grad()
    rng = generator(seed)
    for part in range(count):
        piece = {key: value[part::count] for key, value in batch.items()}
        (method.loss(piece, rng)["loss"] / count).backward()
    method.after_backward()
    return {name: p.grad.clone() for name, p in method.named_parameters()}


def test_the_coefficient_is_that_of_the_whole_batch_however_it_is_cut():
    method, batch = trained()
    _, whole = gradients(method, batch)
    xi = method.xi
    cut = pieces(method, batch, 4)
    assert method.xi == pytest.approx(xi, rel=1e-5)
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, msg=name)


def test_the_noise_of_a_batch_in_pieces_has_the_same_variance():
    method, batch = trained()
    cut = pieces(method, batch, 4)
    draws = [pieces(twin(method, noise=True), batch, 4, seed) for seed in range(200)]
    gradient = cut["fusion.answer.1.weight"] / method.xi
    noise = torch.stack([draw["fusion.answer.1.weight"] - cut["fusion.answer.1.weight"] for draw in draws])
    ratio = (noise / gradient.std()).var().item()
    assert ratio == pytest.approx(1, abs=4 * (2 / noise.numel()) ** 0.5)


def test_a_validation_between_two_steps_leaves_no_trace():
    method, batch = trained()
    _, alone = gradients(method, batch)
    other = {key: value.flip(0) for key, value in batch.items()} | {"label": (batch["label"] + 1) % 3}
    with torch.no_grad():
        method.loss(other, generator())
    _, again = gradients(method, batch)
    assert all(torch.equal(alone[name], again[name]) for name in alone)


def test_fit_with_sgd_is_the_loop_that_one_would_write():
    """Forward, backward, measure, scale, step, for each of the steps that fit takes on the whole set."""
    demo, batch = IEMF.demo()
    method, mine = twin(demo), twin(demo)
    training = {"steps": 12, "batch_size": 32, "lr": 0.1, "clip_norm": None, "progress": False}
    fit(method, TensorData(batch), optimiser="sgd", **training)
    for step in range(12):
        mine.progress = step / 12
        mine.zero_grad()
        features = {name: mine.encoders[name](batch[name]) for name in ("audio", "image")}
        answers = {name: mine.heads[name](z) for name, z in features.items()}
        fused = mine.fusion(features, {})
        label = batch["label"]
        loss = functional.cross_entropy(fused, label) + sum(
            functional.cross_entropy(a, label) for a in answers.values()
        )
        loss.backward()
        sure = [answer.softmax(1)[torch.arange(32), label].sum().item() for answer in (*answers.values(), fused)]
        xi = 1 + math.tanh(1 - (sure[0] + sure[1]) / 2 / sure[2])
        with torch.no_grad():
            for name, parameter in mine.named_parameters():
                parameter -= 0.1 * parameter.grad * (xi if name.startswith("fusion") else 1)
    for (name, a), b in zip(method.named_parameters(), mine.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


def test_it_is_on_between_start_and_end():
    method, batch = trained(start=0.25, end=0.75)
    seen = []
    for progress in (0.0, 0.25, 0.5, 0.75, 0.8):
        method.progress = progress
        values, _ = gradients(method, batch)
        seen.append(method.xi > 1)
        assert values["unimodal"] > 0  # the auxiliary losses are on throughout
    assert seen == [False, True, True, True, False]


def test_heads_without_a_loss_need_a_fixed_coefficient():
    with pytest.raises(ValueError, match="needs trained heads"):
        IEMF({"image": [3]}, unimodal_weight=0)
    method, batch = IEMF.demo()
    _, found = gradients(twin(method, unimodal_weight=0.0, fixed=1.0), batch)
    assert all(not gradient.any() for name, gradient in found.items() if name.startswith("heads"))


@pytest.mark.parametrize("name", ["audio", "image"])
def test_absent_values_do_not_matter(name):
    method, batch = IEMF.demo()
    absent = torch.arange(32) % 3 == 0
    batch[f"{name}_present"] = ~absent
    other = dict(batch)
    other[name] = torch.where(absent.view(-1, *[1] * (batch[name].ndim - 1)), torch.nan, batch[name])
    assert torch.equal(method.predict(batch), method.predict(other))
    one, two = gradients(method, batch), gradients(method, other)
    assert one[0]["loss"] == two[0]["loss"]
    for key, gradient in one[1].items():
        assert torch.equal(gradient, two[1][key]), key


def test_three_modalities_and_probabilities():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = IEMF({"a": [3], "b": [4], "c": [5]}, classes=4, width=8, dropout=0.5)
    batch = {n: torch.randn(6, d, generator=generator(d)) for n, d in [("a", 3), ("b", 4), ("c", 5)]}
    probabilities = method.predict(batch)
    assert method.training
    assert torch.equal(probabilities, method.predict(batch))  # without dropout
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6))
    batch["label"] = torch.arange(6) % 4
    assert method.loss(batch, generator())["loss"].isfinite()


def test_shapes_are_those_of_the_item():
    item = {"image": torch.zeros(1, 8, 8), "audio": torch.zeros(1, 32, 32), "label": torch.tensor(3)}
    item["image_present"] = torch.tensor(True)
    assert IEMF.arguments_for(item) == {"shapes": {"audio": [1, 32, 32], "image": [1, 8, 8]}}


def test_the_loss_is_that_of_the_modalities_that_are_there():
    method, batch = trained()
    with_audio = method.loss(batch, generator())
    batch["audio_present"] = torch.zeros(32, dtype=torch.bool)
    values, found = gradients(method, batch)
    assert values["loss"].isfinite()
    assert not any(
        gradient.any() for name, gradient in found.items() if name.startswith(("encoders.audio", "heads.audio"))
    )
    with torch.no_grad():
        features, present = method.encoders(batch)
        head = true_class(method.heads["image"](features["image"]), batch["label"])
        fused = true_class(method.fusion(features, present), batch["label"])
    assert values["ratio"].item() == pytest.approx((head.sum() / fused.sum()).item())
    assert values["unimodal"].item() == pytest.approx(-head.log().mean().item(), rel=1e-5)
    assert values["ratio"] != with_audio["ratio"]
