"""Words that stand for pictures, at the end of what a frozen language model reads and in what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmlab.nn.splicing import Spliced

__all__ = ["keep_text", "may_emit", "read_kept", "write_on"]


def may_emit(logits: Tensor, words: int, scale: float = 1.0, allowed: bool = True) -> Tensor:
    """Logits (B, V) under which only [IMG0] can begin a picture, at all or more often.

    Args:
        logits: Scores of the words and, behind them, of the picture words.
        words: Number of words.
        scale: Above 1, the logit of [IMG0] becomes its absolute value times this, as in the published code.
        allowed: Whether a picture may begin here.
    """
    logits = logits.clone()
    logits[..., words + 1 :] = -torch.inf
    if not allowed:
        logits[..., words] = -torch.inf
    elif scale > 1:
        logits[..., words] = logits[..., words].abs() * scale
    return logits


def write_on(
    model: Any,
    read: Spliced,
    ends: int | Sequence[int] | None,
    most: int,
    rng: torch.Generator | None = None,
    *,
    min_words: int = 0,
    scale: float = 1.0,
    temperature: float = 0.0,
    cached: bool = True,
    streamer: Any = None,
) -> Tensor:
    """Write word after word. Once [IMG0] is chosen, the other picture words follow, whatever the model thinks.

    Args:
        model: Has ``states``, ``logits``, ``embed_words``, ``words`` and ``image_tokens`` of
            :class:`mmlab.methods.gill.GILL`.
        read: The prompts, padded on the left.
        ends: Ids that end an answer.
        most: Most tokens; picture words that have begun are finished all the same.
        rng: Draws the words if the temperature is above 0.
        min_words: Words before a picture may begin.
        scale: See :func:`may_emit`.
        temperature: 0 takes the most probable word.
        cached: Whether keys and values are kept from step to step.
        streamer: Has ``put``, which is given the tokens of each step, and ``end``.

    Returns:
        (B, T_new); behind the end of an answer stands its end token again.

    Raises:
        ValueError: If nothing ends an answer.
    """
    from transformers import DynamicCache

    if ends is None or ends == []:
        raise ValueError("generate: the language model has no end-of-text token: give stop.")
    stops = torch.tensor([ends] if isinstance(ends, int) else list(ends), device=read.mask.device)
    vectors, mask = read.vectors, read.mask
    tokens: list[Tensor] = []
    past = DynamicCache(config=model.language_model.config) if cached else None
    forced = mask.new_zeros(len(mask))  # picture words still to come
    done = forced.bool()
    while not done.all():
        h = model.states(vectors, mask, past)[:, -1]
        scores = may_emit(model.logits(h), model.words, scale, allowed=len(tokens) >= min_words)
        token = scores.argmax(-1)
        if temperature > 0:
            token = torch.multinomial((scores / temperature).softmax(-1), 1, generator=rng)[:, 0]
        token = torch.where(forced > 0, model.words + model.image_tokens - forced, token)
        token = torch.where(done, stops[0], token)
        begins = (token == model.words) & ~done
        forced = torch.where(begins, model.image_tokens - 1, (forced - 1).clamp(min=0))
        tokens.append(token)
        done = done | torch.isin(token, stops) | ((forced == 0) & (len(tokens) >= most))
        new = model.embed_words(token)[:, None]
        vectors = new if cached else torch.cat([vectors, new], 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        if streamer is not None:
            streamer.put(token)
    if streamer is not None:
        streamer.end()
    return torch.stack(tokens, 1)


@torch.no_grad()
def keep_text(model: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a frozen model makes of captions, for :func:`read_kept`: the picture words come last and change none of it.

    Args:
        model: As for :func:`write_on`.
        batch: ``input_ids`` (B, T) and ``length`` (B,).

    Returns:
        ``text_keys`` (B, layers, 2, heads, T, D/heads), ``text_states`` (B, T, D), and ``text_scores`` (B, T, 2):
        log-sum-exp of the words' logits, and the logit of the next word.
    """
    from transformers import DynamicCache

    ids = batch["input_ids"][:, : -model.image_tokens]
    said = torch.arange(ids.shape[1], device=ids.device) < (batch["length"] - model.image_tokens)[:, None]
    past: Any = DynamicCache(config=model.language_model.config)
    h = model.states(model.embed_words(ids), said.long(), past)
    scores = model.logits(h)[..., : model.words]
    following = ids.roll(-1, 1).clamp(max=model.words - 1)[..., None]  # behind the last word: not used
    keys = torch.stack([torch.stack([layer.keys, layer.values], 1) for layer in past.layers], 1)
    told = torch.stack([scores.logsumexp(-1), scores.gather(-1, following)[..., 0]], -1)
    return {"text_keys": keys, "text_states": h, "text_scores": told}


def read_kept(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """States of the picture words behind captions that were read before, and the cross-entropy of words and [IMG0].

    Args:
        model: As for :func:`write_on`, with ``image_embedding``.
        batch: ``length`` (B,), and what :func:`keep_text` gives.

    Returns:
        States (B, R, D), and a scalar.
    """
    from transformers import DynamicCache

    said, h, count = batch["length"] - model.image_tokens, batch["text_states"], model.image_tokens
    place = torch.arange(h.shape[1], device=h.device)
    mask = torch.cat([place < said[:, None], said.new_ones(len(h), count).bool()], 1)
    layers = [(pair[:, 0], pair[:, 1]) for pair in batch["text_keys"].unbind(1)]
    new = model.image_embedding.expand(len(h), -1, -1)
    states = model.states(new, mask.long(), DynamicCache(layers, config=model.language_model.config))
    own = h @ model.image_embedding.mT  # (B, T, R)
    total = torch.logaddexp(batch["text_scores"][..., 0], own.logsumexp(-1))
    right = torch.where(place == said[:, None] - 1, own[..., 0], batch["text_scores"][..., 1])
    return states, (total - right)[place < said[:, None]].mean()
