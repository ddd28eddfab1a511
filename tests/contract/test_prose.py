"""No chapter has a measured number in its prose that was written by hand; the rule finds those that have."""

import re
from pathlib import Path

import prose_rules
import pytest

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.py"))
# Chapters whose verdicts are all decided by the run; a chapter that gets there adds its line.
DECIDED = (ROOT / "tests" / "contract" / "decided_chapters.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_no_measured_number_by_hand(path: Path) -> None:
    wrong = [f"line {line}: {what!r}" for line, what in prose_rules.numbers_in(path, ROOT)]
    assert not wrong, f"notebooks/{path.name}: {prose_rules.REMEDY} {'; '.join(wrong)}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_claim_has_a_name_of_its_own_and_a_sentence_for_every_outcome(path: Path) -> None:
    wrong = [f"line {line}: a claim {what}" for line, what in prose_rules.unfit_claims(path.read_text("utf-8"))]
    assert not wrong, f"notebooks/{path.name}: {'; '.join(wrong)}"


def test_pages_quote_claims_that_chapters_make() -> None:
    wrong = []
    for page in sorted((ROOT / "book").rglob("*.md")):
        for stem, name in re.findall(r"<!-- claim: (\w+) ([a-z0-9-]+) -->", page.read_text(encoding="utf-8")):
            chapter = ROOT / "notebooks" / f"{stem}.py"
            if not (chapter.exists() and prose_rules.makes_claim(chapter.read_text(encoding="utf-8"), name)):
                wrong.append(f"{page.name}: {stem} {name}")
    assert not wrong, f"no chapter makes these claims: {'; '.join(wrong)}"


def test_a_claim_in_a_loop_has_many_names() -> None:
    source = 'claim(f"a-{x}-b", 1, 2)\nsay(claimed("c", 1, 2))'
    assert all(prose_rules.makes_claim(source, name) for name in ("a-one-b", "a-one-two-b", "c"))
    assert not any(prose_rules.makes_claim(source, name) for name in ("a--b", "a-one", "d"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_figure_is_shown_by_one_call(path: Path) -> None:
    wrong = [f"line {line}: {call}" for line, call in prose_rules.figures_shown_often(path.read_text("utf-8"))]
    assert not wrong, f"notebooks/{path.name} shows figures in loops, functions or branches: {'; '.join(wrong)}"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("show(figure)\nif more:\n    show(another)", []),
        ("for name in names:\n    show(figure)", [2]),
        ("def draw():\n    frames(knobs)", [2]),
        ("if seeds > 1:\n    frames(knobs)\nelse:\n    show(figure)", [2, 4]),
        ("[show(figure) for figure in figures]", [1]),
    ],
)
def test_a_figure_in_a_loop_a_function_or_a_branch_is_found(source: str, lines: list[int]) -> None:
    assert [line for line, _ in prose_rules.figures_shown_often(source)] == lines


@pytest.mark.parametrize("stem", DECIDED)
def test_every_verdict_of_the_chapter_is_decided_by_the_run(stem: str) -> None:
    source = (ROOT / "notebooks" / f"{stem}.py").read_text(encoding="utf-8")
    wrong = [f"line {line}: {what!r}" for line, what in prose_rules.verdicts_in(source)]
    assert not wrong, f"notebooks/{stem}.py: {prose_rules.CLAIM_REMEDY} {'; '.join(wrong)}"


def verdicts(text: str, code: str = "") -> list[str]:
    """What the rule finds in one markdown cell and some code."""
    lines = "\n".join(f"# {line}".rstrip() for line in text.splitlines())
    return [what for _, what in prose_rules.verdicts_in(f"# %% [markdown]\n{lines}\n\n# %%\n{code}\n")]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("The bridge is better than the mean shift.", ["better"]),
        ("It is as good as a vote,\nand beats the rest.", ["as good", "beats"]),
        ("LoRA does not win here. It wins elsewhere.", ["win", "wins"]),
        ("The contrast buys nothing; it hurts.", ["buys", "hurts"]),
        ("Is it better? It is the best.", ["best"]),
        ("{cite:t}`a2020` find it better. We find it worse.", ["worse"]),
        (f"{prose_rules.GENERAL} More data are better. This one fails.", ["fails"]),
        (f"This one fails. {prose_rules.GENERAL} More data are better.", ["fails"]),
        ("The best possible score is known, and ours is worse.", ["worse"]),
        ("```{dropdown} Is it better?\nIt is worse.\n```", ["worse"]),
        ("- first\n- it outperforms", ["outperforms"]),
    ],
)
def test_a_verdict_by_hand_is_found(text: str, what: list[str]) -> None:
    assert verdicts(text) == what


@pytest.mark.parametrize(
    "text",
    [
        "## Does it win?\n\nWhich one is better?",
        "# The better rival",
        "{cite:t}`a2020` report that it beats all others.",
        "The best possible accuracy is known, and higher is better.",
        "`better` and `fails` are names, and\n\n```python\nbest = 1\n```",
        "```{exercise} Which is better (think)\n:label: a\n\nSay when it wins.\n```",
        f"{prose_rules.GENERAL} A longer training cannot make a constant better.",
        "A keeper of lost things.",
    ],
)
def test_other_words_are_left_alone(text: str) -> None:
    assert verdicts(text) == []


def test_what_is_shown_is_held_to_more_words_and_claims_are_free() -> None:
    code = 'say(f"It keeps {x:.2f}.")\nshow(figure, alt="Ours is ahead everywhere.", caption=f"It lost {y}.")\n'
    assert verdicts("It keeps the state.", code) == ["keeps", "ahead", "lost"]
    code = 'claim("a-b", x, y, better="It wins.")\nsay("So: " + claimed("a-c", x, y, better="Wins."))\n'
    assert verdicts("", code) == []
    assert verdicts("", 'table(frame, "Scores. The best competitor is bold.")') == []


SENTENCES = 'better="b", worse="w", undecided="u"'


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (f'claim("a-b", x, y, {SENTENCES})\nclaimed("a-b", x, y, {SENTENCES})', "as another before it"),
        (
            f'for n in names:\n    claim(f"a-b-{{n}}", x, y, {SENTENCES})\nclaim(f"a-b-{{m}}", x, y, {SENTENCES})',
            "as another",
        ),
        ('claim("a-b", x, y, better="b", undecided="u")', "no sentence for 'worse'"),
        (f'claim("a-b", x, y, margin=0.1, {SENTENCES})', "no sentence for 'equivalent'"),
        (f"claim(name, x, y, {SENTENCES})", "no name that stands in the call"),
        (f'claim(f"{{name}}", x, y, {SENTENCES})', "no name that stands in the call"),
    ],
)
def test_a_claim_that_some_run_could_not_make_is_found(code: str, what: str) -> None:
    (one,) = prose_rules.unfit_claims(code)
    assert what in one[1]


def test_claims_that_every_run_can_make_are_left_alone() -> None:
    code = f'claim("a-b", x, y, {SENTENCES})\nclaim(f"a-c-{{n}}", x, y, margin=1, equivalent="e", {SENTENCES})\n'
    assert prose_rules.unfit_claims(code) == []


CODE = """
# %% tags=["parameters"]
rho = 0.2

# %%
from mmlab.data.toy_world import toy_world

classes, folds = 10, 5
plot(lw=0.77)
say(f"It is {accuracy:.2f}.")
"""


def found(tmp_path: Path, text: str, code: str = CODE) -> list[str]:
    """What is found in a chapter of one markdown cell and some code."""
    (tmp_path / "notebooks").mkdir(exist_ok=True)
    (tmp_path / "mmlab" / "data").mkdir(parents=True, exist_ok=True)
    (tmp_path / "mmlab" / "data" / "toy_world.py").write_text("def toy_world(noise=0.35):\n    return 0.61\n")
    path = tmp_path / "notebooks" / "toy.py"
    lines = "\n".join(f"# {line}".rstrip() for line in text.splitlines())
    path.write_text(f"# %% [markdown]\n{lines}\n{code}", encoding="utf-8")
    return [what for _, what in prose_rules.numbers_in(path, tmp_path)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("The bridge reaches 0.93 on the test set.", "0.93"),
        ("It takes 1.7s.", "1.7"),
        ("An error of 3.5e-4 remains.", "3.5e-4"),
        ("Accuracy rises to 93 %.", "93 %"),
        ("Accuracy rises to 93.5% in the end.", "93.5%"),
        ("Accuracy rises by 7 per cent.", "7 per cent"),
        ("It is 12 times faster.", "12 times"),
        ("It is 12-fold better.", "12-fold"),
        ("It is 12× faster.", "12× faster"),
        ("It is four times as fast.", "four times as"),
        ("A number in disguise, $0.93$, is found.", "0.93"),
        (r"A share in disguise, $93\,\%$, is found.", "93"),
        ("A line that ends\nin 0.93 is found.", "0.93"),
        ("| method | score |\n| --- | --- |\n| ours | 0.93 |", "0.93"),
        ("- first\n- second has 0.93", "0.93"),
        ("{cite:t}`a2020` say so. We reach 0.93.", "0.93"),
        ("| a {cite}`a2020` | 0.80 |\n| ours | 0.93 |", "0.93"),
        ("```{dropdown} Why?\nBecause of 0.93.\n```", "0.93"),
        (":::{note}\nIt is 0.93.\n:::", "0.93"),
        ("```{exercise} Ask (think)\n:label: a\n\nGiven 0.71.\n```\n\nWe found 0.93.", "0.93"),
        ("A style is no constant: 0.77.", "0.77"),
        ("A number in the body of a module is none: 0.61.", "0.61"),
        ("Chance is 12 %.", "12 %"),
    ],
)
def test_a_number_by_hand_is_found(tmp_path: Path, text: str, what: str) -> None:
    (one,) = found(tmp_path, text)
    assert one.startswith(what)


@pytest.mark.parametrize(
    "text",
    [
        "A 2-D map of 30 people, 400 × 400 regions, 2 to 4 of them, in 2020; see Eq. (3) and Eq. (2.1).",
        "See Section 3.2, Fig. 1.4, Table 2.1, §1.5 and Algorithm 2.2 of the paper.",
        "Python 3.11, torch 2.6, CC BY 4.0, Llama 3.2, a 1.5B model, version 0.3.1, arXiv:2302.00482.",
        "Inline $r = 0.93$ and\n\n$$x = 0.93 \\times 7. \\tag{1}$$",
        "Code `lr=0.93` and\n\n```python\nx = 0.93  # 7 %\n```",
        "{cite:t}`a2020` report 93.1 % on CIFAR-10.",
        "They report 0.93\n{cite}`a2020`.",
        "| a {cite}`a2020` | 0.80 |",
        "With ρ of 0.2, the other 0.8, which is 20 % and 80 %.",
        "The world has a noise of 0.35 by default.",
        "Chance is 10 %, with 5-fold cross-validation, repeated 5 times.",
        "The 95 % interval, and a 90 % confidence band.",
        "```{exercise} Compute (compute)\n:label: a\n\nA coin falls with probability 0.71, 3 times in a row.\n```",
        "```{dropdown} Somebody reports 0.93. What do you ask?\nThe baseline.\n```",
        "See [this](https://example.org/0.93) and <https://example.org/7%>.",
        "The same three times, and as many times as you like.",
    ],
)
def test_other_numbers_are_left_alone(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_what_the_code_says_in_fixed_words_is_looked_at_too(tmp_path: Path) -> None:
    code = CODE + 'say("It is 0.93.")\nshow(figure, alt=f"At {x:.3f} it is 0.94.", caption="")\nprint("0.95")\n'
    code += 'claim("a-b", x, y, better="By 0.96.", worse="Not by {gap}.")\n'
    assert found(tmp_path, "Toys.", code) == ["0.93", "0.94", "0.96"]


def test_the_line_is_named(tmp_path: Path) -> None:
    found(tmp_path, "# Toys\n\nOne.\nIt is 0.93.\n")
    assert prose_rules.numbers_in(tmp_path / "notebooks" / "toy.py", tmp_path) == [(5, "0.93")]
