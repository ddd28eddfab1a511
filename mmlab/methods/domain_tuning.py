"""Domain adaptation by fine-tuning: one loss, and a card of settings for each system that is made by it.

Symbols: W is a weight, A and B the thin factors of its low-rank change, r their rank; g is the share of general data;
P(a) and P(b | a) are the accuracy of a first answer, and of a second one where the first is right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, normalize

from mmlab.card import Budget, Card, Claim
from mmlab.data.chat import IMAGE
from mmlab.data.words import words as words_of
from mmlab.method import Batch, Method, Objective
from mmlab.metrics.multiple_choice import UNREADABLE, choice_scores, joint_accuracy, read_letter
from mmlab.metrics.text import bleu, rouge_l
from mmlab.nn.answers import answer_laws, answer_mask
from mmlab.nn.layered_reader import LastPatches, LayeredReader
from mmlab.nn.low_rank import LowRank
from mmlab.nn.replacing import replace_layers

__all__ = ["RECIPES", "DomainTuning", "Recipe", "fields", "read_verdict", "score", "sigmoid_loss", "wilson"]

Trained = Literal["all", "connector", "lora", "language"]
Scorer = Literal["verdict", "text", "letter", "yes or no", "joint", "tagged", "open", "preference"]


@dataclass(frozen=True)
class Recipe:
    """What a system's fine-tuning is, on the scenes of this book.

    Attributes:
        system: Its name.
        source: Key of what was read, in ``book/references.bib``.
        question: What is asked; names in braces are those of :func:`fields`.
        answer: What is to be answered.
        trained: Which parts move: all, the connector, the connector and a low-rank change of the language model, or
            the connector and the language model.
        scorer: How answers are scored, see :func:`score`.
        rate: Learning rate that the authors give; None where none was found.
        epochs: Epochs that they give, likewise.
        batch: Items per step that they give, likewise.
        rank: Rank of the low-rank change, r.
        alpha: Its scale.
        read: Which of these stand in the authors' repository; the others are this book's reading.
    """

    system: str
    source: str
    question: str
    answer: str
    trained: Trained
    scorer: Scorer
    rate: float | None = None
    epochs: int | None = None
    batch: int | None = None
    rank: int = 16
    alpha: float = 16.0
    read: tuple[str, ...] = ()


RECIPES = {
    "fakevlm": Recipe(
        "FakeVLM", "fakevlm", "real or forged ?", "{verdict} because of the {trace}", "all", "verdict",
        2e-5, 2, 256, read=("answer", "trained", "scorer", "rate", "epochs", "batch"),
    ),
    "gallerygpt": Recipe(
        "GalleryGPT", "gallerygpt", "what is drawn ?", "{size} {colour} {shape} in the {place}", "lora", "text",
        2e-5, 2, 16, 128, 256.0, read=("trained", "scorer", "rate", "epochs", "batch", "rank", "alpha"),
    ),
    "medtrinity": Recipe(
        "MedTrinity-25M", "medtrinity", "what is in the {place} ?", "{size} {colour} {shape}", "language", "open",
        read=("answer", "scorer"),
    ),
    "medgemini": Recipe(
        "Med-Gemini", "medgemini", "report", "finding : {colour} {shape} , {trace}", "all", "preference",
        read=("scorer",),
    ),
    "medgemma": Recipe(
        "MedGemma", "medgemma", "which shape ? a : circle b : square c : triangle d : cross", "{letter} : {shape}",
        "lora", "letter", 2e-4, 1, None, 16, 16.0,
        read=("question", "answer", "trained", "rate", "epochs", "rank", "alpha"),
    ),
    "weatherqa": Recipe(
        "WeatherQA", "weatherqa", "where and how large ?", "{place} , {size}", "language", "joint",
        1e-5, 2, read=("trained", "scorer", "rate", "epochs"),
    ),
    "dentalgpt": Recipe(
        "DentalGPT", "dentalgpt", "is it {named} ?", "{yes}", "all", "yes or no", read=("scorer",),
    ),
    "patho_r1_1": Recipe(
        "Patho-R1, stage 1", "zhang2025pathor1", "what is drawn ?", "figure {caption}", "all", "text",
    ),
    "patho_r1_2": Recipe(
        "Patho-R1, stage 2", "zhang2025pathor1", "which shape ?", "think {colour} {place} answer {shape}", "all",
        "tagged", read=("answer",),
    ),
}  # fmt: skip
"""The recipes, by short name. Where a field is not in ``read``, the authors may do otherwise."""


def fields(facts: Mapping[str, Any], number: int = 0) -> dict[str, str]:
    """What recipes may say of a scene of :mod:`mmlab.data.worlds.scene_world`, by name.

    Args:
        facts: Facts of its first figure.
        number: Number of the item: of every second one the right answer to the question of yes or no is yes.
    """
    shapes, colours = ("circle", "square", "triangle", "cross"), ("red", "blue", "yellow", "green")
    named = facts["colour"] if number % 2 else colours[(colours.index(facts["colour"]) + 1 + number // 2 % 3) % 4]
    return {
        **{name: str(facts[name]) for name in ("shape", "colour", "place", "size", "caption")},
        "verdict": "forged" if facts["cue"] else "real",
        "trace": "chess trace" if facts["cue"] else "no trace",
        "letter": "abcd"[shapes.index(facts["shape"])],
        "named": named,
        "yes": "yes" if named == facts["colour"] else "no",
    }


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share: of answers that are preferred, or right.

    Args:
        hits: How many of the answers are.
        count: Number of answers, n.
        z: Quantile of the normal law; 1.96 for 95 %.

    Raises:
        ValueError: If there is none, or there are more hits than that.
    """
    if count < 1 or not 0 <= hits <= count:
        raise ValueError(f"wilson: {hits} hits of {count}; there must be 1 or more, and no more hits than that.")
    p, more = hits / count, z**2 / count
    half = z * math.sqrt(p * (1 - p) / count + more / count / 4)
    return (p + more / 2 - half) / (1 + more), (p + more / 2 + half) / (1 + more)  # Eq. (5)


def sigmoid_loss(a: Tensor, b: Tensor, scale: Tensor | float, bias: Tensor | float) -> Tensor:
    """Loss of SigLIP, with which MedSigLIP is tuned: every pair is judged by itself.

    Args:
        a: Embeddings of pictures, (B, D).
        b: Embeddings of texts, (B, D).
        scale: t, by which cosines are multiplied.
        bias: What is added to all.
    """
    logits = scale * normalize(a, dim=-1) @ normalize(b, dim=-1).mT + bias
    sign = 2 * torch.eye(len(a), device=a.device) - 1  # 1 on the diagonal, else -1
    return -logsigmoid(sign * logits).sum() / len(a)  # Eq. (6)


def read_verdict(answer: str) -> int:
    """1 for real, 0 for forged, and :data:`mmlab.metrics.multiple_choice.UNREADABLE`, of an answer's first sentence.

    A *not* or *no* up to two words before turns the word round: "not a real photo" says forged. Where both are said,
    or none, nobody guesses.

    Args:
        answer: What was said.
    """
    said = words_of(answer.split(".")[0])
    found = set()
    for at, word in enumerate(said):
        if word in ("real", "forged", "fake"):
            turned = bool({"not", "no", "t"} & set(said[max(0, at - 2) : at]))
            found.add(int((word == "real") != turned))
    return found.pop() if len(found) == 1 else UNREADABLE


def score(scorer: Scorer, answers: Sequence[str], truth: Sequence[str]) -> dict[str, float]:
    """Score answers as a recipe says. All shares are of all questions; what cannot be read is wrong, and counted.

    Args:
        scorer: ``"verdict"``, ``"letter"`` and ``"yes or no"`` read one word of each answer, ``"tagged"`` what follows
            *answer*; ``"joint"`` takes two parts at the comma; ``"text"`` compares texts; ``"open"`` is the share of
            the truth's words that are said; ``"preference"`` the share of answers that say all of them, with its
            interval.
        answers: What was said.
        truth: What is right.

    Raises:
        ValueError: If the numbers differ, or there are none.
    """
    if len(answers) != len(truth) or not len(truth):
        raise ValueError(f"score: {len(answers)} answers for {len(truth)} questions; one each is needed.")
    readers: dict[str, Callable[[str], int]] = {
        "verdict": read_verdict,
        "letter": lambda text: read_letter(text.split(":")[0], "abcd"),
        "yes or no": lambda text: next((int(w == "yes") for w in words_of(text)[:1] if w in ("yes", "no")), UNREADABLE),
    }
    if scorer in readers:
        found = choice_scores([readers[scorer](a) for a in answers], [readers[scorer](t) for t in truth])
        return {"accuracy": found.accuracy, "unreadable": found.unreadable + found.ambiguous}
    if scorer == "text":
        return {
            "ROUGE-L": float(rouge_l(answers, [[t] for t in truth]).mean()),
            "BLEU": bleu(answers, [[t] for t in truth]),
        }
    if scorer == "joint":
        parts = [[part.strip() for part in (*text.split(","), "")][:2] for text in (*answers, *truth)]
        pairs = list(zip(parts[: len(answers)], parts[len(answers) :], strict=True))
        first, second = ([a[k] == t[k] for a, t in pairs] for k in (0, 1))
        return dict(zip(("first", "second given first", "both"), joint_accuracy(first, second), strict=True))  # Eq. (4)
    if scorer == "tagged":
        ends = [
            [text.rpartition("answer ")[2].strip() if "answer " in text else "" for text in side]
            for side in (answers, truth)
        ]
        right = sum(a == t and a != "" for a, t in zip(*ends, strict=True)) / len(truth)
        return {"accuracy": right, "unreadable": ends[0].count("") / len(truth)}
    told = [[word in words_of(a) for word in words_of(t)] for a, t in zip(answers, truth, strict=True)]
    if scorer == "open":
        return {"recall": sum(sum(row) / len(row) for row in told) / len(told)}
    low, high = wilson(sum(map(all, told)), len(told))
    return {"preferred": sum(map(all, told)) / len(told), "low": low, "high": high}


class DomainTuning(Method):
    """Tune a model on answers of a domain, with some general data beside them, and with a choice of what moves.

    A batch holds prompts with answers and, with ``general_`` before each name, as many of the general ones; without
    these only the domain's are learnt.

    Args:
        policy: The model: a network with ``logits(batch)``, ``generate(batch, rng)``, ``image_tokens``, a ``connector``
            and either a ``language_model`` or ``blocks``, such as :class:`mmlab.methods.tinyllava.TinyLLaVA`; or
            arguments of :class:`mmlab.nn.layered_reader.LayeredReader`.
        trained: Which parts move, see :class:`Recipe`.
        rank: Rank r of the low-rank change, where there is one.
        alpha: Its scale.
        general: Weight g of the general data.
        end: Id of the word that ends an answer.
        words: Most words of an answer.

    Raises:
        ValueError: If a number is impossible.

    Source:
        The systems of :data:`RECIPES`; Hu et al. 2022 for the low-rank change.
    """

    card = Card(
        name="Domain adaptation by fine-tuning",
        family="vision and language",
        paper="medtrinity",
        summary="Tunes a model that sees and writes on a domain: what moves, what is mixed in, how answers are scored.",
        inputs=("input_ids", "length", "images", "completions"),
        outputs=("tokens",),
        claims=(
            Claim("old answers kept", "full tuning", "higher", kind="sanity", name="tuning-old-lora-full"),
            Claim("new answers", "full tuning", "higher", kind="sanity", name="tuning-new-lora-full"),
            Claim("old answers kept", "no general data", "higher", kind="sanity", name="tuning-old-mixed-none"),
            Claim("new answers", "no general data", "higher", kind="sanity", name="tuning-new-mixed-none"),
            Claim("score of the leaked test", "no leak", "higher", kind="sanity", name="tuning-leak-none"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("FakeVLM", "GalleryGPT", "MedTrinity-25M", "Med-Gemini", "MedGemma", "MedSigLIP", "WeatherQA",
              "DentalGPT", "Patho-R1", "LoRA", "supervised fine-tuning", "SFT", "forgetting"),
    )  # fmt: skip

    general: Tensor

    def __init__(
        self,
        policy: nn.Module | Mapping[str, Any] | None = None,
        trained: Trained = "all",
        rank: int = 16,
        alpha: float = 16.0,
        general: float = 0.5,
        end: int = 0,
        words: int = 8,
    ) -> None:
        super().__init__()
        if rank < 1 or alpha <= 0 or not 0 <= general < 1 or words < 1:
            raise ValueError(
                f"DomainTuning: rank={rank}, alpha={alpha}, general={general}, words={words}; they must be 1 or more, "
                "above 0, a share below 1, and 1 or more."
            )
        if not isinstance(policy, nn.Module):
            arguments: dict[str, Any] = {"width": 32, "picture": [3, 16, 16], "patch": 4, **(policy or {})}
            tokens = math.prod(side // arguments["patch"] for side in arguments["picture"][1:])
            policy = LayeredReader(LastPatches(arguments["width"]), tokens, **arguments)
        self.policy: Any = policy
        self.trained, self.end, self.words = trained, end, words
        self.register_buffer("general", torch.tensor(float(general)))
        if trained != "all":
            self.policy.requires_grad_(False)
            self.policy.connector.requires_grad_(True)
        language: Any = self.policy.language_model if hasattr(self.policy, "language_model") else self.policy.blocks
        if trained == "language":
            language.requires_grad_(True)
        if trained == "lora":
            heads = {id(m) for m in (getattr(language, "get_output_embeddings", lambda: None)(),) if m is not None}
            linear = [n for n, m in language.named_modules() if isinstance(m, nn.Linear) and id(m) not in heads]
            replace_layers(language, linear, lambda layer: LowRank(layer, rank, alpha))  # Eq. (2)

    @classmethod
    def of(cls, recipe: Recipe, policy: nn.Module | Mapping[str, Any] | None = None, **more: Any) -> Self:
        """The method with what a recipe says of it."""
        return cls(policy, recipe.trained, recipe.rank, recipe.alpha, **more)

    def objectives(self) -> list[Objective]:
        """One, of what moves."""
        return [Objective("", [p for p in self.policy.parameters() if p.requires_grad], self.loss)]

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the answers' words, those of the domain and of the general data weighed.

        Returns:
            Besides ``loss`` its parts ``new`` and, where there are general data, ``old``.
        """
        values = {"new": self._mean(batch)}
        others = {key.removeprefix("general_"): value for key, value in batch.items() if key.startswith("general_")}
        if not others:
            return {"loss": values["new"], **values}
        values["old"] = self._mean(others)
        return {"loss": (1 - self.general) * values["new"] + self.general * values["old"], **values}  # Eq. (3)

    def _mean(self, batch: Batch) -> Tensor:
        answers = batch["completions"]
        laws, mask = answer_laws(self.policy, batch, answers, self.end), answer_mask(answers, self.end)
        each = -laws.gather(-1, answers[..., None])[..., 0]
        return (each * mask).sum() / mask.sum()  # Eq. (1)

    def right(self, batch: Batch) -> Tensor:
        """Whether the likeliest word is the right one, each after the right ones before, (B, L) bool."""
        with self.evaluating():
            laws = answer_laws(self.policy, batch, batch["completions"], self.end)
            return (laws.argmax(-1) == batch["completions"])[:, 0]

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
        """Eight pictures of noise with two random words each, and eight general ones."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, {"picture": [3, 8, 8], "width": 16}, words=2)
        batch = {}
        for name in ("", "general_"):
            batch[name + "input_ids"] = torch.tensor([[IMAGE, 3]]).repeat(8, 1)
            batch[name + "length"] = torch.full((8,), 2)
            batch[name + "images"] = torch.rand(8, 1, 3, 8, 8, generator=rng) * 2 - 1
            batch[name + "completions"] = torch.randint(1, 16, (8, 1, 2), generator=rng)
        return method, batch
