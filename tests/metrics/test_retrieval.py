"""Retrieval by hand, ties, names, and that exchanged counts change nothing or are refused."""

from __future__ import annotations

import pytest
import torch

from mmlab.metrics.retrieval import mean_reciprocal_rank, median_rank, ranks, recall_at


def test_by_hand() -> None:
    s = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.3, 0.2, 0.1]])
    found = ranks(s)
    assert found.tolist() == [1, 2, 3]
    assert recall_at(found, 1).tolist() == [1, 0, 0]
    assert recall_at(found, 2).mean() == pytest.approx(2 / 3)
    assert mean_reciprocal_rank(found) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert median_rank(found) == 2
    assert median_rank(found[:2]) == 1.5


def test_who_finds_all_alike_finds_nothing() -> None:
    assert ranks(torch.zeros(4, 7), range(4), range(7)).tolist() == [7] * 4
    assert recall_at(ranks(torch.ones(3, 3)), 1).sum() == 0
    assert ranks(torch.ones(1, 1)).tolist() == [1]


def test_captions_of_one_picture_are_right_by_name_and_their_place_does_not_count() -> None:
    rng = torch.Generator().manual_seed(0)
    s = torch.randn(4, 20, generator=rng)
    pictures, captions = list("abcd"), [name for name in "abcd" for _ in range(5)]
    found = ranks(s, pictures, captions)
    by_hand = [1 + int((s[i][[c != n for c in captions]] >= s[i][[c == n for c in captions]].max()).sum())
               for i, n in enumerate(pictures)]  # fmt: skip
    assert found.tolist() == by_hand
    order = torch.randperm(20, generator=rng)
    assert torch.equal(ranks(s[:, order], pictures, [captions[i] for i in order.tolist()]), found)
    assert torch.equal(ranks(s, torch.arange(4), torch.arange(4).repeat_interleave(5)), found)


def test_exchanged_counts_are_refused_and_the_other_direction_is_the_matrix_turned_over() -> None:
    """Five captions for each picture: the two counts are 4 and 20, and no measure comes out if they are exchanged."""
    s = torch.randn(4, 20, generator=torch.Generator().manual_seed(1))
    pictures, captions = range(4), [name for name in range(4) for _ in range(5)]
    with pytest.raises(ValueError, match="4 rows and 20 columns have 20 and 4 names"):
        ranks(s, captions, pictures)
    with pytest.raises(ValueError, match="turn the matrix over"):
        ranks(s.mT, pictures, captions)
    back = ranks(s.mT, captions, pictures)
    assert back.shape == (20,)
    assert back.max() <= 4
    with pytest.raises(ValueError, match="no column has the name 4 of a row"):  # as if each picture had one caption
        ranks(s.mT)


def test_each_measure_is_a_mean_over_who_asks_whatever_the_other_count_is() -> None:
    """Asking everything twice changes nothing; a second copy of each answer does neither."""
    s = torch.randn(6, 6, generator=torch.Generator().manual_seed(2))
    once, names = ranks(s), list(range(6))
    twice = ranks(s.repeat(2, 1), names * 2, names)
    assert recall_at(twice, 1).mean() == recall_at(once, 1).mean()
    assert mean_reciprocal_rank(twice) == pytest.approx(mean_reciprocal_rank(once))
    assert median_rank(twice) == median_rank(once)
    doubled = ranks(s.repeat(1, 2), names, names * 2)
    assert torch.equal(doubled == 1, once == 1)


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a matrix"):
        ranks(torch.zeros(3))
    with pytest.raises(ValueError, match="not a number"):
        ranks(torch.tensor([[torch.nan]]))
    with pytest.raises(ValueError, match="k=0"):
        recall_at(torch.ones(2), 0)
