"""DiffeoCFM: flow matching in coordinates of correlation matrices, from a Gaussian that was fitted there.

Symbols: C is a correlation matrix or another positive definite matrix, φ a smooth map onto vectors with a smooth
inverse, z = φ(C). The flow runs from z0, drawn from the prior, at time 0 to a target z1 at time 1; c is the condition.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.data.connectome import edges, matrices, number_of_regions
from mmlab.data.tensors import TensorData
from mmlab.diffusion.ode import Solver, integrate
from mmlab.diffusion.reference import expand_to
from mmlab.method import Batch, Draws, Method
from mmlab.metrics.correlation_geometry import correlation_of, project_to_correlation
from mmlab.metrics.flat_coordinates import (
    from_log_cholesky,
    from_log_euclidean_vector,
    from_normalised_cholesky,
    log_cholesky,
    log_euclidean_vector,
    normalised_cholesky,
)
from mmlab.nn.field import TWO_PARCELLATIONS, LinearStart, evaluate_field, make_field
from mmlab.nn.fitted_gaussian import FittedGaussian

__all__ = ["CHARTS", "DiffeoCFM", "Geometry", "geodesic", "prior_velocity"]

Geometry = Literal["normalised_cholesky", "log_euclidean", "log_cholesky", "none"]
Condition = Literal["label", "source"]
Parametrisation = Literal["preconditioned", "velocity"]

LEAST = 1e-6
"""Smallest standard deviation of a coordinate, so that one that never changes stays finite."""


CHARTS: dict[Geometry, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "normalised_cholesky": (normalised_cholesky, from_normalised_cholesky),  # Eqs. (1) and (2)
    "log_euclidean": (log_euclidean_vector, from_log_euclidean_vector),  # Eq. (3)
    "log_cholesky": (log_cholesky, from_log_cholesky),  # Eq. (4)
    "none": (edges, matrices),
}
"""φ and its inverse, between matrices (..., N, N) and vectors (..., D)."""


def geodesic(one: Tensor, other: Tensor, t: float, geometry: Geometry = "normalised_cholesky") -> Tensor:
    """The point at time t of the shortest path between matrices (..., N, N) in the metric that φ pulls back."""
    to, back = CHARTS[geometry]
    return back((1 - t) * to(one) + t * to(other))  # Eq. (5)


def prior_velocity(z: Tensor, t: Tensor, mean: Tensor) -> Tensor:
    """E[z1 - z0 | z_t = z] if z0 and z1 have one Gaussian law with this mean, whatever its covariance.

    The flow along it is the identity in law and point by point: what starts as the prior ends as the prior.
    """
    return (2 * t - 1) / _size(t).square() * (z - mean)  # Eq. (8)


class DiffeoCFM(Method):
    """Flow matching of correlation matrices, or other positive definite ones, through a diffeomorphism φ.

    The condition is a class, as in the paper, or another matrix of the same person. The flow starts from a Gaussian
    that :meth:`start_from`, which :func:`mmlab.fit` calls, fits to the coordinates of the training matrices: one for
    each class; or, given a source matrix, around a ridge regression on it. Mapped back by φ, that Gaussian is a
    generator of its own: :meth:`sample_prior`. Untrained, the default network's flow ends where it starts.

    Args:
        shape: (E,) for correlation matrices given as their edges, E = N(N-1)/2; (N, N) for the other two geometries.
        geometry: φ: ``"normalised_cholesky"`` (correlation matrices), ``"log_euclidean"`` or ``"log_cholesky"``
            (positive definite matrices), or ``"none"``: the edges themselves, as a control.
        condition: ``"label"`` (batches hold ``label``) or ``"source"`` (batches hold ``source``, a matrix).
        classes: Number of classes.
        width: Features of the network's bottleneck.
        depth: Residual blocks of the network.
        dropout: Dropout probability.
        parametrisation: ``"preconditioned"`` (the network predicts what the flow adds to the prior, in units of its
            spread) or ``"velocity"`` (all of the velocity, as published).
        rank: Most directions of the prior's covariance that are kept; the variance of others is spread evenly.
        shrinkage: Weight s in (1-s) C + s I, mixed in before φ and taken out of the samples of correlations.
        directions: Strong regularisation for few pairs; see :class:`mmlab.nn.field.LinearStart`.
        network: Your own network over z; see :func:`mmlab.nn.field.make_field`.

    Source:
        Collas et al. 2025. Shrinkage of the prior's covariance: Chen et al. 2010.
    """

    card = Card(
        name="DiffeoCFM",
        family="translation",
        paper="collas2025diffeocfm",
        summary="Flow matching of correlation matrices in flat coordinates, from a fitted Gaussian prior.",
        inputs=("label", "target"),
        outputs=("target",),
        claims=(
            Claim("energy distance", "its Gaussian prior", "lower", kind="sanity"),
            Claim("classification accuracy", "its Gaussian prior", "higher", kind="sanity"),
            Claim("valid share", "no geometry", "higher"),
        ),
        budget=Budget(gpu_minutes=10, gpu_memory_gb=8),
        tags=("brain", "fMRI", "connectome", "diffusion", "Riemannian"),
    )
    draws = Draws({"condition": "source"}, correlations=True)

    centre: Tensor
    unit: Tensor
    means: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        geometry: Geometry = "normalised_cholesky",
        condition: Condition = "label",
        classes: int = 2,
        width: int = 256,
        depth: int = 2,
        dropout: float = 0.0,
        parametrisation: Parametrisation = "preconditioned",
        rank: int = 512,
        shrinkage: float = 0.0,
        directions: int | None = None,
        network: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("geometry", geometry, Geometry),
            ("condition", condition, Condition),
            ("parametrisation", parametrisation, Parametrisation),
        ):
            if value not in get_args(choices):
                raise ValueError(f"{name} is one of {', '.join(get_args(choices))}, not {value!r}.")
        if not 0 <= shrinkage < 1:
            raise ValueError(f"shrinkage is a weight in [0, 1), not {shrinkage}.")
        if classes < 1 or rank < 1:
            raise ValueError(f"classes={classes} and rank={rank}: both must be at least 1.")
        self.shape, self.geometry, self.condition = tuple(shape), geometry, condition
        self.shrinkage, self.parametrisation = shrinkage, parametrisation
        self.of_edges = geometry in ("normalised_cholesky", "none")
        size = _coordinates(self.shape, self.of_edges, geometry)
        self.network = make_field((size,), 2, width=width, depth=depth, dropout=dropout, network=network)
        groups = classes if condition == "label" else 1
        if condition == "label":
            self.classes = nn.Embedding(classes, size)
        else:
            self.linear = LinearStart((size,), 1.0, directions)
        priors = nn.ModuleList(FittedGaussian(size, rank) for _ in range(groups))
        self.priors: Sequence[FittedGaussian] = priors  # type: ignore[assignment]
        sides = 1 if condition == "label" else 2  # target, and source
        self.centre: Tensor
        self.unit: Tensor
        self.register_buffer("centre", torch.zeros(sides, size))
        self.register_buffer("unit", torch.ones(sides, size))

    def start_from(self, dataset: Any) -> None:
        """Fit the prior, unless that was done before.

        Args:
            dataset: Training items, with ``len()`` and ``dataset[i]``, as :meth:`loss` takes them.

        Raises:
            ValueError: If a class has fewer than two items, or no item is finite.
        """
        if any(bool(prior.fitted) for prior in self.priors):
            return
        batch = read_all(dataset)
        kept = torch.isfinite(self._given(batch, "target").flatten(1)).all(1)
        if self.condition == "source":
            kept &= torch.isfinite(self._given(batch, "source").flatten(1)).all(1)
        if not kept.any():
            raise ValueError("No training item is finite: NaN or infinity stands in each, so there is nothing to fit.")
        batch = {key: value[kept] for key, value in batch.items()}
        target = self._flat(batch, "target").double()
        self._standardise(0, target)
        z = (target - self.centre[0]) / self.unit[0]
        if self.condition == "label":
            self._fit_classes(z, self._labels(batch["label"]))
            return
        source = self._flat(batch, "source").double()
        self._standardise(1, source)
        self.linear.start(self._in_units(source, 1), z.to(self.linear.shift.dtype))
        missed = z - self.linear(self._in_units(source, 1))
        # In the training set the regression misses too little: the leave-one-out error says how much.
        self.priors[0].fit(missed - missed.mean(0), variance=float(self.linear.spread) ** 2)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape is that of a target; items without a label are conditioned on their source."""
        known: dict[str, Any] = {"shape": list(item["target"].shape)} if "target" in item else {}
        return known if "label" in item else known | {"condition": "source"}

    def flat_vectors(self, dataset: Any) -> TensorData:
        """The dataset in coordinates z, which :meth:`loss` takes as well: the factorisations are done only once."""
        batch = read_all(dataset)
        keys = ["target"] if self.condition == "label" else ["source", "target"]
        made = {f"{key}_flat": self._flat(batch, key).to(self.centre.dtype) for key in keys}
        return TensorData(made | ({"label": batch["label"]} if self.condition == "label" else {}))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the velocity at random points of the lines from prior to data.

        Args:
            batch: ``target`` with ``label`` (B,) or ``source``, in the ``shape`` of the method; or ``target_flat`` and
                ``source_flat`` (B, D) in their place.
            rng: Draws the prior and the times.
        """
        z1 = self._in_units(self._flat(batch, "target"), 0)
        known = (
            self._labels(batch["label"])
            if self.condition == "label"
            else self._in_units(self._flat(batch, "source"), 1)
        )
        z0, mean, spread = self._prior(known, rng)
        t = torch.rand(len(z1), 1, generator=rng, device=z1.device, dtype=z1.dtype)
        z = (1 - t) * z0 + t * z1  # Eq. (6)
        output = self._output(z, t, known, mean, spread)
        goal = z1 - z0
        if self.parametrisation == "preconditioned":
            goal = (goal - prior_velocity(z, t, mean)) / (spread / _size(t))
        return {"loss": (output - goal).square().mean()}  # Eq. (7)

    def velocity(self, z: Tensor, t: Tensor, known: Tensor) -> Tensor:
        """The learned velocity at standardised coordinates z (B, D) and times (B,), given what is known of each."""
        t = expand_to(t, z)
        _, mean, spread = self._prior(known, None)
        output = self._output(z, t, known, mean, spread)
        if self.parametrisation == "velocity":
            return output
        return prior_velocity(z, t, mean) + spread / _size(t) * output  # Eq. (9)

    @torch.no_grad()
    def sample(self, source: Tensor, *, steps: int = 20, solver: Solver = "midpoint", rng: torch.Generator) -> Tensor:
        """Draw a matrix for each class or source matrix.

        Args:
            source: Classes (B,), or matrices (B, *shape).
            steps: Number of time steps.
            solver: As in :func:`mmlab.diffusion.ode.integrate`.
            rng: Draws from the prior.

        Returns:
            (B, *shape), in the precision of the sources; for classes in float64, in which they are valid to rounding.
        """
        known = self._known(source)
        start, _, _ = self._prior(known, rng)
        return self._back(
            integrate(lambda z, t: self.velocity(z, t, known), start, steps=steps, solver=solver).end, source
        )

    @torch.no_grad()
    def sample_prior(self, source: Tensor, *, rng: torch.Generator) -> Tensor:
        """The baseline: the fitted Gaussian alone, mapped back. Arguments and shapes as in :meth:`sample`."""
        return self._back(self._prior(self._known(source), rng)[0], source)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Three regions in two classes, each of which has two kinds of people."""
        rng = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(3,), width=32, depth=1)
        label, kind = torch.arange(32) % 2, torch.arange(32) // 2 % 2
        series = torch.randn(32, 3, 24, generator=rng)
        series[:, 1:] /= 2
        series[:, 1] += torch.where(kind > 0, 1.0, -1.0)[:, None] * series[:, 0]
        series[:, 2] += torch.where(label > 0, 1.0, -1.0)[:, None] * series[:, 0]
        return method, {"label": label, "target": edges(correlation_of(series @ series.mT))}

    def _fit_classes(self, z: Tensor, label: Tensor) -> None:
        for number, prior in enumerate(self.priors):
            items = z[label == number]
            if len(items) < 2:
                raise ValueError(
                    f"Class {number} has {len(items)} training items: a Gaussian needs at least 2. "
                    "Number the classes from 0, and set classes= to how many there are."
                )
            prior.fit(items)

    def _prior(self, known: Tensor, rng: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """A draw (zeros without rng) and the mean of the prior, (B, D), and the root of its mean variance, (B, 1)."""
        if self.condition == "source":
            mean = self.linear(known)
            spread = self.priors[0].spread.expand(len(known), 1)
            drawn = mean if rng is None else mean + self.priors[0].deviations(len(known), rng)
            return drawn, mean, spread
        mean = torch.stack([prior.mean for prior in self.priors])[known]
        spread = torch.stack([prior.spread for prior in self.priors])[known, None]
        drawn = mean
        if rng is not None:  # all classes draw for all items, so that an item's draw does not depend on the others'
            each = torch.stack([prior.deviations(len(known), rng) for prior in self.priors])
            drawn = mean + each[known, torch.arange(len(known), device=known.device)]
        return drawn, mean, spread

    def _output(self, z: Tensor, t: Tensor, known: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        """What the network predicts at z (B, D) and t (B, 1)."""
        given = self.classes(known) if self.condition == "label" else self.linear.show(known)
        state = (z - mean) / (spread * _size(t)) if self.parametrisation == "preconditioned" else z
        return evaluate_field(self.network, torch.stack([state, given], dim=1), t[:, 0])[:, 0]

    def _known(self, source: Tensor) -> Tensor:
        """Classes (B,), or standardised coordinates (B, D) of source matrices."""
        if self.condition == "label":
            return self._labels(source)
        return self._in_units(self._flat({"source": source}, "source"), 1)

    def _labels(self, label: Tensor) -> Tensor:
        count = len(self.priors)
        if label.ndim != 1 or label.is_floating_point() or not bool(((label >= 0) & (label < count)).all()):
            raise ValueError(
                f"Classes are whole numbers from 0 to {count - 1}, (B,), not {tuple(label.shape)} {label.dtype}."
            )
        return label.long()

    def _given(self, batch: Batch, key: str) -> Tensor:
        return batch[f"{key}_flat"] if f"{key}_flat" in batch else batch[key]

    def _flat(self, batch: Batch, key: str) -> Tensor:
        """Coordinates z (B, D) of a batch's matrices, not standardised."""
        if f"{key}_flat" in batch:
            return batch[f"{key}_flat"]
        values = batch[key]
        if tuple(values.shape[1:]) != self.shape:
            two = "source" in batch and "target" in batch and batch["source"].shape[1:] != batch["target"].shape[1:]
            raise ValueError(
                f"{key} is {tuple(values.shape)}; this method was built for (B, {', '.join(map(str, self.shape))})"
                f"{TWO_PARCELLATIONS if two else '.'}"
            )
        full = matrices(values.double()) if self.of_edges else values.double()
        full = (1 - self.shrinkage) * full + self.shrinkage * _identity(full.shape[-1], full)
        return CHARTS[self.geometry][0](full)

    def _standardise(self, side: int, z: Tensor) -> None:
        self.centre[side] = z.mean(0)
        self.unit[side] = z.std(0, correction=0).clamp_min(LEAST)

    def _in_units(self, z: Tensor, side: int) -> Tensor:
        """Standardised coordinates in the precision of the network."""
        return ((z - self.centre[side].double()) / self.unit[side].double()).to(self.centre.dtype)

    def _back(self, z: Tensor, source: Tensor) -> Tensor:
        made = CHARTS[self.geometry][1](z.double() * self.unit[0].double() + self.centre[0].double())
        if self.shrinkage and self.of_edges:  # undo it, where what is left is still a correlation matrix, or nearly so
            made = (made - self.shrinkage * _identity(made.shape[-1], made)) / (1 - self.shrinkage)
            made = made if self.geometry == "none" else project_to_correlation(made)
        made = edges(made) if self.of_edges else made
        return made if self.condition == "label" else made.to(source.dtype)


def _size(t: Tensor) -> Tensor:
    """Standard deviation of z_t when both ends have variance one: √((1-t)² + t²)."""
    return ((1 - t).square() + t.square()).sqrt()


def _identity(count: int, like: Tensor) -> Tensor:
    return torch.eye(count, dtype=like.dtype, device=like.device)


def _coordinates(shape: tuple[int, ...], of_edges: bool, geometry: str) -> int:
    """D, the number of coordinates of a matrix."""
    if of_edges:
        if len(shape) != 1:
            raise ValueError(f"With geometry={geometry!r}, shape is (E,), the number of edges, not {shape}.")
        number_of_regions(shape[0])
        return shape[0]
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"With geometry={geometry!r}, shape is (N, N), that of one matrix, not {shape}.")
    return shape[0] * (shape[0] + 1) // 2
