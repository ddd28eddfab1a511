"""The world of headsets: masks are exact, people are apart, and the posterior is that of the law it is drawn from."""

import pytest
import torch

from mmlab.data.worlds.headset_world import (
    EMOTIONS,
    NUMBERS,
    SEEN,
    covers,
    draw_faces,
    headset_world,
    items_of,
    posterior,
    render,
    worn,
)
from mmlab.metrics.classification import expected_calibration_error


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_the_upper_numbers_move_lies_below_every_box():
    a = 1.5 * torch.randn(400, 8, generator=rng())
    looks = torch.rand(400, 3, generator=rng(1))
    other = torch.cat([1.5 * torch.randn(400, 4, generator=rng(2)), a[:, 4:]], 1)
    boxes = covers(400, rng(3))
    for before, after in zip(render(a, looks), render(other, looks), strict=True):
        assert torch.equal(before.masked_fill(boxes, 0), after.masked_fill(boxes, 0))
        assert not torch.equal(before, after)
    short = covers(400, rng(3), bottom=6)  # a box that ends too high lets something through
    picture, changed = render(a, looks)[0], render(other, looks)[0]
    assert not torch.equal(picture.masked_fill(short, 0), changed.masked_fill(short, 0))


def test_each_number_is_seen_by_the_modality_that_is_said_to_see_it():
    looks = torch.rand(1, 3, generator=rng())
    base = render(torch.zeros(1, 8), looks)
    for number in range(len(NUMBERS)):
        moved = render(0.8 * torch.eye(8)[number : number + 1], looks)
        for m, name in enumerate(("picture", "depth")):
            assert torch.equal(base[m], moved[m]) == (number not in SEEN[name])


def test_a_headset_changes_its_box_and_nothing_else():
    faces = draw_faces(3, 1, rng())
    for before, after in zip((faces.picture, faces.depth), worn(faces), strict=True):
        assert torch.equal(before[~faces.cover], after[~faces.cover])
        assert len(after[faces.cover].unique()) == 1
    alone = items_of(faces, True, ("depth",))
    assert alone["picture_hidden"].all()
    assert torch.equal(alone["depth_hidden"], faces.cover)


def test_the_posterior_is_calibrated_and_that_of_the_normal_law():
    faces = draw_faces(1500, 1, rng(5))
    for seen in ((4, 5), (3, 6, 7), tuple(range(8))):
        p = posterior(faces.numbers, seen)
        assert expected_calibration_error(p, faces.label) < 0.03
    means = torch.stack([faces.numbers[faces.label == e].mean(0) for e in range(6)])
    law = torch.distributions.MultivariateNormal(means, (0.25**2 + 0.35**2) * torch.eye(8))
    by_law = law.log_prob(faces.numbers[:, None]).softmax(1)
    torch.testing.assert_close(by_law, posterior(faces.numbers, range(8)), atol=0.15, rtol=0)


def test_nobody_is_in_two_parts_and_the_same_seed_gives_the_same_faces():
    world = headset_world((4, 2, 3), (1, 1, 2), seed=3)
    assert [len(part.label) for part in world.parts.values()] == [24, 12, 36]
    assert len(world.train) == 48
    again = headset_world((4, 2, 3), (1, 1, 2), seed=3)
    assert torch.equal(world.parts["test"].depth, again.parts["test"].depth)
    assert world.parts["test"].label.bincount().tolist() == [6] * len(EMOTIONS)
    with pytest.raises(ValueError, match="people"):
        headset_world((4, 0, 3))
