"""Mini-memes: a drawn world of pictures with a line of text, whose meaning is in neither of the two alone.

A meme shows two figures. Each figure has a shape, which stands for a role, and a colour, which stands for a mood; how
the two are laid out stands for a relation. The line of text says what it is about, and praises it or complains. In the
mouth of the first figure this is meant honestly or not, as its mood has it: praise in a bad mood is irony, a complaint
in a good one a joke. So the relation takes one of four forms::

    title    monday is great                     coffee is awful
    drawing  red square above blue circle        red square above blue circle
    meaning  angry robot fools sad cat           angry robot scolds sad cat
             over monday                        over coffee

What is drawn (the literal caption) needs the picture alone. What it means needs roles, moods and layout of the picture,
the topic of the text, and for its verb the agreement of the two, which neither shows: a model that sees only one of
them is held under a ceiling that is known (:attr:`MiniMemes.ceilings`).

The fields are those of MemeCap (Hwang and Shwartz 2023, "MemeCap: A Dataset for Captioning and Interpreting Memes"):
``title``, ``img_captions``, ``meme_captions`` and ``metaphors``. Everything here is drawn and written by this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mmlab.data.conversations import Turn

__all__ = [
    "COLOURS",
    "LAYOUTS",
    "REMARKS",
    "SHAPES",
    "TOPICS",
    "Item",
    "Meme",
    "MiniMemes",
    "Part",
    "draw",
    "figure_distance",
    "mini_memes",
    "paint_of",
]

Part = Literal["train", "test"]
Item = tuple[Tensor | None, list[Turn], dict[str, Any]]
"""A picture (3, H, W) in [-1, 1], or None; what is asked and answered; the record in MemeCap's fields."""

SHAPES = {"circle": "cat", "square": "robot", "triangle": "wizard", "cross": "doctor"}
"""What is drawn, and the role that it stands for."""

COLOURS = {"red": "angry", "blue": "sad", "yellow": "happy", "green": "calm"}
"""The colour of a figure, and the mood that it stands for. The last two moods are good ones."""

LAYOUTS = {
    "above": ("guides", "fools", "teases", "scolds"),
    "beside": ("thanks", "mocks", "tickles", "warns"),
    "opposite": ("greets", "avoids", "dares", "blames"),
}
"""How the first figure stands to the second, and the four verbs that this may stand for: praise in a good mood, praise
in a bad one (irony), complaint in a good mood (a joke), complaint in a bad one."""

TOPICS = ("monday", "coffee", "homework", "rain", "winter", "cake")
"""What the line of text may be about."""

REMARKS = {"great": True, "awful": False}
"""What the line of text may call it, and whether that is good."""

_PAINT = {"red": (0.9, -0.2, -0.2), "blue": (-0.2, 0.1, 0.9), "yellow": (0.9, 0.7, -0.4), "green": (-0.3, 0.8, -0.1)}
_GOOD = ("happy", "calm")
_FIGURES = tuple(product(COLOURS, SHAPES))
_PAIRS = tuple(permutations(_FIGURES, 2))
_ASK = {"drawn": "what is drawn ?", "written": "what is written ?", "meaning": "what does it mean ?"}


class Meme(NamedTuple):
    """One point of the world.

    Attributes:
        first: Colour and shape of the figure that is named first: upper, left or upper left.
        second: Those of the other.
        layout: A key of :data:`LAYOUTS`.
        topic: One of :data:`TOPICS`.
        remark: A key of :data:`REMARKS`.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    layout: str
    topic: str
    remark: str

    @property
    def title(self) -> str:
        """The line of text."""
        return f"{self.topic} is {self.remark}"

    @property
    def caption(self) -> str:
        """What is drawn."""
        return " ".join([*self.first, self.layout, *self.second])

    @property
    def verb(self) -> str:
        """What the first does to the second: of the layout's verbs, that for the remark and the first figure's mood."""
        praise, good = REMARKS[self.remark], COLOURS[self.first[0]] in _GOOD
        return LAYOUTS[self.layout][2 * (not praise) + (not good)]

    @property
    def meaning(self) -> str:
        """What it stands for."""
        who, whom = (f"{COLOURS[colour]} {SHAPES[shape]}" for colour, shape in (self.first, self.second))
        return f"{who} {self.verb} {whom} over {self.topic}"

    def record(self) -> dict[str, Any]:
        """The meme in MemeCap's fields."""
        pairs = [(" ".join(f), f"{COLOURS[f[0]]} {SHAPES[f[1]]}") for f in (self.first, self.second)]
        return {
            "title": self.title,
            "img_captions": [self.caption],
            "meme_captions": [self.meaning],
            "metaphors": [{"metaphor": m, "meaning": n} for m, n in [*pairs, (self.layout, self.verb)]],
        }


@dataclass(frozen=True, eq=False)
class MiniMemes:
    """Memes, and what can be asked of them. No ordered pair of figures of the test part is in the training part.

    Attributes:
        memes: The points of the world, by part.
        pictures: By part, (N, 3, H, W) float32 in [-1, 1].
        held_out: The ordered pairs of figures that only the test part has.
        phrases: By part, the sentences of the general task.
    """

    memes: dict[str, list[Meme]]
    pictures: dict[str, Tensor]
    held_out: tuple[tuple[tuple[str, str], tuple[str, str]], ...]
    phrases: dict[str, list[str]]

    def literal(self, part: Part) -> list[Item]:
        """What is drawn: ``red square above blue circle``. No word of a meaning is in it."""
        return self._items(part, "drawn", lambda meme: meme.caption, None)

    def meaning(self, part: Part, hide: Literal["picture", "text"] | None = None) -> list[Item]:
        """What it stands for: ``angry robot fools sad cat over monday``.

        Args:
            part: ``"train"`` or ``"test"``.
            hide: What is not shown: the picture is then grey all over, the line of text is left out.
        """
        return self._items(part, "meaning", lambda meme: meme.meaning, hide)

    def general(self, part: Part) -> list[Item]:
        """A skill of the language model alone: to repeat words, without any picture.

        All words of the world occur, as a language model knows all words before it sees a meme, but in random order:
        what stands for what cannot be learnt here. No phrase of the test part is in the training part.
        """
        _check(part)
        empty: dict[str, Any] = {"img_captions": [], "meme_captions": [], "metaphors": []}
        return [(None, [Turn(f"say {phrase}", phrase)], {"title": phrase, **empty}) for phrase in self.phrases[part]]

    def sentences(self) -> list[str]:
        """Every word of the world at least once, whatever was drawn: for the tokenizer."""
        everything = [f"say {' '.join(_words())}", *_ASK.values()]
        return [*everything, *(f"{topic} is {remark} :" for topic, remark in product(TOPICS, REMARKS))]

    @property
    def ceilings(self) -> dict[str, float]:
        """Exact answers to the meaning question in the test part that the best possible model reaches, by what it sees.

        ``picture``: topic and remark have to be guessed. ``text``: pair of figures and layout have to be guessed, by a
        guesser that even knows which pairs are held out. ``neither``: all of it. ``both``: 1.
        """
        lines, drawings = len(TOPICS) * len(set(REMARKS.values())), len(self.held_out) * len(LAYOUTS)
        return {"both": 1.0, "picture": 1 / lines, "text": 1 / drawings, "neither": 1 / (lines * drawings)}

    def _items(self, part: Part, ask: str, answer: Callable[[Meme], str], hide: str | None) -> list[Item]:
        _check(part)
        if hide not in (None, "picture", "text"):
            raise ValueError(f"hide={hide!r} is none of 'picture', 'text' and None.")
        pictures = self.pictures[part]
        if hide == "picture":
            pictures = torch.zeros_like(pictures[:1]).expand_as(pictures)
        asked = [_ASK[ask] if hide == "text" else f"{meme.title} : {_ASK[ask]}" for meme in self.memes[part]]
        return [
            (picture, [Turn(question, answer(meme))], meme.record())
            for picture, question, meme in zip(pictures, asked, self.memes[part], strict=True)
        ]


def mini_memes(items: int = 2000, seed: int = 0, image_size: int = 32) -> MiniMemes:
    """Draw memes. The same arguments give the same ones.

    A fifth of the 240 ordered pairs of different figures is held out for the test part. All else is uniform and
    independent: pair, layout, topic, remark.

    Args:
        items: Memes of the training part; the test part has a fifth of it, at least 20.
        seed: Seed of the choice of pairs, the memes, and how they are drawn.
        image_size: H = W, in pixels.

    Returns:
        The memes of both parts.

    Raises:
        ValueError: If there are too few items or pixels.
    """
    if items < 1 or image_size < 16:
        raise ValueError(f"mini_memes: items={items}, image_size={image_size}; there must be 1 item and 16 pixels.")
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(_PAIRS), generator=rng).tolist()
    cut = len(_PAIRS) // 5
    pairs = {"train": [_PAIRS[i] for i in order[cut:]], "test": [_PAIRS[i] for i in order[:cut]]}
    counts = {"train": items, "test": max(20, items // 5)}
    memes = {part: [_draw_one(pairs[part], rng) for _ in range(count)] for part, count in counts.items()}
    pictures = {part: draw(memes[part], image_size, rng) for part in counts}
    phrases: dict[str, list[str]] = {"train": [], "test": []}
    for part, count in counts.items():
        while len(phrases[part]) < count:
            phrase = _phrase(rng)
            if part == "train" or phrase not in phrases["train"]:
                phrases[part].append(phrase)
    return MiniMemes(memes, pictures, tuple(pairs["test"]), phrases)


def draw(memes: Sequence[Meme], image_size: int, rng: torch.Generator) -> Tensor:
    """Draw memes: two figures on a dark ground, whose places and sizes vary a little, with some noise.

    Args:
        memes: N of them.
        image_size: H = W, in pixels.
        rng: Generator of places, sizes and noise.

    Returns:
        (N, 3, H, W) float32 in [-1, 1].
    """
    axis = (torch.arange(image_size) + 0.5) / image_size * 2 - 1  # pixel centres in [-1, 1]
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places = {  # centre x, y of the first and of the second figure
        "above": ((0, -0.5), (0, 0.5)),
        "beside": ((-0.5, 0), (0.5, 0)),
        "opposite": ((-0.5, -0.5), (0.5, 0.5)),
    }
    sheet = torch.rand(len(memes), 3, image_size, image_size, generator=rng) * 0.1 - 0.65
    for page, meme in zip(sheet, memes, strict=True):
        for (colour, shape), (across, down) in zip((meme.first, meme.second), places[meme.layout], strict=True):
            shift = (torch.rand(3, generator=rng) * 2 - 1) * 0.06
            u, v, r = x - across - shift[0], y - down - shift[1], 0.42 * (1 + shift[2])
            inside = figure_distance(shape, u / r, v / r) * r  # below 0 within the figure
            cover = (0.5 - inside * image_size / 2).clamp(0, 1)  # of each pixel, so that edges are smooth
            page.mul_(1 - cover).add_(cover * torch.tensor(paint_of(colour))[:, None, None])
    return sheet


def figure_distance(shape: str, u: Tensor, v: Tensor) -> Tensor:
    """Signed distance, nearly, of points (u, v) to a figure that fills [-1, 1]; v points down."""
    if shape == "circle":
        return torch.hypot(u, v) - 1
    if shape == "square":
        return torch.maximum(u.abs(), v.abs()) - 0.85
    if shape == "triangle":
        return torch.maximum(v - 0.85, (2 * u.abs() - v - 1) / 5**0.5)
    return torch.minimum(torch.maximum(u.abs() - 0.35, v.abs() - 1), torch.maximum(v.abs() - 0.35, u.abs() - 1))


def paint_of(colour: str) -> tuple[float, float, float]:
    """Red, green and blue of a colour, in [-1, 1]."""
    return _PAINT[colour]


def _check(part: str) -> None:
    if part not in ("train", "test"):
        raise ValueError(f"The mini-memes have the parts train and test, not {part!r}.")


def _draw_one(pairs: Sequence[tuple[tuple[str, str], tuple[str, str]]], rng: torch.Generator) -> Meme:
    def one(options: Sequence[Any]) -> Any:
        return options[int(torch.randint(len(options), (), generator=rng))]

    first, second = one(pairs)
    return Meme(first, second, one(list(LAYOUTS)), one(TOPICS), one(list(REMARKS)))


def _words() -> list[str]:
    """All words that titles, captions and meanings are made of."""
    verbs = [verb for verbs in LAYOUTS.values() for verb in verbs]
    nouns = [*SHAPES, *SHAPES.values(), *COLOURS, *COLOURS.values()]
    return [*nouns, *LAYOUTS, *verbs, *TOPICS, "is", *REMARKS, "over"]


def _phrase(rng: torch.Generator) -> str:
    """Three different words in random order."""
    words = _words()
    return " ".join(words[i] for i in torch.randperm(len(words), generator=rng)[:3].tolist())
