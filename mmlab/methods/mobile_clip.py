"""MobileCLIP: a small pair of towers learns from a stored, reinforced set: further captions, and what teachers say.

Symbols: B pairs of pictures and captions, u_i and v_j the student's vectors (D); K teachers with the unit vectors a_i^k
of pictures and b_j^k of captions; s the student's scale 1/τ, t that of the teachers; λ the share of the distillation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.data.tensors import TensorData
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.nn.towers import TwoTowers

__all__ = ["MobileCLIP", "affinities", "reinforce"]


def affinities(a: Tensor, b: Tensor, scale: float, transposed: bool = False) -> tuple[Tensor, Tensor]:
    """What the teachers say belongs together: mean over teachers of row softmaxes, in both directions.

    Args:
        a: Teachers' vectors of pictures, (B, K, D); they are normalised here.
        b: Teachers' vectors of captions, (B, K, D).
        scale: t.
        transposed: Whether the second is the first one turned over, whose rows do not sum to one: a fault of a release.

    Returns:
        Where picture i should look among captions, (B, B), and where caption j should look among pictures, (B, B).
    """
    s = scale * torch.einsum("ikd,jkd->kij", F.normalize(a, dim=-1), F.normalize(b, dim=-1))  # (K, B, B)
    there, back = s.softmax(-1).mean(0), s.mT.softmax(-1).mean(0)  # Eq. (2)
    return there, there.mT if transposed else back


@torch.no_grad()
def reinforce(data: TensorData, candidates: Tensor, teachers: Sequence[TwoTowers]) -> TensorData:
    """Store once what the teachers say of each item: a further caption, and their vectors.

    The further caption is the one of the candidates that the teachers find for the picture, by the mean of their
    cosines: here it stands for what a captioner writes.

    Args:
        data: ``image`` (N, 3, S, S) and ``caption`` (N, T).
        candidates: Captions that may be found, (M, T).
        teachers: K pairs of towers of one width.

    Returns:
        The same items, with ``synthetic`` (N, T), ``teacher_image``, ``teacher_caption`` and ``teacher_synthetic``
        (N, K, D), unit vectors.
    """

    def read(tower: str, x: Tensor) -> Tensor:
        rows = [torch.cat([getattr(towers, tower)(part) for part in torch.split(x, 1000)]) for towers in teachers]
        return F.normalize(torch.stack(rows, 1), dim=-1)  # (N, K, D)

    a, found = read("picture", data.tensors["image"]), read("caption", candidates)
    best = torch.einsum("nkd,mkd->nm", a, found).argmax(1)  # (N,)
    more = {"synthetic": candidates[best], "teacher_image": a, "teacher_synthetic": found[best]}
    return TensorData({**data.tensors, **more, "teacher_caption": read("caption", data.tensors["caption"])})


class MobileCLIP(Method):
    """Two small towers trained on a reinforced set; without its parts it is CLIP.

    Args:
        words: Size V of the vocabulary; by default that of the world of shapes.
        width: Number of features D of the student.
        channels: Maps of the picture tower's first convolution.
        distilled: λ: 0 is CLIP's loss alone, and needs no teacher; 1 is the teachers' alone.
        teacher_scale: t, what the teachers' cosines are multiplied by.
        smoothing: Share of each target of CLIP's loss that is spread over the batch.
        transposed: Whether the targets of captions are those of pictures turned over, as in a release.

    Raises:
        ValueError: If a share is none, or the teachers' scale is not positive.

    Source:
        Vasu et al. 2024; the loss as their code has it.
    """

    card = Card(
        name="MobileCLIP",
        family="contrast",
        paper="vasu2024mobileclip",
        summary="Trains small towers on stored further captions and on what an ensemble of teachers says of each pair.",
        inputs=("image", "caption"),
        claims=(
            Claim("R@1", "CLIP", "higher", name="reinforced-clip"),
            Claim("R@1", "CLIP with further captions", "higher", name="reinforced-captions"),
            Claim("R@1", "pairs filtered by the same teachers", "higher", kind="sanity", name="reinforced-filtered"),
            Claim("R@1", "label smoothing", "higher", kind="sanity", name="reinforced-smoothing"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLIP", "distillation", "noisy captions", "retrieval"),
    )

    def __init__(
        self,
        words: int = 26,
        width: int = 32,
        channels: int = 24,
        distilled: float = 1.0,
        teacher_scale: float = 100.0,
        smoothing: float = 0.0,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= distilled <= 1 or not 0 <= smoothing < 1 or not teacher_scale > 0:
            raise ValueError(
                f"distilled={distilled}, smoothing={smoothing}, teacher_scale={teacher_scale}: the first is a share, "
                "the second one below 1, and the scale is positive."
            )
        self.towers = TwoTowers(words, width, channels, patches=True)
        self.distilled, self.smoothing = distilled, smoothing
        self.teacher_scale, self.transposed = teacher_scale, transposed

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean over the caption sets of (1 - λ) CLIP + λ distillation.

        Args:
            batch: ``image`` (B, 3, S, S) and ``caption`` (B, T); ``synthetic`` (B, T), or it is left out; and for
                λ > 0 ``teacher_image`` and, of each caption set, ``teacher_<set>`` (B, K, D).
            rng: Not used.
        """
        u, tau = self.towers.picture(batch["image"]), 1 / self.towers.scale()
        sets = [name for name in ("caption", "synthetic") if name in batch]
        total = u.new_zeros(())
        for name in sets:
            v, B = self.towers.caption(batch[name]), len(u)
            if self.distilled < 1:
                targets = (1 - self.smoothing) * identity_targets(B, u) + self.smoothing / B
                total = total + (1 - self.distilled) * soft_contrastive(u, v, targets, tau)  # Eq. (1)
            if self.distilled > 0:
                there, back = affinities(
                    batch["teacher_image"], batch[f"teacher_{name}"], self.teacher_scale, self.transposed
                )
                total = total + self.distilled * soft_contrastive(u, v, there, tau, backward=back)  # Eq. (3)
        return {"loss": total / len(sets)}  # Eq. (4)

    def embed(self, batch: Batch) -> Tensor:
        """Unit vectors of picture and caption, (B, 2, D)."""
        with self.evaluating():
            u, v = self.towers.picture(batch["image"]), self.towers.caption(batch["caption"])
        return F.normalize(torch.stack([u, v], 1), dim=-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Without stored teachers, CLIP's loss alone."""
        return {} if "teacher_image" in item else {"distilled": 0.0}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve pictures of noise with two captions each, and two teachers that tell them apart."""
        rng = torch.Generator().manual_seed(seed)
        image = torch.rand(12, 3, 16, 16, generator=rng).repeat(1, 1, 2, 2) * 2 - 1
        captions = torch.randint(0, 20, (2, 12, 5), generator=rng)
        vectors = torch.randn(12, 2, 16, generator=rng)
        batch = {"image": image, "caption": captions[0], "synthetic": captions[1], "teacher_image": vectors}
        near = [vectors + 0.1 * torch.randn(vectors.shape, generator=rng) for _ in range(2)]
        batch |= {"teacher_caption": near[0], "teacher_synthetic": near[1]}
        return cls.seeded(seed, 20, width=16, channels=8), batch
