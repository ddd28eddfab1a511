"""GILL's mapper beside a transcription of the released one, and the simpler ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmlab.nn.mapper import Mapper

STATES = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")  # theirs
def test_the_full_mapper_is_the_released_one() -> None:
    """A plain ``nn.Transformer``, as the repository has it, with the same names and weights."""
    ours = Mapper(12, 8, 6, 5, hidden=16, layers=2, heads=4).eval()
    theirs = nn.Transformer(16, 4, 2, 2, dim_feedforward=64, dropout=0.0, batch_first=True, norm_first=True).eval()
    theirs.load_state_dict(ours.tfm.state_dict())
    wanted = ours.model(theirs(ours.fc(STATES), ours.query_embs.repeat(3, 1, 1)))
    torch.testing.assert_close(ours(STATES), wanted)


@pytest.mark.parametrize("kind", ["full", "encoder", "mlp", "linear"])
def test_every_kind_gives_one_vector_for_each_query_and_looks_at_every_state(kind: str) -> None:
    mapper = Mapper(12, 8, 6, 5, kind, hidden=16, layers=1, heads=2)  # type: ignore[arg-type]
    made = mapper(STATES)
    assert made.shape == (3, 5, 6)
    for place in range(8):
        moved = STATES.clone()
        moved[:, place] += 1
        assert (mapper(moved) - made).abs().max() > 1e-5
    torch.testing.assert_close(mapper(STATES[1:2]), made[1:2])


def test_the_linear_mapper_is_linear_and_the_others_are_not() -> None:
    for kind in ("linear", "mlp", "encoder", "full"):
        mapper = Mapper(12, 8, 6, 5, kind, hidden=16, layers=1, heads=2)  # type: ignore[arg-type]
        a, b = STATES[:1], STATES[1:2]
        gap = mapper((a + b) / 2) - (mapper(a) + mapper(b)) / 2
        assert (gap.abs().max() < 1e-5) == (kind == "linear")
