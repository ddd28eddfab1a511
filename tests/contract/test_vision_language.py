"""All that writes or scores words about pictures keeps the contract of reading both, and each check can fail."""

from functools import partial
from typing import Any

import pytest
import torch
import vision_language as contract
from torch import Tensor

from mmlab.data.conversations import Conversations
from mmlab.method import Batch
from mmlab.methods.gill import GILL
from mmlab.methods.language_disparity import LanguageDisparity
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.nn.splicing import IMAGE, Spliced
from mmlab.registry import load

READERS = contract.readers()


@pytest.mark.parametrize("reader", READERS, ids=str)
@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_a_reader_keeps_the_contract(reader: contract.Reader, check: Any) -> None:
    check(reader)


@pytest.mark.parametrize("stem", contract.others())
def test_what_sees_pictures_beside_text_tells_each_item_alone(stem: str) -> None:
    contract.an_item_alone(load(stem))


def test_conversations_are_never_cut_into_their_pictures() -> None:
    contract.cut_conversations()


def test_readers_are_found_by_what_they_can_do() -> None:
    names = {reader.name for reader in READERS}
    assert {"tinyllava", "merging", "gill", "grpo", "nlg2choice"} <= names
    assert {"scene_reader.untrained_reader", "support_system.untrained_support", "hospital_reader.Memory"} <= names
    assert {"openvivqa", "merlin"} <= set(contract.others())
    items = contract.items_of((3, 8, 8))
    assert [int((each["input_ids"] == IMAGE).sum()) for each in items] == [1, 0, 2, 1, 1]


# --- each check finds what breaks it ----------------------------------------------------------------------------------


class MaskForgotten(TinyLLaVA):
    """The padding on the left is read like words."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        read = super().embed(batch, side)
        return read._replace(mask=torch.ones_like(read.mask))


class PicturesMixed(TinyLLaVA):
    """Pictures are centred over the batch."""

    def features(self, images: Tensor) -> Tensor:
        h = super().features(images)
        return h - h.mean(0, keepdim=True)


class FirstIsSeen(TinyLLaVA):
    """All rows see the pictures of the first."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        return super().embed({**batch, "images": batch["images"][:1].expand_as(batch["images"])}, side)


class Blind(TinyLLaVA):
    """Pictures are places without content."""

    def features(self, images: Tensor) -> Tensor:
        return 0 * super().features(images)


class OrderLost(TinyLLaVA):
    """Every place has the mean of an item's pictures."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        images = batch["images"]
        if images.shape[1]:
            images = images.mean(1, keepdim=True).expand_as(images)
        return super().embed({**batch, "images": images}, side)


class LastWordsOnly(TinyLLaVA):
    """Long prompts lose their beginning, where the pictures are."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        if batch["input_ids"].shape[1] <= 40:
            return super().embed(batch, side)
        cut = {**batch, "input_ids": batch["input_ids"][:, -40:], "length": batch["length"].clamp(max=40)}
        return super().embed(cut, side)


class FallsOverNothing(TinyLLaVA):
    """An empty prompt ends deep in the network."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        if int(batch["length"].min()) < 1:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return super().embed(batch, side)


class CutsPrompts(GILL):
    """A prompt that is too long loses its end."""

    def read(self, batch: Batch, side: Any = "left") -> Spliced:
        return super().read({**batch, "length": batch["length"].clamp(max=8)}, side)


class MissingIgnored(TinyLLaVA):
    """A place without a picture is a word."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        ids = batch["input_ids"]
        held = batch["images"].shape[1] if "images" in batch else 0
        extra = (ids == IMAGE) & ((ids == IMAGE).cumsum(1) > held)
        return super().embed({**batch, "input_ids": ids.masked_fill(extra, 1)}, side)


class PadReadOnTheLeft(TinyLLaVA):
    """The mask of rows that are padded on the left is off by one."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        read = super().embed(batch, side)
        return read._replace(vectors=read.vectors.roll(int(side == "left"), 1))


class CutInTheMiddle(Conversations):
    """What is too long loses its beginning."""

    def __init__(self, *given: Any, max_length: int | None = None, **how: Any) -> None:
        super().__init__(*given, **how)
        if max_length is not None:
            self.encoded = [type(each)(each[0][-max_length:], each[1][-max_length:]) for each in self.encoded]


class MeanTaken(LanguageDisparity):
    """Predictions are centred over the batch."""

    def predict(self, batch: Batch) -> Tensor:
        made = super().predict(batch)
        return made - made.mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (MaskForgotten, contract.answers_are_those_of_an_item_alone),
        (PicturesMixed, contract.answers_are_those_of_an_item_alone),
        (FirstIsSeen, contract.order_does_not_matter),
        (PicturesMixed, contract.log_probabilities_are_those_of_an_item_alone),
        (PadReadOnTheLeft, contract.padding_on_the_left_changes_nothing),
        (Blind, contract.each_picture_counts),
        (OrderLost, contract.each_picture_counts),
        (LastWordsOnly, contract.long_prompts_keep_their_pictures),
        (Blind, contract.long_prompts_keep_their_pictures),
        (MissingIgnored, contract.a_missing_picture_is_refused),
        (MissingIgnored, contract.a_batch_without_images_is_refused_or_read),
        (FallsOverNothing, contract.an_empty_prompt_is_refused_or_read_alike),
        (CutsPrompts, contract.prompts_beyond_its_room_are_refused),
    ],
    ids=lambda value: value.__name__,
)
def test_a_check_finds_what_breaks_it(broken: Any, check: Any) -> None:
    reader = contract.Reader(broken.__name__, partial(contract._from_demo, broken))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(reader)


def test_a_cut_picture_and_a_mean_over_the_batch_are_found() -> None:
    with pytest.raises(AssertionError, match="cuts a picture off"):
        contract.cut_conversations(CutInTheMiddle)
    with pytest.raises(AssertionError, match="told otherwise"):
        contract.an_item_alone(MeanTaken)


def test_every_check_is_shown_to_fail() -> None:
    marks = test_a_check_finds_what_breaks_it.pytestmark  # type: ignore[attr-defined]
    assert {check for _, check in marks[0].args[1]} == set(contract.CHECKS)
