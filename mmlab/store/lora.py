"""What is checked of a LoRA adapter (Hu et al. 2021) before a model is touched: its settings, its tensors, its base.

peft warns, or says nothing, where an adapter does not fit: the model then answers as if there were none. Here the
adapter is first put on a copy of the model that holds no data, and what that copy would save must be what the file
holds: the same names, the same shapes.
"""

from __future__ import annotations

import copy
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmlab.store.expressions import check_matching
from mmlab.store.weights import unfit
from mmlab.wording import few, nearest

if TYPE_CHECKING:
    from peft import LoraConfig, PeftConfig, PeftModel

__all__ = [
    "as_json",
    "attach",
    "base_marks",
    "check_base",
    "check_fit",
    "check_named_parts",
    "left_out",
    "lora_config",
    "quiet",
]

_NO_CHANGE = (True, False, "gaussian", "orthogonal", "eva")
"""Ways to start an adapter that leave the base as it is; the others subtract from the base's own weights."""

_MARKS = 16
_ANOTHER = 0.25


def lora_config(values: Any, where: str) -> LoraConfig:
    """The configuration, as peft has it, from what a file says.

    Args:
        values: The content of ``adapter_config.json``.
        where: The file, for messages.

    Raises:
        ValueError: If it is of another kind than LoRA, has a field that the installed peft does not know, a value that
            is impossible, or one that would change the base or import a module.
    """
    from peft import LoraConfig

    if not isinstance(values, dict) or "peft_type" not in values:
        raise ValueError(f"{where} is no configuration of an adapter: it has no peft_type.")
    if values["peft_type"] != "LORA":
        raise ValueError(f"{where}: peft_type is {few([repr(values['peft_type'])])}; mmlab reads LORA adapters.")
    known = {field.name for field in fields(LoraConfig)} - {"runtime_config"}
    unknown = sorted(set(values) - known)
    if meant := [name for name in unknown if values[name] or name == "runtime_config"]:  # null or empty: says nothing
        import peft

        raise ValueError(
            f"{where} has fields that the installed peft {peft.__version__} does not know: {few(meant)}. Update peft, "
            "or remove them from the file if the adapter does without."
        )
    values = {name: value for name, value in values.items() if name in known}
    for field, (good, wanted) in _rules(values).items():
        if not good:
            raise ValueError(f"{where}: {field} is {few([repr(values.get(field))])}; it must be {wanted}.")
    try:
        with quiet():
            config = LoraConfig(**values)
    except (TypeError, ValueError, AttributeError, ImportError) as error:
        raise ValueError(f"{where} is not a possible configuration: {few([str(error)])}") from None
    return config


def _rules(values: Mapping[str, Any]) -> dict[str, tuple[bool, str]]:
    ranks, alphas = values.get("rank_pattern") or {}, values.get("alpha_pattern") or {}
    target, keep = values.get("target_modules"), values.get("modules_to_save")
    start = values.get("init_lora_weights", True)
    return {
        "r": (_whole(values.get("r", 8)), "a whole number, 1 or more"),
        "lora_alpha": (_positive(values.get("lora_alpha", 8)), "a positive number"),
        "rank_pattern": (_named(ranks) and all(map(_whole, ranks.values())), "an object of whole numbers"),
        "alpha_pattern": (_named(alphas) and all(map(_positive, alphas.values())), "an object of numbers"),
        "target_modules": (target is None or isinstance(target, str) or _names(target), "a text or a list of names"),
        "modules_to_save": (keep is None or _names(keep), "a list of names"),
        "init_lora_weights": (start in _NO_CHANGE, "one that leaves the base as it is: convert the adapter with peft"),
        "megatron_config": (values.get("megatron_config") is None, "null: it would import a module"),
        "layer_replication": (values.get("layer_replication") is None, "null: it would change the base"),
    }


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)


def _named(value: Any) -> bool:
    return isinstance(value, dict)


def as_json(config: PeftConfig) -> dict[str, Any]:
    """A configuration as peft writes it to a file: for use, not for training; sets as sorted lists."""
    values = {**config.to_dict(), "inference_mode": True}
    result: dict[str, Any] = json.loads(json.dumps(values, default=sorted))
    return result


def check_fit(model: nn.Module, config: LoraConfig, tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse an adapter whose tensors are not those that its configuration gives on this model.

    Args:
        model: The base, or a peft model that is to get another adapter. It is not changed.
        config: Config of the adapter.
        tensors: Tensors of the adapter, under the names that peft saves.
        where: The file, for messages.

    Raises:
        ValueError: If a name is missing or unknown, a shape differs, or nothing in the model is targeted.
    """
    from peft import get_peft_model_state_dict

    kind, name = type(model).__name__, "mmlab_trial"
    check_named_parts(model, config, where)
    check_matching(vars(config), [key for key, _ in model.named_modules()], where)
    trial = copy.deepcopy(config)
    trial.init_lora_weights = True
    try:
        with quiet():
            bare = attach(_without_data(model), trial, name, empty=True)
            own = get_peft_model_state_dict(bare, adapter_name=name, save_embedding_layers=False)
            more = {}  # the embeddings, which peft saves at times
            if hasattr(bare, "get_input_embeddings") and hasattr(bare, "get_output_embeddings"):
                more = get_peft_model_state_dict(bare, adapter_name=name, save_embedding_layers=True)
    except Exception as error:
        raise ValueError(f"{where} does not fit {kind}: {few([str(error)])}") from None
    if faults := unfit({**more, **own}, tensors, required=own):
        raise ValueError(f"{where} does not fit {kind} with r={config.r}: {faults}.")


def check_named_parts(model: nn.Module, config: Any, where: str) -> None:
    """Refuse ``modules_to_save`` that name no module of the model: peft says nothing, and trains and saves nothing.

    Args:
        model: The base, or a peft model on it.
        config: Config of the adapter.
        where: Who named them, for messages.

    Raises:
        ValueError: If there is no such module; the sentence gives the nearest name.
    """
    names = [name for name, _ in _base(model).named_modules() if name]
    ends = {".".join(parts[place:]) for parts in (n.split(".") for n in names) for place in range(len(parts))}
    for wanted in config.modules_to_save or ():
        if wanted not in ends:
            parts = [name for name, _ in _base(model).named_children()]
            raise ValueError(
                f"{where}: modules_to_save names {wanted!r}, but {type(_base(model)).__name__} has no such module, so "
                f"nothing of the kind would be trained or saved: {nearest(wanted, parts)}"
            )


def attach(model: nn.Module, config: LoraConfig, name: str, *, empty: bool = False) -> PeftModel:
    """Put an adapter on a model, as peft's own loader does.

    Args:
        model: The base, or a peft model that gets one more.
        config: Config of the adapter.
        name: Name of the adapter.
        empty: Whether its tensors are on the ``meta`` device.
    """
    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftModel

    if isinstance(model, PeftModel):
        model.add_adapter(name, config, low_cpu_mem_usage=empty)
        return model
    wrapper = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type or "", PeftModel)
    return wrapper(model, config, name, low_cpu_mem_usage=empty)


def left_out(model: nn.Module, tensors: Mapping[str, Tensor], name: str) -> list[str]:
    """Parameters that are trained but would not be saved: what was made trainable by hand.

    Args:
        model: With the adapter on it.
        tensors: What will be saved, sharing memory with the model.
        name: Name of the adapter; the parameters of other adapters are theirs.
    """
    saved = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    others = {f".{other}." for other in getattr(model, "peft_config", {}) if other != name}
    return [
        key
        for key, parameter in model.named_parameters()
        if parameter.requires_grad
        and parameter.untyped_storage().data_ptr() not in saved
        and not any(other in f"{key}." for other in others)
    ]


def base_marks(model: nn.Module) -> dict[str, list[float]]:
    """A few values of the first adapted layers' own weights, by which the base is known again.

    Args:
        model: A peft model, or a model into which adapters were put.

    Returns:
        By name in the base: 16 values, evenly spread, in units of their root mean square. Weights in another precision
        give nearly the same; quantised ones are left out.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    marks: dict[str, list[float]] = {}
    for name, module in _base(model).named_modules():
        if isinstance(module, BaseTunerLayer) and len(marks) < _MARKS:
            weight = getattr(module.get_base_layer(), "weight", None)
            if (mark := _mark(weight)) is not None:
                marks[name] = mark
    return marks


def check_base(model: nn.Module, marks: Any, where: str) -> None:
    """Refuse a base with other weights than those that the adapter was trained on.

    Args:
        model: The base, or a peft model on it.
        marks: What :func:`base_marks` said when the adapter was saved; nothing is checked without it.
        where: The file, for messages.

    Raises:
        ValueError: If the values differ by more than rounding and a little further training can explain.
    """
    modules = dict(_base(model).named_modules())
    differences = []
    for name, mark in (marks or {}).items():
        layer = modules.get(name)
        ours = _mark(getattr(getattr(layer, "base_layer", layer), "weight", None))
        if ours is not None and len(ours) == len(mark):
            differences += [(a - b) ** 2 for a, b in zip(ours, mark, strict=True)]
    if differences and math.sqrt(sum(differences) / len(differences)) > _ANOTHER:
        raise ValueError(
            f"{where} was trained on a base with other weights than this {type(_base(model)).__name__} has: "
            "load the base that its README names."
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence peft's warnings, where all that they warn of is checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _base(model: nn.Module) -> nn.Module:
    return model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]


@torch.no_grad()
def _mark(weight: Any) -> list[float] | None:
    if not isinstance(weight, Tensor) or weight.is_meta or not weight.is_floating_point() or weight.numel() < _MARKS:
        return None
    rows = torch.linspace(0, weight.numel() - 1, _MARKS, dtype=torch.float64).long()
    values = weight.reshape(-1)[rows.to(weight.device)].double().cpu()
    size = values.square().mean().sqrt()
    return [round(value, 6) for value in (values / size).tolist()] if size > 0 else None


def _without_data(model: nn.Module) -> nn.Module:
    """A copy whose plain parameters and buffers are on the ``meta`` device: what is done to it costs no memory."""
    memo: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        if type(tensor) is nn.Parameter:
            memo[id(tensor)] = nn.Parameter(torch.empty_like(tensor, device="meta"), requires_grad=False)
        else:  # quantised ones bring their own type, which tells peft what to do
            memo[id(tensor)] = torch.empty_like(tensor, device="meta") if type(tensor) is Tensor else tensor
    return copy.deepcopy(model, memo)
