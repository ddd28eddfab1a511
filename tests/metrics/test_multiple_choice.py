"""Multiple choice: what is read of answers, denominators that hold all questions, and likelihoods by length."""

import pytest
import torch

from mmlab.metrics.multiple_choice import (
    AMBIGUOUS,
    UNREADABLE,
    choice_scores,
    joint_accuracy,
    likeliest,
    read_letter,
    read_name,
)

LETTERS = "ABCD"


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("B", 1), ("b", 1), ("(C)", 2), ("Answer: D.", 3), ("B) a red circle", AMBIGUOUS),
        ("B, since A is not", AMBIGUOUS),
        ("Because of the bed", UNREADABLE), ("", UNREADABLE), ("A_B", AMBIGUOUS), ("it is c because c is red", 2),
        ("Ｂ", 1), ("E", UNREADABLE), ("the answer is\nC", 2),
    ],
)  # fmt: skip
def test_letters_stand_alone(answer, read):
    assert read_letter(answer, LETTERS) == read


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("a polar bear", 1), ("A bear.", 0), ("Polar bear, not brown bear", AMBIGUOUS), ("bearing", UNREADABLE),
        ("POLAR  BEAR", 1), ("a bear, a polar bear", AMBIGUOUS), ("bear bear", 0), ("", UNREADABLE),
        ("café au lait", 3),
    ],
)  # fmt: skip
def test_names_are_read_as_words_and_the_longer_one_first(answer, read):
    assert read_name(answer, ["bear", "polar bear", "brown bear", "Cafe\u0301"]) == read


def test_names_that_are_the_same_are_refused():
    with pytest.raises(ValueError, match="same words"):
        read_name("x", ["Polar bear", "polar-bear"])
    with pytest.raises(ValueError, match="has none"):
        read_name("x", ["bear", "..."])


def test_shares_are_of_all_questions():
    scores = choice_scores([0, 1, UNREADABLE, AMBIGUOUS, 2], [0, 2, 0, 3, 2])
    assert (scores.accuracy, scores.parsed, scores.unreadable, scores.ambiguous) == (0.4, 0.6, 0.2, 0.2)
    assert scores.among_parsed == pytest.approx(2 / 3)  # what leaving out the unreadable ones would print
    assert choice_scores([UNREADABLE], [0]).among_parsed == 0
    for read, truth in (([], []), ([0], [0, 1])):
        with pytest.raises(ValueError, match="one each is needed"):
            choice_scores(read, truth)


def test_a_long_and_a_short_option_turn_with_what_the_sum_is_divided_by():
    scores = torch.tensor([[[-1.0, 0.0, 0.0], [-0.9, -0.1, -0.5]]])  # one word; three words
    mask = torch.tensor([[True, False, False], [True, True, True]])
    assert likeliest(scores, mask).item() == 0  # -1 against -1.5
    assert likeliest(scores, mask, "token").item() == 1  # -1 against -0.5
    assert likeliest(scores, mask, "byte", torch.tensor([3, 4])).item() == 0  # -.333 against -.375
    assert likeliest(scores, mask, "byte", torch.tensor([3, 9])).item() == 1
    scores[0, 0, 1:] = -50.0  # what is no word changes nothing
    assert likeliest(scores, mask, "token").item() == 1
    with pytest.raises(ValueError, match="needs sizes"):
        likeliest(scores, mask, "byte")


def test_the_joint_accuracy_is_a_product():
    first, second, both = joint_accuracy([True, True, True, False, False], [True, False, False, True, True])
    assert (first, second, both) == (0.6, pytest.approx(1 / 3), 0.2)
    assert first * second == pytest.approx(both)
    assert joint_accuracy([False], [True]) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="as many of each"):
        joint_accuracy([True], [])
