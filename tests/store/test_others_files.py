"""What another program, or somebody, put where mmlab writes: it stays, byte for byte, and a sentence says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn

import mmlab
from mmlab.command.experiment import check_options
from mmlab.data.tensors import TensorData
from mmlab.methods.late_fusion import LateFusion
from mmlab.store.adapters import CONFIG, WEIGHTS, save_adapter
from mmlab.store.folders import NotOursError, refuse_other_arrays
from mmlab.train.history import History


class Net(nn.Module):
    """A base for an adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)


def adapter() -> nn.Module:
    torch.manual_seed(0)
    return get_peft_model(Net(), LoraConfig(r=2, target_modules=["layer"]))  # type: ignore[arg-type,return-value]


def method(folder: Path) -> None:
    LateFusion.demo()[0].save_pretrained(folder)


def history(folder: Path) -> None:
    made, batch = LateFusion.demo()
    mmlab.fit(made, TensorData(batch), steps=1, batch_size=2, out=folder)


def options(folder: Path) -> None:
    check_options({"trackers": []}, steps=1, batch_size=1, seed=0, out=folder.parent)


def theirs(file: Path) -> None:
    save_file({"w": torch.ones(2)}, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("write", "name", "content"),
    [
        (method, "model.safetensors", b"mine"),
        (method, "model.safetensors", None),
        (method, "config.json", b'{"model_type": "bert"}'),
        (options, "model.safetensors", None),
        (options, "split.json", b"{}"),
        (lambda folder: save_adapter(adapter(), folder), WEIGHTS, None),
        (lambda folder: save_adapter(adapter(), folder), CONFIG, b"{}"),
        (history, "history.csv", b"year,event\n1990,begun\n"),
        (lambda folder: History().to_csv(folder / "h.csv"), "h.csv", b"mine"),
        (lambda folder: refuse_other_arrays(folder / "s.npz", ["samples", "items"]), "s.npz", b"mine"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value))[:30],
)
def test_a_file_of_somebody_else_stays(
    tmp_path: Path, write: Callable[[Path], None], name: str, content: bytes | None
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    theirs(folder / name) if content is None else (folder / name).write_bytes(content)
    before = (folder / name).read_bytes()
    with pytest.raises(NotOursError, match=r"move it away"):
        write(folder)
    assert (folder / name).read_bytes() == before
    assert {path.name for path in folder.iterdir()} <= {name}
    (folder / name).unlink()  # the remedy
    write(folder)
    write(folder)  # what mmlab wrote may be written again


def test_samples_are_known_by_their_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", samples=np.ones(2), items=np.ones(1))
    refuse_other_arrays(tmp_path / "s.npz", ["samples", "items"])
    np.savez(tmp_path / "o.npz", samples=np.ones(2), prices=np.ones(1))
    with pytest.raises(NotOursError, match="something else"):
        refuse_other_arrays(tmp_path / "o.npz", ["samples", "items"])
    with pytest.raises(NotOursError, match="a folder"):
        refuse_other_arrays(tmp_path, ["samples", "items"])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(NotOursError, match="name a folder"):
        method(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def test_a_pipeline_of_another_program_stays(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text("{}")
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}')
    from mmlab.store.pipelines import _check_replaceable

    with pytest.raises(NotOursError, match="mmlab did not write: move it away"):
        _check_replaceable(tmp_path)
    assert (tmp_path / "unet" / "config.json").read_text() == "{}"
