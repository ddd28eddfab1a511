"""Arguments written as text, ``key=value``, checked against a function's signature before anything is called."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mmlab.wording import nearest

__all__ = ["check_complete", "parse"]


def parse(function: Callable[..., Any], settings: Iterable[str], taken: Iterable[str] = ()) -> dict[str, Any]:
    """Turn ``["width=64", "sigma=0.5"]`` into keyword arguments of the types that the function declares.

    Args:
        function: A function or a class with annotated arguments.
        settings: Texts ``key=value``. Lists are written as JSON or with commas, nothing as ``none``.
        taken: Arguments that are set elsewhere and must not be set here.

    Returns:
        The arguments by name.

    Raises:
        ValueError: If a text has no ``=``, a name is unknown (the nearest one is named) or set twice, or a value is not
            of the declared type.
    """
    target = function.__init__ if inspect.isclass(function) else function  # type: ignore[misc]
    known = [name for name in inspect.signature(target).parameters if name != "self" and name not in set(taken)]
    hints = get_type_hints(target)
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"{setting!r} is not a setting: write it as key=value.")
        if name not in known:
            raise ValueError(f"{function.__name__} has no argument {name!r}: {nearest(name, known)}")
        if name in found:
            raise ValueError(f"{name} is set twice.")
        found[name] = _convert(name, text, hints.get(name, Any))
    return found


def check_complete(function: Callable[..., Any], given: Iterable[str], how: str) -> None:
    """Refuse a call that lacks an argument without a default.

    Args:
        function: What will be called.
        given: Names of the arguments that are there.
        how: What to write to give one, before ``key=value``: the option of the command.

    Raises:
        ValueError: If an argument is lacking; the message says what it may be.
    """
    target = function.__init__ if inspect.isclass(function) else function  # type: ignore[misc]
    hints = get_type_hints(target)
    given = set(given)
    for name, parameter in inspect.signature(target).parameters.items():
        optional = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name == "self"
        if optional or parameter.default is not parameter.empty or name in given:
            continue
        hint = hints.get(name, Any)
        choices = f", one of {', '.join(map(str, get_args(hint)))}" if get_origin(hint) is Literal else ""
        raise ValueError(f"{function.__name__} needs {name}{choices}: write {how} {name}=VALUE.")


def _convert(name: str, text: str, hint: Any) -> Any:
    failures = []
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        try:
            return _as(text, kind)
        except _UnfitError as unfit:
            failures.append(str(unfit))
    raise ValueError(f"{name} must be {' or '.join(failures)}, not {text!r}.")


class _UnfitError(Exception):
    """What the text should have been."""


def _as(text: str, kind: Any) -> Any:
    """The text as a value of one type."""
    value = _value(text)
    origin = get_origin(kind) or kind
    if origin is Literal:
        choices = get_args(kind)
        if text in choices or value in choices:
            return text if text in choices else value
        raise _UnfitError(f"one of {', '.join(map(str, choices))}")
    if origin is str:
        return text
    if origin is NoneType:
        return _checked(value, value is None, "none")
    if origin is bool:
        return _checked(value, isinstance(value, bool), "true or false")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if origin is int:
        return _checked(value, whole, "a whole number")
    if origin is float:
        return float(_checked(value, whole or isinstance(value, float), "a number"))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _checked(value, isinstance(value, dict), 'an object like {"key": 1}')
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return _items(text, value, get_args(kind))
    return value


def _items(text: str, value: Any, kinds: tuple[Any, ...]) -> list[Any]:
    parts = (
        [json.dumps(part) for part in value] if isinstance(value, list) else [part for part in text.split(",") if part]
    )
    kind = kinds[0] if kinds else Any
    try:
        return [_as(part, kind) for part in parts]
    except _UnfitError as unfit:
        raise _UnfitError(f"a list, each item {unfit}") from None


def _value(text: str) -> Any:
    """What JSON makes of the text, with Python's spelling of constants allowed; the text itself if nothing."""
    constants = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in constants:
        return constants[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _checked(value: Any, fits: bool, what: str) -> Any:
    if not fits:
        raise _UnfitError(what)
    return value
