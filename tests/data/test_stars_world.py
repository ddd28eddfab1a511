"""Drawn stars: the posterior is the law by which they are drawn, and each shared number is where it is said to be."""

from __future__ import annotations

import math

import pytest
import torch

from mmlab.data.worlds.stars_world import CLASSES, MODALITIES, shapes, stars_world


def test_same_arguments_give_the_same_stars() -> None:
    one, again, other = (stars_world().draw(20, seed) for seed in (1, 1, 2))
    assert one.fingerprint() == again.fingerprint() != other.fingerprint()
    assert {name: tuple(x.shape) for name, x in one.tensors.items() if name in MODALITIES} == {
        "light": (20, 1, 64),
        "spectrum": (20, 1, 64),
        "metadata": (20, 6),
    }
    assert len(stars_world(items=7).pairs) == 7


def test_shapes_have_mean_zero_and_mean_square_one() -> None:
    assert shapes().shape == (len(CLASSES), 64)
    assert shapes().mean(1).abs().max() < 1e-5
    assert torch.allclose(shapes().square().mean(1), torch.ones(len(CLASSES)))


@pytest.mark.parametrize("parts", [("light",), ("spectrum",), ("metadata",), ("light", "metadata"), MODALITIES])
def test_the_posterior_is_calibrated(parts: tuple[str, ...]) -> None:
    world = stars_world()
    stars = world.draw(1500, 3).tensors
    p = world.posterior(stars, parts)
    own = p[torch.arange(1500), stars["label"]]
    assert float(own.mean()) == pytest.approx(float(p.square().sum(1).mean()), abs=0.025), "E p(label) = E sum p²"
    right = (p.argmax(1) == stars["label"]).double().mean()
    assert float(right) == pytest.approx(float(p.max(1).values.mean()), abs=0.03)


def test_the_posterior_by_brute_force() -> None:
    """Every amplitude, phase, velocity and a fine grid of temperatures, one after the other."""
    world = stars_world(light_noise=2.0, spectrum_noise=0.6, metadata_noise=0.9)
    star = {name: x[:1].double() for name, x in world.draw(3, 4).tensors.items()}
    from mmlab.data.worlds import stars_world as home

    lines, slope, grid = home._lines().double(), home._slope().double(), torch.linspace(-8, 8, 1601).double()
    row = star["metadata"][0]

    def normal(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return -x.square() / (2 * sigma**2)

    total = []
    for c in range(len(CLASSES)):
        curve = [
            normal(star["light"][0, 0] - a * shapes()[c].double().roll(k), 2.0).sum() + normal(row[1] - 2 * a, 0.9)
            for a in (0.6, 1.0, 1.4)
            for k in range(64)
        ]
        lit = []
        for shift in range(-3, 4):
            apart = star["spectrum"][0, 0] - grid[:, None] * slope - lines[c].roll(shift)
            prior = normal(grid - home._TEMPERATURE[c], 1.0) + normal(row[0] - grid, 0.9)
            lit.append(normal(apart, 0.6).sum(1) + prior)
        rest = normal(row[2] - home._PERIOD[c], 0.9) + normal(row[3] - home._FOURTH[c], 0.9)
        total.append(torch.stack(curve).logsumexp(0) + torch.cat(lit).logsumexp(0) + rest)
    assert torch.allclose(torch.stack(total).softmax(0), world.posterior(star)[0], atol=1e-8)


def test_curve_and_row_share_the_amplitude_and_spectrum_and_row_the_temperature() -> None:
    stars = stars_world().draw(1500, 5).tensors
    power = stars["light"][:, 0].square().mean(1)
    tilt = stars["spectrum"][:, 0] @ torch.linspace(-1, 1, 64)

    def correlation(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([x, y]))[0, 1])

    assert correlation(power, stars["metadata"][:, 1]) > 0.3
    assert correlation(tilt, stars["metadata"][:, 0]) > 0.5
    assert abs(correlation(power, stars["metadata"][:, 4])) < 3 / math.sqrt(1500)
    with pytest.raises(ValueError, match="must all be positive"):
        stars_world(light_noise=0.0)
