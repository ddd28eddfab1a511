"""The published archives' layout, on a table that the test makes and converts as the module says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mmlab.data.connectome import matrices
from mmlab.data.sets.diffeocfm_archives import CONVERT, diffeocfm_archive

FRAMES = (30, 45, 60, 30)


def scan(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.standard_normal((FRAMES[number], 5)) @ rng.standard_normal((5, 5))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = pd.DataFrame(
        {
            "SubjectID": [50002, 50003, 50003, 51461],
            "TimeSeries": [scan(number) for number in range(4)],
            "Diagnosis": [0, 2, 1, 0],
            "Age": [20.0, 31.5, 32.0, 8.1],
            "Group": list("abab"),
        }
    )
    home = tmp_path / "data_atlas_msdl"
    home.mkdir()
    table.to_pickle(home / "abide_X_y.pkl")
    subprocess.run([sys.executable, "-c", CONVERT, str(home / "abide_X_y.pkl")], check=True)
    return home


def change(folder: Path, **arrays: np.ndarray) -> None:
    path = folder / "abide_X_y.npz"
    with np.load(path) as kept:
        before = dict(kept)
    np.savez(path, **(before | arrays))


def test_scans_become_connectivity_with_diagnosis_and_subject(folder: Path) -> None:
    data = diffeocfm_archive("abide", folder)
    assert data.subjects == ["50002", "50003", "50003", "51461"]
    assert data.tensors["label"].tolist() == [0, 1, 1, 0]
    for number in range(4):
        expected = torch.from_numpy(np.corrcoef(scan(number).T))
        torch.testing.assert_close(matrices(data.tensors["target"])[number].double(), expected, atol=1e-5, rtol=0)


def test_the_default_place_is_that_of_the_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = folder.parent / "diffeocfm_archives"
    home.mkdir()
    folder.rename(home / folder.name)
    monkeypatch.setenv("MMLAB_DATA", str(home.parent))
    assert len(diffeocfm_archive("abide", estimator="ledoit_wolf")) == 4


def test_what_is_not_there_or_not_so_is_refused_with_the_way_out(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"adni_X_y.npz: unpack https://osf.io/h7sw5"):
        diffeocfm_archive("adni", folder)
    with pytest.raises(ValueError, match="no archive 'adbie'"):
        diffeocfm_archive("adbie", folder)  # type: ignore[arg-type]
    change(folder, offset=np.array([0, 30, 20, 135, 165]))
    with pytest.raises(ValueError, match="do not cut its 165 frames into 4 scans"):
        diffeocfm_archive("abide", folder)
    change(folder, offset=np.array([0, 165]))
    with pytest.raises(ValueError, match="2 offsets, 4 subjects"):
        diffeocfm_archive("abide", folder)


@pytest.mark.parametrize("regions", [0, 1])
def test_one_region_is_no_connectivity(folder: Path, regions: int) -> None:
    change(folder, series=np.ones((165, regions), np.float32))
    with pytest.raises(ValueError, match=rf"scan 0 \(subject 50002\) has {regions} regions"):
        diffeocfm_archive("abide", folder)


def test_a_scan_of_nobody_is_refused_with_the_file(folder: Path) -> None:
    change(folder, subject=np.array(["50002", "", "a", "b"]))
    with pytest.raises(ValueError, match=r"abide_X_y\.npz, array 'subject': '' is no subject's id"):
        diffeocfm_archive("abide", folder)


def test_a_scan_without_signal_is_named(folder: Path) -> None:
    with np.load(folder / "abide_X_y.npz") as kept:
        series = kept["series"].copy()
    series[30:75, 2] = 1.0
    change(folder, series=series)
    with pytest.raises(ValueError, match=r"scan 1 \(subject 50003\) does not vary"):
        diffeocfm_archive("abide", folder)
