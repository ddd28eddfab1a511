"""The runner never lies: each fault is injected, and leaves no notebook, a true account, and no process behind."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from mmlab.publish import Receipt, RunError, execute, execute_all
from mmlab.publish.run import cache, job, key, launch, machine


def left_behind(root, stem="one"):
    return sorted(path.name for path in (root / "out" / "cpu").glob(f"*{stem}*"))


def processes_with(mark):
    """Those that have the mark in their command line; a dead process that nobody has collected has none."""
    return [p for p in psutil.process_iter(["cmdline"]) if any(mark in part for part in p.info["cmdline"] or [])]


GOOD = ("# parameters\nsteps = 3", "from mmlab.viz import record, say\nsay(f'{steps}')", "record(answer=steps)")


def test_a_good_run_leaves_a_notebook_and_its_receipt_and_is_not_repeated(root, write, monkeypatch):
    monkeypatch.setattr(launch, "factor", machine.factor)
    source = write("one", *GOOD, "import os, threading\nrecord(threads=os.environ['OMP_NUM_THREADS'])")
    receipt = execute("one", root=root)
    assert left_behind(root) == ["one.ipynb", "one.receipt.json"]
    assert receipt.status == "ok"
    assert not receipt.cached
    assert receipt.metrics == {"answer": 3, "threads": "1"}
    assert 0 < receipt.seconds < 60
    assert 30 < receipt.peak_memory_mb < 1000  # a kernel holds more than 30 MB
    assert 0 < receipt.cpu_seconds <= receipt.seconds + 0.5  # one thread
    assert receipt.within_budget
    assert receipt.machine_factor == machine.factor() > 0
    assert Receipt.read(root / "out" / "cpu" / "one.receipt.json") == receipt
    text = (root / "out" / "cpu" / "one.ipynb").read_text()
    assert "papermill" not in text
    assert str(root) not in text

    assert receipt.reason == "first run"

    again = execute("one", root=root)
    assert again.cached
    assert again == receipt
    assert (root / "out" / "cpu" / "one.ipynb").read_text() == text

    # Prose is no input of the run: it is new on the page, and nothing runs.
    source.write_text(source.read_text().replace("# # one", "# # A better title"))
    again = execute("one", root=root)
    assert again.cached
    assert again.date == receipt.date
    notebook = json.loads((root / "out" / "cpu" / "one.ipynb").read_text())
    assert "A better title" in notebook["cells"][1]["source"][0]
    assert notebook["cells"][3]["outputs"][0]["data"]["text/markdown"] == "3"
    assert execute("one", root=root).cached

    # An output that was tampered with is no output.
    target = cache.Target(root / "out" / "cpu", "one")
    target.notebook.write_text(target.notebook.read_text().replace('"execution_count": 3', '"execution_count": 4'))
    assert cache.fresh(target, receipt.inputs) is None


def test_parameters_reach_the_notebook_and_the_key(root, write):
    write("one", *GOOD)
    receipt = execute("one", root=root, parameters={"steps": 7})
    assert receipt.metrics["answer"] == 7
    assert receipt.inputs["parameters"] == {"steps": 7}
    with pytest.raises(RunError) as caught:
        execute("one", root=root, parameters={"steps": 8}, timeout=0.01)
    assert caught.value.receipts[0].reason == "parameters: steps"
    assert left_behind(root) == ["one.failed.json"]
    receipt = execute("one", root=root, parameters={"steps": 7})
    target = cache.Target(root / "out" / "cpu", "one")
    assert cache.fresh(target, receipt.inputs)
    assert cache.fresh(target, {**receipt.inputs, "parameters": {}}) is None


FAULTS = {
    "cell error": ("1 / 0", "ZeroDivisionError"),
    "exit": ("import sys; sys.exit(0)", "SystemExit"),
    "exit at once": ("import os; os._exit(0)", "kernel died"),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel died"),
    "network": ("import socket; socket.create_connection(('192.0.2.1', 80), timeout=3)", "offline"),
    "name lookup": ("import urllib.request as r; r.urlopen('http://example.org', timeout=3)", "offline"),
    "blank picture": (
        "import io\nfrom IPython.display import display\nfrom PIL import Image\ncontent = io.BytesIO()\n"
        "Image.new('RGB', (9, 9)).save(content, 'png')\n"
        "display({'image/png': content.getvalue(), 'text/plain': 'blank'}, raw=True)",
        "nothing on it",
    ),
    "not finite": ("from mmlab.viz import record; record(rmse=float('nan'))", "'rmse'"),
}
STATUS = {"exit at once": "dead kernel", "killed": "dead kernel", "exit": "exit", "blank picture": "incomplete"}


@pytest.mark.parametrize(
    ("fault", "where"), [*((fault, "middle") for fault in FAULTS), ("exit", "end"), ("exit at once", "end")]
)
def test_a_notebook_that_did_not_run_to_its_end_is_not_there(root, write, fault, where):
    cell, words = FAULTS[fault]
    write("one", "x = 1", cell, *(["y = 2"] if where == "middle" else []))
    folder = root / "out" / "cpu"
    folder.mkdir(parents=True)
    for name in ("one.ipynb", "one.receipt.json"):  # of an earlier run
        (folder / name).write_text("{}")
    with pytest.raises(RunError, match="Chapter 'one'") as caught:
        execute("one", root=root)
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert left_behind(root) == ["one.failed.json"]
    account = json.loads((folder / "one.failed.json").read_text())
    assert account["status"] == caught.value.receipts[0].status
    assert account["status"] == STATUS.get(fault, account["status"])
    assert account["status"] != "ok"
    assert account["output"] == ""


@pytest.mark.parametrize(
    ("limits", "status"), [({"cell_timeout": 1.5, "timeout": 30}, "cell timeout"), ({"timeout": 4}, "total timeout")]
)
def test_no_run_outlives_its_limit_nor_leaves_a_process(root, write, limits, status):
    mark = uuid.uuid4().hex
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    child = f"import subprocess, sys\ncommand = [sys.executable, '-c', {deaf!r}, '{mark}']\n"
    write("one", child + "subprocess.Popen(command, start_new_session=True)", deaf)
    began = time.monotonic()
    with pytest.raises(RunError) as caught:
        execute("one", root=root, **limits)
    assert caught.value.receipts[0].status == status
    assert time.monotonic() - began < 4 + 10
    assert processes_with(mark) == []
    assert left_behind(root) == ["one.failed.json"]


def test_a_good_run_leaves_no_process_either(root, write):
    mark = uuid.uuid4().hex
    child = (
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'])"
    )
    write("one", child)
    assert execute("one", root=root).status == "ok"
    assert processes_with(mark) == []


@pytest.mark.parametrize("command", [["sleep", "600"], ["false"], ["/no/such/interpreter"]])
def test_a_kernel_that_never_starts(root, write, monkeypatch, command):
    write("one", "x = 1")
    monkeypatch.setattr(job, "KERNEL", command)
    monkeypatch.setattr(job, "START_TIMEOUT", 3.0)
    with pytest.raises(RunError) as caught:
        execute("one", root=root)
    assert caught.value.receipts[0].status == "no kernel"
    assert left_behind(root) == ["one.failed.json"]


@pytest.mark.parametrize("given", [{"stesp": 4}, {"steps": "many"}])
def test_wrong_parameters_run_nothing(root, write, monkeypatch, given):
    write("one", *GOOD)
    monkeypatch.setattr(launch, "Job", None)  # would fail if it came to that
    with pytest.raises(RunError, match="'steps'") as caught:
        execute("one", root=root, parameters=given)
    assert caught.value.receipts[0].status == "bad parameters"
    assert left_behind(root) == ["one.failed.json"]


def test_one_chapter_that_fails_does_not_stop_the_others(root, write):
    write("bad", "1 / 0")
    write("good", "import time; time.sleep(1)")
    seen = []
    with pytest.raises(RunError, match="Chapter 'bad'") as caught:
        execute_all(["bad", "good"], root=root, report=seen.append)
    assert [receipt.status for receipt in caught.value.receipts] == ["cell error", "ok"]
    assert {receipt.stem for receipt in seen} == {"bad", "good"}
    assert left_behind(root, "good") == ["good.ipynb", "good.receipt.json"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, None), (signal.SIGKILL, -9)])
def test_a_runner_that_is_ended_ends_its_kernel_and_leaves_nothing(root, write, number, code):
    mark, started = uuid.uuid4().hex, root / "started"
    write("one", f"from pathlib import Path\nPath({str(started)!r}).touch()", f"import time; time.sleep(600) # {mark}")
    call = (
        "import sys, pathlib; from mmlab.publish import execute_all; from mmlab.publish.run import launch\n"
        "launch.factor = lambda together=1: 1.0\n"  # measuring it takes seconds
        "execute_all(['one'], root=pathlib.Path(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", call, root],
        stderr=subprocess.PIPE,
        cwd=key.PACKAGE.parent,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever started us may ignore Ctrl-C
    )
    until = time.monotonic() + 30
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2  # the worker and its kernel
    process.send_signal(number)
    process.communicate(timeout=15)
    assert process.returncode == code if code else process.returncode != 0
    _, alive = psutil.wait_procs(family, timeout=8)
    assert not alive
    assert not [name for name in left_behind(root) if name != "one.failed.json"]


def test_the_guard_lets_a_process_reach_itself(root, write):
    write(
        "one",
        "import socket\nserver = socket.create_server(('127.0.0.1', 0))",
        "socket.create_connection(server.getsockname(), timeout=3).close()\nserver.close()",
    )
    assert execute("one", root=root).status == "ok"


def test_an_unknown_chapter_is_named(root, write):
    write("bridge", "x = 1")
    with pytest.raises(FileNotFoundError, match="did you mean 'bridge'"):
        execute("brigde", root=root)


def test_budget_and_lock_make_the_receipt(root, write):
    receipt = Receipt(
        *("one", "cpu", "ok", "k", {}, "2026-01-01T00:00:00+00:00", 61.0, 100.0, "d", {}),
        budget={"seconds": 60, "memory_mb": 2000},
        cpu_seconds=121.0,
        machine_factor=2.0,
    )
    assert not receipt.within_budget
    assert dataclasses.replace(receipt, cpu_seconds=119.0).within_budget
    assert dataclasses.replace(receipt, cpu_seconds=61.0, machine_factor=1.0).over == ["time"]
    assert dataclasses.replace(receipt, profile="gpu", seconds=59.0).within_budget
    path = root / "receipt.json"
    receipt.write(path)
    content = json.loads(path.read_text())
    assert content["within_budget"] is False
    assert content["normalised_cpu_seconds"] == 60.5
    assert Receipt.read(path) == receipt
    del content["machine_factor"]  # as before there was one
    path.write_text(json.dumps(content))
    assert Receipt.read(path) is None
    receipt.write(path)
    path.write_text(path.read_text()[:50])
    assert Receipt.read(path) is None
    assert Receipt.read(Path("no such file")) is None
