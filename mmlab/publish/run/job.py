"""One run of one notebook: its folder, its worker process, its environment and its limits."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmlab.paths import folder_from_environment
from mmlab.publish.run import key
from mmlab.publish.run.processes import MARK, Usage, end_all, end_descendants
from mmlab.publish.run.receipt import Receipt

__all__ = ["START_TIMEOUT", "Job", "device", "without_secrets"]

# The kernel is this interpreter, whatever kernels the user has registered.
KERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]

START_TIMEOUT = 60.0
"""Seconds that a kernel may take to answer for the first time."""

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_OFFLINE = "from mmlab.publish.run.offline import block_network\nblock_network()\ndel block_network\n"


class Job:
    """What it takes to run a notebook once, laid out in a folder that goes away afterwards."""

    def __init__(
        self,
        folder: Path,
        notebook: Any,
        given: Mapping[str, Any],
        profile: str,
        limit: float,
        cell_limit: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.profile, self.limit = folder, profile, limit
        self._more = dict(environment or {})
        self.output = folder / "executed.ipynb"
        self.mark = uuid.uuid4().hex
        for name in ("work", "tmp", "ipython/profile_default/startup", "kernels/python3"):
            (folder / name).mkdir(parents=True)
        (folder / "input.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
        spec = {"argv": KERNEL, "display_name": "Python 3", "language": "python"}
        (folder / "kernels/python3/kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        if profile == "cpu":
            (folder / "ipython/profile_default/startup/00-offline.py").write_text(_OFFLINE, encoding="utf-8")
        job = {
            "notebook": str(folder / "input.ipynb"),
            "output": str(self.output),
            "parameters": dict(given),
            "cell_timeout": math.ceil(cell_limit),
            "start_timeout": math.ceil(START_TIMEOUT),
            "offline": profile == "cpu",
            "folder": str(folder / "work"),  # what a notebook writes goes when the run ends
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")

    def run(self, receipt: Receipt, stop: threading.Event) -> Receipt:
        """Start the worker, wait for it within the limit, and give the receipt of what came of it."""
        began = time.monotonic()
        log = self.folder / "worker.log"
        with log.open("wb") as stream:
            command = [sys.executable, "-m", "mmlab.publish.run.worker", str(self.folder / "job.json")]
            worker = subprocess.Popen(
                command, env=self._environment(), stdout=stream, stderr=stream, stdin=subprocess.DEVNULL
            )
            usage = Usage(worker.pid)
            try:
                while worker.poll() is None and time.monotonic() - began < self.limit and not stop.is_set():
                    usage.sample()
                    with suppress(subprocess.TimeoutExpired):
                        worker.wait(0.2)
                overdue = worker.poll() is None
            finally:
                if worker.poll() is None:
                    end_descendants(worker.pid)
                end_all(self.mark)
                worker.wait()
                usage.end()
        receipt = dataclasses.replace(
            receipt,
            seconds=round(time.monotonic() - began, 2),
            cpu_seconds=round(usage.cpu_seconds, 1),
            peak_memory_mb=round(usage.peak / 1e6, 1),
        )
        metrics, damage = self._metrics()
        receipt = dataclasses.replace(receipt, metrics=metrics)
        if stop.is_set():
            return dataclasses.replace(receipt, status="incomplete", error="the run was stopped from outside.")
        if overdue:
            message = f"it ran longer than its limit of {self.limit:g} s in all."
            return dataclasses.replace(receipt, status="total timeout", error=message)
        receipt = self._outcome(receipt, log)
        if receipt.status == "ok" and damage:
            return dataclasses.replace(receipt, status="incomplete", error=damage)
        return receipt

    def _outcome(self, receipt: Receipt, log: Path) -> Receipt:
        result = self.folder / "result.json"
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or half of one
            found = json.loads(result.read_text(encoding="utf-8"))
            return dataclasses.replace(receipt, status=found["status"], error=str(found["error"]))
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return dataclasses.replace(receipt, status="incomplete", error=f"the worker ended without a result:\n{tail}")

    def _metrics(self) -> tuple[dict[str, Any], str]:
        """What the notebook recorded, as far as it can be read, and what is wrong with the rest."""
        path = self.folder / "metrics.jsonl"
        found: dict[str, Any] = {}
        if path.is_file() and path.stat().st_size > _LARGEST_METRICS:
            return found, f"the recorded metrics have more than {_LARGEST_METRICS:,} bytes: record numbers, not data."
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                found |= dict(**json.loads(line))  # an object, and nothing else
            except (ValueError, TypeError, RecursionError):
                return found, f"line {number} of the recorded metrics cannot be read: {line[:80]!r}."
        return found, ""

    def _environment(self) -> dict[str, str]:
        own = {
            MARK: self.mark,
            "MMLAB_PROFILE": self.profile,
            "MMLAB_METRICS": str(self.folder / "metrics.jsonl"),
            "IPYTHONDIR": str(self.folder / "ipython"),  # no start-up files or history of the user
            "JUPYTER_PATH": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "JUPYTER_PREFER_ENV_PATH": "0",
            "PYTHONPATH": os.pathsep.join([str(key.PACKAGE.parent), *_paths()]),
            "PYTHONHASHSEED": "0",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        if self.profile == "cpu":
            own |= dict.fromkeys(_ONE_THREAD, "1") | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
        for name in ("MMLAB_DATA", "MMLAB_CACHE"):  # the kernel works in another folder
            if (folder := folder_from_environment(name)) is not None:
                own[name] = str(folder.resolve())
        return {**without_secrets(), **own, **self._more}


_LARGEST_METRICS = 2**24
_KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_(ALL|COLLATE|CTYPE|MESSAGES|MONETARY|NUMERIC|TIME)|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH|DYLD_(FALLBACK_)?LIBRARY_PATH|VIRTUAL_ENV|CONDA_PREFIX"
    r"|SYSTEMROOT|SYSTEMDRIVE|COMSPEC|PATHEXT|WINDIR|APPDATA|LOCALAPPDATA|USERPROFILE|PROGRAMDATA"
    r"|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|HOME|PATH|CACHE_\w+|LAUNCH_BLOCKING|MODULE_LOADING|MPS_\w+_DIRECTORY)"
    r"|NVIDIA_(VISIBLE_DEVICES|DRIVER_CAPABILITIES|TF32_OVERRIDE)|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|XDG_RUNTIME_DIR"
    r"|MPLCONFIGDIR|TORCH_HOME|HF_HOME|HF_HUB_CACHE|HF_DATASETS_CACHE"
    r"|(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE"
)
"""Variables of the environment that a kernel gets. A page can show them, so tokens and passwords are not among them."""

MORE = "MMLAB_KERNEL_ENV"
"""Names more of them, with commas between."""


def without_secrets() -> dict[str, str]:
    """The environment for programs of others: what they need to run, and no token, key or password."""
    more = {name.strip() for name in os.environ.get(MORE, "").split(",")}
    return {name: value for name, value in os.environ.items() if name in more or _KEPT.fullmatch(name.upper())}


def _paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def device(profile: str) -> str:
    """What the chapter runs on, in words for its receipt."""
    if profile == "gpu":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
            names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
            return ", ".join(names.split("\n")).strip(", ")
    name = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name}, one thread" if profile == "cpu" else name
