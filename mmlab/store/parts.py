"""Constructor arguments as a saved configuration holds them: plain values, networks of the user's own, configurations.

A network is noted by the path of its class, as text; its weights are saved with the rest, and it must be handed in
again. A configuration of transformers is noted whole, and built again from that alone: nothing foreign is run.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from torch import nn

from mmlab.wording import few

__all__ = ["configuration", "decoded", "encoded", "own_parts", "without_data"]

_OWN = "own part"
_TRANSFORMERS = "transformers"
_LEFT_OUT = ("_name_or_path", "auto_map", "transformers_version")  # where it came from, and code of others


def configuration(cls: type, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments, defaults included, as JSON gives them back: tuples are lists.

    Args:
        cls: Whose constructor.
        args: What it is called with.
        keywords: What it is called with, by name.

    Returns:
        Empty if the constructor would refuse the call, which it then does itself.

    Raises:
        TypeError: If JSON cannot hold an argument, and it is no network and no configuration of transformers.
    """
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        call = signature.bind(None, *args, **keywords)
    except TypeError:
        return {}
    call.apply_defaults()
    itself = next(iter(signature.parameters))
    found: dict[str, Any] = {}
    for name, value in call.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found |= {key: encoded(item, f"{cls.__name__}: argument {key!r}") for key, item in value.items()}
        elif name != itself:
            found[name] = encoded(value, f"{cls.__name__}: argument {name!r}")
    return found


def encoded(value: Any, title: str) -> Any:
    """One argument as JSON can hold it.

    Args:
        value: The argument.
        title: Which it is, for the message.

    Raises:
        TypeError: If JSON cannot hold it, and it is no network and no configuration of transformers.
    """
    if isinstance(value, nn.Module):
        return {_OWN: f"{type(value).__module__}.{type(value).__qualname__}"}
    if hasattr(value, "to_dict") and isinstance(getattr(value, "model_type", None), str):
        facts = {key: item for key, item in value.to_dict().items() if key not in _LEFT_OUT}
        text = json.dumps({**facts, "model_type": value.model_type}, default=repr)  # keys that are numbers become texts
        return {_TRANSFORMERS: json.loads(text)}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: encoded(item, title) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encoded(item, title) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return json.loads(json.dumps(value))  # a number of a class of its own becomes a plain one
    raise TypeError(
        f"{title} is a {type(value).__name__} that JSON cannot hold; pass numbers, strings, booleans, lists and dicts "
        "of them, a torch.nn.Module, or a configuration of transformers."
    )


def own_parts(value: Any) -> list[str]:
    """The classes of the networks of the user's own in an encoded argument."""
    if isinstance(value, dict):
        if set(value) == {_OWN}:
            return [str(value[_OWN])]
        return [path for item in value.values() for path in own_parts(item)]
    return [path for item in value for path in own_parts(item)] if isinstance(value, list) else []


def decoded(config: Mapping[str, Any], arguments: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The arguments of the constructor: those handed in, and the others from a saved configuration.

    Args:
        config: The saved configuration.
        arguments: Arguments that replace the saved ones.
        place: Where it was saved, for messages.

    Raises:
        ValueError: If a network of the user's own is not handed in, or transformers does not know a configuration.
    """
    for name, value in config.items():
        if (paths := own_parts(value)) and name not in arguments:
            of = few(sorted(set(paths)))
            wanted = f"{name}={{...}}" if _OWN not in value else f"{name}={paths[0].rpartition('.')[2]}(...)"
            raise ValueError(
                f"{place} was saved with {name} of your own ({of}), of which only the weights are in the file: build "
                f"it as it was and hand it in, from_pretrained(..., {wanted})."
            )
    saved = {name: _rebuilt(value, f"{place}: {name}") for name, value in config.items() if name not in arguments}
    return {**saved, **arguments}


def _rebuilt(value: Any, title: str) -> Any:
    if isinstance(value, dict) and set(value) == {_TRANSFORMERS}:
        return _transformers_config(value[_TRANSFORMERS], title)
    if isinstance(value, dict):
        return {key: _rebuilt(item, title) for key, item in value.items()}
    return [_rebuilt(item, title) for item in value] if isinstance(value, list) else value


def _transformers_config(facts: Any, title: str) -> Any:
    """A configuration of one of transformers' own classes, found by the name of the kind of model."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = facts.get("model_type") if isinstance(facts, dict) else None
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise ValueError(
            f"{title} is a configuration of the kind {kind!r}, which the installed transformers does not know: update "
            "transformers, or build the part and hand it in to from_pretrained."
        )
    try:
        return CONFIG_MAPPING[kind].from_dict(dict(facts))
    except Exception as error:  # whatever the class of another library makes of wrong values
        raise ValueError(f"{title} is no configuration of the kind {kind!r} ({_line(error)}).") from None


def without_data(value: Any) -> Any:
    """An argument with networks that hold no data, on the ``meta`` device; everything else as it is."""
    if isinstance(value, nn.Module):
        memo: dict[int, Any] = {}
        for tensor in _tensors(value):
            empty = tensor.detach().to("meta")
            memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
        return copy.deepcopy(value, memo)  # the memo stands in for every tensor: nothing is copied
    if isinstance(value, dict):
        return {key: without_data(item) for key, item in value.items()}
    return [without_data(item) for item in value] if isinstance(value, list) else value


def _tensors(module: nn.Module) -> Iterator[Any]:
    return chain(module.parameters(), module.buffers())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
