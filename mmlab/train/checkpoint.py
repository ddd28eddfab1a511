"""Checkpoints that are whole or not there: safetensors and JSON in a folder, named by a pointer that is replaced last.

``checkpoint/latest.json`` names a folder beside it and the hash of its ``checkpoint.json``, which in turn holds the
hashes of all other files. A new folder is written under a temporary name, flushed, renamed, and only then pointed at;
the old one goes last. A process that dies at any moment leaves the old or the new checkpoint. Nothing executable is
written or read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mmlab.paths import expand
from mmlab.store.files import flush_folder, replace_file, temporary, write_file
from mmlab.store.folders import refuse_other_file
from mmlab.store.lock import InUseError, Lock
from mmlab.store.weights import safetensors_chunks
from mmlab.train.history import HEAD, History

__all__ = ["FORMAT", "Checkpoint", "Store"]

FORMAT = 1
"""Version of the layout; it changes whenever an older reader would misread a newer checkpoint."""

Groups = dict[str, dict[str, Tensor]]
"""Named tensors by group; each group is one file, for example ``model`` or ``optimizer``."""

_POINTER = "latest.json"
_MANIFEST = "checkpoint.json"
_OURS = re.compile(r"step-\d{8}(-again)*|\.step-\d{8}(-again)*\.[0-9a-f-]+\.tmp")


@dataclass(frozen=True)
class Checkpoint:
    """What was read back, with every hash verified.

    Attributes:
        about: Whose it is, with which arguments, and at which step.
        tensors: The groups of tensors.
    """

    about: dict[str, Any]
    tensors: Groups


class Store:
    """The checkpoint of one run, kept in ``out/checkpoint``.

    The state is copied when :meth:`save` is called, and written by a thread while the training goes on.

    Args:
        out: Folder of the run. It is created, and that it can be written is tried at once.

    Raises:
        NotOursError: If the folder has a ``history.csv`` that is none.
        OSError: If the folder cannot be written.
    """

    def __init__(self, out: str | Path) -> None:
        self.folder = expand(out, "out") / "checkpoint"
        self._thread: Thread | None = None
        self._error: Exception | None = None
        self._copy: Groups = {}
        self._lock = Lock(self.folder / "in_use.json")
        if self.folder.parent.is_dir():
            refuse_other_file(self.folder.parent / "history.csv", HEAD)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            trial = temporary(self.folder / "trial")
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise _refusal(error, f"fit cannot write to {self.folder}", "choose another `out`") from None

    @contextmanager
    def held(self, mine: bool = True) -> Iterator[None]:
        """Keep others out of the folder: two runs in one would take away each other's files.

        Args:
            mine: Whether this process is the one that writes.

        Raises:
            ValueError: If another run is at work in it.
        """
        try:
            if mine:
                self._lock.acquire()
        except InUseError as error:
            raise ValueError(f"fit: {self.folder} is {error}: wait for it, or choose another `out`.") from None
        try:
            yield
        finally:
            self._lock.release()

    def check(self, tensors: Groups, about: Mapping[str, Any]) -> None:
        """Refuse before the first step what could not be saved after it.

        Raises:
            TypeError: If a tensor has a type that the format does not have, or JSON cannot hold the facts.
        """
        for named in tensors.values():
            next(safetensors_chunks({name: tensor.detach().to("meta") for name, tensor in named.items()}))
        json.dumps(about)

    def exists(self) -> bool:
        """Whether there is a checkpoint, good or damaged."""
        return (self.folder / _POINTER).exists()

    def save(self, tensors: Groups, about: Mapping[str, Any]) -> None:
        """Copy the state and start to write it. Returns before it is on the disk; :meth:`wait` returns after.

        Args:
            tensors: The groups of tensors.
            about: JSON-able facts; ``about["step"]`` names the folder.

        Raises:
            OSError: If the save before this one failed.
        """
        self.wait()
        self._copy = {group: _copied(named, self._copy.get(group, {})) for group, named in tensors.items()}
        self._thread = Thread(target=self._write, args=(dict(about),), name="mmlab-checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the last save is on the disk.

        Raises:
            OSError: If it could not be written; the one before it is still there then.
            TypeError: If it holds a tensor of a type that the format does not have.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            if not isinstance(error, OSError):
                raise error
            raise _refusal(error, f"The checkpoint cannot be written to {self.folder}", "the one before it is kept")

    def read(self) -> Checkpoint:
        """Read the checkpoint and verify all of it.

        Raises:
            ValueError: If there is none, or a file is missing, truncated, changed, or of another format version.
        """
        if not self.exists():
            raise ValueError(f"{self.folder} holds no checkpoint: train with this `out` first.")
        pointer = self._json(self.folder / _POINTER, None)
        target, digest = pointer.get("folder"), pointer.get("sha256")
        if target not in [path.name for path in self.folder.iterdir() if path.is_dir()]:  # no path that it may spell
            raise ValueError(f"{self.folder / _POINTER} is damaged: it names no folder with a checkpoint.")
        folder = self.folder / target
        about = self._json(folder / _MANIFEST, digest)
        if about.get("format") != FORMAT:
            raise ValueError(
                f"{folder} has format version {about.get('format')!r}, this mmlab reads version {FORMAT}: "
                "go on with the version that wrote it, or start anew with resume=False."
            )
        files = about.pop("files")
        for name, expected in files.items():
            if not (folder / name).exists() or _hash(folder / name) != expected:
                raise _damaged(folder / name)
        try:
            tensors = {Path(name).stem: load_file(folder / name) for name in files}
        except SafetensorError:
            raise _damaged(folder) from None
        return Checkpoint(about, tensors)

    def write_history(self, history: History) -> None:
        """Write ``history.csv`` beside the folder of the checkpoint.

        Raises:
            OSError: If it cannot be written.
        """
        path = self.folder.parent / "history.csv"
        try:
            history.to_csv(path)
        except OSError as error:
            raise _refusal(error, f"The history cannot be written to {path}", "the checkpoint holds it too") from None

    def _json(self, path: Path, digest: object) -> dict[str, Any]:
        try:
            content = path.read_bytes()
            value = json.loads(content)
        except (OSError, ValueError, RecursionError):
            raise _damaged(path) from None
        if not isinstance(value, dict) or (path.name != _POINTER and sha256(content).hexdigest() != digest):
            raise _damaged(path)
        return value

    def _write(self, about: dict[str, Any]) -> None:
        name = f"step-{about['step']:08d}"
        while (self.folder / name).exists():  # a run that was started anew in the same folder
            name += "-again"
        own = temporary(self.folder / name)
        try:
            own.mkdir()
            files = {}
            for group, named in sorted(self._copy.items()):
                file = f"{group}.safetensors"
                files[file] = write_file(own / file, safetensors_chunks(named))
            manifest = json.dumps({"format": FORMAT, **about, "files": files}, indent=1, sort_keys=True).encode()
            digest = write_file(own / _MANIFEST, [manifest])
            flush_folder(own)
            own.rename(self.folder / name)
            flush_folder(self.folder)
            pointer = json.dumps({"folder": name, "sha256": digest}).encode()
            replace_file(self.folder / _POINTER, [pointer])
        except Exception as error:  # whatever it is: in a thread, nobody else would hear of it
            self._error = error
            for path in (own, self.folder / name):
                _remove(path)
            return
        for path in list(self.folder.iterdir()):  # the one before, and what killed processes left
            if path.name != name and _OURS.fullmatch(path.name):
                _remove(path)


def _remove(folder: Path) -> None:
    """Take away the files of a checkpoint, and the folder if there is nothing else in it."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_file() and (path.name == _MANIFEST or path.suffix == ".safetensors"):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # something of somebody else's is in it
        folder.rmdir()


def _copied(tensors: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU; the memory of the last save is used again, which is several times faster than new memory."""
    copies = {}
    for name, tensor in tensors.items():
        buffer = buffers.get(name)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype)
        copies[name] = buffer.copy_(tensor.detach())
    return copies


def _hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged or incomplete: remove it and start anew, or bring back a copy of the folder.")


def _refusal(error: OSError, what: str, remedy: str) -> OSError:
    return OSError(error.errno, f"{what} ({error.strerror or error}): {remedy}.")
