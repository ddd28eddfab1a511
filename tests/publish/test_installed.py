"""What is installed and what data hold is part of the key: another version or file, and the chapter runs again."""

from __future__ import annotations

import os
import sys

import pytest

from mmlab.publish.run import hashes, installed, key


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A folder of distributions that can be imported; install(name, version) puts one there."""
    folder = tmp_path / "library" / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))

    def install(name, version, requires=(), module=None):
        stem = name.replace("-", "_")
        for old in folder.glob(f"{stem}-*.dist-info"):
            for path in old.iterdir():
                path.unlink()
            old.rmdir()
        info = folder / f"{stem}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {need}" for need in requires)]) + "\n")
        (info / "top_level.txt").write_text(f"{module or name}\n")
        (folder / f"{module or name}.py").write_text(f"VALUE = {version!r}")
        for kept in (installed._closure, installed._needs, installed._version, installed._providers):
            kept.cache_clear()
        sys.path_importer_cache.pop(str(folder), None)

    yield install
    for kept in (installed._closure, installed._needs, installed._version, installed._providers):
        kept.cache_clear()


def digest(root, *cells):
    return key.digest(key.inputs(list(cells), root=root, profile="cpu", parameters={}))


@pytest.mark.parametrize(
    "cell",
    [
        "import tinydep",
        "import tinydep.inner as inner",
        "from tinydep import VALUE",
        "import os, tinydep",
        "def go():\n    import tinydep",
        "x = 1; import tinydep",
        "import importlib\nimportlib.import_module('tinydep')",
        "__import__('tinydep')",
        "%matplotlib inline\nimport tinydep",
        "import user",
    ],
)
def test_another_version_of_what_a_cell_imports_changes_the_key(root, library, cell):
    library("user", "1.0", requires=["Tiny.Dep>=1; python_version > '3'"])
    library("tiny-dep", "1.0", module="tinydep")
    before = digest(root, cell)
    assert digest(root, cell) == before
    library("tiny-dep", "2.0", module="tinydep")
    assert digest(root, cell) != before
    parts = key.inputs([cell], root=root, profile="cpu", parameters={})
    assert parts["versions"]["tiny-dep"] == "2.0"


def test_another_version_of_what_the_lock_lists_changes_the_key_and_of_others_does_not(root, library):
    (root / "lock" / "cpu.txt").write_text("listed==1.0 \\\n    --hash=sha256:0\nabsent==3\n")
    library("listed", "1.0")
    library("stray", "1.0")
    before = digest(root, "x = 1")
    library("stray", "2.0")
    assert digest(root, "x = 1") == before
    library("listed", "2.0")
    assert digest(root, "x = 1") != before
    assert key.inputs(["x = 1"], root=root, profile="cpu", parameters={})["versions"]["absent"] == "absent"


def test_what_mmlab_needs_counts_without_a_lock(root):
    (root / "lock" / "cpu.txt").unlink()
    found = key.inputs(["import mmlab"], root=root, profile="cpu", parameters={})["versions"]
    assert {"torch", "numpy", "scipy", "matplotlib", "python"} <= found.keys()


def test_a_module_of_the_readers_own_counts(root, tmp_path, monkeypatch):
    own = tmp_path / "own"
    (own / "helpers" / "deep").mkdir(parents=True)
    (own / "helpers" / "__init__.py").write_text("")
    (own / "helpers" / "deep" / "__init__.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(str(own))
    before = digest(root, "import helpers")
    (own / "helpers" / "deep" / "__init__.py").write_text("VALUE = 2")
    assert digest(root, "import helpers") != before


def test_a_folder_is_known_by_its_contents_and_read_once(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "brains"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.csv").write_text("1")
    (folder / "sub" / "b.csv").write_text("2")
    first = hashes.folder_hash(folder)
    read = []
    known = hashes._sha256
    monkeypatch.setattr(hashes, "_sha256", lambda path: read.append(path.name) or known(path))
    assert hashes.folder_hash(folder) == first
    assert read == []
    os.utime(folder / "a.csv", (1, 1))
    assert hashes.folder_hash(folder) == first  # other times, same contents
    assert read == ["a.csv"]
    seen = {first}
    times = (folder / "a.csv").stat()
    (folder / "a.csv").write_text("3")
    os.utime(folder / "a.csv", ns=(times.st_atime_ns, times.st_mtime_ns))  # same size and time, other contents
    seen.add(hashes.folder_hash(folder))
    (folder / "sub" / "b.csv").rename(folder / "sub" / "c.csv")
    seen.add(hashes.folder_hash(folder))
    (folder / "sub" / "c.csv").unlink()
    seen.add(hashes.folder_hash(folder))
    assert len(seen) == 4
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "sub"]  # nothing of ours among the data
    for forged in ("[" * 100_000, "[]", "{}", '{"a.csv": 3}', '{"a.csv": [1, 2, 3, {}]}'):
        (folder.parent / ".mmlab" / "brains.hashes.json").write_text(forged)
        assert hashes.folder_hash(folder) in seen
    (folder.parent / ".mmlab" / "brains.hashes.json").write_text("{ damaged")
    assert hashes.folder_hash(folder) in seen
