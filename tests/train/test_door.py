"""Data as people have them: put right where that is safe, refused with key, type, shape and remedy otherwise."""

import os
import re
import time

import numpy as np
import pytest
import torch
from training_toys import Regression, data, make

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.registry import list_methods, load
from mmlab.train import prepare
from mmlab.train.door import door
from mmlab.train.prepare import processes_started

LABELLED = [stem for stem in list_methods() if load(stem).is_trained() and "label" in load(stem).demo()[1]]


class Items:
    """The items of a dataset, one by one."""

    def __init__(self, rows: TensorData) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]


def train(stem: str, items=TensorData, **changed):
    method, batch = load(stem).demo()
    rows = TensorData({key: changed.get(key, lambda value: value)(value) for key, value in batch.items()})
    fit(method, rows if items is TensorData else items(rows), steps=2, batch_size=8, progress=False)
    return method.state_dict()


@pytest.mark.parametrize("stem", [stem for stem in list_methods() if load(stem).is_trained()])
def test_double_precision_trains_every_method_to_the_same_weights(stem, caplog):
    _, batch = load(stem).demo()
    double = {key: torch.Tensor.double for key, value in batch.items() if value.is_floating_point()}
    expected = train(stem)
    assert not caplog.records
    for items in (TensorData, Items):
        caplog.clear()
        made = train(stem, items, **double)
        assert all(torch.equal(made[key], value) for key, value in expected.items())
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == len(double)  # once for each key
        assert all(f"'{key}' is float64" in " ".join(said) for key in double)


SAFE = {
    "int32": torch.Tensor.int,
    "int16": torch.Tensor.short,
    "int8": torch.Tensor.char,
    "uint8": torch.Tensor.byte,
    "float32": torch.Tensor.float,
    "float64": torch.Tensor.double,
    "half": torch.Tensor.half,
    "(N, 1)": lambda label: label[:, None],
    "(N, 1) of floats": lambda label: label[:, None].float(),
    "one-hot": torch.nn.functional.one_hot,
    "one-hot of floats": lambda label: torch.nn.functional.one_hot(label).double(),
}
UNSAFE = {
    "from 1": (lambda label: label + 1, r"run from 1 to \d+, .*count them from 0 \(label - 1\)"),
    "from -1": (lambda label: label - 1, r"run from -1 to \d+, .*leave out the items with a negative label, or add 1"),
    "far": (lambda label: label * 50, r"run from 0 to \d+, .*build the method with classes=\d+, or leave"),
    "with fractions": (lambda label: label + 0.5, r"float32 of shape \(\) per item with fractions such as \d\.5"),
    "scores": (lambda label: torch.rand(len(label), 3), r"of shape \(3,\) per item, .*value.argmax\(1\)"),
    "maps": (lambda label: label[:, None, None].expand(-1, 2, 2), r"of shape \(2, 2\) per item, where one number"),
    "complex": (lambda label: label.to(torch.complex64), "complex64 .*no method takes complex numbers"),
}


@pytest.mark.parametrize("how", SAFE)
@pytest.mark.parametrize("stem", LABELLED)
def test_labels_that_mean_the_same_train_the_same(stem, how):
    expected = train(stem)
    for items in (TensorData, Items):
        made = train(stem, items, label=SAFE[how])
        assert all(torch.equal(made[key], value) for key, value in expected.items())


@pytest.mark.parametrize("how", UNSAFE)
@pytest.mark.parametrize("items", [TensorData, Items])
@pytest.mark.parametrize("stem", LABELLED)
def test_other_labels_are_refused_in_one_sentence(stem, items, how):
    change, message = UNSAFE[how]
    with pytest.raises(ValueError, match=message) as refusal:
        train(stem, items, label=change)
    assert "label" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_late_label_that_is_none_of_the_classes_is_refused_too():
    method, batch = load("late_fusion").demo()
    many = {key: value.repeat(20, *[1] * (value.ndim - 1)) for key, value in batch.items()}
    many["label"][400] = 77
    with pytest.raises(ValueError, match="run from 0 to 77"):
        fit(method, TensorData(many), steps=1, progress=False)  # all lie in memory: at once
    with pytest.raises(ValueError, match="77"):
        fit(method, Items(TensorData(many)), steps=100, progress=False)  # when its batch comes


def test_labels_that_are_said_to_be_absent_are_not_looked_at_where_the_method_leaves_them_out():
    method, batch = load("ithp").demo()
    batch["label"] = batch["label"].where(batch["label_present"], -1)
    for items in (TensorData(batch), Items(TensorData(batch))):
        fit(method, items, steps=1, batch_size=8, progress=False)
    with pytest.raises(ValueError, match="run from -1"):
        fit(method, TensorData(batch | {"label_present": torch.ones(32, dtype=torch.bool)}), steps=1, progress=False)
    other, own = load("late_fusion").demo()
    absent = {"label": own["label"] - 1, "label_present": own["label"] > 0}
    with pytest.raises(ValueError, match="run from -1"):  # it would train on them
        fit(other, TensorData(own | absent), steps=1, progress=False)


class Masked(Regression):
    """Items that may lack their target."""

    def loss(self, batch, rng):
        assert batch["y_present"].dtype == torch.bool
        return super().loss(batch, rng)

    @classmethod
    def demo(cls, seed=0):
        return make(cls), data(8).tensors | {"y_present": torch.ones(8, dtype=torch.bool)}


def test_masks_may_be_numbers():
    for kind in (torch.int64, torch.float32, torch.uint8):
        rows = TensorData(data().tensors | {"y_present": torch.ones(40).to(kind)})
        fit(make(Masked), rows, steps=1, progress=False)
    rows = TensorData(data().tensors | {"y_present": torch.full((40,), 2)})
    with pytest.raises(ValueError, match=r"'y_present' is int64 .*where a mask of True and False is wanted"):
        fit(make(Masked), rows, steps=1, progress=False)


def test_pictures_as_bytes_are_refused_with_a_remedy_that_works():
    def picture(value):
        return (value.sigmoid() * 255).byte()

    with pytest.raises(ValueError, match=r"'source' is uint8 of shape .*value.float\(\) / 255"):
        train("pix2pix", source=picture)
    train("pix2pix", source=lambda value: picture(value).float() / 255)


def test_what_single_precision_cannot_hold_is_said_before_the_first_step():
    method, batch = load("i2m2").demo()
    far = {key: value.double() if value.is_floating_point() else value for key, value in batch.items()}
    key = next(key for key, value in far.items() if value.is_floating_point())
    far[key][-1] = 1e300
    with pytest.raises(ValueError, match=r"hold 1e\+300, which float32 cannot: scale them"):
        fit(method, TensorData(far), steps=1, batch_size=len(far[key]), progress=False)


def test_float64_weights_get_float64_data():
    method = make().double()
    history = fit(method, data(), steps=2, progress=False)
    assert all(np.isfinite(history.values()))
    assert method.net[0].weight.dtype == torch.float64


def test_a_key_that_is_missing_is_named():
    rows = TensorData({"x": data().tensors["x"], "target": data().tensors["y"]})
    with pytest.raises(
        ValueError, match="The loss of Regression asks for 'y', and the items of the dataset have target, x"
    ):
        fit(make(), rows, steps=1, progress=False)


@pytest.mark.parametrize("stem", list_methods())
def test_every_type_becomes_the_one_that_the_method_wants(stem):
    """As batches come out of the door, not by training: half precision, brain floats, torch's newer whole numbers."""
    method, batch = load(stem).demo()
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        rows = TensorData({k: v.to(kind) if v.is_floating_point() else v for k, v in batch.items()})
        passed = door(method, rows, "dataset")(rows.batch(torch.arange(2)))
        assert {k: v.dtype for k, v in passed.items()} == {k: v.dtype for k, v in batch.items()}
    for kind in (torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.float16):
        whole = [k for k, v in batch.items() if not v.is_floating_point() and v.min() >= 0 and v.max() < 100]
        if kind.is_floating_point:
            whole = [key for key in whole if batch[key].ndim == 1]  # numbers of tokens are refused as floats
        rows = TensorData({k: v.to(kind) if k in whole else v for k, v in batch.items()})
        passed = door(method, rows, "dataset")(rows.batch(torch.arange(2)))
        assert {k: v.dtype for k, v in passed.items()} == {k: v.dtype for k, v in batch.items()}
        assert all(torch.equal(passed[key], batch[key][:2]) for key in whole)


def test_tokens_that_the_model_does_not_know_are_refused_with_a_remedy():
    method, batch = load("tinyllava").demo()
    far = torch.where(batch["input_ids"] > 0, batch["input_ids"] + 10_000, batch["input_ids"])
    with pytest.raises(
        ValueError, match=r"got a number that the method does not know .*'input_ids' from -200 to 100\d\d"
    ):
        fit(method, TensorData({**batch, "input_ids": far}), steps=1, batch_size=2, progress=False)


@pytest.mark.parametrize("stem", ["bridge_matching", "ddbm", "tangent_bridge"])
def test_a_key_that_is_missing_is_named_before_the_first_step(stem):
    method, batch = load(stem).demo()
    with pytest.raises(ValueError, match=r"The start of .* asks for 'source', and the items of"):
        fit(method, TensorData({"target": batch["target"]}), steps=1, batch_size=2, progress=False)


def test_what_is_no_method_or_has_keys_that_are_no_texts_is_refused_in_words():
    with pytest.raises(TypeError, match=r"Regression is a class; give one made of it, such as Regression\(...\)"):
        fit(Regression, data(), steps=1, batch_size=2)
    with pytest.raises(TypeError, match="a Linear is no method"):
        fit(torch.nn.Linear(1, 1), data(), steps=1, batch_size=2)
    rows = [{0: torch.ones(4), 1: torch.ones(1)}] * 4
    with pytest.raises(ValueError, match="the key 0; keys are texts"):
        fit(make(), rows, steps=1, batch_size=2, progress=False)


@pytest.mark.parametrize("shift", [-5, 10**6])
def test_grades_that_are_none_are_told_as_such(shift):
    method, batch = load("climat").demo()
    rows = TensorData(batch | {"grade": batch["grade"] + shift})
    with pytest.raises(
        ValueError, match=r"a number that the method does not know .*'grade' from .*count classes from 0"
    ):
        fit(method, rows, steps=1, batch_size=8, progress=False)


def test_items_without_a_finite_value_are_told_as_such():
    method, batch = load("diffeo_cfm").demo()
    rows = TensorData(batch | {"target": torch.full_like(batch["target"], torch.nan)})
    with pytest.raises(ValueError, match="No training item is finite"):
        fit(method, rows, steps=1, batch_size=8, progress=False)


def test_a_key_error_of_the_methods_own_stays_one():
    class Own(Regression):
        def loss(self, batch, rng):
            return {}[3]

    with pytest.raises(KeyError):
        fit(make(Own), data(), steps=1, progress=False)


class Grouping(Items):
    """``batch`` makes another dataset, of groups, as that of Hugging Face does."""

    def batch(self, batch_size: int, drop_last_batch: bool = False):
        raise AssertionError("it takes a size, and no indices")


class Sized(Items):
    def batch(self, group_size=8):
        raise AssertionError("it takes a size, and no indices")


class Valued(Items):
    batch = 8


@pytest.mark.parametrize("kind", [Grouping, Sized, Valued])
def test_an_object_that_happens_to_have_batch_is_read_item_by_item(kind):
    one, other = make(), make()
    fit(one, kind(data()), steps=3, batch_size=8, progress=False)
    fit(other, Items(data()), steps=3, batch_size=8, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_batch_that_is_none_is_refused():
    class Broken(Items):
        def batch(self, indices):
            return {"x": torch.zeros(3, 4), "y": torch.zeros(3, 1)}

    with pytest.raises(ValueError, match=r"batch\(indices\) gives 'x' of shape \(3, 4\) for 8 indices"):
        fit(make(), Broken(data()), steps=1, progress=False)


def test_validation_is_looked_at_as_well():
    double = TensorData({key: value.double() for key, value in data(5).tensors.items()})
    plain = fit(make(), data(), steps=1, validation=data(5), progress=False)
    assert fit(make(), data(), steps=1, validation=double, progress=False) == plain


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": ""}, "WORLD_SIZE='' is no whole number: unset WORLD_SIZE"),
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE='four'"),
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE=4 announces 4 processes"),
        ({"PMI_SIZE": "2"}, "PMI_SIZE=2 announces 2 processes"),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, "OMPI_COMM_WORLD_SIZE=3"),
        ({"WORLD_SIZE": "-3"}, "WORLD_SIZE=-3 is no number of processes: unset WORLD_SIZE"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0 is no number of processes"),
        ({"LOCAL_RANK": "3"}, "LOCAL_RANK=3 says that a launcher started this process, but none did"),
        ({"LOCAL_RANK": ""}, "LOCAL_RANK='' is no whole number"),
        ({"RANK": "x"}, "RANK='x'"),
    ],
)
def test_what_a_launcher_left_behind_is_named(variables, message, monkeypatch):
    for name in list(os.environ):
        if re.fullmatch(r".*(RANK|WORLD_SIZE|PMI_SIZE)|MASTER_ADDR", name):
            monkeypatch.delenv(name)
    assert processes_started() == 1
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        fit(make(), data(), steps=1, progress=False)


def test_a_process_that_waits_for_others_says_for_whom(monkeypatch, caplog):
    monkeypatch.setattr(prepare, "_PATIENCE", 0.01)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    for processes, said in ((1, 0), (4, 1)):
        with prepare._told_of_waiting(processes):
            time.sleep(0.1)
        assert sum("the others of 4" in text and "unset WORLD_SIZE" in text for text in caplog.messages) == said


def test_items_of_another_shape_are_refused_in_one_sentence():
    wide = TensorData({"x": torch.zeros(9, 5), "y": torch.zeros(9, 1)})
    with pytest.raises(ValueError, match=r"The loss of Regression cannot be computed on these items \(.*9x5.*\): the "
                       r"dataset gives 'x' of shape \(5,\), 'y' of shape \(1,\), and the method was built with "
                       r"width=6: build it for the shapes of the items\.$"):  # fmt: skip
        fit(make(), wide, steps=1, batch_size=9, progress=False)


def test_an_error_of_another_kind_or_of_a_later_step_stays_what_it_is():
    class Failing(Regression):
        def loss(self, batch, rng):
            if self.progress >= self.config["noise"]:
                raise RuntimeError(self.text)
            return super().loss(batch, rng)

    for noise, text in ((0.0, "the disk is gone"), (0.5, "sizes do not match")):
        method = make(Failing, noise=noise)
        method.text = text
        with pytest.raises(RuntimeError, match=text):
            fit(method, data(), steps=4, batch_size=9, progress=False)


@pytest.mark.parametrize("stem", [stem for stem in list_methods() if load(stem).is_trained()])
def test_every_method_names_shapes_that_it_was_not_built_for(stem):
    _, batch = load(stem).demo()
    vectors = [key for key, value in batch.items() if value.is_floating_point() and value.ndim == 2]
    for key in vectors:
        with pytest.raises(ValueError, match=rf"^[^\n]*{key}[^\n]*$"):
            train(stem, **{key: lambda value: torch.nn.functional.pad(value, (0, 1))})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (torch.Tensor.to_sparse, r"sparse_coo: give value.to_dense\(\)"),
        (lambda value: value.to("meta"), "holds no data: load it to a real device"),
    ],
    ids=["sparse", "meta"],
)
def test_tensors_that_hold_no_plain_values_are_refused(change, why):
    _, batch = load("late_fusion").demo()
    key = next(key for key, value in batch.items() if value.is_floating_point())
    with pytest.raises(ValueError, match=rf"'{key}' is float32 of shape .*{why}"):
        train("late_fusion", **{key: change})


def test_a_data_frame_is_told_how_to_become_tensors():
    import pandas as pd

    dataset = pd.DataFrame({"x": [0.5, 1.0], "y": [1.0, 2.0]})
    with pytest.raises(ValueError, match="DataFrame of pandas; make tensors") as told:
        fit(make(Regression), dataset, steps=1)
    remedy = str(told.value).partition("columns: ")[2].removesuffix(".")
    import mmlab.data.tensors

    assert len(eval(remedy, {"mmlab": mmlab, "torch": torch, "dataset": dataset})) == 2


def test_what_is_no_number_is_named_with_a_way_out():
    rows = [{"x": torch.ones(3), "caption": "a dog"}] * 4
    with pytest.raises(ValueError, match=r"'caption' is a str.*leave 'caption' out"):
        fit(make(Regression), rows, steps=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "x"),
        ("ACCELERATE_USE_CPU", "maybe"),
        ("ACCELERATE_USE_DEEPSPEED", "true"),
    ],
)
def test_variables_that_accelerate_cannot_read_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"fit: Accelerate does not start .*unset {name}"):
        fit(make(Regression), data(8), steps=1)
    monkeypatch.delenv(name)
    fit(make(Regression), data(8), steps=1, progress=False)


def test_what_cannot_learn_is_refused():
    for off in (torch.no_grad(), torch.inference_mode()):
        with off, pytest.raises(ValueError, match="gradients are switched off"):
            fit(make(Regression), data(8), steps=1)
    with torch.device("meta"):
        empty = Regression()
    with pytest.raises(ValueError, match="is on the device meta and holds no data"):
        fit(empty, data(8), steps=1)
