"""The small reader: padding and neighbours change nothing, and what it writes is what its logits say."""

import pytest
import torch

from mmlab.nn.small_reader import SmallReader
from mmlab.nn.splicing import IMAGE


def reader() -> SmallReader:
    torch.manual_seed(0)
    return SmallReader(words=12, picture=(3, 8, 8), width=24)


def batch() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    ids = torch.tensor([[IMAGE, 4, IMAGE, 5], [3, IMAGE, IMAGE, IMAGE], [2, 3, 4, 5]])  # what is padded may be anything
    return {"input_ids": ids, "length": torch.tensor([4, 2, 3]), "images": torch.rand(3, 2, 3, 8, 8, generator=rng)}


def test_rows_are_those_of_an_item_alone():
    model, held = reader(), batch()
    together = model.logits(held)
    for row, (length, pictures) in enumerate(((4, 2), (2, 1), (3, 0))):
        alone = {"input_ids": held["input_ids"][row : row + 1, :length], "length": held["length"][row : row + 1]}
        alone["images"] = held["images"][row : row + 1, :pictures]
        assert torch.allclose(model.logits(alone)[0], together[row, :length], atol=1e-6)


def test_greedy_words_are_the_most_probable_ones_and_stop_at_an_end():
    model, held = reader(), batch()
    written = model.generate(held, max_new_tokens=5)
    ids = held["input_ids"][:1]
    for place in range(5):
        logits = model.logits({**held, "input_ids": ids.expand(3, -1), "length": torch.tensor([ids.shape[1]] * 3)})
        best = int(logits[0, -1].argmax())
        assert written[0, place] == best
        if best == 0:
            assert not written[0, place:].any()
            break
        ids = torch.cat([ids, torch.tensor([[best]])], 1)
    with torch.no_grad():
        model.head.bias[0] = 100.0
    assert not model.generate(held, max_new_tokens=3).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="patch=3"):
        SmallReader(picture=(3, 8, 8), patch=3)
    held = batch()
    with pytest.raises(ValueError, match="more places for pictures"):
        reader().logits({**held, "images": held["images"][:, :1]})
