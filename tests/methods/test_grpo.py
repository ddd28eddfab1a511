"""GRPO: its four formulas by hand; enumeration on a bandit; rows that do not depend on what lies beside them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import mmlab
from mmlab.data.conversations import IMAGE
from mmlab.data.tensors import TensorData
from mmlab.methods.grpo import GRPO, aggregated, clipped_surrogate, group_advantages, k3
from mmlab.methods.tinyllava import TinyLLaVA


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_advantages_sum_to_zero_and_two_rewards_tell_the_convention() -> None:
    rewards = torch.rand(5, 8, generator=rng())
    for deviation in ("unbiased", "biased", "none"):
        assert torch.allclose(group_advantages(rewards, deviation).sum(1), torch.zeros(5), atol=1e-5)
    pair = torch.tensor([[1.0, 0.0]])
    assert torch.allclose(group_advantages(pair, "unbiased"), torch.tensor([[0.5**0.5, -(0.5**0.5)]]), atol=1e-5)
    assert torch.allclose(group_advantages(pair, "biased"), torch.tensor([[1.0, -1.0]]), atol=1e-5)
    assert torch.allclose(group_advantages(pair, "none"), torch.tensor([[0.5, -0.5]]))
    for same in (0.1, 0.3, 1.0):
        assert group_advantages(torch.full((2, 8), same)).abs().max() < 1e-8  # no rounding that the deviation blows up
    with pytest.raises(ValueError, match="nothing to be compared with"):
        group_advantages(torch.ones(3, 1))


@pytest.mark.parametrize("right", range(1, 8))
def test_k_of_n_right_gives_the_closed_form(right: int) -> None:
    n, p = 8, right / 8
    found = group_advantages((torch.arange(n) < right).float()[None])[0]
    assert found[0].item() == pytest.approx(((1 - p) / p * (n - 1) / n) ** 0.5, rel=1e-4)
    assert found[-1].item() == pytest.approx(-((p / (1 - p) * (n - 1) / n) ** 0.5), rel=1e-4)


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.0, 2.0, 2.0, 2.0),
        (1.25, 2.0, 2.5, 2.0),  # within the upper end
        (1.40, 2.0, 2.6, 0.0),  # above it: no prize for more
        (0.50, 2.0, 1.0, 2.0),  # below, where the advantage is positive: not cut
        (0.90, -2.0, -1.8, -2.0),
        (0.70, -2.0, -1.6, 0.0),  # below the lower end
        (1.40, -2.0, -2.8, -2.0),  # above, where the advantage is negative: not cut
    ],
)
def test_clipping_by_cases(ratio: float, advantage: float, value: float, slope: float) -> None:
    log_ratio = torch.tensor(ratio).log().requires_grad_()
    found = clipped_surrogate(log_ratio, torch.tensor(advantage), 0.2, 0.3)
    assert found.item() == pytest.approx(value, rel=1e-5)
    (gradient,) = torch.autograd.grad(found, log_ratio)
    assert gradient.item() == pytest.approx(slope * ratio, rel=1e-5, abs=1e-9)


def test_k3_is_unbiased_on_a_categorical_and_never_negative() -> None:
    policy, reference = (torch.randn(7, generator=rng(s), dtype=torch.double).log_softmax(0) for s in (1, 2))
    exact = (policy.exp() * (policy - reference)).sum()
    estimates = k3(policy, reference)
    assert (policy.exp() * estimates).sum().item() == pytest.approx(exact.item(), rel=1e-10)
    assert (estimates >= 0).all()
    assert torch.equal(k3(policy, policy), torch.zeros(7, dtype=torch.double))


def test_aggregation_by_hand() -> None:
    values = torch.tensor([[[1.0, 3.0, 9.0], [4.0, 9.0, 9.0]]])
    mask = torch.tensor([[[True, True, False], [True, False, False]]])
    assert aggregated(values, mask, "sequences").item() == 3.0  # (2 + 4) / 2
    assert aggregated(values, mask, "tokens").item() == pytest.approx(8 / 3)
    assert aggregated(values, mask, "constant").item() == pytest.approx(8 / 6)


def enumerated(logits: Tensor, rewards: Tensor, group: int, deviation: str) -> Tensor:
    """The expected gradient of the surrogate at ratio 1 over all groups of answers, each by its probability."""
    expected = torch.zeros_like(logits)
    for answers in itertools.product(range(len(logits)), repeat=group):
        chosen = torch.tensor(answers)
        scores = logits.log_softmax(0)[chosen]
        advantage = group_advantages(rewards[chosen][None], deviation)[0]  # type: ignore[arg-type]
        gained = clipped_surrogate(scores - scores.detach(), advantage).mean()
        (gradient,) = torch.autograd.grad(gained, logits)
        expected += scores.detach().sum().exp() * gradient
    return expected


@pytest.mark.parametrize("group", [2, 3, 4])
def test_on_a_bandit_the_expected_gradient_is_the_exact_one(group: int) -> None:
    """Without a deviation it is (G - 1) / G of the gradient of the expected reward: the baseline holds each answer."""
    logits = torch.randn(4, generator=rng(), dtype=torch.double).requires_grad_()
    rewards = torch.tensor([1.0, 0.0, 0.4, -0.3], dtype=torch.double)
    (exact,) = torch.autograd.grad(logits.softmax(0) @ rewards, logits)
    assert torch.allclose(enumerated(logits, rewards, group, "none"), (group - 1) / group * exact, atol=1e-12)
    scaled = enumerated(logits, rewards, group, "unbiased")
    assert torch.nn.functional.cosine_similarity(scaled, exact, dim=0) < 0.9999  # the deviation turns it
    right = torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=torch.double)  # of right and wrong it only changes the length
    (exact,) = torch.autograd.grad(logits.softmax(0) @ right, logits)
    scaled = enumerated(logits, right, group, "unbiased")
    assert torch.nn.functional.cosine_similarity(scaled, exact, dim=0) == pytest.approx(1.0, abs=1e-9)


def test_at_the_first_update_the_loss_is_zero_and_its_gradient_is_the_policy_gradient() -> None:
    method, batch = GRPO.demo()
    method.kl, method.reference = 0.0, None
    method.loss(batch, rng())["loss"].backward()
    found = {name: p.grad.clone() for name, p in method.policy.named_parameters() if p.grad is not None}
    method.zero_grad()
    mask, advantage = method.mask(batch["completions"]), group_advantages(batch["rewards"])[..., None]
    scores = method.log_probabilities(batch, batch["completions"])
    (-(mask * scores * advantage).sum(-1) / mask.sum(-1)).mean().backward()
    assert method.loss(batch, rng())["loss"].abs() < 1e-6
    assert all(torch.allclose(p.grad, found[n], atol=1e-7) for n, p in method.policy.named_parameters())
    assert max(float(g.abs().max()) for g in found.values()) > 1e-3


def test_the_rule_of_the_reward_by_cases() -> None:
    method = GRPO({"picture": [3, 8, 8]}, mark=1, end=0, group=7, words=6)
    answers = [
        ([5, 6, 1, 9, 0, 0], (1, 1)),  # thought, mark, answer, end
        ([5, 6, 1, 8, 0, 0], (0, 1)),  # wrong
        ([1, 9, 0, 0, 0, 0], (1, 0)),  # no thought
        ([5, 1, 9, 9, 0, 0], (1, 0)),  # more than one word
        ([5, 6, 9, 0, 0, 0], (0, 0)),  # no mark
        ([5, 1, 9, 1, 9, 0], (1, 0)),  # two marks
        ([5, 6, 7, 8, 1, 9], (1, 0)),  # never ends
    ]
    completions = torch.tensor([row for row, _ in answers])[None]
    correct, formed = method.judged({"answer": torch.tensor([9])}, completions)
    assert [(int(c), int(f)) for c, f in zip(correct[0], formed[0], strict=True)] == [said for _, said in answers]
    worth = method.reward({"answer": torch.tensor([9])}, completions)[0]
    assert torch.allclose(worth, torch.tensor([1.0, 0.1, 0.9, 0.9, 0.0, 0.9, 0.9]))
    cut = torch.tensor([[[5, 6, 7, 8, 9, 1]]])  # a mark at the very end
    assert method.judged({"answer": torch.tensor([9])}, cut)[0].item() == 0


def prompts() -> dict[str, Tensor]:
    """Three prompts of different lengths with 1, 2 and no pictures."""
    ids = torch.tensor([[IMAGE, 3, 2, 0, 0], [IMAGE, 5, IMAGE, 4, 2], [6, 2, 0, 0, 0]])
    return {"input_ids": ids, "length": torch.tensor([3, 5, 2]), "images": torch.rand(3, 2, 3, 16, 16, generator=rng())}


def policies() -> list[nn.Module]:
    tiny = TinyLLaVA.demo()[0]
    with torch.no_grad():
        for parameter in tiny.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng(3)))
    return [GRPO.seeded(0, {"words": 24}).policy, tiny]


@pytest.mark.parametrize("which", [0, 1])
def test_what_lies_beside_a_row_and_how_many_pictures_it_has_change_nothing(which: int) -> None:
    method = GRPO(policies()[which], group=2, words=4, kl=0.0).eval()
    batch, completions = prompts(), torch.randint(1, 24, (3, 2, 4), generator=rng(1))
    completions[0, 0, 2:] = 0  # answers of different lengths
    together = method.log_probabilities(batch, completions)
    mask = method.mask(completions)
    for row, (end, pictures) in enumerate(((3, 1), (5, 2), (2, 0))):
        alone = {"input_ids": batch["input_ids"][row : row + 1, :end], "length": batch["length"][row : row + 1]}
        alone["images"] = batch["images"][row : row + 1, :pictures]
        for answer in range(2):
            length = int(mask[row, answer].sum())
            one = method.log_probabilities(alone, completions[row : row + 1, answer : answer + 1, :length])[0, 0]
            assert torch.allclose(together[row, answer, :length], one, atol=1e-5)
    shuffled = torch.tensor([2, 0, 1])
    turned = method.log_probabilities({k: v[shuffled] for k, v in batch.items()}, completions[shuffled])
    assert torch.allclose(turned[mask[shuffled]], together[shuffled][mask[shuffled]], atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_log_probabilities_are_those_of_the_next_word_one_by_one(which: int) -> None:
    policy = policies()[which].eval()
    method = GRPO(policy, group=2, words=3, kl=0.0).eval()
    batch = {key: value[1:2] for key, value in prompts().items()}
    answer = torch.tensor([[[7, 8, 9]]])
    found = method.log_probabilities(batch, answer)[0, 0]
    ids = batch["input_ids"]
    for place, word in enumerate((7, 8, 9)):
        logits = policy.logits({**batch, "input_ids": ids, "length": torch.tensor([ids.shape[1]])})  # type: ignore[operator]
        assert found[place].item() == pytest.approx(logits[0, -1].log_softmax(-1)[word].item(), abs=1e-5)
        ids = torch.cat([ids, torch.tensor([[word]])], 1)


@pytest.mark.parametrize("which", [0, 1])
def test_answers_come_from_the_law_whose_probabilities_are_compared(which: int) -> None:
    method = GRPO(policies()[which], group=600, words=1, kl=0.0).eval()
    batch = {key: value[:1] for key, value in prompts().items()}
    drawn = method.write(batch, rng())
    every = torch.arange(24)[None, :, None]
    law = method.log_probabilities(batch, every).detach().exp()[0, :, 0]
    assert law.sum().item() == pytest.approx(1.0, abs=1e-5)
    shares = torch.bincount(drawn.flatten(), minlength=24) / 600
    assert ((shares - law).abs() < 5 * (law * (1 - law) / 600).sqrt() + 0.002).all()


def data() -> TensorData:
    _, batch = GRPO.demo()
    return TensorData({key: batch[key] for key in ("input_ids", "length", "images", "answer")})


class Fives(GRPO):
    """Rewarded for saying word 5: a rule of one's own."""

    def reward(self, batch: dict[str, Tensor], completions: Tensor) -> Tensor:
        return (completions == 5).float().mean(-1)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def run(steps: int, out: Path | None) -> GRPO:
        method = Fives.seeded(1, {"picture": [3, 8, 8], "width": 16}, group=8, words=4)
        mmlab.fit(method, data(), steps=steps, batch_size=3, lr=1e-2, out=out, save_every=2, progress=False)
        return method

    whole = run(4, None)
    run(2, tmp_path)
    resumed = run(4, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), run(3, None).parameters(), strict=True))


def test_the_reference_is_the_policy_before_the_first_step_and_stays() -> None:
    method = Fives.seeded(1, {"picture": [3, 8, 8], "width": 16}, group=8, words=4)
    with torch.no_grad():
        method.policy.head.weight.add_(1.0)
    before = {name: value.clone() for name, value in method.policy.state_dict().items()}
    for _ in range(2):
        mmlab.fit(method, data(), steps=2, batch_size=3, lr=1e-2, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in method.reference.state_dict().items())
    assert not torch.equal(method.policy.head.weight, before["head.weight"])


def test_impossible_settings_and_unprepared_batches_are_refused() -> None:
    with pytest.raises(ValueError, match="group=1"):
        GRPO(group=1)
    with pytest.raises(ValueError, match=r"clip=1\.5"):
        GRPO(clip=1.5)
    method, batch = GRPO.demo()
    del batch["completions"]
    with pytest.raises(ValueError, match="call prepare"):
        method.loss(batch, rng())
    with pytest.raises(ValueError, match="more places for pictures"):
        method.generate({**batch, "images": batch["images"][:, :0]})
