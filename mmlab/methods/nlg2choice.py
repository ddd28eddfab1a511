"""nlg2choice: let a model describe what it sees, and then, without the picture, let it say nothing but a name.

Symbols: x is a picture and an open question, a the answer to it; c is one of K names, c_1 ... c_n its words with the
end; A(p) are the words that may follow the prefix p of a name; pi is the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.data.chat import IMAGE
from mmlab.method import Batch, Method
from mmlab.nn.answers import answer_laws, answer_mask
from mmlab.nn.name_trie import NameTrie
from mmlab.nn.small_reader import SmallReader

__all__ = ["Nlg2Choice"]


class Nlg2Choice(Method):
    """Answer freely, then choose among names by their probability in a tree.

    Nothing is trained: it wraps a model that sees and writes.

    Args:
        names: Ids of the K names, without an end.
        question: Ids of what is asked after the answer, without a picture.
        model: A network with ``logits(batch)``, ``generate(batch, rng)`` and ``image_tokens``, such as
            :class:`mmlab.methods.tinyllava.TinyLLaVA`; or arguments of :class:`mmlab.nn.small_reader.SmallReader`.
        end: Id of the word that ends an answer, and that pads.
        words: Most words of the open answer.
        early: Whether the words after which a name is the only one left are not scored: the probabilities are the
            same, and the model reads fewer of them.

    Raises:
        ValueError: If the names cannot be told apart, or there is nothing to ask.

    Source:
        Lawrence et al. 2025, "You May Speak Freely"; no code is public. There the second prompt lists the names; here
        the list is the tree alone: it says which names there are, and the model has to know what they mean.
    """

    card = Card(
        name="nlg2choice",
        family="vision and language",
        paper="lawrence2025speak",
        summary="Answers an open question about a picture, then chooses a name by that answer alone, in a tree.",
        inputs=("input_ids", "length", "images"),
        outputs=("label",),
        claims=(
            Claim("accuracy", "direct constrained decoding", "higher", name="nlg2choice-direct"),
            Claim("accuracy", "direct decoding, practised", "higher", name="nlg2choice-practised"),
            Claim("accuracy", "practised, before any named picture", "higher", name="nlg2choice-none"),
            Claim("accuracy", "probe on named pictures", "higher", name="nlg2choice-probe"),
            Claim("accuracy", "dictionary look-up", "higher", name="nlg2choice-dictionary"),
            Claim("accuracy", "answers of other pictures", "higher", kind="sanity", name="nlg2choice-shuffled"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("VQA", "constrained decoding", "fine-grained", "multiple choice", "zero-shot", "MCQ"),
    )

    def __init__(
        self,
        names: Sequence[Sequence[int]],
        question: Sequence[int],
        model: nn.Module | Mapping[str, Any] | None = None,
        end: int = 0,
        words: int = 6,
        early: bool = True,
    ) -> None:
        super().__init__()
        if words < 1 or not len(question):
            raise ValueError(f"Nlg2Choice: words={words}, question of {len(question)}; both must be at least 1.")
        self.model: Any = model if isinstance(model, nn.Module) else SmallReader(**(model or {}))
        self.trie = NameTrie(names, end)
        self.question, self.end, self.words, self.early = list(question), end, words, early

    def answer(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """The open answers a, (B, T), ``end`` after the first one.

        Args:
            batch: Prompts with pictures.
            rng: Randomness of draws, where ``how`` asks for them.
            **how: Arguments of the model's ``generate``.
        """
        with self.evaluating():
            prompts = {key: batch[key] for key in ("input_ids", "length", "images") if key in batch}
            made = self.model.generate(prompts, rng, **{"max_new_tokens": self.words, "do_sample": False, **how})
        return torch.where(answer_mask(made, self.end), made, self.end)

    def told(self, answers: Tensor) -> Batch:
        """The second prompt: an answer without its end, and the question; no picture.

        Args:
            answers: (B, T).
        """
        length = (answers != self.end).sum(1)  # up to the first end, after which all are ends
        asked = torch.tensor(self.question, device=answers.device).expand(len(answers), -1)
        ids = torch.nn.functional.pad(answers, (0, asked.shape[1]), value=self.end)
        places = length[:, None] + torch.arange(asked.shape[1], device=answers.device)
        return {"input_ids": ids.scatter(1, places, asked), "length": length + asked.shape[1]}

    def log_probabilities(self, prompts: Batch) -> Tensor:
        """Log-probability of each name as an answer to prompts, (B, K); the exponentials sum to 1.

        Args:
            prompts: A batch; with pictures, this is direct constrained decoding.
        """
        rows = self.trie.rows.to(prompts["input_ids"].device)
        if self.early:
            rows = rows[:, : max(int(self.trie.depth.max()), 1)]
        with self.evaluating():
            laws = answer_laws(self.model, prompts, rows.expand(len(prompts["length"]), -1, -1), self.end)
            return self.trie.log_probabilities(laws).sum(-1)  # Eq. (2), Eq. (3)

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities of the names (B, K) of what is seen.

        Args:
            batch: ``input_ids`` (B, T), padded on the right, ``length`` (B,) and ``images`` (B, M, 3, H, W): an open
                question about pictures. With ``answers`` (B, T'), those are taken for the model's own.
        """
        answers = batch["answers"] if "answers" in batch else self.answer(batch)
        return self.log_probabilities(self.told(answers)).exp()  # Eq. (1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """A small model for pictures of this shape; the names cannot be seen in the data."""
        return {"model": {"picture": list(item["images"].shape[1:])}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Six pictures of noise and four names, one of which begins another."""
        rng = torch.Generator().manual_seed(seed)
        names = [[3], [4, 5], [4, 6], [4, 6, 7]]
        method = cls.seeded(seed, names, [8, 2], {"picture": [3, 8, 8], "width": 16}, words=4)
        ids = torch.tensor([[IMAGE, 3, 2], [IMAGE, 3, 0]]).repeat(3, 1)
        images = torch.rand(6, 1, 3, 8, 8, generator=rng) * 2 - 1
        return method, {"input_ids": ids, "length": torch.tensor([3, 2]).repeat(3), "images": images}
