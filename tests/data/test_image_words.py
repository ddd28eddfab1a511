"""Captions that end in picture words: what is cut, what is asked, and pairs that become one."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.image_words import IGNORE, caption_labels, end_in_image, join_pairs, places_in_pairs, text_labels

WORDS, R = 50, 8
PICTURE = list(range(50, 58))


def test_a_long_caption_loses_its_end_and_never_a_picture_word() -> None:
    made = end_in_image([[5, 6], list(range(10, 50))], WORDS)
    assert made["length"].tolist() == [11, 32]
    assert made["input_ids"][0].tolist() == [2, 5, 6, *PICTURE] + [1] * 21
    assert made["input_ids"][1].tolist() == [2, *range(10, 33), *PICTURE]


def test_labels_leave_out_padding_and_all_but_the_first_picture_word() -> None:
    made = end_in_image([[5, 6], [7, 8, 9]], WORDS)
    captions, texts = (f(made["input_ids"], made["length"], R) for f in (caption_labels, text_labels))
    assert captions[0][captions[0] != IGNORE].tolist() == [2, 5, 6]
    assert texts[0][texts[0] != IGNORE].tolist() == [2, 5, 6, 50]
    assert (texts == 50).sum(1).tolist() == [1, 1]
    assert texts[1].tolist() == [2, 7, 8, 9, 50] + [IGNORE] * 7


def test_a_pair_asks_as_much_as_two_items_but_for_one_start_token() -> None:
    """The published code masks everything behind the first [IMG1] of a pair: its second caption teaches no word."""
    made = end_in_image([[5, 6], [7, 8, 9], [4]], WORDS)
    ends = made["length"].tolist()
    labels = text_labels(made["input_ids"], made["length"], R)
    rows = [row[:end] for row, end in zip(labels, ends, strict=True)]
    pairs = join_pairs(rows)
    asked = [int((row != IGNORE).sum()) for row in (*rows, *pairs)]
    assert asked[3:] == [asked[0] + asked[1] - 1, asked[2]]
    assert pairs[0].tolist() == [2, 5, 6, 50, *[IGNORE] * 7, 7, 8, 9, 50, *[IGNORE] * 7]


def test_what_stands_before_the_start_token_stays_and_places_are_told() -> None:
    first, second = torch.arange(5), torch.arange(10, 16)
    (pair,) = join_pairs([first, second], start=2)  # two picture vectors, then the start token
    assert pair.tolist() == [0, 1, 2, 3, 4, 10, 11, 13, 14, 15]
    places = places_in_pairs([5, 6, 7])
    assert places == [(0, 0), (0, 4), (1, 0)]
    row, shift = places[1]
    assert row == 0
    assert all(pair[shift + place] == second[place] for place in (3, 4, 5))


@pytest.mark.parametrize(
    ("captions", "how", "message"),
    [([], {}, "0 captions"), ([[3]], {"most": 9}, "at least 1 and 10"), ([[3], [50]], {}, "Caption 1 has a token")],
)
def test_impossible_captions_are_refused(captions: list[list[int]], how: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        end_in_image(captions, WORDS, **how)
