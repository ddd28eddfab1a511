"""Probes: what a few labels teach, where the penalty comes from, and that the mean of a class is a prototype."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlab.compare.probes import STRENGTHS, LinearProbe, few, linear_probe, nearest_mean


def blobs(count: int, seed: int, spread: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 3
    return 2 * torch.eye(3, 6)[label] + spread * torch.randn(count, 6, generator=rng), label


def test_few_has_so_many_of_each_class_and_other_ones_with_another_seed() -> None:
    label = torch.tensor([0, 1, 2] * 10)
    rows = few(label, 4, seed=1)
    assert torch.bincount(label[rows]).tolist() == [4, 4, 4]
    assert len(rows.unique()) == 12
    assert torch.equal(rows, few(label, 4, seed=1))
    assert not torch.equal(rows, few(label, 4, seed=2))
    with pytest.raises(ValueError, match="fewer than shots=11"):
        few(label, 11)


def test_the_nearest_mean_by_hand() -> None:
    x, label = blobs(30, 0)
    new, _ = blobs(9, 1)
    means = torch.stack([F.normalize(F.normalize(x[label == k], dim=1).mean(0), dim=0) for k in range(3)])
    assert torch.allclose(nearest_mean(x, label, new, 3), F.normalize(new, dim=1) @ means.T, atol=1e-6)


def test_the_line_learns_and_its_penalty_is_the_best_on_validation() -> None:
    (x, label), validation, (new, truth) = blobs(60, 0, 1.0), blobs(90, 1, 1.0), blobs(300, 2, 1.0)
    probe = linear_probe(x, label, validation)
    assert probe.right(new, truth).mean() > 0.8
    made = probe.probabilities(new)
    assert torch.equal((made.argmax(1) == truth).float(), probe.right(new, truth))
    scores = {c: float(LinearProbe(x, label, c).right(*validation).mean()) for c in STRENGTHS}
    assert scores[probe.strength] == max(scores.values())
    assert probe.strength == min(c for c, score in scores.items() if score == max(scores.values()))
    noise = label[torch.randperm(60, generator=torch.Generator().manual_seed(3))]
    assert linear_probe(x, noise, validation).right(new, truth).mean() < 0.6
