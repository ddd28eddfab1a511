"""Pictures of the colonoscopy world as tokens: a perceptual network, and the VQGAN that is trained with it once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mmlab.bases.findings_reader import labels
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import ARTEFACTS, NUMBERS, SHAPES, SIZES, UNSEEN, colonoscopy_world
from mmlab.method import Batch, Method
from mmlab.methods.vqgan import VQGAN
from mmlab.nn.perceptual import PictureFeatures
from mmlab.train.once import trained_once

__all__ = [
    "FEATURES",
    "PICTURES",
    "ROUNDS",
    "SIZE",
    "TOKENIZER",
    "PerceptualStage",
    "perceptual_network",
    "tokenizer_of_pictures",
]

SIZE = 32
"""Height and width of the pictures."""

PICTURES = 3000
"""Number of drawn pictures that the tokenizer is trained on."""

FEATURES = (16, 32, 64)
"""Widths of the perceptual network's stages."""


TOKENIZER: dict[str, Any] = {
    "shape": (3, SIZE, SIZE),
    "width": 48,
    "halvings": 2,
    "codes": 512,
    "code_width": 8,
    "features": FEATURES,
    "adversarial_weight": 0.1,
}
"""Arguments of the tokenizer: 32 x 32 pixels become 8 x 8 words of 9 bits."""

ROUNDS: tuple[dict[str, Any], ...] = (*[{"steps": 200}] * 4, {"steps": 200, "schedule": "cosine"})
"""The tokenizer's training, cut where it may be interrupted: each round is kept by itself."""


class PerceptualStage(Method):
    """Features that learn to tell what is drawn, as the networks behind LPIPS have learnt to tell a thousand classes.

    It is no relative of :class:`mmlab.bases.findings_reader.FindingsReader`, which judges: other pictures, another
    seed, and its heads see the mean and the maximum of each feature instead of its place.

    Args:
        widths: Widths of the stages.
    """

    def __init__(self, widths: tuple[int, ...] = FEATURES) -> None:
        super().__init__()
        self.features = PictureFeatures(3, widths)
        self.heads = nn.ModuleDict(
            {
                "number": nn.Linear(2 * widths[-1], len(NUMBERS)),
                "shape": nn.Linear(2 * widths[-1], len(SHAPES) + 1),
                "size": nn.Linear(2 * widths[-1], len(SIZES)),
                "artefact": nn.Linear(2 * widths[-1], len(ARTEFACTS)),
                "switches": nn.Linear(2 * widths[-1], 2),
            }
        )

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Sum of the heads' cross-entropies.

        Args:
            batch: ``image`` (B, 3, H, W), and what :func:`mmlab.bases.findings_reader.labels` makes of the facts.
            rng: Draws a little noise, which keeps single pixels from telling.
        """
        image = batch["image"]
        noise = torch.randn(image.shape, generator=rng, device=image.device)
        last = self.features(image + 0.05 * noise)[-1]
        seen = torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)
        total = torch.zeros((), device=image.device)
        for name, head in self.heads.items():
            if name == "switches":
                total = total + binary_cross_entropy_with_logits(head(seen), batch[name])
            elif (batch[name] >= 0).any():  # facts of polyps are -100 where there is none
                total = total + cross_entropy(head(seen), batch[name], ignore_index=-100)
        return {"loss": total}


def perceptual_network(seed: int = 0, **training: Any) -> PictureFeatures:
    """The perceptual network, trained on drawn pictures that no other part of the book sees, and kept.

    Args:
        seed: Seed of its pictures, its weights and its training.
        **training: Arguments of fit that replace the usual ones.
    """
    usual: dict[str, Any] = {"steps": 500, "batch_size": 32, "lr": 3e-3, "schedule": "cosine", "progress": False}
    world = colonoscopy_world(2000, seed=2000 + seed, shapes=(*SHAPES, UNSEEN))
    data = TensorData({"image": world.pictures, **labels(world.scenes)})
    return trained_once(PerceptualStage.seeded(seed), data, seed=seed, **(usual | training)).features


def tokenizer_of_pictures(seed: int = 0, **training: Any) -> VQGAN:
    """The VQGAN that writes the world's pictures in tokens, trained once and kept for the next call.

    Args:
        seed: Seed of the pictures, the weights and the training.
        **training: Arguments of fit that replace the usual ones.
    """
    usual: dict[str, Any] = {"batch_size": 16, "lr": 3e-3, "warmup": 30, "progress": False}
    pictures = colonoscopy_world(PICTURES, seed=seed, size=SIZE).pictures
    method = VQGAN.seeded(seed, **TOKENIZER).look_with(perceptual_network(seed))
    data = TensorData({"image": pictures})
    for number, part in enumerate(ROUNDS):
        method = trained_once(method, data, seed=seed + 1000 * number, **(usual | part | training))
    return method
