"""Training once: the same call loads the same bits, any other trains, and what is damaged is made again."""

from __future__ import annotations

import multiprocessing
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


def test_an_edit_of_the_package_trains_anew(
    train: Callable[..., Regression], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package" / "deep"
    package.mkdir(parents=True)
    (package / "module.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(once, "_PACKAGE", package.parent)
    train()
    train()
    (package / "module.py").write_text("x = 2\n", encoding="utf-8")
    train()
    assert ["loaded" in line for line in said] == [False, True, False]


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
