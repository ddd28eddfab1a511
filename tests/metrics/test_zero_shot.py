"""Zero-shot classes: one prompt is its own class, order does not count, and the scale changes no answer."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mmlab.metrics.zero_shot import class_vectors, zero_shot


def test_one_prompt_is_the_class_and_several_are_averaged_as_unit_vectors() -> None:
    p = torch.tensor([[2.0, 0.0], [0.0, 5.0], [3.0, 3.0]])
    assert torch.allclose(class_vectors(p, torch.arange(3), 3), F.normalize(p, dim=1))
    mixed = class_vectors(p, torch.tensor([0, 0, 1]), 2)
    assert torch.allclose(mixed[0], torch.tensor([0.5**0.5, 0.5**0.5]))  # lengths 2 and 5 count the same
    order = torch.tensor([2, 0, 1])
    assert torch.allclose(class_vectors(p[order], torch.tensor([0, 0, 1])[order], 2), mixed)


def test_the_answer_is_the_nearest_class_at_any_scale() -> None:
    rng = torch.Generator().manual_seed(0)
    x, classes = torch.randn(50, 8, generator=rng), torch.randn(5, 8, generator=rng)
    nearest = F.cosine_similarity(x[:, None], classes[None], dim=-1).argmax(1)
    for scale in (1.0, 100.0):
        made = zero_shot(x, classes, scale)
        assert torch.allclose(made.sum(1), torch.ones(50))
        assert torch.equal(made.argmax(1), nearest)
    assert zero_shot(x, classes, 100.0).amax(1).mean() > zero_shot(x, classes, 1.0).amax(1).mean()


def test_a_class_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="of 3 classes"):
        class_vectors(torch.ones(2, 4), torch.tensor([0, 2]), 3)
    with pytest.raises(ValueError, match="of 2 classes"):
        class_vectors(torch.ones(2, 4), torch.tensor([0, 2]), 2)
    with pytest.raises(ValueError, match="need a class each"):
        class_vectors(torch.ones(2, 4), torch.tensor([0]), 1)
