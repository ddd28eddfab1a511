"""The order of the data: permutations per epoch, and positions that are computed."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_toys import Augmented, data

from mmlab.data.batches import collate, read
from mmlab.data.tensors import TensorData
from mmlab.train import sampler
from mmlab.train.randomness import derive
from mmlab.train.sampler import Feed, Order, cut, stream
from mmlab.train.shuffle import shuffled

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
        expected = [order.epoch(p // 10, p % 10, p % 10 + 1).item() for p in range(4 * step, 4 * step + 4)]
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


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 3000), st.integers(0, 2**40))
def test_what_is_computed_place_by_place_is_a_permutation(length, seed):
    items = shuffled(np.arange(length, dtype=np.uint64), length, seed)
    assert sorted(items.tolist()) == list(range(length))
    assert shuffled(np.array([length // 2], dtype=np.uint64), length, seed)[0] == items[length // 2]


def test_it_is_uniform_for_single_places_and_for_pairs():
    single, pairs = np.zeros((7, 7)), np.zeros((7, 7))
    for seed in range(4000):
        items = shuffled(np.arange(7, dtype=np.uint64), 7, seed)
        single[np.arange(7), items] += 1
        pairs[items[0], items[1]] += 1
    assert ((single - 4000 / 7) ** 2 / (4000 / 7)).sum() < 67.99  # chi-squared, 36 degrees of freedom: 0.999 quantile
    off = pairs[~np.eye(7, dtype=bool)]
    assert ((off - 4000 / 42) ** 2 / (4000 / 42)).sum() < 74.74  # 41 degrees of freedom


def test_it_leaves_no_trace_of_the_order_in_a_large_set():
    n = 100_003
    items = shuffled(np.arange(n, dtype=np.uint64), n, 3).astype(float)
    other = shuffled(np.arange(n, dtype=np.uint64), n, 4).astype(float)
    bound = 4 / n**0.5  # four standard errors of a correlation of nothing
    for a, b in ((items, np.arange(n)), (items[1:], items[:-1]), (items[316:], items[:-316]), (items, other)):
        assert abs(np.corrcoef(a, b)[0, 1]) < bound
    counts = np.histogram2d(np.arange(n), items, bins=20)[0]
    assert ((counts - n / 400) ** 2 / (n / 400)).sum() < 448.6  # 361 degrees of freedom: 0.999 quantile
    steps = np.histogram((items[1:] - items[:-1]) % n, bins=50)[0]
    assert ((steps - n / 50) ** 2 / (n / 50)).sum() < 85.4  # 49 degrees of freedom


def test_many_items_keep_the_laws_of_few(monkeypatch):
    monkeypatch.setattr(sampler, "_MANY", 0)
    monkeypatch.setattr(sampler, "_BLOCK", 5)  # blocks within a batch, and batches within a block
    for length, batch_size in ((23, 7), (23, 2), (4, 9), (31, 31)):
        order = Order(length, batch_size, 1, 1)
        drawn = torch.cat([order.indices(step) for step in range(-(-3 * length // batch_size))])
        epochs = drawn[: 3 * length].view(3, length)
        assert all(sorted(epoch.tolist()) == list(range(length)) for epoch in epochs)
        assert not torch.equal(epochs[0], epochs[1])
        fresh = Order(length, batch_size, 2, 1)
        for step in (5, 0, 3):
            assert torch.equal(torch.cat([fresh.indices(step, 0), fresh.indices(step, 1)]), order.indices(step))


def test_the_first_batch_of_many_items_costs_no_permutation_of_all():
    tracemalloc.start()
    first = Order(10**9, 64, 1, 0).indices(0)  # written out, the order would take 8 GB
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(set(first.tolist())) == 64
    assert first.min() >= 0
    assert first.max() < 10**9
    assert first.max() > 10**8
    assert peak < 2_000_000


def test_a_million_items_or_less_keep_their_order():
    assert torch.equal(
        Order(10**6, 8, 1, 0).indices(0),
        torch.randperm(10**6, generator=torch.Generator().manual_seed(derive(0, "epoch", 0)))[:8],
    )


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
