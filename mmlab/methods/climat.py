"""CLIMATv2: an image and clinical variables in, a grade now and at later visits out, and a sharpness for each visit.

Three transformers imitate three people: a radiologist R reads the image, an agent of the context F the clinical
variables, and a general practitioner P combines both and forecasts. Symbols: z_t are the logits of horizon t (0 is
now), p_t their softmax, C the number of classes, a_t a number per horizon that sets its sharpness τ_t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mmlab.card import Budget, Card, Claim
from mmlab.losses.classification import mean_over_present
from mmlab.method import Batch, Method, Objective
from mmlab.nn.encoders import AttentionBlock

__all__ = ["CLIMAT", "club", "sharpness"]


def club(log_probability: Tensor, tau: Tensor, classes: int) -> Tensor:
    """-τ log p_y + (1 - τ) log C: a bound from above of the cross-entropy at the logits τ z.

    Args:
        log_probability: log p_y of the true class, any shape.
        tau: τ in (0, 1], of a shape that goes with it.
        classes: C.
    """
    return -tau * log_probability + (1 - tau) * math.log(classes)  # Eqs. (1) and (6)


def sharpness(a: Tensor, softness: float) -> Tensor:
    """τ_t = softmax_t(1 / (exp a_t + s)), divided by the largest of them: (T,) to (T,), each in [exp(-1/s), 1]."""
    score = 1 / (a.exp() + softness)
    return (score - score.max()).exp()  # Eq. (2)


class _Agent(nn.Module):
    """A transformer whose first tokens are learnt: one for each thing that is asked."""

    def __init__(self, inputs: int, tokens: int, asked: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.asked = nn.Parameter(0.02 * torch.randn(asked, width))
        self.positions = nn.Parameter(0.02 * torch.randn(asked + tokens, width))
        self.blocks = nn.ModuleList(AttentionBlock(width, 2, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, inputs) to states (B, asked + N, D)."""
        states = torch.cat([self.asked.expand(len(tokens), -1, -1), self.embed(tokens)], 1) + self.positions
        for block in self.blocks:
            states = block(states, states)
        return self.norm(states)


class CLIMAT(Method):
    """Three agents, a head for each horizon, and a sharpness for each that is learnt on held-out items.

    Grades that were not seen count nowhere, and variables that are not known are not looked at. Items with ``held_out``
    train the sharpness and nothing else; the others train the rest. With ``pace=0`` every τ stays 1, and the loss is
    plain cross-entropy.

    As in the authors' code, the diagnosis of R is taught by the consistency with that of P.

    Args:
        shape: Shape of an image (C, H, W); the patch divides its sides.
        variables: Number of clinical variables V.
        classes: Number of grades.
        horizons: Number of visits T, now included.
        width: Width of the tokens D, an even number.
        depth: Blocks of each agent.
        patch: Side of an image patch.
        consistency: Weight of the distance between the diagnoses of R and P.
        softness: s; no τ falls below exp(-1/s).
        pace: How fast a_t moves, relative to the learning rate of the run.
        dropout: Dropout probability of the hidden features.

    Raises:
        ValueError: If the patch does not divide the image, or a number is out of its range.

    Source:
        Nguyen et al. 2022, CLIMATv2.
    """

    card = Card(
        name="CLIMATv2",
        family="fusion",
        paper="climat",
        summary="Forecasts a grade from image and clinical variables, with a learnt sharpness for each horizon.",
        inputs=("image", "clinical", "grade"),
        outputs=("grade",),
        claims=(
            Claim("ECE", "cross-entropy", "lower", name="club-later-cross-entropy"),
            Claim("ECE", "temperature scaling", "lower", kind="sanity", name="club-later-temperature-for-each-visit"),
            Claim("ECE", "temperatures, no CLUB", "lower", kind="sanity", name="club-adds-to-temperatures-ece"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("medical", "image", "tables", "calibration", "missing values"),
    )

    def __init__(
        self,
        shape: Sequence[int],
        variables: int,
        classes: int = 4,
        horizons: int = 4,
        width: int = 24,
        depth: int = 1,
        patch: int = 4,
        consistency: float = 0.5,
        softness: float = 1.0,
        pace: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, height, breadth = shape
        if patch < 1 or height % patch or breadth % patch:
            raise ValueError(f"patch={patch} does not divide an image of {height} x {breadth}.")
        if not softness > 0 or pace < 0 or horizons < 1 or classes < 2:
            raise ValueError(
                f"softness={softness}, pace={pace}, horizons={horizons}, classes={classes}: softness is positive, pace "
                "not negative, and there are one horizon and two classes at least."
            )
        self.classes, self.horizons = classes, horizons
        self.consistency, self.softness, self.pace = consistency, softness, pace
        patches = (height // patch) * (breadth // patch)
        self.patches = nn.Sequential(nn.Conv2d(channels, width, patch, stride=patch), nn.GELU())
        self.radiologist = _Agent(width, patches, 1, width, depth, dropout)
        self.diagnosis = nn.Linear(width, classes)
        self.variables = nn.ModuleList(
            nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.LayerNorm(width)) for _ in range(variables)
        )
        self.context = _Agent(width, variables, 1, width, depth, dropout)
        self.practitioner = _Agent(2 * width, patches + 1, horizons, width, depth, dropout)
        self.heads = nn.ModuleList(nn.Linear(width, classes) for _ in range(horizons))
        self.a = nn.Parameter(torch.zeros(horizons), requires_grad=pace > 0)  # a_t / pace

    @property
    def tau(self) -> Tensor:
        """τ of each horizon, (T,)."""
        return sharpness(self.pace * self.a, self.softness)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of P for each horizon (B, T, C), and of R for now (B, C), before any sharpness.

        Args:
            batch: ``image`` (B, C, H, W), ``clinical`` (B, V), and optionally ``clinical_known`` (B, V) bool.
        """
        patches = self.patches(batch["image"]).flatten(2).mT  # (B, N, D)
        read = self.radiologist(patches)  # (B, 1 + N, D)
        values = batch["clinical"]
        known = batch.get("clinical_known", torch.ones_like(values, dtype=torch.bool))
        values = torch.where(known, values, 0)
        tokens = [embed(values[:, i : i + 1]) * known[:, i : i + 1] for i, embed in enumerate(self.variables)]
        context = self.context(torch.stack(tokens, 1))[:, :1]  # (B, 1, D)
        both = torch.cat([read, context.expand_as(read)], -1)  # (B, 1 + N, 2 D)
        states = self.practitioner(both)  # (B, T + 1 + N, D)
        forecast = torch.stack([head(states[:, t]) for t, head in enumerate(self.heads)], 1)
        return forecast, self.diagnosis(read[:, 0])

    def horizon_losses(self, logits: Tensor, batch: Batch, items: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        """The bound (1) of each horizon over the items whose grade was seen, and whether there are any: (T,) each.

        Args:
            logits: z, (B, T, C).
            batch: With ``grade`` (B, T) and optionally ``grade_seen`` (B, T).
            items: Which items count, (B,) bool.
            tau: τ, (T,).
        """
        grade = batch["grade"]
        seen = batch.get("grade_seen", torch.ones_like(grade, dtype=torch.bool)) & items[:, None]
        chosen = logits.log_softmax(-1).gather(-1, grade.where(seen, 0)[..., None])[..., 0]  # (B, T)
        return mean_over_present(club(chosen, tau, self.classes).T, seen.T), seen.any(0)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Bounds of the horizons and the consistency, over the items that are not held out.

        Args:
            batch: As for :meth:`forward`, with the grades, and optionally ``held_out`` (B,) bool.
            rng: Not needed.

        Returns:
            ``loss`` and its parts: ``now``, ``later`` and ``consistency``.
        """
        items = ~_held_out(batch)
        forecast, diagnosis = self(batch)
        each, there = self.horizon_losses(forecast, batch, items, self.tau.detach())
        later = mean_over_present(each[1:], there[1:])  # Eq. (3)
        apart = mean_over_present((forecast[:, 0] - diagnosis).abs().mean(-1), items)
        total = each[0] + later + self.consistency * apart  # Eq. (4)
        return {"loss": total, "now": each[0], "later": later, "consistency": apart}

    def calibration_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """The same bounds on the held-out items (on all, if none is marked), of which only the sharpness learns."""
        items = _held_out(batch)
        items = items if "held_out" in batch else ~items
        with torch.no_grad():
            forecast, _ = self(batch)
        each, there = self.horizon_losses(forecast, batch, items, self.tau)
        return {"loss": mean_over_present(each, there)}  # Eq. (5)

    def objectives(self) -> list[Objective]:
        """The networks; and the sharpness, if it moves."""
        networks = [p for name, p in self.named_parameters() if name != "a"]
        found = [Objective("networks", networks, self.loss)]
        return [*found, Objective("sharpness", [self.a], self.calibration_loss)] if self.pace > 0 else found

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities softmax(τ_t z_t) of the grades at each horizon, (B, T, C); grades are not looked at."""
        with self.evaluating():
            return (self.tau[:, None] * self(batch)[0]).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """Shape of the image, number of variables and of horizons."""
        return {
            "shape": list(item["image"].shape),
            "variables": len(item["clinical"]),
            "horizons": len(item["grade"]),
        }

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Small images whose brightness is the grade, which rises with a variable; the later head is far too sure."""
        rng = torch.Generator().manual_seed(seed)
        method = cls.seeded(seed, (1, 4, 4), 2, classes=3, horizons=2, width=8, patch=2, softness=0.25)
        with torch.no_grad():
            method.heads[1].get_parameter("weight").mul_(20)
        now = torch.arange(32) % 3
        clinical = torch.randn(32, 2, generator=rng)
        later = (now + (clinical[:, 0] > 0).long()).clamp(max=2)
        seen = torch.rand(32, 2, generator=rng) < 0.9
        image = (now - 1.0).view(-1, 1, 1, 1) + 0.3 * torch.randn(32, 1, 4, 4, generator=rng)
        known = torch.rand(32, 2, generator=rng) < 0.9
        batch = {"image": image, "clinical": clinical, "clinical_known": known, "grade": torch.stack([now, later], 1)}
        return method, batch | {"grade_seen": seen, "held_out": torch.arange(32) % 4 == 3}


def _held_out(batch: Batch) -> Tensor:
    """Which items are held out, (B,) bool."""
    return batch.get("held_out", torch.zeros(len(batch["image"]), dtype=torch.bool, device=batch["image"].device))
