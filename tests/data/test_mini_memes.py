"""The mini-memes: fields, what is held out, what leaks, ceilings against enumeration, pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch

from mmlab.data.conversations import Conversations, tokenizer_of
from mmlab.data.worlds.mini_memes import (
    COLOURS,
    LAYOUTS,
    REMARKS,
    SHAPES,
    TOPICS,
    Meme,
    MiniMemes,
    Part,
    draw,
    mini_memes,
)

PARTS: tuple[Part, ...] = ("train", "test")


@pytest.fixture(scope="module")
def world() -> MiniMemes:
    return mini_memes(items=300, seed=1)


def _answers(items: list[Any]) -> list[str]:
    return [turns[-1].answer for _, turns, _ in items]


def test_same_arguments_give_the_same_memes(world: MiniMemes) -> None:
    again, other = mini_memes(items=300, seed=1), mini_memes(items=300, seed=2)
    assert again.memes == world.memes
    assert again.phrases == world.phrases
    assert all(torch.equal(again.pictures[part], world.pictures[part]) for part in PARTS)
    assert other.memes != world.memes
    assert other.held_out != world.held_out


def test_pairs_and_phrases_of_the_test_part_are_unseen(world: MiniMemes) -> None:
    seen, unseen = ({(m.first, m.second) for m in world.memes[part]} for part in PARTS)
    assert not seen & unseen
    assert unseen <= set(world.held_out)
    many = mini_memes(items=3000, image_size=16)  # so many that some would be in both by chance
    assert not set(_answers(many.general("train"))) & set(_answers(many.general("test")))


def test_the_fields_are_memecaps_and_the_tasks_agree(world: MiniMemes) -> None:
    for part in PARTS:
        for literal, meaning in zip(world.literal(part), world.meaning(part), strict=True):
            record = literal[2]
            assert record == meaning[2]
            assert set(record) == {"title", "img_captions", "meme_captions", "metaphors"}
            assert literal[1][0].answer == record["img_captions"][0]
            assert meaning[1][0].answer == record["meme_captions"][0]
            assert record["title"] in literal[1][0].question
            for pair in record["metaphors"]:
                assert pair["metaphor"] in record["img_captions"][0]
                assert pair["meaning"] in record["meme_captions"][0]


def test_ceilings_are_those_of_the_best_guesser() -> None:
    world = mini_memes(items=5)
    law = [Meme(*pair, *rest) for pair, *rest in product(world.held_out, LAYOUTS, TOPICS, REMARKS)]
    sees: dict[str, Callable[[Meme], Any]] = {
        "both": lambda meme: (meme.caption, meme.title),
        "picture": lambda meme: meme.caption,
        "text": lambda meme: meme.title,
        "neither": lambda meme: None,
    }
    assert set(world.ceilings) == set(sees)
    for name, seen in sees.items():
        answers: dict[Any, Counter[str]] = defaultdict(Counter)
        for meme in law:
            answers[seen(meme)][meme.meaning] += 1
        best = sum(counts.most_common(1)[0][1] for counts in answers.values()) / len(law)
        assert world.ceilings[name] == pytest.approx(best)


def test_the_four_forms_of_a_relation() -> None:
    def verb(colour: str, remark: str) -> str:
        return Meme((colour, "square"), ("blue", "circle"), "beside", "rain", remark).verb

    assert verb("yellow", "great") == verb("green", "great") == "thanks"
    assert verb("red", "great") == verb("blue", "great") == "mocks"
    assert verb("yellow", "awful") == verb("green", "awful") == "tickles"
    assert verb("red", "awful") == verb("blue", "awful") == "warns"


def test_neither_literal_nor_general_items_tell_what_stands_for_what(world: MiniMemes) -> None:
    verbs = {verb for verbs in LAYOUTS.values() for verb in verbs}
    signs, things = {*COLOURS, *SHAPES, *LAYOUTS}, {*COLOURS.values(), *SHAPES.values(), *verbs}
    for _, turns, _ in world.literal("train"):
        assert not things & set(f"{turns[0].question} {turns[0].answer}".split())
    for _, turns, _ in world.meaning("train"):
        assert not signs & set(turns[0].answer.split())
    big = mini_memes(items=4000, image_size=16).general(
        "train"
    )  # in phrases, each sign goes with each thing about equally often
    pairs = Counter((a, b) for a, b in product(COLOURS, COLOURS.values()) for answer in _answers(big)
                    if {a, b} <= set(answer.split()))  # fmt: skip
    assert max(pairs.values()) < 3 * min(pairs.values())


def test_a_bounded_vocabulary_knows_every_word(world: MiniMemes) -> None:
    tokenizer = tokenizer_of(world.sentences())
    assert len(tokenizer) < 64
    assert len(tokenizer) == len(tokenizer_of(mini_memes(items=5, seed=9).sentences()))
    for part in PARTS:
        for items in (world.literal(part), world.meaning(part), world.general(part)):
            data = Conversations(items, tokenizer, size=32)
            assert max(int((labels >= 0).sum()) for _, labels in data.encoded) <= 10
            assert not any((ids == tokenizer.unk_token_id).any() for ids, _ in data.encoded)


def test_what_is_hidden_is_not_there(world: MiniMemes) -> None:
    for whole, blind, mute in zip(
        world.meaning("test"), world.meaning("test", hide="picture"), world.meaning("test", hide="text"), strict=True
    ):
        title = whole[2]["title"]
        assert isinstance(blind[0], torch.Tensor)
        assert not blind[0].any()
        assert title in blind[1][0].question
        assert isinstance(whole[0], torch.Tensor)
        assert isinstance(mute[0], torch.Tensor)
        assert torch.equal(mute[0], whole[0])
        assert title not in mute[1][0].question
        assert whole[1][0].answer == blind[1][0].answer == mute[1][0].answer


@pytest.mark.parametrize("size", [16, 32, 48])
def test_pictures_show_both_figures_where_the_layout_says(size: int) -> None:
    red, blue = ("red", "square"), ("blue", "triangle")
    memes = [Meme(red, blue, layout, "rain", "great") for layout in LAYOUTS]
    pictures = draw(memes, size, torch.Generator().manual_seed(0))
    assert pictures.shape == (3, 3, size, size)
    assert pictures.dtype == torch.float32
    assert pictures.abs().max() <= 1
    grid = torch.arange(size).float()
    for picture, (right, down) in zip(pictures, [(0, 1), (1, 0), (1, 1)], strict=True):
        masks = [(picture[0] > 0.5).float(), (picture[2] > 0.5).float()]  # red, blue
        (y1, x1), (y2, x2) = [((m * grid[:, None]).sum() / m.sum(), (m * grid).sum() / m.sum()) for m in masks]
        assert (x2 - x1) / size == pytest.approx(right / 2, abs=0.12)
        assert (y2 - y1) / size == pytest.approx(down / 2, abs=0.12)


def test_each_shape_and_colour_looks_different() -> None:
    figures = list(product(COLOURS, SHAPES))
    memes = [Meme(figure, ("red", "circle"), "beside", "rain", "great") for figure in figures] * 32
    means = [draw(memes, 32, torch.Generator().manual_seed(seed)).view(32, 16, -1).mean(0) for seed in (0, 1)]
    assert torch.cdist(means[1], means[0]).argmin(1).tolist() == list(range(len(figures)))


def test_impossible_arguments_are_refused(world: MiniMemes) -> None:
    with pytest.raises(ValueError, match="items=0"):
        mini_memes(items=0)
    with pytest.raises(ValueError, match="image_size=8"):
        mini_memes(items=5, image_size=8)
    for ask in (world.literal, world.meaning, world.general):
        with pytest.raises(ValueError, match="train and test, not 'validation'"):
            ask("validation")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="hide='title'"):
        world.meaning("test", hide="title")  # type: ignore[arg-type]
