"""A method built from a saved configuration: first without memory, to see that it is what the weights are for.

What a file asks for is not trusted: values of another type than the constructor declares, or a network that is larger
than the weights beside it, are refused before memory is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mmlab.store.parts import decoded, without_data
from mmlab.store.weights import unfit, untied

__all__ = ["build", "check_types", "misfit"]

M = TypeVar("M")


def build(cls: type[M], config: Mapping[str, Any], arguments: Mapping[str, Any], place: str) -> M:
    """Call the constructor with saved arguments, and with those that replace them.

    Args:
        cls: The class.
        config: The saved configuration.
        arguments: Arguments that replace the saved ones; networks of the user's own among them.
        place: Where it was saved, for messages.

    Raises:
        ValueError: If the configuration is not one of this class.
    """
    call = decoded(config, arguments, place)
    check_types(cls, {name: value for name, value in config.items() if name not in arguments}, place)
    return _called(cls, call, place)


def misfit(
    cls: type, config: Mapping[str, Any], arguments: Mapping[str, Any], tensors: Mapping[str, Tensor], place: str
) -> str:
    """In what a method built from a configuration would differ from saved weights, found without taking memory.

    Args:
        cls: The class.
        config: The saved configuration.
        arguments: Arguments that replace the saved ones.
        tensors: What was saved, by name; shapes and types count, and they may be on the ``meta`` device.
        place: Where it was saved, for messages.

    Returns:
        The differences; empty if it fits, or if the constructor cannot run without data.

    Raises:
        ValueError: If the configuration is not one of this class.
    """
    call = {name: _copy(value) for name, value in decoded(config, arguments, place).items()}
    check_types(cls, {name: value for name, value in config.items() if name not in arguments}, place)
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), _limited(tensors):
            method = cls(**call)
    except _TooLargeError:
        return "it has many more parameters than the file"
    except Exception:  # some constructors compute with values: then it is built for real, and says what is wrong
        return ""
    return unfit(method.state_dict(), tensors, required=[name for name, _ in untied(method)])


def check_types(cls: type, config: Mapping[str, Any], place: str) -> None:
    """Refuse saved values of another type than the constructor declares.

    Raises:
        ValueError: If there is one; the message names the argument and the type.
    """
    try:
        hints = get_type_hints(cls.__init__)  # type: ignore[misc]
    except (NameError, TypeError):  # names that are there for type checkers alone
        return
    for name, value in config.items():
        if not _fits(value, hints.get(name, Any)):
            declared = inspect.formatannotation(hints[name]).replace("collections.abc.", "").replace("typing.", "")
            raise ValueError(f"{place}: {name} of {cls.__name__} is {value!r} in its configuration, not {declared}.")


def _called(cls: type[M], call: Mapping[str, Any], place: str) -> M:
    try:
        return cls(**call)
    except (TypeError, AttributeError, RuntimeError, KeyError, IndexError, OverflowError, ArithmeticError) as error:
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"{place}: no {cls.__name__} can be built from its configuration ({said}).") from None
    except MemoryError:
        raise ValueError(f"{place}: there is not enough memory for the {cls.__name__} that it describes.") from None


def _copy(value: Any) -> Any:
    try:
        return without_data(value)
    except Exception:  # a network that cannot be copied: its own weights stand for it
        return value


class _TooLargeError(Exception):
    """A constructor registers far more parameters than there are weights."""


@contextmanager
def _limited(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Stop a constructor that makes layer after layer without an end in sight."""
    allowed = 4 * len(tensors) + 1000
    made = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal made
        made += 1
        if made > allowed:
            raise _TooLargeError

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value out of JSON can be what an annotation says; annotations of other kinds take anything."""
    origin = get_origin(hint) or hint
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in get_args(hint))
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if origin is NoneType:
        return value is None
    if origin in (bool, str):
        return isinstance(value, origin)
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        of = get_args(hint)[1] if len(get_args(hint)) == 2 else Any
        return isinstance(value, dict) and all(_fits(item, of) for item in value.values())
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        kinds = [kind for kind in get_args(hint) if kind is not Ellipsis]
        return isinstance(value, list) and all(_fits(item, kinds[0] if kinds else Any) for item in value)
    if inspect.isclass(origin) and issubclass(origin, nn.Module):
        return isinstance(value, dict)
    return True
