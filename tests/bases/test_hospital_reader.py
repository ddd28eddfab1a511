"""The reader of the hospitals learns what it is given, and nothing of what is left out."""

import torch

from mmlab.bases.hospital_reader import READER, hospital_reader
from mmlab.data.worlds.hospital_world import LONGEST, hospital_world
from mmlab.methods.unlearning import Unlearning


def test_what_is_left_out_is_less_probable_than_what_was_learnt():
    world = hospital_world(2, 2, 2, public=40)
    out = world.below("patient", 1)
    model = Unlearning.seeded(0, READER, words=LONGEST)
    model.policy.load_state_dict(hospital_reader(world, out, steps=60))
    with torch.no_grad():
        known, unknown = (model.likelihood(world.asked(which).tensors).mean() for which in (~out, out))
    assert known > unknown + 1
