"""Laws of the reference diffusion, for any variance and both schedules."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlab.diffusion.reference import Reference, expand_to

law = settings(max_examples=25, deadline=None, derandomize=True)
references = st.builds(Reference, st.floats(0.01, 10), st.sampled_from(["constant", "triangular"]))
GRID = torch.linspace(0, 1, 2001, dtype=torch.float64)


@law
@given(references)
def test_variance_is_gathered_from_nothing_to_all(reference):
    gathered = reference.from_start(GRID)
    assert gathered[0] == 0
    assert float(gathered[-1]) == pytest.approx(reference.sigma**2)
    assert (gathered.diff() >= 0).all()
    assert torch.allclose(gathered + reference.to_end(GRID), torch.full_like(GRID, reference.sigma**2))


@law
@given(references)
def test_the_variance_is_the_integral_of_the_coefficient(reference):
    beta = reference.beta(GRID)
    assert (beta >= 0).all()
    assert torch.allclose(beta, reference.beta(1 - GRID))
    integral = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(beta, GRID)])
    assert torch.allclose(integral, reference.from_start(GRID), atol=1e-6 * reference.sigma**2)


@law
@given(references, st.floats(0.1, 10))
def test_variance_scales_with_the_square(reference, factor):
    scaled = Reference(reference.sigma * factor, reference.schedule)
    for name in ("beta", "from_start", "to_end"):
        expected = factor**2 * getattr(reference, name)(GRID)
        assert torch.allclose(getattr(scaled, name)(GRID), expected, rtol=1e-9, atol=1e-12)


@law
@given(st.integers(1, 5), st.lists(st.integers(1, 3), max_size=4))
def test_times_broadcast(items, shape):
    t, x = torch.rand(items), torch.rand(items, *shape)
    spread = expand_to(t, x)
    assert spread.ndim == x.ndim
    assert torch.equal((spread * torch.ones_like(x)).reshape(items, -1)[:, 0], t)
