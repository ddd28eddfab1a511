"""The models that write colonoscopies in tokens from prompts: of one size, trained about as long, each once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from mmlab.bases.colonoscopy import LENGTH, text_settings, text_stage, tokenizer
from mmlab.bases.colonoscopy_tokens import PICTURES, SIZE, tokenizer_of_pictures
from mmlab.bases.stages import TextStage
from mmlab.data.prompts import encode_prompts
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import (
    ColonoscopyWorld,
    colonoscopy_world,
    describe,
)
from mmlab.method import Method
from mmlab.methods.cm3leon import CM3Leon
from mmlab.methods.muse import Muse
from mmlab.methods.vqgan import VQGAN, averaged, nearest
from mmlab.train.once import trained_once

__all__ = [
    "COARSE",
    "STEPS",
    "TRANSFORMER",
    "CoarseCode",
    "TokenFamily",
    "coarse_code",
    "one_stage_writers",
    "token_family",
    "token_lessons",
]

COARSE = 512
"""Words of the coarse grid, 4 x 4: each stands for a block of 2 x 2 vectors."""

TRANSFORMER: dict[str, Any] = {"width": 64, "depth": 3, "heads": 4}
"""Size of all transformers that write tokens."""

STEPS = {"muse": 600, "muse_coarse": 300, "muse_fine": 300, "cm3leon": 600}
"""Steps of each training, each kept by itself: two stages together take as many as one, and CM3Leon as many as Muse."""


M = TypeVar("M", bound=Method)


@dataclass(frozen=True, eq=False)
class CoarseCode:
    """Words for blocks of 2 x 2 vectors of a tokenizer: a quarter of the places, found by k-means.

    Attributes:
        tokenizer: Whose vectors.
        centres: The blocks that the words stand for, (K, 4 D).
    """

    tokenizer: VQGAN
    centres: Tensor

    def encode(self, tokens: Tensor) -> Tensor:
        """Words (B, h / 2, w / 2) of tokens (B, h, w)."""
        return nearest(_blocks(self.tokenizer.codebook[tokens]), self.centres)

    def decode(self, words: Tensor) -> Tensor:
        """Pictures of words (B, h / 2, w / 2), painted from the centres themselves: what the coarse grid says alone."""
        count, high, wide = words.shape
        vectors = self.centres[words].reshape(count, high, wide, 2, 2, -1).movedim(3, 2)  # (B, h / 2, 2, w / 2, 2, D)
        vectors = vectors.reshape(count, 2 * high, 2 * wide, -1)
        with self.tokenizer.evaluating():
            made: Tensor = self.tokenizer.decoder(vectors.movedim(-1, 1))
        return made


def _blocks(vectors: Tensor) -> Tensor:
    """Vectors (B, h, w, D) as blocks (B, h / 2, w / 2, 4 D)."""
    count, high, wide, width = vectors.shape
    return vectors.reshape(count, high // 2, 2, wide // 2, 2, width).movedim(2, 3).flatten(3)


@torch.no_grad()
def coarse_code(tokenizer: VQGAN, tokens: Tensor, rounds: int = 12) -> CoarseCode:
    """The coarse code of pictures' tokens (N, h, w), by k-means; the same tokens give the same code."""
    z = _blocks(tokenizer.codebook[tokens]).flatten(0, 2)
    centres = z[torch.linspace(0, len(z) - 1, COARSE).long()].clone()
    for _ in range(rounds):
        k = torch.cat([nearest(part, centres) for part in torch.split(z, 8192)])
        counts, sums = averaged(torch.zeros(COARSE), torch.zeros_like(centres), k, z, decay=0.0)
        centres[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    return CoarseCode(tokenizer, centres)


@dataclass(frozen=True, eq=False)
class TokenFamily:
    """The tokenizer, and what writes its tokens.

    Attributes:
        tokenizer: Pictures to 8 x 8 tokens, and back.
        coarse: 8 x 8 tokens to 4 x 4 words, and back to pictures.
        muse: Prompts to tokens, in one stage.
        muse_coarse: Prompts to coarse words.
        muse_fine: Prompts and coarse words to tokens: super-resolution.
        cm3leon: Prompts to tokens one by one, and back.
        world: The pictures and prompts that all have learnt from.
    """

    tokenizer: VQGAN
    coarse: CoarseCode
    muse: Muse
    muse_coarse: Muse
    muse_fine: Muse
    cm3leon: CM3Leon
    world: ColonoscopyWorld


def token_lessons(world: ColonoscopyWorld, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Which pictures are shown with which prompts, chosen as for :func:`mmlab.bases.colonoscopy.lessons_of`.

    Args:
        world: The pictures and their prompts.
        seed: Seed of which prompts tell all facts.

    Returns:
        Rows of the world (N,), and the prompts' ids (N, T): pictures of a single polyp come twice.
    """
    ids = encode_prompts([prompt.text for prompt in world.prompts], tokenizer())
    everything = encode_prompts([describe(scene).text for scene in world.scenes], tokenizer())
    chosen = torch.rand(len(world), 1, generator=torch.Generator().manual_seed(seed)) < 0.75
    single = [row for row, scene in enumerate(world.scenes) if len(scene.positions) == 1]
    rows = torch.tensor([*range(len(world)), *single])
    return rows, torch.where(chosen, everything, ids)[rows]


def token_family(seed: int = 0, **training: Any) -> TokenFamily:
    """Everything that writes colonoscopies in tokens, trained at the first call and kept for the next ones.

    Args:
        seed: Seed of the world, of the initial weights, and of the trainings.
        **training: Arguments of fit that replace the usual ones of the transformers.
    """
    lessons = _lessons(seed)
    coarse = coarse_code(lessons.tokenizer, lessons.tokens)
    low = coarse.encode(lessons.tokens)
    side = SIZE // 4
    small: dict[str, Any] = {"codes": COARSE, "grid": (side // 2, side // 2)}
    second: dict[str, Any] = {"low_codes": COARSE, "low_grid": (side // 2, side // 2)}
    made: dict[str, Any] = {"muse": _muse(lessons, "muse", seed, training)}
    made["muse_coarse"] = _muse(lessons, "muse_coarse", seed, training, low, **small)
    made["muse_fine"] = _muse(lessons, "muse_fine", seed, training, low, **second)
    made["cm3leon"] = _cm3leon(lessons, seed, training)
    return TokenFamily(lessons.tokenizer, coarse, **made, world=lessons.world)


def one_stage_writers(seed: int = 0, world: ColonoscopyWorld | None = None) -> tuple[VQGAN, Muse, CM3Leon]:
    """The tokenizer of :func:`token_family`, and what writes its tokens in one stage: the same weights, sooner loaded.

    Args:
        seed: As there.
        world: The seed's pictures and prompts, where they are drawn already.
    """
    lessons = _lessons(seed, world)
    return lessons.tokenizer, _muse(lessons, "muse", seed, {}), _cm3leon(lessons, seed, {})


class _Lessons(NamedTuple):
    """What the transformers learn from: a world, its tokens, and which of its pictures go with which prompts."""

    world: ColonoscopyWorld
    tokenizer: VQGAN
    tokens: Tensor
    rows: Tensor
    ids: Tensor
    words: TextStage

    @property
    def sizes(self) -> dict[str, Any]:
        return {"codes": len(self.tokenizer.codebook), "grid": (SIZE // 4, SIZE // 4)}


def _lessons(seed: int, world: ColonoscopyWorld | None = None) -> _Lessons:
    world = colonoscopy_world(PICTURES, seed=seed, size=SIZE) if world is None else world
    pictures = tokenizer_of_pictures(seed)
    tokens, rows_and_ids = pictures.encode(world.pictures), token_lessons(world, seed)
    return _Lessons(world, pictures, tokens, *rows_and_ids, text_stage(world, seed))


def _muse(
    lessons: _Lessons, name: str, seed: int, training: dict[str, Any], low: Tensor | None = None, **sizes: Any
) -> Muse:
    method = Muse.seeded(seed, text_settings(), **(lessons.sizes | sizes), **TRANSFORMER)
    method.text_encoder.load_state_dict(lessons.words.text_encoder.state_dict())
    tokens = lessons.tokens if low is None or name != "muse_coarse" else low
    items = {"states": method.read(lessons.ids), "tokens": tokens[lessons.rows]}
    items |= {"low_tokens": low[lessons.rows]} if low is not None and name == "muse_fine" else {}
    return _trained(method, TensorData(items), name, seed, training)


def _cm3leon(lessons: _Lessons, seed: int, training: dict[str, Any]) -> CM3Leon:
    ends = {"end": tokenizer().eos_token_id}
    method = CM3Leon.seeded(seed, len(tokenizer()), LENGTH, **ends, **lessons.sizes, **TRANSFORMER)
    data = TensorData({"input_ids": lessons.ids, "tokens": lessons.tokens[lessons.rows]})
    return _trained(method, data, "cm3leon", seed, training)


def _trained(method: M, data: TensorData, name: str, seed: int, training: dict[str, Any]) -> M:
    usual: dict[str, Any] = {"batch_size": 32, "lr": 3e-3, "betas": (0.9, 0.99), "warmup": 30, "schedule": "cosine"}
    return trained_once(method, data, seed=seed, **(usual | {"steps": STEPS[name], "progress": False} | training))
