"""A drawn world of colonoscopy: mucosa, folds, vessels, polyps, instruments, overlaid text and artefacts, with prompts.

It stands in for the pictures of ImageCLEFmed MEDVQA-GI, which need an agreement. Every picture comes with the mask of
its polyps and with its facts; a prompt tells some of the facts in the words of the task's templates::

    Generate an image with one small sessile polyp in the upper left and an instrument.
    Generate an image with no polyps.

What a prompt does not tell is free, so a picture can be held against exactly what was asked for. One shape of polyp,
:data:`UNSEEN`, is drawn on request alone: a model can be taught it afterwards. Nothing here is medical advice: the
shapes follow the words of the Paris classification (0-Ip, 0-Is, 0-IIa, 0-IIc), not its pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmlab.data.worlds.colonoscopy_canvas import Canvas

__all__ = [
    "ARTEFACTS",
    "NUMBERS",
    "POSITIONS",
    "SHAPES",
    "SIZES",
    "UNSEEN",
    "WORDS",
    "ColonoscopyWorld",
    "Prompt",
    "Scene",
    "colonoscopy_world",
    "describe",
    "draw",
]

POSITIONS = {
    "upper left": (-0.45, -0.45),
    "upper right": (0.45, -0.45),
    "lower left": (-0.45, 0.45),
    "lower right": (0.45, 0.45),
    "centre": (0.0, 0.0),
}
"""Where a polyp may lie: across and down, from -1 to 1."""

SIZES = {"small": 0.22, "medium": 0.30, "large": 0.40}
"""Radius of a polyp, where the picture is 2 wide; of several polyps it is four fifths of that."""

SHAPES = ("pedunculated", "sessile", "flat")
"""What a polyp may look like: on a stalk (0-Ip), a dome (0-Is), slightly raised and pale (0-IIa)."""

UNSEEN = "depressed"
"""A shape that is drawn on request alone: a dark hollow with a pale rim (0-IIc)."""

NUMBERS = ("no", "one", "two", "three")
"""Numbers of polyps, in words."""

ARTEFACTS = ("none", "bubbles", "green box")
"""What may disturb the view: soap bubbles, or the green box in which an endoscope shows its own position."""

_SENTENCE = "generate a an image with and polyp polyps in the instrument text bubbles green box upper lower left right"
_KINDS = "centre small medium large pedunculated sessile flat depressed no one two three"
WORDS = tuple(f"{_SENTENCE} {_KINDS}".split())
"""All words of the prompts, in small letters."""


class Scene(NamedTuple):
    """The facts of one picture.

    Attributes:
        positions: Where each polyp lies, keys of :data:`POSITIONS`; empty without polyps.
        shape: Shape of all its polyps, one of :data:`SHAPES`, or :data:`UNSEEN`.
        size: Size of all its polyps, a key of :data:`SIZES`.
        instrument: Whether an instrument is seen.
        text: Whether text lies over the picture.
        artefact: One of :data:`ARTEFACTS`.
    """

    positions: tuple[str, ...]
    shape: str
    size: str
    instrument: bool
    text: bool
    artefact: str

    def facts(self) -> dict[str, Any]:
        """Facts by name: ``number``, ``presence``, ``instrument``, ``text`` and ``artefact``.

        If there are polyps also their ``shape``, ``size`` and ``positions``; if there is one, its ``position``.
        """
        number = len(self.positions)
        found: dict[str, Any] = {"number": number, "presence": number > 0}
        if number:
            found |= {"shape": self.shape, "size": self.size, "positions": self.positions}
        if number == 1:
            found["position"] = self.positions[0]
        return found | {"instrument": self.instrument, "text": self.text, "artefact": self.artefact}


class Prompt(NamedTuple):
    """A prompt.

    Attributes:
        text: The words.
        told: The facts that they tell, as :meth:`Scene.facts` names them.
    """

    text: str
    told: dict[str, Any]


@dataclass(frozen=True, eq=False)
class ColonoscopyWorld:
    """Pictures, and what is known of them.

    Attributes:
        scenes: The facts of each, N.
        pictures: (N, 3, S, S) float32 in [-1, 1].
        masks: (N, S, S) bool, where a polyp is.
        prompts: One for each picture, each telling some of its facts.
    """

    scenes: list[Scene]
    pictures: Tensor
    masks: Tensor
    prompts: list[Prompt]

    def __len__(self) -> int:
        return len(self.scenes)


def colonoscopy_world(
    pictures: int = 1000, seed: int = 0, size: int = 32, shapes: Sequence[str] = SHAPES, least: int = 0
) -> ColonoscopyWorld:
    """Draw pictures. The same arguments give the same ones.

    A quarter of the pictures has no polyp, half has one, the rest two or three. All else is uniform and independent.

    Args:
        pictures: Number of pictures N.
        seed: Seed of scenes, drawing and prompts.
        size: Height and width S, in pixels.
        shapes: Shapes of the polyps, from :data:`SHAPES` and :data:`UNSEEN`.
        least: Smallest number of polyps, 0 or 1.

    Returns:
        The world.

    Raises:
        ValueError: If there are too few pictures or pixels, or an unknown shape.
    """
    if pictures < 1 or size < 16 or least not in (0, 1):
        raise ValueError(
            f"colonoscopy_world: pictures={pictures}, size={size}, least={least}; there must be 1 picture and 16 "
            "pixels, and least is 0 or 1."
        )
    if not shapes or set(shapes) - {*SHAPES, UNSEEN}:
        raise ValueError(f"colonoscopy_world: shapes={shapes}; choose from {', '.join((*SHAPES, UNSEEN))}.")
    rng = torch.Generator().manual_seed(seed)
    scenes = [_scene(rng, shapes, least) for _ in range(pictures)]
    drawn, masks = draw(scenes, size, rng)
    return ColonoscopyWorld(scenes, drawn, masks, [describe(scene, _choice(rng)) for scene in scenes])


def describe(scene: Scene, tell: Sequence[str] = ("number", "position", "shape", "size", "others")) -> Prompt:
    """A prompt in the words of the task's templates, which tells some facts of a scene.

    Args:
        scene: The facts.
        tell: What to tell: ``number``, and with it ``position`` (of a single polyp), ``shape`` and ``size``; and
            ``others``: instrument, text and artefact, where there are any. At least one thing is told.
    """
    facts, parts = scene.facts(), []
    told: dict[str, Any] = {}
    others = [name for name in ("instrument", "text", "artefact") if facts[name] not in (False, "none")]
    if "number" in tell or not ("others" in tell and others):
        number = facts["number"]
        named = [name for name in ("size", "shape") if number and name in tell]
        words = [NUMBERS[number], *(facts[name] for name in named), "polyp" if number == 1 else "polyps"]
        if number == 1 and "position" in tell:
            words += ["in the", facts["position"]]
            named.append("position")
        parts.append(" ".join(words))
        told |= {name: facts[name] for name in ("number", "presence", *named)}
    if "others" in tell:
        phrases = {"instrument": "an instrument", "text": "text", "artefact": scene.artefact}
        parts += ["a green box" if phrases[name] == "green box" else phrases[name] for name in others]
        told |= {name: facts[name] for name in others}
    return Prompt(f"Generate an image with {' and '.join(parts)}.", told)


def draw(scenes: Sequence[Scene], size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw scenes, all at once: layer after layer, from the mucosa up to the text.

    Args:
        scenes: N of them.
        size: S, in pixels.
        rng: Generator of all that a scene leaves open: colour, light, folds, vessels, places within a position, noise.

    Returns:
        Pictures (N, 3, S, S) float32 in [-1, 1], and masks of the polyps (N, S, S).
    """
    canvas = Canvas(len(scenes), size, rng)
    canvas.mucosa()
    masks = torch.zeros(len(scenes), size, size, dtype=torch.bool)
    for slot in range(3):
        rows = [i for i, scene in enumerate(scenes) if len(scene.positions) > slot]
        if rows:
            chosen = [scenes[i] for i in rows]
            places = torch.tensor([POSITIONS[scene.positions[slot]] for scene in chosen])
            radii = torch.tensor([SIZES[scene.size] * (0.8 if len(scene.positions) > 1 else 1) for scene in chosen])
            masks[rows] |= canvas.polyps(rows, places, radii, [scene.shape for scene in chosen])
    canvas.light()
    canvas.instruments([i for i, scene in enumerate(scenes) if scene.instrument])
    canvas.bubbles([i for i, scene in enumerate(scenes) if scene.artefact == "bubbles"])
    canvas.frame()
    canvas.boxes([i for i, scene in enumerate(scenes) if scene.artefact == "green box"])
    canvas.texts([i for i, scene in enumerate(scenes) if scene.text])
    noise = torch.randn(canvas.sheet.shape, generator=rng) * 0.01
    return ((canvas.sheet + noise).clamp(0, 1) * 2 - 1), masks


def _scene(rng: torch.Generator, shapes: Sequence[str], least: int) -> Scene:
    def one(options: Sequence[Any]) -> Any:
        return options[int(torch.randint(len(options), (), generator=rng))]

    number = one((0, 0, 1, 1, 1, 1, 2, 3)) if least == 0 else one((1, 1, 1, 1, 2, 3))
    order = torch.randperm(len(POSITIONS), generator=rng).tolist()
    positions = tuple(list(POSITIONS)[i] for i in sorted(order[:number]))
    draws = torch.rand(2, generator=rng).tolist()
    artefact = one(("none", "none", "none", "bubbles", "green box"))
    return Scene(positions, one(shapes), one(list(SIZES)), draws[0] < 0.25, draws[1] < 0.25, artefact)


def _choice(rng: torch.Generator) -> list[str]:
    """What a prompt tells: mostly everything, sometimes little."""
    shares = {"number": 0.85, "position": 0.8, "shape": 0.7, "size": 0.5, "others": 0.7}
    draws = torch.rand(len(shares), generator=rng).tolist()
    return [name for (name, share), value in zip(shares.items(), draws, strict=True) if value < share]
