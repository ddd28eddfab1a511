"""One encoder and one classifier on one modality: the reference baseline of every fusion method.

Symbols: x is an item of the modality, y its class among K, f the encoder, z its features, p the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind
from mmlab.nn.fusion import classifier
from mmlab.nn.modalities import ModalityEncoders

__all__ = ["Unimodal"]


class Unimodal(Method):
    """A classifier that sees one modality and nothing else.

    An item without the modality gets the same probability for each class.

    Args:
        modality: Key of the modality in the batch.
        shape: Shape of one item of it.
        classes: Number of classes K.
        encoder: Kind of the encoder, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Number of features D, and width of the classifier's hidden layer.
        dropout: Dropout probability of the hidden features.
        encoders: An encoder of your own, ``{modality: module}``, from items (B, *shape) to features (B, D).

    Source:
        Wang, Tran and Feiszli 2020, who ask that a multimodal network be compared with this.
    """

    card = Card(
        name="Unimodal classifier",
        family="fusion",
        paper="wang2020blending",
        summary="Classifies from one modality alone: the reference baseline of every fusion method.",
        inputs=("image", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "most frequent class", "higher", kind="sanity"),
            Claim("accuracy", "logistic regression", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("audio", "image", "probe"),
        level="introductory",
    )

    def __init__(
        self,
        modality: str,
        shape: Sequence[int],
        classes: int = 10,
        encoder: EncoderKind = "perceptron",
        width: int = 64,
        dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.modality = modality
        self.encoders = ModalityEncoders({modality: shape}, encoder, width, dropout, encoders)
        self.answer = classifier(width, width, classes, dropout)

    def logits(self, batch: Batch) -> Tensor:
        """Logits (B, K), zero for items without the modality.

        Args:
            batch: The modality (B, ...), and optionally ``"<modality>_present"`` (B,).
        """
        z, present = self.encoders(batch)
        logits = self.answer(z[self.modality])  # Eq. (1)
        return torch.where(present[self.modality][:, None], logits, 0)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy, and the accuracy on the batch.

        Args:
            batch: The modality (B, ...), optionally its mask, and ``label`` (B,).
            rng: Not needed.
        """
        logits = self.logits(batch)
        right = (logits.argmax(-1) == batch["label"]).float().mean()
        return {"loss": cross_entropy(logits, batch["label"]), "accuracy": right}  # Eq. (2)

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K), without dropout.

        Args:
            batch: As for the loss; a label is not looked at.
        """
        with self.evaluating():
            return self.logits(batch).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The image, or else the first key that is no label and no mask: its name and its shape."""
        names = [key for key in sorted(item) if key != "label" and not key.endswith("_present")]
        modality = "image" if "image" in names else names[0]
        return {"modality": modality, "shape": list(item[modality].shape)}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three kinds of small images in noise; one of them is absent."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls("image", (1, 8, 8), classes=3, encoder="convolutional", width=16)
        label = torch.arange(24) % 3
        kinds = torch.randn(3, 1, 8, 8, generator=rng)
        image = kinds[label] + 0.3 * torch.randn(24, 1, 8, 8, generator=rng)
        return method, {"image": image, "image_present": torch.arange(24) != 7, "label": label}
