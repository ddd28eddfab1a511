"""The mini-memes: fields, what is held out, what leaks, ceilings against enumeration, pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.data.mini_memes import (
    MiniMemes,
    mini_memes,
)

PARTS = ("train", "test")


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
    assert not set(_answers(world.general("train"))) & set(_answers(world.general("test")))


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
