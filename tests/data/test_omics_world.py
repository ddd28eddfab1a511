"""The world of omics: its law, its posterior and its Bayes rate."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mmlab.data.worlds.omics_world import VIEWS, OmicsWorld, omics_world


@pytest.fixture(scope="module")
def world() -> OmicsWorld:
    return omics_world(features=30, shared=3, private=2, seed=3)


def test_posterior_and_rate_by_hand(world: OmicsWorld) -> None:
    """Independent transcription with the whole covariance and SciPy's densities."""
    for views in (VIEWS, VIEWS[:1], VIEWS[1:]):
        loadings = np.concatenate([world.loadings[VIEWS.index(view)].numpy() for view in views])
        mean = loadings @ world.shift.numpy()
        covariance = loadings @ loadings.T + world.noise**2 * np.eye(len(mean))
        distance = math.sqrt(mean @ np.linalg.solve(covariance, mean))
        assert world.rate(views) == pytest.approx(stats.norm.cdf(distance), abs=1e-9)
        batch = {key: tensor[:20] for key, tensor in world.pairs.tensors.items()}
        for view in set(VIEWS) - set(views):
            batch[f"{view}_present"] = torch.zeros(20, dtype=torch.bool)
            batch[view] = torch.full_like(batch[view], torch.nan)  # what is absent does not matter
        x = np.concatenate([batch[view].double().numpy() for view in views], 1)
        log = [stats.multivariate_normal.logpdf(x, sign * mean, covariance) for sign in (-1, 1)]
        expected = 1 / (1 + np.exp(log[0] - log[1]))
        assert world.posterior(batch)[:, 1].numpy() == pytest.approx(expected, abs=1e-9)


def test_samples_meet_the_rates(world: OmicsWorld) -> None:
    people = world.draw(100_000, seed=5)
    label = people.tensors["label"]
    assert int(label.sum()) == 50_000
    for absent in (None, "mrna"):
        batch = dict(people.tensors)
        if absent:
            batch[f"{absent}_present"] = torch.zeros(len(label), dtype=torch.bool)
        p = world.posterior(batch)
        rate = world.rate([view for view in VIEWS if view != absent])
        assert float((p.argmax(1) == label).float().mean()) == pytest.approx(rate, abs=0.006)
        for low in np.arange(0, 1, 0.2):
            chosen = (p[:, 1] >= low) & (p[:, 1] < low + 0.2)
            expected = float(p[chosen, 1].mean())
            assert float(label[chosen].float().mean()) == pytest.approx(expected, abs=2.5 / math.sqrt(chosen.sum()))


def test_mixed_presence_and_nothing(world: OmicsWorld) -> None:
    batch = world.pairs.batch(torch.arange(6))
    there = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 1]], dtype=torch.bool)
    for view, column in zip(VIEWS, there.T, strict=True):
        batch[f"{view}_present"] = column
    got = world.posterior(batch)
    for i in range(6):
        alone = {key: tensor[i : i + 1] for key, tensor in batch.items()}
        assert torch.allclose(world.posterior(alone), got[i : i + 1])
    assert got[2].tolist() == [0.5, 0.5]
    assert world.rate([]) == 0.5
    with pytest.raises(ValueError, match="not 'protein'"):
        world.rate(["protein"])


def test_shared_factors_make_views_agree_and_private_ones_do_not() -> None:
    only_private = omics_world(people=20_000, features=10, shared=1, private=2, noise=0.5, seed=1)
    loadings = only_private.loadings.clone()
    loadings[:, :, 0] = 0
    silent = OmicsWorld(only_private.pairs, loadings, 0 * only_private.shift, 0.5).draw(20_000, seed=0)
    both = torch.corrcoef(torch.cat([silent.tensors["mrna"], silent.tensors["mirna"]], 1).T)
    assert float(both[:10, 10:].abs().max()) < 0.04
    seen = torch.corrcoef(torch.cat([only_private.pairs.tensors[view] for view in ("mrna", "mirna")], 1).T)
    assert float(seen[:10, 10:].abs().max()) > 0.15


def test_views_differ_in_what_they_tell_and_all_tell_more() -> None:
    default = omics_world()
    rates = [default.rate([view]) for view in VIEWS]
    assert rates == sorted(rates)
    assert default.bayes_rate > max(rates) + 0.02
    assert default.pairs.tensors["mrna"].shape == (245, 200)
    assert omics_world().pairs.fingerprint() == default.pairs.fingerprint() != omics_world(seed=9).pairs.fingerprint()


def test_no_strength_is_chance() -> None:
    assert omics_world(shared_strength=0, private_strengths=(0, 0, 0)).bayes_rate == 0.5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"people": 1}, "people=1 is too small: choose at least 2"),
        ({"noise": 0}, "above 0"),
        ({"shared_strength": -1}, ">= 0"),
        ({"private": 0}, "private=0 is too small: choose at least 1"),
    ],
)
def test_impossible_worlds_are_refused(arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        omics_world(**arguments)  # type: ignore[arg-type]
