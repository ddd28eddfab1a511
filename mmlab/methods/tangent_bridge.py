"""Bridge matching in the tangent space of positive definite matrices: every sample is a correlation matrix.

Symbols: C is a correlation matrix, M a reference near which the matrices of a state lie, v = log_M C the coordinates
of C in the tangent space at M. The bridge runs between v₀ at the mean of the source state and v₁ at that of the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.data.connectome import edges, matrices, number_of_regions
from mmlab.data.tensors import TensorData
from mmlab.diffusion.bridges import BridgeSampler
from mmlab.method import Batch, Draws
from mmlab.methods.bridge_matching import BridgeMatching
from mmlab.metrics.correlation_geometry import (
    correlation_of,
    from_tangent,
    geometric_mean,
    project_to_correlation,
    to_tangent,
)
from mmlab.nn.field import TWO_PARCELLATIONS

__all__ = ["TangentBridge"]


class TangentBridge(BridgeMatching):
    """Bridge matching between correlation matrices, in coordinates in which every point is a valid matrix.

    Call :meth:`set_references` with the training pairs first: it finds the geometric mean of each state. Without it
    both references are the identity.

    Args:
        shape: Shape of one sample as edges, (E,) with E = N(N-1)/2.
        width: Features of the network's bottleneck.
        depth: Residual blocks of the network.
        sigma: Standard deviation that the reference diffusion gathers, in tangent units.
        dropout: Dropout probability.
        scale: Standard deviation of the tangent coordinates; the network works in units of it.
        shrinkage: Weight s in (1-s) C + s I before the logarithm. Scans with fewer frames than regions need s > 0.
        network: Your own network over the N(N+1)/2 tangent coordinates; see :func:`mmlab.nn.field.make_field`.
        directions: As in bridge matching, strong regularisation for few pairs.

    Source:
        Bridge matching: De Bortoli et al. 2023. The tangent space of connectivity: Varoquaux et al. 2010.
    """

    card = Card(
        name="Tangent-space bridge matching",
        family="translation",
        paper="varoquaux2010tangent",
        summary="Bridge matching between correlation matrices whose samples are correlation matrices, by construction.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("RMSE", "bridge_matching", "lower", kind="sanity"),
            Claim("demeaned r", "bridge_matching", "higher", kind="sanity"),
            Claim("identification", "mean shift", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2, gpu_minutes=10, gpu_memory_gb=8),
        tags=("brain", "fMRI", "MRI", "connectome", "diffusion"),
        level="advanced",
    )
    draws = Draws(correlations=True)

    source_mean: Tensor
    target_mean: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 256,
        depth: int = 2,
        sigma: float = 0.1,
        dropout: float = 0.0,
        scale: float = 1.0,
        shrinkage: float = 0.0,
        network: nn.Module | None = None,
        directions: int | None = None,
    ) -> None:
        if len(shape) != 1:
            raise ValueError(f"shape is (E,), the number of edges, not {tuple(shape)}.")
        if not 0 <= shrinkage < 1:
            raise ValueError(f"shrinkage is a weight in [0, 1), not {shrinkage}.")
        regions = number_of_regions(shape[0])
        coordinates = (regions * (regions + 1) // 2,)
        super().__init__(
            coordinates, width, depth, sigma, dropout=dropout, scale=scale, network=network, directions=directions
        )
        self.shrinkage = shrinkage
        self.register_buffer("source_mean", torch.eye(regions, dtype=torch.float64))
        self.register_buffer("target_mean", torch.eye(regions, dtype=torch.float64))

    def start_from(self, dataset: Any) -> None:
        """Solve the linear regression in tangent coordinates, unless that was done before.

        Args:
            dataset: Training pairs, as :meth:`loss` takes them.
        """
        if not self.linear.started:
            self.linear.start(*self._coordinates(read_all(dataset)))

    def set_references(self, dataset: Any) -> Self:
        """Put the references at the geometric means of ``source`` and ``target`` of training pairs, edges (E,).

        Raises:
            ValueError: If a matrix is not positive definite after the shrinkage.
        """
        batch = read_all(dataset)
        self._check_states(batch)
        self.source_mean.copy_(geometric_mean(self._shrunk(batch["source"])))
        self.target_mean.copy_(geometric_mean(self._shrunk(batch["target"])))
        return self

    def tangent_vectors(self, dataset: Any) -> TensorData:
        """The dataset in tangent coordinates, which :meth:`loss` takes as well: the logarithms are done only once."""
        batch = read_all(dataset)
        self._check_states(batch)
        return TensorData({"source_tangent": self.to_source(batch["source"]), "target_tangent": self._target(batch)})

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Squared error of the endpoint in tangent coordinates.

        Args:
            batch: ``source`` and ``target``, edges (B, E); or ``source_tangent`` and ``target_tangent`` in their place.
            rng: Draws the times and the noise of the bridges.
        """
        source, target = self._coordinates(batch)
        return super().loss({"source": source, "target": target}, rng)

    @torch.no_grad()
    def sample(
        self, source: Tensor, *, steps: int = 20, sampler: BridgeSampler = "posterior", rng: torch.Generator
    ) -> Tensor:
        """Carry sources to samples of the target, each the edges of a correlation matrix: (B, E) -> (B, E)."""
        drawn = super().sample(self.to_source(source), steps=steps, sampler=sampler, rng=rng)
        return self.to_edges(drawn).to(source.dtype)

    def to_source(self, source: Tensor) -> Tensor:
        """Tangent coordinates at the mean of the source state: edges (B, E) -> (B, N(N+1)/2)."""
        return to_tangent(self._shrunk(source), self.source_mean).to(next(self.parameters()).dtype)  # Eqs. (1) and (2)

    def to_edges(self, vectors: Tensor) -> Tensor:
        """Edges of the correlation matrices at tangent coordinates of the target state: (B, N(N+1)/2) -> (B, E)."""
        made = correlation_of(from_tangent(vectors, self.target_mean))  # Eqs. (3) and (4)
        if self.shrinkage:  # undo it, where what is left is still a correlation matrix, or nearly so
            identity = torch.eye(made.shape[-1], dtype=made.dtype, device=made.device)
            made = project_to_correlation((made - self.shrinkage * identity) / (1 - self.shrinkage))
        return edges(made)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Four regions whose target correlations are those of the source in another order."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = cls(shape=(6,), width=16, sigma=0.3)
            series = torch.randn(32, 4, 12)
        source = matrices(edges(correlation_of(series @ series.mT)))
        return method, {"source": edges(source), "target": edges(source.roll((1, 1), (1, 2)))}

    def _coordinates(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if "source_tangent" in batch:
            return batch["source_tangent"], batch["target_tangent"]
        self._check_states(batch)
        return self.to_source(batch["source"]), self._target(batch)

    def _check_states(self, batch: Batch) -> None:
        """Refuse edges of two widths, before a reference of one of them is asked for."""
        source, target = batch["source"], batch["target"]
        if source.shape[1:] != target.shape[1:]:
            raise ValueError(
                f"source {tuple(source.shape)} and target {tuple(target.shape)} must both have shape "
                f"(B, {self._edges}), the shape that this method was built for{TWO_PARCELLATIONS}"
            )

    @property
    def _edges(self) -> int:
        return math.comb(len(self.source_mean), 2)

    def _target(self, batch: Batch) -> Tensor:
        return to_tangent(self._shrunk(batch["target"]), self.target_mean).to(next(self.parameters()).dtype)

    def _shrunk(self, values: Tensor) -> Tensor:
        if values.ndim != 2 or values.shape[1] != self._edges:
            raise ValueError(
                f"Of source and target, one is {tuple(values.shape)}; the bridge was built for (B, {self._edges})."
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError("The edges hold NaN or infinity, and have no logarithm: leave those scans out.")
        return matrices((1 - self.shrinkage) * values.double())  # the diagonal stays at one
