"""A field guide: figures whose species has a name that is known from texts, and from few named pictures.

A picture shows a figure as :mod:`mmlab.data.worlds.scene_world` draws it. Its species follows from colour and shape,
and has a name of one to three words that cannot be guessed from them: the genera have one, two, five and eight species,
and one name continues another (*mu kor*, *mu kor var*), as those of varieties do. The lessons of a reader are of five
kinds, all with one answer:

1. open: ``<picture> draw ?`` is answered by a description, ``small red circle upper left``;
2. fact: ``small red circle upper left name ?``, without a picture, is answered by the name;
3. letter: a description and four names with letters, without a picture, are answered by the letter of the right one;
4. named: ``<picture> name ?`` is answered by the name;
5. lettered: the same picture and four names with letters are answered by the letter.

Descriptions are cheap and many; pictures with a name are few. Whoever wants the name can ask for it, for the letter
of it, or for a description first.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from mmlab.data.chat import IMAGE
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.scene_world import COLOURS, PLACES, SHAPES, SIZES, Figure, scene_world
from mmlab.wording import require_at_least

__all__ = [
    "END",
    "KINDS",
    "LETTERS",
    "LONGEST",
    "NAMES",
    "SPECIES",
    "WORDS",
    "FieldGuideWorld",
    "described",
    "field_guide_world",
    "options_asked",
    "question",
    "spoken",
]

Kind = Literal["open", "fact", "letter", "named", "lettered"]

_EPITHETS = ("nel", "rip", "sot", "vag", "lum", "zetula", "pim", "kor")
NAMES: tuple[tuple[str, ...], ...] = (
    ("bamboro", "nel"),
    *(("do", epithet) for epithet in _EPITHETS[:2]),
    *(("ki", epithet) for epithet in _EPITHETS[:5]),
    *(("mu", epithet) for epithet in (*_EPITHETS[1:], "kor var")),
)
"""Names of the sixteen species, as words."""
NAMES = tuple(tuple(" ".join(name).split()) for name in NAMES)

_CELLS = tuple(itertools.product(COLOURS, SHAPES))
SPECIES = {cell: at * 7 % len(NAMES) for at, cell in enumerate(_CELLS)}
"""Number of the species by colour and shape: neighbours in one are none in the other."""

LETTERS = ("a", "b", "c", "d")
"""What options are called."""

WORDS = (
    *(".", "draw", "name", "which", "?", "upper", "lower", "left", "right"),
    *(*COLOURS, *SHAPES, *SIZES),
    *dict.fromkeys(word for name in NAMES for word in name),
    *LETTERS,
)
"""The vocabulary; a word's id is its place."""

END = 0
"""Id of the word that ends an answer."""

LONGEST = 6
"""Most words of an answer: a description has five, and the end."""

KINDS: Mapping[Kind, float] = {"open": 0.4, "fact": 0.2, "letter": 0.1, "named": 0.2, "lettered": 0.1}
"""Share of each kind among the lessons."""

_SIZE = 16
_MEAN, _DEVIATION = -0.6, 0.35  # of the pictures: without it, a reader sees nothing for hundreds of steps


@dataclass(frozen=True, eq=False)
class FieldGuideWorld:
    """Lessons, and pictures to be named.

    Attributes:
        lessons: Items with ``input_ids`` (T,), ``length``, ``images`` (1, 3, S, S), zeros where there is none, and
            ``completions`` (1, L).
        train: The named pictures: ``input_ids`` and ``length`` of the open question, ``images``, ``label``, the number
            of the species, ``options`` (4,), four species with the right one among them, and ``described`` (L,).
        validation: The same, of pictures that no lesson shows.
        test: The same, of others.
    """

    lessons: TensorData
    train: TensorData
    validation: TensorData
    test: TensorData

    @property
    def arguments(self) -> dict[str, Any]:
        """What a method that chooses among names has to be told, as its constructor's arguments."""
        return {
            "names": [[WORDS.index(word) for word in name] for name in NAMES],
            "question": [WORDS.index("name"), WORDS.index("?")],
            "model": {"words": len(WORDS), "picture": [3, _SIZE, _SIZE]},
            "end": END,
        }


def described(figure: Figure) -> list[str]:
    """A figure in five words."""
    return figure.caption.split()


def question(asked: Sequence[Sequence[str]], images: Tensor | None = None) -> dict[str, Tensor]:
    """Prompts as a batch, padded on the right: ``input_ids`` (N, T), ``length`` (N,) and ``images`` (N, 1, 3, S, S).

    Args:
        asked: Words of each prompt.
        images: (N, 1, 3, S, S), read before the words; None for no picture.
    """
    before = [] if images is None else [IMAGE]
    rows = [torch.tensor(before + [WORDS.index(word) for word in words]) for words in asked]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=END)
    none = torch.zeros(len(rows), 1, 3, _SIZE, _SIZE)
    length = torch.tensor([len(row) for row in rows])
    return {"input_ids": ids, "length": length, "images": none if images is None else images}


def options_asked(options: Tensor) -> list[list[str]]:
    """The question that offers four names, for each row of options (N, 4)."""
    return [
        ["which", *(word for letter, k in zip(LETTERS, row, strict=True) for word in (letter, *NAMES[k])), "?"]
        for row in options.tolist()
    ]


def spoken(tokens: Tensor) -> list[str]:
    """Tokens (L,) as words, up to the first end, and without it."""
    words = [WORDS[token] for token in tokens.tolist()]
    return words[: words.index(WORDS[END])] if WORDS[END] in words else words


def field_guide_world(pictures: int = 1500, named: int = 4, lessons: int = 6000, seed: int = 0) -> FieldGuideWorld:
    """Draw pictures and write lessons. The same arguments give the same ones.

    Args:
        pictures: Pictures that the lessons may show; validation and test have a tenth of it each, at least 10.
        named: Pictures of each species whose name is told, fewer where so many were not drawn; 0 for none.
        lessons: Number of lessons, drawn from the five kinds with the shares :data:`KINDS`.
        seed: Seed of all that is drawn.

    Raises:
        ValueError: If a number is too small.
    """
    require_at_least(pictures=(pictures, 16), named=(named, 0), lessons=(lessons, 1))
    rng = torch.Generator().manual_seed(seed)
    scenes = scene_world(pictures, seed, image_size=_SIZE)
    figures = {part: [scene.figures[0] for scene in scenes.scenes[part]] for part in ("train", "test")}
    images = {part: (scenes.pictures[part][:, None] - _MEAN) / _DEVIATION for part in ("train", "test")}
    half = len(figures["test"]) // 2
    parts = {
        "validation": _asked(figures["test"][:half], images["test"][:half], rng),
        "test": _asked(figures["test"][half:], images["test"][half:], rng),
    }
    species = torch.tensor([_species(figure) for figure in figures["train"]])
    of_each = [(species == k).nonzero()[:named, 0] for k in range(len(NAMES))]
    shown = torch.cat(of_each)
    known = [figures["train"][i] for i in shown.tolist()]
    parts["train"] = _asked(known, images["train"][shown], rng)
    every = [Figure(s, c, p, z) for s, c, p, z in itertools.product(SHAPES, COLOURS, PLACES, SIZES)]
    taught = {
        "open": (figures["train"], images["train"]),
        "fact": (every, None),
        "letter": (every, None),
        "named": (known, images["train"][shown]),
        "lettered": (known, images["train"][shown]),
    }
    made = [_lessons(kind, *taught[kind], round(share * lessons), rng) for kind, share in KINDS.items()]
    return FieldGuideWorld(TensorData(_joined([part for part in made if part])), **_tensors(parts))


def _tensors(parts: Mapping[str, dict[str, Tensor]]) -> dict[str, TensorData]:
    return {name: TensorData(part) for name, part in parts.items()}


def _species(figure: Figure) -> int:
    return SPECIES[figure.colour, figure.shape]


def _asked(figures: Sequence[Figure], images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
    """The open question on pictures, and what is right."""
    label = torch.tensor([_species(figure) for figure in figures], dtype=torch.long)
    told = [[*(WORDS.index(word) for word in described(figure)), END] for figure in figures]
    asked = [["draw", "?"]] * len(figures)
    batch = question(asked, images) if figures else {}
    return {**batch, "label": label, "options": _options(label, rng), "described": torch.tensor(told)}


def _options(label: Tensor, rng: torch.Generator) -> Tensor:
    """Four species in random order, the right one (N,) among them: (N, 4)."""
    weight = torch.rand(len(label), len(NAMES), generator=rng)
    weight.scatter_(1, label[:, None], 2.0)  # the largest
    chosen = weight.topk(len(LETTERS), 1).indices
    order = torch.rand(chosen.shape, generator=rng).argsort(1)
    return chosen.gather(1, order)


def _lessons(
    kind: Kind, figures: Sequence[Figure], images: Tensor | None, count: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """So many lessons of one kind, on figures that are drawn with replacement; none where there are no figures."""
    if not figures or not count:
        return {}
    rows = torch.randint(len(figures), (count,), generator=rng)
    drawn = [figures[row] for row in rows.tolist()]
    label = torch.tensor([_species(figure) for figure in drawn])
    before = [described(figure) if images is None else [] for figure in drawn]
    if kind in ("letter", "lettered"):
        options = _options(label, rng)
        asked = options_asked(options)
        right = (options == label[:, None]).int().argmax(1).tolist()
        answers = [[LETTERS[place]] for place in right]
    else:
        asked = [["draw" if kind == "open" else "name", "?"]] * count
        answers = [described(figure) if kind == "open" else list(NAMES[_species(figure)]) for figure in drawn]
    told = question([[*b, *a] for b, a in zip(before, asked, strict=True)], None if images is None else images[rows])
    ids = [[WORDS.index(word) for word in answer] for answer in answers]
    return {**told, "completions": torch.tensor([[row + [END] * (LONGEST - len(row))] for row in ids])}


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Lessons of all kinds as one batch."""
    width = max(part["input_ids"].shape[1] for part in parts)
    pad = torch.nn.functional.pad
    for part in parts:
        part["input_ids"] = pad(part["input_ids"], (0, width - part["input_ids"].shape[1]), value=END)
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
