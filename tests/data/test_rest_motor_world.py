"""The world: deterministic, with the law that it states, the truth that it promises and the table of its baselines."""

import numpy as np
import pytest
import torch

from mmlab.data.connectome import matrices
from mmlab.data.worlds import rest_motor_world as module
from mmlab.data.worlds.rest_motor_world import RestMotorWorld, atlas_regions, rest_motor_world
from mmlab.metrics.connectome import block_means, rmse


@pytest.fixture(scope="module")
def world() -> RestMotorWorld:
    return rest_motor_world(subjects=120, seed=3)


def test_same_arguments_same_world(world: RestMotorWorld) -> None:
    again = rest_motor_world(subjects=120, seed=3)
    assert torch.equal(again.pairs.source, world.pairs.source)
    assert torch.equal(again.pairs.target, world.pairs.target)
    assert torch.equal(again.true_motor, world.true_motor)
    assert not torch.equal(rest_motor_world(subjects=120, seed=4).pairs.source, world.pairs.source)


def test_truth_is_a_correlation_matrix(world: RestMotorWorld) -> None:
    values = torch.linalg.eigvalsh(matrices(world.true_motor.double()))
    assert float(values.min()) > 0
    assert float(world.true_motor.abs().max()) < 1


def test_scan_noise_has_the_variance_of_fishers_z(world: RestMotorWorld) -> None:
    """Var[artanh r] = 1/(T-3) for T Gaussian frames. It pins the frames that were drawn."""
    residual = (torch.atanh(world.pairs.target) - torch.atanh(world.true_motor)).double()
    assert abs(float(residual.mean())) < 0.003
    assert float(residual.square().mean()) * (284 - 3) == pytest.approx(1, abs=0.06)


def test_the_truth_follows_the_stated_map(world: RestMotorWorld) -> None:
    """Independent transcription with SciPy of R exp(a Σ z V) Rᵀ, at full coupling, where z gives the motor state."""
    from scipy.linalg import expm

    still = rest_motor_world(subjects=3, seed=0, coupling=1.0)
    for z, truth in zip(still.latent.numpy(), still.true_motor, strict=True):
        step = sum(z[k] * still.directions[k].numpy() for k in range(len(z)))
        covariance = still.motor_root.numpy() @ expm(step) @ still.motor_root.numpy().T
        scale = np.sqrt(np.diag(covariance))
        expected = (covariance / np.outer(scale, scale))[np.triu_indices(40, 1)]
        assert np.allclose(truth.numpy(), expected, atol=1e-6)
    assert torch.allclose(still.attainable([0, 2], draws=2), still.true_motor[[0, 2]], atol=1e-6)


def test_attainable_is_the_conditional_mean(world: RestMotorWorld) -> None:
    """It beats what knows more or less wrongly, and does not see the innovation."""
    indices = list(range(120))
    best = rmse(world.attainable(indices), world.true_motor)
    mean = rmse(world.true_motor.mean(0).expand(120, -1), world.true_motor)
    assert 0.5 * mean < best < 0.75 * mean  # √(1-0.8²) = 0.6 of the differences cannot be known
    wrong = world.attainable(indices[1:] + indices[:1])
    assert rmse(wrong, world.true_motor) > mean
    fewer = world.attainable(indices, draws=16, seed=5)
    assert rmse(fewer, world.attainable(indices)) < 0.25 * best


def test_attainable_is_a_mean_over_the_innovation(world: RestMotorWorld) -> None:
    """Against 3000 draws of N(ρz, 1-ρ²) for one subject; half the innovation would miss by much more."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1500, 20))
    latent = 0.8 * world.latent[7].numpy() + 0.6 * np.concatenate([noise, -noise])
    step = np.einsum("sk,kij->sij", latent, world.directions.numpy())
    covariance = world.motor_root @ torch.linalg.matrix_exp(torch.from_numpy(step)) @ world.motor_root.T
    scale = covariance.diagonal(dim1=1, dim2=2).sqrt()
    mean = (covariance / scale[:, :, None] / scale[:, None, :]).mean(0)[*np.triu_indices(40, 1)]
    still = torch.linalg.matrix_exp(torch.einsum("k,kij->ij", 0.8 * world.latent[7], world.directions))
    still = world.motor_root @ still @ world.motor_root.T
    without = torch.from_numpy(
        np.asarray(still / (still.diag()[:, None] * still.diag()).sqrt())[np.triu_indices(40, 1)]
    )
    ours = world.attainable([7], draws=400)[0]
    assert rmse(ours, mean) < 0.3 * rmse(without, mean)


def test_attainable_for_finds_subjects_by_id(world: RestMotorWorld) -> None:
    test = world.pairs.split(20, seed=0)[1]
    indices = [world.pairs.subjects.index(subject) for subject in test.subjects]
    assert torch.equal(world.pairs.source[world.indices(test)], test.source)
    assert torch.equal(world.attainable_for(test, draws=4), world.attainable(indices, draws=4))


def test_pictures_look_like_brains(world: RestMotorWorld) -> None:
    """Within networks r is high; moving strengthens sensorimotor coupling and parts it from the default mode."""
    networks = world.pairs.regions.networks
    rest, motor = world.pairs.source.mean(0), world.pairs.target.mean(0)
    names = sorted(set(networks))
    blocks = [(a, b) for i, a in enumerate(names) for b in names[i:]]
    means = {pair: (float(r), float(m)) for pair, r, m in zip(
        blocks, block_means(rest, networks), block_means(motor, networks), strict=True
    )}  # fmt: skip
    within = min(r for (a, b), (r, _) in means.items() if a == b)
    between = max(r for (a, b), (r, _) in means.items() if a != b)
    assert within > between + 0.05
    assert means["sensorimotor", "sensorimotor"][1] > means["sensorimotor", "sensorimotor"][0] + 0.05
    assert means["default", "sensorimotor"][1] < means["default", "sensorimotor"][0] < 0


@pytest.mark.parametrize(("count", "networks"), [(12, 6), (40, 6), (160, 6), (161, 14), (300, 14), (400, 14)])
def test_every_network_is_there(count: int, networks: int) -> None:
    regions = atlas_regions(count)
    assert len(regions) == len(set(regions.names)) == count
    assert len(set(regions.networks)) == networks
    assert regions.coordinates is not None
    assert regions.coordinates.shape == (count, 3)
    assert regions.order().tolist() == list(range(count))  # networks side by side already
    made_up = sum("made-up" in name for name in regions.names)
    assert made_up == max(0, count - 300)


def test_atlas_is_the_published_one() -> None:
    regions = atlas_regions(160)
    assert regions.coordinates is not None
    place = regions.names.index("vmPFC 1")
    assert regions.networks[place] == "default"
    assert regions.coordinates[place].tolist() == [6, 64, 3]


def test_large_worlds_are_possible() -> None:
    large = rest_motor_world(subjects=2, regions=400, rest_frames=50, motor_frames=50)
    assert large.pairs.source.shape == (2, 79800)
    assert float(large.pairs.source.abs().max()) <= 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"regions": 11}, "choose 12 to 600"),
        ({"regions": 601}, "choose 12 to 600"),
        ({"subjects": 1}, "subjects=1 is too small: choose at least 2"),
        ({"coupling": 1.1}, "choose 0 to 1"),
        ({"motor_frames": 2}, "motor_frames=2 is too small: choose at least 3"),
    ],
)
def test_impossible_worlds_are_refused(arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rest_motor_world(**arguments)  # type: ignore[arg-type]


def test_rotation_is_a_rotation_of_the_stated_size() -> None:
    rotation = module._rotation(200, 0.3, np.random.default_rng(0))
    assert np.allclose(rotation @ rotation.T, np.eye(200), atol=1e-12)
    angle = np.arccos(np.clip(np.diag(rotation), -1, 1))
    assert np.sqrt((angle**2).mean()) == pytest.approx(0.3, rel=0.05)
