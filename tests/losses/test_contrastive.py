"""The contrastive losses beside loops over pairs and an installed library, and what a released one got wrong."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from mmlab.losses.contrastive import (
    cosine_similarity,
    draw_mixing,
    identity_targets,
    mix,
    mixup_targets,
    nt_xent,
    similarity_targets,
    soft_contrastive,
    twin_targets,
)


def embeddings(count: int = 12, width: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    a = torch.randn(count, width, generator=rng, dtype=torch.float64)
    return a, a + torch.randn(count, width, generator=rng, dtype=torch.float64)


def mixing(count: int = 12) -> tuple[Tensor, Tensor]:
    """Weights, and partners of whom some are their own."""
    rng = torch.Generator().manual_seed(1)
    weight = torch.rand(count, generator=rng, dtype=torch.float64)
    partner = torch.arange(count)
    partner[2:9] = torch.arange(2, 9).roll(1)
    return weight, partner


def log_p(a: Tensor, b: Tensor, temperature: float) -> list[list[float]]:
    """Row log-softmax of cosines in plain Python."""

    def cosine(x: list[float], y: list[float]) -> float:
        dot = sum(p * q for p, q in zip(x, y, strict=True))
        return dot / math.sqrt(sum(p * p for p in x)) / math.sqrt(sum(q * q for q in y))

    rows = [[cosine(x, y) / temperature for y in b.tolist()] for x in a.tolist()]
    return [[s - math.log(sum(map(math.exp, row))) for s in row] for row in rows]


def test_clip_is_the_loss_of_transformers() -> None:
    a, b = embeddings()
    expected = image_text_contrastive_loss(cosine_similarity(a, b) / 0.07)
    assert float(soft_contrastive(a, b, identity_targets(12, a), 0.07)) == pytest.approx(float(expected), rel=1e-12)


def test_mixup_contrastive_pair_by_pair() -> None:
    a, b = embeddings()
    weight, partner = mixing()
    mixed = mix(a, weight, partner)
    there, back = log_p(mixed, b, 0.1), log_p(b, mixed, 0.1)
    total = 0.0
    for i, (beta, j) in enumerate(zip(weight.tolist(), partner.tolist(), strict=True)):
        total -= beta * there[i][i] + (1 - beta) * there[i][j]  # the mixture looks for both of its parts
        total -= beta * back[i][i] + (1 - beta) * back[j][i]  # both parts look for the mixture
    found = soft_contrastive(mixed, b, mixup_targets(weight, partner), 0.1)
    assert float(found) == pytest.approx(total / 24, rel=1e-10)


def test_softclip_pair_by_pair() -> None:
    a, b = embeddings()
    soft = torch.tensor(log_p(b, b, 0.125)).exp()
    there, back = torch.tensor(log_p(a, b, 0.125)), torch.tensor(log_p(b, a, 0.125))
    expected = -(soft * there).sum() / 24 - (soft * back).sum() / 24
    targets = similarity_targets(b)
    assert float(soft_contrastive(a, b, targets, 0.125, backward=targets)) == pytest.approx(float(expected), rel=1e-6)


def test_nt_xent_anchor_by_anchor() -> None:
    a, b = embeddings(5)
    both = F.normalize(torch.cat([a, b]), dim=1)
    total = 0.0
    for i in range(10):
        others = [k for k in range(10) if k != i]
        scores = torch.stack([both[i] @ both[k] / 0.5 for k in others])
        total += float(scores.logsumexp(0) - both[i] @ both[(i + 5) % 10] / 0.5)
    assert float(nt_xent(a, b)) == pytest.approx(total / 10, rel=1e-10)


def test_a_weight_of_one_is_clip() -> None:
    a, _ = embeddings()
    _, partner = mixing()
    ones = torch.ones(12, dtype=torch.float64)
    assert torch.equal(mixup_targets(ones, partner), identity_targets(12, a))
    assert torch.equal(mix(a, ones, partner), a)


def test_rows_of_all_targets_sum_to_one_even_if_an_item_is_its_own_partner() -> None:
    weight, partner = mixing()
    assert bool((partner == torch.arange(12)).any())
    a, b = embeddings()
    for targets in (mixup_targets(weight, partner), similarity_targets(b), identity_targets(12, a), twin_targets(6)[0]):
        torch.testing.assert_close(targets.sum(1).double(), torch.ones(12).double())
        assert bool((targets >= 0).all())


def test_softclip_with_cold_targets_is_clip() -> None:
    _, b = embeddings()
    torch.testing.assert_close(similarity_targets(b, 1e-4), identity_targets(12, b))
    assert similarity_targets(b, 10.0).sub(1 / 12).abs().max() < 0.01  # and hot ones are uniform


def test_nothing_is_changed_in_place() -> None:
    a, b = embeddings()
    weight, partner = mixing()
    before = [value.clone() for value in (a, b, weight, partner)]
    targets = mixup_targets(weight, partner)
    soft_contrastive(mix(a, weight, partner), b, targets, 0.1, backward=similarity_targets(b))
    nt_xent(a, b)
    for value, copy in zip((a, b, weight, partner), before, strict=True):
        assert torch.equal(value, copy)


def test_the_gradient_of_a_logit_is_softmax_minus_target() -> None:
    a, b = embeddings(4, width=3)
    targets = mixup_targets(torch.tensor([0.3, 1.0, 0.8, 0.5]).double(), torch.tensor([1, 0, 3, 2]))
    a = F.normalize(a, dim=1).requires_grad_()
    soft_contrastive(a, b, targets, 0.1).backward()
    s = (F.normalize(a.detach(), dim=1) @ F.normalize(b, dim=1).T) / 0.1
    residual = (s.softmax(1) - targets) / 8 + (s.T.softmax(1) * targets.sum(0)[:, None] - targets.T).T / 8
    along = residual @ F.normalize(b, dim=1) / 0.1
    tangent = along - (along * a.detach()).sum(1, keepdim=True) * a.detach()  # a lies on the sphere
    torch.testing.assert_close(a.grad, tangent)


def test_no_gradient_flows_into_the_similarity_targets() -> None:
    b = embeddings()[1].requires_grad_()
    assert not similarity_targets(b).requires_grad


def test_one_pair_has_nothing_to_tell_apart() -> None:
    a, b = embeddings(1)
    assert float(soft_contrastive(a, b, identity_targets(1, a))) == 0
    assert math.isfinite(float(nt_xent(a, b)))


def test_the_loss_is_least_where_prediction_is_target() -> None:
    a, b = embeddings()
    targets = (cosine_similarity(a, b) / 0.1).softmax(-1)
    back = (cosine_similarity(b, a) / 0.1).softmax(-1)
    entropy = -(targets * targets.log()).sum(1).mean() - (back * back.log()).sum(1).mean()
    assert float(soft_contrastive(a, b, targets, 0.1, backward=back)) == pytest.approx(float(entropy) / 2)


def test_drawn_weights_follow_beta_and_the_probability() -> None:
    weight, partner = draw_mixing(40_000, 0.15, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(partner.sort().values, torch.arange(40_000))
    mixed = weight[weight < 0.999]
    law = stats.beta(0.15, 0.15)
    below = [float((weight <= x).double().mean()) for x in (0.01, 0.3, 0.7, 0.99)]
    assert below == pytest.approx([0.5 * law.cdf(x) for x in (0.01, 0.3, 0.7, 0.99)], abs=0.01)
    assert len(mixed) / 40_000 == pytest.approx(0.5 * law.cdf(0.999), abs=0.01)
    again = draw_mixing(40_000, 0.15, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(again[0], weight)
    assert torch.equal(again[1], partner)
    assert bool((draw_mixing(50, 0.15, 0.0, torch.Generator())[0] == 1).all())


def test_what_does_not_fit_is_refused() -> None:
    a, b = embeddings()
    with pytest.raises(ValueError, match="same"):
        soft_contrastive(a, b[:5], identity_targets(12))
    with pytest.raises(ValueError, match="targets is"):
        soft_contrastive(a, b, identity_targets(5))
    with pytest.raises(ValueError, match="concentration"):
        draw_mixing(3, 0.0, 0.5, torch.Generator())
