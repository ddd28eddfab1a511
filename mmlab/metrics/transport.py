"""Distances between clouds of points, the straightness of paths, and the dull ways to carry one cloud to another."""

from __future__ import annotations

import torch
from torch import Tensor

from mmlab.diffusion.gaussian import matrix_root
from mmlab.wording import require_at_least

__all__ = [
    "conditional_energy_distance",
    "energy_distance",
    "excess_energy",
    "exchange_test",
    "gaussian_map",
    "gaussian_velocity",
    "neighbour_map",
    "wasserstein2",
]

LARGEST_SET = 12_000
"""Points per set for the exact distance: beyond this the matrix of costs alone takes more than a gigabyte."""


def wasserstein2(x: Tensor, y: Tensor) -> float:
    """Exact 2-Wasserstein distance between two sets of points: root of the least mean squared distance of a matching.

    Two finite sets from the *same* distribution are not at distance zero. Print that floor beside the distance, and
    compare only distances of sets of one size.

    Args:
        x: N points, (N, ...).
        y: M points, (M, ...).

    Returns:
        W2, in units of the data.

    Raises:
        ValueError: If the points have different shapes, values that are not finite, or there are none or too
            many for an exact solution.
    """
    import ot

    _comparable(x, y)
    a, b = _finite(x, y)
    centre = b.mean(0)  # far from the origin, the fast formula of cdist would lose the digits that differ
    cost = torch.cdist(a - centre, b - centre).square_().numpy()
    return float(max(ot.emd2([], [], cost, numItermax=10_000_000), 0.0) ** 0.5)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Energy distance of two sets of points, 2 E|X - Y| - E|X - X'| - E|Y - Y'|: zero only for equal distributions.

    The expectations are over all pairs of points, those of a point with itself included. So it is never negative, and
    positive between two finite sets of the *same* distribution: print that floor beside it, or use
    :func:`exchange_test`.

    Args:
        x: N points, (N, ...).
        y: M points, (M, ...).

    Returns:
        The distance, in units of the data.

    Raises:
        ValueError: If the points have different shapes, values that are not finite, or there are none or too many.

    Source:
        Székely and Rizzo 2013, "Energy statistics: a class of statistics based on distances".
    """
    _comparable(x, y)
    a, b = _finite(x, y)
    between = 2 * _lengths(a, b).mean() - _lengths(a, a).mean() - _lengths(b, b).mean()
    return max(float(between), 0.0)


def conditional_energy_distance(x: Tensor, y: Tensor, given: Tensor) -> float:
    """Energy distance of two laws given a source, from one draw of each for the same sources.

    Pairs of points count by how near their sources are, exp(-d/h), where h is half the mean distance of sources: so x
    and y are compared where they have the same source, and not with the spread of all sources on top. With one source
    for all it is the energy distance; it is zero in the limit only if the laws are equal given almost every source,
    since the product of the two kernels is characteristic.

    Args:
        x: N points, (N, ...); x[i] was made for given[i].
        y: As many points, for the same sources in the same order.
        given: The sources, (N, ...).

    Returns:
        The distance, in units of the data.

    Raises:
        ValueError: As in :func:`energy_distance`, or if x, y and given are not equally many.
    """
    kernel, nearness = _exchangeable(x, y, given)
    return max(float(kernel.sum() / nearness.sum()), 0.0)


def exchange_test(
    x: Tensor, y: Tensor, rng: torch.Generator, draws: int = 999, *, given: Tensor | None = None
) -> float:
    """Do x[i] and y[i], made for the same source i, come from the same law? Energy distance against its own null.

    If they do, exchanging the two changes nothing, whoever is exchanged. So the energy distances after random exchanges
    are its exact null. Bare targets compare only what is left when all sources are mixed: a sampler that ignores its
    source passes. With ``given`` the laws given the source are compared (:func:`conditional_energy_distance`). Points
    that contain their source, ``torch.cat([source, target], 1)``, do so as well, but with far less power.

    Args:
        x: N points, (N, ...).
        y: As many points, for the same sources in the same order.
        rng: Draws the exchanges.
        draws: Number of them.
        given: The sources, (N, ...).

    Returns:
        The p-value, from 1/(draws + 1) to 1.

    Raises:
        ValueError: As in :func:`energy_distance`; and if there are not as many x as y, or draws is below 1.
    """
    require_at_least(draws=(draws, 1))
    kernel, _ = _exchangeable(x, y, given)
    signs = torch.randint(0, 2, (len(x), draws), generator=rng, device=rng.device).to(kernel) * 2 - 1
    null = (signs * (kernel @ signs)).sum(0)
    return (1 + int((null >= kernel.sum() * (1 - 1e-12)).sum())) / (draws + 1)


def excess_energy(path: Tensor) -> float:
    """How far paths are from straight lines at constant speed: energy over that of the straight line, minus one.

    Args:
        path: (K + 1, B, ...) states at K + 1 equally spaced times from 0 to 1.

    Returns:
        (∫ E|v|² dt) / E|x1 - x0|² - 1; zero if and only if every path is a line at constant speed.

    Source:
        The normalised path energy of Tong et al. 2024 has W2² in place of E|x1 - x0|².

    Raises:
        ValueError: If no path ends elsewhere than it begins, so that there is no line to compare with.
    """
    if not bool((path[-1] != path[0]).any()):
        raise ValueError("All paths end where they begin: there is no straight line to compare their energy with.")
    speeds = path.diff(dim=0) * (len(path) - 1)
    energy = speeds.square().flatten(2).sum(2).mean()
    return float(energy / (path[-1] - path[0]).square().flatten(1).sum(1).mean() - 1)


def gaussian_map(source: Tensor, target: Tensor, x: Tensor) -> Tensor:
    """The optimal transport map between Gaussians with the moments of two sets: an affine map, and a baseline.

    T(x) = m1 + A (x - m0) with A = S0^-½ (S0^½ S1 S0^½)^½ S0^-½.

    Args:
        source: Training sources, (N, ...).
        target: Training targets, (M, ...), not paired with them.
        x: Points to carry, (B, ...).

    Returns:
        T(x), of the shape of x.

    Source:
        Gelbrich 1990, "On a formula for the L2 Wasserstein metric between measures on Euclidean and Hilbert spaces".

    Raises:
        ValueError: If a set has fewer than two points, or values are not finite.
    """
    require_at_least(source=(len(source), 2), target=(len(target), 2))
    _all_finite(source=source, target=target, x=x)
    a, b, points = (values.flatten(1).double() for values in (source, target, x))
    s0, s1 = (torch.cov(values.T).reshape(values.shape[1], -1) for values in (a, b))
    values, vectors = torch.linalg.eigh(s0)
    kept = values > 1e-9 * values.max()  # directions without variance have nothing to be carried
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    inverse = (vectors[:, kept] / values[kept].sqrt()) @ vectors[:, kept].T
    slope = inverse @ matrix_root(root @ s1 @ root) @ inverse  # (E, E)
    return (b.mean(0) + (points - a.mean(0)) @ slope).to(x.dtype).view_as(x)


def neighbour_map(source: Tensor, target: Tensor, x: Tensor) -> Tensor:
    """Match the training sets exactly, then answer with the target of the nearest training source: a baseline.

    Args:
        source: Training sources, (N, ...).
        target: Training targets, (N, ...), not paired with them.
        x: Points to carry, (B, ...).

    Returns:
        Training targets, of the shape of x.

    Raises:
        ValueError: If there are more training points than an exact matching bears, or values are not finite.
    """
    from mmlab.diffusion.coupling import optimal_partners

    _all_finite(source=source, target=target, x=x)
    if len(source) > LARGEST_SET:
        raise ValueError(
            f"source holds {len(source)} points: an exact matching takes {LARGEST_SET} at most, so give it the first "
            f"{LARGEST_SET} of both sets, or fewer."
        )
    partners = optimal_partners(source, target)
    nearest = torch.cdist(x.flatten(1).double(), source.flatten(1).double()).argmin(1)
    return target[partners[nearest]]


def gaussian_velocity(
    x: Tensor, t: float, means: tuple[Tensor, Tensor], s0: Tensor, s1: Tensor, cross: Tensor, sigma: float = 0.0
) -> Tensor:
    """E[X₁ - X₀ | X_t = x] for Gaussian ends and X_t = (1-t)X₀ + tX₁ + σz: what flow matching should learn.

    Args:
        x: States, (B, N).
        t: Time in [0, 1].
        means: m0 and m1, (N,) each.
        s0: Covariance of the source, (N, N).
        s1: Covariance of the target, (N, N).
        cross: C = Cov(X₀, X₁), (N, N); zero for independent ends.
        sigma: Standard deviation of the noise about the line.

    Returns:
        (B, N).
    """
    noise = sigma**2 * torch.eye(len(s0), dtype=s0.dtype)
    spread = (1 - t) ** 2 * s0 + t**2 * s1 + t * (1 - t) * (cross + cross.T) + noise
    with_state = (1 - t) * (cross.T - s0) + t * (s1 - cross)  # Cov(X₁ - X₀, X_t)
    centre = (1 - t) * means[0] + t * means[1]
    return means[1] - means[0] + (x - centre) @ torch.linalg.solve(spread, with_state.T)


def _comparable(x: Tensor, y: Tensor) -> None:
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(f"Points of shape {tuple(x.shape[1:])} and {tuple(y.shape[1:])} cannot be compared.")
    if not 0 < min(len(x), len(y)) <= max(len(x), len(y)) <= LARGEST_SET:
        raise ValueError(f"The exact distance takes 1 to {LARGEST_SET} points a set, not {len(x)} and {len(y)}.")


def _exchangeable(x: Tensor, y: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
    """(N, N): what each pair of points adds to the energy distance, and the weight that is in it already.

    Exchanging x[i] with y[i] turns the signs of row and column i.
    """
    _comparable(x, y)
    if len(x) != len(y) or (given is not None and len(given) != len(x)):
        counts = f"{len(x)} and {len(y)}" if given is None else f"{len(x)}, {len(y)} and {len(given)} sources"
        raise ValueError(f"An exchange needs as many x as y, made for the same sources: not {counts}.")
    a, b = _finite(x, y)
    across = _lengths(a, b)
    kernel = across + across.T - _lengths(a, a) - _lengths(b, b)  # its mean is the energy distance
    if given is None:
        return kernel, torch.ones_like(kernel)
    sources, _ = _finite(given, given)
    apart = _lengths(sources, sources)
    nearness = (-2 * apart / apart.mean().clamp_min(1e-300)).exp()
    return kernel * nearness, nearness


def _finite(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both as rows in double precision, (N, E) and (M, E)."""
    _all_finite(x=x, y=y)
    return x.detach().flatten(1).double().cpu(), y.detach().flatten(1).double().cpu()


def _all_finite(**given: Tensor) -> None:
    for name, points in given.items():
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"{name} holds NaN or infinity, to which there is no distance: leave those points out.")


def _lengths(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (N, M) between rows, without the formula that loses digits far from the origin."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
