"""Muse: the words of a picture are guessed all at once from a prompt, the surest are kept, and the rest guessed again.

Symbols: y are the tokens of a picture, N of them from K words, y_M those that are masked; c are the states of a
prompt's words, r a draw of [0, 1], γ the share that is masked, p the probabilities of a token's words, ℓ their logits,
g the guidance scale, τ the temperature of confidences, S the number of looks at the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn import from_diffusers
from mmlab.nn.encoders import AttentionBlock
from mmlab.nn.from_diffusers import Part, settings
from mmlab.wording import require_at_least

__all__ = ["Muse", "cosine_share", "guided_logits", "least_sure", "masked_at_random", "still_masked"]


def cosine_share(r: Tensor | float) -> Tensor:
    """γ(r): the share of tokens that is masked, from all at r = 0 to none at r = 1; of uniform r mostly large."""
    return torch.cos(torch.as_tensor(r) * math.pi / 2)  # Eq. (1)


def masked_at_random(share: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Masks (B, N), True where a token is hidden: of each row a share of its N tokens, rounded up, at random places."""
    draw = torch.rand(len(share), count, generator=rng, device=share.device)
    hidden = (share * count).ceil().clamp(min=1)
    return draw.argsort(1).argsort(1) < hidden[:, None]


def guided_logits(without: Tensor, told: Tensor, scale: float) -> Tensor:
    """Logits with a prompt, and beyond those without: 1 is the prompt alone."""
    return without + scale * (told - without)  # Eq. (3)


def least_sure(chosen: Tensor, known: Tensor, hidden: int, temperature: float, rng: torch.Generator) -> Tensor:
    """Which tokens are masked again: those of the smallest log p of their chosen word, plus τ times Gumbel noise.

    Args:
        chosen: Probability of each token's chosen word, (B, N).
        known: Tokens that were kept before and stay, (B, N).
        hidden: How many are masked, as :func:`still_masked` says.
        temperature: τ; 0 goes by the probabilities alone.
        rng: Draws the noise.
    """
    sure = torch.where(known, torch.finfo(chosen.dtype).max, chosen)
    draw = torch.rand(chosen.shape, generator=rng, device=chosen.device, dtype=chosen.dtype)
    gumbel = -(-draw.clamp(min=1e-20).log()).clamp(min=1e-20).log()
    confidence = sure.clamp(min=1e-20).log() + temperature * gumbel  # Eq. (4)
    return confidence < confidence.sort(1).values[:, hidden, None]


def still_masked(step: int, steps: int, count: int, hidden: int) -> int:
    """How many of ``count`` tokens are masked after a step, 1 ... ``steps``; at least one less than ``hidden``."""
    if step == steps:
        return 0
    share = float(cosine_share(step / steps))
    return max(1, min(hidden - 1, math.floor(count * share)))  # Eq. (5)


class Muse(Method):
    """Write a picture's tokens from a prompt, many at a time.

    A transformer sees all tokens, some of them masked, and the states of the prompt's words, and says which word each
    masked token is. The text encoder comes trained and stays frozen. With ``low_codes`` it is the second stage, which
    also sees a coarser grid of tokens: token super-resolution.

    Args:
        text_encoder: ``CLIPTextModel``, or its settings; None is CLIP ViT-L/14.
        codes: Number of words K.
        grid: Places of tokens, down and across.
        width: Width of the transformer.
        depth: Number of blocks.
        heads: Attention heads; they divide the width.
        drop_condition: Probability with which training shows the empty prompt instead; guidance needs it above 0.
        low_codes: Number of words of the coarser grid; 0 for none.
        low_grid: Its places.

    Raises:
        TypeError: If the text encoder is neither model nor settings.
        ValueError: If a number is out of its range.

    Source:
        Chang et al. 2023, "Muse: Text-To-Image Generation via Masked Generative Transformers"; decoding and schedule:
        Chang et al. 2022, "MaskGIT". There a block looks at tokens and at words one after the other; here at once, and
        every token is given a summary of the words besides, as in aMUSEd (Patil et al. 2024).
    """

    card = Card(
        name="Muse",
        family="words to pictures",
        paper="chang2023muse",
        summary="Guesses all tokens of a picture at once from a prompt, keeps the surest, and guesses the rest again.",
        inputs=("input_ids", "tokens"),
        outputs=("tokens",),
        claims=(
            Claim("facts", "shuffled prompts", "higher", kind="sanity", name="muse-facts-shuffled-prompts"),
            Claim("facts", "no guidance", "higher", name="muse-facts-no-guidance"),
            Claim("facts", "random order", "higher", kind="sanity", name="muse-facts-random-order"),
            Claim("facts", "nearest training picture", "higher", kind="sanity", name="muse-facts-nearest-picture"),
        ),
        tags=("tokens", "masked modelling", "parallel decoding", "text to image", "guidance", "colonoscopy"),
    )
    draws = None  # it draws tokens from prompts: the two have no common shape

    text_encoder: Any  # of transformers
    empty: Tensor

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the text encoder as its settings, from which it is built again."""
        return super().__new__(cls, *map(settings, args), **{name: settings(value) for name, value in kwargs.items()})

    def __init__(
        self, text_encoder: Part = None, codes: int = 8192, grid: Sequence[int] = (16, 16), width: int = 512,
        depth: int = 8, heads: int = 8, drop_condition: float = 0.1, low_codes: int = 0, low_grid: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        require_at_least(
            codes=(codes, 2), width=(width, 1), depth=(depth, 1), heads=(heads, 1), low_codes=(low_codes, 0)
        )
        if not 0 <= drop_condition <= 1:
            raise ValueError(f"drop_condition={drop_condition} is a probability and must be in [0, 1].")
        self.grid, self.low_grid = tuple(grid), tuple(low_grid)
        if len(self.grid) != 2 or min(self.grid) < 1 or len(self.low_grid) != 2 * bool(low_codes):
            raise ValueError(
                f"grid={self.grid}, low_grid={self.low_grid}: a grid is two numbers of places; low_grid goes with "
                "low_codes."
            )
        self.codes, self.drop_condition = codes, drop_condition
        self.text_encoder = from_diffusers.text_encoder(text_encoder).requires_grad_(False)
        words = self.text_encoder.config
        self.words, self.summary = nn.Linear(words.hidden_size, width), nn.Linear(words.hidden_size, width)
        self.token = nn.Embedding(codes + 1, width)  # the last one: masked
        self.place = nn.Parameter(0.02 * torch.randn(math.prod(self.grid), width))
        self.low = nn.Embedding(low_codes, width) if low_codes else None
        self.low_place = nn.Parameter(0.02 * torch.randn(math.prod(self.low_grid), width)) if low_codes else None
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes)
        empty = torch.full((words.max_position_embeddings,), words.pad_token_id)
        empty[0], empty[1] = words.bos_token_id, words.eos_token_id
        self.register_buffer("empty", empty, persistent=False)

    @torch.no_grad()
    def read(self, input_ids: Tensor) -> Tensor:
        """States of the words of prompts (B, T), (B, T, D): computed once, they save the text encoder in training."""
        with self.evaluating():
            states: Tensor = self.text_encoder(input_ids=input_ids).last_hidden_state
        return states

    def forward(self, tokens: Tensor, states: Tensor, low: Tensor | None = None) -> Tensor:
        """Logits (B, N, K) of tokens (B, N), where K stands for a masked one.

        Args:
            tokens: Words, 0 ... K.
            states: The prompts' words as vectors, (B, T, D).
            low: Words of the coarser grid, (B, M), for a second stage.
        """
        told = [self.words(states)]
        if self.low is not None:
            if low is None:
                raise ValueError("This Muse is a second stage: it needs low, the tokens of the coarser grid.")
            told.append(self.low(low.flatten(1)) + self.low_place)  # Eq. (6)
        x = self.token(tokens) + self.place + self.summary(states[:, -1:])  # (B, N, D); the last has read all words
        for block in self.blocks:
            x = block(x, torch.cat([x, *told], 1))
        logits: Tensor = self.head(self.norm(x))
        return logits

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the masked tokens, under a random share of masks; now and then the prompt is empty.

        Args:
            batch: ``tokens`` (B, h, w), and ``input_ids`` (B, T) or in their place ``states``; a second stage also
                needs ``low_tokens``, (B, h', w').
            rng: Draws shares, places and which prompts are dropped.
        """
        y = self._checked(batch["tokens"])
        states = batch["states"] if "states" in batch else self.read(batch["input_ids"])
        dropped = torch.rand(len(y), 1, 1, generator=rng, device=y.device) < self.drop_condition
        states = torch.where(dropped, self.read(self.empty[None]), states)
        share = cosine_share(torch.rand(len(y), generator=rng, device=y.device))
        hidden = masked_at_random(share, y.shape[1], rng)
        logits = self(torch.where(hidden, self.codes, y), states, batch.get("low_tokens"))
        error = F.cross_entropy(logits[hidden], y[hidden])  # Eq. (2)
        right = (logits[hidden].argmax(1) == y[hidden]).float().mean()
        return {"loss": error, "right": right}

    @torch.no_grad()
    def sample(
        self,
        source: Tensor,
        *,
        steps: int | None = None,
        guidance: float = 3.0,
        temperature: float = 2.0,
        low: Tensor | None = None,
        by_confidence: bool = True,
        rng: torch.Generator,
    ) -> Tensor:
        """Tokens (B, h, w) for prompts, beginning with none.

        Args:
            source: Prompts as ids, (B, T); see :func:`mmlab.data.prompts.encode_prompts`.
            steps: Looks at the network S, at most one for each token; None takes 8, or as many as there are tokens.
            guidance: Scale g; at 1 the empty prompt is not needed, and the network sees half as much.
            temperature: τ at the first step; it falls to 0 at the last.
            low: For a second stage the coarser tokens, (B, h', w').
            by_confidence: Whether the surest tokens are kept; else those at random places.
            rng: Draws words and places.
        """
        count = math.prod(self.grid)
        steps = min(8, count) if steps is None else steps
        if not 1 <= steps <= count:
            raise ValueError(f"steps={steps}: there are {count} tokens, so take 1 to {count} steps.")
        states = self.read(source)
        without = self.read(self.empty[None]).expand_as(states)
        tokens = torch.full((len(source), count), self.codes, device=source.device)
        hidden = count
        for step, tau in enumerate(torch.linspace(temperature, 0, steps).tolist(), start=1):
            logits = self(tokens, states, low)
            if guidance != 1:
                logits = guided_logits(self(tokens, without, low), logits, guidance)
            p = logits.softmax(-1)
            known = tokens != self.codes
            drawn = torch.multinomial(p.flatten(0, 1), 1, generator=rng).view_as(tokens)
            tokens = torch.where(known, tokens, drawn)
            hidden = still_masked(step, steps, count, hidden)
            if hidden:
                chosen = p.gather(2, tokens[..., None])[..., 0]
                chosen = chosen if by_confidence else torch.ones_like(chosen)
                again = least_sure(chosen, known, hidden, tau if by_confidence else 1.0, rng)
                tokens = torch.where(again, self.codes, tokens)
        return tokens.view(-1, *self.grid)

    def _checked(self, tokens: Tensor) -> Tensor:
        if tuple(tokens.shape[1:]) != self.grid:
            raise ValueError(f"Tokens {tuple(tokens.shape)} must have shape (B, {self.grid[0]}, {self.grid[1]}).")
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.codes:
            raise ValueError(f"A token is {int(tokens.max())}; there are {self.codes} words, from 0 on.")
        return tokens.flatten(1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Four prompts of one word, which says all tokens of a grid of 2 x 2."""
        words = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        ends = {"vocab_size": 8, "max_position_embeddings": 4, "bos_token_id": 6, "eos_token_id": 7, "pad_token_id": 7}
        method = cls.seeded(seed, words | ends, 5, (2, 2), 16, 1, 2)
        rng = torch.Generator().manual_seed(seed)
        tokens = torch.randint(5, (4, 2, 2), generator=rng)
        ids = torch.tensor([[6, word, 7, 7] for word in range(4)])
        return method, {"input_ids": ids, "tokens": tokens}
