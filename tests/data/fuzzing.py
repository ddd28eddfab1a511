"""Mutated input for every file loader: what each may do with it is raise a clear error or give a right answer.

``test_fuzz_loaders.py`` runs a few hundred mutations per loader, ``benchmarks/fuzz_loaders.py`` 10^4.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import lzma
import os
import pickle
import random
import shutil
import signal
import sys
import tarfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import torch
from torch import nn

from mmlab import Card, Method
from mmlab.data.connectome import read_matrix
from mmlab.data.files.archive import MANIFEST, Limits, extract
from mmlab.data.files.arrays import Array, read_array
from mmlab.data.files.numbers import read_grid
from mmlab.data.files.own import own_folder
from mmlab.data.files.registry import load_arrays
from mmlab.data.files.tables import read_records, read_table
from mmlab.data.sets.neuromatch_hcp import neuromatch_regions
from mmlab.data.sets.time_series_folder import read_time_series
from mmlab.train.checkpoint import Store

SECONDS = 5.0
"""A loader that takes longer on a file of a few kB hangs."""


@dataclass(frozen=True)
class Target:
    """A loader, a good file for it, and what is right.

    Attributes:
        file: Name of the file, relative to a folder.
        good: Its good content.
        read: Reads the file; raises ``ValueError`` or ``OSError`` with the file's name, or returns what ``check`` gets.
        check: Raises ``AssertionError`` if what was read cannot be right.
        wrap: Makes the file from the mutated bytes; how mutations get past checksums.
        others: Further good files that the loader needs.
    """

    file: str
    good: bytes
    read: Callable[[Path], Any]
    check: Callable[[Any], None]
    wrap: Callable[[bytes], bytes] = bytes
    others: dict[str, bytes] = field(default_factory=dict)


BYTES = bytes((0, 1, 9, 10, 32, 34, 44, 45, 48, 57, 91, 93, 123, 125, 127, 128, 255))
NUMBERS = (0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
DIGITS = (b"-1", b"0", b"1e999", b"99999999999999999999", b"nan", b"null", b"7")
PIECES = (b"{", b"[" * 2000, b'"', b",", b"\n", b"\x00", b"\xff\xfe", b"../", b"(" * 300)


def _bit(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    if at < len(data):
        data[at] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    data[at : at + 1] = bytes([rng.choice(BYTES)])


def _number(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    size = rng.choice((2, 4, 8))
    data[at : at + size] = (rng.choice(NUMBERS) % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))


def _end(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    del data[at:]


def _cut(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    del data[at : at + length]


def _double(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    data[at:at] = data[at : at + length]


def _move(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    piece = data[at : at + length]
    del data[at : at + length]
    to = rng.randrange(len(data) + 1)
    data[to:to] = piece


def _noise(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    data[at:at] = rng.randbytes(length)


def _zeros(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    data[at : at + length] = bytes(length)


def _digit(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """A number in text becomes another."""
    if digits := [i for i, byte in enumerate(data) if 48 <= byte <= 57]:
        at = rng.choice(digits)
        data[at : at + 1] = rng.choice(DIGITS)


def _piece(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    data[at:at] = rng.choice(PIECES)


def _mark(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """A byte order mark in front, or where two files were put together."""
    place = at if rng.random() < 0.2 else 0
    data[place:place] = rng.choice(MARKS)


def _encoded(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """The same text in another encoding, with its mark."""
    with contextlib.suppress(UnicodeDecodeError):
        data[:] = data.decode("utf-8").encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1")), "replace")


def _framed(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """A header, an index column, quotes, other marks or other ends of the lines, as programs write them."""
    lines = bytes(data).split(b"\n")
    change = rng.randrange(6)
    if change == 0:
        lines.insert(0, rng.choice((b"V1,M1,S1", b"V1\tM1", b",0,1,2", b'"","a","b"', b"0,1,2,3", b"# a b c")))
    elif change == 1:
        lines = [b"%d,%s" % (number, line) for number, line in enumerate(lines)]
    elif change == 2:
        lines = [line.replace(b",", rng.choice((b";", b"\t", b" ", b" , "))) for line in lines]
    elif change == 3:
        lines = [line.replace(b".", b",") for line in lines]
    elif change == 4:
        lines = [line + b"\r" for line in lines]
    else:
        lines = [b'"' + line.replace(b",", b'","') + b'"' if line else line for line in lines]
    data[:] = b"\n".join(lines)


def _companion(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """What is in the files that macOS, Git LFS, servers and spreadsheets leave under the name of another."""
    data[:] = rng.choice(COMPANIONS)


def _path(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """Names of members as programs write them, of the same length where that is possible."""
    for old, new in ((b"a.txt", b"./a.t"), (b"folder/", b"folder\\"), (b"folder/b", b"./older/")):
        if rng.random() < 0.5:
            data[:] = bytes(data).replace(old, new)


def _orientation(data: bytearray, at: int, length: int, rng: random.Random) -> None:
    """Rotation, depth, colour type and size in the headers of pictures."""
    if (start := data.find(b"IHDR")) >= 0:
        data[start + 12 : start + 14] = bytes((rng.choice((1, 2, 4, 8, 16)), rng.choice((0, 2, 3, 4, 6))))
        if rng.random() < 0.3:
            data[start + 4 : start + 12] = rng.choice(NUMBERS[:6]).to_bytes(4, "big") * 2
    elif (start := data.find(b"\x01\x12")) >= 0 or (start := data.find(b"\x12\x01")) >= 0:
        data[start + 8 : start + 10] = bytes((rng.randrange(256), rng.randrange(256)))


MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0")
COMPANIONS = (
    b"\0\5\x16\7\0\2\0\0Mac OS X        ", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    b"<!DOCTYPE html><html>login</html>", b"", b"\n", b"\xef\xbb\xbf", b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n", b"{}",
    b"[]", b"null", b"PK\5\6" + bytes(18), b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0" + bytes(8), b"\0\0\0\x18ftypheic",
)  # fmt: skip

CHANGES = (
    _bit, _byte, _number, _end, _cut, _double, _move, _noise, _zeros, _digit, _piece,
    _mark, _encoded, _framed, _companion, _path, _orientation,
)  # fmt: skip


def mutate(content: bytes, rng: random.Random) -> bytes:
    """A few random changes: bits, bytes, numbers, and pieces cut, doubled, moved or put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        length = min(rng.choice((1, 2, 4, 8, 64, 512)), len(data) - at)
        rng.choice(CHANGES)(data, at, length, rng)
    return bytes(data)


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Turn a hang into an error."""

    def stop(*_: object) -> None:
        raise TimeoutError("the loader hangs")

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def attack(target: Target, folder: Path, count: int, seed: int) -> Counter[str]:
    """Feed mutated files to a loader.

    Returns:
        How often it gave a right answer (``"right"``), refused (``"refused"``), or got an unchanged file (``"same"``).

    Raises:
        AssertionError: At the first crash, hang, wrong answer, or error that does not name the file.
    """
    outcomes: Counter[str] = Counter()
    for name, content in target.others.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    path = folder / target.file
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = random.Random(f"{target.file} {seed} {number}")
        content = mutate(target.good, rng)
        if content == target.good:
            outcomes["same"] += 1
            continue
        path.write_bytes(target.wrap(content))
        outcomes[_outcome(target, path, number)] += 1
    return outcomes


def _outcome(target: Target, path: Path, number: int) -> str:
    story = f"mutation {number} of {target.file}"
    try:
        with time_limit(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = target.read(path)
    except TimeoutError:
        raise AssertionError(f"{story}: hangs") from None
    except (ValueError, OSError) as error:
        if str(path.parent) not in str(error):
            raise AssertionError(f"{story}: the error does not name the file: {error!r}") from error
        if len(str(error)) > 1000:
            raise AssertionError(f"{story}: the error is no sentence: {str(error)[:300]!r}") from error
        return "refused"
    except BaseException as error:
        raise AssertionError(f"{story}: {type(error).__name__}: {error}") from error
    try:
        target.check(value)
    except AssertionError as error:
        raise AssertionError(f"{story}: wrong answer: {error}") from error
    return "right"


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def malicious(marker: Path) -> dict[str, bytes]:
    """Files that would make ``marker`` if they were unpickled: a pickle, an .npy, an .npz, and a file of torch.save."""
    array = io.BytesIO()
    np.save(array, np.array([_Trap(marker)], dtype=object), allow_pickle=True)
    checkpoint = io.BytesIO()
    torch.save({"w": _Trap(marker)}, checkpoint)
    archive = zipped(array.getvalue())
    return {
        "pickle": pickle.dumps(_Trap(marker)),
        "npy": array.getvalue(),
        "npz": archive,
        "torch": checkpoint.getvalue(),
    }


class Tiny(Method):
    """A method that is small enough to be saved and loaded thousands of times.

    Args:
        width: Number of outputs.
    """

    card: ClassVar[Card] = Card(name="Tiny", family="test", paper="none", summary="A test.", inputs=("x",))

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(3, width)


def npy(array: Any) -> bytes:
    """The array as the content of an ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def zipped(content: bytes, name: str = "x.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of one file, with the right checksum."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo(name), content, method)  # with a fixed date
    return stream.getvalue()


def tarred() -> bytes:
    """A tar archive of two files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
MEMBERS = {"a.txt": b"alpha " * 20, "folder/b.bin": bytes(range(100))}
MATRIX = np.corrcoef(np.random.default_rng(0).normal(size=(4, 30)))
COLUMNS = {"name": "U", "n": "i", "x": "f?"}
TABLE = b'name,n,x\n"a, b",1,0.5\nc,-2,\nd,3,1e-3\n'
FRAME = b'"frame","V1","M1","S1"\n1,0.5,-1e3,2.25\n2,1.5,3.0,0.125\n3,0.25,7.5,n/a\n'
OWN = {
    "own/data.toml": b'title = "t"\nsubjects = "ids.txt"\n[arrays]\nx = "x.npy"\nlabel = "y.csv"\n',
    "own/x.npy": npy(X),
    "own/y.csv": b"0\n1\n1\n",
    "own/ids.txt": b"1\n2\n3\n",
}
RECORDS = json.dumps([{"name": "a", "n": 1, "x": 0.5, "more": [True, None]}, {"name": "é", "n": -2, "x": 2}]).encode()


def _check_x(exact: bool) -> Callable[[Any], None]:
    def check(read: dict[str, Any]) -> None:
        x = read["x"]
        assert x.shape == (3, 4), x.shape
        assert x.dtype.kind == "f", x.dtype
        assert np.isfinite(x).all()
        assert not exact or np.array_equal(x, X)

    return check


def _check_table(read: Any) -> None:
    assert sorted(read) == sorted(COLUMNS)
    assert len({len(column) for column in read.values()}) == 1
    assert all(type(value) is int for value in read["n"])
    assert all(value is None or np.isfinite(value) for value in read["x"])


def _check_records(read: Any) -> None:
    for record in read:
        assert type(record["name"]) is str
        assert type(record["n"]) is int
        assert record["x"] is None or np.isfinite(record["x"])


def _check_grid(read: Any) -> None:
    assert read.values.ndim == 2
    assert read.values.dtype == np.float64
    assert read.columns is None or len(read.columns) == read.values.shape[1]
    assert read.rows is None or len(read.rows) == read.values.shape[0]


def _own(path: Path) -> Any:
    return own_folder(path.parent)


def _check_own(read: Any) -> None:
    assert all(bool(torch.isfinite(value.float()).all()) for value in read.train.tensors.values())
    assert len({len(value) for value in read.train.tensors.values()}) == 1
    assert read.train.subjects is None or len(read.train.subjects) == len(read.train)


def _check_matrix(read: Any) -> None:
    assert read.shape == (4, 4)
    assert torch.equal(read, read.T) or float((read - read.T).abs().max()) < 1e-3
    assert float(read.abs().max()) <= 1.001


def _extract(path: Path) -> list[Path]:
    folder = path.parent / "out"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with mock.patch("os.fsync"):  # what it guards against is not tried here, and it is slow
            extract(path, folder, Limits(members=20, total_bytes=10**6))
    except Exception:
        assert not folder.exists(), "an archive was unpacked in part"
        raise
    finally:
        outside = {p.name for p in path.parent.iterdir()} - {path.name, "out", ".mmlab"}
        assert not outside, f"files outside the folder: {outside}"
    return [file for file in folder.rglob("*") if file.is_file()]


def _check_members(exact: bool) -> Callable[[Any], None]:
    def check(files: list[Path]) -> None:
        content = [file.read_bytes() for file in files if file.name != MANIFEST]
        assert not exact or all(piece in MEMBERS.values() for piece in content)
        assert sum(map(len, content)) <= 10**6

    return check


def _check_tiny(method: Any) -> None:
    assert type(method) is Tiny
    assert method.layer.weight.shape == (2, 3)
    assert method.layer.bias.shape == (2,)
    assert method.layer.weight.dtype.is_floating_point


def _check_checkpoint(checkpoint: Any) -> None:
    assert checkpoint.about["step"] == 3
    assert torch.equal(checkpoint.tensors["model"]["w"], torch.arange(6.0).reshape(2, 3))


def targets(folder: Path) -> dict[str, Target]:
    """All loaders. ``folder`` is used to make the good files."""
    wanted = Array("f", (3, 4))

    def arrays(path: Path) -> Any:
        os.environ["MMLAB_DATA"] = str(path.parent.parent)
        return load_arrays("mnist", path.name, {"x": wanted})

    def array(path: Path) -> Any:
        return {"x": read_array(path, wanted)}

    stored = zipped(npy(X), method=zipfile.ZIP_STORED)
    text = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in X).encode()
    result = {
        "load_arrays, stored": Target("mnist/a.npz", stored, arrays, _check_x(exact=True)),
        "load_arrays, compressed": Target("mnist/b.npz", zipped(npy(X)), arrays, _check_x(exact=True)),
        "load_arrays, right checksums": Target("mnist/c.npz", npy(X), arrays, _check_x(exact=False), zipped),
        "read_array, .npy": Target("a.npy", npy(X), array, _check_x(exact=False)),
        "read_array, .txt": Target("a.txt", text, array, _check_x(exact=False)),
        "read_array, .csv": Target("a.csv", text.replace(b" ", b","), array, _check_x(exact=False)),
        "read_table, .csv": Target("t.csv", TABLE, lambda path: read_table(path, COLUMNS), _check_table),
        "read_table, .tsv": Target(
            "t.tsv",
            TABLE.replace(b'"a, b"', b"a b").replace(b",", b"\t"),
            lambda path: read_table(path, COLUMNS),
            _check_table,
        ),
        "read_records, .json": Target(
            "r.json", RECORDS, lambda path: read_records(path, {**COLUMNS, "x": "f?"}), _check_records
        ),
        "read_grid, .csv": Target("g.csv", FRAME, lambda path: read_grid(path, 3), _check_grid),
        "read_grid, .tsv": Target("g.tsv", FRAME.replace(b",", b"\t"), lambda path: read_grid(path, 3), _check_grid),
        "own_folder, data.toml": Target("own/data.toml", OWN["own/data.toml"], _own, _check_own, others=OWN),
        "own_folder, .csv": Target("own/y.csv", OWN["own/y.csv"], _own, _check_own, others=OWN),
        "own_folder, ids": Target("own/ids.txt", OWN["own/ids.txt"], _own, _check_own, others=OWN),
        "read_matrix, .npy": Target("m.npy", npy(MATRIX), lambda path: read_matrix(path, 4), _check_matrix),
        "read_matrix, .txt": Target(
            "m.txt",
            "\n".join(" ".join(f"{value!r}" for value in row) for row in MATRIX.tolist()).encode(),
            lambda path: read_matrix(path, 4),
            _check_matrix,
        ),
        "extract, .zip": Target("z.zip", zipped(MEMBERS["a.txt"], "a.txt"), _extract, _check_members(exact=True)),
        "extract, .tar": Target("z.tar", tarred(), _extract, _check_members(exact=False)),
        "extract, .tar.gz": Target("z.tar.gz", gzip.compress(tarred(), mtime=0), _extract, _check_members(exact=True)),
        "extract, .tar.xz": Target("z.tar.xz", lzma.compress(tarred()), _extract, _check_members(exact=True)),
    }
    from fuzz_arena import arena_targets  # they take Target from here
    from fuzz_fusion import fusion_targets
    from fuzz_language import language_targets

    return {
        **result,
        **_scan_targets(folder),
        **_saved_targets(folder),
        **_adapter_targets(folder),
        **_audit_targets(),
        **arena_targets(folder),
        **fusion_targets(folder),
        **language_targets(),
    }


def _scan_targets(folder: Path) -> dict[str, Target]:
    """Time series, as the loaders of functional connectivity read them."""
    import nibabel
    from nibabel.cifti2 import cifti2_axes as axes

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # it tells of each oddity that it repairs
    series = np.random.default_rng(0).normal(size=(6, 3))
    vertices = {"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([0, 1])}
    none = np.zeros((0, 3), dtype=int)
    parcels = axes.ParcelsAxis(
        ["a", "b", "c"], [none] * 3, [vertices, {}, {}], nvertices={"CIFTI_STRUCTURE_CORTEX_LEFT": 10}
    )
    image = nibabel.Cifti2Image(series.astype(np.float32), (axes.SeriesAxis(0, 1, 6), parcels))
    image.to_filename(folder / "s.ptseries.nii")
    names = npy(np.array([["V1", "Visual1", "1"], ["V2", "Visual2", "2"], ["V3", "Visual2", "3"]]))

    def check_series(read: Any) -> None:
        assert read.shape[1] == 3, read.shape
        assert read.dtype == np.float64
        assert np.isfinite(read).all()

    def check_regions(read: Any) -> None:
        assert len(read.names) == len(read.networks)
        assert all(type(name) is str for name in (*read.names, *read.networks))

    def read_series(path: Path) -> Any:
        return read_time_series(path, 3)

    nii = (folder / "s.ptseries.nii").read_bytes()
    return {
        "read_time_series, .npy": Target("s.npy", npy(series), read_series, check_series),
        "read_time_series, .ptseries.nii": Target("s.ptseries.nii", nii, read_series, check_series),
        "neuromatch_regions": Target(
            "hcp_task/regions.npy", names, lambda path: neuromatch_regions(path.parents[1]), check_regions
        ),
    }


def _saved_targets(folder: Path) -> dict[str, Target]:
    torch.manual_seed(0)
    Tiny().save_pretrained(folder / "tiny")
    store = Store(folder / "run")
    store.save({"model": {"w": torch.arange(6.0).reshape(2, 3)}}, {"step": 3})
    store.wait()
    result = {}
    places = {
        "from_pretrained": ("tiny", lambda path: Tiny.from_pretrained(path.parent), _check_tiny),
        "checkpoint": ("run", lambda path: Store(_run(path)).read(), _check_checkpoint),
    }
    for title, (place, read, check) in places.items():
        good = {
            file.relative_to(folder).as_posix(): file.read_bytes()
            for file in sorted((folder / place).rglob("*"))
            if file.is_file() and file.name != "README.md"
        }
        for name, content in good.items():
            others = {other: more for other, more in good.items() if other != name}
            result[f"{title}, {Path(name).name}"] = Target(name, content, read, check, others=others)
    return result


def _adapter_targets(folder: Path) -> dict[str, Target]:
    """Adapters of LoRA, as peft writes them."""
    from peft import LoraConfig, get_peft_model

    from mmlab.store.adapters import load_adapter, save_adapter

    def base() -> nn.Module:
        torch.manual_seed(0)
        return Tiny()

    tuned: Any = get_peft_model
    save_adapter(tuned(base(), LoraConfig(r=2, target_modules=["layer"])), folder / "adapter")
    good = {f"adapter/{file.name}": file.read_bytes() for file in (folder / "adapter").glob("adapter_*")}
    x = torch.ones(1, 3)

    def check(read: Any) -> None:
        assert read.peft_config["default"].r == 2
        assert read.base_model.model.layer(x).shape == (1, 2)

    return {
        f"load_adapter, {Path(name).name}": Target(
            name, content, lambda path: load_adapter(base(), path.parent), check,
            others={other: more for other, more in good.items() if other != name},
        )
        for name, content in good.items()
    }  # fmt: skip


def _audit_targets() -> dict[str, Target]:
    """Tables beside pictures, as the search for leaks reads them."""
    from mmlab.compare.audit import read_items

    def check(read: Any) -> None:
        assert read
        assert all(type(part) is str for item in read for part in (item.name, item.subject, item.caption))

    table = 'file_name,subject_id,caption\nx.png,7,"a, b"\n,8,\u0930\u093e\u092e\n'.encode()
    lines = b'{"text": "a b", "patient": 7}\n{"text": "c", "patient": "8"}\n'
    return {
        "read_items, .csv": Target("set/t.csv", table, lambda path: read_items(path.parent), check),
        "read_items, .jsonl": Target("set/t.jsonl", lines, lambda path: read_items(path.parent), check),
    }


def _run(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "run")


if sys.platform == "win32":  # no alarms there
    time_limit = contextlib.nullcontext  # type: ignore[assignment]
