"""Pictures to features, for every distance between sets of pictures: what goes in is checked, what comes out is plain.

A Fréchet distance is one of features, and nothing without the name of the extractor. Only with the pool features of
one certain Inception network is it called FID; with others the field writes FD and the extractor: FD-PCA, FD-DINOv2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.paths import expand
from mmlab.wording import require_at_least

__all__ = ["PrincipalComponents", "alignment", "checked_features", "extract", "inception", "resize"]


def resize(pictures: Tensor, size: int) -> Tensor:
    """Square pictures of another size, each pixel a weighted mean of those it stands for.

    Without the filter (``antialias``), a smaller picture is a sieve of the large one, and a Fréchet distance measures
    the holes.

    Args:
        pictures: (N, C, H, W), numbers in 0..1.
        size: New height and width, in pixels.
    """
    if pictures.shape[-2:] == (size, size):
        return pictures
    small = F.interpolate(pictures, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return small.clamp(0, 1)


@torch.no_grad()
def extract(
    pictures: Tensor, extractor: Callable[[Tensor], Tensor], *, size: int | None = None, batch_size: int = 256
) -> Tensor:
    """Features of pictures, in float64 on the processor.

    Args:
        pictures: (N, C, H, W): bytes (uint8), or floating point numbers in 0..1.
        extractor: Pictures (B, C, H, W) in 0..1 to features (B, ...); modules are asked in evaluation mode.
        size: Resize to this height and width first. Real and generated pictures must take the same way.
        batch_size: Pictures at a time.

    Returns:
        (N, D) features.

    Raises:
        ValueError: If pictures are not (N, C, H, W) with one or three channels, are of another type, are outside
            0..1, or if features are not finite.
    """
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or not len(pictures):
        raise ValueError(
            f"Pictures of shape {tuple(pictures.shape)} are not (N, C, H, W) with one or three channels: "
            "use pictures.movedim(-1, 1) if the channels come last."
        )
    top = 255 if pictures.dtype == torch.uint8 else 1
    if top == 1:
        _check_range(pictures)
    training = isinstance(extractor, torch.nn.Module) and extractor.training
    if isinstance(extractor, torch.nn.Module):
        extractor.eval()
    try:
        parts = [
            extractor(part if size is None else resize(part, size)).flatten(1).double().cpu()
            for part in (piece if top == 1 else piece.float() / top for piece in torch.split(pictures, batch_size))
        ]
    finally:
        if isinstance(extractor, torch.nn.Module):
            extractor.train(training)
    features = torch.cat(parts)
    if not bool(torch.isfinite(features).all()):
        raise ValueError("The extractor gave NaN or infinity for some picture.")
    return features


def _check_range(pictures: Tensor) -> None:
    if not pictures.is_floating_point():
        raise ValueError(
            f"Pictures of type {pictures.dtype} are neither bytes nor numbers in 0..1: use .to(torch.uint8)."
        )
    low, high = float(pictures.amin()), float(pictures.amax())
    if not (low >= 0 and high <= 1):  # NaN fails, too
        raise ValueError(
            f"Pictures from {low:.4g} to {high:.4g} are not in 0..1: use (x + 1) / 2 for -1..1, x / 255 for 0..255."
        )


class PrincipalComponents:
    """The dullest extractor: projections of the pixels on the leading directions of real *training* pictures.

    Args:
        pictures: (N, C, H, W) to find the directions with.
        dimensions: Number of directions, D; at most N - 1.

    Raises:
        ValueError: If there are fewer pictures than directions.
    """

    def __init__(self, pictures: Tensor, dimensions: int = 32) -> None:
        rows = pictures.flatten(1).double()
        if not 1 <= dimensions <= min(len(rows) - 1, rows.shape[1]):
            raise ValueError(
                f"dimensions={dimensions} needs from 1 to {min(len(rows) - 1, rows.shape[1])} for {len(rows)} pictures "
                f"of {rows.shape[1]} numbers."
            )
        self.mean = rows.mean(0)
        self.directions = torch.linalg.svd(rows - self.mean, full_matrices=False).Vh[:dimensions]  # (D, CHW)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Features (B, D) of pictures (B, C, H, W)."""
        return (pictures.flatten(1).double() - self.mean) @ self.directions.T


def inception(weights: str | Path) -> Callable[[Tensor], Tensor]:
    """The extractor of FID proper, from torch-fidelity and a weights file that the reader has.

    Args:
        weights: ``pt_inception-2015-12-05-6726825d.pth``, as torch-fidelity publishes it.

    Returns:
        Pictures (B, 3, H, W) in 0..1 to the 2,048 pool features, resized as in the original.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If torch-fidelity is not installed.
    """
    path = expand(weights, "weights")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: give the Inception weights that torch-fidelity publishes.")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("FID needs torch-fidelity: pip install torch-fidelity") from error
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    network.eval()

    def features(pictures: Tensor) -> Tensor:
        pixels: Tensor = network((pictures.expand(-1, 3, -1, -1) * 255).round().to(torch.uint8))[0]
        return pixels

    return features


def alignment(pictures: Tensor, texts: Tensor, scale: float = 100.0) -> float:
    """How well pictures fit their texts, by embeddings of both: mean cosine, not below zero, times a scale.

    With a CLIP and scale 100 this is the CLIP score as torchmetrics has it, with 2.5 that of the paper. It says
    nothing about a domain that the towers never saw.

    Args:
        pictures: (N, D) embeddings.
        texts: (N, D) embeddings of their texts, in the same order.
        scale: Factor.

    Raises:
        ValueError: If the shapes differ.

    Source:
        Hessel et al. 2021, CLIPScore.
    """
    if pictures.shape != texts.shape or pictures.ndim != 2:
        raise ValueError(f"Embeddings of shapes {tuple(pictures.shape)} and {tuple(texts.shape)} are not pairs (N, D).")
    return float(scale * F.cosine_similarity(pictures.double(), texts.double()).clamp_min(0).mean())


def checked_features(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two sets of features in float64 on the processor, or a sentence why they cannot be compared."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"Features of shapes {tuple(x.shape)} and {tuple(y.shape)} are not (N, D) and (M, D).")
    require_at_least(points=(min(len(x), len(y)), 2))
    for features in (x, y):
        if not bool(torch.isfinite(features).all()):
            raise ValueError("A feature is NaN or infinite: see which picture it comes from, and mend or leave it out.")
    return x.detach().double().cpu(), y.detach().double().cpu()
