"""Grey digits and coloured digits: a translation whose colour nobody can know and whose digit should not change.

The target shows a handwritten digit in one bright colour, drawn at random. So the right answer to a grey digit is not
one image but a circle of hues, and a good translator keeps the digit and gets the spread of the colours right. The
largest channel of a coloured image is the grey image, which makes both easy to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData

__all__ = ["ColouredDigitsWorld", "coloured_digits_world", "paint", "saturation"]


def paint(grey: Tensor, hue: Tensor) -> Tensor:
    """Colour grey images at full saturation: the largest channel is the grey image, the smallest is black.

    Args:
        grey: Images from 0 to 1, (B, H, W).
        hue: Hues from 0 (red) by 1/3 (green) and 2/3 (blue) to 1 (red again), (B,).

    Returns:
        Red, green, blue, (B, 3, H, W).
    """
    sixth = 6 * hue[:, None] + torch.tensor([0.0, 4.0, 2.0])  # (B, 3)
    strength = ((sixth % 6 - 3).abs() - 1).clamp(0, 1)
    return strength[:, :, None, None] * grey[:, None]


@dataclass(frozen=True, eq=False)
class ColouredDigitsWorld:
    """Grey and coloured digits, and a judge of digits that has seen only grey ones.

    Attributes:
        pairs: Training pairs; keys ``source`` (3, H, W) grey in three equal channels, ``target`` (3, H, W) the same
            digit in colour, ``label``; from 0 to 1.
        unpaired: Training data without pairs: sources are one half of the images, targets the other half, in any order;
            ``label`` is the source's.
        test: Pairs of images that are in neither.
        judge: A fitted classifier of grey images with ``predict``.
    """

    pairs: TensorData
    unpaired: TensorData
    test: TensorData
    judge: Any

    def read(self, images: Tensor) -> Tensor:
        """What digit the judge reads in images (B, 3, H, W), by their largest channel: labels (B,)."""
        return torch.from_numpy(self.judge.predict(images.amax(1).clamp(0, 1).flatten(1).double().cpu().numpy()))

    def kept(self, images: Tensor, label: Tensor) -> float:
        """Share of images (B, 3, H, W) in which the judge reads the label (B,)."""
        return float((self.read(images) == label.cpu()).float().mean())


def saturation(images: Tensor) -> Tensor:
    """How colourful images (B, 3, H, W) are, (B,): 0 for grey, 1 for a pure colour."""
    most, least = images.amax(1).flatten(1).sum(1), images.amin(1).flatten(1).sum(1)
    return 1 - least / most.clamp_min(1e-6)


def coloured_digits_world(origin: str = "scikit-learn", test: int = 400, seed: int = 0) -> ColouredDigitsWorld:
    """Build the world. The same arguments give the same images.

    Args:
        origin: ``"scikit-learn"``, 1797 digits of 8 × 8 that come with the library; or ``"mnist"``, 28 × 28, from
            ``mnist/mnist.npz`` in the folder that ``MMLAB_DATA`` names.
        test: Number of test images.
        seed: Seed of the split, the choice of unpaired items and the colours.

    Raises:
        ValueError: If the origin is unknown or too few images would be left to train on.
        FileNotFoundError: If MNIST is asked for and not there; the message says how to get it.
    """
    from sklearn.linear_model import LogisticRegression

    grey, label = _digits(origin)
    if not 0 < test <= len(grey) - 200:
        raise ValueError(f"{origin} has {len(grey)} digits: test={test} leaves fewer than 200 to train on.")
    rng = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(grey), generator=rng)
    coloured, source = paint(grey, torch.rand(len(grey), generator=rng)), grey[:, None].expand(-1, 3, -1, -1)

    def data(sources: Tensor, targets: Tensor) -> TensorData:
        return TensorData({"source": source[sources], "target": coloured[targets], "label": label[sources]})

    held_out, learn = order[:test], order[test:]
    half = len(learn) // 2
    judge = LogisticRegression(C=1.0, max_iter=300).fit(grey[learn].flatten(1).double().numpy(), label[learn].numpy())
    return ColouredDigitsWorld(
        data(learn, learn), data(learn[:half], learn[half : 2 * half]), data(held_out, held_out), judge
    )


def _digits(origin: str) -> tuple[Tensor, Tensor]:
    """Images (N, H, W) from 0 to 1 and labels (N,)."""
    if origin == "scikit-learn":
        from sklearn.datasets import load_digits

        images, label = load_digits(return_X_y=True)
        return torch.from_numpy(images).float().view(-1, 8, 8) / 16, torch.from_numpy(label).long()
    if origin != "mnist":
        raise ValueError(f"There is no origin {origin!r}: choose scikit-learn or mnist.")
    from mmlab.data.files import registry
    from mmlab.data.files.arrays import read_arrays

    path, entry = registry.where("mnist") / "mnist.npz", registry.source("mnist")
    if not path.is_file():
        raise FileNotFoundError(f"There is no {path}: {entry.how_to_get}")
    arrays = read_arrays(path, entry.files["mnist.npz"].arrays, "check with `mmlab data verify mnist`.")
    return torch.from_numpy(arrays["x_train"]).float() / 255, torch.from_numpy(arrays["y_train"]).long()
