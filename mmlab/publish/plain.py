"""Notebooks for Colab and Jupyter: the MyST of a chapter as Markdown that they render.

Exercises become headings, what the site folds becomes ``<details>`` or a folded form, roles become links to the site.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from mmlab.publish.links import Links
from mmlab.publish.numbering import Numbers, shown
from mmlab.publish.titles import title
from mmlab.wording import nearest

__all__ = ["plain"]

_ADMONITIONS = ("note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "error", "seealso")
_EXERCISES = ("exercise", "solution", "solution-start", "solution-end")
_DIRECTIVES = (*_EXERCISES, "dropdown", "math", "code-block", "code", "admonition", *_ADMONITIONS)
_FENCE = re.compile(
    r"(?P<indent> *)(?P<marks>`{3,}|~{3,}|:{3,})(?:\{(?P<name>[^}]+)\}(?P<argument>.*)|(?P<rest>[^`]*))"
)
_INLINE = re.compile(
    r"\\(?P<escaped>[\\`${\[])|\{(?P<role>[a-z][\w:-]*)\}`(?P<content>[^`]+)`"
    r"|(?P<code>(?P<ticks>`+)[^`].*?(?P=ticks))(?!`)"
    r"|(?P<math>\$\$.+?\$\$|\$[^$]+\$)|\]\((?P<target>[^)\s]+)(?P<title>[^)]*)\)",
    re.DOTALL,
)
_ROLE_IN_CODE = re.compile(r"\{{1,2}(cite(?::[pt])?|doc|ref|term|py:\w+)\}{1,2}`([^`{]+)`")
_LINK_IN_CODE = re.compile(r"\]\(([\w./-]+\.(?:md|ipynb)(?:#[\w-]*)?)\)")
_TITLES = {"install": "Install mmlab on Colab (elsewhere this does nothing)", "profile": "Choose the profile on Colab"}


def plain(text: str, links: Links) -> str:
    """The text of a notebook without MyST.

    The title comes first. Cells that the site hides, solutions and imports are folded, in Colab and in JupyterLab, and
    have a title that says what they hold. The code is that of the chapter, with comments added.

    Args:
        text: What :func:`mmlab.publish.notebooks.render` gives.
        links: Where roles and links of this chapter lead.

    Raises:
        ValueError: If a directive or a role is not known here, is not closed, or names what is not in the book.
    """
    notebook = json.loads(text)
    numbers = Numbers.of(notebook["cells"], f"notebooks/{links.stem}.py")
    cells = list(_Conversion(links, numbers).cells(notebook["cells"]))
    first = next((at for at, cell in enumerate(cells) if cell["cell_type"] == "markdown"), 0)
    cells.insert(0, cells.pop(first))
    return json.dumps(notebook | {"cells": cells}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class _Conversion:
    """One pass over the cells of a chapter: it knows the exercises so far, and the solution that is open."""

    def __init__(self, links: Links, numbers: Numbers) -> None:
        self.links = links
        self.numbers = numbers
        self.figures = 0  # those that the cells so far show
        self.exercises: dict[str, int] = {}
        self.solution = ""  # title of the one that is open
        self.heading = ""
        self.imported = False

    def cells(self, cells: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for cell in cells:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                yield from self._code(cell, source)
            elif made := self._markdown(source):
                yield cell | {"source": made.splitlines(keepends=True)}
        if self.solution:
            raise ValueError(f"{self._place} does not end the {self.solution.lower()}: add ```{{solution-end}}.")

    @property
    def _place(self) -> str:
        return f"notebooks/{self.links.stem}.py"

    # Prose

    def _markdown(self, source: str) -> str:
        """A Markdown cell. Solutions that run over several cells are folded in each of them."""
        pieces: list[str] = []
        inside: list[str] = []

        def fold() -> None:
            text = "\n\n".join(inside)
            pieces.extend([_details(self.solution, text) if self.solution else text] if text else [])
            inside.clear()

        for name, block in self._blocks(source.splitlines()):
            if name.startswith("solution-"):
                fold()
                self.solution = self._title_of_solution(block) if name == "solution-start" else ""
            else:
                inside.extend([block] if block else [])
        fold()
        return "\n\n".join(pieces)

    def _blocks(self, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Runs of prose and fences, each as Markdown; for the ends of a solution, the name and its argument."""
        prose: list[str] = []
        at = 0
        while at < len(lines):
            fence = _FENCE.fullmatch(lines[at])
            if not fence or (fence["marks"][0] == ":" and not fence["name"]):
                prose.append(lines[at])
                at += 1
                continue
            yield "", self._prose(prose)
            prose = []
            end = self._end(lines, at, fence["marks"])
            if (fence["name"] or "").startswith("solution-"):
                yield fence["name"], fence["argument"].strip()
            else:
                body = self._fenced(fence, lines[at + 1 : end])
                yield "", textwrap.indent(body, fence["indent"])
            at = end + 1
        yield "", self._prose(prose)

    def _end(self, lines: Sequence[str], begin: int, marks: str) -> int:
        for at in range(begin + 1, len(lines)):
            line = lines[at].strip()
            if len(line) >= len(marks) and set(line) == {marks[0]}:
                return at
        raise ValueError(f"{self._place} does not close the block {lines[begin].strip()!r}: add {marks} after it.")

    def _fenced(self, fence: re.Match[str], lines: Sequence[str]) -> str:
        """A directive as Markdown; a block of code as it is."""
        name, argument = fence["name"], (fence["argument"] or "").strip()
        body = textwrap.dedent("\n".join(lines)).splitlines()
        if name is None:
            return "\n".join([f"{fence['marks']}{fence['rest']}", *body, fence["marks"]])
        options, body = _options(body)
        if name in ("code", "code-block"):
            return "\n".join([f"```{argument}", *body, "```"])
        if name == "math":
            return "\n".join(["$$", *body, "$$"])
        text = "\n\n".join(block for _, block in self._blocks(body) if block)
        if name == "exercise":
            number = len(self.exercises) + 1
            self.exercises[options.get("label", f"exercise {number}")] = number
            title = f": {self._prose([argument])}" if argument else ""
            return f"### Exercise {number}{title}\n\n{text}"
        if name == "solution":
            return _details(self._title_of_solution(argument), text)
        if name == "dropdown":
            return _details(self._prose([argument]), text)
        if name in _ADMONITIONS or name == "admonition":
            # Without a title of its own, what stands beside the name is the beginning of the text.
            named = name == "admonition"
            word = self._prose([argument]) if named else "See also" if name == "seealso" else name.capitalize()
            start = "" if named else self._prose([argument])
            said = "\n\n".join(part for part in (start, text) if part)
            return textwrap.indent(f"**{word}.** {said}", "> ", lambda _: True)
        raise ValueError(
            f"{self._place} uses the directive {name!r}, which Colab cannot show: {nearest(name, _DIRECTIVES)}"
        )

    def _title_of_solution(self, label: str) -> str:
        if label not in self.exercises:
            known = list(self.exercises)
            raise ValueError(f"{self._place} solves the exercise {label!r} before it is set: {nearest(label, known)}")
        return f"Solution of exercise {self.exercises[label]}"

    def _prose(self, lines: Sequence[str]) -> str:
        """Prose without roles, targets and comments, and with links that lead somewhere."""
        kept = [line for line in lines if not re.fullmatch(r"\([\w:.-]+\)=\s*|%.*|\+\+\+.*", line)]
        headings = [line.lstrip("# ") for line in kept if re.match(r"#+ ", line)]
        self.heading = headings[-1] if headings else self.heading
        text = re.sub(r"^\$\$ *\([\w:-]+\)$", "$$", "\n".join(kept), flags=re.MULTILINE)  # labels of equations
        text = self.numbers.linked(text, lambda words, anchor: f"[{words}]({self.links.target('#' + anchor)})")
        return _INLINE.sub(self._inline, text).strip("\n")

    def _inline(self, found: re.Match[str]) -> str:
        if found["role"]:
            return self.links.role(found["role"], found["content"])
        if found["target"]:
            return f"]({self.links.target(found['target'])}{found['title']})"
        return found[0]

    # Code

    def _code(self, cell: dict[str, Any], source: str) -> Iterator[dict[str, Any]]:
        source = _ROLE_IN_CODE.sub(lambda found: self.links.role(found[1], found[2]), source)
        source = _LINK_IN_CODE.sub(lambda found: f"]({self.links.target(found[1])})", source)
        tags = cell["metadata"].get("tags", [])
        first = self.figures + 1
        self.figures += len(shown(source))
        generated = next((title for tag, title in _TITLES.items() if tag in tags), "")
        if not (self.imported or generated) and (after := _end_of_imports(source)):
            self.imported = True
            head, source = source[:after].rstrip(), source[after:].strip("\n")
            split = {"id": _id(cell["id"], "imports"), "outputs": []} if source else {}
            yield _form(cell | split, "Imports", head)
        if generated or self.solution:
            yield _form(cell, generated or self.solution, source)
        elif "hide-input" in tags and source:
            yield _form(cell, title(source, self.heading, first), source)
        elif source:
            yield cell | {"source": source.splitlines(keepends=True)}


def _form(cell: dict[str, Any], title: str, source: str) -> dict[str, Any]:
    """A code cell that is folded: Colab shows its title, JupyterLab its first line, which is the title."""
    metadata = cell["metadata"] | {"cellView": "form", "jupyter": {"source_hidden": True}}
    return cell | {"metadata": metadata, "source": f"# @title {title}\n{source}".splitlines(keepends=True)}


def _details(summary: str, text: str) -> str:
    """Folded Markdown. The summary is HTML, in which Markdown means nothing; the empty lines make the rest Markdown."""
    summary = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", summary)
    summary = summary.replace("&", "&amp;").replace("<", "&lt;")
    parts = re.split(r"(\$[^$]+\$)", summary)  # mathematics stands at the odd places
    for at in range(0, len(parts), 2):
        parts[at] = re.sub(r"`([^`]+)`", r"<code>\1</code>", parts[at])
        parts[at] = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", parts[at])
        parts[at] = re.sub(r"\*(\S[^*]*)\*", r"<i>\1</i>", parts[at])
    return f"<details><summary>{''.join(parts)}</summary>\n\n{text}\n\n</details>"


def _options(lines: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options at the beginning of a directive, and what comes after them."""
    options: dict[str, str] = {}
    at = 0
    while at < len(lines) and (found := re.fullmatch(r":([\w-]+):\s*(.*)", lines[at])):
        options[found[1]] = found[2].strip()
        at += 1
    return options, list(lines[at:])


def _end_of_imports(source: str) -> int:
    """The place after the imports that a cell begins with; 0 if it begins with fewer than two of them."""
    end = 0
    count = 0
    for node in ast.parse(source).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break
        count += 1
        end = node.end_lineno or 0
    return sum(map(len, source.splitlines(keepends=True)[:end])) if count > 1 else 0


def _id(identity: str, part: str) -> str:
    return hashlib.sha256(f"{identity} {part}".encode()).hexdigest()[:12]
