"""The tree of hospitals: levels nest, siblings share a parent, and only the whole path names a study."""

import pytest
import torch

from mmlab.data.worlds.hospital_world import LEVELS, LONGEST, WORDS, hospital_world, joined


def test_levels_nest_and_siblings_share_a_parent():
    world = hospital_world(2, 3, 2)
    assert len(world.where) == 2 * 3 * 2 * 3
    assert [int(world.below(level, 1).sum()) for level in LEVELS] == [18, 6, 3, 1]
    for depth, level in enumerate(LEVELS[1:], 1):
        own, siblings = world.below(level, 1), world.siblings(level, 1)
        assert not (own & siblings).any()
        parents = world.where[own | siblings, depth - 1]
        assert (parents == parents[0]).all()
        assert (own | siblings).sum() == (world.where[:, depth - 1] == parents[0]).sum()
    assert (world.siblings("institution", 0) == world.below("institution", 1)).all()
    with pytest.raises(ValueError, match="no level 'ward'"):
        world.below("ward", 0)
    with pytest.raises(ValueError, match="no patient 9"):
        world.below("patient", 9)


def test_questions_hold_the_names_and_pictures_that_are_asked_for():
    world = hospital_world(2, 2, 2, seed=1)
    which = world.below("study", 3)
    plain, named = world.asked(which).tensors, world.asked(which, names=3, blank=True).tensors
    assert plain["length"].tolist() == [3] * 3
    assert named["length"].tolist() == [9] * 3
    said = [WORDS[t] for t in named["input_ids"][0, 1:9].tolist()]
    assert said == ["institution", "a", "patient", "b", "study", "b", "finding", "?"]
    assert not named["images"].any()
    assert torch.equal(plain["images"][0], plain["images"][1])
    assert torch.equal(plain["completions"][:, 0], world.secrets[which])
    assert plain["completions"].shape == (3, 1, LONGEST)
    assert len({tuple(row) for row in world.names.tolist()}) == 8
    assert len(joined(world.asked(), world.public)) == len(world.where) + 200


def test_siblings_look_alike_and_the_same_seed_gives_the_same_tree():
    world = hospital_world()
    first = world.pictures[0]
    apart = [(first - world.pictures[k]).abs().mean() for k in (3, 6, 18)]  # study, patient, institution
    assert 0 < apart[0] < apart[1] < apart[2]
    assert torch.equal(world.secrets, hospital_world().secrets)
    assert not torch.equal(world.secrets, hospital_world(seed=1).secrets)
    with pytest.raises(ValueError, match="letters"):
        hospital_world(patients=30)
