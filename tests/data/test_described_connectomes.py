"""Several scans of each person: their noise, their truth, and splits that know who is who."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmlab.data.connectome import ConnectomePairs
from mmlab.data.pairs import Pairs
from mmlab.data.worlds.described_connectomes import DescribedConnectomes, _scans, described_connectomes
from mmlab.data.worlds.rest_motor_world import rest_motor_world


def test_scans_of_a_person_vary_around_the_truth_as_correlations_of_frames_do() -> None:
    """Beside frames that are drawn one by one: mean and variance of every edge, 400 scans each."""
    true = rest_motor_world(2, 12, 0).true_motor[:1]
    drawn = _scans(true, 40, 400, np.random.default_rng(0)).double()
    from mmlab.data.correlation import edges, matrices

    factor = torch.linalg.cholesky(matrices(true[0].double()))
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 40, 12, generator=rng, dtype=torch.float64) @ factor.mT
    framed = edges(torch.stack([torch.corrcoef(one.mT) for one in noise]))
    assert (drawn.mean(0) - framed.mean(0)).abs().max() < 0.05
    ratio = drawn.std(0) / framed.std(0)
    assert ratio.mean().item() == pytest.approx(1, abs=0.03)
    assert (ratio - 1).abs().max() < 0.2


def test_two_scans_of_one_person_are_more_alike_than_those_of_two() -> None:
    world = described_connectomes(12, scans=2, seed=1)
    assert world.person.tolist() == [i // 2 for i in range(24)]
    assert world.scans.source.shape == (24, 276)
    apart = torch.cdist(world.scans.source, world.scans.source)
    apart.fill_diagonal_(torch.inf)
    assert (world.person[apart.argmin(1)] == world.person).all()
    again = described_connectomes(12, scans=2, seed=1)
    assert torch.equal(world.scans.target, again.scans.target)


def test_what_is_told_is_the_truth_and_the_best_prediction_lies_between() -> None:
    world = described_connectomes(60, seed=0)
    error = (world.scans.target - world.told[world.person]).square().mean()
    best = (world.scans.target - world.attainable[world.person]).square().mean()
    mean = (world.scans.target - world.scans.target.mean(0)).square().mean()
    assert error < best < mean


def test_nobody_is_on_both_sides_and_words_know_the_training_people_alone() -> None:
    world = described_connectomes(20, seed=0)
    train, test = world.by_person(5, seed=3)
    assert len(train) == 45
    assert len(test) == 15
    assert not set(world.person[train].tolist()) & set(world.person[test].tolist())
    words = world.words(train)
    moved = DescribedConnectomes(world.scans, world.told.clone(), world.regions, world.facts)
    moved.told[world.person[test].unique()] += 1
    assert torch.equal(moved.words(train).borders, words.borders)
    with pytest.raises(ValueError, match="leaves one side empty"):
        world.by_person(20)


def test_real_matrices_are_told_by_the_mean_of_their_scans() -> None:
    pairs = rest_motor_world(6, 12, 0).pairs
    assert isinstance(pairs, ConnectomePairs)
    one = DescribedConnectomes.of(pairs, facts=2)
    assert torch.equal(one.told, pairs.target)
    assert one.regions is pairs.regions
    assert one.attainable is None
    twice = Pairs(
        torch.cat([pairs.source, pairs.source]), torch.cat([pairs.target, pairs.target + 0.1]), pairs.subjects * 2
    )
    many = DescribedConnectomes.of(twice, pairs.regions)
    torch.testing.assert_close(many.told, pairs.target + 0.05)
    assert many.person.tolist() == [*range(6), *range(6)]


def test_what_does_not_fit_is_named() -> None:
    pairs = rest_motor_world(6, 12, 0).pairs
    with pytest.raises(ValueError, match="give regions"):
        DescribedConnectomes.of(Pairs(pairs.source, pairs.target, pairs.subjects))
    with pytest.raises(ValueError, match="use one atlas"):
        DescribedConnectomes.of(Pairs(pairs.source[:, 1:], pairs.target, pairs.subjects), pairs.regions)
    with pytest.raises(ValueError, match="rest_frames"):
        described_connectomes(8, rest_frames=20)
