"""Matrices as pictures and as words: what goes in comes out, and the words are true."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.correlation import edges, matrices
from mmlab.data.matrix_words import LEVELS, MatrixWords, block_strength, matrix_pictures, picture_edges
from mmlab.data.regions import Regions

NETWORKS = ("b", "a-1", "b", "a-1", "c")
REGIONS = Regions(tuple("vwxyz"), NETWORKS)


def some(count: int = 9, regions: int = 5, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(count, regions * (regions - 1) // 2, generator=rng) * 2 - 1


def test_a_picture_holds_the_matrix_in_network_order() -> None:
    values = some()
    pictures = matrix_pictures(values, REGIONS)
    assert pictures.shape == (9, 3, 5, 5)
    assert pictures.abs().max() <= 1
    torch.testing.assert_close(picture_edges(pictures, REGIONS), values, atol=1e-6, rtol=0)
    order = REGIONS.order()
    assert [NETWORKS[i] for i in order] == ["a-1", "a-1", "b", "b", "c"]
    x = float(matrices(values[:1], diagonal=0.0)[0, order[0], order[2]])
    red, green, blue = pictures[0, :, 0, 2].tolist()
    assert (red, green, blue) == pytest.approx((1 - 2 * max(-x, 0), 1 - 2 * abs(x), 1 - 2 * max(x, 0)), abs=1e-6)
    assert (pictures[:, :, range(5), range(5)] == 1).all()  # white


def test_colours_end_at_the_limit() -> None:
    values = torch.full((1, 10), 0.9)
    assert picture_edges(matrix_pictures(values, REGIONS, limit=0.5), REGIONS, 0.5).max() == pytest.approx(0.5)


def test_pictures_of_another_size_are_not_read_back() -> None:
    pictures = matrix_pictures(some(), REGIONS, size=16)
    assert pictures.shape == (9, 3, 16, 16)
    with pytest.raises(ValueError, match=r"\(S, 3, 5, 5\) is read"):
        picture_edges(pictures, REGIONS)
    with pytest.raises(ValueError, match="5 regions need"):
        matrix_pictures(some(regions=4), REGIONS)


def test_strength_is_the_mean_edge_of_a_pair_of_networks() -> None:
    values = some()
    strength, names = block_strength(values, REGIONS)
    assert names == ["a1_a1", "a1_b", "a1_c", "b_b", "b_c"]  # one word for each; c has no edge with itself
    whole = matrices(values, diagonal=0.0).double()
    members = {"a1": [1, 3], "b": [0, 2], "c": [4]}
    for column, name in enumerate(names):
        one, other = name.split("_")
        pairs = [(i, j) for i in members[one] for j in members[other] if i != j]
        mean = sum(whole[:, i, j] for i, j in pairs) / len(pairs)
        torch.testing.assert_close(strength[:, column], mean)


def test_words_split_the_training_people_in_thirds_and_are_read_back() -> None:
    values = some(90)
    words = MatrixWords.of(values, REGIONS, facts=3)
    strength, names = block_strength(values, REGIONS)
    spread = dict(zip(names, strength.std(0).tolist(), strict=True))
    assert set(words.pairs) == set(sorted(spread, key=spread.__getitem__)[-3:])  # where people differ most
    levels = words.levels(values)
    counts = torch.stack([(levels == level).sum(0) for level in range(3)])
    assert (counts == 30).all()
    texts = words.describe(levels)
    assert texts[0].split()[0] == f"{words.pairs[0]}_{LEVELS[int(levels[0, 0])]}"
    assert torch.equal(words.read(texts), levels)
    assert words.read(["", f"{words.pairs[1]}_high nonsense"]).tolist() == [[-1, -1, -1], [-1, 2, -1]]
    assert {word for text in texts for word in text.split()} <= set(words.words())
    assert len(words.words()) == 9


@pytest.mark.parametrize(("people", "facts"), [(2, 1), (9, 0), (9, 6)])
def test_impossible_words_are_named(people: int, facts: int) -> None:
    with pytest.raises(ValueError, match="1 to 5 facts"):
        MatrixWords.of(some(people), REGIONS, facts)


def test_edges_are_those_of_the_whole_package() -> None:
    values = some()
    torch.testing.assert_close(edges(matrices(values)), values)
