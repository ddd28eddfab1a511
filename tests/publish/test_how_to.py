"""What the how-to pages tell the reader to type exists and runs."""

from __future__ import annotations

import re
import shlex
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import typer

from mmlab.command.cli import app
from mmlab.publish.project import toc_entries
from mmlab.publish.run import key

ROOT = key.PACKAGE.parent
PAGES = sorted((ROOT / "book" / "how_to").glob("*.md"))
TARGETS = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a page in one language; those inside an example of Markdown are not meant to be run."""
    text = re.sub(r"^`{4,}.*?^`{4,}$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(path: Path) -> list[list[str]]:
    """The lines of the shell blocks as words, with long lines joined."""
    lines = "\n".join(blocks(path, "bash")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def problem(words: list[str]) -> str | None:
    """Why a command cannot work: no such target of make, no such command of mmlab, no such option of it."""
    names = [Path(word).name for word in words]
    if "make" in names:
        given = [word for word in words[names.index("make") + 1 :] if "=" not in word and not word.startswith("-")]
        return next((f"make has no target {name}" for name in given if name not in TARGETS), None)
    if "mmlab" not in names:
        return None
    node: Any = typer.main.get_command(app)
    rest = words[names.index("mmlab") + 1 :]
    while hasattr(node, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in node.commands:
            return f"mmlab has no command {rest[0]}"
        node, rest = node.commands[rest[0]], rest[1:]
    known = {option for parameter in node.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    return next((f"{node.name} has no {w}" for w in rest if w.startswith("-") and w.split("=")[0] not in known), None)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_commands_of_a_page_exist(path: Path) -> None:
    assert [found for words in commands(path) if (found := problem(words))] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("make cake", "make has no target cake"),
        ("make release", None),
        ("mmlab bake", "mmlab has no command bake"),
        (".venv/bin/mmlab book exectue", "mmlab has no command exectue"),
        (".venv/bin/mmlab book execute --fast", "execute has no --fast"),
        (".venv/bin/mmlab book execute --profile gpu", None),
        ("torchrun --nproc_per_node 2 train.py", None),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, found: str | None) -> None:
    assert problem(shlex.split(line)) == found


@pytest.fixture
def run_page(tmp_path, monkeypatch, capsys):
    """Run the Python blocks of a page one after the other in an empty folder; gives the lines that they print."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, more: str = "") -> list[str]:
        program = "\n".join([*blocks(ROOT / "book" / "how_to" / f"{name}.md", "python"), more])
        module = types.ModuleType(f"page_{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", FutureWarning)
            exec(compile(program, f"<{name}>", "exec"), vars(module))
        return capsys.readouterr().out.splitlines()

    return run


def test_the_page_on_own_data_runs_from_top_to_bottom(run_page) -> None:
    assert run_page("use_your_own_data", "print(drawn.shape)")[-1] == "torch.Size([20, 20])"


def test_the_page_on_own_pictures_runs_from_top_to_bottom(run_page, tmp_path: Path) -> None:
    """From the trained base the loss falls far below that of a guess, and some new pictures are read exactly."""
    said = run_page("tune_on_your_pictures", "print(history.values()[0], history.values()[-1])")
    share = float(re.findall(r"exactly right: ([0-9.]+)", "\n".join(said))[0])
    first, last = map(float, said[-1].split())
    assert last < 0.1 * first
    assert last < 1.0
    assert share > 0.1
    assert {path.name for path in (tmp_path / "out" / "my_adapter").iterdir()} >= {"adapter_model.safetensors"}


def test_the_page_on_sharing_runs_from_top_to_bottom(run_page, tmp_path: Path) -> None:
    run_page("share")
    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").glob("*/*")}
    assert {
        "bridge/model.safetensors",
        "memes/adapter_model.safetensors",
        "merged/model.safetensors",
        "brain-to-image/model_index.json",
        "style/pytorch_lora_weights.safetensors",
    } <= made


def test_every_page_is_in_the_contents() -> None:
    contents = toc_entries(ROOT)
    pages = [path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "book").rglob("*.md")]
    pages = [page for page in pages if not page.startswith("book/_static/")]  # notes on what was vendored
    assert sorted(set(pages) - set(contents)) == []
