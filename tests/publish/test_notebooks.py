"""Notebooks are functions of their sources: same bytes everywhere, no outputs, an install cell for Colab."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path

import pytest

from mmlab.card import Budget
from mmlab.publish import chapter, project
from mmlab.publish.chapter import Chapter
from mmlab.publish.committed import StaleNotebookError, sync
from mmlab.publish.run import key

CELLS = ("# parameters\nsteps = 3", "print('a')", "print('a')", "print('b')")


def cells(text):
    return json.loads(text)["cells"]


def test_the_same_source_gives_the_same_bytes(root, write):
    write("one", *CELLS)
    assert sync(root=root) == [root / "notebooks" / "one.ipynb"]
    first = (root / "notebooks" / "one.ipynb").read_bytes()
    assert sync(root=root) == []
    assert first.endswith(b"}\n")
    code = "import sys; from pathlib import Path; from mmlab.publish.chapter import Chapter\n"
    code += "sys.stdout.buffer.write(Chapter(Path(sys.argv[1]), 'one').plain.encode())"
    for seed in ("1", "2"):  # another process, another order of sets
        command = [sys.executable, "-c", code, str(root)]
        environment = {"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": str(key.PACKAGE.parent)}
        again = subprocess.run(command, capture_output=True, check=True, env=environment)
        assert again.stdout == first


def test_a_notebook_in_step_is_not_made_again_and_one_out_of_step_is(root, write, monkeypatch):
    write("one", *CELLS)
    sync(root=root)
    sync(check=True, root=root)
    made = []
    empty = json.dumps({"cells": [{"cell_type": "code", "source": ["x"], "metadata": {}}]})
    monkeypatch.setattr(chapter, "render", lambda *arguments: made.append(arguments) or empty)
    sync(check=True, root=root)
    assert made == []
    committed = root / "notebooks" / "one.ipynb"
    for edit in (committed, root / "notebooks" / "one.py", root / "_config.yml"):
        before = edit.read_text()
        edit.write_text(before.replace("print", "say").replace("trunk", "stem").replace("example", "sample"))
        with pytest.raises(StaleNotebookError):
            sync(check=True, root=root)
        edit.write_text(before)
    assert len(made) == 2  # the committed notebook is compared, and is no source of it


def test_a_byte_order_mark_is_no_part_of_a_source(root, write):
    write("one", *CELLS)
    sync(root=root)
    committed = (root / "notebooks" / "one.ipynb").read_bytes()
    for name in ("notebooks/one.py", "_config.yml"):
        (root / name).write_bytes(b"\xef\xbb\xbf" + (root / name).read_bytes())
    sync(check=True, root=root)
    assert sync(root=root) == []
    assert (root / "notebooks" / "one.ipynb").read_bytes() == committed


def test_ids_are_unique_and_inserting_a_cell_changes_no_other(root, write):
    write("one", *CELLS)
    before = [cell["id"] for cell in cells(Chapter(root, "one").text)]
    assert len(set(before)) == len(before) == 6
    write("one", "x = 1", *CELLS)
    after = [cell["id"] for cell in cells(Chapter(root, "one").text)]
    assert after[:2] == before[:2]
    assert after[3:] == before[2:]


def test_nothing_but_sources_and_tags_is_kept(root, write):
    write("one", *CELLS)
    notebook = json.loads(Chapter(root, "one").text)
    assert notebook["metadata"]["kernelspec"] == {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    assert "jupytext" not in notebook["metadata"]
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert [cell["metadata"] for cell in notebook["cells"]] == [
        {"tags": ["install", "remove-cell"]},
        {},
        {"tags": ["parameters"]},
        *([{}] * 3),
    ]


def test_check_names_the_stale_notebook_and_the_remedy(root, write):
    write("one", *CELLS)
    with pytest.raises(StaleNotebookError, match=r"notebooks/one\.ipynb is not what .* `mmlab book sync`"):
        sync(check=True, root=root)
    assert not (root / "notebooks" / "one.ipynb").exists()
    sync(root=root)
    sync(check=True, root=root)
    write("one", "print('new')")
    with pytest.raises(StaleNotebookError):
        sync(check=True, root=root)


def test_a_notebook_that_lost_its_source_is_reported(root, write):
    source = write("one", *CELLS)
    sync(root=root)
    source.unlink()
    with pytest.raises(StaleNotebookError, match=r"notebooks/one\.ipynb has no source"):
        sync(root=root)


def test_an_unknown_chapter_is_refused_with_the_nearest(root, write):
    write("bridge", *CELLS)
    with pytest.raises(FileNotFoundError, match="did you mean 'bridge'"):
        sync(["brigde"], root=root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# %% [markdown]\n# only prose\n", "no code cell"),
        ('# %% tags=["parameters"]\na = 1\n' * 2, "more than one cell"),
    ],
)
def test_what_is_no_chapter_is_refused(root, text, message):
    (root / "notebooks" / "one.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        sync(root=root)


def test_a_chapter_with_a_gpu_profile_asks_colab_for_a_gpu(root, write, monkeypatch):
    write("one", *CELLS)
    assert "accelerator" not in json.loads(Chapter(root, "one").text)["metadata"]
    monkeypatch.setattr(Chapter, "budget", Budget(gpu_minutes=5))
    assert json.loads(Chapter(root, "one").text)["metadata"]["accelerator"] == "GPU"


@pytest.fixture
def install(root, write, monkeypatch):
    """Run the install cell and return the commands that it would start."""
    write("one", *CELLS)
    source = "".join(cells(Chapter(root, "one").text)[0]["source"])
    commands = []

    def install(*, colab: bool, installed: bool, code: int = 0) -> list:
        def run(command, **options):
            commands.append(command)
            return subprocess.CompletedProcess(command, code, "", "No matching distribution")

        monkeypatch.setattr(subprocess, "run", run)
        if colab:
            monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if installed else None)
        exec(compile(source, "install", "exec"), {})
        return commands

    return install


def test_on_colab_mmlab_is_installed_beside_the_torch_that_is_there(install, capsys):
    here = {name: version(name) for name in ("mmlab", "torch", "numpy")}
    (command,) = install(colab=True, installed=False)
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert f"mmlab @ git+https://example.org/someone/book@v{here['mmlab']}" in command
    assert {f"torch=={here['torch']}", f"numpy=={here['numpy']}"} <= set(command)
    told = f"mmlab {here['mmlab']} is installed beside torch {here['torch']} and numpy {here['numpy']}.\n"
    assert capsys.readouterr().out == told


def test_versions_that_do_not_fit_are_told_in_one_sentence(install, capsys):
    with pytest.raises(
        RuntimeError, match=rf"^mmlab could not be installed beside torch {re.escape(version('torch'))}"
    ):
        install(colab=True, installed=False, code=1)
    assert "No matching distribution" in capsys.readouterr().out


def test_a_torch_that_was_replaced_is_told(install, monkeypatch, capsys):
    answers = iter(["2.9", "2.0", "2.10", "2.0", "0.1.0"])
    monkeypatch.setattr("importlib.metadata.version", lambda name: next(answers))
    install(colab=True, installed=False)
    assert capsys.readouterr().out.endswith("but torch changed: restart the session.\n")


@pytest.mark.parametrize(("colab", "installed"), [(False, False), (True, True)])
def test_elsewhere_nothing_is_installed(install, colab, installed):
    assert install(colab=colab, installed=installed) == []


def test_between_releases_colab_takes_the_branch(root, write, monkeypatch):
    monkeypatch.setattr(project, "__version__", "0.2.0.dev1")
    write("one", *CELLS)
    assert "mmlab @ git+https://example.org/someone/book@trunk" in Chapter(root, "one").text


@pytest.mark.parametrize(("gpu", "expected"), [(True, "gpu"), (False, "cpu")])
def test_on_colab_the_profile_follows_the_machine(root, write, monkeypatch, gpu, expected):
    monkeypatch.setattr(Chapter, "budget", Budget(gpu_minutes=5))
    write("one", "# parameters\nprofile = 'cpu'", "x = profile")
    made = cells(Chapter(root, "one").text)
    at = next(i for i, cell in enumerate(made) if "parameters" in cell["metadata"].get("tags", []))
    assert made[at + 1]["metadata"] == {"tags": ["profile", "remove-cell"]}
    namespace = {"sys": sys, "profile": "kept"}
    source = "".join(made[at + 1]["source"])
    exec(compile(source, "profile", "exec"), namespace)
    assert namespace["profile"] == "kept"  # not on Colab
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    exec(compile(source, "profile", "exec"), namespace)
    assert namespace["profile"] == expected


@pytest.mark.parametrize(("minutes", "cell"), [(None, "profile = 'cpu'"), (5, "sigma = 1")])
def test_a_chapter_without_two_profiles_has_no_cell_that_chooses(root, write, monkeypatch, minutes, cell):
    monkeypatch.setattr(Chapter, "budget", Budget(gpu_minutes=minutes))
    write("one", f"# parameters\n{cell}", "x = 1")
    assert "cuda" not in Chapter(root, "one").text


def test_a_configuration_without_address_is_refused(root, write):
    write("one", *CELLS)
    (root / "_config.yml").write_text("title: x\n")
    with pytest.raises(ValueError, match=r"no repository\.url"):
        sync(root=root)


def test_the_books_own_notebooks_are_in_step_with_their_sources():
    here = project.find_root(Path(__file__).parent)
    sync(check=True, root=here)
