"""A small GILL that draws: its picture words tell the colonoscopy base what a sentence says.

Its language model learns to write the prompts of the world from their facts in any order, and is frozen. What is
trained around it are the picture words and the mapper, whose target are the states of the base's own text encoder. The
model learns neither to read pictures nor to find them, so its vision tower is there for the layout alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mmlab.bases.colonoscopy import LENGTH, TEXT, colonoscopy_base, tokenizer
from mmlab.bases.frozen_towers import LANGUAGE
from mmlab.data.image_words import IGNORE, end_in_image
from mmlab.data.prompts import encode_prompts
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import ARTEFACTS, NUMBERS, POSITIONS, SHAPES, SIZES, Prompt, Scene, describe
from mmlab.method import Batch, Method
from mmlab.methods.gill import GILL
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.nn.drawing import draw
from mmlab.nn.from_transformers import language_model
from mmlab.nn.picture_words import keep_text
from mmlab.train.once import trained_once

__all__ = [
    "DRAWING",
    "MAPPER",
    "TRAINING",
    "PromptReader",
    "draw_texts",
    "drawing_gill",
    "drawing_items",
    "fits_the_base",
    "prompt_reader",
    "prompts",
    "small_pipeline",
    "text_items",
    "untrained_drawing_gill",
]

MAPPER: dict[str, Any] = {"hidden": 64, "layers": 1, "heads": 4}
"""Arguments of the mapper."""

TRAINING: dict[str, Any] = {
    "steps": 1200,
    "batch_size": 64,
    "lr": 3e-3,
    "betas": (0.9, 0.95),
    "weight_decay": 0.01,
    "warmup": 30,
    "schedule": "cosine",
    "progress": False,
}
"""Arguments of fit."""

DRAWING: dict[str, Any] = {"steps": 12, "guidance": 3.0}
"""Steps and guidance with which the small base draws."""

_VISION = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
_KEYWORDS = (*NUMBERS, *SIZES, *SHAPES, "upper", "lower", "left", "right", "centre", "instrument", "text", "bubbles")
_SLOTS = 8  # the most of these words, and green, that a prompt has


class PromptReader(Method):
    """A language model that writes a prompt from its facts, in any order, or from nothing.

    It is not taught what follows a prompt.

    Args:
        settings: Settings of the language model.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.model = language_model(settings, {})

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Next-token cross-entropy of the prompt; of half of the items, all facts are hidden.

        Args:
            batch: ``keywords`` (B, K), and ``line`` (B, T): start token, prompt, -100 behind its end.
            rng: Draws the order of the keywords, and which items show them.
        """
        line, count = batch["line"], batch["keywords"].shape[1]
        order = torch.rand(batch["keywords"].shape, generator=rng, device=rng.device).argsort(1)
        shown = torch.rand(len(order), 1, generator=rng, device=rng.device) < 0.5
        ids = torch.cat([batch["keywords"].gather(1, order), line.clamp(min=0)], 1)
        mask = torch.cat([shown.expand(-1, count), line != IGNORE], 1)
        logits = self.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        return {"loss": cross_entropy(logits[:, count:-1].mT, line[:, 1:], ignore_index=IGNORE)}


def prompts(part: str) -> list[Prompt]:
    """All sentences that the world's templates make, each once; a tenth of them, drawn by chance, is the test part.

    Args:
        part: ``"train"`` or ``"test"``.
    """
    return _parts()[part]


@lru_cache(1)
def _parts() -> dict[str, list[Prompt]]:
    places = [(), *((place,) for place in POSITIONS), *(tuple(POSITIONS)[:number] for number in (2, 3))]
    facts = product(places, SHAPES, SIZES, (False, True), (False, True), ARTEFACTS)
    told = ("number", "position", "shape", "size", "others")
    tells = [chosen for count in range(1, len(told) + 1) for chosen in combinations(told, count)]
    every = {prompt.text: prompt for scene in facts for tell in tells for prompt in [describe(Scene(*scene), tell)]}
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0)).tolist()
    mixed = [[*every.values()][row] for row in order]
    held = len(mixed) // 10
    return {"test": mixed[:held], "train": mixed[held:]}


def text_items(method: GILL, texts: Sequence[str], words: Any = None) -> dict[str, Tensor]:
    """Sentences as GILL reads them, with its picture words behind: ``input_ids`` and ``length``.

    Args:
        method: The model.
        texts: B sentences.
        words: Its tokenizer; None is that of the small base.

    Raises:
        ValueError: If a sentence is longer than its language model reads.
    """
    words = tokenizer() if words is None else words
    start, end = words.bos_token_id, words.eos_token_id
    rows = words(list(texts), add_special_tokens=False)["input_ids"]
    most = max(map(len, rows), default=0) + 1 + method.image_tokens
    if most > (room := int(method.language_model.config.max_position_embeddings)):
        raise ValueError(
            f"A sentence has {most - 1 - method.image_tokens} tokens; with start and picture words there is room for "
            f"{room - 1 - method.image_tokens}: shorten it."
        )
    return end_in_image(rows, method.words, method.image_tokens, most, end if start is None else start, end)


def prompt_reader(seed: int = 0, **training: Any) -> PromptReader:
    """The language model, trained on the training part, and kept for the next call.

    Args:
        seed: Seed of its weights and its training.
        **training: Arguments of fit that replace the usual ones.
    """
    words, told = tokenizer(), prompts("train")
    ends = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    reader = PromptReader.seeded(
        seed, {**LANGUAGE, **ends, "vocab_size": len(words), "max_position_embeddings": 2 * LENGTH + _SLOTS}
    )
    rows = words([prompt.text for prompt in told], add_special_tokens=False)["input_ids"]
    lines = [torch.tensor([words.bos_token_id, *row]) for row in rows]
    line = torch.nn.utils.rnn.pad_sequence(lines, batch_first=True, padding_value=IGNORE)
    data = TensorData({"line": line, "keywords": torch.tensor([_keywords(prompt.text) for prompt in told])})
    usual: dict[str, Any] = {"steps": 600, "batch_size": 64, "lr": 3e-3, "warmup": 50, "schedule": "cosine"}
    return trained_once(reader, data, seed=seed, **(usual | {"progress": False} | training))


def _keywords(text: str) -> list[int]:
    """The words of a prompt that carry its facts, filled up with end tokens."""
    words = tokenizer()
    kept = [word for word in text.lower().rstrip(".").split() if word in (*_KEYWORDS, "green")]
    ids: list[int] = words(" ".join(kept), add_special_tokens=False)["input_ids"]
    return ids + [words.eos_token_id] * (_SLOTS - len(ids))


def untrained_drawing_gill(reader: PromptReader, seed: int = 0, **changes: Any) -> GILL:
    """A GILL around the language model, of which nothing is trained yet, with a mapper that fits the base.

    Args:
        reader: Whose language model.
        seed: Seed of what is learnt.
        **changes: Other arguments of GILL.
    """
    vision = {"model_type": "clip_vision_model", **_VISION, "image_size": 32, "patch_size": 16}
    arguments: dict[str, Any] = {"prefix": 1, "retrieval_width": 8, "queries": LENGTH, "mapper": MAPPER}
    arguments |= {"target_width": TEXT["hidden_size"], "vocabulary": len(tokenizer()), "concatenate": 0.0}
    arguments |= {"weights": {"captioning": 0.0, "retrieval": 0.0}}
    return GILL.seeded(seed, reader.model, vision, **arguments | changes)


@torch.no_grad()
def drawing_items(method: GILL, base: LatentDiffusion, part: str) -> TensorData:
    """Sentences as the model trains on them, with what never changes computed once.

    Args:
        method: Whose frozen language model reads them.
        base: Whose text encoder gives the target.
        part: ``"train"`` or ``"test"``.
    """
    texts = [prompt.text for prompt in prompts(part)]
    items = text_items(method, texts)
    target = base.read(encode_prompts(texts, tokenizer()))
    return TensorData({**items, **keep_text(method, items), "target": target})


@lru_cache(1)
def drawing_gill(seed: int = 0) -> tuple[GILL, LatentDiffusion]:
    """A GILL that draws through the colonoscopy base, and the base; each is trained once and kept for the next call.

    Args:
        seed: Seed of all weights and of every training.

    Returns:
        Both in evaluation mode; the next call gives the same two. The sentences are those of :func:`prompts`; the model
        has not read the test part.
    """
    base = _base(seed)
    method = untrained_drawing_gill(prompt_reader(seed), seed)
    return trained_once(method, drawing_items(method, base, "train"), seed=seed, **TRAINING), base


@lru_cache(1)
def _base(seed: int) -> LatentDiffusion:
    return colonoscopy_base(seed)


def small_pipeline() -> Any:
    """The colonoscopy base as a pipeline of diffusers, trained at the first call."""
    return _base(0).pipeline(tokenizer())


def fits_the_base(method: GILL) -> bool:
    """Whether a model's mapper gives what the colonoscopy base reads."""
    return (method.config.get("queries"), method.config.get("target_width")) == (LENGTH, TEXT["hidden_size"])


def draw_texts(
    texts: Sequence[str],
    method: GILL | None = None,
    words: Any = None,
    pipeline: Any = None,
    seed: int = 0,
    **drawing: Any,
) -> Tensor:
    """Draw what sentences say.

    Args:
        texts: B sentences.
        method: The model; None is the small one of :func:`drawing_gill`, which knows the words of the colonoscopy
            world alone.
        words: Its tokenizer; None is that of the small base.
        pipeline: A pipeline of diffusers, such as Stable Diffusion 1.5 from a folder
            (:func:`mmlab.store.pipelines.load_pipeline`); None is the small base.
        seed: Seed of the noise.
        **drawing: Arguments of :func:`mmlab.nn.drawing.draw`: ``steps``, ``guidance``, ``progress``; for the small base
            steps and guidance are those of :data:`DRAWING` unless they are given.

    Returns:
        Pictures (B, 3, H, W) in [-1, 1].

    Raises:
        ValueError: If a sentence is too long, or the pipeline reads states of another shape than the model gives.
    """
    method = drawing_gill()[0] if method is None else method
    if pipeline is None:
        pipeline, drawing = small_pipeline(), DRAWING | drawing
    items = {name: value.to(method.device) for name, value in text_items(method, texts, words).items()}
    with method.evaluating():
        states = method.prompt_embeds(method.read_text(items)[0])
    return draw(pipeline, states, torch.Generator().manual_seed(seed), **drawing)
