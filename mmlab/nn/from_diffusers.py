"""Parts out of diffusers: a conditional U-Net, an autoencoder and CLIP's text encoder, built from settings alone.

A part may be said as a model, or as a dictionary of the settings of its class; both are noted as plain settings, from
which the part is built again when the weights are loaded. None stands for Stable Diffusion 1.5.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from mmlab.nn import from_transformers
from mmlab.wording import few, nearest

__all__ = ["SD_TEXT", "SD_UNET", "SD_VAE", "Part", "autoencoder", "settings", "text_encoder", "unet"]

Part = Any
"""How a part is said: a model of diffusers or transformers, its settings, or None for that of Stable Diffusion 1.5."""

SD_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
"""The U-Net of Stable Diffusion 1.5, where it differs from the defaults of ``UNet2DConditionModel``."""

SD_VAE: dict[str, Any] = {
    "sample_size": 512,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
}
"""The autoencoder of Stable Diffusion 1.5, where it differs from the defaults of ``AutoencoderKL``."""

SD_TEXT: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
"""Text encoder of Stable Diffusion 1.5 (CLIP ViT-L/14), where it differs from the defaults of ``CLIPTextConfig``."""


def settings(part: Any) -> Any:
    """A part as plain settings; what is no model of diffusers or transformers is given back as it is."""
    import diffusers

    if not isinstance(part, diffusers.ModelMixin):
        return from_transformers.settings(part)
    held: Any = part
    values: dict[str, Any] = {name: value for name, value in held.config.items() if not name.startswith("_")}
    return json.loads(json.dumps(values))


def unet(part: Part) -> Any:
    """A ``UNet2DConditionModel``.

    Args:
        part: See :data:`Part`. A model is taken as it is, with its weights.

    Raises:
        TypeError: If the part is said in another way.
        ValueError: If the settings make none.
    """
    from diffusers import UNet2DConditionModel

    return _built(UNet2DConditionModel, part, SD_UNET, "unet")


def autoencoder(part: Part) -> Any:
    """An ``AutoencoderKL``, frozen.

    Args:
        part: See :data:`Part`. A model is taken as it is, with its weights, and frozen.

    Raises:
        TypeError: If the part is said in another way.
        ValueError: If the settings make none.
    """
    from diffusers import AutoencoderKL

    return _built(AutoencoderKL, part, SD_VAE, "vae").requires_grad_(False)


def text_encoder(part: Part) -> Any:
    """A ``CLIPTextModel``.

    Args:
        part: See :data:`Part`. A model is taken as it is, with its weights.

    Raises:
        TypeError: If the part is said in another way.
        ValueError: If the settings make none.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    if isinstance(part, CLIPTextModel):
        return part
    values = settings(SD_TEXT if part is None else part)
    if not isinstance(values, Mapping):
        raise TypeError(
            f"text_encoder is a {type(part).__name__}; hand over a CLIPTextModel, or its settings as a dict."
        )
    kept = {name: value for name, value in values.items() if name not in ("model_type", "dtype", "architectures")}
    try:
        return CLIPTextModel(CLIPTextConfig(**kept))
    except Exception as error:  # each library checks in its own way
        raise ValueError(f"text_encoder: the settings make no CLIPTextModel ({_line(error)}).") from None


def _built(kind: Any, part: Part, usual: Mapping[str, Any], argument: str) -> Any:
    if isinstance(part, kind):
        return part
    values = usual if part is None else part
    if not isinstance(values, Mapping):
        raise TypeError(
            f"{argument} is a {type(part).__name__}; hand over a {kind.__name__}, or its settings as a dict."
        )
    known = [name for name in inspect.signature(kind.__init__).parameters if name != "self"]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"{argument}: {kind.__name__} has no setting {unknown[0]!r}: {nearest(unknown[0], known)}")
    try:
        return kind(**values)
    except Exception as error:
        raise ValueError(f"{argument}: the settings make no {kind.__name__} ({_line(error)}).") from None


def _line(error: Exception) -> str:
    return few([" ".join(str(error).split())])
