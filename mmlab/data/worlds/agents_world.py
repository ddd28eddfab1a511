"""Agents that look at a handwritten digit, say what it is, and say how sure they are, which is another matter.

Two agents have each seen many examples of five digits and few of the other five, so that what they say deserves more
trust for some answers than for others. The confidence that they state stands on a few high values and hangs only
loosely on how sure they are. A third one is no agent but a search: the classes of the nearest pictures in an index. The
digits are those of scikit-learn (Alpaydin and Kaynak 1998, CC BY 4.0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mmlab.data.tensors import TensorData

__all__ = ["AgentsWorld", "agents_world"]

CLASSES = 10
TRAINING = 600
STATED = (0.8, 0.85, 0.9, 0.95, 1.0)
_NEIGHBOURS = 5
_NOISE = 0.3


@dataclass(frozen=True, eq=False)
class AgentsWorld:
    """What agents said of digits that none of them was trained on.

    Keys of both: ``answers`` (3,) of agent 1, agent 2 and the search; ``confidences`` (3,) in [0, 1]; ``again`` (3,),
    the answers after the classes of the nearest pictures were shown (the search says the same again); ``label``.

    Attributes:
        train: Labelled items from which the agents' record may be written; the agents were not trained on them.
        test: Items that measure the result.
    """

    train: TensorData
    test: TensorData


def agents_world(
    seed: int = 0, index: int = TRAINING, record: int = 300, candour: tuple[float, float] = (0.2, 0.55)
) -> AgentsWorld:
    """Draw who is trained on what, and ask everybody about all other digits.

    An agent that is asked again answers with the likeliest of the classes that it was shown.

    Args:
        seed: Seed of the split, of the agents' noise and of what they state.
        index: Number of labelled pictures that are searched, 5 to 600; they are among the training pictures.
        record: Number of items for the record, 1 to 600; the test items are the same for all.
        candour: For each agent, how far its stated confidence follows its probability, from 0 (not at all) to 1. By
            default stated confidence and being right are about as correlated as in Roumeliotis et al. 2025.

    Raises:
        ValueError: If a number is out of its range.
    """
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    if not _NEIGHBOURS <= index <= TRAINING:
        raise ValueError(f"index={index} is not between {_NEIGHBOURS} and {TRAINING}.")
    if not 1 <= record <= TRAINING:
        raise ValueError(f"record={record} is not between 1 and {TRAINING}.")
    if not all(0 <= share <= 1 for share in candour):
        raise ValueError(f"candour={candour}: both must be between 0 and 1.")
    pictures, label = load_digits(return_X_y=True)
    pictures = pictures / 16
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(label))
    train, asked = order[:TRAINING], order[TRAINING:]
    probabilities = []
    for known in (label < 5, label >= 5):  # what this agent knows well
        chosen = np.concatenate([train[known[train]][:200], train[~known[train]][:15]])
        seen = pictures[chosen] + _NOISE * rng.standard_normal((len(chosen), 64))
        model = LogisticRegression(max_iter=200).fit(seen, label[chosen])
        p = np.zeros((len(asked), CLASSES))
        p[:, model.classes_] = model.predict_proba(pictures[asked] + _NOISE * rng.standard_normal((len(asked), 64)))
        probabilities.append(p)
    stated = [_stated(p.max(1), share, rng) for p, share in zip(probabilities, candour, strict=True)]
    near = _search(pictures[train[:index]], label[train[:index]], pictures[asked])  # (N, 10)
    again = [np.where(near > 0, p, -1).argmax(1) for p in probabilities]
    items = {
        "answers": np.stack([*(p.argmax(1) for p in probabilities), near.argmax(1)], 1),
        "confidences": np.stack([*stated, near.max(1)], 1).astype("float32"),
        "again": np.stack([*again, near.argmax(1)], 1),
        "label": label[asked],
    }
    tensors = {name: torch.from_numpy(values) for name, values in items.items()}
    return AgentsWorld(
        TensorData({name: values[:record] for name, values in tensors.items()}),
        TensorData({name: values[TRAINING:] for name, values in tensors.items()}),
    )


def _stated(sure: np.ndarray, candour: float, rng: np.random.Generator) -> np.ndarray:
    """What an agent states: a mixture of its rank among all items and chance, cut into five levels."""
    rank = sure.argsort().argsort() / len(sure)
    level = (len(STATED) * (candour * rank + (1 - candour) * rng.random(len(sure)))).astype(int)
    return np.array(STATED)[level.clip(0, len(STATED) - 1)]


def _search(index: np.ndarray, label: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Shares (N, 10) of the classes among the five nearest pictures of an index."""
    distance = (asked**2).sum(1)[:, None] - 2 * asked @ index.T + (index**2).sum(1)
    nearest = np.argpartition(distance, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
    return np.eye(CLASSES)[label[nearest]].mean(1)
