"""The order of the data: permutations per epoch, and positions that are computed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_toys import Augmented, data

from mmlab.data.batches import collate, read
from mmlab.data.tensors import TensorData
from mmlab.train.randomness import derive
from mmlab.train.sampler import Feed, Order, cut, stream

# From Python 3.12 on, forking a worker from a process with threads warns; the test runner has threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**40))
def test_every_epoch_is_a_permutation(length, batch_size, seed):
    order = Order(length, batch_size, 1, seed)
    steps = -(-3 * length // batch_size)
    drawn = torch.cat([order.indices(step) for step in range(steps)])
    assert all(len(order.indices(step)) == batch_size for step in range(steps))
    for epoch in range(3):
        assert drawn[epoch * length : (epoch + 1) * length].sort().values.tolist() == list(range(length))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 50), st.integers(1, 40), st.integers(1, 40), st.integers(0, 500))
def test_the_pieces_make_up_the_batch(length, batch_size, pieces, step):
    pieces = min(pieces, batch_size)
    whole = Order(length, batch_size, 1, 7).indices(step)
    order = Order(length, batch_size, pieces, 7)
    parts = [order.indices(step, piece) for piece in range(pieces)]
    assert torch.equal(torch.cat(parts), whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_position_function():
    order = Order(10, 4, 1, 5)
    for step in (0, 2, 7, 1000):
        expected = [order.permutation(p // 10)[p % 10].item() for p in range(4 * step, 4 * step + 4)]
        assert order.indices(step).tolist() == expected


def test_indices_do_not_depend_on_what_was_asked_before():
    walked = Order(23, 7, 2, 1)
    rows = {step: walked.indices(step, 1) for step in range(40)}
    for step in (39, 3, 17, 0):
        assert torch.equal(Order(23, 7, 2, 1).indices(step, 1), rows[step])


def test_seed_and_epoch_change_the_order():
    a, b = Order(100, 100, 1, 0), Order(100, 100, 1, 1)
    assert not torch.equal(a.indices(0), b.indices(0))
    assert not torch.equal(a.indices(0), a.indices(1))
    assert not torch.equal(a.indices(1), b.indices(0))  # seed + epoch would make these two equal


def test_permutations_are_uniform():
    counts = np.zeros((5, 5))
    for seed in range(2000):
        counts[np.arange(5), Order(5, 5, 1, seed).indices(0).numpy()] += 1
    statistic = ((counts - 400) ** 2 / 400).sum()
    assert statistic < 39.3  # chi-squared with 16 degrees of freedom: 0.999 quantile


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(1, 50))
def test_cut_covers_the_range(length, pieces):
    assert [i for piece in range(pieces) for i in cut(length, pieces, piece)] == list(range(length))


def test_derived_seeds_are_fixed_and_distinct():
    assert derive(0, "noise", 1, 2) == 3420038565190068946  # a change of this number breaks every checkpoint
    seeds = {derive(s, "noise", a, b) for s in range(10) for a in range(20) for b in range(20)}
    assert len(seeds) == 4000
    assert derive(1, "a", 23) != derive(1, "a2", 3)


def test_augmentation_belongs_to_the_position():
    feed = Feed(Augmented(data(20)), Order(20, 6, 1, 0))
    again = Feed(Augmented(data(20)), Order(20, 6, 3, 0))  # the same batch in three pieces
    first = [feed[step, 0]["x"] for step in range(5)]
    pieces = [torch.cat([again[step, piece]["x"] for piece in range(3)]) for step in reversed(range(5))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, pieces, strict=True))
    plain = Feed(data(20), Order(20, 6, 1, 0))[0, 0]["x"]
    noise = first[0] - plain
    assert noise.min() >= 0
    assert noise.unique().numel() > 20  # every item has its own


class Listed:
    """A dataset of dicts with numbers, without a fast way, that draws from the global generators."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return {"b": index, "a": np.float32(index), "r": torch.rand(2) + float(np.random.rand())}  # noqa: NPY002


class Many(Listed):
    def __getitems__(self, indices):
        return [{"b": index, "a": -1.0, "r": torch.zeros(2)} for index in indices]


@pytest.mark.parametrize("workers", [0, 2])
def test_streams_are_the_same_with_and_without_workers(workers):
    feed = Feed(Listed(), Order(12, 5, 2, 0))
    keys = [(step, piece) for step in range(4) for piece in range(2)]
    expected = [feed[key] for key in reversed(keys)][::-1]
    for ours, theirs in zip(stream(feed, keys, workers), expected, strict=True):
        assert list(ours) == ["a", "b", "r"]
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_fast_ways_are_taken():
    assert read(Many(), torch.tensor([3, 1]))["a"].tolist() == [-1.0, -1.0]
    assert read(data(5), torch.tensor([3, 1]))["x"].shape == (2, 4)


def test_collate_names_the_item_that_differs():
    with pytest.raises(ValueError, match=r"Item 9: 'x' has shape \(3,\), in item 4 it is \(2,\)"):
        collate([{"x": torch.zeros(2)}, {"x": torch.zeros(3)}], [4, 9])
    with pytest.raises(ValueError, match=r"Item 9 has the keys \['y'\], item 4 has \['x'\]"):
        collate([{"x": torch.zeros(2)}, {"y": torch.zeros(2)}], [4, 9])


def test_collate_names_the_item_that_is_none():
    with pytest.raises(ValueError, match="Item 4 is a tuple; an item must be a dict of tensors"):
        collate([(torch.zeros(2), 1)], [4])
    with pytest.raises(ValueError, match="Item 9 is a list"):
        collate([{"x": 1}, [1]], [4, 9])
    with pytest.raises(ValueError, match="Item 4: 'name' is a str, of which no tensor can be made"):
        collate([{"name": "ann", "x": 1}], [4])


def test_tensor_data():
    tensors = TensorData({"b": torch.arange(6.0).view(3, 2), "a": torch.arange(3)}, subjects=["x", "y", "z"])
    assert list(tensors[1]) == ["a", "b"]
    subset = tensors.subset([2, 0])
    assert subset.subjects == ["z", "x"]
    assert torch.equal(subset.batch(torch.tensor([1, 0]))["b"], torch.tensor([[0.0, 1.0], [4.0, 5.0]]))
    assert [item["a"].item() for item in subset] == [2, 0]
    assert "b (2,)" in repr(tensors)
    assert tensors.fingerprint() == TensorData(tensors.tensors).fingerprint()
    assert tensors.fingerprint() != subset.fingerprint()
    with pytest.raises(IndexError):
        tensors[3]
    with pytest.raises(ValueError, match="a 3, b 2"):
        TensorData({"a": torch.zeros(3), "b": torch.zeros(2)})
    with pytest.raises(ValueError, match="a 3, subjects 2"):
        TensorData({"a": torch.zeros(3)}, subjects=["x", "y"])
    with pytest.raises(TypeError, match="'a' is a list"):
        TensorData({"a": [1, 2]})
    with pytest.raises(ValueError, match="at least one"):
        TensorData({})
