"""CMU-MOSI: opinions on films in short videos, as features of text, audio and video; positive or negative.

1,447 utterances to train on and 752 to test, from different videos. The features are those of Poria et al. 2017, not
the word-aligned ones that ITHP was tried on. The text features come from a network that was trained on the training
labels, so text is stronger here than raw text would be.
"""

from __future__ import annotations

import torch

from mmlab.data.files import registry
from mmlab.data.splits import Scale, Splits, rescale
from mmlab.data.tensors import TensorData
from mmlab.wording import naming

__all__ = ["MODALITIES", "mosi_features"]

MODALITIES = ("audio", "text", "video")


def mosi_features(labelled: int | None = None, scale: Scale = "zscore", seed: int = 0) -> Splits:
    """The utterances in the split of the set, some of the training ones without their label.

    Args:
        labelled: How many training utterances keep their label; None for all.
        scale: How features are rescaled, by the training items only; see :func:`mmlab.data.splits.rescale`.
        seed: Seed of the choice of those that keep it.

    Returns:
        Splits with keys ``text`` (N, 100), ``audio`` (N, 73), ``video`` (N, 100), ``label`` (1 is positive, -1 unknown)
        and ``label_present`` (N,) bool; subjects are the videos.

    Raises:
        FileNotFoundError: If the prepared set is not there; the message says how to get it.
        ValueError: If more labels are asked for than there are, or the file is not as it should be.
    """
    arrays = registry.load_arrays("mosi_features", "mosi_features.npz")
    parts = []
    for side in ("train", "test"):
        tensors = {name: torch.from_numpy(arrays[f"{name}_{side}"]).float() for name in MODALITIES}
        label = torch.from_numpy(arrays[f"y_{side}"]).long()
        there = torch.ones(len(label), dtype=torch.bool)
        if side == "train" and labelled is not None:
            if not 0 < labelled <= len(label):
                raise ValueError(f"labelled={labelled}: there are {len(label)} training utterances.")
            kept = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))[:labelled]
            there = torch.zeros(len(label), dtype=torch.bool).index_fill(0, kept, True)
        videos = [f"{side} video {number}" for number in arrays[f"video_id_{side}"].tolist()]
        known = torch.where(there, label, -1)
        parts.append(TensorData({**tensors, "label": known, "label_present": there}, videos))
    with naming(registry.where("mosi_features") / "mosi_features.npz"):
        train, test = rescale(parts, MODALITIES, scale)
    return Splits(
        train=train,
        validation=None,
        test=test,
        description="CMU-MOSI utterances as features of text, audio and video, positive or negative.",
        source=("mosi_features",),
    )
