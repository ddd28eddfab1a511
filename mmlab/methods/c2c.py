"""Connectome to connectome (C2C): principal components of each state, and partial least squares between their scores.

Symbols: X and Y are the sources and the targets, one person a row; U and W the principal components of each; T = XU
and S = YW the scores; B the regression from T to S that partial least squares finds. Nothing is trained: the method is
solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method

__all__ = ["C2C", "partial_least_squares", "principal_components"]


def principal_components(x: Tensor, count: int) -> Tensor:
    """The directions that hold most of the sum of squares of x, without centring it first.

    Args:
        x: (S, E), one person a row.
        count: Number of components k, at most min(S, E).

    Returns:
        (E, k), orthonormal columns, the strongest first.
    """
    return torch.linalg.svd(x, full_matrices=False).Vh[:count].T  # Eq. (1)


def partial_least_squares(t: Tensor, s: Tensor, count: int) -> Tensor:
    """Regression coefficients from centred t to centred s through a few directions of largest covariance (SIMPLS).

    Args:
        t: (S, p), centred.
        s: (S, q), centred.
        count: Number of directions. With as many as t has rank, this is least squares.

    Returns:
        B, shape (p, q), with which t @ B predicts s.

    Source:
        De Jong 1993, "SIMPLS: an alternative approach to partial least squares regression".
    """
    covariance = t.T @ s  # (p, q)
    weights, loadings = t.new_zeros(t.shape[1], 0), t.new_zeros(t.shape[1], 0)
    scale = covariance.norm()
    for _ in range(count):
        if covariance.norm() <= 1e-10 * scale:  # everything that t can say about s has been said
            break
        direction = torch.linalg.svd(covariance, full_matrices=False)[0][:, :1]  # Eq. (3)
        weight = direction / (t @ direction).norm()  # (p, 1), its score has length one
        loading = t.T @ (t @ weight)
        for _ in range(2):  # the second pass removes what rounding left
            loading = loading - loadings @ (loadings.T @ loading)
        loading = loading / loading.norm()
        covariance = covariance - loading @ (loading.T @ covariance)  # Eq. (4)
        weights, loadings = torch.cat([weights, weight], 1), torch.cat([loadings, loading], 1)
    return weights @ (weights.T @ (t.T @ s))  # Eq. (5)


class C2C(Method):
    """Predict one state's connectome from another's, by linear algebra alone.

    The published settings are 100 components of each state and 10 directions. Fewer people than components leave the
    rest of the components empty. Call :meth:`solve` before :meth:`sample`. The two states may have different widths.

    Args:
        shape: Shape of one source, (E,).
        components: Principal components of each state.
        directions: Directions of the partial least squares.
        target_shape: Shape of one target, (F,), if it is another than that of a source.

    Source:
        Yoo et al. 2022, "A cognitive state transformation model for task-general and task-specific subsystems of the
        brain connectome".
    """

    card = Card(
        name="Connectome-to-connectome (C2C)",
        family="translation",
        paper="yoo2022c2c",
        summary="Predicts a task connectome from one at rest: principal components and partial least squares.",
        inputs=("source", "target"),
        outputs=("target",),
        claims=(
            Claim("RMSE", "mean shift", "lower", kind="sanity"),
            Claim("demeaned r", "mean shift", "higher", kind="sanity"),
            Claim("identification", "mean shift", "higher", kind="sanity"),
        ),
        budget=Budget(cpu_seconds=60, cpu_memory_gb=2),
        tags=("brain", "fMRI", "MRI", "connectome", "linear"),
    )
    draws = None  # an expected target

    source_components: Tensor
    target_components: Tensor
    coefficients: Tensor
    intercept: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        components: int = 100,
        directions: int = 10,
        target_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        target_shape = shape if target_shape is None else target_shape
        for name, given in (("shape", shape), ("target_shape", target_shape)):
            if len(given) != 1:
                raise ValueError(f"{name} is (E,), the number of edges, not {tuple(given)}.")
        if not 1 <= directions <= components:
            raise ValueError(f"There must be 1 to {components} directions, as many as components, not {directions}.")
        self.shape, self.target_shape = tuple(shape), tuple(target_shape)
        self.components, self.directions = components, directions
        self.register_buffer("source_components", torch.zeros(shape[0], components))
        self.register_buffer("target_components", torch.zeros(target_shape[0], components))
        self.register_buffer("coefficients", torch.zeros(components, components))
        self.register_buffer("intercept", torch.zeros(components))

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The shape of a source, and that of a target if it differs."""
        known = super().arguments_for(item)
        if "target" in item and item["target"].shape != item["source"].shape:
            known["target_shape"] = list(item["target"].shape)
        return known

    def solve(self, dataset: Any) -> Self:
        """Fit to all items of a dataset: ``source`` (E,) and ``target`` (F,).

        Args:
            dataset: With ``len()`` and ``dataset[i]``.

        Raises:
            ValueError: If the items have another shape or values that are not finite, or there are fewer than two.
        """
        batch = read_all(dataset)
        x = self._checked(batch["source"], "source", self.shape)  # (S, E)
        y = self._checked(batch["target"], "target", self.target_shape)  # (S, F)
        if len(x) < 2:
            raise ValueError(f"C2C is a regression over people: it needs at least 2, not {len(x)}.")
        p, q = min(self.components, *x.shape), min(self.components, *y.shape)
        u, w = principal_components(x, p), principal_components(y, q)  # (E, p), (F, q)
        t, s = x @ u, y @ w  # Eq. (2)
        b = partial_least_squares(t - t.mean(0), s - s.mean(0), min(self.directions, p))
        for buffer in self.buffers():
            buffer.zero_()
        self.source_components[:, :p], self.target_components[:, :q] = u, w
        self.coefficients[:p, :q] = b
        self.intercept[:q] = s.mean(0) - t.mean(0) @ b
        return self

    @torch.no_grad()
    def sample(self, source: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Targets expected from sources: (S, E) -> (S, F).

        Args:
            source: Sources, shape (S, E).
            rng: Not used, since nothing is drawn: every sample is the expected target.

        Raises:
            ValueError: If the sources have another shape or values that are not finite, or nothing was solved yet.
        """
        if not self.source_components.any():
            raise ValueError("This C2C has not been solved yet: call solve(training_pairs) first.")
        source = self._checked(source, "source", self.shape).to(self.source_components)
        scores = source @ self.source_components @ self.coefficients + self.intercept
        return scores @ self.target_components.T  # Eq. (6)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twenty people whose targets are a fixed rotation of their sources, solved."""
        rng = torch.Generator().manual_seed(seed)
        source = torch.randn(20, 12, generator=rng)
        batch = {"source": source, "target": source.roll(1, dims=1)}
        items = [{key: value[i] for key, value in batch.items()} for i in range(20)]
        return cls(shape=(12,), components=8, directions=4).solve(items), batch

    def _checked(self, values: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
        if values.ndim != 2 or tuple(values.shape[1:]) != shape:
            raise ValueError(f"{name} is {tuple(values.shape)}; this C2C was built for (S, {shape[0]}).")
        if not values.isfinite().all():
            raise ValueError(f"{name} holds values that are not finite: find the scan and leave it out.")
        return values.double()
