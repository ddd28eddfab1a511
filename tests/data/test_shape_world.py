"""Shapes: parts share no combination, what is drawn is what is said, and a heat map points at it."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.worlds.shape_world import (
    COMBINATIONS,
    FACTS,
    WORDS,
    caption_of,
    draw,
    exchanged,
    heat_map,
    middles,
    shape_world,
    tokens_of,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_same_arguments_give_the_same_world_and_parts_share_no_combination() -> None:
    one, again, other = shape_world(1700), shape_world(1700), shape_world(1700, seed=1)
    assert torch.equal(one.pictures["train"], again.pictures["train"])
    assert not torch.equal(one.facts["test"], other.facts["test"])
    parts = {part: {tuple(row) for row in facts.tolist()} for part, facts in one.facts.items()}
    assert {part: len(rows) for part, rows in parts.items()} == {"test": 792, "validation": 200, "train": 1600}
    assert len(set.union(*parts.values())) == len(COMBINATIONS) == 2592
    words = {part: getattr(one, part).tensors["caption"].unique() for part in one.facts}
    assert all(len(found) == len(WORDS) == 26 for found in words.values()), "every word is known in every part"


def test_captions_are_the_words_of_the_facts() -> None:
    facts = COMBINATIONS[[0, 1000, 2591]]
    for row, tokens in zip(facts, tokens_of(facts), strict=True):
        assert caption_of(row) == " ".join(WORDS[token] for token in tokens.tolist())
    assert caption_of(facts[0]) == "small red circle top-left night"


def test_what_is_drawn_is_what_is_said() -> None:
    """Without noise: the corner is the ground, the middle is the paint, and larger figures cover more."""
    at = middles(COMBINATIONS, rng(), jitter=0.0)
    pictures = draw(COMBINATIONS, rng(), noise=0.0, at=at)
    grounds, paints = pictures[:, :, 0, 0], pictures[torch.arange(2592), :, at[:, 1].long(), at[:, 0].long()]
    for fact, seen in ((4, grounds), (1, paints)):
        words = range(len(list(FACTS.values())[fact]))
        means = [seen[(COMBINATIONS[:, fact] == word) & (COMBINATIONS[:, 0] > 0)] for word in words]
        assert all((rows - rows[0]).abs().max() < 1e-5 for rows in means)
        assert len({tuple((rows[0] * 100).round().tolist()) for rows in means}) == len(means)
    covered = (pictures - grounds[:, :, None, None]).abs().amax(1).gt(0.2).sum((1, 2)).float()
    sizes = [covered[COMBINATIONS[:, 0] == size].mean() for size in range(3)]
    assert sizes[0] < 0.7 * sizes[1] < 0.5 * sizes[2]
    hills = heat_map(at)
    assert torch.allclose(hills.amax((1, 2, 3)), torch.ones(()), atol=0.05)
    changed = (pictures - grounds[:, :, None, None]).abs().sum(1, keepdim=True)
    assert ((hills * changed).sum((1, 2, 3)) / changed.sum((1, 2, 3))).min() > 0.5, "the hill lies on the figure"


def test_shapes_of_one_size_and_place_differ() -> None:
    rows = COMBINATIONS[(COMBINATIONS[:, [0, 1, 3, 4]] == torch.tensor([2, 0, 4, 0])).all(1)]
    pictures = draw(rows, rng(), noise=0.0, jitter=0.0)
    distances = (pictures[:, None] - pictures[None]).abs().mean((2, 3, 4)) + torch.eye(4)
    assert distances.min() > 0.005


def test_noise_jitter_and_distractors() -> None:
    facts = COMBINATIONS[::7]
    at = middles(facts, rng())
    assert (at - middles(facts, rng(1), 0.0)).abs().max() <= 1.5
    plain = draw(facts, rng(), noise=0.0, at=at)
    crowded = draw(facts, rng(), noise=0.0, at=at, distractors=3)
    own = heat_map(at, 1.0) > 0.9
    assert torch.equal(plain.masked_select(own), crowded.masked_select(own)), "a distractor lies on the figure"
    assert ((plain - crowded).abs().amax((1, 2, 3)) > 0.1).all()
    noisy = draw(facts, rng(), noise=0.35, at=at)
    assert noisy.abs().max() <= 1
    assert (noisy - plain).std() > 0.3


def test_exchanged_captions_are_passed_on_and_nobody_is_left_out() -> None:
    captions = tokens_of(COMBINATIONS)
    made, wrong = exchanged(captions, 0.4, rng())
    assert wrong.float().mean() == pytest.approx(0.4, abs=0.03)
    assert torch.equal(made[~wrong], captions[~wrong])
    assert (made != captions).any(1)[wrong].all(), "all combinations differ here, so each has a new one"
    assert torch.equal(made[wrong].sort(0).values, captions[wrong].sort(0).values)
    same, none = exchanged(captions, 0.0, rng())
    assert torch.equal(same, captions)
    assert not none.any()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="hold back fewer"):
        shape_world(test=2500)
    with pytest.raises(ValueError, match="at most 8 distractors"):
        draw(COMBINATIONS[:1], rng(), distractors=9)
    with pytest.raises(ValueError, match="share=2"):
        exchanged(tokens_of(COMBINATIONS), 2, rng())
