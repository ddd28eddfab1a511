"""TinyLLaVA (Zhou et al. 2024): a vision tower, a connector and a small language model, joined by one splice.

Symbols: v are the tower's tokens of a picture (P of them), h = g(v) what the connector g makes of them, w the word
vectors; the language model reads [w_before; h; w_after] and is asked for the answer only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.losses.language_modelling import language_modelling_loss
from mmlab.method import Batch, Method
from mmlab.nn.connectors import ConnectorKind, make_connector, tokens_after
from mmlab.nn.splicing import IGNORE, IMAGE, Spliced, splice
from mmlab.store.published import PHI_2, SIGLIP_SO400M, is_published, load_published

__all__ = ["TinyLLaVA"]


class TinyLLaVA(Method):
    """Read pictures and words, and write words.

    Built out of transformers' Phi and SigLIP. The tower is frozen; the connector and the language model are trained,
    or what a stage names, or LoRA: see :mod:`mmlab.train.tuning`.

    Args:
        language: Arguments of transformers' ``PhiConfig``; by default, those of Phi-2.
        vision: Arguments of ``SiglipVisionConfig``; by default, those of the published tower.
        connector: Kind of connector.
        queries: Tokens of a picture, for the connectors that choose their number.
        drop_first_patch: Whether the first patch is thrown away, as when the published weights were trained: it was
            taken for a class token, and SigLIP has none.
        vision_layer: Which of the tower's states is read; the last but one in the published model.
        checkpointing: Whether the language model recomputes its activations in the backward pass, to save memory.

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
        claims=(Claim("exact answers", "no picture", "higher"), Claim("exact answers", "shuffled pictures", "higher")),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
    )

    language_model: Any  # of transformers, whose annotations are wider than what is built here
    vision_tower: Any

    def __init__(
        self,
        language: dict[str, Any] | None = None,
        vision: dict[str, Any] | None = None,
        connector: ConnectorKind = "mlp",
        queries: int = 16,
        drop_first_patch: bool = True,
        vision_layer: int = -2,
        checkpointing: bool = False,
    ) -> None:
        from transformers import PhiConfig, PhiForCausalLM, SiglipVisionConfig, SiglipVisionModel

        super().__init__()
        self.drop_first_patch, self.vision_layer = drop_first_patch, vision_layer
        self.language_model = PhiForCausalLM(PhiConfig(**(language or PHI_2)))
        model = self.language_model
        model.get_input_embeddings().padding_idx = None  # what pads may also end a round, and must then be learnt
        self.vision_tower = SiglipVisionModel(SiglipVisionConfig(**(vision or SIGLIP_SO400M))).requires_grad_(False)
        widths = self.vision_tower.config.hidden_size, model.config.hidden_size
        self.connector = make_connector(connector, *widths, queries)
        if checkpointing:  # the reentrant kind needs inputs that ask for a gradient; frozen embeddings do not
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": False})

    @property
    def image_tokens(self) -> int:
        """How many positions a picture takes in the sequence."""
        config = self.vision_tower.config
        patches = (config.image_size // config.patch_size) ** 2
        return tokens_after(self.connector, patches - int(self.drop_first_patch))

    def features(self, images: Tensor) -> Tensor:
        """Pictures as tokens for the language model: (B, 3, H, W) in [-1, 1] -> (B, P', D)."""
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
        """Of the next token at every position, (B, T', V)."""
        sequence = self.embed(batch)
        logits: Tensor = self.language_model(inputs_embeds=sequence.vectors, attention_mask=sequence.mask).logits
        return logits

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the answers' tokens; see :func:`mmlab.losses.language_modelling.language_modelling_loss`."""
        sequence = self.embed(batch)
        if sequence.labels is None:
            raise ValueError("TinyLLaVA: a batch to train on needs labels; mmlab.data.conversations makes them.")
        body = self.language_model.model(inputs_embeds=sequence.vectors, attention_mask=sequence.mask, use_cache=False)
        asked = sequence.labels[:, 1:] != IGNORE  # position t predicts t + 1
        hidden, labels = body.last_hidden_state[:, :-1][asked], sequence.labels[:, 1:][asked]
        weights = None if sequence.weights is None else sequence.weights[:, 1:][asked]
        head = self.language_model.lm_head
        return {"loss": language_modelling_loss(hidden, head, labels, weights, len(asked))}  # Eq. (3)

    @torch.no_grad()
    def generate(self, batch: Batch, rng: torch.Generator | None = None, **how: Any) -> Tensor:
        """Write on: new tokens (B, T_new) only, padded after the end of each answer.

        Args:
            batch: Prompts; their labels are not looked at.
            rng: Seeds sampling; without it, the global generator does.
            **how: Of transformers' ``generate``: ``max_new_tokens``, ``num_beams``, ``do_sample``, ``streamer``,
                ``prefix_allowed_tokens_fn``, ...
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
