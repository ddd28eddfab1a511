"""Street signs and questions about them in Vietnamese: what is written there, how many there are, what colour.

A picture has one to three signs. Each has a colour, a size, a kind ("phở", "cơm", ...) and a name, and is shown as one
region and as two pieces of text that a reader of text (OCR) found: the kind and the name. A region is its colour and
size with noise; a piece of text is that of its sign, whether it stands first or second, and the *form* of its word:
its letters and pairs of letters, turned by a fixed random matrix, so that words that nobody has seen have a form too.

Names are syllables in the pattern of Vietnamese: an onset, a rhyme and one of six tones. Some of them are never seen in
training. Questions are of three kinds:

    "biển màu đỏ ghi gì"     what does the red sign say      → its kind and its name, to be copied,
    "có mấy biển"            how many signs are there        → "một", "hai", "ba",
    "biển phở màu gì"        what colour has the phở sign    → "màu đỏ", ...

The reader of text may write letters with marks in one character (NFC) or as letter and marks (NFD), which look alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.data.words import normal, words
from mmlab.wording import require_at_least

__all__ = ["COLOURS", "KINDS", "Signs", "SignsWorld", "form_of", "signs_world", "syllables"]

COLOURS = ("đỏ", "xanh", "vàng", "tím")
KINDS = ("phở", "cơm", "bánh", "trà", "xôi", "bún")
_NUMBERS = ("một", "hai", "ba")
_ASKED = ("biển", "màu", "ghi", "gì", "có", "mấy")
_MOST, _LENGTH, _STEPS, _FORM = 3, 5, 3, 24  # signs, words of a question, steps of an answer, features of a form
_NOISE = 0.1
_ONSETS = ("b", "c", "d", "đ", "g", "h", "kh", "l", "m", "n", "ph", "qu", "s", "t", "th", "tr", "v", "x")
_RHYMES = ("a", "ă", "â", "e", "ê", "i", "o", "ô", "ơ", "u", "ư", "y")
_ENDS = ("", "n", "m", "ng", "i")
_TONES = ("", "\u0301", "\u0300", "\u0309", "\u0303", "\u0323")


@dataclass(frozen=True, eq=False)
class Signs:
    """Items and what is written in them.

    Attributes:
        items: ``question`` (N, 5), ``regions`` (N, 3, 5) with ``regions_there`` (N, 3), ``ocr`` (N, 6, 30) with
            ``ocr_there`` (N, 6) and ``ocr_word`` (N, 6), the number of the word in the vocabulary or 0, and the answer:
            ``answer`` (N, 3), numbers of words or 0, and ``answer_ocr`` (N, 3, 6), which pieces of text spell it. An
            answer ends in END; steps after it have no word and no piece.
        texts: Pieces of text of each item, as the reader of text spells them; "" where there is none.
        answers: The answer in words.
        kinds: ``"copy"``, ``"count"`` or ``"colour"``, for each item.
        salient: The kind and the name on the largest sign, for each item.
    """

    items: TensorData
    texts: list[list[str]]
    answers: list[list[str]]
    kinds: list[str]
    salient: list[list[str]]

    def said(self, numbers: Tensor, vocabulary: Sequence[str]) -> list[list[str]]:
        """Words of written answers.

        Args:
            numbers: (N, T): numbers of words, or V + n for the piece of text n; all from END on is left out.
            vocabulary: V words.
        """
        found = []
        for row, texts in zip(numbers.tolist(), self.texts, strict=True):
            row = row[: row.index(2)] if 2 in row else row
            found.append([vocabulary[k] if k < len(vocabulary) else texts[k - len(vocabulary)] for k in row])
        return found


@dataclass(frozen=True, eq=False)
class SignsWorld:
    """The law of signs and questions: :meth:`draw` asks it for items as often as one likes.

    Attributes:
        seen: Names that occur in training, in NFC.
        unseen: Names that do not.
        vocabulary: V words: "<padding>", "<unknown>", "<end>", and all words of questions and answers with seen names.
    """

    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    vocabulary: tuple[str, ...]

    @property
    def pairs(self) -> TensorData:
        """A thousand items with seen names, the same ones each time: what ``mmlab train`` takes of this world."""
        return self.draw(1000, 0).items

    def draw(
        self, count: int, seed: int = 0, unseen: bool = False, matched: str = "normal", misread: float = 0.0
    ) -> Signs:
        """New pictures and questions.

        Args:
            count: Number of items N.
            seed: Seed of the items.
            unseen: Whether names are those that do not occur in training.
            matched: How pieces of text are compared with words: ``"normal"``, in one form of Unicode, or ``"raw"``,
                character for character.
            misread: How often the reader of text takes one tone of a name for another.

        Raises:
            ValueError: If there is no such comparison, or a share is none.
        """
        require_at_least(count=(count, 1))
        if not 0 <= misread <= 1:
            raise ValueError(f"misread={misread} must be a share, from 0 to 1.")
        if matched not in ("normal", "raw"):
            raise ValueError(f"matched={matched!r}: choose 'normal' or 'raw'.")
        rng = torch.Generator().manual_seed(seed)
        names = self.unseen if unseen else self.seen
        rows = [self._item(names, matched == "normal", misread, rng) for _ in range(count)]
        stacked = {key: torch.stack([row[0][key] for row in rows]) for key in rows[0][0]}
        return Signs(TensorData(stacked), *([row[k] for row in rows] for k in range(1, 5)))  # type: ignore[arg-type]

    def _item(
        self, names: Sequence[str], normalised: bool, misread: float, rng: torch.Generator
    ) -> tuple[dict[str, Tensor], list[str], list[str], str, list[str]]:
        """One picture with its question: tensors, pieces of text, answer, kind of question, and the largest sign."""

        def number(high: int) -> int:
            return int(torch.randint(0, high, (1,), generator=rng))

        signs = 1 + number(_MOST)
        colours = torch.randperm(len(COLOURS), generator=rng)[:signs].tolist()
        kinds = [KINDS[k] for k in torch.randperm(len(KINDS), generator=rng)[:signs].tolist()]
        called = [names[k] for k in torch.randperm(len(names), generator=rng)[:signs].tolist()]
        sizes = 0.5 + torch.rand(signs, generator=rng)
        regions, there = torch.zeros(_MOST, 5), torch.arange(_MOST) < signs
        looks = torch.cat([torch.eye(len(COLOURS))[colours], sizes[:, None]], 1)  # (signs, 5)
        regions[:signs] = looks + _NOISE * torch.randn(signs, 5, generator=rng)
        form: Literal["NFC", "NFD"] = "NFD" if number(2) else "NFC"
        slots = torch.randperm(2 * _MOST, generator=rng)[: 2 * signs].tolist()
        ocr, texts = torch.zeros(2 * _MOST, 6 + _FORM), [""] * (2 * _MOST)
        for k, slot in enumerate(slots):
            sign, second = divmod(k, 2)
            word = called[sign] if second else kinds[sign]
            wrong, tone = float(torch.rand(1, generator=rng)) < misread, number(len(_TONES) - 1)
            word = _other_tone(word, tone) if second and wrong else word
            texts[slot] = unicodedata.normalize(form, word)
            look = looks[sign] + _NOISE * torch.randn(5, generator=rng)
            ocr[slot] = torch.cat([look, torch.tensor([2.0 * second - 1]), form_of(word)])
        chosen, kind = number(signs), ("copy", "copy", "count", "colour")[number(4)]
        question, answer = _asked(kind, COLOURS[colours[chosen]], kinds[chosen], called[chosen], signs)

        def same(word: str) -> str:
            return normal(word) if normalised else word

        numbers = {same(word): k for k, word in enumerate(self.vocabulary)}
        spelt = torch.zeros(_STEPS, 2 * _MOST, dtype=torch.bool)
        said = torch.zeros(_STEPS, dtype=torch.long)
        for step, word in enumerate(answer):
            said[step] = numbers.get(same(word), 0)
            spelt[step] = torch.tensor([bool(text) and same(text) == same(word) for text in texts])
        said[len(answer)] = self.vocabulary.index("<end>")
        asked = [self.vocabulary.index(word) for word in question]
        tensors = {
            "question": torch.tensor(asked + [0] * (_LENGTH - len(asked))),
            "regions": regions,
            "regions_there": there,
            "ocr": ocr,
            "ocr_there": torch.tensor([bool(text) for text in texts]),
            "ocr_word": torch.tensor([numbers.get(same(text), 0) if text else 0 for text in texts]),
            "answer": said,
            "answer_ocr": spelt,
        }
        largest = int(sizes.argmax())
        return tensors, texts, answer, kind, [kinds[largest], called[largest]]


def signs_world(names: int = 60, seen: int = 40, seed: int = 0) -> SignsWorld:
    """Make a world. The same arguments make the same world.

    Args:
        names: Number of names.
        seen: How many of them occur in training.
        seed: Seed of the names.

    Raises:
        ValueError: If there are too few names, or none is held back.
    """
    if not 3 <= seen <= names - 3:
        raise ValueError(f"names={names}, seen={seen}: three names at least are seen, and three are not.")
    made = syllables(names, seed)
    fixed = (*_ASKED, *COLOURS, *KINDS, *_NUMBERS)
    vocabulary = ("<padding>", "<unknown>", "<end>", *fixed, *made[:seen])
    return SignsWorld(made[:seen], made[seen:], vocabulary)


def syllables(count: int, seed: int = 0) -> tuple[str, ...]:
    """Different syllables in the pattern of Vietnamese, in NFC, none of them a word of the questions.

    Args:
        count: How many.
        seed: Seed of the choice.

    Raises:
        ValueError: If there are not so many.
    """
    taken = {normal(word) for word in (*_ASKED, *COLOURS, *KINDS, *_NUMBERS)}
    sizes = [len(part) for part in (_ONSETS, _RHYMES, _ENDS, _TONES)]
    total = sizes[0] * sizes[1] * sizes[2] * sizes[3]
    found: list[str] = []
    for k in torch.randperm(total, generator=torch.Generator().manual_seed(seed)).tolist():
        k, tone = divmod(k, sizes[3])
        k, end = divmod(k, sizes[2])
        onset, rhyme = divmod(k, sizes[1])
        word = unicodedata.normalize("NFC", _ONSETS[onset] + _RHYMES[rhyme] + _TONES[tone] + _ENDS[end])
        if word not in taken:
            found.append(word)
            taken.add(word)
        if len(found) == count:
            return tuple(found)
    raise ValueError(f"count={count}: there are only {len(found)} such syllables.")


@cache
def form_of(word: str) -> Tensor:
    """Features (24,) of how a word is spelt: of its letters, marks and pairs of them, whichever form it is in."""
    signs = unicodedata.normalize("NFD", " ".join(words(word)))
    padded = f"^{signs}$"
    pieces = [*signs, *(padded[i : i + 2] for i in range(len(padded) - 1))]
    total = torch.zeros(_FORM)
    for piece in pieces:
        seed = int.from_bytes(piece.encode(), "big") % (2**61)
        total += torch.randn(_FORM, generator=torch.Generator().manual_seed(seed))
    return total / len(pieces) ** 0.5


def _asked(kind: str, colour: str, sort: str, name: str, signs: int) -> tuple[list[str], list[str]]:
    """Words of a question and of its answer."""
    if kind == "copy":
        return ["biển", "màu", colour, "ghi", "gì"], [sort, name]
    if kind == "count":
        return ["có", "mấy", "biển"], [_NUMBERS[signs - 1]]
    return ["biển", sort, "màu", "gì"], ["màu", colour]


def _other_tone(word: str, step: int) -> str:
    """A syllable in another of the six tones."""
    letters = unicodedata.normalize("NFD", word)
    now = next((tone for tone in _TONES[1:] if tone in letters), "")
    new = _TONES[(_TONES.index(now) + 1 + step) % len(_TONES)]
    place = letters.index(now) if now else max(letters.find(sign) for sign in "aeiouy\u0302\u0306\u031b") + 1
    return unicodedata.normalize("NFC", letters[:place] + new + letters[place + len(now) :])
