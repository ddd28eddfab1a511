"""Exact laws of bridges between Gaussians: the numbers that a trained bridge has to meet.

Ends N(m0, S0) and N(m1, S1) with cross-covariance C = Cov(X₀, X₁); Brownian reference of variance σ² on [0, 1].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "bures_wasserstein",
    "conditional_end",
    "coupling_after_matching",
    "intermediate_covariance",
    "matrix_root",
    "schrodinger_coupling",
]


ROUNDING = 1e-3
"""Share of the largest entry by which a covariance may be asymmetric or negative in single precision."""


def matrix_root(matrix: Tensor) -> Tensor:
    """Symmetric square root (N, N) of a positive semi-definite matrix.

    Raises:
        ValueError: If it holds NaN or infinity, or is not symmetric and positive semi-definite, but for rounding.
    """
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("A matrix holds NaN or infinity, and has no square root: see what it was computed from.")
    values, vectors = torch.linalg.eigh(matrix)
    largest = float(matrix.abs().max())
    if float((matrix - matrix.T).abs().max()) > ROUNDING * largest or float(values[0]) < -ROUNDING * largest:
        raise ValueError(
            f"A matrix with the eigenvalue {float(values[0]):.3g} is no covariance: it is to be symmetric, with "
            "eigenvalues from zero up."
        )
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def intermediate_covariance(s0: Tensor, s1: Tensor, cross: Tensor, sigma: float, t: float) -> Tensor:
    """Covariance of X_t: (1-t)² S0 + t² S1 + t(1-t)(C + Cᵀ + σ²I).

    Args:
        s0: Covariance of the source, (N, N).
        s1: Covariance of the target, (N, N).
        cross: C, (N, N).
        sigma: Standard deviation of the reference.
        t: Time in [0, 1].

    Raises:
        ValueError: If sigma or t cannot be.
    """
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma={sigma}: the reference's standard deviation is finite and not negative.")
    if not 0 <= t <= 1:
        raise ValueError(f"t={t} is no time in [0, 1].")
    noise = sigma**2 * torch.eye(len(s0), dtype=s0.dtype)
    return (1 - t) ** 2 * s0 + t**2 * s1 + t * (1 - t) * (cross + cross.T + noise)


def conditional_end(
    x: Tensor, t: float, means: tuple[Tensor, Tensor], s0: Tensor, s1: Tensor, cross: Tensor, sigma: float
) -> Tensor:
    """E[X₁ | X_t = x], the target that any network should learn.

    Args:
        x: States, (B, N).
        t: Time in [0, 1].
        means: m0 and m1, (N,) each.
        s0: Covariance of the source.
        s1: Covariance of the target.
        cross: Cov(X₀, X₁).
        sigma: Standard deviation of the reference.

    Returns:
        (B, N). For E[X₀ | X_t = x], swap the ends, transpose the cross-covariance and pass 1 - t.

    Raises:
        ValueError: If sigma or t cannot be.
    """
    centre = (1 - t) * means[0] + t * means[1]
    spread = intermediate_covariance(s0, s1, cross, sigma, t)
    gain = ((1 - t) * cross.T + t * s1) @ torch.linalg.inv(spread)
    return means[1] + (x - centre) @ gain.T


def coupling_after_matching(coupling: float, sigma: float) -> float:
    """Correlation of the ends of the process that plain bridge matching learns, for ends N(0, 1).

    Trained on pairs of correlation c, the learned process keeps the marginals but pairs the ends anew, with correlation
    exp(-σ²/2 · J(κ)), κ = 2 - 2c - σ² and J(κ) = ∫₀¹ dt / (1 - κt(1-t)).

    Args:
        coupling: c in [-1, 1].
        sigma: Standard deviation of the reference.

    Source:
        Follows from the Gaussian drift b(x, t) = (E[X₁ | X_t = x] - x)/(1 - t) by integrating its slope over time.
    """
    if not -1 <= coupling <= 1:
        raise ValueError(f"coupling={coupling} is out of its range: correlations lie in [-1, 1].")
    _check_sigma(sigma)
    kappa = 2 - 2 * coupling - sigma**2
    root = math.sqrt(abs(kappa) * (4 - kappa))
    if abs(kappa) < 1e-12:
        integral = 1.0
    elif kappa > 0:
        integral = 4 / root * math.atan(kappa / root)
    else:
        integral = 4 / root * math.atanh(-kappa / root)
    return math.exp(-(sigma**2) / 2 * integral)


def schrodinger_coupling(s0: Tensor, s1: Tensor, sigma: float) -> Tensor:
    """Cross-covariance (N, N) of the Schrödinger bridge between N(·, S0) and N(·, S1).

    C = ½ [S0^½ (4 S0^½ S1 S0^½ + σ⁴I)^½ S0^-½ - σ²I]: the only coupling that bridge matching leaves as it is, and the
    optimum of entropic optimal transport with cost |x - y|² and regularisation 2σ².

    Raises:
        ValueError: If s0 is not positive definite, s1 is no covariance, or sigma is not positive and finite.

    Source:
        Bunne et al. 2023, "The Schrödinger bridge between Gaussian measures has a closed form".
    """
    _check_sigma(sigma)
    if not bool(torch.isfinite(s0).all()):
        raise ValueError("s0 holds NaN or infinity: see what it was computed from.")
    smallest = float(torch.linalg.eigvalsh(s0).min())
    if smallest <= 0:
        raise ValueError(f"s0 has the eigenvalue {smallest:.3g}: make it positive definite.")
    identity = torch.eye(len(s0), dtype=s0.dtype)
    matrix_root(s1)  # refuses what is no covariance
    root = matrix_root(s0)
    inner = matrix_root(4 * root @ s1 @ root + sigma**4 * identity)
    return (root @ inner @ torch.linalg.inv(root) - sigma**2 * identity) / 2


def bures_wasserstein(m0: Tensor, s0: Tensor, m1: Tensor, s1: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of two Gaussians; with features in place of data it is the Fréchet distance.

    Raises:
        ValueError: If shapes do not fit, a mean is not finite, or a covariance is none.
    """
    if not m0.shape == m1.shape == s0.shape[:1] == s0.shape[1:] or s0.shape != s1.shape:
        shapes = ", ".join(str(tuple(value.shape)) for value in (m0, s0, m1, s1))
        raise ValueError(f"m0, s0, m1 and s1 are {shapes}; expected (N,), (N, N), (N,) and (N, N).")
    if not bool(torch.isfinite(m0).all() and torch.isfinite(m1).all()):
        raise ValueError("A mean holds NaN or infinity, to which there is no distance.")
    matrix_root(s1)  # refuses what is no covariance
    kind = m0.dtype
    m0, s0, m1, s1 = (value.double() for value in (m0, s0, m1, s1))  # the traces nearly cancel
    root = matrix_root(s0)
    squared = (m0 - m1).square().sum() + torch.trace(s0 + s1 - 2 * matrix_root(root @ s1 @ root))
    return squared.clamp_min(0).to(kind)


def _check_sigma(sigma: float) -> None:
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma={sigma}: the reference's standard deviation must be positive and finite.")
