"""The readers of a field guide: they learn from lessons, and a copy that goes on leaves them as they are."""

import torch

from mmlab.bases.guide_readers import guide_readers, taught
from mmlab.data.worlds.field_guide_world import field_guide_world


def test_a_copy_goes_on_learning_and_the_reader_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    first, second = guide_readers(seeds=2, steps=2)
    before = {key: value.clone() for key, value in first.state_dict().items()}
    assert not torch.equal(before["policy.head.weight"], second.state_dict()["policy.head.weight"])
    world = field_guide_world(pictures=64, named=1, lessons=64)
    rows = {key: value[:64] for key, value in world.lessons.tensors.items()}
    copy = taught(first, world.lessons, steps=30)
    rng = torch.Generator()
    assert copy.loss(rows, rng)["loss"].item() < 0.8 * first.loss(rows, rng)["loss"].item()
    assert all(torch.equal(value, first.state_dict()[key]) for key, value in before.items())
