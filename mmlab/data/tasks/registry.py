"""The tasks by name: what is drawn, what the best possible score is and why, and the hash of the items."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch

from mmlab.data.tasks import drawing
from mmlab.data.tasks.drawing import Split
from mmlab.data.worlds.omics_world import VIEWS
from mmlab.wording import nearest

__all__ = ["LICENCE", "TASKS", "Task", "content_hash", "task"]

LICENCE = "CC0-1.0"

_MASK = "{}_present"


@dataclass(frozen=True)
class Task:
    """A task whose best possible score is known.

    Attributes:
        name: Its name, which stays.
        version: Its version; other items get another one.
        title: One line.
        drawn: What is drawn, in a paragraph of Markdown.
        why: Why nobody can do better than the ceiling.
        modalities: Columns that a method may see.
        target: Column that it has to answer.
        metric: ``"accuracy"``, higher is better, or ``"RMSE"``, lower is better.
        classes: Number of classes; 0 for a regression.
        sha256: Hash of the items, see :func:`content_hash`.
        make: Draws the splits and computes the ceilings, by what is seen.
    """

    name: str
    version: str
    title: str
    drawn: str
    why: str
    modalities: tuple[str, ...]
    target: str
    metric: Literal["accuracy", "RMSE"]
    classes: int
    sha256: str
    make: Callable[[], tuple[dict[str, Split], dict[str, float]]]

    def splits(self) -> dict[str, Split]:
        """The columns of ``train``, ``validation`` and ``test``.

        Raises:
            RuntimeError: If this platform draws other items than those of this version.
        """
        found = _made(self.name)[0]
        if content_hash(found) != self.sha256:
            raise RuntimeError(
                f"The items of {self.name} {self.version} come out differently on this machine: do not measure with "
                "them, and please report the platform and the version of NumPy."
            )
        return found

    def ceilings(self) -> dict[str, float]:
        """The best possible score by what is seen; ``"all"`` is the ceiling of the task."""
        return dict(_made(self.name)[1])


def content_hash(splits: Mapping[str, Split]) -> str:
    """The sha256 over names, types, shapes and values of all columns, whatever file they come from.

    Args:
        splits: Columns by split. Strings are hashed as UTF-8, one line each, numbers in little-endian order.
    """
    found = hashlib.sha256()
    for name in sorted(splits):
        for column in sorted(splits[name]):
            values = splits[name][column]
            if values.dtype.kind in "UO":
                kind, content = "str", "\n".join(map(str, values.tolist())).encode()
            else:
                little = values.astype(values.dtype.newbyteorder("<"))
                kind, content = values.dtype.name, np.ascontiguousarray(little).tobytes()
            found.update(f"{name}/{column} {kind} {values.shape}\n".encode() + content)
    return found.hexdigest()


def task(name: str) -> Task:
    """The task of a name.

    Raises:
        ValueError: If there is none.
    """
    if name not in TASKS:
        raise ValueError(f"There is no task {name!r}: {nearest(name, TASKS)}")
    return TASKS[name]


@cache
def _made(name: str) -> tuple[dict[str, Split], dict[str, float]]:
    return TASKS[name].make()


def _dial(intra: float, inter: float, seed: int) -> tuple[dict[str, Split], dict[str, float]]:
    splits, world = drawing.dial(intra, inter, seed)
    return splits, {"all": world.bayes_rate, "x1": world.rate(["x1"]), "x2": world.rate(["x2"])}


def _views() -> tuple[dict[str, Split], dict[str, float]]:
    splits, world = drawing.clinic(30)
    return splits, {"all": world.bayes_rate} | {view: world.rate([view]) for view in VIEWS}


def _gaps() -> tuple[dict[str, Split], dict[str, float]]:
    """The three views with gaps that depend on the class."""
    splits, world = drawing.clinic(40)
    rng = np.random.RandomState(41)
    best = {}
    for name, split in splits.items():
        label = split["label"]
        q = np.where(label == 1, 0.75, 0.25)
        hidden = rng.random_sample((len(label), len(VIEWS))) < q[:, None]
        hidden[np.arange(len(label)), rng.randint(len(VIEWS), size=len(label))] = False
        for view, gone in zip(VIEWS, hidden.T, strict=True):
            split[view][gone] = 0
            split[_MASK.format(view)] = ~gone
        if name == "test":
            posterior = world.posterior({key: torch.as_tensor(values) for key, values in split.items()}).numpy()
            count = hidden.sum(1, keepdims=True)
            chance = np.array([0.25, 0.75])
            reads = posterior * chance**count * (1 - chance) ** (len(VIEWS) - 1 - count)
            best = {
                "all": float((reads.max(1) / reads.sum(1)).mean()),
                "all, without reading the gaps": float(np.take_along_axis(reads / reads.sum(1, keepdims=True),
                                                                          posterior.argmax(1)[:, None], 1).mean()),
            }  # fmt: skip
    return splits, best


def _two_modes() -> tuple[dict[str, Split], dict[str, float]]:
    splits, law = drawing.two_modes(50)
    return splits, {"all": float(law.deviation(torch.zeros(1, 2))[0, 0])}


def _memes() -> tuple[dict[str, Split], dict[str, float]]:
    splits = drawing.memes(60)
    captions = splits["test"]["caption"]
    _, where, counts = np.unique(captions, return_inverse=True, return_counts=True)
    return splits, {
        "all": 1.0,
        "picture": 1 / 2,
        "title": 1 / 6,
        "captions found among all of the test split (recall at 1)": float((1 / counts[where]).mean()),
    }


_DIAL = (
    "Each of two vectors has eight numbers. The class, of two, shifts number 0 of both by ±{a}; number 1 of both "
    "agrees in sign with probability {q} in class 1 and {p} in class 0; the others are noise. All are normal with"
    " variance 1 around their means."
)
_DIAL_WHY = (
    "Given the class, the vectors have a known density, so Bayes' rule gives the best answer, and its accuracy is"
    " an integral in one dimension: {py:meth}`~mmlab.data.worlds.dependency_world.DependencyWorld.rate`."
)
_CLINIC = (
    "Three views of one person have twenty numbers each: linear functions of hidden factors plus noise. Some "
    "factors are seen by all views, others by one. The class, of two, shifts the factors."
)

TASKS: dict[str, Task] = {
    made.name: made
    for made in (
        Task(
            name="dial-both",
            version="1.0.0",
            title="Each modality tells something, and the two together tell more",
            drawn=_DIAL.format(a=0.6, q=0.85, p=0.15),
            why=_DIAL_WHY,
            modalities=("x1", "x2"),
            target="label",
            metric="accuracy",
            classes=2,
            sha256="bdb17ea1353b6c65f8ad767713b898730bcd90f31d47aa8a7fa6d496f83b1551",
            make=lambda: _dial(0.6, 0.85, 10),
        ),
        Task(
            name="dial-inter",
            version="1.0.0",
            title="No modality alone tells anything",
            drawn=_DIAL.format(a=0, q=0.95, p=0.05),
            why=_DIAL_WHY,
            modalities=("x1", "x2"),
            target="label",
            metric="accuracy",
            classes=2,
            sha256="091b3558d853bb532f7f8071ba27c4094a6cede35ea02fda24edee7ba306ff20",
            make=lambda: _dial(0.0, 0.95, 20),
        ),
        Task(
            name="three-views",
            version="1.0.0",
            title="Three correlated views of one person",
            drawn=_CLINIC,
            why=(
                "Given the class, the views are jointly normal with one covariance: the best classifier is "
                "linear, and its accuracy is a value of the normal distribution function, for any set of views."
            ),
            modalities=VIEWS,
            target="label",
            metric="accuracy",
            classes=2,
            sha256="1416aaedc96dffb096f576ff23337c06c61e1a392b4b5c22d4f52d583c9f84ed",
            make=_views,
        ),
        Task(
            name="three-views-gaps",
            version="1.0.0",
            title="Three views, of which some are missing, not at random",
            drawn=_CLINIC
            + (
                " One view, drawn evenly, is always there; each of the others is missing with probability 0.25 in"
                " class 0 and 0.75 in class 1. Columns `<view>_present` say what is there; what is missing is 0."
            ),
            why=(
                "The best answer multiplies the posterior of what is seen by the probability of the gaps in each "
                "class. The ceiling is its expected accuracy on the test items."
            ),
            modalities=(*VIEWS, *(_MASK.format(view) for view in VIEWS)),
            target="label",
            metric="accuracy",
            classes=2,
            sha256="f73cb1498b91b79f325959ff4390f8eac5455d50136529b363b3b89d152366f2",
            make=_gaps,
        ),
        Task(
            name="two-modes",
            version="1.0.0",
            title="A target with two modes around a line, for samplers",
            drawn=(
                "Two numbers y = x/2 ± 1 + 0.15 ε for each source x, with the same random sign for both. The mean"
                " x/2 is the best answer in squared error, and no target lies near it: a good *sampler* has none "
                "of its samples there either."
            ),
            why=(
                "No prediction has a lower root mean squared error than the mean of the target given the source; "
                "its error is the standard deviation √(1 + 0.15²)."
            ),
            modalities=("source",),
            target="target",
            metric="RMSE",
            classes=0,
            sha256="39cb044eb9b9f80c242b543a1f731e5560056a96056d3219e8031743deabe73a",
            make=_two_modes,
        ),
        Task(
            name="meme-verbs",
            version="1.0.0",
            title="Pictures with a line of text, whose verb is in neither alone",
            drawn=(
                "A picture of 32 × 32 pixels shows two coloured shapes in one of three layouts; a title praises "
                "or blames something. The verb, of twelve, follows from layout, colour of the first figure, and "
                "praise or blame. Columns `caption` (what is drawn) and `meaning` are for contrastive and "
                "generative training; they contain the answer and are no inputs of the classification."
            ),
            why=(
                "The verb is a function of picture and title. The picture leaves praise or blame open, two verbs "
                "of equal probability; the title leaves three layouts and two moods open. Equal captions cannot "
                "be told apart in retrieval."
            ),
            modalities=("picture", "title"),
            target="label",
            metric="accuracy",
            classes=12,
            sha256="1ba7df74f64aa18e9c7dd9d5e1ad879abeee8da2dcdb1634a92975bc40695e95",
            make=_memes,
        ),
    )
}
"""The tasks by name."""
