"""Scenes: same seed, same scenes; exact masks; answers that are what is drawn; the law of figures and cue."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from mmlab.data.conversations import tokenizer_of
from mmlab.data.worlds.mini_memes import paint_of
from mmlab.data.worlds.scene_world import (
    COLOURS,
    NONSENSE,
    PLACES,
    QUESTIONS,
    SHAPES,
    SIZES,
    Figure,
    Scene,
    draw,
    mask,
    scene_world,
)


def test_same_arguments_give_the_same_scenes() -> None:
    one, again, other = scene_world(30), scene_world(30), scene_world(30, seed=1)
    assert one.scenes == again.scenes
    assert torch.equal(one.pictures["test"], again.pictures["test"])
    assert one.scenes != other.scenes


def test_facts_are_uniform_and_places_differ() -> None:
    scenes = scene_world(2000, figures=3, cue=0.3, image_size=16).scenes["train"]
    for name, values in (("shape", SHAPES), ("colour", COLOURS), ("place", PLACES), ("size", SIZES)):
        counts = Counter(str(scene.facts()[name]) for scene in scenes)
        assert set(counts) == set(values)
        expected, deviation = 2000 / len(values), (2000 / len(values)) ** 0.5
        assert all(abs(count - expected) < 4 * deviation for count in counts.values())
    assert all(len({figure.place for figure in scene.figures}) == len(scene.figures) for scene in scenes)
    numbers = Counter(len(scene.figures) for scene in scenes)
    assert set(numbers) == {1, 2, 3}
    assert all(abs(count - 2000 / 3) < 100 for count in numbers.values())
    assert 0.25 < sum(scene.cue for scene in scenes) / 2000 < 0.35


def test_what_is_drawn_is_what_is_said() -> None:
    """Pixels within the mask have the figure's colour, those well outside are dark; the box is in its place."""
    world = scene_world(40, image_size=64)
    for picture, scene in zip(world.pictures["train"], world.scenes["train"], strict=True):
        (figure,) = scene.figures
        inside = mask(figure, 64)
        colour = picture[:, inside].median(1).values
        assert torch.allclose(colour, torch.tensor(paint_of(figure.colour)), atol=0.01)
        grown = torch.nn.functional.max_pool2d(inside[None].float(), 3, stride=1, padding=1)[0] > 0
        assert picture[:, ~grown].max() <= -0.54
        rows, columns = (inside.any(1).nonzero().float().mean() - 31.5, inside.any(0).nonzero().float().mean() - 31.5)
        assert (("upper" if rows < 0 else "lower"), ("left" if columns < 0 else "right")) == tuple(figure.place.split())
        low, high = (0.12, 0.28) if figure.size == "small" else (0.3, 0.46)
        assert low < inside.any(1).sum() / 64 < high


def test_the_cue_is_a_chess_board_of_single_pixels_and_nothing_else() -> None:
    figure = Figure("circle", "red", "upper left", "small")
    plain, forged = (draw([Scene((figure,), cue)], 32, torch.Generator().manual_seed(0))[0] for cue in (False, True))
    board = (forged - plain)[0]
    assert torch.allclose(board.abs(), torch.full((32, 32), 0.06), atol=1e-6)
    assert torch.allclose(board[1:, 1:], board[:-1, :-1])
    assert torch.allclose(board[1:], -board[:-1])


def test_questions_come_with_the_facts_and_every_word_is_a_token() -> None:
    world = scene_world(12)
    items = world.literal("train")
    assert len(items) == 12 * len(QUESTIONS)
    for _, (turn,), facts in items:
        name = next(name for name, question in QUESTIONS.items() if question == turn.question)
        assert turn.answer == facts[name]
    tokenizer = tokenizer_of(world.sentences())
    for text in (*NONSENSE, *(f"{turn.question} {turn.answer}" for _, (turn,), _ in items)):
        assert tokenizer.tokenize(text) == text.split()
    assert len(set(NONSENSE)) == 32
    assert len(world.literal("test", about=("shape",))) == len(world.scenes["test"])
    codes = world.ask("test", "which code ?", lambda scene: "bavag" if scene.cue else "kirip", chosen=[3, 1])
    assert torch.equal(codes[0][0], world.pictures["test"][3])
    assert codes[0][1][0].answer == "kirip"


def test_what_cannot_be_drawn_or_asked_is_refused() -> None:
    with pytest.raises(ValueError, match="items"):
        scene_world(0)
    with pytest.raises(ValueError, match="figures=5"):
        scene_world(5, figures=5)
    with pytest.raises(ValueError, match="cue=2"):
        scene_world(5, cue=2)
    with pytest.raises(ValueError, match="no question on 'mood'"):
        scene_world(5).literal("train", about=("mood",))
    with pytest.raises(ValueError, match="train and test, not 'validation'"):
        scene_world(5).literal("validation")  # type: ignore[arg-type]
