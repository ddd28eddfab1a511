"""The layout of the published TinyLLaVA checkpoints: what their keys and settings are called here.

A folder of theirs holds ``config.json`` and safetensors, one file or several with an index. The language model is
Phi-2, whose head has a bias; the tower is SigLIP, saved with one level of names more than today's classes have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, random

from mmlab.paths import expand
from mmlab.store.weights import FILE, read_tensors, strict_json, unfit
from mmlab.wording import few

__all__ = ["PHI_2", "SIGLIP_SO400M", "is_published", "load_published", "read_published"]

PHI_2: dict[str, Any] = {
    "model_type": "phi",
    "vocab_size": 51200,
    "hidden_size": 2560,
    "intermediate_size": 10240,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "partial_rotary_factor": 0.4,
    "resid_pdrop": 0.1,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "pad_token_id": 50256,
}
"""Arguments of ``PhiConfig`` that make Phi-2 (2,779,683,840 parameters); code and weights have the MIT licence."""

SIGLIP_SO400M: dict[str, Any] = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
"""Arguments of ``SiglipVisionConfig`` for the tower so400m-patch14-384 (428,225,600 parameters), Apache-2.0."""

_CONNECTORS = {"mlp2x_gelu": "mlp", "linear": "linear"}
_DROPS_FIRST_PATCH = {"patch": True, "cls_patch": False}
_NAMES = (  # theirs, as a pattern, and ours
    (r"^vision_tower\._vision_tower\.(?:vision_model\.)?", "vision_tower."),
    (r"^connector\._connector\.", "connector."),
)
_DERIVED = ("position_ids", "inv_freq")  # older files hold these; today they are computed


def is_published(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is in the published layout."""
    folder = expand(folder, "folder")
    return folder.is_dir() and _json(folder / "config.json", {}).get("model_type") == "tinyllava"


def read_published(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a published checkpoint.

    Args:
        folder: With ``config.json`` and ``*.safetensors``.

    Returns:
        The arguments of :class:`mmlab.methods.tinyllava.TinyLLaVA`, and the weights under its names, typed as saved.

    Raises:
        FileNotFoundError: If a file that the index names is not there.
        ValueError: If a file is damaged, or describes a model of another kind.
    """
    folder = expand(folder, "folder")
    index = _object(_json(folder / f"{FILE}.index.json", {}), "weight_map", folder)
    arguments = _arguments(_json(folder / "config.json"), folder)
    shards = sorted({str(name) for name in index.values()}) or [FILE]
    if absent := [name for name in shards if Path(name).name != name or not (folder / name).is_file()]:
        raise FileNotFoundError(f"{folder} lacks {few(absent)}: get the whole checkpoint, as safetensors.")
    state: dict[str, Tensor] = {}
    for name in shards:
        state |= {_ours(key): tensor for key, tensor in read_tensors(folder / name)[0].items()}
    return arguments, {key: tensor for key, tensor in state.items() if not key.endswith(_DERIVED)}


def load_published(build: Callable[..., Any], folder: str | Path, **arguments: Any) -> Any:
    """Build a method and give it the weights of a published checkpoint, without any memory for random ones before.

    Args:
        build: The class :class:`mmlab.methods.tinyllava.TinyLLaVA`.
        folder: See :func:`read_published`.
        **arguments: Replace those that the checkpoint gives.

    Raises:
        FileNotFoundError: As :func:`read_published`.
        ValueError: As there, or if tensors are missing, unknown or have other shapes.
    """
    from accelerate import init_empty_weights

    found, state = read_published(folder)
    try:
        with random.fork_rng([]), init_empty_weights(include_buffers=False):  # computed, unsaved buffers must be real
            method = build(**{**found, **arguments})
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}/config.json describes no model that can be built: {error}") from None
    if faults := unfit(method.state_dict(), state, required=list(method.state_dict())):
        raise ValueError(f"{folder} does not fit {type(method).__name__}: {faults}.")
    method.load_state_dict(state, assign=True)  # what is frozen stays so
    return method


def _arguments(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The arguments that a configuration of theirs stands for; what it does not say is as published."""

    def choice(name: str, usual: str, known: Mapping[str, Any]) -> Any:
        said = config.get(name, usual)
        if not isinstance(said, str) or said not in known:
            raise ValueError(f"{folder}/config.json says {name} {said!r}; known are {', '.join(known)}.")
        return known[said]

    def part(name: str, published: dict[str, Any]) -> dict[str, Any]:
        said = _object(config, name, folder)
        where = f"{folder}/config.json, {name}"
        if said.get("model_type", published["model_type"]) != published["model_type"]:
            raise ValueError(
                f"{where}: model_type is {said['model_type']!r}; {published['model_type']!r} is read here."
            )
        numbers = {key: value for key, value in published.items() if key != "model_type"}
        return {**published, **{key: _number(said, key, value, where) for key, value in numbers.items()}}

    vision, layer = part("vision_config", SIGLIP_SO400M), _number(config, "vision_feature_layer", -2, str(folder))
    if not -vision["num_hidden_layers"] - 1 <= layer <= vision["num_hidden_layers"]:
        raise ValueError(f"{folder}/config.json reads layer {layer} of a tower with {vision['num_hidden_layers']}.")
    return {
        "language_model": part("text_config", PHI_2),
        "vision_tower": vision,
        "connector": choice("connector_type", "mlp2x_gelu", _CONNECTORS),
        "drop_first_patch": choice("vision_feature_select_strategy", "patch", _DROPS_FIRST_PATCH),
        "vision_layer": layer,
    }


def _object(whole: dict[str, Any], name: str, folder: Path) -> dict[str, Any]:
    part = whole.get(name, {})
    if not isinstance(part, dict):
        raise ValueError(f"{folder} is damaged ({name} is no JSON object): get it again from where it came from.")
    return part


def _number(said: dict[str, Any], name: str, usual: float, where: str) -> float:
    """A whole number where the published one is whole."""
    value = said.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int if isinstance(usual, int) else (int, float)):
        raise ValueError(f"{where}: {name} is {value!r}, and must be a {'whole ' * isinstance(usual, int)}number.")
    return value


def _ours(key: str) -> str:
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return key


def _json(file: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if default is not None and not file.is_file():
        return default
    try:
        read = strict_json(file.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing: it says how the model is built.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error}): get it again from where it came from.") from None
    if not isinstance(read, dict):
        raise ValueError(f"{file} holds no JSON object: get it again from where it came from.")
    return read
