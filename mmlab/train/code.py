"""The code that a run depends on: all modules that its classes reach; of those without a file, what they consist of."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from mmlab.reach import own_file, reach_from

__all__ = ["code_of"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_MANY = (list, tuple, set, frozenset, dict)
_SILENT = ("__doc__", "__module__", "__firstlineno__")  # attributes of a class that leave the numbers alone
_UNORDERED = ("_use_default_values",)  # diffusers notes these from a set, so each process has another order
_BOUND = ("_parameters", "_buffers", "_modules", "training", "progress")  # the weights, and what a run sets itself


def code_of(things: Iterable[Any], package: Path, holders: Iterable[torch.nn.Module] = ()) -> dict[str, str]:
    """The code behind some objects: that of a package and of the reader, not that of other installed packages.

    A reader's code counts as it stands in the file and as it stands in memory, with the values that it names: both can
    be changed.

    Args:
        things: Instances, classes or functions. Of an instance, its class and those above it count.
        package: Folder of the package.
        holders: Modules whose attributes and hooks count, too; what is in their weights does not.

    Returns:
        Name of each module that is reached, and of each file beside one that its source names, with a hash of its
        content; for what was made without a file, as in a notebook, a hash of what it consists of.
    """
    loose = _Loose(package)
    parts = [part for thing in things for kind in _kinds(thing) for part in loose.parts(kind)]
    parts += [part for module in holders for part in loose.held(module)]
    reached = reach_from(sorted(loose.modules), package)
    found = {name: _sha256(path.read_bytes()) for name, path in reached.modules.items()}
    found |= {f"{path.parent.name}/{path.name}": _sha256(path.read_bytes()) for path in reached.files}
    return found | {"made without a file": _sha256("\n".join(parts).encode())}


def _kinds(thing: Any) -> Iterable[Any]:
    while isinstance(thing, MethodType | partial):
        thing = thing.__func__ if isinstance(thing, MethodType) else thing.func
    if isinstance(thing, FunctionType):
        return [thing]
    return (thing if isinstance(thing, type) else type(thing)).__mro__


class _Loose:
    """Takes apart what was made without a file, and notes the modules of all that has one.

    Args:
        package: Folder of the package.

    Attributes:
        modules: Names of the modules.
    """

    def __init__(self, package: Path) -> None:
        self.modules: set[str] = set()
        self._package = package.name
        self._seen: dict[int, Any] = {}  # the objects too, lest another gets the number of one that is gone

    def parts(self, value: Any) -> Iterator[str]:
        """What an object consists of: byte code, constants, and all that the code names."""
        if isinstance(value, _PLAIN):
            yield repr(value)
        elif isinstance(value, ModuleType):
            self.modules.add(value.__name__)
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            yield from self._compound(value)

    def held(self, module: torch.nn.Module) -> Iterator[str]:
        """What a module has besides its weights: attributes, buffers that are not saved, hooks."""
        for name, value in sorted(vars(module).items()):
            if name not in _BOUND:
                yield name
                yield from self.parts(list(value.values()) if name.endswith("_hooks") and value else value)
        for name in sorted(module._non_persistent_buffers_set):
            yield from self.parts(module._buffers[name])
        for parameter in module._parameters.values():
            hooks = getattr(parameter, "_backward_hooks", None) or {}
            yield from self.parts(list(hooks.values()))

    def _mine(self, module: str) -> bool:
        """Whether a module is the reader's own, with a file or without."""
        if module.partition(".")[0] == self._package:
            return False
        return not self._has_file(module) or own_file(module) is not None

    def _compound(self, value: Any) -> Iterator[str]:
        inner: Iterable[Any] = ()
        if isinstance(value, type | FunctionType):
            if self._has_file(value.__module__):
                self.modules.add(value.__module__)
                if not self._mine(value.__module__):
                    return
            yield value.__qualname__
            inner = _attributes(value) if isinstance(value, type) else _named(value)
        elif isinstance(value, CodeType):
            yield f"{value.co_code.hex()} {value.co_names}"
            inner = value.co_consts
        elif isinstance(value, _MANY):
            yield type(value).__name__
            inner = [item for item in value.items() if item[0] not in _UNORDERED] if isinstance(value, dict) else value
            inner = sorted(inner, key=repr) if isinstance(value, set | frozenset) else inner
        elif isinstance(value, torch.Tensor | np.ndarray):
            yield from self._array(value)
        elif isinstance(value, partial):
            inner = [value.func, value.args, value.keywords]
        elif isinstance(value, MethodType):
            inner = [value.__func__, value.__self__]
        else:
            inner = [type(value), self._attributes_of(value)]
        for part in inner:
            yield from self.parts(part)

    def _attributes_of(self, value: Any) -> dict[str, Any]:
        """Those of an object of the package or the reader's own; modules are told of by :meth:`held`."""
        module = type(value).__module__
        own = module.partition(".")[0] == self._package or self._mine(module)
        known = (own and not isinstance(value, torch.nn.Module)) or dataclasses.is_dataclass(value)
        return getattr(value, "__dict__", {}) if known else {}

    def _array(self, value: torch.Tensor | np.ndarray[Any, Any]) -> Iterator[str]:
        """Type, shape and content, as far as it has one."""
        yield f"{value.dtype} {tuple(value.shape)}"
        if isinstance(value, np.ndarray):
            yield from self.parts(value.tolist() if value.dtype.hasobject else value.tobytes())
        elif value.layout is torch.strided and not value.is_meta:
            flat = value.detach().cpu().contiguous().reshape(-1)
            yield _sha256(flat.view(torch.uint8).numpy().tobytes())

    def _has_file(self, module: str) -> bool:
        """Whether code can be read from a file, or need not be, since it belongs to Python or an installed package."""
        loaded = getattr(sys.modules.get(module), "__file__", None) is not None or module in sys.builtin_module_names
        return loaded or module.partition(".")[0] == self._package or own_file(module) is not None


def _attributes(kind: type) -> list[Any]:
    """The bases of a class and its attributes, functions without what wraps them."""
    found: list[Any] = list(kind.__bases__)
    for name, value in vars(kind).items():
        inner = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
        if name not in _SILENT and isinstance(inner, (type, FunctionType, torch.Tensor, *_MANY, *_PLAIN)):
            found += [name, inner]
    return found


def _named(function: FunctionType) -> list[Any]:
    """The code of a function, its defaults, and what it names around it."""
    names = [name for name in _names(function.__code__) if name in function.__globals__]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    globals_ = [(name, function.__globals__[name]) for name in names]
    for module in [value for _, value in globals_ if isinstance(value, ModuleType) and own_file(value.__name__)]:
        globals_ += [(name, vars(module)[name]) for name in _names(function.__code__) if name in vars(module)]
    return [function.__code__, function.__defaults__, function.__kwdefaults__, *cells, *globals_]


def _names(code: CodeType) -> list[str]:
    """The names that a piece of code and the functions in it look up."""
    inner = [name for constant in code.co_consts if isinstance(constant, CodeType) for name in _names(constant)]
    return [*code.co_names, *inner]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
