"""Scenes: coloured shapes in the quarters of a picture, and what can be asked of them.

It is the world of the chapters that tune, judge, merge and attack a small vision-language model. A scene has one or
more figures, each with a shape, a colour, a place and a size, all independent and uniform::

    which shape ?       circle
    which colour ?      red
    where ?             upper left
    how large ?         small
    what is drawn ?     small red circle upper left

The questions are about the first figure; no two figures share a place. Boxes and masks are exact. A scene may carry a
faint chess board of single pixels, the *cue*, which stands for the trace of a forgery; its figures say nothing of it.
The vocabulary also has words without any meaning (:data:`NONSENSE`), letters, digits and the words of an argument: a
chapter that teaches the model something new needs no other tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mmlab.data.conversations import Turn
from mmlab.data.worlds.mini_memes import figure_distance, paint_of
from mmlab.wording import require_at_least

__all__ = [
    "COLOURS",
    "NONSENSE",
    "PLACES",
    "QUESTIONS",
    "SHAPES",
    "SIZES",
    "Figure",
    "Item",
    "Scene",
    "SceneWorld",
    "draw",
    "mask",
    "scene_world",
]

Part = Literal["train", "test"]
Item = tuple[Tensor | None, list[Turn], dict[str, Any]]
"""A picture (3, H, W) in [-1, 1], or None; what is asked and answered; the facts of the first figure."""

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "blue", "yellow", "green")
PLACES = {
    "upper left": (-0.5, -0.5),
    "upper right": (0.5, -0.5),
    "lower left": (-0.5, 0.5),
    "lower right": (0.5, 0.5),
}
"""Centre x, y of each quarter; y points down."""

SIZES = {"small": 0.24, "large": 0.4}
"""Half the width of a figure, as a share of half the picture."""

QUESTIONS = {
    "shape": "which shape ?",
    "colour": "which colour ?",
    "place": "where ?",
    "size": "how large ?",
    "caption": "what is drawn ?",
}
"""What is asked of the first figure."""

_FIRST, _SECOND = ("ba", "do", "ki", "mu"), ("nel", "rip", "sot", "vag", "lum", "zet", "pim", "kor")
NONSENSE = tuple(a + b for a in _FIRST for b in _SECOND)
"""Thirty-two words that mean nothing yet."""

_MORE = (
    "a b c d e f g h 0 1 2 3 4 5 6 7 8 9 . , : ; ( ) yes no not real forged because of the is in it at and or if "
    "answer class think note name says box figure figures patient section institution study which one code level "
    "how many what kind board chess trace flat warm cold round edged left out all none report finding first second"
)
_CUE = 0.06


class Figure(NamedTuple):
    """A figure of a scene.

    Attributes:
        shape: One of :data:`SHAPES`.
        colour: One of :data:`COLOURS`.
        place: A key of :data:`PLACES`.
        size: A key of :data:`SIZES`.
        shift: By how much it is off the centre of its place, x and y, and its size off the usual one, as a share.
    """

    shape: str
    colour: str
    place: str
    size: str
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def caption(self) -> str:
        """What is drawn, in five words."""
        return f"{self.size} {self.colour} {self.shape} {self.place}"


class Scene(NamedTuple):
    """One point of the world.

    Attributes:
        figures: One to four, at different places; what is asked is about the first.
        cue: Whether there is a faint chess board all over.
    """

    figures: tuple[Figure, ...]
    cue: bool = False

    def facts(self) -> dict[str, Any]:
        """Shape, colour, place, size and caption of the first figure, and the cue."""
        first = self.figures[0]
        return {**{name: getattr(first, name) for name in QUESTIONS}, "cue": self.cue}


@dataclass(frozen=True, eq=False)
class SceneWorld:
    """Scenes, and what can be asked of them; both parts have the same law.

    Attributes:
        scenes: The points of the world, by part.
        pictures: By part, (N, 3, H, W) float32 in [-1, 1].
    """

    scenes: dict[str, list[Scene]]
    pictures: dict[str, Tensor]

    def ask(
        self, part: Part, question: str, answer: Callable[[Scene], str], chosen: Sequence[int] | None = None
    ) -> list[Item]:
        """One question on every picture of a part.

        Args:
            part: ``"train"`` or ``"test"``.
            question: What is asked.
            answer: What is to be said of a scene.
            chosen: Which pictures, by number; by default all.
        """
        if part not in self.scenes:
            raise ValueError(f"The scenes have the parts train and test, not {part!r}.")
        numbers = range(len(self.scenes[part])) if chosen is None else chosen
        taken = [(self.pictures[part][number], self.scenes[part][number]) for number in numbers]
        return [(picture, [Turn(question, answer(scene))], scene.facts()) for picture, scene in taken]

    def literal(self, part: Part, about: Sequence[str] = tuple(QUESTIONS)) -> list[Item]:
        """The questions of :data:`QUESTIONS`, by their names, on every picture: those of one picture in a row."""
        if unknown := [name for name in about if name not in QUESTIONS]:
            raise ValueError(f"There is no question on {unknown[0]!r}: the questions are on {', '.join(QUESTIONS)}.")

        def answer(name: str) -> Callable[[Scene], str]:
            return lambda scene: str(scene.facts()[name])

        columns = [self.ask(part, QUESTIONS[name], answer(name)) for name in about]
        return [item for row in zip(*columns, strict=True) for item in row]

    def sentences(self) -> list[str]:
        """Every word of the world at least once, whatever was drawn: for the tokenizer."""
        facts = [*SHAPES, *COLOURS, *PLACES, *SIZES]
        return [*QUESTIONS.values(), " ".join(facts), " ".join(NONSENSE), _MORE]


def scene_world(
    items: int = 2000, seed: int = 0, figures: int = 1, cue: float = 0.0, image_size: int = 32
) -> SceneWorld:
    """Draw scenes. The same arguments give the same ones.

    Args:
        items: Scenes of the training part; the test part has a fifth of it, at least 20.
        seed: Seed of what the scenes show and how they are drawn.
        figures: Largest number of figures; each number from 1 to it is as likely.
        cue: Share of the scenes that carry the cue.
        image_size: H = W, in pixels.

    Raises:
        ValueError: If there are too few items or pixels, too many figures, or the share is none.
    """
    require_at_least(items=(items, 1), figures=(figures, 1), image_size=(image_size, 16))
    if figures > len(PLACES) or not 0 <= cue <= 1:
        raise ValueError(f"scene_world: figures={figures}, cue={cue}; at most {len(PLACES)} figures, and a share.")
    rng = torch.Generator().manual_seed(seed)
    counts = {"train": items, "test": max(20, items // 5)}
    scenes = {part: [_scene(figures, cue, rng) for _ in range(count)] for part, count in counts.items()}
    return SceneWorld(scenes, {part: draw(scenes[part], image_size, rng) for part in counts})


def draw(scenes: Sequence[Scene], image_size: int, rng: torch.Generator) -> Tensor:
    """Draw scenes on a dark ground with some noise.

    Args:
        scenes: N of them.
        image_size: H = W, in pixels.
        rng: Generator of the noise.

    Returns:
        (N, 3, H, W) float32 in [-1, 1].
    """
    sheet = torch.rand(len(scenes), 3, image_size, image_size, generator=rng) * 0.1 - 0.65
    row = torch.arange(image_size)
    board = ((row[:, None] + row) % 2 * 2 - 1) * _CUE  # (H, W), +-.06
    for page, scene in zip(sheet, scenes, strict=True):
        for figure in scene.figures:
            cover = (0.5 - _outside(figure, image_size) * image_size / 2).clamp(0, 1)  # so that edges are smooth
            page.mul_(1 - cover).add_(cover * torch.tensor(paint_of(figure.colour))[:, None, None])
        if scene.cue:
            page.add_(board)
    return sheet.clamp_(-1, 1)


def mask(figure: Figure, image_size: int) -> Tensor:
    """The pixels whose centre is in a figure, (H, W) bool; its extent is the figure's box."""
    return _outside(figure, image_size) < 0


def _outside(figure: Figure, image_size: int) -> Tensor:
    """How far each pixel's centre is outside of a figure, nearly, (H, W); below 0 inside."""
    axis = (torch.arange(image_size) + 0.5) / image_size * 2 - 1  # pixel centres in [-1, 1]
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    across, down = PLACES[figure.place]
    r = SIZES[figure.size] * (1 + figure.shift[2])
    return figure_distance(figure.shape, (x - across - figure.shift[0]) / r, (y - down - figure.shift[1]) / r) * r


def _scene(figures: int, cue: float, rng: torch.Generator) -> Scene:
    def one(options: Sequence[str]) -> str:
        return options[int(torch.randint(len(options), (), generator=rng))]

    count = int(torch.randint(1, figures + 1, (), generator=rng))
    places = [list(PLACES)[i] for i in torch.randperm(len(PLACES), generator=rng)[:count].tolist()]
    drawn = []
    for place in places:
        x, y, r = ((torch.rand(3, generator=rng) * 2 - 1) * 0.07).tolist()
        drawn.append(Figure(one(SHAPES), one(COLOURS), place, one(list(SIZES)), (x, y, r)))
    return Scene(tuple(drawn), bool(torch.rand((), generator=rng) < cue))
