"""Stopping in order: SIGTERM and Ctrl-C are heard, the run is saved, and the exit code says which it was."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self

__all__ = ["StopRequest", "StopSignals"]

_log = logging.getLogger("mmlab")


class StopRequest(BaseException):
    """Raised inside work that may be abandoned, when the run has been asked to stop."""


class _Abandonable(AbstractContextManager[None]):
    """A class and not a generator: it is entered in every step."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals

    def __enter__(self) -> None:
        self.signals.inside = True  # first: a signal before this line is seen below, one after it raises
        if self.signals.received is not None:
            self.signals.inside = False
            raise StopRequest

    def __exit__(self, *error: object) -> None:
        self.signals.inside = False


class StopSignals:
    """While it is entered, SIGTERM and SIGINT set :attr:`received` in place of ending the process.

    Inside :meth:`abandonable` they also raise :class:`StopRequest`, at once. A second signal always raises
    ``KeyboardInterrupt``: the way out if something hangs. Outside the main thread signals cannot be caught, and nothing
    changes.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.inside = False  # work that may be abandoned
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        if self.inside:
            raise StopRequest

    def abandonable(self, allowed: bool = True) -> AbstractContextManager[None]:
        """Mark work that changes nothing: it is abandoned when a signal comes, or has come already."""
        return _Abandonable(self) if allowed else nullcontext()

    def leave(self, message: str) -> NoReturn:
        """End the run: exit code 143 after SIGTERM and 130 after Ctrl-C, which in a notebook stays a Ctrl-C.

        Raises:
            SystemExit: With that code.
            KeyboardInterrupt: In an interactive session, after Ctrl-C.
        """
        number = self.received or signal.SIGTERM
        _log.warning("Stopped by %s %s", signal.Signals(number).name, message)
        if number == signal.SIGINT and (hasattr(sys, "ps1") or "ipykernel" in sys.modules):
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
