"""The layout of the published TinyLLaVA checkpoints: what their keys and settings are called here.

A folder of theirs holds ``config.json`` and safetensors, one file or several with an index. The language model is
Phi-2, whose head has a bias; the tower is SigLIP, saved with one level of names more than today's classes have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from mmlab.weights import FILE, few, read_tensors, unfit

__all__ = ["PHI_2", "SIGLIP_SO400M", "is_published", "load_published", "read_published"]

PHI_2: dict[str, Any] = {
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
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
"""Arguments of ``SiglipVisionConfig`` for the tower so400m-patch14-384 (428,225,600 parameters), Apache-2.0."""

_CONNECTORS = {"mlp2x_gelu": "mlp", "linear": "linear"}
_NAMES = (  # theirs, as a pattern, and ours
    (r"^vision_tower\._vision_tower\.(?:vision_model\.)?", "vision_tower."),
    (r"^connector\._connector\.", "connector."),
)
_DERIVED = ("position_ids", "inv_freq")  # older files hold these; today they are computed


def is_published(folder: str | Path) -> bool:
    """Whether a folder says of itself that it is in the published layout."""
    return Path(folder).is_dir() and _json(Path(folder) / "config.json", {}).get("model_type") == "tinyllava"


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
    folder = Path(folder)
    config = _json(folder / "config.json")
    kind = config.get("connector_type", "mlp2x_gelu")
    if kind not in _CONNECTORS:
        raise ValueError(f"{folder} has a connector of type {kind!r}; known are {', '.join(_CONNECTORS)}.")
    language, vision = (
        {name: config.get(part, {}).get(name, value) for name, value in published.items()}
        for part, published in (("text_config", PHI_2), ("vision_config", SIGLIP_SO400M))
    )
    arguments = {
        "language": language,
        "vision": vision,
        "connector": _CONNECTORS[kind],
        "drop_first_patch": config.get("vision_feature_select_strategy", "patch") == "patch",
        "vision_layer": config.get("vision_feature_layer", -2),
    }
    index = _json(folder / f"{FILE}.index.json", {}).get("weight_map", {})
    shards = sorted(set(index.values())) or [FILE]
    if absent := [name for name in shards if Path(name).name != name or not (folder / name).is_file()]:
        raise FileNotFoundError(f"{folder} lacks {few(absent)}: get the whole checkpoint, as safetensors.")
    state: dict[str, Tensor] = {}
    for name in shards:
        state |= {_ours(key): tensor for key, tensor in read_tensors(folder / name)[0].items()}
    return arguments, {key: tensor for key, tensor in state.items() if not key.endswith(_DERIVED)}


def load_published(build: Callable[..., Any], folder: str | Path, **arguments: Any) -> Any:
    """Build a method and give it the weights of a published checkpoint, without drawing any at random before.

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
    with init_empty_weights(include_buffers=False):  # what is computed and never saved must be real
        method = build(**{**found, **arguments})
    if faults := unfit(method.state_dict(), state, required=list(method.state_dict())):
        raise ValueError(f"{folder} does not fit {type(method).__name__}: {faults}.")
    frozen = {name for name, parameter in method.named_parameters() if not parameter.requires_grad}
    method.load_state_dict(state, assign=True)
    for name, parameter in method.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return method


def _ours(key: str) -> str:
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return key


def _json(file: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if default is not None and not file.is_file():
        return default
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing: it says how the model is built.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error}): get it again from where it came from.") from None
    if not isinstance(read, dict):
        raise ValueError(f"{file} holds no JSON object: get it again from where it came from.")
    return read
