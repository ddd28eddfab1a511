"""Unlearning: closed forms of the rules, and what each reads and leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

import mmlab
from mmlab.data.tensors import TensorData
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.methods.unlearning import RULES, Unlearning, divergence, npo, simnpo
from mmlab.nn.answers import answer_log_probabilities, answer_mask


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def built(rule: str, **more: float) -> tuple[Unlearning, dict[str, Tensor]]:
    _, batch = Unlearning.demo()
    return Unlearning.seeded(0, {"picture": [3, 8, 8], "width": 16}, rule=rule, **more), batch


def gradients(method: Unlearning, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(method.policy.parameters()), allow_unused=True))


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
def test_npo_at_the_reference_has_its_value_and_the_gradient_of_ascent(beta: float) -> None:
    method, batch = built("npo", beta=beta, retain=0.0)
    s = method.likelihood(batch)
    loss = npo(s, s.detach(), beta).mean()
    assert loss.item() == pytest.approx(2 * torch.tensor(2.0).log().item() / beta, rel=1e-5)
    found, ascent = gradients(method, loss), gradients(method, method.likelihood(batch).mean())
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, ascent, strict=True))
    other, _ = built("ascent")
    assert torch.allclose(other.loss(batch, rng())["loss"], s.mean())


def test_npo_by_its_ratio_and_towards_ascent() -> None:
    s, reference = torch.tensor([-1.0, -4.0]).double(), torch.tensor([-0.5, -0.5]).double()
    ratio = (s - reference).exp()
    for beta in (0.1, 1.0):
        assert torch.allclose(npo(s, reference, beta), 2 / beta * (1 + ratio**beta).log())
    small = 1e-4  # but for its value at the reference it is the difference of the likelihoods
    assert torch.allclose(
        npo(s, reference, small) - 2 / small * torch.tensor(2.0).double().log(), s - reference, atol=1e-3
    )
    length = torch.tensor([3, 4])
    assert torch.allclose(simnpo(s, length, 2.0, 0.5), -torch.nn.functional.logsigmoid(-2 * s / length - 0.5))


def test_the_weight_of_npo_falls_with_the_likelihood() -> None:
    s = torch.tensor([0.0, -2.0, -20.0], requires_grad=True)
    npo(s, torch.zeros(3), 0.5).sum().backward()
    assert torch.allclose(s.grad, 2 * torch.sigmoid(0.5 * s.detach()))


def test_the_divergence_is_exact_and_zero_at_the_reference() -> None:
    p, q = (torch.randn(2, 1, 3, 5, generator=torch.Generator().manual_seed(k)).log_softmax(-1) for k in (0, 1))
    mask = torch.tensor([[[True, True, False]], [[True, False, False]]])
    expected = torch.nn.functional.kl_div(q, p, log_target=True, reduction="none").sum(-1)[mask].mean()
    assert torch.allclose(divergence(p, q, mask), expected)
    assert divergence(p, p, mask) == 0


def test_likelihoods_are_sums_over_the_words_up_to_the_end() -> None:
    method, batch = built("ascent")
    each = answer_log_probabilities(method.policy, batch, batch["completions"], 0)
    assert torch.allclose(method.likelihood(batch), (each * answer_mask(batch["completions"], 0)).sum(-1))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_falls_and_uses_what_it_says(rule: str) -> None:
    method, batch = built(rule)
    values = method.loss(batch, rng())
    assert ("retain" in values) == (rule != "ascent")
    total = values["forget"] + values.get("retain", torch.tensor(0.0))
    assert torch.allclose(values["loss"], total)
    if rule in ("kl", "rmu"):
        assert values["retain"].abs() < 1e-6  # at the reference
    before = values["loss"].item()
    mmlab.fit(method, TensorData(batch), steps=15, batch_size=6, lr=3e-3, progress=False)
    assert method.loss(batch, rng())["loss"].item() < before
    alone = {key: value for key, value in batch.items() if not key.startswith("retain_")}
    assert "retain" not in method.loss(alone, rng())


def test_rmu_pushes_states_to_one_vector_of_the_length_that_was_asked_for() -> None:
    method, batch = built("rmu", steer=2.0, retain=0.0)
    mmlab.fit(method, TensorData(batch), steps=150, batch_size=6, lr=1e-2, progress=False)
    states, mask = method._states(batch, method.policy)
    target = 2.0 * method.direction / method.direction.norm()
    assert (states[mask] - target).square().mean() < 0.02


def test_the_reference_is_the_model_at_the_first_step() -> None:
    method, batch = built("npo")
    with torch.no_grad():
        method.policy.head.bias.add_(1.0)
    before = copy.deepcopy(method.policy.state_dict())
    for _ in range(2):
        mmlab.fit(method, TensorData(batch), steps=2, batch_size=6, lr=1e-2, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in method.reference.state_dict().items())


@pytest.mark.parametrize("rule", ["npo", "rmu"])
def test_a_tinyllava_can_be_made_to_forget(rule: str) -> None:
    tiny, held = TinyLLaVA.demo()
    method = Unlearning(tiny.requires_grad_(True), rule=rule, words=3)
    answers = torch.randint(1, 24, (3, 1, 3), generator=rng())
    batch = {key: held[key] for key in ("input_ids", "length", "images")} | {"completions": answers}
    before = method.loss(batch, rng())["loss"].item()
    optimiser = torch.optim.Adam(method.policy.parameters(), lr=1e-3)
    for _ in range(5):
        optimiser.zero_grad()
        method.loss(batch, rng())["loss"].backward()
        optimiser.step()
    assert method.loss(batch, rng())["loss"].item() < before


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="no rule 'erase'"):
        Unlearning(rule="erase")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beta=0"):
        Unlearning(beta=0)
