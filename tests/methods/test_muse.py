"""Oracles of Muse: the scheduler of diffusers, the law of the cosine, words that are told exactly, and sizes."""

import math

import pytest
import torch
from torch import nn

from mmlab.data.tensors import TensorData
from mmlab.methods.muse import Muse, cosine_share, guided_logits, least_sure, masked_at_random, still_masked
from mmlab.train import fit


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Oracle(nn.Module):
    """A network that gives the same logits whatever it sees, (N, K)."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, tokens, states, low=None):
        return self.logits.expand(len(tokens), -1, -1)


def with_logits(logits, grid):
    method, batch = Muse.demo()
    method.codes, method.grid = logits.shape[1], grid
    method.forward = Oracle(logits).forward
    return method, batch["input_ids"]


@pytest.mark.parametrize("steps", [1, 3, 5, 9])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_decoding_is_the_scheduler_of_diffusers(steps, temperature):
    from diffusers import AmusedScheduler

    logits = torch.randn(9, 4, generator=rng(1)) * 2
    method, ids = with_logits(logits, (3, 3))
    ours = method.sample(ids, steps=steps, guidance=1.0, temperature=temperature, rng=rng(3))
    scheduler, theirs, draws = AmusedScheduler(4), torch.full((4, 9), 4), rng(3)
    scheduler.set_timesteps(steps, (temperature, 0))
    for t in scheduler.timesteps:
        theirs = scheduler.step(logits.expand(4, -1, -1), t, theirs, generator=draws).prev_sample
    assert torch.equal(ours.flatten(1), theirs)


def test_the_share_of_masks_has_the_published_density():
    r = (torch.arange(100_000) + 0.5) / 100_000
    share = cosine_share(r)
    for x in (0.1, 0.5, 0.9):  # density 2 / pi / sqrt(1 - x²), so the distribution is 2 / pi arcsin x
        assert (share < x).float().mean().item() == pytest.approx(2 / math.pi * math.asin(x), abs=1e-3)
    assert share.mean().item() == pytest.approx(2 / math.pi, abs=1e-4)


def test_masks_hide_as_many_as_they_say_at_places_that_are_alike():
    share = torch.tensor([1.0, 0.5, 0.01]).repeat(2000)
    masks = masked_at_random(share, 8, rng())
    assert masks.sum(1).view(-1, 3)[0].tolist() == [8, 4, 1]
    assert (masks.sum(1).view(-1, 3) == torch.tensor([8, 4, 1])).all()
    per_place = masks.view(-1, 3, 8)[:, 1].float().mean(0)
    assert (per_place - 0.5).abs().max() < 4 * (0.25 / 2000) ** 0.5


def test_what_stays_masked_falls_by_the_cosine_to_none_and_by_one_at_least():
    counts, hidden = [], 64
    for step in range(1, 9):
        hidden = still_masked(step, 8, 64, hidden)
        counts.append(hidden)
    assert counts == [math.floor(64 * math.cos(math.pi * s / 16)) for s in range(1, 8)] + [0]
    hidden, one_by_one = 5, []
    for step in range(1, 6):
        hidden = still_masked(step, 5, 5, hidden)
        one_by_one.append(hidden)
    assert one_by_one == [4, 3, 2, 1, 0]


def test_the_least_sure_are_masked_and_known_ones_never():
    chosen = torch.tensor([[0.9, 0.1, 0.5, 0.2]])
    known = torch.tensor([[False, True, False, False]])
    assert least_sure(chosen, known, 2, 0.0, rng()).tolist() == [[False, False, True, True]]
    for seed in range(20):
        assert not least_sure(chosen, known, 3, 10.0, rng(seed))[0, 1]


def test_guidance_is_a_line_and_that_of_the_paper():
    a, b = torch.randn(2, 5, generator=rng())
    torch.testing.assert_close(guided_logits(a, b, 1.0), b)
    t = 3.0
    torch.testing.assert_close(guided_logits(a, b, 1 + t), (1 + t) * b - t * a)


def test_the_loss_is_the_cross_entropy_of_the_masked_alone():
    logits = torch.randn(4, 5, generator=rng(2))
    method, batch = Muse.demo()
    method.drop_condition = 0.0
    method.forward = Oracle(logits).forward
    found = method.loss(batch, rng(7))["loss"]
    draws = rng(7)
    torch.rand(4, 1, 1, generator=draws)
    share = torch.cos(torch.rand(4, generator=draws) * math.pi / 2)
    order = torch.rand(4, 4, generator=draws)
    errors = []
    for row in range(4):
        hidden = math.ceil(share[row] * 4)
        for place in order[row].argsort()[:hidden].tolist():
            word = batch["tokens"][row].flatten()[place]
            errors.append(-logits[place].log_softmax(0)[word])
    torch.testing.assert_close(found, torch.stack(errors).mean())


def test_one_step_at_once_draws_from_the_marginals():
    logits = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    method, ids = with_logits(logits, (1, 2))
    many = method.sample(ids[:1].expand(20_000, -1), steps=1, guidance=1.0, rng=rng())
    shares = many.flatten(1).float().mean(0)
    assert (shares - logits.softmax(1)[:, 1]).abs().max() < 0.015


def test_looks_that_follow_each_other_draw_pairs_that_belong_together():
    """Two tokens that are equal: at once they agree half of the time, one after the other always."""

    class Pair(nn.Module):
        def forward(self, tokens, states, low=None):
            known = tokens.masked_fill(tokens == 2, -1).amax(1)
            sure = torch.stack([known == 0, known == 1], 1).float() * 40
            return sure[:, None].expand(-1, 2, -1)

    method, ids = with_logits(torch.zeros(2, 2), (1, 2))
    method.forward = Pair().forward
    ids = ids[:1].expand(2000, -1)
    at_once, in_turn = (method.sample(ids, steps=s, guidance=1.0, rng=rng()).flatten(1) for s in (1, 2))
    agree = [(made[:, 0] == made[:, 1]).float().mean().item() for made in (at_once, in_turn)]
    assert agree[0] == pytest.approx(0.5, abs=0.05)
    assert agree[1] == 1.0
    assert in_turn.float().mean().item() == pytest.approx(0.5, abs=0.05)


def lesson(count=256):
    """The prompt's word is the word of all tokens; a coarser grid says the row of a second word."""
    word = torch.arange(count) % 4
    ids = torch.stack([torch.tensor([6, w, 7, 7]) for w in word.tolist()])
    return TensorData({"input_ids": ids, "tokens": word[:, None, None].expand(-1, 2, 2).clone()})


def test_it_learns_what_a_prompt_says_and_guidance_needs_the_empty_one():
    method, _ = Muse.demo()
    fit(method, lesson(), steps=150, batch_size=32, lr=5e-3, progress=False)
    ids = lesson(4).tensors["input_ids"]
    made = method.sample(ids, steps=2, guidance=3.0, temperature=0.0, rng=rng())
    assert torch.equal(made, torch.arange(4)[:, None, None].expand(-1, 2, 2))
    free = method(torch.full((1, 4), 5), method.read(method.empty[None])).softmax(-1)[0, 0, :4]
    assert (free - 0.25).abs().max() < 0.15  # without a prompt all four are as likely


def test_the_second_stage_reads_the_coarser_grid():
    config = Muse.demo()[0].config | {"low_codes": 4, "low_grid": (1, 1), "drop_condition": 0.0}
    method = Muse.seeded(0, **config)
    low = torch.arange(256)[:, None, None] % 4
    data = TensorData(
        {
            "input_ids": torch.tensor([[6, 0, 7, 7]]).expand(256, -1).clone(),
            "tokens": low.expand(-1, 2, 2).clone(),
            "low_tokens": low,
        }
    )
    fit(method, data, steps=150, batch_size=32, lr=5e-3, progress=False)
    made = method.sample(data.tensors["input_ids"][:4], low=low[:4], steps=2, guidance=1.0, rng=rng())
    assert torch.equal(made, low[:4].expand(-1, 2, 2))
    with pytest.raises(ValueError, match="it needs low"):
        method.sample(data.tensors["input_ids"][:4], steps=2, rng=rng())


def test_states_in_place_of_ids_give_the_same_loss():
    method, batch = Muse.demo()
    given = {"states": method.read(batch["input_ids"]), "tokens": batch["tokens"]}
    assert torch.equal(method.loss(given, rng())["loss"], method.loss(batch, rng())["loss"])


def test_a_dropped_prompt_is_the_empty_one():
    method, batch = Muse.demo()
    method.drop_condition = 1.0
    seen = []
    method.forward = lambda tokens, states, low=None: seen.append(states) or torch.zeros(4, 4, 5, requires_grad=True)
    method.loss(batch, rng())
    assert torch.equal(seen[0], method.read(method.empty[None]).expand(4, -1, -1))


def test_bad_input_gets_one_sentence():
    method, batch = Muse.demo()
    config = method.config
    wrong = [
        ({"drop_condition": 2.0}, "probability"),
        ({"grid": (2,)}, "two numbers of places"),
        ({"low_codes": 4}, "low_grid goes with"),
        ({"codes": 1}, "codes=1 is too small"),
        ({"heads": 3}, "attention heads"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            Muse(**config | change)
    with pytest.raises(ValueError, match="take 1 to 4 steps"):
        method.sample(batch["input_ids"], steps=5, rng=rng())
    with pytest.raises(ValueError, match=r"must have shape \(B, 2, 2\)"):
        method.loss(batch | {"tokens": torch.zeros(4, 3, 3, dtype=torch.long)}, rng())
    with pytest.raises(ValueError, match="there are 5 words"):
        method.loss(batch | {"tokens": torch.full((4, 2, 2), 5)}, rng())
