"""The splice beside a list-by-list transcription: every layout, both sides, and nothing known by an id."""

import random
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from mmlab.nn.splicing import IGNORE, IMAGE, Spliced, splice

P, D, PAD = 3, 2, 0


def embed(ids: Tensor) -> Tensor:
    """A word's vector says which word it is."""
    return torch.stack([ids.double(), -ids.double()], -1)


def pictures(rows: int, most: int) -> Tensor:
    """(B, M, P, D): a token's vector says whose it is."""
    b, m, p = torch.meshgrid(torch.arange(rows), torch.arange(most), torch.arange(P), indexing="ij")
    return (1000 + 100 * b + 10 * m + p).double()[..., None].expand(-1, -1, -1, D)


def padded(rows: list[list[int]], filler: int = PAD) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([row + [filler] * (width - len(row)) for row in rows])
    return ids, torch.tensor([len(row) for row in rows])


def expected(rows: list[list[int]], side: str) -> tuple[list, list, list, list]:
    """Vectors' first numbers, mask, labels and weights, one token after the other."""
    tokens, labels, weights = [], [], []
    for b, row in enumerate(rows):
        seen = -1
        tokens.append([])
        labels.append([])
        weights.append([])
        for t, word in enumerate(row):
            seen += word == IMAGE
            tokens[b] += [1000 + 100 * b + 10 * seen + p for p in range(P)] if word == IMAGE else [word]
            labels[b] += [IGNORE] * P if word == IMAGE else [word]
            weights[b] += [0.0] * P if word == IMAGE else [t + 0.5]
    width = max(map(len, tokens))

    def fill(part: list, filler: float) -> list:
        rest = [[filler] * (width - len(row)) for row in part]
        return [r + row if side == "left" else row + r for r, row in zip(rest, part, strict=True)]

    mask = [[1] * len(row) for row in tokens]
    return fill(tokens, 0), fill(mask, 0), fill(labels, IGNORE), fill(weights, 0.0)


def spliced(rows: list[list[int]], side: str = "right", filler: int = PAD) -> Spliced:
    ids, length = padded(rows, filler)
    most = max(row.count(IMAGE) for row in rows)
    weights = torch.arange(ids.shape[1]).expand_as(ids) + 0.5
    labels = torch.where(ids == IMAGE, 7, ids)  # whatever stands at a picture, it is not supervised
    return splice(embed, ids, length, pictures(len(rows), most), labels, weights, side=side)  # type: ignore[arg-type]


def random_rows(seed: int) -> list[list[int]]:
    draw = random.Random(seed)
    words = [IMAGE, *range(10)]
    return [[draw.choice(words) for _ in range(draw.randint(1, 9))] for _ in range(4)]


LAYOUTS = {
    "no picture": [[1, 2, 3]],
    "first": [[IMAGE, 1, 2]],
    "middle": [[1, IMAGE, 2]],
    "last": [[1, 2, IMAGE]],
    "alone": [[IMAGE]],
    "two apart": [[1, IMAGE, 2, IMAGE, 3]],
    "two together": [[1, IMAGE, IMAGE, 3]],
    "mixed": [[1, IMAGE, 2, 3], [4, 5], [IMAGE, 6, IMAGE], [7, 8, 9, 1, 2, 3]],
} | {f"random {seed}": random_rows(seed) for seed in range(8)}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_token_by_token(layout: str, side: str) -> None:
    rows = LAYOUTS[layout]
    vectors, mask, labels, weights = spliced(rows, side)
    tokens, expected_mask, expected_labels, expected_weights = expected(rows, side)
    assert vectors[..., 0].tolist() == tokens
    assert mask.tolist() == expected_mask
    assert labels is not None
    assert labels.tolist() == expected_labels
    assert weights is not None
    assert weights.tolist() == expected_weights


def test_what_pads_is_never_looked_at() -> None:
    """Padding is known by the lengths: the id that pads may end an answer, be unknown, or even mean a picture."""
    rows = [[1, IMAGE, 0, 0], [2, 0]]  # 0 ends the answers, and pads
    right = spliced(rows)
    assert right.mask.tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    assert right.labels is not None
    assert right.labels[:, :2].tolist() == [[1, IGNORE], [2, 0]]
    assert (right.labels == 0).sum() == 3
    for filler in (9, 10**6, IMAGE, IGNORE):
        assert all(torch.equal(a, b) for a, b in zip(spliced(rows, filler=filler), right, strict=True))


def test_a_cut_before_the_splice_is_a_cut_after_it() -> None:
    rows = [[1, IMAGE, 2, 3, IMAGE, 4, 5], [6, 7, 8, IMAGE, 9, 1, 2]]
    whole = spliced(rows)
    for end, after in ((3, (1 + P + 1, 3)), (6, (4 + 2 * P, 5 + P))):
        ids, length = padded([row[:end] for row in rows])
        part = splice(embed, ids, length, pictures(2, 2), ids)
        assert part.labels is not None
        assert whole.labels is not None
        for b, width in enumerate(after):
            assert part.mask[b].sum() == width
            assert torch.equal(part.vectors[b, :width], whole.vectors[b, :width])
            assert torch.equal(part.labels[b, :width], whole.labels[b, :width])


def test_without_labels_weights_and_pictures() -> None:
    ids, length = padded([[1, 2], [3]])
    for features in (None, pictures(2, 2)):
        vectors, mask, labels, weights = splice(embed, ids, length, features)
        assert vectors[..., 0].tolist() == [[1, 2], [3, 0]]
        assert mask.tolist() == [[1, 1], [1, 0]]
        assert labels is None
        assert weights is None


def test_the_first_pictures_are_used_and_only_they_get_a_gradient() -> None:
    ids, length = padded([[1, IMAGE, 2], [IMAGE, 3, IMAGE], [4, 5]])
    features = torch.randn(3, 2, P, D, generator=torch.Generator().manual_seed(0)).requires_grad_()
    words = nn.Embedding(6, D)
    splice(words, ids, length, features).vectors.sum().backward()
    assert features.grad is not None
    assert words.weight.grad is not None
    used = features.grad.flatten(2).all(2)
    assert used.tolist() == [[True, False], [True, True], [False, False]]
    assert not features.grad[~used].any()
    assert words.weight.grad.any(1).tolist() == [False, True, True, True, True, True]  # no word stands for a picture


def test_pictures_take_the_type_of_the_words() -> None:
    ids, length = padded([[1, IMAGE]])
    words = nn.Embedding(6, D, dtype=torch.bfloat16)
    assert splice(words, ids, length, pictures(1, 1)).vectors.dtype == torch.bfloat16


@pytest.mark.parametrize("held", [0, 1])
def test_too_few_pictures_are_refused(held: int) -> None:
    ids, length = padded([[1, 2], [IMAGE, IMAGE]])
    features = pictures(2, held) if held else None
    with pytest.raises(ValueError, match=f"has 2 places for pictures, but the batch holds {held} pictures"):
        splice(embed, ids, length, features)


def test_a_placeholder_in_the_padding_is_none() -> None:
    for side, held in product(("left", "right"), (0, 1)):
        features = pictures(1, held) if held else None
        ids = torch.tensor([[1, 2, IMAGE]])
        made = splice(embed, ids, torch.tensor([2]), features, side=side)  # type: ignore[arg-type]
        assert made.vectors[..., 0].tolist() == [[1, 2]]
