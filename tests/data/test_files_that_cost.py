"""Small files that once took minutes: n names take time of the order of n, not of its square."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmlab.data.connectome import ConnectomePairs
from mmlab.data.files.numbers import Grid, read_grid, same_columns, same_rows
from mmlab.data.files.tables import read_rows
from mmlab.data.files.text import read_json
from mmlab.data.regions import Regions
from mmlab.store.weights import strict_json
from mmlab.wording import repeated

MANY = 60_000
NAMES = tuple(f"g{number}" for number in range(MANY))


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    before = time.process_time()
    yield
    assert time.process_time() - before < 10


def _grid(names: tuple[str, ...], columns: bool) -> Grid:
    values = np.zeros((1, MANY) if columns else (MANY, 1))
    return Grid(values, names if columns else None, None if columns else names)


def test_names_that_stand_twice() -> None:
    assert repeated(["b", "a", "b", "c", "a"]) == ["b", "a"]
    assert repeated([*NAMES, "g1"]) == ["g1"]


@pytest.mark.parametrize("columns", [True, False])
def test_many_names_in_another_order_or_of_others(columns: bool) -> None:
    together: Callable[..., dict[str, Grid]] = same_columns if columns else same_rows
    found = together({"a": _grid(NAMES, columns), "b": _grid(NAMES[::-1], columns)})
    assert (found["b"].columns if columns else found["b"].rows) == NAMES
    with pytest.raises(ValueError, match=r"'x' is there and 'g59999' is not"):
        together({"a": _grid(NAMES, columns), "b": _grid((*NAMES[:-1], "x"), columns)})
    with pytest.raises(ValueError, match=r"'g1' is there and 'g59999' is not"):
        together({"a": _grid(NAMES, columns), "b": _grid((*NAMES[:-1], "g1"), columns)})


def test_regions_in_another_order_or_others() -> None:
    regions = Regions(NAMES, NAMES)
    assert regions.places(NAMES[::-1], "f")[0] == MANY - 1
    with pytest.raises(ValueError, match="'x' among them"):
        regions.places((*NAMES[:-1], "x"), "f")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1,2" + "," * MANY, None),
        ("1" * 5000 + ",2\n3,4\n5,6\n", None),
        ("1" * 5000 + ",V2\n3,4\n", "among numbers"),
    ],
)
def test_odd_tables(tmp_path: Path, content: str, sentence: str | None) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    if sentence is None:
        assert read_grid(path).values.shape[1] == 2
        return
    with pytest.raises(ValueError, match=f"^{path}.*{sentence}"):
        read_grid(path)


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("t.csv", ",".join([*NAMES, "g1"]) + "\n1\n", read_rows),
        ("t.json", "{" + ",".join(f'"{name}":1' for name in (*NAMES, "g1")) + "}", read_json),
    ],
)
def test_a_name_that_stands_twice_among_many(
    tmp_path: Path, name: str, content: str, read: Callable[[Path], Any]
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="g1"):
        read(tmp_path / name)


def test_a_key_that_stands_twice_in_a_configuration() -> None:
    with pytest.raises(ValueError, match="'g1' twice"):
        strict_json("{" + ",".join(f'"{name}":1' for name in (*NAMES, "g1")) + "}")


def test_a_subject_that_stands_twice_among_many() -> None:
    import torch

    edges = torch.zeros(MANY, 1)
    with pytest.raises(ValueError, match="g1 stands twice"):
        ConnectomePairs(edges, edges, (*NAMES[:-1], "g1"), Regions(("a", "b"), ("x", "x")))
