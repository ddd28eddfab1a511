"""What is checked and set up before the first step: data, devices, trackers, memory savers."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mmlab.train.settings import Settings
from mmlab.wording import nearest

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["check_data", "check_method", "check_trackers", "make_accelerator", "processes_started"]

_log = logging.getLogger("mmlab")
_PATIENCE = 10.0
"""Seconds after which a process says that it waits for others."""
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")


def check_data(dataset: Any, validation: Any, settings: Settings) -> None:
    """Refuse what is not a map-style dataset.

    Raises:
        ValueError: If a dataset has no length or index or no item, or if there is nothing to validate on.
    """
    for name, data in (("dataset", dataset), ("validation", validation)):
        if data is None and name == "validation":
            continue
        if isinstance(data, dict):
            raise ValueError(f"fit: {name} is a dict; wrap it: mmlab.data.tensors.TensorData({name}).")
        if hasattr(data, "iloc"):  # indexed by the names of its columns
            raise ValueError(
                f"fit: {name} is a {type(data).__name__} of pandas; make tensors of its columns: "
                f"mmlab.data.tensors.TensorData({{key: torch.tensor({name}[key].values) for key in {name}}})."
            )
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise ValueError(f"fit: {name} is a {type(data).__name__}; it must have len() and {name}[index].")
        if len(data) == 0:
            raise ValueError(f"fit: {name} is empty.")
    if validation is None and settings.validate_every is not None:
        raise ValueError("fit: validate_every is set, but there is no validation dataset.")


def check_method(method: torch.nn.Module) -> None:
    """Refuse to train what cannot learn.

    Raises:
        TypeError: If it is no method.
        ValueError: If gradients are switched off, or a parameter holds no data.
    """
    if isinstance(method, type):
        raise TypeError(f"fit: {method.__name__} is a class; give one made of it, such as {method.__name__}(...).")
    if not all(hasattr(method, name) for name in ("loss", "objectives", "start_from")):
        raise TypeError(
            f"fit: a {type(method).__name__} is no method; subclass mmlab.Method, whose loss(batch, rng) says what is "
            "minimised."
        )
    if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        raise ValueError(
            "fit: gradients are switched off, by torch.no_grad, torch.inference_mode or torch.set_grad_enabled: call "
            "fit outside of it."
        )
    if empty := next((name for name, value in method.named_parameters() if value.is_meta), ""):
        raise ValueError(
            f"fit: {empty} of {type(method).__name__} is on the device meta and holds no data: build the method "
            "outside of torch.device('meta')."
        )


def check_trackers(trackers: tuple[str, ...], folder: Any) -> None:
    """Refuse trackers that cannot work.

    Raises:
        ValueError: If there is no folder, or if Accelerate does not know a tracker or its package is not installed.
    """
    if not trackers:
        return
    from accelerate.tracking import get_available_trackers
    from accelerate.utils import LoggerType

    if folder is None:
        raise ValueError("fit: trackers need a folder to write to: set `out`.")
    known = [name for name in LoggerType if name != LoggerType.ALL]
    available = {str(name) for name in get_available_trackers()}
    for name in trackers:
        if name not in map(str, known):
            raise ValueError(f"fit: there is no tracker {name!r}: {nearest(name, map(str, known))}")
        if name not in available:
            raise ValueError(f"fit: tracker {name!r} needs a package that is not installed: pip install {name}.")


def processes_started() -> int:
    """The number of processes that a launcher says it has started, by the variables that Accelerate reads.

    Raises:
        ValueError: If a variable is no number, or several processes are announced and nothing says where the first one
            is: what a launcher leaves behind in a shell.
    """
    count = 1
    for name in (*_SIZES, *_RANKS):
        text = os.environ.get(name)
        if text is None:
            continue
        if not re.fullmatch(r"\s*-?[0-9]+\s*", text):
            raise ValueError(f"fit: the environment variable {name}={text!r} is no whole number: unset {name}.")
        if name in _SIZES and int(text) < 1:
            raise ValueError(f"fit: the environment variable {name}={text} is no number of processes: unset {name}.")
        if name in _SIZES and int(text) > 1 and not os.environ.get("MASTER_ADDR"):
            raise ValueError(
                f"fit: the environment variable {name}={text} announces {text} processes, but no launcher started this "
                f"one, since MASTER_ADDR is not set: unset {name} for one process, or start with torchrun."
            )
        if name == "LOCAL_RANK" and int(text) >= 0 and not os.environ.get("MASTER_ADDR"):
            raise ValueError(
                f"fit: the environment variable {name}={text} says that a launcher started this process, but none did, "
                f"since MASTER_ADDR is not set: unset {name}, or start with torchrun."
            )
        count = max(count, int(text)) if name in _SIZES else count
    return count


@contextmanager
def _told_of_waiting(processes: int) -> Iterator[None]:
    """Say whom a process waits for: with variables that a launcher left behind, nobody comes."""
    address = f"{os.environ.get('MASTER_ADDR', '')}:{os.environ.get('MASTER_PORT', '')}"
    told = (
        f"fit: this process waits at MASTER_ADDR:MASTER_PORT={address} for the others of {processes}, as WORLD_SIZE "
        "says: start them, or unset WORLD_SIZE, RANK and MASTER_ADDR for one process."
    )
    timer = threading.Timer(_PATIENCE, _log.warning, [told])
    timer.daemon = True
    if processes > 1:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _told_of_variables() -> Iterator[None]:
    """Name the variables of Accelerate where it does not start: somebody else's configuration may have left them."""
    try:
        yield
    except (ValueError, ImportError, RuntimeError) as error:
        if not (left := sorted(name for name in os.environ if name.startswith("ACCELERATE_"))):
            raise
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(
            f"fit: Accelerate does not start ({said}), and the environment has variables of it: unset {' '.join(left)}."
        ) from error


def make_accelerator(settings: Settings, trackers: tuple[str, ...], folder: Any) -> Accelerator:
    """Accelerate, as this run needs it.

    Raises:
        ValueError: If the device cannot do the precision, or if the processes of a launcher do not find each other.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedDataParallelKwargs

    processes = processes_started()
    # Without `cpu`, Accelerate takes each process of torchrun on a machine without a GPU for a run of its own.
    with _told_of_waiting(processes), _told_of_variables():
        state = PartialState(cpu=not torch.accelerator.is_available())
    if processes != state.num_processes:
        raise ValueError(f"fit: {processes} processes were started, but Accelerate sees {state.num_processes} of them.")
    if settings.precision == "fp16" and state.device.type == "cpu":
        raise ValueError("fit: precision fp16 needs a GPU; on a CPU use 'no' or 'bf16'.")
    AcceleratorState._reset_state()  # it remembers the precision of an earlier fit in the process, and refuses another
    with _told_of_variables():
        return Accelerator(
            cpu=state.device.type == "cpu",
            mixed_precision=settings.precision,
            log_with=list(trackers) or None,
            project_dir=folder,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
