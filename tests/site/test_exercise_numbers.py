"""Exercises are numbered within their chapter, on the site as in the notebooks for Colab."""

import re

from sphinx.application import Sphinx

CONF = """\
extensions = ["sphinx.ext.autodoc", "myst_parser", "sphinx_exercise", "mmlab.publish.site.extension"]
html_theme = "basic"
"""
EXERCISE = "```{{exercise}} About {label}\n:label: {label}\n\nDo it.\n```\n"


def page(title, labels):
    return f"# {title}\n\n" + "\n".join(EXERCISE.format(label=label) for label in labels)


def build(folder):
    """The numbers of the exercises of both pages."""
    Sphinx(folder, folder, folder / "out", folder / "trees", "html", status=None, warning=None).build()
    return [re.findall(r"Exercise (\d+)", (folder / "out" / f"{name}.html").read_text()) for name in ("a", "b")]


def test_each_chapter_begins_at_one_and_what_did_not_change_is_not_written_again(tmp_path):
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\na\nb\n```\n")
    (tmp_path / "a.md").write_text(page("A", ["one", "two"]))
    (tmp_path / "b.md").write_text(page("B", ["three", "four"]))
    assert build(tmp_path) == [["1", "2"], ["1", "2"]]
    (tmp_path / "index.md").write_text("# Book\n\nMore.\n\n```{toctree}\na\nb\n```\n")
    before = (tmp_path / "out" / "b.html").stat().st_mtime_ns
    assert build(tmp_path) == [["1", "2"], ["1", "2"]]
    assert "More." in (tmp_path / "out" / "index.html").read_text()
    assert (tmp_path / "out" / "b.html").stat().st_mtime_ns == before
