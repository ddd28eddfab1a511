"""Conversations as tokens: how they are written down, and which tokens are supervised.

Only answers are. Which tokens are an answer is read off character offsets, so that no tokenizer can put the border
elsewhere than the text has it; and no conversation is ever left out because of a count that does not match.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = [
    "CAPTIONS",
    "CHAT",
    "IGNORE",
    "IMAGE",
    "Encoded",
    "Template",
    "Turn",
    "encode",
    "read_answers",
    "tokenizer_of",
]

IMAGE = -200
"""The id that stands where a picture goes; the same as in :mod:`mmlab.nn.splicing`."""

IGNORE = -100
"""The label of a token that is not supervised."""


@dataclass(frozen=True)
class Turn:
    """One question and its answer.

    Attributes:
        question: What is asked; pictures may have their places in it, see :class:`Template`.
        answer: What is to be said; of no use where it is asked for.
        quoted: Somebody else's words within the question, such as a title, at the last place where they stand in it.
            They are words and nothing more: a template's marks for pictures, turns and ends are taken apart in them.
    """

    question: str
    answer: str = ""
    quoted: str = ""


@dataclass(frozen=True)
class Template:
    r"""How a conversation is written down.

    Attributes:
        system: First of all. The published TinyLLaVA was trained with one sentence here; ours with none.
        user: Before a question.
        assistant: After it; a prompt ends here.
        gap: Before an answer. It belongs to the answer, since most tokenizers join a space to the word after it.
        picture: Where this stands in a question, a picture goes. If no question has it, the pictures come before the
            first one.
        after_picture: What follows the pictures there, each.
        end: What ends an answer; None for the tokenizer's own end-of-text token.
        ask: Whether questions are written at all.
    """

    system: str = ""
    user: str = "USER: "
    assistant: str = " ASSISTANT:"
    gap: str = " "
    picture: str = "<image>"
    after_picture: str = "\n"
    end: str | None = None
    ask: bool = True

    def plain(self, text: str) -> str:
        """A text without this template's marks: each is taken apart by a blank after its first letter."""
        marks = (self.picture, self.user, self.assistant, self.end or "")
        for mark in filter(None, map(str.strip, marks)):
            while mark in text:
                text = text.replace(mark, f"{mark[0]} {mark[1:]}" if len(mark) > 1 else " ")
        return " ".join(text.split()) if self.end and self.end.isspace() else text


CHAT = Template()
"""Questions and answers in turns."""

CAPTIONS = Template(user="", assistant="", gap="", after_picture="", end="\n", ask=False)
"""For the first stage, in which the connector learns: a picture, its caption, the end of the line."""


class Encoded(NamedTuple):
    """One conversation: ``input_ids`` and ``labels``, both (T,) int64; :data:`IMAGE` and :data:`IGNORE` as they say."""

    input_ids: Tensor
    labels: Tensor


def encode(
    turns: Sequence[Turn],
    tokenizer: PreTrainedTokenizerFast,
    template: Template = CHAT,
    images: int = 0,
    *,
    unanswered: bool = False,
) -> Encoded:
    """Write a conversation down as tokens, and mark those of its answers.

    Special tokens that somebody typed are read as the letters they are, so a question cannot end an answer. Where a
    template ends an answer by a letter or a blank, as captions by the end of the line, that is taken out of the answer.

    Args:
        turns: One or more.
        tokenizer: A fast one, since the others do not say which letters a token stands for.
        template: How it is written.
        images: Number of pictures.
        unanswered: Whether the last answer is left out: a prompt.

    Raises:
        ValueError: If there is no turn, the questions have places for another number of pictures, the tokenizer is not
            a fast one, or it has no end-of-text token while the template needs one.
    """
    if not turns:
        raise ValueError("A conversation needs at least one turn.")
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} cannot say which letters a token stands for: use a fast one.")
    if template.end is None and tokenizer.eos_token_id is None:
        raise ValueError("The tokenizer has no end-of-text token: set its eos_token, or the template's end.")
    ids: list[int] = []
    labels: list[int] = []
    for piece in _pieces(turns, template, images, unanswered):
        if piece is None:
            ids.append(IMAGE)
            labels.append(IGNORE)
            continue
        text, answer = piece
        if answer and template.end and template.end in answer:
            answer = " ".join(answer.split()) if template.end.isspace() else answer.replace(template.end, " ")
        whole = text if answer is None else text + template.gap + answer + (template.end or "")
        read = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, split_special_tokens=True)
        for token, (start, end) in zip(read["input_ids"], read["offset_mapping"], strict=True):
            ids.append(token)
            labels.append(token if end > max(start, len(text)) else IGNORE)
        if answer is not None and template.end is None:
            ids.append(tokenizer.eos_token_id)
            labels.append(tokenizer.eos_token_id)
    return Encoded(torch.tensor(ids), torch.tensor(labels))


def _pieces(
    turns: Sequence[Turn], template: Template, images: int, unanswered: bool
) -> Iterator[tuple[str, str | None] | None]:
    """The conversation in order: text with the answer after it (None: there is none), or None for a picture."""
    asked = [_asked(turn, template) if template.ask else "" for turn in turns]
    named = sum(question.count(template.picture) for question in asked)
    if named not in (0, images):
        raise ValueError(f"The questions have {named} places {template.picture!r}, but there are {images} pictures.")
    if not named:
        asked[0] = (template.picture + template.after_picture) * images + asked[0]
    text = template.system
    for number, (turn, question) in enumerate(zip(turns, asked, strict=True)):
        before, *after = (template.user + question).split(template.picture)
        text += before
        for words in after:
            if text:
                yield text, None
            yield None
            text = words
        last = unanswered and number == len(turns) - 1
        yield text + template.assistant, None if last else turn.answer
        text = ""


def _asked(turn: Turn, template: Template) -> str:
    """The question, in which strangers' words hold no mark of the template."""
    before, found, after = turn.question.rpartition(turn.quoted) if turn.quoted else (turn.question, "", "")
    if turn.quoted and not found:
        raise ValueError(
            f"The quoted words {turn.quoted[:50]!r} do not stand in the question: leave them out or put them in."
        )
    return before + template.plain(found) + after


def read_answers(tokens: Tensor, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Generated tokens (B, T) as text, each up to its first end-of-text token."""
    ends = tokenizer.eos_token_id
    rows = [row[: row.index(ends)] if ends in row else row for row in tokens.tolist()]
    return [str(tokenizer.decode(row, skip_special_tokens=True)).strip() for row in rows]


def tokenizer_of(sentences: Sequence[str], end: str = "<|end|>", template: Template = CHAT) -> Any:
    """A tokenizer of whole words, made on the spot: one token for each word, mark or end of line in the sentences.

    Args:
        sentences: All that will be written and read; other words become one token, unknown.
        end: The end-of-text token, which pads, too, as in Phi-2's tokenizer.
        template: Whose words are known as well.

    Returns:
        A ``PreTrainedTokenizerFast``.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = pre_tokenizers.Split(Regex(r"\n|\w+|[^\w\s]"), "removed", invert=True)
    fixed = ["\n", template.system, template.user, template.assistant, template.end or ""]
    texts = [unicodedata.normalize("NFC", text) for text in [*sentences, *fixed]]  # one spelling of each letter
    known = sorted({word for text in texts for word, _ in words.pre_tokenize_str(text)} - {end, "<unk>"})
    numbers = {word: number for number, word in enumerate([end, "<unk>", *known])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = words
    fast: Any = PreTrainedTokenizerFast  # its constructor has no annotations
    return fast(tokenizer_object=tokenizer, eos_token=end, pad_token=end, unk_token="<unk>")
