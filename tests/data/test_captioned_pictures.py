"""Pictures with captions from three layouts, and what is wrong with them when something is."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmlab.data.prompts import prompt_tokenizer
from mmlab.data.sets.captioned_pictures import captioned_folder, kvasir_seg, mask_prompt, medvqa_gi, square


def _picture(path: Path, width: int = 20, height: int = 10, mode: str = "RGB", **how: object) -> None:
    values = np.full((height, width, 3), (200, 100, 50), np.uint8)
    Image.fromarray(values).convert(mode).save(path, **how)  # type: ignore[arg-type]


def test_the_table_of_the_task_is_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        _picture(tmp_path / "images" / name)
    rows = ["Prompt;Filename", "Generate an image containing a polyp;a.jpg", "no polyps, no text;b.jpg", "two;a.jpg"]
    (tmp_path / "dev.csv").write_text("\n".join(rows))
    (tmp_path / "._dev.csv").write_bytes(b"\0\5\x16\7")  # what macOS leaves beside it
    found = medvqa_gi(16, folder=tmp_path)
    assert found.names == ["a.jpg", "b.jpg"]
    assert found.captions[1] == "no polyps, no text"
    assert found.rows == [0, 1, 0]
    data = found.data(prompt_tokenizer(found.captions, 10))
    assert len(data) == 3
    assert data[2]["image"].shape == (3, 16, 16)
    assert data.subjects == ["a.jpg", "b.jpg", "a.jpg"]


def test_single_odd_rows_of_a_published_table_are_left_out_and_named(tmp_path: Path) -> None:
    _picture(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"damaged")
    rows = ["Prompt;Filename", "one;a.jpg", "two;b.jpg", "three;c.jpg", " ;a.jpg", "four;../a.jpg", "five;a.jpg"]
    (tmp_path / "dev.csv").write_text("\n".join(rows))
    told = (
        r"4 of 6 rows are left out: row 3: .*b.jpg cannot be read.*; row 4: .*'c.jpg' is not in .*; row 5 .* and 1 more"
    )
    with pytest.warns(UserWarning, match=told):
        found = medvqa_gi(8, folder=tmp_path)
    assert (found.captions, found.rows, found.names) == (["one", "five"], [0, 0], ["a.jpg"])
    (tmp_path / "dev.csv").write_text("Prompt;Filename\ntwo;b.jpg\n")
    with pytest.raises(ValueError, match=r"dev\.csv, row 2: .*; none of the rows can be read: .*organisers"):
        medvqa_gi(8, folder=tmp_path)
    for size, fit, sentence in ((0, "pad", "size=0 is too small"), (8, "stretch", "no fit 'stretch'")):
        with pytest.raises(ValueError, match=f"^(There is )?{sentence}"):
            medvqa_gi(size, fit, folder=tmp_path)  # type: ignore[arg-type]


def test_any_picture_becomes_a_square(tmp_path: Path) -> None:
    _picture(tmp_path / "wide.png", 21, 7)
    padded, cut = square(tmp_path / "wide.png", 12), square(tmp_path / "wide.png", 12, "cut")
    assert torch.equal(padded[:, 0], torch.full((3, 12), -1.0))
    torch.testing.assert_close(cut, torch.tensor([200, 100, 50]).view(3, 1, 1).expand(3, 12, 12) / 127.5 - 1)
    _picture(tmp_path / "grey.png", mode="L")
    grey = square(tmp_path / "grey.png", 8, "cut")
    assert torch.equal(grey[0], grey[2])
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    _picture(tmp_path / "turned.jpg", 20, 10, exif=exif)
    turned = square(tmp_path / "turned.jpg", 20)
    assert (turned[:, :, 0] < -0.9).all()  # black beside it: it is upright


def test_a_folder_of_ones_own_and_what_can_be_wrong_with_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="write a table with the columns file and caption"):
        captioned_folder(tmp_path)
    table = tmp_path / "captions.csv"
    _picture(tmp_path / "a.png")
    table.write_text('file,caption\na.png,"one polyp, small"\n')
    assert captioned_folder(tmp_path, 8).captions == ["one polyp, small"]
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    wrong = {
        "file,caption\n": (ValueError, "no rows"),
        "file,caption\na.png, \n": (ValueError, "row 2"),
        "file,caption\nb.png,x\n": (ValueError, r"row 2: the picture 'b\.png' is not in"),
        "file,caption\n../a.png,x\n": (ValueError, "outside"),
        "file,caption\ndamaged.jpg,x\n": (ValueError, r"damaged\.jpg"),
        "name,caption\na.png,x\n": (ValueError, "'file'"),
    }
    for text, (kind, message) in wrong.items():
        table.write_text(text)
        with pytest.raises(kind, match=message):
            captioned_folder(tmp_path, 8)


def test_missing_files_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="organisers"):
        medvqa_gi()
    with pytest.raises(FileNotFoundError, match="kvasir"):
        kvasir_seg()
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("Prompt;Filename\n")
    with pytest.raises(ValueError, match="several tables"):
        medvqa_gi(folder=tmp_path)


def test_prompts_from_masks() -> None:
    assert mask_prompt([]) == "Generate an image with no polyps."
    assert mask_prompt([(0.02, 0.2, 0.8)]) == "Generate an image with one small polyp in the lower left."
    assert mask_prompt([(0.3, 0.55, 0.45)]) == "Generate an image with one large polyp in the centre."
    assert mask_prompt([(0.02, 0.2, 0.8), (0.1, 0.5, 0.5)]) == "Generate an image with two medium polyps."
    assert mask_prompt([(0.02, 0.2, 0.8)] * 5) == "Generate an image with many small polyps."


@pytest.mark.skipif(
    not (Path(os.environ.get("MMLAB_DATA", "/nowhere")) / "kvasir_seg" / "kvasir_seg.npz").is_file(),
    reason="Kvasir-SEG is not there",
)
def test_real_pictures_agree_with_their_prompts() -> None:
    found = kvasir_seg(32, "test")
    assert found.pictures.shape == (100, 3, 32, 32)
    assert found.masks is not None
    middle = torch.arange(32) + 0.5
    for mask, caption in zip(found.masks, found.captions, strict=True):
        if caption.endswith("lower left."):
            down, across = (mask.float().sum(axis) @ middle / mask.sum() for axis in (1, 0))
            assert down > 15
            assert across < 17
    with pytest.raises(ValueError, match="train, validation, test"):
        kvasir_seg(32, "all")  # type: ignore[arg-type]
