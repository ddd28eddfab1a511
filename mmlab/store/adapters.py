"""LoRA adapters as files: those that plain peft writes are read, and those written here are read by plain peft.

A folder with ``adapter_config.json`` and ``adapter_model.safetensors``. An adapter that does not fit its base is
refused before the model is touched; peft would warn, and leave a model that answers as if it had no adapter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mmlab.paths import expand
from mmlab.store.folders import replaced_files
from mmlab.store.hub import hub_file
from mmlab.store.lora import (
    as_json,
    attach,
    base_marks,
    check_base,
    check_fit,
    check_named_parts,
    left_out,
    lora_config,
    quiet,
)
from mmlab.store.model_card import Provenance, card_text, code, has_own_readme
from mmlab.store.weights import read_tensors, refuse_other_weights, strict_json, write_tensors
from mmlab.wording import few

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["CONFIG", "WEIGHTS", "Adapter", "load_adapter", "read_adapter", "save_adapter", "write_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The names that peft gives to the two files."""

_FREE = {"base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping", "task_type"}
"""Fields that may be edited in a saved configuration, since they decide no number."""


@dataclass(frozen=True)
class Adapter:
    """An adapter as it is in its files.

    Attributes:
        config: The content of ``adapter_config.json``.
        tensors: By the names that peft gives, as in ``base_model.model.layers.0.q_proj.lora_A.weight``.
        base: What is known of the base's weights (see :func:`mmlab.store.lora.base_marks`); empty if nothing is.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    base: dict[str, list[float]] = field(default_factory=dict)


def save_adapter(
    model: nn.Module, folder: str | Path, *, name: str = "default", provenance: Provenance | None = None
) -> None:
    """Save a LoRA adapter for others: two files that ``peft.PeftModel.from_pretrained`` loads, and a model card.

    Args:
        model: A peft model with the adapter on it. It is not changed.
        folder: Where to; made if need be. A save that fails leaves the old files; a README of your own is kept.
        name: Name of the adapter in the model.
        provenance: Data, licence, results and limits, for the card.

    Raises:
        TypeError: If it is no peft model.
        ValueError: If it has no such adapter, if that is of another kind than LoRA, or if something is trained that is
            no part of it and would be lost, as a projection that was made trainable by hand.
        OSError: If the folder cannot be written.
    """
    from peft import PeftModel, get_peft_model_state_dict

    if not isinstance(model, PeftModel):
        raise TypeError(f"{type(model).__name__} is no peft model: build it with peft.get_peft_model.")
    if name not in model.peft_config:
        raise ValueError(f"There is no adapter {name!r}: there are {', '.join(model.peft_config)}.")
    config = model.peft_config[name]
    values = as_json(config)
    lora_config(values, "The adapter")
    check_named_parts(model, config, "The adapter")
    with quiet():
        tensors = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    if lost := left_out(model, tensors, name):
        raise ValueError(
            f"{few(lost)} would be lost: trained, but no part of the adapter. Name the module in modules_to_save of "
            "its LoraConfig, or freeze it."
        )
    write_adapter(folder, Adapter(values, tensors, base_marks(model)), provenance)


def load_adapter(
    model: nn.Module,
    folder: str | Path,
    *,
    name: str = "default",
    trainable: bool = False,
    revision: str | None = None,
) -> PeftModel:
    """Put a saved LoRA adapter on a model, after checking all of it.

    Args:
        model: The base, which becomes part of the result; or a peft model on it, which gets one adapter more.
        folder: With the two files, or a name on the Hugging Face Hub. Nothing but JSON and safetensors is read.
        name: That the adapter gets in the model.
        trainable: Whether the adapter is to be trained on.
        revision: Branch, tag or commit (Hub only).

    Returns:
        The peft model, in evaluation mode unless ``trainable``.

    Raises:
        FileNotFoundError: If a file is missing; other formats are never tried.
        ValueError: If the adapter is damaged, of another kind, or does not fit: a tensor is missing, unknown or of
            another shape, or the base has other weights. The sentence names field or tensor; the model is untouched.
    """
    from peft import PeftModel, set_peft_model_state_dict

    adapter = read_adapter(folder, revision)
    config = lora_config(adapter.config, f"{folder}/{CONFIG}")
    if isinstance(model, PeftModel) and name in model.peft_config:
        raise ValueError(f"The model has an adapter {name!r} already: choose another name.")
    if not isinstance(model, PeftModel) and getattr(model, "peft_config", None):
        raise ValueError(
            f"{type(model).__name__} has adapters inside already: hand in the peft model, or the bare base."
        )
    check_fit(model, config, adapter.tensors, f"{folder}/{WEIGHTS}")
    check_base(model, adapter.base, str(folder))

    start, config.init_lora_weights = config.init_lora_weights, True
    config.inference_mode = not trainable
    config.base_model_name_or_path = getattr(model, "name_or_path", None) or config.base_model_name_or_path
    with quiet(), torch.random.fork_rng(devices=[]):  # they start at random, before they get their values
        adapted = attach(model, config, name)
        result: Any = set_peft_model_state_dict(adapted, adapter.tensors, adapter_name=name)
    config.init_lora_weights = start
    if result.unexpected_keys:  # not after the check
        raise RuntimeError(f"peft did not take {few(result.unexpected_keys)} of {folder}.")
    adapted.set_adapter(name, inference_mode=not trainable)
    if not trainable:
        adapted.requires_grad_(False)  # biases that belong to it are left trainable by peft
    return adapted.train(trainable)


def write_adapter(folder: str | Path, adapter: Adapter, provenance: Provenance | None = None) -> None:
    """Write the files of an adapter, whole or not at all: for adapters that were not made with peft.

    Args:
        folder: Where to.
        adapter: Its configuration, with at least ``peft_type``, ``r``, ``lora_alpha`` and ``target_modules``, and its
            tensors under peft's names.
        provenance: Data, licence, results and limits, for the card.

    Raises:
        ValueError: If the configuration is not one that :func:`load_adapter` would read.
        NotOursError: If the folder holds an adapter that another program wrote.
        OSError: If the folder cannot be written.
    """
    folder = expand(folder, "folder")
    adapter = replace(adapter, config=json.loads(json.dumps(adapter.config)))  # as it will be read back
    lora_config(adapter.config, "The adapter")
    refuse_other_weights(folder, WEIGHTS, CONFIG)
    with replaced_files(folder, [WEIGHTS, CONFIG, "README.md"]) as new:
        facts = {"config": adapter.config, "base": adapter.base}
        write_tensors(new / WEIGHTS, adapter.tensors, facts, "The adapter")
        (new / CONFIG).write_text(json.dumps(adapter.config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if not has_own_readme(folder):
            (new / "README.md").write_text(_card(adapter, provenance or Provenance()), encoding="utf-8")


def read_adapter(folder: str | Path, revision: str | None = None) -> Adapter:
    """Read the files of an adapter, and check them as far as that goes without a model.

    Args:
        folder: With the two files, or a name on the Hugging Face Hub.
        revision: Branch, tag or commit (Hub only).

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or the two do not belong together.
    """
    config_file, weights = (_find(folder, name, revision) for name in (CONFIG, WEIGHTS))
    try:
        config = strict_json(config_file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{config_file} is damaged ({error}): get it again.") from None
    lora_config(config, str(config_file))
    tensors, header = read_tensors(weights)
    try:
        facts = json.loads(header.get("mmlab", "{}"))
        saved, base = facts.get("config", config), facts.get("base", {})
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{weights} is damaged ({error}): get it again.") from None
    fields = {*saved, *config} - _FREE  # null, false and nothing in it are what is not said
    if different := sorted(key for key in fields if (saved.get(key) or None) != (config.get(key) or None)):
        raise ValueError(
            f"{config_file} and {WEIGHTS} beside it were not saved together: {different[0]} is "
            f"{few([repr(config.get(different[0]))])} in one and {few([repr(saved.get(different[0]))])} in the other."
        )
    return Adapter(config, tensors, base)


def _find(folder: str | Path, name: str, revision: str | None) -> Path:
    folder = expand(folder, "folder")
    if folder.exists() or folder.is_absolute():
        file = folder / name
    else:
        file = hub_file(str(folder), name, revision=revision) or folder / name
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no {name}: mmlab reads adapters from {CONFIG} and {WEIGHTS} alone.")
    return file


def _card(adapter: Adapter, provenance: Provenance) -> str:
    base = adapter.config.get("base_model_name_or_path") or ""
    header: dict[str, Any] = {
        "library_name": "peft",
        **({"base_model": str(base)} if base else {}),
        "tags": ["mmlab", "lora"],
    }
    shown = {key: adapter.config.get(key) for key in ("r", "lora_alpha", "target_modules", "modules_to_save")}
    count = sum(tensor.numel() for tensor in adapter.tensors.values())
    load = (
        "```python\nfrom peft import PeftModel\n\nmodel = PeftModel.from_pretrained(base, folder)\n```\n\n"
        "or, with every tensor checked:\n\n"
        "```python\nfrom mmlab.store.adapters import load_adapter\n\nmodel = load_adapter(base, folder)\n```"
    )
    about = f"LoRA for {code(str(base)) if base else 'a base whose name was not recorded'}: {count:,} values."
    settings = f"```json\n{json.dumps(shown, indent=2)}\n```"
    return card_text("LoRA adapter", header, {"Adapter": about}, provenance, {"Loading": load, "Settings": settings})
