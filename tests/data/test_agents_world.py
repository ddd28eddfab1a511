"""The agents of the world know what they were trained on, state what they like, and see the classes they are shown."""

import pytest
import torch

from mmlab.data.worlds.agents_world import STATED, agents_world


@pytest.fixture(scope="module")
def world():
    return agents_world(0)


def right(items):
    return (items.tensors["answers"] == items.tensors["label"][:, None]).double()


def test_each_agent_is_good_at_its_own_half(world):
    label, correct = world.test.tensors["label"], right(world.test)
    low = label < 5
    assert correct[low, 0].mean() > correct[~low, 0].mean() + 0.3
    assert correct[~low, 1].mean() > correct[low, 1].mean() + 0.3


def test_the_parts_share_no_item_and_the_test_is_the_same_for_every_record(world):
    other = agents_world(0, record=50)
    assert len(other.train) == 50
    for key, values in world.test.tensors.items():
        assert torch.equal(values, other.test.tensors[key])
        assert torch.equal(world.train.tensors[key][:50], other.train.tensors[key])
    assert len(world.test) == 1797 - 1200


def test_what_is_stated_stands_on_few_levels_and_follows_the_probability_as_far_as_told():
    blunt, frank = (agents_world(1, candour=(share, share)).test for share in (0.0, 1.0))
    levels = torch.tensor(STATED)
    for items in (blunt, frank):
        assert torch.isin(items.tensors["confidences"][:, :2], levels).all()
    knows = []
    for items in (blunt, frank):
        s, r = items.tensors["confidences"][:, 0].double(), right(items)[:, 0]
        knows.append(float(torch.corrcoef(torch.stack([s, r]))[0, 1]))
    assert abs(knows[0]) < 0.12 < knows[1]


def test_a_search_in_fewer_pictures_is_worse_and_misleads_who_is_asked_again():
    few, many = agents_world(0, index=20).test, agents_world(0, index=600).test
    assert right(few)[:, 2].mean() < right(many)[:, 2].mean() - 0.3
    assert torch.equal(few.tensors["answers"][:, :2], many.tensors["answers"][:, :2])
    again = [(i.tensors["again"][:, :2] == i.tensors["label"][:, None]).double().mean() for i in (few, many)]
    assert again[1] > again[0] + 0.2
    assert torch.equal(many.tensors["again"][:, 2], many.tensors["answers"][:, 2])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"index": 4}, "index=4"), ({"record": 601}, "record=601"), ({"candour": (0.5, 1.5)}, "candour")],
)
def test_numbers_out_of_range_are_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        agents_world(**wrong)
