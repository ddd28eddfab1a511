"""Watch a process and everything that it started, and end all of it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

__all__ = ["MARK", "Usage", "adopt_orphans", "end_all", "end_descendants", "terminable"]

MARK = "MMLAB_RUN"
"""Environment variable that every process of a run inherits: by it they are found, even when their parents are gone."""


_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

_SEARCH_EVERY = 5  # looks at the known processes for each search for new ones


class Usage:
    """What the processes that one process started have used, itself left out.

    Attributes:
        peak: Most memory that they held together, in bytes.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._family: list[psutil.Process] = []
        self._looks = 0
        self._times: dict[int, float] = {}
        self.peak = 0

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all of them, as of the last look."""
        return sum(self._times.values())

    def sample(self) -> None:
        """Look once. The peak of a single process is never missed: the system keeps its high-water mark."""
        if self._looks % _SEARCH_EVERY == 0 or not self._family:  # it goes through all processes of the machine
            try:
                self._family = self._process.children(recursive=True)
            except psutil.Error:
                return
        self._looks += 1
        together = 0
        for process in self._family:
            try:
                with process.oneshot():
                    together += process.memory_info().rss
                    times = process.cpu_times()
            except psutil.Error:
                continue
            self._times[process.pid] = times.user + times.system
            self.peak = max(self.peak, _high_water(process.pid))
        self.peak = max(self.peak, together)

    def end(self) -> None:
        """End those that were seen at the last look and are still there, wherever they have gone since."""
        for process in self._family:
            _kill(process)


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def end_all(run: str) -> int:
    """End every process that carries the mark of a run, and return how many there were.

    Sessions and process groups do not matter: a kernel has its own, and so may what a cell starts.
    """
    ended = 0
    for _ in range(5):  # a process may fork while it is being looked for
        marked = [process for process in psutil.process_iter() if _carries(process, run)]
        if not marked:
            break
        for process in marked:
            try:
                process.kill()
                ended += 1
            except psutil.Error:
                continue
        psutil.wait_procs(marked, timeout=3)
    return ended


def adopt_orphans() -> None:
    """Make this process the parent of all below it whose own parent ends, where the system can do that (Linux).

    So a descendant stays one, whatever its environment, its session and its group.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants(pid: int) -> None:
    """End all that a process started, directly or not, and leave the process itself."""
    for _ in range(5):  # one may fork while it is being looked for
        try:
            family = psutil.Process(pid).children(recursive=True)
        except psutil.Error:
            return
        alive = [process for process in family if _kill(process)]
        if not alive:
            return
        psutil.wait_procs(alive, timeout=3)


def _kill(process: psutil.Process) -> bool:
    """End a process; False if it had ended before."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        process.kill()
    except psutil.Error:
        return False
    return True


def _carries(process: psutil.Process, run: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == run
    except (psutil.Error, OSError):
        return False


_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]


@contextmanager
def terminable() -> Iterator[None]:
    """Within this block SIGTERM, SIGHUP and SIGQUIT unwind the stack as Ctrl-C does.

    So nothing is left running or half-written. A signal that is ignored, as under ``nohup``, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])
