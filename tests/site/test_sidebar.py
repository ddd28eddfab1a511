"""The sidebar lists what lies below a page only to a reader who is there: else its cost grows with pages squared."""

from sphinx.application import Sphinx

CONF = """\
extensions = ["sphinx.ext.autodoc", "myst_parser", "mmlab.publish.site.extension"]
html_theme = "sphinx_book_theme"
"""


def test_pages_below_another_page_are_not_listed(tmp_path):
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\na\nb\n```\n")
    (tmp_path / "a.md").write_text("# Apart\n")
    (tmp_path / "b.md").write_text("# Above\n\n```{toctree}\nc\n```\n")
    (tmp_path / "c.md").write_text("# Below\n")
    Sphinx(tmp_path, tmp_path, tmp_path / "out", tmp_path / "trees", "html", status=None, warning=None).build()
    bars = {
        name: (tmp_path / "out" / f"{name}.html")
        .read_text()
        .split('class="bd-main"')[0]
        .split("bd-sidebar-primary")[-1]
        for name in ("a", "b", "c")
    }
    assert all("Above" in bar and "Apart" in bar for bar in bars.values())
    assert [name for name, bar in bars.items() if "Below" in bar] == ["b", "c"]
