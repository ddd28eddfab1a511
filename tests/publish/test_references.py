"""Figures and equations are referred to by number, with links that lead to them."""

from __future__ import annotations

import json

import pytest

from mmlab.publish.numbering import Numbers, anchored, shown
from mmlab.publish.site.numbered import numbered
from mmlab.publish.titles import title

SENTENCE = "By (1), not f(1) nor `(1)` nor $x (1)$, see [](#figure-two-paths) and (7)."
PROSE = f"# On (1)\n\n{SENTENCE}\n\n$$a = b$$\n\n$$c \\tag{{1}}$$\n"
SHOWN = 'show(a, alt="x", caption="c")\nshow(figure, alt=alt, caption=caption, label="two-paths")'
MARKUP = '<figure class="mm-figure" id="figure-two-paths"><img><figcaption><strong>Figure {}.</strong> x</figcaption>'


def cells(number=2, prose=PROSE):
    output = {"output_type": "display_data", "data": {"text/html": MARKUP.format(number)}}
    said = {"output_type": "display_data", "data": {"text/markdown": "as (1) says"}}
    code = {"cell_type": "code", "source": SHOWN, "metadata": {"tags": ["hide-input"]}, "outputs": [output, said]}
    return [{"cell_type": "markdown", "source": prose, "metadata": {}}, code]


def test_references_become_links_and_formulas_stay():
    made = Numbers.of(cells(), "x").linked(PROSE, lambda words, anchor: f"<{words} {anchor}>")
    assert "By <(1) equation-1>, not f(1) nor `(1)` nor $x (1)$" in made
    assert "see <Figure 2 figure-two-paths> and (7)." in made
    assert made.startswith("# On (1)\n")
    assert made.endswith(PROSE[PROSE.index("$$a") :])


def test_a_block_of_code_is_left_alone_and_a_directive_is_not():
    text = "```python\nf = (1)\n```\n\n```{dropdown} Why (1)?\nBy (1).\n```"
    made = Numbers(frozenset("1")).linked(text, lambda words, _: f"<{words}>")
    assert made == text.replace("By (1)", "By <(1)>")


def test_the_anchor_stands_before_the_tagged_display_alone():
    made = anchored(PROSE)
    assert made.count("<span") == 1
    assert '<span id="equation-1"></span>\n\n$$c' in made


def test_an_unknown_figure_is_refused_with_the_nearest_label():
    with pytest.raises(ValueError, match=r"figure 'two-path', which no cell shows.*'two-paths'"):
        Numbers.of(cells(prose="[](#figure-two-path)"), "x").linked("[](#figure-two-path)", str)


def test_two_figures_of_one_label_are_refused():
    with pytest.raises(ValueError, match="two figures with the label 'two-paths'"):
        Numbers.of([*cells(), *cells()], "x")


def test_the_site_links_prose_and_sentences_and_names_folded_code():
    text, code = numbered(cells(), "x")
    assert 'href="#figure-two-paths">Figure 2</a>' in "".join(text["source"])
    assert 'href="#equation-1">(1)</a>' in json.dumps(code["outputs"][1]).replace('\\"', '"')
    assert code["metadata"]["mystnb"]["code_prompt_show"] == "Code of Figures 1 to 2"


def test_the_site_refuses_a_run_that_numbered_otherwise():
    with pytest.raises(ValueError, match="numbers the figure 'two-paths' 3, and the source 2"):
        numbered(cells(number=3), "x")


def test_titles_of_folded_cells():
    assert shown(SHOWN) == ("", "two-paths")
    assert title('show(a, alt="x", caption="c")', "Heading", 4) == "Code of Figure 4"
    assert title('say("x")', "Heading", 4) == "Code of what the run says: Heading"
    assert title("# Draw the world.\nx = 1", "Heading", 4) == "Draw the world"
