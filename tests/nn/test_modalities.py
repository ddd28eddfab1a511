"""Absent modalities: whatever stands in their place is never seen."""

import pytest
import torch
from torch import nn

from mmlab.nn.modalities import ModalityEncoders, drop_modalities, presence, read, sorted_shapes

SHAPES = {"image": (1, 4, 4), "audio": (6,)}


def batch():
    rng = torch.Generator().manual_seed(0)
    return {"image": torch.randn(3, 1, 4, 4, generator=rng), "audio": torch.randn(3, 6, generator=rng)}


def test_without_a_mask_everything_is_present():
    assert presence(batch(), "image").tolist() == [True, True, True]
    inputs, there = read(batch(), SHAPES)
    assert list(inputs) == list(there) == ["audio", "image"]
    assert torch.equal(inputs["image"], batch()["image"])


def test_absent_items_are_zero_even_where_they_are_not_numbers():
    given = batch() | {"audio_present": torch.tensor([True, False, True])}
    given["audio"][1] = torch.nan
    before = given["audio"].clone()
    inputs, there = read(given, SHAPES)
    assert inputs["audio"][1].tolist() == [0] * 6
    assert torch.equal(inputs["audio"][0], given["audio"][0])
    assert there["audio"].tolist() == [True, False, True]
    assert torch.equal(given["audio"].isnan(), before.isnan()), "the batch was changed"


@pytest.mark.parametrize("mask", [torch.ones(3), torch.ones(2, dtype=torch.bool), torch.ones(3, 1, dtype=torch.bool)])
def test_a_mask_that_is_none_is_refused(mask):
    with pytest.raises(ValueError, match="audio_present is"):
        read(batch() | {"audio_present": mask}, SHAPES)


def test_a_wrong_shape_and_a_missing_modality_are_named():
    with pytest.raises(ValueError, match=r"'image' has shape \(1, 4, 4\), but \(3, 4, 4\)"):
        read(batch(), SHAPES | {"image": (3, 4, 4)})
    with pytest.raises(KeyError, match="no 'text', only audio, image"):
        read(batch(), SHAPES | {"text": (5,)})


def test_modality_dropout_hides_as_often_as_it_says_and_never_the_last():
    there = {"image": torch.ones(20_000, dtype=torch.bool), "audio": torch.arange(20_000) % 2 == 0}
    kept = drop_modalities(there, 0.3, torch.Generator().manual_seed(0))
    assert (kept["image"] | kept["audio"]).all()
    assert not (kept["audio"] & ~there["audio"]).any()
    alone = ~there["audio"]
    assert kept["image"][alone].all()
    assert kept["image"][~alone].float().mean().item() == pytest.approx(1 - 0.3 * 0.7, abs=0.015)
    same = drop_modalities(dict(reversed(there.items())), 0.3, torch.Generator().manual_seed(0))
    assert all(torch.equal(kept[name], same[name]) for name in there)


def test_encoders_give_features_and_presence_in_sorted_order():
    encoders = ModalityEncoders(SHAPES, width=5)
    given = batch() | {"audio_present": torch.tensor([True, False, True])}
    given["audio"][1] = torch.nan
    z, present = encoders(given)
    assert list(z) == list(present) == list(encoders) == list(sorted_shapes(SHAPES)) == ["audio", "image"]
    assert z["audio"].shape == z["image"].shape == (3, 5)
    assert z["audio"].isfinite().all()
    assert present["audio"].tolist() == [True, False, True]
    torch.testing.assert_close(z["image"], encoders["image"](given["image"]))


def test_an_encoder_of_your_own_takes_its_place_and_the_others_are_made():
    mine = nn.Sequential(nn.Flatten(), nn.Linear(16, 5))
    encoders = ModalityEncoders(SHAPES, "perceptron", 5, encoders={"image": mine})
    assert encoders["image"] is mine
    torch.testing.assert_close(encoders(batch())[0]["image"], mine(batch()["image"]))
    assert isinstance(encoders["audio"], nn.Sequential)


def test_an_encoder_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="encoders: there is no modality 'imag'; did you mean 'image'"):
        ModalityEncoders(SHAPES, encoders={"imag": nn.Flatten()})
    with pytest.raises(
        TypeError, match=r"encoders\['image'\] is a str; give an nn.Module that makes features \(B, 64\)"
    ):
        ModalityEncoders(SHAPES, encoders={"image": "lenet"})
    encoders = ModalityEncoders(SHAPES, width=5, encoders={"image": nn.Flatten()})
    with pytest.raises(
        ValueError, match=r"encoders\['image'\] made \(3, 16\) of 3 items; with width=5 features are \(B, 5\)"
    ):
        encoders(batch())
