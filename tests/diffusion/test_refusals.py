"""What would silently give a wrong number is refused by name, and what is near a limit of precision stays right."""

import math

import pytest
import torch

from mmlab.compare.connectome_baselines import baselines, fit_pca_ridge, pooled
from mmlab.data.pairs import Pairs
from mmlab.diffusion.coupling import entropic_plan, optimal_partners
from mmlab.diffusion.gaussian import (
    bures_wasserstein,
    conditional_end,
    coupling_after_matching,
    intermediate_covariance,
    matrix_root,
    schrodinger_coupling,
)
from mmlab.diffusion.grids import angular_grid, power_grid, uniform_grid
from mmlab.diffusion.ode import integrate
from mmlab.diffusion.reference import Reference
from mmlab.losses.classification import cross_entropy, mean_over_present, true_class
from mmlab.losses.contrastive import mix, similarity_targets, soft_contrastive
from mmlab.losses.language_modelling import language_modelling_loss
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.ddbm import DDBM
from mmlab.methods.flow_matching import FlowMatching
from mmlab.methods.schrodinger_bridge import SchrodingerBridge
from mmlab.methods.score_diffusion import ScoreDiffusion
from mmlab.metrics.calibration import coverage, crps, spread_skill
from mmlab.metrics.connectome import (
    ceiling_share,
    correlate,
    differential_identifiability,
    evaluate,
    identification,
    rmse,
    rowwise_correlation,
)
from mmlab.metrics.correlation_geometry import (
    affine_invariant,
    geometric_mean,
    log_euclidean,
    project_to_correlation,
    to_tangent,
)
from mmlab.metrics.fidelity import beta_recall
from mmlab.metrics.precision_recall import expected_coverage
from mmlab.metrics.transport import wasserstein2
from mmlab.nn.field import make_field


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


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_constant_row_and_not_outside_an_interval(wrong: float) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    samples = torch.randn(40, 4, 6, generator=torch.Generator().manual_seed(1))
    spoiled, mean = x.clone(), x.mean(0)
    spoiled[1, 2] = wrong
    for of in (rowwise_correlation, correlate):
        for pair in ((x, spoiled), (spoiled, x), (x, x, spoiled)):
            with pytest.raises(ValueError, match="NaN or infinity"):
                of(*pair)
    for measure in (coverage, crps, spread_skill):
        with pytest.raises(ValueError, match="target has NaN or infinity"):
            measure(samples, spoiled)
        with pytest.raises(ValueError, match="samples has NaN or infinity"):
            measure(samples.index_fill(0, torch.tensor([3]), wrong), x)
    with pytest.raises(ValueError, match="NaN or infinity"):
        fit_pca_ridge(Pairs.of((x, spoiled)))
    with pytest.raises(ValueError, match="finite"):
        ceiling_share(1.0, 0.0, wrong)
    eye = torch.eye(2).double()
    for matrix in (wrong * eye, eye.fill_diagonal_(1).index_fill(0, torch.tensor([1]), wrong)):
        for of in (matrix_root, lambda s: bures_wasserstein(mean[:2], s, mean[:2], torch.eye(2))):
            with pytest.raises(ValueError, match="NaN or infinity"):
                of(matrix)
    with pytest.raises(ValueError, match="A mean holds"):
        bures_wasserstein(spoiled[1, 1:3], torch.eye(2), mean[:2], torch.eye(2))


def test_a_similarity_that_is_nan_finds_nobody() -> None:
    similarity = torch.eye(3)
    similarity[0, 1] = math.nan
    for of in (identification, differential_identifiability):
        with pytest.raises(ValueError, match="similarity holds NaN"):
            of(similarity)


def test_what_is_no_covariance_has_no_distance() -> None:
    eye, mean = torch.eye(3).double(), torch.zeros(3).double()
    for wrong in (-eye, eye + 2 * torch.ones(3, 3).double().triu(1)):
        for of in (matrix_root, lambda s: bures_wasserstein(mean, s, mean, eye)):
            with pytest.raises(ValueError, match="no covariance"):
                of(wrong)
        for of in (lambda s: bures_wasserstein(mean, eye, mean, s), lambda s: schrodinger_coupling(eye, s, 1.0)):
            with pytest.raises(ValueError, match="no covariance"):
                of(wrong)
    with pytest.raises(ValueError, match="expected"):
        bures_wasserstein(mean[:1], eye, mean, eye)


@pytest.mark.parametrize("wrong", [1.0, 1.5, -0.1, math.nan])
def test_a_shrinkage_that_leaves_nothing_is_named(wrong: float) -> None:
    one, other = torch.eye(3).double(), 2 * torch.eye(3).double()
    values = 0.1 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for of in (
        lambda: log_euclidean(one, other, wrong),
        lambda: affine_invariant(one, other, wrong),
        lambda: evaluate(values, values, values.mean(0), shrinkage=wrong),
    ):
        with pytest.raises(ValueError, match="shrinkage="):
            of()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
def test_numbers_that_cannot_be_are_named(wrong: float) -> None:
    eye, mean, points = torch.eye(2).double(), torch.zeros(2).double(), torch.randn(20, 2)
    pairs = Pairs.of((points[:10], points[10:]))
    for of in (
        lambda: schrodinger_coupling(eye, eye, wrong),
        lambda: intermediate_covariance(eye, eye, 0 * eye, wrong, 0.5),
        lambda: conditional_end(points[:1].double(), 0.5, (mean, mean), eye, eye, 0 * eye, wrong),
    ):
        with pytest.raises(ValueError, match="sigma="):
            of()
    for name, of in (
        ("t=", lambda: intermediate_covariance(eye, eye, 0 * eye, 1.0, wrong)),
        ("tolerance", lambda: integrate(lambda x, t: x, points, solver="adaptive", tolerance=wrong)),
        ("tolerance=", lambda: geometric_mean(eye[None], tolerance=wrong)),
        ("power=", lambda: power_grid(3, wrong)),
        ("margin=", lambda: angular_grid(3, wrong)),
        ("floor=", lambda: project_to_correlation(eye, floor=wrong)),
        ("penalties=", lambda: fit_pca_ridge(pairs, penalties=(0.1, wrong))),
        ("temperature=", lambda: soft_contrastive(points, points, torch.eye(20), wrong)),
        ("temperature=", lambda: similarity_targets(points, wrong)),
        ("dropout=", lambda: make_field((3,), 2, dropout=wrong)),
        ("directions=", lambda: BridgeMatching((3,), 8, directions=wrong)),
    ):
        with pytest.raises(ValueError, match=name):
            of()


def test_sizes_that_cannot_be_are_named() -> None:
    eye, points = torch.eye(2).double(), torch.randn(20, 2)
    pairs = Pairs.of((points[:10], points[10:]))
    for name, of in (
        ("steps", lambda: uniform_grid(0)),
        ("steps", lambda: integrate(lambda x, t: x, points, steps=1.5)),
        ("power=", lambda: power_grid(3, 0.0)),
        ("margin=", lambda: angular_grid(3, 0.5)),
        ("most", lambda: geometric_mean(eye[None], most=0)),
        ("matrices", lambda: geometric_mean(eye[None][:0])),
        ("neighbours", lambda: beta_recall(points, points, neighbours=0)),
        ("neighbours", lambda: expected_coverage(10, 10, 0)),
        ("components=", lambda: fit_pca_ridge(pairs, components=(0,))),
        ("temperature=", lambda: soft_contrastive(points, points, torch.eye(20), 0.0)),
        ("width", lambda: make_field((3,), 2, width=0)),
        ("depth", lambda: make_field((3,), 2, depth=-1)),
        ("dropout=", lambda: make_field((3,), 2, dropout=1.0)),
        ("directions=", lambda: BridgeMatching((3,), 8, directions=1.5)),
    ):
        with pytest.raises(ValueError, match=name):
            of()


def test_one_of_something_does_not_stand_for_all() -> None:
    x, logits = torch.randn(4, 3), torch.randn(2, 4, 3)
    one, partner = torch.tensor([1]), torch.arange(4)
    for of in (
        lambda: rowwise_correlation(x, x[:1]),
        lambda: cross_entropy(logits, one),
        lambda: true_class(logits, one),
        lambda: mean_over_present(x[:, 0], torch.tensor([True])),
        lambda: mix(x, torch.tensor([0.5]), partner),
        lambda: mix(x, torch.full((4,), 0.5), one - 1),
        lambda: language_modelling_loss(x, torch.nn.Identity(), partner % 3, torch.ones(4, 1)),
        lambda: language_modelling_loss(x, torch.nn.Identity(), partner % 3, torch.ones(1)),
        lambda: pooled((x, x), lambda train, test: {"mean": train.target.mean(0, keepdim=True)}, folds=2),
    ):
        with pytest.raises(ValueError, match=r"\(|alike"):
            of()


def test_a_prediction_that_some_folds_lack_is_refused() -> None:
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    calls = []

    def sometimes(train: Pairs, test: Pairs) -> dict[str, torch.Tensor]:
        calls.append(0)
        found = baselines(train, test)
        return found if len(calls) == 1 else {"group mean": found["group mean"]}

    with pytest.raises(ValueError, match="different names"):
        pooled((x, x), sometimes, folds=2)
