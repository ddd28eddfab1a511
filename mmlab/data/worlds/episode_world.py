"""Small tasks, each with demonstrations of its own: two classes that no other task has, and questions about them.

In the drawn law the features of a class scatter around a point that is new in every episode; how they scatter is the
same in all of them, and wider in some directions than in others. That much can be learnt from other tasks, so that the
best answer is not the nearest mean. The law is Gaussian, and its best answer is known in closed form.

The other episodes are of pictures: principal components of the handwritten digits of scikit-learn (Alpaydin and Kaynak
1998, CC BY 4.0). Those of training tell two of the digits 0 to 5 apart, those of the test two of 6 to 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mmlab.data.tensors import TensorData
from mmlab.wording import require_at_least

__all__ = ["EpisodeWorld", "digit_episodes", "drawn_episodes", "episode_world"]

FEATURES = 8
LOUD, QUIET = 3.0, 0.6
"""Deviations of an item around its class, in five directions and in three."""

_LOUD = 5
_SEEN = 6  # digits below it are of training


@dataclass(frozen=True, eq=False)
class EpisodeWorld:
    """Episodes. Keys: ``shown`` (N, D) and ``said`` (N,), ``asked`` (Q, D) and ``right`` (Q,), ``together`` ().

    Demonstrations 2k and 2k + 1 are of different classes, so every even number of them is balanced.

    Attributes:
        train: Episodes to learn from; in half of them the questions are read together.
        validation: Episodes to choose settings by.
        test: Episodes that measure the result.
        within: Covariance of the items of a class, (D, D); None for pictures, whose law nobody knows.
        between: Covariance of the classes' means, likewise.
    """

    train: TensorData
    validation: TensorData
    test: TensorData
    within: Tensor | None = None
    between: Tensor | None = None


def episode_world(
    seed: int = 0, train: int = 9600, test: int = 300, shots: int = 16, tested: int = 64, questions: int = 8
) -> EpisodeWorld:
    """Draw episodes of the Gaussian law.

    Args:
        seed: Seed of the directions and of all draws.
        train: Episodes to learn from.
        test: Episodes of the test; a third as many are for validation.
        shots: Demonstrations of a training episode, an even number.
        tested: Demonstrations of an episode of the other parts.
        questions: Questions of an episode.

    Raises:
        ValueError: If a number is too small or odd.
    """
    _check(train, test, (shots, tested), questions)
    rng = torch.Generator().manual_seed(seed)
    turned = torch.linalg.qr(torch.randn(FEATURES, FEATURES, generator=rng))[0]
    spread = turned * torch.tensor([QUIET] * (FEATURES - _LOUD) + [LOUD] * _LOUD)
    sizes = {"train": (train, shots), "validation": (max(test // 3, 1), tested), "test": (test, tested)}
    parts = {name: drawn_episodes(spread, count, most, questions, rng) for name, (count, most) in sizes.items()}
    parts["train"].tensors["together"][::2] = True
    three = (parts["train"], parts["validation"], parts["test"])
    return EpisodeWorld(*three, within=spread @ spread.T, between=torch.eye(FEATURES))


def drawn_episodes(spread: Tensor, count: int, shots: int, questions: int, rng: torch.Generator) -> TensorData:
    """Episodes of one law.

    Args:
        spread: What standard normal noise is multiplied by, (D, D).
        count: Number of episodes.
        shots: Demonstrations of each.
        questions: Questions of each.
        rng: Randomness.
    """
    means = torch.randn(count, 2, len(spread), generator=rng)

    def items(label: Tensor) -> Tensor:
        noise = torch.randn(*label.shape, len(spread), generator=rng) @ spread.T
        return means.gather(1, label[..., None].expand(*label.shape, len(spread))) + noise

    said = _balanced(count, shots, rng)
    label = torch.randint(2, (count, questions), generator=rng)
    return _episodes(items(said), said, items(label), label)


def digit_episodes(
    seed: int = 0, train: int = 9600, test: int = 300, shots: int = 16, questions: int = 8, noise: float = 0.0
) -> EpisodeWorld:
    """Draw episodes of pictures: which of two digits is it? No digit of the test is one of training.

    Validation has the digits of training, and a third of their pictures, which training has not.

    Args:
        seed: Seed of all draws.
        train: Episodes to learn from.
        test: Episodes of the test; a third as many are for validation.
        shots: Demonstrations of each episode, an even number.
        questions: Questions of each.
        noise: Deviation of the noise on each feature; these have deviation 1.

    Raises:
        ValueError: If a number is too small or odd.
    """
    _check(train, test, (shots, shots), questions)
    rng = torch.Generator().manual_seed(seed)
    features, digit = _digits()
    mixed = torch.randperm(len(digit), generator=rng)
    own, held = mixed[: 2 * len(mixed) // 3], mixed[2 * len(mixed) // 3 :]
    parts = {}
    for name, count, kinds, rows in (
        ("train", train, range(_SEEN), own),
        ("validation", max(test // 3, 1), range(_SEEN), held),
        ("test", test, range(_SEEN, 10), mixed),
    ):
        said, label = _balanced(count, shots, rng), torch.randint(2, (count, questions), generator=rng)
        chosen = _rows([rows[digit[rows] == kind] for kind in kinds], torch.cat([said, label], 1), rng)
        seen = features[chosen] + noise * torch.randn(*chosen.shape, FEATURES, generator=rng)
        parts[name] = _episodes(seen[:, :shots], said, seen[:, shots:], label)
    parts["train"].tensors["together"][::2] = True
    return EpisodeWorld(parts["train"], parts["validation"], parts["test"])


def _rows(pools: list[Tensor], side: Tensor, rng: torch.Generator) -> Tensor:
    """Rows (E, N) of two pools an episode, by side (E, N); none twice, so that no question is a demonstration."""
    most = max(map(len, pools))
    padded = torch.stack([torch.nn.functional.pad(pool, (0, most - len(pool))) for pool in pools])
    sizes = torch.tensor([len(pool) for pool in pools])
    kinds = torch.rand(len(side), len(pools), generator=rng).argsort(1)[:, :2]  # (E, 2)
    made = torch.empty_like(side)
    for which in (0, 1):
        keys = torch.rand(len(side), most, generator=rng)
        keys[torch.arange(most) >= sizes[kinds[:, which], None]] = 2  # beyond the pool: last
        order = padded[kinds[:, which]].gather(1, keys.argsort(1))
        place = (side == which).cumsum(1) - 1
        made = torch.where(side == which, order.gather(1, place.clamp(min=0)), made)
    return made


@lru_cache(1)
def _digits() -> tuple[Tensor, Tensor]:
    """Eight principal components of the digits of training, each of deviation 1, of all pictures; and the digits."""
    from sklearn.datasets import load_digits

    pictures, digit = load_digits(return_X_y=True)
    x, digit = torch.from_numpy(pictures).float() / 16, torch.from_numpy(digit)
    seen = x[digit < _SEEN]
    axes = torch.linalg.svd(seen - seen.mean(0), full_matrices=False).Vh[:FEATURES]
    made = (x - seen.mean(0)) @ axes.T
    return made / made[digit < _SEEN].std(0), digit


def _balanced(count: int, shots: int, rng: torch.Generator) -> Tensor:
    first = torch.randint(2, (count, shots // 2), generator=rng)
    return torch.stack([first, 1 - first], 2).view(count, shots)


def _episodes(shown: Tensor, said: Tensor, asked: Tensor, label: Tensor) -> TensorData:
    together = torch.zeros(len(shown), dtype=torch.bool)
    return TensorData({"shown": shown, "said": said, "asked": asked, "right": label, "together": together})


def _check(train: int, test: int, shots: tuple[int, int], questions: int) -> None:
    require_at_least(train=(train, 1), test=(test, 1), shots=(min(shots), 2), questions=(questions, 1))
    if any(number % 2 for number in shots):
        raise ValueError(f"shots={shots}: there are two classes, so the number of demonstrations must be even.")
