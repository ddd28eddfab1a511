"""Unlearning: make a model that sees and writes forget some of its records, and keep the others.

Symbols: s is the log-likelihood of a secret, summed over its words, f that of records to forget and r of records to
retain; ref is the model before unlearning. Six rules say what is minimised.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from mmlab.card import Card, Claim
from mmlab.data.chat import IMAGE
from mmlab.method import Batch, Method, Objective
from mmlab.nn.answers import answer_laws, answer_mask, rows_of_answers
from mmlab.nn.small_reader import SmallReader

__all__ = ["RULES", "Unlearning", "divergence", "npo", "simnpo"]

Rule = Literal["ascent", "difference", "kl", "npo", "simnpo", "rmu"]
RULES: tuple[Rule, ...] = ("ascent", "difference", "kl", "npo", "simnpo", "rmu")
"""The rules by name; all but the first have a term for what is retained."""


def npo(s: Tensor, reference: Tensor, beta: float = 0.1) -> Tensor:
    """Negative preference: the likelihood is to fall below that of the reference, the less urgently the lower it is.

    Args:
        s: Log-likelihoods of secrets, of any shape.
        reference: The same under the reference.
        beta: How soon the pressure ends; towards 0 it never does, which is gradient ascent.
    """
    return 2 / beta * softplus(beta * (s - reference))  # Eq. (4)


def simnpo(s: Tensor, length: Tensor, beta: float = 0.1, margin: float = 0.0) -> Tensor:
    """The same without a reference, with the mean log-likelihood of a word.

    Args:
        s: Log-likelihoods of secrets, of any shape.
        length: Their numbers of words.
        beta: As for :func:`npo`.
        margin: By how much more the likelihood has to fall.
    """
    return 2 / beta * softplus(beta * s / length + margin)  # Eq. (5)


def divergence(reference: Tensor, now: Tensor, mask: Tensor) -> Tensor:
    """KL(reference || now), exactly, in the mean over the words of answers.

    Args:
        reference: Log-probabilities (B, G, L, V).
        now: The same of the model that is tuned.
        mask: Which places are words, (B, G, L).
    """
    each = (reference.exp() * (reference - now)).sum(-1)
    return (each * mask).sum() / mask.sum()


class Unlearning(Method):
    """Tune a model until it no longer says what it is to forget.

    A batch holds what is to be forgotten and, with ``retain_`` before each name, records to keep; without these only
    the first half of a rule is left. The reference is the model at the first step.

    Args:
        policy: The model: a network with ``logits(batch)``, ``generate(batch, rng)`` and ``image_tokens``, such as
            :class:`mmlab.methods.tinyllava.TinyLLaVA`; or arguments of :class:`mmlab.nn.small_reader.SmallReader`.
        rule: One of :data:`RULES`.
        beta: For the rules ``"npo"`` and ``"simnpo"``.
        margin: For ``"simnpo"``.
        retain: Weight of what is retained.
        steer: For ``"rmu"``: length of the vector that states of forgotten answers are pushed to.
        end: Id of the word that ends an answer.
        words: Most words of an answer.

    Raises:
        ValueError: If there is no such rule, or a number is impossible.

    Source:
        Wu et al. 2025, "MedForget"; the rules are of Zhang et al. 2024 (NPO), Fan et al. 2024 (SimNPO) and Li et al.
        2024 (RMU).
    """

    card = Card(
        name="Unlearning",
        family="vision and language",
        paper="wu2025medforget",
        summary="Makes a model that sees and writes forget records at a level of a tree and keep their siblings.",
        inputs=("input_ids", "length", "images", "completions"),
        outputs=("tokens",),
        claims=(
            Claim("siblings kept", "gradient ascent", "higher", name="kept-npo-ascent"),
            Claim("siblings kept", "gradient difference", "higher", name="kept-npo-difference"),
            Claim("distance from retraining", "gradient difference", "lower", name="distance-npo-difference"),
            Claim("forgotten secrets by names", "retraining", "lower", kind="sanity", name="attack-npo-retrained"),
        ),
        tags=("machine unlearning", "MedForget", "NPO", "SimNPO", "RMU", "privacy"),
    )

    started: Tensor
    direction: Tensor

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        rule: Rule = "npo",
        beta: float = 0.1,
        margin: float = 0.0,
        retain: float = 1.0,
        steer: float = 5.0,
        end: int = 0,
        words: int = 3,
    ) -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"Unlearning: there is no rule {rule!r}: the rules are {', '.join(RULES)}.")
        if beta <= 0 or retain < 0 or steer <= 0 or words < 1:
            raise ValueError(
                f"Unlearning: beta={beta}, retain={retain}, steer={steer}, words={words}; they must be above 0, 0 or "
                "more, above 0, and 1 or more."
            )
        self.policy: Any = policy if isinstance(policy, nn.Module) else SmallReader(**(policy or {}))
        self.rule, self.beta, self.margin, self.retain = rule, beta, margin, retain
        self.steer, self.end, self.words = steer, end, words
        needs = rule in ("kl", "npo", "rmu")
        self.reference: Any = copy.deepcopy(self.policy).requires_grad_(False) if needs else None
        if rule == "rmu":
            self.register_buffer("direction", torch.rand(self._head(self.policy).weight.shape[1]))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def start_from(self, dataset: Any) -> None:
        """Take the model as it is before the first step as the reference."""
        if self.reference is not None and not self.started:
            self.reference.load_state_dict(self.policy.state_dict())
        self.started.fill_(True)

    def objectives(self) -> list[Objective]:
        """One, of the model."""
        return [Objective("", [p for p in self.policy.parameters() if p.requires_grad], self.loss)]

    def likelihood(self, batch: Batch, model: Any = None) -> Tensor:
        """Log-likelihoods s of the answers that a batch brings, summed over their words, (B, G)."""
        return self._told(batch, self.policy if model is None else model)[0]

    def _told(self, batch: Batch, model: Any) -> tuple[Tensor, Tensor, Tensor]:
        """S (B, G), the laws at each place (B, G, L, V), and which places are words (B, G, L)."""
        answers = batch["completions"]
        laws, mask = answer_laws(model, batch, answers, self.end), answer_mask(answers, self.end)
        return (laws.gather(-1, answers[..., None])[..., 0] * mask).sum(-1), laws, mask

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """What the rule minimises.

        Returns:
            Besides ``loss`` its two terms, ``forget`` and, where there are records to retain, ``retain``.
        """
        kept = {key.removeprefix("retain_"): value for key, value in batch.items() if key.startswith("retain_")}
        values = {"forget": self._forget(batch)}
        loss = values["forget"]
        if kept and self.rule != "ascent":
            values["retain"] = self._retain(kept)
            loss = loss + self.retain * values["retain"]  # Eq. (2)
        return {"loss": loss, **values}

    def _forget(self, batch: Batch) -> Tensor:
        if self.rule == "rmu":
            states, mask = self._states(batch, self.policy)
            target = self.steer * self.direction / self.direction.norm()
            return _mean((states - target).square().mean(-1), mask)  # Eq. (6)
        s, _, mask = self._told(batch, self.policy)
        if self.rule == "npo":
            with torch.no_grad():
                reference = self.likelihood(batch, self.reference)
            return npo(s, reference, self.beta).mean()
        if self.rule == "simnpo":
            return simnpo(s, mask.sum(-1), self.beta, self.margin).mean()
        return s.mean()  # Eq. (1)

    def _retain(self, kept: Batch) -> Tensor:
        if self.rule == "rmu":
            states, mask = self._states(kept, self.policy)
            with torch.no_grad():
                before, _ = self._states(kept, self.reference)
            return _mean((states - before).square().mean(-1), mask)  # Eq. (6)
        s, laws, mask = self._told(kept, self.policy)
        if self.rule == "kl":
            with torch.no_grad():
                before = self._told(kept, self.reference)[1]
            return divergence(before, laws, mask)  # Eq. (3)
        return -s.mean()

    def _states(self, batch: Batch, model: Any) -> tuple[Tensor, Tensor]:
        """What enters the head where it predicts the answers' words, (B, G, L, D), and which places are words."""
        answers, seen = batch["completions"], []
        hook = self._head(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            whole, places = rows_of_answers(model, batch, answers, self.end)
            model.logits(whole)
        finally:
            hook.remove()
        states = seen[0].gather(1, places[..., None].expand(-1, -1, seen[0].shape[-1]))
        return states.view(*answers.shape, -1), answer_mask(answers, self.end)

    def _head(self, model: Any) -> Any:
        return model.head if hasattr(model, "head") else model.language_model.get_output_embeddings()

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
        """Six pictures of noise to forget and six to retain, each with a secret of two random words."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, {"picture": [3, 8, 8], "width": 16}, beta=1.0)
        batch = {}
        for name in ("", "retain_"):
            batch[name + "input_ids"] = torch.tensor([[IMAGE, 3]]).repeat(6, 1)
            batch[name + "length"] = torch.full((6,), 2)
            batch[name + "images"] = torch.rand(6, 1, 3, 8, 8, generator=rng) * 2 - 1
            words = torch.randint(1, 16, (6, 1, 2), generator=rng)
            batch[name + "completions"] = torch.cat([words, torch.zeros(6, 1, 1, dtype=torch.long)], 2)
        return method, batch


def _mean(each: Tensor, mask: Tensor) -> Tensor:
    return (each * mask).sum() / mask.sum()
