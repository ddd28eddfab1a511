"""CapS-Adapter: classes by prompts, corrected by a cache of pictures and captions that nobody trains on.

Symbols: f a unit vector of a picture that asks (D); I_j and T_j unit vectors of support item j, picture and caption; Y
its class, one-hot; W unit vectors of the classes' prompts; d the captions' share of the keys, b how sharp the cache is,
a and c the weights of its two terms.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method

__all__ = ["CapsAdapter", "Found", "affinity", "cache", "divergence", "search"]


def affinity(f: Tensor, pictures: Tensor, captions: Tensor, d: float) -> Tensor:
    """K: how near those who ask (B, D) are to support items (N, D), by pictures and captions, (B, N)."""
    return (1 - d) * f @ pictures.mT + d * f @ captions.mT  # Eq. (2)


def cache(K: Tensor, Y: Tensor, b: float) -> Tensor:
    """What the support says of the classes: each item votes for its own, (B, K), sharply for a large b."""
    return torch.exp(-b * (1 - K)) @ Y  # Eq. (3)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p_i || q_j) of distributions (B, K) and (N, K), in nats, (B, N)."""
    return (p * p.log()).sum(1, keepdim=True) - p @ q.log().mT  # Eq. (4)


class CapsAdapter(Method):
    """A cache beside zero-shot classification, solved by writing vectors down.

    With ``captions=0`` and ``distributions=0`` it is Tip-Adapter, with ``captions=0`` SuS-X, and with both weights zero
    it is zero-shot classification by prompts.

    Args:
        features: Number of features D of the towers that made the vectors.
        classes: Number of classes K.
        items: Most support items that there is room for; places that are left over have no vote.
        weight: a, weight of the cache.
        sharpness: b.
        captions: d, share of the captions in the keys.
        distributions: c, weight of the likeness of class distributions.
        scale: What cosines with prompts are multiplied by.
        raw: Whether the distributions are softmaxes of the vectors themselves, as in a release, and not of the classes.

    Raises:
        ValueError: If a weight or the sharpness is negative, or the share is none.

    Source:
        Wang et al. 2024, CapS-Adapter; Zhang et al. 2022, Tip-Adapter; Udandarao et al. 2023, SuS-X. The likeness of
        distributions is put onto the range of K by the support alone; the authors use the range of the test batch.
    """

    card = Card(
        name="CapS-Adapter",
        family="contrast",
        paper="wang2024caps",
        summary="Corrects zero-shot classes by a cache whose keys are support pictures and their captions.",
        inputs=("image", "label"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "zero-shot", "higher", name="caps-zero-shot"),
            Claim("accuracy", "Tip-Adapter", "higher", name="caps-tip"),
            Claim("accuracy", "SuS-X", "higher", name="caps-sus"),
            Claim("accuracy", "class means of the same pictures", "higher", kind="sanity", name="caps-means"),
            Claim("accuracy", "a line on the same pictures", "higher", kind="sanity", name="caps-line"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLIP", "zero-shot", "Tip-Adapter", "SuS-X", "training-free"),
        level="introductory",
    )

    pictures: Tensor
    told: Tensor
    label: Tensor
    prompts: Tensor

    def __init__(
        self,
        features: int,
        classes: int,
        items: int = 1024,
        weight: float = 1.0,
        sharpness: float = 5.0,
        captions: float = 0.5,
        distributions: float = 0.0,
        scale: float = 100.0,
        raw: bool = False,
    ) -> None:
        super().__init__()
        if min(weight, sharpness, distributions) < 0 or not 0 <= captions <= 1:
            raise ValueError(
                f"weight={weight}, sharpness={sharpness}, distributions={distributions}, captions={captions}: none of "
                "the first three is negative, and the last one is a share."
            )
        self.weight, self.sharpness, self.captions = weight, sharpness, captions
        self.distributions, self.scale, self.raw = distributions, scale, raw
        self.register_buffer("pictures", torch.zeros(items, features))
        self.register_buffer("told", torch.zeros(items, features))
        self.register_buffer("label", torch.full((items,), -1))
        self.register_buffer("prompts", torch.zeros(classes, features))

    def solve(self, dataset: Any) -> Self:
        """Write the support down: nothing is fitted.

        Args:
            dataset: Items with ``image`` and ``label``, from 0 to K - 1; and ``caption`` and ``prompt``, vectors of the
                caption and of the prompt of its class. Where one of these is absent, the picture takes its place. All
                are flattened to D values.

        Raises:
            ValueError: If there are more items than room, or the vectors have another width.
        """
        batch = read_all(dataset)
        label, count = batch["label"], len(batch["label"])
        image, caption, prompt = (
            F.normalize(batch.get(name, batch["image"]).flatten(1).to(self.pictures), dim=-1)
            for name in ("image", "caption", "prompt")
        )
        room, width = self.pictures.shape
        if count > room or image.shape[1] != width:
            raise ValueError(
                f"CapsAdapter has room for items={room} of features={width}, and is given {count} of {image.shape[1]}."
            )
        rest = room - count
        self.pictures, self.told = (F.pad(x, (0, 0, 0, rest)) for x in (image, caption))
        self.label = F.pad(label.long(), (0, rest), value=-1)
        sums = torch.zeros_like(self.prompts).index_add(0, label.long(), prompt)
        self.prompts = F.normalize(sums, dim=-1)
        return self

    def votes(self) -> Tensor:
        """Y, (N, K)."""
        there = (self.label >= 0)[:, None]
        return F.one_hot(self.label.clamp(min=0), len(self.prompts)).to(self.pictures) * there

    def spread(self, f: Tensor) -> Tensor:
        """Distribution of each unit vector (B, D) over the classes, (B, K); over its own values, if ``raw``."""
        return ((f if self.raw else f @ self.prompts.mT) / 0.5).softmax(-1)

    def likeness(self, f: Tensor) -> Tensor:
        """-KL of the class distributions, moved onto the range that K has within the support, (B, N)."""
        q, there = self.spread(self.pictures), self.label >= 0
        own = -divergence(q[there], q[there])
        near = affinity(self.pictures[there], self.pictures[there], self.told[there], self.captions)
        unit = (-divergence(self.spread(f), q) - own.min()) / (own.max() - own.min()).clamp(min=1e-12)
        return near.min() + unit * (near.max() - near.min())

    def logits(self, batch: Batch) -> Tensor:
        """Scores of the classes (B, K) of ``image`` (B, D)."""
        f, Y = F.normalize(batch["image"].flatten(1).to(self.pictures), dim=-1), self.votes()
        total = self.scale * f @ self.prompts.mT  # Eq. (1)
        if self.weight:
            total = total + self.weight * cache(affinity(f, self.pictures, self.told, self.captions), Y, self.sharpness)
        if self.distributions:
            total = total + self.distributions * self.likeness(f) @ Y  # Eq. (5)
        return total

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities of the classes (B, K) of ``image`` (B, D); a label in the batch is not looked at."""
        return self.logits(batch).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The number of features."""
        return {"features": item["image"].numel()}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve items of three classes in eight dimensions."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(12) % 3
        prompts = torch.randn(3, 8, generator=rng)[label]
        noise = torch.randn(2, 12, 8, generator=rng)
        vectors = {"image": prompts + noise[0], "caption": prompts + 0.3 * noise[1]}
        return cls(8, 3, 16, distributions=0.5), {**vectors, "prompt": prompts, "label": label}


class Found(NamedTuple):
    """What a search found.

    Attributes:
        settings: Arguments of the method: ``weight``, ``sharpness``, ``captions``, ``distributions``.
        accuracy: Accuracy on the validation items.
        tries: Number of combinations that were tried.
    """

    settings: dict[str, float]
    accuracy: float
    tries: int


@torch.no_grad()
def search(method: CapsAdapter, validation: Batch, grid: Mapping[str, Sequence[float]]) -> Found:
    """The settings with the highest accuracy on validation items; of several, the first in the order of the grid.

    Args:
        method: A solved method; it is left as it is. What the grid does not name stays as it is there.
        validation: ``image`` (M, D) and ``label`` (M,): the only items that it sees.
        grid: Values to try of ``weight``, ``sharpness``, ``captions`` and ``distributions``.
    """
    names = ("captions", "sharpness", "weight", "distributions")
    if unknown := [name for name in grid if name not in names]:
        raise ValueError(f"search: {unknown[0]!r} is no setting of the cache; these are {', '.join(names)}.")
    f, label, Y = F.normalize(validation["image"], dim=-1), validation["label"], method.votes()
    values = [list(grid.get(name, [getattr(method, name)])) for name in names]
    base = method.scale * f @ method.prompts.mT
    best, found, before = -1.0, dict.fromkeys(names, 0.0), method.captions
    for d, b in itertools.product(*values[:2]):
        method.captions = d
        votes = cache(affinity(f, method.pictures, method.told, d), Y, b)
        alike = method.likeness(f) @ Y if any(values[3]) else torch.zeros_like(base)
        for a, c in itertools.product(*values[2:]):
            right = float(((base + a * votes + c * alike).argmax(1) == label).float().mean())
            if right > best:
                best, found = right, dict(zip(names, (d, b, a, c), strict=True))
    method.captions = before
    tries = 1
    for tried in values:
        tries *= len(tried)
    return Found(found, best, tries)
