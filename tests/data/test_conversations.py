"""Conversations as batches: the labels against an independent reading, pictures' places, padding, truncation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mmlab.data.conversations import (
    CAPTIONS,
    CHAT,
    IGNORE,
    IMAGE,
    Conversations,
    Template,
    Turn,
    encode,
    prompts,
    read_answers,
    read_picture,
    tokenizer_of,
)
from mmlab.nn import splicing

WORDS = ["what is in the picture who", "a red dog and Straße ASSISTANT: 猫 USER: <image> é"]
ROUNDS = [
    [Turn("what is in the picture", "a red dog")],
    [Turn("what is", "")],
    [Turn("what", "ASSISTANT: a dog USER: who")],
    [Turn("what is", "Straße 猫 é"), Turn("who", "a dog")],
    [Turn("what", "a"), Turn("who", "red"), Turn("is", ""), Turn("the picture", "and")],
]


def bytes_tokenizer() -> Any:
    """Every byte a token, as a byte-level tokenizer without merges; end of text, padding and start are one token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, **{letter: i for i, letter in enumerate(alphabet, 1)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "a")] if "Ġa" in vocabulary else []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=end, bos_token=end)


@pytest.mark.parametrize("turns", ROUNDS)
@pytest.mark.parametrize("images", [0, 1, 3])
def test_labels_are_the_answers_and_their_ends(turns: list[Turn], images: int) -> None:
    """An independent transcription: each stretch of text is encoded by itself, byte by byte."""
    tokenizer = bytes_tokenizer()
    ids: list[int] = []
    labels: list[int] = []

    def add(text: str, supervised: bool) -> None:
        new = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids.extend(new)
        labels.extend(new if supervised else [IGNORE] * len(new))

    for number, turn in enumerate(turns):
        add("USER: ", supervised=False)
        for _ in range(images if number == 0 else 0):
            ids.append(IMAGE)
            labels.append(IGNORE)
            add("\n", supervised=False)
        add(turn.question + " ASSISTANT:", supervised=False)
        add(" " + turn.answer, supervised=True)
        ids.append(0)
        labels.append(0)
    encoded = encode(turns, tokenizer, images=images)
    assert encoded.input_ids.tolist() == ids
    assert encoded.labels.tolist() == labels
    text = tokenizer.decode(encoded.labels[encoded.labels != IGNORE])
    assert text == "".join(f" {turn.answer}<|endoftext|>" for turn in turns)


def test_merged_tokens_are_supervised_from_the_space_on() -> None:
    """A tokenizer that joins the space to the word after it, as Phi-2's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = {word: i for i, word in enumerate(["<|end|>", "USER", ":", "Ġwhat", "ĠASSISTANT", "Ġdog", "<unk>"])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # offsets without the space
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", unk_token="<unk>")
    encoded = encode([Turn("what", "dog")], fast, Template(user="USER: "))
    assert encoded.labels.tolist() == [IGNORE] * 5 + [5, 0]
    assert encoded.input_ids.tolist() == [1, 2, 3, 4, 2, 5, 0]


def test_end_of_text_that_somebody_typed_is_letters() -> None:
    tokenizer = bytes_tokenizer()
    encoded = encode([Turn("what <|endoftext|>", "a<|endoftext|>b")], tokenizer)
    assert (encoded.input_ids == 0).sum() == 1
    assert (encoded.labels == 0).sum() == 1


def test_pictures_go_where_the_question_says() -> None:
    tokenizer = tokenizer_of(WORDS)
    encoded = encode([Turn("what <image> is <image>", "a"), Turn("who", "dog")], tokenizer, images=2)
    words = [tokenizer.convert_ids_to_tokens(i) if i >= 0 else "*" for i in encoded.input_ids.tolist()]
    assert " ".join(words) == ("USER : what * is * ASSISTANT : a <|end|> USER : who ASSISTANT : dog <|end|>")
    with pytest.raises(ValueError, match="1 places '<image>', but there are 2 pictures"):
        encode([Turn("what <image>", "a")], tokenizer, images=2)
    answered = encode([Turn("what", "a <image>")], tokenizer, images=1)  # in an answer it is only letters
    assert (answered.input_ids == IMAGE).sum() == 1


def test_captions_have_no_question() -> None:
    tokenizer = tokenizer_of(WORDS)
    encoded = encode([Turn("what is", "a red dog")], tokenizer, CAPTIONS, images=1)
    words = [tokenizer.convert_ids_to_tokens(i) for i in encoded.input_ids[1:].tolist()]
    assert encoded.input_ids[0] == IMAGE
    assert words == ["a", "red", "dog", "\n"]
    assert encoded.labels.tolist() == [IGNORE, *encoded.input_ids[1:].tolist()]


def test_ids_agree_with_the_splice() -> None:
    assert (IMAGE, IGNORE) == (splicing.IMAGE, splicing.IGNORE)


def test_refusals_of_encode() -> None:
    tokenizer = tokenizer_of(WORDS)
    with pytest.raises(ValueError, match="at least one turn"):
        encode([], tokenizer)
    tokenizer.eos_token = None
    with pytest.raises(ValueError, match="no end-of-text token"):
        encode([Turn("what", "a")], tokenizer)


def picture(value: float = 0.0, size: int = 8) -> Tensor:
    return torch.full((3, size, size), value)


def dataset(**how: Any) -> Conversations:
    items = [
        (picture(0.5), [Turn("what is in the picture", "a red dog")], "first"),
        (None, [Turn("who", "a")], None),
        ([picture(-1.0), picture(1.0)], [Turn("what <image> and <image>", "dog"), Turn("who", "red dog")], None),
    ]
    return Conversations(items, tokenizer_of(WORDS), size=8, **how)


def test_batch() -> None:
    data = dataset(image_tokens=4)
    batch = data.batch(torch.tensor([2, 0, 1]))
    assert batch["input_ids"].shape == batch["labels"].shape == batch["weights"].shape
    assert batch["length"].tolist() == [len(data.encoded[i].input_ids) for i in (2, 0, 1)]
    assert batch["images"].shape == (3, 2, 3, 8, 8)
    assert batch["images"][0, 1].eq(1).all()
    assert batch["images"][1, 0].eq(0.5).all()
    assert not batch["images"][1, 1].any()
    for row, length in zip(batch["labels"], batch["length"], strict=True):
        assert (row[length:] == IGNORE).all()
        assert row[length - 1] == data.tokenizer.eos_token_id  # the end is supervised although it is what pads
    alone = data[1]
    assert alone["images"].shape == (0, 3, 8, 8)
    assert alone["input_ids"].equal(data.encoded[1].input_ids)
    assert data.report() == {"items": 3, "truncated": 0, "tokens": pytest.approx(12, abs=3), "supervised": 11 / 3}


def test_weights_make_grouping_irrelevant() -> None:
    data = dataset()
    whole = data.batch([0, 1, 2])["weights"].sum() / 3
    parts = [data.batch([i])["weights"].sum() for i in range(3)]
    assert whole == pytest.approx(1)
    assert torch.stack(parts).mean() == pytest.approx(1)
    assert len({float(part) for part in parts}) > 1  # a mean of batch means would weigh them alike


def test_truncation_keeps_pictures_and_answers() -> None:
    data = dataset()
    lengths = [len(ids) for ids, _ in data.encoded]
    short = dataset(max_length=max(lengths) - 1)
    assert short.truncated == 1
    assert (short.encoded[2].input_ids == IMAGE).sum() == 2
    assert short.encoded[2].labels.equal(data.encoded[2].labels[:-1])
    with pytest.raises(ValueError, match="Item 0: max_length would leave no token of an answer"):
        dataset(max_length=9)
    with pytest.raises(ValueError, match="Item 0: max_length would cut a picture off"):
        dataset(max_length=2)
    # A picture of ten tokens takes nine positions more than its place.
    assert dataset(max_length=max(lengths) + 18, image_tokens=10).truncated == 0
    assert dataset(max_length=max(lengths) + 17, image_tokens=10).truncated == 1


def test_prompts_end_where_the_answer_begins() -> None:
    data = dataset()
    made = data.prompts([0, 2])
    for row, i in enumerate((0, 2)):
        whole, length = data.encoded[i], int(made["length"][row])
        assert made["input_ids"][row, :length].equal(whole.input_ids[:length])
        assert whole.labels[length] != IGNORE  # the very next token is one that the model was taught
        assert (whole.labels[length:] != IGNORE).all()
    same = prompts([(picture(0.5), "what is in the picture")], data.tokenizer, size=8)
    assert same["input_ids"][0].equal(made["input_ids"][0, : made["length"][0]])
    assert same["images"].shape == (1, 1, 3, 8, 8)


def test_a_prompt_needs_a_question() -> None:
    with pytest.raises(ValueError, match="nothing to ask"):
        prompts([], tokenizer_of(WORDS))


def test_answers_stop_at_their_end() -> None:
    tokenizer = tokenizer_of(WORDS)
    end, dog, red = (tokenizer.convert_tokens_to_ids(word) for word in ("<|end|>", "dog", "red"))
    assert read_answers(torch.tensor([[red, dog, end, red], [dog, dog, red, red]]), tokenizer) == [
        "red dog",
        "dog dog red red",
    ]


def test_read_picture(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (20, 10), (255, 0, 127)).save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png", 8)
    assert read.shape == (3, 8, 8)
    assert read[:, 0, 0].tolist() == pytest.approx([1, -1, 127 / 127.5 - 1])
    Image.new("RGBA", (4, 4)).save(tmp_path / "b.png")
    assert read_picture(str(tmp_path / "b.png"), 8).eq(-1).all()
    with pytest.raises(FileNotFoundError, match="There is no picture"):
        read_picture(tmp_path / "c.png", 8)
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"d\.png cannot be read as a picture"):
        read_picture(tmp_path / "d.png", 8)
    with pytest.raises(ValueError, match="has shape"):
        read_picture(picture(size=9), 8)
    with pytest.raises(ValueError, match="not finite"):
        read_picture(picture(float("nan")), 8)
    with pytest.raises(ValueError, match="outside"):
        read_picture(picture(255.0), 8)
    with pytest.raises(TypeError, match="or a file, not a int"):
        read_picture(5, 8)


def test_errors_name_the_item(tmp_path: Path) -> None:
    items = [(picture(), [Turn("what", "a")], None), (tmp_path / "gone.png", [Turn("what <image> <image>", "a")], None)]
    with pytest.raises(ValueError, match="Item 1: The questions have 2 places"):
        Conversations(items, tokenizer_of(WORDS), CHAT, 8)
    with pytest.raises(ValueError, match="at least one item"):
        Conversations([], tokenizer_of(WORDS))
    data = Conversations([(picture(size=4), [Turn("what", "a")], None)], tokenizer_of(WORDS), size=8)
    with pytest.raises(ValueError, match="Item 0: A picture has shape"):
        data.batch([0])
