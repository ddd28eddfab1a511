"""Layers of a network that others take the places of: how adapters get into a model that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from mmlab.wording import few

__all__ = ["linear_layers", "replace_layers"]


def linear_layers(network: nn.Module, ends: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear layers whose names end in one of some names, by name, in the order of the network.

    Args:
        network: Where to look.
        ends: Last parts of names, such as ``"to_q"`` or ``"to_out.0"``, as peft's ``target_modules`` has them.

    Raises:
        ValueError: If an end fits no linear layer: the adapter would silently miss what it was meant for.
    """
    found = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and any(name == end or name.endswith(f".{end}") for end in ends)
    }
    for end in ends:
        if not any(name == end or name.endswith(f".{end}") for name in found):
            linear = {".".join(n.split(".")[-1:]) for n, m in network.named_modules() if isinstance(m, nn.Linear)}
            raise ValueError(
                f"targets: no linear layer of {type(network).__name__} has a name that ends in {end!r}; "
                f"there are {few(sorted(linear))}."
            )
    return found


def replace_layers(
    network: nn.Module, ends: Sequence[str], make: Callable[[nn.Linear], nn.Module]
) -> dict[str, nn.Module]:
    """Put new modules in the places of linear layers; each gets the old layer, and may keep it inside.

    Args:
        network: Changed in place.
        ends: See :func:`linear_layers`.
        make: The new module for an old layer.

    Returns:
        The new modules by name.
    """
    made: dict[str, nn.Module] = {}
    for name, layer in linear_layers(network, ends).items():
        parent, _, last = name.rpartition(".")
        made[name] = make(layer)
        setattr(network.get_submodule(parent), last, made[name])
    return made
