"""Live fuel moisture: columns land where they belong, places stay on one side, and a missing table says what to do."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmlab.data.sets.live_fuel_moisture import BANDS, FILE, MONTHS, live_fuel_moisture


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table in the layout of the original: an index, further columns, and several samples of each place."""
    rng = np.random.default_rng(0)
    names = [f"{band}{month}" for bands in BANDS.values() for band in bands for month in MONTHS]
    lines = [",".join(["", "percent(t)", "date", "site", "slope(t)", *reversed(names)])]
    for row in range(30):
        values = ",".join(f"{value:.4f}" for value in rng.normal(size=len(names)))
        lines.append(f"{row},{80 + row},2020-01-31,Place {row // 3},3.5,{values}")
    folder = tmp_path / "live_fuel_moisture"
    folder.mkdir()
    (folder / FILE).write_text("\n".join(lines))
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    return folder / FILE


def test_columns_land_where_they_belong_and_places_stay_on_one_side(table: Path) -> None:
    data = live_fuel_moisture(fold=1, folds=5)
    assert [len(data.train), len(data.test)] == [24, 6]
    assert not set(data.train.subjects or ()) & set(data.test.subjects or ())
    train = data.train.tensors
    assert train["radar"].shape == (24, 4, 3)
    assert train["optical"].shape == (24, 4, 8)
    header, *rows = table.read_text().splitlines()
    kept = [row.split(",") for row in rows if row.split(",")[3] in (data.train.subjects or ())]
    for sensor, band, month in (("radar", 1, 0), ("optical", 4, 2)):
        place = header.split(",").index(f"{BANDS[sensor][band]}{MONTHS[month]}")
        raw = torch.tensor([float(row[place]) for row in kept])
        seen = train[sensor][:, month, band]
        assert torch.corrcoef(torch.stack([raw, seen]))[0, 1] > 0.9999
    assert train["target"].mean().abs() < 1e-5
    assert torch.equal(train["target"].argsort(), torch.arange(24))  # moisture rises with the row
    tested = [live_fuel_moisture(fold=k, folds=5).test.subjects for k in range(5)]
    assert sorted(site for part in tested for site in set(part or ())) == sorted(f"Place {k}" for k in range(10))


def test_folds_that_there_are_not_and_damaged_tables_are_refused(table: Path) -> None:
    with pytest.raises(ValueError, match="there are 10 places"):
        live_fuel_moisture(fold=5, folds=5)
    table.write_text(table.read_text().replace("vh(t-2)", "vh"))
    with pytest.raises(ValueError, match=r"training_features.csv.*vh\(t-2\)"):
        live_fuel_moisture()


def test_a_missing_table_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"live_fuel_moisture needs .*MMLAB_DATA"):
        live_fuel_moisture()
