"""Chapters on a Dask cluster of two worker processes: one is killed at work, and no chapter is lost."""

from __future__ import annotations

import builtins
import dataclasses
import json
import os
import signal
import socket
import threading
import time

import psutil
import pytest

from mmlab.publish import Receipt, RunError, execute, execute_all
from mmlab.publish.run import launch
from mmlab.publish.run.scheduler import Cluster, MachineError, execute_on, run_chapter


@pytest.fixture(scope="module")
def cluster():
    """Two workers on this machine, which come back when they are killed."""
    from distributed import LocalCluster

    # Ports that nobody has: another test run on this machine may have a cluster too.
    ports = {"host": "127.0.0.1", "scheduler_port": 0, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, worker_dashboard_address=None, **ports
    ) as cluster:
        yield cluster


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.05)


def ancestors(pid):
    return [process.pid for process in psutil.Process(pid).parents()]


def test_a_lost_worker_loses_no_chapter(cluster, root, write, tmp_path):
    began = tmp_path / "began"
    # The first time it waits to be killed together with its worker; the second time it ends at once.
    write(
        "slow",
        "import os, pathlib, time\nfrom mmlab.viz import record",
        f"began = pathlib.Path({str(began)!r})\nagain = began.exists()\n"
        "began.with_suffix('.new').write_text(str(os.getpid()))\nbegan.with_suffix('.new').replace(began)\n"
        "time.sleep(0 if again else 120)",
        "record(again=again)",
    )
    write("quick", "x = 1")
    write("wrong", "1 / 0")
    lost = []

    def kill():
        wait_for(began.exists, 60)
        kernel = int(began.read_text())
        workers = {worker.pid for worker in cluster.workers.values()}
        (worker,) = workers & set(ancestors(kernel))
        os.kill(worker, signal.SIGKILL)
        lost.extend([worker, kernel])

    killer = threading.Thread(target=kill)
    killer.start()
    told = []
    with pytest.raises(RunError) as caught:
        execute_on(cluster.scheduler_address, ["slow", "quick", "wrong"], root=root, report=told.append)
    killer.join()
    assert len(lost) == 2
    receipts = {receipt.stem: receipt for receipt in caught.value.receipts}
    assert {stem: receipt.status for stem, receipt in receipts.items()} == {
        "slow": "ok",
        "quick": "ok",
        "wrong": "cell error",
    }
    assert "ZeroDivisionError" in receipts["wrong"].error
    assert receipts["slow"].metrics == {"again": True}
    assert len(told) == 3
    names = sorted(path.name for path in (root / "out" / "cpu").iterdir())
    assert names == ["quick.ipynb", "quick.receipt.json", "slow.ipynb", "slow.receipt.json", "wrong.failed.json"]
    # What came back is what a run here would have left: it is found, and nothing runs again.
    assert [receipt.cached for receipt in execute_all(["slow", "quick"], root=root)] == [True, True]
    wait_for(lambda: not psutil.pid_exists(lost[1]))  # the kernel of the lost worker is gone too


def test_a_run_that_nobody_waits_for_is_ended(cluster, root, write, tmp_path):
    began = tmp_path / "began"
    write(
        "endless",
        f"import os, pathlib, time\npathlib.Path({str(began)!r}).write_text(str(os.getpid()))\ntime.sleep(120)",
    )
    stop = threading.Event()
    threading.Thread(target=lambda: (wait_for(began.exists, 60), stop.set())).start()
    with Cluster(cluster.scheduler_address) as place, pytest.raises(RunError, match="stopped from outside"):
        execute("endless", root=root, stop=stop, launch=place)
    wait_for(lambda: not psutil.pid_exists(int(began.read_text())))


def test_a_cluster_without_gpus_is_refused_at_once(cluster):
    with (
        pytest.raises(RuntimeError, match="no worker that offers a GPU"),
        Cluster(cluster.scheduler_address, "gpu", patience=0.1),
    ):
        pass


def test_no_scheduler_is_one_sentence(root, monkeypatch):
    import distributed

    def refuse(address, **options):
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr("mmlab.publish.run.scheduler._knock", lambda address: None)
    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(OSError, match=r"No Dask scheduler answers at 'tcp://nowhere:1'"):
        execute_on("tcp://nowhere:1", ["one"], root=root)


@pytest.mark.parametrize(
    "address", ["", " ", "garbage", "10.0.0.1", "10.0.0.1:8786", "tcp://", "tcp://host", "inproc://x:1", "http://h:1"]
)
def test_what_is_no_address_is_said_at_once(root, address):
    began = time.monotonic()
    with pytest.raises(OSError, match=r"not of the form tcp://host:port.*give the address that `dask scheduler`"):
        execute_on(address, ["one"], root=root)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("answers", "told"), [(False, "says nothing"), (True, "closes it at once")])
def test_a_port_that_is_no_scheduler_does_not_hang(root, monkeypatch, answers, told):
    monkeypatch.setattr("mmlab.publish.run.scheduler._CONNECT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        if answers:
            threading.Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        began = time.monotonic()
        with pytest.raises(OSError, match=told) as caught:
            execute_on(f"tcp://127.0.0.1:{server.getsockname()[1]}", ["one"], root=root)
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)


def test_without_dask_the_extra_is_named(root, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest, **more):
        if name.split(".")[0] == "distributed":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"mmlab\[cluster\]"):
        execute_on("tcp://nowhere:1", ["one"], root=root)


@pytest.fixture
def order(root, write):
    """What is sent to a worker for a small chapter, as JSON."""
    write("one", "from mmlab.viz import record", "record(answer=1)")
    sent = []

    def catch(task, receipt, stop):
        sent.append({"task": dataclasses.asdict(task), "receipt": dataclasses.asdict(receipt)})
        return launch.stopped(receipt)

    with pytest.raises(RunError):
        execute("one", root=root, launch=catch)
    return sent[0]


@pytest.mark.parametrize(
    ("part", "name", "found"),
    [("modules", "mmlab.viz", "modules: mmlab.viz"), ("versions", "torch", "versions: torch")],
)
def test_a_worker_with_another_mmlab_runs_nothing(order, monkeypatch, part, name, found):
    order["receipt"]["inputs"][part][name] = "another"
    monkeypatch.setattr("mmlab.publish.run.scheduler.here", None)
    account, notebook = run_chapter(json.dumps(order).encode())
    receipt = Receipt(**json.loads(account))
    assert receipt.status == "incomplete"
    assert found in receipt.error
    assert notebook == b""


def test_a_dead_kernel_is_tried_again_and_a_wrong_cell_is_not(order, monkeypatch):
    def ends(status):
        return lambda task, receipt, stop: (dataclasses.replace(receipt, status=status, error="so it is"), None)

    monkeypatch.setattr("mmlab.publish.run.scheduler.here", ends("dead kernel"))
    with pytest.raises(MachineError) as caught:
        run_chapter(json.dumps(order).encode())
    assert Receipt(**json.loads(str(caught.value))).status == "dead kernel"
    monkeypatch.setattr("mmlab.publish.run.scheduler.here", ends("cell error"))
    account, _ = run_chapter(json.dumps(order).encode())
    assert json.loads(account)["status"] == "cell error"


def test_the_command_takes_the_address(root, write, monkeypatch):
    from typer.testing import CliRunner

    from mmlab.command.cli import app

    write("one", "x = 1")
    monkeypatch.chdir(root)
    seen = []
    monkeypatch.setattr(
        "mmlab.publish.run.scheduler.execute_on", lambda *given, **options: seen.append((given, options)) or []
    )
    done = CliRunner().invoke(app, ["book", "execute", "--scheduler", "tcp://10.0.0.1:8786", "--profile", "gpu"])
    assert done.exit_code == 0, done.output
    assert seen[0][0] == ("tcp://10.0.0.1:8786", ["one"])
    assert seen[0][1]["profile"] == "gpu"
