"""Cached training: a call with the same class, arguments, data and code loads the saved method instead of training."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch

from mmlab.data.batches import read
from mmlab.method import Method
from mmlab.paths import expand, folder_from_environment
from mmlab.store.folders import replaced_files
from mmlab.store.weights import load_weights, safetensors_chunks, save_weights, saved_facts
from mmlab.train.code import code_of
from mmlab.train.fit import fit
from mmlab.train.prepare import processes_started

__all__ = ["trained_once"]

_KEPT = 256
_PACKAGE = Path(__file__).resolve().parents[1]
_SILENT = ("progress", "workers")  # arguments of fit that leave the numbers alone
_REFUSED = ("out", "resume", "save_every", "trackers", "validation", "validate_every")  # these want more than weights

M = TypeVar("M", bound=Method)


def trained_once(
    method: M,
    dataset: Any,
    *,
    folder: str | Path | None = None,
    report: Callable[[str], object] = print,
    **settings: Any,
) -> M:
    """Train a method with :func:`mmlab.fit`, or load what an identical call left behind; the weights are the same bits.

    Calls are identical if class, arguments, attributes, hooks and initial weights of the method are, which parameters
    are trained, every item of the dataset, the settings, the versions of Python, torch and what it runs on, the number
    of threads, and every source file that the classes of method and dataset reach. A reader's own code counts as it
    stands in the file and in memory, with the values that it names: an edit trains anew. What a method keeps outside
    its weights is not brought back.

    The result is kept as safetensors with a hash of its content. It is written under another name first, so that
    several processes may train the same thing at once; a damaged file is made again. The 256 latest are kept.

    Args:
        method: What to train; it is changed in place.
        dataset: As for fit. All of it is read, for its fingerprint.
        folder: Where results are kept; by default ``trained`` under ``$MMLAB_CACHE``, or else under the platform's
            cache folder. If it cannot be written, the method is trained and nothing is kept.
        report: Called with one line that says whether it was trained or loaded.
        **settings: Arguments of fit, but for those that are about more than the final weights.

    Returns:
        The method, in evaluation mode.

    Raises:
        ValueError: If an argument of fit is given that this cannot keep, or is impossible.
        TypeError: If fit has no such argument.
    """
    if refused := [name for name in _REFUSED if settings.get(name) not in (None, ())]:
        raise ValueError(f"trained_once keeps the final weights alone, so it takes no {refused[0]}: use mmlab.fit.")
    call = inspect.signature(fit).bind(method, dataset, **settings)
    call.apply_defaults()
    name = type(method).__name__
    if processes_started() > 1:  # all processes must train, or none
        fit(method, dataset, **settings)
        report(f"{name}: trained by several processes, and not kept.")
        return method
    key = _key(method, dataset, call.kwargs)
    place = _folder(folder) / f"{key}.safetensors"
    if (seconds := _load(method, place, key)) is not None:
        report(f"{name}: loaded; an identical call trained it in {seconds:.0f} s.")
        return method
    began = time.perf_counter()
    fit(method, dataset, **settings)
    seconds = time.perf_counter() - began
    fault = _keep(method, place, {"key": key, "seconds": seconds})
    report(f"{name}: trained in {seconds:.0f} s, and {f'not kept ({fault})' if fault else 'kept for the next time'}.")
    return method


def _load(method: Method, place: Path, key: str) -> float | None:
    """Put the kept weights in place. Returns how long they took to train, or None if there are none to be trusted."""
    try:
        facts = saved_facts(place)
        if facts.get("key") != key:
            return None
        seconds = float(facts["seconds"])
        load_weights(method, place)  # changes nothing if it refuses, and nothing may fail after it
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: make it again
    with contextlib.suppress(OSError):  # a cache that cannot be written is one that can be read
        os.utime(place)  # used just now
    method.progress = 1.0
    method.zero_grad(set_to_none=True)
    method.eval()
    return seconds


def _keep(method: Method, place: Path, facts: dict[str, Any]) -> str:
    """Write the weights whole or not at all. Returns what went wrong, or nothing."""
    try:
        with replaced_files(place.parent, [place.name]) as new:
            save_weights(method, new / place.name, facts)
        for old in sorted(_kept(place.parent), reverse=True)[_KEPT:]:
            old[1].unlink(missing_ok=True)
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _kept(folder: Path) -> Iterator[tuple[float, Path]]:
    for path in folder.glob("*.safetensors"):
        try:
            yield path.stat().st_mtime, path
        except FileNotFoundError:  # another process was quicker
            continue


def _folder(folder: str | Path | None) -> Path:
    if folder is not None:
        return expand(folder, "folder")
    if (cached := folder_from_environment("MMLAB_CACHE")) is not None:
        return cached / "trained"
    import pooch

    return Path(pooch.os_cache("mmlab")) / "trained"


def _key(method: Method, dataset: Any, settings: dict[str, Any]) -> str:
    """The sha256 over all that decides which weights come out."""
    hooks = _global_hooks()
    written = [trained_once, *method.modules(), dataset, *getattr(dataset, "__dict__", {}).values(), *settings.values()]
    written += hooks
    facts = {
        "class": f"{type(method).__module__}.{type(method).__qualname__}",
        "code": code_of(written, _PACKAGE, method.modules()),
        "config": getattr(method, "config", {}),
        "layers": repr(method),
        "training": [name for name, parameter in method.named_parameters() if parameter.requires_grad],
        "settings": {name: settings[name] for name in sorted(settings) if name not in _SILENT},
        "device": [str(method.device), torch.cuda.is_available(), platform.machine(), torch.get_num_threads()],
        "kernels": [torch.backends.cpu.get_cpu_capability(), str(torch.get_default_dtype()), *_precision(), len(hooks)],
        "versions": [platform.python_version(), *map(_version, ("torch", "accelerate", "numpy", "transformers"))],
    }
    digest = sha256(json.dumps(facts, sort_keys=True, default=repr).encode())
    for chunk in safetensors_chunks({k: v.detach().cpu().contiguous() for k, v in method.state_dict().items()}):
        digest.update(chunk)
    for batch in _batches(dataset):
        for chunk in safetensors_chunks(batch):
            digest.update(chunk)
    return digest.hexdigest()


def _batches(dataset: Any, size: int = 256) -> Iterator[dict[str, torch.Tensor]]:
    """The whole dataset in order; of one that is augmented, one drawing of each item, too."""
    for start in range(0, len(dataset), size):
        rows = torch.arange(start, min(start + size, len(dataset)))
        yield {key: value.cpu().contiguous() for key, value in read(dataset, rows).items()}
    if hasattr(dataset, "draw"):
        rng = torch.Generator().manual_seed(0)
        for index in range(len(dataset)):
            yield {key: torch.as_tensor(value).contiguous() for key, value in dataset.draw(index, rng).items()}


def _precision() -> list[Any]:
    """The switches of torch that change the bits of a result."""
    switches = [torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()]
    switches += [torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark]
    for kind in ("cpu", "cuda"):
        switches += [torch.is_autocast_enabled(kind), str(torch.get_autocast_dtype(kind))]
    smallest = torch.tensor([1e-40]).add(1e-40)  # zero where such numbers are flushed
    return [*switches, bool(smallest > 0)]


def _global_hooks() -> list[Any]:
    """Hooks on all modules of the process, which change what a loss computes."""
    from torch.nn.modules import module

    names = ("forward_pre", "forward", "backward_pre", "backward")
    return [hook for name in names for hook in getattr(module, f"_global_{name}_hooks", {}).values()]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
