"""Canonical correlations: those of the textbook for two views, and the eigenproblem for three."""

import pytest
import torch

from mmlab.compare.canonical import canonical_correlations


def views(count=400, sizes=(5, 3, 4), seed=0):
    rng = torch.Generator().manual_seed(seed)
    shared = torch.randn(count, 2, generator=rng, dtype=torch.float64)
    return {
        f"v{m}": shared @ torch.randn(2, size, generator=rng, dtype=torch.float64)
        + torch.randn(count, size, generator=rng, dtype=torch.float64)
        for m, size in enumerate(sizes)
    }


def textbook(x, y):
    """Singular values of the whitened cross-covariance, by QR."""
    x, y = x - x.mean(0), y - y.mean(0)
    return torch.linalg.svdvals(torch.linalg.qr(x).Q.T @ torch.linalg.qr(y).Q)


def test_two_views_have_the_correlations_of_the_textbook():
    two = {name: values for name, values in views().items() if name != "v2"}
    found = canonical_correlations(two, 3)
    r = textbook(*two.values())
    torch.testing.assert_close(found.agreement, (1 + r) / 2)
    a, b = (found.project(name, values) for name, values in two.items())
    measured = torch.stack([torch.corrcoef(torch.stack([a[:, k], b[:, k]]))[0, 1] for k in range(3)])
    torch.testing.assert_close(measured, r)


def test_two_views_as_scikit_learn_has_them():
    from sklearn.cross_decomposition import CCA

    x, y, _ = views().values()
    theirs = CCA(n_components=2, max_iter=5000, tol=1e-10).fit(x.numpy(), y.numpy())
    a, b = theirs.transform(x.numpy(), y.numpy())
    r = [abs(torch.corrcoef(torch.tensor([a[:, k].tolist(), b[:, k].tolist()]))[0, 1]) for k in range(2)]
    found = canonical_correlations({"x": x, "y": y}, 2).agreement * 2 - 1
    assert found.tolist() == pytest.approx([float(v) for v in r], abs=1e-5)


def test_two_views_as_cca_zoo_has_them():
    zoo = pytest.importorskip("cca_zoo.linear")
    x, y, z = views().values()
    theirs = zoo.GCCA(latent_dimensions=2).fit([v.numpy() for v in (x, y, z)])
    ours = canonical_correlations({"x": x, "y": y, "z": z}, 2)
    for name, values, own in zip("xyz", (x, y, z), theirs.transform([v.numpy() for v in (x, y, z)]), strict=True):
        pair = torch.stack([ours.project(name, values)[:, 0], torch.as_tensor(own)[:, 0]])
        assert abs(torch.corrcoef(pair)[0, 1]) == pytest.approx(1, abs=1e-3)


def test_three_views_solve_the_eigenproblem_of_projections():
    data = views()
    count = len(data["v0"])
    projections = torch.zeros(count, count, dtype=torch.float64)
    for x in data.values():
        q = torch.linalg.qr(x - x.mean(0)).Q
        projections += q @ q.T
    values, vectors = torch.linalg.eigh(projections)
    found = canonical_correlations(data, 2)
    torch.testing.assert_close(found.agreement, values.flip(0)[:2] / 3)
    common = vectors[:, -1]
    for name, x in data.items():
        q = torch.linalg.qr(x - x.mean(0)).Q
        expected, own = q @ (q.T @ common) * count**0.5, found.project(name, x)[:, 0]
        torch.testing.assert_close(own * torch.sign(own @ expected), expected)


def test_a_view_that_is_a_copy_agrees_wholly_and_a_linear_map_changes_nothing():
    x = views()["v0"]
    turned = x @ torch.randn(5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 7
    found = canonical_correlations({"x": x, "y": turned}, 5)
    torch.testing.assert_close(found.agreement, torch.ones(5, dtype=torch.float64))
    same = canonical_correlations({"x": x, "y": torch.cat([turned, turned], 1)}, 5)  # columns that repeat
    torch.testing.assert_close(same.agreement, found.agreement)


def test_penalty_lowers_the_agreement_and_nonsense_is_refused():
    data = views()
    assert (canonical_correlations(data, 2, 0.1).agreement < canonical_correlations(data, 2).agreement).all()
    with pytest.raises(ValueError, match="at least two"):
        canonical_correlations({"a": data["v0"]}, 1)
    with pytest.raises(ValueError, match="different numbers"):
        canonical_correlations({"a": data["v0"], "b": data["v1"][:5]}, 1)
    with pytest.raises(ValueError, match="largest view has 5"):
        canonical_correlations(data, 6)
    with pytest.raises(ValueError, match="negative"):
        canonical_correlations(data, 1, -1.0)
    with pytest.raises(ValueError, match="no view 'v9'"):
        canonical_correlations(data, 1).project("v9", data["v0"])
