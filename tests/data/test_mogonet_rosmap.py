"""MOGONET's layout and its ROSMAP: read right, rescaled by training rows only, refused when wrong."""

import os
from pathlib import Path

import numpy as np
import pytest

from mmlab.data.sets.mogonet_rosmap import VIEWS, mogonet, mogonet_rosmap

DATA = os.environ.get("MMLAB_DATA")


def write(folder: Path) -> dict[str, np.ndarray]:
    """Files as MOGONET has them: numbers in %.8e, labels as floats."""
    rng = np.random.default_rng(0)
    made = {}
    for side, count in (("tr", 20), ("te", 9)):
        for number, width in enumerate((4, 3, 5), 1):
            made[f"{number}_{side}"] = rng.normal(size=(count, width))
        made[f"labels_{side}"] = (np.arange(count) % 2)[:, None]
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in made.items():
        np.savetxt(folder / f"{name}.csv", array, fmt="%.8e", delimiter=",")
    return made


def test_csv_files(tmp_path: Path) -> None:
    made = write(tmp_path / "TOY")
    data = mogonet(tmp_path / "TOY", scale="none")
    for side, part in (("tr", data.train), ("te", data.test)):
        for number, view in enumerate(VIEWS, 1):
            assert np.allclose(part.tensors[view], made[f"{number}_{side}"], atol=1e-6)
        assert part.tensors["label"].tolist() == made[f"labels_{side}"][:, 0].tolist()
    assert data.validation is None
    assert "TOY" in data.description
    scaled = mogonet(tmp_path / "TOY")
    expected = (made["2_te"] - made["2_tr"].min(0)) / np.ptp(made["2_tr"], axis=0)
    assert np.allclose(scaled.test.tensors["methylation"], expected, atol=1e-5)
    chosen = mogonet(tmp_path / "TOY", "zscore", validation=0.2)
    assert chosen.validation is not None
    assert chosen.validation.tensors["label"].bincount().tolist() == [2, 2]
    assert np.allclose(chosen.train.tensors["mrna"].mean(0), 0, atol=1e-6)  # of the rows that are left to train on
    assert len(chosen.train) == 16


@pytest.mark.parametrize(
    ("name", "array", "sentence"),
    [
        ("2_tr", np.zeros((19, 3)), "2_tr.csv has 19 rows, labels_tr.csv 20"),
        ("3_te", np.zeros((9, 6)), "3_te.csv has 6 columns, 3_tr.csv 5"),
        ("1_te", np.full((9, 4), np.nan), "1_te.csv holds NaN"),
        ("1_te", np.full((9, 4), 1e300), "1_te.csv holds numbers beyond single precision"),
        ("labels_te", np.full((9, 1), 0.5), "labels_te.csv holds labels that are no integers"),
        ("labels_te", np.full((9, 1), 2), "does not have every class"),
        ("labels_tr", np.full((20, 1), 1), "does not have every class"),
        ("labels_tr", np.full((20, 1), -1), "labels_tr.csv holds -1"),
        ("labels_tr", np.zeros((20, 2)), r"labels_tr.csv has shape \(20, 2\)"),
    ],
)
def test_wrong_csv_files_are_refused(tmp_path: Path, name: str, array: np.ndarray, sentence: str) -> None:
    write(tmp_path)
    np.savetxt(tmp_path / f"{name}.csv", array, delimiter=",")
    with pytest.raises(ValueError, match=sentence):
        mogonet(tmp_path)


def test_missing_files_and_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"mogonet_rosmap needs .*rosmap.npz.*txWang/MOGONET.*MMLAB_DATA"):
        mogonet_rosmap()
    write(tmp_path / "mogonet_rosmap")
    assert len(mogonet_rosmap().test) == 9  # the csv files serve as well
    (tmp_path / "mogonet_rosmap" / "3_te.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"3_te.csv: take the files of one folder of github.com/txWang"):
        mogonet_rosmap()
    write(tmp_path / "mogonet_rosmap")
    with pytest.raises(ValueError, match=r"validation=1\.0 is no share"):
        mogonet_rosmap(validation=1.0)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_the_real_set() -> None:
    """Logistic regression on what min-max scaling by training rows gives; the accuracies of an independent script."""
    import torch
    from sklearn.linear_model import LogisticRegression

    data = mogonet_rosmap()
    assert data.train.tensors["label"].bincount().tolist() == [118, 127]
    assert data.test.tensors["label"].bincount().tolist() == [51, 55]
    expected = {("mrna",): 0.764, ("methylation",): 0.660, ("mirna",): 0.736, VIEWS: 0.821}
    for views, rate in expected.items():
        train, test = (torch.cat([part.tensors[view] for view in views], 1) for part in (data.train, data.test))
        model = LogisticRegression(C=0.1, max_iter=2000).fit(train, data.train.tensors["label"])
        assert model.score(test, data.test.tensors["label"]) == pytest.approx(rate, abs=0.011)
