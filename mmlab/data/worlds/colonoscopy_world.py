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
from torch.nn.functional import interpolate

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
        positions: Of each polyp, keys of :data:`POSITIONS`; empty without polyps.
        shape: Of all its polyps, one of :data:`SHAPES`, or :data:`UNSEEN`.
        size: Of all its polyps, a key of :data:`SIZES`.
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
    facts, parts, told = scene.facts(), [], {}
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
    canvas = _Canvas(len(scenes), size, rng)
    canvas.mucosa()
    masks = torch.zeros(len(scenes), size, size, dtype=torch.bool)
    for slot in range(3):
        rows = [i for i, scene in enumerate(scenes) if len(scene.positions) > slot]
        if rows:
            masks[rows] |= canvas.polyps(rows, [scenes[i] for i in rows], slot)
    canvas.light()
    canvas.instruments([i for i, scene in enumerate(scenes) if scene.instrument])
    canvas.bubbles([i for i, scene in enumerate(scenes) if scene.artefact == "bubbles"])
    canvas.frame()
    canvas.boxes([i for i, scene in enumerate(scenes) if scene.artefact == "green box"])
    canvas.texts([i for i, scene in enumerate(scenes) if scene.text])
    noise = torch.randn(canvas.sheet.shape, generator=rng) * 0.01
    return ((canvas.sheet + noise).clamp(0, 1) * 2 - 1), masks


class _Canvas:
    """Pictures that are being drawn, (N, 3, S, S) in [0, 1]; ``across`` and ``down`` are the pixels' places."""

    def __init__(self, count: int, size: int, rng: torch.Generator) -> None:
        axis = (torch.arange(size) + 0.5) / size * 2 - 1
        self.down, self.across = torch.meshgrid(axis, axis, indexing="ij")  # (S, S)
        self.count, self.size, self.rng = count, size, rng
        self.sheet = torch.empty(count, 3, size, size)

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """(count, 1, 1), to go with the pixels."""
        return torch.rand(count, 1, 1, generator=self.rng) * (high - low) + low

    def field(self, count: int, cells: int) -> Tensor:
        """Smooth random fields (count, S, S) whose values vary over 1 / cells of the picture."""
        coarse = torch.randn(count, 1, cells, cells, generator=self.rng)
        return interpolate(coarse, size=(self.size, self.size), mode="bicubic", align_corners=True)[:, 0]

    def cover(self, distance: Tensor) -> Tensor:
        """How much of each pixel lies within, for a signed distance: edges are smooth over one pixel."""
        return (0.5 - distance * self.size / 2).clamp(0, 1)

    def paint(self, rows: Sequence[int], cover: Tensor, colour: Tensor | tuple[float, ...]) -> None:
        """Lay a colour, (3,) or (n, 3, S, S), over the pictures in rows, where ``cover`` (n, S, S) has it."""
        colour = torch.as_tensor(colour)
        colour = colour.view(1, 3, 1, 1) if colour.ndim == 1 else colour
        self.sheet[rows] += cover[:, None] * (colour - self.sheet[rows])

    def mucosa(self) -> None:
        """Pink to red, with vessels, and folds around the dark lumen."""
        n = self.count
        base = torch.tensor([0.84, 0.48, 0.40]).view(1, 3, 1, 1) + (
            torch.rand(n, 3, 1, 1, generator=self.rng) - 0.5
        ) * torch.tensor([0.10, 0.16, 0.12]).view(1, 3, 1, 1)
        self.sheet[:] = base + 0.035 * self.field(n, 4)[:, None] * torch.tensor([1.0, 0.8, 0.7]).view(1, 3, 1, 1)
        vessel = (-(self.field(n, 5) / 0.16).square()).exp() * self.uniform(n, 0.1, 0.4)
        self.paint(range(n), vessel, (0.62, 0.16, 0.18))
        x, y = self.across - self.uniform(n, -0.7, 0.7), self.down - self.uniform(n, -0.7, 0.7)
        radius = torch.hypot(x, y * self.uniform(n, 0.8, 1.25)) + 0.06 * self.field(n, 3)
        wave = torch.cos(radius * self.uniform(n, 7, 11) + self.uniform(n, 0, 6))
        self.sheet *= 1 - (0.20 * wave.clamp(min=0).pow(4) - 0.06 * (-wave).clamp(min=0).pow(2))[:, None]
        lumen = (-(radius / self.uniform(n, 0.16, 0.30)).square()).exp() * (self.uniform(n) < 0.7)
        self.paint(range(n), 0.85 * lumen, (0.22, 0.06, 0.05))

    def polyps(self, rows: list[int], scenes: list[Scene], slot: int) -> Tensor:
        """The polyp of each scene that has this slot. Returns where they are, (n, S, S) bool."""
        n = len(rows)
        place = torch.tensor([POSITIONS[scene.positions[slot]] for scene in scenes])
        x = self.across - place[:, 0].view(n, 1, 1) - self.uniform(n, -0.09, 0.09)
        y = self.down - place[:, 1].view(n, 1, 1) - self.uniform(n, -0.09, 0.09)
        several = torch.tensor([0.8 if len(scene.positions) > 1 else 1.0 for scene in scenes]).view(n, 1, 1)
        r = torch.tensor([SIZES[scene.size] for scene in scenes]).view(n, 1, 1) * several * self.uniform(n, 0.93, 1.07)
        where = torch.zeros(n, self.size, self.size, dtype=torch.bool)
        drawings = {"pedunculated": self._pedunculated, "sessile": self._sessile, "flat": self._flat}
        for shape, drawing in {**drawings, UNSEEN: self._depressed}.items():
            which = [i for i, scene in enumerate(scenes) if scene.shape == shape]
            if which:
                where[which] = drawing([rows[i] for i in which], x[which], y[which], r[which]) > 0.5
        return where

    def _dome(self, rows: list[int], x: Tensor, y: Tensor, r: Tensor, colour: tuple[float, ...]) -> Tensor:
        """A lit half sphere on its shadow."""
        shadow = (-(torch.hypot(x - 0.1 * r, y - 0.25 * r) / (1.15 * r)).pow(4)).exp()
        self.sheet[rows] *= 1 - 0.35 * shadow[:, None]
        u, v = x / r, y / r
        height = (1 - u.square() - v.square()).clamp(min=0).sqrt()
        lit = (0.30 - 0.35 * u - 0.45 * v + 0.75 * height).clamp(0.25, 1.1)
        body = self.cover(torch.hypot(x, y) - r)
        self.paint(rows, body, torch.tensor(colour).view(1, 3, 1, 1) * lit[:, None])
        glint = (-((u + 0.3).square() + (v + 0.35).square()) / 0.035).exp() * body
        self.paint(rows, 0.9 * glint, (1.0, 0.95, 0.92))
        return body

    def _sessile(self, rows: list[int], x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        return self._dome(rows, x, y, r, (0.95, 0.42, 0.36))

    def _pedunculated(self, rows: list[int], x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """A dark head, a little above its place, on a pale stalk that points down."""
        head, lean = 0.72 * r, self.uniform(len(rows), -0.35, 0.35)
        axis = x - lean * (y + 0.3 * r)
        stalk = self.cover(torch.maximum(axis.abs() - 0.26 * r, (y - 0.55 * r).abs() - 0.75 * r))
        shade = 1 - 0.4 * (axis / (0.3 * r)).clamp(-1, 1)
        self.paint(rows, stalk, torch.tensor([0.88, 0.62, 0.52]).view(1, 3, 1, 1) * shade[:, None])
        return torch.maximum(stalk, self._dome(rows, x, y + 0.3 * r, head, (0.72, 0.13, 0.16)))

    def _flat(self, rows: list[int], x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """Wider than high, pale, with a granular surface."""
        turn = self.uniform(len(rows), -0.5, 0.5)
        u, v = (x * turn.cos() + y * turn.sin()) / (1.25 * r), (y * turn.cos() - x * turn.sin()) / (0.72 * r)
        body = self.cover((torch.hypot(u, v) - 1) * 0.8 * r)
        grain = 0.05 * self.field(len(rows), self.size // 3)
        colour = torch.tensor([0.97, 0.74, 0.60]).view(1, 3, 1, 1) + grain[:, None]
        self.paint(rows, 0.85 * body, colour)
        return body

    def _depressed(self, rows: list[int], x: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """A dark hollow with a pale, slightly uneven rim."""
        edge = r * (1 + 0.07 * torch.sin(5 * torch.atan2(y, x) + self.uniform(len(rows), 0, 6)))
        distance = torch.hypot(x, y)
        body = self.cover(distance - edge)
        self.paint(rows, body, (0.98, 0.84, 0.70))
        self.paint(rows, self.cover(distance - 0.62 * edge), (0.42, 0.12, 0.22))
        return body

    def light(self) -> None:
        """The endoscope's own lamp: brighter where it points to, with a few glints on what is wet."""
        n = self.count
        x, y = self.across - self.uniform(n, -0.3, 0.3), self.down - self.uniform(n, -0.3, 0.3)
        self.sheet *= (1.06 - 0.20 * (x.square() + y.square()))[:, None]
        for _ in range(2):
            x, y = self.across - self.uniform(n, -0.9, 0.9), self.down - self.uniform(n, -0.9, 0.9)
            glint = (-(x.square() + (y * 1.5).square()) / 0.004).exp() * (self.uniform(n) < 0.6)
            self.paint(range(n), 0.8 * glint, (1.0, 0.97, 0.95))

    def instruments(self, rows: list[int]) -> None:
        """A shaft of bright metal that comes in from the right or from below, with a dark tip."""
        n = len(rows)
        if not n:
            return
        angle = self.uniform(n, 0.15, 1.35)  # of the way in: from the right (0) to from below (π / 2)
        x, y = self.across - self.uniform(n, 0.15, 0.5), self.down - self.uniform(n, 0.15, 0.5)
        along, aside = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
        shaft = self.cover(torch.maximum(aside.abs() - 0.09, -along))
        grey = (0.78 - 2.6 * aside.abs() + 0.8 * aside)[:, None] * torch.tensor([0.92, 1.0, 1.08]).view(1, 3, 1, 1)
        self.paint(rows, shaft, grey.clamp(0.2, 1))
        self.paint(rows, shaft * self.cover(along - 0.14), (0.12, 0.16, 0.28))

    def bubbles(self, rows: list[int]) -> None:
        """Bright rings."""
        n = len(rows)
        for _ in range(6 if n else 0):
            x, y = self.across - self.uniform(n, -0.85, 0.85), self.down - self.uniform(n, -0.85, 0.85)
            r = self.uniform(n, 0.07, 0.13)
            distance = torch.hypot(x, y)
            ring = (-((distance - r) / 0.045).square()).exp()
            self.paint(rows, 0.25 * self.cover(distance - r), (0.80, 0.85, 0.80))
            self.paint(rows, 0.85 * ring, (0.93, 0.97, 0.90))

    def frame(self) -> None:
        """The octagon outside which an endoscope sees nothing."""
        corner = self.across.abs() + self.down.abs() - 1.62
        self.sheet *= self.cover(corner)

    def boxes(self, rows: list[int]) -> None:
        """The green box in the lower left corner."""
        inside = torch.maximum(-0.97 - self.across, torch.maximum(self.across + 0.52, 0.60 - self.down))
        if rows:
            self.paint(
                rows, self.cover(torch.maximum(inside, self.down - 0.97)).expand(len(rows), -1, -1), (0.1, 0.6, 0.25)
            )

    def texts(self, rows: list[int]) -> None:
        """Two lines of bright marks in the upper left corner, as the overlaid name of a device is."""
        n = len(rows)
        if not n:
            return
        unit = self.size // 16
        marks = torch.zeros(n, self.size, self.size)
        for line in range(2):
            for letter in range(5):
                top, left = unit * (1 + 2 * line), unit * (1 + letter)
                marks[:, top : top + unit, left : left + unit] = torch.rand(n, 1, 1, generator=self.rng) * 0.6 + 0.4
                marks[:, top : top + unit, left : left + unit] *= (
                    torch.rand(n, 1, 1, generator=self.rng) < 0.8
                ).float()
        self.paint(rows, marks, (0.95, 0.95, 0.95))


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
