"""Whatever a file holds, an error of its loader names it, also where the registry's description lets the file pass."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmlab.data.files import registry
from mmlab.data.files.arrays import Array, read_arrays
from mmlab.data.files.own import own_folder
from mmlab.data.sets.av_mnist_mini import av_mnist_mini, recordings
from mmlab.data.sets.captioned_pictures import kvasir_seg
from mmlab.data.sets.hcp_rest_task30 import hcp_rest_task30, rest_activation
from mmlab.data.sets.mist122_rest_pain import mist122_rest_pain, unpaired_rest_task
from mmlab.data.sets.mogonet_rosmap import mogonet, mogonet_rosmap
from mmlab.data.sets.mosi_features import mosi_features
from mmlab.data.sets.partiprompts_decisions import partiprompts_decisions
from mmlab.data.sets.tcga_brca_jive import tcga_brca_jive
from mmlab.data.splits import rescale, stratified
from mmlab.data.tensors import TensorData
from mmlab.wording import naming

LOADERS: dict[str, Callable[[], Any]] = {
    "fsdd": lambda: recordings(registry.where("fsdd")),
    "hcp_rest_task30": lambda: (hcp_rest_task30(), rest_activation()),
    "kvasir_seg": lambda: kvasir_seg(part="test"),
    "mist122_rest_pain": lambda: (mist122_rest_pain("up", "down"), unpaired_rest_task()),
    "mogonet_rosmap": lambda: mogonet_rosmap(validation=0.1),
    "mosi_features": mosi_features,
    "tcga_brca_jive": tcga_brca_jive,
}


def _filled(wanted: Array, how: str) -> np.ndarray:
    """An array that is as wanted, of one value, or of any."""
    assert wanted.shape is not None
    shape = tuple(length or 0 for length in wanted.shape)
    kind, rng = wanted.kind[0], np.random.default_rng(0)
    if kind == "U":
        return np.full(shape, "x", dtype="<U4")
    low = -1 if wanted.low is None else wanted.low
    high = 1 if wanted.high is None else wanted.high
    if kind == "f":
        if how == "nothing" and wanted.nan:
            return np.full(shape, np.nan)
        made = rng.uniform(max(low, -1), min(high, 1), shape)
        return {"low": np.full(shape, low), "high": np.full(shape, high)}.get(how, made).astype(np.float64)
    kinds: dict[str, Any] = {"u": np.uint8, "i": np.int64, "b": np.bool_}
    if kind == "u":
        low, high = max(low, 0), min(255 if wanted.high is None else high, 255)
    if kind == "b":
        low, high = 0, 1
    made = rng.integers(int(low), int(high) + 1, shape)
    return {"low": np.full(shape, low), "high": np.full(shape, high)}.get(how, made).astype(kinds[kind])


@pytest.mark.parametrize("how", ["low", "high", "any", "nothing"])
@pytest.mark.parametrize("name", LOADERS)
def test_what_the_registry_lets_pass_is_read_or_refused_by_name(
    name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    folder = tmp_path / name
    folder.mkdir()
    for file, known in registry.source(name).files.items():
        if known.arrays:
            np.savez(folder / file, **{key: _filled(wanted, how) for key, wanted in known.arrays.items()})
    (folder / "polyp_facts.csv").write_text("image,area_fraction,cx,cy\n")
    said = str(folder)
    try:
        LOADERS[name]()
    except ValueError as error:
        said = str(error)
    assert str(folder) in said


def test_what_the_loaders_find_wrong_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    for side in ("tr", "te"):
        for number in (1, 2, 3):
            np.savetxt(tmp_path / f"{number}_{side}.csv", np.random.default_rng(0).random((4, 2)), delimiter=",")
        np.savetxt(tmp_path / f"labels_{side}.csv", [0, 1, 1, 0])
    with pytest.raises(ValueError, match=f"^{tmp_path}: A share of 0.01 "):
        mogonet(tmp_path, validation=0.01)
    (tmp_path / "partiprompts_decisions").mkdir()
    table = tmp_path / "partiprompts_decisions" / "PartiPromptsAllDecisions_Alignment.tsv"
    table.write_text("Prompt\tDecisions\na\tz\n")
    with pytest.raises(ValueError, match=f"^{table}, line 2"):
        partiprompts_decisions()
    (tmp_path / "recordings").mkdir()
    with wave.open(str(tmp_path / "recordings" / "0_a_0.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(200))
    with pytest.raises(ValueError, match=f"^{tmp_path / 'recordings'}.*0_a_0.wav is silent; none"):
        recordings(tmp_path)


def test_a_digit_without_a_recording(tmp_path: Path) -> None:
    for name in ("mnist", "fsdd"):
        (tmp_path / name).mkdir()
        (file,) = registry.source(name).files.keys() & {f"{name}.npz"}
        made = {key: _filled(wanted, "low") for key, wanted in registry.source(name).files[file].arrays.items()}
        if name == "fsdd":
            made["offset"] = np.linspace(0, len(made["audio"]), 3001).astype(np.int64)
            made["audio"][::2] = 5
            made["index"] = (np.arange(3000) % 50).astype(np.uint8)
        np.savez(tmp_path / name / file, **made)
    with pytest.raises(ValueError, match=f"^{tmp_path}: There is no recording or image of digit"):
        av_mnist_mini(tmp_path, train=20, validation=10, test=10)


PAIRS = 'kind = "symmetric"\n[arrays]\nsource = "a.npy"\ntarget = "b.npy"\n'
PLAIN = '[arrays]\nx = "a.npy"\nlabel = "b.npy"\n'


@pytest.mark.parametrize(
    ("text", "a", "b", "sentence"),
    [
        (PAIRS, np.ones((3, 5)), np.ones((3, 3)), "source: 5 edges are not the upper triangle"),
        (PAIRS, np.ones((3, 0)), np.ones((3, 0)), "source: 0 edges"),
        (PAIRS, np.arange(27.0).reshape(3, 3, 3), np.ones((3, 3)), "source of row 0000 is not symmetric"),
        (PAIRS, np.ones((3, 4, 5)), np.ones((3, 3)), "source of row 0000 is 4x5, not a square"),
        (PAIRS, np.ones((3, 3)), np.full((3, 3), 1e300), r"target holds 1e\+300, beyond single precision"),
        (PAIRS, np.ones((0, 3)), np.ones((0, 3)), "arrays has no rows"),
        (PLAIN, np.full((2, 2), -1e39), np.array([0, 1]), r"x holds -1e\+39, beyond single precision"),
        (PLAIN, np.ones((2, 2)), np.array([1e300, 1]), r"label holds 1e\+300"),
        (PLAIN, np.ones((2, 2)), np.array([2**64 - 1, 1], np.uint64), "label holds"),
        (PLAIN.replace("label", "x_present"), np.ones((2, 2)), np.array([7, 0]), "x_present holds 7"),
        (PAIRS + '[test]\nsource = "a.npy"\ntarget = "c.npy"\n', np.ones((3, 3)), np.ones((3, 3)), "same columns"),
    ],
)
def test_own_arrays(tmp_path: Path, text: str, a: np.ndarray, b: np.ndarray, sentence: str) -> None:
    (tmp_path / "data.toml").write_text(text)
    for name, array in {"a": a, "b": b, "c": np.ones((3, 6))}.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'data.toml'}: .*{sentence}"):
        own_folder(tmp_path)


def test_the_name_is_put_before_a_sentence_once() -> None:
    with pytest.raises(ValueError, match=r"^f\.csv: it is empty$"), naming("f.csv"):
        raise ValueError("it is empty")
    with pytest.raises(ValueError, match=r"^row 3 of f\.csv$"), naming("f.csv"):
        raise ValueError("row 3 of f.csv")


def test_splits_of_nothing_and_scales_beyond_a_type() -> None:
    import torch

    with pytest.raises(ValueError, match="No item has a label"):
        stratified(torch.zeros(0), 0.5)
    train, test = (TensorData({"x": torch.tensor(values)}) for values in ([[0.0], [0.1]], [[3e38], [0.0]]))
    with pytest.raises(ValueError, match="'x' has an item so far"):
        rescale([train, test], ("x",), "zscore")


def test_half_precision_is_compared_with_bounds_that_it_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([1, -2], np.float16))
    assert read_arrays(path, {"x": Array("f", (2,), -3.4e38, 3.4e38)})["x"].dtype == np.float16
