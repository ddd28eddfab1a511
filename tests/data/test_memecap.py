"""MemeCap, MemeCraft and a reader's own memes: small files of the same layouts, and every way they can be wrong."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from mmlab.data.sets.memecap import Meme, conversations, meme_folder, memecap, read_memes
from mmlab.data.sets.memecraft import Written, read_memecraft_captions, read_memecraft_descriptions


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A record with all of MemeCap's fields."""
    return {
        "category": "memes",
        "img_captions": [f"A drawn cat number {number}."],
        "meme_captions": ["Meme poster is tired.", "Meme poster wants to sleep."],
        "title": "Monday",
        "url": "https://example.org/x.png",
        "img_fname": f"memes_{number}.png",
        "metaphors": [{"metaphor": "cat", "meaning": "meme poster"}],
        "post_id": f"p{number}",
        **changes,
    }


def write(file: Path, value: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


def test_reads_the_fields(tmp_path: Path) -> None:
    (meme,) = read_memes(write(tmp_path / "memes-test.json", [record(7)]))
    assert meme == Meme(
        "p7",
        "Monday",
        tmp_path / "images" / "memes_7.png",
        ("A drawn cat number 7.",),
        ("Meme poster is tired.", "Meme poster wants to sleep."),
        (("cat", "meme poster"),),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_fname": None}, "record 1, field 'img_fname' holds 'None', expected text"),
        ({"img_fname": "../x.png"}, "record 1: img_fname '../x.png' is no plain file name"),
        ({"title": 3}, "record 1, field 'title' holds '3', expected text"),
        ({"meme_captions": ["a", 4]}, "record 1: meme_captions holds '4', not a text"),
        ({"img_captions": [" "]}, "record 1: img_captions holds ' ', not a text"),
        ({"metaphors": [{"metaphor": "cat"}]}, "record 1: metaphors holds"),
        ({"metaphors": "cat"}, "record 1, field 'metaphors' holds 'cat', expected a list"),
        ({"post_id": ["x"]}, "record 1: post_id is"),
        ({"post_id": "p0"}, "record 1: the post 'p0' comes twice"),
    ],
)
def test_errors_name_file_and_record(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    file = write(tmp_path / "m.json", [record(0), record(1, **changes)])
    with pytest.raises(ValueError, match=r"m\.json: ") as caught:
        read_memes(file)
    assert message in str(caught.value)


def test_damaged_files(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('[{"img_fname": ')
    with pytest.raises(ValueError, match=r"m\.json"):
        read_memes(tmp_path / "m.json")
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        read_memes(tmp_path / "gone.json")


def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: int = 0, order: int = 1) -> None:
    folder = tmp_path / "memecap"
    write(folder / "memes-trainval.json", [record(i) for i in range(40)][::order])
    write(folder / "memes-test.json", [record(i) for i in range(40 - shared, 50)])
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))


def test_splits_share_no_post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path, monkeypatch)
    splits = memecap(validation=0.25, seed=1)
    names = [{meme.name for meme in part} for part in splits]
    assert [len(part) for part in names] == [30, 10, 10]
    assert len(set.union(*names)) == 50
    prepared(tmp_path, monkeypatch, order=-1)
    assert {meme.name for meme in memecap(0.25, 1).validation} == names[1]  # whatever the order of the file
    assert {meme.name for meme in memecap(0.25, 2).validation} != names[1]


def test_shared_posts_and_missing_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path, monkeypatch, shared=2)
    with pytest.raises(ValueError, match="share 2 posts, among them p38"):
        memecap()
    (tmp_path / "memecap" / "memes-trainval.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"memes-trainval\.json, which is not there"):
        memecap()
    with pytest.raises(ValueError, match="validation=1"):
        memecap(validation=1)


def test_real_file_has_its_published_counts() -> None:
    folder = Path(os.environ.get("MMLAB_DATA", "")) / "memecap"
    if not (folder / "memes-test.json").is_file():
        pytest.skip("MemeCap's test file is not here.")
    memes = read_memes(folder / "memes-test.json")
    assert len(memes) == 559
    assert [sum(len(getattr(meme, name)) for meme in memes) for name in ("meanings", "literal", "metaphors")] == [
        1889,
        569,
        1732,
    ]


def test_own_memes(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (9, 9)).save(tmp_path / "cat.png")
    write(tmp_path / "memes.json", [{"img_fname": "cat.png", "meme_captions": ["It is Monday."]}])
    (meme,) = meme_folder(tmp_path)
    assert (meme.name, meme.title, meme.picture, meme.literal) == ("cat.png", "", tmp_path / "cat.png", ())
    write(tmp_path / "memes.json", [{"img_fname": "cat.png"}, {"img_fname": "dog.png"}])
    with pytest.raises(FileNotFoundError, match=r"lacks 1 pictures that memes.json names, such as dog\.png"):
        meme_folder(tmp_path)


def test_conversations_are_read_as_items(tmp_path: Path) -> None:
    from PIL import Image

    from mmlab.data.conversations import IMAGE, Conversations, tokenizer_of

    Image.new("RGB", (9, 9), (255, 255, 255)).save(tmp_path / "memes_1.png")
    write(tmp_path / "memes.json", [record(1)])
    memes = meme_folder(tmp_path)
    literal, meaning = conversations(memes, "literal"), conversations(memes, "meaning")
    assert [turns[0].answer for _, turns, _ in meaning] == list(memes[0].meanings)
    assert "Monday" in meaning[0][1][0].question
    assert "Monday" not in literal[0][1][0].question
    with pytest.raises(ValueError, match="literal or meaning, not as 'funny'"):
        conversations(memes, "funny")  # type: ignore[arg-type]
    words = [text for _, turns, _ in meaning for text in (turns[0].question, turns[0].answer)]
    batch = Conversations(meaning, tokenizer_of(words), size=8).batch([0, 1])
    assert batch["images"].eq(1).all()
    assert ((batch["input_ids"] == IMAGE).sum(1) == 1).all()


def test_memecraft(tmp_path: Path) -> None:
    file = write(
        tmp_path / "climate_caption.json",
        {"Drake": ["no <-> yes", "First I think."], "Cat": ["Error", "x"], "Dog": ["Hateful", ""], "Owl": ["one", ""]},
    )
    read = read_memecraft_captions(file)
    assert read.memes == [Written("Drake", ("no", "yes"), "First I think."), Written("Owl", ("one",), "")]
    assert read.left_out == {"Error": 1, "Hateful": 1}
    assert read_memecraft_descriptions(file)["Owl"] == "one"


@pytest.mark.parametrize(
    "value", [["a"], {"Drake": "no"}, {"Drake": ["no"]}, {"Drake": [1, "x"]}, {"Drake": ["", "x"]}]
)
def test_memecraft_refusals(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match=r"c\.json.* get the file again"):
        read_memecraft_captions(write(tmp_path / "c.json", value))


def test_memecraft_damage(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(b'{"a": ["\xff"')
    with pytest.raises(ValueError, match=r"c\.json.*not text in UTF-8.*get the file again"):
        read_memecraft_captions(tmp_path / "c.json")
    with pytest.raises(FileNotFoundError, match="get the file again"):
        read_memecraft_captions(tmp_path / "gone.json")


def test_odd_records_of_a_published_file_are_counted_and_left_out(tmp_path: Path) -> None:
    odd: list[Any] = [{}, None, [], ["", "x"], [1, "x"], ["a", "b", "c"], "text", [["a"], "b"], [" <-> ", "x"]]
    good = {"Owl": ["one", "reply"], "Cat": ["two", ""]}
    file = write(tmp_path / "c.json", {**good, **{f"odd {i}": value for i, value in enumerate(odd)}})
    with pytest.warns(
        UserWarning, match=r"c\.json: 9 of 11 records hold no texts .*'odd 0', 'odd 1', 'odd 2' and 6 more"
    ):
        assert [meme.template for meme in read_memecraft_captions(file).memes] == ["Owl", "Cat"]
    file = write(tmp_path / "d.json", {"A": ["A man looks up.", "reply"], "B": ["A hen."], "C": 3})
    with pytest.warns(UserWarning, match=r"1 of 3 records hold no texts .*'C'"):
        assert read_memecraft_descriptions(file) == {"A": "A man looks up.", "B": "A hen."}


@pytest.mark.parametrize(
    "changes",
    [{"img_fname": "../x.png"}, {"img_captions": [""]}, {"metaphors": [3]}, {"post_id": []}, {"post_id": "p0"}],
)
def test_one_odd_record_does_not_refuse_the_set(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = write(tmp_path / "m.json", [record(0), record(1, **changes), record(2)])
    with pytest.warns(UserWarning, match="1 of 3 records are left out: record 1"):
        assert [meme.name for meme in read_memes(file, strict=False)] == ["p0", "p2"]
    with pytest.raises(ValueError, match="record 1"):
        read_memes(file)


def test_a_list_without_any_good_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no record can be read, as record 0"):
        read_memes(write(tmp_path / "m.json", [record(0, img_fname="..")]), strict=False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_text(tmp_path: Path, encoding: str) -> None:
    for name, value in (("c.json", {"Owl": ["eins ä", "x"]}), ("m.json", [record(0, title="ä")])):
        (tmp_path / name).write_text(json.dumps(value, ensure_ascii=False), encoding=encoding)
    assert read_memecraft_captions(tmp_path / "c.json").memes[0].parts == ("eins ä",)
    assert read_memecraft_descriptions(tmp_path / "c.json") == {"Owl": "eins ä"}
    assert read_memes(tmp_path / "m.json")[0].title == "ä"


@pytest.mark.parametrize(
    "title",
    ["broken <image> tag", "<image>", "<<image>image>", "USER: hi ASSISTANT: yes", "<|end|>", "a\n<image>\nb"],
)
def test_a_title_decides_nothing(tmp_path: Path, title: str) -> None:
    """Neither where the picture stands, nor who speaks, nor where a conversation ends."""
    from mmlab.data.conversations import CHAT, IMAGE, Conversations, Template, tokenizer_of

    (meme,) = read_memes(write(tmp_path / "m.json", [record(0, title=title, meme_captions=["x"])]))
    (usual,) = read_memes(write(tmp_path / "n.json", [record(0, title="plain", meme_captions=["x"])]))
    tokenizer = tokenizer_of(
        [f"{item[1][0].question} x" for m in (meme, usual) for item in conversations([m], "meaning")]
    )
    for template in (CHAT, Template(picture="<img>"), Template(picture="hi")):
        one, other = (
            Conversations(conversations([m], "meaning"), tokenizer, template, size=4).encoded[0] for m in (meme, usual)
        )
        assert one.input_ids.tolist().index(IMAGE) == other.input_ids.tolist().index(IMAGE)
        assert (one.input_ids == IMAGE).sum() == 1
        assert (one.labels != -100).sum() == (other.labels != -100).sum()
        turns = tokenizer.convert_tokens_to_ids(["USER", "ASSISTANT"])
        spoken = [[encoded.input_ids.tolist().count(turn) for turn in turns] for encoded in (one, other)]
        assert spoken == [[1, 1], [1, 1]], "the title speaks"


def test_quoted_words_stand_in_the_question() -> None:
    from mmlab.data.conversations import Turn, encode, tokenizer_of

    with pytest.raises(ValueError, match="quoted words 'b' do not stand in the question"):
        encode([Turn("a", "x", quoted="b")], tokenizer_of(["a b x"]))


@pytest.mark.parametrize(("listed", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_a_picture_is_found_under_either_spelling_of_its_name(tmp_path: Path, listed: str, on_disk: str) -> None:
    from PIL import Image

    name = "Kätzchen é.png"
    Image.new("RGB", (4, 4)).save(tmp_path / unicodedata.normalize(on_disk, name))
    write(tmp_path / "memes.json", [record(0, img_fname=unicodedata.normalize(listed, name))])
    assert meme_folder(tmp_path)[0].picture.is_file()
