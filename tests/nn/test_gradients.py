"""Scaled gradients: exactly scaled, with noise of exactly the stated spread, and nothing else changed."""

import copy

import pytest
import torch
from torch import nn

from mmlab.nn.gradients import StepSums, draw_noise, scale_gradients, spread


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(*, normalised=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        middle = nn.BatchNorm1d(7) if normalised else nn.Identity()
        return nn.Sequential(nn.Linear(5, 7), middle, nn.ReLU(), nn.Linear(7, 3)).double()


def gradients(module, x, factor=None, rng=None):
    """Output, gradients of the parameters, and gradient of the input, of a fixed function of the output."""
    module, x = copy.deepcopy(module), x.clone().requires_grad_()
    output = module(x)
    (output**2 * torch.arange(1, 4)).sum().backward()
    if factor is not None:
        scale_gradients(module, factor, None if rng is None else draw_noise(module, rng))
    return output, {name: p.grad for name, p in module.named_parameters()}, x.grad, module


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("factor", [0.0, 0.25, 1.0, 1.76])
def test_gradients_of_the_parameters_are_scaled_and_nothing_else(factor, as_tensor):
    x = torch.randn(9, 5, generator=generator(), dtype=torch.float64)
    output, plain, through, module = gradients(network(), x)
    given = torch.tensor(factor, dtype=x.dtype) if as_tensor else factor
    same, scaled, also_through, other = gradients(network(), x, given)
    assert torch.equal(output, same)
    assert torch.equal(through, also_through)
    for name, gradient in plain.items():
        assert torch.equal(scaled[name], factor * gradient), name
    for key, value in module.state_dict().items():  # the running statistics move as always
        assert torch.equal(value, other.state_dict()[key]), key


def test_only_the_part_is_scaled():
    x = torch.randn(9, 5, generator=generator(), dtype=torch.float64)
    _, plain, _, _ = gradients(network(), x)
    _, _, _, whole = gradients(network(), x)
    scale_gradients(whole[3], 0.5)
    for name, parameter in whole.named_parameters():
        assert torch.equal(parameter.grad, 0.5 * plain[name] if name.startswith("3.") else plain[name]), name


def test_a_parameter_without_a_gradient_is_left_alone():
    module = network()
    scale_gradients(module, 2.0, draw_noise(module, generator()))
    assert all(parameter.grad is None for parameter in module.parameters())


def test_noise_has_the_spread_of_the_unscaled_gradient():
    x = torch.randn(9, 5, generator=generator(), dtype=torch.float64)
    _, plain, through, module = gradients(network(), x)
    _, noisy, also_through, _ = gradients(network(), x, 0.3, generator(5))
    rng = generator(5)
    assert torch.equal(through, also_through)
    for name, parameter in module.named_parameters():
        z = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
        torch.testing.assert_close(noisy[name], 0.3 * plain[name] + plain[name].std() * z)


def test_noise_is_normal_with_the_stated_variance():
    layer, x = nn.Linear(400, 300), torch.randn(8, 400, generator=generator())
    layer(x).square().sum().backward()
    plain = layer.weight.grad.clone()
    scale_gradients(layer, 0.0, draw_noise(layer, generator(1)))
    noise = layer.weight.grad / plain.std()
    assert noise.mean().item() == pytest.approx(0, abs=0.01)  # 3 standard errors
    assert noise.var().item() == pytest.approx(1, abs=0.013)
    assert noise.pow(4).mean().item() == pytest.approx(3, abs=0.1)


def test_one_entry_has_no_spread():
    layer = nn.Linear(2, 1)
    layer(torch.ones(3, 2)).sum().backward()
    scale_gradients(layer, 0.5, draw_noise(layer, generator()))
    assert spread(torch.ones(1)) == 0
    assert layer.bias.grad.item() == 1.5


def test_parameter_used_twice_gets_the_noise_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.arange(4.0))

        def forward(self, x):
            return (self.weight * x).sum() + (self.weight * x * x).sum()

    module, x = Twice(), torch.tensor([1.0, 2.0, 3.0, 4.0])
    module(x).backward()
    scale_gradients(module, 0.5, draw_noise(module, generator(2)))
    whole = x + x * x
    expected = 0.5 * whole + whole.std() * torch.randn(4, generator=generator(2))
    torch.testing.assert_close(module.weight.grad, expected)


def test_a_factor_with_a_shape_is_refused():
    with pytest.raises(ValueError, match=r"factor must be a scalar, not a tensor of shape \(1,\): take one"):
        scale_gradients(nn.Linear(2, 2), torch.ones(1))


def test_sums_of_a_step_add_up_and_are_taken_once():
    sums = StepSums()
    sums.add(score=torch.tensor(1.0, requires_grad=True), count=torch.tensor([1, 2]))
    sums.add(score=torch.tensor(2.0), count=torch.tensor([3, 4]))
    taken = sums.take()
    assert taken["score"] == 3
    assert not taken["score"].requires_grad
    assert taken["count"].tolist() == [4, 6]
    assert sums.take() == {}
    sums.add(score=torch.tensor(1.0))
    sums.clear()
    assert sums.take() == {}


def train(optimiser, factor, steps=40, **settings):
    module, rng = network(normalised=False), generator(3)
    x, y = torch.randn(64, 5, generator=rng, dtype=torch.float64), torch.randint(3, (64,), generator=rng)
    steer = optimiser(module.parameters(), **settings)
    for _ in range(steps):
        steer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        scale_gradients(module, factor)
        steer.step()
    return torch.nn.utils.parameters_to_vector(module.parameters())


def test_a_constant_factor_is_a_learning_rate():
    """With stochastic gradient descent, momentum included; Adam divides by the gradient's size and does not see it."""
    slow, fast = (train(torch.optim.SGD, factor, lr=0.05, momentum=0.9) for factor in (1.0, 1.5))
    torch.testing.assert_close(train(torch.optim.SGD, 1.0, lr=0.075, momentum=0.9), fast)
    assert (slow - fast).abs().max() > 0.05
    adam = [train(torch.optim.AdamW, factor, lr=0.01, eps=1e-15) for factor in (0.1, 1.0, 1.5)]
    torch.testing.assert_close(adam[0], adam[1])
    torch.testing.assert_close(adam[2], adam[1])
