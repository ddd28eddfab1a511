"""Prompts as ids: one token a word, the layout of CLIP, and nothing cut off in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmlab.data.prompts import encode_prompts, prompt_tokenizer


def test_every_known_word_is_one_token_and_others_are_spelt(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    words = ["small", "polyp", "polyps", "upper", "an", "and", "image"]
    tokenizer = prompt_tokenizer(words, 8)
    ids = encode_prompts(words, tokenizer)
    end = tokenizer.eos_token_id
    assert ids.shape == (7, 8)
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    assert (ids[:, 2:] == end).all()
    assert len(set(ids[:, 1].tolist())) == 7
    assert tokenizer.decode(encode_prompts(["Small polyps"], tokenizer)[0][1:3]).strip() == "small polyps"
    assert (encode_prompts(["zqx"], tokenizer) != end).sum() == 4
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert encode_prompts(words, again).equal(ids)


@pytest.mark.parametrize("text", ["кошка", "a <|endoftext|> polyp", "a 👍", "é polyp", "polyp <|startoftext|>"])
def test_what_would_end_a_prompt_in_silence_is_refused(text: str) -> None:
    tokenizer = prompt_tokenizer(["a polyp"])
    with pytest.raises(ValueError, match="letters that the tokenizer does not know"):
        encode_prompts(["a polyp", text], tokenizer)
    tokenizer = prompt_tokenizer(["a polyp", text])  # the remedy
    ids = encode_prompts([text, "a polyp"], tokenizer)[:, 1:]
    end = tokenizer.eos_token_id
    assert all((row != end).sum() == (row == end).int().argmax() >= 1 for row in ids)  # no end before the end
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip().replace(" ", "") == text.replace(" ", "")


def test_ids_are_the_same_in_every_process() -> None:
    """By hand: "lo" is the only pair that occurs twice; then the first pair of each round in the alphabet."""
    tokenizer = prompt_tokenizer(["low lot", "so"])
    learnt = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])][78:-2]
    assert learnt == ["lo", "lot</w>", "low</w>", "so</w>"]


def test_the_empty_prompt_and_none_at_all() -> None:
    tokenizer = prompt_tokenizer(["polyp"], 5)
    assert encode_prompts([""], tokenizer).tolist() == [[tokenizer.bos_token_id] + [tokenizer.eos_token_id] * 4]
    assert encode_prompts([], tokenizer).shape == (0, 5)


def test_a_prompt_that_is_too_long_or_no_text_is_refused() -> None:
    tokenizer = prompt_tokenizer(["polyp"])
    assert encode_prompts(["polyp " * 75], tokenizer).shape == (1, 77)
    with pytest.raises(ValueError, match=r"78 tokens.*room for 77: shorten it"):
        encode_prompts(["polyp", "polyp " * 76], tokenizer)
    with pytest.raises(TypeError, match="a prompt is a text"):
        encode_prompts([3], tokenizer)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no word"):
        prompt_tokenizer([" "])
