"""Every method that reads or writes text keeps batch invariance, and each check finds a method that does not."""

from typing import Any

import invariance
import pytest
import torch
from torch import Tensor

from mmlab.method import Batch
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.nn.splicing import IMAGE, Spliced
from mmlab.registry import list_methods, load

TEXT = [stem for stem in list_methods() if invariance.reads_text(load(stem))]


@pytest.mark.parametrize("stem", TEXT)
@pytest.mark.parametrize("check", invariance.CHECKS, ids=lambda check: check.__name__)
def test_what_lies_beside_an_item_does_not_matter(stem: str, check: Any) -> None:
    check(load(stem))


def test_there_is_something_to_check() -> None:
    assert "tinyllava" in TEXT
    items = invariance.items_of(TinyLLaVA.demo()[1])
    assert sorted(int((item["input_ids"] == IMAGE).sum()) for item in items) == [0, 0, 1, 2]
    assert len({int(item["length"]) for item in items}) > 1


@pytest.mark.parametrize("side", ["left", "right"])
def test_tinyllava_says_the_same_padded_on_either_side(side: Any) -> None:
    method, items = invariance._ready(TinyLLaVA)
    read = method.embed(invariance._without_labels(invariance.together(items)), side=side)  # type: ignore[operator]
    places = (read.mask.cumsum(1) - 1).clamp(min=0)
    call: Any = method
    with torch.no_grad():
        logits = call.language_model(
            inputs_embeds=read.vectors, attention_mask=read.mask, position_ids=places
        ).logits.log_softmax(-1)
        for b, item in enumerate(items):
            alone = call.logits(invariance._without_labels(item))[0].log_softmax(-1)
            assert torch.allclose(logits[b][read.mask[b].bool()], alone, **invariance.CLOSE)


class MeanOverTokens(TinyLLaVA):
    """Long answers count for more: the mean is over the tokens of the batch, whatever their items."""

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return super().loss({key: value for key, value in batch.items() if key != "weights"}, rng)


class LengthByIds(TinyLLaVA):
    """The end of a text is where the id that pads begins."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        padding = batch["input_ids"] == 0
        length = torch.where(padding.any(1), padding.int().argmax(1), padding.shape[1])
        return super().embed({**batch, "length": length}, side)


class MaskForgotten(TinyLLaVA):
    """The padding on the left is read like words."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        read = super().embed(batch, side)
        return read if side == "right" else read._replace(mask=torch.ones_like(read.mask))


class PaddedOnTheRight(TinyLLaVA):
    """Writes on behind the padding of shorter rows."""

    def embed(self, batch: Batch, side: Any = "right") -> Spliced:
        return super().embed(batch, "right")


class PicturesMixed(TinyLLaVA):
    """Pictures are centred over the batch, as batch normalisation would do."""

    def features(self, images: Tensor) -> Tensor:
        h = super().features(images)
        return h - h.mean(0, keepdim=True)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (MeanOverTokens, invariance.loss_is_the_mean_over_items),
        (LengthByIds, invariance.written_words_are_those_of_an_item_alone),
        (MaskForgotten, invariance.written_words_are_those_of_an_item_alone),
        (PaddedOnTheRight, invariance.written_words_are_those_of_an_item_alone),
        (PicturesMixed, invariance.loss_is_the_mean_over_items),
        (PicturesMixed, invariance.log_probabilities_are_those_of_an_item_alone),
    ],
    ids=lambda value: value.__name__,
)
def test_a_check_finds_what_breaks_it(broken: Any, check: Any) -> None:
    with pytest.raises(AssertionError):
        check(broken)
