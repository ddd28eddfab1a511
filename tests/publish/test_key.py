"""The cache key: edit what a chapter reaches and it changes; edit or touch anything else and it does not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmlab.publish.run import key
from mmlab.reach import reach

FILES = {
    "__init__.py": (
        "from typing import TYPE_CHECKING\nimport importlib\n"
        "if TYPE_CHECKING:\n    from mmlab.train import fit\n    from mmlab.registry import list_methods, load\n"
        "def __getattr__(name):\n    return getattr(importlib.import_module(HOME[name]), name)\n"
    ),
    "registry.py": (
        "import importlib\ndef list_methods(): ...\n"
        "def load(stem):\n    return importlib.import_module(f'mmlab.methods.{stem}')\n"
    ),
    "train/__init__.py": "from mmlab.train.loop import fit\n",
    "train/loop.py": "def fit():\n    from mmlab.train import late\n",  # imported only when called
    "train/late.py": "",
    "methods/__init__.py": "",
    "methods/one.py": "from ..nn import block\n",
    "methods/two.py": "import mmlab.nn.other as other\n",
    "nn/__init__.py": "",
    "nn/block.py": "WEIGHTS = 'table.csv'\n",
    "nn/other.py": "",
    "nn/table.csv": "1,2\n",
    "nn/readme.txt": "",
    "data/__init__.py": "",
    "data/files/__init__.py": "",
    "data/files/registry.py": "",
    "data/real.py": "from mmlab.data.files import registry\n",
    "data/files/sources.json": json.dumps({"brains": {"sha256": "1"}, "hearts": {"sha256": "2"}}),
    "loose.py": "import importlib\nimportlib.import_module(NAME)\n",
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "mmlab"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def reached(package, *cells):
    return {name.removeprefix("mmlab").removeprefix(".") for name in reach(cells, package).modules}


TRAIN = {"", "train", "train.loop", "train.late"}
ONE = {"", "methods", "methods.one", "nn", "nn.block"}
TWO = {"", "methods", "methods.two", "nn", "nn.other"}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("import numpy", set()),
        ("import mmlab", {""}),
        ("from mmlab import fit", TRAIN),
        ("import mmlab\nmmlab.fit()", TRAIN),
        ("import mmlab as m\ndef go():\n    return m.fit()", TRAIN),
        ("from mmlab import *", TRAIN | {"registry"}),
        ("def go():\n    from mmlab.methods.one import One", ONE),
        ("import mmlab.methods.two", TWO),
        ("from mmlab import methods\nmethods.one.f()", ONE),
        ("import mmlab\nmmlab.load('one')", ONE | {"registry"}),
        ("from mmlab import load\nload('two')", TWO | {"registry"}),
        ("from mmlab import load\nload(stem)", ONE | TWO | {"registry"}),
        ("import mmlab\nmmlab.list_methods()", ONE | TWO | {"registry"}),
        ("from mmlab import load\nget = load\nget('one')", ONE | TWO | {"registry"}),  # who knows what it is given
        ("from mmlab import load\nlist(map(load, ['one']))", ONE | TWO | {"registry"}),
        (
            "if a:\n  from mmlab import methods as m\n  m.one\nelse:\n  from mmlab import nn as m\n  m.block",
            ONE,
        ),
        ("from mmlab.registry import load as get\nget('one')", ONE | {"registry"}),
        ("%matplotlib inline\n!ls\nimport mmlab", {""}),
        ("import importlib\nimportlib.import_module('mmlab.methods.one')", ONE),
        ("from importlib import import_module as get\nget('mmlab.methods.one')", ONE),
    ],
)
def test_modules_reached(package, cell, expected):
    assert reached(package, cell) == expected


EVERYTHING = {
    name.removesuffix(".py").removesuffix("__init__").strip("/").replace("/", ".")
    for name in FILES
    if name.endswith(".py")
}


@pytest.mark.parametrize(
    "cell",
    [
        "import importlib\nimportlib.import_module(name)",
        "import mmlab\ngetattr(mmlab, name)",
        "import mmlab.methods\ngetattr(mmlab.methods, name)",
        "from importlib import import_module as get\nget(name)",
        "from mmlab import loose",
        "%%time\nimport mmlab",
        "def (",
    ],
)
def test_what_cannot_be_decided_reaches_everything(package, cell):
    assert reached(package, cell) == EVERYTHING


def digest(package, root, *cells, profile="cpu", **parameters):
    return key.digest(key.inputs(list(cells), root=root, profile=profile, parameters=parameters, package=package))


CELL = "from mmlab.methods.one import One"


def test_editing_a_module_that_is_reached_changes_the_key(package, root):
    before = digest(package, root, CELL)
    for name in ("nn/block.py", "nn/table.csv", "methods/one.py", "__init__.py"):
        path = package / name
        path.write_text(path.read_text() + "# edited\n")
        after = digest(package, root, CELL)
        assert after != before, name
        before = after


def test_editing_or_touching_anything_else_does_not(package, root):
    before = digest(package, root, CELL)
    for name in ("methods/two.py", "train/loop.py", "nn/readme.txt", "data/files/sources.json"):
        path = package / name
        path.write_text(path.read_text() + " ")
    for path in package.rglob("*.py"):
        os.utime(path, (1, 1))
    assert digest(package, root, CELL) == before


def test_cells_parameters_profile_lock_and_versions_change_the_key(package, root, monkeypatch):
    seen = {digest(package, root, CELL)}
    seen.add(digest(package, root, CELL + " "))
    seen.add(digest(package, root, CELL, steps=3))
    seen.add(digest(package, root, CELL, profile="gpu"))
    (root / "lock" / "cpu.txt").write_text("torch==2\n")
    seen.add(digest(package, root, CELL))
    monkeypatch.setattr(key, "versions", lambda: {"torch": "9"})
    seen.add(digest(package, root, CELL))
    assert len(seen) == 6


def test_only_the_data_that_are_named_count_and_their_arrival_does(package, root, monkeypatch, tmp_path):
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path / "data"))
    cell = "from mmlab.data.real import get\nget('brains')"
    before = digest(package, root, cell)
    registry = package / "data" / "files" / "sources.json"
    registry.write_text(json.dumps({"brains": {"sha256": "1"}, "hearts": {"sha256": "changed"}}))
    assert digest(package, root, cell) == before
    registry.write_text(json.dumps({"brains": {"sha256": "changed"}}))
    changed = digest(package, root, cell)
    assert changed != before
    (tmp_path / "data" / "brains").mkdir(parents=True)
    assert digest(package, root, cell) != changed


def test_the_log_can_say_what_changed(package, root):
    before = key.inputs([CELL], root=root, profile="cpu", parameters={}, package=package)
    (package / "nn" / "block.py").write_text("")
    after = key.inputs([CELL], root=root, profile="cpu", parameters={}, package=package)
    assert key.what_changed(before, after) == "modules: mmlab.nn.block"
