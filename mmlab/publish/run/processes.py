"""Watch a process and everything that it started, and end all of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

__all__ = ["MARK", "Usage", "end_all", "terminable"]

MARK = "MMLAB_RUN"
"""Environment variable that every process of a run inherits: by it they are found, even when their parents are gone."""


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


def _carries(process: psutil.Process, run: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(MARK) == run
    except (psutil.Error, OSError):
        return False


@contextmanager
def terminable() -> Iterator[None]:
    """Within this block a SIGTERM unwinds the stack as Ctrl-C does, so that nothing is left running or half-written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
