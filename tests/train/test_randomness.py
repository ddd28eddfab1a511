"""A generator is its seed."""

import pytest
import torch

import mmlab


def test_a_generator_is_its_seed() -> None:
    one, same, other = (torch.rand(3, generator=mmlab.generator(seed)) for seed in (4, 4, 5))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.rand(3, generator=mmlab.generator()), torch.rand(3, generator=mmlab.generator(0)))
    with pytest.raises(ValueError, match="seed=-1 is negative"):
        mmlab.generator(-1)
