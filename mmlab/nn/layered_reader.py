"""A very small model that sees and writes, built of attention alone: its tower shows the tokens of every layer.

It has the verbs of :class:`mmlab.nn.small_reader.SmallReader`. Where texts begin with their picture, nothing looks
at values, so that many copies can be trained side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from mmlab.nn.splicing import IMAGE, splice

__all__ = ["Attention", "Block", "LastPatches", "LayeredReader", "LayeredTower"]


class Attention(nn.Module):
    """Attention with several heads, from some tokens to the same or others.

    Args:
        width: Width of the tokens that ask, D.
        heads: Number of heads.
        other: Width of the tokens that are asked; by default D.
    """

    def __init__(self, width: int, heads: int = 4, other: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(other or width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, others: Tensor, causal: bool = False) -> Tensor:
        """What x (B, T, D) gathers from others (B, S, E): (B, T, D)."""
        key, value = self.answer(others).chunk(2, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.ask(x), key, value))
        found = scaled_dot_product_attention(q, k, v, is_causal=causal)  # (B, H, T, D / H)
        made: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return made


class Block(nn.Module):
    """Self-attention and a perceptron, each normed before and added.

    Args:
        width: Width of the tokens, D.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.attention = Attention(width, heads)
        self.perceptron = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, causal: bool = False) -> Tensor:
        """Tokens (B, T, D) to tokens."""
        normed = self.norms[0](x)
        x = x + self.attention(normed, normed, causal)
        made: Tensor = x + self.perceptron(self.norms[1](x))
        return made


class LayeredTower(nn.Module):
    """Patches of a picture and a class token, through some blocks.

    Args:
        picture: Shape of a picture, (C, H, W).
        patch: Side of the patches, in pixels; it divides H and W.
        width: Width of the tokens, D.
        layers: Number of blocks, L.

    Raises:
        ValueError: If the patches do not fit.
    """

    def __init__(self, picture: Sequence[int], patch: int, width: int, layers: int) -> None:
        super().__init__()
        channels, high, wide = picture
        if high % patch or wide % patch:
            raise ValueError(f"LayeredTower: patch={patch} does not divide the sides {high} and {wide} of a picture.")
        self.patches = (high // patch) * (wide // patch)
        self.cut = nn.Conv2d(channels, width, patch, stride=patch)
        self.token = nn.Parameter(0.1 * torch.randn(1, 1, width))
        self.place = nn.Parameter(0.1 * torch.randn(1, self.patches + 1, width))
        self.blocks = nn.ModuleList([Block(width) for _ in range(layers)])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures (B, C, H, W) to the tokens after each block, L times (B, 1 + P, D); the class token is first."""
        x = self.cut(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        states = []
        for block in self.blocks:
            x = block(x)
            states.append(x)
        return states


class LayeredReader(nn.Module):
    """A tower, a connector and a causal writer.

    Args:
        connector: From the tower's states, L times (B, 1 + P, D), to vectors for the writer, (B, Q, D).
        image_tokens: Their number, Q.
        words: Size of the vocabulary, V.
        picture: Shape of a picture, (C, H, W).
        patch: Side of the patches, in pixels.
        width: Width of all tokens, D.
        layers: Number of blocks of the tower, L.
        depth: Number of blocks of the writer.
        longest: Most places of a text, those of its pictures among them.
        first: Whether every text begins with its one picture and has no other. It is then not looked for, so that
            copies can be trained side by side.
    """

    def __init__(
        self,
        connector: nn.Module,
        image_tokens: int,
        words: int = 16,
        picture: Sequence[int] = (3, 16, 16),
        patch: int = 4,
        width: int = 32,
        layers: int = 2,
        depth: int = 1,
        longest: int = 64,
        first: bool = False,
    ) -> None:
        super().__init__()
        self.image_tokens, self.first = image_tokens, first
        self.tower = LayeredTower(picture, patch, width, layers)
        self.connector = connector
        self.embedding = nn.Embedding(words, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.place = nn.Parameter(0.1 * torch.randn(1, longest, width))
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Words (B, T) and pictures (B, M, C, H, W) as one sequence of vectors, (B, T', D), padded on the right.

        Raises:
            ValueError: If a text is empty, or has more places for pictures than there are.
        """
        ids, images = batch["input_ids"], batch.get("images")
        if self.first:
            if images is None:
                raise ValueError("LayeredReader: every text begins with a picture, and the batch holds no images.")
            words = self.embedding(ids[:, 1:].clamp(min=0))
            return torch.cat([self.connector(self.tower(images[:, 0])), words], 1)
        seen = None
        if images is not None and images.shape[1]:
            seen = self.connector(self.tower(images.flatten(0, 1))).unflatten(0, images.shape[:2])
        return splice(self.embedding, ids, batch["length"], seen).vectors

    def logits(self, batch: dict[str, Tensor]) -> Tensor:
        """Scores of the next word at every place, (B, T', V); what is padded on the right changes nothing.

        Raises:
            ValueError: If a text is too long.
        """
        x = self.embed(batch)
        if x.shape[1] > self.place.shape[1]:
            raise ValueError(f"LayeredReader: a text has {x.shape[1]} places; longest={self.place.shape[1]}.")
        x = x + self.place[:, : x.shape[1]]
        for block in self.blocks:
            x = block(x, causal=True)
        scores: Tensor = self.head(self.norm(x))
        return scores

    @torch.no_grad()
    def generate(
        self, batch: dict[str, Tensor], rng: torch.Generator | None = None, *, max_new_tokens: int = 8, **how: Any
    ) -> Tensor:
        """Write on, the most probable word each time: (B, max_new_tokens), id 0 after the first 0.

        Args:
            batch: Prompts.
            rng: Not needed.
            max_new_tokens: Length of what comes back.
            **how: Ignored, so that calls that are meant for transformers' ``generate`` work.
        """
        ids, length = pad(batch["input_ids"], (0, max_new_tokens)), batch["length"]
        inside = torch.arange(ids.shape[1], device=ids.device) < length[:, None]
        more = ((ids == IMAGE) & inside).sum(1) * (self.image_tokens - 1)  # places that pictures take beyond one each
        rows, made = torch.arange(len(ids), device=ids.device), []
        going = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        for step in range(max_new_tokens):
            scores = self.logits({**batch, "input_ids": ids, "length": length + step})
            word = scores[rows, length + more + step - 1].argmax(-1) * going
            going = going & (word != 0)
            ids[rows, length + step] = word
            made.append(word)
        return torch.stack(made, 1)


class LastPatches(nn.Module):
    """The plainest connector: a perceptron on the patches after the tower's last layer.

    Args:
        width: Width of the tokens, D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, states: list[Tensor]) -> Tensor:
        """States after each layer, L times (B, 1 + P, D), to (B, P, D)."""
        made: Tensor = self.perceptron(states[-1][:, 1:])
        return made
