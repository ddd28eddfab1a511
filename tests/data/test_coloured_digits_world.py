"""Grey and coloured digits: what is the same, what is not, and who is in which set."""

import colorsys

import numpy as np
import pytest
import torch

from mmlab.data.worlds.coloured_digits_world import coloured_digits_world, paint, saturation


@pytest.fixture(scope="module")
def world():
    return coloured_digits_world()


def test_colours_are_those_of_the_library():
    hues = torch.tensor([0.0, 0.1, 1 / 3, 0.55, 0.9])
    painted = paint(torch.full((5, 1, 1), 0.8), hues)[:, :, 0, 0]
    expected = torch.tensor([colorsys.hsv_to_rgb(hue, 1.0, 0.8) for hue in hues.tolist()])
    torch.testing.assert_close(painted, expected)


def test_the_largest_channel_is_the_grey_image(world):
    batch = world.pairs.tensors
    torch.testing.assert_close(batch["target"].amax(1), batch["source"][:, 0])
    assert (saturation(batch["target"]) > 0.99).all()
    assert (saturation(batch["source"]) < 0.01).all()


def test_the_judge_reads_the_test_digits_in_any_colour(world):
    test = world.test.tensors
    assert world.kept(test["target"], test["label"]) == world.kept(test["source"], test["label"]) > 0.94
    assert world.kept(test["target"], test["label"].roll(1)) < 0.25
    assert world.kept(test["target"].flip(3), test["label"]) < 0.7


def test_test_images_and_both_unpaired_halves_are_different_digits(world):
    def images(data, key):
        return {tensor.amax(0).numpy().tobytes() for tensor in data.tensors[key]}

    test, sources, targets = (
        images(world.test, "source"),
        images(world.unpaired, "source"),
        images(world.unpaired, "target"),
    )
    assert not test & images(world.pairs, "source")
    assert len(sources & targets) <= 2  # the library has a few identical images
    assert not test & (sources | targets)


def test_the_same_seed_gives_the_same_world(world):
    assert coloured_digits_world().unpaired.fingerprint() == world.unpaired.fingerprint()
    assert coloured_digits_world(seed=1).unpaired.fingerprint() != world.unpaired.fingerprint()


def test_mnist_takes_the_same_path(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    with pytest.raises(FileNotFoundError, match=r"There is no .*mnist\.npz"):
        coloured_digits_world("mnist")
    (tmp_path / "mnist" / "mnist.npz").touch()
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8), np.arange(300, dtype=np.uint8) % 10

    def read(path, expected, remedy):
        assert {"x_train", "y_train"} <= set(expected)
        return {"x_train": images, "y_train": labels}

    monkeypatch.setattr("mmlab.data.files.arrays.read_arrays", read)
    monkeypatch.setattr("sklearn.linear_model.LogisticRegression.fit", lambda self, x, y: self)
    made = coloured_digits_world("mnist", test=100)
    assert made.pairs[0]["source"].shape == (3, 28, 28)
    assert made.pairs.tensors["target"].max() == 1
    assert len(made.pairs) == 200


@pytest.mark.parametrize("arguments", [{"origin": "svhn"}, {"test": 0}, {"test": 1700}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match=r"no origin 'svhn'|fewer than 200"):
        coloured_digits_world(**arguments)
