"""An audit of each kind of page by axe-core: nothing that keeps readers out, in light and in dark."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import EXECUTABLE, Browser

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

PAGES = {
    "landing": "/book/intro.html",
    "chapter": "/notebooks/rich.html",
    "how-to": "/book/how_to/read_a_receipt.html",
    "API": "/book/api.html",
    "bibliography": "/book/bibliography.html",
    "map": "/book/map.html",
    "status": "/book/status.html",
    "part": "/book/parts/translation.html",
    "search": "/search.html",
}

ALLOWED: dict[str, str] = {}
"""Rules that a page may break, and why we cannot mend it. Empty: whatever axe finds serious has to go."""

AUDIT = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations
    .filter(v => ['serious', 'critical'].includes(v.impact))
    .map(v => [v.id, v.nodes.map(node => `${node.target.join(' ')}: ${node.failureSummary}`).join('; ')]))"""

needs_browser = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on this machine: its page checks cannot run")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests here."""
    with Browser() as running:
        yield running


def audit(browser: Browser) -> dict[str, str]:
    """What axe finds serious or critical in the page that is open: the rule, and where."""
    browser.evaluate(AXE.read_text(encoding="utf-8") + "; 0")
    return {rule: where for rule, where in browser.evaluate(AUDIT) if rule not in ALLOWED}


def test_axe_is_the_published_file() -> None:
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == AXE_SHA256
    assert (AXE.parent / "axe.LICENSE").read_text(encoding="utf-8").startswith("Mozilla Public License, version 2.0")


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_a_page_keeps_nobody_out(browser, address, page, dark):
    browser.open(address + page, dark=dark, settle=0.2)
    assert audit(browser) == {}


@needs_browser
@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        ("document.querySelector('article img').removeAttribute('alt')", "image-alt"),
        ("document.querySelector('article p').style.color = '#ccc'", "color-contrast"),
        ("document.querySelector('article').innerHTML += '<button></button>'", "button-name"),
        ("document.documentElement.removeAttribute('lang')", "html-has-lang"),
    ],
)
def test_the_audit_finds_what_is_broken(browser, address, damage, rule):
    browser.open(address + PAGES["chapter"], settle=0.2)
    browser.evaluate(f"{damage}; 0")
    assert rule in audit(browser)
