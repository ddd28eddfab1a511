"""Laws of the order of the data, of the learning rate and of the average, for any arguments."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mmlab.train.ema import Average
from mmlab.train.history import History
from mmlab.train.randomness import derive
from mmlab.train.sampler import Order
from mmlab.train.settings import Settings

law = settings(max_examples=25, deadline=None, derandomize=True)


# --- order


@law
@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**60), st.integers(0, 10**9))
def test_any_step_can_be_asked_first(length, batch_size, seed, step):
    """A run that is resumed at any step draws what it would have drawn: positions are computed, not walked."""
    fresh, walked = Order(length, batch_size, 1, seed), Order(length, batch_size, 1, seed)
    for before in (step + 7, max(0, step - 3), 0):
        walked.indices(before)
    assert torch.equal(fresh.indices(step), walked.indices(step))
    assert ((fresh.indices(step) >= 0) & (fresh.indices(step) < length)).all()


@law
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32))
def test_another_batch_size_is_the_same_row(length, one, other, seed):
    """The endless row of items does not depend on how it is cut into batches."""
    steps = 2 * length // min(one, other) + 1
    rows = [torch.cat([Order(length, size, 1, seed).indices(step) for step in range(steps)]) for size in (one, other)]
    shared = min(map(len, rows))
    assert torch.equal(rows[0][:shared], rows[1][:shared])


@law
@given(st.integers(2, 30), st.integers(1, 30), st.integers(1, 6), st.integers(0, 2**32))
def test_weights_of_pieces_are_their_shares(length, batch_size, pieces, seed):
    assume(pieces <= batch_size)
    order = Order(length, batch_size, pieces, seed)
    weights = [order.weight(piece) for piece in range(pieces)]
    assert math.isclose(sum(weights), 1)
    for piece, weight in enumerate(weights):
        assert len(order.indices(5, piece)) == len(order.positions(5, piece)) == round(weight * batch_size)


@law
@given(st.integers(0, 2**70), st.lists(st.integers(0, 99) | st.text(max_size=4), max_size=4))
def test_derived_seeds_are_seeds(seed, path):
    value = derive(seed, *path)
    assert 0 <= value < 2**63
    assert value == derive(seed, *path)
    assert value != derive(seed + 1, *path)
    assert value != derive(seed, *path, 0)
    torch.Generator().manual_seed(value)


# --- learning rate


@st.composite
def arguments(draw):
    steps = draw(st.integers(1, 400))
    schedule = draw(st.sampled_from(["constant", "cosine"]))
    rate = draw(st.floats(1e-8, 1e3))
    return Settings(steps=steps, lr=rate, warmup=draw(st.integers(0, 500)), schedule=schedule)


@law
@given(arguments())
def test_the_rate_is_positive_and_never_above_what_was_asked(given_):
    rates = [given_.rate(step) for step in range(given_.steps)]
    assert all(0 < rate <= given_.lr * (1 + 1e-12) for rate in rates)
    warm = rates[: given_.warmup]
    assert all(b > a for a, b in pairwise(warm))
    rest = rates[given_.warmup :]
    assert all(b <= a for a, b in pairwise(rest))
    if given_.schedule == "constant":
        assert set(rest) <= {given_.lr}
    elif rest:
        assert rest[0] == pytest.approx(given_.lr)
        assert given_.rate(given_.steps) == pytest.approx(0, abs=1e-12 * given_.lr)  # the step after the last


@law
@given(arguments(), st.floats(0.1, 10))
def test_the_rate_scales_and_has_no_leaps(given_, factor):
    scaled = Settings(steps=given_.steps, lr=given_.lr * factor, warmup=given_.warmup, schedule=given_.schedule)
    rates = [given_.rate(step) for step in range(given_.steps)]
    assert [scaled.rate(step) for step in range(given_.steps)] == pytest.approx([factor * rate for rate in rates])
    room = given_.lr * (math.pi / 2 / max(1, given_.steps - given_.warmup) + 1 / max(1, given_.warmup))
    assert all(abs(b - a) <= room * (1 + 1e-9) for a, b in pairwise(rates))


@law
@given(arguments())
def test_the_same_for_objectives_by_name(given_):
    named = Settings(steps=given_.steps, lr={"a": given_.lr, "b": 1.0}, warmup=given_.warmup, schedule=given_.schedule)
    assert all(named.rate(step, "a") == given_.rate(step) for step in range(given_.steps))


# --- average of the weights


@law
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20), st.floats(0, 0.9999))
def test_the_average_stays_among_the_weights(values, decay):
    parameter = nn.Parameter(torch.tensor([values[0]]))
    average = Average({"w": parameter}, decay)
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            parameter.fill_(value)
        average.update(step)
    slack = 1e-4 * (1 + max(map(abs, values)))
    assert min(values) - slack <= average.tensors["w"].item() <= max(values) + slack
    before = parameter.item(), average.tensors["w"].item()
    average.swap()
    assert (average.tensors["w"].item(), parameter.item()) == before
    average.swap()
    assert (parameter.item(), average.tensors["w"].item()) == before


@law
@given(st.integers(1, 30), st.floats(-10, 10, width=32))
def test_the_average_of_a_constant_is_the_constant(steps, value):
    parameter = nn.Parameter(torch.tensor([value]))
    average = Average({"w": parameter}, 0.99)
    for step in range(1, steps + 1):
        average.update(step)
    assert average.tensors["w"].item() == value


# --- history


numbers = st.floats(allow_nan=True, allow_infinity=True)
names = st.sampled_from(["loss", "generator/loss", "gap"])


@law
@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["train", "validation"]), names, numbers), max_size=30))
def test_any_history_comes_back_bit_by_bit(rows):
    import csv
    import io

    history = History()
    for step, split, metric, value in rows:
        history.add(step, split, {metric: value})
    read = list(csv.DictReader(io.StringIO(history.csv())))
    back = sorted((int(r["step"]), r["split"], r["metric"], repr(float(r["value"]))) for r in read)
    assert back == sorted((step, split, metric, repr(value)) for step, split, metric, value in rows)
    assert len(history) == len(rows)
