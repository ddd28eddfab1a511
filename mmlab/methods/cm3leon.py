"""CM3Leon: text and picture in one stream of tokens, written one after the other, sometimes with a part moved.

Symbols: x is a document (a caption and the tokens of its picture), L its length, a and b the ends of the part that is
moved, p(t | ·) the probabilities of the next token, p_0 those without the caption, ℓ and ℓ_0 their logits, g the
guidance scale, α the share of the k-th largest probability below which a token is not considered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlab.card import Card, Claim
from mmlab.method import Batch, Method
from mmlab.wording import require_at_least

__all__ = ["CM3Leon", "causal_masked", "contrasted", "guided_logits", "plausible"]

Cache = list[tuple[Tensor, Tensor]]
"""Keys and values of each block, (B, H, T, D / H)."""


def causal_masked(x: Tensor, a: int, b: int, mask: int, infill: int) -> tuple[Tensor, Tensor]:
    """A document with the part from a to b moved to its end: before, mask, after, infill, part.

    Args:
        x: Tokens, (..., L).
        a: Where the part begins.
        b: Where it has ended.
        mask: Token that stands in its place.
        infill: Token that says that it comes now.

    Returns:
        Tokens and the places in the document that they have come from, both (..., L + 2); mask and infill have a.
    """
    places = torch.arange(x.shape[-1], device=x.device)
    sign = torch.ones_like(x[..., :1])
    moved = torch.cat([x[..., :a], mask * sign, x[..., b:], infill * sign, x[..., a:b]], -1)  # Eq. (7)
    here = places.new_tensor([a])
    return moved, torch.cat([places[:a], here, places[b:], here, places[a:b]]).expand_as(moved)


def guided_logits(without: Tensor, told: Tensor, scale: float) -> Tensor:
    """Logits with a caption, and beyond those without: 1 is the caption alone."""
    return without + scale * (told - without)  # Eq. (9)


def plausible(told: Tensor, alpha: float, k: int = 1) -> Tensor:
    """Which tokens have at least α times the k-th largest probability, from logits (..., V)."""
    p = told.softmax(-1)
    return p >= alpha * p.topk(k, -1).values[..., -1:]  # Eq. (10)


def contrasted(told: Tensor, without: Tensor, alpha: float, k: int = 1) -> Tensor:
    """Contrastive decoding, (..., V): log p - log p_0 of the plausible tokens, and minus infinity for all others."""
    gain = told.log_softmax(-1) - without.log_softmax(-1)
    return gain.masked_fill(~plausible(told, alpha, k), -math.inf)  # Eq. (11)


class _Block(nn.Module):
    """Causal attention and a perceptron, both as residuals, without biases, as in CM3Leon."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 2 * width, bias=False), nn.GELU(), nn.Linear(2 * width, width, bias=False)
        )

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens (B, T, D) behind those whose keys and values are given; several tokens only if there are none."""
        parts = self.into(self.before(x)).unflatten(2, (3, self.heads, -1)).movedim(1, 3)  # (B, 3, H, T, D / H)
        query, key, value = parts.unbind(1)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=past is None)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.perceptron(self.between(x)), (key, value)


class CM3Leon(Method):
    """A causal transformer over captions and pictures, which writes either from the other.

    A document is the caption's T token ids, a break, and the N tokens of the picture. In training a part of it is
    sometimes moved to the end, behind a token that says so; then the model has seen what comes after it. With the
    caption moved, a picture is written without it: what guidance needs.

    Args:
        vocabulary: Number of the text's token ids.
        length: Tokens of a caption T.
        codes: Number of a picture's words K.
        grid: Places of a picture's tokens, down and across.
        end: Id that ends a caption; what follows it is the same id, and does not count.
        width: Width of the transformer.
        depth: Number of blocks.
        heads: Attention heads; they divide the width.
        caption_moved: Probability with which training moves the caption to the end.
        part_moved: Probability with which it moves a part of the picture, of random ends.

    Raises:
        ValueError: If a number is out of its range.

    Source:
        Yu et al. 2023, "Scaling Autoregressive Multi-Modal Models"; moved parts: Aghajanyan et al. 2022, "CM3";
        contrastive decoding: Li et al. 2023. There documents are retrieved besides, and several parts may move.
    """

    card = Card(
        name="CM3Leon",
        family="words to pictures",
        paper="yu2023cm3leon",
        summary="Writes caption and picture as one stream of tokens, and guides itself by what it would write untold.",
        inputs=("input_ids", "tokens"),
        outputs=("tokens",),
        claims=(
            Claim("facts", "shuffled prompts", "higher", kind="sanity", name="cm3leon-facts-shuffled-prompts"),
            Claim("facts", "no guidance", "higher", name="cm3leon-facts-no-guidance"),
            Claim("facts", "guidance", "higher", name="cm3leon-contrastive-facts-guidance"),
        ),
        chapter="muse",
        tags=("tokens", "autoregressive", "contrastive decoding", "text to image", "image to text", "colonoscopy"),
    )
    draws = None  # it draws tokens from prompts: the two have no common shape

    def __init__(
        self, vocabulary: int, length: int, codes: int = 8192, grid: Sequence[int] = (32, 32), end: int = 0,
        width: int = 512, depth: int = 8, heads: int = 8, caption_moved: float = 0.2, part_moved: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        require_at_least(vocabulary=(vocabulary, 2), length=(length, 1), codes=(codes, 2), width=(width, 1))
        require_at_least(depth=(depth, 1), heads=(heads, 1))
        if min(caption_moved, part_moved) < 0 or caption_moved + part_moved > 1:
            raise ValueError(
                f"caption_moved={caption_moved}, part_moved={part_moved}: probabilities that add up to 1 at most."
            )
        if width % heads:
            raise ValueError(f"{heads} attention heads cannot share a width of {width}: choose a multiple of {heads}.")
        self.grid = tuple(grid)
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ValueError(f"grid={self.grid}: give the numbers of places down and across.")
        self.vocabulary, self.length, self.codes, self.end = vocabulary, length, codes, end
        self.caption_moved, self.part_moved = caption_moved, part_moved
        self.line, self.mask, self.infill = (
            vocabulary + codes + i for i in range(3)
        )  # a break, and two for moved parts
        self.count = math.prod(self.grid)
        self.token = nn.Embedding(vocabulary + codes + 3, width)
        self.place = nn.Embedding(length + 1 + self.count, width)
        for table in (self.token, self.place):
            nn.init.normal_(table.weight, std=0.02)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary + codes + 3, bias=False)

    def forward(self, tokens: Tensor, places: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """Logits of the tokens that follow, (B, T, V), and keys and values to go on from.

        Args:
            tokens: (B, T); a single one if there is a cache.
            places: Where in the document they stand, (B, T).
            cache: Keys and values of the tokens before.
        """
        x = self.token(tokens) + self.place(places)
        kept: Cache = []
        for number, block in enumerate(self.blocks):
            x, pair = block(x, None if cache is None else cache[number])
            kept.append(pair)
        return self.head(self.norm(x)), kept

    def documents(self, input_ids: Tensor, tokens: Tensor) -> Tensor:
        """Captions (B, T) and pictures (B, h, w) as documents (B, T + 1 + N).

        Raises:
            ValueError: If they have other shapes, or a number is none of their words.
        """
        if tuple(tokens.shape[1:]) != self.grid or input_ids.shape[1:] != (self.length,):
            raise ValueError(
                f"Captions {tuple(input_ids.shape)} and tokens {tuple(tokens.shape)} must have shapes "
                f"(B, {self.length}) and (B, {self.grid[0]}, {self.grid[1]})."
            )
        for name, values, many in (("caption", input_ids, self.vocabulary), ("picture", tokens, self.codes)):
            if values.numel() and not 0 <= int(values.min()) <= int(values.max()) < many:
                raise ValueError(
                    f"A token of a {name} is {int(values.max())}: numbers from 0 to {many - 1} are expected."
                )
        line = torch.full_like(input_ids[:, :1], self.line)
        return torch.cat([input_ids, line, tokens.flatten(1) + self.vocabulary], 1)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of each next token, of documents some of which have a part moved to the end.

        Args:
            batch: ``input_ids`` (B, T) and ``tokens`` (B, h, w).
            rng: Draws which documents have which part moved.
        """
        x = self.documents(batch["input_ids"], batch["tokens"])
        device, before = x.device, self.length + 1
        draw = torch.rand(len(x), generator=rng, device=device)
        a = int(torch.randint(self.count, (), generator=rng, device=device))
        b = int(torch.randint(a + 1, self.count + 1, (), generator=rng, device=device))
        groups = [
            (draw < self.caption_moved, (0, self.length)),
            (draw >= 1 - self.part_moved, (before + a, before + b)),
        ]
        left = ~(groups[0][0] | groups[1][0])
        parts = [(x[left], torch.arange(x.shape[1], device=device).expand(int(left.sum()), -1))]
        parts += [causal_masked(x[rows], *part, self.mask, self.infill) for rows, part in groups if rows.any()]
        (total, picture), number = self.head.weight.new_zeros(2), 0
        for tokens, places in (part for part in parts if len(part[0])):
            logits, _ = self(tokens[:, :-1], places[:, :-1])
            error = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")  # Eq. (8)
            ended = (tokens == self.end) & (places < self.length)  # what follows a caption's end says nothing
            counts = ~(ended[:, 1:] & ended[:, :-1])
            total, number = total + (error * counts).sum(), number + int(counts.sum())
            drawn = (tokens[:, 1:] >= self.vocabulary) & (tokens[:, 1:] < self.line)
            picture = picture + (error * drawn).sum().detach()
        return {"loss": total / max(1, number), "picture": picture / (len(x) * self.count)}

    @torch.no_grad()
    def sample(
        self,
        source: Tensor,
        *,
        guidance: float = 3.0,
        alpha: float = 0.0,
        k: int = 1,
        temperature: float = 1.0,
        rng: torch.Generator,
    ) -> Tensor:
        """Pictures (B, h, w) for captions, token by token.

        Args:
            source: Captions as ids, (B, T).
            guidance: Scale g; at 1 the captions are all that is looked at.
            alpha: Above 0, only tokens of at least α times the k-th largest probability are considered, and guidance 0
                stands for contrastive decoding, log p - log p_0.
            k: Which probability α is a share of.
            temperature: By which logits are divided; at 0 the largest is taken.
            rng: Draws the tokens.
        """
        line = torch.full_like(source[:, :1], self.line)
        told = torch.cat([source, line], 1)
        streams = [(told, torch.arange(told.shape[1], device=source.device).expand_as(told))]
        if guidance != 1:
            gone = torch.cat([torch.full_like(line, self.mask), line], 1)
            streams.append((gone, gone.new_tensor([0, self.length]).expand_as(gone)))
        states = [self(*stream) for stream in streams]
        written: list[Tensor] = []
        for step in range(self.count):
            logits = [out[:, -1, self.vocabulary : self.line] for out, _ in states]
            choice = self._choice(logits, guidance, alpha, k, temperature, rng)
            written.append(choice)
            place = torch.full_like(choice, self.length + 1 + step)[:, None]
            if step + 1 < self.count:
                states = [self(choice[:, None] + self.vocabulary, place, cache) for _, cache in states]
        return torch.stack(written, 1).view(-1, *self.grid)

    def _choice(
        self, logits: list[Tensor], guidance: float, alpha: float, k: int, temperature: float, rng: torch.Generator
    ) -> Tensor:
        """One word for each row, (B,), from logits with and without the captions, (B, K) each."""
        told, without = logits[0], logits[-1]
        if alpha and guidance == 0:
            scores = contrasted(told, without, alpha, k)
        else:
            scores = told if guidance == 1 else guided_logits(without, told, guidance)
            scores = scores.masked_fill(~plausible(told, alpha, k), -math.inf) if alpha else scores
        if temperature == 0:
            return scores.argmax(1)
        return torch.multinomial((scores / temperature).softmax(1), 1, generator=rng)[:, 0]

    @torch.no_grad()
    def caption(self, tokens: Tensor) -> Tensor:
        """The likeliest captions (B, T) of pictures (B, h, w), word by word; after its end a caption has ends alone."""
        x = torch.cat([tokens.new_full((len(tokens), self.length), self.end), tokens.flatten(1) + self.vocabulary], 1)
        x = torch.cat([x[:, : self.length], torch.full_like(x[:, :1], self.line), x[:, self.length :]], 1)
        moved, places = causal_masked(x, 0, self.length, self.mask, self.infill)
        begun = moved.shape[1] - self.length
        out, cache = self(moved[:, :begun], places[:, :begun])
        written: list[Tensor] = []
        over = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        for place in range(self.length):
            choice = out[:, -1, : self.vocabulary].argmax(1).masked_fill(over, self.end)
            over = over | (choice == self.end)
            written.append(choice)
            if place + 1 < self.length:
                out, cache = self(choice[:, None], torch.full_like(choice, place)[:, None], cache)
        return torch.stack(written, 1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Four captions of one word, which says all tokens of a grid of 2 x 2."""
        method = cls.seeded(seed, 6, 3, 5, (2, 2), 5, 16, 1, 2, caption_moved=0.5, part_moved=0.25)
        tokens = torch.randint(5, (4, 2, 2), generator=torch.Generator().manual_seed(seed))
        ids = torch.tensor([[4, word, 5] for word in range(4)])
        return method, {"input_ids": ids, "tokens": tokens}
