"""The drawn colonoscopies: what a scene says is what is drawn, and what a prompt says is what the scene says."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.worlds.colonoscopy_world import (
    ARTEFACTS,
    POSITIONS,
    SHAPES,
    SIZES,
    UNSEEN,
    WORDS,
    Scene,
    colonoscopy_world,
    describe,
    draw,
)

PLAIN = Scene(("centre",), "sessile", "medium", instrument=False, text=False, artefact="none")


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_same_seed_gives_the_same_world_and_the_global_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (colonoscopy_world(40, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.pictures, same.pictures)
    assert one.prompts == same.prompts
    assert one.scenes == same.scenes
    assert not torch.equal(one.pictures, other.pictures)
    assert len(one) == 40
    assert one.pictures.shape == (40, 3, 32, 32)
    assert one.pictures.min() >= -1
    assert one.pictures.max() <= 1


@pytest.mark.parametrize("size", [32, 48])
def test_each_polyp_lies_in_its_mask_at_its_place_and_of_its_size(size: int) -> None:
    axis = (torch.arange(size) + 0.5) / size * 2 - 1
    for shape in (*SHAPES, UNSEEN):
        for place, (across, down) in POSITIONS.items():
            scenes = [PLAIN._replace(positions=(place,), shape=shape, size=name) for name in SIZES]
            _, masks = draw(scenes, size, _rng())
            areas = masks.sum((1, 2))
            assert (areas[1:] > areas[:-1]).all(), f"{shape}: a larger polyp is not larger"
            for mask in masks:
                down_of, across_of = mask.nonzero().float().mean(0).round().long()
                assert abs(axis[across_of] - across) < 0.2, f"{shape} in the {place}"
                assert abs(axis[down_of] - down) < 0.25


def test_masks_are_where_a_polyp_changes_the_picture_and_empty_without_one() -> None:
    scene = PLAIN._replace(positions=("upper left", "lower right"), size="large")
    with_polyps, mask = draw([scene], 32, _rng(1))
    assert mask[0, 3:12, 3:12].any()
    assert mask[0, 20:29, 20:29].any()
    assert not mask[0, 3:12, 20:29].any()
    bare, none = draw([scene._replace(positions=())], 32, _rng(1))
    assert not none.any()
    assert with_polyps[0][:, mask[0]].std() > bare[0][:, mask[0]].std()


@pytest.mark.parametrize("change", [{"instrument": True}, {"text": True}, {"artefact": "green box"}])
def test_each_further_fact_can_be_seen(change: dict[str, object]) -> None:
    plain, _ = draw([PLAIN._replace(positions=())], 32, _rng())
    changed, _ = draw([PLAIN._replace(positions=(), **change)], 32, _rng())  # type: ignore[arg-type]
    assert (changed - plain).abs().amax(1).gt(0.3).sum() > 15


def test_prompts_tell_what_is_so_in_known_words() -> None:
    world = colonoscopy_world(300, seed=1, shapes=(*SHAPES, UNSEEN))
    for scene, prompt in zip(world.scenes, world.prompts, strict=True):
        facts = scene.facts()
        assert prompt.told
        assert all(facts[name] == value for name, value in prompt.told.items())
        assert set(prompt.text.lower().rstrip(".").split()) <= set(WORDS)
    everything = describe(Scene(("upper left",), "flat", "small", instrument=True, text=True, artefact="green box"))
    assert everything.text == (
        "Generate an image with one small flat polyp in the upper left and an instrument and text and a green box."
    )
    assert set(everything.told) == {"number", "presence", "size", "shape", "position", "instrument", "text", "artefact"}
    none = describe(PLAIN._replace(positions=()), ["others"])
    assert none.text == "Generate an image with no polyps."
    assert none.told == {"number": 0, "presence": False}


def test_the_unseen_shape_comes_on_request_alone_and_the_mixture_is_as_said() -> None:
    world = colonoscopy_world(2000, seed=2)
    assert all(scene.shape in SHAPES for scene in world.scenes)
    numbers = torch.tensor([len(scene.positions) for scene in world.scenes]).bincount() / len(world)
    torch.testing.assert_close(numbers, torch.tensor([0.25, 0.5, 0.125, 0.125]), atol=0.04, rtol=0)
    assert {scene.artefact for scene in world.scenes} == set(ARTEFACTS)
    only = colonoscopy_world(50, shapes=(UNSEEN,), least=1)
    assert all(scene.shape == UNSEEN and scene.positions for scene in only.scenes)


def test_bad_arguments_get_one_sentence() -> None:
    for change in ({"pictures": 0}, {"size": 8}, {"least": 2}):
        with pytest.raises(ValueError, match="there must be 1 picture"):
            colonoscopy_world(**change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose from pedunculated"):
        colonoscopy_world(5, shapes=("round",))
    with pytest.raises(ValueError, match="choose from pedunculated"):
        colonoscopy_world(5, shapes=())
