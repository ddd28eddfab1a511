"""Late fusion: an encoder for each modality, and a head that puts their features together.

Symbols: x_m is modality m of M, f_m its encoder, z_m its features, p_m the answer of an expert on it, y the class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import cross_entropy
from mmlab.method import Batch, Method
from mmlab.nn.encoders import EncoderKind
from mmlab.nn.fusion import FusionKind, make_fusion
from mmlab.nn.modalities import ModalityEncoders, drop_modalities

__all__ = ["LateFusion"]


class LateFusion(Method):
    """Encoders for any number of modalities, under any of seven fusion heads, trained as one.

    Modalities may be absent, in training and at test; what stands in their place is never seen.

    Args:
        shapes: Shape of one item of each modality.
        classes: Number of classes K.
        encoder: Kind of the encoders, see :func:`mmlab.nn.encoders.make_encoder`.
        width: Features per modality D, and width of the head's hidden layer.
        fusion: Kind of the head, see :func:`mmlab.nn.fusion.make_fusion`.
        rank: Rank R of the heads ``"low_rank"`` and ``"bilinear"``.
        dropout: Dropout probability of the hidden features.
        modality_dropout: Probability with which a modality of an item is hidden in training, never its last one.
        encoders: Encoders of your own by modality, from items (B, *shape) to features (B, D).

    Raises:
        ValueError: If ``modality_dropout`` is no probability below 1.

    Source:
        Liang et al. 2021, MultiBench, which gives these heads one interface; each head names its own paper.
    """

    card = Card(
        name="Multimodal late fusion",
        family="fusion",
        paper="liang2021multibench",
        summary="Encodes each modality on its own and fuses the features in one of seven ways.",
        inputs=("image", "audio", "label"),
        outputs=("label",),
        claims=(
            Claim(
                "accuracy", "unimodal", "higher", published="78.36 % against 76.79 % (MIMIC, mortality)", sure="read"
            ),
            Claim("accuracy", "concatenation, averaged", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("audio", "image", "missing modality"),
        level="introductory",
    )

    def __init__(
        self,
        shapes: Mapping[str, Sequence[int]],
        classes: int = 10,
        encoder: EncoderKind = "perceptron",
        width: int = 64,
        fusion: FusionKind = "concatenation",
        rank: int = 4,
        dropout: float = 0.0,
        modality_dropout: float = 0.0,
        encoders: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= modality_dropout < 1:
            raise ValueError(f"modality_dropout is a probability below 1, not {modality_dropout}.")
        self.modality_dropout = modality_dropout
        self.encoders = ModalityEncoders(shapes, encoder, width, dropout, encoders)  # Eq. (1)
        # Eqs. (2), (3), (4), (5), (6), (7) and (8): one for each kind
        self.fusion = make_fusion(fusion, list(self.encoders), width, classes, rank=rank, dropout=dropout)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the fused answer, and the accuracy on the batch.

        Args:
            batch: The modalities (B, ...), optionally their masks, and ``label`` (B,).
            rng: Draws which modalities are hidden, in training.
        """
        label = batch["label"]
        z, present = self.encoders(batch)
        if self.training and self.modality_dropout:
            present = drop_modalities(present, self.modality_dropout, rng)
        logits = self.fusion(z, present)
        right = (logits.argmax(-1) == label).float().mean()
        return {"loss": cross_entropy(logits, label), "accuracy": right}  # Eq. (9)

    def predict(self, batch: Batch) -> Tensor:
        """Class probabilities (B, K), without dropout of any kind.

        Args:
            batch: As for the loss; a label is not looked at.
        """
        with self.evaluating():
            return self.fusion(*self.encoders(batch)).softmax(-1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two short vectors in noise whose class, of three, is the sum of what they say; some are absent."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls({"audio": (6,), "image": (1, 4, 4)}, classes=3, width=16, modality_dropout=0.1)
        parts = torch.arange(24)
        audio = torch.randn(3, 6, generator=rng)[parts % 3] + 0.3 * torch.randn(24, 6, generator=rng)
        image = torch.randn(4, 1, 4, 4, generator=rng)[parts % 4] + 0.3 * torch.randn(24, 1, 4, 4, generator=rng)
        batch = {"audio": audio, "image": image, "label": (parts % 3 + parts % 4) % 3}
        return method, batch | {"audio_present": parts != 5, "image_present": parts % 11 != 9}
