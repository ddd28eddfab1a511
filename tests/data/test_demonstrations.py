"""Prompts with demonstrations, replies to several questions, and the table of pictures: round trips and refusals."""

import math

import pytest
import torch

from mmlab.data.demonstrations import PICTURE, balanced, write_prompt
from mmlab.data.sets.one_hot_labels import read_one_hot_labels
from mmlab.metrics.batched_answers import read_replies, write_replies
from mmlab.metrics.multiple_choice import AMBIGUOUS, UNREADABLE, choice_scores

NAMES = ("bear", "polar bear", "cat")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_demonstrations_are_equal_per_class_and_go_by_the_seed() -> None:
    label = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2])
    chosen = balanced(label, 2, rng())
    assert label[chosen].bincount().tolist() == [2, 2, 2]
    assert torch.equal(chosen, balanced(label, 2, rng()))
    assert any(not torch.equal(chosen, balanced(label, 2, rng(seed))) for seed in (1, 2, 3))
    with pytest.raises(ValueError, match="Class 2 has 2 candidates"):
        balanced(label, 3, rng())


def test_a_prompt_has_a_place_for_every_picture_in_order() -> None:
    text = write_prompt([1, 0], NAMES, 3)
    assert text.count(PICTURE) == 5
    assert text.index("Answer: polar bear") < text.index("Answer: bear") < text.index("Question 1:")
    assert all(f"Question {number}:" in text and f"Answer {number}:" in text for number in (1, 2, 3))
    with pytest.raises(ValueError, match="names for the classes 0 to 2"):
        write_prompt([3], NAMES, 1)
    with pytest.raises(ValueError, match="too small"):
        write_prompt([0], NAMES, 0)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_in_the_form_is_read_back(seed: int) -> None:
    answers = torch.randint(3, (12,), generator=rng(seed)).tolist()
    sure = [round(float(x), 2) for x in torch.rand(12, generator=rng(seed))]
    back = read_replies(write_replies(answers, NAMES, sure), 12, NAMES)
    assert list(back.read) == answers
    assert list(back.confidence) == pytest.approx(sure)
    assert all(math.isnan(x) for x in read_replies(write_replies(answers, NAMES), 12, NAMES).confidence)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Answer 1: polar bear", 1),  # not the bear inside
        ("**Answer 1:** Cat.", 2),
        ("answer 1 : a bear", 0),
        ("Answer 1: bear or cat", AMBIGUOUS),
        ("Answer 1: bear\nAnswer 1: cat", AMBIGUOUS),
        ("Answer 1: bear\nAnswer 1: bear", 0),
        ("Answer 1: concatenate", UNREADABLE),
        ("Answer 2: cat", UNREADABLE),
        ("I cannot help with that.", UNREADABLE),
        ("Answer 11: cat", UNREADABLE),  # another question
        ("", UNREADABLE),
    ],
)
def test_replies_that_do_not_keep_to_the_form(text: str, wanted: int) -> None:
    assert read_replies(text, 1, NAMES).read == (wanted,)


def test_every_question_is_in_the_denominator() -> None:
    read = read_replies("Answer 1: cat\nAnswer 3: bear or cat", 4, NAMES).read
    assert read == (2, UNREADABLE, AMBIGUOUS, UNREADABLE)
    scores = choice_scores(read, [2, 2, 2, 2])
    assert (scores.accuracy, scores.among_parsed, scores.unreadable, scores.ambiguous) == (0.25, 1.0, 0.5, 0.25)


@pytest.mark.parametrize(("said", "wanted"), [("0.7", 0.7), ("1", 1.0), ("7", math.nan), ("high", math.nan)])
def test_confidences(said: str, wanted: float) -> None:
    found = read_replies(f"Answer 1: cat\nConfidence 1: {said}", 1, NAMES).confidence[0]
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


def test_the_released_layout_is_read(tmp_path) -> None:
    path = tmp_path / "demo.csv"
    path.write_text(",beach,river\nbeach63.jpeg,1.0,0.0\nriver47.jpeg,0.0,1.0\n", encoding="utf-8")
    found = read_one_hot_labels(path)
    assert found.files == ("beach63.jpeg", "river47.jpeg")
    assert found.classes == ("beach", "river")
    assert found.label.tolist() == [0, 1]
    assert balanced(found.label, 1, rng()).tolist() in ([0, 1], [1, 0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (",beach,river\n", "holds no pictures"),
        (",beach\na.jpeg,1.0\n", "holds no pictures"),
        (",beach,river\na.jpeg,1.0,1.0\n", "row 1 is of 2 classes"),
        (",beach,river\na.jpeg,1.0,0.0\nb.jpeg,0.0,0.0\n", "row 2 is of 0 classes"),
        (",beach,river\na.jpeg,0.5,0.5\n", "'0.5' in the column"),
        (",beach,river\na.jpeg,1,0\na.jpeg,1,0\n", "twice"),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path, text: str, told: str) -> None:
    path = tmp_path / "demo.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        read_one_hot_labels(path)
