r"""The rules of prose, as functions that return what is wrong: so that tests can show that they find it.

**Numbers.** A number that a run produces never stands in a chapter's prose by hand. Prose is each markdown cell, and
the fixed text of what `say`, `show`, `table`, `frames` and `claim` are given. Three kinds of numbers are looked at,
since these are what measurements look like:

1. decimals: `0.93`, `1.5 s`;
2. percentages: `93 %`, `93 per cent`;
3. factors: `12 times`, `12-fold`, `12× faster`, `twelve times as fast`.

Whole numbers (30 people, 2-D, Eq. (3), 400 × 400, 2 to 4) are left alone, and so are these:

- code, spans and blocks; formulas, unless a formula is nothing but a number (`$0.93$`);
- addresses, versions (`Python 3.11`), names of models (`Llama 3.2`, `a 1.5B model`), and places in a text
  (`Section 3.2`, `Fig. 1.4`, `Eq. (2.1)`);
- what an exercise poses: the text of an `{exercise}`, and the title of any directive (the question of a `{dropdown}`);
- published numbers: those with a `{cite}` in the same sentence, or the same row of a table;
- constants of the experiment: numbers that stand in the chapter's code, style of figures apart, or that are defaults in
  the modules of `mmlab.methods` and `mmlab.data` that it imports. A constant 0.2 also covers 0.8, 20 % and 80 %;
- conventions: the 95 % interval; and chance among K classes, where K stands in the code and the sentence says *chance*.

**Verdicts.** A comparative word about a result (*better*, *wins*, *fails*) stands in a `claim`, which prints the
sentence that the run decides; see `verdicts_in` for what is looked at. Every claim has a sentence for every outcome.
"""

import ast
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mmlab.publish.numbering import FIGURES

STYLE = {"lw", "linewidth", "ms", "markersize", "alpha", "figsize", "fontsize", "width", "height"} | {"xlim", "ylim"}
SHOWN = {"say", "show", "table", "frames", "claim", "claimed"}
OUTCOMES = ("better", "worse", "undecided", "equivalent")
TEXTS = ("alt", "caption", "title", *OUTCOMES)
WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
WORDS |= {"twelve": 12, "twenty": 20, "fifty": 50, "hundred": 100, "thousand": 1000}

_MORE = r"(?:as|more|less|fewer|too|the|better|worse|\w+er)\b"
_FOUND = re.compile(
    rf"(?P<percent>(?<![\w.,])\d+(?:[.,]\d+)?)(?:\s|\\,)*(?:\\?%|per\s+cent\b|percent\b)"
    rf"|(?P<factor>(?<![\w.,])\d+(?:\.\d+)?)(?:\s+times\b|-fold\b(?!\s+cross)|\s?[×x]\s+{_MORE})"
    rf"|\b(?P<word>{'|'.join(WORDS)})\s+times\s+{_MORE}"
    r"|(?P<decimal>(?<![\w.,:/-])\d+\.\d+(?:e[+-]?\d+)?)(?!\d|(?-i:[BM])|\.\d|-[a-z])",
    re.IGNORECASE,
)
_CITED = re.compile(r"\{cite(?::\w+)?\}`[^`]+`")
_NUMBER_ALONE = re.compile(r"[\s\d.,+\-−±~≈%\\!]*(?:\\pm|\\approx|\\sim)?[\s\d.,±%\\!]*")
_CODE_DIRECTIVES = {"code", "code-block", "code-cell", "math", "exercise", "bibliography"}
_FENCE = re.compile(r"^(?P<fence>`{3,}|:{3,})(?P<info>[^`\n]*)$")
_PLACES = re.compile(
    r"(?:\b(?:sections?|sec\.|figures?|figs?\.|tables?|tab\.|chapters?|ch\.|equations?|eqs?\.|theorems?|algorithms?|lemmas?|"
    r"appendix|python|torch|pytorch|numpy|cuda|versions?|v|licen[cs]e|cc[ -]by(?:-\w+)*|"
    r"llama|qwen|gemma|gpt|phi|stable\s+diffusion)|§)[\s~]*\(?[A-Z]?\d+(?:\.\d+)+\)?",
    re.IGNORECASE,
)
_CONVENTIONS = re.compile(
    r"(?<![\w.,])(?:50|68|80|90|95|99)\s?(?:%|per cent)[\s-]+"
    r"(?:confidence|credible|prediction|bootstrap|interval|band|level)",
    re.I,
)
_ADDRESSES = re.compile(r"https?://\S+|\]\([^)\s]*\)|\barxiv:\S+|\bdoi:\S+|<[^>\n]+>", re.IGNORECASE)
_SENTENCE_END = re.compile(
    r"[.!?][)\"'*_]*(?=\s+[A-Z*_(\"'$`{\[<])|\n\s*\n|\n(?=\s*(?:[-*|]|\d+\.)\s)|\n(?=\s*`{3,}|:{3,})"
)

_VERDICT = (
    r"\b(?:better|best|worse|worst|wins?|won|winners?|beats?|beaten|loses|losers?|outperform\w*|superior|inferior|"
    r"fails?|failed|(?:as|equally|just as) good|ahead|helps?|hurts?|harms?|buys?|pays|as well as (?=the\b|its\b|a\b))\b"
)
_VERDICTS = re.compile(_VERDICT, re.IGNORECASE)
_VERDICTS_SHOWN = re.compile(
    rf"{_VERDICT}|\b(?:keeps?|lost|gains?|costs?|behind|level with|suffices?|too (?:narrow|wide))\b",
    re.IGNORECASE,
)
_NO_VERDICTS = re.compile(
    r"\bbest\s+possible\b|\bat (?:best|worst)\b|\bbest practices?\b|\bbetter[- ]known\b|\b(?:higher|lower) is better\b|"
    r"\b(?:the )?best (?:is|are|competitors?|rows?|values?|ones?)\b[^.]*\bbold\b|\bbold\b[^.]*\bbest\b|"
    r"\bfails? (?:if|unless)\b",
    re.IGNORECASE,
)
GENERAL = "<!-- in general -->"

CLAIM_REMEDY = (
    "verdicts stand in the prose that no run decides. Make each a claim() with a sentence for every outcome (claimed() "
    "in a caption or a list), turn it into a question, or say it of mathematics or of cited work; a sentence that "
    f"holds whatever the run shows may begin with {GENERAL} (the rule is in tests/contract/prose_rules.py):"
)

REMEDY = (
    "numbers stand in the prose by hand. Put them through say(), a caption or a table, or make them constants of the "
    "code; a published number needs a {cite} in its sentence (the rule is in tests/contract/prose_rules.py):"
)


@dataclass(frozen=True)
class Prose:
    """Connected text of a chapter, and the line on which it begins."""

    line: int
    text: str


def numbers_in(path: Path, root: Path) -> list[tuple[int, str]]:
    """Lines and words of measured numbers in the prose of one chapter."""
    source = path.read_text(encoding="utf-8")
    allowed = constants(source, root)
    pieces = [*markdown(source), *shown(source)]
    found = [(piece.line + at, what) for piece in pieces for at, what in suspicious(piece.text, allowed)]
    return sorted(set(found))


def markdown(source: str) -> Iterator[Prose]:
    """The markdown cells of a source in percent format."""
    begun: int | None = None
    lines = source.splitlines()
    for at, line in enumerate([*lines, "# %%"]):
        if line.startswith("# %%"):
            if begun is not None:
                yield Prose(begun + 1, "\n".join(text.removeprefix("#").removeprefix(" ") for text in lines[begun:at]))
            begun = at + 1 if "[markdown]" in line else None


def shown(source: str, functions: Collection[str] = SHOWN) -> Iterator[Prose]:
    """The fixed text in the arguments of what shows text; what stands in braces of an f-string is a result."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            for argument in [*node.args, *(k.value for k in node.keywords if k.arg in TEXTS)]:
                pieces = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                texts = [p.value if isinstance(p, ast.Constant) and isinstance(p.value, str) else "\0" for p in pieces]
                if any(text != "\0" for text in texts):
                    yield Prose(argument.lineno, "".join(texts))


def verdicts_in(source: str) -> list[tuple[int, str]]:
    """Lines and words of verdicts that no run decides, in the prose of one chapter.

    A comparative word about a result of the run (*better*, *wins*, *fails*) belongs into a claim, which says whichever
    is true. Looked at are the markdown cells and, for more words, the fixed text of what `say`, `show`, `table` and
    `frames` are given: numbers of the run stand there, so that it speaks of the run. Left alone are sentences with a
    `{cite}`, questions, headings, exercises and the titles of directives, code, and sentences marked as general.
    """
    found = []
    for piece, words in [
        *((piece, _VERDICTS) for piece in markdown(source)),
        *((piece, _VERDICTS_SHOWN) for piece in shown(source, {"say", "show", "table", "frames"})),
    ]:
        blank = _NO_VERDICTS.sub(lambda match: " " * len(match.group()), _without_code(piece.text))
        for start, end in _sentences(piece.text):
            text = piece.text[start:end]
            if _CITED.search(text) or GENERAL in text or text.strip().endswith("?") or text.lstrip().startswith("#"):
                continue
            found += [
                (piece.line + piece.text.count("\n", 0, m.start()), m.group())
                for m in words.finditer(blank, start, end)
            ]
    return sorted(set(found))


def claims(source: str) -> Iterator[ast.Call]:
    """The calls of `claim` and `claimed` in a chapter."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("claim", "claimed"):
            yield node


def makes_claim(source: str, name: str) -> bool:
    """Whether a chapter may make a claim of this name: one that stands in it, or that an f-string there can become."""
    for call in claims(source):
        given = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "name"), None)
        pieces = given.values if isinstance(given, ast.JoinedStr) else [given]
        form = "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else "[a-z0-9-]+" for p in pieces)
        if re.fullmatch(form, name):
            return True
    return False


def unfit_claims(source: str) -> list[tuple[int, str]]:
    """Claims that some run could not make: an outcome without its sentence, or a name that is used twice or made up.

    The name may be an f-string where a claim stands in a loop; its fixed part counts as the name.
    """
    found, names = [], set()
    for call in claims(source):
        given = {keyword.arg for keyword in call.keywords}
        needed = ["better", "worse", "undecided", *(["equivalent"] if "margin" in given else [])]
        found += [(call.lineno, f"has no sentence for {outcome!r}") for outcome in needed if outcome not in given]
        name = call.args[0] if call.args else next((k.value for k in call.keywords if k.arg == "name"), None)
        pieces = name.values if isinstance(name, ast.JoinedStr) else [name]
        fixed = [piece.value for piece in pieces if isinstance(piece, ast.Constant)]
        text = "".join(str(part) for part in fixed)
        if not isinstance(name, ast.Constant | ast.JoinedStr) or not re.fullmatch(r"[a-z0-9-]{3,}", text):
            found.append((call.lineno, "has no name that stands in the call"))
        elif text in names:
            found.append((call.lineno, f"has the name {text!r}, as another before it"))
        names.add(text)
    return found


def figures_shown_often(source: str) -> list[tuple[int, str]]:
    """Line and call of each figure in a loop or a function, and of those that both branches of a condition show.

    The links of the page count the calls in the source, so that a chapter has one call for one figure.
    """
    found = []
    for home in ast.walk(ast.parse(source)):
        if isinstance(home, ast.For | ast.While | ast.FunctionDef | ast.Lambda | ast.ListComp | ast.DictComp):
            found += _figures(home)
        elif isinstance(home, ast.If):
            branches = [[call for part in branch for call in _figures(part)] for branch in (home.body, home.orelse)]
            found += [*branches[0], *branches[1]] if all(branches) else []
    return sorted(set(found))


def _figures(part: ast.AST) -> list[tuple[int, str]]:
    calls = [node for node in ast.walk(part) if isinstance(node, ast.Call)]
    return [(n.lineno, n.func.id) for n in calls if isinstance(n.func, ast.Name) and n.func.id in FIGURES]


def constants(source: str, root: Path) -> set[Fraction]:
    """The numbers in a chapter's code, and the defaults in the modules of mmlab that it imports."""
    tree = ast.parse(source)
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found = _literals(tree)
    for module in modules:
        path = root / f"{module.replace('.', '/')}.py"
        if module.startswith(("mmlab.methods.", "mmlab.data.")) and path.exists():
            found |= _defaults(ast.parse(path.read_text(encoding="utf-8")))
    return found


def suspicious(text: str, allowed: set[Fraction]) -> list[tuple[int, str]]:
    """Numbers in a text that look measured, with the number of the line, counted from 0."""
    blank = _without_code(text)
    found = [
        match
        for start, end in _sentences(text)
        if not _CITED.search(text, start, end)
        for match in _FOUND.finditer(blank, start, end)
        if not _is_constant(match, allowed, chance="chance" in text[start:end].lower())
    ]
    return [(text.count("\n", 0, match.start()), " ".join(match.group().split())) for match in found]


def _is_constant(match: re.Match[str], allowed: set[Fraction], *, chance: bool) -> bool:
    if word := match["word"]:
        return Fraction(WORDS[word.lower()]) in allowed
    kind = match.lastgroup or ""
    value = Fraction(match[kind].replace(",", "."))
    if kind == "factor":
        return value in allowed
    share = value / 100 if kind == "percent" else value
    if share in allowed or (0 < share < 1 and 1 - share in allowed):
        return True
    return chance and 0 < share <= 1 and any(abs(1 / k - share) < Fraction(1, 100) * share for k in allowed if k > 1)


def _without_code(text: str) -> str:
    """The text with everything blanked that may hold any number; nothing moves."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    def formula(match: re.Match[str]) -> str:
        inner = match.group().strip("$")
        return f"{' ' * (len(match.group()) - len(inner) - 1)}{inner} " if _is_number(inner) else blank(match)

    text = _without_blocks(text)
    text = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", blank, text, flags=re.DOTALL)
    text = re.sub(r"(?<!\\)\$\$.+?\$\$|(?<![\\$])\$(?!\s)[^$]+?\$", formula, text, flags=re.DOTALL)
    for pattern in (_ADDRESSES, _PLACES, _CONVENTIONS):
        text = pattern.sub(blank, text)
    return text


def _is_number(formula: str) -> bool:
    return bool(re.search(r"\d", formula)) and bool(_NUMBER_ALONE.fullmatch(formula))


def _without_blocks(text: str) -> str:
    """The text with code blocks, exercises, and the titles and options of directives blanked."""
    lines, closing, code = text.split("\n"), [], []
    for at, line in enumerate(lines):
        match = _FENCE.match(line.strip())
        inside = any(code)
        if match and not match["info"].strip() and closing and len(match["fence"]) >= len(closing[-1]):
            closing.pop()
            code.pop()
            lines[at] = ""
        elif match and not (inside and not match["info"].strip()):
            name = re.match(r"\{([\w:-]+)\}", match["info"].strip())
            closing.append(match["fence"])
            code.append(name is None or name[1] in _CODE_DIRECTIVES)
            lines[at] = ""
        elif inside or re.match(r"^:[\w-]+:", line):
            lines[at] = ""
        lines[at] = lines[at].ljust(len(line))
    return "\n".join(lines)


def _sentences(text: str) -> list[tuple[int, int]]:
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    starts = [0, *ends]
    return list(zip(starts, [*ends, len(text)], strict=True))


def _literals(tree: ast.AST) -> set[Fraction]:
    found: set[Fraction] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.keyword) and node.arg in STYLE and _has_decimals(node.value):
            continue
        if isinstance(node, ast.Constant):
            found |= _number(node)
        found |= _literals(node)
    return found


def _defaults(tree: ast.Module) -> set[Fraction]:
    """Defaults of arguments and fields, and constants of a module."""
    values: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            values += [value for value in (*node.defaults, *node.kw_defaults) if value]
        elif isinstance(node, ast.AnnAssign) and node.value:
            values.append(node.value)
    values += [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return {number for value in values for leaf in ast.walk(value) for number in _number(leaf)}


def _number(node: ast.AST) -> set[Fraction]:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return {Fraction(str(node.value))} if abs(node.value) < 1e12 else set()
    return set()


def _has_decimals(node: ast.AST) -> bool:
    return any(isinstance(leaf, ast.Constant) and isinstance(leaf.value, float) for leaf in ast.walk(node))
