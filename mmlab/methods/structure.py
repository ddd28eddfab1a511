"""STRUCTURE: two frozen encoders are aligned by two lines from few pairs, and each keeps its own neighbourhoods.

Symbols: X the vectors of one modality as its encoder gives them (B, C), A what its line makes of them (B, D); P_X how
near the items are to each other, as a matrix of transitions (B, B), and P_X^l the same after l steps; τ a temperature,
λ the weight of the regulariser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method

__all__ = [
    "Picked",
    "Structure",
    "divergence",
    "mutual_neighbours",
    "neighbourhoods",
    "pick_layers",
    "structure_loss",
]

MODALITIES = ("image", "caption")
_LEAST = 1e-12


def neighbourhoods(x: Tensor, temperature: float) -> Tensor:
    """P: from each item to the others, the row softmax of products of unit vectors less their mean, (B, B).

    Args:
        x: Vectors (B, C). They are normalised before the mean is taken off, and not again after that.
        temperature: τ.
    """
    z = F.normalize(x, dim=1)
    z = z - z.mean(0)
    return (z @ z.mT / temperature).softmax(1)  # Eq. (2)


def divergence(p: Tensor, q: Tensor, turned: bool = False) -> Tensor:
    """Jensen-Shannon divergence of the rows of p and q, their mean, in nats: at most ln 2.

    Args:
        p: Distributions, (B, N).
        q: Distributions, likewise.
        turned: Whether the arguments of both Kullback-Leibler terms change places, as in a release: then there is no
            bound.
    """
    m = (p + q) / 2
    both = _kl(m, p) + _kl(m, q) if turned else _kl(p, m) + _kl(q, m)
    return both / 2  # Eq. (3)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Mean over rows of KL(p || q); zeros of p count nothing."""
    return (p * ((p + _LEAST) / (q + _LEAST)).log()).sum(1).mean()


def structure_loss(x: Tensor, a: Tensor, temperature: float, levels: int = 1, turned: bool = False) -> Tensor:
    """How far the neighbourhoods of a are from those of x, mean over steps l with the weights 1 / l.

    Args:
        x: Vectors of the frozen encoder, (B, C).
        a: Aligned vectors of the same items, (B, D).
        temperature: τ.
        levels: L, the number of steps that are looked at.
        turned: As for :func:`divergence`.
    """
    p, q = neighbourhoods(x, temperature), neighbourhoods(a, temperature)
    total = x.new_zeros(())
    for level in range(1, levels + 1):
        far_p, far_q = torch.linalg.matrix_power(p, level), torch.linalg.matrix_power(q, level)
        total = total + divergence(far_p, far_q, turned) / level
    return total / levels  # Eq. (4)


@torch.no_grad()
def mutual_neighbours(x: Tensor, y: Tensor, k: int) -> float:
    """Share of the k nearest neighbours of an item that it has in both spaces, mean over items.

    Args:
        x: Vectors of N items in one space, (N, C).
        y: Vectors of the same items in the other, (N, E).
        k: Number of neighbours, below N.

    Raises:
        ValueError: If the counts do not fit.
    """
    if len(x) != len(y) or not 0 < k < len(x):
        raise ValueError(f"mutual_neighbours: {len(x)} and {len(y)} items, k={k}: as many of both, and k below that.")
    near = []
    for z in (x, y):
        unit = F.normalize(z, dim=1)
        rank = (unit @ unit.mT).fill_diagonal_(-torch.inf).topk(k, 1).indices
        near.append(torch.zeros(len(z), len(z), dtype=torch.bool, device=z.device).scatter_(1, rank, True))
    return float((near[0] & near[1]).sum(1).float().mean() / k)  # Eq. (6)


class Picked(NamedTuple):
    """What :func:`pick_layers` found.

    Attributes:
        layers: Place of the layer in the first list and in the second one.
        shares: All mutual neighbours, (layers of the first, layers of the second).
    """

    layers: tuple[int, int]
    shares: Tensor


def pick_layers(first: Sequence[Tensor], second: Sequence[Tensor], k: int | None = None) -> Picked:
    """The pair of layers whose spaces have most neighbours in common.

    Args:
        first: Vectors of the same N items at each layer of one encoder.
        second: Likewise of the other.
        k: Number of neighbours; by default 2 N^(1/3), rounded up.
    """
    k = k or math.ceil(round(2 * len(first[0]) ** (1 / 3), 9))
    shares = torch.tensor([[mutual_neighbours(x, y, k) for y in second] for x in first])
    best = int(shares.argmax())
    return Picked((best // len(second), best % len(second)), shares)


class Structure(Method):
    """Two lines into one space under InfoNCE, held to the neighbourhoods of the frozen vectors; λ = 0 is InfoNCE alone.

    Args:
        sizes: Number of values of ``image`` and of ``caption``; each is flattened.
        width: Number of common features D.
        temperature: τ of the contrast and of the neighbourhoods.
        strength: λ.
        levels: L.
        ramp: Share of the training in which λ grows from zero; 0 for none.
        turned: Whether the divergence is that of a release, see :func:`divergence`.

    Raises:
        ValueError: If the strength is negative, the temperature not positive, or there is no level.

    Source:
        Gröger et al. 2025; details as in a public fork of their code.
    """

    uses_progress: ClassVar[bool] = True
    card = Card(
        name="STRUCTURE",
        family="contrast",
        paper="groger2025structure",
        summary="Aligns frozen encoders from few pairs by lines that keep each encoder's own neighbourhoods.",
        inputs=("image", "caption"),
        claims=(
            Claim("R@5", "InfoNCE alone", "higher", name="structure-contrast"),
            Claim("R@5", "its last layers", "higher", name="structure-last-layers"),
            Claim("R@5", "ridge regression", "higher", kind="sanity", name="structure-ridge"),
            Claim("R@5", "shuffled neighbourhoods", "higher", kind="sanity", name="structure-shuffled"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLIP", "alignment", "frozen encoders", "few pairs", "retrieval"),
    )

    def __init__(
        self,
        sizes: Mapping[str, int],
        width: int = 64,
        temperature: float = 0.05,
        strength: float = 10.0,
        levels: int = 1,
        ramp: float = 0.5,
        turned: bool = False,
    ) -> None:
        super().__init__()
        if not temperature > 0 or strength < 0 or levels < 1 or not 0 <= ramp <= 1:
            raise ValueError(
                f"temperature={temperature}, strength={strength}, levels={levels}, ramp={ramp}: the first is positive, "
                "the second not negative, there is at least one level, and the ramp is a share."
            )
        self.temperature, self.strength, self.levels = temperature, strength, levels
        self.ramp, self.turned = ramp, turned
        self.lines = nn.ModuleDict({name: nn.Linear(sizes[name], width) for name in MODALITIES})

    def aligned(self, batch: Batch) -> list[Tensor]:
        """Aligned vectors of pictures and of captions, (B, D) each, not normalised."""
        return [
            self.lines[name](batch[name].flatten(1).to(self.lines[name].get_parameter("weight"))) for name in MODALITIES
        ]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """InfoNCE and the regulariser (5).

        Args:
            batch: Frozen vectors ``image`` (B, C) and ``caption`` (B, E). Where ``image_kept`` and ``caption_kept``
                are there, their neighbourhoods are kept instead.
            rng: Not used.
        """
        u, v = self.aligned(batch)
        contrast = soft_contrastive(u, v, identity_targets(len(u), u), self.temperature)  # Eq. (1)
        share = min(1.0, self.progress / self.ramp) if self.ramp else 1.0
        if not self.strength:
            return {"loss": contrast}
        kept = u.new_zeros(())
        for name, a in zip(MODALITIES, (u, v), strict=True):
            x = batch.get(f"{name}_kept", batch[name]).flatten(1).to(a)
            kept = kept + structure_loss(x, a, self.temperature, self.levels, self.turned) / 2
        return {"loss": contrast + share * self.strength * kept, "contrast": contrast, "structure": kept}  # Eq. (5)

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors of picture and caption, (B, 2, D)."""
        with self.evaluating():
            return F.normalize(torch.stack(self.aligned(batch), 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The numbers of values of both.

        Raises:
            ValueError: If one of them is absent.
        """
        if absent := [name for name in MODALITIES if name not in item]:
            raise ValueError(f"Structure needs vectors under image and caption; there is no {absent[0]!r} here.")
        return {"sizes": {name: item[name].numel() for name in MODALITIES}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve pairs: vectors of two encoders that see the same six numbers in their own ways."""
        rng = torch.Generator().manual_seed(seed)
        seen = torch.randn(12, 6, generator=rng)
        ways = torch.randn(2, 6, 8, generator=rng)
        batch = {name: (seen @ way).tanh() for name, way in zip(MODALITIES, ways, strict=True)}
        return cls.seeded(seed, dict.fromkeys(MODALITIES, 8), width=8, ramp=0.5), batch
