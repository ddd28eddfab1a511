"""Matrices from a few vectors: what stands in place of a text-to-picture model where the pictures are matrices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from mmlab.data.matrix_words import matrix_pictures
from mmlab.data.regions import Regions

__all__ = ["MatrixPainter"]


class MatrixPainter:
    """Principal components of matrices, cut into Q vectors of D numbers; used as a pipeline of diffusers is.

    The vectors of a matrix are its components, all divided by one number, so that a distance between vectors is one
    between matrices. :func:`mmlab.nn.drawing.draw` takes it, and so does ``mmlab.viz.talk.Talk``.

    Args:
        values: Edges (S, E) of the training people.
        regions: The N regions.
        queries: Q.
        width: D; Q D is the number of components, less than S.

    Raises:
        ValueError: If there are too few matrices for so many components.
    """

    def __init__(self, values: Tensor, regions: Regions, queries: int = 8, width: int = 4) -> None:
        count = queries * width
        if not 0 < count < min(values.shape):
            raise ValueError(f"MatrixPainter: {count} components of matrices {tuple(values.shape)}: ask for fewer.")
        self.regions, self.shape = regions, (queries, width)
        self.mean = values.double().mean(0)
        centred = values.double() - self.mean
        self.axes = torch.linalg.svd(centred, full_matrices=False).Vh[:count]  # (K, E), orthonormal
        self.size = (centred @ self.axes.mT).square().mean().sqrt()

    def encode(self, values: Tensor) -> Tensor:
        """Edges (S, E) as vectors (S, Q, D)."""
        codes = (values.double() - self.mean) @ self.axes.mT / self.size
        return codes.float().view(len(values), *self.shape)

    def decode(self, vectors: Tensor) -> Tensor:
        """Vectors (S, Q, D) as edges (S, E)."""
        return (self.mean + self.size * vectors.double().flatten(1) @ self.axes).float()

    def set_progress_bar_config(self, **_: Any) -> None:
        """There is nothing to wait for."""

    def __call__(
        self,
        prompt_embeds: Tensor,
        generator: torch.Generator | None = None,
        num_inference_steps: int = 1,
        guidance_scale: float = 1.0,
        output_type: str = "pt",
    ) -> Any:
        """Pictures of the matrices, ``images`` (S, 3, N, N) in [0, 1]; nothing is drawn by chance.

        Raises:
            ValueError: If the vectors have another shape.
        """
        if tuple(prompt_embeds.shape[1:]) != self.shape:
            raise ValueError(
                f"MatrixPainter reads vectors of shape {self.shape}, not {tuple(prompt_embeds.shape[1:])}: build the "
                "mapper with its queries and target_width."
            )
        return SimpleNamespace(images=matrix_pictures(self.decode(prompt_embeds), self.regions) / 2 + 0.5)
