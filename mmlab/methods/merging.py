"""Model merging: one model out of several that were tuned from the same base, without any data.

Expert i has the weights W_i = W_0 + t_i of a matrix, with the *task vector* t_i (m, n). A rule makes one T of all t_i,
and the merged model has W_0 + scale T. The rules here are those that Wei et al. (2025) compare for vision-language
models, theirs (OptMerge) among them, and the minimum in closed form that WUDI stops short of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmlab.card import Card, Claim
from mmlab.methods.tinyllava import TinyLLaVA
from mmlab.wording import few

__all__ = [
    "MATRICES",
    "RULES",
    "Merging",
    "average",
    "dare",
    "interaction",
    "iso_c",
    "optmerge",
    "spectral",
    "task_arithmetic",
    "ties",
    "tsv",
    "wudi",
]

MATRICES = r"language_model\..*(_proj|dense|fc1|fc2)\.weight"
"""The weights that a rule merges by default: the matrices of the language model but for embeddings and head."""


def average(t: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """T = mean of t_i: (N, m, n) -> (m, n)."""
    return t.mean(0)


def task_arithmetic(t: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """T = sum of t_i: (N, m, n) -> (m, n)  (Ilharco et al. 2023)."""
    return t.sum(0)  # Eq. (1)


def ties(t: Tensor, rng: torch.Generator | None = None, keep: float = 0.2) -> Tensor:
    """Trim, elect a sign, and average who agrees: (N, m, n) -> (m, n)  (Yadav et al. 2023).

    Args:
        t: Task vectors.
        rng: Not used.
        keep: Share of the values of each that is not trimmed, by magnitude.
    """
    kept = max(1, int(keep * t[0].numel()))
    least = t.flatten(1).abs().kthvalue(t[0].numel() - kept + 1, dim=1).values  # (N,), the smallest magnitude kept
    t = torch.where(t.abs() >= least[:, None, None], t, 0)
    agree = (t.sign() == t.sum(0).sign()) & (t != 0)
    return (t * agree).sum(0) / agree.sum(0).clamp(min=1)  # Eq. (2)


def dare(t: Tensor, rng: torch.Generator | None = None, drop: float = 0.2) -> Tensor:
    """Drop values at random, rescale the others, and add: (N, m, n) -> (m, n)  (Yu et al. 2024).

    Args:
        t: Task vectors.
        rng: What is dropped.
        drop: Probability with which a value is; its expectation stays, since the others are divided by 1 - drop.
    """
    if rng is None:
        raise ValueError("dare: what it drops is random, so it needs an rng, a torch.Generator.")
    kept = torch.rand(t.shape, generator=rng, device=t.device) >= drop
    return (t * kept / (1 - drop)).sum(0)  # Eq. (3)


def tsv(t: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Task singular vectors: 1/N of the singular triplets of each, made orthogonal: (N, m, n) -> (m, n).

    Source:
        Gargiulo et al. 2025.
    """
    u, s, v = torch.linalg.svd(t, full_matrices=False)  # (N, m, r), (N, r), (N, r, n)
    r = max(1, s.shape[1] // len(t))
    u, s, v = torch.cat([*u[:, :, :r]], 1), s[:, :r].flatten(), torch.cat([*v[:, :r]], 0)
    return _polar(u) @ torch.diag(s) @ _polar(v)  # Eq. (4)


def _polar(a: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns (or rows)."""
    p, _, q = torch.linalg.svd(a, full_matrices=False)
    return p @ q


def iso_c(t: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """The sum with all its singular values set to their mean: (N, m, n) -> (m, n)  (Marczak et al. 2025)."""
    u, s, v = torch.linalg.svd(t.sum(0), full_matrices=False)
    return s.mean() * u @ v  # Eq. (5)


def interaction(T: Tensor, t: Tensor) -> Tensor:
    """What WUDI minimises: how much T - t_i answers to the inputs that expert i moved, ().

    The rows of t_i span the inputs that it was trained on, as gradients of a linear layer do.
    """
    n = t.square().sum((1, 2))  # (N,)
    return (((T - t) @ t.mT).square().sum((1, 2)) / n.clamp(min=1e-20)).sum()  # Eq. (6)


def wudi(t: Tensor, rng: torch.Generator | None = None, steps: int = 300, lr: float = 1e-5) -> Tensor:
    """Minimise the interaction from the sum on, by Adam, not to the end: (N, m, n) -> (m, n)  (Cheng et al. 2025)."""
    return _descend(t.sum(0), *_moments(t, t, t), torch.optim.Adam, steps, lr=lr)


def _moments(x: Tensor, target: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """C (n, n) and D (m, n) of a sum of ||(T - target_i) x_i^T||^2 / ||t_i||^2: its slope is 2 (T C - D)."""
    n = t.square().sum((1, 2)).clamp(min=1e-20)[:, None, None]
    each = x.mT @ x / n  # (N, n, n)
    return each.sum(0), (target @ each).sum(0)


def optmerge(
    t: Tensor,
    rng: torch.Generator | None = None,
    steps: int = 300,
    lr: float = 1e-4,
    momentum: float = 0.9,
    full: bool = False,
) -> Tensor:
    """OptMerge: the interaction with truncated task vectors, by few steps: (N, m, n) -> (m, n).

    Each t_i is replaced by its first 1/N of singular triplets; of what spans its inputs only S V^T is needed.

    Args:
        t: Task vectors.
        rng: Not used.
        steps: Number of steps of the descent.
        lr: Step size, as published for adapters; for ``full`` it is 1e-5.
        momentum: Momentum of the descent, without ``full``.
        full: The recipe that is published for experts tuned in full: what is truncated is t_i less the mean, which is
            added again, and Adam descends from the sum. Without it SGD descends from the mean.

    Source:
        Wei et al. 2025, with the norms and starts of their code.
    """
    mean = t.mean(0)
    u, s, v = torch.linalg.svd(t, full_matrices=False)
    r = max(1, s.shape[1] // len(t))
    right = s[:, :r, None] * v[:, :r]  # (N, r, n)
    if full:
        u, s, v = torch.linalg.svd(t - mean, full_matrices=False)
        cut = u[:, :, :r] @ (s[:, :r, None] * v[:, :r]) + mean  # (N, m, n)
        return _descend(t.sum(0), *_moments(right, cut, t), torch.optim.Adam, steps, lr=lr)
    cut = u[:, :, :r] @ right  # (N, m, n)
    return _descend(mean, *_moments(right, cut, t), torch.optim.SGD, steps, lr=lr, momentum=momentum)  # Eq. (7)


def _descend(start: Tensor, C: Tensor, D: Tensor, optimiser: Any, steps: int, **settings: float) -> Tensor:
    T = start.clone()
    optimise = optimiser([T], **settings)
    for _ in range(steps):
        T.grad = 2 * (T @ C - D)
        optimise.step()
    return T.detach()


def spectral(t: Tensor, rng: torch.Generator | None = None, share: float = 0.65) -> Tensor:
    r"""The minimum of the interaction in closed form, on the strong directions only: (N, m, n) -> (m, n).

    It is quadratic in T: with C = sum of t_i^T t_i / n_i and D = sum of t_i t_i^T t_i / n_i its minimum is D C^+.
    Directions in which C is small are left as in the sum; divided by, they are where the full minimum grows long.

    Args:
        t: Task vectors.
        rng: Not used.
        share: Share of the eigenvectors of C that is solved for, the strongest first; 1 is the full minimum.
    """
    wide = t.double()  # so that small eigenvalues are no rounding
    C, D = _moments(wide, wide, wide)  # (n, n), (m, n)
    values, V = torch.linalg.eigh(C)  # ascending
    strong = torch.arange(len(values), device=t.device) >= len(values) - round(share * len(values))
    strong &= values > values[-1] * 1e-12
    V, values = V[:, strong], values[strong]
    T = wide.sum(0)
    return (T - T @ V @ V.mT + (D @ V / values) @ V.mT).to(t)  # Eq. (8)


RULES: dict[str, Callable[..., Tensor]] = {
    "average": average,
    "task_arithmetic": task_arithmetic,
    "ties": ties,
    "dare": dare,
    "tsv": tsv,
    "iso_c": iso_c,
    "wudi": wudi,
    "optmerge": optmerge,
    "spectral": spectral,
}
"""The rules by name: each makes T (m, n) of task vectors (N, m, n)."""


class Merging(TinyLLaVA):
    """A TinyLLaVA that takes over what experts have learnt, by their weights alone.

    It is trained, saved and asked as :class:`mmlab.methods.tinyllava.TinyLLaVA` is, whose arguments it has.

    Args:
        language_model: Causal language model, as configuration, settings or model; None is Phi-2.
        vision_tower: Vision tower, likewise; None is the published one.
        connector: Kind of connector.
        queries: Tokens of a picture, for the connectors that choose their number.
        drop_first_patch: Whether the tower's first token is thrown away.
        vision_layer: Which of the tower's states is read.
        checkpointing: Whether activations are recomputed in the backward pass, to save memory.
        pixel_mean: Mean of red, green and blue in [0, 1] that the tower was trained with; None for pixels in [-1, 1].
        pixel_std: Standard deviation of the three, likewise.

    Source:
        Wei et al. 2025, "Unifying Multimodal Large Language Model Capabilities and Modalities via Model Merging".
    """

    card = Card(
        name="Model merging",
        family="vision and language",
        paper="wei2025optmerge",
        summary="Weights of experts that were tuned from one base become one model without data, by nine rules.",
        inputs=("input_ids", "length", "labels", "images"),
        outputs=("tokens",),
        claims=(
            Claim("mean accuracy of the tasks", "task arithmetic", "higher", name="codes-optmerge-task-arithmetic"),
            Claim("mean accuracy of the tasks", "TIES", "higher", name="codes-optmerge-ties"),
            Claim("mean accuracy of the tasks", "WUDI", "higher", name="codes-optmerge-wudi"),
            Claim("mean accuracy of the tasks", "TSV", "higher", name="codes-optmerge-tsv"),
            Claim("mean accuracy of the tasks", "training on all tasks", "higher", name="codes-optmerge-joint"),
            Claim(
                "mean accuracy of the tasks", "average", "higher", kind="sanity", name="codes-task-arithmetic-average"
            ),
        ),
        tags=("task arithmetic", "TIES", "DARE", "TSV", "OptMerge", "LoRA"),
    )

    def merge(
        self,
        experts: Sequence[Mapping[str, Tensor]],
        rule: str | Callable[[Tensor], Tensor] = "optmerge",
        *,
        scale: float = 1.0,
        **how: Any,
    ) -> None:
        """Move the weights from the base, which they are now, to the merged model.

        Args:
            experts: As for :meth:`changes`, like ``rule``.
            rule: How the task vectors of a matrix become one.
            scale: What every change is multiplied by.
            **how: Further arguments of :meth:`changes`.
        """
        weights = self.state_dict()
        for name, change in self.changes(experts, rule, **how).items():
            weights[name].add_(scale * change)  # the tensors of the model itself

    @torch.no_grad()
    def changes(
        self,
        experts: Sequence[Mapping[str, Tensor]],
        rule: str | Callable[[Tensor], Tensor] = "optmerge",
        *,
        include: str = MATRICES,
        exclude: str = "",
        rng: torch.Generator | None = None,
        **settings: float,
    ) -> dict[str, Tensor]:
        """By how much each weight moves away from the base, which this model is now; it is left alone.

        Args:
            experts: Weights of models that were tuned from this one, as ``state_dict()`` gives them: one or more.
            rule: One of :data:`RULES` by name, or a function of the task vectors of a matrix, (N, m, n) -> (m, n).
            include: Regular expression of the whole names of the matrices that the rule merges. All other weights
                move by the mean of the experts.
            exclude: Regular expression of the whole names of weights that do not move, whatever they are.
            rng: Randomness of the rule ``"dare"``.
            **settings: Further arguments of the rule.

        Returns:
            A change for every weight that is not excluded, by name.

        Raises:
            ValueError: If there is no expert, one is of another model, there is no such rule, or nothing is included.
        """
        own = {name: weight for name, weight in self.state_dict().items() if weight.is_floating_point()}
        _check(own, experts)
        if isinstance(rule, str) and rule not in RULES:
            raise ValueError(f"merge: there is no rule {rule!r}: the rules are {', '.join(RULES)}.")
        solve = partial(RULES[rule], rng=rng, **settings) if isinstance(rule, str) else partial(rule, **settings)
        moved = {name: weight for name, weight in own.items() if not re.fullmatch(exclude, name)}
        taken = {name for name, weight in moved.items() if weight.ndim == 2 and re.fullmatch(include, name)}
        if not taken:
            raise ValueError(f"merge: include={include!r} is the name of no matrix; there are {few(sorted(moved))}.")
        made = {}
        for name, weight in moved.items():
            t = torch.stack([expert[name].to(weight) - weight for expert in experts])  # (N, ...)
            made[name] = solve(t) if name in taken else t.mean(0)
        return made


def _check(own: Mapping[str, Tensor], experts: Sequence[Mapping[str, Tensor]]) -> None:
    if not experts:
        raise ValueError("merge: there is no expert: hand over the state_dict() of at least one tuned model.")
    for number, expert in enumerate(experts):
        if wrong := [n for n, w in own.items() if n not in expert or expert[n].shape != w.shape]:
            raise ValueError(
                f"merge: expert {number} lacks {wrong[0]}, or has it in another shape than the base: it must be tuned "
                "from this very model; merge a LoRA adapter into it before."
            )
