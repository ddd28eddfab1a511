"""Every file loader against mutated files: a clear error or a right answer, never a crash, a hang or a wrong shape.

``benchmarks/fuzz_loaders.py`` runs 10^4 mutations per loader with the same code.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import re
import tempfile
from pathlib import Path

import fuzzing
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlab.data.files.tables import read_records, read_table

with tempfile.TemporaryDirectory() as made:
    TARGETS = fuzzing.targets(Path(made))

COUNT = 200


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_are_refused_or_read_right(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    outcomes = fuzzing.attack(TARGETS[name], tmp_path, COUNT, seed=0)
    assert outcomes["refused"] > COUNT / 10, outcomes  # the mutations do bite


@pytest.mark.parametrize("name", TARGETS)
def test_the_good_file_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    target = TARGETS[name]
    for file, content in {**target.others, target.file: target.wrap(target.good)}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    target.check(target.read(tmp_path / target.file))


SUFFIXES = {".txt", ".csv", ".tsv", ".json", ".jsonl", ".toml"}
TEXTS = [
    name
    for name, target in TARGETS.items()
    if Path(target.file).suffix in SUFFIXES and not name.startswith("checkpoint")  # which only mmlab writes
]
SPELLINGS = {
    "mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "Windows": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "old Mac": lambda text: text.replace("\n", "\r").encode(),
    "blank lines": lambda text: f"{text}\n \n\n".encode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", TEXTS)
def test_text_is_read_however_it_was_saved(
    name: str, spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    target = TARGETS[name]
    read = []
    for content in (target.good, SPELLINGS[spelling](target.good.decode())):
        for file, other in {**target.others, target.file: target.wrap(content)}.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_bytes(other)
        read.append(target.read(tmp_path / target.file))
        target.check(read[-1])
    ends = re.compile(r"\\r\\n|\\r")  # those inside a cell are the cell's own
    assert str(read[0]) == ends.sub(r"\\n", str(read[1]))


def test_there_are_text_readers() -> None:
    assert len(TEXTS) > 20


@pytest.mark.parametrize("kind", ["pickle", "npy", "npz", "torch"])
@pytest.mark.parametrize("name", TARGETS)
def test_no_loader_runs_what_a_file_holds(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path.parent / f"{tmp_path.name} was here"
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    target = TARGETS[name]
    for file, content in {**target.others, target.file: fuzzing.malicious(marker)[kind]}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(content)
    with contextlib.suppress(Exception):  # that it is refused well is tested above
        target.read(tmp_path / target.file)
    assert not marker.exists()


def test_the_malicious_files_run_if_they_are_unpickled(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    marker = tmp_path / "marker"
    files = fuzzing.malicious(marker)
    for read in (
        lambda: np.load(io.BytesIO(files["npy"]), allow_pickle=True),
        lambda: np.load(io.BytesIO(files["npz"]), allow_pickle=True)["x"],
        lambda: pickle.loads(files["pickle"]),
        lambda: torch.load(io.BytesIO(files["torch"]), weights_only=False),
    ):
        read()
        assert marker.exists()
        marker.unlink()


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)
rows = st.lists(
    st.tuples(text, st.integers(), st.none() | st.floats(allow_nan=False, allow_infinity=False)), max_size=5
)


@given(rows)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_table_comes_back(rows: list[tuple[str, int, float | None]]) -> None:
    import csv

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["name", "n", "x"])
            writer.writerows((name, n, "" if x is None else repr(x)) for name, n, x in rows)
        read = read_table(path, {"name": "U", "n": "i", "x": "f?"})
    assert list(zip(read["name"], read["n"], read["x"], strict=True)) == rows


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.lists(st.dictionaries(st.text(max_size=5), values, max_size=4), max_size=4))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_records_come_back(records: list[dict[str, object]]) -> None:
    import json

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.json"
        path.write_text(json.dumps(records), encoding="utf-8")
        assert read_records(path, {}) == records
