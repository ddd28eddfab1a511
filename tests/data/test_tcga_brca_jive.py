"""The tumours of TCGA: labelled and unlabelled ones where they belong."""

import os
from pathlib import Path

import numpy as np
import pytest

from mmlab.data.files import registry
from mmlab.data.sets.tcga_brca_jive import SUBTYPES, tcga_brca_jive

DATA = os.environ.get("MMLAB_DATA")


def fake() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.array([0] * 10 + [1] * 10 + [2] * 20 + [-1] * 8, dtype=np.int8)
    views = {name: rng.normal(size=(48, width)).astype(np.float32) for name, width in
             (("mrna", 6), ("meth", 5), ("mirna", 4))}  # fmt: skip
    return {**views, "pam50": label, "pam50_name": np.array(SUBTYPES)}


def test_unlabelled_tumours_are_for_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = fake()
    monkeypatch.setattr(registry, "load_arrays", lambda name, file: arrays)
    data = tcga_brca_jive(scale="none")
    assert (data.test.tensors["label"]).bincount().tolist() == [3, 3, 6]
    assert data.test.tensors["label_present"].all()
    assert int((~data.train.tensors["label_present"]).sum()) == 8
    assert data.train.tensors["label"][~data.train.tensors["label_present"]].eq(-1).all()
    rows = {row.tobytes(): label for row, label in zip(arrays["mrna"], arrays["pam50"], strict=True)}
    for part in (data.train, data.test):
        for x, label in zip(part.tensors["mrna"].numpy(), part.tensors["label"].tolist(), strict=True):
            assert rows.pop(x.tobytes()) == label
    assert not rows
    fewer = tcga_brca_jive(unlabelled=False)
    assert len(fewer.train) == 28
    assert fewer.train.tensors["label_present"].all()
    assert np.allclose(fewer.train.tensors["methylation"].mean(0), 0, atol=1e-6)
    assert tcga_brca_jive(seed=1).test.fingerprint() != tcga_brca_jive(seed=0).test.fingerprint()


def test_wrong_and_missing_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"tcga_brca_jive needs .*r.jive.*MMLAB_DATA"):
        tcga_brca_jive()
    arrays = {**fake(), "pam50_name": np.array(["LumA", "Basal", "Her2"])}
    monkeypatch.setattr(registry, "load_arrays", lambda name, file: arrays)
    with pytest.raises(ValueError, match="names the subtypes LumA, Basal, Her2, expected Basal"):
        tcga_brca_jive()


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_the_real_set() -> None:
    from sklearn.linear_model import LogisticRegression

    data = tcga_brca_jive()
    assert [len(data.train), len(data.test)] == [216 + 92, 40]
    there = data.train.tensors["label_present"]
    for view, width in (("mrna", 645), ("methylation", 574), ("mirna", 423)):
        assert data.train.tensors[view].shape[1] == width
        model = LogisticRegression(C=0.01, max_iter=500)
        model.fit(data.train.tensors[view][there], data.train.tensors["label"][there])
        assert model.score(data.test.tensors[view], data.test.tensors["label"]) > 0.75
