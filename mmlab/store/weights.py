"""Weights on disk: safetensors only, every name, shape and kind checked. Nothing executable is ever read.

The header holds a hash of the tensors, since the format itself has none: a single wrong bit is seen. Files of other
programs have no such hash, and are checked for all else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mmlab.store.folders import NotOursError
from mmlab.wording import few, repeated

__all__ = [
    "FILE",
    "described",
    "load_weights",
    "read_tensors",
    "refuse_other_weights",
    "safetensors_chunks",
    "savable_state",
    "save_weights",
    "saved_facts",
    "strict_json",
    "unfit",
    "untied",
    "write_tensors",
]

FILE = "model.safetensors"
"""Name of the weights in a folder, the one that the Hugging Face libraries use."""

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.uint16: "U16",
    torch.uint32: "U32",
    torch.uint64: "U64",
}
_TYPES = {text: dtype for dtype, text in _DTYPES.items()} | {"C64": torch.complex64}
_LARGEST_HEADER = 100_000_000  # bytes; the library's own limit
_MOST_TENSORS = 50_000


def save_weights(module: nn.Module, file: Path, facts: dict[str, Any]) -> None:
    """Write the state of a module. Tied tensors are written once, under their first name.

    Args:
        module: What to save; its state must be tensors that hold data.
        file: Where to; it is overwritten, so hand in a temporary name.
        facts: JSON-able facts that travel in the file's header, see :func:`saved_facts`.

    Raises:
        ValueError: If a tensor holds no data, because it is on the ``meta`` device.
    """
    write_tensors(file, dict(untied(module)), facts, type(module).__name__)


def write_tensors(
    file: Path,
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    whose: str = "It",
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors, with a hash of them in the header.

    Args:
        file: Where to; it is overwritten, so hand in a temporary name.
        tensors: By name; each must hold data.
        facts: JSON-able facts that travel in the header too, see :func:`saved_facts`.
        whose: What they belong to, for messages.
        texts: Further texts for the header, for other programs; the hash does not cover them.

    Raises:
        ValueError: If a tensor holds no data, because it is on the ``meta`` device.
    """
    if empty := [name for name, tensor in tensors.items() if tensor.is_meta]:
        raise ValueError(f"{whose} holds no data in {few(empty)}: build it on a real device first.")
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    with file.open("wb") as opened:
        header = {**(texts or {}), "mmlab": text, "mmlab_sha256": _digest(held, text)}
        opened.writelines(safetensors_chunks(held, header))


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a safetensors file, on the CPU, and the texts in its header.

    Raises:
        ValueError: If the file is damaged: not in the format, or not what its hash says, if it has one.
    """
    try:
        _header(file)
        with safe_open(file, "pt", device="cpu") as opened:
            header = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, RuntimeError, RecursionError) as error:
        raise _damaged(file, error) from None
    ours = "mmlab_sha256" in header or "mmlab" in header  # one without the other is damage, too
    if ours and header.get("mmlab_sha256") != _digest(tensors, header.get("mmlab", "")):
        raise _damaged(file, "it is not what was saved")
    return tensors, header


def refuse_other_weights(folder: Path, name: str, config: str | None = None) -> None:
    """Refuse to write over weights, or over their configuration, that another program wrote.

    Args:
        folder: Where they are to be saved; it need not be there.
        name: Name of the weights.
        config: Name of the configuration, which belongs to weights beside it.

    Raises:
        NotOursError: If one is there and mmlab did not write it.
    """
    file = folder / name
    if folder.exists() and not folder.is_dir():
        raise NotOursError(f"{folder} is a file: name a folder.")
    if not file.exists():
        if config is not None and (folder / config).exists():
            raise NotOursError(f"{folder / config} is there without {name}: move it away, or choose another folder.")
        return
    try:
        _header(file)
        with safe_open(file, "pt") as opened:
            ours = "mmlab" in (opened.metadata() or {})
    except (OSError, SafetensorError, ValueError, RuntimeError, RecursionError):
        ours = False
    if not ours:
        raise NotOursError(f"{file} is there and mmlab did not write it: move it away, or choose another folder.")


def described(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What a file says it holds, from its header alone: tensors without data, on ``meta``, and :func:`saved_facts`.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        header = _header(file)
        shapes = {
            name: torch.empty(tuple(entry["shape"]), dtype=_TYPES[entry["dtype"]], device="meta")
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise _damaged(file, error) from None
    return shapes, saved_facts(file)


def saved_facts(file: Path) -> dict[str, Any]:
    """The facts that :func:`save_weights` put into the header; empty if another program wrote the file.

    Args:
        file: A safetensors file.

    Raises:
        ValueError: If the file is damaged.
    """
    try:
        _header(file)
        with safe_open(file, "pt") as opened:
            facts = strict_json((opened.metadata() or {}).get("mmlab", "{}"))
    except (SafetensorError, ValueError, RecursionError) as error:
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
    state, _ = read_tensors(file)
    if faults := unfit(own, state, required=[name for name, _ in untied(module)] if strict else None):
        raise ValueError(f"{file} does not fit {type(module).__name__}: {faults}.")
    for name, held in [*module.named_parameters(), *module.named_buffers()]:
        if name in state:
            held.data = held.data.to(state[name].dtype)
    module.load_state_dict(state, strict=False)


def unfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], required: Iterable[str] | None) -> str:
    """In what named tensors differ from those that they are to replace; an empty text if they fit.

    Args:
        own: What is there: shapes and types count, and they may be on the ``meta`` device.
        state: What would take its place.
        required: Names that must not be missing; nothing unknown is allowed then. None: any part will do.
    """
    both = [name for name in own if name in state]
    faults = [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in both
        if state[name].shape != own[name].shape
    ]
    faults += [
        f"{name} is {state[name].dtype}, not {own[name].dtype}"
        for name in both
        if state[name].is_floating_point() != own[name].is_floating_point()
    ]
    if required is not None:
        missing = [name for name in required if name not in state]
        unknown = [name for name in state if name not in own]
        faults += [f"{kind} {few(names)}" for kind, names in (("it lacks", missing), ("unknown", unknown)) if names]
    return few(faults, "; ")


def safetensors_chunks(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """A safetensors file, piece by piece and without a copy of the tensors: header length, header, data.

    The library's own writer keeps other threads waiting while it writes, and puts the texts of the header in another
    order each time. Its reader reads the result.

    Args:
        tensors: Contiguous tensors on the CPU.
        metadata: Texts for the header.

    Raises:
        TypeError: If a tensor has a type that the format does not have.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # keeps all of them aligned
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in order:
        tensor = tensors[name]
        if tensor.dtype not in _DTYPES:
            raise TypeError(f"{name!r} has type {tensor.dtype}, which the file cannot hold.")
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little")
    yield text
    for name in order:
        if tensors[name].numel():
            yield tensors[name].reshape(-1).view(torch.uint8).numpy().data


def savable_state(module: nn.Module) -> dict[str, Tensor]:
    """The state that :func:`save_weights` writes: tied tensors once, under their first name.

    Raises:
        TypeError: If a part of the state is no tensor, or has a type that the file format does not have.
        ValueError: If a tensor holds no data, because it is on the ``meta`` device.
    """
    whose = type(module).__name__
    for name, value in module.state_dict().items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{whose} keeps {name!r} as a {type(value).__name__}; only tensors can be saved.")
        if value.dtype not in _DTYPES or value.layout != torch.strided:
            kind = value.dtype if value.layout == torch.strided else value.layout
            raise TypeError(f"{whose}: {name!r} has type {kind}, which the file cannot hold: keep it in another type.")
        if value.is_meta:
            raise ValueError(f"{whose} holds no data in {name}: build it on a real device first.")
    return dict(untied(module))


def untied(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The entries of the state dict, each storage once: tied weights are saved under their first name."""
    seen = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        # Without data there is no address: tied tensors are one object then.
        key = id(tensor) if tensor.is_meta else (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() == 0 or key not in seen:
            seen.add(key)
            yield name, tensor.detach().contiguous()


def strict_json(text: str | bytes) -> Any:
    """What JSON text says, which must not say anything twice. Of bytes, a byte order mark tells the encoding.

    Raises:
        ValueError: If it is no JSON, or an object has a key twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"it has {repeated(key for key, _ in pairs)[0]!r} twice")
        return found

    return json.loads(text, object_pairs_hook=once)


def _header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file; the library's reader would take the last of two tensors with one name."""
    with file.open("rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > min(_LARGEST_HEADER, file.stat().st_size):
            raise ValueError("its header is longer than the file")
        header = strict_json(opened.read(size))
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    if len(header) > _MOST_TENSORS:
        raise ValueError(f"its header names {len(header):,} tensors, and no model has so many")
    return header


def _digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """The sha256 over the facts, and over names, types, shapes and bytes in the order of names."""
    digest = sha256(facts.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _damaged(file: Path, error: object) -> ValueError:
    return ValueError(f"{file} is damaged ({error}): get it again from where it came from.")
