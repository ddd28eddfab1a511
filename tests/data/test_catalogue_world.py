"""The catalogue: its probabilities are those of its labels, and each source tells its own part."""

import torch

from mmlab.data.worlds.catalogue_world import catalogue_world
from mmlab.metrics.classification import area_under_curve, expected_calibration_error


def test_probabilities_are_calibrated_and_both_sources_tell_more_than_one():
    world = catalogue_world()
    items = world.draw(20_000, 3).tensors
    made = world.probability(items)
    assert expected_calibration_error(made, items["label"]) < 0.02
    both, *alone = (
        area_under_curve(world.probability(items, sources), items["label"])
        for sources in (("table", "words"), ("table",), ("words",))
    )
    assert both > max(alone) + 0.03
    assert min(alone) > 0.6
    assert abs(items["label"].double().mean() - 0.5) < 0.1


def test_texts_have_their_length_and_rows_are_reproducible():
    world = catalogue_world(vocabulary=20, length=5)
    items = world.draw(50, 1)
    assert (items.tensors["words"].sum(1) == 5).all()
    assert items.tensors["table"].shape == (50, 8)
    assert items.fingerprint() == catalogue_world(vocabulary=20, length=5).draw(50, 1).fingerprint()
    assert items.fingerprint() != world.draw(50, 2).fingerprint()
    nothing = world.probability(items.tensors, ())
    assert torch.equal(nothing, torch.full((50, 2), 0.5, dtype=torch.float64))
