"""Parts out of transformers: any causal language model and any vision tower, built from a configuration alone.

A part may be said in three ways: as a configuration object of transformers, as a dictionary of its settings (with
``model_type``, the name of the architecture), or as a model. All three are noted as plain settings, from which the part
is built again when the weights are loaded. Only architectures of the installed transformers are built: settings that
would import code from elsewhere are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmlab.wording import few, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Part", "clip_pixels", "has_plain_head", "language_model", "settings", "states_of", "vision_tower"]

Part = Any
"""How a part is said: a ``PreTrainedConfig``, a ``PreTrainedModel``, a dictionary, or None for the published one."""

_ATTENTIONS = (None, "eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
_RUNS_CODE = ("auto_map", "custom_pipelines", "quantization_config")


def settings(part: Any) -> Any:
    """A part as plain settings, which is all that building it again needs; anything else is given back as it is.

    Args:
        part: A configuration object or a model of transformers, or anything.

    Returns:
        A dictionary with every setting, defaults included, and ``model_type``; or ``part``.
    """
    from transformers import PreTrainedConfig, PreTrainedModel

    config = part.config if isinstance(part, PreTrainedModel) else part
    if not isinstance(config, PreTrainedConfig):
        return part
    values = json.loads(config.to_json_string(use_diff=False))
    kept = {name: value for name, value in values.items() if not name.startswith("_")}
    if isinstance(part, PreTrainedModel):
        kept["dtype"] = str(part.dtype).removeprefix("torch.")
    kept.pop("transformers_version", None)
    return kept


def language_model(part: Part, usual: Mapping[str, Any]) -> PreTrainedModel:
    """A causal language model of transformers.

    Args:
        part: Its configuration, settings or the model itself, which is taken as it is, with its weights.
        usual: Settings of the published one, for None; its ``model_type`` is also that of settings without one.

    Raises:
        TypeError: If the part is said in another way.
        ValueError: If transformers has no causal language model of this kind, or the settings make none.
    """
    from transformers import AutoModelForCausalLM, PreTrainedModel
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    config = _configuration(part, usual, "language_model")
    if config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.is_decoder:
        raise ValueError(
            f"language_model: {config.model_type!r} also looks at the words to come: set is_decoder=True in its "
            "configuration, or take a causal language model."
        )
    if isinstance(part, PreTrainedModel):
        if not part.can_generate():
            raise ValueError(
                f"language_model: {type(part).__name__} cannot write: use its class that ends in ForCausalLM."
            )
        return part
    return _built(AutoModelForCausalLM, config, "language_model")


def vision_tower(part: Part, usual: Mapping[str, Any]) -> PreTrainedModel:
    """A vision tower of transformers, frozen: a model from pictures (B, 3, H, W) to states (B, P, D).

    Args:
        part: Its configuration, settings or the model itself, which is taken as it is, with its weights, and frozen.
        usual: As for :func:`language_model`.

    Raises:
        TypeError: If the part is said in another way.
        ValueError: If transformers has no model of this kind, or the settings make none.
    """
    from transformers import AutoModel, PreTrainedModel

    config = _configuration(part, usual, "vision_tower")
    if hasattr(config, "vision_config"):
        raise ValueError(
            f"vision_tower: {config.model_type!r} also reads text: hand over its vision part alone, such as "
            "config.vision_config."
        )
    tower = part if isinstance(part, PreTrainedModel) else _built(AutoModel, config, "vision_tower")
    return tower.requires_grad_(False)


def states_of(tower: PreTrainedModel, layer: int) -> tuple[int, int]:
    """The number of states that a tower has of a picture, and their width, at a layer; nothing is computed.

    Args:
        tower: Made by :func:`vision_tower`.
        layer: Which of its hidden states: 0 is what enters the first layer, -1 what leaves the last.

    Returns:
        P, with class and register tokens where the tower has them, and D.

    Raises:
        ValueError: If it takes no square pictures, has no such layer, or its states are no sequence.
    """
    return _states(json.dumps(settings(tower), sort_keys=True), layer)


@lru_cache(64)
def _states(said: str, layer: int) -> tuple[int, int]:
    from transformers import AutoModel

    values = json.loads(said)
    kind, side = values["model_type"], values.get("image_size")
    if isinstance(side, list) and len(set(side)) == 1:
        side = side[0]
    if not isinstance(side, int):
        raise ValueError(f"vision_tower: {kind!r} has image_size={side}; one number, the side of a square, is needed.")
    values.pop("dtype", None)
    with torch.device("meta"):  # shapes, but no numbers
        trial = _built(AutoModel, _configuration(values, {}, "vision_tower"), "vision_tower").eval()
        try:
            states = trial(torch.empty(1, 3, side, side), output_hidden_states=True).hidden_states
            shapes = [tuple(state.shape) for state in states]
        except Exception as error:  # each architecture fails in its own way
            message = few([" ".join(str(error).split())])
            raise ValueError(f"vision_tower: {kind!r} gives no hidden states for pictures ({message}).") from None
    if not -len(shapes) <= layer < len(shapes):
        raise ValueError(f"vision_layer={layer}: the tower has {len(shapes)} hidden states, 0 to {len(shapes) - 1}.")
    if len(shapes[layer]) != 3:
        raise ValueError(f"vision_tower: {kind!r} has states {shapes[layer]}, which are no sequence (1, P, D).")
    return shapes[layer][1], shapes[layer][2]


def clip_pixels(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as CLIP's towers read them: each colour less its mean, over its deviation."""
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    shift, size = (pictures.new_tensor(values).view(3, 1, 1) for values in (mean, deviation))
    return ((pictures + 1) / 2 - shift) / size


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Whether a language model's logits are its head's output at its body's states, and nothing is done to either.

    Some models scale or cap them. The model is run once on two words, in evaluation mode, and put back.

    Args:
        model: A causal language model of transformers.
    """
    seen: list[tuple[Tensor, Tensor]] = []
    hook = model.get_output_embeddings().register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0], output))
    )
    training = model.training
    try:
        words = model.eval().get_input_embeddings().weight[:2][None]  # (1, 2, D)
        logits = model(inputs_embeds=words, use_cache=False).logits
        states = model.base_model(inputs_embeds=words, use_cache=False).last_hidden_state
    finally:
        hook.remove()
        model.train(training)
    return len(seen) == 1 and seen[0][1] is logits and torch.equal(seen[0][0], states)


def _configuration(part: Any, usual: Mapping[str, Any], argument: str) -> Any:
    """A configuration object, after checking that it names an architecture of transformers and no code."""
    from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig, PreTrainedModel

    values = settings(dict(usual) if part is None else part)
    if not isinstance(values, dict):
        raise TypeError(
            f"{argument} is a {type(part).__name__}; hand over a configuration or model of transformers, or a "
            "dictionary with model_type."
        )
    values = {"model_type": usual.get("model_type"), **values}
    kind = values.pop("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        near = nearest(str(kind), CONFIG_MAPPING, "see its documentation.")
        raise ValueError(f"{argument}: transformers has no model_type {kind!r}: {near}")
    if unsafe := [name for name in _RUNS_CODE if values.get(name)]:
        raise ValueError(f"{argument}: {unsafe[0]} would run or fetch code from elsewhere: leave it out.")
    for name in ("attn_implementation", "_attn_implementation"):
        if values.get(name) not in _ATTENTIONS:
            raise ValueError(f"{argument}: {name}={values[name]!r} is none of {', '.join(map(str, _ATTENTIONS[1:]))}.")
    if isinstance(part, PreTrainedConfig):
        return part
    if isinstance(part, PreTrainedModel):
        return part.config
    try:
        return AutoConfig.for_model(kind, **values)
    except Exception as error:  # each configuration checks in its own way
        message = few([" ".join(str(error).split())])
        raise ValueError(f"{argument}: the settings make no {kind!r} ({message}).") from None


def _built(auto: Any, config: Any, argument: str) -> Any:
    try:
        return auto.from_config(config)
    except Exception as error:
        message = few([" ".join(str(error).split())])
        raise ValueError(f"{argument}: {config.model_type!r} cannot be built for this place ({message}).") from None
