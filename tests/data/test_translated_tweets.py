"""Files of translated tweets: one line for each id, or the language is refused."""

from pathlib import Path

import pytest

from mmlab.data.sets.translated_tweets import FILES, IDS, count_lines, read_translations


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files in the layout of the originals; the Hindi one lacks two lines, and it is not said which."""
    place = tmp_path / "translated_tweets"
    place.mkdir()
    (place / IDS).write_text("\n".join(str(905952332923338752 + k) for k in range(6)) + "\n")
    for language, file in FILES.items():
        lines = [f"{language} {k} #Harvey, à 5 km 日本" for k in range(4 if language == "hi" else 6)]
        (place / file).write_text("\n".join(lines) + ("\n" if language != "zh" else ""), encoding="utf-8")
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    return place


def test_line_by_line(folder: Path) -> None:
    texts = read_translations("fr")
    assert texts["905952332923338755"] == "fr 3 #Harvey, à 5 km 日本"
    assert list(texts) == list(read_translations("zh", folder))
    assert count_lines() == {"ids": 6, "es": 6, "pt": 6, "fr": 6, "zh": 6, "hi": 4}


def test_a_file_with_other_lines_than_ids_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"hindi_translation.txt has 4 lines for 6 tweet ids.*leave the language out"):
        read_translations("hi")
    file = folder / FILES["es"]
    file.write_text(file.read_text(encoding="utf-8").replace("es 2", "\nes 2"), encoding="utf-8")
    with pytest.raises(ValueError, match="has 7 lines for 6"):
        read_translations("es")


def test_an_empty_line_is_a_line(folder: Path) -> None:
    file = folder / FILES["pt"]
    lines = file.read_text(encoding="utf-8").split("\n")
    file.write_text("\n".join([*lines[:2], "", *lines[3:]]), encoding="utf-8")
    with pytest.warns(UserWarning, match="portuguese_translation.txt has nothing in line 3: compare"):
        assert read_translations("pt")["905952332923338754"] == ""


def test_bad_ids_and_unknown_languages_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="no file of translations into 'spanish'"):
        read_translations("spanish")
    ids = (folder / IDS).read_text()
    (folder / IDS).write_text(ids.replace("905952332923338753", "905952332923338752"))
    with pytest.raises(ValueError, match="holds a tweet id twice"):
        read_translations("fr")
    (folder / IDS).write_text(ids.replace("905952332923338753", "9.05952e17"))
    with pytest.raises(ValueError, match=r"holds '9.05952e17', which is no tweet id"):
        read_translations("fr")


def test_missing_files_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="human-translated-eval-set"):
        read_translations("es")
    assert count_lines() == {}
