"""Cut a Python process off from the network, so that a chapter that says it runs offline does."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["block_network"]

_LOCAL = {"", "localhost", "0.0.0.0", "::"}
# Where each event that can reach a host has its name or address.
_HOST_AT = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}
# Python reads a file of this name when it starts. By its path: the child may have no mmlab on its own.
_CHILD = """\
from importlib.util import module_from_spec, spec_from_file_location

_spec = spec_from_file_location("_mmlab_offline", {path!r})
_module = module_from_spec(_spec)
_spec.loader.exec_module(_module)
_module.block_network()
"""
_FOLDER = "MMLAB_OFFLINE"


def block_network() -> None:
    """Refuse, from now on and for good, to look up or connect to any host but this one.

    Works through an audit hook, which no library can take off again. Kernels reach their client over ZeroMQ, which
    does not pass through here. Python processes that are started with this environment get the same hook. Programs of
    other kinds do not: :mod:`mmlab.publish.run.namespace` is for them.
    """
    sys.addaudithook(_refuse)
    if _FOLDER in os.environ:  # this is a child: its own children find the folder as it did
        return
    folder = Path(tempfile.mkdtemp(prefix="mmlab-offline-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "sitecustomize.py").write_text(_CHILD.format(path=str(Path(__file__).resolve())), encoding="utf-8")
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    os.environ |= {_FOLDER: str(folder), "PYTHONPATH": os.pathsep.join([str(folder), *paths])}


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    place = _HOST_AT.get(event)
    if place is None:
        return
    host = arguments[place]
    if place == 1 or event == "socket.getnameinfo":  # the address of a socket
        if not isinstance(host, tuple):  # a socket of the file system, or one that is connected already
            return
        if host[:2] == ("127.0.0.1", 9):  # a proxy that leads nowhere, see mmlab.publish.run.namespace
            host = ("another machine",)
        host = host[0]
    name = host.decode(errors="replace") if isinstance(host, bytes) else str("" if host is None else host)
    if not _is_here(name):
        raise PermissionError(
            f"This chapter runs offline in the cpu profile, but tried to reach {name!r}: "
            "use the embedded data, or move the cell to the gpu profile."
        )


def _is_here(name: str) -> bool:
    """Whether a host is this machine. A name that only begins like an address of it is not."""
    if name in _LOCAL:
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
