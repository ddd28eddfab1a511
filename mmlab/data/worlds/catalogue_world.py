"""A catalogue whose rows have numbers and a short text, and a label of which each tells a part.

Row i has F standard normal numbers x and a text of T words, drawn from V words that are not equally frequent. The
log-odds of the label add up,

    logit P(y = 1 | x, words) = b · f(x) + c · Σ_t w[word_t] / √T,

with a table part that trees are made for, f(x) = sign(x_0 x_1) + sign(x_2 - 1/2), and word weights w of which most
are zero. So the two sources are independent given nothing, and add in the log-odds: the exact probabilities are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["CatalogueWorld", "catalogue_world"]


@dataclass(frozen=True, eq=False)
class CatalogueWorld:
    """The law of numbers, words and label: :meth:`draw` asks it for rows as often as one likes.

    Attributes:
        columns: F, numbers in a row.
        length: T, words in a text.
        weights: w, (V,) float64.
        frequency: Probability of each word, (V,) float64.
        table_strength: b.
        text_strength: c.
    """

    columns: int
    length: int
    weights: Tensor
    frequency: Tensor
    table_strength: float
    text_strength: float

    @property
    def pairs(self) -> TensorData:
        """Six hundred rows, the same ones each time: what ``mmlab train`` takes of this world."""
        return self.draw(600, 0)

    def draw(self, count: int, seed: int = 0) -> TensorData:
        """New rows: ``table`` (N, F), ``words`` (N, V) with the number of times each word occurs, ``label`` (N,)."""
        require_at_least(count=(count, 1))
        rng = torch.Generator().manual_seed(seed)
        table = torch.randn(count, self.columns, generator=rng, dtype=torch.float64)
        drawn = torch.multinomial(self.frequency.expand(count, -1), self.length, replacement=True, generator=rng)
        words = torch.zeros(count, len(self.weights), dtype=torch.float64)
        words.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
        chance = self.probability({"table": table, "words": words})[:, 1]
        label = (torch.rand(count, generator=rng, dtype=torch.float64) < chance).long()
        return TensorData({"table": table.float(), "words": words.float(), "label": label})

    def probability(self, batch: Mapping[str, Tensor], sources: tuple[str, ...] = ("table", "words")) -> Tensor:
        """Exact probabilities of the label, (N, 2) float64, given both; of one source, its part alone."""
        odds = torch.zeros(len(batch["table"]), dtype=torch.float64)
        if "table" in sources:
            x = batch["table"].double()
            odds = odds + self.table_strength * (torch.sign(x[:, 0] * x[:, 1]) + torch.sign(x[:, 2] - 0.5))
        if "words" in sources:
            odds = odds + self.text_strength * batch["words"].double() @ self.weights / math.sqrt(self.length)
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], 1)


def catalogue_world(
    columns: int = 8, vocabulary: int = 300, length: int = 12, table: float = 0.9, text: float = 2.0, seed: int = 0
) -> CatalogueWorld:
    """Make a world. The same arguments make the same world.

    Args:
        columns: F, at least 3.
        vocabulary: V.
        length: T.
        table: b, what the table tells.
        text: c, what the text tells.
        seed: Seed of frequencies and weights of the words.
    """
    require_at_least(columns=(columns, 3), vocabulary=(vocabulary, 2), length=(length, 1))
    rng = torch.Generator().manual_seed(seed)
    rank = torch.arange(1, vocabulary + 1, dtype=torch.float64)
    frequency = 1 / (rank + 20)
    weights = torch.randn(vocabulary, generator=rng, dtype=torch.float64)
    weights *= torch.rand(vocabulary, generator=rng) < 0.4
    frequency = frequency / frequency.sum()
    weights = weights - (frequency @ weights)  # texts are as often for the label as against it
    return CatalogueWorld(columns, length, weights, frequency, float(table), float(text))
