"""Kills, signals and missing rights, each in a process of its own (see fault_server.py)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

SERVER = Path(__file__).parent / "fault_server.py"


def serve(fault: str, folder: Path) -> Any:
    memory = Path("/dev/shm")  # a disk takes most of the time for flushing, which these faults do not need
    place = Path(mkdtemp(dir=memory if memory.is_dir() else folder)) / "server"
    path = os.pathsep.join([str(SERVER.parents[2]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, str(SERVER), fault, str(place)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    shutil.rmtree(place.parent)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_kill_at_a_random_moment_leaves_a_whole_checkpoint(tmp_path):
    report = serve("killed_at_random", tmp_path)
    assert report["tried"] == report["survived"] == 50
    assert report["steps"] > 15  # it did save between the kills
    assert report["caught"] > 5  # and kills came in the middle of a save
    assert report["left"] <= 4  # what they left does not pile up


def test_a_kill_at_any_file_operation_leaves_a_whole_checkpoint(tmp_path):
    report = serve("killed_at_every_operation", tmp_path)
    assert report["tried"] == report["survived"] > 15
    assert report["old"] > 10  # before the pointer moves, the old one is there
    assert report["new"] >= 2  # after it, the new one


def test_a_run_that_is_killed_ten_times_gives_the_same_bits(tmp_path):
    report = serve("killed_while_training", tmp_path)
    assert report["same"]
    assert len(set(report["steps"])) > 2
    assert report["steps"] == sorted(report["steps"])


def test_signals_save_and_leave_with_their_code(tmp_path):
    report = serve("signalled", tmp_path)
    assert len(report) == 12
    workers = range(4)  # one may be ahead of the other
    expected = {
        "start": [None],  # nothing to save yet
        "step": [5],
        "validation": [4],
        "loading": [3],
        "loading in workers": workers,
        "group": workers,
    }
    for result in report:
        assert result["code"] == 128 + result["signal"], result
        assert result["seconds"] < 10, result
        assert result["step"] in expected[result["phase"]], result


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_a_folder_without_rights_is_refused_at_once(tmp_path):
    message = serve("without_rights", tmp_path)
    assert message.startswith("fit cannot write to ")
    assert message.endswith("(Permission denied): choose another `out`. (0 files)")
