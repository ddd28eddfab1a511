"""One reader decides what is header, index and data: every frame that programs write around the same numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.numbers import read_grid

NAMES = ("V1", "M1", "S1")
VALUES = np.random.default_rng(0).normal(size=(12, 3))
FRAME = pd.DataFrame(VALUES, columns=NAMES)


def text(rows: list[list[str]], mark: str) -> str:
    return "\n".join(mark.join(row) for row in rows) + "\n"


def cells(form: str = "{:.17g}") -> list[list[str]]:
    return [[form.format(value) for value in row] for row in VALUES]


COUNTED = [[str(number), *row] for number, row in enumerate(cells(), 1)]
QUOTED = [[f'"{number}"', *row] for number, row in enumerate(cells(), 1)]
HEAD = [f'"{name}"' for name in NAMES]
DECIMAL_COMMAS = [[cell.replace(".", ",") for cell in row] for row in cells("{:.12f}")]

FILES: dict[str, tuple[str, str, bool, bool]] = {  # suffix, content, has names, has an index
    "plain": (".csv", FRAME.to_csv(header=False, index=False), False, False),
    "pandas": (".csv", FRAME.to_csv(), True, True),
    "pandas, no index": (".csv", FRAME.to_csv(index=False), True, False),
    "pandas, no header": (".csv", FRAME.to_csv(header=False), False, True),
    "pandas, no names": (".csv", pd.DataFrame(VALUES).to_csv(), True, True),
    "pandas, no names, no index": (".csv", pd.DataFrame(VALUES).to_csv(index=False), True, False),
    "pandas, named index": (".csv", FRAME.rename_axis("frame").to_csv(), True, True),
    "pandas, rows with names": (".csv", FRAME.set_index([[f"r{i}" for i in range(12)]]).to_csv(), True, True),
    "rows with names only": (".csv", FRAME.set_index([[f"r{i}" for i in range(12)]]).to_csv(header=False), False, True),
    "tabs": (".tsv", FRAME.to_csv(sep="\t", index=False), True, False),
    "tabs, names with blanks": (".tsv", "left V1\tM1\tS1\n" + text(cells(), "\t"), True, False),
    "blanks": (".txt", "V1 M1 S1\n" + text(cells(), " "), True, False),
    "R, write.csv": (".csv", text([['""', *HEAD], *QUOTED], ","), True, True),
    "R, write.table": (".txt", text([HEAD, *QUOTED], " "), True, True),
    "R, write.csv2": (".csv", text([['""', *HEAD], *([f'"{i}"', *row] for i, row in enumerate(DECIMAL_COMMAS))], ";"),
                      True, True),
    "German spreadsheet": (".csv", "\ufeff" + text([list(NAMES), *DECIMAL_COMMAS], ";"), True, False),
    "Windows": (".csv", FRAME.to_csv(index=False).replace("\n", "\r\n"), True, False),
    "NumPy with a comment": (".txt", "# V1 M1 S1\n" + text(cells(), " "), False, False),
    "counted frames": (".csv", text([["frame", *NAMES], *COUNTED], ","), True, True),
}  # fmt: skip


@pytest.mark.parametrize("title", FILES)
def test_the_numbers_are_the_same_in_every_frame(tmp_path: Path, title: str) -> None:
    suffix, content, named, indexed = FILES[title]
    path = tmp_path / f"x{suffix}"
    path.write_text(content, encoding="utf-8", newline="")
    for columns in (3, None):
        found = read_grid(path, columns)
        assert found.values.shape == (12, 3)
        assert np.allclose(found.values, VALUES, atol=1e-11)
        assert (found.columns is not None) == named
        assert (found.rows is not None) == indexed
    if named and "no names" not in title:
        assert [name.removeprefix("left ") for name in found.columns or ()] == list(NAMES)
    assert np.allclose(read_array(path, Array("f", (None, 3))), VALUES, atol=1e-11)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_no_part_of_a_name(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x.csv").write_text(FRAME.to_csv(index=False), encoding=encoding)
    assert read_grid(tmp_path / "x.csv").columns == NAMES
    (tmp_path / "y.csv").write_text("1.5,2\n3,4\n0,1\n", encoding=encoding)
    assert read_grid(tmp_path / "y.csv").values.tolist() == [[1.5, 2], [3, 4], [0, 1]]


@pytest.mark.parametrize(
    "content",
    ["1,2\n3.5,4\n", "0,1\n5,7\n", "1,2,3\n2.5,3.5,1\n", "1.0,2.0,3.0,4.0\n1.5,1.5,1.5,1.5\n", "7\n8\n", "1\n"],
)
def test_numbers_are_not_taken_for_a_frame(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    found = read_grid(tmp_path / "x.csv")
    assert (found.columns, found.rows) == (None, None)
    assert found.values.tolist() == [[float(cell) for cell in line.split(",")] for line in content.split()]


def test_a_column_of_time_is_an_index_only_where_one_too_many_is_there(tmp_path: Path) -> None:
    lines = [f"{0.72 * i:.2f},{i % 3}.5,{i}.25" for i in range(6)]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    assert read_grid(tmp_path / "x.csv", 2).values.shape == (6, 2)
    assert read_grid(tmp_path / "x.csv", 3).values.shape == (6, 3)
    assert read_grid(tmp_path / "x.csv").values.shape == (6, 3)


def test_missing_numbers_are_missing(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1.5,\nn/a,2\nNaN,3\n")
    assert np.isnan(read_grid(tmp_path / "x.csv").values).tolist() == [[False, True], [True, False], [True, False]]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1.5,2x,3\n1,2,3\n", "holds '2x' among numbers in its first line"),
        ("1,2,3\n1,b,3\n", "holds 'b' in line 2, column 2, expected a number: a header is one line"),
        ("1,2,3\n1,1_0,3\n", "holds '1_0' in line 2"),
        ("1,2,3\n1,2\n", "has 2 cells in line 2, but 3 in line 1"),
        ("a,b,c\n1,2\n1,2\n", None),
        ("a,b,c,d\n1,2\n", "has 4 names in its header, but 2 cells in line 2"),
        ("a,b\n", "holds no numbers, only the names a, b"),
        ("# nothing\n", "holds no numbers"),
        ('"1,2\n', "is no table with commas"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(tmp_path: Path, content: str, sentence: str | None) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"x\.csv cannot be read: it {sentence or 'has 3 names'}.*; do this"):
        read_grid(path, remedy="do this.")
