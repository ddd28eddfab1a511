"""Datasets by name, split: what ``mmlab train --data`` takes."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmlab.command.arguments import check_complete, parse
from mmlab.paths import expand
from mmlab.syntax import functions
from mmlab.wording import nearest

__all__ = ["FOLDER", "Data", "check_seed", "datasets", "load_data", "split", "worlds"]

FOLDER = "folder:"
"""What stands before the path of a folder of somebody's own; see :mod:`mmlab.data.files.own`."""

_HOME = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Data:
    """A dataset, split.

    Attributes:
        name: Its name.
        settings: Arguments it was loaded with, as ``key=value``.
        test_share: Share of the items, or subjects, that are kept for the test.
        seed: Seed of the split.
        train: Items to learn from: ``len()``, and ``[i]`` gives a dict of tensors.
        test: Items to measure on, with no subject in common. They are never handed to :func:`mmlab.fit`.
        validation: Items to watch the training on, if the dataset brings such a part.
        arguments: Constructor arguments of a method that the dataset asks for, such as the size of a vocabulary.
        title: What a folder of one's own calls itself; empty for the others.
        licence: What it says of its licence.
    """

    name: str
    settings: tuple[str, ...]
    test_share: float
    seed: int
    train: Any
    test: Any
    validation: Any = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    licence: str = ""


def datasets() -> list[str]:
    """Names of what can be trained on: modules of ``mmlab.data.sets`` and ``mmlab.data.worlds``."""
    return sorted(_homes())


def worlds() -> dict[str, str]:
    """The synthetic worlds by name, each with the first line of its module: they need no files."""
    found = {}
    for stem, home in _homes().items():
        if ".worlds." in home:
            path = _HOME / "worlds" / f"{stem}.py"
            found[stem] = path.read_text(encoding="utf-8").removeprefix('"""').partition("\n")[0].removesuffix('"""')
    return found


def _homes() -> dict[str, str]:
    """The folders are the list: for each dataset the module whose function of the same name loads it."""
    found = {path.stem: path for folder in ("sets", "worlds") for path in sorted((_HOME / folder).glob("*.py"))
             if path.stem.isidentifier()}  # fmt: skip
    return {stem: f"mmlab.data.{path.parent.name}.{stem}" for stem, path in found.items() if stem in functions(path)}


def load_data(name: str, settings: Iterable[str] = (), test_share: float = 1 / 3, seed: int = 0) -> Data:
    """Load a dataset and split it.

    Args:
        name: One of :func:`datasets`, or ``folder:`` and the path of a folder with ``data.toml``.
        settings: Arguments of its function as ``key=value``.
        test_share: Share of the items, or subjects, that are kept for the test.
        seed: Seed of the split.

    Raises:
        ValueError: If there is no such dataset, a setting is wrong, or a side of the split would be empty.
        FileNotFoundError: If its files are not there; the message says how to get them.
    """
    check_seed(seed)
    if not (math.isfinite(test_share) and 0 <= test_share <= 1):
        raise ValueError(f"test_share is {test_share:g}: give a share of the items, above 0 and below 1.")
    settings = tuple(settings)
    if name.startswith(FOLDER):
        return _own(name, settings, test_share, seed)
    if name not in datasets():
        words, known = set(name.split("_")), [*datasets(), FOLDER]
        whole = [other for other in known if words <= set(other.split("_"))]  # nearer than more letters in common
        raise ValueError(f"There is no dataset {name!r} to train on: {nearest(name, whole or known)}")
    function = getattr(importlib.import_module(_homes()[name]), name)
    chosen = parse(function, settings)
    check_complete(function, chosen, "--data-set")
    world = function(**chosen)
    whole = getattr(world, "pairs", world)  # a synthetic world also holds its truth
    asked = getattr(world, "arguments", None)
    arguments = dict(asked) if isinstance(asked, Mapping) else {}
    if _holds_talk(whole):
        whole, arguments = _talk(whole)
    if _holds_prompts(whole):
        whole, arguments = _prompted(whole)
    if _holds_reports(whole):
        whole, arguments = _reported(whole, test_share, seed)
    parts = _parts(whole, name, test_share, seed)
    return Data(name, settings, test_share, seed, *parts, arguments=arguments)


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        ValueError: If it is below 0 or has more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed is {str(seed)[:40]}: choose a whole number from 0 to 2**63 - 1.")


def _parts(whole: Any, name: str, test_share: float, seed: int) -> tuple[Any, Any, Any]:
    """Training, test and validation items; validation may be None."""
    if getattr(whole, "train", None) is not None and getattr(whole, "test", None) is not None:  # split by its nature
        watched = getattr(whole, "validation", None)
        parts = (whole.train, whole.test, watched if watched else None)
    else:
        size = round(test_share * len(whole))
        if not 0 < size < len(whole):
            raise ValueError(f"A test_share of {test_share:g} of {len(whole)} items leaves one side empty.")
        parts = (*split(whole, size, seed), None)
    if not len(parts[0]) or not len(parts[1]):
        raise ValueError(f"{name} gives {len(parts[0])} items for training and {len(parts[1])} for the test.")
    if not isinstance(parts[0][0], Mapping):
        raise ValueError(f"{name} holds items of the kind {type(parts[0][0]).__name__}, and `mmlab train` takes dicts.")
    return parts


def split(whole: Any, size: int, seed: int) -> tuple[Any, Any]:
    """All but ``size`` items or subjects, and those; drawn by the seed."""
    if hasattr(whole, "split"):
        return whole.split(size, seed)
    import torch

    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed)).tolist()
    take = getattr(whole, "subset", lambda part: torch.utils.data.Subset(whole, part))
    return take(sorted(order[size:])), take(sorted(order[:size]))


def _own(name: str, settings: tuple[str, ...], test_share: float, seed: int) -> Data:
    from mmlab.data.files.own import own_folder

    if settings:
        raise ValueError(f"A folder has no settings: write {settings[0].partition('=')[0]} into its data.toml.")
    place = expand(name.removeprefix(FOLDER), "--data folder:").absolute()
    held = own_folder(place)
    whole: Any = held if held.test is not None else held.train
    train, test, watched = _parts(whole, name, test_share, seed)
    watched = held.validation if held.validation is not None else watched
    return Data(f"{FOLDER}{place}", (), test_share, seed, train, test, watched, title=held.title, licence=held.licence)


def _holds_talk(whole: Any) -> bool:
    from mmlab.data.sets.memecap import MemeSplits
    from mmlab.data.worlds.mini_memes import MiniMemes
    from mmlab.data.worlds.scene_world import SceneWorld

    return isinstance(whole, MemeSplits | MiniMemes | SceneWorld)


def _holds_prompts(whole: Any) -> bool:
    from mmlab.data.worlds.colonoscopy_world import ColonoscopyWorld

    return isinstance(whole, ColonoscopyWorld)


def _prompted(whole: Any) -> tuple[Any, dict[str, Any]]:
    """Pictures with their prompts as ids, and the networks of the small model that the book draws them with.

    For methods that write words there are ``tokens`` of mean colours: the book's own tokenizer has to be trained. For
    those that see a picture as well there are the masks of the polyps, as ``hint`` in [0, 1] and ``source`` in [-1, 1].
    """
    from mmlab.bases.colonoscopy import LENGTH, UNET, VAE, text_settings, tokenizer
    from mmlab.data.prompts import encode_prompts
    from mmlab.data.tensors import TensorData

    words = tokenizer()
    ids = encode_prompts([prompt.text for prompt in whole.prompts], words)
    tokens = _colour_words(whole.pictures)
    hint = whole.masks[:, None].float().expand_as(whole.pictures).contiguous()
    items = TensorData(
        {"input_ids": ids, "image": whole.pictures, "tokens": tokens, "hint": hint, "source": hint * 2 - 1}
    )
    widths = (8, 16, 24, 32)[: len(VAE["block_out_channels"])]
    drawing = {"unet": UNET, "vae": VAE, "text_encoder": text_settings(), "widths": widths}
    writing = {"vocabulary": len(words), "length": LENGTH, "end": words.eos_token_id}
    return items, drawing | writing | {"codes": 256, "grid": tuple(tokens.shape[1:])}


def _colour_words(pictures: Any) -> Any:
    """Pictures (N, 3, S, S) in [-1, 1] as (N, 8, 8) words: mean colours, of 8 levels of red and green and 4 of blue."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    levels = torch.tensor([8, 8, 4]).view(3, 1, 1)
    colours = adaptive_avg_pool2d(pictures, 8) / 2 + 0.5  # (N, 3, 8, 8)
    red, green, blue = (colours * levels).long().clamp(min=0).minimum(levels - 1).unbind(1)
    return (red * 8 + green) * 4 + blue


def _holds_reports(whole: Any) -> bool:
    from mmlab.data.worlds.described_connectomes import DescribedConnectomes

    return isinstance(whole, DescribedConnectomes)


def _reported(whole: Any, test_share: float, seed: int) -> tuple[Any, dict[str, Any]]:
    """Matrices as pictures with their descriptions, split by person, and the small networks that read and draw them."""
    from types import SimpleNamespace

    from mmlab.bases.colonoscopy import SIZE, UNET, VAE, text_settings
    from mmlab.bases.support_system import PICTURE_WORDS, support_items, untrained_parts

    people = len(whole.told)
    tested = round(test_share * people)
    if not 0 < tested < people:
        raise ValueError(f"A test_share of {test_share:g} of {people} people leaves one side empty.")
    rows = whole.by_person(tested, seed)
    parts = untrained_parts(whole, rows[0], seed, SIZE)
    train, test = (support_items(whole, side, parts) for side in rows)
    end = parts.tokenizer.eos_token_id
    vocabulary = {"vocab_size": len(parts.tokenizer) + PICTURE_WORDS, "bos_token_id": end, "eos_token_id": end}
    text = {
        **text_settings(),
        **vocabulary,
        "pad_token_id": end,
        "max_position_embeddings": train.tensors["input_ids"].shape[1],
    }
    drawing = {"unet": UNET, "vae": VAE, "text_encoder": text}
    return SimpleNamespace(train=train, test=test), {**parts.arguments(), **drawing}


def _talk(whole: Any) -> tuple[Any, dict[str, Any]]:
    """Memes as questions and answers, and the small model that the book reads them with."""
    from types import SimpleNamespace

    from mmlab.bases.tiny_llava import LANGUAGE, VISION
    from mmlab.data.conversations import Conversations, tokenizer_of
    from mmlab.data.sets.memecap import MemeSplits, conversations

    if isinstance(whole, MemeSplits):
        items = {part: conversations(getattr(whole, part), "meaning") for part in ("train", "validation", "test")}
        sentences = [
            f"{turn.question} {turn.answer}" for part in items.values() for _, turns, _ in part for turn in turns
        ]
    else:
        items = {part: whole.literal(part) for part in ("train", "test")}
        sentences = list(whole.sentences())
    tokenizer = tokenizer_of(sentences)
    parts = {part: Conversations(held, tokenizer, size=VISION["image_size"]) for part, held in items.items() if held}
    longest = max(len(ids) for data in parts.values() for ids, _ in data.encoded) + 64
    arguments = {
        "language_model": {**LANGUAGE, "vocab_size": len(tokenizer), "max_position_embeddings": longest},
        "vision_tower": VISION,
        "drop_first_patch": False,
        "vision_layer": -1,
    }
    return SimpleNamespace(**{"train": None, "test": None, "validation": None, **parts}), arguments
