"""What a step of LoRA and a sampled picture cost, against a plain loop over diffusers and peft on the same weights.

The base is the book's text-to-image model, untrained, since clocks do not depend on weights. *LoRA*: :func:`mmlab.fit`
of :class:`mmlab.methods.lora.LoRA` against the loop that one writes with peft's ``add_adapter``, diffusers' schedule,
clipping and fused AdamW, both on codes that are computed once. A step is timed from one call of the text encoder to the
next. *Sampling*: ``sample`` against ``StableDiffusionPipeline`` with prompts as words and its progress bar off. All is
processor time of the thread, on one thread; the two take turns, and each round gives one ratio. Bars: at most 1.05 for
the step, at most 1 for sampling.

Run: python benchmarks/lora_speed.py
"""

from __future__ import annotations

import copy
import itertools
import os
import platform
import statistics
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import diffusers
import peft
import torch
from provenance import write_result
from torch import Tensor, nn

import mmlab
from mmlab.bases.colonoscopy import VAE, codes_of, tokenizer, untrained_base
from mmlab.bases.stages import FirstStage
from mmlab.data.prompts import encode_prompts
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.colonoscopy_world import ColonoscopyWorld, colonoscopy_world
from mmlab.methods.latent_diffusion import LatentDiffusion
from mmlab.methods.lora import LoRA
from mmlab.nn.low_rank import LINEAR

BATCH, RANK, STEPS, ROUNDS = 16, 8, 24, 14
PICTURES, DRAWS, GUIDANCE, SAMPLINGS = 16, 10, 5.0, 14


class Clock:
    """Notes when a module is called."""

    def __init__(self, module: nn.Module) -> None:
        self.times: list[float] = []
        self.hook = module.register_forward_pre_hook(lambda *_: self.times.append(time.thread_time()))

    def step_seconds(self) -> float:
        """Median time between calls, the first few left out."""
        self.hook.remove()
        return statistics.median(b - a for a, b in itertools.pairwise(self.times[4:]))


def by_fit(base: LatentDiffusion, data: TensorData) -> float:
    """Seconds of a step as a user of the package trains."""
    method = LoRA.on(base, rank=RANK, targets=LINEAR, min_snr=None)
    clock = Clock(method.text_encoder)
    mmlab.fit(method, data, steps=STEPS, batch_size=BATCH, lr=1e-3, progress=False)
    return clock.step_seconds()


def by_hand(base: LatentDiffusion, data: TensorData) -> float:
    """Seconds of a step of the loop that one would write with diffusers and peft."""
    held = copy.deepcopy(base).requires_grad_(False)
    unet, words = held.unet, held.text_encoder
    unet.add_adapter(
        peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(LINEAR), init_lora_weights="gaussian")
    )
    unet.train()
    parameters = [p for p in unet.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.0, fused=True)
    schedule: Any = diffusers.DDPMScheduler.from_config(held.pipeline(tokenizer()).scheduler.config)
    clock = Clock(words)
    rng = torch.Generator().manual_seed(0)
    order = itertools.chain.from_iterable(
        torch.randperm(len(data), generator=rng).split(BATCH) for _ in itertools.count()
    )
    losses: list[float] = []
    for indices in itertools.islice(order, STEPS):
        batch = data.batch(indices)
        code = diffusers.models.autoencoders.vae.DiagonalGaussianDistribution(batch["moments"])
        z = code.sample(generator=rng) * held.vae.config.scaling_factor
        dropped = torch.rand(len(z), 1, generator=rng) < held.drop_condition
        states = words(torch.where(dropped, held.empty, batch["input_ids"]), return_dict=False)[0]
        noise = torch.randn(z.shape, generator=rng)
        t = torch.randint(0, schedule.config.num_train_timesteps, (len(z),), generator=rng)
        seen = schedule.add_noise(z, noise, t)
        predicted: Tensor = unet(seen, t, states, return_dict=False)[0]
        loss = nn.functional.mse_loss(predicted, schedule.get_velocity(z, noise, t))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return clock.step_seconds()


def sampling(base: LatentDiffusion, world: ColonoscopyWorld) -> dict[str, list[float]]:
    """Seconds for some pictures from their prompts, by the method and by diffusers' pipeline, in turn."""
    texts = [prompt.text for prompt in world.prompts[:PICTURES]]
    pipeline = base.pipeline(tokenizer())
    pipeline.set_progress_bar_config(disable=True)

    def ours() -> None:
        ids = encode_prompts(texts, tokenizer())
        base.sample(ids, steps=DRAWS, guidance=GUIDANCE, rng=torch.Generator().manual_seed(0))

    def theirs() -> None:
        rng = torch.Generator().manual_seed(0)
        pipeline(texts, num_inference_steps=DRAWS, guidance_scale=GUIDANCE, generator=rng, output_type="pt")

    seconds: dict[str, list[float]] = {"sample": [], "pipeline": []}
    for turn in range(SAMPLINGS):
        calls = [("sample", ours), ("pipeline", theirs)]
        for name, call in reversed(calls) if turn % 2 else calls:
            began = time.thread_time()
            call()
            seconds[name].append(time.thread_time() - began)
    return seconds


def compared(ours: list[float], theirs: list[float]) -> dict[str, float | list[float]]:
    """Medians in milliseconds, and the ratios of the rounds; the first round warms up."""
    ratios = sorted(a / b for a, b in zip(ours[1:], theirs[1:], strict=True))
    return {
        "ours_ms": 1e3 * statistics.median(ours[1:]),
        "theirs_ms": 1e3 * statistics.median(theirs[1:]),
        "ratio": statistics.median(ratios),
        "ratio_middle_half": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
    }


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    world = colonoscopy_world(64)
    base = untrained_base(world, FirstStage.seeded(0, VAE)).eval()
    data = codes_of(base, world)
    seconds: dict[str, list[float]] = {"fit": [], "hand": []}
    for turn in range(ROUNDS):
        loops = [("fit", by_fit), ("hand", by_hand)]
        for name, loop in reversed(loops) if turn % 2 else loops:
            seconds[name].append(loop(base, data))
    drawn = sampling(base, world)
    results = {
        "versions": {p: __import__(p).__version__ for p in ("torch", "diffusers", "peft")},
        "machine": platform.machine(),
        "settings": {"batch": BATCH, "rank": RANK, "steps": STEPS, "pictures": PICTURES, "draws": DRAWS},
        "step": compared(seconds["fit"], seconds["hand"]),
        "sampling": compared(drawn["sample"], drawn["pipeline"]),
    }
    print(results)
    write_result(results, __file__)


if __name__ == "__main__":
    main()
