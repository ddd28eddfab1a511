"""Twelve-lead ECGs: made-up files of both layouts, damage in them, and the real ones where they are there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mmlab.data.files import registry
from mmlab.data.sets.ecg12_cinc2021 import CODES, Ecg12, ecg12_cinc2021, read_challenge

LEADS = ["I", "II", "V1"]


def record(
    folder: Path, name: str, samples: np.ndarray, about: str = "#Age: 61\n#Sex: Female\n#Dx: 427084000,1\n"
) -> None:
    """Write a header and its samples, 500 units to a millivolt, zero at 10."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.mat").write_bytes(bytes(24) + samples.T.astype("<i2").tobytes())
    rows = [f"{name}.mat 16+24 500(10)/mV 16 0 {row[0]} 0 0 {lead}" for lead, row in zip(LEADS, samples, strict=True)]
    text = "\n".join([f"{name} 3 100 {samples.shape[1]}", *rows, about])
    (folder / f"{name}.hea").write_text(text, encoding="utf-8")


def test_files_of_the_challenge_are_read_as_they_are(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-3000, 3000, (2, 3, 200))
    record(tmp_path / "georgia", "E1", samples[0])
    record(tmp_path / "ningbo", "J1", samples[1], "# Age: NaN\n# Sex: M\n# Dx: 426783006\n")
    found = read_challenge(tmp_path)
    assert torch.allclose(found.ecg, torch.from_numpy((samples - 10) / 500).float())
    assert (found.leads, found.rate) == (tuple(LEADS), 100)
    assert found.codes == (("427084000", "1"), ("426783006",))
    assert found.sex == ("Female", "Male")
    assert found.source == ("georgia", "ningbo")
    assert float(found.age[0]) == 61
    assert found.age[1].isnan()
    assert found.labels().tolist() == [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    halved = found.at_rate(50)
    assert torch.allclose(halved, (found.ecg[..., ::2] + found.ecg[..., 1::2]) / 2)
    with pytest.raises(ValueError, match="must divide 100"):
        found.at_rate(30)


def test_damaged_files_are_left_out_and_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.hea file"):
        read_challenge(tmp_path)
    samples = np.ones((3, 50), int)
    record(tmp_path, "A", samples)
    for name in "BCDE":
        record(tmp_path, name, samples)
    (tmp_path / "B.mat").write_bytes(bytes(30))
    text = (tmp_path / "C.hea").read_text(encoding="utf-8")
    (tmp_path / "C.hea").write_text(text.replace("16+24", "212"), encoding="utf-8")
    (tmp_path / "D.hea").write_text("nothing\n", encoding="utf-8")
    (tmp_path / "E.hea").write_text(text.replace("C 3 100", "C 3 200"), encoding="utf-8")
    with pytest.warns(UserWarning, match="4 of 5 records are left out") as told:
        found = read_challenge(tmp_path)
    assert len(found) == 1
    assert "B.hea has 6 bytes of samples instead of 300" in str(told[0].message)
    (tmp_path / "A.hea").unlink()
    (tmp_path / "E.hea").unlink()
    with pytest.raises(ValueError, match="none of the records can be read"):
        read_challenge(tmp_path)


def test_samples_cannot_lie_in_another_folder(tmp_path: Path) -> None:
    record(tmp_path / "in", "A", np.ones((3, 50), int))
    text = (tmp_path / "in" / "A.hea").read_text(encoding="utf-8")
    (tmp_path / "in" / "A.hea").write_text(text.replace("A.mat", "../A.mat"), encoding="utf-8")
    with pytest.raises(ValueError, match="in another folder"):
        read_challenge(tmp_path)


def test_the_prepared_set_is_checked_and_its_absence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="read_challenge"):
        ecg12_cinc2021()
    folder = tmp_path / "ecg12_cinc2021"
    folder.mkdir()
    signal = np.random.default_rng(0).integers(-900, 900, (50, 12, 5000)).astype(np.int16)
    leads = np.array(["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"])
    np.savez(folder / "ecg.npz", signal_uv=signal, lead=leads, sample_rate=np.int32(500))
    rows = ["record,source,age,sex,dx_snomed", *(f'{n},Georgia,{n},Male,"427084000,7"' for n in range(50))]
    (folder / "ecg_meta.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = ecg12_cinc2021()
    assert torch.allclose(found.ecg, torch.from_numpy(signal).float() / 1000)
    assert found.labels().sum(0).tolist() == [50, 0, 0, 0, 0]
    assert found.leads[6] == "V1"
    (folder / "ecg_meta.csv").write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="49 records for 50 signals"):
        ecg12_cinc2021()


@pytest.fixture
def real() -> Ecg12:
    return ecg12_cinc2021()


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("MMLAB_DATA"), reason="MMLAB_DATA is not set")
def test_the_real_records_and_a_tower_on_them(real: Ecg12) -> None:
    from mmlab.methods.merl import Merl

    assert registry.verify("ecg12_cinc2021").ok
    assert real.ecg.shape == (50, 12, 5000)
    assert real.rate == 500
    assert dict(zip(CODES, real.labels().sum(0).int().tolist(), strict=True))["427084000"] == 23
    assert [real.source.count(name) for name in ("Georgia", "Ningbo", "PTB-XL")] == [20, 20, 10]
    limbs = real.ecg[:, 0] + real.ecg[:, 2] - real.ecg[:, 1]  # Einthoven: I + III = II
    assert float(limbs.abs().median()) < 0.01
    waves = real.at_rate(50)
    report = torch.randint(1, 30, (50, 6), generator=torch.Generator().manual_seed(0))
    method = Merl.seeded(0, 12, 30)
    losses = method.loss({"ecg": waves, "report": report}, torch.Generator().manual_seed(0))
    assert all(bool(value.isfinite()) for value in losses.values())
