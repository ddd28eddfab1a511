"""Pictures with captions, as a text-to-image model is tuned on them: MEDVQA-GI, Kvasir-SEG, and a folder of one's own.

- **ImageCLEFmed MEDVQA-GI 2024** gives a table ``Prompt;Filename``, several prompts for a picture. Its files come from
  the organisers; the layout is read here.
- **Kvasir-SEG** (Jha et al. 2020) has no captions, but masks: number, size and place of the polyps are told in the
  words of that task. Shapes are not told, since no mask shows them.
- **A folder of one's own** needs a table ``captions.csv`` with the columns ``file`` and ``caption``.

A picture is made square: padded with black, as in the task's published solutions, or cut at its longer side.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmlab.data.files import registry
from mmlab.data.files.odd import tell_left_out
from mmlab.data.files.patterns import is_hidden, named_file
from mmlab.data.files.pictures import read_picture
from mmlab.data.files.tables import read_table
from mmlab.data.prompts import encode_prompts
from mmlab.data.tensors import TensorData
from mmlab.paths import expand
from mmlab.wording import few, naming, require_at_least

__all__ = ["Captioned", "captioned_folder", "kvasir_seg", "mask_prompt", "medvqa_gi", "square"]

Fit = Literal["pad", "cut"]
Part = Literal["train", "validation", "test"]

_REMEDY = "put the right file there (check: mmlab data verify kvasir_seg)."
_NUMBERS = {1: "one", 2: "two", 3: "three"}
_BOUNDS = {"small": 0.05, "medium": 0.15}
"""Largest share of the picture that a small and a medium polyp take. They are ours: the task's are not published."""


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pictures and what their captions say; a picture with several captions comes once for each.

    Attributes:
        pictures: (N, 3, S, S) float32 in [-1, 1]; each picture once.
        captions: M of them.
        rows: Which picture each caption is of, M numbers.
        names: Name of each picture, N of them.
        masks: (N, S, S) bool, where there are any.
    """

    pictures: Tensor
    captions: list[str]
    rows: list[int]
    names: list[str]
    masks: Tensor | None = None

    def data(self, tokenizer: Any) -> TensorData:
        """``image`` and ``input_ids``, one item for each caption.

        Args:
            tokenizer: That of the model; see :func:`mmlab.data.prompts.encode_prompts`.

        Raises:
            ValueError: If a caption is too long for it.
        """
        ids = encode_prompts(self.captions, tokenizer)
        return TensorData({"image": self.pictures[self.rows], "input_ids": ids}, [self.names[i] for i in self.rows])


def square(picture: Any, size: int, fit: Fit = "pad") -> Tensor:
    """A picture of any proportions as (3, size, size) in [-1, 1].

    Args:
        picture: File or image, see :func:`mmlab.data.files.pictures.read_picture`: grey becomes three equal colours,
            and what EXIF says of the rotation is carried out.
        size: Side in pixels.
        fit: ``"pad"`` puts black beside the shorter side, ``"cut"`` cuts the longer one.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no picture, or damaged, or another argument is out of its range.
    """
    from PIL import Image, ImageOps

    _check(size, fit)
    image = read_picture(picture)
    how = ImageOps.pad if fit == "pad" else ImageOps.fit
    small = how(image, (size, size), method=Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1


def captioned_folder(folder: str | Path, size: int = 256, fit: Fit = "pad") -> Captioned:
    """A folder of one's own: pictures, and ``captions.csv`` with the columns ``file`` and ``caption``.

    Args:
        folder: The folder; the files are named as they lie in it.
        size: Side of the pictures in pixels.
        fit: See :func:`square`.

    Raises:
        FileNotFoundError: If the table is not there.
        ValueError: If the table or a picture is not as it should be, or a picture is not there; the sentence names it.
    """
    place = expand(folder, "folder")
    table = place / "captions.csv"
    if not table.is_file():
        raise FileNotFoundError(f"There is no {table}: write a table with the columns file and caption.")
    columns = read_table(table, {"file": "U", "caption": "U"}, "correct it.")
    rows = _read(table, place, columns["file"], columns["caption"], size, fit)
    if rows.odd:
        told = f"{table}: {len(rows.odd)} of {len(columns['file'])} rows cannot be read: {few(rows.odd, '; ')}"
        raise ValueError(f"{told}. Correct them, or take them out.")
    return _captioned(rows)


def medvqa_gi(size: int = 256, fit: Fit = "pad", folder: str | Path | None = None) -> Captioned:
    """The prompts and pictures of ImageCLEFmed MEDVQA-GI 2024.

    Args:
        size: Side of the pictures in pixels.
        fit: See :func:`square`.
        folder: With one table ``*.csv`` (``Prompt;Filename``) and the pictures, in it or in ``images``. By default the
            folder ``medvqa_gi`` under ``MMLAB_DATA``.

    Raises:
        FileNotFoundError: If the table is not there; the message says how to get it.
        ValueError: If the table is not as it should be, or no row of it can be read. Single rows whose picture is
            lacking or damaged, or whose caption is empty, are left out, with a warning that counts and names them.
    """
    place = registry.where("medvqa_gi") if folder is None else expand(folder, "folder")
    tables = sorted(path for path in place.glob("*.csv") if not is_hidden(Path(path.name)))
    if not tables:
        raise FileNotFoundError(f"There is no table *.csv in {place}: {registry.source('medvqa_gi').how_to_get}")
    if len(tables) > 1:
        raise ValueError(f"{place} holds several tables ({few([t.name for t in tables])}): leave the one to be read.")
    columns = read_table(tables[0], {"Prompt": "U", "Filename": "U"}, "its columns are Prompt;Filename.", ";")
    pictures = place / "images" if (place / "images").is_dir() else place
    rows = _read(tables[0], pictures, columns["Filename"], columns["Prompt"], size, fit)
    tell_left_out(tables[0], rows.odd, len(columns["Filename"]), "rows", registry.source("medvqa_gi").how_to_get)
    return _captioned(rows)


def kvasir_seg(size: int = 64, part: Part = "train") -> Captioned:
    """Kvasir-SEG, prepared: every picture with its mask, and a prompt from what the mask shows.

    Args:
        size: Side of the pictures in pixels; they come 352 x 352.
        part: ``"train"`` (800 pictures), ``"validation"`` or ``"test"`` (100 each).

    Raises:
        FileNotFoundError: If the prepared files are not there; the message says how to get them.
        ValueError: If a file or an argument is not as it should be.
    """
    arrays = registry.load_arrays("kvasir_seg", "kvasir_seg.npz")
    kinds = {"image": "i", "area_fraction": "f", "cx": "f", "cy": "f"}
    facts = registry.load_table("kvasir_seg", "polyp_facts.csv", kinds)
    if part not in get_args(Part):
        raise ValueError(f"part={part!r}: Kvasir-SEG has the parts {', '.join(get_args(Part))}.")
    path = registry.where("kvasir_seg") / "kvasir_seg.npz"
    chosen = np.flatnonzero(arrays["split_name"][arrays["split"]] == part).tolist()
    if not chosen:
        raise ValueError(f"{path} has no picture of the part {part}: {_REMEDY}")
    regions: dict[int, list[tuple[float, float, float]]] = {index: [] for index in chosen}
    for index, *region in zip(facts["image"], facts["area_fraction"], facts["cx"], facts["cy"], strict=True):
        if index in regions:
            regions[index].append((region[0], region[1], region[2]))
    with naming(path):
        pictures = torch.stack([square(_jpeg(arrays, index), size) for index in chosen])
    masks = np.unpackbits(arrays["mask_packed"][chosen], axis=-1)
    small = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks)[:, None].float(), size)[:, 0] > 0.5
    captions = [mask_prompt(regions[index]) for index in chosen]
    return Captioned(pictures, captions, list(range(len(chosen))), [str(index) for index in chosen], small)


def mask_prompt(regions: Sequence[tuple[float, float, float]]) -> str:
    """A prompt in the task's words from the regions of a mask.

    Args:
        regions: Share of the picture that each polyp takes, and its centre across and down, in [0, 1].
    """
    if not regions:
        return "Generate an image with no polyps."
    area = max(share for share, _, _ in regions)
    size = next((name for name, bound in _BOUNDS.items() if area <= bound), "large")
    if len(regions) > 1:
        return f"Generate an image with {_NUMBERS.get(len(regions), 'many')} {size} polyps."
    _, across, down = regions[0]
    if max(abs(across - 0.5), abs(down - 0.5)) < 1 / 6:
        place = "centre"
    else:
        place = f"{'upper' if down < 0.5 else 'lower'} {'left' if across < 0.5 else 'right'}"
    return f"Generate an image with one {size} polyp in the {place}."


def _jpeg(arrays: dict[str, NDArray[Any]], index: int) -> Any:
    from PIL import Image

    start, end = arrays["jpeg_offset"][index : index + 2]
    try:
        image = Image.open(BytesIO(arrays["jpeg"][start:end].tobytes()), formats=["JPEG"])
        image.load()
    except OSError:
        raise ValueError(f"picture {index} is no JPEG, or damaged: {_REMEDY}") from None
    return image


def _check(size: int, fit: Fit) -> None:
    require_at_least(size=(size, 1))
    if fit not in get_args(Fit):
        raise ValueError(f"There is no fit {fit!r}: choose pad or cut.")


class _Rows(NamedTuple):
    """Rows of a table that can be shown, their pictures by name, and what is wrong with the others."""

    kept: list[tuple[str, str]]
    pictures: dict[str, Tensor]
    odd: list[str]


def _read(table: Path, folder: Path, files: Sequence[str], captions: Sequence[str], size: int, fit: Fit) -> _Rows:
    _check(size, fit)
    if not files:
        raise ValueError(f"{table} has no rows.")
    pictures: dict[str, Tensor] = {}
    faults: dict[str, str] = {}
    for name in dict.fromkeys(files):
        try:
            pictures[name] = square(_inside(folder, name), size, fit)
        except (ValueError, FileNotFoundError) as error:
            faults[name] = str(error).rstrip(".")
    kept, odd = [], []
    for row, (name, text) in enumerate(zip(files, captions, strict=True), 2):
        if not text.strip():
            odd.append(f"row {row} has an empty caption")
        elif name in faults:
            odd.append(f"row {row}: {faults[name]}")
        else:
            kept.append((name, text))
    return _Rows(kept, pictures, odd)


def _inside(folder: Path, name: str) -> Path:
    """The picture that a table names.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it lies outside the folder.
    """
    root = folder.resolve()
    plain = posixpath.normpath(name.replace("\\", "/"))
    place = None if plain.startswith(("..", "/")) else named_file(root, name.strip())
    if plain.startswith(("..", "/")) or (place is not None and not place.resolve().is_relative_to(root)):
        raise ValueError(f"{name[:200]!r} lies outside {folder}: put the picture into it.")
    if place is None:
        raise FileNotFoundError(f"the picture {name[:200]!r} is not in {folder}.")
    return place


def _captioned(rows: _Rows) -> Captioned:
    names = list(dict.fromkeys(name for name, _ in rows.kept))
    place = {name: number for number, name in enumerate(names)}
    pictures = torch.stack([rows.pictures[name] for name in names])
    return Captioned(pictures, [text for _, text in rows.kept], [place[name] for name, _ in rows.kept], names)
