"""The notebooks that Colab and Jupyter open hold no MyST: what they show there is what the site shows."""

from __future__ import annotations

import ast
import html
import json
import re
from functools import cache
from pathlib import Path

import jupytext
import pytest

from mmlab.publish import execute, project
from mmlab.publish.chapter import Chapter, chapters
from mmlab.publish.committed import StaleNotebookError, sync

BOOK = project.find_root(Path(__file__).parent)
SITE = project.config(BOOK)["html"]["baseurl"]
STEMS = [chapter.stem for chapter in chapters(BOOK)]
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
CODE = re.compile(r"^(`{3,}|~{3,})[^`{]*\n.*?^\1$|(`+)[^`\n].*?\2", re.DOTALL | re.MULTILINE)
MYST = {
    "a directive": r"(`{3,}|:{3,}|~{3,})\s*\{",
    "an open fence of colons": r"^\s*:{3,}",
    "a role": r"\{[a-z][\w:-]*\}`",
    "an option of a directive": r"^:[\w-]+:",
    "a target": r"^\([\w:.-]+\)=",
    "a comment": r"^%",
    "a break": r"^\+\+\+",
    "a relative link": r"\]\((?!https?://)|(?:href|src)=\"(?!https?://)",
}
REFERENCES = """\
@article{one2020,
  title = {One},
  author = {G{\\"o}del, K.},
  year = {2020}
}
@article{two2021,
  author = {Alpha, A. and {The Group}},
  year = 2021,
}
@article{many2022,
  author = {van den Beta, B. and C. Gamma and D. Delta},
  year = "2022"
}
"""


def cells(stem: str) -> list[dict]:
    """The committed cells of a chapter."""
    return json.loads((BOOK / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))["cells"]


def source(cell) -> str:
    return "".join(cell["source"])


def is_folded(cell) -> bool:
    metadata = cell["metadata"]
    return (
        source(cell).startswith("# @title ")
        and metadata.get("cellView") == "form"
        and metadata.get("jupyter", {}).get("source_hidden") is True
    )


def with_commonmark(stem: str) -> str:
    """A notebook as HTML by the rules that Jupyter's and Colab's Markdown share: CommonMark, tables, mathematics."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    renderer = MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin)
    shown = []
    for cell in cells(stem):
        text = source(cell)
        code = f"<pre>{html.escape(text)}</pre>"
        shown.append(renderer.render(text) if cell["cell_type"] == "markdown" else code)
    return "\n".join(shown)


@cache
def exporter():
    """The converter of nbconvert, made once: it reads all its templates."""
    nbconvert = pytest.importorskip("nbconvert")
    return nbconvert.HTMLExporter(template_name="basic", exclude_anchor_links=True)


def with_nbconvert(stem: str) -> str:
    """A notebook as HTML by nbconvert, where that is installed: the book itself does not need it."""
    import nbformat

    return exporter().from_notebook_node(nbformat.read(BOOK / "notebooks" / f"{stem}.ipynb", as_version=4))[0]


@pytest.mark.parametrize("render", [with_commonmark, with_nbconvert])
@pytest.mark.parametrize("stem", STEMS)
def test_a_committed_notebook_renders_without_myst(stem, render):
    """Each shows its exercises as headings, its answers folded, its mathematics, and nothing of MyST."""
    shown = render(stem)
    prose = re.sub(r"<(pre|code|style)\b.*?</\1>", "", shown, flags=re.DOTALL)
    assert not re.search(r"language-\{", shown)
    for what, pattern in MYST.items():
        found = re.search(pattern, re.sub(r"<(/?p|br ?/?)>", "", prose), re.MULTILINE)
        assert not found, (what, found[0])
    kept = (BOOK / "notebooks" / f"{stem}.py").read_text(encoding="utf-8")
    asked = re.findall(r"^# `{3,}\{exercise\}", kept, re.MULTILINE)
    assert re.findall(r"<h3[^>]*>Exercise (\d+)", prose) == [str(n + 1) for n in range(len(asked))]
    assert len(re.findall(r"^# `{3,}\{dropdown\}", kept, re.MULTILINE)) <= prose.count("<details>")
    assert prose.count("<details>") == prose.count("</details>") == prose.count("<summary>")
    for number in re.findall(r"\\tag\{(\w+)\}", kept):
        assert rf"\tag{{{number}}}" in prose


@pytest.mark.parametrize("stem", STEMS)
def test_the_cells_of_a_committed_notebook_are_valid(stem):
    import nbformat

    nbformat.validate(nbformat.read(BOOK / "notebooks" / f"{stem}.ipynb", as_version=4))
    for cell in cells(stem):
        text = source(cell)
        assert not re.search(r"\{(cite|doc|ref|term|py:)[\w:]*\}`|\{\{(cite|doc)|\]\([\w./-]*\.(md|ipynb)|\.\./", text)
        if cell["cell_type"] == "code":
            ast.parse(text)
            continue
        prose = re.sub(r"\\[\\$]", "", CODE.sub("", text))
        assert prose.count("$$") % 2 == 0
        assert prose.replace("$$", "").count("$") % 2 == 0
        environments = re.findall(r"\\(begin|end)\{", prose)
        assert environments.count("begin") == environments.count("end")
        assert prose.count("<details>") == prose.count("</details>")


@pytest.mark.parametrize("stem", STEMS)
def test_solutions_are_folded_below_their_stubs(stem):
    made = cells(stem)
    places = {tag: at for at, cell in enumerate(made) for tag in cell["metadata"].get("tags", [])}
    for tag, at in places.items():
        kind, _, name = tag.partition(":")
        if kind == "solution":
            assert places[f"stub:{name}"] < at
    open_prose = "\n".join(FOLDED.sub("", source(cell)) for cell in made if cell["cell_type"] == "markdown")
    open_code = [source(cell) for cell in made if cell["cell_type"] == "code" and not is_folded(cell)]
    inside = False
    for cell in jupytext.read(BOOK / "notebooks" / f"{stem}.py", fmt="py:percent").cells:
        if cell.cell_type == "code":
            assert not (inside and cell.source in open_code)
            continue
        for line in cell.source.splitlines():
            if "{solution-" in line:
                inside = "start" in line
            elif inside and len(line) > 20 and not line.startswith(":"):
                assert line not in open_prose


@pytest.mark.parametrize("stem", STEMS)
def test_the_title_comes_first_and_what_the_site_hides_is_folded(stem):
    made = cells(stem)
    assert made[0]["cell_type"] == "markdown"
    assert source(made[0]).startswith("# ")
    assert "install" in made[1]["metadata"]["tags"]
    assert is_folded(made[1])
    hidden = [cell for cell in made if {"hide-input", "remove-cell"} & set(cell["metadata"].get("tags", []))]
    assert all(is_folded(cell) for cell in hidden)
    assert [is_folded(cell) for cell in made if source(cell).startswith("# @title Imports\n")] == [True]
    titles = [source(cell).splitlines()[0].removeprefix("# @title ") for cell in made if is_folded(cell)]
    assert all(3 < len(title) < 160 for title in titles)
    assert len({cell["id"] for cell in made}) == len(made)


@pytest.mark.parametrize("stem", STEMS)
def test_the_code_is_that_of_the_chapter(stem):
    """Comments and addresses apart, the cells for Colab run the same statements in the same order."""

    def statements(cells):
        text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "code")
        text = re.sub(r"\{{1,2}cite\}{1,2}`\w+`|\(\[[^]]+\]\(http[^)]+\)\)", "CITED", text)
        text = re.sub(r"\{{1,2}py:\w+\}{1,2}`[^`]+`|\[`\w+`\]\(http[^)]+\)", "OBJECT", text)
        text = re.sub(r"\]\([\w./:-]+\.(md|html)\)", "](PAGE)", text)
        text = re.sub(r"\{{1,2}doc\}{1,2}`[^`]+`|\[[^\]`]*\]\(PAGE\)", "LINK", text)
        return ast.dump(ast.parse(text))

    assert statements(cells(stem)) == statements(Chapter(BOOK, stem).notebook["cells"])


@pytest.mark.parametrize("stem", STEMS)
def test_links_lead_to_pages_that_the_site_has(stem):
    pages = set(project.toc_entries(BOOK))
    text = "\n".join(source(cell) for cell in cells(stem))
    linked = re.findall(rf"{re.escape(SITE)}/([\w/.-]+)\.html", text)
    assert linked
    assert set(linked) <= pages


@pytest.fixture
def convert(root):
    """Make the plain notebook of a chapter with the given Markdown; its first cells are left out."""
    (root / "_config.yml").write_text(
        "repository:\n  url: https://example.org/x\nhtml:\n  baseurl: https://site.org/b/\n"
    )
    (root / "book" / "api").mkdir(parents=True)
    (root / "book" / "references.bib").write_text(REFERENCES)
    (root / "book" / "bibliography.md").write_text("# Bibliography\n")
    (root / "book" / "glossary.md").write_text("# Glossary\n")
    (root / "book" / "page.md").write_text("% note\n# A page\n")
    (root / "book" / "api" / "data.md").write_text("# Data\n\n<!-- modules: mmlab.data.* -->\n")
    (root / "mmlab" / "data").mkdir(parents=True)
    (root / "mmlab" / "data" / "sets.py").touch()
    (root / "notebooks" / "other.py").write_text("# ---\n# a: b\n# ---\n\n# %% [markdown]\n# # The other\n")

    def convert(*texts: str) -> list[dict]:
        pieces = ["# %% [markdown]\n# # One\n"]
        for text in texts:
            if text.startswith("code:"):
                pieces.append("# %%" + text.removeprefix("code:") + "\n")
            else:
                pieces.append(
                    "# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in text.splitlines()) + "\n"
                )
        (root / "notebooks" / "one.py").write_text("\n".join([*pieces, "# %%\nend = 1\n"]))
        return json.loads(Chapter(root, "one").plain)["cells"][2:-1]

    return convert


@pytest.mark.parametrize(
    ("myst", "markdown"),
    [
        ("{cite}`one2020`", "([Gödel, 2020](https://site.org/b/book/bibliography.html))"),
        ("{cite:t}`two2021`", "[Alpha and The Group (2021)](https://site.org/b/book/bibliography.html)"),
        (
            "{cite}`many2022, one2020`",
            "([van den Beta et al., 2022](https://site.org/b/book/bibliography.html); "
            "[Gödel, 2020](https://site.org/b/book/bibliography.html))",
        ),
        ("{doc}`other`", "[The other](https://site.org/b/notebooks/other.html)"),
        ("{doc}`words </book/page>`", "[words](https://site.org/b/book/page.html)"),
        ("{doc}`../book/page`", "[A page](https://site.org/b/book/page.html)"),
        ("[x](../book/page.md#part)", "[x](https://site.org/b/book/page.html#part)"),
        ("[x](other.ipynb)", "[x](https://site.org/b/notebooks/other.html)"),
        ("[x](#here)", "[x](https://site.org/b/notebooks/one.html#here)"),
        ("[x](https://y.org/a.md)", "[x](https://y.org/a.md)"),
        ("{ref}`there <here>`", "[there](https://site.org/b/notebooks/one.html#here)"),
        ("{term}`edge`", "[edge](https://site.org/b/book/glossary.html)"),
        ("{math}`x_1`", "$x_1$"),
        ("{py:func}`~mmlab.data.sets.f`", "[`f`](https://site.org/b/book/api/data.html#mmlab.data.sets.f)"),
        ("{py:func}`~mmlab.fit`", "`fit`"),
        ("code `{doc}` and `[x](y.md)` and \\$5 and $[a](b)$", "code `{doc}` and `[x](y.md)` and \\$5 and $[a](b)$"),
        ("(here)=\n## A\n% hidden\n+++\nb", "## A\nb"),
        ("$$\nx \\tag{1}\n$$ (label)", "$$\nx \\tag{1}\n$$"),
        ("```{math}\n:label: a\nx\n```", "$$\nx\n$$"),
        (":::{note}\nSee {doc}`other`.\n\nTwo.\n:::",
         "> **Note.** See [The other](https://site.org/b/notebooks/other.html).\n> \n> Two."),
        ("```{admonition} Mind the gap\n:class: tip\nText.\n```", "> **Mind the gap.** Text."),
        ("::::{warning}\n:::{tip}\na\n:::\n::::", "> **Warning.** > **Tip.** a"),
        ("```python\nx = '{doc}`a`'\n```", "```python\nx = '{doc}`a`'\n```"),
        (
            "```{dropdown} Is `a < b` *so* with $x*y*z$?\nYes, {cite}`one2020`.\n```",
            "<details><summary>Is <code>a &lt; b</code> <i>so</i> with $x*y*z$?</summary>\n\n"
            "Yes, ([Gödel, 2020](https://site.org/b/book/bibliography.html)).\n\n</details>",
        ),
        ("- a\n\n  ```{note}\n  b\n  ```", "- a\n\n  > **Note.** b"),
    ],
)  # fmt: skip
def test_each_construct_becomes_markdown(convert, myst, markdown):
    (cell,) = convert(myst)
    assert source(cell) == markdown


SOLVED = "```{exercise} Add (code)\n:label: add\n\nAdd $x$.\n```"


def test_a_solution_over_several_cells_is_folded_in_each(convert):
    ask, stub, solve, words, last = convert(
        SOLVED,
        "code: tags=[\"stub:a\"]\nx = ...",
        "Try first.\n\n```{solution-start} add\n:class: dropdown\n```",
        "code: tags=[\"solution:a\"]\nx = 1",
        "So it is.\n\n```{solution-end}\n```\n\nAnd on.",
    )  # fmt: skip
    assert source(ask) == "### Exercise 1: Add (code)\n\nAdd $x$."
    assert source(stub) == "x = ..."
    assert source(solve) == "Try first."
    assert source(words) == "# @title Solution of exercise 1\nx = 1"
    assert is_folded(words)
    assert source(last) == "<details><summary>Solution of exercise 1</summary>\n\nSo it is.\n\n</details>\n\nAnd on."


@pytest.mark.parametrize(
    ("code", "title"),
    [
        ("# Code of the race.\nx = 1", "Code of the race"),
        ("show(f, alt='a', caption='A thing that moves. More.')", "Code of Figure 1"),
        ("show(f, alt='a', caption=f'A thing that moves {x}. More.')", "Code of Figure 1"),
        ("show(f, alt='a', caption=f'A thing that moves. More {x}.')", "Code of Figure 1"),
        ("table(f, 'Scores of all the rivals')", "Code of the table: Part"),
        ("table(f, 'Scores of all the rivals.')", "Code of the table: Scores of all the rivals"),
        ("claim('a', b)", "Code of what the run says: Part"),
        ("x = 1", "Code: Part"),
    ],
)
def test_a_hidden_cell_says_what_it_holds(convert, code, title):
    _, cell = convert("## Part", f'code: tags=["hide-input"]\n{code}')
    assert source(cell) == f"# @title {title}\n{code}"
    assert is_folded(cell)


def test_imports_are_folded_and_what_follows_them_is_not(convert):
    imports, rest = convert("code:\nimport a\nfrom b import (\n    c,\n)\n\nx = a.d")
    assert source(imports) == "# @title Imports\nimport a\nfrom b import (\n    c,\n)"
    assert is_folded(imports)
    assert source(rest) == "x = a.d"
    assert not is_folded(rest)
    assert imports["id"] != rest["id"]


def test_roles_in_what_code_says_become_links(convert):
    (cell,) = convert("code:\nsay(f'{x} {{cite}}`one2020` and [page](../book/page.md), {y}')\nz = a[0](b)")
    cited = "([Gödel, 2020](https://site.org/b/book/bibliography.html))"
    said = f"{{x}} {cited} and [page](https://site.org/b/book/page.html), {{y}}"
    assert source(cell) == f"say(f'{said}')\nz = a[0](b)"


@pytest.mark.parametrize(
    ("myst", "message"),
    [
        ("```{nonesuch}\n```", "directive 'nonesuch'"),
        ("{nonesuch}`x`", "role 'nonesuch'"),
        ("```{note}\nopen", "does not close"),
        ("{cite}`nobody1999`", "'nobody1999', which is not in book/references.bib"),
        ("{doc}`nowhere`", "links to nowhere"),
        ("[x](../book/nowhere.md)", "links to ../book/nowhere.md"),
        ("```{solution-start} add\n```", "before it is set"),
        (f"{SOLVED}\n\n```{{solution-start}} add\n```", "does not end"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_chapter(convert, myst, message):
    with pytest.raises(ValueError, match=rf"^notebooks/one\.py .*{message}"):
        convert(myst)


def test_a_page_that_is_renamed_makes_the_notebook_stale_and_runs_nothing(convert, root):
    convert("{doc}`../book/page`")
    (root / "notebooks" / "other.py").unlink()
    sync(root=root)
    chapter = Chapter(root, "one")
    before = chapter.inputs("cpu", {})
    (root / "book" / "page.md").write_text("# Another name\n")
    with pytest.raises(StaleNotebookError):
        sync(check=True, root=root)
    assert chapter.inputs("cpu", {}) == before


def test_what_runs_is_the_source_and_not_the_committed_notebook(convert, root):
    convert("```{dropdown} Why?\nSo.\n```")
    (root / "notebooks" / "one.ipynb").write_text("no notebook")
    assert execute("one", root=root).status == "ok"
    ran = json.loads((root / "out" / "cpu" / "one.ipynb").read_text())["cells"]
    assert any("{dropdown} Why?" in source(cell) for cell in ran)
    assert not any("@title" in source(cell) for cell in ran)
