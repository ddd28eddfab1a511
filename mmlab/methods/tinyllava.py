"""TinyLLaVA (Zhou et al. 2024): a vision tower, a connector and a small language model, joined by one splice.

Symbols: v are the tower's tokens of a picture (P of them), h = g(v) what the connector g makes of them, w the word
vectors; the language model reads [w_before; h; w_after] and is asked for the answer only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.language_modelling import language_modelling_loss
from mmlab.method import Batch, Method
from mmlab.nn import from_transformers
from mmlab.nn.connectors import ConnectorKind, make_connector, tokens_after
from mmlab.nn.from_transformers import Part, has_plain_head, settings, states_of
from mmlab.nn.splicing import IGNORE, IMAGE, Spliced, splice
from mmlab.store.published import PHI_2, SIGLIP_SO400M, is_published, load_published

__all__ = ["TinyLLaVA"]


class TinyLLaVA(Method):
    """Read pictures and words, and write words.

    The parts are transformers' own, by default Phi-2 and SigLIP. The tower is frozen; the connector and the language
    model are trained, or what a stage names, or LoRA: see :mod:`mmlab.train.tuning`.

    Args:
        language_model: Any causal language model of transformers, as configuration, settings or model, see
            :mod:`mmlab.nn.from_transformers`; settings without ``model_type`` are of ``PhiConfig``. None is Phi-2.
        vision_tower: Any vision tower of transformers, likewise; settings without ``model_type`` are of
            ``SiglipVisionConfig``. None is the published tower.
        connector: Kind of connector.
        queries: Tokens of a picture, for the connectors that choose their number.
        drop_first_patch: Whether the tower's first token is thrown away. It is the class token of CLIP, ViT and DINOv2.
            SigLIP has none, and loses a patch; so it was when the published weights were trained.
        vision_layer: Which of the tower's states is read; the last but one in the published model.
        checkpointing: Whether the language model recomputes its activations in the backward pass, to save memory.
        pixel_mean: Mean of red, green and blue in [0, 1], three numbers, that the tower was trained with; None where it
            reads pixels in [-1, 1], as SigLIP and ViT do.
        pixel_std: Standard deviation of the three, likewise.

    Raises:
        TypeError: If a part is neither configuration, settings nor model.
        ValueError: If a part cannot be built or used here, or a number is impossible.

    Source:
        Zhou et al. 2024, "TinyLLaVA: A Framework of Small-scale Large Multimodal Models"; Liu et al. 2023, "Visual
        Instruction Tuning".
    """

    card = Card(
        name="TinyLLaVA",
        family="vision and language",
        paper="zhou2024tinyllava",
        summary="A vision tower, a connector and a small language model that answers questions about pictures.",
        inputs=("input_ids", "length", "labels", "images"),
        outputs=("tokens",),
        claims=(
            Claim("exact answers", "no picture", "higher", kind="sanity"),
            Claim("exact answers", "shuffled pictures", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("LLaVA", "LoRA", "meme", "VQA", "captioning"),
    )

    language_model: Any  # of transformers, whose annotations are wider than what is built here
    vision_tower: Any
    _plain_head: bool | None = None  # known once the language model has run

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note parts of transformers as their settings, from which they are built again."""
        return super().__new__(cls, *map(settings, args), **{name: settings(value) for name, value in kwargs.items()})

    def __init__(
        self,
        language_model: Part = None,
        vision_tower: Part = None,
        connector: ConnectorKind = "mlp",
        queries: int = 16,
        drop_first_patch: bool = True,
        vision_layer: int = -2,
        checkpointing: bool = False,
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.drop_first_patch = drop_first_patch
        self.vision_layer = vision_layer
        self.pixels = _pixel_scale(pixel_mean, pixel_std)
        self.language_model = from_transformers.language_model(language_model, PHI_2)
        model = self.language_model
        model.get_input_embeddings().padding_idx = None  # what pads may also end a round, and must then be learnt
        self.vision_tower = from_transformers.vision_tower(vision_tower, SIGLIP_SO400M)
        self.states, width = states_of(self.vision_tower, vision_layer)
        self.connector = make_connector(connector, width, model.get_input_embeddings().weight.shape[1], queries)
        if checkpointing:  # the reentrant kind needs inputs that ask for a gradient; frozen embeddings do not
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": False})

    @property
    def image_tokens(self) -> int:
        """How many positions a picture takes in the sequence."""
        return tokens_after(self.connector, self.states - int(self.drop_first_patch))

    def features(self, images: Tensor) -> Tensor:
        """Pictures as tokens for the language model: (B, 3, H, W) in [-1, 1] -> (B, P', D)."""
        if self.pixels is not None:
            mean, std = (torch.tensor(values, device=images.device, dtype=images.dtype) for values in self.pixels)
            images = ((images + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        states = self.vision_tower(images, output_hidden_states=True).hidden_states
        v = states[self.vision_layer][:, int(self.drop_first_patch) :]  # (B, P, Dv)
        h: Tensor = self.connector(v)  # Eq. (2)
        return h

    def embed(self, batch: Batch, side: str = "right") -> Spliced:
        """The sequence that the language model reads, with its mask, labels and weights; see :func:`splice`."""
        images, h = batch.get("images"), None
        if images is not None and images.shape[1]:
            h = self.features(images.flatten(0, 1))
            h = h.view(*images.shape[:2], *h.shape[1:])  # (B, M, P', D)
        embed = self.language_model.get_input_embeddings()
        rest = (batch.get("labels"), batch.get("weights"))
        # Eq. (1)
        return splice(embed, batch["input_ids"], batch["length"], h, *rest, side=side)  # type: ignore[arg-type]

    def logits(self, batch: Batch) -> Tensor:
        """Scores of the next token at every position, (B, T', V)."""
        sequence = self.embed(batch)
        logits: Tensor = self.language_model(inputs_embeds=sequence.vectors, attention_mask=sequence.mask).logits
        return logits

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the answers' tokens; see :func:`mmlab.losses.language_modelling.language_modelling_loss`."""
        sequence = self.embed(batch)
        if sequence.labels is None:
            raise ValueError("TinyLLaVA: a batch to train on needs labels; mmlab.data.conversations makes them.")
        asked = sequence.labels[:, 1:] != IGNORE  # position t predicts t + 1
        labels = sequence.labels[:, 1:][asked]
        weights = None if sequence.weights is None else sequence.weights[:, 1:][asked]
        hidden, head = self._states_and_head(sequence)
        return {"loss": language_modelling_loss(hidden[:, :-1][asked], head, labels, weights, len(asked))}  # Eq. (3)

    def _states_and_head(self, sequence: Spliced) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Values at every position (B, T', ...), and the map from them to logits: so few logits are computed."""
        model = self.language_model
        if self._plain_head is None:
            self._plain_head = has_plain_head(model)
        read = {"inputs_embeds": sequence.vectors, "attention_mask": sequence.mask, "use_cache": False}
        if self._plain_head:
            return model.base_model(**read).last_hidden_state, model.get_output_embeddings()
        return model(**read).logits, nn.Identity()

    @torch.no_grad()
    def generate(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """Write on: new tokens (B, T_new) only, padded after the end of each answer.

        Args:
            batch: Prompts; their labels are not looked at.
            rng: Seeds sampling; without it, the global generator does.
            **how: Arguments of transformers' ``generate``: ``max_new_tokens``, ``num_beams``, ``do_sample``,
                ``streamer``, ``prefix_allowed_tokens_fn``, ...
        """
        with self.evaluating(), torch.random.fork_rng(enabled=rng is not None):
            if rng is not None:  # transformers samples with the global generator
                torch.manual_seed(int(torch.randint(2**62, (), generator=rng, device=rng.device)))
            read = self.embed(batch, side="left")
            made: Tensor = self.language_model.generate(inputs_embeds=read.vectors, attention_mask=read.mask, **how)
            return made

    @classmethod
    def from_pretrained(cls, place: str | Path, *, map_location: str = "cpu", **how: Any) -> Self:  # type: ignore[override]
        """Load what :meth:`save_pretrained` wrote, or a folder of the published model: :mod:`mmlab.store.published`."""
        if not is_published(place):
            return super().from_pretrained(place, map_location=map_location, **how)
        published: Self = load_published(cls, place, **how)
        return published.to(map_location).eval()

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Two layers, 16 wide, and three pictures of noise, each with a random answer of three words."""
        size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(size | ends | {"vocab_size": 24}, size | {"image_size": 16, "patch_size": 8})
            input_ids, images = torch.randint(1, 24, (3, 8)), torch.rand(3, 1, 3, 16, 16) * 2 - 1
        input_ids[:, 1] = IMAGE
        length, labels = torch.tensor([8, 7, 8]), input_ids.clone()
        labels[:, :5] = IGNORE
        return method, {"input_ids": input_ids, "length": length, "labels": labels, "images": images}


def _pixel_scale(mean: Sequence[float] | None, std: Sequence[float] | None) -> list[list[float]] | None:
    """Both, checked; None where neither is given."""
    if mean is None and std is None:
        return None
    for name, values in (("pixel_mean", mean), ("pixel_std", std)):
        if values is None or len(values) != 3 or (name == "pixel_std" and min(values) <= 0):
            raise ValueError(f"{name}={values}: both pixel_mean and pixel_std need three numbers, the second above 0.")
    return [list(mean or ()), list(std or ())]
