"""One contrastive loss, many targets: which items of one modality should be found from which of the other?

Embeddings a_i and b_j of two modalities are compared by s_ij = cos(a_i, b_j)/τ. The loss is the cross-entropy between
a matrix T of targets and the row softmax of s, and the same from b to a. Only T tells the published losses apart:

======================  =============================================  =============================
loss                    row i of T                                     function
======================  =============================================  =============================
CLIP (InfoNCE)          1 on i                                         :func:`identity_targets`
mixup contrastive       β_i on i, and 1 - β_i added on its partner     :func:`mixup_targets`
SoftClip                softmax of the similarities within b           :func:`similarity_targets`
NT-Xent                 1 on the other view; itself is left out        :func:`twin_targets`
======================  =============================================  =============================
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "cosine_similarity",
    "draw_mixing",
    "identity_targets",
    "mix",
    "mixup_targets",
    "nt_xent",
    "similarity_targets",
    "soft_contrastive",
    "twin_targets",
]


def cosine_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosines of all pairs: a (A, D) and b (B, D) to (A, B), in [-1, 1]."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT


def soft_contrastive(
    a: Tensor,
    b: Tensor,
    targets: Tensor,
    temperature: float | Tensor = 0.1,
    *,
    backward: Tensor | None = None,
    compared: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of soft targets with the softmax of cosine similarities, mean of both directions.

    ½ [H(T, softmax(s)) + H(T', softmax(sᵀ))] with s = cos(a, b)/τ and H(T, P) = -(1/B) Σ_ij T_ij log P_ij.

    Args:
        a: Embeddings of one modality, (B, D); they need no normalisation, and are not changed.
        b: Embeddings of the other, (B, D).
        targets: T, (B, B): where item i of a should look among b.
        temperature: τ; a learned one is passed as a tensor.
        backward: T', where item j of b should look among a. By default Tᵀ: the same pairs, seen from the other side.
        compared: Which pairs are compared at all, boolean (B, B); by default all. Others leave the softmax.

    Returns:
        A scalar, in nats; at least the mean entropy of the targets' rows, if those sum to one.

    Raises:
        ValueError: If the shapes do not fit together, or a temperature that is a number is not positive and finite.

    Source:
        With T = I: Radford et al. 2021, figure 3.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"The embeddings are {tuple(a.shape)} and {tuple(b.shape)}; both must be the same (B, D).")
    square = (len(a), len(a))
    for name, matrix in (("targets", targets), ("backward", backward), ("compared", compared)):
        if matrix is not None and tuple(matrix.shape) != square:
            raise ValueError(f"{name} is {tuple(matrix.shape)}; for {len(a)} pairs it must be {square}.")
    _check_temperature(temperature)
    logits = cosine_similarity(a, b) / temperature  # (B, B)
    there = _cross_entropy(logits, targets, compared)
    back = _cross_entropy(
        logits.mT, targets.mT if backward is None else backward, None if compared is None else compared.mT
    )
    return (there + back) / 2


def _cross_entropy(logits: Tensor, targets: Tensor, compared: Tensor | None) -> Tensor:
    if compared is not None:
        logits = logits.masked_fill(~compared, -torch.inf)
    log_p = logits.log_softmax(-1)
    if compared is not None:
        log_p = log_p.masked_fill(~compared, 0)  # 0 · log 0 is to be 0, not NaN
    return -(targets * log_p).sum(-1).mean()


def identity_targets(count: int, like: Tensor | None = None) -> Tensor:
    """Targets of CLIP, (B, B): each item looks for its own pair and nothing else.

    Args:
        count: B.
        like: A tensor whose device and type are taken over.
    """
    if like is None:
        return torch.eye(count)
    return torch.eye(count, device=like.device, dtype=like.dtype)


def mixup_targets(weight: Tensor, partner: Tensor) -> Tensor:
    """Targets of mixup contrastive learning, (B, B): β_i on i, and 1 - β_i *added* on its partner.

    Added, not written: an item may be its own partner, and its row must still sum to one. A column need not: an item
    that is the partner of a mixture is looked for twice.

    Args:
        weight: β in [0, 1], (B,).
        partner: A permutation of the items, integers (B,).

    Source:
        Kumar et al. 2024, M3CoL; Scotti et al. 2023 before them.
    """
    return torch.diag(weight).scatter_add(1, partner[:, None], (1 - weight)[:, None])


def similarity_targets(teacher: Tensor, temperature: float = 0.125) -> Tensor:
    """Targets of SoftClip, (B, B): the row softmax of the cosines within one modality; no gradient flows into them.

    An item is most similar to itself, so the targets of CLIP are the limit of a temperature of zero.

    Args:
        teacher: Embeddings of the modality that says what is similar, (B, D).
        temperature: Temperature of the targets.

    Raises:
        ValueError: If the temperature is not positive and finite.

    Source:
        Gao et al. 2024, SoftCLIP.
    """
    _check_temperature(temperature)
    teacher = teacher.detach()
    return (cosine_similarity(teacher, teacher) / temperature).softmax(-1)


def twin_targets(count: int, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Targets of NT-Xent for 2B rows, in which rows i and B + i are two views of item i.

    Args:
        count: B.
        like: A tensor whose device and type are taken over.

    Returns:
        Targets (2B, 2B), one on the other view; and which pairs are compared, (2B, 2B): all but each row with itself.
    """
    targets = identity_targets(2 * count, like).roll(count, dims=1)
    return targets, ~torch.eye(2 * count, dtype=torch.bool, device=targets.device)


def nt_xent(a: Tensor, b: Tensor, temperature: float | Tensor = 0.5) -> Tensor:
    """NT-Xent (Chen et al. 2020, Eq. 1): all 2B embeddings are anchors, so those of its own modality are negatives too.

    Args:
        a: Embeddings of one view or modality, (B, D).
        b: Embeddings of the other, (B, D).
        temperature: τ.
    """
    both = torch.cat([a, b])
    targets, compared = twin_targets(len(a), both)
    return soft_contrastive(both, both, targets, temperature, compared=compared)


def mix(x: Tensor, weight: Tensor, partner: Tensor) -> Tensor:
    """Mix each item with its partner: β_i x_i + (1 - β_i) x_partner(i), in new memory.

    Args:
        x: Items (B, ...), left as they are.
        weight: β in [0, 1], (B,).
        partner: A permutation of the items, integers (B,).

    Raises:
        ValueError: If there is not one weight and one partner for each item.

    Source:
        Zhang et al. 2018, mixup.
    """
    if not weight.shape == partner.shape == x.shape[:1]:
        raise ValueError(
            f"{len(x)} items are mixed with weights {tuple(weight.shape)} and partners {tuple(partner.shape)}: "
            "give one of each for every item."
        )
    beta = weight.view(-1, *[1] * (x.ndim - 1))
    return beta * x + (1 - beta) * x[partner]


def draw_mixing(count: int, concentration: float, probability: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw who is mixed with whom, and how much: β_i ~ Beta(c, c) with a probability for each item, else 1.

    Args:
        count: B.
        concentration: c; small values give weights near 0 and 1.
        probability: Share of the items that are mixed at all.
        rng: The only source of randomness.

    Returns:
        Weights (B,) and partners (B,), a permutation, on the device of the generator.

    Raises:
        ValueError: If the concentration is not positive and finite, or the probability is none.
    """
    if not 0 < concentration < math.inf or not 0 <= probability <= 1:
        raise ValueError(f"Mixing needs a concentration > 0 and a probability, not {concentration} and {probability}.")
    from scipy.special import betaincinv

    draws = torch.rand(2, count, generator=rng, device=rng.device)
    # The quantile function turns uniform draws into draws of Beta, which torch cannot take from a generator.
    quantiles = betaincinv(concentration, concentration, draws[0].double().cpu().numpy())
    beta = torch.as_tensor(quantiles).to(draws)
    weight = torch.where(draws[1] < probability, beta, 1)
    return weight, torch.randperm(count, generator=rng, device=rng.device)


def _check_temperature(temperature: float | Tensor) -> None:
    """A learned temperature is left alone: to look at it would stop an accelerator at every step."""
    if not isinstance(temperature, Tensor) and not 0 < temperature < math.inf:
        raise ValueError(f"temperature={temperature} must be positive and finite.")
