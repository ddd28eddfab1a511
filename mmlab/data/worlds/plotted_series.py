"""Plotted series: curves as small pictures, and a class by a guideline that demonstrations do not always follow.

A curve falls, keeps level or rises, and carries no wave, a slow one or a fast one. Its class follows from both by a
table, the *guideline*. An answer names what is seen, and then the class::

    <picture> which ?       rises slow class nel .

The demonstrations were written by somebody who used an *older guideline*, with other classes in four of the nine
cells: there most of them end in the old class. What the demonstrations teach and what is right are two things, so the
world can tell imitation from reward.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.chat import IMAGE
from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = [
    "CLASSES",
    "END",
    "GUIDELINE",
    "LONGEST",
    "MARK",
    "OLD_GUIDELINE",
    "TRENDS",
    "WAVES",
    "WORDS",
    "PlottedSeries",
    "plotted_series",
    "sentence",
]

TRENDS = ("falls", "level", "rises")
WAVES = ("still", "slow", "fast")
CLASSES = ("ba", "do", "ki", "mu", "nel", "rip")
WORDS = (".", "class", "which", "?", *TRENDS, *WAVES, *CLASSES)
"""The vocabulary; a word's id is its place."""

END, MARK = 0, 1
"""Ids of the word that ends an answer, and of the one that stands before the class."""

LONGEST = 6
"""Most words that an answer may have; a right one has five."""

GUIDELINE = ((0, 1, 2), (3, 4, 5), (2, 0, 1))
"""Number of the class by trend and wave."""

OLD_GUIDELINE = ((0, 4, 2), (5, 4, 3), (2, 0, 3))
"""The same of the demonstrations; four cells differ."""

_WAVES = (0.0, 1.25, 4.0)  # periods in a picture


@dataclass(frozen=True, eq=False)
class PlottedSeries:
    """Parts with one law, as datasets of ``input_ids`` (T,), ``length``, ``images`` (1, 3, S, S), and what is right.

    Attributes:
        train: Prompts with ``answer``, the id of the class by the guideline, and ``facts`` (2,), trend and wave.
        validation: The same, to choose settings on.
        test: The same.
        demonstrations: The same, with ``completions`` (1, L) besides: what somebody answered by the older guideline.
    """

    train: TensorData
    validation: TensorData
    test: TensorData
    demonstrations: TensorData


def plotted_series(
    items: int = 800, demonstrations: int = 1200, old: float = 0.85, noise: float = 0.15, seed: int = 0
) -> PlottedSeries:
    """Draw curves. The same arguments give the same ones.

    Args:
        items: Curves of the training part; validation and test have half as many.
        demonstrations: Number of demonstrations.
        old: Share of the demonstrations that follow the older guideline; the others follow the right one.
        noise: Standard deviation of what is added to every curve, where the height of the picture is 2.
        seed: Seed of all that is drawn.

    Raises:
        ValueError: If there are too few items, or a share or the noise is impossible.
    """
    require_at_least(items=(items, 2), demonstrations=(demonstrations, 1))
    if not (0 <= old <= 1 and noise >= 0):
        raise ValueError(f"plotted_series: old={old}, noise={noise}; they must be in [0, 1], and 0 or more.")
    rng = torch.Generator().manual_seed(seed)
    parts = {"train": items, "validation": items // 2, "test": items // 2}
    held = {part: TensorData(_asked(count, noise, rng)) for part, count in parts.items()}
    shown = _asked(demonstrations, noise, rng)
    trend, wave = shown["facts"].unbind(1)
    by_old = torch.rand(demonstrations, generator=rng) < old
    number = torch.where(by_old, torch.tensor(OLD_GUIDELINE)[trend, wave], torch.tensor(GUIDELINE)[trend, wave])
    said = [WORDS.index(TRENDS[0]) + trend, WORDS.index(WAVES[0]) + wave, torch.full_like(trend, MARK),
            WORDS.index(CLASSES[0]) + number]  # fmt: skip
    said += [torch.full_like(trend, END)] * (LONGEST - len(said))
    shown["completions"] = torch.stack(said, 1)[:, None]
    return PlottedSeries(**held, demonstrations=TensorData(shown))


def _asked(count: int, noise: float, rng: torch.Generator) -> dict[str, Tensor]:
    """Prompts, and what is right."""
    trend, wave = torch.randint(3, (2, count), generator=rng)
    short = torch.rand(count, generator=rng) < 0.5  # "<picture> ?" in place of "<picture> which ?"
    long_ids = torch.tensor([IMAGE, WORDS.index("which"), WORDS.index("?")])
    short_ids = torch.tensor([IMAGE, WORDS.index("?"), END])
    return {
        "input_ids": torch.where(short[:, None], short_ids, long_ids),
        "length": torch.where(short, 2, 3),
        "images": _drawn(trend, wave, noise, rng)[:, None],
        "answer": WORDS.index(CLASSES[0]) + torch.tensor(GUIDELINE)[trend, wave],
        "facts": torch.stack([trend, wave], 1),
    }


def _drawn(trend: Tensor, wave: Tensor, noise: float, rng: torch.Generator, size: int = 16) -> Tensor:
    """Curves as pictures (N, 3, S, S) in [-1, 1], bright on dark."""
    count = len(trend)
    x = torch.linspace(-1, 1, size)
    slope, strength, phase, shift = torch.rand(4, count, 1, generator=rng)
    y = (trend[:, None] - 1) * (0.25 + 0.35 * slope) * x + 0.3 * (shift - 0.5)
    y = y + (0.25 + 0.2 * strength) * torch.sin(torch.pi * (torch.tensor(_WAVES)[wave][:, None] * x + 0.4 * phase)) * (
        wave > 0
    ).unsqueeze(1)
    y = y + noise * torch.randn(count, size, generator=rng)
    rows = torch.linspace(1, -1, size)[:, None]  # up is at the top
    line = (1 - (rows - y[:, None]).abs() * size / 4).clamp(min=0)  # (N, S, S)
    return (1.6 * line - 0.8)[:, None].expand(-1, 3, -1, -1).contiguous()


def sentence(tokens: Tensor) -> str:
    """Tokens (L,) as words, up to the first end."""
    words = [WORDS[token] for token in tokens.tolist()]
    return " ".join(words[: words.index(WORDS[END]) + 1] if WORDS[END] in words else words)
