"""The reader of facts: its targets, that it learns places, and that it names facts as the world does."""

from __future__ import annotations

import torch

import mmlab
from mmlab.bases.findings_reader import FindingsReader, labels
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import POSITIONS, SHAPES, UNSEEN, Scene, colonoscopy_world
from mmlab.metrics.faithfulness import faithfulness


def test_targets_are_the_facts() -> None:
    none = Scene((), "flat", "small", instrument=True, text=False, artefact="bubbles")
    two = Scene(("upper left", "centre"), UNSEEN, "large", instrument=False, text=True, artefact="none")
    made = labels([none, two])
    assert made["number"].tolist() == [0, 2]
    assert made["shape"].tolist() == [-100, 3]
    assert made["size"].tolist() == [-100, 2]
    assert made["artefact"].tolist() == [1, 0]
    assert made["cells"].tolist() == [[0.0] * 5, [1.0, 0, 0, 0, 1.0]]
    assert made["switches"].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_what_is_read_has_the_names_of_the_facts_and_some_training_finds_text_and_place() -> None:
    world = colonoscopy_world(300, seed=5, shapes=(*SHAPES, UNSEEN))
    reader = FindingsReader.seeded(0, 32, width=8)
    data = TensorData({"image": world.pictures, **labels(world.scenes)})
    mmlab.fit(reader, data, steps=120, batch_size=50, lr=5e-3, progress=False)
    read = reader.read(world.pictures)
    assert not reader.training
    for facts in read:
        assert facts["presence"] == (facts["number"] > 0) == ("shape" in facts)
        assert set(facts.get("positions", ())) <= set(POSITIONS)
    found = faithfulness(read, [scene.facts() for scene in world.scenes])
    assert found["text"] > 0.9
    assert found["presence"] > 0.8
    assert reader.embed(world.pictures[:3]).shape == (3, 64)


def test_it_reads_nothing_off_other_pictures_in_the_batch() -> None:
    reader = FindingsReader.seeded(1)
    pictures = torch.rand(6, 3, 32, 32) * 2 - 1
    assert reader.read(pictures)[2] == reader.read(pictures[2:3])[0]
