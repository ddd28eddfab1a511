"""Episodes are balanced, their law is the one that is told, and test pictures are of digits that training has not."""

import pytest
import torch

from mmlab.data.worlds.episode_world import LOUD, QUIET, _digits, digit_episodes, episode_world


def test_every_even_number_of_demonstrations_is_balanced() -> None:
    for world in (episode_world(0, train=50, test=12), digit_episodes(0, train=50, test=12)):
        for part in (world.train, world.validation, world.test):
            said = part.tensors["said"]
            for count in range(2, said.shape[1] + 1, 2):
                assert bool((said[:, :count].sum(1) == count // 2).all())
        assert world.train.tensors["together"].double().mean() == 0.5
        assert not world.test.tensors["together"].any()


def test_the_law_is_the_one_that_is_told() -> None:
    world = episode_world(1, train=3000)
    assert world.within is not None
    sizes = torch.linalg.eigvalsh(world.within)
    assert torch.allclose(sizes, torch.tensor([QUIET**2] * 3 + [LOUD**2] * 5), atol=1e-3)
    items = world.train.tensors
    centre = torch.stack([items["shown"][items["said"] == k] for k in (0, 1)])
    whole = torch.cov(centre.flatten(0, 1).T)
    assert torch.allclose(whole, world.within + torch.eye(8), atol=0.35)
    other = episode_world(1, train=3000)
    assert torch.equal(other.test.tensors["shown"], world.test.tensors["shown"])
    assert not torch.equal(episode_world(2, train=10).test.tensors["shown"], world.test.tensors["shown"])


def test_digits_of_the_parts_and_no_picture_twice_in_an_episode() -> None:
    world = digit_episodes(0, train=60, test=30)
    features, digit = _digits()
    for part, wanted in ((world.train, range(6)), (world.validation, range(6)), (world.test, range(6, 10))):
        items = part.tensors
        for shown, said, asked, label in zip(*(items[k] for k in ("shown", "said", "asked", "right")), strict=True):
            rows = torch.cdist(torch.cat([shown, asked]), features).argmin(1)
            assert len(rows.unique()) == len(rows)
            kinds = digit[rows]
            assert set(kinds.tolist()) <= set(wanted)
            for side in (0, 1):
                assert len(kinds[torch.cat([said, label]) == side].unique()) == 1


def test_the_held_pictures_are_not_those_of_training() -> None:
    world = digit_episodes(0, train=200, test=90)
    features, _ = _digits()

    def rows(part: torch.Tensor) -> set[int]:
        return set(torch.cdist(part.flatten(0, 1), features).argmin(1).tolist())

    assert not rows(world.train.tensors["shown"]) & rows(world.validation.tensors["shown"])


def test_odd_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="must be even"):
        episode_world(shots=3)
    with pytest.raises(ValueError, match="too small"):
        digit_episodes(train=0)
