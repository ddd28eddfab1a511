"""Oracles of C2C: closed forms, and scikit-learn's principal components and partial least squares."""

from itertools import pairwise

import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import TruncatedSVD

from mmlab.data.tensors import TensorData
from mmlab.methods.c2c import C2C, partial_least_squares, principal_components


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _centred(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(0)


def _sklearn(t: torch.Tensor, s: torch.Tensor, count: int) -> torch.Tensor:
    fitted = PLSRegression(count, scale=False, max_iter=20000, tol=1e-14).fit(t.numpy(), s.numpy())
    return torch.from_numpy(fitted.coef_.T)


def test_components_are_those_of_an_uncentred_decomposition() -> None:
    x = _random(30, 12) + 5
    ours = principal_components(x, 4)
    theirs = torch.tensor(TruncatedSVD(4, algorithm="arpack").fit(x.numpy()).components_.tolist()).double().T
    torch.testing.assert_close((ours.T @ theirs).abs(), torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)
    assert (ours[:, 0] @ x.mean(0) / x.mean(0).norm()).abs() > 0.99  # the mean was not taken off


@pytest.mark.parametrize("count", [1, 2, 4])
def test_one_response_is_scikit_learns(count: int) -> None:
    t, s = _centred(_random(40, 6)), _centred(_random(40, 1, seed=1))
    torch.testing.assert_close(partial_least_squares(t, s, count), _sklearn(t, s, count), atol=1e-8, rtol=1e-6)


def test_the_first_direction_of_many_responses_is_scikit_learns() -> None:
    t, s = _centred(_random(40, 6)), _centred(_random(40, 5, seed=1))
    torch.testing.assert_close(partial_least_squares(t, s, 1), _sklearn(t, s, 1), atol=1e-6, rtol=1e-5)


def test_all_directions_are_least_squares() -> None:
    t, s = _centred(_random(40, 6)), _centred(_random(40, 5, seed=1))
    torch.testing.assert_close(partial_least_squares(t, s, 6), torch.linalg.lstsq(t, s).solution)


def test_each_direction_explains_more() -> None:
    t, s = _centred(_random(40, 6)), _centred(_random(40, 5, seed=1))
    errors = [(s - t @ partial_least_squares(t, s, count)).square().sum() for count in range(1, 7)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(errors))


@pytest.mark.parametrize("extra", [0, 20])
def test_a_map_of_low_rank_is_recovered_exactly(extra: int) -> None:
    """Without noise five directions suffice for a map of rank five, however many components are asked for."""
    z = _random(60, 5)
    source, target = z @ _random(5, 40, seed=1) + 0.3, z @ _random(5, 40, seed=2) - 1.0
    data = TensorData({"source": source, "target": target})
    method = C2C((40,), components=6 + extra, directions=6).double().solve(data.subset(range(40)))
    torch.testing.assert_close(method.sample(source[40:]), target[40:], atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize(("wide", "narrow"), [(40, 15), (15, 40)])
def test_two_states_may_have_different_widths(wide: int, narrow: int) -> None:
    """A map of rank five between rows of two widths is recovered exactly, and its arguments are read off an item."""
    z = _random(60, 5)
    source, target = z @ _random(5, wide, seed=1) + 0.3, z @ _random(5, narrow, seed=2) - 1.0
    data = TensorData({"source": source, "target": target})
    known = C2C.arguments_for(data[0])
    assert known == {"shape": [wide], "target_shape": [narrow]}
    assert "target_shape" not in C2C.arguments_for({"source": source[0], "target": source[0]})
    method = C2C(**known, components=20, directions=6).double().solve(data.subset(range(40)))
    torch.testing.assert_close(method.sample(source[40:]), target[40:], atol=1e-8, rtol=1e-8)
    with pytest.raises(ValueError, match=rf"source is \(60, {narrow}\)"):
        method.sample(target)


def test_it_is_the_direct_computation() -> None:
    """PCA with NumPy's conventions and scikit-learn's regression in one piece, one direction."""
    source, target = _random(30, 12) + 1, _random(30, 12, seed=1) - 1
    u, w = (torch.linalg.svd(a).Vh[:5].T for a in (source, target))
    t, s = source @ u, target @ w
    fitted = PLSRegression(1, scale=False, max_iter=20000, tol=1e-14).fit(t.numpy(), s.numpy())
    expected = torch.from_numpy(fitted.predict((source[:3] @ u).numpy())) @ w.T
    method = C2C((12,), components=5, directions=1).double().solve(TensorData({"source": source, "target": target}))
    torch.testing.assert_close(method.sample(source[:3]), expected, atol=1e-6, rtol=1e-5)


def test_the_order_of_the_people_does_not_matter() -> None:
    source, target = _random(30, 12), _random(30, 12, seed=1)
    data = TensorData({"source": source, "target": target})
    one, other = (C2C((12,), 6, 3).solve(part) for part in (data, data.subset(torch.randperm(30))))
    torch.testing.assert_close(one.sample(source), other.sample(source), atol=1e-5, rtol=1e-5)


def test_unfit_input_is_refused_in_words() -> None:
    source = _random(4, 12)
    with pytest.raises(ValueError, match="not been solved"):
        C2C((12,), 6, 3).sample(source)
    with pytest.raises(ValueError, match=r"source is \(4, 11\)"):
        C2C((12,), 6, 3).solve(TensorData({"source": source[:, 1:], "target": source}))
    with pytest.raises(ValueError, match="target holds values that are not finite"):
        C2C((12,), 6, 3).solve(TensorData({"source": source, "target": source / 0}))
    with pytest.raises(ValueError, match="at least 2"):
        C2C((12,), 6, 3).solve(TensorData({"source": source[:1], "target": source[:1]}))
    with pytest.raises(ValueError, match="directions"):
        C2C((12,), 6, 7)
