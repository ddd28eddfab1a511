"""Merging: identities of each rule, peft's own functions, the normal equations, and what merge moves."""

from __future__ import annotations

import copy

import pytest
import torch
from peft.utils import merge_utils

from mmlab.methods import merging
from mmlab.methods.merging import RULES, Merging


@pytest.fixture
def t() -> torch.Tensor:
    """Task vectors of three experts, (3, 6, 9)."""
    return torch.randn(3, 6, 9, generator=torch.Generator().manual_seed(0))


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("rule", ["average", "task_arithmetic", "tsv", "wudi", "optmerge", "spectral"])
def test_a_single_expert_stays_itself(t: torch.Tensor, rule: str) -> None:
    assert torch.allclose(RULES[rule](t[:1]), t[0], atol=2e-5)
    assert torch.allclose(merging.ties(t[:1], keep=1.0), t[0])
    assert torch.allclose(merging.dare(t[:1], rng(), drop=0.0), t[0])


def test_the_average_is_a_scaled_sum_and_dare_is_the_sum_in_expectation(t: torch.Tensor) -> None:
    assert torch.allclose(merging.average(t), merging.task_arithmetic(t) / 3)
    generator = rng()
    draws = torch.stack([merging.dare(t, generator, drop=0.5) for _ in range(4000)])
    error = (draws.mean(0) - t.sum(0)).abs() / (draws.std(0) / 4000**0.5)
    assert error.max() < 5
    kept = (merging.dare(torch.ones(1, 100, 100), rng(), drop=0.2) > 0).float().mean()
    assert abs(kept - 0.8) < 0.02


def test_ties_and_the_sum_are_pefts(t: torch.Tensor) -> None:
    weights = torch.ones(3)
    for keep in (0.2, 0.5, 0.9):
        theirs = merge_utils.ties(list(t), weights, density=keep, majority_sign_method="total")
        assert torch.allclose(merging.ties(t, keep=keep), theirs, atol=1e-6)
    assert torch.allclose(merging.task_arithmetic(t), merge_utils.task_arithmetic(list(t), weights))


def test_ties_by_hand() -> None:
    t = torch.tensor([[[4.0, -3.0, 0.1, 2.0]], [[2.0, 5.0, -0.2, -2.5]]])
    # half of each is kept: 4 and -3; 5 and -2.5
    assert torch.equal(merging.ties(t, keep=0.5), torch.tensor([[4.0, 5.0, 0.0, -2.5]]))
    same = torch.stack([t[0], 2 * t[0]])
    assert torch.allclose(merging.ties(same, keep=1.0), same.mean(0))


def test_isotropic_merging_keeps_the_nuclear_norm(t: torch.Tensor) -> None:
    values = torch.linalg.svdvals(merging.iso_c(t))
    assert torch.allclose(values, values.mean().expand(6), atol=1e-5)
    assert torch.allclose(values.sum(), torch.linalg.svdvals(t.sum(0)).sum(), rtol=1e-5)


def test_task_singular_vectors_of_orthogonal_experts_add_up() -> None:
    """Two experts of rank 2 whose rows and columns are orthogonal do not disturb each other."""
    q, _ = torch.linalg.qr(torch.randn(6, 6, generator=rng()))
    p, _ = torch.linalg.qr(torch.randn(4, 4, generator=rng()))
    t = torch.stack([q[:, :2] @ torch.diag(torch.tensor([3.0, 2.0])) @ p[:2], 5 * q[:, 2:4] @ p[2:]])
    assert torch.allclose(merging.tsv(t), t.sum(0), atol=1e-5)


def test_the_full_minimum_solves_the_normal_equations_and_the_filter_leaves_the_rest(t: torch.Tensor) -> None:
    t = t.double()
    full = merging.spectral(t, share=1.0).requires_grad_(True)
    (slope,) = torch.autograd.grad(merging.interaction(full, t), full)
    assert slope.abs().max() < 1e-9
    start = merging.interaction(t.sum(0), t)
    values = [float(merging.interaction(merging.spectral(t, share=share), t)) for share in (0.0, 0.3, 0.6, 1.0)]
    assert values[0] == pytest.approx(float(start))
    assert values == sorted(values, reverse=True)


def test_descent_lowers_the_interaction_and_with_enough_steps_finds_its_minimum(t: torch.Tensor) -> None:
    start = merging.interaction(t.sum(0), t)
    assert merging.interaction(merging.wudi(t), t) < start
    found = merging.interaction(merging.wudi(t, steps=3000, lr=1e-2), t)
    assert found == pytest.approx(float(merging.interaction(merging.spectral(t, share=1.0), t)), rel=1e-2)


def cut(x: torch.Tensor) -> torch.Tensor:
    """The first two singular triplets of a matrix."""
    u, s, v = torch.linalg.svd(x)
    return u[:, :2] @ torch.diag(s[:2]) @ v[:2]


def slope_of(T: torch.Tensor, t: torch.Tensor, targets: list[torch.Tensor]) -> torch.Tensor:
    """The gradient of the released code's loss, expert by expert."""
    slope = torch.zeros(6, 9)
    for x, target in zip(t, targets, strict=True):
        slope += 2 * (T - target) @ cut(x).T @ cut(x) / x.square().sum()
    return slope


def test_optmerge_is_the_descent_on_truncated_vectors_by_transcription(t: torch.Tensor) -> None:
    T, velocity = t.mean(0), torch.zeros(6, 9)
    for _ in range(20):
        velocity = 0.9 * velocity + slope_of(T, t, [cut(x) for x in t])
        T = T - 0.01 * velocity
    assert torch.allclose(merging.optmerge(t, steps=20, lr=0.01), T, atol=1e-5)


def test_the_recipe_for_full_tuning_cuts_what_is_left_of_the_mean_and_starts_at_the_sum(t: torch.Tensor) -> None:
    T = t.sum(0).requires_grad_(True)
    adam = torch.optim.Adam([T], lr=0.01)
    for _ in range(20):
        T.grad = slope_of(T.detach(), t, [cut(x - t.mean(0)) + t.mean(0) for x in t])
        adam.step()
    assert torch.allclose(merging.optmerge(t, steps=20, lr=0.01, full=True), T.detach(), atol=1e-5)


def test_merge_moves_matrices_by_the_rule_and_the_rest_by_the_mean() -> None:
    base, batch = Merging.demo()
    experts = []
    for seed in (1, 2):
        expert = copy.deepcopy(base)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in expert.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        experts.append({name: value.clone() for name, value in expert.state_dict().items()})
    before = {name: value.clone() for name, value in base.state_dict().items()}
    base.merge(experts, "task_arithmetic", scale=0.5, exclude=r"vision_tower\..*")
    after = base.state_dict()
    for name, value in before.items():
        mean = (experts[0][name] + experts[1][name]) / 2 - value
        matrix = value.ndim == 2 and name.startswith("language_model") and ".layers." in name
        expected = value if name.startswith("vision_tower") else value + (1.0 if matrix else 0.5) * mean
        assert torch.allclose(after[name], expected, atol=1e-6), name
    assert torch.isfinite(base.loss(batch, rng())["loss"])


def test_what_cannot_be_merged_is_refused() -> None:
    base, _ = Merging.demo()
    own = base.state_dict()
    with pytest.raises(ValueError, match="no expert"):
        base.merge([])
    with pytest.raises(ValueError, match=r"no rule 'sum'.*ties"):
        base.merge([own], "sum")
    with pytest.raises(ValueError, match=r"expert 0 lacks .*tuned"):
        base.merge([{}])
    with pytest.raises(ValueError, match="include='nothing' is the name of no matrix"):
        base.merge([own], "average", include="nothing")
    with pytest.raises(ValueError, match="needs an rng"):
        base.merge([own], "dare")


def test_a_function_of_ones_own_is_a_rule() -> None:
    base, _ = Merging.demo()
    own = {name: value + 1 for name, value in base.state_dict().items()}
    moved = base.changes([own], lambda t: 3 * t.sum(0))
    matrices = [value for name, value in moved.items() if name.endswith("q_proj.weight") and "language" in name]
    assert matrices
    assert all(torch.allclose(value, torch.tensor(3.0), atol=1e-5) for value in matrices)
