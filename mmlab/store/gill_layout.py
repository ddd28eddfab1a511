"""The layout of the published GILL checkpoint: what its keys and settings are called here.

A folder of theirs holds ``model_args.json``, ``pretrained_ckpt.pth.tar`` with what was learnt, and
``decision_model.pth.tar``; language model and vision tower come from elsewhere. The two ``.pth.tar`` are pickles,
which this package never opens: :data:`CONVERT` turns them into safetensors with the same keys, which are read and
written here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from mmlab.paths import expand
from mmlab.store.folders import replaced_files
from mmlab.store.weights import read_tensors, refuse_other_weights, strict_json, unfit, write_tensors
from mmlab.wording import few

__all__ = ["CLIP_L14", "CONVERT", "OPT_6_7B", "OPT_WORDS", "is_gill", "load_gill", "read_gill", "save_gill"]

OPT_6_7B: dict[str, Any] = {
    "model_type": "opt",
    "vocab_size": 50272,
    "hidden_size": 4096,
    "word_embed_proj_dim": 4096,
    "ffn_dim": 16384,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
"""Arguments of ``OPTConfig`` that make OPT-6.7B (6,658,473,984 parameters)."""

OPT_WORDS = 50266
"""Words of the published tokenizer: OPT's 50,265, and ``<|image|>``. [IMG0] has this id."""

CLIP_L14: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
}
"""Arguments of ``CLIPVisionConfig`` for the tower of CLIP ViT-L/14 (303,179,776 parameters)."""

CONVERT = """
import sys
import torch
from safetensors.torch import save_file

for path in sys.argv[1:]:
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    save_file({key: value.contiguous() for key, value in state.items()}, path.removesuffix(".pth.tar") + ".safetensors")
"""
"""Turns the files named on the command line into safetensors: ``python convert.py pretrained_ckpt.pth.tar ...``."""

_ARGS, _FILE, _DECISION = "model_args.json", "pretrained_ckpt.safetensors", "decision_model.safetensors"
_EMBEDDING = "input_embeddings.weight"
_NAMES = {  # ours, and theirs
    "prefix.": "visual_embeddings.",
    "find_image.": "visual_fc.",
    "find_text.": "ret_text_hidden_fcs.0.model.",
    "mapper.": "gen_text_hidden_fcs.0.",
    "image_embedding": _EMBEDDING,
    "log_scale": "logit_scale",
}
_FROZEN = ("language_model.", "vision_tower.")
_DECISION_NAMES = {"decision.1.": "1."}


def is_gill(folder: str | Path) -> bool:
    """Whether a folder is in the published layout."""
    return (expand(folder, "folder") / _ARGS).is_file()


def read_gill(folder: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what was learnt.

    Args:
        folder: With ``model_args.json``, ``pretrained_ckpt.safetensors`` and, if there is one,
            ``decision_model.safetensors``.

    Returns:
        Arguments of :class:`mmlab.methods.gill.GILL`, and the weights under its names, typed as saved. Of an embedding
        that was not pruned only the last rows are taken.

    Raises:
        FileNotFoundError: If settings or weights are not there; pickles are never read.
        ValueError: If a file is damaged, or describes a model of another kind.
    """
    folder = expand(folder, "folder")
    arguments = _arguments(folder / _ARGS)
    count = arguments["image_tokens"]
    if not (folder / _FILE).is_file():
        found = "pretrained_ckpt.pth.tar is a pickle" if (folder / "pretrained_ckpt.pth.tar").is_file() else "absent"
        raise FileNotFoundError(
            f"{folder} lacks {_FILE} ({found}): run mmlab.store.gill_layout.CONVERT on the .pth.tar files, where you "
            "would run a stranger's program."
        )
    state: dict[str, Tensor] = {}
    for key, tensor in read_tensors(folder / _FILE)[0].items():
        name = key.removeprefix("module.").removeprefix("model.")
        if not name.startswith(("lm.", "visual_model.")):
            state[_renamed(name, {theirs: ours for ours, theirs in _NAMES.items()})] = tensor
    if "image_embedding" in state:
        state["image_embedding"] = state["image_embedding"][-count:]
    if (folder / _DECISION).is_file():
        for key, tensor in read_tensors(folder / _DECISION)[0].items():
            state[_renamed(key, {theirs: ours for ours, theirs in _DECISION_NAMES.items()})] = tensor
    return arguments, state


def load_gill(build: Callable[..., Any], folder: str | Path, **arguments: Any) -> Any:
    """Build a method and give it the weights of a published checkpoint.

    Args:
        build: The class :class:`mmlab.methods.gill.GILL`.
        folder: See :func:`read_gill`.
        **arguments: ``language_model`` and ``vision_tower``, loaded by transformers, with their weights; and whatever
            replaces an argument that the checkpoint gives.

    Raises:
        FileNotFoundError: As :func:`read_gill`.
        ValueError: As there, if a part is missing, or if tensors are missing, unknown or have other shapes.
    """
    from transformers import PreTrainedModel

    found, state = read_gill(folder)
    for part in ("language_model", "vision_tower"):
        if not isinstance(arguments.get(part), PreTrainedModel):
            raise ValueError(f"{folder} holds no {part}: hand over the model, {part}=..., with its weights.")
    method = build(**{**found, **arguments})
    own = {name: value for name, value in method.state_dict().items() if not name.startswith(_FROZEN)}
    required = [name for name in own if not name.startswith("decision.")]
    if faults := unfit(own, state, [*required, *(name for name in own if name in state)]):
        raise ValueError(f"{folder} does not fit {type(method).__name__}: {faults}.")
    method.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()}, strict=False)
    return method


def save_gill(method: Any, folder: str | Path, language_model: str = "", vision_tower: str = "") -> None:
    """Write what was learnt in the published layout, as safetensors.

    Args:
        method: A :class:`mmlab.methods.gill.GILL` with the full mapper.
        folder: Where to; other files in it are left alone.
        language_model: Name of the language model, for whoever loads it.
        vision_tower: Name of the vision tower, likewise.

    Raises:
        ValueError: If the mapper is one that the layout does not have.
        NotOursError: If the folder holds weights that another program wrote.
        OSError: If it cannot be written.
    """
    folder = expand(folder, "folder")
    if method.mapper.kind != "full":
        raise ValueError(f"The published layout has no mapper of kind {method.mapper.kind!r}: use save_pretrained.")
    for name in (_FILE, _DECISION):
        refuse_other_weights(folder, name)
    state = {name: value for name, value in method.state_dict().items() if not name.startswith(_FROZEN)}
    decision = {name: value for name, value in state.items() if name.startswith("decision.")}
    learnt = {f"model.{_renamed(name, _NAMES)}": state[name] for name in state if name not in decision}
    ids = list(range(method.words, method.words + method.image_tokens))
    told = {
        "opt_version": language_model,
        "visual_encoder": vision_tower,
        "freeze_lm": True,
        "freeze_vm": True,
        "n_visual_tokens": method.prefix_tokens,
        "ret_emb_dim": method.find_text.out_features,
        "gen_emb_dim": method.mapper.model.out_features,
        "text_emb_layers": [-1],
        "text_fc_mode": "gill_mapper",
        "ret_text_fc_mode": "linear",
        "num_tokens": method.image_tokens,
        "num_gen_tokens": method.image_tokens,
        "num_ret_tokens": method.image_tokens,
        "num_clip_tokens": method.mapper.query_embs.shape[1],
        "share_ret_gen": True,
        "retrieval_token_idx": ids,
        "gen_token_idx": ids,
    }
    with replaced_files(folder, [_FILE, _DECISION, _ARGS]) as new:
        write_tensors(new / _FILE, learnt, {}, type(method).__name__)
        write_tensors(new / _DECISION, {_renamed(name, _DECISION_NAMES): decision[name] for name in decision}, {})
        (new / _ARGS).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _renamed(name: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _arguments(file: Path) -> dict[str, Any]:
    """The arguments that their settings stand for. The number of picture words has had two names."""
    try:
        said = strict_json(file.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing: it says how the model is built.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error}): get it again from where it came from.") from None
    if not isinstance(said, dict):
        raise ValueError(f"{file} holds no JSON object: get it again from where it came from.")

    def number(*names: str) -> int:
        found = {said[name] for name in names if isinstance(said.get(name), int) and not isinstance(said[name], bool)}
        if len(found) != 1 or min(found) < 1:
            raise ValueError(f"{file}: {few(names, ' or ')} must be one number from 1 up.")
        return found.pop()

    for name, right in (("text_fc_mode", "gill_mapper"), ("ret_text_fc_mode", "linear"), ("text_emb_layers", [-1])):
        if said.get(name, right) != right:
            raise ValueError(f"{file}: {name} is {said[name]!r}; only {right!r} is read here.")
    count, ids = number("num_tokens", "num_gen_tokens", "num_ret_tokens"), said.get("gen_token_idx")
    if not (isinstance(ids, list) and len(ids) == count and all(type(i) is int for i in ids)):
        raise ValueError(f"{file}: gen_token_idx must be the {count} ids of the picture words.")
    if ids != list(range(ids[0], ids[0] + count)) or said.get("retrieval_token_idx", ids) != ids:
        raise ValueError(f"{file}: gen_token_idx and retrieval_token_idx must be the same ids, one after the other.")
    return {
        "image_tokens": count,
        "prefix": number("n_visual_tokens"),
        "retrieval_width": number("ret_emb_dim"),
        "queries": number("num_clip_tokens"),
        "target_width": number("gen_emb_dim"),
        "vocabulary": ids[0],
    }
