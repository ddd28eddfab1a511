"""NLVR and the sentences of NLVR2: read right, split without leaks, refused with file and line when wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmlab.data.files import registry
from mmlab.data.sets.nlvr1 import nlvr1, read_nlvr
from mmlab.data.sets.nlvr2_text import nlvr2_text

DATA = os.environ.get("MMLAB_DATA")


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (100, 400, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small NLVR where the registry looks for it: 8 sentences per part, written in groups of two."""
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    records = [
        {
            "split": split,
            "identifier": f"{start + i // 2}-{i % 2}",
            "sentence": f"a {split} box {i}",
            "label": i % 2 == 0,
        }
        for start, split in ((10, "dev"), (20, "test"), (30, "hidden"))
        for i in range(8)
    ]
    arrays = {
        "index": rng.integers(0, 63, (24, 100, 400), dtype=np.uint8),
        "palette": rng.integers(0, 256, (63, 3), dtype=np.uint8),
    }
    (tmp_path / "nlvr1").mkdir()
    (tmp_path / "nlvr1" / "nlvr1.json").write_text(json.dumps(records))
    monkeypatch.setattr(registry, "load_arrays", lambda name, file: arrays)
    return tmp_path


def write_train(folder: Path, **changes: Any) -> Path:
    """The original's layout, with two sentences."""
    from PIL import Image

    place = folder / "train"
    lines = []
    for number, label in ((0, "true"), (1, "false")):
        path = place / "images" / "3" / f"train-7-{number}-0.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
        lines.append({"sentence": f"one box {number}", "identifier": f"7-{number}", "directory": "3", "label": label})
    lines[1].update(changes)
    (place / "train.json").write_text("\n".join(json.dumps({**line, "evals": {}}) for line in lines) + "\n")
    return place


def test_items_and_groups(folder: Path) -> None:
    data = nlvr1(reduce=1, validation=0.25)
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [12, 4, 8]
    arrays = registry.load_arrays("nlvr1", "images.npz")
    place = {f"{start + i // 2}-{i % 2}": 8 * n + i for n, start in enumerate((10, 20, 30)) for i in range(8)}
    for name, part in (("train", data.train), ("validation", data.validation), ("test", data.test)):
        assert part.subjects is not None
        for i, identifier in enumerate(part.subjects):
            row = place[str(identifier)]
            expected = arrays["palette"][arrays["index"][row]].transpose(2, 0, 1) / 255
            assert np.allclose(part.tensors["image"][i], expected, atol=1e-6)
            assert int(part.tensors["label"][i]) == 1 - row % 2
            assert data.sentences[name][i].endswith(f"box {row % 8}")
    groups = [{str(s).split("-")[0] for s in part.subjects or ()} for part in (data.train, data.validation, data.test)]
    assert not groups[0] & groups[1]
    assert groups[2] == {"20", "21", "22", "23"}
    assert "test" not in data.vocabulary  # words of the test sentences are unknown
    small = nlvr1(reduce=10, validation=0.25, form="tokens", length=5)
    assert small.train.tensors["image"].shape == (12, 3, 10, 40)
    assert torch.allclose(small.train.tensors["image"][0, 0, 0, 0], data.train.tensors["image"][0, 0, :10, :10].mean())
    assert small.train.tensors["text"].shape == (12, 5)


def test_the_original_training_part(folder: Path) -> None:
    place = write_train(folder)
    records, pictures = read_nlvr(place)
    assert [record["label"] for record in records] == [True, False]
    assert np.array_equal(pictures[1], picture(1))
    data = nlvr1(train=place, least=1)
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [2, 8, 8]
    assert data.sentences["train"] == ("one box 0", "one box 1")
    assert set(data.vocabulary[2:]) == {"one", "box", "0", "1"}
    assert data.source == ("nlvr1", "nlvr1_train")
    with pytest.raises(FileNotFoundError, match=r"train-7-0-1.png, which .*train.json, line 1 names"):
        read_nlvr(place, arrangement=1)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"identifier": "../7"}, r"line 2: field 'identifier' holds '../7'"),
        ({"directory": "../../etc"}, r"line 2: field 'directory' holds"),
        ({"label": "maybe"}, r"line 2: field 'label' holds 'maybe', expected true\|false"),
        ({"sentence": 3}, r"line 2: field 'sentence' holds '3', expected text"),
    ],
)
def test_single_odd_lines_are_left_out_and_named(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    place = write_train(tmp_path, **changes)
    with pytest.warns(UserWarning, match=rf"train.json: 1 of 2 lines are left out: {sentence}"):
        records, pictures = read_nlvr(place)
    assert [record["identifier"] for record in records] == ["7-0"]
    assert np.array_equal(pictures[0], picture(0))
    lines = (place / "train.json").read_text().splitlines()
    (place / "train.json").write_text("\n".join(lines[1:]))
    with pytest.raises(ValueError, match=r"train.json, line 1: .*; none of the lines can be read: get the file again"):
        read_nlvr(place)


def test_damaged_files_are_left_out_or_refused(tmp_path: Path) -> None:
    from PIL import Image

    place = write_train(tmp_path)
    path = place / "images" / "3" / "train-7-1-0.png"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.warns(UserWarning, match=r"1 of 2 lines are left out: line 2: .*train-7-1-0.png cannot be read"):
        assert len(read_nlvr(place)[0]) == 1
    Image.fromarray(picture(0)[:50]).save(path)
    with pytest.warns(UserWarning, match="it is 400 x 50, expected 400 x 100"):
        assert len(read_nlvr(place)[1]) == 1
    Image.fromarray(picture(1)).save(path)
    good = (place / "train.json").read_text()
    for content, sentence in (
        (good + "{", "line 3: this cannot be read as JSON"),
        (good + "[1]", "line 3: this is no object"),
    ):
        (place / "train.json").write_text(content)
        with pytest.warns(UserWarning, match=f"1 of 3 lines are left out: {sentence}"):
            assert len(read_nlvr(place)[0]) == 2
    (place / "train.json").write_text("\n\n")
    with pytest.raises(ValueError, match="holds no sentences"):
        read_nlvr(place)
    with pytest.raises(FileNotFoundError, match=r"dev.json: Free: clone the repository"):
        read_nlvr(tmp_path / "dev")


def test_wrong_prepared_files_are_refused(folder: Path) -> None:
    path = folder / "nlvr1" / "nlvr1.json"
    records = json.loads(path.read_text())
    with pytest.raises(ValueError, match="reduce=3 does not divide"):
        nlvr1(reduce=3)
    path.write_text(json.dumps(records[:-1]))
    with pytest.raises(ValueError, match=r"nlvr1.json has 23 records, images.npz 24"):
        nlvr1()
    path.write_text(json.dumps([*records[:-1], {**records[-1], "split": "exam"}]))
    with pytest.warns(UserWarning, match=r"nlvr1.json: 1 of 24 records are left out: record 23 is of the split 'exam'"):
        assert len(nlvr1(validation=0.0).train) == 15
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"nlvr1 needs .*github.com/lil-lab/nlvr"):
        nlvr1()


ROWS = [
    ("dev", f"dev-{i // 4}-{i % 4}-0", ("true", "false")[i % 2], "cup", f"a cup {i // 2}, \"two\" cups")
    for i in range(16)
] + [("test1", f"test1-{i}-0-0", "true", "cup", "a bottle") for i in range(3)]  # fmt: skip


def write_table(folder: Path, rows: list[tuple[str, ...]]) -> None:
    import csv

    (folder / "nlvr2_text").mkdir(exist_ok=True)
    with (folder / "nlvr2_text" / "nlvr2.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("split", "identifier", "label", "synset", "sentence"), *rows])


def test_sentences_of_nlvr2(folder: Path) -> None:
    write_table(folder, ROWS)
    data = nlvr2_text(validation=0.25, least=2)
    assert data.validation is not None
    assert [len(part) for part in (data.train, data.validation, data.test)] == [12, 4, 3]
    assert len({str(s).split("-")[1] for s in data.validation.subjects or ()}) == 1
    assert data.train.tensors["label"].float().mean() == 0.5
    assert {"a", "cup", "cups", "two"} <= set(data.vocabulary)
    assert data.sentences["test"] == ("a bottle",) * 3
    assert nlvr2_text(validation=0.0).validation is None


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (("dev", "dev-1-1-1", "True", "cup", "a"), "row 21 has split 'dev' and label 'True'"),
        (("test2", "test2-1-1-1", "true", "cup", "a"), "row 21 has split 'test2'"),
        (("dev", "test1-1-1-1", "true", "cup", "a"), "row 21 has the identifier 'test1-1-1-1', expected dev-n-n-n"),
    ],
)
def test_single_odd_rows_are_left_out_and_named(folder: Path, row: tuple[str, ...], sentence: str) -> None:
    write_table(folder, [*ROWS, row])
    with pytest.warns(UserWarning, match=rf"nlvr2.csv: 1 of 20 rows are left out: {sentence}"):
        assert len(nlvr2_text(validation=0.0).train) == 16
    write_table(folder, [row])
    with pytest.raises(ValueError, match=r"nlvr2.csv, row 2 .*; none of the rows can be read: put the right file"):
        nlvr2_text()


def test_a_row_of_other_cells_is_refused(folder: Path) -> None:
    write_table(folder, [*ROWS, ("dev", "dev-1-1-1", "true", "cup")])
    with pytest.raises(ValueError, match=r"nlvr2.csv: line 21 has 4 cells, the header 5"):
        nlvr2_text()


def test_missing_rows_and_files(folder: Path) -> None:
    write_table(folder, ROWS[:16])
    with pytest.raises(ValueError, match="lacks the rows of dev or of test1"):
        nlvr2_text()
    (folder / "nlvr2_text" / "nlvr2.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"nlvr2_text needs .*github.com/lil-lab/nlvr"):
        nlvr2_text()


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_real_text_alone_is_near_chance() -> None:
    """Logistic regression on words: the share of the more frequent answer, within four standard errors."""
    from sklearn.linear_model import LogisticRegression

    for data, sizes in ((nlvr1(reduce=20), (1774, 200, 990)), (nlvr2_text(), (6280, 702, 6967))):
        assert data.validation is not None
        assert abs(len(data.validation) - sizes[1]) < 8
        assert len(data.train) + len(data.validation) == sizes[0] + sizes[1]
        assert len(data.test) == sizes[2]
        model = LogisticRegression(C=0.01, max_iter=500).fit(data.train.tensors["text"], data.train.tensors["label"])
        label = data.test.tensors["label"].float()
        chance = max(float(label.mean()), 1 - float(label.mean()))
        rate = model.score(data.test.tensors["text"], data.test.tensors["label"])
        assert abs(rate - chance) < 4 * 0.5 / len(label) ** 0.5
