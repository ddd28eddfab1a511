"""The built page in a real browser with the network cut off: formulas, widgets, dark mode, a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from browser import EXECUTABLE, Browser

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on this machine: its page checks cannot run")

CHAPTER = "/notebooks/rich.html"
VISIBLE = "[...document.querySelectorAll('.jupyter-widgets img')].filter(i => i.offsetParent).map(i => i.alt)"
PRESS = """(() => {{
    const handle = document.querySelectorAll('.noUi-handle')[{knob}];
    handle.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}));
}})()"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    with Browser() as running:
        yield running


@pytest.mark.parametrize("page", ["/index.html", "/book/intro.html", CHAPTER, "/book/api.html"])
def test_a_page_loads_only_from_the_site_and_without_errors(browser, address, page):
    browser.open(address + page)
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith((address, "data:", "blob:"))] == []


def test_formulas_are_rendered_in_prose_captions_tables_and_what_was_said(browser, address):
    browser.open(address + CHAPTER)
    for place in ("div.math", "figcaption", "caption", "p.mm-caption", "div.cell_output p"):
        assert browser.evaluate(f"document.querySelector('{place} mjx-container') !== null"), place
    assert browser.evaluate("document.querySelectorAll('mjx-merror').length") == 0
    assert r"\(" not in browser.evaluate("document.querySelector('article').innerText")


def test_knobs_turn_without_a_kernel(browser, address):
    browser.open(address + CHAPTER)
    assert browser.evaluate(VISIBLE) == ["A line to 1 and 5."]
    for knob, name, expected in [
        (1, "ArrowRight", "A line to 1 and 50."),
        (0, "ArrowRight", "A line to 2 and 50."),
        (1, "ArrowRight", "A line to 2 and 500."),
        (0, "ArrowLeft", "A line to 1 and 500."),
    ]:
        browser.evaluate(PRESS.format(knob=knob, key=name))
        browser.wait(f"{VISIBLE}.join() === {expected!r}", seconds=5)


def test_knobs_have_names_and_values_for_screen_readers(browser, address):
    browser.open(address + CHAPTER)
    heard = "[...document.querySelectorAll('.noUi-handle')].map(h => h.ariaLabel + ' ' + h.ariaValueText).join()"
    browser.wait(f"{heard} === 'sigma 1,steps 5'", seconds=5)
    browser.evaluate(PRESS.format(knob=1, key="ArrowRight"))
    browser.wait(f"{heard} === 'sigma 1,steps 50'", seconds=5)


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_told_from_its_ground(browser, address, dark):
    browser.open(address + CHAPTER, dark=dark)
    contrast = """(selector => {
        const luminance = rgb => { const [r, g, b] = rgb.map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        const parse = text => text.match(/[\\d.]+/g).map(Number);
        const element = document.querySelector(selector);
        let ground = element, colour;
        do { colour = parse(getComputedStyle(ground).backgroundColor); ground = ground.parentElement; }
        while (colour.length === 4 && colour[3] === 0 && ground);
        const [a, b] = [parse(getComputedStyle(element).color), colour].map(c => luminance(c.slice(0, 3)));
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    })"""
    for place in (
        "article p",
        "figcaption",
        "div.mm-table caption",
        "div.mm-table td",
        ".widget-label",
        "p.mm-caption",
    ):
        assert browser.evaluate(f"{contrast}('{place}')") >= 4.5, place


def test_a_phone_needs_no_sideways_scrolling(browser, address):
    browser.open(address + CHAPTER, width=390)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    assert browser.evaluate("document.querySelector('figure img').getBoundingClientRect().right") <= 390


def test_a_solution_is_folded_until_asked_for(browser, address):
    browser.open(address + CHAPTER)
    visibility = "getComputedStyle(document.querySelector('.solution .cell_output')).visibility"
    assert browser.evaluate(visibility) == "hidden"
    browser.evaluate("document.querySelector('.solution .toggle-button').click()")
    browser.wait(f"{visibility} === 'visible'", seconds=5)


@pytest.mark.parametrize(
    "formula",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\href{java&#115;cript:alert(1)}{x}",
        r"\mmlToken{mi}[href='javascript:alert(1)']{x}",
        r"\def\a{\href{javascript:alert(1)}}\a{x}",
        r"\require{html}\href{data:text/html,x}{x}",
        r"\let\a\href \a{https://evil.example}{x}",
    ],
)
def test_a_formula_cannot_become_a_link(browser, address, formula):
    browser.open(address + CHAPTER)
    # As text of a page that was there from the start would be: MathJax finds it and typesets it.
    browser.evaluate(
        "(() => { const place = document.createElement('p'); place.id = 'tried'; place.className = 'math';"
        f"place.textContent = {json.dumps(chr(92) + '(' + formula + chr(92) + ')')};"
        "document.querySelector('article').append(place); MathJax.typesetPromise([place]); })()"
    )
    browser.wait("document.querySelector('#tried mjx-container') !== null", seconds=10)
    assert browser.evaluate("document.querySelectorAll('#tried a[href], #tried [*|href]').length") == 0
