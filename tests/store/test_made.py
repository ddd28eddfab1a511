"""Only what a marker says mmlab made is deleted, in one step."""

from __future__ import annotations

import shutil

import pytest

from mmlab.store import folders


def test_a_folder_that_is_half_deleted_does_not_pass_for_somebody_elses(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folders.take(folder)
    (folder / "a.html").write_text("a")
    known = shutil.rmtree

    def killed(path, **options):
        (path / folders.MADE).unlink()  # the marker goes first, and then comes the end
        raise KeyboardInterrupt

    monkeypatch.setattr(folders.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        folders.discard(folder)
    monkeypatch.setattr(folders.shutil, "rmtree", known)
    folders.refuse_foreign(folder)
    folders.take(folder)
    assert [path.name for path in folder.iterdir()] == [folders.MADE]


@pytest.mark.parametrize("marker", [None, "", "[]", '{"files": 3}', '{"made_of": 1}'])
@pytest.mark.parametrize("call", [folders.take, folders.discard, folders.refuse_foreign])
def test_what_has_no_marker_is_left_alone(tmp_path, call, marker):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "precious.txt").write_text("x")
    if marker is not None:
        (folder / folders.MADE).write_text(marker)
    with pytest.raises(folders.NotOursError, match="move it away"):
        call(folder)
    assert (folder / "precious.txt").read_text() == "x"


def test_what_was_put_into_a_sealed_folder_is_left_alone(tmp_path):
    folder = tmp_path / "site"
    folders.take(folder)
    (folder / "a.html").write_text("a")
    folders.seal(folder, "this")
    assert (folders.made_of(folder), folders.changed(folder)) == ("this", [])
    (folder / "CNAME").write_text("x")
    assert folders.changed(folder) == ["CNAME"]
    for call in (folders.take, folders.discard):
        with pytest.raises(folders.NotOursError, match="CNAME"):
            call(folder)
    (folder / "CNAME").unlink()
    folders.discard(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_looks_put_aside_is_left_alone(tmp_path):
    """A folder of somebody with nearly the name under which a save puts the old one aside."""
    own = [tmp_path / name for name in (".x.before", ".x.01234567.before.mine", ".xx.01234567.before", "x.before")]
    for folder in own:
        folder.mkdir()
        (folder / "precious.txt").write_text("x")
    for _ in range(2):
        with folders.replaced_folder(tmp_path / "x") as new:
            (new / "a").write_text("a")
    assert all((folder / "precious.txt").exists() for folder in own)
    assert {path.name for path in tmp_path.iterdir()} == {"x", *(folder.name for folder in own)}


def test_only_a_file_of_ours_is_written_over(tmp_path):
    file = tmp_path / "table.csv"
    folders.refuse_other_file(file, "a,b")
    for content in ("", "a,b\n1,2\n"):
        file.write_text(content)
        folders.refuse_other_file(file, "a,b")
    for content in ("a;b", "a", "\ufeffa,b"):
        file.write_text(content)
        with pytest.raises(folders.NotOursError, match="holds something else: move it away"):
            folders.refuse_other_file(file, "a,b")
    with pytest.raises(folders.NotOursError, match="is a folder"):
        folders.refuse_other_file(tmp_path, "a,b")


def test_pages_of_ones_own_stay(tmp_path):
    own, old, kept = (tmp_path / f"{name}.md" for name in ("own", "old", "kept"))
    own.write_bytes(b"# My notes \xff")
    old.write_text("mark: a method that is gone")
    assert folders.replace_pages({kept: "mark: new"}, tmp_path, "mark:") == [kept]
    assert folders.replace_pages({kept: "mark: new"}, tmp_path, "mark:") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.md", "own.md"]
