"""Modality interference: make answers hold when the modality that a question is not about is changed.

Symbols: E is the sequence of vectors that the language model reads, m marks the places of the irrelevant modality in
it, delta a shift of E that is zero elsewhere; p and p' are the laws of the answer's words, before and after a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.method import Batch, Method, Objective
from mmlab.nn.answers import answer_laws, answer_mask
from mmlab.nn.small_reader import SmallReader
from mmlab.nn.splicing import IMAGE

__all__ = [
    "NEEDS",
    "ModalityInterference",
    "added",
    "consistency",
    "decision_changes",
    "irrelevant",
    "masked_pgd",
    "perturbed_pictures",
]

NEEDS = ("image", "text", "both")
"""Which modality a question is about, by its number in a batch's ``needs``."""


def decision_changes(before: Tensor, after: Tensor) -> Tensor:
    """Share of the answers that a change of the irrelevant modality changes, right or wrong.

    Args:
        before: Answers as numbers, (N,) or (N, L).
        after: The same after the change.
    """
    return (before != after).view(len(before), -1).any(1).double().mean()  # Eq. (1)


def masked_pgd(
    ascent: Callable[[Tensor], Tensor], mask: Tensor, radius: float, step: float, steps: int, rng: torch.Generator
) -> Tensor:
    """A shift within a box that raises a loss, zero outside of the mask; with no step it is uniform noise.

    Args:
        ascent: The gradient of the loss at a shift, of its shape.
        mask: Which entries may move, (B, T, 1) or of the shift's shape (B, T, D).
        radius: Half the side of the box.
        step: What the raw gradient, not its sign, is multiplied by.
        steps: Number of steps.
        rng: Randomness of the start.
    """
    start = (2 * torch.rand(mask.shape, generator=rng).to(mask.device) - 1) * radius
    delta = start * mask
    for _ in range(steps):
        delta = (delta + step * ascent(delta)).clamp(-radius, radius) * mask  # Eq. (2)
    return delta


def consistency(clean: Tensor, changed: Tensor, mask: Tensor) -> Tensor:
    """KL(changed || clean) over the words of answers, in the mean; what is clean gets no gradient.

    Args:
        clean: Log-probabilities (B, G, L, V).
        changed: The same after the change.
        mask: Which places are words, (B, G, L).
    """
    each = (changed.exp() * (changed - clean.detach())).sum(-1)
    return (each * mask).sum() / mask.sum()  # Eq. (3)


def irrelevant(ids: Tensor, length: Tensor, needs: Tensor, image_tokens: int = 1) -> Tensor:
    """Places of prompts that their question is not about, in the sequence that the language model reads.

    Args:
        ids: Words of the prompts, (B, T), padded on the right.
        length: Their true lengths, (B,).
        needs: Number of what each question is about in :data:`NEEDS`, (B,).
        image_tokens: Places that a picture takes.

    Returns:
        (B, T') bool, T' the longest row with its pictures unfolded.
    """
    rows = []
    for row, count, need in zip(ids, length.tolist(), needs.tolist(), strict=True):
        picture = row[:count] == IMAGE
        wanted = {"image": ~picture, "text": picture}.get(NEEDS[need], torch.zeros_like(picture))
        rows.append(wanted.repeat_interleave(torch.where(picture, image_tokens, 1)))
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


@contextmanager
def added(model: Any, delta: Tensor) -> Iterator[None]:
    """While this holds, what the model's language part reads is shifted by (B, T, D); longer rows keep their rest.

    Args:
        model: With ``reader``, such as :class:`mmlab.nn.small_reader.SmallReader`, or with ``language_model``.
        delta: The shift.
    """

    def shifted(vectors: Tensor) -> Tensor:
        rest = vectors.shape[1] - delta.shape[1]
        return vectors + nn.functional.pad(delta, (0, 0, 0, rest))

    def positional(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (shifted(given[0]), *given[1:])

    def named(_: nn.Module, given: tuple[Any, ...], names: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return given, {**names, "inputs_embeds": shifted(names["inputs_embeds"])}

    if hasattr(model, "reader"):
        hook = model.reader.register_forward_pre_hook(positional)
    else:
        hook = model.language_model.register_forward_pre_hook(named, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def perturbed_pictures(
    pictures: Tensor, kind: Literal["black", "white", "noise", "another"], rng: torch.Generator
) -> Tensor:
    """Pictures in place of those that a question is not about.

    Args:
        pictures: (N, ...).
        kind: ``"black"`` or ``"white"``, the least or largest value; ``"noise"``, uniform between these; or
            ``"another"``, the next item's.
        rng: Randomness of the noise.
    """
    low, high = pictures.min(), pictures.max()
    if kind == "another":
        return pictures.roll(1, 0)
    if kind == "noise":
        return low + (high - low) * torch.rand(pictures.shape, generator=rng)
    if kind not in ("black", "white"):
        raise ValueError(f"There is no picture {kind!r}: choose one of black, white, noise, another.")
    return torch.full_like(pictures, float(low if kind == "black" else high))


class ModalityInterference(Method):
    """Tune a model on questions beside changed copies of them, with noise against it where a question does not look.

    A batch holds questions and answers and, with ``changed_`` before each name, the same items with the irrelevant
    modality changed; without these, only what can be computed of the rest is.

    Args:
        policy: The model: a network with ``logits(batch)``, ``generate(batch, rng)`` and ``image_tokens``, such as
            :class:`mmlab.methods.tinyllava.TinyLLaVA`; or arguments of :class:`mmlab.nn.small_reader.SmallReader`.
        adversarial: Weight of the cross-entropy under the shift; 0 leaves it out.
        radius: Half the side of the shift's box.
        step: Step of the ascent.
        steps: Steps of the ascent, K; with 0 the shift is noise.
        agree: Weight of the consistency; 0 leaves it out.
        end: Id of the word that ends an answer.
        words: Most words of an answer.

    Raises:
        ValueError: If a number is impossible.

    Source:
        Cai et al. 2025, "Diagnosing and mitigating modality interference in multimodal large language models".
    """

    card = Card(
        name="Modality interference",
        family="vision and language",
        paper="cai2025interference",
        summary="Tunes a model that sees and writes so that the modality a question is not about changes no answer.",
        inputs=("input_ids", "length", "images", "completions"),
        outputs=("tokens",),
        claims=(
            Claim(
                "accuracy on pictures, unseen changes", "clean data", "higher", name="interference-picture-all-clean"
            ),
            Claim(
                "accuracy on pictures, unseen changes",
                "augmentation",
                "higher",
                name="interference-picture-all-augmentation",
            ),
            Claim(
                "accuracy on pictures, unseen changes",
                "noise of the same size",
                "higher",
                kind="sanity",
                name="interference-picture-pgd-noise",
            ),
            Claim(
                "decisions changed, unseen changes",
                "augmentation",
                "lower",
                kind="sanity",
                name="interference-changed-agree-augmentation",
            ),
        ),
        tags=("robustness", "adversarial training", "PGD", "consistency", "distractors"),
    )

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        adversarial: float = 1.0,
        radius: float = 1e-3,
        step: float = 0.1,
        steps: int = 2,
        agree: float = 0.01,
        end: int = 0,
        words: int = 3,
    ) -> None:
        super().__init__()
        if min(adversarial, radius, step, steps, agree) < 0 or words < 1:
            raise ValueError(
                f"ModalityInterference: adversarial={adversarial}, radius={radius}, step={step}, steps={steps}, "
                f"agree={agree}, words={words}; none may be negative, and words must be 1 or more."
            )
        self.policy: Any = policy if isinstance(policy, nn.Module) else SmallReader(**(policy or {}))
        self.adversarial, self.radius, self.step, self.steps = adversarial, radius, step, steps
        self.agree, self.end, self.words = agree, end, words

    def objectives(self) -> list[Objective]:
        """One, of the model."""
        return [Objective("", [p for p in self.policy.parameters() if p.requires_grad], self.loss)]

    def laws(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of words (B, G, L, V), which places are words (B, G, L), and the cross-entropy of each."""
        answers = batch["completions"]
        laws, mask = answer_laws(self.policy, batch, answers, self.end), answer_mask(answers, self.end)
        return laws, mask, -laws.gather(-1, answers[..., None])[..., 0] * mask

    def shift(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The shift (B, T', D) that the ascent finds for one answer a prompt; the model gets no gradient of it."""
        needs = batch.get("needs", torch.full_like(batch["length"], NEEDS.index("both")))
        places = irrelevant(batch["input_ids"], batch["length"], needs, self.policy.image_tokens)
        width = _width(self.policy)
        mask = places[..., None].expand(-1, -1, width).to(next(self.policy.parameters()).dtype)

        def ascent(delta: Tensor) -> Tensor:
            moved = delta.clone().requires_grad_()
            with torch.enable_grad(), added(self.policy, moved):
                _, words, each = self.laws(batch)
                value = (each.sum((1, 2)) / words.sum((1, 2))).sum()  # so that items do not hang on each other
            return torch.autograd.grad(value, moved)[0]

        return masked_pgd(ascent, mask, self.radius, self.step, self.steps, rng)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropies, and the consistency.

        Args:
            batch: As for the class; ``completions`` (B, 1, L), and ``needs`` (B,).
            rng: Randomness of the start of the shift.

        Returns:
            Besides ``loss`` its terms, those that there are: ``clean``, ``changed``, ``adversarial``, ``agree``.
        """
        changed = {key.removeprefix("changed_"): value for key, value in batch.items() if key.startswith("changed_")}
        laws, mask, each = self.laws(batch)
        count = mask.sum()
        total = each.sum() / count
        values = {"clean": total}
        if changed:
            others, _, each = self.laws({**batch, **changed})
            values["changed"] = each.sum() / count
            total = (total + values["changed"]) / 2
            if self.agree:
                values["agree"] = consistency(laws, others, mask)
                total = total + self.agree * values["agree"]
        if self.adversarial:
            with added(self.policy, self.shift(batch, rng)):
                values["adversarial"] = self.laws(batch)[2].sum() / count
            total = total + self.adversarial * values["adversarial"]
        return {"loss": total, **values}  # Eq. (4)

    def generate(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """Write answers (B, T), the most probable words by default; see the policy's ``generate``."""
        with self.evaluating():
            made: Tensor = self.policy.generate(batch, rng, **{"max_new_tokens": self.words, **how})
        return made

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """A small model for pictures of this shape, with room for the words of the book's worlds."""
        return {"policy": {"picture": list(item["images"].shape[1:]), "words": 128}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Six questions on pictures of noise, each beside a copy with another word in the text."""
        rng = torch.Generator().manual_seed(seed)
        words = torch.randint(1, 16, (6, 1, 1), generator=rng)
        batch = {
            "input_ids": torch.tensor([[3, 4, IMAGE]]).repeat(6, 1),
            "length": torch.full((6,), 3),
            "images": torch.rand(6, 1, 3, 8, 8, generator=rng) * 2 - 1,
            "completions": torch.cat([words, torch.zeros(6, 1, 1, dtype=torch.long)], 2),
            "needs": torch.zeros(6, dtype=torch.long),
        }
        batch["changed_input_ids"] = batch["input_ids"].clone()
        batch["changed_input_ids"][:, 1] = torch.randint(5, 16, (6,), generator=rng)
        batch["changed_length"] = batch["length"].clone()
        return cls.seeded(seed, {"picture": [3, 8, 8], "width": 16}, radius=0.1), batch


def _width(model: Any) -> int:
    embedding = model.embedding if hasattr(model, "embedding") else model.language_model.get_input_embeddings()
    return int(embedding.weight.shape[1])
