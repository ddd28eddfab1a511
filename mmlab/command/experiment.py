"""Any method on any dataset that fits it, both by name: what ``mmlab train``, ``evaluate`` and ``sample`` do."""

from __future__ import annotations

import importlib
import inspect
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmlab.command.arguments import parse
from mmlab.command.scoring import draw, evaluate
from mmlab.data.files.registry import sources
from mmlab.registry import list_methods, load
from mmlab.syntax import functions
from mmlab.wording import nearest

if TYPE_CHECKING:
    from mmlab.method import Method

__all__ = ["Data", "build", "check_options", "datasets", "draw", "evaluate", "learn", "load_data", "load_saved", "save"]

_DATA = Path(__file__).parents[1] / "data"
_SPLIT = "split.json"


@dataclass(frozen=True)
class Data:
    """A dataset, split.

    Attributes:
        name: Its name.
        settings: Arguments it was loaded with, as ``key=value``.
        test_share: Share of the items, or subjects, that are kept for the test.
        seed: Of the split.
        train: Items to learn from: ``len()``, and ``[i]`` gives a dict of tensors.
        test: Items to measure on, with no subject in common. They are never handed to :func:`mmlab.fit`.
        validation: Items to watch the training on, if the dataset brings such a part.
    """

    name: str
    settings: tuple[str, ...]
    test_share: float
    seed: int
    train: Any
    test: Any
    validation: Any = None


def datasets() -> list[str]:
    """Names of what can be trained on: modules of ``mmlab.data.sets`` and ``mmlab.data.worlds``."""
    return sorted(_homes())


def _homes() -> dict[str, str]:
    """The folders are the list: for each dataset the module whose function of the same name loads it."""
    found = {path.stem: path for folder in ("sets", "worlds") for path in (_DATA / folder).glob("*.py")}
    return {
        stem: f"mmlab.data.{path.parent.name}.{stem}"
        for stem, path in found.items()
        if (stem in sources() or stem.endswith("_world")) and stem in functions(path)
    }


def load_data(name: str, settings: Iterable[str] = (), test_share: float = 1 / 3, seed: int = 0) -> Data:
    """Load a dataset and split it.

    Args:
        name: One of :func:`datasets`.
        settings: Arguments of its function as ``key=value``.
        test_share: Share of the items, or subjects, that are kept for the test.
        seed: Of the split.

    Raises:
        ValueError: If there is no such dataset, a setting is wrong, or a side of the split would be empty.
        FileNotFoundError: If its files are not there; the message says how to get them.
    """
    if name not in datasets():
        raise ValueError(f"There is no dataset {name!r} to train on: {nearest(name, datasets())}")
    function = getattr(importlib.import_module(_homes()[name]), name)
    settings = tuple(settings)
    whole = function(**parse(function, settings))
    whole = getattr(whole, "pairs", whole)  # a synthetic world also holds its truth
    if hasattr(whole, "train") and hasattr(whole, "test"):  # it is split by its nature
        watched = getattr(whole, "validation", None)
        return Data(name, settings, test_share, seed, whole.train, whole.test, watched if watched else None)
    size = round(test_share * len(whole))
    if not 0 < size < len(whole):
        raise ValueError(f"A test share of {test_share:g} of {len(whole)} items leaves one side empty.")
    return Data(name, settings, test_share, seed, *_split(whole, size, seed))


def build(stem: str, data: Data, settings: Iterable[str] = (), seed: int = 0) -> Method:
    """Build a method for a dataset.

    Args:
        stem: The method.
        data: What it will be trained on; it fixes arguments such as the shape of a sample.
        settings: Constructor arguments as ``key=value``.
        seed: Of the initial weights.

    Raises:
        ValueError: If the method or an argument is unknown, or the dataset lacks an input of the method.
    """
    cls = load(stem)
    _check_inputs(stem, data)
    fixed = {**cls.arguments_for(data.train[0]), **_classes(cls, data)}
    return cls.seeded(seed, **{**fixed, **parse(cls, settings)})


def check_options(options: dict[str, Any], *, steps: int, batch_size: int, seed: int, out: Path) -> None:
    """Refuse what :func:`mmlab.fit` would, before any data are loaded.

    Args:
        options: Arguments of fit by name, ``trackers`` among them.
        steps: Optimiser steps.
        batch_size: Items per step.
        seed: Of the run.
        out: Folder of the run.

    Raises:
        ValueError: If an argument is impossible, or a tracker unknown or not installed.
    """
    from dataclasses import fields

    from mmlab.train.prepare import check_trackers
    from mmlab.train.settings import Settings

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
            train, validation = _split(train, max(1, len(train) // 10), data.seed)
        mmlab.fit(method, train, validation=validation, **options)


def _split(whole: Any, size: int, seed: int) -> tuple[Any, Any]:
    """All but ``size`` items or subjects, and those; drawn by the seed."""
    if hasattr(whole, "split"):
        return whole.split(size, seed)
    import torch

    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed)).tolist()
    take = getattr(whole, "subset", lambda part: torch.utils.data.Subset(whole, part))
    return take(sorted(order[size:])), take(sorted(order[:size]))


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

    for file in (FILE, _SPLIT):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder} holds no {file}: name the folder that `mmlab train` printed.")
    stem = saved_facts(folder / FILE).get("stem", "")
    if stem not in list_methods():
        raise ValueError(f"{folder / FILE} does not say which method of mmlab it belongs to.")
    try:
        split = json.loads((folder / _SPLIT).read_text(encoding="utf-8"))
        recorded, share, seed = split["data"], float(split["test_share"]), int(split["seed"])
        given = [str(setting) for setting in split["settings"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder / _SPLIT} is damaged ({error}): train again, or get it again.") from None
    if settings is not None or name not in (None, recorded):
        given = list(settings or ())
    data = load_data(name or recorded, given, share, seed)
    _check_inputs(stem, data)
    method = load(stem).from_pretrained(folder)
    for key, value in type(method).arguments_for(data.train[0]).items():
        if method.config[key] != value:
            raise ValueError(f"The method was trained with {key}={method.config[key]}, but {data.name} gives {value}.")
    return method, data


def _provenance(data: Data, rows: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What the model card says about data and results: fields of :class:`mmlab.store.model_card.Provenance`."""
    source = sources().get(data.name)
    title, licence = "A synthetic world", "Made by mmlab itself, without restrictions."
    if source is not None:
        title, licence = source.title, " ".join(filter(None, (source.licence, source.acknowledgement)))
    return {
        "data_licence": licence,
        "data": f"`{data.name}`: {title}. {len(data.train)} items for training, {len(data.test)} for the test.",
        "metrics": {f"{name} (test)": value for name, value in rows["method"].items() if math.isfinite(value)},
        "clinical": bool(source and source.clinical),
    }


def _classes(cls: type[Method], data: Data) -> dict[str, int]:
    """The number of classes of a dataset with labels, for a method that has to be told."""
    if "classes" not in inspect.signature(cls.__init__).parameters or "label" not in data.train[0]:
        return {}
    parts = [part for part in (data.train, data.test) if len(part)]
    return {"classes": 1 + max(int(part[i]["label"]) for part in parts for i in range(len(part)))}


def _check_inputs(stem: str, data: Data) -> None:
    item = data.train[0]
    needed = list_methods()[stem].inputs
    if {"shapes", "modality"} & set(inspect.signature(load(stem).__init__).parameters):
        needed = tuple(key for key in needed if key == "label")  # the modalities on the card are those of its chapter
    if missing := [key for key in needed if key not in item]:
        raise ValueError(
            f"{stem} needs {' and '.join(missing)}, but {data.name} gives {', '.join(sorted(item))}: they do not fit."
        )
