"""Pictures as people have them: upright, opaque, eight bits, harmless; and every refusal is one sentence."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmlab.data import conversations
from mmlab.data.files import pictures
from mmlab.data.files.pictures import read_picture

RAMP = np.linspace(0, 1, 400).reshape(20, 20)


def two_colours() -> Image.Image:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_upright(tmp_path: Path, kind: str, turn: int) -> None:
    """All eight orientations of EXIF, in every format that has it: what a viewer shows."""
    exif = Image.Exif()
    exif[0x0112] = turn
    image = two_colours()
    image.paste((0, 255, 0), (0, 0, 20, 10))
    image.save(tmp_path / "p", kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {"quality": 95}))
    with Image.open(tmp_path / "p") as opened:
        right = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    for found in (read_picture(tmp_path / "p"), read_picture(str(tmp_path / "p"))):
        assert np.array_equal(np.asarray(found), right)
        assert found.size == ((20, 40) if turn > 4 else (40, 20))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16", "F", "1"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("turn", [6, 8])
def test_tiff_of_every_mode_is_upright(tmp_path: Path, mode: str, compression: str | None, turn: int) -> None:
    """Pillow maps some of them into memory with their sides exchanged."""
    grey = Image.fromarray((RAMP[:3, :4] * 250).astype(np.uint8) * 9)
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turn
    image.save(tmp_path / "p.tif", exif=exif, **({"compression": compression} if compression else {}))
    expected = np.rot90(np.asarray(read_picture(image)), 3 if turn == 6 else 1)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "p.tif")), expected)
    with Image.open(tmp_path / "p.tif") as opened:
        assert np.array_equal(np.asarray(read_picture(opened)), expected)
        assert opened.filename == str(tmp_path / "p.tif")


def test_premultiplied_grey_is_read() -> None:
    assert np.asarray(read_picture(Image.merge("LA", (two_colours().convert("L"),) * 2).convert("La"))).any()


def test_damaged_exif_leaves_the_picture_as_it_is(tmp_path: Path) -> None:
    two_colours().save(tmp_path / "p.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=95)
    assert read_picture(tmp_path / "p.jpg").size == (40, 20)


DEEP = {
    "16 bits": ("PNG", (RAMP * 65535).astype(np.uint16), None),
    "16 bits, TIFF": ("TIFF", (RAMP * 65535).astype(np.uint16), None),
    "16 bits, big-endian": ("TIFF", (RAMP * 65535).astype(">u2"), "I;16B"),
    "32 bits, 16 in use": ("TIFF", (RAMP * 65535).astype(np.int32), None),
    "32 bits, 8 in use": ("TIFF", (RAMP * 255).astype(np.int32), None),
    "floats to 1": ("TIFF", RAMP.astype(np.float32), None),
    "floats to 255": ("TIFF", (RAMP * 255).astype(np.float32), None),
    "8 bits": ("BMP", (RAMP * 255).astype(np.uint8), None),
}


@pytest.mark.parametrize("title", DEEP)
def test_depth_is_scaled(tmp_path: Path, title: str) -> None:
    kind, values, mode = DEEP[title]
    image = Image.frombytes(mode, (20, 20), values.tobytes()) if mode else Image.fromarray(values)
    image.save(tmp_path / "p", kind)
    for given in (tmp_path / "p", image):
        found = np.asarray(read_picture(given)).astype(float) / 255
        assert np.abs(found - RAMP[..., None]).max() < 0.01


def test_single_bits_and_palettes_become_colours(tmp_path: Path) -> None:
    Image.fromarray(RAMP > 0.5).save(tmp_path / "bits.png")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "bits.png"))[..., 0] == 255, RAMP > 0.5)
    two_colours().quantize(2).save(tmp_path / "p.gif")
    assert np.array_equal(np.asarray(read_picture(tmp_path / "p.gif")), np.asarray(two_colours()))
    two_colours().convert("CMYK").save(tmp_path / "p.tif")
    assert np.asarray(read_picture(tmp_path / "p.tif"))[0, 0].tolist() == [255, 0, 0]


def transparent(mode: str, folder: Path) -> Path:
    """A picture whose left half is transparent and would be white, and whose right half is red or bright."""
    image = Image.new("RGBA", (4, 2), (255, 255, 255, 0))
    image.paste((250, 0, 0, 255), (2, 0, 4, 2))
    path = folder / "p.png"
    if mode == "RGBA":
        image.save(path)
    elif mode == "LA":
        image.convert("LA").save(path)
    elif mode == "P":
        palette = Image.new("P", (4, 2), 0)
        palette.putpalette([255, 255, 255, 250, 0, 0])
        palette.paste(1, (2, 0, 4, 2))
        palette.save(path, transparency=0)
    elif mode == "GIF":
        image.save(path, "GIF")
    elif mode == "RGB":
        image.convert("RGB").save(path, transparency=(255, 255, 255))
    elif mode == "L":
        Image.fromarray(np.array([[255, 255, 60, 60]] * 2, np.uint8)).save(path, transparency=255)
    else:
        deep = Image.fromarray(np.array([[65535, 65535, 9000, 9000]] * 2, np.uint16))
        deep.save(path, transparency=65535)
    return path


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "GIF", "RGB", "L", "I;16"])
@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (10, 20, 30)])
def test_what_is_transparent_shows_the_background(tmp_path: Path, mode: str, background: tuple[int, int, int]) -> None:
    found = np.asarray(read_picture(transparent(mode, tmp_path), background))
    assert found[0, 0].tolist() == list(background)
    assert found[0, 3].tolist() not in ([255, 255, 255], list(background))


def test_half_transparent_is_half_background() -> None:
    glass = Image.new("RGBA", (1, 1), (200, 0, 0, 128))
    assert np.asarray(read_picture(glass, (0, 0, 200)))[0, 0].tolist() == pytest.approx([100, 0, 100], abs=1)


def test_the_first_of_several_frames_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        frames[0].save(tmp_path / "p", kind, save_all=True, append_images=frames[1:])
        assert np.asarray(read_picture(tmp_path / "p"))[0, 0].tolist() == pytest.approx([250, 0, 0], abs=6)
    frames[0].save(tmp_path / "p.jpg", "MPO", save_all=True, append_images=frames[1:])  # what some telephones write
    assert np.asarray(read_picture(tmp_path / "p.jpg"))[0, 0].tolist() == pytest.approx([250, 0, 0], abs=6)


def bomb(side: int) -> bytes:
    """A small PNG of one bit a pixel that says it is large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" * (1 + (side + 7) // 8)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row * side, 9)) + chunk(b"IEND", b"")


def test_bombs_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(bomb(13_300))
    code = (
        "import resource, sys\nfrom mmlab.data.files.pictures import read_picture\nfrom PIL import Image\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        "try:\n    read_picture(sys.argv[1])\nexcept ValueError as error:\n    print(error)\n"
        "print((peak() - before) // 1000)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "p.png")]
    said, megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "p.png says 13300 x 13300 pixels in" in said
    with pytest.raises(ValueError, match=r"has 9000 x 8000 pixels, more than the 67,108,864 allowed: make it smaller"):
        read_picture(Image.new("1", (9000, 8000)))
    Image.fromarray(np.random.default_rng(0).random((2500, 2500)) > 0.5).save(tmp_path / "scan.png")
    assert read_picture(tmp_path / "scan.png").size == (2500, 2500)
    assert int(megabytes) < 60


def test_large_files_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "LARGEST_FILE", 10)
    two_colours().save(tmp_path / "p.png")
    with pytest.raises(ValueError, match=r"p\.png has \d+ bytes, more than 10: make the picture smaller"):
        read_picture(tmp_path / "p.png")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript under any name, from a file or an image that somebody opened: Ghostscript does not run."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("gs", "gswin32c"):
        (programs / name).write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    for name in ("p.png", "p.eps", "p.jpg"):
        (tmp_path / name).write_bytes(EPS)
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a picture: it is PostScript: convert it"):
            read_picture(tmp_path / name)
        with Image.open(tmp_path / name) as opened, pytest.raises(ValueError, match="EPS, of which mmlab does not"):
            read_picture(opened)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty: get the file again"),
        (b"<!DOCTYPE html><html>login</html>", "it is a web page, perhaps of an error or a login"),
        (b"\n <html>", "it is a web page"),
        (b"%PDF-1.7", "it is a PDF: convert the page to PNG"),
        (b"\0\0\0\x18ftypheic\0\0", "it is HEIC or a film: convert the picture to JPEG"),
        (b"\0\0\0\x18ftypavif\0\0", "it is AVIF: convert it to PNG"),
        (b'<?xml version="1.0"?><svg/>', "it is SVG or other XML: convert it to PNG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is the pointer of Git LFS: run `git lfs pull`"),
        (b"nothing known", "it is none of PNG, JPEG, WEBP, GIF, BMP, TIFF, or damaged"),
    ],
)
def test_refusals_say_what_it_is(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "p.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"p\.png cannot be read as a picture: {sentence}"):
        read_picture(tmp_path / "p.png")


def test_other_refusals(tmp_path: Path) -> None:
    two_colours().save(tmp_path / "p.png")
    whole = (tmp_path / "p.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.png cannot be read as a picture, it is damaged .*get it again"):
        read_picture(tmp_path / "half.png")
    with Image.open(tmp_path / "half.png") as opened, pytest.raises(ValueError, match=r"half\.png cannot be read"):
        read_picture(opened)
    for values in (RAMP - 0.5, RAMP * 1000, RAMP * np.nan):
        with pytest.raises(ValueError, match=r"The image holds values from .*scale them"):
            read_picture(Image.fromarray(values.astype(np.float32)))
    with pytest.raises(ValueError, match="neither 8 nor 16 bits"):
        read_picture(Image.fromarray(np.full((2, 2), 70_000, np.int32)))
    for name in ("absent.png", "x" * 5000, "."):
        with pytest.raises(FileNotFoundError, match="There is no picture"):
            read_picture(tmp_path / name)
    with pytest.raises(ValueError, match="zero byte"):
        read_picture(str(tmp_path / "a\0b"))
    with pytest.raises(TypeError, match="not a list"):
        read_picture([1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "DDS", "SPIDER", "JPEG2000", "TGA"]
)
def test_damage_of_every_format_is_one_sentence(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    Image.new("L" if kind == "SPIDER" else "RGB", (24, 24)).save(stream, kind)
    rng = random.Random(0)
    path = tmp_path / "p.png"
    for _ in range(150):
        content = bytearray(stream.getvalue())
        for _ in range(rng.choice((1, 1, 4))):
            content[rng.randrange(min(200, len(content)))] = rng.choice((0, 255, 1, 127, 32))
        path.write_bytes(content)
        sentence, found = "", None
        try:
            found = read_picture(path)
        except ValueError as error:
            sentence = str(error)
        if found is None:
            assert str(path) in sentence
            assert len(sentence) < 700
        else:
            assert kind in pictures.FORMATS
            assert found.mode == "RGB"


def test_conversations_read_pictures_here(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    two_colours().save(tmp_path / "p.jpg", exif=exif, quality=95)
    seen = (conversations.read_picture(tmp_path / "p.jpg", 8) + 1) / 2
    assert seen[0, 0].mean() > 0.8
    assert seen[2, -1].mean() > 0.8
