"""Oracles of the tangent bridge: closed forms for two regions, validity of all samples, and the bridge underneath."""

import math

import pytest
import torch
from torch import Tensor

from mmlab.data.connectome import edges, matrices
from mmlab.data.tensors import TensorData
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.methods.tangent_bridge import TangentBridge
from mmlab.metrics.correlation_geometry import correlation_of, violation


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _correlations(count: int, regions: int, seed: int = 0, frames: int = 40) -> Tensor:
    series = torch.randn(count, regions, frames, generator=_rng(seed), dtype=torch.float64)
    return edges(correlation_of(series @ series.mT))


def _pairs(count: int = 20, regions: int = 5) -> TensorData:
    return TensorData({"source": _correlations(count, regions), "target": _correlations(count, regions, seed=1)})


@pytest.mark.parametrize("r", [-0.9, -0.2, 0.0, 0.5, 0.99])
def test_two_regions_are_fishers_z(r: float) -> None:
    """The eigenvalues are 1 ± r, so the coordinate off the diagonal is √2 artanh r, and the way back is tanh."""
    method = TangentBridge((1,))
    vector = method.to_source(torch.tensor([[r]], dtype=torch.float64))[0]
    expected = [math.log(1 - r**2) / 2, math.sqrt(2) * math.atanh(r), math.log(1 - r**2) / 2]
    torch.testing.assert_close(vector, torch.tensor(expected), atol=1e-6, rtol=1e-5)
    for diagonal in (-1.0, 0.0, 2.0):  # what the rescaling to a unit diagonal takes away
        back = method.to_edges(torch.tensor([[diagonal, math.sqrt(2) * math.atanh(r), diagonal]]))
        assert float(back) == pytest.approx(r, abs=1e-6)


def test_the_mean_of_a_state_is_the_origin() -> None:
    pairs = _pairs()
    method = TangentBridge((10,)).set_references(pairs)
    vectors = method.tangent_vectors(pairs).tensors
    assert vectors["source_tangent"].mean(0).abs().max() < 1e-6
    assert vectors["target_tangent"].mean(0).abs().max() < 1e-6
    assert not torch.allclose(method.source_mean, method.target_mean)


@pytest.mark.parametrize("shrinkage", [0.0, 0.2])
def test_edges_come_back_from_the_tangent_space(shrinkage: float) -> None:
    pairs = _pairs()
    method = TangentBridge((10,), shrinkage=shrinkage).set_references(pairs)
    vectors = method.tangent_vectors(pairs).tensors["target_tangent"]
    torch.testing.assert_close(method.to_edges(vectors), pairs.tensors["target"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shrinkage", [0.0, 0.2])
def test_every_sample_is_a_correlation_matrix(shrinkage: float) -> None:
    """With as much noise as one likes; a bridge between the edges themselves leaves the set at once."""
    pairs = _pairs(regions=6, count=30)
    source = pairs.tensors["source"].float()
    torch.manual_seed(0)
    tangent = TangentBridge((15,), width=8, sigma=5.0, shrinkage=shrinkage).set_references(pairs).eval()
    plain = BridgeMatching((15,), width=8, depth=0, sigma=1.0).eval()
    for module in (tangent, plain):
        torch.nn.init.normal_(module.network.decode.weight, generator=_rng(1))
    drawn = tangent.sample(source, steps=3, rng=_rng())
    assert violation(drawn) == {"negative_eigenvalue": 0.0, "share_beyond_one": 0.0}
    assert torch.linalg.eigvalsh(matrices(drawn.double())).min() > -1e-6
    assert violation(plain.sample(source, steps=3, rng=_rng()))["negative_eigenvalue"] < -0.1


def test_it_is_a_bridge_between_tangent_vectors() -> None:
    pairs = _pairs()
    torch.manual_seed(0)
    method = TangentBridge((10,), width=8, sigma=0.3).set_references(pairs).eval()
    torch.manual_seed(0)
    plain = BridgeMatching((15,), width=8, depth=0, sigma=0.3).eval()
    vectors = method.tangent_vectors(pairs).tensors
    batch = {"source": vectors["source_tangent"], "target": vectors["target_tangent"]}
    expected = plain.loss(batch, _rng())["loss"]
    assert torch.equal(method.loss(pairs.tensors, _rng())["loss"], expected)
    assert torch.equal(method.loss(vectors, _rng())["loss"], expected)
    drawn = method.to_edges(plain.sample(batch["source"], steps=4, rng=_rng(1)))
    torch.testing.assert_close(method.sample(pairs.tensors["source"], steps=4, rng=_rng(1)), drawn)


def test_untrained_it_moves_everyone_from_mean_to_mean() -> None:
    """The network starts as a copy: the prediction is the source, seen from its mean, put at the target's mean."""
    pairs = _pairs()
    method = TangentBridge((10,)).set_references(pairs)
    at_the_mean = edges(correlation_of(method.source_mean))[None]
    predicted = method.sample(at_the_mean, steps=1, rng=_rng())
    closest = method.sample(edges(method.source_mean)[None], steps=1, rng=_rng())
    assert predicted.shape == closest.shape == (1, 10)
    assert (predicted - edges(correlation_of(method.target_mean))).abs().max() < 0.02


def test_unfit_input_is_refused_in_words() -> None:
    singular = TensorData({"source": torch.ones(4, 10), "target": torch.ones(4, 10)})
    with pytest.raises(ValueError, match="has the eigenvalue"):
        TangentBridge((10,)).set_references(singular)
    TangentBridge((10,), shrinkage=0.1).set_references(singular)
    with pytest.raises(ValueError, match=r"bridge was built for \(B, 10\)"):
        TangentBridge((10,)).sample(torch.zeros(2, 6), rng=_rng())
    with pytest.raises(ValueError, match="a weight in"):
        TangentBridge((10,), shrinkage=1.0)
    with pytest.raises(ValueError, match="number of edges"):
        TangentBridge((10, 10))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("key", ["source", "target"])
def test_edges_without_a_logarithm_are_refused_in_words(value: float, key: str) -> None:
    pairs = {name: edge.clone() for name, edge in _pairs().tensors.items()}
    pairs[key][3, 2] = value
    method = TangentBridge((10,))
    data = TensorData(pairs)
    for act in (method.set_references, method.start_from, method.tangent_vectors, lambda _: method.loss(pairs, _rng())):
        with pytest.raises(ValueError, match="hold NaN or infinity"):
            act(data)
    if key == "source":
        with pytest.raises(ValueError, match="hold NaN or infinity"):
            method.sample(pairs["source"], rng=_rng())


def test_source_and_target_must_be_equally_many() -> None:
    pairs = _pairs().tensors
    with pytest.raises(ValueError, match=r"source \(20, 15\) and target \(19, 15\) must both have"):
        TangentBridge((10,)).loss({"source": pairs["source"], "target": pairs["target"][:19]}, _rng())
