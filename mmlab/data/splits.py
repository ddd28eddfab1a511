"""A dataset that comes in parts: what to train on, what to choose by, and what to test on."""

from __future__ import annotations

from dataclasses import dataclass

from mmlab.data.tensors import TensorData

__all__ = ["Splits"]


@dataclass(frozen=True, eq=False)
class Splits:
    """Items for training, for choosing (epochs, settings), and for the test, which is looked at once.

    Attributes:
        train: Items to fit on.
        validation: Items to choose by; None if the set has none.
        test: Items to report on.
        description: What this is and how it was made, in a sentence or two; to be printed with results.
        source: Names of the registry's sources, or ``"synthetic"``.
        acknowledgement: What the terms ask to be printed with results, or an empty string.
    """

    train: TensorData
    validation: TensorData | None
    test: TensorData
    description: str
    source: tuple[str, ...] = ("synthetic",)
    acknowledgement: str = ""

    def __repr__(self) -> str:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        held = ", ".join(f"{name} {len(part)}" for name, part in parts.items() if part is not None)
        return f"Splits({held}; {self.train!r}; from {', '.join(self.source)})"
