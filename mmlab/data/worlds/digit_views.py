"""Small digits and two pictures made from each: its edges and a blurred one, as stand-ins for further sensors.

The digits are the 1797 of scikit-learn, 8 x 8. The edges are the length of Sobel's gradient, the blurred picture is the
mean of 3 x 3 pixels. Both are functions of the digit, as the pseudo-labels of MultiMAE are functions of the photograph:
who sees the digit could know them, and they tell nothing that is not in it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.data.splits import Splits
from mmlab.data.tensors import TensorData

__all__ = ["blurred", "digit_views", "edges"]


def edges(image: Tensor) -> Tensor:
    """Length of Sobel's gradient of pictures (B, 1, H, W), of the same shape; beyond the border is its value."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([across, across.T])[:, None].to(image)
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernels).square().sum(1, keepdim=True).sqrt()


def blurred(image: Tensor) -> Tensor:
    """Mean of 3 x 3 pixels of pictures (B, 1, H, W), of the same shape; beyond the border is the border's value."""
    return F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)


def digit_views(train: int = 1000, validation: int = 250, seed: int = 0) -> Splits:
    """Digits with their edges and a blurred copy. The same arguments give the same items.

    Args:
        train: Number of items to train on.
        validation: Number of items to choose by; the rest of the 1797 are the test items.
        seed: Seed of the split.

    Returns:
        Splits with ``image``, ``edge`` and ``blur``, (1, 8, 8) each, standardised by one mean and one deviation of the
        training items, and ``label`` from 0 to 9.

    Raises:
        ValueError: If a split is left without items.
    """
    from sklearn.datasets import load_digits

    pixels, label = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    if train < 2 or validation < 1 or train + validation >= len(label):
        raise ValueError(
            f"train={train}, validation={validation}: there are {len(label)} digits; choose at least 2 and 1, and "
            "leave some to test on."
        )
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))
    image = pixels.float().view(-1, 1, 8, 8)[order] / 16
    views = {"image": image, "edge": edges(image), "blur": blurred(image)}
    items = {m: (x - x[:train].mean()) / x[:train].std() for m, x in views.items()} | {"label": label[order]}
    cuts = {
        "train": slice(train),
        "validation": slice(train, train + validation),
        "test": slice(train + validation, None),
    }
    parts = {name: TensorData({key: value[cut] for key, value in items.items()}) for name, cut in cuts.items()}
    return Splits(
        parts["train"],
        parts["validation"],
        parts["test"],
        description="Digits of scikit-learn, with edges and a blurred copy.",
    )
