"""A folder of somebody's own arrays as a dataset, and every refusal with a remedy that works."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from mmlab.data.connectome import ConnectomePairs, edges
from mmlab.data.files.own import FILE, own_folder
from mmlab.data.tensors import TensorData

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(7, 30, 5))
MATRICES = np.array([np.corrcoef(scan.T) for scan in SERIES])


def write(folder: Path, text: str, **arrays: np.ndarray) -> Path:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / FILE).write_text(text, encoding="utf-8")
    return folder


def test_plain_arrays(tmp_path: Path) -> None:
    image, label = RNG.normal(size=(7, 1, 4, 4)), np.arange(7) % 3
    text = (
        'title = "Mine"\nlicence = "not public"\nsubjects = "ids.txt"\n[arrays]\nimage = "image.npy"\nlabel = "y.csv"\n'
    )
    write(tmp_path, text, image=image)
    np.savetxt(tmp_path / "y.csv", label, fmt="%d")
    (tmp_path / "ids.txt").write_text("\ufeff" + "\n".join(f"{i}" for i in range(7)) + "\n", encoding="utf-8")
    found = own_folder(tmp_path)
    assert (found.title, found.licence, found.test, found.validation) == ("Mine", "not public", None, None)
    assert isinstance(found.train, TensorData)
    assert found.train.subjects == [f"{i}" for i in range(7)]
    assert found.train.tensors["image"].dtype == torch.float32
    assert torch.equal(found.train.tensors["label"], torch.from_numpy(label))
    assert found.train.tensors["label"].dtype == torch.int64


def test_parts_of_ones_own(tmp_path: Path) -> None:
    text = '[arrays]\nx = "x.npy"\n[test]\nx = "t.npy"\n[validation]\nx = "v.npy"\n'
    found = own_folder(write(tmp_path, text, x=np.zeros((5, 2)), t=np.ones((3, 2)), v=np.ones((2, 2))))
    assert found.test is not None
    assert found.validation is not None
    assert (len(found.train), len(found.validation), len(found.test)) == (5, 2, 3)
    assert found.title == tmp_path.name


@pytest.mark.parametrize("form", ["matrices", "edges"])
def test_connectomes_of_two_parcellations(tmp_path: Path, form: str) -> None:
    text = 'kind = "symmetric"\n[arrays]\nsource = "s.npy"\ntarget = "t.npy"\n'
    source, target = MATRICES[:, :4, :4] * 90, MATRICES
    given = {"s": source, "t": target}
    if form == "edges":
        given = {key: edges(torch.from_numpy(value)).numpy() for key, value in given.items()}
    found = own_folder(write(tmp_path, text, **given)).train
    assert isinstance(found, ConnectomePairs)
    assert (len(found.regions), len(found.target_regions)) == (4, 5)
    assert torch.equal(found.target, edges(torch.from_numpy(target)).float())
    assert torch.equal(found.source, edges(torch.from_numpy(source)).float())


def test_paths_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, '[arrays]\nx = "$FILES/x.npy"\n', x=np.zeros((5, 2)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FILES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for place in ("~", ".", "$FILES"):
        assert len(own_folder(place).train) == 5
        assert own_folder(place).title == tmp_path.name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[arrays", "is no TOML"),
        ("", "names no arrays: write them like"),
        ('[array]\nx = "x.npy"', "unknown entry 'array': did you mean 'arrays'"),
        ("[arrays]\nx = 1", "arrays must be a table of file names"),
        ('arrays = "x"', "arrays must be a table of file names"),
        ('subjects = 1\n[arrays]\nx = "x.npy"', "subjects must be a text"),
        ('kind = "any"\n[arrays]\nsource = "x.npy"\ntarget = "x.npy"', "no kind 'any': write correlation or symmetric"),
        ('kind = "correlation"\n[arrays]\nx = "x.npy"', "needs the arrays source and target"),
        ('kind = "correlation"\n[arrays]\nsource = "x.npy"\ntarget = "x.npy"', "2 edges are not the upper triangle"),
        ('kind = "correlation"\n[arrays]\nsource = "z3.npy"\ntarget = "z3.npy"', "beyond 1 .* apply tanh to Fisher z"),
        ('[arrays]\nx = "x.npy"\ny = "y.npy"', r"different numbers of rows \(x 5, y 4\)"),
        ('subjects = "x.csv"\n[arrays]\nx = "x.npy"', r"x\.csv: write one id a line"),
        ('[arrays]\nx = "$NOT_SET/x.npy"', r"data\.toml: x is '\$NOT_SET/x\.npy', but \$NOT_SET is not set"),
        ('subjects = "~nosuchuserhere/x"\n[arrays]\nx = "x.npy"', r"data\.toml: subjects is .* no such user"),
        ('[arrays]\nx = "o.npy"', "dtype object"),
        ('[arrays]\nx = "z.npy"', "is a single number"),
        ('[arrays]\nx = "n.npy"', "NaN or infinity"),
        ('[arrays]\nx = "x.npy"\n[test]\ny = "x.npy"', "the parts name other keys"),
    ],
)
def test_refusals(tmp_path: Path, text: str, sentence: str) -> None:
    write(
        tmp_path,
        text,
        x=np.zeros((5, 2)),
        y=np.zeros(4),
        z=np.array(1.0),
        n=np.array([np.nan, 1]),
        z3=np.full((5, 3), 1.5),
    )
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        own_folder(tmp_path)
    assert str(tmp_path) in str(caught.value) or "edges" in str(caught.value)


def test_the_example_in_the_message_works(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="write one that names the arrays, such as") as caught:
        own_folder(tmp_path)
    example = str(caught.value).partition("such as '")[2].removesuffix("'.").replace("\\n", "\n")
    assert tomllib.loads(example)
    assert len(own_folder(write(tmp_path, example, rest=np.zeros((4, 3)), motor=np.zeros((4, 3)))).train) == 4


def test_rows_and_columns_that_are_named_are_put_in_one_order(tmp_path: Path) -> None:
    text = '[arrays]\nsource = "s.csv"\nlabel = "y.tsv"\n[test]\nsource = "t.csv"\nlabel = "u.tsv"\n'
    (tmp_path / "s.csv").write_text("id,gene a,gene b\n101,1,2\n102,3,4\n103,5,6\n", encoding="utf-8")
    (tmp_path / "y.tsv").write_text("id\tlabel\r103.0\t2\r101.0\t0\r102.0\t1\r", encoding="utf-16")
    (tmp_path / "t.csv").write_text("id,gene b,gene a\n7,20,10\n9,40,30\n", encoding="utf-8")
    (tmp_path / "u.tsv").write_text("id\tlabel\n7\t0\n9\t1\n", encoding="utf-8")
    found = own_folder(write(tmp_path, text))
    assert found.test is not None
    assert found.train.subjects == ["101", "102", "103"]
    assert found.train.tensors["label"].tolist() == [0, 1, 2]
    assert found.train.tensors["source"].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert found.test.tensors["source"].tolist() == [[10, 20], [30, 40]]
    (tmp_path / "u.tsv").write_text("id\tlabel\n7\t0\n8\t1\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"label names its rows otherwise than .*source \('8' is there and '9' is not\)"
    ):
        own_folder(tmp_path)
    (tmp_path / "u.tsv").write_text("id\tlabel\n7\t0\n9\t1\n", encoding="utf-8")
    (tmp_path / "t.csv").write_text("id,gene b,gene c\n7,20,10\n9,40,30\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"source of test names its columns otherwise than .*'gene c' is there"):
        own_folder(tmp_path)


def test_a_list_of_ids_decides_the_order_of_named_rows(tmp_path: Path) -> None:
    text = 'subjects = "ids.txt"\n[arrays]\nx = "x.csv"\nz = "z.npy"\n'
    (tmp_path / "ids.txt").write_text("Zoe\u0308\nAda\n", encoding="utf-8")
    (tmp_path / "x.csv").write_text("Ada,1.5\nZo\u00eb,2.5\n", encoding="utf-8")
    found = own_folder(write(tmp_path, text, z=np.array([[7.0], [8.0]])))
    assert found.train.subjects == ["Zoë", "Ada"]
    assert found.train.tensors["x"].flatten().tolist() == [2.5, 1.5]
    assert found.train.tensors["z"].flatten().tolist() == [7.0, 8.0]
