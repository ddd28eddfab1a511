"""The network of all diffusions and flows: over vectors or images, given time, well started from the data.

:func:`make_field` gives the network itself. :class:`LinearStart` gives what linear algebra knows before any training:
the target expected given the source, and how far off that is. With it, a network predicts only what is missing, in
units of what is missing (preconditioning). Symbols: x_t = a x_s + b y + √v ε is a state between a source x_s and a
target y.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mmlab.diffusion.reference import expand_to
from mmlab.nn.mlp import FiLMPerceptron
from mmlab.nn.unet import LARGEST_ATTENTION, UNet
from mmlab.wording import require_at_least

__all__ = ["LinearStart", "View", "check_pairs", "evaluate_field", "make_field", "read_pairs", "ridge"]

RANK = 256
"""Most directions of the source in the linear map of vectors."""
PAIRS = 4096
"""Most pairs that the linear start looks at; of more it takes this many, evenly spaced."""
TWO_WIDTHS = (
    ": C2C maps between rows of two widths, with target_shape=; or bring the sources to the shape of the targets "
    "first, as the page on your own data shows."
)
TWO_PARCELLATIONS = ": C2C maps between rows of two widths, with target_shape=; this method takes one parcellation."
"""What methods that move within one space say to a source and a target of different shapes."""
PAIRS_PER_VALUE, PAIRS_PER_DIRECTION = 50, 1000
"""When the network sees the whole source, and else how many pairs each principal direction of it costs."""


def make_field(
    shape: Sequence[int],
    inputs: int,
    outputs: int = 1,
    *,
    width: int = 256,
    depth: int = 2,
    dropout: float = 0.0,
    time_conditioning: bool = True,
    network: nn.Module | None = None,
) -> nn.Module:
    """The network over vectors or images, given time. :func:`evaluate_field` runs it.

    Args:
        shape: Shape of one sample: (C, H, W) for images, (E,) for vectors.
        inputs: Number of samples K that it sees at once, such as a state and a source.
        outputs: Number of samples that it predicts.
        width: Channels of the U-Net at full resolution, or features of the perceptron's bottleneck.
        depth: Residual blocks, per resolution in the U-Net.
        dropout: Dropout probability.
        time_conditioning: Whether it is conditioned on time.
        network: Your own, which is then returned as it is: called as ``network(x, t)`` with times t (B,), it maps
            vectors (B, K, E) to (B, outputs, E), or images (B, K·C, H, W) to (B, outputs·C, H, W).

    Raises:
        ValueError: If the shape is neither of vectors nor of images, or a size or a probability cannot be.
    """
    shape = tuple(shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise ValueError(f"shape is (E,) for vectors or (C, H, W) for images, not {shape}.")
    if network is not None:
        return network
    require_at_least(width=(width, 1), depth=(depth, 0))
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: the share of features that is left out is in [0, 1).")
    if len(shape) == 1:
        return FiLMPerceptron(inputs, *shape, width, depth, outputs, dropout, time_conditioning)
    channels, height, breadth = shape
    attention = (height + 3) // 4 * ((breadth + 3) // 4) <= LARGEST_ATTENTION
    return UNet(inputs * channels, outputs * channels, width, (1, 2, 4), depth, dropout, attention, time_conditioning)


def evaluate_field(network: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    """Run a network of :func:`make_field` on stacks (B, K, ...) at times (B,): predictions (B, outputs, ...)."""
    if x.ndim == 3:
        return network(x, t)
    return network(x.flatten(1, 2), t).unflatten(1, (-1, x.shape[2]))


def check_pairs(shape: tuple[int, ...], **given: Tensor) -> None:
    """Refuse tensors that are not (B, *shape), or not equally many; their names are those of the keywords.

    Raises:
        ValueError: With the shapes that were given and the one that the method was built for, and what to do where
            the given ones differ.
    """
    if all(tuple(value.shape[1:]) == shape for value in given.values()) and len({len(v) for v in given.values()}) == 1:
        return
    said = " and ".join(f"{name} {tuple(value.shape)}" for name, value in given.items())
    must = "must both have" if len(given) > 1 else "must have"
    remedy = "." if len({value.shape[1:] for value in given.values()}) == 1 else TWO_WIDTHS
    raise ValueError(
        f"{said} {must} shape (B, {', '.join(map(str, shape))}), the shape that this method was built for{remedy}"
    )


def read_pairs(dataset: Any) -> tuple[Tensor, Tensor]:
    """Sources and targets of a dataset, (N, ...) each; of more than :data:`PAIRS` items so many, evenly spaced."""
    count = min(len(dataset), PAIRS)
    items = [dataset[i * len(dataset) // count] for i in range(count)]
    return torch.stack([item["source"] for item in items]), torch.stack([item["target"] for item in items])


def ridge(x: Tensor, y: Tensor, rank: int) -> tuple[Tensor, Tensor, float]:
    """Ridge regression on centred data, with the penalty that has the least leave-one-out error (in closed form).

    Args:
        x: Sources, (N, E), centred.
        y: Targets, (N, F), centred.
        rank: Most principal directions of the sources to use.

    Returns:
        Principal directions (E, R) and coefficients (R, F), so that ``x @ directions @ coefficients`` predicts y; and
        the leave-one-out root mean squared error.
    """
    left, values, directions = torch.linalg.svd(x, full_matrices=False)
    left, values, directions = left[:, :rank], values[:rank], directions[:rank]
    kept = values > 1e-6 * values.max().clamp_min(1e-300)  # directions without variance say nothing
    projected = left.T @ y  # (R, F)
    rows = torch.linalg.qr(y.T, mode="r").R.T if len(y) < y.shape[1] else y  # (N, N at most): turned, as long as before
    turned = left.T @ rows
    best: tuple[float, Tensor] | None = None
    for penalty in [*(values.max().square() * torch.logspace(-6, 3, 37, dtype=x.dtype)), math.inf]:
        shrunk = torch.where(kept, values.square() / (values.square() + penalty), 0.0)
        leverage = (left.square() * shrunk).sum(1) + 1 / len(x)  # the mean was fitted as well
        missed = (rows - left @ (shrunk[:, None] * turned)) / (1 - leverage).clamp_min(1e-12)[:, None]
        error = math.sqrt(float(missed.square().sum()) / y.numel())
        if best is None or error < best[0]:
            best = error, shrunk
    assert best is not None
    error, shrunk = best
    coefficients = torch.where(kept, shrunk / values.clamp_min(1e-300), 0.0)[:, None] * projected
    return directions.T, coefficients, error


@dataclass(frozen=True)
class View:
    """What a network sees of a state, and what its output means.

    Attributes:
        inputs: The departure of the state from its mean, with variance one, and the source, (B, 2, ...).
        mean: The endpoint that is expected from the source alone, (B, ...).
        base: The endpoint that is expected from source and state without the network, (B, ...).
        gain: How far off that is, which broadcasts against it: the endpoint is base + gain · output.
        known: Share of what the source leaves open that the state shows, b²s²/(b²s² + v), from 0 to 1, (B,): the clock
            of the network, the same for all processes, schedules and directions of time.
        total: Variance of the departure, which broadcasts against it.
        departure: The departure itself, (B, ...).
    """

    inputs: Tensor
    mean: Tensor
    base: Tensor
    gain: Tensor
    known: Tensor
    total: Tensor
    departure: Tensor


class LinearStart(nn.Module):
    """What a source says of its target by linear regression: m(x_s), and the standard deviation s of what is missing.

    :meth:`solve` finds both in closed form; they are saved with the weights, and training leaves them as they are.
    Before, m is zero and s is ``scale``. For vectors, m is a ridge regression on top of a multiple of the source; for
    images, that multiple plus a mean image.

    A network that is shown the source of few pairs in many dimensions remembers whose target belongs to it. So it sees
    the whole source only if there are at least 50 pairs per value, and else its first principal directions, one for
    every 1,000 pairs; the linear map uses all of it in any case. ``directions`` sets another number.

    Args:
        shape: Shape of one sample.
        scale: s before :meth:`solve`, and the unit of the source that the network sees.
        directions: Principal directions of the source that the network sees; None: as many as the pairs can pay for.
    """

    started: Tensor
    shift: Tensor
    centre: Tensor
    keep: Tensor
    spread: Tensor
    marginal: Tensor
    unit: Tensor
    seen: Tensor
    axes: Tensor
    coefficients: Tensor

    def __init__(self, shape: Sequence[int], scale: float = 1.0, directions: int | None = None) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"scale={scale}: the size of a typical value must be positive and finite.")
        if directions is not None and not (directions >= 0 and directions % 1 == 0):
            raise ValueError(f"directions={directions}: a number of directions is whole and not negative.")
        self.shape, self.scale, self.directions = tuple(shape), scale, directions
        rank = min(self.shape[0], RANK) if len(self.shape) == 1 else 0
        size = math.prod(self.shape)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.register_buffer("shift", torch.zeros(self.shape))  # mean target
        self.register_buffer("centre", torch.zeros(self.shape))  # mean source
        self.register_buffer("keep", torch.zeros(()))  # multiple of the source
        self.register_buffer("spread", torch.ones(()))  # s, in units of scale like all values here
        self.register_buffer("marginal", torch.ones(()))  # standard deviation of the targets
        self.register_buffer("unit", torch.ones(()))  # standard deviation of the source
        self.register_buffer("seen", torch.full((), rank, dtype=torch.long))
        self.register_buffer("axes", torch.zeros(size, rank))
        self.register_buffer("coefficients", torch.zeros(rank, size))
        self._held: tuple[Tensor, Tensor, Tensor] | None = None

    def start(self, source: Tensor, target: Tensor) -> None:
        """:meth:`solve` with the pairs that are finite; with fewer than two it does nothing."""
        finite = torch.isfinite(source.flatten(1)).all(1) & torch.isfinite(target.flatten(1)).all(1)
        if int(finite.sum()) >= 2 and tuple(source.shape[1:]) == tuple(target.shape[1:]) == self.shape:
            self.solve(source[finite], target[finite])

    @torch.no_grad()
    def solve(self, source: Tensor, target: Tensor) -> None:
        """Regress targets on sources, (N, ...) each.

        Raises:
            ValueError: If there are fewer than two pairs, or values are not finite.
        """
        check_pairs(self.shape, source=source, target=target)
        if len(source) < 2:
            raise ValueError(f"A linear start is a regression over pairs: it needs at least 2, not {len(source)}.")
        for name, value in (("source", source), ("target", target)):
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} holds NaN or infinity: find the items and leave them out.")
        x, y = (value.flatten(1).double().cpu() / self.scale for value in (source, target))
        centre, shift = x.mean(0), y.mean(0)
        x, y = x - centre, y - shift
        multiple = float((x * y).sum() / x.square().sum().clamp_min(1e-300))
        rank = self.axes.shape[1]
        # The multiple is right if all values go the same way; with the ridge alone each may go its own.
        unit = x.square().mean().sqrt()
        if rank:
            tries = [(keep, *ridge(x, y - keep * x, rank)) for keep in (0.0, multiple / 2, multiple)]
            keep, axes, coefficients, error = min(tries, key=lambda tried: tried[3])
            found = axes.shape[1]
            self.axes.zero_()
            self.axes[:, :found] = axes
            self.coefficients.zero_()
            self.coefficients[:found] = coefficients
            count = self._directions(len(x), len(centre))
            self.seen.fill_(count)
            if count < len(centre):
                unit = (x @ axes[:, :count]).square().sum().div(x.numel()).sqrt()
        else:
            keep, error = multiple, float((y - multiple * x).square().mean().sqrt())
        self.keep.fill_(keep)
        self.centre.copy_(centre.view(self.shape))
        self.shift.copy_(shift.view(self.shape))
        floor = 1e-2 * float((y + shift).square().mean().sqrt().clamp_min(1e-8))  # where the source fixes the target
        self.spread.fill_(max(error, floor))
        self.marginal.fill_(max(float(y.square().mean().sqrt()), floor))
        self.unit.fill_(float(unit) or 1.0)
        self.started.fill_(True)

    @contextmanager
    def hold(self, source: Tensor) -> Iterator[None]:
        """Within it, what is said of these very sources (B, ...) is computed once: for all steps of a sampler."""
        before = self._held
        if bool(self.started):
            self._held = source, self(source), self.show(source)
        try:
            yield
        finally:
            self._held = before

    def forward(self, source: Tensor) -> Tensor:
        """m(x_s): the targets expected from sources, (B, ...)."""
        if self._held and self._held[0] is source:
            return self._held[1]
        deviation = source / self.scale - self.centre
        mean = self.shift + self.keep * deviation
        if len(self.shape) == 1:
            mean = mean + deviation @ self.axes @ self.coefficients
        return self.scale * mean

    def show(self, source: Tensor) -> Tensor:
        """The sources (B, ...) as the network sees them: centred, in units of their deviation, in its directions."""
        if self._held and self._held[0] is source:
            return self._held[2]
        deviation = source / self.scale - self.centre
        if bool(self.started) and len(self.shape) == 1 and int(self.seen) < self.shape[0]:
            axes = self.axes[:, : int(self.seen)]
            deviation = deviation @ axes @ axes.T
        return deviation / self.unit

    def noise_ratio(self, known: Tensor) -> Tensor:
        """v/b² at which a state shows the share sin²(π/2 · known) of what the source leaves open, 0 <= known <= 1.

        Training on times with uniform ``known`` spends them where states decide; half of them show 15 to 85 %.
        """
        share = (known * (torch.pi / 2)).sin().square()
        return (self.scale * self.spread).square() * (1 - share) / share.clamp_min(1e-12)

    def view(
        self, x: Tensor, source: Tensor, a: Tensor, b: Tensor, variance: Tensor, hidden: Tensor | None = None
    ) -> View:
        """Precondition states x = a x_s + b y + √v ε, (B, ...), of which a, b and v broadcast against them.

        Given the source, y = m + s·(something of variance one). So the state departs from a x_s + b m with variance
        b²s² + v, and the best linear estimate of y is m + b s²/(b²s² + v) times the departure, with an error of
        variance s² v/(b²s² + v). The network predicts that error in units of its standard deviation. Where the source
        is ``hidden``, (B,), m is the mean target and s the standard deviation of all targets.
        """
        mean, spread = self(source), (self.scale * self.spread).square()
        if hidden is not None:
            hidden = expand_to(hidden, x)
            mean = torch.where(hidden, self.scale * self.shift, mean)
            spread = torch.where(hidden, (self.scale * self.marginal).square(), spread)
        departure = x - a * source - b * mean
        total = b.square() * spread + variance
        known = (b.square() * spread / total).expand(len(x), *[1] * (x.ndim - 1))
        return View(
            torch.stack([departure * total.rsqrt(), self.show(source)], dim=1),
            mean,
            mean + b * spread / total * departure,
            (spread * variance / total).sqrt(),
            known.flatten(),
            total,
            departure,
        )

    def expect(self, source: Tensor, network: nn.Module) -> Tensor:
        """Targets (B, ...) that a preconditioned network expects before a state has shown anything: a regression."""
        zero = source.new_zeros(len(source), *[1] * (source.ndim - 1))
        view = self.view(0 * source, source, zero, zero, zero + 1)
        return view.base + self.scale * self.spread * evaluate_field(network, view.inputs, view.known)[:, 0]

    def _directions(self, pairs: int, size: int) -> int:
        if self.directions is not None:
            return min(self.directions, self.axes.shape[1] if self.axes.shape[1] < size else size)
        if pairs >= PAIRS_PER_VALUE * size:
            return size
        return min(pairs // PAIRS_PER_DIRECTION, self.axes.shape[1])
