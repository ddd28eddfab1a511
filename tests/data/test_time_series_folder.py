"""Time series in, connectivity out: against NumPy and scikit-learn, from every format; refusals name the file."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from nibabel.cifti2.cifti2_axes import BrainModelAxis, ParcelsAxis, ScalarAxis, SeriesAxis

from mmlab.data.connectome import Regions, matrices
from mmlab.data.sets.time_series_folder import (
    cifti_regions,
    connectivity,
    find_scans,
    read_time_series,
    time_series_matrices,
    time_series_pairs,
)

REGIONS = Regions(names=tuple(f"parcel {i}" for i in range(4)), networks=("x", "x", "y", "y"))


def series(seed: int, frames: int = 50, regions: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((frames, regions)) @ rng.standard_normal((regions, regions)) + 100


def grayordinates(name: str, vertices: list[int]) -> BrainModelAxis:
    return BrainModelAxis.from_surface(vertices, 10, name=name)


def write_ptseries(path: Path, values: np.ndarray) -> None:
    """A small real CIFTI-2 file: frames x parcels on a surface of ten vertices."""
    models = [(f"parcel {i}", grayordinates("CIFTI_STRUCTURE_CORTEX_LEFT", [i])) for i in range(values.shape[1])]
    parcels = ParcelsAxis.from_brain_models(models)
    frames = SeriesAxis(start=0, step=0.72, size=len(values), unit="SECOND")
    nibabel.save(nibabel.Cifti2Image(values.astype(np.float32), header=(frames, parcels)), path)


def test_empirical_is_pearson() -> None:
    values = series(0)
    matrix = connectivity(values, "scan", "empirical")
    assert matrix.dtype == torch.float64
    assert np.allclose(matrix.numpy(), np.corrcoef(values.T), atol=1e-12)
    assert bool((matrix.diagonal() == 1).all())


def test_ledoit_wolf_shrinks_towards_zero() -> None:
    """Standardised series: r (1-s), with the shrinkage s that scikit-learn's estimator reports."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    values = series(0, frames=12)
    scaled = (values - values.mean(0)) / values.std(0)
    shrinkage = ledoit_wolf_shrinkage(scaled)
    assert 0.01 < shrinkage < 1
    off = ~np.eye(4, dtype=bool)
    shrunk = connectivity(values, "scan", "ledoit_wolf").numpy()
    assert np.allclose(shrunk[off], np.corrcoef(values.T)[off] * (1 - shrinkage), atol=1e-12)
    assert np.allclose(shrunk, connectivity(values * [1, 10, 100, 1000], "scan", "ledoit_wolf").numpy())


def test_ledoit_wolf_makes_short_scans_positive_definite() -> None:
    values = np.random.default_rng(0).standard_normal((20, 30))
    smallest = {e: float(torch.linalg.eigvalsh(connectivity(values, "s", e))[0]) for e in ("empirical", "ledoit_wolf")}
    assert smallest["empirical"] < 1e-9
    assert smallest["ledoit_wolf"] > 0.01


def test_the_estimator_has_no_default(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="estimator"):
        time_series_matrices(tmp_path, "{subject}.npy", regions=4)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"no estimator 'pearson'.*'empirical'"):
        connectivity(series(0), "scan", "pearson")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".npy", ".txt", ".tsv", ".csv", ".ptseries.nii"])
def test_every_format_gives_the_same_matrix(tmp_path: Path, suffix: str) -> None:
    for subject in (7, 12):
        path, values = tmp_path / f"{subject}{suffix}", series(subject)
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".ptseries.nii":
            write_ptseries(path, values)
        else:
            np.savetxt(path, values, delimiter="," if suffix == ".csv" else "\t")
    found = time_series_matrices(tmp_path, "{subject}" + suffix, regions=4, estimator="empirical")
    assert list(found) == ["12", "7"]
    for subject, matrix in found.items():
        assert np.allclose(matrix.numpy(), np.corrcoef(series(int(subject)).T), atol=2e-4)  # CIFTI holds float32


def test_parcels_have_names(tmp_path: Path) -> None:
    write_ptseries(tmp_path / "a.ptseries.nii", series(0))
    assert cifti_regions(tmp_path / "a.ptseries.nii").names == ("parcel 0", "parcel 1", "parcel 2", "parcel 3")


def save_hcp(root: Path, subject: str, scan: str, values: np.ndarray) -> None:
    """The layout of the Human Connectome Project."""
    folder = root / subject / "MNINonLinear" / "Results" / scan
    folder.mkdir(parents=True)
    write_ptseries(folder / f"{scan}_Atlas_MSMAll.ptseries.nii", values)


def test_pairs_from_the_layout_of_the_project(tmp_path: Path) -> None:
    for i, subject in enumerate(["100307", "100206", "101006"]):
        save_hcp(tmp_path, subject, "rfMRI_REST1_LR", series(i))
        if subject != "101006":
            save_hcp(tmp_path, subject, "tfMRI_MOTOR_LR", series(10 + i))
    rest = "{subject}/MNINonLinear/Results/rfMRI_REST1_LR/*.ptseries.nii"
    motor = "{subject}/MNINonLinear/Results/tfMRI_MOTOR_LR/*.ptseries.nii"
    with pytest.raises(ValueError, match="Subject 101006 has no motor matrix"):
        time_series_pairs(tmp_path, rest, motor, REGIONS, estimator="empirical")
    pairs = time_series_pairs(tmp_path, rest, motor, REGIONS, estimator="empirical", strict=False)
    assert pairs.subjects == ("100206", "100307")
    assert np.allclose(matrices(pairs.source)[1], np.corrcoef(series(0).T), atol=2e-4)
    assert np.allclose(matrices(pairs.target)[0], np.corrcoef(series(11).T), atol=2e-4)
    assert (pairs.source_name, pairs.target_name) == ("rest", "motor")
    save_hcp(tmp_path, "103414", "rfMRI_REST1_LR", series(3))
    save_hcp(tmp_path, "103414", "tfMRI_MOTOR_LR", np.zeros((50, 4)))  # a scan without signal
    with pytest.warns(UserWarning, match=r"1 of 6 scans are left out: Subject 103414: .* does not vary"):
        again = time_series_pairs(tmp_path, rest, motor, REGIONS, estimator="empirical", strict=False)
    assert again.subjects == pairs.subjects
    with pytest.raises(ValueError, match="There is no estimator 'pearson'"):
        time_series_pairs(tmp_path, rest, motor, REGIONS, estimator="pearson", strict=False)  # type: ignore[arg-type]


def test_patterns(tmp_path: Path) -> None:
    for name in ("sub-1_run-1.npy", "sub-1_run-2.npy", "sub-2_run-1.npy", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "3_rest.npy").touch()
    (tmp_path / "3" / "4_rest.npy").touch()
    assert list(find_scans(tmp_path, "sub-{subject}_run-1.npy")) == ["1", "2"]
    assert find_scans(tmp_path, "{subject}/{subject}_rest.npy") == {"3": tmp_path / "3" / "3_rest.npy"}
    with pytest.raises(ValueError, match=r"Subject 1 has two files .*sub-1_run-1\.npy and sub-1_run-2\.npy"):
        find_scans(tmp_path, "sub-{subject}_run-*.npy")
    with pytest.raises(ValueError, match=r"write \{subject\}"):
        find_scans(tmp_path, "*.npy")
    with pytest.raises(FileNotFoundError, match=r"No file in .* fits the pattern '\{subject\}\.csv'"):
        find_scans(tmp_path, "{subject}.csv")
    with pytest.raises(ValueError, match="is a picture"):
        find_scans(tmp_path, "{subject}.png")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("transposed", r"is 4 x 50, regions x frames: transpose it"),
        ("other regions", r"is 50 x 3 but 4 regions are expected"),
        ("flat", r"does not vary in 1 of 4 regions, first in region 2"),
        ("nan", r"holds NaN or infinity"),
        ("short", r"has 2 frames"),
    ],
)
def test_bad_scans_are_refused_with_subject_and_file(tmp_path: Path, change: str, sentence: str) -> None:
    values = series(0)
    if change == "transposed":
        values = values.T
    elif change == "other regions":
        values = values[:, :3]
    elif change == "flat":
        values[:, 2] = 7.1
    elif change == "nan":
        values[3, 1] = np.nan
    elif change == "short":
        values = values[:2]
    np.save(tmp_path / "100307.npy", values)
    with pytest.raises(ValueError, match=rf"Subject 100307: .*100307\.npy.*{sentence}"):
        time_series_matrices(tmp_path, "{subject}.npy", regions=4, estimator="empirical")


def test_more_regions_than_frames_is_no_reason_to_refuse(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.random.default_rng(0).standard_normal((10, 30)))
    assert read_time_series(tmp_path / "1.npy", 30).shape == (10, 30)


def test_cifti_that_is_no_parcellated_series_is_refused(tmp_path: Path) -> None:
    dense = grayordinates("CIFTI_STRUCTURE_CORTEX_LEFT", [0, 1, 2, 3])
    frames = SeriesAxis(start=0, step=0.72, size=5)
    nibabel.save(nibabel.Cifti2Image(np.zeros((5, 4), np.float32), (frames, dense)), tmp_path / "a.dtseries.nii")
    with pytest.raises(ValueError, match=r"a\.dtseries\.nii is dense \(4 grayordinates\): parcellate it first"):
        read_time_series(tmp_path / "a.dtseries.nii", 4)
    parcels = ParcelsAxis.from_brain_models([("one", dense)])
    nibabel.save(
        nibabel.Cifti2Image(np.zeros((1, 1), np.float32), (ScalarAxis(["map"]), parcels)), tmp_path / "a.pscalar.nii"
    )
    with pytest.raises(ValueError, match=r"a\.pscalar\.nii is not frames x parcels"):
        read_time_series(tmp_path / "a.pscalar.nii", 1)
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / "b.nii")
    with pytest.raises(ValueError, match=r"b\.nii is not a CIFTI time series"):
        read_time_series(tmp_path / "b.nii", 4)
    write_ptseries(tmp_path / "c.ptseries.nii", series(0))
    whole = (tmp_path / "c.ptseries.nii").read_bytes()
    for kept in (0, 100, 600, 1300, len(whole) - 100):
        (tmp_path / "d.ptseries.nii").write_bytes(whole[:kept])
        with pytest.raises(ValueError, match=r"d\.ptseries\.nii"):
            read_time_series(tmp_path / "d.ptseries.nii", 4)
    with pytest.raises(FileNotFoundError, match=r"e\.ptseries\.nii"):
        read_time_series(tmp_path / "e.ptseries.nii", 4)
    with pytest.raises(ValueError, match="is a picture"):
        read_time_series(tmp_path / "motor.png", 4)


NAMES = ("L_V1", "L_M1", "R_V1", "R_M1")


def write_named(path: Path, values: np.ndarray, order: list[int], names: tuple[str, ...] = NAMES) -> None:
    """The same signals with the parcels in some order, and their names in the file."""
    picked = values[:, order]
    called = [names[i] for i in order]
    if path.suffix == ".nii":
        models = [(called[k], grayordinates("CIFTI_STRUCTURE_CORTEX_LEFT", [i])) for k, i in enumerate(order)]
        frames = SeriesAxis(start=0, step=0.72, size=len(values), unit="SECOND")
        parcels = ParcelsAxis.from_brain_models(models)
        nibabel.save(nibabel.Cifti2Image(picked.astype(np.float32), header=(frames, parcels)), path)
    else:
        mark = "," if path.suffix == ".csv" else "\t"
        np.savetxt(path, picked, delimiter=mark, header=mark.join(called), comments="")


@pytest.mark.parametrize("suffix", [".ptseries.nii", ".csv", ".tsv"])
def test_parcels_in_another_order_are_put_right(tmp_path: Path, suffix: str) -> None:
    """Glasser's right hemisphere first in one file and last in the other: the same scan is the same matrix."""
    values = series(3)
    write_named(tmp_path / f"1_REST{suffix}", values, [0, 1, 2, 3])
    write_named(tmp_path / f"1_MOTOR{suffix}", values, [2, 3, 0, 1])
    write_named(tmp_path / f"2_REST{suffix}", values, [3, 1, 0, 2])
    regions = Regions(NAMES, ("x",) * 4)
    patterns = ("{subject}_REST" + suffix, "{subject}_MOTOR" + suffix)
    pairs = time_series_pairs(tmp_path, *patterns, regions, estimator="empirical", strict=False)
    assert torch.allclose(pairs.source, pairs.target, atol=1e-6)
    assert np.allclose(matrices(pairs.source)[0], np.corrcoef(values.T), atol=2e-4)
    for known in (4, regions):  # without their names, those of the first file count for all
        rest = time_series_matrices(tmp_path, patterns[0], regions=known, estimator="empirical")
        assert torch.allclose(rest["1"], rest["2"], atol=1e-6)
    other = Regions(NAMES[::-1], ("x",) * 4)
    found = read_time_series(tmp_path / f"1_MOTOR{suffix}", other)
    assert np.allclose(found, values[:, ::-1], rtol=1e-5)


@pytest.mark.parametrize("suffix", [".ptseries.nii", ".csv", ".tsv"])
def test_another_atlas_of_the_same_size_is_refused(tmp_path: Path, suffix: str) -> None:
    write_named(tmp_path / f"1_REST{suffix}", series(0), [0, 1, 2, 3])
    write_named(tmp_path / f"1_MOTOR{suffix}", series(1), [0, 1, 2, 3], ("L_V1", "L_M1", "R_V1", "R_S1"))
    patterns = ("{subject}_REST" + suffix, "{subject}_MOTOR" + suffix)
    with pytest.raises(ValueError, match=r"1_MOTOR.* names its regions otherwise: .*'R_S1'.*'R_M1' is not there"):
        time_series_pairs(tmp_path, *patterns, Regions(NAMES, ("x",) * 4), estimator="empirical")
    with pytest.raises(ValueError, match=r"1_MOTOR.* names its regions otherwise"):
        read_time_series(tmp_path / f"1_MOTOR{suffix}", Regions(NAMES, ("x",) * 4))
    write_named(tmp_path / f"2_REST{suffix}", series(1), [0, 1, 2, 3], ("a", "b", "c", "d"))
    with pytest.raises(ValueError, match=r"2_REST.* names its regions otherwise"):
        time_series_matrices(tmp_path, patterns[0], regions=4, estimator="empirical")


def test_companions_and_hidden_files_are_no_subjects(tmp_path: Path) -> None:
    """macOS puts ._<name> beside each file on drives of other systems; pathlib's glob finds it."""
    np.save(tmp_path / "100307_REST.npy", series(0))
    for name in ("._100307_REST.npy", ".100308_REST.npy"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "people" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "people" / name).touch()
    np.save(tmp_path / "people" / "7.npy", series(0))
    assert list(find_scans(tmp_path / "people", "{subject}.*")) == ["7"]
    for folder in ("._sub", ".Trash", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "sub-1"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "rest.npy", series(0))
    assert list(find_scans(tmp_path, "{subject}_REST.npy")) == ["100307"]
    assert list(find_scans(tmp_path, "*{subject}_REST.npy")) == ["7"]
    assert list(find_scans(tmp_path, "{subject}/rest.npy")) == ["sub-1"]
    assert list(find_scans(tmp_path, "**/{subject}/rest.npy")) == ["sub-1"]
    assert list(find_scans(tmp_path, ".{subject}_REST.npy")) == ["100308", "_100307"]  # who asks for it gets it


@pytest.mark.parametrize(
    "pattern",
    [
        "./{subject}/ses-1/rest.npy",
        "{subject}//ses-1/./rest.npy",
        "{subject}/ses-?/rest.npy",
        "{subject}/ses-[12]/rest.npy",
        "{subject}/ses-[!2]/rest.npy",
        "{subject}/ses-[0-9]/rest.npy",
        "{subject}/ses-{1,3}/rest.npy",
        "{subject}/**/rest.npy",
        "**/{subject}/ses-1/*.npy",
        "{subject}/ses-1/{rest,motor}.npy",
    ],
)
def test_patterns_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    for subject in ("100307", "1[2]3"):
        (tmp_path / subject / "ses-1").mkdir(parents=True)
        np.save(tmp_path / subject / "ses-1" / "rest.npy", series(0))
    found = find_scans(tmp_path, pattern)
    assert list(found) == ["100307", "1[2]3"]
    assert all(path.is_file() for path in found.values())
    assert list(find_scans("elsewhere", f"{tmp_path}/{pattern.removeprefix('./')}")) == ["100307", "1[2]3"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(find_scans("~", pattern)) == ["100307", "1[2]3"]
    assert list(find_scans(".", f"~/{pattern.removeprefix('./')}")) == ["100307", "1[2]3"]


def test_the_message_says_what_the_folder_holds(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"check the folder, which is not there"):
        find_scans(tmp_path / "absent", "{subject}.npy")
    with pytest.raises(FileNotFoundError, match=r"check the folder, which holds no files"):
        find_scans(tmp_path, "{subject}.npy")
    (tmp_path / "100307_rest.npy").touch()
    with pytest.raises(FileNotFoundError, match=r"check the folder, which holds 100307_rest\.npy"):
        find_scans(tmp_path, "{subject}.csv")


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("work", ["detrended", "band-passed", "z-scored", "scaled down", "none"])
def test_regions_without_signal_are_found_whatever_was_done_to_them(work: str, precision: str) -> None:
    """What filtering leaves of a constant is rounding noise, 1e-28 beside 20 in double precision, 1e-4 in single."""
    import nilearn.signal

    values = (series(0, frames=300, regions=6) * 50 + 8000).astype(precision)
    values[:, 3] = 1234.567
    if work == "none":
        values[:, 3] += 1e-7 * np.random.default_rng(1).standard_normal(300)
    else:
        bands = {"low_pass": 0.1, "high_pass": 0.01} if work == "band-passed" else {}
        values = nilearn.signal.clean(values, detrend=True, standardize=None, t_r=0.72, **bands)
    if work == "z-scored":  # by somebody who left constant regions alone
        spread = values.std(0)
        values = values / np.where(spread > 1e-2, spread, 1)
    if work == "scaled down":
        values = values * 1e-9
    with pytest.raises(ValueError, match=r"scan does not vary in 1 of 6 regions, first in region 3"):
        connectivity(values, "scan", "empirical")


def test_regions_in_other_units_are_no_noise() -> None:
    values = series(0, frames=200, regions=4) * [1e-3, 1, 10, 1]
    assert np.allclose(connectivity(values * 1e-12, "scan", "empirical").numpy(), np.corrcoef(values.T))
    assert np.allclose(connectivity(values + 1e6, "scan", "empirical").numpy(), np.corrcoef(values.T), atol=1e-5)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".ptseries.nii"])
def test_missing_values_are_named_by_region_and_frame(tmp_path: Path, suffix: str) -> None:
    values = series(0)
    values[7, 2] = np.nan
    path = tmp_path / f"1{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    else:
        write_named(path, values, [0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"holds NaN or infinity \(1 of 200 values\), first in region 2.*, frame 7"):
        read_time_series(path, 4)
    with pytest.raises(ValueError, match="holds NaN or infinity, first in region 2, frame 7"):
        connectivity(values, "scan", "empirical")
