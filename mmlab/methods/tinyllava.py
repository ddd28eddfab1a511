"""Tinyllava: say in one line what it does.

Replace the example below, a linear map fitted by least squares, with the paper's method. Symbols: x is the source, y
the target, W the map.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method

__all__ = ["Tinyllava", "squared_error"]


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean over all entries of (Wx - y)².

    Args:
        prediction: Wx, shape (B, E).
        target: y, of the same shape.
    """
    return (prediction - target).square().mean()  # Eq. (1)


class Tinyllava(Method):
    """Say what it learns, and when it beats the simpler thing.

    Args:
        shape: Shape of one sample, (E,).

    Source:
        Authors and year.
    """

    card = Card(
        title="Tinyllava",
        family="translation",
        paper="tinyllava",
        summary="Say in one sentence what the method does.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(Claim("rmse", "mean shift", "lower"),),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
    )

    def __init__(self, shape: tuple[int, ...] = (780,)) -> None:
        super().__init__()
        self.map = nn.Linear(shape[0], shape[0])

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the prediction.

        Args:
            batch: ``source`` and ``target``, paired, shape (B, E).
            rng: The only source of randomness; least squares needs none.
        """
        return {"loss": squared_error(self.map(batch["source"]), batch["target"])}

    @torch.no_grad()
    def predict(self, source: Tensor) -> Tensor:
        """Predict targets.

        Args:
            source: x, shape (B, E).

        Returns:
            Wx, of the same shape.
        """
        return self.map(source)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Vectors of 8 values whose targets are the sources, shifted by one place."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(8,))
        source = torch.randn(32, 8, generator=rng)
        return method, {"source": source, "target": source.roll(1, dims=1)}
