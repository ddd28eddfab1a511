"""The lock and temporary names: one file is one lock, a child holds nothing, a link is not followed, long names fit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmlab.publish.run.job import without_secrets
from mmlab.publish.run.places import public
from mmlab.store.files import clear_dead, replace_file, temporary
from mmlab.store.lock import InUseError, Lock


def test_one_file_is_one_lock_whatever_its_folder_is_called(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    lock = Lock(tmp_path / "a" / "x.lock")
    lock.acquire()
    for other in (tmp_path / "link" / "x.lock", tmp_path / "a" / ".." / "a" / "x.lock"):
        with pytest.raises(InUseError, match="in this process"):
            Lock(other).acquire()
    lock.release()
    assert not lock.path.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_gives_nothing_back(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "x.lock")
    lock.acquire()
    if (child := os.fork()) == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert lock.path.exists()
    lock.release()


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no such flag")
def test_a_link_in_place_of_the_lock_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("notes")
    (tmp_path / "x.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"x\.lock"):
        Lock(tmp_path / "x.lock").acquire()
    assert (tmp_path / "mine").read_text() == "notes"


def test_a_long_name_can_be_replaced_and_its_remains_cleared(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120)
    replace_file(path, [b"new"])
    assert path.read_bytes() == b"new"
    left = temporary(path)
    dead = left.with_name(left.name.replace(f"-{os.getpid()}-", "-99999999-"))
    dead.write_bytes(b"half")
    clear_dead(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_no_variable_that_merely_begins_like_a_known_one_reaches_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_TOKEN", "CUDA_SECRET", "NVIDIA_API_KEY", "LC_PASSWORD", "DYLD_INSERT_LIBRARIES"):
        monkeypatch.setenv(name, "x")
        assert name not in without_secrets()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert without_secrets()["XDG_CACHE_HOME"] == "/x"


@pytest.mark.parametrize(
    "text",
    [
        "file://localhost/home/anna/x",
        "//home/anna/x",
        "/mnt/c/Users/anna/x",
        "/export/home/anna/x",
        "C:/Users/anna/x",
        r"\\server\home\anna\x",
        "%2Fhome%2Fanna%2Fx",
    ],
)
def test_no_spelling_of_a_home_is_published(text: str) -> None:
    made = public({"cells": [{"outputs": [{"text": text}]}], "metadata": {}})
    assert "anna" not in str(made)
    address = public(
        {"cells": [{"outputs": [{"text": "https://home/anna and https://x.org/home/anna"}]}], "metadata": {}}
    )
    assert str(address).count("anna") == 2
