"""GRPO: tune a model that sees and writes by rewards of its own answers, each judged beside the others of its group.

Symbols: to each of B prompts the model writes a group of G answers o_1 ... o_G, of up to L words; r_i is the reward of
an answer, A_i its advantage. rho is the probability of a word now over that when the answer was written.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.data.conversations import IMAGE
from mmlab.method import Batch, Method, Objective
from mmlab.nn.answers import answer_log_probabilities, answer_mask, repeated
from mmlab.nn.small_reader import SmallReader

__all__ = ["GRPO", "aggregated", "clipped_surrogate", "group_advantages", "k3"]

Deviation = Literal["unbiased", "biased", "none"]
Aggregate = Literal["sequences", "tokens", "constant"]


def group_advantages(rewards: Tensor, deviation: Deviation = "unbiased", small: float = 1e-6) -> Tensor:
    """What an answer's reward is above the mean of its group, in deviations: (B, G) -> (B, G).

    Args:
        rewards: r, G of them for each prompt.
        deviation: What it is divided by: the deviation with G - 1 (``"unbiased"``) or G in its denominator
            (``"biased"``), or nothing.
        small: Added to the deviation.

    Raises:
        ValueError: If a group has a single answer.
    """
    if rewards.shape[1] < 2:
        raise ValueError("group_advantages: a group of one answer has nothing to be compared with: group must be >= 2.")
    r = rewards.double()  # in float32 the mean of equal rewards is off by a rounding, which over `small` is 0.01
    centred = r - r.mean(1, keepdim=True)
    if deviation == "none":
        return centred.to(rewards)
    made = centred / (r.std(1, keepdim=True, correction=int(deviation == "unbiased")) + small)  # Eq. (1)
    return made.to(rewards)


def clipped_surrogate(log_ratio: Tensor, advantage: Tensor, low: float = 0.2, high: float = 0.2) -> Tensor:
    """What is maximised, word by word: the ratio times the advantage, without a prize for going out of the range.

    Args:
        log_ratio: log rho, of any shape.
        advantage: A, of a shape that is broadcast to it.
        low: The ratio is cut at 1 - low, where the advantage is negative.
        high: The ratio is cut at 1 + high, where the advantage is positive.
    """
    ratio = log_ratio.exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)  # Eq. (2)


def k3(log_probability: Tensor, log_reference: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) from one word of the policy: never negative, and right in expectation.

    Args:
        log_probability: Log-probability of words that were drawn from the policy, under it.
        log_reference: The same words' under the reference.
    """
    d = log_reference - log_probability
    return d.exp() - d - 1  # Eq. (3)


def aggregated(values: Tensor, mask: Tensor, how: Aggregate = "sequences") -> Tensor:
    """One number of values for each word: (B, G, L) -> ().

    Args:
        values: At every place of every answer.
        mask: (B, G, L) bool, which places are words.
        how: The mean over the answers of each one's mean over its words (``"sequences"``), the mean over all words of
            the batch (``"tokens"``), or the sum over words divided by the longest possible number (``"constant"``).
    """
    values = values * mask
    if how == "sequences":
        return (values.sum(-1) / mask.sum(-1).clamp(min=1)).mean()  # Eq. (4)
    if how == "tokens":
        return values.sum() / mask.sum().clamp(min=1)  # Eq. (4)
    return values.sum() / mask.numel()  # Eq. (4)


class GRPO(Method):
    """Group relative policy optimisation: write several answers to each prompt, and prefer those above their mean.

    The answers are written in :meth:`prepare`, which :func:`mmlab.fit` calls once for every step, with randomness that
    is a function of seed and step: a run that was stopped goes on bit for bit. A batch that brings ``completions``
    (B, G, L), ``rewards`` (B, G), and the log-probabilities ``old`` and ``reference`` (B, G, L), is taken as it is.

    The rule of :meth:`reward` looks for a mark, such as the word *class*: what follows it is the answer. For a rule of
    your own, override it in a subclass.

    Args:
        policy: The model that is tuned: a network with ``logits(batch)``, ``generate(batch, rng)`` and
            ``image_tokens``, such as :class:`mmlab.methods.tinyllava.TinyLLaVA`; or arguments of
            :class:`mmlab.nn.small_reader.SmallReader`.
        mark: Id of the word after which the answer comes.
        end: Id of the word that ends an answer.
        group: Answers to each prompt, G.
        words: Most words of an answer, L.
        clip: Epsilon: how far below 1 the ratio may go.
        clip_high: Epsilon above 1; None for the same.
        kl: Weight of the divergence from the reference, which is the policy at the first step; 0 keeps none.
        deviation: See :func:`group_advantages`.
        aggregate: See :func:`aggregated`.
        updates: Updates on the answers of one step.
        form: Share of the reward that is for the form of an answer, whatever it says.

    Raises:
        ValueError: If a number is impossible.

    Source:
        Shao et al. 2024, "DeepSeekMath"; with the rewards of Zhang et al. 2025, "TimeMaster".
    """

    card = Card(
        name="GRPO",
        family="vision and language",
        paper="shao2024deepseekmath",
        summary="Tunes a model that sees and writes by rewards of its own answers, judged within their group.",
        inputs=("input_ids", "length", "images", "answer"),
        outputs=("tokens",),
        claims=(
            Claim("right answers", "warm start", "higher", name="right-grpo-warm-start"),
            Claim("right answers", "expert iteration", "higher", name="right-grpo-expert-iteration"),
            Claim("right answers", "REINFORCE", "higher", name="right-grpo-reinforce"),
            Claim("right answers", "supervised answers", "higher", name="right-grpo-supervised"),
            Claim("right answers", "shuffled rewards", "higher", kind="sanity", name="right-grpo-shuffled"),
        ),
        tags=("reinforcement learning", "RLVR", "TimeMaster", "Patho-R1", "DentalGPT", "reward"),
    )

    started: Tensor

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        mark: int = 1,
        end: int = 0,
        group: int = 8,
        words: int = 6,
        clip: float = 0.2,
        clip_high: float | None = None,
        kl: float = 0.01,
        deviation: Deviation = "unbiased",
        aggregate: Aggregate = "sequences",
        updates: int = 2,
        form: float = 0.1,
    ) -> None:
        super().__init__()
        if group < 2 or words < 1 or updates < 1:
            raise ValueError(f"GRPO: group={group}, words={words}, updates={updates}; they must be >= 2, 1 and 1.")
        if not (0 < clip < 1 and (clip_high is None or clip_high > 0) and kl >= 0 and 0 <= form <= 1):
            raise ValueError(
                f"GRPO: clip={clip}, clip_high={clip_high}, kl={kl}, form={form}; clip must be in (0, 1), clip_high "
                "above 0, kl 0 or more, and form a share."
            )
        self.policy: Any = policy if isinstance(policy, nn.Module) else SmallReader(**(policy or {}))
        self.mark, self.end, self.group, self.words = mark, end, group, words
        self.clip, self.clip_high = clip, clip if clip_high is None else clip_high
        self.kl, self.deviation, self.aggregate, self.updates, self.form = kl, deviation, aggregate, updates, form
        self.reference: Any = copy.deepcopy(self.policy).requires_grad_(False) if kl else None
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def start_from(self, dataset: Any) -> None:
        """Take the policy as it is before the first step as the reference."""
        if self.reference is not None and not self.started:
            self.reference.load_state_dict(self.policy.state_dict())
        self.started.fill_(True)

    def objectives(self) -> list[Objective]:
        """One, of the policy, with several updates on the answers of a step."""
        moved = [parameter for parameter in self.policy.parameters() if parameter.requires_grad]
        return [Objective("", moved, self.loss, times=self.updates)]

    @torch.no_grad()
    def prepare(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Answers to the prompts, with their rewards and log-probabilities."""
        if "completions" in batch:
            return batch
        with self.evaluating():
            completions = self.write(batch, rng)
            old = self.log_probabilities(batch, completions)
            made = {"completions": completions, "rewards": self.reward(batch, completions), "old": old}
            if self.reference is not None:
                made["reference"] = self.log_probabilities(batch, completions, self.reference)
        return {**batch, **made}

    def write(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """A group of answers to each prompt, drawn from the policy's own law, (B, G, L); after its end, ends.

        No nucleus, no best k, temperature 1: the ratios (2) are of the law that the answers come from.
        """
        draws = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": self.words}
        made = self.policy.generate(repeated(batch, self.group), rng, **draws)
        whole = torch.full((len(made), self.words), self.end, device=made.device)
        whole[:, : made.shape[1]] = made
        whole = torch.where(self.mask(whole), whole, self.end)
        return whole.view(-1, self.group, self.words)

    def mask(self, completions: Tensor) -> Tensor:
        """Which places of answers (..., L) are words: all up to the first end, and that."""
        return answer_mask(completions, self.end)

    def reward(self, batch: Batch, completions: Tensor) -> Tensor:
        """What answers are worth, (B, G): mostly whether they are right, a little for their form.

        Args:
            batch: With ``answer``, (B,), the id of the right word.
            completions: (B, G, L).
        """
        correct, formed = self.judged(batch, completions)
        return (1 - self.form) * correct + self.form * formed  # Eq. (5)

    def judged(self, batch: Batch, completions: Tensor) -> tuple[Tensor, Tensor]:
        """Whether answers are right, and whether they have the form, both (B, G) float.

        Right: the word after the first mark is the answer. Form: a thought, one mark, one word, and the end.
        """
        marks = (completions == self.mark) & self.mask(completions)
        first = torch.where(marks.any(-1), marks.int().argmax(-1), completions.shape[-1])  # (B, G)
        padded = torch.nn.functional.pad(completions, (0, 3), value=-1)  # -1: beyond the most words
        said, after = (padded.gather(-1, first[..., None] + k)[..., 0] for k in (1, 2))
        correct = (said == batch["answer"][:, None]) & (said != self.end)
        formed = (marks.sum(-1) == 1) & (first > 0) & (said != self.end) & (after == self.end)
        return correct.float(), formed.float()

    def log_probabilities(self, batch: Batch, completions: Tensor, policy: Any = None) -> Tensor:
        """Log-probability of each word of answers (B, G, L), of the same shape; what stands after an end is of no use.

        Args:
            batch: The prompts.
            completions: The answers.
            policy: Whose probabilities; by default the policy's.
        """
        policy = self.policy if policy is None else policy
        model = self.policy if policy is None else policy
        return answer_log_probabilities(model, batch, completions, self.end)

    def advantages(self, rewards: Tensor) -> Tensor:
        """The advantages of answers, by their rewards (B, G)."""
        return group_advantages(rewards, self.deviation)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The clipped surrogate, negated, and the divergence from the reference.

        Returns:
            Besides ``loss`` the mean reward, the share of groups whose rewards are all the same (``zero_spread``), the
            share of words at which clipping stops the gradient, and the mean of (3).

        Raises:
            ValueError: If the batch has not been through :meth:`prepare`.
        """
        if "completions" not in batch:
            raise ValueError("GRPO: the batch has no answers: call prepare(batch, rng) first, as mmlab.fit does.")
        mask, advantage = self.mask(batch["completions"]), self.advantages(batch["rewards"])[..., None]
        now = self.log_probabilities(batch, batch["completions"])
        log_ratio = torch.where(mask, now - batch["old"], 0)
        gained = clipped_surrogate(log_ratio, advantage, self.clip, self.clip_high)
        stopped = (gained < log_ratio.exp() * advantage) & mask
        spread = batch["rewards"].amax(1) - batch["rewards"].amin(1)
        values = {
            "reward": batch["rewards"].mean(),
            "zero_spread": (spread < 1e-6).float().mean(),
            "clipped": stopped.sum() / mask.sum(),
        }
        loss = -aggregated(gained, mask, self.aggregate)
        if self.reference is not None:
            divergence = k3(now, torch.where(mask, batch["reference"], now.detach()))
            values["kl"] = aggregated(divergence, mask, self.aggregate)
            loss = loss + self.kl * values["kl"]
        return {"loss": loss, **values}

    def generate(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """Write answers (B, T), the most probable words by default; see the policy's ``generate``."""
        with self.evaluating():
            made: Tensor = self.policy.generate(batch, rng, **{"max_new_tokens": self.words, **how})
        return made

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """A small policy for pictures of this shape."""
        return {"policy": {"picture": list(item["images"].shape[1:])}}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Six pictures of noise, each with four answers of five random words, and random rewards."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, {"picture": [3, 8, 8], "width": 16}, group=4, words=5, kl=0.1)
        ids = torch.tensor([[IMAGE, 3, 2], [IMAGE, 3, 0]]).repeat(3, 1)
        batch = {"input_ids": ids, "length": torch.tensor([3, 2]).repeat(3)}
        batch |= {"images": torch.rand(6, 1, 3, 8, 8, generator=rng) * 2 - 1, "answer": torch.full((6,), 4)}
        completions = torch.randint(1, 16, (6, 4, 5), generator=rng)
        rewards = torch.rand(6, 4, generator=rng)
        with torch.no_grad():
            old = method.log_probabilities(batch, completions)
        return method, {**batch, "completions": completions, "rewards": rewards, "old": old, "reference": old.clone()}
