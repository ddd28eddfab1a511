"""An answer on its way: every token is counted and shown, and the text is what was generated."""

from __future__ import annotations

import io
from functools import partial

import pytest
import torch
import tqdm.auto

from mmlab.data.conversations import prompts, read_answers, tokenizer_of
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.viz.streaming import AnswerStream


def test_shows_what_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm.auto, "tqdm", partial(tqdm.auto.tqdm, disable=False))  # the tests have bars switched off
    shown = io.StringIO()
    method, _ = TinyLLaVA.demo()
    tokenizer = tokenizer_of([" ".join(f"word{i}" for i in range(18))])
    assert len(tokenizer) <= 24
    batch = prompts([(None, "word1 word2")], tokenizer)
    shown = io.StringIO()
    stream = AnswerStream(tokenizer, 7, file=shown)
    made = method.generate(batch, max_new_tokens=7, min_new_tokens=7, streamer=stream)
    assert stream.tokens == made[0].tolist()
    assert stream.text == tokenizer.decode(made[0], skip_special_tokens=True).strip()
    assert read_answers(made, tokenizer)[0] in stream.text
    assert "7/7" in shown.getvalue()
    assert stream.text[-20:] in shown.getvalue()
    assert torch.equal(made, method.generate(batch, max_new_tokens=7, min_new_tokens=7))  # watching changes nothing


def test_letters_of_several_tokens_are_whole() -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    stream = AnswerStream(fast, 9, file=io.StringIO())
    for token in fast("né 猫")["input_ids"]:
        stream.put(torch.tensor([token]))
    stream.end()
    assert stream.text == "né 猫"


def test_more_than_one_answer_is_refused() -> None:
    stream = AnswerStream(tokenizer_of(["a"]), 3, file=io.StringIO())
    with pytest.raises(ValueError, match="one answer at a time, and 2"):
        stream.put(torch.zeros(2, dtype=torch.long))
    stream.end()
