"""A decoder that paints pictures from embeddings of pictures, and the embedding: the second half of Kandinsky."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mmlab.method import Batch
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.from_diffusers import Part

__all__ = ["EmbeddingDecoder", "PictureEmbedding"]

Maps = Callable[[Tensor], list[Tensor]]


class PictureEmbedding:
    """Principal components of the last map of features of a network, in units of the first one.

    Args:
        features: Maps of pictures (B, C, H, W), the last of them (B, D, h, w), such as
            :class:`mmlab.nn.perceptual.PictureFeatures` gives.
        pictures: What centre and directions are measured on, (N, C, H, W).
        length: Number of components E.

    Attributes:
        kept: Share of the features' variance that the components hold.
    """

    def __init__(self, features: Maps, pictures: Tensor, length: int) -> None:
        self.features = features
        seen = self._seen(pictures)
        self.centre = seen.mean(0)
        total = (seen - self.centre).square().sum()
        values, vectors = torch.linalg.eigh((seen - self.centre).T.double() @ (seen - self.centre).double())
        self.axes = vectors[:, -length:].flip(1).float()
        self.unit = math.sqrt(float(values[-1]) / len(seen))
        self.kept = float(values[-length:].sum() / total)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Embeddings (B, E) of pictures (B, C, H, W)."""
        return (self._seen(pictures) - self.centre) @ self.axes / self.unit

    @torch.no_grad()
    def _seen(self, pictures: Tensor) -> Tensor:
        return torch.cat([self.features(part)[-1].flatten(1) for part in torch.split(pictures, 256)])


class EmbeddingDecoder(LatentDiffusion):
    """Latent diffusion that is given the embedding of a picture in place of a text: it sees no word.

    A linear map makes a few states of the embedding, which the U-Net looks at as it would at those of words. The
    embedding is dropped in a tenth of the cases, and zeros take its place.

    Args:
        length: Length E of an embedding.
        unet: As for :class:`mmlab.methods.latent_diffusion.LatentDiffusion`.
        vae: As there.
        states: Number of states that the map makes.
        schedule: As there.
        shift: As there.
    """

    def __init__(
        self,
        length: int,
        unet: Part = None,
        vae: Part = None,
        states: int = 4,
        schedule: dict[str, Any] | None = None,
        shift: float = 1.0,
    ) -> None:
        width = (unet if isinstance(unet, dict) else unet.config)["cross_attention_dim"]
        smallest = {"hidden_size": width, "intermediate_size": 1, "num_hidden_layers": 1, "num_attention_heads": 1}
        ends = {"vocab_size": 3, "max_position_embeddings": 2, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
        super().__init__(unet, vae, smallest | ends, schedule, shift=shift)
        self.text_encoder = nn.Linear(length, states * width)
        self.states = states
        self.empty = torch.zeros(length)

    def read(self, input_ids: Tensor) -> Tensor:
        """States of embeddings (B, E), (B, states, width)."""
        made: Tensor = self.text_encoder(input_ids)
        return made.view(len(made), self.states, -1)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """As that of latent diffusion.

        Args:
            batch: ``embedding`` (B, E), and ``image`` (B, 3, H, W) in [-1, 1] or in its place ``moments``.
            rng: Draws codes, times, noise and which embeddings are dropped.
        """
        return super().loss({**batch, "input_ids": batch["embedding"]}, rng)
