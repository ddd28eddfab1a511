"""Run notebooks. An executed notebook and its receipt exist only if every cell ran; otherwise there is neither.

Each chapter runs in a worker process, which starts the kernel; the runner measures both, sets their limits, and ends
them with everything that they started. What has run before with the same inputs is not run again.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from mmlab.paths import expand
from mmlab.publish import project
from mmlab.publish.chapter import Chapter
from mmlab.publish.run import cache, key
from mmlab.publish.run import parameters as checked
from mmlab.publish.run.job import device
from mmlab.publish.run.launch import Gpus, Launch, Outcome, Task, here
from mmlab.publish.run.processes import terminable
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.run.returned import examined
from mmlab.publish.run.shared import after, needed, train_shared
from mmlab.store.lock import InUseError, Lock

_NOT_ENDED = "the run did not come to its end: it is still going on, or was killed."

__all__ = ["RunError", "execute", "execute_all"]

_Node = tuple[str, str]
"""What is to be done, and its name: ``("train", base)`` or ``("run", stem)``."""

SLACK = 10.0
"""A run is ended when it takes so many times its budget, by the clock: of a slow and busy machine, too."""


class RunError(RuntimeError):
    """One or more chapters did not run.

    Attributes:
        receipts: The account of every chapter of the call; ``status`` tells which failed, and how.
    """

    def __init__(self, message: str, receipts: Sequence[Receipt]) -> None:
        super().__init__(message)
        self.receipts = list(receipts)


def execute(
    stem: str,
    *,
    profile: str = "cpu",
    parameters: Mapping[str, Any] | None = None,
    out: Path = Path("out"),
    timeout: float | None = None,
    cell_timeout: float | None = None,
    force: bool = False,
    root: Path | None = None,
    stop: threading.Event | None = None,
    launch: Launch = here,
) -> Receipt:
    """Run one chapter, or find that its outputs are as they would be.

    On success ``out/<profile>/<stem>.ipynb`` and ``<stem>.receipt.json`` are there; on failure neither is, and
    ``<stem>.failed.json`` says why.

    Args:
        stem: The chapter.
        profile: ``"cpu"`` (one thread, no network) or ``"gpu"``.
        parameters: Values that replace those of the parameters cell; checked before anything runs.
        out: Folder for the results; relative to the folder of the book.
        timeout: Limit of the whole run in seconds; by default ten times the budget of the card.
        cell_timeout: Limit of one cell in seconds; by default that of the whole run.
        force: Run even if nothing changed.
        root: Folder of the book.
        stop: When set, the run is ended.
        launch: Where it runs; by default on this machine.

    Raises:
        RunError: If not every cell ran. Its message is for readers, its ``receipts`` for programs.
        FileNotFoundError: If there is no such chapter.
    """
    root = root or project.find_root()
    chapter = Chapter(root, stem)
    out = expand(out, "out")
    notebook, target = chapter.notebook, chapter.target(root / out / profile)
    given = _with_profile(notebook, profile, dict(parameters or {}))
    stop = stop or threading.Event()
    with terminable(), _alone(root / out, f"{profile}-{stem}", stop):
        parts = chapter.inputs(profile, given)
        if not force and (receipt := cache.lookup(target, notebook, parts)):
            return receipt
        before = Receipt.read(target.receipt) or Receipt.read(target.failure)
        reason = key.what_changed(before.inputs, parts) if before else "first run"
        receipt = dataclasses.replace(_blank(chapter, profile, parts), reason=reason, error=_NOT_ENDED)
        target.begin(receipt)  # from here on, nothing old can be mistaken for the outcome of this run
        receipt = dataclasses.replace(receipt, error="")
        try:
            checked.check(_parameters_cell(notebook), given)
        except (ValueError, SyntaxError) as error:
            raise _failed(target, dataclasses.replace(receipt, status="bad parameters", error=str(error))) from None
        limit = timeout or SLACK * receipt.budget["seconds"]
        task = Task(notebook, given, profile, limit, cell_timeout or limit)
        receipt, executed = _launched(task, receipt, stop, launch)
        if executed is None:
            raise _failed(target, receipt)
        return cache.store(target, notebook, executed, receipt)


def _launched(task: Task, receipt: Receipt, stop: threading.Event, launch: Launch) -> Outcome:
    """Run a task. Whatever goes wrong on the way becomes one receipt, and no more."""
    try:
        return examined(task, receipt, launch(task, receipt, stop))
    except Exception as trouble:  # noqa: BLE001, RUF100 - the other chapters go on
        told = f"it could not be run: {type(trouble).__name__}: {trouble}"
        return dataclasses.replace(receipt, status="incomplete", error=told), None


@contextmanager
def _alone(out: Path, name: str, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of a chapter: who comes second waits, and then finds what the first one made."""
    lock = Lock(out / ".locks" / f"{name}.lock")
    lock.path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            lock.acquire()
            break
        except InUseError:
            if stop.wait(0.2):
                raise
    try:
        yield
    finally:
        lock.release()


def execute_all(
    stems: Sequence[str],
    *,
    profile: str = "cpu",
    workers: int = 2,
    out: Path = Path("out"),
    timeout: float | None = None,
    force: bool = False,
    root: Path | None = None,
    report: Callable[[Receipt], None] | None = None,
    launch: Launch | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Receipt]:
    """Run chapters side by side, each in processes of its own, with one thread each.

    With the ``"gpu"`` profile each has a GPU to itself, and as many run at a time as there are GPUs.

    What chapters share is trained beside the chapters that do not need it, see :mod:`mmlab.publish.run.shared`. A
    chapter that fails does not stop the others; the error comes at the end and names all of them.

    Args:
        stems: The chapters.
        profile: As in :func:`execute`, like ``out``, ``timeout``, ``force`` and ``root``.
        workers: How many run at a time.
        out: Folder for the results.
        timeout: Limit of each run in seconds.
        force: Run even what did not change.
        root: Folder of the book.
        report: Called with each receipt as it comes in.
        launch: Where they run; by default on this machine.
        say: Called with a sentence on each long training of what chapters share.

    Returns:
        The receipts, in the order of ``stems``; a chapter that is named twice has one.

    Raises:
        RunError: If any chapter did not run; ``receipts`` has those of all.
    """
    stop = threading.Event()
    stems = list(dict.fromkeys(stems))
    root = root or project.find_root()
    if launch is None and profile == "gpu":
        launch = found = Gpus()
        workers = len(found)
    place = partial(here, together=max(1, min(workers, len(stems)))) if launch is None else launch

    def run(stem: str) -> Receipt:
        try:
            receipt = execute(
                stem, profile=profile, out=out, timeout=timeout, force=force, root=root, stop=stop, launch=place
            )
        except RunError as error:
            receipt = error.receipts[0]
        if report:
            report(receipt)
        return receipt

    def starts_from(stem: str) -> list[str]:
        """The shared models of a chapter that has to run."""
        chapter = Chapter(root, stem)
        if launch is not None or not chapter.source.is_file() or not (names := needed([chapter])):
            return []
        notebook, target = chapter.notebook, chapter.target(root / expand(out, "out") / profile)
        given = _with_profile(notebook, profile, {})
        return names if force or cache.fresh(target, chapter.inputs(profile, given)) is None else []

    trainings = {stem: starts_from(stem) for stem in stems}
    waits = after([name for names in trainings.values() for name in names])
    # Trainings first, those that others wait for before the rest; then who needs none.
    tasks: dict[_Node, Callable[[], Receipt | None]] = {
        ("train", name): partial(train_shared, name, stop, say) for name in waits
    } | {("run", stem): partial(run, stem) for stem in sorted(stems, key=lambda stem: bool(trainings[stem]))}
    plan: TopologicalSorter[_Node] = TopologicalSorter()
    for kind, name in tasks:
        plan.add((kind, name), *(("train", first) for first in (waits if kind == "train" else trainings)[name]))
    with terminable(), ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        try:
            returned = _in_order(plan, tasks, pool, max(1, workers))
        except BaseException:  # Ctrl-C and SIGTERM too: end what runs, start nothing more
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    receipts = [receipt for stem in stems if (receipt := returned["run", stem])]
    if failed := [receipt for receipt in receipts if receipt.status != "ok"]:
        raise RunError("\n".join(_sentence(receipt) for receipt in failed), receipts)
    return receipts


def _in_order(
    plan: TopologicalSorter[_Node],
    tasks: Mapping[_Node, Callable[[], Receipt | None]],
    pool: ThreadPoolExecutor,
    workers: int,
) -> dict[_Node, Receipt | None]:
    """Do tasks as soon as a worker is free and what they wait for is done: nobody waits with a worker in hand."""
    plan.prepare()
    order = list(tasks)
    ready: list[_Node] = []
    running: dict[Future[Receipt | None], _Node] = {}
    returned: dict[_Node, Receipt | None] = {}
    while plan.is_active():
        ready = sorted([*ready, *plan.get_ready()], key=order.index)
        while ready and len(running) < workers:
            task = ready.pop(0)
            running[pool.submit(tasks[task])] = task
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            task = running.pop(future)
            returned[task] = future.result()
            plan.done(task)
    return returned


def _parameters_cell(notebook: Any) -> str | None:
    tagged = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    return "".join(tagged[0]["source"]) if tagged else None


def _with_profile(notebook: Any, profile: str, given: dict[str, Any]) -> dict[str, Any]:
    """Add ``profile`` to the parameters if the notebook declares it with another default."""
    cell = _parameters_cell(notebook)
    with suppress(ValueError, SyntaxError):
        declared = checked.declared(cell or "")
        if "profile" in declared and declared["profile"][1] != profile:
            given.setdefault("profile", profile)
    return given


def _blank(chapter: Chapter, profile: str, parts: dict[str, Any]) -> Receipt:
    budget = chapter.budget
    seconds, gigabytes = budget.cpu_seconds, budget.cpu_memory_gb
    if profile == "gpu":
        seconds = 60 * (budget.gpu_minutes or 15)
        gigabytes = 12.0  # the main memory of the free machine with a T4
    return Receipt(
        stem=chapter.stem,
        profile=profile,
        status="incomplete",
        key=key.digest(parts),
        inputs=parts,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        peak_memory_mb=0.0,
        device=device(profile),
        versions=key.versions(),
        budget={"seconds": seconds, "memory_mb": 1000 * gigabytes},
    )


def _failed(target: cache.Target, receipt: Receipt) -> RunError:
    receipt.write(target.failure)
    return RunError(_sentence(receipt), [receipt])


def _sentence(receipt: Receipt) -> str:
    return f"Chapter {receipt.stem!r} ({receipt.profile}): {receipt.status}: {receipt.error}"
