"""Oracles of CM3Leon: transcriptions of moved parts and contrastive decoding, transformers' guidance, the cache."""

import math

import pytest
import torch

from mmlab.data.tensors import TensorData
from mmlab.methods.cm3leon import CM3Leon, causal_masked, contrasted, guided_logits, plausible
from mmlab.train import fit


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("a", "b"), [(0, 2), (1, 4), (2, 5), (3, 3)])
def test_a_part_moves_to_the_end_and_nothing_is_lost(a, b):
    x = torch.tensor([[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]])
    moved, places = causal_masked(x, a, b, mask=-1, infill=-2)
    for row in range(2):
        written = x[row].tolist()
        assert moved[row].tolist() == [*written[:a], -1, *written[b:], -2, *written[a:b]]
    real = moved[0] >= 0
    assert torch.equal(x[0, places[0][real]], moved[0][real])
    assert sorted(places[0][real].tolist()) == list(range(5))
    assert places[0][~real].tolist() == [a, a]


def test_guidance_is_that_of_transformers():
    from transformers.generation.logits_process import ClassifierFreeGuidanceLogitsProcessor

    told, without = torch.randn(2, 3, 7, generator=rng())
    theirs = ClassifierFreeGuidanceLogitsProcessor(3.0)(torch.zeros(3, 1), torch.cat([told, without]))
    torch.testing.assert_close(guided_logits(without, told, 3.0), theirs)
    torch.testing.assert_close(guided_logits(without, told, 1.0), told)


def test_contrastive_decoding_by_hand():
    p, p0 = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.6, 0.1, 0.2, 0.1])
    scores = contrasted(p.log()[None], p0.log()[None], alpha=0.25)[0]
    wanted = [math.log(a / b) if a >= 0.25 * 0.5 else -math.inf for a, b in zip(p.tolist(), p0.tolist(), strict=True)]
    assert scores.tolist() == pytest.approx(wanted)
    assert scores.argmax() == 1  # what the caption makes likelier, not what is likely anyway
    assert plausible(p.log()[None], 0.6)[0].tolist() == [True, True, False, False]
    assert plausible(p.log()[None], 0.6, k=2)[0].tolist() == [True, True, False, False]  # 0.6 of 0.3 is 0.18
    assert plausible(p.log()[None], 0.5, k=2)[0].tolist() == [True, True, True, False]


def test_logits_may_be_shifted_by_a_constant():
    told, without = torch.randn(2, 3, 7, generator=rng())
    torch.testing.assert_close(contrasted(told + 5, without - 3, 0.1), contrasted(told, without, 0.1))


def test_what_is_kept_gives_the_logits_of_the_whole():
    method, batch = CM3Leon.demo()
    x = method.documents(batch["input_ids"], batch["tokens"])
    places = torch.arange(x.shape[1]).expand_as(x)
    whole, _ = method(x, places)
    out, cache = method(x[:, :3], places[:, :3])
    found = [out]
    for at in range(3, x.shape[1]):
        out, cache = method(x[:, at : at + 1], places[:, at : at + 1], cache)
        found.append(out)
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-4, atol=1e-5)


def test_no_token_sees_what_comes():
    method, batch = CM3Leon.demo()
    x = method.documents(batch["input_ids"], batch["tokens"])
    places = torch.arange(x.shape[1]).expand_as(x)
    other = x.clone()
    other[:, 5:] = method.vocabulary
    one, two = method(x, places)[0], method(other, places)[0]
    assert torch.equal(one[:, :5], two[:, :5])
    assert not torch.equal(one[:, 5:], two[:, 5:])


def test_the_loss_by_hand_without_and_with_a_moved_caption():
    for moved in (0.0, 1.0):
        method = CM3Leon.seeded(0, 6, 3, 5, (2, 2), 5, 16, 1, 2, caption_moved=moved, part_moved=0.0)
        batch = {"input_ids": torch.tensor([[4, 5, 5], [4, 1, 5]]), "tokens": torch.arange(8).view(2, 2, 2) % 5}
        found = method.loss(batch, rng())["loss"]
        total, number = 0.0, 0
        for ids, tokens in zip(batch["input_ids"].tolist(), batch["tokens"].flatten(1).tolist(), strict=True):
            picture = [11] + [6 + t for t in tokens]
            written = [12, *picture, 13, *ids] if moved else [*ids, *picture]
            places = [0, 3, 4, 5, 6, 7, 0, 0, 1, 2] if moved else list(range(8))
            logits, _ = method(torch.tensor([written[:-1]]), torch.tensor([places[:-1]]))
            for at in range(len(written) - 1):
                if not (written[at] == 5 and written[at + 1] == 5):
                    total = total - logits[0, at].log_softmax(0)[written[at + 1]]
                    number += 1
        torch.testing.assert_close(found, total / number)


def test_the_shares_of_moved_documents_are_what_was_asked(monkeypatch):
    method, batch = CM3Leon.demo()
    batch = {key: value[:1].expand(2000, *value.shape[1:]) for key, value in batch.items()}
    sizes = {}
    forward = CM3Leon.forward

    def note(self, tokens, places, cache=None):
        kind = "caption" if (tokens[:, :1] == self.mask).all() else "part" if (tokens == self.mask).any() else "whole"
        sizes[kind] = len(tokens)
        return forward(self, tokens, places, cache)

    monkeypatch.setattr(CM3Leon, "forward", note)
    method.loss(batch, rng())
    assert sum(sizes.values()) == 2000
    assert abs(sizes["caption"] / 2000 - 0.5) < 0.05
    assert abs(sizes["part"] / 2000 - 0.25) < 0.05


def lesson(count=256):
    """The caption's word is the word of all tokens."""
    word = torch.arange(count) % 4
    ids = torch.stack([torch.tensor([4, w, 5]) for w in word.tolist()])
    return TensorData({"input_ids": ids, "tokens": word[:, None, None].expand(-1, 2, 2).clone()})


def test_it_writes_pictures_from_captions_captions_from_pictures_and_knows_what_it_would_write_untold():
    method, _ = CM3Leon.demo()
    fit(method, lesson(), steps=200, batch_size=32, lr=5e-3, progress=False)
    data = lesson(4).tensors
    for how in ({"guidance": 1.0}, {"guidance": 3.0, "alpha": 0.1}, {"guidance": 0.0, "alpha": 0.1}):
        assert torch.equal(method.sample(data["input_ids"], **how, temperature=0, rng=rng()), data["tokens"]), how
    assert torch.equal(method.caption(data["tokens"]), data["input_ids"])
    gone = torch.tensor([[method.mask, method.line]])
    logits, _ = method(gone, torch.tensor([[0, 3]]))
    free = logits[0, -1, 6:11].softmax(0)
    assert (free[:4] - 0.25).abs().max() < 0.15


def test_words_of_one_token_are_drawn_from_their_law():
    method, _ = CM3Leon.demo()
    logits = [torch.tensor([[0.0, 1.0, 2.0]]).expand(30_000, -1)]
    drawn = method._choice(logits, 1.0, 0.0, 1, 1.0, rng())
    shares = drawn.bincount(minlength=3) / 30_000
    assert (shares - torch.tensor([0.0, 1.0, 2.0]).softmax(0)).abs().max() < 0.01
    sharp = method._choice(logits, 1.0, 0.3, 1, 1.0, rng()).bincount(minlength=3)
    assert sharp[0] == 0
    assert sharp[1] > 0


def test_bad_input_gets_one_sentence():
    method, batch = CM3Leon.demo()
    wrong = [
        ({"caption_moved": 0.9, "part_moved": 0.3}, "add up to 1"),
        ({"grid": (2,)}, "places down and across"),
        ({"heads": 3}, "choose a multiple of 3"),
        ({"codes": 1}, "codes=1 is too small"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=message):
            CM3Leon(**method.config | change)
    with pytest.raises(ValueError, match=r"must have shapes \(B, 3\) and \(B, 2, 2\)"):
        method.loss(batch | {"tokens": torch.zeros(4, 3, 3, dtype=torch.long)}, rng())
    with pytest.raises(ValueError, match="A token of a picture is 5"):
        method.loss(batch | {"tokens": torch.full((4, 2, 2), 5)}, rng())
