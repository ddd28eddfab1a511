"""What a small GILL stands on: a frozen language model, a frozen pair of towers, and captioned mini-memes.

The towers, of CLIP's classes, learn what is drawn. The language model learns to turn keywords into captions: one that
had only read captions could not use a picture put before them, however the picture were put.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmlab.data.chat import tokenizer_of
from mmlab.data.image_words import IGNORE, end_in_image
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.mini_memes import COLOURS, LAYOUTS, SHAPES, Meme, MiniMemes
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.method import Batch, Method
from mmlab.nn.from_transformers import clip_pixels, language_model, vision_tower
from mmlab.train.once import trained_once

__all__ = [
    "LANGUAGE",
    "TEXT",
    "VISION",
    "KeywordReader",
    "Towers",
    "captioned",
    "frozen_towers",
    "keyword_reader",
    "lexicon",
]

_SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}

LANGUAGE: dict[str, Any] = {"model_type": "opt", **_SIZE, "word_embed_proj_dim": 64, "ffn_dim": 128, "dropout": 0.0}
"""Language model, of OPT's class; the vocabulary is the world's. No weight is dropped, since there are so few."""

VISION: dict[str, Any] = {**_SIZE, "num_hidden_layers": 3, "intermediate_size": 128, "image_size": 32, "patch_size": 8}
"""Vision tower, of CLIP's class."""

TEXT: dict[str, Any] = {**_SIZE, "intermediate_size": 128, "max_position_embeddings": 7, "projection_dim": 64}
"""Text tower, of CLIP's class. Its states are the target of generation, as those of Stable Diffusion's encoder are."""

_FACTS = (tuple(COLOURS), tuple(SHAPES), tuple(LAYOUTS), tuple(COLOURS), tuple(SHAPES))  # word for word of a caption


def _facts(meme: Meme) -> list[int]:
    return [known.index(word) for known, word in zip(_FACTS, meme.caption.split(), strict=True)]


@lru_cache(1)
def lexicon() -> Any:
    """The tokenizer: words of captions, and keywords, which are words with the number of their place."""
    words = {word for known in _FACTS for word in known}
    keywords = [f"{word}{place}" for place, known in enumerate(_FACTS) for word in known]
    return tokenizer_of([" ".join(sorted(words)), " ".join(keywords)], end="</s>")


class Towers(Method):
    """A vision tower and a text tower that tell what is drawn, and agree which caption belongs to which picture.

    Args:
        vision: Settings of the ``CLIPVisionModel``.
        text: Settings of the ``CLIPTextModel``.
    """

    def __init__(self, vision: dict[str, Any], text: dict[str, Any]) -> None:
        super().__init__()
        from transformers import CLIPTextConfig, CLIPTextModel

        self.vision = vision_tower({"model_type": "clip_vision_model", **vision}, {}).requires_grad_(True)
        self.text: Any = CLIPTextModel(CLIPTextConfig(**text))
        width = int(text["hidden_size"])
        self.heads = nn.ModuleList(nn.Linear(width, len(known)) for known in _FACTS)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the five words from either tower, and a contrastive loss between the two.

        Args:
            batch: ``image``, ``caption`` (B, T) as :func:`captioned` has it, ``facts`` (B, 5).
            rng: Not used.
        """
        seen = self.vision(clip_pixels(batch["image"])).pooler_output
        read = self.text(input_ids=batch["caption"]).last_hidden_state[:, -1]
        total = soft_contrastive(seen, read, identity_targets(len(seen), seen), 0.1)
        for place, head in enumerate(self.heads):
            for vector in (seen, read):
                total = total + cross_entropy(head(vector), batch["facts"][:, place])
        return {"loss": total}


class KeywordReader(Method):
    """A language model that writes a caption from its keywords, in any order, or from nothing.

    Args:
        settings: Settings of the language model.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.model = language_model(settings, {})

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Next-token cross-entropy of the caption; of half of the items, all keywords are hidden.

        Args:
            batch: ``keywords`` (B, 5), ``line`` (B, T): start token, caption, end of the line.
            rng: Draws the order of the keywords, and which items show them.
        """
        count = batch["keywords"].shape[1]
        order = torch.rand(batch["keywords"].shape, generator=rng, device=rng.device).argsort(1)
        shown = torch.rand(len(order), 1, generator=rng, device=rng.device) < 0.5
        ids = torch.cat([batch["keywords"].gather(1, order), batch["line"]], 1)
        mask = torch.cat([shown.expand(-1, count), torch.ones_like(batch["line"]).bool()], 1)
        logits = self.model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
        labels = batch["line"].clone()
        labels[:, :1] = torch.where(shown, labels[:, :1], IGNORE)
        return {"loss": cross_entropy(logits[:, count - 1 : -1].mT, labels, ignore_index=IGNORE)}


def _ids(texts: Sequence[str]) -> list[list[int]]:
    rows: list[list[int]] = lexicon()(list(texts), add_special_tokens=False)["input_ids"]
    return rows


def captioned(world: MiniMemes, part: str, towers: Towers | None = None) -> TensorData:
    """Pictures with their captions, as GILL trains on them.

    Args:
        world: The mini-memes; of a meme only what is drawn is told.
        part: ``"train"`` or ``"test"``.
        towers: Whose text tower gives the target; None leaves it out.

    Returns:
        ``input_ids`` and ``length`` (eight picture words at the end), ``image``, ``target`` (N, 7, 64), and what the
        frozen parts were trained with: ``caption``, ``facts``, ``keywords``, ``line``.
    """
    memes, ends = world.memes[part], lexicon().eos_token_id
    rows = _ids([meme.caption for meme in memes])
    items = end_in_image(rows, len(lexicon()), start=ends, pad=ends)
    items["image"] = world.pictures[part]
    items["facts"] = torch.tensor([_facts(meme) for meme in memes])
    items["caption"] = torch.tensor([[ends, *row, ends] for row in rows])
    keys = [" ".join(f"{word}{place}" for place, word in enumerate(meme.caption.split())) for meme in memes]
    items["keywords"] = torch.tensor(_ids(keys))
    items["line"] = torch.tensor([[ends, *row, *_ids(["\n"])[0]] for row in rows])
    if towers is not None:
        with towers.evaluating():
            items["target"] = towers.text(input_ids=items["caption"]).last_hidden_state
    return TensorData(items)


def keyword_reader(world: MiniMemes, seed: int = 0, **training: Any) -> KeywordReader:
    """The language model, trained on the captions of the training part, and kept for the next call.

    Args:
        world: The mini-memes.
        seed: Seed of its weights and its training.
        **training: Arguments of fit that replace the usual ones.
    """
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), lexicon().eos_token_id)
    size = {"vocab_size": len(lexicon()), "max_position_embeddings": 48}
    reader = KeywordReader.seeded(seed, {**LANGUAGE, **ends, **size})
    usual: dict[str, Any] = {"steps": 900, "batch_size": 64, "lr": 3e-3, "warmup": 50, "schedule": "cosine"}
    data = captioned(world, "train")
    kept = TensorData({key: data.tensors[key] for key in ("keywords", "line")})
    return trained_once(reader, kept, seed=seed, **(usual | {"progress": False} | training))


def frozen_towers(world: MiniMemes, seed: int = 0, **training: Any) -> Towers:
    """The two towers, trained on the training part, and kept for the next call.

    Args:
        world: The mini-memes.
        seed: Seed of their weights and their training.
        **training: Arguments of fit that replace the usual ones.
    """
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), lexicon().eos_token_id)
    towers = Towers.seeded(seed, VISION, {**TEXT, **ends, "vocab_size": len(lexicon())})
    usual: dict[str, Any] = {"steps": 800, "batch_size": 32, "lr": 2e-3, "warmup": 50, "schedule": "cosine"}
    data = captioned(world, "train")
    kept = TensorData({key: data.tensors[key] for key in ("image", "caption", "facts")})
    return trained_once(towers, kept, seed=seed, **(usual | {"progress": False} | training))
