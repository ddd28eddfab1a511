"""Any method on any dataset that fits it, both by name: what ``mmlab train``, ``evaluate`` and ``sample`` do."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlab.command.arguments import check_complete, parse
from mmlab.command.datasets import FOLDER, Data, check_seed, datasets, load_data, split
from mmlab.command.scoring import draw, evaluate
from mmlab.data.files.registry import sources
from mmlab.data.files.text import read_json
from mmlab.paths import expand
from mmlab.registry import list_methods, load
from mmlab.store.model_card import plain

if TYPE_CHECKING:
    from mmlab.method import Method

__all__ = ["Data", "build", "check_options", "datasets", "draw", "evaluate", "learn", "load_data", "load_saved", "save"]

_SPLIT = "split.json"
_SPLIT_BEGINS = '{\n  "data": '


def build(stem: str, data: Data, settings: Iterable[str] = (), seed: int = 0) -> Method:
    """Build a method for a dataset.

    Args:
        stem: The method.
        data: What it will be trained on; it fixes arguments such as the shape of a sample.
        settings: Constructor arguments as ``key=value``.
        seed: Seed of the initial weights.

    Raises:
        ValueError: If the method or an argument is unknown, or the dataset lacks an input of the method.
    """
    cls = load(stem)
    _check_inputs(stem, data)
    fixed = {**cls.arguments_for(data.train[0]), **_classes(cls, data), **_asked(cls, data)}
    _check_modalities(stem, data, fixed)
    arguments = {**fixed, **parse(cls, settings)}
    check_complete(cls, arguments, "--set")
    return cls.seeded(seed, **arguments)


def _check_modalities(stem: str, data: Data, fixed: dict[str, Any]) -> None:
    """Refuse data of which a key, taken for a modality, holds marks or a single number."""
    shapes = fixed.get("shapes") or ({fixed["modality"]: fixed["shape"]} if "modality" in fixed else {})
    for name, shape in shapes.items():
        value = data.train[0][name]
        if not len(shape) or not value.is_floating_point():
            what = str(value.dtype).removeprefix("torch.") if len(shape) else "a single number"
            told = f"{stem} takes all that is no label for a modality, and {data.name} gives {name} as {what}"
            raise ValueError(f"{told}: give vectors of float32, or leave it out.")


def _asked(cls: type[Method], data: Data) -> dict[str, Any]:
    """Constructor arguments that the dataset asks for and the method has."""
    known = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in data.arguments.items() if name in known}


def check_options(options: dict[str, Any], *, steps: int, batch_size: int, seed: int, out: Path) -> None:
    """Refuse what :func:`mmlab.fit` would, before any data are loaded.

    Args:
        options: Arguments of fit by name, ``trackers`` among them.
        steps: Optimiser steps.
        batch_size: Items per step.
        seed: Seed of the run.
        out: Folder of the run.

    Raises:
        ValueError: If an argument is impossible, or a tracker unknown or not installed.
        NotOursError: If the folder holds a model, or its split, that mmlab did not write.
    """
    from dataclasses import fields

    from mmlab.store.folders import refuse_other_file
    from mmlab.store.weights import FILE, refuse_other_weights
    from mmlab.train.prepare import check_trackers
    from mmlab.train.settings import Settings

    refuse_other_weights(out / "model", FILE, "config.json")
    refuse_other_file(out / "model" / _SPLIT, _SPLIT_BEGINS)
    check_seed(seed)
    chosen = {field.name: options[field.name] for field in fields(Settings) if field.name in options}
    Settings(steps=steps, batch_size=batch_size, seed=seed, **chosen)
    check_trackers(tuple(options["trackers"]), out)


def learn(method: Method, data: Data, **options: Any) -> None:
    """Train a method on the training items, or solve it if it is solved.

    With ``validate_every``, a tenth of the training items is held out for it, by subject where there are subjects,
    unless the dataset brings a part for validation. The test items are not looked at.

    Args:
        method: Changed in place.
        data: What to learn from.
        **options: Arguments of :func:`mmlab.fit`; a method that is solved needs none.

    Raises:
        ValueError: If an argument is impossible, or the checkpoint in ``out`` belongs to another run.
    """
    import mmlab

    if method.is_solved():
        method.solve(data.train)
    else:
        train, validation = data.train, data.validation
        if validation is None and options.get("validate_every") is not None:
            train, validation = split(train, max(1, len(train) // 10), data.seed)
        mmlab.fit(method, train, validation=validation, **options)


def save(method: Method, data: Data, rows: dict[str, dict[str, float]], folder: Path) -> None:
    """Save a trained method with its model card, and with the split, so that nobody tests on training items later.

    Args:
        method: What to save.
        data: What it was trained and measured on.
        rows: Result of :func:`evaluate`.
        folder: Where to.
    """
    from mmlab.store.folders import write_whole

    method.save_pretrained(folder, model_card_kwargs=_provenance(data, rows))
    split = {"data": data.name, "settings": data.settings, "test_share": data.test_share, "seed": data.seed}
    write_whole(folder / _SPLIT, json.dumps(split, indent=2) + "\n")


def load_saved(folder: Path, name: str | None = None, settings: Iterable[str] | None = None) -> tuple[Method, Data]:
    """Load what :func:`save` wrote, with the data split as it was in training.

    Args:
        folder: The folder.
        name: Another dataset than the one of the training.
        settings: Other arguments of the dataset, as ``key=value``.

    Raises:
        FileNotFoundError: If there is no method in the folder, or nothing says how the data were split.
        ValueError: If it is not one of mmlab's methods, or the data do not fit it.
    """
    from mmlab.store.weights import FILE, saved_facts

    folder = expand(folder, "folder")
    for file in (FILE, _SPLIT):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} holds no {file}: name the folder that `mmlab train` printed.")
    stem = saved_facts(folder / FILE).get("stem", "")
    if stem not in list_methods():
        raise ValueError(f"{folder / FILE} does not say which method of mmlab it belongs to.")
    recorded, given, share, seed = _recorded(folder / _SPLIT)
    if settings is not None or name not in (None, recorded):
        given = list(settings or ())
    data = load_data(name or recorded, given, share, seed)
    _check_inputs(stem, data)
    method = load(stem).from_pretrained(folder)
    for key, value in type(method).arguments_for(data.train[0]).items():
        if method.config[key] != value:
            raise ValueError(f"The method was trained with {key}={method.config[key]}, but {data.name} gives {value}.")
    return method, data


def _recorded(file: Path) -> tuple[str, list[str], float, int]:
    """How the data were split in training: their name, settings, share for the test, and seed.

    Raises:
        ValueError: If the file does not say so.
    """
    remedy = "train again, or get it again."
    said = read_json(file, remedy)
    kinds: dict[str, type | tuple[type, ...]] = {"data": str, "settings": list, "test_share": (int, float), "seed": int}
    for key, kind in kinds.items():
        value = said.get(key) if isinstance(said, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{file} is damaged ({key} is {str(value)[:50]!r}): {remedy}")
    if odd := [setting for setting in said["settings"] if not isinstance(setting, str)]:
        raise ValueError(f"{file} is damaged (a setting is {str(odd[0])[:50]!r}): {remedy}")
    return said["data"], said["settings"], float(said["test_share"]), said["seed"]


def _provenance(data: Data, rows: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What the model card says about data and results: fields of :class:`mmlab.store.model_card.Provenance`."""
    source = sources().get(data.name)
    # What a folder says of itself is somebody's text, and no part of the card's structure.
    title = plain(data.title) or "A synthetic world"
    licence = plain(data.licence) or "Made by mmlab itself, without restrictions."
    if source is not None:
        title, licence = source.title, " ".join(filter(None, (source.licence, source.acknowledgement)))
    return {
        "data_licence": licence,
        "data": f"`{_public(data.name)}`: {title}. {len(data.train)} items for training, "
        f"{len(data.test)} for the test.",
        "metrics": {f"{name} (test)": value for name, value in rows["method"].items() if math.isfinite(value)},
        "clinical": bool(source and source.clinical),
    }


def _classes(cls: type[Method], data: Data) -> dict[str, int]:
    """The number of classes of a dataset with labels, for a method that has to be told."""
    if "classes" not in inspect.signature(cls.__init__).parameters or "label" not in data.train[0]:
        return {}
    if math.prod(shape := tuple(getattr(data.train[0]["label"], "shape", ()))) != 1:
        raise ValueError(
            f"{data.name} has {math.prod(shape)} labels in each item, of the shape {shape}: {cls.card.name} takes one "
            "label for an item, so give it a dataset of such items."
        )
    parts = [part for part in (data.train, data.test) if len(part)]
    return {"classes": 1 + max(int(part[i]["label"]) for part in parts for i in range(len(part)))}


def _public(name: str) -> str:
    """The name of a dataset without the path of a folder on this machine."""
    return name.partition(":")[0] if name.startswith(FOLDER) else name


def _check_inputs(stem: str, data: Data) -> None:
    item = data.train[0]
    needed, known = list_methods()[stem].inputs, inspect.signature(load(stem).__init__).parameters
    if {"shapes", "modality"} & set(known):
        needed = tuple(key for key in needed if key == "label")  # the modalities on the card are those of its chapter
    if "condition" in known and "label" not in item:  # such a method takes a class or a source
        needed = tuple("source" if key == "label" else key for key in needed)
    if missing := [key for key in needed if key not in item]:
        raise ValueError(
            f"{stem} needs {' and '.join(missing)}, but {data.name} gives {', '.join(sorted(item))}: they do not fit."
        )
    if "shape" in known and "target_shape" not in known and {"source", "target"} <= set(needed):
        source, target = (tuple(item[key].shape) for key in ("source", "target"))
        if source != target:
            from mmlab.nn.field import TWO_PARCELLATIONS, TWO_WIDTHS

            of_matrices = getattr(getattr(load(stem), "draws", None), "correlations", False)
            raise ValueError(
                f"{stem} moves within one space, but {data.name} has sources of shape {source} and targets of shape "
                f"{target}{TWO_PARCELLATIONS if of_matrices else TWO_WIDTHS}"
            )
