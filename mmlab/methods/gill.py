"""GILL (Koh, Fried and Salakhutdinov 2023): a frozen language model that reads pictures, finds them and draws them.

Symbols: v is the pooled vector of a picture from a frozen vision tower, w a word vector, h a state of the frozen
language model. Its vocabulary grows by R words, [IMG0] ... [IMG(R-1)], whose vectors E are learnt; their states H say
which picture is meant. A linear map of the first state finds it, the mapper f with learnt queries q draws it: its
output stands where the states T(y) of a caption y in a text-to-picture model would stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from mmlab.card import Card, Claim
from mmlab.data.image_words import IGNORE, caption_labels, end_in_image, join_pairs, places_in_pairs, text_labels
from mmlab.losses.contrastive import identity_targets, soft_contrastive
from mmlab.losses.language_modelling import language_modelling_loss
from mmlab.method import Batch, Method
from mmlab.nn import from_transformers
from mmlab.nn.from_transformers import Part, clip_pixels, has_plain_head, settings
from mmlab.nn.mapper import Mapper
from mmlab.nn.picture_words import keep_text, read_kept, write_on
from mmlab.nn.splicing import Spliced, splice, with_room
from mmlab.store.gill_layout import CLIP_L14, OPT_6_7B, OPT_WORDS, is_gill, load_gill

__all__ = ["GILL", "rescale", "token_distance"]

_WEIGHTS = {"captioning": 1.0, "retrieval": 1.0, "generation": 1.0}


def token_distance(made: Tensor, target: Tensor) -> Tensor:
    """Mean Euclidean distance of vectors (B, Q, D): of each position its own norm, neither squared nor divided by D."""
    return (made - target).norm(dim=-1).mean()  # Eq. (5)


def rescale(vectors: Tensor, size: Tensor | float) -> Tensor:
    """Rows (R, D) of the same directions, each with this norm."""
    return vectors * (size / vectors.norm(dim=-1, keepdim=True))  # Eq. (7)


class GILL(Method):
    """Read pictures and words; write words; find pictures, or say how they are to be drawn.

    Language model and vision tower stay frozen. What is learnt: the map from a picture to k word vectors, R vectors of
    picture words, two maps into the space of retrieval, the mapper, and a temperature. The decision model, whether to
    find or to draw, is trained apart from them.

    Args:
        language_model: A causal language model of transformers whose head is its embedding, as configuration, settings
            or model, see :mod:`mmlab.nn.from_transformers`; settings without ``model_type`` are of ``OPTConfig``. None
            is OPT-6.7B.
        vision_tower: A tower of transformers with a pooled output, likewise; settings without ``model_type`` are of
            ``CLIPVisionConfig``. None is CLIP ViT-L/14.
        image_tokens: R, number of picture words.
        prefix: k, number of word vectors that a picture becomes.
        retrieval_width: Width of the vectors that pictures are found by.
        queries: Q, number of target vectors.
        target_width: Their width.
        mapper: Further arguments of :class:`mmlab.nn.mapper.Mapper`: ``kind``, ``hidden``, ``layers``, ``heads``.
        vocabulary: Number of words of the tokenizer; [IMG0] has this id. None is that of the language model, and of the
            published weights for OPT-6.7B.
        concatenate: Probability with which the items of a batch are joined to pairs, drawn for captions and texts
            apart.
        weights: Weights of the losses ``captioning``, ``retrieval`` and ``generation``; what is not named counts 1, and
            what has weight 0 is not computed.

    Raises:
        TypeError: If a part is neither configuration, settings nor model.
        ValueError: If a part cannot be built or used here, or a number is impossible.

    Source:
        Koh, Fried and Salakhutdinov 2023, "Generating Images with Multimodal Language Models", and its repository.
    """

    card = Card(
        name="GILL",
        family="vision and language",
        paper="koh2023gill",
        summary="A frozen language model that reads pictures, writes, and finds or draws pictures.",
        inputs=("input_ids", "length", "image", "target"),
        outputs=("tokens", "prompt_embeds"),
        claims=(
            Claim("distance to the target", "constant mean", "lower", kind="sanity"),
            Claim("recall at 1", "chance", "higher", kind="sanity"),
            Claim("distance to the target", "linear mapper", "lower"),
        ),
        tags=("OPT", "CLIP", "retrieval", "text to image", "captioning", "interleaved"),
    )

    language_model: Any  # of transformers, whose annotations are wider than what is built here
    vision_tower: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note parts of transformers as their settings, from which they are built again."""
        return super().__new__(cls, *map(settings, args), **{name: settings(value) for name, value in kwargs.items()})

    def __init__(
        self,
        language_model: Part = None,
        vision_tower: Part = None,
        image_tokens: int = 8,
        prefix: int = 4,
        retrieval_width: int = 256,
        queries: int = 77,
        target_width: int = 768,
        mapper: Mapping[str, Any] | None = None,
        vocabulary: int | None = None,
        concatenate: float = 0.5,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if min(image_tokens, prefix, retrieval_width, queries, target_width) < 1 or not 0 <= concatenate <= 1:
            raise ValueError("GILL: all numbers must be at least 1, and concatenate a probability from 0 to 1.")
        if unknown := sorted(set(weights or {}) - set(_WEIGHTS)):
            raise ValueError(f"GILL: weights={unknown[0]!r} is none of {', '.join(_WEIGHTS)}.")
        self.image_tokens, self.prefix_tokens, self.concatenate = image_tokens, prefix, concatenate
        self.weights = {**_WEIGHTS, **(weights or {})}
        self.language_model = from_transformers.language_model(language_model, OPT_6_7B).requires_grad_(False)
        self.vision_tower = from_transformers.vision_tower(vision_tower, CLIP_L14)
        table = self.language_model.get_input_embeddings().weight
        self.words = vocabulary or (OPT_WORDS if language_model is None else len(table))
        if not 1 <= self.words <= len(table):
            raise ValueError(f"vocabulary={vocabulary}: the language model has {len(table)} word vectors.")
        if not table.is_meta and not (
            self.language_model.get_output_embeddings().weight is table and has_plain_head(self.language_model)
        ):
            raise ValueError(
                "GILL needs a language model whose head is its embedding (tie_word_embeddings=True), as OPT."
            )
        width, seen = table.shape[1], int(self.vision_tower.config.hidden_size)
        self.prefix = nn.Linear(seen, prefix * width)
        self.find_image = nn.Linear(seen, retrieval_width)
        self.find_text = nn.Linear(width, retrieval_width)
        self.mapper = Mapper(width, image_tokens, target_width, queries, **(mapper or {}))
        self.image_embedding = nn.Parameter(torch.randn(image_tokens, width) * 0.02)
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        self.decision = nn.Sequential(nn.Dropout(0.5), nn.Linear(width, 2)).requires_grad_(False)
        self.prefix.requires_grad_(bool(self.weights["captioning"]))
        self.mapper.requires_grad_(bool(self.weights["generation"]))
        self.find_image.requires_grad_(bool(self.weights["retrieval"]))
        self.find_text.requires_grad_(bool(self.weights["retrieval"]))
        self.log_scale.requires_grad_(bool(self.weights["retrieval"]))
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As always; the frozen parts stay in evaluation mode, or their dropout would be back."""
        super().train(mode)
        self.language_model.eval()
        self.vision_tower.eval()
        return self

    # --- what goes in -------------------------------------------------------------------------------------------------

    def pooled(self, image: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] as the tower's pooled vectors v, (B, Dv): not CLIP's projected ones."""
        v: Tensor | None = self.vision_tower(clip_pixels(image)).pooler_output
        if v is None:
            raise ValueError("vision_tower: it gives no pooled vector of a picture; CLIP's does.")
        return v

    def seen(self, batch: Batch) -> Tensor:
        """V of a batch, kept (``pooled``) or computed."""
        return batch["pooled"] if "pooled" in batch else self.pooled(batch["image"])

    def read_pictures(self, v: Tensor) -> Tensor:
        """Pooled vectors (B, Dv) as k word vectors each, (B, k, D)."""
        made: Tensor = self.prefix(v)
        return made.view(len(v), self.prefix_tokens, -1)  # Eq. (1)

    def embed_words(self, ids: Tensor) -> Tensor:
        """Words and picture words as vectors, (...) -> (..., D)."""
        table = self.language_model.get_input_embeddings()
        own = self.image_embedding[(ids - self.words).clamp(0, self.image_tokens - 1)]
        return torch.where((ids >= self.words)[..., None], own, table(ids.clamp(0, self.words - 1)))

    def logits(self, states: Tensor) -> Tensor:
        """Scores of all words and, behind them, of the picture words: (..., D) -> (..., V + R)."""
        plain = self.language_model.get_output_embeddings()(states)[..., : self.words]
        return torch.cat([plain, states @ self.image_embedding.mT], -1)

    def states(self, vectors: Tensor, mask: Tensor, past: Any = None) -> Tensor:
        """Last states h of the language model, (B, T, D). What it has read before may be handed in as its cache."""
        read = {
            "inputs_embeds": vectors,
            "attention_mask": mask,
            "use_cache": past is not None,
            "past_key_values": past,
        }
        h: Tensor = self.language_model.base_model(**read).last_hidden_state
        return h

    # --- losses -------------------------------------------------------------------------------------------------------

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The weighted sum of the losses; retrieval and generation share one reading of the text.

        Args:
            batch: ``input_ids`` (B, T) and ``length`` (B,) of :func:`mmlab.data.image_words.end_in_image`; ``image``
                (B, 3, H, W) and ``target`` (B, Q, D); what :meth:`cache` keeps is used where it is there.
            rng: Draws whether pairs are joined.
        """
        joined = [False, False]
        if self.concatenate:
            joined = (torch.rand(2, generator=rng, device=rng.device) < self.concatenate).tolist()
        w, found = self.weights, {}
        total = self.image_embedding.new_zeros(())
        if w["captioning"] or w["retrieval"]:
            v = self.seen(batch)
        if w["captioning"]:
            found["captioning"] = self.captioning_loss(batch, v, joined[0])
            total = total + w["captioning"] * found["captioning"]
        if w["retrieval"] or w["generation"]:
            h, found["words"] = self.read_text(batch, joined[1])
            total = total + (w["retrieval"] + w["generation"]) / 2 * found["words"]
        if w["retrieval"]:
            found["retrieval"] = self.retrieval_loss(v, h)
            total = total + w["retrieval"] * found["retrieval"]
        if w["generation"]:
            found["generation"] = token_distance(self.prompt_embeds(h), batch["target"])
            total = total + w["generation"] * found["generation"]
        return {"loss": total, **{name: value.detach() for name, value in found.items()}}  # Eq. (6)

    def captioning_loss(self, batch: Batch, v: Tensor, joined: bool = False) -> Tensor:
        """Cross-entropy of the captions after their pictures, start token included, up to [IMG0]."""
        ids, k = batch["input_ids"][:, : -self.image_tokens], self.prefix_tokens  # none is cut: they end every row
        labels = caption_labels(batch["input_ids"], batch["length"], self.image_tokens)[:, : ids.shape[1]]
        vectors = torch.cat([self.read_pictures(v), self.embed_words(ids)], 1)
        labels = torch.cat([labels.new_full((len(ids), k), IGNORE), labels], 1)
        length = batch["length"] - self.image_tokens + k
        hidden, labels, _ = self._read(vectors, labels, length, k if joined else None)
        return self._cross_entropy(hidden, labels)  # Eq. (2)

    def read_text(self, batch: Batch, joined: bool = False) -> tuple[Tensor, Tensor]:
        """States H of the picture words behind each caption, (B, R, D), and the cross-entropy of words and [IMG0]."""
        if "text_keys" in batch:
            return read_kept(self, batch)
        labels = text_labels(batch["input_ids"], batch["length"], self.image_tokens)
        vectors = self.embed_words(batch["input_ids"])
        hidden, labels, places = self._read(vectors, labels, batch["length"], 0 if joined else None)
        steps = torch.arange(self.image_tokens, device=labels.device)
        first = batch["length"] - self.image_tokens
        rows = torch.tensor([row for row, _ in places], device=labels.device)
        moved = torch.tensor([shift for _, shift in places], device=labels.device)
        h = hidden[rows[:, None], (first + moved)[:, None] + steps]
        return h, self._cross_entropy(hidden, labels)  # Eq. (3)

    def retrieval_loss(self, v: Tensor, h: Tensor) -> Tensor:
        """InfoNCE both ways: each picture among the batch's captions, each caption among its pictures."""
        targets, temperature = identity_targets(len(v), v), (-self.log_scale).exp()
        return soft_contrastive(self.find_image(v), self.find_text(h[:, 0]), targets, temperature)  # Eq. (4)

    def after_step(self) -> None:
        """Give each picture word the mean norm of the words."""
        with torch.no_grad():
            table = self.language_model.get_input_embeddings().weight[: self.words]
            self.image_embedding.copy_(rescale(self.image_embedding, table.norm(dim=1).mean()))

    def _read(
        self, vectors: Tensor, labels: Tensor, length: Tensor, start: int | None
    ) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
        """States of items, each for itself or (with the place of the start token) joined to pairs."""
        places = [(row, 0) for row in range(len(vectors))]
        if start is not None:
            ends = length.tolist()
            rows = join_pairs([row[:end] for row, end in zip(vectors, ends, strict=True)], start)
            said = join_pairs([row[:end] for row, end in zip(labels, ends, strict=True)], start)
            places, length = places_in_pairs(ends), torch.tensor([len(row) for row in rows], device=length.device)
            vectors = pad_sequence(rows, batch_first=True)
            labels = pad_sequence(said, batch_first=True, padding_value=IGNORE)
        mask = torch.arange(vectors.shape[1], device=length.device) < length[:, None]
        return self.states(vectors, mask.long()), labels, places

    def _cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        asked = labels[:, 1:] != IGNORE  # position t predicts t + 1
        return language_modelling_loss(hidden[:, :-1][asked], self.logits, labels[:, 1:][asked])

    # --- what is frozen is computed once ------------------------------------------------------------------------------

    @torch.no_grad()
    def cache(self, batch: Batch) -> Batch:
        """All that no training changes: keep it beside a dataset, and a step computes neither tower nor caption again.

        The captions' states, keys and values do not depend on what is learnt, since the picture words come last. With
        joined pairs they would, so those are not kept where ``concatenate`` is above 0.

        Args:
            batch: As for :meth:`loss`.

        Returns:
            ``pooled`` (B, Dv); ``text_keys`` (B, layers, 2, heads, T, D/heads), ``text_states`` (B, T, D) and
            ``text_scores`` (B, T, 2): log-sum-exp of the words' logits, and the logit of the next word.
        """
        kept = {"pooled": self.seen(batch)}
        if self.concatenate:
            return kept
        return kept | keep_text(self, batch)

    # --- what comes out -----------------------------------------------------------------------------------------------

    def prompt_embeds(self, states: Tensor) -> Tensor:
        """States H of the picture words (B, R, D) as what a text-to-picture model reads, (B, Q, target width)."""
        made: Tensor = self.mapper(states + self.image_embedding)
        return made

    def text_vectors(self, states: Tensor) -> Tensor:
        """States H of the picture words (B, R, D) as unit vectors to find pictures by; only that of [IMG0] counts."""
        return normalize(self.find_text(states[:, 0]), dim=-1)

    def image_vectors(self, v: Tensor) -> Tensor:
        """Pooled vectors (B, Dv) as unit vectors that are found."""
        return normalize(self.find_image(v), dim=-1)

    def decide(self, states: Tensor) -> Tensor:
        """Probabilities to draw and to find, (B, 2), from the state of [IMG0]."""
        training = self.decision.training
        made: Tensor = self.decision.eval()(states[:, 0]).softmax(-1)
        self.decision.train(training)
        return made

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Unit vectors of the pictures (``image``) and of the captions (``text``) of a batch as for :meth:`loss`."""
        with self.evaluating():
            return {
                "image": self.image_vectors(self.seen(batch)),
                "text": self.text_vectors(self.read_text(batch)[0]),
            }

    def read(self, batch: Batch, side: Literal["left", "right"] = "left") -> Spliced:
        """Texts among which pictures stand, as vectors; see :func:`mmlab.nn.splicing.splice`."""
        images, features = batch.get("images"), None
        if images is not None and images.shape[1]:
            made = self.read_pictures(self.pooled(images.flatten(0, 1)))
            features = made.view(*images.shape[:2], *made.shape[1:])  # (B, M, k, D)
        return splice(self.embed_words, batch["input_ids"], batch["length"], features, side=side)

    def generate(
        self,
        batch: Batch,
        rng: torch.Generator | None = None,
        *,
        max_new_tokens: int = 32,
        min_words: int = 0,
        scale: float = 1.0,
        temperature: float = 0.0,
        stop: Sequence[int] | None = None,
        cached: bool = True,
        streamer: Any = None,
    ) -> Tensor:
        """Write on: new tokens (B, T_new); behind the end of an answer stands its end token again.

        Once [IMG0] is chosen, the other picture words follow whatever the model thinks, even beyond the last token that
        was asked for.

        Args:
            batch: ``input_ids`` (B, T), with :data:`mmlab.nn.splicing.IMAGE` where a picture goes, ``length`` (B,), and
                ``images`` (B, M, 3, H, W) if there are any.
            rng: Draws the words if the temperature is above 0.
            max_new_tokens: Most tokens.
            min_words: Words before a picture may begin.
            scale: See :func:`mmlab.nn.picture_words.may_emit`.
            temperature: 0 takes the most probable word.
            stop: Ids that end an answer; None is the language model's end-of-text token.
            cached: Whether keys and values are kept from step to step; the published code computes them anew.
            streamer: Has ``put``, which is given the tokens of each step, and ``end``.

        Raises:
            ValueError: If words are to be drawn without ``rng``, or none at all, or there is no room for the prompt.
        """
        if max_new_tokens < 1 or (temperature > 0 and rng is None):
            raise ValueError("generate: max_new_tokens must be at least 1, and a temperature above 0 needs rng.")
        ends = self.language_model.config.eos_token_id if stop is None else list(stop)
        with self.evaluating():
            prompt = with_room(self.read(batch), getattr(self.language_model.config, "max_position_embeddings", None))
            return write_on(
                self,
                prompt,
                ends,
                max_new_tokens,
                rng,
                min_words=min_words,
                scale=scale,
                temperature=temperature,
                cached=cached,
                streamer=streamer,
            )

    def image_states(self, batch: Batch, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """States H of every picture in answers, by one reading of prompt and answer: writing does not give all of them.

        Args:
            batch: The prompts, as for :meth:`generate`.
            tokens: The answers (B, T_new).

        Returns:
            H (M, R, D) of the M pictures, and (M, 2): row and position of each [IMG0] in ``tokens``.
        """
        with self.evaluating():
            read = self.read(batch)
            places = (tokens == self.words).nonzero()
            vectors = torch.cat([read.vectors, self.embed_words(tokens)], 1)
            mask = torch.cat([read.mask, torch.ones_like(tokens)], 1)  # what stands behind an end is not looked back at
            h = self.states(vectors, mask)[:, read.vectors.shape[1] :]
            steps = torch.arange(self.image_tokens, device=tokens.device)
            return h[places[:, :1], places[:, 1:] + steps], places

    @classmethod
    def from_pretrained(cls, place: str | Path, *, map_location: str = "cpu", **how: Any) -> Self:  # type: ignore[override]
        """Load what :meth:`save_pretrained` wrote, or the published layout: :mod:`mmlab.store.gill_layout`."""
        if not is_gill(place):
            return super().from_pretrained(place, map_location=map_location, **how)
        published: Self = load_gill(cls, place, **how)
        return published.to(map_location).eval()

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two layers, 16 wide, and four pictures of noise, each with a caption of up to four random words."""
        size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
        opt = size | ends | {"vocab_size": 20, "ffn_dim": 32, "word_embed_proj_dim": 16, "max_position_embeddings": 64}
        clip = size | {"intermediate_size": 32, "image_size": 16, "patch_size": 8}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            mapper = {"hidden": 16, "layers": 1, "heads": 2}
            method = cls(opt, clip, 3, 2, 8, 4, 6, mapper, concatenate=0.0)
            captions = [torch.randint(2, 20, (count,)).tolist() for count in (4, 3, 4, 2)]
            image, target = torch.rand(4, 3, 16, 16) * 2 - 1, torch.randn(4, 4, 6)
        words = end_in_image(captions, method.words, method.image_tokens, start=0)
        return method, {**words, "image": image, "target": target}
