"""The base of the book: built the same each time, trained on what it may know, and frozen where it should be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.bases import tiny_llava as bases
from mmlab.data.conversations import tokenizer_of
from mmlab.data.worlds.mini_memes import mini_memes


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Training is only noted."""
    noted: list[tuple[Any, Any, dict[str, Any]]] = []

    def note(method: Any, dataset: Any, **settings: Any) -> Any:
        assert all(p.requires_grad for p in method.vision_tower.parameters())  # nobody has trained it before
        noted.append((method, dataset, settings))
        return method.eval()

    monkeypatch.setattr(bases, "trained_once", note)
    return noted


def test_it_is_trained_on_the_literal_and_the_general_task_alone(calls: list[Any]) -> None:
    base, world = bases.tiny_base(seed=1)
    ((method, data, settings),) = calls
    assert method is base
    assert settings["seed"] == 1
    asked = [turns[0].question for _, turns, _ in data.items]
    assert not any("mean" in question for question in asked)
    verbs = {meme.verb for meme in world.memes["train"]}
    with_picture = [turns[0].answer for picture, turns, _ in data.items if picture is not None]
    assert with_picture
    assert not any(verbs & set(answer.split()) for answer in with_picture)
    assert not any(p.requires_grad for p in base.vision_tower.parameters())
    assert all(p.requires_grad for p in base.connector.parameters())


def test_the_seed_decides_everything_and_the_global_state_is_left_alone(calls: list[Any]) -> None:
    before = torch.get_rng_state()
    (a, world), (b, _), (c, other) = (bases.tiny_base(seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    states = [method.state_dict() for method in (a, b, c)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    assert not torch.equal(world.pictures["test"], other.pictures["test"])


def test_parts_can_be_exchanged() -> None:
    world = mini_memes(items=20)
    base = bases.untrained_base(world, connector="resampler", queries=3)
    assert base.image_tokens == 3
    assert bases.untrained_base(world).image_tokens == 16
    assert base.language_model.config.vocab_size == len(tokenizer_of(world.sentences()))
