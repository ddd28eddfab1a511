"""Late fusion across languages: does the picture of a tweet close the gap between English and another language?

Symbols: t and v are what frozen encoders make of a text and a picture; s_l is a score in language l, g_l the gap of l
to English; E is evidence, the squared distance of two classes' means in units of the noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy
from mmlab.method import Batch, Method
from mmlab.nn.modalities import presence
from mmlab.wording import nearest

__all__ = ["LanguageDisparity", "gap_report", "predicted_classes", "two_class_accuracy"]


def gap_report(
    scores: Mapping[str, Mapping[str, Sequence[float]]], reference: str = "en"
) -> dict[str, dict[str, list[float]]]:
    """The gap of each language to the reference, by row and run: g_l = s_reference - s_l.

    Args:
        scores: By row (``"text"``, ``"both"``, ...) and language, one score for each run, the higher the better.
        reference: The language that the others are held against.

    Returns:
        By row and language, without the reference.

    Raises:
        ValueError: If a row lacks the reference, or its languages have different numbers of runs.
    """
    found = {}
    for row, by_language in scores.items():
        if reference not in by_language:
            raise ValueError(f"The row {row!r} has no score in {reference!r}: {nearest(reference, by_language)}")
        best = by_language[reference]
        if odd := [name for name, values in by_language.items() if len(values) != len(best)]:
            raise ValueError(
                f"{row!r} has {len(best)} runs in {reference!r} and {len(by_language[odd[0]])} in {odd[0]!r}: gaps are "
                "taken run by run, so give a score for each."
            )
        found[row] = {
            name: [a - b for a, b in zip(best, values, strict=True)]  # Eq. (4)
            for name, values in by_language.items()
            if name != reference
        }
    return found


def two_class_accuracy(evidence: float) -> float:
    """Share of right answers between two equally frequent classes with normal noise: Φ(√E / 2).

    Args:
        evidence: E; that of independent views is the sum of theirs.
    """
    return 0.5 * (1 + math.erf(math.sqrt(evidence) / 2 / math.sqrt(2)))  # Eq. (5)


def predicted_classes(probabilities: Tensor) -> int:
    """How many classes are the most probable one of any item.

    1 means that the model says one thing to all items. A higher number does not mean that it has learnt from them: a
    model trained on texts that belong to other items may name every class.

    Args:
        probabilities: (N, K).
    """
    return len(set(probabilities.argmax(1).tolist()))


class LanguageDisparity(Method):
    """Features of a frozen text encoder and a frozen picture encoder, each through a layer, side by side into another.

    One instance is for one language. A tweet may lack its text or its picture (``text_present``, ``image_present``);
    then that half of the hidden layer is zero.

    Args:
        shapes: Features of ``text`` and of ``image``.
        classes: Number of classes.
        width: Hidden features of each view.

    Raises:
        ValueError: If the shapes lack the text or the picture.

    Source:
        Verma et al. 2022; no script of their fusion is published, so its sizes are ours.
    """

    card = Card(
        name="Language disparity (late fusion)",
        family="fusion",
        paper="language_disparity",
        summary="Adds a picture to texts in several languages by late fusion, and measures each language's gap.",
        inputs=("text", "image", "label"),
        outputs=("label",),
        claims=(
            Claim("macro-F1 in Hindi", "text alone", "higher", name="both-text-hi"),
            Claim("gap of Hindi", "text alone", "lower", name="gap-both-text-hi"),
            Claim("gap of Spanish", "text alone", "lower", name="gap-both-text-es"),
            Claim("macro-F1, mean", "shuffled picture", "higher", kind="sanity", name="both-shuffled-picture"),
            Claim("macro-F1, mean", "second reading", "higher", kind="sanity", name="both-second-reading"),
            Claim("macro-F1, mean", "line on both", "higher", kind="sanity", name="both-line-on-both"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("languages", "text", "image", "fairness", "frozen encoders", "disaster"),
        level="introductory",
    )

    def __init__(self, shapes: Mapping[str, Sequence[int]], classes: int = 5, width: int = 16) -> None:
        super().__init__()
        if lacking := [name for name in ("text", "image") if name not in shapes]:
            raise ValueError(f"shapes has {', '.join(shapes)}: it also needs {' and '.join(lacking)}.")
        self.text = nn.Linear(math.prod(shapes["text"]), width)
        self.image = nn.Linear(math.prod(shapes["image"]), width)
        self.hidden = nn.Linear(2 * width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, K).

        Args:
            batch: ``text`` (B, ...) and ``image`` (B, ...), or one of them; with their masks where tweets lack one.
        """
        views = []
        size = len(next(iter(batch.values())))
        for name, layer in (("text", self.text), ("image", self.image)):
            if name not in batch:
                views.append(layer.weight.new_zeros(size, len(layer.weight)))
                continue
            there = presence(batch, name)[:, None]
            seen = torch.where(there, batch[name].flatten(1), 0)
            views.append(torch.where(there, torch.relu(layer(seen)), 0))  # Eq. (1)
        return self.head(torch.relu(self.hidden(torch.cat(views, 1))))  # Eq. (2)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the tweets with a label.

        Args:
            batch: As for :meth:`forward`, with ``label`` (B,).
            rng: Not needed.
        """
        there = presence(batch, "label")
        return {"loss": cross_entropy(self(batch), batch["label"].where(there, 0), there)}  # Eq. (3)

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K); a label in the batch is not looked at."""
        with self.evaluating():
            return self(batch).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Shapes of text and picture.

        Raises:
            ValueError: If the data lack one of them.
        """
        wanted = ("text", "image")
        if absent := [name for name in wanted if name not in item]:
            raise ValueError(f"Late fusion across languages needs text and image; the data have no {absent[0]}.")
        return {"shapes": {name: list(item[name].shape) for name in wanted}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two classes that show a little in the text and a little in the picture; some tweets have no picture."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(24) % 2
        sign = (2.0 * label - 1)[:, None]
        batch: Batch = {
            "text": sign + torch.randn(24, 3, generator=rng),
            "image": sign + torch.randn(24, 4, generator=rng),
            "image_present": torch.arange(24) % 5 > 0,
            "label": label,
        }
        return cls.seeded(seed, {"text": [3], "image": [4]}, classes=2, width=8), batch
