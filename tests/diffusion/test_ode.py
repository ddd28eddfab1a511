"""Solvers of ordinary differential equations: their order, their calls, their steps."""

import math

import pytest
import torch

from mmlab.diffusion.ode import integrate

CALLS = {"euler": 1, "midpoint": 2, "rk4": 4}


def turning(x, t):
    """dx/dt = 2t A x, a rotation by t² radians."""
    return 2 * t[:, None] * torch.stack([-x[:, 1], x[:, 0]], 1)


START = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
EXACT = torch.tensor([[math.cos(1), math.sin(1)], [-2 * math.sin(1), 2 * math.cos(1)]], dtype=torch.float64)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_halving_the_step_shows_the_order(solver, order):
    errors = [
        (integrate(turning, START, steps=steps, solver=solver).end - EXACT).abs().max().item() for steps in (16, 32)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("solver", [*CALLS, "adaptive"])
def test_calls_are_counted(solver):
    calls = []

    def field(x, t):
        calls.append(1)
        return turning(x, t)

    solution = integrate(field, START, steps=7, solver=solver)
    assert solution.calls == len(calls)
    assert solution.calls == CALLS.get(solver, solution.calls // 3 * 3 + 1) * (7 if solver in CALLS else 1)
    assert solution.times[0] == 0
    assert solution.times[-1] == 1
    assert solution.path.shape == (len(solution.times), *START.shape)
    assert torch.equal(solution.path[0], START)


def test_the_adaptive_solver_meets_its_tolerance_with_more_calls():
    loose, tight = (integrate(turning, START, solver="adaptive", tolerance=tolerance) for tolerance in (1e-2, 1e-6))
    assert (tight.end - EXACT).abs().max() < 2e-5
    assert (loose.end - EXACT).abs().max() > (tight.end - EXACT).abs().max()
    assert tight.calls > loose.calls


def test_the_adaptive_solver_goes_slowly_where_the_field_is_steep():
    solution = integrate(lambda x, t: 40 * torch.exp(-(((t[:, None] - 0.5) * 20) ** 2)) * x, START, solver="adaptive")
    near = ((solution.times > 0.4) & (solution.times < 0.6)).sum()
    assert near > len(solution.times) / 2


@pytest.mark.parametrize("wrong", [{"solver": "heun"}, {"steps": 0}, {"tolerance": 0.0}])
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="one of euler, midpoint, rk4, adaptive"):
        integrate(turning, START, **wrong)
