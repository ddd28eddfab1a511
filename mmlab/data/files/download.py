"""Safe downloading: a file gets its name only after its sha256 was checked, and a failure leaves nothing behind.

pooch gives the temporary file and the hash check. Added here: the hash and the size are required, transient faults are
retried, the body is cut off at the declared size, reads time out, redirects are few and stay on the web, two processes
take turns, and every failure is one sentence that says what to do.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from mmlab.data.files.archive import extract
from mmlab.data.files.workshop import workshop
from mmlab.paths import expand

if TYPE_CHECKING:
    import requests

__all__ = ["DownloadError", "download", "extract", "offline", "sha256_of"]

SLOWEST = 1000.0
"""Bytes per second below which, on average, a transfer is given up."""


class DownloadError(OSError):
    """A download that failed. The message is one sentence: which file, from where, why, and what to do."""


class _TransferError(Exception):
    """Why one attempt failed, and whether another one could succeed."""

    def __init__(self, reason: str, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def sha256_of(path: Path) -> str:
    """The sha256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def offline() -> bool:
    """Whether ``MMLAB_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids downloads."""
    switches = (os.environ.get(name, "") for name in ("MMLAB_OFFLINE", "HF_HUB_OFFLINE"))
    return any(value.strip().lower() in {"1", "true", "yes", "on"} for value in switches)


def download(
    url: str,
    path: Path,
    *,
    sha256: str,
    size: int,
    timeout: float = 30.0,
    retries: int = 3,
    backoff: float = 1.0,
    redirects: int = 5,
    progress: bool = True,
) -> Path:
    """Download one file, unless the right one is there already.

    Args:
        url: An ``https`` or ``http`` address.
        path: Where the file goes; its folder is made if need be.
        sha256: Hash that its content must have, 64 hexadecimal digits.
        size: Its size in bytes; a longer body is cut off.
        timeout: Seconds to wait for the connection and for each read.
        retries: How often a transient fault (connection, timeout, truncation, wrong bytes, 429, 5xx) is tried again.
        backoff: Seconds before the first retry; doubled each time.
        redirects: How many redirects are followed.
        progress: Whether to show a bar if it takes more than 2 s.

    Returns:
        ``path``, whose content has the hash.

    Raises:
        ValueError: If the hash, the size or the address is not one that can be used.
        DownloadError: If the file could not be had; nothing is left under ``path`` that was not there before.
    """
    path, sha256 = expand(path), str(sha256).lower()
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{path.name}: a download needs the sha256 of its content (64 hexadecimal digits).")
    if size <= 0:
        raise ValueError(f"{path.name}: a download needs its size in bytes, got {size}.")
    if not _on_the_web(url):
        raise ValueError(f"{path.name}: cannot download from {url!r}, only https and http addresses.")
    if _is_right(path, sha256, size):
        return path
    if offline():
        raise DownloadError(
            f"{path} is missing or damaged and mmlab is offline (MMLAB_OFFLINE or HF_HUB_OFFLINE is set): get it from "
            f"{url} on another machine, or unset the variable."
        )
    downloader = _Downloader(path.name, size, timeout, redirects, progress)
    try:
        with workshop(path) as partial:
            if not _is_right(path, sha256, size):  # another process may have fetched it while this one waited
                if (free := shutil.disk_usage(partial).free) < size:
                    raise DownloadError(
                        f"{path} needs {size} bytes, but only {free} are free: make room or set MMLAB_CACHE."
                    )
                _replace(_transfer(url, partial, sha256, downloader, retries, backoff), path)
    except _TransferError as error:
        raise DownloadError(
            f"{path.name} could not be downloaded from {url}: {error}. Try again later, or get it by hand "
            f"and put it at {path}."
        ) from None
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{path} could not be written ({error.strerror or error}): make room, check the rights of its folder, "
            "or set MMLAB_CACHE to another one."
        ) from None
    return path


def _is_right(path: Path, sha256: str, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256


def _on_the_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"https", "http"} and bool(parts.hostname)
    except ValueError:
        return False


def _transfer(url: str, folder: Path, sha256: str, downloader: _Downloader, retries: int, backoff: float) -> Path:
    """Try until the file is in ``folder`` with the right hash. Returns it.

    Raises:
        _TransferError: If the last attempt failed, or one that need not be repeated.
        OSError: If the file cannot be written.
    """
    import pooch
    import requests
    import urllib3

    pooch.get_logger().setLevel("WARNING")  # it would announce the temporary folder
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(backoff * 2 ** (attempt - 1))
        try:
            file = pooch.retrieve(url, f"sha256:{sha256}", downloader.name, folder, downloader=downloader)
        except _TransferError as error:
            reason = error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = _TransferError(_name_fault(error))
        except ValueError:  # pooch: the hash is another one
            reason = _TransferError(downloader.describe_wrong_body())
        else:
            return Path(file)
        if not reason.again:
            break
    tried = f" (tried {attempt + 1} times)" if attempt else ""
    raise _TransferError(f"{reason}{tried}")


def _name_fault(error: Exception) -> str:
    kind, text = type(error).__name__, str(error)
    if "Timeout" in kind or "timed out" in text.lower():
        return "the server stopped sending"
    if "IncompleteRead" in text or "Connection broken" in text:
        return "the connection broke before the end"
    return f"the connection failed ({kind}: {text[:200]})"


def _replace(file: Path, path: Path) -> None:
    """Move a finished file to its name, in one step that survives a power cut."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
    file.replace(path)


class _Downloader:
    """What pooch calls to fill its temporary file: a GET with limits."""

    def __init__(self, name: str, size: int, timeout: float, redirects: int, progress: bool) -> None:
        self.name, self.size, self.timeout = name, size, timeout
        self.redirects, self.progress = redirects, progress
        self.start_of_body, self.content_type = b"", ""

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        import requests

        with requests.Session() as session, self._open(session, url) as response, Path(output_file).open("wb") as file:
            self.content_type = response.headers.get("Content-Type", "")
            self.start_of_body = b""
            self._copy(response, file)

    def _open(self, session: requests.Session, url: str) -> requests.Response:
        """Send the request; follow a few redirects without reading their bodies."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "mmlab"}
        for _ in range(self.redirects + 1):
            response = session.get(url, headers=headers, stream=True, timeout=self.timeout, allow_redirects=False)
            target = session.get_redirect_target(response)
            if target is None:
                break
            response.close()
            following = urljoin(url, target)
            if not _on_the_web(following) or (url.startswith("https:") and not following.startswith("https:")):
                raise _TransferError(f"it redirects to {following[:200]!r}, which is refused", again=False)
            url = following
        else:
            raise _TransferError(f"it redirects more than {self.redirects} times", again=False)
        if response.status_code != 200:
            response.close()
            status = response.status_code
            raise _TransferError(f"the server answered {status} {response.reason}", status >= 500 or status == 429)
        return response

    def _copy(self, response: requests.Response, file: BinaryIO) -> None:
        """Copy the body, at most ``size`` bytes of it, and not slower than :data:`SLOWEST` on average."""
        from tqdm import tqdm

        read = getattr(
            response.raw, "read1", response.raw.read
        )  # read1 returns what is there: a trickle cannot hold it
        deadline = time.monotonic() + self.timeout + self.size / SLOWEST
        received = 0
        bar = tqdm(total=self.size, unit="B", unit_scale=True, desc=self.name, delay=2, disable=not self.progress)
        with bar:
            while block := read(1 << 16, decode_content=True):
                self.start_of_body += block[: 512 - len(self.start_of_body)]
                received += len(block)
                if received > self.size:
                    raise _TransferError(
                        f"the answer is longer than the {self.size} bytes expected{self._page()}", False
                    )
                if time.monotonic() > deadline:
                    raise _TransferError(f"the server sent less than {SLOWEST:g} bytes per second", again=False)
                file.write(block)
                bar.update(len(block))
        if received < self.size:
            raise _TransferError(f"only {received} of {self.size} bytes came{self._page()}")

    def _page(self) -> str:
        head = self.start_of_body.lstrip()[:100].lower()
        is_page = "text/html" in self.content_type.lower() or head.startswith((b"<!doctype", b"<html"))
        return ": it is a web page, perhaps an error page or a login" if is_page else ""

    def describe_wrong_body(self) -> str:
        """Why the hash did not match."""
        return f"the content is not what was expected (another sha256){self._page()}"
