"""A synthetic world of paired rest and motor connectivity, with known truth and known ceiling.

Each subject s has a latent vector z at rest and ρz + √(1-ρ²)ε while moving. Both states' covariances lie around the
mean of the state on the manifold of positive definite matrices,

    Σ(z) = R exp(a Σ_k z_k V_k) Rᵀ,  R Rᵀ = M,

with the same directions V_k. At rest R is the symmetric root of M; in the motor state it is the symmetric root times a
rotation, so that the same trait shows in somewhat different edges and a mere shift of the mean cannot be the best
prediction. A scan is a number of Gaussian frames with that covariance; connectivity is the Pearson
correlation of the frames. So the best possible prediction is known: the motor correlations themselves, of which the
short motor scan shows a noisy copy; and the best possible prediction *from rest* is known, their mean over ε.

The means are made of networks that lie between unimodal and transmodal cortex, of bodily symmetry and of distance, so
that the matrices look like brains; nothing about them is fitted to data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions, edges
from mmlab.wording import require_at_least

__all__ = ["RestMotorWorld", "atlas_regions", "rest_motor_world"]

Array = NDArray[np.float64]

SUBJECT_SCALE = 0.77
"""Scale a of individual differences in the log of the covariance."""
BLOCK_FRACTION = 0.02
"""Fraction of the variance of each direction V_k that is constant within a block of networks."""
UNIQUE_VARIANCE = 0.32
"""Variance of a region that it shares with no other."""
STATE_SHIFT = 0.4
"""How far the motor state brings sensorimotor regions together, and away from the default mode."""
GRADIENT_LOADING = 0.55
"""Loading of the factors that follow the gradient from unimodal to transmodal cortex."""
NETWORK_LOADING = 0.5
"""Loading of the factor of a network on its own regions."""
NEARNESS_VARIANCE = 0.15
"""Variance that a region shares with those near it, and with those near its mirror image."""
MIRROR_WEIGHT = 0.8
"""Nearness to the mirror image of a region in the other hemisphere, beside 1 to the region itself."""
MOTOR_AXIS = (0.8, -0.55)
"""Direction in the plane of the gradient in which the motor state moves sensorimotor regions."""

# Place of a network between unimodal (0) and transmodal (1) cortex. Only the order matters.
_GRADIENT = {
    "sensorimotor": 0.0, "SomatomotorDorsal": 0.0, "SomatomotorLateral": 0.05, "Auditory": 0.1,
    "occipital": 0.2, "Visual": 0.2, "DorsalAttention": 0.35, "cingulo-opercular": 0.45, "CinguloOpercular": 0.4,
    "cerebellum": 0.55, "Salience": 0.5, "VentralAttention": 0.6, "unassigned": 0.6, "Reward": 0.65,
    "fronto-parietal": 0.75, "FrontoParietal": 0.75, "MedialTemporalLobe": 0.85, "ParietoMedial": 0.9,
    "DefaultMode": 1.0, "default": 1.0,
}  # fmt: skip
_MOTOR = {"sensorimotor", "SomatomotorDorsal", "SomatomotorLateral"}


@dataclass(frozen=True, eq=False)
class RestMotorWorld:
    """Paired rest and motor connectivity of synthetic subjects, with the truth behind it.

    Attributes:
        pairs: What an experimenter sees: Pearson correlations of the frames of both scans.
        true_motor: (S, E), motor correlations without sampling noise: the ceiling of any prediction.
        latent: (S, K) float64, the rest latent z.
        coupling: ρ, correlation of the motor latent with the rest latent.
        motor_root: (N, N) float64, root R of the mean motor covariance R Rᵀ.
        directions: (K, N, N) float64, the directions a V_k.
    """

    pairs: ConnectomePairs
    true_motor: Tensor
    latent: Tensor
    coupling: float
    motor_root: Tensor
    directions: Tensor

    def attainable(self, indices: Sequence[int] | Tensor, draws: int = 64, seed: int = 0) -> Tensor:
        """Mean of the true motor correlations given z but not ε: the best that a predictor from rest can hope for.

        No predictor has z itself, only a noisy scan at rest, so this bounds them all in expected squared error.

        Args:
            indices: B positions of subjects.
            draws: Monte-Carlo draws of ε, in pairs ε and -ε.
            seed: Seed of the draws.

        Returns:
            (B, E).
        """
        z = self.latent[torch.as_tensor(indices, dtype=torch.long)]
        rng = torch.Generator().manual_seed(seed)
        total = torch.zeros(len(z), edges(self.motor_root).shape[-1], dtype=torch.float64)
        innovation = (1 - self.coupling**2) ** 0.5
        for _ in range(max(1, draws // 2)):
            noise = innovation * torch.randn(z.shape, generator=rng, dtype=torch.float64)
            for sign in (1.0, -1.0):
                covariance = _covariances(self.coupling * z + sign * noise, self.motor_root, self.directions)
                total += edges(_correlations(covariance))
        return (total / (2 * max(1, draws // 2))).float()

    def attainable_for(self, pairs: ConnectomePairs, draws: int = 64, seed: int = 0) -> Tensor:
        """:meth:`attainable` for the subjects of a split, found by their ids."""
        return self.attainable(self.indices(pairs), draws, seed)

    def indices(self, pairs: ConnectomePairs) -> list[int]:
        """Positions in this world of the subjects of a split."""
        place = {subject: i for i, subject in enumerate(self.pairs.subjects)}
        return [place[subject] for subject in pairs.subjects]


def rest_motor_world(
    subjects: int = 300,
    regions: int = 40,
    seed: int = 0,
    latents: int = 20,
    coupling: float = 0.8,
    reconfiguration: float = 0.26,
    rest_frames: int = 1200,
    motor_frames: int = 284,
) -> RestMotorWorld:
    """Draw a world. The same arguments give the same world.

    Args:
        subjects: S, number of subjects.
        regions: N, 12 to 160 from the Dosenbach atlas, to 300 from the Seitzman atlas, to 600 with made-up neighbours.
        seed: Seed of everything that is random.
        latents: K, dimension of individual differences.
        coupling: ρ in [0, 1], how much of a subject's rest latent is left in the motor state.
        reconfiguration: Size of the rotation between the states: root mean square angle, in radians, by which it
            turns a region's axis. With 0, the same latent makes the same differences in both states, and adding the
            mean shift to the rest matrix is nearly the best that can be done; the larger, the more there is to learn.
        rest_frames: Frames of the rest scan; the Human Connectome Project has 1200.
        motor_frames: Frames of the motor scan; the Human Connectome Project has 284.

    Returns:
        The world, with N(N-1)/2 edges per matrix.

    Raises:
        ValueError: If an argument is out of its range.
    """
    require_at_least(subjects=(subjects, 2), latents=(latents, 1))
    require_at_least(rest_frames=(rest_frames, 3), motor_frames=(motor_frames, 3))
    if not 0 <= coupling <= 1:
        raise ValueError(f"coupling={coupling} is not a correlation of latents: choose 0 to 1.")
    rng = np.random.default_rng(seed)
    atlas = atlas_regions(regions)
    rest_mean, motor_mean = _group_means(atlas, rng)
    rest_root = torch.from_numpy(_root(rest_mean))
    motor_root = torch.from_numpy(_root(motor_mean) @ _rotation(regions, reconfiguration, rng))
    directions = torch.from_numpy(SUBJECT_SCALE * _directions(atlas, latents, rng))
    latent = torch.from_numpy(rng.standard_normal((subjects, latents)))
    innovation = torch.from_numpy(rng.standard_normal((subjects, latents)))
    motor_latent = coupling * latent + (1 - coupling**2) ** 0.5 * innovation
    rest = _covariances(latent, rest_root, directions)
    motor = _covariances(motor_latent, motor_root, directions)
    pairs = ConnectomePairs(
        source=_scans(rest, rest_frames, rng),
        target=_scans(motor, motor_frames, rng),
        subjects=tuple(f"world-{i:04d}" for i in range(subjects)),
        regions=atlas,
        source_name="rest",
        target_name="motor",
    )
    true_motor = edges(_correlations(motor)).float()
    return RestMotorWorld(pairs, true_motor, latent, coupling, motor_root, directions)


def atlas_regions(count: int) -> Regions:
    """Regions of a bundled atlas, spread evenly over its networks.

    Args:
        count: Up to 160 regions come from Dosenbach et al. 2010, up to 300 from Seitzman et al. 2018. Beyond that,
            there is no bundled atlas: each further region is made up, a neighbour a few mm from a Seitzman region.

    Returns:
        The regions, those of one network side by side.

    Raises:
        ValueError: If ``count`` is below 12 (too few for every network) or above 600.
    """
    if not 12 <= count <= 600:
        raise ValueError(f"regions={count}: choose 12 to 600, so that every network has a region.")
    from nilearn import datasets

    fetch = datasets.fetch_coords_dosenbach_2010 if count <= 160 else datasets.fetch_coords_seitzman_2018
    atlas = fetch()
    networks = [str(network) for network in atlas["networks"]]
    places = np.column_stack([np.asarray(atlas["rois"][axis], dtype=np.float64) for axis in "xyz"])
    names = [str(n) for n in atlas["labels"]] if count <= 160 else [f"{n} {i}" for i, n in enumerate(networks)]
    order = sorted(range(len(networks)), key=lambda i: (networks[i], i))
    real = min(count, len(order))
    chosen = [order[i] for i in np.linspace(0, len(order) - 1, real).round().astype(int)]
    extra = [chosen[i] for i in np.linspace(0, real - 1, count - real).round().astype(int)]
    shift = np.random.default_rng(0).normal(scale=4.0, size=(len(extra), 3))
    where = np.concatenate([places[chosen], places[extra] + shift])
    label = [names[i] for i in chosen] + [f"{names[i]}, made-up neighbour" for i in extra]
    network = [networks[i] for i in chosen + extra]
    order = sorted(range(count), key=lambda i: (network[i], i))
    return Regions(
        names=tuple(label[i] for i in order),
        networks=tuple(network[i] for i in order),
        coordinates=torch.from_numpy(where[order]).float(),
    )


def _group_means(regions: Regions, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean covariances (N, N) of rest and motor: factors of networks, nearness and symmetry, and unique variance."""
    count = len(regions)
    gradient = np.array([_GRADIENT[network] for network in regions.networks])
    motor = np.array([network in _MOTOR for network in regions.networks], dtype=np.float64)
    names = sorted(set(regions.networks))
    member = np.array([[float(network == name) for name in names] for network in regions.networks])  # (N, networks)
    # An angle of up to 120 degrees between the ends of the gradient: they are anticorrelated.
    angle = gradient * 2 * np.pi / 3
    along = np.column_stack([np.cos(angle), np.sin(angle)])  # (N, 2)
    jitter = 1 + 0.3 * rng.standard_normal((count, 1))
    assert regions.coordinates is not None
    place = regions.coordinates.double().numpy()
    mirrored = place * np.array([-1.0, 1.0, 1.0])
    near = _kernel(place, place) + MIRROR_WEIGHT * _kernel(place, mirrored)  # positive semi-definite
    state = 0.1 * rng.standard_normal((count, 3))
    means = []
    for shift in (0.0, STATE_SHIFT):
        # The motor state strengthens the sensorimotor network and moves it away from the default mode.
        networks = member * (1 + shift * motor[:, None])
        moved = along + shift * motor[:, None] * np.array(MOTOR_AXIS)
        factors = np.column_stack([GRADIENT_LOADING * jitter * moved, NETWORK_LOADING * networks, (shift > 0) * state])
        means.append(factors @ factors.T + NEARNESS_VARIANCE * near + UNIQUE_VARIANCE * np.eye(count))
    return means[0], means[1]


def _kernel(one: Array, other: Array) -> Array:
    """Nearness (N, N) of regions: Gaussian of their distance, with 20 mm as its scale."""
    squared = ((one[:, None] - other[None]) ** 2).sum(-1)
    return np.asarray(np.exp(-squared / (2 * 20.0**2)))


def _directions(regions: Regions, latents: int, rng: np.random.Generator) -> Array:
    """Directions V_k (K, N, N): symmetric, partly constant within blocks of networks, of unit expected size.

    The scale 1/√(KN) keeps the spectrum of Σ_k z_k V_k the same for every N and K.
    """
    count = len(regions)
    names = sorted(set(regions.networks))
    member = np.array([[float(network == name) for name in names] for network in regions.networks])
    member /= np.sqrt(member.sum(0))  # orthonormal columns
    fine = rng.standard_normal((latents, count, count))
    coarse = rng.standard_normal((latents, len(names), len(names))) * np.sqrt(count / len(names))
    total = np.sqrt(1 - BLOCK_FRACTION) * fine + np.sqrt(BLOCK_FRACTION) * (member @ coarse @ member.T)
    symmetric = (total + total.transpose(0, 2, 1)) / np.sqrt(2)
    return np.asarray(symmetric / np.sqrt(latents * count))


def _rotation(count: int, angle: float, rng: np.random.Generator) -> Array:
    """A rotation (N, N) by this root mean square angle."""
    draw = torch.from_numpy(rng.standard_normal((count, count)))
    return np.asarray(torch.linalg.matrix_exp(angle * (draw - draw.T) / (2 * count) ** 0.5))


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values)) @ vectors.T)


def _covariances(latent: Tensor, root: Tensor, directions: Tensor) -> Tensor:
    """Σ = R exp(Σ_k z_k V_k) Rᵀ for each row of z: (S, K), (N, N), (K, N, N) -> (S, N, N)."""
    step = torch.einsum("sk,kij->sij", latent, directions)
    return root @ torch.linalg.matrix_exp(step) @ root.mT


def _correlations(covariance: Tensor) -> Tensor:
    scale = covariance.diagonal(dim1=-2, dim2=-1).rsqrt()
    return covariance * scale[..., None] * scale[..., None, :]


def _scans(covariances: Tensor, frames: int, rng: np.random.Generator) -> Tensor:
    """Edges (S, E) of the Pearson correlations of Gaussian frames with these covariances."""
    rows = []
    for factor in torch.linalg.cholesky(covariances):
        series = torch.from_numpy(rng.standard_normal((frames, len(factor)))) @ factor.T  # (T, N)
        rows.append(edges(torch.corrcoef(series.T)).float())
    return torch.stack(rows)
