"""Tables, patterns and sounds as other programs leave them: read as they are meant, or refused with what helps."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from mmlab.compare.two_way import TwoWay
from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.files.numbers import grid
from mmlab.data.files.patterns import named_file, subject_files
from mmlab.data.files.tables import read_rows, read_table
from mmlab.data.sets.time_series_folder import connectivity, find_scans
from mmlab.data.worlds.speech import read_wav


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\na;b\n1,5;2\n",
        '"sep=,"\na,b\n1.5,2\n',
        "a,b,\n1.5,2,\n",
        "a,b,,\n1.5,2,,\n",
        "a\tb\n1.5\t2\n",
        ",a,b\n0,1.5,2\n",
    ],
)
def test_numbers_come_as_spreadsheets_write_them(text):
    read = grid(text.split("\n"), commas=True, columns=2)
    assert read.columns == ("a", "b")
    assert read.values.tolist() == [[1.5, 2.0]]


@pytest.mark.parametrize("text", ["sep=;\nfile;n\nx;1\n", "file;n\nx;1\n", "file\tn\nx\t1\n", " file , n \nx,1\n"])
def test_texts_come_as_spreadsheets_write_them(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert read_table(tmp_path / "t.csv", {"file": "U", "n": "i"}) == {"file": ["x"], "n": [1]}
    assert read_rows(tmp_path / "t.csv") == [{"file": "x", "n": "1"}]


def test_a_file_is_found_however_a_table_spells_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Zo\u00eb.png").touch()
    for name in ("a/Zo\u00eb.png", "a/Zoe\u0308.png", "a\\Zo\u00eb.png"):
        assert named_file(tmp_path, name) == tmp_path / "a" / "Zo\u00eb.png"
    for name in ("a", "b\0", "x" * 5000, ""):
        assert named_file(tmp_path, name) is None


def test_what_office_leaves_is_nobody(tmp_path):
    for name in ("1_REST.npy", "~$1_REST.npy", "._1_REST.npy"):
        (tmp_path / name).touch()
    assert list(find_scans(tmp_path, "{subject}_REST.npy")) == ["1"]


def test_a_pattern_that_stands_for_millions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="33,554,432 patterns: write a \\*"):
        subject_files(tmp_path, "{subject}" + "{a,b}" * 25)


def test_values_of_nobody_are_refused():
    one = np.eye(2)
    with pytest.raises(ValueError, match=r"source is a list.*a dict from id"):
        ConnectomePairs.join([one], [one], Regions(("A", "B"), ("x", "x")))  # type: ignore[arg-type]


@pytest.mark.parametrize("estimator", ["empirical", "ledoit_wolf"])
def test_units_do_not_matter_however_large(estimator):
    series = np.random.default_rng(0).normal(size=(20, 4))
    expected = connectivity(series, "it", estimator)
    for unit in (1e-200, 1e200):
        assert np.allclose(connectivity(series * unit, "it", estimator), expected, atol=1e-6)


def test_the_remedy_for_a_sound_is_one(tmp_path: Path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(bytes(400))
    with pytest.raises(ValueError, match=r"2 channels of 16 bits at 44100 Hz.*ffmpeg -i in.wav -ac 1 -ar 8000"):
        read_wav(tmp_path / "a.wav")


def test_votes_of_a_whole_arena_do_not_take_all_memory():
    with pytest.raises(ValueError, match="take a part of the votes"):
        TwoWay(range(30_000), range(30_000))
