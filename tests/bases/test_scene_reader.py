"""The reader of scenes: built the same each time, and trained on the questions of its world alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmlab.bases import scene_reader as bases
from mmlab.data.worlds.scene_world import NONSENSE, QUESTIONS, scene_world


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Training is only noted, on a few scenes."""
    noted: list[tuple[Any, Any, dict[str, Any]]] = []

    def note(method: Any, dataset: Any, **settings: Any) -> Any:
        noted.append((method, dataset, settings))
        return method

    monkeypatch.setattr(bases, "trained_once", note)
    monkeypatch.setattr(bases, "scene_world", lambda items, seed: scene_world(items=10, seed=seed))
    return noted


def test_it_is_trained_on_the_questions_and_knows_no_nonsense(calls: list[Any]) -> None:
    reader, _ = bases.scene_reader(seed=1, steps=7)
    ((method, data, settings),) = calls
    assert method is reader
    assert (settings["seed"], settings["steps"]) == (1, 7)
    assert all(parameter.requires_grad for parameter in reader.parameters())
    assert {turns[0].question for _, turns, _ in data.items} == set(QUESTIONS.values())
    assert not any(set(NONSENSE) & set(turns[0].answer.split()) for _, turns, _ in data.items)
    assert set(data.tokenizer.tokenize(" ".join(NONSENSE))) >= set(NONSENSE)  # though it could write it


def test_the_seed_decides_everything_and_the_global_state_is_left_alone(calls: list[Any]) -> None:
    before = torch.get_rng_state()
    (a, world), (b, _), (c, other) = (bases.scene_reader(seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    states = [method.state_dict() for method in (a, b, c)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    assert not torch.equal(world.pictures["test"], other.pictures["test"])


def test_it_answers_in_words_of_its_world() -> None:
    world = scene_world(items=3)
    reader = bases.untrained_reader(world)
    data = bases.conversations_of(world, world.literal("test"))
    written = reader.generate(data.prompts([0, 1]), max_new_tokens=3, do_sample=False)
    assert written.shape[0] == 2
    assert int(written.max()) < len(data.tokenizer)
