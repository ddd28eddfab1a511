"""A support system over connectivity: a GILL on a tower that reads matrices, a reader of words, and a painter.

The tower, of CLIP's classes, learns which scans are of one person. The language model learns to write a description
from its words in any order. The painter has the principal components of motor matrices. All see the training people
alone; so does the GILL that is trained around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmlab.bases.frozen_towers import LANGUAGE, KeywordReader
from mmlab.data.chat import tokenizer_of
from mmlab.data.image_words import end_in_image
from mmlab.data.matrix_words import MatrixWords, matrix_pictures
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.described_connectomes import DescribedConnectomes, described_connectomes
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.methods.gill import GILL
from mmlab.nn.from_transformers import clip_pixels, vision_tower
from mmlab.nn.matrix_painter import MatrixPainter
from mmlab.train.once import trained_once

__all__ = [
    "PEOPLE",
    "PICTURE_WORDS",
    "SEEDS",
    "TESTED",
    "TRAINING",
    "ScanTower",
    "SupportParts",
    "leaking_rows",
    "support_items",
    "support_parts",
    "support_system",
    "trained_support",
    "untrained_parts",
    "untrained_support",
]

PEOPLE, TESTED, SEEDS = 900, 100, 3
"""People of the world, of them in the test part, and trainings of each kind that the book compares."""

PICTURE_WORDS = 8
"""Words [IMG0] ... that stand for a matrix."""

TRAINING: dict[str, Any] = {
    "steps": 300,
    "batch_size": 32,
    "lr": 3e-3,
    "betas": (0.9, 0.95),
    "weight_decay": 0.1,
    "warmup": 30,
    "schedule": "cosine",
    "progress": False,
}
"""Arguments of fit, chosen on the world of seed 0."""

_LONGEST = 63  # tokens of an item
_SIZE = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 128}


class ScanTower(Method):
    """A vision tower that learns which two scans are of one person, and nothing of what is told.

    The whole matrix is one patch: neighbours in it are no neighbours in the brain.

    Args:
        size: Height and width of the pictures.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.settings = {"model_type": "clip_vision_model", **_SIZE, "image_size": size, "patch_size": size}
        self.vision = vision_tower(self.settings, {}).requires_grad_(True)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """A contrastive loss between two scans of each person.

        Args:
            batch: ``image`` and ``again``, (B, 3, H, W) each.
            rng: Not used.
        """
        one, other = (self.vision(clip_pixels(batch[key])).pooler_output for key in ("image", "again"))
        return {"loss": soft_contrastive(one, other, identity_targets(len(one), one), 0.1)}


@dataclass(frozen=True, eq=False)
class SupportParts:
    """The frozen parts of a support system.

    Attributes:
        tower: Reads matrices.
        reader: Writes descriptions.
        words: What a description tells.
        painter: Turns vectors into matrices.
        tokenizer: Words as tokens.
        size: Height and width of the pictures.
    """

    tower: ScanTower
    reader: KeywordReader
    words: MatrixWords
    painter: MatrixPainter
    tokenizer: Any
    size: int

    def arguments(self) -> dict[str, Any]:
        """What a GILL around these parts is built with, its two frozen networks as settings."""
        queries, width = self.painter.shape
        return {
            "language_model": self.reader.config["settings"],
            "vision_tower": self.tower.settings,
            "image_tokens": PICTURE_WORDS,
            "prefix": len(self.words.pairs),
            "retrieval_width": 32,
            "queries": queries,
            "target_width": width,
            "mapper": {"hidden": 64, "layers": 1, "heads": 4},
            "vocabulary": len(self.tokenizer),
            "concatenate": 0.0,
        }


def untrained_parts(scans: DescribedConnectomes, rows: Tensor, seed: int = 0, size: int | None = None) -> SupportParts:
    """Words, painter and tokenizer for the people of some rows, and networks of which nothing is trained yet.

    Args:
        scans: Scans and what is told, of the synthetic world or of real people.
        rows: The training rows, (S,).
        seed: Seed of all weights.
        size: Height and width of the pictures; by default a pixel for each entry of a matrix.

    Raises:
        ValueError: If a description would be longer than the language model reads.
    """
    if 2 * scans.facts + PICTURE_WORDS + 1 > _LONGEST:
        raise ValueError(
            f"A description of {scans.facts} pairs of networks is too long for the small language model: tell at most "
            f"{(_LONGEST - PICTURE_WORDS - 1) // 2}."
        )
    words = scans.words(rows)
    tokenizer = tokenizer_of([" ".join(words.words()), " ".join(map(_keyword, words.words()))], end="</s>")
    painter = MatrixPainter(scans.scans.target[rows], scans.regions, 8, max(1, min(4, (len(rows) - 1) // 8)))
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id)
    room = {"vocab_size": len(tokenizer), "max_position_embeddings": _LONGEST + 1}
    reader = KeywordReader.seeded(seed, {**LANGUAGE, **ends, **room})
    pixels = size or len(scans.regions)
    return SupportParts(ScanTower.seeded(seed, pixels), reader, words, painter, tokenizer, pixels)


def support_parts(scans: DescribedConnectomes, rows: Tensor, seed: int = 0, **training: Any) -> SupportParts:
    """The frozen parts, trained on the people of some rows; what an identical call trained is loaded.

    Args:
        scans: Scans and what is told, of the synthetic world or of real people.
        rows: The training rows, (S,).
        seed: Seed of all weights and trainings.
        **training: Arguments of fit that replace the usual ones.
    """
    parts = untrained_parts(scans, rows, seed)
    usual: dict[str, Any] = {
        "batch_size": 64,
        "lr": 2e-3,
        "warmup": 50,
        "schedule": "cosine",
        "progress": False,
        "seed": seed,
    }
    trained_once(parts.tower, _twice(scans, rows), **({"steps": 240} | usual | training))
    people = scans.person[rows].unique()  # type: ignore[no-untyped-call]
    told = parts.words.describe(parts.words.levels(scans.told)[people])
    end, line_end = parts.tokenizer.eos_token_id, _ids(parts.tokenizer, "\n")
    keywords = [_ids(parts.tokenizer, " ".join(map(_keyword, text.split()))) for text in told]
    lines = [[end, *_ids(parts.tokenizer, text), *line_end] for text in told]
    data = TensorData({"keywords": torch.tensor(keywords), "line": torch.tensor(lines)})
    trained_once(parts.reader, data, **({"steps": 400} | usual | {"lr": 3e-3} | training))
    return parts


def support_items(scans: DescribedConnectomes, rows: Tensor, parts: SupportParts, blank: bool = False) -> TensorData:
    """Scans as GILL trains on them: picture of rest, description, and the vectors of the motor matrix.

    Args:
        scans: Scans and what is told.
        rows: Which, (S,).
        parts: Frozen parts.
        blank: Whether all pictures are the same grey one, for a model that is to see none.
    """
    told = parts.words.describe(parts.words.levels(scans.told)[scans.person[rows]])
    end = parts.tokenizer.eos_token_id
    ids = [_ids(parts.tokenizer, line) for line in told]
    items = end_in_image(ids, len(parts.tokenizer), PICTURE_WORDS, most=_LONGEST, start=end, pad=end)
    pictures = matrix_pictures(scans.scans.source[rows], scans.regions, parts.size)
    items["image"] = torch.zeros_like(pictures) if blank else pictures
    items["target"] = parts.painter.encode(scans.scans.target[rows])
    return TensorData(items, [scans.scans.subjects[row] for row in rows.tolist()])


def untrained_support(parts: SupportParts, seed: int = 0, **changes: Any) -> GILL:
    """A GILL around the frozen parts, of which nothing is trained yet.

    Args:
        parts: Frozen parts.
        seed: Seed of what is learnt.
        **changes: Other arguments of GILL.
    """
    frozen = {"language_model": parts.reader.model, "vision_tower": parts.tower.vision}
    return GILL.seeded(seed, **{**parts.arguments(), **frozen, **changes})


def trained_support(
    scans: DescribedConnectomes,
    rows: Tensor,
    parts: SupportParts,
    seed: int = 0,
    blank: bool = False,
    **training: Any,
) -> GILL:
    """A GILL that is trained on some rows, or that an identical call has trained.

    Args:
        scans: Scans and what is told.
        rows: The training rows, (S,).
        parts: Frozen parts.
        seed: Seed of what is learnt, and of the training.
        blank: Whether it sees only a grey picture, in training as well.
        **training: Arguments of fit that replace those of :data:`TRAINING`.
    """
    method = untrained_support(parts, seed)
    items = support_items(scans, rows, parts, blank).tensors
    kept = {**items, **method.cache(items)}
    data = TensorData({name: value for name, value in kept.items() if name != "image"})
    return trained_once(method, data, seed=seed, **(TRAINING | training))


def leaking_rows(scans: DescribedConnectomes, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """As many training rows as before, but with all scans of the tested people among them save the first.

    Args:
        scans: Scans and what is told.
        train: Training rows of a split by person.
        test: Its test rows.

    Returns:
        Training rows, and the rows to test on: the first scan of each tested person.
    """
    person = scans.person[test]
    first = torch.ones(len(test), dtype=torch.bool)
    first[1:] = person[1:] != person[:-1]
    others = test[~first]
    return torch.cat([train[: len(train) - len(others)], others]), test[first]


def support_system(
    seed: int = 1, people: int = PEOPLE, tested: int = TESTED, seeds: int = SEEDS, **training: Any
) -> tuple[DescribedConnectomes, SupportParts, dict[str, list[GILL]]]:
    """All that the chapter compares; each model is trained once and kept for the next call.

    Args:
        seed: Seed of the world, and of the frozen parts. The settings were chosen on the world of seed 0, so it is not
            one to judge by.
        people: People of the world.
        tested: People in the test part, with all their scans.
        seeds: Trainings of each kind.
        **training: Arguments of fit that replace the usual ones.

    Returns:
        The world, the frozen parts, and the trained models: ``"by person"``; ``"no pictures"``, with the same grey
        picture for everybody; ``"by row"``, with other scans of the tested people among its training rows.
    """
    scans = described_connectomes(people, seed=seed)
    train, test = scans.by_person(tested, seed)
    parts = support_parts(scans, train, seed, **training)
    leaked, _ = leaking_rows(scans, train, test)
    models = {
        name: [trained_support(scans, rows, parts, number, blank, **training) for number in range(seeds)]
        for name, rows, blank in (("by person", train, False), ("no pictures", train, True), ("by row", leaked, False))
    }
    return scans, parts, models


def _twice(scans: DescribedConnectomes, rows: Tensor) -> TensorData:
    """Each training scan, beside the next one of the same person."""
    person = scans.person[rows]
    following = rows.roll(-1)
    first = {int(who): int(row) for who, row in zip(person.flip(0), rows.flip(0), strict=True)}
    back = torch.tensor([first[int(who)] for who in person])
    again = torch.where(person.roll(-1) == person, following, back)
    pictures = matrix_pictures(scans.scans.source, scans.regions)
    return TensorData({"image": pictures[rows], "again": pictures[again]})


def _keyword(word: str) -> str:
    return f"told_{word}"


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
