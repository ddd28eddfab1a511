"""Setting up: refused in one sentence, never half, done once. The interpreter and pip are stand-ins that keep a log."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make")

PYTHON = """#!/bin/sh
echo "python $*" >> "{log}"
case "$*" in
  "-c "*) exit {version};;
  "-m venv"*) for folder; do :; done; rm -rf "$folder"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python";;
  *install*) test ! -e "{broken}";;
  "--version") echo "Python 3.10.1";;
esac
"""


class Shop:
    """A copy of the Makefile with a stand-in for Python."""

    def __init__(self, root: Path, version: int = 0) -> None:
        self.root, self.log, self.broken = root, root / "log", root / "broken"
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, root)
        shutil.copytree(ROOT / "lock", root / "lock")
        self.python = root / "python"
        self.python.write_text(PYTHON.format(log=self.log, broken=self.broken, version=version), encoding="utf-8")
        self.python.chmod(0o755)

    def make(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run make; forget the log of the time before."""
        self.log.write_text("")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        command = ["make", f"PYTHON={self.python}", *words]
        return subprocess.run(command, cwd=self.root, env=kept, capture_output=True, text=True, check=False)

    def calls(self, word: str) -> int:
        """How often Python was called with this word."""
        return self.log.read_text().count(word)


def test_a_python_that_is_too_old_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = Shop(tmp_path, version=1).make("book")
    assert done.returncode != 0
    sentence = done.stderr.splitlines()[0]
    assert "needs Python 3.11 to 3.13" in sentence
    assert "is Python 3.10.1" in sentence
    assert "make PYTHON=python3.12 book" in sentence
    assert not (tmp_path / ".venv").exists()


def test_a_missing_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = Shop(tmp_path).make("setup", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "'no-such-python' is missing" in done.stderr.splitlines()[0]


def test_setting_up_is_done_once_and_again_when_the_lock_changes(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.make("setup").returncode == 0
    assert (shop.calls("-m venv"), shop.calls("-m pip")) == (1, 2)
    assert shop.make("setup").returncode == 0
    assert (shop.calls("-m venv"), shop.calls("-m pip")) == (0, 0)
    later = (tmp_path / ".venv" / ".complete").stat().st_mtime + 10
    os.utime(tmp_path / "lock" / "cpu.txt", (later, later))
    assert shop.make("setup").returncode == 0
    assert (shop.calls("-m venv"), shop.calls("-m pip")) == (0, 2)  # the environment was good: it is brought up to date


@pytest.mark.parametrize("update", [False, True])
def test_an_environment_that_was_left_half_made_is_built_anew(update: bool, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    if update:
        shop.make("setup")
        later = (tmp_path / ".venv" / ".complete").stat().st_mtime + 10
        os.utime(tmp_path / "pyproject.toml", (later, later))
    shop.broken.touch()
    assert shop.make("setup").returncode != 0
    assert not (tmp_path / ".venv" / ".complete").exists()
    (tmp_path / ".venv" / "debris").touch()
    shop.broken.unlink()
    assert shop.make("setup").returncode == 0
    assert shop.calls("-m venv --clear") == 1
    assert not (tmp_path / ".venv" / "debris").exists()


def test_torch_can_come_from_another_index(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.make("setup", "TORCH_INDEX=https://example.org/cpu").returncode == 0
    assert (
        shop.calls("--require-hashes --no-deps --extra-index-url https://example.org/cpu --requirement lock/cpu.txt")
        == 1
    )


def test_the_newest_versions_make_an_environment_that_the_other_targets_take(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.make("newest", "TORCH_INDEX=https://example.org/cpu").returncode == 0
    assert (shop.calls("-m venv --clear"), shop.calls("--editable .[book,dev]")) == (1, 1)
    assert shop.calls("--index-url https://example.org/cpu torch") == 1
    assert shop.calls("lock/") == 0
    assert shop.make("setup").returncode == 0
    assert (shop.calls("-m venv"), shop.calls("-m pip")) == (0, 0)


def test_a_release_comes_after_the_book(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.make("setup")
    assert shop.make("release").returncode == 0
    book, release = (line.split("-m mmlab.cli ")[1] for line in shop.log.read_text().splitlines())
    assert (book, release) == ("book all", "book release")
    assert shop.make("rebuild", "ARCHIVE=some.tar.gz", "CHAPTER=one").returncode == 0
    assert shop.calls("book rebuild some.tar.gz one") == 1
