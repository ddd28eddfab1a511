"""Cut a Python process off from the network, so that a chapter that says it runs offline does."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["block_network"]

_LOCAL = {"", "localhost", "127.0.0.1", "::1", "0.0.0.0"}


def block_network() -> None:
    """Refuse, from now on and for good, to look up or connect to any host but this one.

    Works through an audit hook, which no library can take off again. Kernels reach their client over ZeroMQ, which
    does not pass through here.
    """
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if not isinstance(address, tuple):  # a socket of the file system
            return
        host = address[0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if name not in _LOCAL and not name.startswith("127."):
        raise PermissionError(
            f"This chapter runs offline in the cpu profile, but tried to reach {name!r}: "
            "use the embedded data, or move the cell to the gpu profile."
        )
