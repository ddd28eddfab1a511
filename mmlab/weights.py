"""Weights on disk: safetensors only, every name, shape and kind checked. Nothing executable is ever read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

__all__ = ["FILE", "load_weights", "save_weights", "saved_facts"]

FILE = "model.safetensors"
"""Name of the weights in a folder, the one that the Hugging Face libraries use."""


def save_weights(module: nn.Module, file: Path, facts: dict[str, Any]) -> None:
    """Write the state of a module. Tied tensors are written once, under their first name.

    Args:
        module: What to save; its state must be tensors that hold data.
        file: Where to; it is overwritten, so hand in a temporary name.
        facts: JSON-able facts that travel in the file's header, see :func:`saved_facts`.

    Raises:
        ValueError: If a tensor holds no data, because it is on the ``meta`` device.
    """
    if empty := [name for name, tensor in module.state_dict().items() if tensor.is_meta]:
        raise ValueError(f"{type(module).__name__} holds no data in {_few(empty)}: build it on a real device first.")
    metadata = {"format": "pt", "mmlab": json.dumps(facts, sort_keys=True)}
    save_file(dict(_untied(module)), file, metadata=metadata)


def saved_facts(file: Path) -> dict[str, Any]:
    """The facts that :func:`save_weights` put into the header; empty if another program wrote the file.

    Args:
        file: A safetensors file.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        with safe_open(file, "pt") as opened:
            facts = json.loads((opened.metadata() or {}).get("mmlab", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise _damaged(file, error) from None
    return facts if isinstance(facts, dict) else {}


def load_weights(module: nn.Module, file: Path, *, strict: bool = True) -> None:
    """Load the state of a module in place, after checking all of it: a file that is refused changes nothing.

    Args:
        module: Takes the values and the floating-point type of the file.
        file: A safetensors file.
        strict: Whether missing and unknown names are refused. Wrong shapes always are.

    Raises:
        ValueError: If the file is damaged, or does not fit; the sentence names file and tensors.
    """
    own = module.state_dict()
    try:
        with safe_open(file, "pt", device="cpu") as opened:
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _damaged(file, error) from None
    faults = [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults += [
        f"{name} is {state[name].dtype}, not {own[name].dtype}"
        for name in own
        if name in state and state[name].is_floating_point() != own[name].is_floating_point()
    ]
    if strict:
        missing = [name for name, _ in _untied(module) if name not in state]
        unknown = [name for name in state if name not in own]
        faults += [f"{kind} {_few(names)}" for kind, names in (("it lacks", missing), ("unknown", unknown)) if names]
    if faults:
        raise ValueError(f"{file} does not fit {type(module).__name__}: {_few(faults, '; ')}.")
    for name, held in [*module.named_parameters(), *module.named_buffers()]:
        if name in state:
            held.data = held.data.to(state[name].dtype)
    module.load_state_dict(state, strict=False)


def _untied(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The entries of the state dict, each storage once: tied weights are saved under their first name."""
    seen = set()
    for name, tensor in module.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or key not in seen:
            seen.add(key)
            yield name, tensor.contiguous()


def _few(items: Iterable[str], separator: str = ", ") -> str:
    items = list(items)
    rest = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return separator.join(items[:3]) + rest


def _damaged(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file} is damaged ({error}): get it again from where it came from.")
