"""The network over vectors or images given time, and the regression that it starts from."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from mmlab.method import Method
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.ddbm import DDBM
from mmlab.methods.flow_matching import FlowMatching
from mmlab.methods.score_diffusion import ScoreDiffusion
from mmlab.nn.field import LinearStart, make_field, ridge


def few(people: int = 60, size: int = 200, factors: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources and targets of few people that share a few factors; a third of the values never varies."""
    rng = torch.Generator().manual_seed(0)
    loadings = torch.randn(factors, size, generator=rng).double()
    loadings[:, : size // 3] = 0
    scores = torch.randn(people, factors, generator=rng).double()
    source, target = (
        scores @ loadings + (loadings[0] != 0) * torch.randn(people, size, generator=rng).double() for _ in range(2)
    )
    return source - source.mean(0), target - target.mean(0)


def test_the_leave_one_out_error_is_that_of_leaving_one_out() -> None:
    """With more values than people the smallest penalty fits all of them exactly, and must not be chosen."""
    source, target = few()
    directions, coefficients, error = ridge(source, target, 256)
    fitted = (source @ directions @ coefficients - target).square().mean().sqrt()
    assert float(fitted) > 0.3 * error
    fresh_source, fresh_target = source[:20], target[:20]
    directions, coefficients, _ = ridge(source[20:], target[20:], 256)
    missed = (fresh_source @ directions @ coefficients - fresh_target).square().mean().sqrt()
    assert float(missed) == pytest.approx(error, rel=0.15)
    assert error < float(target.square().mean().sqrt())


def test_few_pairs_are_not_shown_to_the_network() -> None:
    source, target = few()
    for directions, seen in ((None, 0), (3, 3)):
        start = LinearStart((200,), directions=directions)
        start.solve(source, target)
        assert torch.linalg.matrix_rank(start.show(source.float()), atol=1e-3) == seen
    many = LinearStart((2,))
    many.solve(source[:, -2:].repeat(3, 1), target[:, -2:].repeat(3, 1))
    assert torch.linalg.matrix_rank(many.show(source[:, -2:].float())) == 2


def test_shapes_are_of_vectors_or_images() -> None:
    for shape in ((3, 3), (), (0,), (1, 0, 4)):
        with pytest.raises(ValueError, match="shape is"):
            make_field(shape, 1)


class Counting(LinearStart):
    """Counts how often it regresses."""

    count = 0

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        self.count += self._held is None
        return super().forward(source)


def methods() -> list[Method]:
    return [
        BridgeMatching((30,), 16, 1),
        DDBM((30,), 16, 1),
        ScoreDiffusion((30,), 16, 1),
        FlowMatching((30,), 16, 1, "paired", condition_on_source=True, origin="noise"),
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_sampler_regresses_once_and_draws_the_same(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    method: Any = methods()[number].eval()
    method.linear = Counting((30,))
    source, target = torch.randn(2, 40, 30, generator=torch.Generator().manual_seed(1))
    method.start_from([{"source": a, "target": b} for a, b in zip(source, target, strict=True)])
    made = method.sample(source, steps=4, rng=torch.Generator().manual_seed(2))
    assert method.linear.count == 1
    monkeypatch.setattr(Counting, "hold", lambda self, source: nullcontext())
    assert torch.equal(method.sample(source, steps=4, rng=torch.Generator().manual_seed(2)), made)
    assert method.linear.count > 4
    other = method.sample(source + 1, steps=4, rng=torch.Generator().manual_seed(2))
    assert not torch.allclose(other, made)
