"""The command's errors are one sentence each, whoever raised them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmlab.command.cli import main
from mmlab.command.messages import sentence
from mmlab.data.files.text import read_text


def caught(action) -> str:  # type: ignore[no-untyped-def]
    try:
        action()
    except Exception as error:
        return sentence(error)
    raise AssertionError("it did not fail")


def test_own_sentences_stay_as_they_are(tmp_path: Path) -> None:
    assert caught(lambda: read_text(tmp_path / "x", "do this.")) == f"There is no file {tmp_path / 'x'}: do this."


def test_errors_of_libraries_name_the_library() -> None:
    told = caught(lambda: torch.nn.Linear(2, 3)(torch.zeros(4, 5)))
    assert told.startswith("torch says: mat1 and mat2")
    assert told.endswith("(MMLAB_DEBUG=1 shows where)")
    assert "\n" not in caught(lambda: torch.nn.Linear(2, 3).load_state_dict({}))
    assert caught(lambda: json.loads("{")).startswith("JSONDecodeError: ")
    assert caught(lambda: int(float("nan"))) == (
        "ValueError: cannot convert float NaN to integer (MMLAB_DEBUG=1 shows where)"
    )


def test_errors_of_the_system_name_file_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = caught(lambda: (tmp_path / "file" / "x").mkdir())
    remedy = "check the path, the rights of its folder, and the room on the disk."
    assert told == f"{tmp_path / 'file' / 'x'}: not a directory: {remedy}"


def command(*words: str, shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mmlab.cli", *words]
    env = {**os.environ, **variables}
    if shell:
        return subprocess.run(
            ["bash", "-c", f'"$@" {shell}', "-", *line], env=env, capture_output=True, text=True, check=False
        )
    return subprocess.run(line, env=env, capture_output=True, text=True, check=False)


def test_a_closed_output_is_no_error_of_python(tmp_path: Path) -> None:
    done = command("methods", shell=">&-")
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.filterwarnings("ignore:The targets are no correlation")
def test_paths_of_the_command_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: the shell hands over what it does not expand itself."""
    monkeypatch.setenv("HOME", str(tmp_path))
    words = [
        "train",
        "flow_matching",
        "--data",
        "planar_world",
        "--set",
        "width=4",
        "--steps",
        "1",
        "--batch-size",
        "4",
    ]
    for call in ([*words, "--out=~/run"], ["evaluate", "~/run/model", "--draws", "1"]):
        monkeypatch.setattr(sys, "argv", ["mmlab", *call])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data", "list"], ""),
        (["book", "serve", "--port", "99999"], "port is 99999: choose one from 1024 to 65535"),
        (["train", "flow_matching", "--data", "planar_world", "--out", "~nosuchuserhere/x"], "no such user"),
        (["data", "where", "mnist"], ""),
    ],
)
def test_words_of_the_command(words: list[str], sentence: str) -> None:
    done = command(*words)
    assert (done.returncode == 0) == (not sentence)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_of_data_fits_a_terminal_and_has_the_worlds() -> None:
    done = command("data", "list")
    assert max(map(len, done.stdout.splitlines())) <= 80
    for name in ("rest_motor_world", "mini_memes", "mnist", "hcp_rest_task30", "mist122_rest_pain"):
        assert any(line.split()[:1] == [name] for line in done.stdout.splitlines())
    for name in ("mnist", "planar_world"):
        shown = command("data", "show", name)
        assert shown.returncode == 0, shown.stderr
        assert "licence" in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 80
