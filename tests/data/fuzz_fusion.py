"""Fuzz targets for the loaders of the fusion chapters; see ``fuzzing.py``."""

from __future__ import annotations

import io
import json
import os
import wave
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from fuzzing import Target, npy

from mmlab.data.sets.av_mnist import original_av_mnist
from mmlab.data.sets.fastmri_knee import knee_labels
from mmlab.data.sets.kspace import about, read_kspace
from mmlab.data.sets.mogonet_rosmap import VIEWS, mogonet
from mmlab.data.sets.nlvr1 import read_nlvr
from mmlab.data.sets.nlvr2_text import nlvr2_text
from mmlab.data.worlds.speech import read_wav


def fusion_targets(folder: Path) -> dict[str, Target]:
    """Sound, k-space, tables of omics and of boxes, sentences and pictures."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(np.arange(-50, 50, dtype="<i2").tobytes())
    return {
        "read_wav": Target("w.wav", stream.getvalue(), read_wav, _check_sound),
        "read_kspace": Target("f.h5", _hdf5(folder), _scan, _check_scan),
        **_av_mnist(),
        **_omics(),
        **_boxes(),
        **_sentences(),
    }


def _check_sound(read: Any) -> None:
    assert read.dtype == np.int16
    assert read.ndim == 1
    assert 0 < len(read) <= 2000


def _hdf5(folder: Path) -> bytes:
    with h5py.File(folder / "f.h5", "w") as file:
        file["kspace"] = np.ones((2, 4, 3), np.complex64)
        file.attrs["max"] = 1.0
        file.attrs["acquisition"] = "CORPD_FBK"
    return (folder / "f.h5").read_bytes()


def _scan(path: Path) -> Any:
    return about(path), read_kspace(path)


def _check_scan(read: Any) -> None:
    said, kspace = read
    assert kspace.ndim == 3
    assert kspace.dtype == torch.complex64
    assert kspace.numel() < 10_000
    assert bool(torch.isfinite(torch.view_as_real(kspace)).all())
    assert said.slices == len(kspace)
    assert 0 < said.scale < float("inf")


def _av_mnist() -> dict[str, Target]:
    rng = np.random.default_rng(0)
    good = {}
    for side in ("train", "test"):
        good[f"image/{side}_data.npy"] = npy(rng.integers(0, 256, (3, 784)).astype(np.uint8))
        good[f"audio/{side}_data.npy"] = npy(rng.integers(0, 256, (3, 112, 112)).astype(np.float32))
        good[f"{side}_labels.npy"] = npy(rng.integers(0, 10, 3))

    def check(read: Any) -> None:
        for part, count in ((read.train, 2), (read.validation, 1), (read.test, 3)):
            assert part.tensors["image"].shape == (count, 1, 28, 28)
            assert part.tensors["audio"].shape == (count, 1, 112, 112)
            assert 0 <= float(part.tensors["audio"].min()) <= float(part.tensors["audio"].max()) <= 1
            assert 0 <= int(part.tensors["label"].min()) <= int(part.tensors["label"].max()) <= 9

    return {
        f"original_av_mnist, {name}": Target(
            f"av/{name}",
            good[name],
            lambda path, up=up: original_av_mnist(path.parents[up], validation=1),  # type: ignore[misc]
            check,
            others={f"av/{other}": content for other, content in good.items() if other != name},
        )
        for name, up in (("image/train_data.npy", 1), ("audio/test_data.npy", 1), ("train_labels.npy", 0))
    }


def _omics() -> dict[str, Target]:
    rng = np.random.default_rng(0)
    good = {}
    for side in ("tr", "te"):
        for number in (1, 2, 3):
            rows = rng.normal(size=(4, 2))
            good[f"{number}_{side}.csv"] = "\n".join(",".join(f"{x:.8e}" for x in row) for row in rows).encode()
        good[f"labels_{side}.csv"] = b"0.0e+00\n1.0e+00\n1.0e+00\n0.0e+00\n"

    def check(read: Any) -> None:
        for part in (read.train, read.test):
            assert len(part) > 0
            assert all(bool(torch.isfinite(part.tensors[view]).all()) for view in VIEWS)
            assert int(part.tensors["label"].min()) >= 0

    return {
        f"mogonet, {name}": Target(
            f"omics/{name}",
            good[name],
            lambda path: mogonet(path.parent),
            check,
            others={f"omics/{other}": content for other, content in good.items() if other != name},
        )
        for name in ("1_tr.csv", "2_te.csv", "labels_tr.csv")
    }


def _boxes() -> dict[str, Target]:
    good = {
        "boxes/knee.csv": b"file,slice,study_level,x,y,width,height,label\nf1,2,No,1,2,3,4,Meniscus Tear\n"
        b"f1,3,No,1,2,3,4,Cartilage - x\nf2,0,Yes,,,,,artifact\n",
        "boxes/knee_file_list.csv": b"f1\nf2\nf3\n",
    }

    def check(read: Any) -> None:
        for slices in read.findings.values():
            for number, marks in slices.items():
                assert number >= 0
                assert len(marks) == 4
                assert all(type(mark) is bool for mark in marks)
                assert marks[0] or not any(marks)

    return {
        f"knee_labels, {Path(name).name}": Target(
            name,
            good[name],
            lambda path: knee_labels(path.parent),
            check,
            others={other: content for other, content in good.items() if other != name},
        )
        for name in good
    }


def _sentences() -> dict[str, Target]:
    from PIL import Image

    picture = io.BytesIO()
    Image.fromarray(np.tile(np.arange(100, dtype=np.uint8)[:, None, None], (1, 400, 3))).save(picture, "PNG")
    line = {"sentence": "a box", "identifier": "7-0", "directory": "3", "label": "true"}
    good = {"train/train.json": json.dumps(line).encode() + b"\n", "train/images/3/train-7-0-0.png": picture.getvalue()}
    rows = [f"dev,dev-{i}-0-0,{('true', 'false')[i % 2]},cup,a cup {i}" for i in range(4)]
    table = "\n".join(["split,identifier,label,synset,sentence", *rows, "test1,test1-1-0-0,true,cup,a cup"]).encode()

    def read_text(path: Path) -> Any:
        os.environ["MMLAB_DATA"] = str(path.parents[1])
        return nlvr2_text()

    def check_text(read: Any) -> None:
        assert len(read.train) > 0
        assert set(read.test.tensors["label"].tolist()) <= {0, 1}
        assert read.train.tensors["text"].shape[1] == len(read.vocabulary)

    def check(read: Any) -> None:
        records, pictures = read
        assert len(records) == len(pictures) > 0
        assert all(type(record["label"]) is bool and type(record["sentence"]) is str for record in records)
        assert all(pixels.shape == (100, 400, 3) and pixels.dtype == np.uint8 for pixels in pictures)

    targets = {
        f"read_nlvr, {Path(name).suffix}": Target(
            name,
            good[name],
            lambda path: read_nlvr(next(parent for parent in path.parents if parent.name == "train")),
            check,
            others={other: content for other, content in good.items() if other != name},
        )
        for name in good
    }
    return {**targets, "nlvr2_text": Target("nlvr2_text/nlvr2.csv", table, read_text, check_text)}
