"""LoRA on the U-Net of a diffusion pipeline, in the one file that diffusers' ``load_lora_weights`` reads.

That file holds the scale alpha in its header; without it diffusers takes alpha to be the rank, and images change
without a word. What does not fit is refused before the network is touched.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmlab.paths import expand
from mmlab.store.folders import replaced_files
from mmlab.store.lora import as_json, base_marks, check_base, check_fit, left_out, lora_config, quiet
from mmlab.store.model_card import Provenance, card_text, has_own_readme
from mmlab.store.weights import read_tensors, refuse_other_weights, write_tensors
from mmlab.wording import few

__all__ = ["WEIGHTS", "load_unet_adapter", "save_unet_adapter"]

WEIGHTS = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives to the file."""

_PREFIX = "unet."
_SETTINGS = "lora_adapter_metadata"  # where diffusers looks for them
_OLD = {".lora.down.": ".lora_A.", ".lora.up.": ".lora_B."}


def save_unet_adapter(
    unet: nn.Module, folder: str | Path, *, name: str = "default", provenance: Provenance | None = None
) -> None:
    """Save the LoRA adapter of a U-Net for others: ``pipeline.load_lora_weights(folder)`` reads it.

    Args:
        unet: A U-Net of diffusers, with an adapter from ``unet.add_adapter(config)``. It is not changed.
        folder: Where to; made if need be. A save that fails leaves the old files; a README of your own is kept.
        name: Name of the adapter in the U-Net.
        provenance: Data, licence, results and limits, for the card.

    Raises:
        ValueError: If there is no such adapter, it is of another kind than LoRA, or something else is trained, too.
        OSError: If the folder cannot be written.
    """
    from peft import get_peft_model_state_dict

    adapters = getattr(unet, "peft_config", None) or {}
    if name not in adapters:
        raise ValueError(
            f"There is no adapter {name!r} in {type(unet).__name__}: there are {', '.join(adapters) or 'none'}."
        )
    config = as_json(adapters[name])
    lora_config(config, "The adapter")
    with quiet():
        tensors = get_peft_model_state_dict(unet, adapter_name=name)
    if lost := left_out(unet, tensors, name):
        raise ValueError(f"{few(lost)} would be lost: trained, but no part of the adapter. Freeze it.")
    folder = expand(folder, "folder")
    refuse_other_weights(folder, WEIGHTS)
    with replaced_files(folder, [WEIGHTS, "README.md"]) as new:
        settings = json.dumps({f"{_PREFIX}{key}": value for key, value in config.items()}, sort_keys=True)
        facts = {"config": config, "base": base_marks(unet)}
        named = {f"{_PREFIX}{key}": tensor for key, tensor in tensors.items()}
        write_tensors(new / WEIGHTS, named, facts, "The adapter", {_SETTINGS: settings})
        if not has_own_readme(folder):
            (new / "README.md").write_text(_card(config, tensors, provenance or Provenance()), encoding="utf-8")


def load_unet_adapter(unet: nn.Module, folder: str | Path, *, name: str = "default", trainable: bool = False) -> None:
    """Put a saved LoRA adapter into a U-Net, after checking all of it.

    Args:
        unet: A U-Net of diffusers; it is changed in place.
        folder: With a file that :func:`save_unet_adapter` or diffusers wrote. If the header does not hold the scale
            alpha, it is the rank of each layer, as diffusers has it.
        name: That the adapter gets.
        trainable: Whether the adapter is to be trained on.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or does not fit, and the U-Net is untouched; the sentence names field or tensor.
    """
    from peft import set_peft_model_state_dict

    file = expand(folder, "folder") / WEIGHTS
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent} holds no {WEIGHTS}: mmlab reads no other file.")
    if name in (getattr(unet, "peft_config", None) or {}):
        raise ValueError(f"The U-Net has an adapter {name!r} already: choose another name.")
    tensors, header = read_tensors(file)
    tensors = _peft_names(tensors, file)
    values, marks = _settings(header, tensors, file)
    config = lora_config(values, str(file))
    check_fit(unet, config, {f"base_model.model.{key}": tensor for key, tensor in tensors.items()}, str(file))
    check_base(unet, marks, str(file))

    start, config.init_lora_weights = config.init_lora_weights, True
    config.inference_mode = not trainable
    with quiet(), torch.random.fork_rng(devices=[]):
        unet.add_adapter(config, adapter_name=name)  # type: ignore[operator]
        set_peft_model_state_dict(unet, tensors, adapter_name=name)
    config.init_lora_weights = start
    if not trainable:
        unet.requires_grad_(False)
        unet.eval()


def _peft_names(tensors: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The tensors under peft's names; diffusers has had other ones, and reads both."""
    named = {}
    for key, tensor in tensors.items():
        if not key.startswith(_PREFIX):
            raise ValueError(f"{file} holds {key}, which is no part of a U-Net: its names begin with {_PREFIX!r}.")
        key = key.removeprefix(_PREFIX)
        for old, new in _OLD.items():
            key = key.replace(old, new)
        named[key] = tensor
    return named


def _settings(header: dict[str, str], tensors: dict[str, Tensor], file: Path) -> tuple[dict[str, Any], Any]:
    """The configuration from the header, or from the shapes as diffusers does it; and what is known of the base."""
    try:
        text = json.loads(header.get(_SETTINGS, "null"))
        facts = json.loads(header.get("mmlab", "{}"))
        config = _guessed(tensors) if text is None else {k.removeprefix(_PREFIX): v for k, v in text.items()}
        saved, marks = facts.get("config", config), facts.get("base")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error}): get it again.") from None
    if saved != config:
        raise ValueError(f"{file} is damaged (its header says two things): get it again.")
    return config, marks


def _guessed(tensors: dict[str, Tensor]) -> dict[str, Any]:
    end = ".lora_B.weight"
    ranks = {
        key.removesuffix(end): tensor.shape[1]
        for key, tensor in tensors.items()
        if key.endswith(end) and tensor.ndim > 1
    }
    usual = Counter(ranks.values()).most_common(1)[0][0] if ranks else 1
    others = {name: rank for name, rank in ranks.items() if rank != usual}
    shared = {"r": usual, "lora_alpha": usual, "rank_pattern": others, "alpha_pattern": others}
    return {"peft_type": "LORA", "target_modules": sorted(ranks) or ["nothing"], **shared}


def _card(config: dict[str, Any], tensors: dict[str, Tensor], provenance: Provenance) -> str:
    count = sum(tensor.numel() for tensor in tensors.values())
    load = (
        "```python\npipeline.load_lora_weights(folder)  # of a pipeline of diffusers\n```\n\n"
        "or, with every tensor checked:\n\n"
        "```python\nfrom mmlab.store.unet_adapters import load_unet_adapter\n\n"
        "load_unet_adapter(pipeline.unet, folder)\n```"
    )
    shown = json.dumps({key: config[key] for key in ("r", "lora_alpha", "target_modules")}, indent=2)
    header = {"library_name": "diffusers", "tags": ["mmlab", "lora"]}
    about = {"Adapter": f"LoRA for the U-Net of a diffusion pipeline: {count:,} values."}
    return card_text("LoRA adapter", header, about, provenance, {"Loading": load, "Settings": f"```json\n{shown}\n```"})
