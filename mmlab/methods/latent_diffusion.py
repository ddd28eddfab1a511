"""Latent diffusion: pictures are compressed, and noise is taken out of their codes under the guidance of a text.

Symbols: x is a picture, z its latent code, y a prompt and τ(y) the states of its words; ᾱ_t is how much of the code's
variance is left at time t (0 the code, T almost pure noise), ε the noise, v the velocity, f_θ the U-Net, which is asked
for ε or v, and g the guidance scale.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.diffusion.steps import ddim_step
from mmlab.method import Batch, Method
from mmlab.nn import from_diffusers
from mmlab.nn.from_diffusers import Part, settings
from mmlab.store.pipelines import load_pipeline

__all__ = [
    "SCHEDULE",
    "LatentDiffusion",
    "alpha_bar",
    "ddim_times",
    "guided",
    "min_snr_weight",
    "perturb",
    "shifted_times",
    "velocity",
]

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
"""The noise schedule of Stable Diffusion 1.5, as its ``DDIMScheduler`` has it."""

Look = Callable[[Tensor, Tensor], Tensor]
"""What is predicted for noised codes and their times."""

_ASKED = ("epsilon", "v_prediction")


def alpha_bar(steps: int, first: float, last: float) -> Tensor:
    """ᾱ_t for t = 0 ... T-1, (T,) float32, where √β_t rises linearly from √first to √last ("scaled linear")."""
    beta = torch.linspace(first**0.5, last**0.5, steps).square()
    return (1 - beta).cumprod(0)  # Eq. (2)


def perturb(z: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """z_t of codes (B, ...) for ᾱ_t = ``level``, which broadcasts against them."""
    return level.sqrt() * z + (1 - level).sqrt() * noise  # Eq. (3)


def velocity(z: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Velocity v of codes and noise (B, ...): how z_t changes while it turns from the code to the noise."""
    return level.sqrt() * noise - (1 - level).sqrt() * z  # Eq. (5)


def min_snr_weight(level: Tensor, gamma: float) -> Tensor:
    """Weight of the noise's squared error at ᾱ_t = ``level``: no time counts more than SNR = γ does for the code."""
    snr = level / (1 - level)
    return snr.clamp(max=gamma) / snr  # Eq. (6)


def guided(without: Tensor, told: Tensor, scale: float) -> Tensor:
    """The noise without a prompt, and beyond the noise that the prompt makes expect: 1 is the prompt alone."""
    return without + scale * (told - without)  # Eq. (7)


def shifted_times(draw: Tensor, shift: float, steps: int) -> Tensor:
    """Times in 0 ... steps - 1 for draws from the unit interval; a shift s takes a share u to s u / (1 + (s - 1) u)."""
    share = shift * draw / (1 + (shift - 1) * draw)
    return (share * steps).long().clamp(max=steps - 1)


def ddim_times(train_steps: int, steps: int, offset: int = 1) -> Tensor:
    """Times that a sampler visits, (steps,) from late to early: evenly spaced, as Stable Diffusion has them."""
    return torch.arange(steps).flip(0) * (train_steps // steps) + offset


class LatentDiffusion(Method):
    """Draw pictures from prompts, as Stable Diffusion does, with the network classes of diffusers and transformers.

    U-Net and text encoder are trained together; the autoencoder comes trained and stays frozen.

    Args:
        unet: ``UNet2DConditionModel``, or its settings; None is that of Stable Diffusion 1.5.
        vae: ``AutoencoderKL``, or its settings; None is that of Stable Diffusion 1.5.
        text_encoder: ``CLIPTextModel``, or its settings; None is CLIP ViT-L/14.
        schedule: Settings of the ``DDIMScheduler`` that differ from :data:`SCHEDULE`. Its ``prediction_type`` says what
            the U-Net is asked for: ``"epsilon"``, the noise, or ``"v_prediction"``, the velocity.
        drop_condition: Probability with which training shows the empty prompt instead; guidance needs it above 0.
        min_snr: γ of the Min-SNR weighting; None weighs all times alike.
        train_text: Whether the text encoder is trained.
        shift: Above 1, late times are drawn more often; 1 draws all alike.

    Raises:
        TypeError: If a part is neither model nor settings.
        ValueError: If a part cannot be built, two do not fit together, or a number is impossible.

    Source:
        Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models"; Ho and Salimans 2022
        (guidance); Salimans and Ho 2022 (velocity); Hang et al. 2023 (Min-SNR); Esser et al. 2024 (shift).
    """

    card = Card(
        name="Latent diffusion (Stable Diffusion)",
        family="words to pictures",
        paper="rombach2022latent",
        summary="Draws pictures from a text by taking noise out of a compressed code of them.",
        inputs=("input_ids", "image"),
        outputs=("image",),
        claims=(
            Claim("position", "no guidance", "higher", kind="paper"),
            Claim("position", "shuffled prompts", "higher", kind="sanity"),
        ),
        budget=Budget(gpu_minutes=20, gpu_memory_gb=14),
        tags=("Stable Diffusion", "text to image", "guidance", "diffusers", "colonoscopy"),
    )
    draws = None  # it draws pictures from prompts: the two have no common shape

    unet: Any  # of diffusers, which has no types
    vae: Any
    text_encoder: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the parts as their settings, from which they are built again."""
        return super().__new__(cls, *map(settings, args), **{name: settings(value) for name, value in kwargs.items()})

    def __init__(
        self,
        unet: Part = None,
        vae: Part = None,
        text_encoder: Part = None,
        schedule: dict[str, Any] | None = None,
        drop_condition: float = 0.1,
        min_snr: float | None = None,
        train_text: bool = True,
        shift: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= drop_condition <= 1:
            raise ValueError(f"drop_condition={drop_condition} is a probability and must be in [0, 1].")
        if min_snr is not None and not min_snr > 0:
            raise ValueError(f"min_snr={min_snr}: γ must be positive, or None for equal weights.")
        if not shift > 0:
            raise ValueError(f"shift={shift} must be positive; 1 draws all times alike.")
        self.unet = from_diffusers.unet(unet)
        self.vae = from_diffusers.autoencoder(vae)
        self.text_encoder = from_diffusers.text_encoder(text_encoder)
        if not train_text:
            self.text_encoder.requires_grad_(False)
        self.drop_condition, self.min_snr, self.shift = drop_condition, min_snr, shift
        self.schedule = SCHEDULE | (schedule or {})
        if self.schedule["beta_schedule"] != "scaled_linear":
            raise ValueError(f"schedule: beta_schedule={self.schedule['beta_schedule']!r} must be 'scaled_linear'.")
        if self.schedule["prediction_type"] not in _ASKED:
            raise ValueError(
                f"schedule: prediction_type={self.schedule['prediction_type']!r} is none of {', '.join(_ASKED)}."
            )
        width, words = self.unet.config.cross_attention_dim, self.text_encoder.config
        if words.hidden_size != width:
            raise ValueError(
                f"The U-Net reads words {width} wide and the text encoder makes them {words.hidden_size} wide: set "
                "cross_attention_dim and hidden_size to the same number."
            )
        made, read = self.vae.config.latent_channels, self.unet.config.out_channels
        if made != read:
            raise ValueError(f"The autoencoder's codes have {made} channels and the U-Net's {read}: they must agree.")
        empty = torch.full((words.max_position_embeddings,), words.pad_token_id)
        empty[0], empty[1] = words.bos_token_id, words.eos_token_id
        levels = alpha_bar(*(self.schedule[name] for name in ("num_train_timesteps", "beta_start", "beta_end")))
        self.empty: Tensor
        self.levels: Tensor
        self.register_buffer("empty", empty, persistent=False)
        self.register_buffer("levels", levels, persistent=False)

    def encode(self, image: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Codes z of pictures (B, 3, H, W) in [-1, 1]: the mean, or with a generator a draw."""
        with torch.no_grad():
            return self._code(self.moments(image), rng)

    @torch.no_grad()
    def moments(self, image: Tensor) -> Tensor:
        """Mean and log variance of the codes, (B, 2 C, h, w): computed once, they save the encoder in training."""
        parameters: Tensor = self.vae.encode(image).latent_dist.parameters
        return parameters

    def decode(self, z: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) of codes (B, C, h, w)."""
        image: Tensor = self.vae.decode(z / self.vae.config.scaling_factor).sample
        return image

    def read(self, input_ids: Tensor) -> Tensor:
        """States of the words of prompts (B, T), (B, T, D)."""
        states: Tensor = self.text_encoder(input_ids=input_ids).last_hidden_state
        return states

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the predicted noise or velocity at random times, with now and then the empty prompt.

        Args:
            batch: ``input_ids`` (B, T), and ``image`` (B, 3, H, W) in [-1, 1] or in its place ``moments``.
            rng: Draws codes, times, noise and which prompts are dropped.
        """
        z, words = self._target(batch, rng), self._words(batch["input_ids"], rng)
        return {"loss": self._error(z, rng, lambda seen, t: self.unet(seen, t, words).sample)}

    def _target(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """A draw of the codes of a batch's pictures."""
        return self._code(batch["moments"] if "moments" in batch else self.moments(batch["image"]), rng)

    def _words(self, ids: Tensor, rng: torch.Generator) -> Tensor:
        """The states of prompts, some of which the empty one takes the place of."""
        dropped = torch.rand(len(ids), 1, generator=rng, device=ids.device) < self.drop_condition
        return self.read(torch.where(dropped, self.empty, ids))

    def _error(self, z: Tensor, rng: torch.Generator, predict: Look) -> Tensor:
        """The loss of a prediction for noised codes and times."""
        t = shifted_times(torch.rand(len(z), generator=rng, device=z.device), self.shift, len(self.levels))
        noise = torch.randn(z.shape, generator=rng, device=z.device, dtype=z.dtype)
        level = self.levels[t].view(-1, 1, 1, 1)
        predicted = predict(perturb(z, noise, level), t)
        target = velocity(z, noise, level) if self._velocity else noise
        error = (predicted - target).square().mean((1, 2, 3))  # Eq. (4)
        if self.min_snr is not None:
            of_noise = self.levels[t] if self._velocity else 1.0  # an error of v is one of ε that is √ᾱ times as large
            error = error * of_noise * min_snr_weight(self.levels[t], self.min_snr)
        return error.mean()

    @property
    def _velocity(self) -> bool:
        return bool(self.schedule["prediction_type"] == "v_prediction")

    @torch.no_grad()
    def sample(
        self,
        source: Tensor,
        *,
        steps: int = 20,
        guidance: float = 3.0,
        rng: torch.Generator,
    ) -> Tensor:
        """Draw a picture for each prompt, with DDIM and classifier-free guidance.

        Args:
            source: Prompts as ids, (B, T); see :func:`mmlab.data.prompts.encode_prompts`.
            steps: Looks at the network.
            guidance: Scale g; at 1 the empty prompt is not needed, and the network sees half as much.
            rng: Draws the noise that the pictures start from; the rest is not random.

        Returns:
            Pictures (B, 3, H, W), in [-1, 1] up to overshoots of the decoder.
        """
        words = self.read(source)
        if guidance != 1:
            words = torch.cat([self.read(self.empty[None]).expand_as(words), words])
        return self._walk(len(source), steps, rng, words.dtype, lambda z, t: self._predicted(z, t, words, guidance))

    def _walk(self, count: int, steps: int, rng: torch.Generator, dtype: torch.dtype, predict: Look) -> Tensor:
        """From noise to pictures, along what is predicted for codes and a time."""
        if not 1 <= steps <= len(self.levels):
            raise ValueError(f"steps={steps}: the sampler takes 1 to {len(self.levels)} steps.")
        device, config = self.levels.device, self.unet.config
        shape = (count, config.out_channels, config.sample_size, config.sample_size)
        z = torch.randn(shape, generator=rng, device=device, dtype=dtype)
        times = ddim_times(len(self.levels), steps, self.schedule["steps_offset"]).to(device)
        levels = torch.cat([self.levels[times], self.levels[:1]])
        for t, (now, then) in zip(times, pairwise(levels), strict=True):
            z = self._step(z, predict(z, t), now, then)
        return self.decode(z)

    def _predicted(self, z: Tensor, t: Tensor, words: Tensor, guidance: float) -> Tensor:
        if guidance == 1:
            told: Tensor = self.unet(z, t, words, return_dict=False)[0]
            return told
        without, told = self.unet(torch.cat([z, z]), t, words, return_dict=False)[0].chunk(2)
        return guided(without, told, guidance)

    def expected(self, z: Tensor, predicted: Tensor, level: Tensor) -> Tensor:
        """The code that a prediction stands for, at z_t = ``z`` and ᾱ_t = ``level``."""
        if self._velocity:
            return level.sqrt() * z - (1 - level).sqrt() * predicted
        return (z - (1 - level).sqrt() * predicted) / level.sqrt()

    def _step(self, z: Tensor, predicted: Tensor, now: Tensor, then: Tensor) -> Tensor:
        clean = self.expected(z, predicted, now)
        ratio = ((1 - then) / (1 - now)).sqrt()
        return ddim_step(z, now.sqrt() * clean, then.sqrt() * clean, ratio)  # Eq. (8)

    def _code(self, moments: Tensor, rng: torch.Generator | None) -> Tensor:
        mean, log_variance = moments.chunk(2, dim=1)
        scale: float = self.vae.config.scaling_factor
        if rng is None:
            return mean * scale
        draw = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
        return (mean + (log_variance.clamp(-30, 20) / 2).exp() * draw) * scale  # Eq. (1)

    def pipeline(self, tokenizer: Any) -> Any:
        """A ``StableDiffusionPipeline`` of these networks, sharing their weights.

        Args:
            tokenizer: A ``CLIPTokenizer``, such as :func:`mmlab.data.prompts.prompt_tokenizer` makes.
        """
        from diffusers import DDIMScheduler, StableDiffusionPipeline

        return StableDiffusionPipeline(  # type: ignore[no-untyped-call]
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=tokenizer,
            unet=self.unet,
            scheduler=DDIMScheduler(**self.schedule),  # type: ignore[no-untyped-call]
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    @classmethod
    def from_pipeline(cls, place: Any, **arguments: Any) -> tuple[Self, Any]:
        """The networks of a saved pipeline with Stable Diffusion's layout, and its tokenizer.

        Args:
            place: Folder, checked by :func:`mmlab.store.pipelines.load_pipeline`, or a pipeline of diffusers.
            **arguments: Other arguments of the constructor.

        Raises:
            ValueError: If the pipeline has other parts, or its U-Net predicts neither noise nor velocity.
        """
        pipeline: Any = place if hasattr(place, "components") else load_pipeline(place)
        parts = pipeline.components
        if missing := [name for name in ("unet", "vae", "text_encoder", "tokenizer") if parts.get(name) is None]:
            raise ValueError(f"{type(pipeline).__name__} has no {missing[0]}: a StableDiffusionPipeline is needed.")
        held = pipeline.scheduler.config
        if (kind := held.get("prediction_type", "epsilon")) not in _ASKED:
            raise ValueError(f"The pipeline predicts {kind!r}; this method predicts one of {', '.join(_ASKED)}.")
        schedule = {name: held[name] for name in SCHEDULE if name in held}
        method = cls(parts["unet"], parts["vae"], parts["text_encoder"], schedule, **arguments)
        return method, pipeline.tokenizer

    @classmethod
    def on(cls, base: LatentDiffusion, seed: int = 0, **arguments: Any) -> Self:
        """A method of this class on a copy of a trained model; the autoencoder is shared, and times are drawn alike.

        Args:
            base: It is not changed.
            seed: Seed of what the class adds to it.
            **arguments: Other arguments of the constructor.
        """
        parts = (copy.deepcopy(base.unet), base.vae, copy.deepcopy(base.text_encoder), base.schedule)
        return cls.seeded(seed, *parts, **{"shift": base.shift, **arguments})

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three tiny networks and four pictures of one colour each, which the prompt names."""
        plain = {"norm_num_groups": 4, "layers_per_block": 1}
        blocks = {"down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"]}
        sizes = {"block_out_channels": [16], "cross_attention_dim": 16, "attention_head_dim": 2, "sample_size": 4}
        halves = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
        words = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        ends = {"vocab_size": 8, "max_position_embeddings": 4, "bos_token_id": 6, "eos_token_id": 7, "pad_token_id": 7}
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(plain | blocks | sizes, plain | halves | {"block_out_channels": [4, 8]}, words | ends)
        colours = torch.rand(4, 3, 1, 1, generator=rng) * 2 - 1
        ids = torch.tensor([[6, word, 7, 7] for word in range(4)])
        return method, {"input_ids": ids, "image": colours.expand(4, 3, 8, 8).contiguous()}
