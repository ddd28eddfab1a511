"""The network over vectors or images given time, and the regression that it starts from."""

import pytest
import torch

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
