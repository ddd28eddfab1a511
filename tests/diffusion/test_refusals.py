"""What would silently give a wrong number is refused by name, and what is near a limit of precision stays right."""

import math

import pytest
import torch

from mmlab.diffusion.coupling import entropic_plan, optimal_partners
from mmlab.diffusion.gaussian import bures_wasserstein, coupling_after_matching, schrodinger_coupling
from mmlab.diffusion.reference import Reference
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.ddbm import DDBM
from mmlab.methods.flow_matching import FlowMatching
from mmlab.methods.schrodinger_bridge import SchrodingerBridge
from mmlab.methods.score_diffusion import ScoreDiffusion
from mmlab.metrics.connectome import identification, rmse
from mmlab.metrics.correlation_geometry import affine_invariant, geometric_mean, to_tangent
from mmlab.metrics.transport import wasserstein2


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_points_that_are_not_finite_have_no_distance(wrong: float) -> None:
    x = torch.randn(8, 2)
    y = x.clone()
    y[3, 1] = wrong
    for of in (wasserstein2, optimal_partners):
        for pair in ((x, y), (y, x)):
            with pytest.raises(ValueError, match="NaN or infinity"):
                of(*pair)


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    x = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert wasserstein2(1e6 + x, 1e6 + x + 1e-3) == pytest.approx(1e-3 * 3**0.5, rel=1e-3)


def test_the_geometric_mean_of_dispersed_matrices_comes_to_rest() -> None:
    for seed in range(5):
        roots = torch.randn(6, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        spread = roots @ roots.mT
        mean = geometric_mean(spread)
        tangent = to_tangent(spread, mean)
        assert float(tangent.mean(0).norm()) < 1e-7
        assert torch.allclose(tangent.norm(dim=1), affine_invariant(mean.expand(6, 5, 5), spread), rtol=1e-12, atol=0)


def test_the_frechet_distance_is_never_negative() -> None:
    root = torch.randn(400, 400, generator=torch.Generator().manual_seed(1))
    covariance, mean = root @ root.T / 64, torch.zeros(400)
    assert 0 <= float(bures_wasserstein(mean, covariance, mean, covariance)) < 1e-6


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_impossible_scales_are_named(wrong: float) -> None:
    for make in (
        lambda: Reference(wrong),
        lambda: BridgeMatching((2,), sigma=wrong),
        lambda: SchrodingerBridge((2,), sigma=wrong),
        lambda: DDBM((2,), sigma=wrong),
        lambda: coupling_after_matching(0.0, wrong),
    ):
        with pytest.raises(ValueError, match="sigma="):
            make()
    for method in (BridgeMatching, ScoreDiffusion, FlowMatching, SchrodingerBridge):
        with pytest.raises(ValueError, match="scale="):
            method((2,), scale=wrong)
    with pytest.raises(ValueError, match="regularisation="):
        entropic_plan(torch.randn(4, 2), torch.randn(4, 2), wrong)


def test_impossible_couplings_and_shapes_are_named() -> None:
    for wrong in (2.0, -1.5, math.nan):
        with pytest.raises(ValueError, match="coupling="):
            coupling_after_matching(wrong, 0.5)
    with pytest.raises(ValueError, match="s0 has the eigenvalue"):
        schrodinger_coupling(torch.zeros(2, 2).double(), torch.eye(2).double(), 1.0)
    with pytest.raises(ValueError, match="prediction"):
        rmse(torch.zeros(3, 1), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="similarity"):
        identification(torch.zeros(3, 4))


@pytest.mark.parametrize("method", [BridgeMatching, ScoreDiffusion, FlowMatching, SchrodingerBridge, DDBM])
def test_samples_are_asked_for_in_the_shape_that_was_built(method: type) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(B, 2\)"):
        method((2,), width=8).sample(torch.zeros(4, 3), rng=torch.Generator())


def test_nothing_is_built_without_a_shape() -> None:
    for method in (BridgeMatching, ScoreDiffusion, FlowMatching, SchrodingerBridge, DDBM):
        with pytest.raises(TypeError, match="shape"):
            method()
