"""A cohort: a picture and a table of each person, with a law that answers every question about cells and classes.

Hidden are a diagnosis y (4), a build a (3) and a habit b (3), which makes 36 states z = (y, a, b). All that is seen
depends on the state alone:

    picture         x = (P_y[y] + P_a[a] + P_b[b] in one quarter, 0 elsewhere) + σ ε,    8 × 8,
    category j      P(c_j = k | z) = softmax_k(L_j[z]),
    number j        r_j = m_j[z] + ε.

What the picture shows lies in one of its four quarters, each as likely as the others. Some columns depend on one of
the three, some on two, one number on build and habit together. So a hidden cell shows in the picture and in the other
cells. Whether the table is needed beside the picture is a matter of σ: with σ = 1, which is the default, the picture
alone all but settles the state, and a table adds next to nothing; with σ = 2 picture and table are both needed, for
the cells and for the classes. Given any part of it, the 36 states have exact probabilities, and with them every class
and every cell has: :meth:`CohortWorld.classes`, :meth:`CohortWorld.cells`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["CATEGORIES", "NUMBERS", "CohortWorld", "cohort_world"]

CATEGORIES = (3, 4, 3)
"""Numbers of categories of the categorical columns, which come first."""
NUMBERS = 3
"""How many columns with numbers follow."""
_STATES = (4, 3, 3)
_SHARES = ((0.35, 0.3, 0.2, 0.15), (0.4, 0.35, 0.25), (0.45, 0.35, 0.2))
_SIDE, _HALF = 8, 4
# What each column depends on: strengths of diagnosis, build, habit, and build with habit.
_CATEGORY_PARTS = ((0.0, 1.6, 0.0, 0.0), (1.0, 1.2, 0.0, 0.0), (0.0, 0.0, 1.6, 0.0))
_NUMBER_PARTS = ((1.2, 0.0, 0.0, 0.0), (0.0, 1.4, 0.0, 0.0), (0.6, 0.0, 0.0, 1.4))


@dataclass(frozen=True, eq=False)
class CohortWorld:
    """The law of pictures, tables and diagnoses: :meth:`draw` asks it for people as often as one likes.

    Attributes:
        prior: Probability of each state, (36,) float64.
        diagnosis: y of each state, (36,).
        patterns: What the picture of each state shows, (36, 16) float64.
        noise: σ.
        logits: L_j, one (36, n_j) float64 for each categorical column.
        means: m, (36, 3) float64.
    """

    prior: Tensor
    diagnosis: Tensor
    patterns: Tensor
    noise: float
    logits: tuple[Tensor, ...]
    means: Tensor

    @property
    def pairs(self) -> TensorData:
        """Five hundred people, a third of the cells unknown, the same each time: what ``mmlab train`` takes."""
        return self.draw(500, 0, (0.0, 0.7))

    def draw(self, count: int, seed: int = 0, missing: float | tuple[float, float] = 0.0) -> TensorData:
        """New people. The same seed gives the same people, whatever is missing of them.

        Args:
            count: Number of people N.
            seed: Seed of the people and of the holes.
            missing: Share of the cells that are not known; or two ends between which each person has a share.

        Returns:
            ``image`` (N, 1, 8, 8), ``table`` (N, 6) with NaN in its holes, ``table_known`` (N, 6), ``table_sizes``
            (N, 6) with the number of categories or 0, ``truth`` (N, 6), the table without holes, and ``label`` (N,).

        Raises:
            ValueError: If there is no person, or a share is none.
        """
        require_at_least(count=(count, 1))
        low, high = missing if isinstance(missing, tuple) else (missing, missing)
        if not 0 <= low <= high <= 1:
            raise ValueError(f"missing={missing}: give a share of the cells from 0 to 1, or two that rise.")
        rng = torch.Generator().manual_seed(seed)
        state = torch.multinomial(self.prior, count, replacement=True, generator=rng)
        quarter = torch.randint(0, 4, (count,), generator=rng)
        image = self.noise * torch.randn(count, 4, _HALF**2, generator=rng, dtype=torch.float64)
        image[torch.arange(count), quarter] += self.patterns[state]
        columns = [torch.multinomial(part[state].softmax(1), 1, generator=rng) for part in self.logits]
        numbers = self.means[state] + torch.randn(count, NUMBERS, generator=rng, dtype=torch.float64)
        truth = torch.cat([torch.cat(columns, 1).double(), numbers], 1).float()
        share = low + (high - low) * torch.rand(count, 1, generator=rng)
        known = torch.rand(truth.shape, generator=rng) >= share
        sizes = torch.tensor([*CATEGORIES, *[0] * NUMBERS])
        return TensorData(
            {
                "image": _whole(image).float(),
                "table": torch.where(known, truth, torch.nan),
                "table_known": known,
                "table_sizes": sizes.expand(count, -1).clone(),
                "truth": truth,
                "label": self.diagnosis[state],
            }
        )

    def states(self, batch: dict[str, Tensor], picture: bool = True) -> Tensor:
        """Exact probabilities (N, 36) float64 of the states, given the known cells and, if asked, the picture."""
        found = self.prior.log().expand(len(batch["table"]), -1)
        if picture:
            x = _quarters(batch["image"].double())  # (N, 4, 16)
            score = (x @ self.patterns.T - self.patterns.square().sum(1) / 2) / self.noise**2  # (N, 4, 36)
            found = found + score.logsumexp(1)
        known = batch["table_known"]
        table = torch.where(known, batch["table"], 0).double()
        for j, part in enumerate(self.logits):
            told = part.log_softmax(1).T[table[:, j].long()]  # (N, 36)
            found = found + told * known[:, j, None]
        for j in range(NUMBERS):
            place = len(CATEGORIES) + j
            away = (table[:, place, None] - self.means[:, j]).square()
            found = found - away / 2 * known[:, place, None]
        return found.softmax(1)

    def classes(self, batch: dict[str, Tensor], picture: bool = True) -> Tensor:
        """Exact probabilities (N, 4) float64 of the diagnoses; arguments as for :meth:`states`."""
        to_class = torch.nn.functional.one_hot(self.diagnosis, _STATES[0]).double()
        return self.states(batch, picture) @ to_class

    def cells(self, batch: dict[str, Tensor], picture: bool = True) -> tuple[list[Tensor], Tensor]:
        """Exact answers for the cells that are *not* known: probabilities (N, n_j) by column, and means (N, 3)."""
        states = self.states(batch, picture)
        return [states @ part.softmax(1) for part in self.logits], states @ self.means


def cohort_world(noise: float = 1.0, seed: int = 0) -> CohortWorld:
    """Make a world. The same arguments make the same world.

    Args:
        noise: σ, of every pixel; from about 1.5 on the table tells what the picture does not.
        seed: Seed of patterns, categories and means.

    Raises:
        ValueError: If the noise is not positive.
    """
    if not (math.isfinite(noise) and noise > 0):
        raise ValueError(f"noise={noise} must be a positive number.")
    rng = torch.Generator().manual_seed(seed)
    grid = torch.cartesian_prod(*(torch.arange(size) for size in _STATES))  # (36, 3)
    prior = torch.stack([torch.tensor(s, dtype=torch.float64)[grid[:, k]] for k, s in enumerate(_SHARES)]).prod(0)

    def drawn(width: int) -> list[Tensor]:
        """A standardised table of values for each of the three, and for build with habit: (36, width) each."""
        pair = grid[:, 1] * _STATES[2] + grid[:, 2]
        places = [*grid.T, pair]
        found = []
        for place, size in zip(places, (*_STATES, _STATES[1] * _STATES[2]), strict=True):
            values = torch.randn(size, width, generator=rng, dtype=torch.float64)
            values = values - values.mean(0)
            found.append((values / values.square().mean(0).sqrt())[place])
        return found

    def mixed(parts: tuple[float, ...], width: int) -> Tensor:
        return torch.stack([weight * part for weight, part in zip(parts, drawn(width), strict=True)]).sum(0)

    logits = tuple(mixed(parts, n) for parts, n in zip(_CATEGORY_PARTS, CATEGORIES, strict=True))
    means = torch.cat([mixed(parts, 1) for parts in _NUMBER_PARTS], 1)
    patterns = torch.stack(drawn(_HALF**2)[:3]).sum(0)
    return CohortWorld(prior, grid[:, 0], patterns, noise, logits, means)


def _quarters(image: Tensor) -> Tensor:
    """Pictures (N, 1, 8, 8) as four quarters, (N, 4, 16)."""
    cut = image.view(-1, 2, _HALF, 2, _HALF).transpose(2, 3)  # (N, rows, columns, 4, 4)
    return cut.reshape(-1, 4, _HALF**2)


def _whole(quarters: Tensor) -> Tensor:
    """Back from :func:`_quarters`."""
    return quarters.view(-1, 2, 2, _HALF, _HALF).transpose(2, 3).reshape(-1, 1, _SIDE, _SIDE)
