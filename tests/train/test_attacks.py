"""Training that must not be lost, poisoned or mixed up, and files that are other people's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training_toys import Regression, checkpoint, data, make

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.store.files import clear_dead, temporary
from mmlab.store.folders import replaced_files, replaced_folder, write_whole
from mmlab.store.lock import InUseError, Lock
from mmlab.train.checkpoint import Store

A = {"batch_size": 8, "progress": False}


class Items:
    def __init__(self, rows: TensorData, noise: bool = False, own: bool = False) -> None:
        self.rows = rows
        self.noise = noise
        self.own = np.random.default_rng(0) if own else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        item = dict(self.rows[index])
        if self.noise:
            item["x"] = item["x"] + torch.rand(4)
        if self.own is not None:
            item["x"] = item["x"] + float(self.own.random())
        return item


# --- whose checkpoint it is


@pytest.mark.parametrize("where", [0, 1, 499, 998, 999])
@pytest.mark.parametrize("validation", [False, True])
def test_one_other_item_is_another_run(where, validation, tmp_path):
    rows, changed = data(1000), {key: value.clone() for key, value in data(1000).tensors.items()}
    changed["y"][where] += 1e-3
    other = Items(TensorData(changed))
    if validation:
        fit(make(), data(), steps=1, validation=Items(rows), out=tmp_path, **A)
        with pytest.raises(ValueError, match=r"validation\.fingerprint"):
            fit(make(), data(), steps=2, validation=other, out=tmp_path, **A)
    else:
        fit(make(), Items(rows), steps=1, out=tmp_path, **A)
        with pytest.raises(ValueError, match=r"dataset\.fingerprint"):
            fit(make(), other, steps=2, out=tmp_path, **A)


def test_seeded_noise_in_the_items_does_not_make_them_others(tmp_path):
    for kind in ({"noise": True}, {"own": True}):
        out = tmp_path / next(iter(kind))
        fit(make(), Items(data(), **kind), steps=1, out=out, **A)
        fit(make(), Items(data(), **kind), steps=2, out=out, **A)
        assert checkpoint(out).about["step"] == 2


def test_as_many_items_are_compared_as_the_checkpoint_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("mmlab.train.identity.SECONDS", -1.0)  # no time at all: the first items alone
    fit(make(), Items(data(1000)), steps=1, out=tmp_path, **A)
    assert checkpoint(tmp_path).about["identity"]["dataset"]["read"] <= 64
    monkeypatch.undo()
    fit(make(), Items(data(1000)), steps=2, out=tmp_path, **A)
    with pytest.raises(ValueError, match=r"dataset\.fingerprint"):
        fit(make(), Items(data(1000, seed=2)), steps=3, out=tmp_path, **A)


def test_other_parameters_are_another_run(tmp_path):
    fit(make(), data(), steps=1, out=tmp_path, **A)
    method = make()
    method.net[0].bias.requires_grad_(False)
    with pytest.raises(ValueError, match=r"trains 'net\.0\.bias', and this run does the opposite: use the same"):
        fit(method, data(), steps=2, out=tmp_path, **A)


def test_other_threads_are_another_run_and_the_remedy_works(tmp_path):
    threads = torch.get_num_threads()
    fit(make(), data(), steps=1, out=tmp_path, **A)
    try:
        torch.set_num_threads(threads + 1)
        remedies = rf"\(OMP_NUM_THREADS={threads} .*torchrun.*torch\.set_num_threads\({threads}\)\)"
        with pytest.raises(ValueError, match=rf"threads = {threads}, .*{remedies}"):
            fit(make(), data(), steps=2, out=tmp_path, **A)
    finally:
        torch.set_num_threads(threads)
    fit(make(), data(), steps=2, out=tmp_path, **A)


# --- nothing is lost at the end


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, torch.tensor, lambda value: np.array([value])])
@pytest.mark.parametrize("name", ["lr", "weight_decay", "clip_norm", "ema_decay"])
def test_numbers_of_other_libraries_are_taken(name, kind, tmp_path):
    value = {"lr": 0.5, "weight_decay": 0.25, "clip_norm": 2.0, "ema_decay": 0.5}[name]  # exact in half precision
    one, other = make(), make()
    fit(one, data(), steps=2, out=tmp_path, **{name: kind(value)}, **A)
    fit(other, data(), steps=2, **{name: value}, **A)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert checkpoint(tmp_path).about["identity"][name] == value


def test_whole_numbers_of_numpy_are_taken(tmp_path):
    fit(make(), data(), steps=np.int64(2), batch_size=np.int32(8), seed=np.uint8(3), out=tmp_path, progress=False)
    assert checkpoint(tmp_path).about["identity"]["seed"] == 3


@pytest.mark.parametrize(
    "arguments",
    [{"lr": "0.001"}, {"lr": None}, {"lr": True}, {"lr": [0.1]}, {"lr": 1j}, {"lr": {"": "x"}}, {"clip_norm": "1"},
     {"clip_norm": float("nan")}, {"betas": 0.9}, {"betas": "ab"}, {"betas": (0.9, None)}, {"ema_decay": "0.9"},
     {"weight_decay": None}, {"weight_decay": float("inf")}, {"schedule": ["cosine"]}, {"optimiser": None},
     {"optimiser": "adamx"}, {"warmup": 1.5}, {"seed": None}],
    ids=str,
)  # fmt: skip
def test_arguments_of_other_types_are_refused_in_words(arguments, tmp_path):
    with pytest.raises(ValueError, match=f"fit: .*{next(iter(arguments))}|optimiser") as refusal:
        fit(make(), data(), **{"steps": 1, "out": tmp_path / "o", **A, **arguments})
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "buffer",
    [torch.zeros(2, dtype=torch.complex64), torch.zeros(2).to_sparse(), torch.zeros(2, dtype=torch.complex128)],
    ids=["complex64", "sparse", "complex128"],
)
def test_what_cannot_be_saved_is_said_before_the_first_step(buffer, tmp_path):
    method = make()
    method.register_buffer("odd", buffer)
    before = method.net[0].weight.clone()
    with pytest.raises(TypeError, match=r"'odd' has type torch\..*, which the file cannot hold"):
        fit(method, data(), steps=3, out=tmp_path, **A)
    assert torch.equal(method.net[0].weight, before)


@pytest.mark.parametrize("arguments", [{"lr": 1e39}, {"lr": 3e38}, {"optimiser": "sgd", "lr": 1e39}], ids=str)
@pytest.mark.parametrize("save_every", [None, 1])
def test_weights_that_are_not_finite_are_never_saved(arguments, save_every, tmp_path):
    fit(make(), data(), steps=1, out=tmp_path, **A)
    with pytest.raises(FloatingPointError, match=r"not finite"):
        fit(make(), data(), steps=1, out=tmp_path, resume=False, save_every=save_every, **arguments, **A)
    assert all(value.isfinite().all() for value in checkpoint(tmp_path).tensors["model"].values())
    with pytest.raises(FloatingPointError, match="is not finite after the update"):
        fit(make(), data(), steps=1, save_every=save_every, **arguments, **A)  # without a folder, too


def test_a_buffer_may_be_infinite(tmp_path):
    method = make()
    method.register_buffer("mask", torch.full((2,), -torch.inf))
    fit(method, data(), steps=1, out=tmp_path, **A)
    assert checkpoint(tmp_path).tensors["model"]["mask"].isinf().all()


def test_all_randomness_of_a_batch_is_seeded():
    class Noisy(Items):
        def batch(self, indices):
            batch = self.rows.batch(indices)
            noise = torch.rand(batch["x"].shape) + torch.from_numpy(np.random.rand(*batch["x"].shape)).float()  # noqa: NPY002
            return {**batch, "x": batch["x"] + noise}

    runs = []
    for seed, workers in ((1, 0), (2, 0), (1, 1)):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        runs.append(fit(make(), Noisy(data()), steps=5, workers=workers, **A).values())
    assert runs[0] == runs[1] == runs[2]


# --- other people's files


def test_only_what_a_run_made_is_taken_away(tmp_path):
    folder = tmp_path / "checkpoint"
    own = ["step-by-step-notes", "step-1", "step-00000001-old", ".step-notes.tmp", "steps"]
    for name in own:
        (folder / name).mkdir(parents=True)
        (folder / name / "x").write_text("mine")
    fit(make(), data(), steps=1, out=tmp_path, **A)
    (folder / "step-00000001" / "notes.txt").write_text("mine")
    (folder / "step-00000009").symlink_to(folder / "steps")
    fit(make(), data(), steps=2, out=tmp_path, **A)
    for name in own:
        assert (folder / name / "x").read_text() == "mine"
    assert [path.name for path in (folder / "step-00000001").iterdir()] == ["notes.txt"]
    assert (folder / "step-00000009").is_symlink()


# --- two at once

RACER = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from training_toys import data, make
from mmlab import fit
try:
    fit(make(), data(), steps=60, save_every=1, out=sys.argv[1], batch_size=8, progress=False, resume=False)
    print("whole")
except ValueError as error:
    print(error)
"""


def test_two_runs_in_one_folder_do_not_tear_each_others_files(tmp_path):
    command = [sys.executable, "-c", RACER, str(tmp_path), str(Path(__file__).parent)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0].strip() for process in running]
    assert "whole" in said
    assert all(text == "whole" or ("in use by process" in text and "choose another `out`" in text) for text in said), (
        said
    )
    assert checkpoint(tmp_path).about["step"] == 60
    assert not (tmp_path / "checkpoint" / "in_use.json").exists()


def test_a_lock_is_for_one_and_free_again(tmp_path):
    one, other = Lock(tmp_path / "l"), Lock(tmp_path / "l")
    one.acquire()
    with pytest.raises(InUseError, match="in use by another run in this process"):
        other.acquire()
    one.release()
    other.acquire()
    other.release()
    assert not (tmp_path / "l").exists()


def test_a_lock_of_the_dead_is_taken_over(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from mmlab.store.lock import Lock; "
        "Lock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "l")], check=False)
    assert (tmp_path / "l").exists()
    Lock(tmp_path / "l").acquire()
    Lock(tmp_path / "l").path.unlink()


def test_a_run_inside_a_run_is_refused(tmp_path):
    class Nested(Regression):
        def loss(self, batch, rng):
            fit(make(), data(), steps=1, out=tmp_path, **A)

    with pytest.raises(ValueError, match="in use by another run in this process"):
        fit(make(Nested), data(), steps=1, out=tmp_path, **A)


WRITER = """
import sys
from pathlib import Path
from mmlab.store.folders import replaced_files, replaced_folder, write_whole
letter, folder = sys.argv[1], Path(sys.argv[2])
for _ in range(40):
    write_whole(folder / "file", letter * 20000)
    with replaced_files(folder / "files", ["a", "b"]) as new:
        for name in ("a", "b"):
            (new / name).write_text(letter * 20000)
    with replaced_folder(folder / "whole") as new:
        for name in ("a", "b"):
            (new / name).write_text(letter * 20000)
"""


def test_writers_that_race_leave_the_work_of_one(tmp_path):
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, letter, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for letter in "xyz"
    ]
    errors = [process.communicate()[1] for process in running]
    assert errors == ["", "", ""]
    for places in (["file"], ["files/a", "files/b"], ["whole/a", "whole/b"]):
        content = {(tmp_path / place).read_text() for place in places}
        assert len(content) == 1
        assert content.pop() in {letter * 20000 for letter in "xyz"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "files", "whole"]
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["a", "b"]


def test_what_dead_writers_left_is_cleared_and_nothing_else(tmp_path):
    mine = temporary(tmp_path / "file")
    dead = mine.with_name(mine.name.replace(f"-{mine.name.split('-')[1]}-", "-999999999-"))
    for path in (mine, dead, tmp_path / ".file.tmp", tmp_path / ".other.1-2-3.tmp"):
        path.write_text("x")
    clear_dead(tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, ".file.tmp", ".other.1-2-3.tmp"])


@pytest.mark.parametrize("write", [replaced_files, replaced_folder])
def test_a_writer_that_fails_leaves_nothing(write, tmp_path):
    write_whole(tmp_path / "f" / "a", "old")
    arguments = [["a"]] if write is replaced_files else []

    def fail() -> None:
        with write(tmp_path / "f", *arguments) as new:
            (new / "a").write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "f" / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "f"]


def test_a_store_that_is_not_written_to_is_not_locked(tmp_path):
    with Store(tmp_path).held(), Store(tmp_path).held(mine=False):
        pass
