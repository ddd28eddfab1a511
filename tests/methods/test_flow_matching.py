"""Oracles of flow matching: the Gaussian velocity field, exact assignments, straight paths."""

import functools

import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.planar_world import planar_world
from mmlab.diffusion.coupling import optimal_partners
from mmlab.diffusion.ode import integrate
from mmlab.methods.flow_matching import FlowMatching, point_on_path, straight_velocity
from mmlab.metrics.transport import excess_energy, gaussian_velocity
from mmlab.train import fit

MEANS = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([2.0, -1.0], dtype=torch.float64)
S0 = torch.tensor([[1.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
S1 = torch.tensor([[0.4, -0.2], [-0.2, 2.0]], dtype=torch.float64)
NONE = torch.zeros(2, 2, dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def small(shape=(2,), **arguments):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FlowMatching(shape, 32, 1, **arguments)


def test_the_path_has_the_velocity_of_the_line():
    x0, x1, z = torch.randn(3, 9, 4, generator=generator(), dtype=torch.float64)
    t = torch.rand(9, 1, generator=generator(1), dtype=torch.float64)
    slope = (point_on_path(x0, x1, t + 1e-6, 0.4, z) - point_on_path(x0, x1, t - 1e-6, 0.4, z)) / 2e-6
    torch.testing.assert_close(slope, straight_velocity(x0, x1), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(point_on_path(x0, x1, torch.ones(9, 1), 0.0, z), x1)


def test_the_exact_field_carries_gaussian_to_gaussian():
    x = torch.randn(40_000, 2, generator=generator(), dtype=torch.float64) @ torch.linalg.cholesky(S0).T + MEANS[0]
    end = integrate(lambda x, t: gaussian_velocity(x, t[0].item(), MEANS, S0, S1, NONE), x, steps=20, solver="rk4").end
    torch.testing.assert_close(end.mean(0), MEANS[1], rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(end.T), S1, rtol=0, atol=0.05)


@functools.cache
def trained_on_gaussians():
    x0, x1 = torch.randn(2, 20_000, 2, generator=generator(1), dtype=torch.float64)
    x0, x1 = (m + x @ torch.linalg.cholesky(s).T for m, x, s in zip(MEANS, (x0, x1), (S0, S1), strict=True))
    method = small(sigma=0.2)
    data = TensorData({"source": x0.float(), "target": x1.float()})
    fit(method, data, steps=700, batch_size=256, lr=5e-3, schedule="cosine", ema_decay=0.98, progress=False)
    return method, x0


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_a_trained_network_meets_the_gaussian_field(t):
    method, _ = trained_on_gaussians()
    spread = (1 - t) ** 2 * S0 + t**2 * S1
    x = torch.randn(500, 2, generator=generator(2), dtype=torch.float64) @ torch.linalg.cholesky(spread).T
    x = x + (1 - t) * MEANS[0] + t * MEANS[1]
    exact = gaussian_velocity(x, t, MEANS, S0, S1, NONE, sigma=0.2)
    with torch.no_grad():
        learned = method.velocity(x.float(), torch.full((500,), t), x.float()).double()
    error = (learned - exact).square().mean() / (exact - exact.mean(0)).square().mean()
    assert error < 0.04


def test_a_trained_network_carries_the_moments():
    method, x0 = trained_on_gaussians()
    end = method.sample(x0.float(), rng=generator()).double()
    torch.testing.assert_close(end.mean(0), MEANS[1], rtol=0, atol=0.12)
    torch.testing.assert_close(torch.cov(end.T), S1 + 0.04 * torch.eye(2).double(), rtol=0, atol=0.2)


class Watched(FlowMatching):
    """Flow matching that keeps what its network was asked, and answers zero."""

    def velocity(self, x, t, source):
        self.asked = x, t, source
        return 0 * x + 0 * next(self.parameters()).sum()


@pytest.mark.parametrize("coupling", ["independent", "optimal", "paired"])
def test_the_coupling_reaches_the_loss(coupling):
    method = Watched((3,), 8, 1, coupling)
    x0 = torch.randn(16, 3, generator=generator())
    x1 = x0[torch.randperm(16, generator=generator(1))] * 2 + 5
    loss = method.loss({"source": x0, "target": x1}, generator(3))["loss"]
    partners = {
        "independent": torch.randperm(16, generator=generator(3)),
        "optimal": optimal_partners(x0, x1),
        "paired": torch.arange(16),
    }
    losses = {name: (x1[order] - x0).square().mean().item() for name, order in partners.items()}
    assert loss.item() == pytest.approx(losses[coupling])
    assert len({round(value, 4) for value in losses.values()}) == 3
    x, t, source = method.asked
    torch.testing.assert_close(x, (1 - t[:, None]) * x0 + t[:, None] * x1[partners[coupling]])
    assert torch.equal(source, x0)


def test_targets_are_shuffled_even_if_the_rows_are_pairs():
    method = Watched((1,), 8, 1)
    x = torch.linspace(-3, 3, 64)[:, None]
    assert method.loss({"source": x, "target": x}, generator())["loss"] > 1  # with pairs it would be 0


@functools.cache
def planar(coupling, time_conditioning=True):
    world = planar_world("normal", "eight_gaussians", points=4000, fresh=500)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = FlowMatching((2,), 48, 1, coupling, time_conditioning=time_conditioning)
    fit(method, world.train, steps=300, batch_size=128, lr=5e-3, schedule="cosine", progress=False)
    x = world.test.tensors["source"]
    with torch.no_grad():
        return integrate(lambda x, t: method.velocity(x, t, x), x, steps=20)


def test_optimal_coupling_makes_straighter_and_shorter_paths():
    independent, optimal = planar("independent").path, planar("optimal").path
    assert excess_energy(optimal) < 0.03 < 0.1 < excess_energy(independent)
    lengths = [(path[-1] - path[0]).square().sum(1).mean() for path in (optimal, independent)]
    assert lengths[0] < lengths[1]


def test_given_the_source_one_answer_unless_there_is_noise():
    x0, z = torch.randn(2, 4000, 1, generator=generator())
    data = TensorData({"source": x0, "target": x0 + torch.sign(z)})  # two equally likely targets
    ends = {}
    for sigma in (0.0, 0.3):
        method = small((1,), coupling="paired", condition_on_source=True, sigma=sigma)
        fit(method, data, steps=400, batch_size=128, lr=5e-3, schedule="cosine", progress=False)
        ends[sigma] = method.sample(torch.zeros(500, 1), rng=generator())
    assert ends[0.0].std() < 1e-3
    shares = [(ends[0.3] < -0.5).float().mean(), (ends[0.3] > 0.5).float().mean()]
    assert min(shares) > 0.3


def test_no_noise_means_no_chance():
    method, batch = FlowMatching.demo()
    one, other = (method.sample(batch["source"], rng=generator(seed)) for seed in (0, 1))
    assert torch.equal(one, other)
    noisy = FlowMatching(**(method.config | {"sigma": 0.5}))
    one, other = (noisy.sample(batch["source"], rng=generator(seed)) for seed in (0, 1))
    assert (one - other).std() == pytest.approx(0.5 * 2**0.5, rel=0.2)


@pytest.mark.parametrize("shape", [(6,), (2, 8, 8)])
@pytest.mark.parametrize("given", [True, False])
def test_vectors_and_images(shape, given):
    method = small(shape, coupling="paired", condition_on_source=given, scale=3.0)
    x0, x1 = torch.randn(2, 3, *shape, generator=generator())
    method.loss({"source": x0, "target": x1}, generator())["loss"].backward()
    assert method.sample(x0, steps=2, rng=generator()).shape == x0.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coupling": "sorted"}, "coupling is one of"),
        ({"condition_on_source": True}, "needs coupling='paired'"),
        ({"sigma": -1.0}, "cannot be -1.0"),
        ({"shape": (3, 3)}, r"shape is \(E,\)"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlowMatching(**{"shape": (4,)} | arguments)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="must both have shape"):
        small().loss({"source": torch.zeros(4, 2), "target": torch.zeros(4, 3)}, generator())
