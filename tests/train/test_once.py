"""Training once: the same call loads the same bits, any other trains, and what is damaged is made again."""

from __future__ import annotations

import importlib
import multiprocessing
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from train.training_toys import Regression

from mmlab.data.tensors import TensorData
from mmlab.train import fit, once
from mmlab.train.once import trained_once


def _data(shift: float = 0.0) -> TensorData:
    x = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
    x[-1] += shift
    return TensorData({"x": x, "y": x.sum(1, keepdim=True)})


def _method(seed: int = 0, **arguments: int) -> Regression:
    torch.manual_seed(seed)
    return Regression(**arguments)


def _same(a: Regression, b: Regression) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def train(tmp_path: Path, said: list[str]) -> Callable[..., Regression]:
    def call(method: Regression | None = None, data: TensorData | None = None, **changes: object) -> Regression:
        settings: dict[str, object] = {"steps": 5, "batch_size": 8, "progress": False}
        return trained_once(
            method or _method(), data or _data(), folder=tmp_path, report=said.append, **{**settings, **changes}
        )

    return call


def test_what_is_loaded_is_what_training_gives(train: Callable[..., Regression], said: list[str]) -> None:
    plain = _method()
    fit(plain, _data(), steps=5, batch_size=8, progress=False)
    first, second = train(), train()
    assert _same(plain, first)
    assert _same(plain, second)
    assert not second.training
    assert second.progress == first.progress == 1.0
    assert "trained" in said[0]
    assert "kept" in said[0]
    assert "loaded" in said[1]


def test_it_works_in_place(train: Callable[..., Regression]) -> None:
    train()
    method = _method()
    assert train(method) is method


def test_spelling_out_a_default_or_watching_changes_nothing(train: Callable[..., Regression], said: list[str]) -> None:
    train()
    train(lr=1e-3, seed=0)
    train(progress=True, workers=0)
    assert all("loaded" in line for line in said[1:])


@pytest.mark.parametrize("change", [{"steps": 6}, {"lr": 2e-3}, {"seed": 1}, {"ema_decay": 0.9}])
def test_other_settings_train_anew(train: Callable[..., Regression], said: list[str], change: dict[str, float]) -> None:
    train()
    train(**change)
    assert "loaded" not in said[1]


def test_another_start_item_argument_or_frozen_part_trains_anew(
    train: Callable[..., Regression], said: list[str]
) -> None:
    train()
    train(_method(seed=1))
    train(_method(width=7))
    train(data=_data(shift=0.001))  # the last of 600 items
    frozen = _method()
    frozen.net[0].requires_grad_(False)
    train(frozen)
    other = _method()
    other.net[1].p = 0.4
    train(other)
    assert not any("loaded" in line for line in said)


@pytest.mark.parametrize(
    ("edited", "again"),
    [
        ("method.py", True),
        ("train/learner.py", True),
        ("data/tensors.py", True),
        ("methods/c2c.py", False),
        ("viz/display.py", False),
        ("publish/make.py", False),
    ],
)
def test_an_edit_of_the_package_trains_anew_if_it_is_reached(
    train: Callable[..., Regression],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edited: str,
    again: bool,
) -> None:
    package = tmp_path / "mmlab"
    shutil.copytree(once._PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(once, "_PACKAGE", package)
    train()
    train()
    with (package / edited).open("a", encoding="utf-8") as file:
        file.write("x = 2\n")
    train()
    assert ["loaded" in line for line in said] == [False, True, not again]


OWN = {
    "own_method": "import own_helper\nfrom own_base import Base\n\n\nclass Own(Base):\n"
    "    def loss(self, batch, rng):\n        from own_late import weight\n\n"
    "        return {'loss': weight * own_helper.square(self.net(batch['x']) - batch['y']).mean()}\n",
    "own_base": "from torch import nn\n\nfrom mmlab.method import Method\n\n\nclass Base(Method):\n"
    "    def __init__(self):\n        super().__init__()\n        self.net = nn.Linear(4, 1)\n",
    "own_helper": "from own_folder import deep\n\n\ndef square(x):\n    return deep.power(x)\n",
    "own_late": "weight = 1.0\n",
    "own_folder/deep": "def power(x):\n    return x**2\n",  # a folder without __init__.py
    "own_unreached": "weight = 2.0\n",
}


@pytest.mark.parametrize("edited", [*OWN, None])
def test_an_edit_of_own_code_trains_anew_if_it_is_reached(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str | None
) -> None:
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    cls = importlib.import_module("own_method").Own

    def call() -> None:
        torch.manual_seed(0)
        trained_once(cls(), _data(), folder=tmp_path / "kept", report=said.append, steps=2, progress=False)

    call()
    if edited:
        with (tmp_path / f"{edited}.py").open("a", encoding="utf-8") as file:
            file.write("x = 2\n")
    call()
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]
    assert ("loaded" in said[1]) == (edited in (None, "own_unreached"))


CELL = """
import torch
from torch import nn
from mmlab.method import Method

rate, unused = 1.0, 1.0
table = torch.ones(1)

def square(x):
    return rate * table * x**2

class Own(Method):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 1)

    def loss(self, batch, rng):
        return {"loss": self._error(batch).mean()}

    def _error(self, batch):
        return square(self.net(batch["x"]) - batch["y"])
"""


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("x**2", "x**4", True),
        ("rate, unused = 1.0", "rate, unused = 2.0", True),
        ("torch.ones(1)", "torch.ones(1) * 2", True),
        (".mean()", ".sum()", True),
        ("unused = 1.0, 1.0", "unused = 1.0, 2.0", False),
        ("\nclass", "\n# a comment\nclass", False),
        ("", "", False),
    ],
)
def test_an_edit_of_a_cell_of_a_notebook_trains_anew_if_it_is_reached(
    said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, again: bool
) -> None:
    for cell in (CELL, CELL.replace(old, new)):
        notebook = types.ModuleType("a_notebook")  # as __main__ is there: a module without a file
        monkeypatch.setitem(sys.modules, "a_notebook", notebook)
        exec(cell, vars(notebook))
        torch.manual_seed(0)
        trained_once(notebook.Own(), _data(), folder=tmp_path, report=said.append, steps=2, progress=False)
    assert ("loaded" in said[1]) != again


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_made_again(
    train: Callable[..., Regression], said: list[str], tmp_path: Path, damage: bytes | None
) -> None:
    plain = train()
    (file,) = tmp_path.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1  # one bit of one weight
    file.write_bytes(bytes(content) if damage is None else damage)
    assert _same(train(), plain)
    train()
    assert ["loaded" in line for line in said] == [False, False, True]


def test_a_file_under_another_name_is_not_believed(
    train: Callable[..., Regression], said: list[str], tmp_path: Path
) -> None:
    train()
    (other,) = tmp_path.glob("*.safetensors")
    train(seed=1)
    (right,) = set(tmp_path.glob("*.safetensors")) - {other}
    right.write_bytes(other.read_bytes())
    train(seed=1)
    assert "loaded" not in said[2]


def test_where_nothing_can_be_kept_it_is_trained_all_the_same(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    method = trained_once(
        _method(), _data(), folder=tmp_path / "file", report=said.append, steps=5, batch_size=8, progress=False
    )
    plain = _method()
    fit(plain, _data(), steps=5, batch_size=8, progress=False)
    assert _same(method, plain)
    assert "not kept" in said[0]


def test_a_failed_training_leaves_nothing(train: Callable[..., Regression], tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError):
        train(data=_data(shift=float("inf")), steps=80)
    assert list(tmp_path.iterdir()) == []


def test_only_the_latest_are_kept(
    train: Callable[..., Regression], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "_KEPT", 2)
    for seed in range(4):
        train(seed=seed, steps=1)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_cache_is_where_the_reader_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    trained_once(_method(), _data(), steps=1, progress=False)
    assert len(list((tmp_path / "trained").iterdir())) == 1
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("change", [{"out": "here"}, {"validation": 1}, {"trackers": ("tensorboard",)}])
def test_what_wants_more_than_weights_is_refused(train: Callable[..., Regression], change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"takes no {next(iter(change))}"):
        train(**change)


def test_an_unknown_argument_is_refused_before_training(train: Callable[..., Regression], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="step_size"):
        train(step_size=1)
    assert list(tmp_path.iterdir()) == []


def test_several_processes_do_not_each_look_for_themselves(
    train: Callable[..., Regression], said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setattr(once, "fit", lambda method, dataset, **settings: None)
    train()
    assert "several processes" in said[0]
    assert list(tmp_path.iterdir()) == []


def _compete(folder: Path, done: multiprocessing.Queue[dict[str, Tensor]]) -> None:
    torch.set_num_threads(1)
    method = trained_once(_method(), _data(), folder=folder, report=len, steps=5, batch_size=8, progress=False)
    done.put({name: tensor.numpy() for name, tensor in method.state_dict().items()})


def test_two_at_once_are_safe(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    both = [context.Process(target=_compete, args=(tmp_path, done)) for _ in range(2)]
    for process in both:
        process.start()
    first, second = (done.get(timeout=120) for _ in both)
    for process in both:
        process.join()
    assert all((first[name] == second[name]).all() for name in first)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
