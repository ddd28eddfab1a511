"""I can listen but cannot read: which of two towers fails, the one of sounds or the one of words?

Symbols: N sounds with vectors a_i and classes y_i of K; c_k the prototype of a class from its sounds, t_k the vector of
its prompt, (D) each; S the kinship of classes that a book gives, (K, K).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmlab.card import Budget, Card, Claim
from mmlab.data.batches import read_all
from mmlab.method import Batch, Method
from mmlab.metrics.retrieval import ranks, recall_at
from mmlab.paths import expand

__all__ = [
    "MusicTwoTower",
    "Release",
    "Source",
    "centred",
    "leave_one_out",
    "measures",
    "prototypes",
    "read_release",
    "triplet_accuracy",
    "triplets",
]

Source = Literal["sounds", "words"]


def prototypes(a: Tensor, label: Tensor, classes: int) -> Tensor:
    """Direction of the mean of each class's vectors, (K, D); the vectors are not normalised before.

    Args:
        a: (N, D).
        label: y, (N,).
        classes: K; each needs a sound.

    Raises:
        ValueError: If a class has no sound.
    """
    sums, count = _sums(a, label, classes)
    if not count.all():
        raise ValueError(f"prototypes: class {int((count == 0).nonzero()[0])} of {classes} has no sound.")
    return F.normalize(sums / count[:, None], dim=-1)  # Eq. (1)


def leave_one_out(a: Tensor, label: Tensor, classes: int) -> Tensor:
    """Cosines with prototypes, (N, K), of which a sound's own class is made without it.

    Args:
        a: (N, D).
        label: y, (N,).
        classes: K; each needs two sounds.

    Raises:
        ValueError: If a class has fewer than two sounds.
    """
    sums, count = _sums(a, label, classes)
    if count.min() < 2:
        raise ValueError(f"leave_one_out: class {int(count.argmin())} of {classes} needs two sounds.")
    cosines = F.normalize(a, dim=-1) @ F.normalize(sums, dim=-1).mT
    own = F.cosine_similarity(a, sums[label] - a, dim=-1)  # Eq. (2); a positive factor does not turn a vector
    return cosines.scatter(1, label[:, None], own[:, None])


def _sums(a: Tensor, label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    sums = a.new_zeros(classes, a.shape[1]).index_add(0, label, a)
    return sums, torch.bincount(label, minlength=classes)


def centred(a: Tensor, t: Tensor) -> Tensor:
    """Cosines of sounds and prompts after each modality's mean was taken away, (N, K): no label is looked at.

    Args:
        a: Vectors of sounds, (N, D).
        t: Vectors of prompts, (K, D).
    """
    a, t = F.normalize(a, dim=-1), F.normalize(t, dim=-1)
    return F.normalize(a - a.mean(0), dim=-1) @ F.normalize(t - t.mean(0), dim=-1).mT  # Eq. (3)


def triplets(S: Tensor, least: float = -1, later: bool = False) -> Tensor:
    """All (anchor, nearer, farther) of distinct classes with S_ap > S_an and S_ap > least, (M, 3).

    Args:
        S: Kinship, (K, K).
        least: What a pair that counts as related is above.
        later: Whether the other two must come after the anchor in the list, as in a release: that drops most.
    """
    a, p, n = torch.cartesian_prod(*[torch.arange(len(S))] * 3).unbind(1)
    kept = (a != p) & (a != n) & (p != n) & (S[a, p] > S[a, n]) & (S[a, p] > least)  # Eq. (4)
    if later:
        kept &= (p > a) & (n > a)
    return torch.stack([a, p, n], 1)[kept]


def triplet_accuracy(x: Tensor, found: Tensor) -> Tensor:
    """Whether the nearer one is nearer, (M,) float; a tie is no hit.

    Args:
        x: A vector of each class, (K, D).
        found: From :func:`triplets`, (M, 3).
    """
    x = F.normalize(x, dim=-1)
    a, p, n = x[found].unbind(1)
    return ((a * p).sum(-1) > (a * n).sum(-1)).float()  # Eq. (5)


def measures(scores: Tensor, label: Tensor) -> dict[str, float]:
    """The measures of the release: top-1 to top-5, weighted F1, and the means over classes of two areas under curves.

    Args:
        scores: (N, K), with K of 5 or more; larger is more like the class. They need not be probabilities.
        label: y, (N,); every class occurs.
    """
    rank = ranks(scores, label, torch.arange(scores.shape[1]))
    found = {f"top-{k}": float(recall_at(rank, k).mean()) for k in range(1, 6)}
    truth = F.one_hot(label, scores.shape[1]).double()  # (N, K)
    votes = F.one_hot(scores.argmax(1), scores.shape[1]).double()
    hits, share = (votes * truth).sum(0), truth.mean(0)
    found["F1"] = float((share * 2 * hits / (votes.sum(0) + truth.sum(0))).sum())
    areas = [_areas(scores[:, k], truth[:, k]) for k in range(scores.shape[1])]
    found["ROC-AUC"], found["PR-AUC"] = (float(np.mean(column)) for column in zip(*areas, strict=True))
    return found


def _areas(score: Tensor, truth: Tensor) -> tuple[float, float]:
    """Area under the ROC curve, ties counted half, and average precision, equal scores taken together."""
    from scipy.stats import rankdata

    count = float(truth.sum())
    below = float(truth @ torch.from_numpy(rankdata(score.numpy()))) - count * (count + 1) / 2
    order = score.argsort(descending=True)
    last = torch.cat([score[order].diff() != 0, torch.ones(1, dtype=torch.bool)])  # of each run of equal scores
    hits = truth[order].cumsum(0)[last]
    precision = hits / (torch.arange(len(score))[last] + 1)
    gained = hits.diff(prepend=hits.new_zeros(1))
    return below / (count * (len(truth) - count)), float((precision * gained).sum() / count)


class Release(NamedTuple):
    """What the authors released of one model.

    Attributes:
        audio: Vectors of the sounds, (N, D).
        text: Vectors of the prompts, (K, D).
        label: y, (N,).
        names: The classes.
        kinship: S, (K, K).
    """

    audio: Tensor
    text: Tensor
    label: Tensor
    names: list[str]
    kinship: Tensor


def read_release(folder: str | Path, model: str, prompt: str, space: str = "joint_space") -> Release:
    """Read embeddings in the layout of the authors' repository.

    Args:
        folder: With ``tinysol_groundtruth_reordered.csv``, ``tinysol_instrument_similarity.npy`` and
            ``model_evaluation/MODEL/{audio,text}/SPACE/``, or ``model_embeddings`` in its place.
        model: For example ``"muscall"``.
        prompt: Name of the file of prompts, for example ``"muscall_prompt"``.
        space: ``"joint_space"`` or ``"pre_joint"``; in the latter, widths of sounds and prompts may differ.

    Raises:
        FileNotFoundError: If a file is not there; the message names it.
        ValueError: If a file is damaged, or the counts do not fit.
    """
    root = expand(folder)
    homes = [root / name / model for name in ("model_evaluation", "model_embeddings")]
    home = next((place for place in homes if place.is_dir()), None)
    if home is None:
        raise FileNotFoundError(f"{root} has no model_evaluation/{model} and no model_embeddings/{model}.")
    with (root / "tinysol_groundtruth_reordered.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = [row[1:] for row in csv.reader(file) if row]
    truth = _whole(rows, root)
    audio = _vectors(home / "audio" / space / "tinysol.npy")
    text = _vectors(home / "text" / space / f"{prompt}.npy")
    S = _vectors(root / "tinysol_instrument_similarity.npy")
    K = len(names)
    if (len(audio), len(text), tuple(S.shape)) != (len(truth), K, (K, K)):
        raise ValueError(
            f"{root}: {len(truth)} sounds of {K} classes do not fit {len(audio)} vectors of sounds, {len(text)} of "
            f"prompts and a kinship of {tuple(S.shape)}."
        )
    return Release(audio, text, truth.argmax(1), names, S)


def _whole(rows: list[list[str]], root: Path) -> Tensor:
    try:
        truth = torch.tensor([[int(cell) for cell in row] for row in rows])
    except (ValueError, TypeError):
        truth = torch.zeros(0)
    if truth.ndim != 2 or not bool((truth.sum(1) == 1).all()):
        raise ValueError(f"{root}/tinysol_groundtruth_reordered.csv must have one 1 in each row, and 0 elsewhere.")
    return truth


def _vectors(path: Path) -> Tensor:
    try:
        made = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float64))
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path} is no array of numbers ({error}): get it again.") from None
    if made.ndim != 2 or not bool(made.isfinite().all()):
        raise ValueError(f"{path} must be a finite matrix, not {tuple(made.shape)}.")
    return made


class MusicTwoTower(Method):
    """Classes of sounds by prototypes or by prompts, on vectors that two towers have made; solved in closed form.

    Args:
        features: Number of features D of the towers' vectors.
        classes: Number of classes K.
        source: ``"sounds"`` for prototypes of sounds, ``"words"`` for the prompts.
        scale: What cosines are multiplied by before the softmax.

    Raises:
        ValueError: If there is no such source, or the scale is not positive.

    Source:
        Vasilakis, Bittner and Pauwels 2024; their evaluation, with triplets on both sides of an anchor.
    """

    card = Card(
        name="Music two-tower evaluation",
        family="contrast",
        paper="vasilakis2024listen",
        summary="Tells whether towers of sounds and words fail to hear or to read, by prototypes beside prompts.",
        inputs=("audio", "label"),
        outputs=("label",),
        claims=(
            Claim("top-1", "the name as prompt", "higher", name="music-name"),
            Claim("top-1", "prompt chosen on validation sounds", "higher", name="music-prompt"),
            Claim("top-1", "untrained towers", "higher", kind="sanity", name="music-untrained"),
            Claim("top-1", "prototypes of spectrograms", "higher", kind="sanity", name="music-spectrogram"),
            Claim("triplets", "prompts", "higher", kind="sanity", name="music-triplets"),
        ),
        budget=Budget(cpu_seconds=40, cpu_memory_gb=1.5),
        tags=("CLAP", "zero-shot", "prototypes", "music", "evaluation"),
        level="introductory",
    )

    classes: Tensor

    def __init__(self, features: int, classes: int, source: Source = "sounds", scale: float = 20.0) -> None:
        super().__init__()
        if source not in get_args(Source) or not scale > 0:
            raise ValueError(
                f"source={source!r}, scale={scale}: classes come from sounds or words, and the scale is positive."
            )
        self.source, self.scale = source, scale
        self.register_buffer("classes", torch.zeros(classes, features))

    def solve(self, dataset: Any) -> Self:
        """Write down a vector of each class.

        Args:
            dataset: Items with ``audio``, a vector of D values, and ``label``; for words also ``prompt``, the vector of
                the prompt of the class.
        """
        batch = read_all(dataset)
        vectors = batch["audio" if self.source == "sounds" else "prompt"].flatten(1).to(self.classes)
        self.classes = prototypes(vectors, batch["label"].long(), len(self.classes))
        return self

    def predict(self, batch: Batch) -> Tensor:
        """Probabilities of the classes (B, K) of ``audio`` (B, D); a label in the batch is not looked at."""
        a = F.normalize(batch["audio"].flatten(1).to(self.classes), dim=-1)
        return (self.scale * a @ self.classes.mT).softmax(-1)

    @classmethod
    def arguments_for(cls, item: Batch) -> dict[str, Any]:
        """The number of features."""
        return {"features": item["audio"].numel()}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        """Twelve sounds of three classes in eight dimensions."""
        rng = torch.Generator().manual_seed(seed)
        label = torch.arange(12) % 3
        prompt = torch.randn(3, 8, generator=rng)[label]
        return cls(8, 3), {"audio": prompt + torch.randn(12, 8, generator=rng), "prompt": prompt, "label": label}
