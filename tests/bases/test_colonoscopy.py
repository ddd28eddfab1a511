"""The text-to-image base: what it is trained on, in which order, and the folder that plain diffusers loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mmlab.bases import colonoscopy as bases
from mmlab.data.prompts import encode_prompts
from mmlab.data.worlds.colonoscopy_world import SHAPES, UNSEEN, WORDS, colonoscopy_world


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, dict[str, Any]]]:
    """Training is only noted, on few pictures."""
    noted: list[tuple[Any, Any, dict[str, Any]]] = []

    def note(method: Any, dataset: Any, **settings: Any) -> Any:
        noted.append((method, dataset, settings))
        return method.eval()

    monkeypatch.setattr(bases, "trained_once", note)
    monkeypatch.setattr(bases, "PICTURES", 40)
    return noted


def test_stages_come_before_the_rounds_and_only_the_autoencoder_sees_the_unseen_shape(calls: list[Any]) -> None:
    base = bases.colonoscopy_base(seed=2)
    assert [type(method).__name__ for method, _, _ in calls[:2]] == ["FirstStage", "TextStage"]
    rounds = calls[2:]
    assert len(rounds) == len(bases.ROUNDS)
    assert all(method is base and set(data.tensors) == {"input_ids", "moments"} for method, data, _ in rounds)
    assert len({settings["seed"] for _, _, settings in rounds}) == len(rounds), "a round would repeat another's draws"
    unseen = encode_prompts([UNSEEN], bases.tokenizer())[0, 1]
    assert not (rounds[0][1].tensors["input_ids"] == unseen).any()
    pictures = colonoscopy_world(40, seed=3, shapes=(*SHAPES, UNSEEN)).pictures
    assert torch.equal(calls[0][1].tensors["image"], pictures)
    world = colonoscopy_world(40, seed=2)
    assert torch.equal(rounds[0][1].tensors["moments"][:40], bases.codes_of(base, world).tensors["moments"])
    assert not any(p.requires_grad for p in base.vae.parameters())
    assert all(p.requires_grad for p in base.text_encoder.parameters())


def test_the_same_seed_gives_the_same_base_and_another_another(calls: list[Any]) -> None:
    before = torch.get_rng_state()
    one, same, other = (bases.colonoscopy_base(seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_longest_prompt_has_room_and_each_word_is_one_token() -> None:
    words = bases.tokenizer()
    longest = (
        "Generate an image with three medium pedunculated polyp in the upper right and an instrument and text and a "
        "green box."
    )
    assert encode_prompts([longest], words).shape == (1, bases.LENGTH)
    assert all(len(words(word)["input_ids"]) == 3 for word in WORDS)


def test_plain_diffusers_loads_the_folder(calls: list[Any], tmp_path: Path) -> None:
    from diffusers import DiffusionPipeline

    bases.save_base(tmp_path / "base")
    pipeline = DiffusionPipeline.from_pretrained(tmp_path / "base")
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(3))
    text = "Generate an image with one flat polyp in the centre."
    made = pipeline(text, num_inference_steps=2, guidance_scale=2.0, latents=noise, output_type="pt").images
    ids = encode_prompts([text], bases.tokenizer())
    rng = torch.Generator().manual_seed(3)
    ours = bases.colonoscopy_base().sample(ids, steps=2, guidance=2.0, rng=rng)
    torch.testing.assert_close(made * 2 - 1, ours.clamp(-1, 1), atol=1e-4, rtol=1e-3)


def test_lessons_show_single_polyps_twice_and_mostly_tell_all() -> None:
    world = colonoscopy_world(40, seed=3)
    base = bases.untrained_base(world, bases.FirstStage.seeded(0, bases.VAE))
    data, plain = bases.lessons_of(base, world).tensors, bases.codes_of(base, world).tensors
    single = [row for row, scene in enumerate(world.scenes) if len(scene.positions) == 1]
    rows = [*range(40), *single]
    assert torch.equal(data["moments"], plain["moments"][rows])
    every = encode_prompts([bases.describe(scene).text for scene in world.scenes], bases.tokenizer())[rows]
    all_told = (data["input_ids"] == every).all(1)
    as_before = (data["input_ids"] == plain["input_ids"][rows]).all(1)
    assert (all_told | as_before).all()
    assert 0.6 < all_told.float().mean() < 1
