"""What was planted in both sets is found; what is only alike is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from typer.testing import CliRunner

from mmlab.command.cli import app
from mmlab.compare.audit import BITS, NEAR, audit, difference_hash, read_items


def photo(seed: int, size: int = 96) -> Image.Image:
    """A smooth picture of its own: a few coloured blobs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    layers = np.zeros((size, size, 3))
    for _ in range(8):
        a, b, width = rng.random(3)
        layers += np.exp(-((x - a) ** 2 + (y - b) ** 2) / (0.005 + 0.05 * width))[..., None] * rng.random(3)
    return Image.fromarray(np.uint8(255 * layers / layers.max()))


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """A training and a test folder without anything in common."""
    train, test = tmp_path / "train", tmp_path / "test"
    for folder, seeds in ((train, range(12)), (test, range(100, 106))):
        folder.mkdir()
        for seed in seeds:
            photo(seed).save(folder / f"{seed}.png")
    return train, test


def found(train: Path, test: Path, **more) -> list[tuple[str, str, str]]:
    return [(leak.kind, leak.first, leak.second) for leak in audit(read_items(train), read_items(test), **more)]


def test_sets_without_a_leak_have_none(sets) -> None:
    assert found(*sets) == []


def test_a_copied_file_is_found_under_another_name(sets) -> None:
    train, test = sets
    (test / "deep").mkdir()
    (test / "deep" / "renamed.png").write_bytes((train / "3.png").read_bytes())
    assert found(train, test) == [("same bytes", "3.png", "deep/renamed.png")]


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture.resize((61, 61)),
        lambda picture: ImageEnhance.Brightness(picture).enhance(0.7),
        lambda picture: picture.convert("L"),
        lambda picture: picture.crop((1, 1, 95, 95)),
    ],
    ids=["smaller", "darker", "grey", "cropped by a pixel"],
)
def test_a_changed_copy_is_nearly_the_same(sets, change) -> None:
    train, test = sets
    change(photo(5)).save(test / "copy.jpg", quality=60)
    assert found(train, test) == [("near-duplicate", "5.png", "copy.jpg")]


def test_unrelated_pictures_are_far_apart_and_blank_ones_are_not_compared() -> None:
    hashes = [difference_hash(photo(seed)) for seed in range(30)]
    apart = [(a != b).sum() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(apart) > 2 * NEAR
    assert 0.3 * BITS < np.mean(apart) < 0.7 * BITS
    assert difference_hash(Image.new("RGB", (50, 50), "white")) is None


def test_subjects_and_captions_are_read_from_tables_and_paths(tmp_path: Path) -> None:
    for side, name, caption in (("train", "sub-07", "The heart is large."), ("test", "sub-08", "the HEART is  large")):
        folder = tmp_path / side / name
        folder.mkdir(parents=True)
        photo(len(side)).save(folder / "scan.png")
        (tmp_path / side / "metadata.jsonl").write_text(
            json.dumps({"file_name": f"{name}/scan.png", "text": caption}) + "\n" + json.dumps({"question": side})
        )
    train, test = tmp_path / "train", tmp_path / "test"
    assert found(train, test) == [("same caption", "sub-07/scan.png", "sub-08/scan.png")]
    photo(9).save(test / "again_sub-07.png")
    assert ("same subject", "sub-07/scan.png", "again_sub-07.png") in found(train, test)
    (tmp_path / "a.csv").write_text("patient,text\np1,one\n")
    (tmp_path / "b.csv").write_text("patient_id,caption\np1,two\np2,One!\n")
    kinds = found(tmp_path / "a.csv", tmp_path / "b.csv")
    assert kinds == [
        ("same subject", "a.csv, line 1", "b.csv, line 1"),
        ("same caption", "a.csv, line 1", "b.csv, line 2"),
    ]


def run(*arguments: str):
    return CliRunner().invoke(app, ["data", "audit", *arguments])


def test_the_exit_code_tells_a_machine(sets, tmp_path: Path) -> None:
    train, test = map(str, sets)
    clean = run(train, test)
    assert clean.exit_code == 0
    assert "12 items" in clean.output
    (sets[1] / "copy.png").write_bytes((sets[0] / "3.png").read_bytes())
    leaky = run(train, test)
    assert leaky.exit_code == 1
    assert "same bytes: 1" in leaky.output
    assert "3.png  =  copy.png" in leaky.output
    (entry,) = json.loads(run(train, test, "--json").output)
    assert entry["kind"] == "same bytes"
    assert run(train, test, "--allow", "same bytes").exit_code == 0
    for wrong in (
        [train, str(tmp_path / "nowhere")],
        [train, test, "--allow", "same byte"],
        [train, test, "--near", "200"],
    ):
        assert run(*wrong).exit_code == 2


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no items"):
        read_items(tmp_path / "empty")
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 1, cannot be read as JSON"):
        read_items(tmp_path / "bad.jsonl")


def test_what_the_system_leaves_in_folders_is_no_item(sets) -> None:
    train, test = sets
    for folder in sets:
        for name in (".DS_Store", "Thumbs.db", "._0.png", "__MACOSX/0.png", "@eaDir/x/thumb.jpg"):
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            (folder / name).write_bytes(b"the same in both")
    assert found(train, test) == []


def test_pictures_are_read_as_everywhere(sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = sets
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held sideways: the pixels are turned, and the file says so
    photo(3).transpose(Image.Transpose.ROTATE_90).save(test / "phone.jpg", exif=exif, quality=95)
    assert [leak[0] for leak in found(train, test)] == ["near-duplicate"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    for name in ("script.png", "script.jpg"):
        (test / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    read_items(test)
    assert not (tmp_path / "ran").exists()


def test_ids_and_captions_are_compared_in_any_script_and_encoding(tmp_path: Path, monkeypatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "a.csv").write_text("patient_id,caption\n7,\u0930\u093e\u092e\n8,\U0001f600\n9,Zoe\u0308\n", "utf-16")
    (two / "a.csv").write_text("patient_id,caption\n7.0,\u0930\u094b\u092e\n1,\U0001f600!\n2,zo\u00eb\n", "utf-8-sig")
    leaks = {(leak.kind, leak.detail) for leak in audit(read_items(one), read_items(two))}
    assert leaks == {("same subject", "7"), ("same caption", "\U0001f600"), ("same caption", "zo\u00eb")}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(read_items("~/one")) == 3
    assert run("--", "~/one", "$HOME/two").exit_code == 1
    (two / "b.jsonl").write_text('{"a": 1' + "[" * 100_000)
    with pytest.raises(ValueError, match=r"b\.jsonl, line 1, cannot be read .*; correct it, or leave it out"):
        read_items(two)
