"""A model that does not look at its input is found out, and one that does is not."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from mmlab.compare.ablation import ablate, transformers_answers

COUNT, CLASSES = 120, 4
generator = torch.Generator().manual_seed(0)
LABEL = torch.arange(COUNT) % CLASSES
IMAGE = torch.nn.functional.one_hot(LABEL, CLASSES) + 0.05 * torch.randn(COUNT, CLASSES, generator=generator)
TEXT = [f"the answer is {int(label)}" for label in LABEL]
DATA = {"image": IMAGE, "text": TEXT, "label": LABEL}


def looks(batch):
    return batch["image"].argmax(1).tolist()


def reads(batch):
    """A planted leak: the answer stands in the question, and the picture is not looked at."""
    return [int(text[-1]) if text and text[-1].isdigit() else 0 for text in batch["text"]]


def test_a_model_that_looks_loses_by_another_picture_and_one_that_reads_does_not() -> None:
    seeing = ablate(looks, DATA, modalities=["image", "text"])
    reading = ablate(reads, DATA, modalities=["image", "text"])
    assert seeing.ignored == ["text"]
    assert reading.ignored == ["image"]
    frame = seeing.frame()
    assert frame.loc["as given", "right"] == 1
    assert frame.loc["image: another item's", "right"] < 0.45
    assert frame.loc["image alone", "right"] == 1
    assert frame.loc["text alone", "right"] == pytest.approx(1 / CLASSES, abs=0.01)
    assert frame.loc["image: blank", "answers as before"] == pytest.approx(1 / CLASSES, abs=0.01)
    assert reading.frame().loc["image: noise", "lost"] == 0
    assert reading.against("text: blank").outcome == "better"


def test_chance_and_the_most_frequent_answer_stand_beside_it() -> None:
    found = ablate(lambda batch: [0] * len(batch["image"]), DATA | {"label": [0] * 90 + [1] * 30}, modalities=["image"])
    assert (found.chance, found.frequent, found.most_frequent) == (0.5, 0, 0.75)
    assert list(found.frame().index) == [
        "as given", "image: blank", "image: noise", "image: another item's", "most frequent answer", "chance",
    ]  # fmt: skip
    assert found.ignored == ["image"]


def test_nobody_keeps_their_own_and_the_data_are_left_alone() -> None:
    numbered = {"image": torch.arange(50.0)[:, None], "label": torch.arange(50)}
    seen = []

    def spy(batch):
        seen.append(batch["image"].clone())
        return batch["image"][:, 0].round().long().tolist()

    found = ablate(spy, numbered, modalities=["image"], batch_size=50)
    as_given, blank, noise, other = seen
    assert torch.equal(as_given, numbered["image"])
    assert torch.equal(blank, torch.full((50, 1), 24.5))
    assert float(noise.std()) == pytest.approx(float(as_given.std()), rel=0.4)
    assert (other != as_given).all()
    assert sorted(other.flatten().tolist()) == sorted(as_given.flatten().tolist())
    assert int(found.right["image: another item's"].sum()) == 0


class Classifier:
    """What has ``predict`` is asked for probabilities; it must not be shown the label."""

    def predict(self, batch):
        assert "label" not in batch
        return batch["image"].softmax(1)


def test_a_classifier_is_asked_by_its_verb() -> None:
    found = ablate(Classifier(), {"image": IMAGE, "label": LABEL}, modalities=["image"], batch_size=7)
    assert bool(found.right["as given"].all())


def test_pictures_and_texts_can_be_blank_and_noise() -> None:
    pictures = [Image.new("RGB", (6, 4), (value, 10, 0)) for value in (200, 40, 200, 40)]
    seen = []

    def answers(batch):
        seen.extend(zip(batch["image"], batch["text"], strict=True))
        return ["red" if picture.getpixel((0, 0))[0] > 100 else "dark" for picture in batch["image"]]

    data = {"image": pictures, "text": ["is it red or dark", "b", "c", "d"], "label": ["red", "dark", "red", "dark"]}
    found = ablate(answers, data, modalities=["image", "text"])
    assert bool(found.right["as given"].all())
    assert {picture.size for picture, _ in seen} == {(6, 4)}
    words = [text for _, text in seen if sorted(text.split()) == sorted(["is", "it", "red", "or", "dark"])]
    assert len(set(words)) == 2  # as given, and in another order


class Processor:
    def __call__(self, images, text, return_tensors, padding):
        assert (return_tensors, padding, len(images)) == ("pt", True, len(text))
        return {"input_ids": torch.tensor([[1, 2]] * len(text)), "pixel_values": torch.stack(images)}

    def batch_decode(self, tokens, skip_special_tokens):
        assert skip_special_tokens
        return [f" {int(row[0])} " for row in tokens]


class Generator:
    device = torch.device("cpu")

    def generate(self, input_ids, pixel_values, do_sample, max_new_tokens):
        assert (do_sample, max_new_tokens) == (False, 3)
        return torch.cat([input_ids, pixel_values.argmax(1, keepdim=True)], 1)


def test_a_model_of_transformers_is_one_call_away() -> None:
    answers = transformers_answers(Generator(), Processor(), max_new_tokens=3)
    data = {"image": IMAGE, "text": ["which?"] * COUNT, "label": [str(int(label)) for label in LABEL]}
    found = ablate(answers, data, modalities=["image", "text"])
    assert bool(found.right["as given"].all())
    assert found.ignored == ["text"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modalities": ["picture"]}, "no 'picture'"),
        ({"modalities": []}, "at least one modality"),
        ({"truth": "labels"}, "did you mean 'label'"),
        ({"data": DATA | {"text": TEXT[:3]}}, "'text' has 3 items and 'label' 120"),
        ({"data": {"image": IMAGE[:1], "label": LABEL[:1]}}, "at least two items"),
        ({"model": lambda batch: [0]}, "answers for 120 items"),
        ({"model": 3}, "The model is a int"),
    ],
)
def test_what_cannot_be_asked_is_refused(change, words) -> None:
    given = {"model": looks, "data": DATA, "modalities": ["image"]} | change
    with pytest.raises(ValueError, match=words):
        ablate(given.pop("model"), given.pop("data"), **given)
