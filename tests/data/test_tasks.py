"""The tasks are fixed by their hash, their ceilings are reached by the best answer, and their files hold the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmlab.command.cli import app
from mmlab.command.tasks import task_page
from mmlab.data.tasks import drawing, registry
from mmlab.data.tasks.export import export_task
from mmlab.data.tasks.registry import TASKS, content_hash, task
from mmlab.store.folders import NotOursError

ROOT = Path(__file__).parents[2]
PINNED = {
    "dial-both": ("1.0.0", "bdb17ea1353b6c65f8ad767713b898730bcd90f31d47aa8a7fa6d496f83b1551"),
    "dial-inter": ("1.0.0", "091b3558d853bb532f7f8071ba27c4094a6cede35ea02fda24edee7ba306ff20"),
    "three-views": ("1.0.0", "1416aaedc96dffb096f576ff23337c06c61e1a392b4b5c22d4f52d583c9f84ed"),
    "three-views-gaps": ("1.0.0", "f73cb1498b91b79f325959ff4390f8eac5455d50136529b363b3b89d152366f2"),
    "two-modes": ("1.0.0", "39cb044eb9b9f80c242b543a1f731e5560056a96056d3219e8031743deabe73a"),
    "meme-verbs": ("1.0.0", "1ba7df74f64aa18e9c7dd9d5e1ad879abeee8da2dcdb1634a92975bc40695e95"),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_items_are_those_of_the_version(name) -> None:
    """Other items need another version: whoever has measured with these could not compare."""
    assert (TASKS[name].version, TASKS[name].sha256) == PINNED[name]
    assert content_hash(TASKS[name].splits()) == TASKS[name].sha256


def test_every_number_is_rounded_so_that_platforms_agree() -> None:
    for one in TASKS.values():
        for split in one.splits().values():
            for values in split.values():
                if values.dtype.kind == "f":
                    assert np.array_equal(values, np.round(values.astype(float), 4).astype(np.float32))


def test_a_platform_that_draws_other_items_is_told_so(monkeypatch) -> None:
    changed = {part: dict(split) for part, split in TASKS["two-modes"].splits().items()}
    changed["test"]["source"] = changed["test"]["source"] + np.float32(1e-4)
    monkeypatch.setattr(registry, "_made", lambda name: (changed, {}))
    with pytest.raises(RuntimeError, match="come out differently"):
        TASKS["two-modes"].splits()


@pytest.mark.parametrize(("name", "draw"), [("dial-both", lambda: drawing.dial(0.6, 0.85, 10)),
                                            ("dial-inter", lambda: drawing.dial(0.0, 0.95, 20)),
                                            ("three-views", lambda: drawing.clinic(30))])  # fmt: skip
def test_the_posterior_of_the_world_reaches_the_ceiling(name, draw) -> None:
    splits, world = draw()
    assert content_hash(splits) == TASKS[name].sha256
    batch = {key: torch.as_tensor(values) for key, values in splits["test"].items()}
    right = (world.posterior(batch).argmax(1) == batch["label"]).double().mean()
    ceilings = TASKS[name].ceilings()
    assert right == pytest.approx(ceilings["all"], abs=4 * (0.25 / len(batch["label"])) ** 0.5 / 2)
    for modality in world.pairs.tensors.keys() - {"label"}:
        others = {f"{m}_present": torch.zeros(2000, dtype=torch.bool) for m in world.pairs.tensors if m != modality}
        alone = (world.posterior(batch | others).argmax(1) == batch["label"]).double().mean()
        assert alone == pytest.approx(ceilings[modality], abs=0.045)


def test_the_mean_of_two_modes_has_the_error_of_the_ceiling() -> None:
    test = TASKS["two-modes"].splits()["test"]
    error = np.sqrt(np.mean((test["target"] - test["source"] / 2) ** 2))
    assert error == pytest.approx(TASKS["two-modes"].ceilings()["all"], abs=0.02)


def test_the_gaps_are_worth_reading() -> None:
    found = TASKS["three-views-gaps"].ceilings()
    assert found["all"] > found["all, without reading the gaps"] + 0.01
    test = TASKS["three-views-gaps"].splits()["test"]
    masks = np.stack([test[f"{view}_present"] for view in ("methylation", "mirna", "mrna")], 1)
    assert masks.any(1).all()
    assert (test["mrna"][~test["mrna_present"]] == 0).all()


def test_the_verb_is_in_neither_picture_nor_title_alone() -> None:
    split = TASKS["meme-verbs"].splits()["train"]
    by_caption: dict[str, set[int]] = {}
    by_both: dict[tuple[str, str], set[int]] = {}
    for caption, title, label in zip(split["caption"], split["title"], split["label"], strict=True):
        by_caption.setdefault(caption, set()).add(int(label))
        by_both.setdefault((caption, title.split()[-1]), set()).add(int(label))
    assert max(map(len, by_caption.values())) == 2
    assert max(map(len, by_both.values())) == 1
    assert split["picture"].dtype == np.uint8


@pytest.mark.parametrize("name", ["dial-inter", "three-views-gaps"])
def test_npz_and_json_lines_hold_the_same_items(name, tmp_path) -> None:
    one = task(name)
    export_task(one, tmp_path / "npz", "npz")
    read = {part: dict(np.load(tmp_path / "npz" / f"{part}.npz")) for part in one.splits()}
    assert content_hash(read) == one.sha256
    export_task(one, tmp_path / "hub", "huggingface")
    card = (tmp_path / "hub" / "README.md").read_text(encoding="utf-8")
    paths = re.findall(r"split: (\w+)\n    path: (\S+)", card)
    assert [part for part, _ in paths] == list(one.splits())
    read = {}
    for part, path in paths:
        rows = [json.loads(line) for line in (tmp_path / "hub" / path).read_text(encoding="utf-8").splitlines()]
        read[part] = {
            column: np.array([row[column] for row in rows], dtype=values.dtype)
            for column, values in one.splits()[part].items()
        }
    assert content_hash(read) == one.sha256
    assert one.sha256 in card


@pytest.mark.parametrize("kind", ["parquet", "huggingface"])
@pytest.mark.parametrize("name", ["two-modes", "three-views-gaps", "meme-verbs"])
def test_the_library_datasets_loads_the_folder_as_it_is(name, kind, tmp_path, monkeypatch) -> None:
    few = {part: {k: v[:5] for k, v in split.items()} for part, split in TASKS[name].splits().items()}
    monkeypatch.setattr(registry.Task, "splits", lambda self: few)
    export_task(TASKS[name], folder := tmp_path / "task", kind)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    loaded = pytest.importorskip("datasets").load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == list(few)
    for part, split in few.items():
        rows = loaded[part]
        for column, values in split.items():
            found = rows["image" if column == "picture" and kind == "huggingface" else column]
            assert np.array_equal(np.array([np.asarray(one) for one in found], dtype=values.dtype), values)


def test_pictures_are_written_as_files_with_a_table(tmp_path, monkeypatch) -> None:
    from PIL import Image

    few = {part: {k: v[:3] for k, v in split.items()} for part, split in TASKS["meme-verbs"].splits().items()}
    monkeypatch.setattr(registry.Task, "splits", lambda self: few)
    export_task(TASKS["meme-verbs"], tmp_path / "memes", "huggingface")
    lines = (tmp_path / "memes" / "test" / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    for line, picture, title in zip(lines, few["test"]["picture"], few["test"]["title"], strict=True):
        row = json.loads(line)
        assert row["title"] == title
        assert np.array_equal(np.asarray(Image.open(tmp_path / "memes" / "test" / row["file_name"])), picture)


def test_parquet_without_pyarrow_is_refused_in_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pyarrow, or choose npz"):
        export_task(TASKS["two-modes"], tmp_path / "x", "parquet")
    assert not (tmp_path / "x").exists()


def test_what_somebody_else_put_there_is_never_overwritten(tmp_path) -> None:
    out, one = tmp_path / "out", TASKS["two-modes"]
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(NotOursError, match="did not make it"):
        export_task(one, out)
    assert (out / "thesis.txt").read_text() == "mine"
    made = tmp_path / "made"
    export_task(one, made)
    export_task(one, made, "huggingface")  # its own it may replace
    assert not (made / "test.npz").exists()
    (made / "notes.txt").write_text("mine")
    with pytest.raises(NotOursError, match=r"notes\.txt"):
        export_task(one, made)
    (made / "notes.txt").unlink()
    (made / "README.md").write_text("mine")
    with pytest.raises(NotOursError, match=r"README\.md, which was changed"):
        export_task(one, made)
    assert (made / "README.md").read_text() == "mine"


def test_the_command_lists_and_exports(tmp_path) -> None:
    said = CliRunner().invoke(app, ["task", "list"])
    assert said.exit_code == 0
    assert all(name in said.output for name in TASKS)
    out = tmp_path / "dial"
    said = CliRunner().invoke(app, ["task", "export", "dial-both", "--out", str(out)])
    assert said.exit_code == 0
    assert "dial-both 1.0.0: 4 files" in said.output
    assert isinstance(CliRunner().invoke(app, ["task", "export", "dial", "--out", str(out)]).exception, ValueError)
    wrong = CliRunner().invoke(app, ["task", "export", "dial-both", "--out", str(out), "--format", "csv"])
    assert "npz" in str(wrong.exception)


@pytest.mark.parametrize("name", TASKS)
def test_each_task_has_its_page_with_measured_rivals(name) -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "tasks.json").read_text(encoding="utf-8"))["tasks"][name]
    page = (ROOT / "book" / "tasks" / f"{name}.md").read_text(encoding="utf-8")
    assert page == task_page(TASKS[name], measured), "run mmlab book sync"
    for score in (row["score"] for row in measured.values()):
        assert f"{score:.4f}" in page


@pytest.mark.parametrize("name", TASKS)
def test_no_rival_is_above_the_ceiling(name) -> None:
    measured = json.loads((ROOT / "benchmarks" / "results" / "tasks.json").read_text(encoding="utf-8"))["tasks"][name]
    best = TASKS[name].ceilings()["all"]
    for rival, row in measured.items():
        if TASKS[name].metric == "RMSE":
            assert row["score"] > best - 0.03, rival
        else:
            assert row["score"] <= best + 3 * row.get("error", 0), rival
