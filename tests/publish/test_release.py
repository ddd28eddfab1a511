"""A release: the same bytes twice, nothing missing, nothing changed, and a chapter of it runs again on its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile

import pytest
from typer.testing import CliRunner

import mmlab
from mmlab.command.cli import app
from mmlab.publish import SiteError, execute, release
from mmlab.publish.rebuild import Rebuilt, rebuild, unpack
from mmlab.publish.release import CHECKSUMS, MANIFEST, ReleaseError
from mmlab.publish.run import cache, key
from mmlab.store.folders import MADE, changed, seal, sealed

NAME = f"mmlab-{mmlab.__version__}"


CHAPTER = """\
# %% [markdown]
# # One

# %%
import os
from mmlab.viz import record

# %%
record(answer=42.0, named={"a": [1, 2.5]}, word="yes", home=os.path.expanduser("~/x"))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A book of one chapter that has run, with its own copy of the package, and with a site."""
    folder = tmp_path_factory.mktemp("released")
    for name, text in {
        "_config.yml": "repository:\n  url: https://example.org/someone/book\n",
        "_toc.yml": "format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/one\n",
        "lock/cpu.txt": "torch==1\n",
        "book/intro.md": "# Hello\n",
        "book/.draft.md": "hidden\n",
        "notebooks/one.py": CHAPTER,
        "stray.txt": "no part of the book\n",
        **{f"out/site/{page}.html": f"<html>{page}</html>" for page in ("index", "book/intro", "notebooks/one")},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    shutil.copytree(key.PACKAGE, folder / "mmlab", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    seal(folder / "out" / "site", "as built")
    execute("one", root=folder)
    return folder


@pytest.fixture
def built(ran, tmp_path, monkeypatch):
    """A copy of that book. The renderer has tests of its own."""
    monkeypatch.setattr(release, "build", lambda profile, out, root: root / out / "site" / "index.html")
    return shutil.copytree(ran, tmp_path / "book")


def members(archive):
    with tarfile.open(archive) as opened:
        return {m.name.removeprefix(f"{NAME}/"): opened.extractfile(m).read() for m in opened.getmembers()}


def repack(archive, change):
    """Write the archive again with other members: name to content."""
    held = members(archive)
    change(held)
    with tarfile.open(archive, mode="w:gz") as opened:
        for name, content in held.items():
            member = tarfile.TarInfo(f"{NAME}/{name}")
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))


def test_it_holds_what_a_page_takes_and_is_the_same_twice(built):
    archive = release.release(root=built)
    assert archive == built / "dist" / f"{NAME}.tar.gz"
    first = archive.read_bytes()
    held = members(archive)
    assert {
        "_config.yml",
        "_toc.yml",
        "lock/cpu.txt",
        "book/intro.md",
        "notebooks/one.py",
        "mmlab/viz/__init__.py",
        "out/cpu/one.ipynb",
        "out/cpu/one.receipt.json",
        "out/site/index.html",
        "out/site/notebooks/one.html",
        f"out/site/{MADE}",
        MANIFEST,
        CHECKSUMS,
    } <= set(held)
    assert not [name for name in held if "__pycache__" in name or "draft" in name or "stray" in name]
    assert json.loads(held["out/cpu/one.receipt.json"])["metrics"]["home"] == "~/x"
    sums = dict(reversed(line.split("  ")) for line in held[CHECKSUMS].decode().splitlines())
    assert sums == {n: hashlib.sha256(content).hexdigest() for n, content in held.items() if n != CHECKSUMS}
    manifest = json.loads(held[MANIFEST])
    assert manifest["pages"] == ["book/intro", "notebooks/one"]
    assert manifest["chapters"]["one"]["output"] == hashlib.sha256(held["out/cpu/one.ipynb"]).hexdigest()
    beside = archive.with_name(f"{archive.name}.sha256").read_text()
    assert beside == f"{hashlib.sha256(first).hexdigest()}  {archive.name}\n"

    for path in built.rglob("*"):  # other times and rights, other order of creation, same files
        os.utime(path, (1e9, 1e9))
    (built / "notebooks" / "one.py").chmod(0o755)
    shutil.copy(built / "_toc.yml", built / "new")
    (built / "new").replace(built / "_toc.yml")
    assert release.release(root=built).read_bytes() == first
    assert sorted(path.name for path in archive.parent.iterdir()) == [archive.name, f"{archive.name}.sha256"]


def test_what_cannot_be_released_leaves_no_archive(built, monkeypatch):
    target = cache.Target(built / "out" / "cpu", "one")
    target.notebook.write_text(target.notebook.read_text().replace("42", "43"))
    with pytest.raises(ReleaseError, match=r"one\.ipynb is not the notebook of its receipt"):
        release.release(root=built)
    execute("one", root=built)

    def stale(*arguments, **options):
        raise SiteError("The chapter 'one' has no fresh outputs.")

    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr(release, "_add", full)
    with pytest.raises(OSError, match="No space"):
        release.release(root=built)
    monkeypatch.setattr(release, "build", stale)
    with pytest.raises(SiteError):
        release.release(root=built)
    assert list((built / "dist").iterdir()) == []


@pytest.mark.parametrize(
    "stray",
    [
        "notebooks/token.txt",
        "book/private.key",
        "mmlab/data/patients.csv",
        "tests/.env",
        "lock/cpu.txt.orig",
        "book/_static/scan.nii.gz",
        "notebooks/second.py",
    ],
)
def test_what_git_does_not_track_is_not_released(built, stray):
    (built / stray).parent.mkdir(parents=True, exist_ok=True)
    (built / stray).write_text("hunter2 is the word")
    (built / "outside.txt").write_text("hunter2 is the word")
    (built / "book" / "link.md").symlink_to(built / "outside.txt")
    subprocess.run(["git", "add", "book/link.md"], cwd=built, check=True)
    assert b"hunter2 is" not in b"".join(members(release.release(root=built)).values())


def test_a_release_is_made_of_a_checkout_or_of_a_release(built, tmp_path):
    archive = release.release(root=built)
    root = unpack(archive, tmp_path / "there")
    (root / "notebooks" / "token.txt").write_text("hunter2 is the word")
    assert sealed(root / "out" / "site")
    assert changed(root / "out" / "site") == []
    assert members(release.release(root=root)) == members(archive)
    shutil.rmtree(built / ".git")
    with pytest.raises(ReleaseError, match="is no checkout"):
        release.release(root=built)
    subprocess.run(["git", "init", "-q"], cwd=built, check=True)
    with pytest.raises(ReleaseError, match=r"git does not know notebooks/one\.py: `git add` it"):
        release.release(root=built)


def forge(site):
    page = site / "notebooks" / "one.html"
    page.write_text(page.read_text() + "The answer is 0.99.")


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (forge, "notebooks/one.html"),
        (lambda site: (site / "book" / "intro.html").unlink(), "book/intro.html"),
        (lambda site: (site / "evil.js").write_text("alert(1)"), "evil.js"),
        (lambda site: (site / ".hidden.js").write_text("alert(1)"), ".hidden.js"),
        (lambda site: (site / "more.html").symlink_to("index.html"), "more.html"),
        (lambda site: (site / MADE).unlink(), "no list of its files"),
        (lambda site: (site / MADE).write_text("[]"), "no list of its files"),
    ],
)
def test_a_site_that_is_not_as_it_was_built_is_not_released(built, harm, named):
    harm(built / "out" / "site")
    with pytest.raises(ReleaseError, match=rf"is not as it was built \({named}"):
        release.release(root=built)
    assert not list((built / "dist").glob("*")) if (built / "dist").exists() else True


def test_a_page_that_changes_while_it_is_packed_is_noticed(built, monkeypatch):
    known = release._add

    def add(archive, name, content):
        if name.endswith("one.py"):
            forge(built / "out" / "site")
        known(archive, name, content)

    monkeypatch.setattr(release, "_add", add)
    with pytest.raises(ReleaseError, match=r"one\.html changed while it was packed"):
        release.release(root=built)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda held: held.update({"out/site/index.html": b"other"}), "out/site/index.html is changed"),
        (lambda held: held.pop("lock/cpu.txt"), "lock/cpu.txt is missing"),
        (lambda held: held.update({"mmlab/extra.py": b""}), "mmlab/extra.py is not listed"),
        (lambda held: held.pop(CHECKSUMS), "no folder with SHA256SUMS"),
        (lambda held: held.update({CHECKSUMS: b"nonsense\n"}), "a line that is no checksum"),
    ],
)
def test_an_archive_that_is_not_as_released_is_refused(built, tmp_path, change, told):
    archive = release.release(root=built)
    repack(archive, change)
    with pytest.raises(ReleaseError, match=told):
        unpack(archive, tmp_path / "there")


def test_an_archive_cannot_write_elsewhere(built, tmp_path):
    archive = release.release(root=built)
    repack(archive, lambda held: held.update({"../../outside": b"x"}))
    with pytest.raises(ValueError, match="not one inside the folder"):
        unpack(archive, tmp_path / "there" / "deep")
    assert not list(tmp_path.rglob("outside"))


def test_a_chapter_runs_again_from_the_archive_alone(built, tmp_path):
    archive = release.release(root=built).rename(tmp_path / f"{NAME}.tar.gz")
    shutil.rmtree(built)
    if shutil.which("sha256sum"):  # the listing is in its format
        with tarfile.open(archive) as opened:
            opened.extractall(tmp_path / "plain", filter="data")
        subprocess.run(["sha256sum", "--quiet", "-c", CHECKSUMS], cwd=tmp_path / "plain" / NAME, check=True)
    found = rebuild(archive, None, tmp_path / "there")
    assert found.changed == ""
    assert found.metrics == {
        "answer": (42.0, 42.0),
        "named.a[0]": (1, 1),
        "named.a[1]": (2.5, 2.5),
        "word": ("yes", "yes"),
        "home": ("~/x", "~/x"),
    }
    assert found.differing == []
    assert json.loads(found.notebook.read_text())["cells"][-1]["execution_count"] == 3
    # The code that ran is that of the archive: its modules, by content, are in the key.
    repack(archive, spoil)
    done = CliRunner().invoke(app, ["book", "rebuild", str(archive), "one", "--into", str(tmp_path / "there")])
    assert done.exit_code == 1, done.output
    assert "inputs differ: modules: mmlab.viz.display" in done.output
    assert "answer: 42.0 as released, 43.0 now" in done.output
    assert "4 of 5 metrics are as released" in done.output
    with pytest.raises(ReleaseError, match=r"has no chapter 'two' of the cpu profile; it has one\."):
        rebuild(archive, "two", tmp_path / "there")


def spoil(held):
    """Let the released module record other numbers, and list it as if it had been released so."""
    module = "mmlab/viz/display.py"
    held[module] += b"\n_known = record\n\n\ndef record(**metrics):\n    _known(**metrics | {'answer': 43.0})\n"
    known = dict(reversed(line.split("  ")) for line in held[CHECKSUMS].decode().splitlines())
    known[module] = hashlib.sha256(held[module]).hexdigest()
    held[CHECKSUMS] = "".join(f"{found}  {name}\n" for name, found in known.items()).encode()


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (1.0, 1.0009, True),
        (1.0, 1.0011, False),
        (float("nan"), float("nan"), True),
        (1.0, None, False),
        (1, True, False),
        ("a", "b", False),
    ],
)
def test_metrics_are_compared_within_the_tolerance(old, new, same):
    found = Rebuilt(None, None, None, "", {"x": (old, new)}, 1e-3)
    assert (found.differing == []) == same
