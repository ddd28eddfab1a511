"""Diffusion pipelines as folders: plain ``diffusers.DiffusionPipeline.from_pretrained`` loads what is written here.

The folder is written whole or not at all, as JSON and safetensors, with the hash of every file in ``mmlab.json``.
What is loaded is checked first: its classes are those of diffusers and transformers, no file in it can run code, and
every component has exactly the tensors that its class expects, where diffusers would warn and go on with random ones.
"""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlab.paths import expand
from mmlab.store.folders import NotOursError, recover, replaced_folder
from mmlab.store.model_card import Provenance, card_text, has_own_readme
from mmlab.store.weights import strict_json
from mmlab.wording import few

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

__all__ = ["load_pipeline", "save_pipeline"]

_INDEX, _MANIFEST, _CARD = "model_index.json", "mmlab.json", "README.md"
_CAN_RUN = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".py", ".pyc", ".so", ".dll"}


def save_pipeline(pipeline: DiffusionPipeline, folder: str | Path, *, provenance: Provenance | None = None) -> None:
    """Save a pipeline for others, with a model card.

    Args:
        pipeline: Pipeline of diffusers' own class, with components of diffusers and transformers. It is not changed.
        folder: Where to. A pipeline that is there is replaced as a whole, but for a README of your own.
        provenance: Data, licence, results and limits, for the card.

    Raises:
        TypeError: If it is no pipeline.
        ValueError: If plain diffusers could not load it: a class from elsewhere, or a component with adapters inside;
            or if the folder holds something else than a pipeline, which would be lost.
        NotOursError: If the folder holds a pipeline that another program wrote.
        OSError: If it cannot be written; what was there before is there still.
    """
    import diffusers

    if not isinstance(pipeline, diffusers.DiffusionPipeline):
        raise TypeError(f"{type(pipeline).__name__} is no pipeline of diffusers.")
    held: Any = pipeline  # diffusers has no types
    parts = {name: part for name, part in held.components.items() if part is not None}
    for name, part in {"the pipeline": held, **parts}.items():
        if hasattr(part, "save_pretrained") and type(part).__module__.split(".")[0] not in (
            "diffusers",
            "transformers",
        ):
            raise ValueError(
                f"{name} is a {type(part).__name__}, which plain diffusers does not know: nobody could load it."
            )
        if getattr(part, "peft_config", None):
            raise ValueError(
                f"{name} has adapters inside: save them with save_unet_adapter and take them out with "
                "unload_lora_weights(), or merge them with fuse_lora() first."
            )
    folder = expand(folder, "folder").absolute()
    _check_replaceable(folder)
    with replaced_folder(folder) as new:
        held.save_pretrained(new, safe_serialization=True)
        _forget_places(new)
        hashes = {name: _hash(new / name) for name in _files(new)}
        (new / _MANIFEST).write_text(json.dumps({"sha256": hashes}, indent=1) + "\n", encoding="utf-8")
        if has_own_readme(folder):
            shutil.copy2(folder / _CARD, new / _CARD)
        else:
            (new / _CARD).write_text(_card(pipeline, parts, provenance or Provenance()), encoding="utf-8")


def load_pipeline(folder: str | Path, *, dtype: torch.dtype | None = None) -> DiffusionPipeline:
    """Load a pipeline from a folder, after checking all of it.

    Args:
        folder: That :func:`save_pipeline` or diffusers wrote. For one on the Hugging Face Hub, hand in what
            ``huggingface_hub.snapshot_download(name, allow_patterns=["*.json", "*.txt", "*/*.safetensors"])`` returns.
        dtype: Type of the floating-point weights; None leaves the choice to diffusers.

    Returns:
        The pipeline, of the class that the folder names.

    Raises:
        FileNotFoundError: If there is no pipeline in the folder, or a part of it is missing.
        ValueError: If a file is damaged or could run code, a class is not one of diffusers or transformers, or a
            component lacks a tensor, has an unknown one or one of another shape. The sentence names it.
    """
    folder = expand(folder, "folder").absolute()
    recover(folder)
    index = _read_json(folder / _INDEX)
    _check_files(folder)
    whole, parts = _classes(folder, index)
    try:
        models = {name: _load_model(folder / name, kind, dtype) for name, kind in parts.items() if _is_model(kind)}
        return whole.from_pretrained(folder, local_files_only=True, use_safetensors=True, **models)
    except (ValueError, FileNotFoundError) as error:
        if str(error).startswith(str(folder)):
            raise
        raise ValueError(f"{folder} cannot be loaded: {_line(error)}") from None
    except Exception as error:
        raise ValueError(f"{folder} cannot be loaded: {type(error).__name__}: {_line(error)}") from None


def _load_model(folder: Path, kind: Any, dtype: torch.dtype | None) -> Any:
    """One network, whose class must find exactly its own tensors in the file."""
    import transformers

    if not list(folder.glob("*.safetensors")):
        raise FileNotFoundError(f"{folder} holds no safetensors file: mmlab reads no other format.")
    config = _read_json(folder / "config.json")
    if "auto_map" in config:
        raise ValueError(f"{folder / 'config.json'} names code of its own (auto_map), which is never run.")
    if not issubclass(kind, transformers.PreTrainedModel):
        _check_config(folder, kind, config)
    try:
        model, report = kind.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # each library has its own kinds
        raise ValueError(f"{folder} does not fit {kind.__name__}: {_line(error)}") from None
    kinds = {"missing_keys": "it lacks", "unexpected_keys": "unknown", "mismatched_keys": "another shape:"}
    faults = [f"{text} {few(map(str, sorted(report[key])))}" for key, text in kinds.items() if report[key]]
    faults += [_line(message) for message in report.get("error_msgs", [])]
    if faults:
        raise ValueError(f"{folder} does not fit {kind.__name__}: {few(faults, '; ')}.")
    return model if dtype is None else model.to(dtype)


def _check_config(folder: Path, kind: Any, config: dict[str, Any]) -> None:
    """Diffusers drops fields that it does not know, and does not mind the configuration of another class."""
    if (named := config.get("_class_name", kind.__name__)) != kind.__name__:
        raise ValueError(f"{folder / 'config.json'} is that of {named}, not of {kind.__name__}.")
    known = inspect.signature(kind.__init__).parameters
    if unknown := sorted(key for key in config if key not in known and not key.startswith("_")):
        raise ValueError(f"{folder / 'config.json'} has fields that {kind.__name__} does not know: {few(unknown)}.")


def _classes(folder: Path, index: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The class of the pipeline and those of its components, none of them from elsewhere."""
    import diffusers

    name = index.get("_class_name")
    whole = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (inspect.isclass(whole) and issubclass(whole, diffusers.DiffusionPipeline)):
        raise ValueError(f"{folder / _INDEX}: {name!r} is no pipeline of diffusers; code of its own is never run.")
    known = inspect.signature(whole.__init__).parameters
    if unknown := sorted(part for part in index if part not in known and not part.startswith("_")):
        raise ValueError(f"{folder / _INDEX} names {few(unknown)}, which {name} does not have.")
    parts = {}
    for part, entry in index.items():
        if part.startswith("_") or not isinstance(entry, list) or entry == [None, None]:
            continue
        if (kind := _component(entry)) is None:
            raise ValueError(f"{folder / _INDEX}: {part} is {entry}, which is no class of diffusers or transformers.")
        if not (folder / part).is_dir():
            raise FileNotFoundError(f"{folder} lacks the folder {part}.")
        parts[part] = kind
    return whole, parts


def _component(entry: list[Any]) -> Any:
    """The class that an entry of the index names, if it is one that diffusers or transformers loads from a folder."""
    import diffusers
    import transformers

    if len(entry) != 2 or not all(isinstance(text, str) for text in entry):
        return None
    inside = getattr(diffusers.pipelines, entry[0], None)  # a class that belongs to one pipeline, as a safety checker
    library = {"diffusers": diffusers, "transformers": transformers}.get(entry[0], inside)
    kind = getattr(library, entry[1], None) if inspect.ismodule(library) else None
    bases = (
        diffusers.SchedulerMixin,
        transformers.PreTrainedTokenizerBase,
        transformers.ImageProcessingMixin,
        transformers.FeatureExtractionMixin,
        transformers.ProcessorMixin,
    )
    return kind if inspect.isclass(kind) and (issubclass(kind, bases) or _is_model(kind)) else None


def _is_model(kind: Any) -> bool:
    import diffusers
    import transformers

    return issubclass(kind, diffusers.ModelMixin | transformers.PreTrainedModel)


def _check_files(folder: Path) -> None:
    """No file that can run code, and all as they were saved, where that is known."""
    held = list(_files(folder))
    for name in held:
        if Path(name).suffix.lower() in _CAN_RUN:
            raise ValueError(f"{folder / name} could run code: remove it. Only JSON, text and safetensors are read.")
    if not (folder / _MANIFEST).is_file():
        return  # another program wrote it
    hashes = _read_json(folder / _MANIFEST).get("sha256")
    if not isinstance(hashes, dict):
        raise ValueError(f"{folder / _MANIFEST} is damaged: it holds no hashes.")
    for name, expected in hashes.items():
        if name not in held:
            raise FileNotFoundError(f"{folder} lacks the file {name[:200]}.")
        if _hash(folder / name) != expected:
            raise ValueError(f"{folder / name} is damaged (it is not what was saved): get it again.")


def _forget_places(folder: Path) -> None:
    """Diffusers writes down the path from which a part was loaded, which is nobody's business."""
    for file in folder.rglob("*.json"):
        content = strict_json(file.read_bytes())
        if isinstance(content, dict) and Path(content.get("_name_or_path") or "").is_absolute():
            del content["_name_or_path"]
            file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _check_replaceable(folder: Path) -> None:
    """Refuse a folder that holds what a pipeline does not: it would be lost."""
    recover(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    index = _read_json(folder / _INDEX) if (folder / _INDEX).is_file() else {}
    if index and not (folder / _MANIFEST).is_file():
        raise NotOursError(f"{folder} is a pipeline that mmlab did not write: move it away, or choose another folder.")
    if other := sorted({path.name for path in folder.iterdir()} - {*index, _INDEX, _MANIFEST, _CARD}):
        raise ValueError(
            f"{folder} holds {few(other)}, which is no part of a pipeline and would be lost: choose another."
        )


def _files(folder: Path) -> Iterator[str]:
    """Names of all files in the folder, as they are on every system."""
    return (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file.parent} holds no {file.name}.")
    try:
        value = strict_json(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error}): get it again.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{file} is damaged (it holds no object): get it again.")
    return value


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        digest = sha256()
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _line(error: object) -> str:
    """An error's text on one line."""
    return " ".join(str(error).split())


def _card(pipeline: DiffusionPipeline, parts: dict[str, Any], provenance: Provenance) -> str:
    kind = type(pipeline).__name__
    sizes = {name: part.num_parameters() for name, part in parts.items() if hasattr(part, "num_parameters")}
    rows = "\n".join(
        f"- `{n}`: {type(p).__name__}{f', {sizes[n]:,} parameters' if n in sizes else ''}" for n, p in parts.items()
    )
    load = (
        "```python\nfrom diffusers import DiffusionPipeline\n\n"
        "pipeline = DiffusionPipeline.from_pretrained(folder)\n```\n\n"
        "or, with every file checked:\n\n"
        "```python\nfrom mmlab.store.pipelines import load_pipeline\n\npipeline = load_pipeline(folder)\n```"
    )
    header = {"library_name": "diffusers", "tags": ["mmlab", kind]}
    return card_text(kind, header, {"Components": rows}, provenance, {"Loading": load})
