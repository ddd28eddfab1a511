"""A conversation: what is remembered, what is found or drawn, and the same in terminal and notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmlab.bases import colonoscopy, drawing_gill
from mmlab.command.cli import app
from mmlab.data.chat import tokenizer_of
from mmlab.methods.gill import GILL
from mmlab.nn.splicing import IMAGE
from mmlab.store.vector_index import VectorIndex
from mmlab.viz.talk import Talk, as_image, talk_box

WORDS = "red green blue cat dog bird tree house road sky"
PICTURE = torch.zeros(3, 16, 16)


def model() -> tuple[GILL, Any]:
    tokenizer = tokenizer_of([WORDS])
    config = GILL.demo()[0].config
    settings = {**config["language_model"], "vocab_size": len(tokenizer)}
    method = GILL.seeded(0, **{**config, "language_model": settings})
    return method.eval(), tokenizer


class Draws:
    """Stands for a pipeline: white where the first state is positive."""

    def set_progress_bar_config(self, disable: bool) -> None: ...

    def __call__(self, prompt_embeds: torch.Tensor, generator: Any, **how: Any) -> Any:
        images = torch.rand(len(prompt_embeds), 3, 16, 16, generator=generator)
        return type("Output", (), {"images": images})


def test_pictures_are_found_once_each_and_the_conversation_is_remembered() -> None:
    method, tokenizer = model()
    index = VectorIndex(np.eye(3, 8), ["a", "b", "c"])
    talk = Talk(method, tokenizer, index, {name: PICTURE + 0.1 * i for i, name in enumerate("abc")})
    names = []
    for _ in range(3):
        replies = talk.say("red cat", most_words=1, scale=1e5)
        assert [reply.kind for reply in replies] == ["found"]
        names.append(replies[0].text)
    assert sorted(names) == ["a", "b", "c"]
    assert talk.say("red cat", most_words=1, scale=1e5)[0].kind == "meant"  # nothing is left to find
    assert talk.ids.count(method.words) == 4
    talk.say(PICTURE, "blue dog", most_words=2)
    assert talk.ids.count(IMAGE) == len(talk.shown) == 1
    talk.forget()
    assert talk.ids == []
    assert talk.say("red cat", most_words=1, scale=1e5)[0].text == names[0]


def test_the_start_token_stands_once_before_the_first_words_and_behind_pictures_that_lead() -> None:
    method, tokenizer = model()
    start, cat = tokenizer.eos_token_id, tokenizer("cat", add_special_tokens=False)["input_ids"]
    begun = {
        (PICTURE,): [IMAGE, start],
        (PICTURE, "cat"): [IMAGE, start, *cat],
        ("cat", PICTURE): [start, *cat, IMAGE],
        (PICTURE, PICTURE, "cat", "cat"): [IMAGE, IMAGE, start, *cat, *cat],
    }
    talk = Talk(method, tokenizer)
    for parts, ids in begun.items():
        talk.forget()
        talk.say(*parts, most_words=1)
        assert talk.ids[: len(ids)] == ids
    said = len(talk.ids)
    talk.say("cat", most_words=1)
    assert talk.ids[said : said + len(cat)] == cat


def test_the_decision_model_chooses_between_finding_and_drawing() -> None:
    method, tokenizer = model()
    talk = Talk(method, tokenizer, VectorIndex(np.eye(2, 8)), {"0": PICTURE, "1": PICTURE}, Draws(), drawings=3)
    for wish, kind in ((0, "drawn"), (1, "found")):
        with torch.no_grad():
            method.decision[1].bias.copy_(torch.eye(2)[wish] * 100)
        talk.forget()
        (reply,) = talk.say("green tree", most_words=1, scale=1e5)
        assert reply.kind == kind
        assert reply.picture is not None
        assert reply.score is not None


def test_without_both_a_picture_is_only_meant_and_words_come_back() -> None:
    method, tokenizer = model()
    talk = Talk(method, tokenizer)
    replies = talk.say("red cat", most_words=4, min_words=3, scale=1e5)
    assert replies[-1].kind == "meant"
    assert all(reply.kind == "text" for reply in replies[:-1])


def test_what_cannot_be_read_is_not_remembered() -> None:
    method, tokenizer = model()
    talk = Talk(method, tokenizer)
    before = list(talk.ids)
    with pytest.raises(FileNotFoundError):
        talk.say("red cat", Path("no such picture.png"))
    assert talk.ids == before


def test_the_widget_answers_with_words_and_pictures() -> None:
    method, tokenizer = model()
    box = talk_box(Talk(method, tokenizer, VectorIndex(np.eye(1, 8)), {"0": PICTURE}), most_words=3)
    said, line, bar = box.children
    words, _, send = line.children
    words.value = "red <b> cat"
    send.click()
    assert "&lt;b&gt;" in said.children[0].value
    assert len(said.children) > 1
    assert words.value == ""
    assert bar.layout.visibility == "hidden"
    assert not send.disabled


def test_the_terminal_answers_and_writes_pictures_down(tmp_path: Path) -> None:
    method, tokenizer = model()
    with torch.no_grad():  # it always wants to show a picture
        method.image_embedding[0] = 0
    folder = tmp_path / "model"
    method.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    as_image(PICTURE).save(tmp_path / "seen.png")
    VectorIndex(np.eye(1, 8), [str(tmp_path / "seen.png")]).save(tmp_path / "index")
    lines = f"/picture {tmp_path / 'seen.png'}\nred cat\n/picture nothing.png\nblue\n/new\n/end\n"
    how = ["chat", str(folder), "--index", str(tmp_path / "index"), "--out", str(tmp_path / "out"), "--words", "3"]
    result = CliRunner().invoke(app, how, input=lines)
    assert result.exit_code == 0, result.output
    assert "nothing.png" in result.output
    empty = CliRunner().invoke(app, ["chat", str(tmp_path / "index")])
    assert "holds no tokenizer" in str(empty.exception)


def test_without_a_folder_the_small_model_draws_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method, tokenizer = model()
    said: list[list[int]] = []
    monkeypatch.setattr(drawing_gill, "drawing_gill", lambda: (method, None))
    monkeypatch.setattr(colonoscopy, "tokenizer", lambda: tokenizer)
    monkeypatch.setattr(drawing_gill, "small_pipeline", Draws)
    monkeypatch.setattr(drawing_gill, "fits_the_base", lambda model: model is method)
    write = method.generate

    def noted(batch: dict[str, torch.Tensor], **how: Any) -> torch.Tensor:
        said.append(batch["input_ids"][0].tolist())
        return write(batch, **how)

    monkeypatch.setattr(method, "generate", noted)
    how = ["chat", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, how, input="red cat\n/picture seen.png\nblue dog\n/end\n")
    assert result.exit_code == 0, result.output
    assert "reads no pictures" in result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["001.png", "002.png"]
    assert [len(ids) for ids in said] == [3, 3]  # start token and two words: nothing is remembered
    refused = CliRunner().invoke(app, ["chat", "--index", str(tmp_path)])
    assert "needs the folder" in str(refused.exception)


def test_a_picture_becomes_an_image() -> None:
    image = as_image(torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1).expand(3, 2, 2), 3)
    assert image.size == (6, 6)
    assert image.getpixel((0, 0)) == (0, 128, 255)
