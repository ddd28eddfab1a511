"""DAPO: the price of length by hand, which groups count, tries again, and GRPO as a special case."""

from __future__ import annotations

import pytest
import torch

from mmlab.methods.dapo import DAPO, length_penalty, with_spread
from mmlab.methods.grpo import GRPO


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_price_of_length_by_hand() -> None:
    length = torch.tensor([1, 6, 7, 8, 10, 12])
    assert torch.allclose(length_penalty(length, 10, 4), torch.tensor([0.0, 0.0, -0.25, -0.5, -1.0, -1.0]))
    assert torch.equal(length_penalty(torch.tensor([10, 11]), 10, 0), torch.tensor([-0.0, -1.0]))


def test_the_reward_is_grpos_less_that_price() -> None:
    method = DAPO({"picture": [3, 8, 8]}, words=6, cushion=2, group=2)
    answers, batch = torch.tensor([[[5, 1, 9, 0, 0, 0], [5, 6, 7, 8, 1, 9]]]), {"answer": torch.tensor([9])}
    assert torch.allclose(method.reward(batch, answers), torch.tensor([[1.0, 0.9 - 1.0]]))


def test_groups_without_spread_are_left_out() -> None:
    method, batch = DAPO.demo()
    batch["rewards"][[0, 2]] = 0.5
    assert with_spread(batch["rewards"]).tolist() == [False, True, False, True, True, True]
    found = method.loss(batch, rng())
    found["loss"].backward()
    gradients = [p.grad.clone() for p in method.parameters()]
    method.zero_grad()
    method.loss({key: value[[1, 3, 4, 5]] for key, value in batch.items()}, rng())["loss"].backward()
    assert all(torch.allclose(p.grad, g) for p, g in zip(method.parameters(), gradients, strict=True))
    assert found["zero_spread"] == pytest.approx(2 / 6)
    assert found["reward"] == pytest.approx(float(batch["rewards"].mean()))
    batch["rewards"][:] = 1.0
    method.zero_grad()
    method.loss(batch, rng())["loss"].backward()
    assert all(not p.grad.any() for p in method.parameters())


def test_prompts_without_spread_are_tried_again_and_the_others_are_not() -> None:
    once, often = (DAPO.seeded(0, {"picture": [3, 8, 8], "width": 16}, group=2, words=4, rounds=n) for n in (1, 6))
    _, batch = DAPO.demo()
    asked = {key: batch[key] for key in ("input_ids", "length", "images", "answer")}
    asked["answer"] = once.generate(asked)[:, 2]
    first, again = once.prepare(asked, rng()), often.prepare(asked, rng())
    had = with_spread(first["rewards"])
    assert torch.equal(first["completions"][had], again["completions"][had])
    assert (again["drawn"][had] == 1).all()
    assert (again["drawn"][~had] > 1).all()
    assert with_spread(again["rewards"]).sum() > had.sum()
    assert torch.equal(again["rewards"], often.reward(asked, again["completions"]))
    assert torch.allclose(again["old"], often.log_probabilities(asked, again["completions"]), atol=1e-6)


def test_without_its_changes_it_is_grpo() -> None:
    _, batch = GRPO.demo()
    plain = {"group": 4, "words": 5, "clip": 0.2, "clip_high": 0.2, "deviation": "biased"}
    settings = {"picture": [3, 8, 8], "width": 16}
    grpo = GRPO.seeded(0, settings, kl=0.0, aggregate="tokens", **plain)
    dapo = DAPO.seeded(0, settings, cushion=0, **plain)
    batch["old"] = batch["old"] + 0.3 * torch.randn(batch["old"].shape, generator=rng())
    del batch["reference"]
    assert torch.equal(grpo.loss(batch, rng())["loss"], dapo.loss(batch, rng())["loss"])
    wide = DAPO.seeded(0, settings, cushion=0, **{**plain, "clip_high": 0.28})
    assert not torch.equal(wide.loss(batch, rng())["loss"], dapo.loss(batch, rng())["loss"])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="rounds=0"):
        DAPO(rounds=0)
    with pytest.raises(ValueError, match="cushion=6"):
        DAPO(cushion=6)
