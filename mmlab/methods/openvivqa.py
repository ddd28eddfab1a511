"""MLPAG: answers that are written word by word, each from the vocabulary or pointed to among the words in the picture.

Symbols: V is the size of the vocabulary, N the number of pieces of text that were read in the picture (OCR); q_t is the
state of step t, k_n the key of piece n; D is the width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import AttentionBlock

__all__ = ["MLPAG", "join", "pointer_scores", "reached"]

END = 2
_NEVER = -1e9


def pointer_scores(q: Tensor, k: Tensor, there: Tensor) -> Tensor:
    """Scores (..., N) of the pieces of text; -1e9 where there is none.

    Args:
        q: State of a step, (..., D).
        k: Keys of the pieces, (..., N, D).
        there: (..., N) bool.
    """
    scores = (k @ q[..., None])[..., 0] / q.shape[-1] ** 0.5  # Eq. (1)
    return scores.where(there, _NEVER)


def join(vocabulary: Tensor, pointer: Tensor) -> Tensor:
    """Probabilities (..., V + N) of one softmax over words and pieces of text.

    Args:
        vocabulary: Logits (..., V).
        pointer: Scores (..., N).
    """
    return torch.cat([vocabulary, pointer], -1).softmax(-1)  # Eq. (2)


def reached(probabilities: Tensor, word: Tensor, pieces: Tensor) -> Tensor:
    """Probability (...) that a word is said: from the vocabulary, or by any piece of text that spells it.

    Args:
        probabilities: (..., V + N).
        word: Its number (...), 0 if it is not in the vocabulary.
        pieces: Which pieces spell it, (..., N) bool.
    """
    words = probabilities.shape[-1] - pieces.shape[-1]
    said = probabilities.gather(-1, word[..., None])[..., 0] * (word > 0)
    return said + (probabilities[..., words:] * pieces).sum(-1)  # Eq. (3)


class _Block(AttentionBlock):
    """The block with a mask for each query."""

    def forward(self, tokens: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """As in the class above, with a mask (B, Q, T), or (B, 1, T) for all queries alike."""
        seen = self.norms[1](context)
        mixed = F.scaled_dot_product_attention(
            self._split(self.query(self.norms[0](tokens))),
            self._split(self.key(seen)),
            self._split(self.value(seen)),
            attn_mask=None if mask is None else mask[:, None],
        )
        tokens = tokens + self.out(mixed.transpose(1, 2).flatten(2))
        return tokens + self.perceptron(self.norms[2](tokens))


class MLPAG(Method):
    """A transformer over regions, pieces of text, the question and the words so far; a pointer beside the vocabulary.

    What is given attends to what is given; a step of the answer attends to that and to the steps before it. The next
    step is told the form of the piece that was said, or the embedding of the word if no piece spells it.

    Args:
        regions: Features of a region.
        ocr: Features of a piece of text.
        vocabulary: V, with 0 for padding and 2 for the end.
        length: Words of a question.
        steps: Words of an answer T, the end included.
        width: D.
        depth: Blocks.
        pointer: Whether pieces of text can be pointed to.

    Raises:
        ValueError: If the vocabulary does not hold padding, unknown and end.

    Source:
        Nguyen et al. 2023, the model with a pointer, in the manner of M4C (Hu et al. 2020).
    """

    card = Card(
        name="OpenViVQA (MLPAG)",
        family="fusion",
        paper="openvivqa",
        summary="Writes answers to questions about pictures from a vocabulary and from the text in the picture.",
        inputs=("question", "regions", "ocr", "ocr_word", "answer", "answer_ocr"),
        outputs=("answer",),
        claims=(
            Claim("exact match, unseen words", "vocabulary only", "higher", name="unseen-vocabulary-only"),
            Claim("exact match", "copy the largest", "higher", kind="sanity", name="unseen-copy-the-largest"),
            Claim("exact match", "without picture", "higher", kind="sanity", name="unseen-without-picture"),
            Claim("exact match", "raw strings", "higher", kind="sanity", name="unseen-raw-strings"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("visual question answering", "OCR", "pointer network", "Vietnamese", "Unicode"),
    )

    def __init__(
        self,
        regions: int,
        ocr: int,
        vocabulary: int = 512,
        length: int = 5,
        steps: int = 3,
        width: int = 32,
        depth: int = 2,
        pointer: bool = True,
    ) -> None:
        super().__init__()
        if vocabulary <= END:
            raise ValueError(f"vocabulary={vocabulary}: it holds padding, unknown and end, and then words.")
        self.words, self.steps, self.pointer = vocabulary, steps, pointer
        self.word = nn.Embedding(vocabulary, width)
        self.region = nn.Linear(regions, width)
        self.piece = nn.Linear(ocr, width)
        self.said_piece = nn.Linear(ocr, width)
        self.places = nn.Parameter(0.1 * torch.randn(length + steps, width))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, vocabulary)
        self.query = nn.Linear(width, width) if pointer else None
        self.key = nn.Linear(width, width, bias=False) if pointer else None

    def read(self, batch: Batch) -> tuple[list[Tensor], Tensor, Tensor]:
        """What is given, as it goes into each block and out of the last one.

        Args:
            batch: ``question`` (B, Q), ``regions`` (B, R, ...), ``ocr`` (B, N, ...), and which are there:
                ``regions_there`` (B, R) and ``ocr_there`` (B, N) bool; without these, all.

        Returns:
            Contexts (B, R + N + Q, D), one for each block; the mask (B, R + N + Q); pieces of text (B, N, D).
        """
        regions, ocr, question = batch["regions"], batch["ocr"], batch["question"]
        there = torch.cat([_there(batch, "regions"), _there(batch, "ocr"), question > 0], 1)
        regions = torch.where(_there(batch, "regions")[..., None], regions, 0)
        ocr = torch.where(_there(batch, "ocr")[..., None], ocr, 0)
        asked = self.word(question) + self.places[: question.shape[1]]
        given = torch.cat([self.region(regions), self.piece(ocr), asked], 1)
        contexts = []
        for block in self.blocks:
            contexts.append(given)
            given = block(given, given, there[:, None])
        first = regions.shape[1]
        return contexts, there, self.norm(given)[:, first : first + ocr.shape[1]]

    def say(self, batch: Batch, given: tuple[list[Tensor], Tensor, Tensor], said: Tensor) -> Tensor:
        """Probabilities (B, t, V + N) of the next word after each step.

        Args:
            batch: As for :meth:`read`.
            given: What :meth:`read` returns.
            said: What the steps hear, (B, t, D), zeros first.
        """
        contexts, there, pieces = given
        count, steps = said.shape[:2]
        past = torch.ones(steps, steps, dtype=torch.bool, device=said.device).tril()
        seen = torch.cat([there[:, None].expand(-1, steps, -1), past.expand(count, -1, -1)], 2)
        states = said + self.places[-self.steps :][:steps]
        for block, context in zip(self.blocks, contexts, strict=True):
            states = block(states, torch.cat([context, states], 1), seen)
        states = self.norm(states)
        ocr_there = _there(batch, "ocr")[:, None]
        if self.query is None or self.key is None:
            scores = torch.full_like(states[..., :1], _NEVER).expand(-1, -1, pieces.shape[1])
        else:
            scores = pointer_scores(self.query(states), self.key(pieces)[:, None], ocr_there)
        return join(self.out(states), scores)

    def told(self, batch: Batch, word: Tensor, pieces: Tensor) -> Tensor:
        """What the next step hears (B, D): the first piece of text that spells the word, or else its embedding.

        Args:
            batch: With ``ocr``.
            word: Number of the word (B,), 0 if it has none.
            pieces: Which pieces spell it, (B, N) bool.
        """
        embedded = self.word(word)
        if not self.pointer:
            return embedded
        first = pieces.long().argmax(1)
        ocr = batch["ocr"].take_along_dim(first[:, None, None], 1)[:, 0]
        return torch.where(pieces.any(1)[:, None], self.said_piece(ocr), embedded)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Minus the log of (3), mean over the steps of the answer that can be reached at all.

        Args:
            batch: As for :meth:`read`, with ``answer`` (B, T) and ``answer_ocr`` (B, T, N) bool.
            rng: Not needed.
        """
        given = self.read(batch)
        answer = batch["answer"]
        pieces = batch["answer_ocr"] & _there(batch, "ocr")[:, None]
        if not self.pointer:
            pieces = torch.zeros_like(pieces)
        told = [self.told(batch, answer[:, t], pieces[:, t]) for t in range(self.steps - 1)]
        p = self.say(batch, given, torch.stack([torch.zeros_like(told[0]), *told], 1))  # (B, T, V + N)
        can = (answer > 0) | pieces.any(2)
        each = -reached(p, answer, pieces).where(can, 1.0).clamp(min=1e-12).log()  # Eq. (4)
        return {"loss": each.sum() / can.sum().clamp(min=1)}

    def generate(self, batch: Batch, max_new_tokens: int | None = None) -> Tensor:
        """The most probable word at each step, (B, T): numbers of words, or V + n for the piece n.

        A word in the vocabulary has the probability (3); a piece that spells none has its own. After END there is
        padding.

        Args:
            batch: As for :meth:`read`, with ``ocr_word`` (B, N), the numbers of the words that pieces spell, or 0.
            max_new_tokens: Number of steps; by default, and at most, T.
        """
        with self.evaluating():
            given = self.read(batch)
            spelt = batch["ocr_word"].where(_there(batch, "ocr"), 0)
            count = len(spelt)
            said = self.places.new_zeros(count, 1, self.places.shape[1])
            done = torch.zeros(count, dtype=torch.bool, device=said.device)
            found = []
            for _ in range(min(self.steps, max_new_tokens or self.steps)):
                p = self.say(batch, given, said)[:, -1]
                known = torch.zeros_like(p).scatter_add_(1, spelt, p[:, self.words :] * (spelt > 0))
                total = p + known
                total[:, self.words :] *= spelt == 0  # those that spell a word have been added to it
                total[:, :END] = 0
                chosen = total.argmax(1)
                word = chosen.where(chosen < self.words, 0)
                numbers = torch.arange(spelt.shape[1], device=spelt.device)
                pieces = (numbers == (chosen - self.words)[:, None]) | ((spelt == word[:, None]) & (word > 0)[:, None])
                found.append(chosen.where(~done, 0))
                done = done | (chosen == END)
                said = torch.cat([said, self.told(batch, word, pieces)[:, None]], 1)
            return torch.stack(found, 1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """One of two words to be copied, or a fixed word to be said, as the question asks."""
        rng = torch.Generator().manual_seed(seed)
        asked = torch.arange(16) % 3  # the first piece, the second piece, or the word 5
        pieces = torch.zeros(16, 2, 2, dtype=torch.bool)
        for k in (0, 1):
            pieces[asked == k, 0, k] = True
        answer = torch.zeros(16, 2, dtype=torch.long)
        answer[asked == 2, 0] = 5
        answer[:, 1] = END
        batch: Batch = {
            "question": 3 + asked[:, None],
            "regions": torch.randn(16, 2, 3, generator=rng),
            "ocr": torch.cat([torch.eye(2).expand(16, 2, 2), torch.randn(16, 2, 2, generator=rng)], 2),
            "ocr_there": torch.ones(16, 2, dtype=torch.bool),
            "ocr_word": torch.zeros(16, 2, dtype=torch.long),
            "answer": answer,
            "answer_ocr": pieces,
        }
        return cls.seeded(seed, 3, 4, 6, length=1, steps=2, width=16, depth=1), batch

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Sizes of the inputs; how many words there are, no item tells.

        Raises:
            ValueError: If the data are no questions about pictures with text.
        """
        if absent := [name for name in cls.card.inputs if name not in item]:
            raise ValueError(f"MLPAG needs {', '.join(cls.card.inputs)}; the data have no {', '.join(absent)}.")
        sizes = {"length": item["question"].shape[0], "steps": item["answer"].shape[0]}
        return {"regions": item["regions"].shape[-1], "ocr": item["ocr"].shape[-1], **sizes}


def _there(batch: Mapping[str, Tensor], name: str) -> Tensor:
    values = batch[name]
    return batch.get(f"{name}_there", torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
