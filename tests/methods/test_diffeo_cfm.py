"""Oracles of DiffeoCFM: Riemannian flow matching, round trips, validity, an independent transcription, the prior."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from mmlab import fit
from mmlab.data.connectome import edges, matrices
from mmlab.data.tensors import TensorData
from mmlab.diffusion.ode import integrate
from mmlab.methods.diffeo_cfm import CHARTS, DiffeoCFM, Geometry, geodesic, prior_velocity
from mmlab.metrics.correlation_geometry import correlation_of

ON_MANIFOLDS = [geometry for geometry in get_args(Geometry) if geometry != "none"]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _covariances(count: int, regions: int = 3, seed: int = 0) -> Tensor:
    series = torch.randn(count, regions, 3 * regions, generator=_rng(seed), dtype=torch.float64)
    return series @ series.mT / (3 * regions)


def _points(geometry: str, count: int, regions: int = 3, seed: int = 0) -> Tensor:
    made = _covariances(count, regions, seed)
    return correlation_of(made) if geometry == "normalised_cholesky" else made


def _along(function: Callable[[Tensor], Tensor], point: Tensor, direction: Tensor) -> Tensor:
    """The derivative of a function at a point in a direction."""
    jacobian = torch.autograd.functional.jacobian(function, point)
    return torch.tensordot(jacobian, direction, dims=direction.ndim)


def _classes(count: int = 60, regions: int = 4, seed: int = 0) -> TensorData:
    label = torch.arange(count) % 2
    covariances = _covariances(count, regions, seed)
    covariances[label == 1] += 1.0
    return TensorData({"label": label, "target": edges(correlation_of(covariances))})


@pytest.mark.parametrize("geometry", ON_MANIFOLDS)
def test_there_and_back_again_is_the_identity_both_ways(geometry: Geometry) -> None:
    to, back = CHARTS[geometry]
    points = _points(geometry, 20, 5)
    torch.testing.assert_close(back(to(points)), points, atol=1e-12, rtol=1e-12)
    z = torch.randn(20, to(points).shape[1], generator=_rng(1), dtype=torch.float64)
    torch.testing.assert_close(to(back(z)), z, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("geometry", ON_MANIFOLDS)
def test_flow_in_the_flat_space_is_riemannian_flow_matching_under_the_pulled_back_metric(geometry: Geometry) -> None:
    """The loss ‖u(C_t) - dC_t/dt‖² in the metric ⟨a, b⟩_C = ⟨Dφ a, Dφ b⟩, with u = Dφ⁻¹ v, for any field v."""
    to, back = CHARTS[geometry]
    one, other = _points(geometry, 2)
    size = len(to(one))
    weight = torch.randn(size, size, generator=_rng(2), dtype=torch.float64)

    def v(z: Tensor, t: float) -> Tensor:
        return (weight @ z).tanh() + t

    for t in (0.2, 0.7):
        z = (1 - t) * to(one) + t * to(other)
        flat = (v(z, t) - (to(other) - to(one))).square().sum()
        point = geodesic(one, other, t, geometry)
        step = 1e-5  # dC_t/dt by central differences, along the geodesic itself
        speed = (geodesic(one, other, t + step, geometry) - geodesic(one, other, t - step, geometry)) / (2 * step)
        u = _along(back, z, v(z, t))
        pulled = _along(to, point, u - speed)  # Dφ of a difference of tangent vectors at C_t
        assert float(pulled.square().sum()) == pytest.approx(float(flat), rel=1e-6)


@pytest.mark.parametrize("geometry", ON_MANIFOLDS)
def test_following_the_field_on_the_manifold_ends_where_the_flat_flow_ends(geometry: Geometry) -> None:
    """dC/dt = Dφ⁻¹(v(φ(C), t)), solved on matrices by classical Runge-Kutta steps."""
    to, back = CHARTS[geometry]
    start = _points(geometry, 1)[0]

    def v(z: Tensor, t: Tensor) -> Tensor:
        return torch.sin(z.roll(1, -1)) + t[:, None]

    def on_manifold(matrix: Tensor, t: Tensor) -> Tensor:
        z = to(matrix)
        return _along(back, z[0], v(z, t)[0])[None]

    flat = back(integrate(v, to(start)[None], steps=50, solver="rk4").end[0])
    curved = integrate(on_manifold, start[None], steps=50, solver="rk4").end[0]
    torch.testing.assert_close(curved, flat, atol=1e-6, rtol=1e-6)


def test_two_regions_in_closed_form() -> None:
    """φ is r/√(1 - r²): between 0.9 and 0.5 lies (2.064742 + 0.577350)/2, whose r is 0.797322."""
    to, _ = CHARTS["normalised_cholesky"]
    ends = matrices(torch.tensor([[0.9], [0.5]], dtype=torch.float64))
    torch.testing.assert_close(
        to(ends)[:, 0], torch.tensor([2.064742, 0.577350], dtype=torch.float64), atol=1e-6, rtol=0
    )
    assert float(geodesic(ends[0], ends[1], 0.5)[0, 1]) == pytest.approx(0.797322, abs=1e-6)
    straight_edges = float(geodesic(ends[0], ends[1], 0.5, "none")[0, 1])
    assert straight_edges == pytest.approx(0.7)


@pytest.mark.parametrize("geometry", ON_MANIFOLDS)
def test_charts_equal_an_independent_transcription(geometry: Geometry) -> None:
    """Written with NumPy, entry by entry."""
    for matrix in _points(geometry, 5, 4):
        a = matrix.numpy()
        if geometry == "log_euclidean":
            values, axes = np.linalg.eigh(a)
            log = axes @ np.diag(np.log(values)) @ axes.T
            expected = [log[i, j] * (1 if i == j else math.sqrt(2)) for i in range(4) for j in range(i, 4)]
        else:
            factor = np.linalg.cholesky(a)
            below = [(i, j) for i in range(4) for j in range(i)]
            if geometry == "log_cholesky":
                expected = [math.log(factor[i, i]) for i in range(4)] + [factor[i, j] for i, j in below]
            else:
                expected = [factor[i, j] / factor[i, i] for i, j in below]
        np.testing.assert_allclose(CHARTS[geometry][0](matrix).numpy(), expected, atol=1e-12)


def test_loss_and_samples_equal_an_independent_transcription() -> None:
    """Everything between the batch and the number, written out for single items."""
    data = _classes()
    method = DiffeoCFM.seeded(0, (6,), width=16, depth=1).eval()
    method.start_from(data)
    torch.nn.init.normal_(method.network.decode.weight, std=0.3, generator=_rng(3))
    coordinates = np.stack([CHARTS["normalised_cholesky"][0](matrices(row)).numpy() for row in data.tensors["target"]])
    z1 = (coordinates - coordinates.mean(0)) / coordinates.std(0)
    label = data.tensors["label"].numpy()
    np.testing.assert_allclose(method.priors[1].mean.numpy(), z1[label == 1].mean(0), atol=1e-6)

    rng = _rng(5)  # the same draws, in the same order: class 0's and 1's, and the times
    drawn = [prior.deviations(60, rng).numpy() for prior in method.priors]
    t = torch.rand(60, 1, generator=rng).numpy()
    total = 0.0
    for i in range(60):
        mean = z1[label == label[i]].mean(0)
        spread = math.sqrt(z1[label == label[i]].var(0).mean())
        z0 = mean + drawn[label[i]][i]
        s = math.sqrt((1 - t[i, 0]) ** 2 + t[i, 0] ** 2)
        z = (1 - t[i, 0]) * z0 + t[i, 0] * z1[i]
        stack = torch.tensor(np.stack([(z - mean) / (spread * s), method.classes.weight[label[i]].detach().numpy()]))
        with torch.no_grad():
            output = method.network(stack[None].float(), torch.tensor(t[i]))[0, 0].numpy()
        goal = (z1[i] - z0 - (2 * t[i, 0] - 1) / s**2 * (z - mean)) / (spread / s)
        total += ((output - goal) ** 2).mean() / 60
    assert float(method.loss(data.tensors, _rng(5))["loss"].detach()) == pytest.approx(total, rel=1e-4)


def test_the_prior_is_that_of_scikit_learn() -> None:
    from sklearn.covariance import OAS

    data = _classes()
    method = DiffeoCFM((6,))
    method.start_from(data)
    z = method.flat_vectors(data).tensors["target_flat"].numpy()
    z = (z - z.mean(0)) / z.std(0)
    for number, prior in enumerate(method.priors):
        expected = OAS().fit(z[data.tensors["label"].numpy() == number]).covariance_
        made = prior.axes.T @ prior.axes + prior.rest**2 * torch.eye(6)
        np.testing.assert_allclose(made.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("correlated", [False, True])
def test_the_velocity_between_equal_gaussians_is_a_regression_whatever_their_covariance(correlated: bool) -> None:
    rng = _rng(1)
    mixing = torch.tensor([[1.0, 0.0], [0.9, 0.3]] if correlated else [[1.0, 0.0], [0.0, 2.0]])
    z0, z1 = (torch.randn(200_000, 2, generator=rng) @ mixing.T + 1 for _ in range(2))
    for t in (0.1, 0.5, 0.8):
        z = (1 - t) * z0 + t * z1
        slope = torch.linalg.lstsq(z - 1, z1 - z0).solution
        expected = prior_velocity(z[:5], torch.tensor(t), torch.ones(2))
        torch.testing.assert_close((z[:5] - 1) @ slope, expected, atol=0.03, rtol=0)


def test_untrained_the_flow_is_its_prior() -> None:
    data = _classes()
    method = DiffeoCFM.seeded(0, (6,), width=16, depth=1).eval()
    method.start_from(data)
    label = data.tensors["label"]
    flow = method.sample(label, steps=100, rng=_rng(1))
    torch.testing.assert_close(flow, method.sample_prior(label, rng=_rng(1)), atol=2e-3, rtol=0)
    published = DiffeoCFM.seeded(0, (6,), width=16, depth=1, parametrisation="velocity").eval()
    published.start_from(data)
    torch.testing.assert_close(
        published.sample(label, steps=1, rng=_rng(1)), published.sample_prior(label, rng=_rng(1)), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_every_sample_is_a_correlation_matrix_to_machine_precision(spread: float) -> None:
    data = _classes(regions=6)
    method = DiffeoCFM.seeded(0, (15,), width=16, depth=1).eval()
    method.start_from(data)
    method.unit.mul_(spread)
    for drawn in (
        method.sample(data.tensors["label"], steps=3, rng=_rng()),
        method.sample_prior(data.tensors["label"], rng=_rng()),
    ):
        full = matrices(drawn)
        assert torch.linalg.eigvalsh(full).min() > -1e-12
        assert float(drawn.abs().max()) <= 1
    plain = DiffeoCFM.seeded(0, (15,), "none", width=16, depth=1).eval()
    plain.start_from(data)
    plain.unit.mul_(4)
    outside = torch.linalg.eigvalsh(matrices(plain.sample_prior(data.tensors["label"], rng=_rng()))).min()
    assert outside < -0.1


@pytest.mark.parametrize("geometry", ["log_euclidean", "log_cholesky"])
def test_samples_of_covariances_are_positive_definite(geometry: Geometry) -> None:
    data = TensorData({"label": torch.arange(20) % 2, "target": _covariances(20, 4)})
    method = DiffeoCFM.seeded(0, (4, 4), geometry, width=16, depth=1).eval()
    method.start_from(data)
    drawn = method.sample(data.tensors["label"], rng=_rng())
    assert drawn.shape == (20, 4, 4)
    assert torch.equal(drawn, drawn.mT) or torch.allclose(drawn, drawn.mT, atol=1e-14)
    assert torch.linalg.eigvalsh(drawn).min() > 0


def test_the_class_is_used() -> None:
    """Class 1 correlates throughout: its samples do, also where the prior is the same for both."""
    data = _classes(200)
    method = DiffeoCFM.seeded(0, (6,), width=32, depth=1)
    method.start_from(data)
    pooled = method.flat_vectors(data).tensors["target_flat"]
    for prior in method.priors:
        prior.fit(method._in_units(pooled, 0))
    fit(method, data, steps=150, batch_size=100, lr=3e-3, progress=False)
    method.eval()
    drawn = [method.sample(torch.full((200,), number), rng=_rng()).mean() for number in (0, 1)]
    true = [data.tensors["target"][data.tensors["label"] == number].mean() for number in (0, 1)]
    assert float(drawn[1] - drawn[0]) == pytest.approx(float(true[1] - true[0]), rel=0.25)


def test_given_a_source_the_prior_is_a_ridge_regression_with_the_error_that_it_has() -> None:
    source = correlation_of(_covariances(400, 4))
    target = correlation_of(source + 0.3 * _covariances(400, 4, seed=1))
    train, test = ({"source": edges(source[i]), "target": edges(target[i])} for i in (slice(0, 200), slice(200, 400)))
    method = DiffeoCFM((6,), condition="source", width=16, depth=1).eval()
    method.start_from(TensorData(train))
    drawn = torch.stack([method.sample_prior(test["source"], rng=_rng(k)) for k in range(30)])
    error = float((drawn.mean(0) - test["target"]).square().mean().sqrt())
    spread = float(drawn.std(0).square().mean().sqrt())
    assert error < 0.7 * float((test["target"] - train["target"].mean(0)).square().mean().sqrt())
    assert spread == pytest.approx(error, rel=0.2)


def test_flat_vectors_stand_for_their_matrices() -> None:
    data = _classes()
    method = DiffeoCFM((6,), width=16, depth=1)
    method.start_from(data)
    flat = method.flat_vectors(data)
    torch.testing.assert_close(method.loss(flat.tensors, _rng())["loss"], method.loss(data.tensors, _rng())["loss"])
    again = DiffeoCFM((6,), width=16, depth=1)
    again.start_from(flat)
    covariances = [method.priors[0].axes.T @ method.priors[0].axes for method in (again, method)]
    torch.testing.assert_close(*covariances)


def test_a_prior_of_low_rank_keeps_the_variance() -> None:
    data = _classes(regions=6)
    full, low = DiffeoCFM((15,)), DiffeoCFM((15,), rank=3)
    for method in (full, low):
        method.start_from(data)
    for one, other in zip(full.priors, low.priors, strict=True):
        variances = [float(p.axes.square().sum() + 15 * p.rest**2) for p in (one, other)]
        assert variances[0] == pytest.approx(variances[1], rel=1e-5)


def test_shrinkage_is_taken_out_again() -> None:
    singular = TensorData({"label": torch.arange(8) % 2, "target": torch.ones(8, 6)})
    with pytest.raises(ValueError, match="use shrinkage"):
        DiffeoCFM((6,)).start_from(singular)
    method = DiffeoCFM((6,), shrinkage=0.1).eval()
    method.start_from(singular)
    drawn = method.sample_prior(singular.tensors["label"], rng=_rng())
    torch.testing.assert_close(drawn, torch.ones_like(drawn), atol=1e-3, rtol=0)


def test_unfit_input_is_refused_in_words() -> None:
    data = _classes()
    with pytest.raises(ValueError, match="geometry is one of"):
        DiffeoCFM((6,), "cholesky")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape is \(N, N\)"):
        DiffeoCFM((6,), "log_cholesky")
    with pytest.raises(ValueError, match=r"shape is \(E,\)"):
        DiffeoCFM((4, 4))
    with pytest.raises(ValueError, match="Class 2 has 0 training items"):
        DiffeoCFM((6,), classes=3).start_from(data)
    method = DiffeoCFM((6,))
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        method.sample(torch.tensor([2]), rng=_rng())
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        method.sample(torch.rand(3, 6), rng=_rng())
    with pytest.raises(ValueError, match=r"built for \(B, 6\)"):
        method.loss({"label": torch.zeros(2, dtype=torch.long), "target": torch.zeros(2, 10)}, _rng())
    with pytest.raises(ValueError, match="NaN or infinity"):
        method.loss({"label": torch.zeros(2, dtype=torch.long), "target": torch.full((2, 6), math.nan)}, _rng())


def test_the_data_say_shape_and_condition() -> None:
    assert DiffeoCFM.arguments_for({"label": torch.tensor(1), "target": torch.zeros(6)}) == {"shape": [6]}
    given = DiffeoCFM.arguments_for({"source": torch.zeros(6), "target": torch.zeros(6)})
    assert given == {"shape": [6], "condition": "source"}
