"""Intervals of votes that hang together: closed forms, coverage by simulation, and the speed that was promised."""

import math
import time

import numpy as np
import pytest

from mmlab.compare.power import independent_votes, plan, power, simulate_votes, variances
from mmlab.compare.two_way import TwoWay, mean, pooled_interval, rounds_won, sign_test, wilson


def crossed(people: int, things: int, resamples: int = 500, seed: int = 0) -> TwoWay:
    return TwoWay(
        np.repeat(np.arange(people), things), np.tile(np.arange(things), people), resamples=resamples, seed=seed
    )


def test_wilson_and_sign_test_by_hand():
    e = wilson(60, 100)
    assert (e.value, e.low, e.high) == (0.6, pytest.approx(0.502, abs=5e-4), pytest.approx(0.691, abs=5e-4))
    # 8 of 9 decided items: 2 * (C(9,8) + C(9,9)) / 2^9
    assert sign_test([1] * 8 + [0] + [0.5] * 4) == pytest.approx(2 * 10 / 512)
    assert sign_test([0.5]) == 1
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


def test_the_resamples_are_the_ones_that_a_loop_would_draw():
    rng = np.random.default_rng(3)
    who, what = rng.integers(0, 7, 60), rng.integers(0, 6, 60)
    values = rng.random(60)
    draws = TwoWay(who.tolist(), what.tolist(), resamples=40)
    value, found = mean(draws, values)
    assert value == pytest.approx(values.mean())
    weights = draws.weights()
    assert found == pytest.approx((weights * values).sum(1) / weights.sum(1))
    scores = (values > 0.5).astype(float)
    _, shares, won = rounds_won(draws, scores)
    for b in range(40):
        drawn = []
        for item in range(draws.things):
            mine = draws.item == item
            weight = draws.by_respondent[b, draws.respondent[mine]]
            if weight.sum():
                lead = (weight * (scores[mine] - 0.5)).sum()
                drawn += [1.0 if lead > 0 else 0.0 if lead < 0 else 0.5] * int(draws.by_item[b, item])
        assert shares[b] == pytest.approx(np.mean(drawn))
    assert set(won) <= {0.0, 0.5, 1.0}


def test_the_spread_is_that_of_the_pigeonhole_bootstrap():
    """Owen (2007): on balanced votes the resampled variance is that of rows, columns and rest, each over its number."""
    y = simulate_votes(20, 20, np.random.default_rng(0), share=0.5, respondent_spread=1.0, item_spread=1.0)
    value, draws = mean(crossed(20, 20, 20_000), y.ravel())
    rows, columns = y.mean(1), y.mean(0)
    rest = y - rows[:, None] - columns[None] + y.mean()
    wanted = rows.var() / 20 + columns.var() / 20 + rest.var() / 400
    assert draws.var() == pytest.approx(wanted, rel=0.05)
    assert value == y.mean()


# People, items, and how much the log-odds vary between people and between items.
WORLDS = [(10, 10, 0.5, 0.8), (30, 30, 0.5, 0.8), (10, 30, 1.5, 0.1), (30, 10, 0.1, 1.5), (5, 20, 0.5, 0.8)]


def test_at_the_null_the_interval_holds_and_pooling_does_not():
    """False alarms: at most 7 % on average over worlds, where pooling gives 20 to 50 %."""
    alarms, naive, trials = [], [], 60
    for at, (people, things, own, other) in enumerate(WORLDS):
        rng = np.random.default_rng(at)
        missed = pooled = 0
        for trial in range(trials):
            y = simulate_votes(people, things, rng, respondent_spread=own, item_spread=other).ravel()
            draws = crossed(people, things, 300, trial)
            missed += draws.interval(*mean(draws, y)).excludes(0.5)
            pooled += pooled_interval(y).excludes(0.5)
        alarms.append(missed / trials)
        naive.append(pooled / trials)
    assert np.mean(alarms) <= 0.07
    assert max(alarms) <= 0.12, alarms  # 60 trials of 5 %: 0.12 is two and a half deviations above
    assert np.mean(naive) >= 0.2, naive


def test_ten_thousand_resamples_of_a_full_competition_are_quick():
    y = simulate_votes(30, 30, np.random.default_rng(0)).ravel()
    start = time.process_time()
    draws = crossed(30, 30, 10_000)
    shares = draws.interval(*mean(draws, y))
    rounds_won(draws, y)
    assert time.process_time() - start < 2
    assert shares.low < shares.value < shares.high


def test_too_few_people_decide_nothing():
    draws = crossed(4, 30)
    e = draws.interval(*mean(draws, np.ones(120)))
    assert (e.low, e.high) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="respondents and"):
        TwoWay([], [])


def test_votes_that_one_needs_if_they_were_independent():
    assert [independent_votes(share) for share in (0.6, 0.65, 0.7)] == [194, 85, 47]


def test_the_planned_power_is_the_power():
    rng = np.random.default_rng(0)
    found = sum(
        (draws := crossed(20, 20, 300, seed))
        .interval(*mean(draws, simulate_votes(20, 20, rng, share=0.65).ravel()))
        .low
        > 0.5
        for seed in range(150)
    )
    assert found / 150 == pytest.approx(power(20, 20, 0.65), abs=0.1)


def test_variances_by_simulation():
    y = simulate_votes(1500, 1500, np.random.default_rng(0), share=0.6, respondent_spread=0.7, item_spread=1.0)
    people, things, votes = variances(0.6, 0.7, 1.0)
    assert y.mean() == pytest.approx(0.6, abs=0.02)
    assert y.mean(1).var() == pytest.approx(people, rel=0.1)
    assert y.mean(0).var() == pytest.approx(things, rel=0.1)
    assert people + things + votes == pytest.approx(0.24)


def test_a_plan_is_the_smallest_that_is_enough():
    found = plan(0.6, items=60)
    assert found is not None
    assert found.power >= 0.8 > power(found.respondents - 1, 60, 0.6)
    assert plan(0.6, items=5) is None  # however many people come
    with pytest.raises(ValueError, match="not one half"):
        plan(0.5)
