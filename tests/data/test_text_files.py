"""Text of strangers: any encoding, any end of line, and no file that would take the memory."""

from __future__ import annotations

import numpy as np
import pytest

from mmlab.data.files import arrays, text
from mmlab.data.files.tables import read_rows

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "read", [text.read_text, text.read_lines, text.read_json, text.read_json_lines, text.read_toml, read_rows]
)
def test_a_file_that_is_too_large_is_not_read(tmp_path, read):
    bomb = tmp_path / "one_line.csv"
    with bomb.open("wb") as file:
        file.truncate(2**40)  # it takes no room
    with pytest.raises(ValueError, match=r"one_line\.csv has 1,099,512 MB, and text is read up to 268: split it"):
        read(bomb)


@pytest.mark.parametrize("read", [text.read_json, text.read_json_lines])
@pytest.mark.parametrize("content", [DEEP, '{"a":' * 50_000, "1e999", "NaN", '{"a": 1, "a": 2}', "9" * 5000, "{"])
def test_json_that_is_none(tmp_path, read, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=r"x\.json.* cannot be read as JSON .*get the file again"):
        read(tmp_path / "x.json")


def test_lines_end_where_files_end_them(tmp_path):
    (tmp_path / "x.jsonl").write_bytes('\ufeff"a\u2028b\x85"\r\n\r\n1\r2'.encode())
    assert text.read_json_lines(tmp_path / "x.jsonl") == ["a\u2028b\x85", 1, 2]


@pytest.mark.parametrize("content", ["a = " + DEEP, "a = 1\na = 2", "a", "a = " + "9" * 5000])
def test_toml_that_is_none(tmp_path, content):
    (tmp_path / "x.toml").write_text(content)
    with pytest.raises(ValueError, match=r"x\.toml is no TOML .*: write it anew"):
        text.read_toml(tmp_path / "x.toml", "write it anew.")


def test_rows_of_any_table(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n" + "y" * 200_000 + "\n", "utf-16")
    assert read_rows(tmp_path / "x.csv") == [{"a": "y" * 200_000, "b": None}]
    (tmp_path / "x.jsonl").write_text("{}\n3\n")
    with pytest.raises(ValueError, match=r"x\.jsonl, row 2, is no object"):
        read_rows(tmp_path / "x.jsonl")
    (tmp_path / "x.csv").write_text("a\n" + "y" * 2_000_000)
    with pytest.raises(ValueError, match=r"x\.csv, line .*field larger"):
        read_rows(tmp_path / "x.csv")


def test_an_array_that_was_blown_up_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "_LARGE", 2**18)
    wanted = {"x": arrays.Array("f", (None,))}
    ordinary = np.repeat(np.arange(4000, dtype=np.float32), 100)  # packed to a fiftieth or so
    np.savez_compressed(tmp_path / "x.npz", x=ordinary)
    assert len(arrays.read_arrays(tmp_path / "x.npz", wanted)["x"]) == 400_000
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(10**6, np.float32))
    with pytest.raises(ValueError, match=r"x\.npz: array 'x' would be 4 MB of almost one value, .*uncompressed"):
        arrays.read_arrays(tmp_path / "x.npz", wanted)
    np.savez(tmp_path / "x.npz", x=np.zeros(10**6, np.float32))  # the remedy
    assert not arrays.read_arrays(tmp_path / "x.npz", wanted)["x"].any()
