"""Brain Harmony: series and structure of a brain as tokens, and a few hub tokens from which both can be rebuilt.

Symbols: a patch of the series lasts a fixed time, which is p samples at the repetition time of the training and p' at
another; M resizes p samples to p'; w is the kernel that reads a patch; z are token embeddings, h the hub tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.method import Batch, Method
from mmlab.nn.encoders import AttentionBlock
from mmlab.wording import require_at_least

__all__ = ["BrainHarmony", "FlexiPatch", "hide_tokens", "masked_mean", "resize_kernel", "resize_matrix"]


def resize_matrix(old: int, new: int) -> Tensor:
    """M (new, old), which resizes a patch of ``old`` samples to ``new`` ones (cubic, smoothed where it shrinks)."""
    basis = torch.eye(old)[:, None, None, :]  # each sample alone
    return F.interpolate(basis, (1, new), mode="bicubic", antialias=True)[:, 0, 0].T  # Eq. (1)


def resize_kernel(kernel: Tensor, new: int) -> Tensor:
    """The kernel w' (D, p') for patches of ``new`` samples that answers like w (D, p) on patches of p samples.

    It is the least-norm solution of w' M = w, or the one of least squares where there is none.

    Args:
        kernel: w, (D, p).
        new: p'.
    """
    old = kernel.shape[-1]
    if new == old:
        return kernel
    return kernel @ _pseudo_inverse(old, new).to(kernel)  # Eq. (2)


@cache
def _pseudo_inverse(old: int, new: int) -> Tensor:
    """M⁺ (old, new), computed once for each size."""
    return torch.linalg.pinv(resize_matrix(old, new).double())


def hide_tokens(exists: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Which tokens are hidden: this share of those that exist, rounded, but at least one and not all.

    Args:
        exists: (B, N).
        share: Share of the tokens, between 0 and 1.
        rng: The only source of randomness.

    Returns:
        (B, N). An item with a single token keeps it.
    """
    noise = torch.rand(exists.shape, generator=rng, device=rng.device) + 2 * ~exists
    total = exists.sum(1)
    count = (share * total).round().clamp_min(1).minimum((total - 1).clamp_min(0))
    return noise.argsort(1).argsort(1) < count[:, None]


def masked_mean(error: Tensor, counts: Tensor) -> Tensor:
    """Mean over the tokens that count of each item, then over the items that have any; 0 if none has.

    Args:
        error: Error of each token (B, N).
        counts: Which tokens count, (B, N).
    """
    number = counts.sum(1)
    of_items = torch.where(counts, error, 0).sum(1) / number.clamp_min(1)
    return of_items.sum() / (number > 0).sum().clamp_min(1)


class FlexiPatch(nn.Module):
    """Reads patches of a fixed duration, however many samples there are in one.

    Args:
        patch: p, samples in a patch at the repetition time of the training.
        width: D.
    """

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.randn(width, patch) / patch**0.5)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, series: Tensor, samples: int | None = None) -> Tensor:
        """Series (B, R, T) to tokens (B, R, T // p', D).

        Args:
            series: What does not fill a patch at the end is left out.
            samples: p'; by default p.
        """
        size = self.patch if samples is None else samples
        return series.unfold(-1, size, size) @ resize_kernel(self.weight, size).T + self.bias


class BrainHarmony(Method):
    """Two encoders that learn by themselves, and hub tokens that learn to hold what both give.

    The series are learned as in JEPA: from the visible tokens the embeddings of hidden ones are predicted, as a slowly
    following copy of the encoder gives them. The structure is learned by filling in hidden patches. The hub tokens look
    at the embeddings of both; a decoder that sees nothing but the hubs has to rebuild them.

    The authors train the three parts one after the other. Here they are trained side by side, and no gradient goes from
    the hubs to the encoders. Regions have learned codes here, where the authors take them from the geometry of the
    cortex. In the released code the loss of the hubs counts tokens of padding, and ignores the share of hidden tokens;
    here padding counts in no loss.

    Args:
        function: Numbers of regions R and of patches N of the longest series.
        structure: Number of patches S of the structure, and of values V in each.
        patch: p, samples in a patch of the series at the repetition time of the training.
        width: Width D of all tokens.
        depth: Blocks of each encoder.
        hubs: K, number of hub tokens.
        heads: Attention heads; they divide the width.
        hidden: Share of the tokens that is hidden in training.
        momentum: How much the following copy keeps of itself in a step.

    Raises:
        ValueError: If a number is too small, or a share is none.

    Source:
        Dong et al. 2025.
    """

    card = Card(
        name="Brain Harmony",
        family="fusion",
        paper="brain_harmony",
        summary="Brings series and structure of a brain into a few hub tokens, whatever the repetition time.",
        inputs=("function", "structure"),
        claims=(
            Claim("accuracy", "repetition time ignored", "higher", name="brain-harmony-tr-ignored"),
            Claim("accuracy", "resized series", "higher", kind="sanity", name="brain-harmony-tr-resized-series"),
            Claim("accuracy", "all tokens", "higher", name="brain-harmony-hubs-all-tokens"),
            Claim("accuracy", "principal components", "higher", kind="sanity", name="brain-harmony-hubs-components"),
            Claim("accuracy", "untrained", "higher", kind="sanity", name="brain-harmony-hubs-untrained"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("brain", "fMRI", "MRI", "repetition time", "JEPA", "masked autoencoder"),
    )

    def __init__(
        self,
        function: Sequence[int],
        structure: Sequence[int],
        patch: int = 48,
        width: int = 32,
        depth: int = 1,
        hubs: int = 4,
        heads: int = 4,
        hidden: float = 0.5,
        momentum: float = 0.99,
    ) -> None:
        super().__init__()
        self.regions, self.patches = function
        self.places, values = structure
        require_at_least(regions=(self.regions, 1), patches=(self.patches, 1), patch=(patch, 1), hubs=(hubs, 1))
        if not 0 < hidden < 1 or not 0 <= momentum <= 1:
            raise ValueError(f"hidden={hidden} and momentum={momentum} must be shares: choose numbers between 0 and 1.")
        self.patch, self.hidden, self.momentum = patch, hidden, momentum

        def code(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.3 * torch.randn(*shape, width))

        self.read_series = FlexiPatch(patch, width)
        self.region, self.time = code(self.regions, 1), code(1, self.patches)
        self.series_encoder = _Encoder(width, depth, heads)
        self.series_ask = code()
        self.series_predictor = AttentionBlock(width, heads)
        self.series_out = nn.Linear(width, width)
        self.read_structure = nn.Linear(values, width)
        self.place = code(self.places)
        self.structure_encoder = _Encoder(width, depth, heads)
        self.structure_ask = code()
        self.structure_decoder = AttentionBlock(width, heads)
        self.structure_out = nn.Linear(width, values)
        self.position = code(self.regions * self.patches + self.places)
        self.hub = code(hubs)
        self.hub_encoder = _Encoder(width, depth, heads)
        self.hub_ask = code(self.regions * self.patches + self.places)
        self.hub_decoder = AttentionBlock(width, heads)
        self.hub_out = nn.Linear(width, width)
        self.teacher = nn.ModuleDict(
            {name: copy.deepcopy(getattr(self, name)) for name in ("read_series", "series_encoder")}
        )
        self.teacher.requires_grad_(False)
        self.region_teacher = nn.Parameter(self.region.detach().clone(), requires_grad=False)
        self.time_teacher = nn.Parameter(self.time.detach().clone(), requires_grad=False)

    def series_tokens(self, batch: Batch, read: nn.Module, position: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of the series (B, R N, D), region by region, and which of them exist (B, R N).

        Args:
            batch: ``function`` (B, R, T); ``samples`` (B,), p' of each item, by default p; ``length`` (B,), how many
                samples of a series are no padding, by default all.
            read: What reads the patches.
            position: (R, N, D).
        """
        series = batch["function"]
        self._check_series(series)
        samples = batch.get("samples", torch.full_like(series[:, 0, 0], self.patch, dtype=torch.long))
        length = batch.get("length", torch.full_like(samples, series.shape[-1]))
        number = length.div(samples, rounding_mode="floor").clamp(max=self.patches)  # (B,) patches that are no padding
        exists = torch.arange(self.patches, device=number.device) < number[:, None]  # (B, N)
        tokens = series.new_zeros(*series.shape[:2], self.patches, position.shape[-1])
        for size in sorted(set(samples.tolist())):
            rows = (samples == size).nonzero()[:, 0]
            made = read(series[rows], size)[:, :, : self.patches]  # (b, R, n, D)
            tokens = tokens.index_put((rows,), F.pad(made, (0, 0, 0, self.patches - made.shape[2])))
        tokens = torch.where(exists[:, None, :, None], tokens, 0)  # whatever stands in the padding
        return (tokens + position).flatten(1, 2), exists[:, None].expand(-1, self.regions, -1).flatten(1)

    def _check_series(self, series: Tensor) -> None:
        if series.ndim != 3 or series.shape[1] != self.regions:
            raise ValueError(
                f"function has shape {tuple(series.shape)}; the method was built for {self.regions} regions: give "
                f"series (B, {self.regions}, T), or build the method for {series.shape[1]} regions."
            )

    def embeddings(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised embeddings z (B, R N + S, D) of all tokens of both kinds, and which exist, without gradients."""
        with torch.no_grad():
            position = self.region_teacher + self.time_teacher
            series, exists = self.series_tokens(batch, self.teacher["read_series"], position)
            z = self.teacher["series_encoder"](series, exists)
            structure = self.read_structure(batch["structure"]) + self.place  # (B, S, D)
            there = torch.ones_like(structure[..., 0], dtype=torch.bool)
            z = torch.cat([z, self.structure_encoder(structure, there)], 1)
            return F.layer_norm(z, z.shape[-1:]), torch.cat([exists, there], 1)

    def compress(self, z: Tensor, exists: Tensor) -> Tensor:
        """Hub tokens h (B, K, D) that looked at embeddings."""
        hubs = self.hub.expand(len(z), -1, -1)
        there = torch.cat([exists, torch.ones_like(hubs[..., 0], dtype=torch.bool)], 1)
        return self.hub_encoder(torch.cat([z + self.position, hubs], 1), there)[:, -hubs.shape[1] :]  # Eq. (5)

    def rebuild(self, hubs: Tensor) -> Tensor:
        """Embeddings (B, R N + S, D) from nothing but the hub tokens."""
        return self.hub_out(self.hub_decoder(self.hub_ask.expand(len(hubs), -1, -1), hubs))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Sum of the losses of series, structure and hubs.

        Args:
            batch: ``function`` (B, R, T) and ``structure`` (B, S, V); ``samples`` (B,) and ``length`` (B,) as for
                :meth:`series_tokens`.
            rng: Draws what is hidden.
        """
        z, there = self.embeddings(batch)
        count = self.regions * self.patches
        tokens, exists = self.series_tokens(batch, self.read_series, self.region + self.time)
        hidden = hide_tokens(exists, self.hidden, rng)
        ask = self.series_ask + (self.region + self.time).flatten(0, 1).expand(len(tokens), -1, -1)
        seen = exists & ~hidden
        made = self.series_out(self.series_predictor(ask, self.series_encoder(tokens, seen), _some(seen)))
        each = F.smooth_l1_loss(made, z[:, :count], reduction="none").mean(-1)
        function = masked_mean(each, hidden)  # Eq. (3)

        values = batch["structure"]
        tokens = self.read_structure(values) + self.place
        everywhere = torch.ones_like(values[..., 0], dtype=torch.bool)
        hidden = hide_tokens(everywhere, self.hidden, rng)
        context = self.structure_encoder(tokens, ~hidden)
        ask = (self.structure_ask + self.place).expand(len(values), -1, -1)
        made = self.structure_out(self.structure_decoder(ask, context, ~hidden))
        structure = masked_mean((made - values).square().mean(-1), hidden)  # Eq. (4)

        rebuilt = self.rebuild(self.compress(z, there))
        hub = masked_mean((rebuilt - z).square().mean(-1), there)  # Eq. (6)
        return {"loss": function + structure + hub, "function": function, "structure": structure, "hub": hub}  # Eq. (8)

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the copy of the series' encoder follow."""
        pairs = [(self.region_teacher, self.region), (self.time_teacher, self.time)]
        for name, part in self.teacher.items():
            pairs += zip(part.parameters(), getattr(self, name).parameters(), strict=True)
        for slow, fast in pairs:
            slow.mul_(self.momentum).add_(fast, alpha=1 - self.momentum)  # Eq. (7)

    def embed(self, batch: Batch) -> Tensor:
        """Hub tokens side by side, (B, K D).

        Args:
            batch: As for :meth:`loss`.
        """
        with self.evaluating():
            return self.compress(*self.embeddings(batch)).flatten(1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Slow and fast waves in three regions, of which some are sampled twice as often, and their structure."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, (3, 2), (4, 4), patch=6, width=16, hubs=2, heads=2, momentum=0.9)
        fast = torch.arange(16) % 2
        samples = torch.where(torch.arange(16) % 4 < 3, 6, 12)
        time = torch.arange(24) / samples[:, None]  # in patches
        phase = torch.rand(16, 3, 1, generator=rng)
        series = (6.28 * ((1 + fast[:, None, None]) * time[:, None] + phase)).sin()
        structure = (2.0 * fast[:, None, None] - 1) * torch.tensor([1.0, -1, 1, -1]).expand(16, 4, 4)
        structure = structure + 0.1 * torch.randn(16, 4, 4, generator=rng)
        length = torch.where(torch.arange(16) == 5, samples, 2 * samples)
        return method, {"function": series, "structure": structure, "samples": samples, "length": length}

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Numbers of regions and patches, and the shape of the structure.

        Raises:
            ValueError: If the data are no series with a structure.
        """
        if absent := [name for name in cls.card.inputs if name not in item]:
            raise ValueError(f"Brain Harmony needs {', '.join(cls.card.inputs)}; the data have no {', '.join(absent)}.")
        regions, length = item["function"].shape
        patch = min(48, length)
        return {"function": [regions, length // patch], "structure": list(item["structure"].shape), "patch": patch}


class _Encoder(nn.Module):
    """Blocks over the tokens that exist, then a normalisation."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(AttentionBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Tokens (B, T, D), of which some are there (B, T)."""
        for block in self.blocks:
            tokens = block(tokens, tokens, _some(there))
        return self.norm(tokens)


def _some(there: Tensor) -> Tensor:
    """The same, but all True in a row without any, which attention cannot have."""
    return there | ~there.any(1, keepdim=True)
