"""MathGlance: boxes in three conventions, a scorer that counts what it cannot read, and GeoPeP's tuning on structure.

Symbols: a picture is w wide and h high, m is the longer of the two; u is a number of a box relative to the square of
side m into which the picture is padded; q is one on a grid from 0 to 999; K is the number of bins, k one of them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmlab.card import Budget, Card, Claim
from mmlab.data.worlds.diagram_world import COLOURS, PAIRS, PERCEIVED, QUESTIONS, SHAPES, one_by_one
from mmlab.method import Batch, Method
from mmlab.metrics.multiple_choice import read_letter

__all__ = [
    "THRESHOLD",
    "MathGlance",
    "Question",
    "area_of",
    "bin_of",
    "box_said",
    "middle_of",
    "overlap",
    "picture_at",
    "read_benchmark",
    "read_responses",
    "read_structure",
    "score",
    "write_structure",
]

Convention = Literal["pixels", "grid", "padded"]
Box = tuple[float, float, float, float]

THRESHOLD = 0.65
_NUMBER = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+)")


def box_said(text: str, size: tuple[int, int], convention: Convention) -> Box | None:
    """The first four numbers of an answer, as a box in pixels; None if there are fewer or the ends are in no order.

    Args:
        text: What was said.
        size: Width and height of the picture.
        convention: Pixels as they stand; a grid from 0 to 999; or shares of the padded square.
    """
    numbers = [float(number) for number in _NUMBER.findall(text)[:4]]
    if len(numbers) < 4:
        return None
    longest = max(size)
    if convention == "grid":
        numbers = [q * size[at % 2] / 999 for at, q in enumerate(numbers)]  # Eq. (1)
    elif convention == "padded":
        numbers = [u * longest - (longest - size[at % 2]) / 2 for at, u in enumerate(numbers)]  # Eq. (2)
    x1, y1, x2, y2 = (max(number, 0.0) for number in numbers)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Shared area of two boxes over the area of both together; 0 if neither has any.

    Args:
        first: x1, y1, x2, y2.
        second: The other one.
    """
    sides = [max(min(first[at + 2], second[at + 2]) - max(first[at], second[at]), 0.0) for at in (0, 1)]
    one, other = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    both = sides[0] * sides[1]
    return both / (one + other - both) if one + other > both else 0.0  # Eq. (3)


@dataclass(frozen=True)
class Question:
    """A question of the benchmark.

    Attributes:
        index: Its number.
        task: "cls", "cnt", "rlat" or "grd".
        source: Plane geometry, solid geometry, or graphs.
        level: What kind of diagrams it belongs to.
        text: What is asked.
        image: Path of the picture, as written.
        answer: A letter, or a box in pixels.
    """

    index: int
    task: str
    source: str
    level: str
    text: str
    image: str
    answer: str | Box

    @property
    def letters(self) -> list[str]:
        """The letters of the options that are listed under the question."""
        return re.findall(r"^\s*([A-Z])\s*[:.)]", self.text, re.MULTILINE)


def read_benchmark(path: Path | str) -> list[Question]:
    """The questions of an annotation file: a list in JSON.

    Args:
        path: The file.

    Raises:
        ValueError: If an entry lacks a field.
    """
    found = []
    for at, entry in enumerate(json.loads(Path(path).read_text(encoding="utf-8"))):
        try:
            task, told = entry["problem_version"].removeprefix("task_"), entry["answer"]
            answer: str | Box = str(told).strip()
            if task == "grd":
                x1, y1, x2, y2 = map(float, told)
                answer = (x1, y1, x2, y2)
            level, text, image = entry["metadata"]["level"], entry["question"], entry["image"]
            found.append(Question(int(entry["sample_index"]), task, entry["source"], level, text, image, answer))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: entry {at} has no field {error}; it needs those of MathGlance.") from error
    return found


def read_responses(path: Path | str) -> dict[int, str]:
    """What a model said, by number of the question: one object a line, in JSON; nothing said is an empty text.

    Args:
        path: The file.
    """
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    return {int(line["sample_index"]): line.get("response") or "" for line in lines}


def picture_at(folder: Path | str, image: str) -> Path:
    """Where a picture lies: annotations call a folder "aux" that is "_aux" in the tree.

    Args:
        folder: Where the pictures are.
        image: Path of the picture, as the annotation has it.

    Raises:
        FileNotFoundError: If it is at neither place.
    """
    places = [Path(folder) / image, Path(folder) / re.sub(r"(^|/)aux/", r"\1_aux/", image)]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"{image} is not in {folder}, nor under _aux: get the pictures of the benchmark.")


def score(
    questions: Sequence[Question],
    said: Mapping[int, str],
    sizes: Mapping[int, tuple[int, int]],
    convention: Convention,
    by: Literal["task", "source", "level"] = "task",
) -> dict[str, dict[str, int]]:
    """Right answers, unreadable ones and questions, in each group; a question without an answer is unreadable.

    Args:
        questions: The questions.
        said: Answers by number.
        sizes: Width and height of the pictures of grounding questions, by number.
        convention: How boxes are written.
        by: What makes a group.
    """
    groups: dict[str, dict[str, int]] = {}
    for question in questions:
        group = groups.setdefault(getattr(question, by), {"right": 0, "unreadable": 0, "of": 0})
        text, truth = said.get(question.index, ""), question.answer
        if isinstance(truth, str):
            letters = question.letters or list("ABCDE")
            told = read_letter(text, letters)
            right, read = told >= 0 and letters[told] == truth.upper(), told >= 0
        else:
            box = box_said(text, sizes[question.index], convention)
            right, read = box is not None and overlap(box, truth) >= THRESHOLD, box is not None  # Eq. (4)
        group["right"] += right
        group["unreadable"] += not read
        group["of"] += 1
    return groups


def bin_of(value: Tensor, bins: int) -> Tensor:
    """The bin of shares between 0 and 1.

    Args:
        value: Shares, of any shape.
        bins: Number of bins, K.
    """
    return (value * bins).long().clamp(0, bins - 1)


def middle_of(bin_: Tensor, bins: int) -> Tensor:
    """The middle of a bin.

    Args:
        bin_: Whole numbers, of any shape.
        bins: Number of bins, K.
    """
    return (bin_ + 0.5) / bins  # Eq. (5)


def area_of(shape: Tensor, box: Tensor) -> Tensor:
    """The area of circles, squares and triangles, of any leading shape, from their boxes.

    Args:
        shape: Numbers in :data:`SHAPES`, (...).
        box: (..., 4).
    """
    share = torch.tensor([math.pi / 4, 1.0, 0.5], dtype=box.dtype)[shape]
    return share * (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])  # Eq. (7)


def write_structure(facts: Sequence[int]) -> str:
    """The structure of a diagram as text: primitives with boxes, then relations.

    Args:
        facts: Three shapes, twelve bins, and three times whether the first of a pair is left of the second.
    """
    figures = [
        f"{colour} {SHAPES[facts[at]]} [{','.join(str(n) for n in facts[3 + 4 * at : 7 + 4 * at])}]"
        for at, colour in enumerate(COLOURS)
    ]
    sides = [f"{COLOURS[i]} {'left' if left else 'right'} of {COLOURS[j]}"
             for (i, j), left in zip(PAIRS, facts[15:], strict=True)]  # fmt: skip
    return " ; ".join(figures + sides)


def read_structure(text: str) -> list[int]:
    """The facts in such a text; -1 for what is not said.

    Args:
        text: What was said, its parts in any order.
    """
    facts = [-1] * 18
    for at, colour in enumerate(COLOURS):
        found = re.search(rf"\b{colour} ({'|'.join(SHAPES)})(?: \[(\d+),(\d+),(\d+),(\d+)\])?", text)
        if found:
            facts[at] = SHAPES.index(found[1])
            if found[2]:
                facts[3 + 4 * at : 7 + 4 * at] = [int(found[n]) for n in range(2, 6)]
    for at, (i, j) in enumerate(PAIRS):
        side = re.search(rf"\b{COLOURS[i]} (left|right) of {COLOURS[j]}", text)
        if side:
            facts[15 + at] = int(side[1] == "left")
    return facts


def _words(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of the cross-entropies of words (..., K) against targets (...), those of -1 left out; and how many it has."""
    total = cross_entropy(scores.flatten(0, -2), target.flatten(), ignore_index=-1, reduction="sum")
    return total, (target >= 0).sum()


class MathGlance(Method):
    """A small network that answers questions about a diagram, and may be taught its structure beside them.

    It sees the means of rows and columns. It writes all words of an answer at once, each one of K with a softmax of its
    own: a letter, the four bins of a box, or the 18 facts of the structure.

    Args:
        side: Side of the pictures, in pixels.
        bins: Bins of a box's numbers, K.
        width: Width of the hidden layers, D.
        weight: Weight of the structure.
        apart: Whether the facts of the structure are asked one by one instead of written as one text.

    Raises:
        ValueError: If there are fewer than three bins, or the weight is negative.

    Source:
        Sun et al. 2025, "MATHGLANCE"; the repository mathglance/MathGlance_Benchmark. There a model of 7B parameters is
        tuned on GeoPeP, 200,000 diagrams with their structure.
    """

    card = Card(
        name="MathGlance",
        family="vision and language",
        paper="mathglance",
        summary="Questions of perception on diagrams, a scorer for three conventions of boxes, tuning on structure.",
        inputs=("profiles", "ask"),
        outputs=("words",),
        claims=(
            Claim("grounding", "questions alone", "higher", name="glance-grounding-questions-alone"),
            Claim(
                "grounding", "questions, twice the steps", "higher", kind="sanity", name="glance-grounding-twice-steps"
            ),
            Claim(
                "grounding", "structure of another diagram", "higher", kind="sanity", name="glance-grounding-shuffled"
            ),
            Claim("grounding", "structure as questions", "higher", kind="sanity", name="glance-grounding-as-questions"),
            Claim("area", "questions alone", "higher", name="glance-area-questions-alone"),
            Claim("area", "structure of another diagram", "higher", kind="sanity", name="glance-area-shuffled"),
            Claim("grounding", "extent of the colour", "higher", kind="sanity", name="glance-grounding-colour-extent"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        chapter="mathglance",
        tags=("diagrams", "grounding", "perception", "geometry", "bounding boxes", "structured captions"),
    )

    def __init__(self, side: int, bins: int = 10, width: int = 64, weight: float = 1.0, apart: bool = False) -> None:
        super().__init__()
        if bins < 3 or weight < 0:
            raise ValueError(f"MathGlance: bins={bins}, weight={weight}; at least 3 bins, and no negative weight.")
        self.bins, self.weight, self.apart = bins, weight, apart
        self.body = nn.Sequential(nn.Linear(6 * side, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.gate = nn.Embedding(len(QUESTIONS) + 1, width)  # the last is: describe
        self.after = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.answer, self.description = nn.Linear(width, 5 * bins), nn.Linear(width, 18 * bins)

    def state(self, seen: Tensor, ask: Tensor) -> Tensor:
        """What the network makes of diagrams and questions, (B, M, D).

        Args:
            seen: (B, 6 S), of :func:`~mmlab.data.worlds.diagram_world.profiles`.
            ask: Numbers of questions, (B, M); one beyond the last asks for the structure.
        """
        made: Tensor = self.after(self.body(5 * seen)[:, None] * (1 + self.gate(ask)))
        return made

    def answers(self, seen: Tensor, ask: Tensor) -> Tensor:
        """Scores of the words of answers, (B, M, 5, K).

        Args:
            seen: (B, 6 S), of :func:`~mmlab.data.worlds.diagram_world.profiles`.
            ask: Numbers of questions, (B, M).
        """
        scores: Tensor = self.answer(self.state(seen, ask))
        return scores.reshape(*ask.shape, 5, self.bins)

    def structure(self, seen: Tensor) -> Tensor:
        """Scores of the words of the structure, (B, 18, K).

        Args:
            seen: (B, 6 S), of :func:`~mmlab.data.worlds.diagram_world.profiles`.
        """
        describe = torch.full((len(seen), 1), len(QUESTIONS), device=seen.device)
        scores: Tensor = self.description(self.state(seen, describe)[:, 0])
        return scores.reshape(-1, 18, self.bins)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy a word of the answers, plus that of the structure, weighed.

        Args:
            batch: ``profiles`` (B, 6 S); ``ask`` (B,), -1 for none; ``words`` (B, 5), the letter and the bins of the
                right answer, -1 where there is none; ``facts`` (B, 18) as in :func:`write_structure`, -1 for pictures
                that are not described.
            rng: Not needed.
        """
        seen, ask, facts = batch["profiles"], batch["ask"].clamp(min=0)[:, None], batch["facts"]
        described = (facts >= 0).any(1)
        if self.apart:
            ask = torch.cat([ask, torch.arange(PERCEIVED, device=ask.device).expand(len(ask), -1)], 1)
        answers = self.answers(seen, ask)
        asked, count = _words(answers[:, 0], batch["words"])
        if self.apart:
            told, of = _words(answers[:, 1:], one_by_one(facts))
        else:
            told, of = _words(self.structure(seen[described]), facts[described])
        first = asked / count.clamp(min=1)
        second = told / of.clamp(min=1)
        return {"loss": first + self.weight * second, "asked": first, "described": second}  # Eq. (6)

    def predict(self, batch: Batch) -> Tensor:
        """The words of the answers, (B, 5): a letter's number and four bins, of which a question wants one.

        Args:
            batch: ``profiles`` and ``ask``.
        """
        with self.evaluating():
            return self.answers(batch["profiles"], batch["ask"].clamp(min=0)[:, None])[:, 0].argmax(-1)

    def write(self, batch: Batch) -> list[str]:
        """The answers as texts: a letter, or a box relative to the padded square.

        Args:
            batch: ``profiles`` and ``ask``.
        """
        texts = []
        for ask, (letter, *box) in zip(batch["ask"].tolist(), self.predict(batch).tolist(), strict=True):
            numbers = ", ".join(f"{n:.3f}" for n in middle_of(torch.tensor(box), self.bins).tolist())
            texts.append(f"[{numbers}]" if ask < len(COLOURS) else chr(ord("A") + letter))
        return texts

    def describe(self, seen: Tensor) -> list[str]:
        """The structure of diagrams, as texts.

        Args:
            seen: (B, 6 S).
        """
        with self.evaluating():
            scores = self.structure(seen)
            scores[:, :3, len(SHAPES) :] = scores[:, 15:, 2:] = -torch.inf  # a figure has a shape, a side is one of two
        return [write_structure(row) for row in scores.argmax(-1).tolist()]

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The side of the pictures."""
        return {"side": item["profiles"].shape[-1] // 6}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Random profiles, each with a question and a structure."""
        rng = torch.Generator().manual_seed(seed)
        count, bins = 24, 4
        facts = [torch.randint(n, (count, k), generator=rng) for n, k in ((3, 3), (bins, 12), (2, 3))]
        ask, row = torch.arange(count) % PERCEIVED, torch.arange(count)
        batch = {"profiles": torch.rand(count, 36, generator=rng), "ask": ask, "facts": torch.cat(facts, 1)}
        return cls.seeded(seed, 6, bins, 16), batch | {"words": one_by_one(batch["facts"])[row, ask]}
