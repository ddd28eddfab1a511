"""MaKD: a student learns the classes and, beside them, what a vision-language model answers to many questions.

Symbols: x is a picture, y its class among C, q the yes-share that the vision-language model gives to each of Q
questions, z the student's C + Q outputs, and alpha the weight of the questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind, make_encoder

__all__ = ["MaKD", "aspect_loss", "yes_share"]


def yes_share(yes: Tensor, no: Tensor) -> Tensor:
    """Share of *yes* against *no* alone, of the logits that an answer's first word has.

    Args:
        yes: Logits of the word yes, of any shape.
        no: Logits of the word no, of the same shape.
    """
    return torch.sigmoid(yes - no)  # Eq. (1)


def aspect_loss(z: Tensor, q: Tensor) -> Tensor:
    """Binary cross-entropy of soft answers, in the mean over items and questions.

    Args:
        z: The student's logits of the questions, (B, Q).
        q: Shares of yes in [0, 1], (B, Q).
    """
    return binary_cross_entropy_with_logits(z, q)  # Eq. (2)


class MaKD(Method):
    """A classifier with further outputs that imitate soft answers to questions; these are not used afterwards.

    Args:
        shape: Shape of one picture, (C, H, W).
        classes: Number of classes C.
        aspects: Number of questions Q; 0 for a plain classifier.
        alpha: Weight of the questions; with 0 it is a plain classifier.
        encoder: Kind of the encoder, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Number of features, which both kinds of outputs read.

    Raises:
        ValueError: If there is no class, or a number is negative.

    Source:
        Lee et al. 2025, "Multi-aspect knowledge distillation with large language model".
    """

    card = Card(
        name="MaKD",
        family="vision and language",
        paper="makd",
        summary="Trains a small classifier that must also imitate a vision-language model's answers to many questions.",
        inputs=("image", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "classes alone", "higher", name="makd-classes-alone"),
            Claim("accuracy", "answers shuffled", "higher", kind="sanity", name="makd-shuffled"),
            Claim("accuracy", "table of the classes", "higher", kind="sanity", name="makd-table"),
            Claim("accuracy", "distilled classes", "higher", kind="sanity", name="makd-distilled"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("distillation", "knowledge distillation", "multi-task", "attributes"),
    )

    alpha: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        classes: int = 10,
        aspects: int = 50,
        alpha: float = 4.0,
        encoder: EncoderKind = "convolutional",
        width: int = 64,
    ) -> None:
        super().__init__()
        if aspects < 0 or classes < 1 or alpha < 0:
            raise ValueError(
                f"MaKD: classes={classes}, aspects={aspects}, alpha={alpha}; 1 or more classes, and "
                "neither of the others negative."
            )
        self.classes, self.aspects = classes, aspects
        self.encoder = make_encoder(encoder, shape, width)
        self.out = nn.Linear(width, classes + aspects)
        self.register_buffer("alpha", torch.tensor(float(alpha)))

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the classes (B, C) and of the questions (B, Q) of ``image`` (B, C, H, W)."""
        z: Tensor = self.out(self.encoder(batch["image"]).relu())
        return z[:, : self.classes], z[:, self.classes :]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the classes and the weighed loss of the questions.

        Args:
            batch: ``image`` (B, C, H, W), ``label`` (B,) and, if there are questions, ``aspects`` (B, Q) in [0, 1].
            rng: Not needed.

        Raises:
            ValueError: If there are answers to another number of questions.
        """
        z, answers = self.outputs(batch)
        classes = cross_entropy(z, batch["label"])
        if not self.aspects:
            return {"loss": classes}
        if batch["aspects"].shape != answers.shape:
            raise ValueError(
                f"MaKD: aspects has shape {tuple(batch['aspects'].shape)}, not {tuple(answers.shape)}: hand over one "
                "share of yes for each question."
            )
        aspects = aspect_loss(answers, batch["aspects"])
        return {"loss": classes + self.alpha * aspects, "classes": classes, "aspects": aspects}  # Eq. (3)

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities of the classes (B, C); neither labels nor answers are looked at."""
        with self.evaluating():
            return self.outputs(batch)[0].softmax(-1)

    def answers(self, batch: Batch) -> Tensor:
        """The shares of yes that the student gives to the questions itself, (B, Q)."""
        with self.evaluating():
            return self.outputs(batch)[1].sigmoid()

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape of the picture and the number of questions, if any were answered."""
        asked = item["aspects"].numel() if "aspects" in item else 0
        return {"shape": list(item["image"].shape), "aspects": asked}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Small pictures of noise of four classes, with two questions whose answers tell the class."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(16) % 4
        image = torch.randn(4, 1, 8, 8, generator=rng)[label] + 0.3 * torch.randn(16, 1, 8, 8, generator=rng)
        answers = torch.stack([label % 2, label // 2], 1) * 0.8 + 0.1
        method = cls.seeded(seed, [1, 8, 8], classes=4, aspects=2, width=16)
        return method, {"image": image, "label": label, "aspects": answers}
