"""The page in a real browser: by mouse, by keyboard, on a phone, after a reload, for two at once, and for everybody."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arena_world import SYSTEMS, small

from mmlab.arena.store import Store

EXECUTABLE = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no Chromium on this machine: the page cannot be tried")
AXE = Path(__file__).parents[1] / "site" / "vendor" / "axe.min.js"
PHONE = {"width": 360, "height": 720}


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser, store: Store, serve: Callable[[Store], int]) -> Iterator[Callable]:
    """Open the page as a new visitor; errors and requests to elsewhere fail the test."""
    port = serve(store)
    contexts, wrong = [], []

    def visit(fragment: str = "", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        home = (f"http://127.0.0.1:{port}/", "data:")
        page.on("request", lambda r: None if r.url.startswith(home) else wrong.append(r.url))
        page.goto(f"http://127.0.0.1:{port}/{fragment}")
        page.wait_for_selector("h1")
        return page

    visit.wrong = wrong
    yield visit
    for context in contexts:
        context.close()
    assert [text for text in wrong if "503" not in text] == []


def audit(page) -> list[str]:
    """What axe finds, of every impact: through the debugger, since the page allows no script but its own."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8") + "; 0"})
    told = "v.id + ': ' + v.nodes.map(node => node.target.join(' ')).join(', ')"
    run = f"axe.run(document).then(found => found.violations.map(v => {told}))"
    found = session.send("Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True})
    return found["result"]["value"]


def rate(page, numbers: tuple[int, int] = (4, 2)) -> None:
    for place, number in enumerate(numbers):
        page.locator(f'input[name="understanding {place}"][value="{number}"]').check()


def at_round(page, number: int) -> None:
    """Wait for a round: by the words of the page, since its policy forbids the waiting that evaluates text."""
    page.locator("#progress-text").filter(has_text=f"{number} of").wait_for()


def test_a_whole_journey_by_mouse(opened, store):
    page = opened()
    assert page.locator("main").inner_text().split("\n\n") == [
        *("Cards and words", "Which answer is better?", store.competition.consent, "I agree, begin"),
    ]
    assert not page.locator("#progress").is_visible()
    page.get_by_role("button", name="I agree, begin").click()
    for number in range(1, 10):
        at_round(page, number)
        assert not any(name in page.content() for name in (*SYSTEMS, "item-"))
        page.locator("#send").click()
        assert page.locator("#message").inner_text() == "Choose one of the answers first."
        page.get_by_role("radio", name="A", exact=True).check()
        page.locator("#send").click()
        assert "One rating is open" in page.locator("#message").inner_text()
        rate(page)
        page.locator("#reason").fill(f"<b>because</b> {number} 🙂")
        page.locator("#send").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    votes = store.votes()
    assert [vote.choice for vote in votes] == ["0"] * 9
    assert votes[0].ratings == {"understanding": [4, 2]}
    assert [vote.rationale for vote in votes] == [f"<b>because</b> {n} 🙂" for n in range(1, 10)]
    assert all(0 < vote.seconds < 60 for vote in votes)


def test_a_whole_journey_by_keyboard_alone(opened, store):
    page = opened()
    keys = page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            keys.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with the Tab key")

    tab_to("#agree")
    keys.press("Enter")
    for number, key in enumerate("abtnabtna", start=1):
        at_round(page, number)
        assert page.evaluate("document.activeElement.tagName") == "H1"  # where a screen reader goes on reading
        tab_to('input[name="understanding 0"]')
        keys.press("ArrowRight")
        keys.press("ArrowRight")
        tab_to('input[name="understanding 1"]')
        keys.press("Space")
        keys.press(key)
        if number % 2:
            keys.press("Enter")
        else:
            tab_to("#reason")
            keys.type("a, b or none")  # letters in the reason choose nothing
            tab_to("#send")
            keys.press("Space")
    page.get_by_role("heading", name="Thank you").wait_for()
    assert [vote.choice for vote in store.votes()] == ["0", "1", "tie", "none", "0", "1", "tie", "none", "0"]
    assert store.votes()[0].ratings == {"understanding": [3, 1]} or store.votes()[0].ratings["understanding"][1] == 1


def test_a_reload_loses_neither_the_place_nor_what_was_written(opened, store):
    page = opened()
    page.locator("#agree").click()
    at_round(page, 1)
    rate(page)
    page.keyboard.press("b")
    page.locator("#send").click()
    at_round(page, 2)
    rate(page, (5, 1))
    page.keyboard.press("t")
    page.locator("#reason").fill("half a sen")
    page.reload()
    at_round(page, 2)
    assert page.locator('input[name="choice"][value="tie"]').is_checked()
    assert page.locator('input[name="understanding 0"][value="5"]').is_checked()
    assert page.locator("#reason").input_value() == "half a sen"
    page.locator("#send").click()
    at_round(page, 3)
    assert page.locator("#reason").input_value() == ""
    assert store.progress() | {"by_item": 0} == {"respondents": 1, "votes": 2, "by_item": 0}


def test_two_at_once_and_an_invitation_on_a_second_device(opened, store):
    token = store.invite(1)[0]
    one, other = opened(), opened(f"#{token}")
    assert token not in other.url  # it does not stay in the address
    for page in (one, other):
        page.locator("#agree").click()
    for number in (1, 2):
        for page in (one, other):
            at_round(page, number)
            rate(page)
            page.keyboard.press("a")
            page.locator("#send").click()
    again = opened(f"#{token}")
    at_round(again, 3)
    assert sorted(vote.respondent for vote in store.votes()) == ["1", "1", "2", "2"]


def test_on_a_phone_everything_is_within_reach(opened, store):
    page = opened(viewport=PHONE, is_mobile=True, has_touch=True)
    page.locator("#agree").tap()
    for number in range(1, 10):
        at_round(page, number)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        small_ones = page.evaluate(
            "[...document.querySelectorAll('.choices label, button')]"
            ".filter(e => e.getBoundingClientRect().height < 36).length"
        )
        assert small_ones == 0
        for place in (0, 1):
            page.locator(f'input[name="understanding {place}"][value="3"]').tap()
        page.locator('input[name="choice"][value="1"]').tap()
        page.locator("#send").tap()
    page.get_by_role("heading", name="Thank you").wait_for()
    assert len(store.votes()) == 9


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(opened, scheme):
    page = opened(color_scheme=scheme)
    assert audit(page) == []
    page.locator("#agree").click()
    for number in range(1, 10):
        at_round(page, number)
        assert audit(page) == []
        rate(page)
        page.keyboard.press("n")
        if number == 3:
            page.evaluate("document.querySelector('label').style.color = '#ccc'")
            page.evaluate("document.querySelector('textarea').removeAttribute('id')")
            broken = {line.split(":")[0] for line in audit(page)}
            assert "label" in broken  # the audit finds what is broken
            page.reload()
            at_round(page, number)
        page.locator("#send").click()
    page.get_by_role("heading", name="Thank you").wait_for()
    assert audit(page) == []


def test_a_full_disk_keeps_the_answer_on_the_page_until_it_can_be_saved(opened, store):
    pages = "PRAGMA max_page_count={}"
    page = opened()
    page.locator("#agree").click()
    at_round(page, 1)
    rate(page)
    page.keyboard.press("a")
    page.locator("#reason").fill("y" * 9_990)
    store.submit(
        lambda c: c.exec_driver_sql(pages.format(c.exec_driver_sql("PRAGMA page_count").scalar())).scalar()
    ).result()
    page.locator("#send").click()
    page.locator("#message").filter(has_text="tries again").wait_for()
    assert store.votes() == []
    store.submit(lambda c: c.exec_driver_sql(pages.format(10**6)).scalar()).result()
    at_round(page, 2)
    assert [len(vote.rationale) for vote in store.votes()] == [9_990]


def test_a_script_in_an_answer_is_words(browser, serve, tmp_path):
    import dataclasses

    from mmlab.arena.competition import Answer, Item

    attack = "<script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\">"
    made = small(tmp_path, pictures=False)
    item = Item("attack", Answer(attack), {name: Answer(attack) for name in SYSTEMS})
    with Store(dataclasses.replace(made, items=[item]), "sqlite://") as store:
        port = serve(store)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator("#agree").click()
        page.wait_for_selector("#round")
        assert page.locator(".words").first.inner_text() == attack
        assert page.title() == "Cards and words"
        page.close()
        threading.Event().wait(0.05)
