"""The registry: every source is complete, and files that are not what it says are refused in one sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
import pytest

from mmlab.data.files import registry
from mmlab.data.files.arrays import Array, read_array, read_arrays
from mmlab.data.files.download import DownloadError
from mmlab.data.files.registry import (
    File,
    Source,
    fetch,
    load_arrays,
    load_records,
    load_table,
    source,
    sources,
    verify,
    where,
)
from mmlab.data.files.tables import read_records, read_table

DATA = os.environ.get("MMLAB_DATA")
PREPARED = sorted(name for name, entry in sources().items() if entry.prepared)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for data, with one small set in the registry: ``toy``."""
    content = b"hello"
    toy = Source(
        name="toy",
        title="Toy",
        description="A toy.",
        licence="CC0",
        citation="nobody",
        access="free",
        how_to_get="Ask the toy maker.",
        files={"a.txt": File(hashlib.sha256(content).hexdigest(), len(content))},
        prepared=True,
    )
    monkeypatch.setattr(registry, "sources", lambda: {"toy": toy, "toys_at_home": dataclasses.replace(toy, files={})})
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.txt").write_bytes(content)
    return tmp_path / "toy"


def test_every_source_is_complete() -> None:
    assert len(PREPARED) >= 22
    assert len(sources()) >= 60
    for name, entry in sources().items():
        assert re.fullmatch(r"[a-z0-9_]+", name)
        for text in (entry.title, entry.description, entry.licence, entry.citation, entry.how_to_get):
            assert text.strip(), name
        assert entry.access in ("free", "form", "account", "agreement"), name
        assert "MMLAB_DATA" in entry.how_to_get, name
        assert entry.prepared == bool(entry.files), name
        assert all(re.match(r"https?://[\w.-]+", address) for address in entry.addresses), name
        assert "HCP" not in entry.licence or "WU-Minn Consortium" in (entry.acknowledgement or ""), name
        for file, known in entry.files.items():
            assert re.fullmatch(r"[0-9a-f]{64}", known.sha256), (name, file)
            assert known.bytes > 0
            assert known.url is None or known.url.startswith("https://")
            assert bool(known.arrays) == file.endswith(".npz"), (name, file)


def test_terms_travel_with_the_data() -> None:
    """A set under terms that must accompany it lists the file of the terms; a restricted one is not republished."""
    for name in ("hcp_rest_task30", "group_fc_sc"):
        assert "HCP_DataUseTerms.txt" in sources()[name].files
    assert not sources()["kvasir_seg"].may_be_republished
    assert not any(entry.may_be_republished for entry in sources().values() if not entry.prepared)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
@pytest.mark.parametrize("name", PREPARED)
def test_prepared_files_are_what_the_registry_says(name: str) -> None:
    report = verify(name)
    assert report.ok, report
    assert fetch(name) == Path(str(DATA)) / name
    held = {path.name for path in where(name).iterdir()} - {"README.md"}
    assert held == set(source(name).files)
    for file, known in source(name).files.items():
        if known.arrays:
            arrays = load_arrays(name, file)
            assert set(arrays) == set(np.load(where(name) / file, allow_pickle=False).files)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_arrays_are_those_that_numpy_reads() -> None:
    name, file = "mist122_rest_pain", "pain_task.npz"
    with np.load(where(name) / file, allow_pickle=False) as theirs:
        ours = load_arrays(name, file)
        for key in theirs.files:
            assert ours[key].dtype == theirs[key].dtype
            np.testing.assert_array_equal(ours[key], theirs[key])


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_tables_and_records_of_prepared_sets() -> None:
    boxes = load_table("fastmri_plus", "knee.csv", {"file": "U", "slice": "i", "x": "i?", "label": "U"})
    assert len(boxes["x"]) == 16167
    events = load_table("mist122_rest_pain", "pain_events.csv", {"subject": "i", "onset_s": "f", "rating": "f?"})
    assert len(events["rating"]) == 2046
    assert None in events["rating"]
    votes = load_table(
        "partiprompts_decisions", "PartiPromptsAllDecisions_Realism.tsv", {"Prompt": "U", "Decisions": "U"}
    )
    assert len(votes["Prompt"]) == 1632
    assert sorted({vote.count(",") for vote in votes["Decisions"]}) == [3, 4]  # two prompts have only four votes
    assert len(load_records("mustard", "sarcasm_data.json", {"id": "U", "sarcasm": "b", "context": "l"})) == 690
    assert len(load_records("nlvr1", "nlvr1.json", {"sentence": "U", "label": "b"})) == 2964


def test_folder_is_the_named_one_or_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))
    assert where("mnist") == tmp_path / "cache" / "mnist"
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    assert where("mnist") == tmp_path / "data" / "mnist"
    monkeypatch.delenv("MMLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    assert where("fsdd").parts[-2:] == ("mmlab", "fsdd") or sys.platform != "linux"


@pytest.mark.parametrize("call", [where, verify, fetch, source, lambda name: load_arrays(name, "x.npz")])
def test_an_unknown_name_suggests_the_nearest(call: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=r"no data set 'hcp_rest_task'.*did you mean 'hcp_rest_task30'"):
        call("hcp_rest_task")
    with pytest.raises(ValueError, match="mmlab data list"):
        call("?!?!")


def test_verify_names_what_is_wrong(folder: Path) -> None:
    assert verify("toy").ok
    assert "all 1 files" in str(verify("toy"))
    for content, state in ((b"jello", "wrong hash"), (b"hi", "wrong size"), (None, "missing")):
        (folder / "a.txt").unlink()
        if content:
            (folder / "a.txt").write_bytes(content)
        assert dict(verify("toy").files) == {"a.txt": state}
        assert not verify("toy").ok
        assert f"a.txt ({state}). Ask the toy maker." in str(verify("toy"))
        if not content:
            break


def test_a_set_without_a_list_of_files_is_not_called_ok(folder: Path) -> None:
    assert not verify("toys_at_home").ok
    assert "nothing was checked" in str(verify("toys_at_home"))
    with pytest.raises(FileNotFoundError, match="Ask the toy maker"):
        fetch("toys_at_home")


def test_fetch_says_how_to_get_what_has_no_address(folder: Path) -> None:
    assert fetch("toy") == folder
    (folder / "a.txt").write_bytes(b"jello")
    with pytest.raises(FileNotFoundError, match=r"a.txt \(wrong hash\).*Ask the toy maker.*MMLAB_DATA") as caught:
        fetch("toy")
    assert str(folder) in str(caught.value)
    with pytest.raises(ValueError, match=r"toy has no file 'b.txt'"):
        fetch("toy", files=["b.txt"])


def test_fetch_downloads_what_has_an_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.sources()["toy"]
    known = dataclasses.replace(entry.files["a.txt"], url="http://127.0.0.1:1/a.txt")
    monkeypatch.setattr(registry, "sources", lambda: {"toy": dataclasses.replace(entry, files={"a.txt": known})})
    assert fetch("toy") == folder  # whole: nothing to download
    (folder / "a.txt").unlink()
    monkeypatch.setenv("MMLAB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"offline.*http://127.0.0.1:1/a.txt"):
        fetch("toy")


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mmlab.data.files.registry import sources, where; sources();"
        "sys.exit(next((m for m in ('torch', 'pandas', 'requests', 'huggingface_hub') if m in sys.modules), 0))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_entry_with_an_unknown_field_is_refused() -> None:
    entry = dict.fromkeys(("title", "description", "licence", "citation", "access", "how_to_get"), "x")
    with pytest.raises(ValueError, match=r"'mine' is not as it should be.*colour"):
        registry._parse("mine", {**entry, "colour": "red"})


# Arrays.

GOOD = {
    "x": np.arange(12, dtype=np.float32).reshape(3, 4),
    "y": np.array([0, 1, 1], np.uint8),
    "name": np.array(["a", "bc", "é"]),
    "flag": np.array([True, False, True]),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">i4"),
    "empty": np.zeros((0, 4), np.float16),
    "scalar": np.int32(7),
}
EXPECTED: dict[str, Any] = {
    "x": ("f", (None, 4)),
    "y": Array("u", (3,), 0, 1),
    "name": ("U", (3,)),
    "flag": ("b", (3,)),
    "fortran": ("f", (2, 3)),
    "big_endian": ("i", (3,)),
    "empty": ("f", (None, 4)),
    "scalar": ("iu", ()),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_unchanged(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", **GOOD)
    read = read_arrays(tmp_path / "a.npz", EXPECTED)
    assert list(read) == list(EXPECTED)
    for name, array in read.items():
        np.testing.assert_array_equal(array, GOOD[name])
        assert array.dtype.isnative
        assert array.flags.writeable


@pytest.mark.parametrize(
    ("array", "wanted", "says"),
    [
        (np.zeros((3, 4)), ("f", (4, None)), r"has shape \(3, 4\), expected \(4, any\)"),
        (np.zeros((3, 4)), ("f", (3, 4, None)), "has shape"),
        (np.zeros(3), ("iu", (3,)), "has dtype float64, expected kind 'iu'"),
        (np.array([1, None]), ("f", (2,)), "has dtype object"),
        (np.zeros(2, [("a", "f4")]), ("V", (2,)), "dtype"),
        (np.array([1.0, np.nan]), ("f", (2,)), r"holds NaN or infinity \(1 of 2"),
        (np.array([1.0, np.inf]), Array("f", (2,), nan=True), "holds infinity"),
        (np.array([1.0, np.nan, 1.5]), Array("f", (3,), high=1, nan=True), "holds 1.5, above 1"),
        (np.array([-2, 0], np.int8), Array("i", (2,), low=-1), "holds -2, below -1"),
        (np.array([1j, np.inf]), ("c", (2,)), "NaN or infinity"),
    ],
)
def test_arrays_that_are_not_as_expected_are_refused(tmp_path: Path, array: Any, wanted: Any, says: str) -> None:
    np.savez(tmp_path / "a.npz", x=array)
    with pytest.raises(ValueError, match=says) as caught:
        read_arrays(tmp_path / "a.npz", {"x": wanted}, "ask the toy maker.")
    assert f"{tmp_path / 'a.npz'}: array 'x'" in str(caught.value)
    assert str(caught.value).endswith("ask the toy maker.")


def test_nan_passes_where_it_marks_missing_values(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=[np.nan, 1.0], all_missing=[np.nan])
    wanted = {"x": Array("f", (2,), 0, 1, nan=True), "all_missing": Array("f", (1,), 0, 1, nan=True)}
    assert np.isnan(read_arrays(tmp_path / "a.npz", wanted)["x"][0])


def test_a_missing_array_or_file_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=1.0)
    with pytest.raises(ValueError, match=r"a.npz: array 'y' is not in the file, which holds x.npy"):
        read_arrays(tmp_path / "a.npz", {"y": ("f", ())})
    with pytest.raises(FileNotFoundError, match=r"no file .*b.npz"):
        read_arrays(tmp_path / "b.npz", {"y": ("f", ())})


@pytest.mark.parametrize("length", [2, 4, 10**8, 10**13])
def test_a_header_of_another_size_is_refused_before_memory_is_taken(tmp_path: Path, length: int) -> None:
    content = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({length},)}}", bytes(24))
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match="not its size in the file"):
        read_array(tmp_path / "a.npy", Array("f", None))


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
        "__import__('os').system('touch marker')",
        "{'descr': __import__('os').system('touch marker'), 'fortran_order': False, 'shape': (3,)}",
        "(" * 500,
        "",
    ],
)
def test_headers_that_lie_are_refused_before_memory_is_taken(tmp_path: Path, header: str) -> None:
    content = npy(header, bytes(24))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz: array 'x'"):
        read_arrays(tmp_path / "a.npz", {"x": Array("fO", None)})
    with pytest.raises(ValueError, match=r"a.npy "):
        read_array(tmp_path / "a.npy", Array("fO", None))
    assert not (tmp_path / "marker").exists()
    assert not Path("marker").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"1 2\n3 4 5\n", "cannot be read"),
        ("a.txt", b"1 two\n", "cannot be read"),
        ("a.txt", b"", "holds no numbers"),
        ("a.txt", b"# only a comment\n", "holds no numbers"),
        ("a.txt", b"1 nan\n", "NaN or infinity"),
        ("a.txt", b"\xff\xfe1", "cannot be read"),
        ("a.csv", b"1,2,3\n", r"shape \(1, 3\), expected \(any, 2\)"),
        ("a.pkl", b"1 2", "unknown kind"),
    ],
)
def test_text_that_is_not_a_table_of_numbers_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        read_array(tmp_path / name, Array("f", (None, 2)))
    assert str(tmp_path / name) in str(caught.value)


def test_single_arrays_come_back_unchanged(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(3, 2))
    np.save(tmp_path / "a.npy", table)
    np.savetxt(tmp_path / "a.txt", table, fmt="%.18e")
    np.savetxt(tmp_path / "a.csv", table, fmt="%.18e", delimiter=",")
    for name in ("a.npy", "a.txt", "a.csv"):
        np.testing.assert_array_equal(read_array(tmp_path / name, Array("f", (None, 2))), table)


# Tables and records.


def test_tables_come_back_by_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('\ufeffname,n,x,rest\n"a, b",1,0.5,\n\nc,-2,n/a,?\n', encoding="utf-8")
    assert read_table(path, {"x": "f?", "name": "U", "n": "i"}) == {
        "x": [0.5, None],
        "name": ["a, b", "c"],
        "n": [1, -2],
    }


def test_quotes_are_text_in_a_tab_separated_table(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('a\tb\n"5" tall\t1\n')
    assert read_table(tmp_path / "t.tsv", {"a": "U", "b": "i"}) == {"a": ['"5" tall'], "b": [1]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "column 'n' is not there"),
        (b"m\n1\n", "column 'n' is not there"),
        (b"n,n\n1,2\n", "column 'n' is not there just once"),
        (b"n,m\n1\n", "line 2 has 1 cells, the header 2"),
        (b"n\n1\nx\n", "line 3, column 'n' holds 'x', expected an integer"),
        (b"n\n\xff\n", "not text in UTF-8"),
        (b'n\n"1\n', "unexpected end of data"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        read_table(tmp_path / "t.csv", {"n": "i"})
    assert str(tmp_path / "t.csv") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "Expecting value"),
        ("3", "no list of records"),
        ("[3]", "record 0 is not an object"),
        ('[{"n": 1}, {"n": "1"}]', "record 1, field 'n' holds '1', expected an integer"),
        ('[{"n": true}]', "expected an integer"),
        ("[{}]", "field 'n' holds 'None'"),
        ('[{"n": 1, "x": NaN}]', "not finite"),
        ('[{"n": 1, "x": 1e999}]', "not finite"),
        ("[" * 100_000, "recursion"),
        ('{"a": 1}', "record 0 is not an object"),
        ('[{"n": 1, "x": "1"}]', "field 'x' holds '1', expected a finite number"),
        (f'[{{"n": 1, "x": 1{"0" * 400}}}]', "field 'x' holds '1000+', expected a finite number"),
    ],
)
def test_broken_records_are_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ValueError, match=says) as caught:
        read_records(tmp_path / "r.json", {"n": "i", "x": "f?"})
    assert str(tmp_path / "r.json") in str(caught.value)


def test_records_are_a_list_or_an_object_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"first": {"n": 1}, "second": {"n": 2, "more": [0]}}')
    read = read_records(path, {"id": "U", "n": "f", "note": "U?"})
    assert read == [{"id": "first", "n": 1.0, "note": None}, {"id": "second", "n": 2.0, "more": [0], "note": None}]
    assert type(read[0]["n"]) is float


# Nothing executable: a pickle is refused by every reader and leaves no trace.


READERS: dict[str, Callable[[Path], Any]] = {
    "a.npz": lambda path: read_arrays(path, {"x": Array("fiuUbcO", None)}),
    "a.npy": lambda path: read_array(path, Array("fiuUbcO", None)),
    "a.txt": lambda path: read_array(path, Array("f", None)),
    "a.csv": lambda path: read_table(path, {"x": "f"}),
    "a.json": lambda path: read_records(path, {"x": "f"}),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pickle", "npy", "npz"])
def test_no_reader_runs_a_pickle(tmp_path: Path, name: str, kind: str) -> None:
    marker = tmp_path / "marker"
    (tmp_path / name).write_bytes(fuzzing.malicious(marker)[kind])
    with pytest.raises(ValueError, match=re.escape(name)):
        READERS[name](tmp_path / name)
    assert not marker.exists()
