"""A network of one's own, in which there is only this machine: for programs that no Python hook can stop.

Linux gives a process a network namespace with nothing in it but the loopback device. Not every system lets its users
have one (containers often do not, nor do macOS and Windows): then proxies that lead nowhere stop those programs that
heed them, such as curl, git and wget.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["NOWHERE", "leave_network"]

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # <linux/sched.h>
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1  # <linux/sockios.h>, <linux/if.h>

NOWHERE = "http://127.0.0.1:9"
"""The port of the discard service: nobody listens there, and nobody may."""


def leave_network() -> bool:
    """Give this process, and whatever it starts from now on, a network without other machines.

    Call it while the process has one thread.

    Returns:
        Whether that could be had. If not, variables of proxies lead nowhere.
    """
    if _possible():
        _leave()
        return True
    for name in ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy"):
        os.environ[name] = os.environ[name.upper()] = NOWHERE
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "localhost,127.0.0.1,::1"
    return False


def _possible() -> bool:
    """Tried in a process that ends: half a namespace cannot be given back."""
    if sys.platform != "linux":
        return False
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            _leave()
            code = 0
        os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _leave() -> None:
    user, group = os.getuid(), os.getgid()
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEW_NET) != 0:  # only who administers the system may do that without a user namespace
        if library.unshare(_NEW_USER | _NEW_NET) != 0:
            raise OSError(ctypes.get_errno(), "no namespace")
        with suppress(FileNotFoundError):  # old kernels
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:  # the kernel of a notebook talks over loopback
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(opened, _GET_FLAGS, asked), 16)
        fcntl.ioctl(opened, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))
