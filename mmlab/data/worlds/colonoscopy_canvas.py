"""The drawing of the world of colonoscopies: layers of mucosa, polyps, light, instruments and overlays."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

__all__ = ["DRAWINGS", "Canvas"]

DRAWINGS = ("pedunculated", "sessile", "flat", "depressed")
"""Shapes of polyps that can be drawn."""


class Canvas:
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

    def polyps(self, rows: list[int], places: Tensor, radii: Tensor, shapes: Sequence[str]) -> Tensor:
        """One polyp in each of the pictures in rows. Returns where they are, (n, S, S) bool.

        Args:
            rows: Which pictures, n.
            places: Across and down, (n, 2).
            radii: Radius of each, (n,).
            shapes: Shape of each, a key of :data:`DRAWINGS`.
        """
        n = len(rows)
        x = self.across - places[:, 0].view(n, 1, 1) - self.uniform(n, -0.09, 0.09)
        y = self.down - places[:, 1].view(n, 1, 1) - self.uniform(n, -0.09, 0.09)
        r = radii.view(n, 1, 1) * self.uniform(n, 0.93, 1.07)
        where = torch.zeros(n, self.size, self.size, dtype=torch.bool)
        drawings = (self._pedunculated, self._sessile, self._flat, self._depressed)
        for shape, drawing in zip(DRAWINGS, drawings, strict=True):
            which = [i for i, name in enumerate(shapes) if name == shape]
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
