"""Trainings side by side are those that `fit` does one after the other, and what cannot be stacked is refused."""

from __future__ import annotations

import pytest
import torch

from mmlab import fit
from mmlab.data.worlds.dependency_world import dependency_world
from mmlab.methods.i2m2 import I2M2
from mmlab.methods.late_fusion import LateFusion
from mmlab.methods.unimodal import Unimodal
from mmlab.nn.fusion import FusionKind
from mmlab.train.side_by_side import fit_side_by_side

SHAPES = {"x1": (3,), "x2": (3,)}
HOW = {"steps": 12, "batch_size": 16, "lr": 1e-2, "weight_decay": 0.1, "schedule": "cosine", "progress": False}
WORLDS = [dependency_world(64, 3, 0.5, 0.8, seed=seed).pairs for seed in range(3)]


def late(kind: FusionKind):
    return lambda seed: LateFusion.seeded(seed, SHAPES, 2, width=8, fusion=kind)


BUILDERS = {
    "unimodal": lambda seed: Unimodal.seeded(seed, "x1", (3,), 2, width=6),
    "i2m2": lambda seed: I2M2.seeded(seed, SHAPES, 2, width=6),
    "concatenation": late("concatenation"),
    "cross_attention": late("cross_attention"),
    "low_rank": late("low_rank"),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_copies_side_by_side_end_where_each_ends_alone(name: str) -> None:
    alone = [BUILDERS[name](seed) for seed in range(3)]
    for method, world in zip(alone, WORLDS, strict=True):
        fit(method, world, seed=5, clip_norm=None, **HOW)
    together = [BUILDERS[name](seed) for seed in range(3)]
    before = [p.detach().clone() for p in together[0].parameters()]

    fit_side_by_side(together, WORLDS, seed=5, **HOW)

    for one, other in zip(alone, together, strict=True):
        for (part, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-3, msg=part)
    assert not torch.equal(before[0], next(together[0].parameters()))
    assert not together[0].training


def test_what_is_frozen_stays_where_it_was() -> None:
    methods = [late("low_rank")(seed) for seed in range(2)]
    for method in methods:
        method.fusion.factors.requires_grad_(False)
    start = [method.fusion.factors.state_dict() for method in methods]
    kept = [{key: value.clone() for key, value in state.items()} for state in start]

    fit_side_by_side(methods, WORLDS[:2], seed=0, **HOW)

    for method, state in zip(methods, kept, strict=True):
        for key, value in method.fusion.factors.state_dict().items():
            assert torch.equal(value, state[key])


def test_what_cannot_be_stacked_is_refused_in_a_sentence() -> None:
    build = BUILDERS["unimodal"]
    short = dependency_world(32, 3, 0.5, 0.8, seed=0).pairs
    with pytest.raises(ValueError, match="2 methods and 3 datasets"):
        fit_side_by_side([build(0), build(1)], WORLDS, **HOW)
    with pytest.raises(ValueError, match="number of items"):
        fit_side_by_side([build(0), build(1)], [WORLDS[0], short], **HOW)
    with pytest.raises(ValueError, match="copies of one method"):
        fit_side_by_side([build(0), BUILDERS["i2m2"](1)], WORLDS[:2], **HOW)
    with pytest.raises(ValueError, match="clip_norm"):
        fit_side_by_side([build(0)], WORLDS[:1], clip_norm=1.0, **HOW)
    wet = Unimodal.seeded(0, "x1", (3,), 2, width=6, dropout=0.5)
    with pytest.raises(ValueError, match="dropout"):
        fit_side_by_side([wet], WORLDS[:1], **HOW)
