"""Oracles of the Schrödinger bridge: Gaussian closed forms, iterations by least squares, resumption bit by bit."""

import functools
import math

import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.diffusion.reference import Reference
from mmlab.methods.bridge_matching import bridge_moments
from mmlab.methods.schrodinger_bridge import SchrodingerBridge, iteration_at, regularisation, simulate
from mmlab.train import fit

LIMIT = (math.sqrt(5) - 1) / 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(shape=(1,), **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SchrodingerBridge(shape, 32, 1, **arguments)


def slopes(x0, x1, sigma, times, rng):
    """For each time, the least-squares slope of the end on the state of a bridge between centred pairs."""
    found = {}
    for t in times.tolist():
        mean, variance = bridge_moments(Reference(sigma), x0, x1, torch.tensor(t, dtype=x0.dtype))
        x = mean + variance.sqrt() * torch.randn(x0.shape, generator=rng, dtype=x0.dtype)
        found[t] = (x * x1).mean() / x.square().mean()
    return found


def fitted_by_least_squares(sigma, iterations, n=40_000, steps=100):
    """Correlation of the ends after each iteration, with exact linear regression in place of a network."""
    rng = generator(1)
    x0, x1 = torch.randn(2, n, dtype=torch.float64, generator=rng)
    times = 1 - (1 - torch.linspace(0, 1, steps + 1, dtype=torch.float64)) ** 1.5
    path = []
    for _ in range(iterations):
        slope = slopes(x0, x1, sigma, times[:-1], rng)
        x0 = torch.randn(n, dtype=torch.float64, generator=rng)
        x1 = simulate(lambda x, t, slope=slope: slope[t.item()] * x, Reference(sigma), x0, steps, rng)
        path.append(torch.corrcoef(torch.stack([x0, x1]))[0, 1].item())
    return path


def test_iterations_by_least_squares_follow_the_law():
    path = fitted_by_least_squares(1.0, 4)
    for found, expected in zip(path, [0.546293, 0.611143, 0.617385, 0.617973], strict=True):
        assert found == pytest.approx(expected, abs=0.02)  # 3 standard errors, and the bias of the steps
    assert abs(path[0] - LIMIT) > 0.05


def test_the_steps_of_the_simulation_keep_the_spread():
    rng = generator(5)
    x0 = torch.randn(100_000, generator=rng, dtype=torch.float64)

    def end(x, t):
        return ((1 - t) * LIMIT + t) / ((1 - t) ** 2 + t**2 + t * (1 - t) * (2 * LIMIT + 1)) * x

    x1 = simulate(end, Reference(1.0), x0, 10, rng)
    assert x1.var().item() == pytest.approx(1, abs=0.015)  # in equal steps 0.93 or, with noise on the last, 1.03
    assert (x0 * x1).mean().item() == pytest.approx(LIMIT, abs=0.012)


def test_simulation_towards_a_known_end_arrives():
    end = torch.full((50, 2), 3.0)
    assert torch.equal(
        simulate(lambda x, t: end, Reference(0.7), torch.zeros(50, 2), 9, generator()).round(decimals=4), end
    )


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 0), (0.39, 0), (0.4, 1), (0.549, 1), (0.551, 2), (0.99, 4), (1.0, 4)]
)
def test_iterations_share_the_training(progress, expected):
    assert iteration_at(progress, 5, 0.4) == expected
    assert iteration_at(progress, 1, 0.4) == 0


def data(d, n=10_000, a=0.1):
    x0, x1 = torch.randn(2, n, d, generator=generator(3))
    return TensorData({"source": x0 - a, "target": x1 + a})


@functools.cache
def trained(coupling, iterations):
    method = small((5,), coupling=coupling, iterations=iterations, simulation_steps=15)
    settings = {"batch_size": 128, "lr": 5e-3, "schedule": "cosine", "ema_decay": 0.98, "progress": False}
    fit(method, data(5), steps=500 if coupling == "markovian" else 250, **settings)
    return method


def moments(start, end):
    covariance = ((start - start.mean(0)) * (end - end.mean(0))).mean().item()
    return end.mean().item(), end.var(0).mean().item(), covariance


@pytest.mark.parametrize(
    ("coupling", "iterations", "expected", "within"),
    [("markovian", 1, 0.546, 0.04), ("markovian", 4, LIMIT, 0.035), ("sinkhorn", 1, LIMIT, 0.06)],
)
def test_gaussians_of_the_published_protocol(coupling, iterations, expected, within):
    method, test = trained(coupling, iterations), data(5).tensors
    forward = moments(test["source"], method.sample(test["source"], sampler="euler", rng=generator()))
    backward = moments(test["target"], method.sample_source(test["target"], rng=generator()))
    for (mean, variance, covariance), aim in ((forward, 0.1), (backward, -0.1)):
        assert mean == pytest.approx(aim, abs=0.1)
        assert variance == pytest.approx(1, abs=0.08)
        assert covariance == pytest.approx(expected, abs=within)


class TowardsTheData(torch.nn.Module):
    """Predicts the drifts towards the data's own ends, 5 forward and 3 backward, and notes the states that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, t):
        x, t = x.flatten(1), t[:, None]
        self.seen.append(x)
        return torch.stack([(5 - x) / (1 - t), (3 - x) / t], 1)


def test_each_direction_learns_from_the_pairs_of_the_other():
    method = small((2,), iterations=2).train()
    method.progress = 0.9
    method.recouple = lambda x0, x1, rng: (torch.full_like(x1, 1000.0), torch.full_like(x0, -1000.0))
    method.network = method.previous = TowardsTheData()
    x0, x1 = torch.full((64, 2), 3.0), torch.full((64, 2), 5.0)
    loss = method.loss({"source": x0, "target": x1}, generator())["loss"]
    assert loss < 1e-3  # what the copy made, ±1000, is never what is regressed on
    states = torch.cat(method.network.seen)
    assert states.min() < -500  # forward: bridges from where the copy carried the targets
    assert states.max() > 500  # backward: from where it carried the sources


def test_the_regularisation_is_twice_the_variance_of_the_reference():
    assert regularisation(0.8) == pytest.approx(2 * 0.8**2)


def test_the_copy_makes_the_pairs():
    method = small((2,), iterations=3, simulation_steps=5).train()
    batch = {key: value[:64] for key, value in data(2).tensors.items()}
    before = {name: tensor.clone() for name, tensor in method.previous.state_dict().items()}
    for parameter in method.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    method.loss(batch, generator())
    assert all(torch.equal(before[name], tensor) for name, tensor in method.previous.state_dict().items())
    method.progress = 0.5
    one = method.loss(batch, generator())["loss"]
    assert method.iteration == 1
    copied = method.previous.state_dict()
    assert all(torch.equal(tensor, copied[name]) for name, tensor in method.network.state_dict().items())
    method.previous.decode.bias.data += 3
    assert method.loss(batch, generator())["loss"] != one


def test_validation_does_not_begin_an_iteration():
    method = small((2,), iterations=3).eval()
    method.progress = 1.0
    method.loss({key: value[:8] for key, value in data(2).tensors.items()}, generator())
    assert method.iteration == 0


@pytest.mark.parametrize("stopped_after", [7, 12, 16])
def test_a_resumed_run_has_the_same_bits(stopped_after, tmp_path):
    settings = {"batch_size": 16, "lr": 1e-2, "ema_decay": 0.9, "progress": False, "save_every": stopped_after}
    arguments = {"iterations": 3, "simulation_steps": 2}
    pairs = data(2, n=40)
    whole = small((2,), **arguments)
    fit(whole, pairs, steps=20, **settings)

    class StoppedError(Exception):
        pass

    class Faulty(SchrodingerBridge):
        def loss(self, batch, rng):
            if self.progress * 20 > stopped_after + 0.5:
                raise StoppedError
            return super().loss(batch, rng)

    broken = small((2,), **arguments)
    Faulty.__module__, Faulty.__qualname__ = SchrodingerBridge.__module__, SchrodingerBridge.__qualname__
    broken.__class__ = Faulty
    with pytest.raises(StoppedError):
        fit(broken, pairs, steps=20, out=tmp_path, **settings)
    resumed = small((2,), **arguments)
    fit(resumed, pairs, steps=20, out=tmp_path, **settings)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert resumed.iteration == 2


@pytest.mark.parametrize("coupling", ["markovian", "sinkhorn"])
def test_images(coupling):
    method = small((2, 8, 8), coupling=coupling, iterations=2, simulation_steps=2, scale=2.0).train()
    x0, x1 = torch.randn(2, 3, 2, 8, 8, generator=generator())
    method.progress = 1.0
    method.loss({"source": x0, "target": x1}, generator())["loss"].backward()
    assert method.sample(x0, steps=2, rng=generator()).shape == x0.shape
    assert method.sample_source(x1, steps=2, rng=generator()).shape == x0.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coupling": "optimal"}, "coupling is one of markovian, sinkhorn"),
        ({"iterations": 0}, "at least 1"),
        ({"first": 1.0}, "between 0 and 1"),
        ({"sigma": 0.0}, "must be positive"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
