"""A checkpoint of another run, or a damaged one, is refused in one sentence; the model is untouched."""

import errno
import json
import random
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from training_toys import Adversarial, Augmented, Regression, checkpoint, data, make

import mmlab.train.checkpoint as module
from mmlab import fit
from mmlab.store import files
from mmlab.store.weights import safetensors_chunks
from mmlab.train.checkpoint import Store

ARGUMENTS = {"steps": 4, "batch_size": 8, "ema_decay": 0.9, "progress": False}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    fit(make(), data(), out=out, **ARGUMENTS)
    return out


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "out")


def refused(out, method=None, dataset=None, **changed) -> str:
    """The message of the refusal, after making sure that nothing has changed."""
    method = make() if method is None else method
    before = {name: value.clone() for name, value in method.state_dict().items()}
    content = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ValueError) as refusal:
        fit(method, dataset or data(), out=out, **(ARGUMENTS | {"steps": 6} | changed))
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert content == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    message = str(refusal.value)
    assert "\n" not in message
    assert not re.search(r"\. [A-Z]", message)  # one sentence
    return message


class Other(Regression):
    pass


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"method": Other}, "method = 'training_toys.Regression'"),
        ({"width": 7}, "config.width = 6, this run has 7"),
        ({"lr": 0.5}, "lr = 0.001, this run has 0.5"),
        ({"seed": 1}, "seed = 0, this run has 1"),
        ({"batch_size": 9}, "batch_size = 8, this run has 9"),
        ({"weight_decay": 0.1}, "weight_decay"),
        ({"betas": (0.5, 0.9)}, "betas"),
        ({"warmup": 2}, "warmup"),
        ({"schedule": "cosine"}, "schedule = 'constant', this run has 'cosine'"),
        ({"clip_norm": None}, "clip_norm = 1.0, this run has None"),
        ({"ema_decay": None}, "ema_decay = 0.9"),
        ({"precision": "bf16"}, "precision"),
        ({"log_every": 2}, "log_every"),
        ({"accumulation": 2}, "accumulation = 1, this run has 2"),
        ({"dataset": data(39)}, "dataset.length = 40, this run has 39"),
        ({"dataset": data(seed=5)}, "dataset.fingerprint"),
        ({"validation": data(3)}, "validation"),
        ({"steps": 3}, "is at step 4, beyond steps = 3"),
    ],
)
def test_another_run_is_refused_by_the_field(out, changed, field):
    changed = dict(changed)
    kind, width = changed.pop("method", Regression), changed.pop("width", 6)
    assert field in refused(out, make(kind, width=width), **changed)


class Plain:
    """A dataset with a fast way to read it, and no fingerprint of its own."""

    def __init__(self, seed: int) -> None:
        self.inner, self.batch = data(seed=seed), data(seed=seed).batch

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> dict:
        return self.inner[index]


def test_other_values_in_the_data_are_noticed(tmp_path):
    fit(make(), Plain(0), out=tmp_path, **ARGUMENTS)
    assert "dataset.fingerprint" in refused(tmp_path, dataset=Plain(1))
    fit(make(), Plain(0), out=tmp_path, **(ARGUMENTS | {"steps": 5}))


def test_free_arguments_may_change(out):
    fit(make(), data(), out=out, **(ARGUMENTS | {"steps": 5, "workers": 1, "save_every": 1}))


def test_another_format_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FORMAT", 99)
    fit(make(), data(), out=tmp_path, **ARGUMENTS)
    monkeypatch.undo()
    assert "has format version 99, this mmlab reads version 1" in refused(tmp_path)


def test_every_flipped_bit_is_refused(out):
    dice, tried = random.Random(0), 0
    for path in sorted(path for path in (out / "checkpoint").rglob("*") if path.is_file()):
        good = path.read_bytes()
        for _ in range(12):
            place = dice.randrange(8 * len(good))
            bad = bytearray(good)
            bad[place // 8] ^= 1 << place % 8
            path.write_bytes(bytes(bad))
            assert "is damaged" in refused(out), (path, place)
            tried += 1
        path.write_bytes(good)
    assert tried >= 60
    fit(make(), data(), out=out, **ARGUMENTS)  # with the good files in place it loads


@pytest.mark.parametrize("target", ["x" * 5000, "a/b", "..", ".", "", "nul\0", 3, None, ["step-00000004"]])
def test_a_pointer_that_names_no_folder_is_refused(out, target):
    pointer = out / "checkpoint" / "latest.json"
    pointer.write_text(json.dumps({**json.loads(pointer.read_text()), "folder": target}))
    assert "it names no folder with a checkpoint" in refused(out)


@pytest.mark.parametrize("how", ["empty", "half", "one byte less", "one byte more", "gone"])
def test_every_truncated_file_is_refused(out, how):
    for path in sorted(path for path in (out / "checkpoint").rglob("*") if path.is_file()):
        good = path.read_bytes()
        bad = {"empty": b"", "half": good[: len(good) // 2], "one byte less": good[:-1], "one byte more": good + b"x"}
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(bad[how])
        if path.name == "latest.json" and how == "gone":
            assert not Store(out).exists()  # no pointer, no checkpoint
        else:
            assert "is damaged" in refused(out)
        path.write_bytes(good)


def test_a_pointer_leads_nowhere_else(out):
    for target in ("../checkpoint", "..", "/", "", 3, None):
        (out / "checkpoint" / "latest.json").write_text(json.dumps({"folder": target, "sha256": "0" * 64}))
        assert "is damaged" in refused(out)


def test_only_listed_names_are_read(out):
    folder = next((out / "checkpoint").glob("step-*"))
    manifest = json.loads((folder / "checkpoint.json").read_text())
    manifest["files"] = {"../../../outside.safetensors": "0" * 64}
    content = json.dumps(manifest).encode()
    (folder / "checkpoint.json").write_bytes(content)
    pointer = {"folder": folder.name, "sha256": sha256(content).hexdigest()}
    (out / "checkpoint" / "latest.json").write_text(json.dumps(pointer))
    assert "is damaged" in refused(out)


@pytest.mark.parametrize("group", ["model", "average", "optimizer"])
@pytest.mark.parametrize("how", ["shape", "type", "unknown", "missing"])
def test_tensors_that_do_not_fit_are_refused(out, group, how):
    saved = checkpoint(out)
    tensors = saved.tensors[group]
    name = max(tensors)
    if how == "shape":
        tensors[name] = torch.zeros(2, 3)
    elif how == "type":
        tensors[name] = tensors[name].double()
    elif how == "unknown":
        tensors["7.new.exp_avg"] = torch.zeros(1)
    else:
        tensors.pop(name)
    store = Store(out)
    store.save(saved.tensors, saved.about)
    store.wait()
    message = refused(out)
    assert f"({group})" in message
    assert ("7.new.exp_avg" if how == "unknown" else name) in message


def test_an_incomplete_moment_is_refused(out):
    saved = checkpoint(out)
    saved.tensors["optimizer"].pop("0.net.0.bias.exp_avg_sq")
    store = Store(out)
    store.save(saved.tensors, saved.about)
    store.wait()
    assert "lacks tensor '0.net.0.bias.exp_avg_sq' (optimizer)" in refused(out)


def test_a_tensor_that_cannot_be_saved_is_said_and_not_passed_over(tmp_path):
    class Complex(Regression):
        def __init__(self):
            super().__init__()
            self.register_buffer("turn", torch.ones(2, dtype=torch.complex64))

    with pytest.raises(TypeError, match=r"'turn' has type torch\.complex64, which the file cannot hold"):
        fit(make(Complex), data(), out=tmp_path, **ARGUMENTS)
    assert not list((tmp_path / "checkpoint").iterdir())


def test_the_file_format_is_safetensors():
    tensors = {
        "a": torch.arange(3, dtype=torch.uint8),
        "b": torch.randn(2, 3, dtype=torch.float64),
        "c": torch.tensor(1.5),
        "d": torch.randn(4).bfloat16(),
        "e": torch.tensor([True, False]),
        "f": torch.zeros(0, 3),
        "g": torch.arange(4).view(2, 2),
    }
    back = load(b"".join(bytes(chunk) for chunk in safetensors_chunks(tensors)))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) and back[name].dtype == tensors[name].dtype for name in tensors)
    with pytest.raises(TypeError, match="complex64"):
        list(safetensors_chunks({"a": torch.zeros(1, dtype=torch.complex64)}))


class Limited:
    """A file on a disk with little room."""

    def __init__(self, file, room: list) -> None:
        self.file, self.room = file, room

    def write(self, content):
        self.file.write(content[: max(0, self.room[0])])
        self.room[0] -= len(content)
        if self.room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()


def fill_disk(monkeypatch, room: int) -> None:
    """Let all files together take that many bytes, and then say that the disk is full."""
    left, true = [room], Path.open

    def limited(path, mode="r", *rest, **named):
        file = true(path, mode, *rest, **named)
        return Limited(file, left) if "w" in mode else file

    monkeypatch.setattr(files.Path, "open", limited)


def tree(out: Path) -> dict:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9, 0.98])
def test_a_full_disk_leaves_the_old_checkpoint(out, monkeypatch, share):
    before = tree(out)
    size = sum(len(content) for path, content in before.items() if path != "history.csv")
    fill_disk(monkeypatch, int(share * size))
    with pytest.raises(OSError) as refusal:
        fit(make(), data(), out=out, **(ARGUMENTS | {"steps": 6}))
    monkeypatch.undo()
    assert refusal.value.errno == errno.ENOSPC
    assert re.fullmatch(
        r"The checkpoint cannot be written to .*checkpoint \(No space left on device\): the one before it is kept\.",
        refusal.value.strerror,
    )
    assert tree(out) == before
    fit(make(), data(), out=out, **(ARGUMENTS | {"steps": 6}))  # with room again it goes on
    assert checkpoint(out).about["step"] == 6


def test_a_disk_too_full_for_the_history_says_so(out, monkeypatch):
    before = tree(out)
    (out / "history.csv").unlink()
    fill_disk(monkeypatch, 5)
    with pytest.raises(OSError, match=r"The history cannot be written to .*history\.csv \(No space left on device\)"):
        fit(make(), data(), out=out, **ARGUMENTS)
    monkeypatch.undo()
    assert tree(out).keys() == before.keys() - {"history.csv"}


def test_a_full_disk_in_the_middle_of_a_run_stops_it(tmp_path, monkeypatch):
    room = sum(map(len, tree(fit_once(tmp_path / "size")).values()))
    fill_disk(monkeypatch, 2 * room)
    with pytest.raises(OSError, match="No space left"):
        fit(make(), data(), out=tmp_path / "run", **(ARGUMENTS | {"steps": 40, "save_every": 2}))
    monkeypatch.undo()
    assert 0 < checkpoint(tmp_path / "run").about["step"] < 40


def fit_once(out: Path) -> Path:
    fit(make(), data(), out=out, **ARGUMENTS)
    return out


def test_a_path_that_cannot_be_a_folder_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    method = make()
    with pytest.raises(OSError, match=r"fit cannot write to .* \(.*\): choose another `out`"):
        fit(method, data(), out=tmp_path / "file" / "out", **ARGUMENTS)
    assert torch.equal(method.net[0].weight, make().net[0].weight)


def test_leftovers_of_killed_processes_are_removed(out):
    folder = out / "checkpoint"
    (folder / ".step-00000005.123.tmp").mkdir()
    (folder / "step-00000003").mkdir()
    (folder / "notes").mkdir()  # not ours
    fit(make(), data(), out=out, **(ARGUMENTS | {"steps": 6}))
    assert sorted(path.name for path in folder.iterdir()) == ["latest.json", "notes", "step-00000006"]


class Items(Augmented):
    """Subjects under another name, so that the message cannot take them from TensorData by luck."""

    @property
    def subjects(self):
        return [f"person-{index}" for index in range(len(self))]


def until_it_stops(kind, dataset, tmp_path, **arguments):
    """Train for 1, 2, 3, ... steps until one is refused: its message, the method, and the weights one step before."""
    reference: dict = {}
    for steps in range(1, 20):
        method = make(kind)
        try:
            fit(method, dataset, steps=steps, out=tmp_path / str(steps), save_every=1, progress=False, **arguments)
        except FloatingPointError as error:
            return str(error), steps, method.state_dict(), reference
        reference = {name: value.clone() for name, value in method.state_dict().items()}
    raise AssertionError("it never stopped")


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [Regression, Adversarial])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, kind, bad, accumulation):
    tensors = data()
    tensors.tensors["y"][17] = bad
    arguments = {"batch_size": 8, "accumulation": accumulation, "seed": 2}
    message, steps, state, reference = until_it_stops(kind, Items(tensors), tmp_path, **arguments)
    assert re.match(rf"Step {steps}: the loss is (nan|inf|-inf)", message)
    assert ("(objective 'critic')" in message) == (kind is Adversarial)
    samples = re.search(r"in the samples \[(.*?)\] of the subjects \[.*'person-17'", message)[1].split(", ")
    assert "17" in samples
    assert len(samples) in ((8,) if accumulation == 1 else (2, 3))  # only the piece that it is in
    assert f"The weights are those of step {steps - 1}" in message
    assert all(torch.equal(value, reference.get(name, value)) for name, value in state.items())
    if steps > 1:
        assert checkpoint(tmp_path / str(steps)).about["step"] == steps - 1
        assert f"holds step {steps - 1}" in message


def test_what_was_updated_before_the_loss_that_is_not_finite_is_said():
    class Breaking(Adversarial):
        def generator_loss(self, batch, rng):
            loss = super().generator_loss(batch, rng)["loss"]
            return {"loss": loss * (float("nan") if self.progress > 0.2 else 1.0)}

    method, twin = make(Breaking), make(Adversarial)
    with pytest.raises(FloatingPointError, match=r"objective 'generator'.*step 3 with the updates that step 4 had made "
                       r"before \(1 of 'critic'\); "):  # fmt: skip
        fit(method, data(), steps=10, batch_size=4, progress=False)
    fit(twin, data(), steps=3, batch_size=4, progress=False)
    assert torch.equal(method.net[0].weight, twin.net[0].weight)
    assert not torch.equal(method.critic.weight, twin.critic.weight)  # as the message says


def test_a_gradient_that_is_not_finite_stops_the_run():
    class Root(Regression):
        def loss(self, batch, rng):
            return {"loss": (self.net[0].weight * 0).abs().sqrt().sum()}

    method = make(Root)
    with pytest.raises(FloatingPointError, match=r"Step 1: the norm of the gradient is nan, in the samples .*`out`"):
        fit(method, data(), steps=2, batch_size=4, progress=False)
    assert torch.equal(method.net[0].weight, make(Root).net[0].weight)
