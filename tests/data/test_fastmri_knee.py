"""k-space to images and boxes to labels, on files of fastMRI's layout that are made here, and on real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from mmlab.data.sets.fastmri_knee import FINDINGS, class_weights, fastmri_knee, knee_labels
from mmlab.data.sets.kspace import about, centre_crop, centred_inverse, read_kspace, root_sum_of_squares

DATA = os.environ.get("MMLAB_DATA")
HEADER = "file,slice,study_level,x,y,width,height,label\n"
ROWS = """file1,2,No,1,2,3,4,Meniscus Tear
file1,2,No,1,2,3,4,Ligament - ACL Low Grade sprain
file1,3,No,1,2,3,4,Joint Effusion\x20
file2,0,Yes,,,,,artifact
file2,1,No,1,2,3,4,Cartilage - Full Thickness loss/defect
"""


def phantom(slices: int = 4, height: int = 24, width: int = 18) -> np.ndarray:
    """Complex images (slices, H, W) with a bright disc off the centre."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    disc = ((y - 9) ** 2 + (x - 11) ** 2 < 16) * np.exp(1j * 0.2 * y)
    return (disc * np.arange(1, slices + 1)[:, None, None] + 0.05 * rng.normal(size=(slices, height, width))).astype(
        np.complex64
    )


def write_scan(path: Path, image: np.ndarray, size: int = 8, **changes: Any) -> np.ndarray:
    """A file as fastMRI makes them: k-space is the centred transform, the reconstruction its cropped magnitude."""
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes), norm="ortho"), axes).astype(np.complex64)
    top, left = ((length - size) // 2 for length in image.shape[1:])
    reconstruction = np.abs(image)[:, top : top + size, left : left + size].astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["kspace"] = changes.get("kspace", kspace)
        file["reconstruction_esc"] = reconstruction
        file["ismrmrd_header"] = b"<ismrmrdHeader/>"
        file.attrs["acquisition"] = changes.get("acquisition", "CORPD_FBK")
        file.attrs["max"] = changes.get("max", reconstruction.max())
        file.attrs["norm"] = np.linalg.norm(reconstruction)
    return reconstruction


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Annotations and scans where the registry looks for them."""
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    marks = tmp_path / "fastmri_plus"
    marks.mkdir()
    (marks / "knee.csv").write_text(HEADER + ROWS)
    (marks / "knee_file_list.csv").write_text("file1\nfile2\nfile3\n")
    for number in (1, 2, 3, 9):  # nobody read the last one
        kind = "CORPDFS_FBK" if number == 3 else "CORPD_FBK"
        write_scan(tmp_path / "fastmri" / "singlecoil_train" / f"file{number}.h5", number * phantom(), acquisition=kind)
    return tmp_path


def test_the_transform_gives_the_image_back(tmp_path: Path) -> None:
    for shape in ((24, 18), (23, 17), (24, 17)):
        image = phantom(4, *shape)
        reconstruction = write_scan(tmp_path / "f.h5", image)
        kspace = read_kspace(tmp_path / "f.h5")
        assert kspace.dtype == torch.complex64
        ours = centred_inverse(kspace)
        assert np.allclose(ours, image, atol=1e-5)
        assert np.allclose(centre_crop(ours.abs(), 8), reconstruction, atol=1e-5)
        assert torch.equal(read_kspace(tmp_path / "f.h5", 2), kspace[2])
        assert float(ours.abs().square().sum()) == pytest.approx(float(kspace.abs().square().sum()), rel=1e-5)
    constant = torch.zeros(5, 6, dtype=torch.complex64)
    constant[2, 3] = 1  # the zero frequency lies in the centre
    assert torch.allclose(centred_inverse(constant), torch.full((5, 6), 30**-0.5, dtype=torch.complex64))


def test_crop_to_any_size() -> None:
    image = torch.arange(35.0).reshape(1, 5, 7)
    assert centre_crop(image, 3).tolist() == [[[9, 10, 11], [16, 17, 18], [23, 24, 25]]]
    large = centre_crop(image, 9)
    assert large.shape == (1, 9, 9)
    assert torch.equal(large[:, 2:7, 1:8], image)
    assert float(large.sum()) == float(image.sum())
    assert centre_crop(image, 6).shape == (1, 6, 6)


def test_items(folder: Path) -> None:
    data = fastmri_knee(size=8)
    assert data.subjects == ["file1"] * 4 + ["file2"] * 4 + ["file3"] * 4
    assert data.labels.shape == (12, 4)
    image = 2 * phantom()[1]
    item = data[5]  # slice 1 of file2
    top, left = (24 - 8) // 2, (18 - 8) // 2
    part = image[top : top + 8, left : left + 8]
    scale = 2 * np.abs(phantom())[:, top : top + 8, left : left + 8].max()
    assert np.allclose(item["magnitude"][0], np.abs(part) / scale, atol=1e-5)
    assert float(item["magnitude"].max()) <= 1.0 + 1e-5
    strong = np.abs(part) > 0.5
    assert np.allclose(item["phase"][0].numpy()[strong], np.angle(part)[strong] / np.pi, atol=1e-4)
    assert item["label"].tolist() == [1, 0, 0, 1]
    assert item["label"].dtype == torch.long
    loader = torch.utils.data.DataLoader(data, batch_size=5)  # type: ignore[arg-type]
    assert next(iter(loader))["phase"].shape == (5, 1, 8, 8)


def test_choices(folder: Path) -> None:
    assert fastmri_knee(size=8, finding="ACL").labels.tolist() == [0, 0, 1] + 9 * [0]
    assert set(fastmri_knee(size=8, acquisition="CORPDFS_FBK").subjects) == {"file3"}
    assert len(fastmri_knee(size=8, margin=1)) == 6
    assert fastmri_knee(size=400)[0]["magnitude"].shape == (1, 400, 400)
    for arguments, sentence in (
        ({"finding": "bone"}, "no finding 'bone': choose from abnormal"),
        ({"size": 0}, "side of at least 1"),
    ):
        with pytest.raises(ValueError, match=sentence):
            fastmri_knee(**arguments)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"no knee file \(.h5, AXT2\) .*agreement at fastmri.med.nyu.edu"):
        fastmri_knee(acquisition="AXT2")


def test_what_a_system_or_a_copy_left_is_no_further_knee(folder: Path) -> None:
    for name in ("._file1.h5", ".Trash/file1.h5", "__MACOSX/file1.h5"):
        (folder / "fastmri" / name).parent.mkdir(exist_ok=True)
        (folder / "fastmri" / name).write_bytes(b"\0")
    count = len(fastmri_knee())
    write_scan(folder / "fastmri" / "copy" / "file1.h5", phantom())
    with pytest.raises(ValueError, match=r"copy.file1\.h5 and .*file1\.h5 are of one name, so of one knee: move one"):
        fastmri_knee()
    assert count > 0


def test_one_damaged_file_does_not_refuse_the_set(folder: Path) -> None:
    whole = fastmri_knee(size=8)
    files = sorted((folder / "fastmri").rglob("file*.h5"))
    files[0].write_bytes(files[0].read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"1 of 3 knee files are left out: .*file1\.h5: .* cannot be read"):
        assert set(fastmri_knee(size=8).subjects) == set(whole.subjects) - {"file1"}
    for file in files:
        file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"file1\.h5: .* cannot be read .*: get the file again"):
        fastmri_knee(size=8)


def test_a_file_is_on_one_side_of_the_split(folder: Path) -> None:
    data = fastmri_knee(size=8)
    train, test = data.split(3, seed=1)
    assert len(test) == 4
    assert not set(train.subjects) & set(test.subjects)
    assert len(train) + len(test) == 12
    assert {data.split(3, seed=seed)[1].subjects[0] for seed in range(8)} == {"file1", "file2", "file3"}
    with pytest.raises(ValueError, match="one side empty"):
        data.split(12)


def test_labels_of_slices_and_files(folder: Path) -> None:
    labels = knee_labels()
    assert [*labels.findings] == ["file1", "file2", "file3"]
    assert labels.of_slice("file1", 2).tolist() == [1, 1, 1, 0]
    assert labels.of_slice("file1", 3).tolist() == [1, 0, 0, 0]
    assert labels.of_slice("file1", 0).tolist() == [0, 0, 0, 0]
    assert labels.of_slice("file2", 0).tolist() == [0, 0, 0, 0]  # an artifact is no finding
    assert labels.of_file("file1").tolist() == [1, 1, 1, 0]
    assert labels.of_file("file2").tolist() == [1, 0, 0, 1]
    assert labels.of_file("file3").tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="does not say what is on 'file9'"):
        labels.of_file("file9")


def test_class_weights_balance() -> None:
    labels = torch.tensor([[1, 0], [0, 0], [0, 1], [0, 1]])
    weights = class_weights(labels)
    assert torch.allclose(weights, torch.tensor([[4 / 6, 2.0], [1.0, 1.0]]))
    for column, pair in zip(labels.T, weights, strict=True):
        said = torch.stack([pair[k] * (column == k).sum() for k in (0, 1)])
        assert torch.allclose(said, torch.tensor([2.0, 2.0]))
    assert class_weights(labels[:, 0]).shape == (2,)
    with pytest.raises(ValueError, match="only one class"):
        class_weights(torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("row", "sentence", "left"),
    [
        ("file7,1,No,1,2,3,4,Meniscus Tear", "row 7 marks slice 1 of 'file7', which is not in knee_file_list", "123"),
        ("file1,-1,No,1,2,3,4,Meniscus Tear", "row 7 marks slice '-1' of 'file1'", "23"),
        ("file1,x,No,1,2,3,4,Meniscus Tear", "row 7 marks slice 'x' .* and the scan with it", "23"),
        ("file1,1,No,1,2,3,4,", "row 7 marks slice '1' of 'file1' as ''", "23"),
        ("file1,4,No,1,2,3,4,Meniscus Tear", r"file1.h5: dataset 'kspace' has 4 slices, .* marks slice 4", "23"),
    ],
)
def test_single_odd_rows_leave_out_their_scan_alone(folder: Path, row: str, sentence: str, left: str) -> None:
    table = folder / "fastmri_plus" / "knee.csv"
    table.write_text(HEADER + ROWS + row + "\n")
    with pytest.warns(UserWarning, match=rf"(: 1 of \d rows|: 1 of 3 knee files) are left out: .*{sentence}"):
        data = fastmri_knee(size=8)
    assert sorted(set(data.subjects)) == [f"file{number}" for number in left]
    table.write_text(HEADER + "file9,1,No,1,2,3,4,Meniscus Tear\n")
    with pytest.raises(ValueError, match=r"knee.csv, row 2 .*; none of the rows can be read: get the file again"):
        knee_labels()


def test_missing_files_say_how_to_get_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_CACHE", str(folder))
    with pytest.raises(FileNotFoundError, match=r"no knee file .*agreement at fastmri.med.nyu.edu"):
        fastmri_knee(folder / "fastmri_plus")
    with pytest.raises(FileNotFoundError, match=r"knee.csv: Free: `mmlab data fetch fastmri_plus`"):
        knee_labels(folder)
    (folder / "fastmri_plus" / "knee_file_list.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"knee_file_list.csv: Free"):
        knee_labels()
    with pytest.raises(FileNotFoundError, match=r"no file none.h5: NYU Langone"):
        read_kspace("none.h5")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "real": ({"kspace": np.zeros((2, 8, 8), np.float32)}, r"is float32 \(2, 8, 8\), expected complex"),
    "flat": ({"kspace": np.zeros((8, 8), np.complex64)}, r"is complex64 \(8, 8\), expected complex \(slices, H, W\)"),
    "empty": ({"kspace": np.zeros((0, 8, 8), np.complex64)}, r"is complex64 \(0, 8, 8\), expected complex"),
    "nan": ({"kspace": np.full((2, 8, 8), np.nan, np.complex64)}, r"holds NaN or infinity \(128 of 128 values\)"),
    "text": ({"kspace": "hello"}, "is object .*expected complex"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_kspace_is_refused(tmp_path: Path, name: str) -> None:
    changes, sentence = WRONG[name]
    write_scan(tmp_path / "f.h5", phantom(), **changes)
    with pytest.raises(ValueError, match=rf"f.h5: dataset 'kspace' {sentence}.*: get the file again"):
        read_kspace(tmp_path / "f.h5")


@pytest.mark.parametrize("value", [0.0, np.nan, "high", np.ones(2)])
def test_a_wrong_scale_is_refused(tmp_path: Path, value: object) -> None:
    write_scan(tmp_path / "f.h5", phantom(), max=value)
    with pytest.raises(ValueError, match=r"f.h5: attribute 'max' is .*, expected a number above 0"):
        about(tmp_path / "f.h5")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_scan(path, phantom())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"hello", b"", whole[:600]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"f.h5: dataset 'kspace' cannot be read .*: get the file again"):
            read_kspace(path)
    with h5py.File(path, "w") as file:
        file["reconstruction_rss"] = np.zeros(3)
    with pytest.raises(ValueError, match="'kspace' is not in the file, which holds reconstruction_rss"):
        read_kspace(path)
    write_scan(path, phantom())
    for number in (4, -1):
        with pytest.raises(IndexError, match="has 4 slices: there is no slice"):
            read_kspace(path, number)


def test_a_file_may_not_point_elsewhere_nor_be_a_bomb(tmp_path: Path) -> None:
    secret, path = tmp_path / "secret.h5", tmp_path / "f.h5"
    write_scan(secret, phantom())
    with h5py.File(path, "w") as file:
        file["kspace"] = h5py.ExternalLink(str(secret), "kspace")
    with pytest.raises(ValueError, match="no array in the file itself"):
        read_kspace(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", (2, 8, 8), np.complex64, external=[(str(secret), 0, 1024)])
    with pytest.raises(ValueError, match="no array in the file itself"):
        read_kspace(path)
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((4, 24, 18), np.complex64)
        layout[:] = h5py.VirtualSource(str(secret), "kspace", (4, 24, 18))
        file.create_virtual_dataset("kspace", layout)
    with pytest.raises(ValueError, match="no array in the file itself"):
        read_kspace(path)
    with h5py.File(path, "w") as file:  # a few kB that say that they are 64 GB
        file.create_dataset("kspace", (2000, 2000, 2000), np.complex64, chunks=(1, 100, 100))
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"says \(2000, 2000, 2000\), but holds 0 bytes"):
        read_kspace(path)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_real_boxes() -> None:
    labels = knee_labels()
    assert sum(len(slices) > 0 for slices in labels.findings.values()) == 974
    every = torch.stack([labels.of_file(file) for file in labels.findings])
    assert every.shape == (1173, len(FINDINGS))
    share = every.float().mean(0)
    assert float(share[0]) == pytest.approx(974 / 1173, abs=0.01)  # all but those with nothing but an artifact
    assert (class_weights(every) > 0).all()
    slices = [marks for numbers in labels.findings.values() for marks in numbers.values()]
    assert sum(marks[1] for marks in slices) > sum(marks[2] for marks in slices)  # menisci tear more often


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="MMLAB_DATA is not set")
def test_a_real_brain_is_in_the_centre() -> None:
    """Eight coils, one slice, undersampled: a bright head on a dark ground shows only if both shifts are right."""
    from mmlab.data.files.registry import load_arrays

    kspace = torch.from_numpy(load_arrays("mri_kspace_brain8", "kspace.npz")["kspace"])
    image = root_sum_of_squares(centred_inverse(kspace))
    assert image.shape == (230, 180)
    middle = centre_crop(image, 120).mean()
    corners = torch.stack([image[:30, :25], image[-30:, :25], image[:30, -25:], image[-30:, -25:]]).mean()
    assert float(middle) > 2.5 * float(corners)
    unshifted = root_sum_of_squares(torch.fft.ifft2(kspace, norm="ortho"))
    assert float(centre_crop(unshifted, 120).mean()) < float(middle)
    assert centre_crop(image, 320).shape == (320, 320)


def test_whole_files_of_another_kind_are_told_what_to_take(tmp_path: Path) -> None:
    """Getting the same file again would not help."""
    for name, shape, top, sentence in (
        ("multi", (4, 3, 8, 8), 1.0, r"is a multi-coil file, kspace \(4, 3, 8, 8\) .* take the single-coil files"),
        ("test", (4, 8, 8), None, r"has no attribute 'max', as files of fastMRI's test part .* validation part"),
    ):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"] = np.ones(shape, "c8")
            if top:
                file.attrs["max"] = top
        with pytest.raises(ValueError, match=sentence) as caught:
            about(tmp_path / f"{name}.h5")
        assert "again" not in str(caught.value)
