"""The competition's file: what is written comes back, and what would not work, or would tell, is refused."""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

import pytest
from arena_world import SYSTEMS, small

from mmlab.arena.competition import Answer, Item, Scale, read_competition
from mmlab.arena.pictures import render

GOOD = """
title = "Words"
question = "Which is better?"
ends = 2030-01-31T18:00:00+01:00

[[scales]]
name = "correct"
label = "Is it correct?"

[[items]]
id = "one"
text = "A question"
[items.answers]
mine = "Good"
other = { text = "Bad" }
"""


def test_what_is_written_comes_back(tmp_path):
    made = small(tmp_path, ends=datetime(2030, 1, 1, tzinfo=UTC))
    awkward = Item("odd", Answer('"quotes" \\ and\nlines \x7f 🙂'), {name: Answer("=x") for name in SYSTEMS})
    made = dataclasses.replace(made, items=[*made.items, awkward])
    back = read_competition(made.write(tmp_path / "c.toml"))
    assert back == made
    assert back.fingerprint() == made.fingerprint()
    assert dataclasses.replace(back, question="Else?").fingerprint() != made.fingerprint()
    assert back.systems == sorted(SYSTEMS)


def test_a_file_by_hand_is_read(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(GOOD)
    found = read_competition(path)
    assert found.ends is not None
    assert found.items[0].answers["other"] == Answer("Bad")
    assert found.scales == [Scale("correct", "Is it correct?")]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('title = "Words"', 'title = "Is \uff4d\u200bine better?"', "says 'mine', the name of a system"),
        ('{ text = "Bad" }', '"Bad"\n' + "\n".join(f's{n} = "x{n}"' for n in range(60)), "in 1,891 ways: lower shown"),
        ('title = "Words"', "title = " + "[" * 5000 + "]" * 5000, "no TOML .*recursion"),
        ('title = "Words"', "", "lacks title"),
        ('title = "Words"', 'titel = "Words"', "did you mean 'title'"),
        ('title = "Words"', "title = 3", "title is 3, and must be a text"),
        ('title = "Words"', 'title = "Is mine better?"', "says 'mine', the name of a system"),
        ('"Good"', '"I am Mine."', "says 'mine', the name of a system"),
        ('"Good"', '""', "is empty"),
        ('other = { text = "Bad" }', "", "has 1 answers"),
        ('{ text = "Bad" }', '{ words = "Bad" }', "not known"),
        ('{ text = "Bad" }', '{ image = "none.png", alt = "x" }', "there is no file"),
        ('{ text = "Bad" }', "7", "neither a text nor a table"),
        ('id = "one"', 'id = "../one"', "has the id"),
        ('id = "one"', 'id = "one"\nattention = "third"', "has no answer 'third'"),
        ('id = "one"', 'id = "one"\nattention = "mine"', "not for attention"),
        ("+01:00", "", "without a time zone"),
        ('label = "Is it correct?"', "", "lacks label"),
        ('label = "Is it correct?"', 'label = "Correct?"\npoints = 99', "from 2 to 10 points"),
        ('question = "Which', 'shown = 9\nquestion = "Which', "from 2 to 6"),
        ('question = "Which', 'rounds = true\nquestion = "Which', "rounds is True"),
        ("[[items]]", "[[items", "no TOML"),
        ("2030-01-31T18:00:00+01:00", "2030-01-31", "a time with its zone, as 2027"),
        ("2030-01-31T18:00:00+01:00", "0001-01-01T00:00:00+14:00", "of no year of ours"),
        ('{ text = "Bad" }', '{ image = "a\\u0000.png", alt = "x" }', "a zero byte"),
        ('{ text = "Bad" }', f'{{ image = "{"a" * 300}", alt = "x" }}', "300 bytes"),
        ('{ text = "Bad" }', '"Bad"\n"Zo\u00eb" = "x"\n"Zoe\u0308" = "y"', "two systems have one name"),
        ('{ text = "Bad" }', '"Bad"\nOther = "x"', "'Other' and 'other' have almost one name"),
    ],
)
def test_what_would_not_work_is_told(tmp_path, old, new, why):
    assert old in GOOD
    (tmp_path / "c.toml").write_text(GOOD.replace(old, new))
    with pytest.raises((ValueError, FileNotFoundError), match=why):
        read_competition(tmp_path / "c.toml")


def test_a_picture_needs_words_and_must_be_one(tmp_path):
    (tmp_path / "x.png").write_bytes(b"<svg onload=alert(1)>")
    (tmp_path / "c.toml").write_text(GOOD.replace('{ text = "Bad" }', '{ image = "x.png" }'))
    with pytest.raises(ValueError, match="without alt"):
        read_competition(tmp_path / "c.toml")
    (tmp_path / "c.toml").write_text(GOOD.replace('{ text = "Bad" }', '{ image = "x.png", alt = "x" }'))
    with pytest.raises(ValueError, match=r"x\.png cannot be read as a picture: it is SVG"):
        render(read_competition(tmp_path / "c.toml"))
    (tmp_path / "c.toml").write_text(GOOD.replace('{ text = "Bad" }', '{ matrix = "x.png", alt = "x" }'))
    with pytest.raises(ValueError, match=r"x\.png is of an unknown kind"):
        render(read_competition(tmp_path / "c.toml"))


def test_pictures_lose_what_their_files_tell(tmp_path):
    """Metadata, format and size of the file say where a picture is from; the pixels alone are shown."""
    found = render(small(tmp_path))
    assert SYSTEMS[0].encode() in (tmp_path / "red.png").read_bytes()
    assert len(found) == 4
    assert not any(name.encode() in content for content in found.values() for name in SYSTEMS)
    assert all(content.startswith(b"\x89PNG") for content in found.values())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_editor_may_mark_its_encoding(tmp_path, encoding):
    (tmp_path / "c.toml").write_text(GOOD, encoding)
    assert read_competition(tmp_path / "c.toml").title == "Words"


def test_a_picture_is_read_as_everywhere(tmp_path):
    """Upright, on white, and no bomb: by the reader that every picture goes through."""
    from PIL import Image

    clear = Image.new("RGBA", (20, 30), (255, 0, 0, 0))
    exif = clear.getexif()
    exif[0x0112] = 6  # turned by a quarter
    clear.save(tmp_path / "x.png", exif=exif)
    (tmp_path / "c.toml").write_text(GOOD.replace('{ text = "Bad" }', '{ image = "x.png", alt = "x" }'))
    (content,) = render(read_competition(tmp_path / "c.toml")).values()
    shown = Image.open(io.BytesIO(content))
    assert (shown.size, shown.getpixel((3, 3))) == ((30, 20), (255, 255, 255))
    Image.new("1", (9000, 9000)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png"):
        render(read_competition(tmp_path / "c.toml"))


def test_pictures_are_found_in_the_home_folder_and_under_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PICTURES", str(tmp_path))
    (tmp_path / "m.csv").write_text("1,0\n0,1\n")
    (tmp_path / "here").mkdir()
    for name in ("~/m.csv", "$PICTURES/m.csv", "../m.csv"):
        text = GOOD.replace('{ text = "Bad" }', f'{{ matrix = "{name}", alt = "x" }}')
        (tmp_path / "here" / "c.toml").write_text(text)
        assert len(render(read_competition(tmp_path / "here" / "c.toml"))) == 1


def test_names_are_one_in_both_spellings(tmp_path):
    text = GOOD.replace("other =", '"Zo\u00eb" =')
    second = text[text.index("[[items]]") :].replace('"one"', '"two"').replace('"Zo\u00eb"', '"Zoe\u0308 "')
    (tmp_path / "c.toml").write_text(text + second, encoding="utf-8")
    assert read_competition(tmp_path / "c.toml").systems == ["Zo\u00eb", "mine"]


def test_a_file_of_somebody_else_is_not_written_over(tmp_path):
    made = small(tmp_path)
    (tmp_path / "c.toml").write_text("mine = true\n")
    with pytest.raises(FileExistsError, match="something else"):
        made.write(tmp_path / "c.toml")
    assert (tmp_path / "c.toml").read_text() == "mine = true\n"
    with pytest.raises(ValueError, match=r"written as \.toml"):
        made.write(tmp_path / "notes.txt")
    made.write(tmp_path / "own.toml")
    assert read_competition(made.write(tmp_path / "own.toml")) == made


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="Run a competition"):
        read_competition(tmp_path / "none.toml")
