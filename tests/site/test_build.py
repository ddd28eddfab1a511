"""The site is whole or it is not there: what was built, and each thing that must stop a build."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import time
import tomllib
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from mmlab.publish import RunError, SiteError, build, execute, make, project
from mmlab.publish.chapter import Chapter
from mmlab.publish.run.receipt import Receipt
from mmlab.publish.site import build as site
from mmlab.publish.site import claims, pages
from mmlab.registry import list_methods
from mmlab.store.folders import NotOursError


def text(book, page):
    return (book / "out" / "site" / f"{page}.html").read_text()


def test_every_page_is_there_and_nothing_is_wrong(book):
    entries = project.toc_entries(book)
    assert len(entries) == 10
    assert pages.problems(book / "out" / "site", entries) == []
    assert (book / "out" / "site" / "index.html").exists()


def test_the_chapter_shows_what_the_run_showed(book):
    html = text(book, "notebooks/rich")
    assert 'alt="A line that ends at 0.5."' in html
    assert r"A line with <span class=\"math notranslate nohighlight\">\(\sigma = 0.5\)</span>".replace("\\", "") in (
        html.replace("\\", "")
    )
    assert "<strong>0.5</strong>" in html
    assert "Goñi" in text(book, "book/bibliography")
    assert "<strong>0.100</strong>" in html
    assert "application/vnd.jupyter.widget-state+json" in html


def test_the_install_cell_is_hidden_and_colab_opens_the_committed_notebook(book):
    html = text(book, "notebooks/rich")
    assert "pip" not in pages.read(book / "out" / "site" / "notebooks" / "rich.html").text
    url, _ = project.repository(book)
    link = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    assert f"{link}/blob/{project.tag(book)}/notebooks/rich.ipynb" in html


def test_the_receipt_stands_on_the_page(book):
    receipt = Receipt.read(book / "out" / "cpu" / "rich.receipt.json")
    shown = pages.read(book / "out" / "site" / "notebooks" / "rich.html").text
    assert f"this page ran in {receipt.seconds:.0f} s" in shown
    for part in (receipt.key[:12], receipt.device, receipt.versions["torch"], "answer"):
        assert part in shown


def test_the_notebook_that_jupyter_renders_can_be_downloaded(book):
    assert 'href="../_sources/notebooks/bridge_matching.ipynb"' in text(book, "notebooks/bridge_matching")
    sources = book / "out" / "site" / "_sources" / "notebooks"
    assert (sources / "bridge_matching.ipynb").read_text() == Chapter(book, "bridge_matching").plain
    executed = json.loads((sources / "rich.ipynb").read_text())  # which has none beside its source: as it ran
    assert any(cell.get("outputs") for cell in executed["cells"])


def test_the_landing_page_lists_the_chapters_with_time_and_difficulty(book):
    shown = pages.read(book / "out" / "site" / "book" / "intro.html").text
    day = datetime.now(UTC).strftime("%Y")
    assert f"By the mmlab authors · version {version('mmlab')} · run on " in shown
    assert day in shown
    assert "Chapters: 2 chapters, 10 minutes to read." in shown
    html = text(book, "book/intro")
    rows = re.findall(r"<tr class=.*?</tr>", html, re.DOTALL)
    assert len(rows) == 3
    assert "Bridge matching" in rows[2]
    assert "intermediate" in rows[2]
    assert "connectome" in rows[2]


def test_the_chapter_says_how_to_cite_it_and_its_paper(book):
    shown = pages.read(book / "out" / "site" / "notebooks" / "bridge_matching.html").text
    box = shown[shown.index("Cite this chapter") :]
    address = project.config(book)["html"]["baseurl"]
    for part in (
        "The mmlab authors (2026). A small bridge. In mmlab: ",
        "@misc{mmlab_bridge_matching,",
        "= {{A small bridge}},",
        f"version {version('mmlab')}}},",
        f"= {{{address}/notebooks/bridge_matching.html}},",
        "{debortoli2023augmented,",
    ):
        assert part in box, part
    rich = pages.read(book / "out" / "site" / "notebooks" / "rich.html").text
    assert "@misc{mmlab_rich," in rich
    assert "cite its paper" not in rich
    assert "copybutton" in text(book, "notebooks/rich")


def test_the_status_page_has_every_run_and_what_became_of_the_claims(book):
    receipt = Receipt.read(book / "out" / "cpu" / "rich.receipt.json")
    shown = pages.read(book / "out" / "site" / "book" / "status.html").text
    for part in (f"{receipt.seconds:.1f}", receipt.device, receipt.versions["torch"], "✓ pass", "2 of 2 runs kept"):
        assert part in shown, part
    assert "register of claims" in shown


def test_the_register_has_every_claim_as_page_and_as_data(book):
    site = book / "out" / "site"
    shown = pages.read(site / "book" / "claims.html").text
    whole = json.loads((site / "claims.json").read_text(encoding="utf-8"))
    assert len(whole["claims"]) == sum(len(card.claims) for card in list_methods().values())
    for row in whole["claims"]:
        assert row["id"] in shown
    rows = {row["id"]: row for row in whole["claims"]}
    assert rows["bridge_matching/rmse-vs-mean-shift"]["verdict"] in claims.VERDICTS
    assert (site / "claims.csv").read_text(encoding="utf-8").count("\n") == len(rows) + 1
    assert json.loads((site / "claims.schema.json").read_text(encoding="utf-8")) == claims.SCHEMA


def test_the_map_links_each_method_to_chapter_api_and_notebook(book):
    html = text(book, "book/map")
    url = project.repository(book)[0]
    for part in (
        'href="../notebooks/bridge_matching.html"',
        'href="api.html#module-mmlab.methods.bridge_matching"',
        f'href="{url}/blob/{project.tag(book)}/notebooks/bridge_matching.ipynb"',
        'alt="Diagram: source, target go into Bridge matching, target comes out."',
        "Learns the drift of a diffusion",
    ):
        assert part in html, part


def test_a_part_opener_lists_its_chapters(book):
    shown = pages.read(book / "out" / "site" / "book" / "parts" / "translation.html").text
    table = shown[shown.index("Chapters of this part") :]
    assert "Bridge matching" in table
    assert "mean shift" in table


def test_exercises_have_folded_solutions_with_code_that_ran(book):
    html = text(book, "notebooks/rich")
    start = html.index("solution dropdown")
    assert "It is 1.0 then." in html[start : html.index("Receipt:")]
    assert re.search(r'class="solution dropdown admonition"', html)


def test_the_api_page_has_docstrings(book):
    shown = pages.read(book / "out" / "site" / "book" / "api.html").text
    assert "mmlab.publish.run.receipt" in shown
    assert "The account of one run of one chapter." in shown
    assert "Processor seconds of the cpu profile on the reference machine" in shown


def test_what_has_not_changed_is_not_rendered_again(book, monkeypatch):
    for place, name in ((site, "_render"), (site.staging, "fill"), (pages, "problems")):
        monkeypatch.setattr(place, name, None)
    began = time.monotonic()
    build(root=book)
    assert time.monotonic() - began < 15


@pytest.fixture
def plain(copy, monkeypatch):
    """A copy of the small book, rendered by a stand-in that leaves an empty page."""

    def render(source, work):
        (work / "_build" / "html" / "_static").mkdir(parents=True, exist_ok=True)
        (work / "_build" / "html" / "index.html").write_text("")
        (work / "_build" / "html" / "_static" / "mmlab.css").write_text("")
        rendered.append(work)

    rendered = []
    monkeypatch.setattr(site, "_render", render)
    monkeypatch.setattr(pages, "problems", lambda *arguments: [])
    build(root=copy)
    build(root=copy)
    assert len(rendered) == 1
    return copy, rendered


@pytest.mark.parametrize("edited", ["book/intro.md", "_config.yml"])
def test_an_edit_of_what_the_site_is_made_of_is_noticed(plain, edited):
    copy, rendered = plain
    path = copy / edited
    path.write_text(path.read_text() + "\n")
    build(root=copy)
    assert len(rendered) == 2


@pytest.mark.parametrize("name", ["index.html", "claims.csv", "_static/mmlab.css"])
@pytest.mark.parametrize(
    "harm", [lambda path: path.write_text("forged"), lambda path: path.unlink()], ids=["edited", "deleted"]
)
def test_a_file_of_the_site_that_is_not_as_it_was_is_made_again(plain, name, harm):
    copy, rendered = plain
    path = copy / "out" / "site" / name
    before = path.read_text()
    harm(path)
    build(root=copy)
    assert len(rendered) == 2
    assert path.read_text() == before


def test_an_edited_receipt_is_no_receipt(plain):
    copy, _ = plain
    path = copy / "out/cpu/rich.receipt.json"
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": 1'))
    with pytest.raises(SiteError, match=r"'rich' has no fresh outputs"):
        build(root=copy)


@pytest.mark.parametrize(
    "place", ["site/evil.js", "site/_static/.x", "site-source/book/_static/evil.js", "site-build/_build/html/evil.js"]
)
def test_a_file_that_was_put_among_ours_is_neither_published_nor_deleted(plain, place):
    copy, _ = plain
    added = copy / "out" / place
    added.parent.mkdir(parents=True, exist_ok=True)
    added.write_text("alert(1)")
    (copy / "book" / "intro.md").write_text("# Hello again\n")
    with pytest.raises(NotOursError, match="what mmlab did not put there"):
        build(root=copy)
    assert added.read_text() == "alert(1)"
    added.unlink()
    build(root=copy)
    assert not list((copy / "out" / "site").rglob("evil.js"))


def test_a_page_that_was_edited_among_the_rendered_ones_is_rendered_anew(plain):
    copy, rendered = plain
    (copy / "out/site-build/_build/html/_static/mmlab.css").write_text("forged")
    (copy / "book" / "intro.md").write_text("# Hello again\n")
    build(root=copy)
    assert (copy / "out/site/_static/mmlab.css").read_text() == ""
    assert len(rendered) == 2


@pytest.mark.parametrize("name", ["site", "site-source", "site-build"])
def test_somebody_elses_folder_is_refused_before_anything_runs(copy, name, monkeypatch):
    own = copy / "own" / name / "deep" / "precious.txt"
    own.parent.mkdir(parents=True)
    own.write_text("x")
    monkeypatch.setattr("mmlab.publish.make.execute_all", None)
    monkeypatch.setattr(site.staging, "fill", None)
    for call in (lambda: build(root=copy, out=Path("own")), lambda: make.book(root=copy, out=Path("own"))):
        with pytest.raises(NotOursError, match="mmlab did not make it: move it away"):
            call()
    assert own.read_text() == "x"


def test_a_link_to_somebody_elses_folder_goes_alone(plain):
    copy, _ = plain
    own = copy / "precious"
    own.mkdir()
    (own / "precious.txt").write_text("x")
    shutil.rmtree(copy / "out" / "site")
    (copy / "out" / "site").symlink_to(own)
    build(root=copy)
    assert not (copy / "out" / "site").is_symlink()
    assert [path.name for path in own.iterdir()] == ["precious.txt"]


def test_builds_in_one_folder_take_turns(plain):
    copy, rendered = plain
    problems = []

    def again():
        try:
            build(root=copy)
        except Exception as trouble:
            problems.append(trouble)

    for number in range(3):
        (copy / "book" / "intro.md").write_text(f"# Hello {number}\n")
        threads = [threading.Thread(target=again) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert (copy / "out" / "site" / "index.html").exists()
    assert len(rendered) == 1 + 3  # who came second found what the first one made
    assert not list((copy / "out").glob(".site*"))


def test_vendored_files_are_what_their_list_says(book):
    vendor = book / "book" / "_static" / "vendor"
    listed = dict(reversed(line.split(maxsplit=1)) for line in (vendor / "SHA256SUMS").read_text().splitlines())
    files = {f"./{path.relative_to(vendor).as_posix()}": path for path in vendor.rglob("*") if path.is_file()}
    files = {name: path for name, path in files.items() if path.name not in ("SHA256SUMS", "README.md")}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == listed


@pytest.fixture
def copy(book, tmp_path):
    """A copy of the small book with its outputs, but not yet rendered."""
    folder = tmp_path / "copy"
    shutil.copytree(book, folder, ignore=shutil.ignore_patterns("site", "site-*"))
    return folder


def test_a_warning_refuses_the_site_every_time(copy):
    (copy / "book" / "intro.md").write_text("# Hello\n\nA {ref}`place that is not there`.\n")
    for _ in range(2):  # the renderer remembers pages: it must not forget that this one had a warning
        with pytest.raises(SiteError, match=r"book/intro\.md:3.*WARNING"):
            build(root=copy)
        assert not (copy / "out" / "site").exists()


def test_a_chapter_without_fresh_outputs_refuses_the_site(copy, monkeypatch):
    monkeypatch.setattr(site, "_render", None)
    source = copy / "notebooks" / "rich.py"
    source.write_text(source.read_text().replace("2 * sigma", "3 * sigma"))
    with pytest.raises(SiteError, match=r"'rich' has no fresh outputs .*changed since the run began: cells"):
        build(root=copy)


def test_jupyter_book_2_is_refused(copy, monkeypatch):
    monkeypatch.setattr(site, "version", lambda name: "2.1.7")
    with pytest.raises(SiteError, match=r"jupyter-book 2\.1\.7 is installed, but this book needs 1\.x"):
        build(root=copy)


def test_a_renderer_that_builds_nothing_is_noticed(copy, monkeypatch):
    def nothing(source, work):
        html = work / "_build" / "html"
        html.mkdir(parents=True)
        (html / "index.html").write_text("<p>Hello</p>")

    monkeypatch.setattr(site, "_render", nothing)
    with pytest.raises(SiteError, match=r"notebooks/rich\.html was not built, though"):
        build(root=copy)
    assert not (copy / "out" / "site").exists()


def test_prose_changes_without_a_run_and_code_does_not(copy, monkeypatch):
    source = copy / "notebooks" / "rich.py"
    source.write_text(source.read_text().replace("A rich chapter", "A poor chapter"))
    assert execute("rich", root=copy).cached
    monkeypatch.setattr("mmlab.publish.run.job.Job.run", None)
    source.write_text(source.read_text().replace("2 * sigma", "3 * sigma"))
    with pytest.raises(RunError, match="'NoneType' object is not callable"):
        execute("rich", root=copy)


def test_a_new_style_sheet_is_not_missed_though_no_page_changed(tmp_path):
    """The renderer goes by pages: with the same pages it would copy no file of _static, so it has to start anew."""
    source, work = tmp_path / "source", tmp_path / "work"
    (source / "book").mkdir(parents=True)
    for name in ("page.md", "style.css"):
        (source / "book" / name).write_text("old")
    kept = []
    for changed in (None, None, "page.md", "style.css"):
        if changed:
            (source / "book" / changed).write_text("new")
        site._forget_old_assets(source, work)
        kept.append((work / "rendered").exists())
        (work / "rendered").touch()
    assert kept == [False, True, True, False]


def test_the_public_address_stands_in_one_place():
    here = project.find_root(Path(__file__).parent)
    urls = tomllib.loads((here / "pyproject.toml").read_text())["project"]["urls"]
    assert urls["Repository"] == project.repository(here)[0]
    assert urls["Homepage"] == project.config(here)["html"]["baseurl"]
