"""What a method says about itself: its identity card, made of literals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["LEVELS", "Budget", "Card", "Claim"]

LEVELS = ("introductory", "intermediate", "advanced")
"""What a chapter asks of its reader: linear algebra and deep learning; probability besides; stochastic calculus,
optimal transport or Riemannian geometry besides."""


@dataclass(frozen=True)
class Budget:
    """What one run of the chapter may cost; the runner measures it and the page shows both.

    Attributes:
        cpu_seconds: Processor seconds of the ``cpu`` profile on the reference machine; those of another machine are
            divided by its factor, which a fixed workload measures.
        cpu_memory_gb: Peak memory of the ``cpu`` profile, in GB.
        gpu_minutes: Wall minutes of the ``gpu`` profile on a T4, or None if the chapter has no such profile.
        gpu_memory_gb: Peak device memory of the ``gpu`` profile, in GB.
    """

    cpu_seconds: float = 40.0
    cpu_memory_gb: float = 1.5
    gpu_minutes: float | None = None
    gpu_memory_gb: float | None = None


@dataclass(frozen=True)
class Claim:
    """One thing that the paper claims, or that a working method must pass, in a form that the chapter measures.

    The register of claims shows each with the verdict of the chapter's run.

    Attributes:
        metric: Name of the metric in the chapter's table.
        baseline: What it should beat: the stem of a method or the name of a baseline.
        direction: Whether better means ``"higher"`` or ``"lower"``.
        kind: ``"paper"`` if the paper claims it, ``"sanity"`` for a control of this book.
        published: The published number with its setting, as ``"72.38 % on AV-MNIST"``; empty if none was checked.
        sure: How the published number is known: ``"read"`` in the paper or its authors' repository,
            ``"second-hand"``, or empty.
        name: Name in the register, which must never change; by default made of metric and baseline. A ``claim`` of this
            name in the chapter decides it.
    """

    metric: str
    baseline: str
    direction: Literal["higher", "lower"]
    kind: Literal["paper", "sanity"] = "paper"
    published: str = ""
    sure: Literal["", "read", "second-hand"] = ""
    name: str = ""


@dataclass(frozen=True)
class Card:
    """A method's identity card. Write it with literals only: it is read without running the module.

    Attributes:
        name: Name that people search for, for example ``"OGM-GE"``. The heading of the chapter may be what it likes.
        family: Part of the book that it belongs to, for example ``"translation"``.
        paper: Key of the paper in ``book/references.bib``.
        summary: One sentence that says what the method does.
        inputs: Keys that its batch must have.
        outputs: Keys that it produces.
        claims: What the paper claims and the chapter measures.
        budget: What the chapter may cost.
        chapter: Stem of the notebook that tells of it; empty if it is the method's own stem.
        tags: Further words that people look for, for example ``("brain", "fMRI")``.
        level: How difficult the chapter is: one of :data:`LEVELS`.
    """

    name: str
    family: str
    paper: str
    summary: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    budget: Budget = field(default_factory=Budget)
    chapter: str = ""
    tags: tuple[str, ...] = ()
    level: str = "intermediate"
