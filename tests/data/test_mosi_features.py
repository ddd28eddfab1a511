"""CMU-MOSI: labels are hidden at random and nowhere else, and no video is on both sides."""

import os
from pathlib import Path

import numpy as np
import pytest

from mmlab.data.files import registry
from mmlab.data.sets.mosi_features import MODALITIES, mosi_features

DATA = os.environ.get("MMLAB_DATA")


def fake() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for side, count in (("train", 40), ("test", 20)):
        for name, width in (("text", 6), ("audio", 5), ("video", 4)):
            made[f"{name}_{side}"] = rng.normal(3, 2, size=(count, width)).astype(np.float32)
        made[f"y_{side}"] = rng.integers(0, 2, count).astype(np.uint8)
        made[f"video_id_{side}"] = (np.arange(count) // 10).astype(np.uint8)
        made[f"utterance_id_{side}"] = (np.arange(count) % 10).astype(np.uint8)
    return made


def test_labels_are_hidden_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = fake()
    monkeypatch.setattr(registry, "load_arrays", lambda name, file: arrays)
    whole, few = mosi_features(), mosi_features(labelled=7, seed=1)
    assert whole.train.tensors["label"].tolist() == arrays["y_train"].tolist()
    assert whole.train.tensors["label_present"].all()
    there = few.train.tensors["label_present"]
    assert int(there.sum()) == 7
    assert few.train.tensors["label"][there].tolist() == arrays["y_train"][there.numpy()].tolist()
    assert (few.train.tensors["label"][~there] == -1).all()
    assert few.test.tensors["label_present"].all()
    assert few.test.fingerprint() == whole.test.fingerprint()
    assert not set(few.train.subjects or ()) & set(few.test.subjects or ())
    for name in MODALITIES:
        assert few.train.tensors[name].mean(0).abs().max() < 1e-5
    assert mosi_features(labelled=7, seed=2).train.fingerprint() != few.train.fingerprint()
    with pytest.raises(ValueError, match="there are 40 training"):
        mosi_features(labelled=41)


def test_a_missing_set_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"mosi_features needs .*MMLAB_DATA"):
        mosi_features()


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_the_real_set() -> None:
    from sklearn.linear_model import LogisticRegression

    data = mosi_features()
    assert [len(data.train), len(data.test)] == [1447, 752]
    scores = {}
    for name in MODALITIES:
        line = LogisticRegression(C=0.01, max_iter=500).fit(data.train.tensors[name], data.train.tensors["label"])
        scores[name] = line.score(data.test.tensors[name], data.test.tensors["label"])
    assert scores["text"] > 0.7 > max(scores["audio"], scores["video"])
