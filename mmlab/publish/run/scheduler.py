"""Run chapters on a Dask cluster that is already there. It needs the extra ``cluster``.

Each chapter is one task: a worker gets the notebook, runs it as the runner does here, and sends the executed notebook
and the receipt back as bytes; this machine writes them. The workers need mmlab with the same modules, but no folder of
the book and no file system in common. When a worker is lost, the scheduler gives its chapter to another one.

Dask sends Python objects that run code when they are read, in both directions: connect only to a cluster you trust.
"""

from __future__ import annotations

import dataclasses
import json
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from mmlab.publish.chapter import code_cells
from mmlab.publish.run import key
from mmlab.publish.run.job import device
from mmlab.publish.run.launch import Outcome, Task, here, stopped
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.run.runner import execute_all

__all__ = ["Cluster", "MachineError", "execute_on", "run_chapter"]

_MOST_AT_A_TIME = 64
_LOOK_EVERY = 10.0  # seconds between two looks at the list of workers


_CONNECT = 20.0
"""Seconds in which a scheduler must answer."""


class MachineError(RuntimeError):
    """A run that failed for a reason that may lie in the machine. Its message is the receipt, as JSON."""


def execute_on(
    address: str,
    stems: Sequence[str],
    *,
    profile: str = "cpu",
    out: Path = Path("out"),
    timeout: float | None = None,
    force: bool = False,
    root: Path | None = None,
    report: Callable[[Receipt], None] | None = None,
) -> list[Receipt]:
    """Run chapters on a cluster; otherwise as :func:`mmlab.publish.execute_all`.

    Args:
        address: Address of the scheduler, as in ``tcp://10.0.0.1:8786``.
        stems: The chapters.
        profile: ``"cpu"``, or ``"gpu"`` for workers that offer the resource ``GPU``.
        out: Folder for the results, on this machine.
        timeout: Limit of each run in seconds, once a worker has begun it.
        force: Run even what did not change.
        root: Folder of the book.
        report: Called with each receipt as it comes in.

    Raises:
        ImportError: If ``dask.distributed`` is not installed.
        OSError: If no scheduler answers.
        RuntimeError: If the cluster has no worker for this profile. A :class:`mmlab.publish.RunError` if any chapter
            did not run.
    """
    with Cluster(address, profile) as cluster:
        return execute_all(
            stems,
            profile=profile,
            workers=min(len(stems), _MOST_AT_A_TIME),
            out=out,
            timeout=timeout,
            force=force,
            root=root,
            report=report,
            launch=cluster,
        )


class Cluster:
    """A connection to a cluster, which runs tasks for :func:`mmlab.publish.execute`.

    Args:
        address: Address of the scheduler.
        profile: Profile of the tasks.
        retries: How often a chapter is tried again when its kernel did not start or died. Lost workers do not count:
            how many a chapter may lose is a setting of the scheduler (``distributed.scheduler.allowed-failures``).
        patience: Seconds to wait for a worker, at the start and whenever all are gone.
    """

    def __init__(self, address: str, profile: str = "cpu", *, retries: int = 2, patience: float = 60.0) -> None:
        self._address, self._profile, self._retries, self._patience = address, profile, retries, patience
        self._resources = {"GPU": 1} if profile == "gpu" else None

    def __enter__(self) -> Self:
        try:
            from distributed import Client
        except ImportError:
            raise ImportError(
                "`--scheduler` needs dask.distributed: install it with `python -m pip install 'mmlab[cluster]'`."
            ) from None
        try:
            _knock(self._address)
            self._client = Client(self._address, timeout=_CONNECT, set_as_default=False)
        except Exception as error:  # noqa: BLE001, RUF100 - whatever it raises, there is no scheduler
            why = " ".join(str(error).split())[:200]
            raise OSError(
                f"No Dask scheduler answers at {self._address!r} ({why}): give the address that `dask scheduler` "
                "printed, as in tcp://10.0.0.1:8786."
            ) from None
        try:
            self._await_worker(threading.Event())
        except BaseException:
            self._client.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._client.close()

    def __call__(self, task: Task, receipt: Receipt, stop: threading.Event) -> Outcome:
        """Run a task on the cluster. Whatever goes wrong there is told by the receipt."""
        order = {"task": dataclasses.asdict(task), "receipt": dataclasses.asdict(receipt)}
        future = self._client.submit(
            run_chapter,
            json.dumps(order).encode(),
            key=f"mmlab-{receipt.stem}-{uuid.uuid4().hex}",
            retries=self._retries,
            resources=self._resources,
        )
        try:
            looked = time.monotonic()
            while future.status in ("pending", "lost"):  # lost: its worker went with the result, and it runs again
                if stop.wait(0.1):
                    return stopped(receipt)
                if time.monotonic() - looked > _LOOK_EVERY:
                    self._await_worker(stop)
                    looked = time.monotonic()
            if future.status == "finished":
                account, notebook = future.result(timeout=120)
                receipt = Receipt.checked(json.loads(account))
                return receipt, json.loads(notebook) if receipt.status == "ok" else None
            error = future.exception(timeout=60) if future.status == "error" else None
        except Exception as trouble:  # noqa: BLE001, RUF100 - whatever the connection raises, the other chapters go on
            error = trouble
        finally:
            future.cancel()
        return self._failure(receipt, error), None

    def _await_worker(self, stop: threading.Event) -> None:
        """Return when there is a worker for the profile; give up after some time without any."""
        until = time.monotonic() + self._patience
        while not self._fitting_workers():
            if time.monotonic() > until:
                which = "that offers a GPU (start it with `--resources GPU=1`)" if self._resources else "at all"
                raise RuntimeError(
                    f"The cluster at {self._address} has had no worker {which} for {self._patience:g} s."
                )
            if stop.wait(0.5):
                return

    def _fitting_workers(self) -> int:
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(self._resources is None or worker["resources"].get("GPU", 0) >= 1 for worker in workers)

    def _failure(self, receipt: Receipt, error: BaseException | None) -> Receipt:
        if isinstance(error, MachineError):
            return Receipt.checked(json.loads(str(error)))
        if error is None:
            told = "the connection to the scheduler was lost: look whether it still runs, and try again."
        elif type(error).__name__ == "KilledWorker":
            told = "every worker that ran it was lost (out of memory?): look into the log of a worker."
        else:
            told = f"the cluster could not run it: {type(error).__name__}: {error}"
        return dataclasses.replace(receipt, status="incomplete", error=told)


def _knock(address: str) -> None:
    """Raise OSError unless there is an address of a scheduler, and, if it is a plain one, something that greets.

    A scheduler speaks first. A port that accepts and is silent would be waited for much longer than it is here.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("tcp", "tls", "ucx", "ws", "wss") or not parts.hostname or not parts.port:
        raise OSError("it is not of the form tcp://host:port")
    if parts.scheme != "tcp":
        return
    with socket.create_connection((parts.hostname, parts.port), timeout=_CONNECT) as connection:
        connection.settimeout(_CONNECT)
        try:
            greeted = connection.recv(1)
        except TimeoutError:
            raise OSError(f"it accepts a connection, but says nothing for {_CONNECT:g} s") from None
        if not greeted:
            raise OSError("it accepts a connection, but closes it at once")


def run_chapter(order: bytes) -> tuple[bytes, bytes]:
    """What a worker does: run one chapter, unless its mmlab or its data are not those of the sender.

    Args:
        order: JSON with a ``task`` and a ``receipt``.

    Returns:
        The receipt and the executed notebook, both as JSON; the notebook is empty if the run failed.

    Raises:
        MachineError: If the kernel did not start or died: another machine may do better.
    """
    content = json.loads(order)
    task, receipt = Task(**content["task"]), Receipt(**content["receipt"])
    if differs := _difference(task, receipt):
        told = f"the worker has not what the receipt would say ({differs}): install there what is installed here."
        receipt, executed = dataclasses.replace(receipt, status="incomplete", error=told), None
    else:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        receipt = dataclasses.replace(receipt, date=now, device=device(task.profile))
        with _stop_when_unwanted() as stop:
            receipt, executed = here(task, receipt, stop)
    account = json.dumps(dataclasses.asdict(receipt))
    if receipt.status in ("no kernel", "dead kernel"):
        raise MachineError(account)
    return account.encode(), b"" if executed is None else json.dumps(executed).encode()


def _difference(task: Task, receipt: Receipt) -> str:
    """Which input of the run is not the same on this machine; empty if all are. The lock is the sender's alone."""
    with tempfile.TemporaryDirectory() as folder:
        cells = code_cells(task.notebook)
        named = [name for name in receipt.inputs["versions"] if name != "python"]
        found = key.inputs(cells, root=Path(folder), profile=task.profile, parameters=task.given, named=named)
    found["lock"] = receipt.inputs["lock"]
    # Through JSON, as the sender's came: it has no tuples.
    found = json.loads(json.dumps(found))
    return "" if found == receipt.inputs else key.what_changed(receipt.inputs, found)


@contextmanager
def _stop_when_unwanted() -> Iterator[threading.Event]:
    """An event that is set when the scheduler takes the task back: the sender cancelled it, or is gone."""
    stop, done = threading.Event(), threading.Event()

    def watch(worker: Any, name: str) -> None:
        while not done.wait(0.5):
            task = worker.state.tasks.get(name)
            if task is None or task.state not in ("executing", "long-running"):
                stop.set()
                return

    thread = None
    try:
        from distributed import get_worker

        worker = get_worker()
        thread = threading.Thread(target=watch, args=(worker, worker.get_current_task()), daemon=True)
        thread.start()
    except (ImportError, ValueError):  # not on a worker: nobody takes it back
        pass
    try:
        yield stop
    finally:
        done.set()
        if thread:
            thread.join()
