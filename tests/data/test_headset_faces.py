"""The reader of HEADSET's cut-out faces: what stands in the table arrives, masks exactly, and people stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmlab.data.sets.headset_faces import headset_faces

HEAD = "subject,emotion,headset,picture,depth,mask"


def folder(place: Path, people: int = 5) -> list[str]:
    """Faces of some people, with and without a headset; the rows of the table."""
    rng = np.random.default_rng(0)
    rows = []
    for person in range(people):
        for headset in (0, 1):
            name = f"p{person}_{headset}"
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(place / f"{name}.png")
            np.save(place / f"{name}.npy", rng.random((32, 32)).astype(np.float32))
            mask = np.zeros((32, 32), np.uint8)
            mask[4:17] = 255
            Image.fromarray(mask).save(place / "mask.png")
            emotion = ("happy", "sad")[person % 2]
            rows.append(f"p{person},{emotion},{headset},{name}.png,{name}.npy,{'mask.png' * headset}")
    (place / "manifest.csv").write_text("\n".join([HEAD, *rows]) + "\n")
    return rows


def test_rows_arrive_masks_are_exact_and_nobody_is_in_two_parts(tmp_path: Path) -> None:
    folder(tmp_path)
    made = headset_faces(tmp_path)
    parts = [made.train, made.validation, made.test]
    assert [len(part) for part in parts if part is not None] == [6, 2, 2]
    people = [set(part.subjects or []) for part in parts if part is not None]
    assert sum(len(group) for group in people) == len(set().union(*people))
    for item, who in zip(made.train, made.train.subjects or [], strict=True):
        rows = item["picture_hidden"][0].all(1)
        assert torch.equal(item["picture_hidden"], item["depth_hidden"])
        assert torch.equal(item["picture_hidden"][0].any(1), rows), "whole rows"
        # Rows 4 to 16 of 32 are white: of 16 rows these touch 2 to 8, the last one by half.
        assert rows.nonzero()[:, 0].tolist() == (list(range(2, 9)) if item["headset"] else [])
        name = f"{who}_{int(item['headset'])}"
        depth = np.load(tmp_path / f"{name}.npy").reshape(16, 2, 16, 2).mean((1, 3))
        np.testing.assert_allclose(item["depth"][0], depth, rtol=1e-5)
        assert int(item["label"]) == int(str(who)[1:]) % 2


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("p0,sad,1,p0_1.png,p0_1.npy,", "row 2 has a headset and no mask: name a picture"),
        ("p0,sad,2,p0_1.png,p0_1.npy,", "row 2: headset is 2"),
        ("p0,sad,0,none.png,p0_1.npy,", "row 2: there is no file 'none.png'"),
        ("p0,sad,0,../p.png,p0_1.npy,", "row 2: there is no file"),
        ("p0,sad,0,p0_1.png,small.npy,", r"row 2: picture \(32, 32\) and depth \(4, 4\) differ"),
        ("p0,sad,1,p0_1.png,p0_1.npy,small.png", r"row 2: picture \(32, 32\) and mask \(4, 4\) differ"),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path: Path, row: str, sentence: str) -> None:
    rows = folder(tmp_path)
    np.save(tmp_path / "small.npy", np.zeros((4, 4), np.float32))
    Image.new("L", (4, 4)).save(tmp_path / "small.png")
    (tmp_path / "manifest.csv").write_text("\n".join([HEAD, row, *rows]) + "\n")
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        headset_faces(tmp_path)


def test_too_few_people_and_an_absent_table_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="The authors give access"):
        headset_faces()
    folder(tmp_path, 2)
    with pytest.raises(ValueError, match="names 2 people"):
        headset_faces(tmp_path)
    folder(tmp_path, 5)
    with pytest.raises(ValueError, match="leave nobody of 5 people"):
        headset_faces(tmp_path, shares=(0.6, 0.4))
