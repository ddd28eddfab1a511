"""The Neuromatch layout, on files that the test makes: regions x frames, runs numbered through rest and tasks."""

from pathlib import Path

import numpy as np
import pytest

from mmlab.data.connectome import matrices
from mmlab.data.sets.neuromatch_hcp import neuromatch_hcp, neuromatch_regions


def scan(subject: int, run: int) -> np.ndarray:
    rng = np.random.default_rng(100 * subject + run)
    return rng.standard_normal((4, 4)) @ rng.standard_normal((4, 60))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, runs in (("hcp_rest", (1, 2)), ("hcp_task", (5, 6))):
        for subject in (0, 2, 10):
            folder = tmp_path / part / "subjects" / str(subject) / "timeseries"
            folder.mkdir(parents=True)
            for run in runs:
                np.save(folder / f"bold{run}_Atlas_MSMAll_Glasser360Cortical.npy", scan(subject, run))
    names = [["R_V1", "Visual1", "2.2"], ["R_4", "Somatomotor", "2.1"], ["L_V1", "Visual1", "2.2"], ["L_4", "Som", "2"]]
    np.save(tmp_path / "hcp_task" / "regions.npy", np.array(names))
    return tmp_path


def test_pairs_are_rest_and_motor_of_the_same_people(root: Path) -> None:
    pairs = neuromatch_hcp(root, estimator="empirical")
    assert pairs.subjects == ("000", "002", "010")  # padded: sorted as text and by number alike
    assert (pairs.source_name, pairs.target_name) == ("rest", "motor")
    assert "Human Connectome Project" in pairs.acknowledgement
    for i, subject in enumerate((0, 2, 10)):
        assert np.allclose(matrices(pairs.source)[i], np.corrcoef(scan(subject, 1)), atol=1e-6)
        assert np.allclose(matrices(pairs.target)[i], np.corrcoef(scan(subject, 6)), atol=1e-6)


def test_several_runs_are_averaged(root: Path) -> None:
    pairs = neuromatch_hcp(root, estimator="empirical", target_runs=(5, 6), subjects=2)
    assert pairs.subjects == ("000", "002")
    expected = (np.corrcoef(scan(2, 5)) + np.corrcoef(scan(2, 6))) / 2
    assert np.allclose(matrices(pairs.target)[1], expected, atol=1e-6)


def test_regions_come_from_the_file(root: Path) -> None:
    regions = neuromatch_regions(root)
    assert regions.names == ("R_V1", "R_4", "L_V1", "L_4")
    assert regions.networks == ("Visual1", "Somatomotor", "Visual1", "Som")
    (root / "hcp_task" / "regions.npy").rename(root / "regions.npy")
    assert neuromatch_regions(root) == regions
    np.save(root / "regions.npy", np.array([["R_V1"]]))
    with pytest.raises(ValueError, match="name and network are expected"):
        neuromatch_regions(root)
    (root / "regions.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"no regions\.npy"):
        neuromatch_regions(root)


def test_refusals_name_subject_and_file(root: Path) -> None:
    with pytest.raises(ValueError, match="no state 'sleep': choose from rest, motor"):
        neuromatch_hcp(root, target="sleep", estimator="empirical")
    with pytest.raises(ValueError, match=r"Runs \[1\] are not those of motor: choose from \[5, 6\]"):
        neuromatch_hcp(root, target_runs=(1,), estimator="empirical")
    file = root / "hcp_task" / "subjects" / "2" / "timeseries" / "bold6_Atlas_MSMAll_Glasser360Cortical.npy"
    np.save(file, scan(2, 6).T)
    with pytest.raises(ValueError, match=r"Subject 2: .*subjects/2/timeseries/bold6.*shape \(60, 4\)"):
        neuromatch_hcp(root, estimator="empirical")
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"Subject 2 has no .*bold6"):
        neuromatch_hcp(root, estimator="empirical")


def test_a_missing_partner_is_refused(root: Path) -> None:
    (root / "hcp_rest" / "subjects" / "2").rename(root / "hcp_rest" / "subjects" / "3")
    with pytest.raises(ValueError, match=r"Subject 00[23] has no (rest|motor) matrix"):
        neuromatch_hcp(root, estimator="empirical")


def test_a_scan_that_cannot_be_read_is_left_out_and_named(root: Path) -> None:
    whole = neuromatch_hcp(root, estimator="empirical").subjects
    name = "bold6_Atlas_MSMAll_Glasser360Cortical.npy"
    (root / "hcp_task" / "subjects" / "2" / "timeseries" / name).write_bytes(b"no scan")
    with pytest.warns(UserWarning, match=r"1 of \d+ scans are left out: Subject 2: .*bold6"):
        assert neuromatch_hcp(root, estimator="empirical", strict=False).subjects == tuple(
            subject for subject in whole if subject != "002"
        )


def test_missing_data_says_who_grants_it(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "hcp_rest").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="Open Science Framework"):
        neuromatch_hcp(root, estimator="empirical")
    monkeypatch.delenv("MMLAB_DATA", raising=False)
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match=r"regions\.npy"):
        neuromatch_hcp(estimator="empirical")
