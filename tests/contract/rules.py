"""The rules of the tree, as functions that return what is wrong: so that tests can also show that they find it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmlab.registry import chapter_of, list_methods

MODULE_STATEMENTS, FUNCTION_LINES, ARGUMENTS = 240, 80, 12  # the end
LONG_MODULE, LONG_FUNCTION = 300, 40  # in lines: an alarm to look at, not a limit

DOCUMENTED_ELSEWHERE = {"Settings"}  # its fields are the arguments of fit, whose docstring explains them

_FRAGMENT = re.compile(r"(?:\A|^\s*\**\w+(?: \([^)\n]*\))?:|^\s*(?:Returns|Yields):\s*\n)[ ]*Of\s", re.MULTILINE)

FORBIDDEN_IMPORTS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
FORBIDDEN_CALLS = {
    "torch.load",
    "numpy.load_pickle",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
}
FORBIDDEN_BUILTINS = {"eval", "exec", "__import__"}
FORBIDDEN_TRUE = {"allow_pickle", "trust_remote_code", "shell"}


def same_stem(root: Path) -> list[str]:
    """A method is one name: module, test, entry of its paper, and a chapter, unless its card names another one."""
    cards = list_methods(root / "mmlab" / "methods")
    contents = (root / "_toc.yml").read_text(encoding="utf-8")
    references = (root / "book" / "references.bib").read_text(encoding="utf-8")
    wrong = []
    told = {chapter_of(stem, card) for stem, card in cards.items()}
    for stem, card in cards.items():
        chapter = chapter_of(stem, card)
        partners = [f"notebooks/{chapter}.py", f"notebooks/{chapter}.ipynb", f"tests/methods/test_{stem}.py"]
        wrong += [f"{stem} has no {path}" for path in partners if not (root / path).exists()]
    for chapter in sorted(told):
        if (lines := len(re.findall(rf"file: notebooks/{chapter}$", contents, re.MULTILINE))) != 1:
            wrong.append(f"{chapter} stands in _toc.yml {lines} times")
    for stem, card in cards.items():
        if not re.search(rf"^@\w+{{{re.escape(card.paper)},", references, re.MULTILINE):
            wrong.append(f"{stem}: its paper {card.paper} is not in book/references.bib")
    tests = {path.stem.removeprefix("test_") for path in (root / "tests" / "methods").glob("test_*.py")}
    wrong += [f"tests/methods/test_{stem}.py tests no method" for stem in sorted(tests - set(cards))]
    chapters = {path.stem for path in (root / "notebooks").glob("*.py")}
    wrong += [
        f"notebooks/{path.name} has no source"
        for path in sorted((root / "notebooks").glob("*.ipynb"))
        if path.stem not in chapters
    ]
    listed = re.findall(r"file: notebooks/(\w+)$", contents, re.MULTILINE)
    wrong += [f"notebooks/{stem}.py is not in _toc.yml" for stem in sorted(chapters - set(listed))]
    wrong += [f"_toc.yml names notebooks/{stem}, which has no source" for stem in sorted(set(listed) - chapters)]
    # A chapter may also tell a story across several methods, of the arena or of measures: else it is an orphan.
    for stem in sorted(chapters - told):
        source = (root / "notebooks" / f"{stem}.py").read_text(encoding="utf-8")
        stories = ("mmlab.arena", "mmlab.metrics.frechet", *(f"mmlab.methods.{method}" for method in cards))
        if not any(module in source for module in stories):
            wrong.append(f"notebooks/{stem}.py tells of no method")
    return wrong


def equations(root: Path) -> list[str]:
    """The numbers of ``# Eq. (n)`` in the modules that a chapter tells of are those of ``\\tag{n}`` in it."""
    wrong = []
    told: dict[str, dict[str, set[str]]] = {}
    for stem, card in list_methods(root / "mmlab" / "methods").items():
        module = (root / "mmlab" / "methods" / f"{stem}.py").read_text(encoding="utf-8")
        cited = {n for line in re.findall(r"# Eqs?\. (.+)", module) for n in re.findall(r"\((\w+)\)", line)}
        told.setdefault(chapter_of(stem, card), {})[stem] = cited
    for chapter, modules in told.items():
        tags = re.findall(r"\\tag\{(\w+)\}", (root / "notebooks" / f"{chapter}.py").read_text(encoding="utf-8"))
        twice = sorted({n for n in tags if tags.count(n) > 1})
        wrong += [f"notebooks/{chapter}.py numbers two equations ({n})" for n in twice]
        for stem, cited in modules.items():
            wrong += [f"{stem}.py names Eq. ({n}), which its chapter does not have" for n in sorted(cited - set(tags))]
        unnamed = sorted(set(tags).difference(*modules.values()))
        wrong += [f"the chapter {chapter} has equation ({n}), which no line of the module names" for n in unnamed]
    return wrong


def sizes(root: Path) -> list[str]:
    """Modules, functions and signatures keep within what can be read."""
    wrong = []
    for path, tree in _modules(root):
        if (statements := sum(isinstance(node, ast.stmt) for node in ast.walk(tree))) > MODULE_STATEMENTS:
            wrong.append(f"{path.relative_to(root)} has {statements} statements")
        wrong += [f"{where} has {n} lines" for where, n in _function_lines(root, path, tree) if n > FUNCTION_LINES]
    for path in _method_modules(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                if len(arguments) - 1 > ARGUMENTS:
                    wrong.append(f"{path.name}: a constructor has {len(arguments) - 1} arguments")
    return wrong


def alarms(root: Path) -> list[str]:
    """Modules and functions that are within the limits but long: a list to look at (``make alarms``)."""
    modules = [f"{path.relative_to(root)}: {_lines(path)} lines" for path, _ in _modules(root)]
    return [line for line in modules if int(line.split()[-2]) > LONG_MODULE] + [
        f"{where}: {n} lines"
        for path, tree in _modules(root)
        for where, n in _function_lines(root, path, tree)
        if LONG_FUNCTION < n <= FUNCTION_LINES
    ]


def docstrings(root: Path) -> list[str]:
    """Public functions with many arguments, fields of public dataclasses and constructors of methods are documented."""
    wrong = []
    for path, tree in _modules(root):
        public = _public(tree)
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name not in public - DOCUMENTED_ELSEWHERE:
                continue
            documented = ast.get_docstring(node) or ""
            names = _arguments(node) if isinstance(node, ast.FunctionDef) else _fields(node)
            section = "Args:" if isinstance(node, ast.FunctionDef) else "Attributes:"
            if isinstance(node, ast.FunctionDef) and len(names) < 7 and section not in documented:
                documented = documented and "\n".join(f"{name}:" for name in names)
            if isinstance(node, ast.ClassDef) and path.parent.name == "methods":
                inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
                names = names + [name for init in inits for name in _arguments(init)]
            missing = [n for n in names if not re.search(rf"^\s*\**{re.escape(n)}\b.*:", documented, re.MULTILINE)]
            wrong += [f"{path.relative_to(root)}: {node.name} does not document {name}" for name in missing]
    return wrong


def fragments(root: Path) -> list[str]:
    """No description begins with "Of": the noun is said, and not left to the name of what is described."""
    wrong = []
    for path in [*sorted((root / "mmlab").rglob("*.py")), *sorted((root / "benchmarks").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else ""
            for match in _FRAGMENT.finditer(text) if isinstance(text, str) else ():
                line = node.lineno + text.count("\n", 0, match.end())
                wrong.append(f"{path.relative_to(root)}, line {line}: a description begins with 'Of'")
    return wrong


def executable_reading(root: Path) -> list[str]:
    """Nothing that could run code is ever read: no pickle in any of its disguises, no eval, no shell."""
    wrong = []
    for path, tree in _modules(root):
        for node in ast.walk(tree):
            found: list[str] = []
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_IMPORTS]
            elif isinstance(node, ast.ImportFrom):
                found = [node.module] if (node.module or "").split(".")[0] in FORBIDDEN_IMPORTS else []
                found += [f"{node.module}.{a.name}" for a in node.names if f"{node.module}.{a.name}" in FORBIDDEN_CALLS]
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                found = [name] if name in FORBIDDEN_CALLS | FORBIDDEN_BUILTINS else []
                found += [
                    f"{name}({k.arg}=...)" for k in node.keywords if k.arg in FORBIDDEN_TRUE and not _is_false(k.value)
                ]
                found += [
                    f"{name}(weights_only=...)" for k in node.keywords if k.arg == "weights_only" and _is_false(k.value)
                ]
            wrong += [f"{path.relative_to(root)}, line {node.lineno}: {what}" for what in found]  # type: ignore[attr-defined]
    return wrong


def packages(root: Path) -> list[str]:
    """Every folder of modules is a package, or it would be missing from an installed mmlab."""
    folders = {path.parent for path in (root / "mmlab").rglob("*.py")}
    return [
        f"{folder.relative_to(root)} has no __init__.py"
        for folder in sorted(folders)
        if not (folder / "__init__.py").exists()
    ]


def references(root: Path) -> list[str]:
    """The list of references is BibTeX to its end: a brace that a merge lost would stop every book from being built."""
    from pybtex.database import parse_string
    from pybtex.exceptions import PybtexError

    text = (root / "book" / "references.bib").read_text(encoding="utf-8")
    try:
        known = parse_string(text, "bibtex").entries
    except PybtexError as problem:
        return [f"book/references.bib is no BibTeX: {problem}"]
    written = len(re.findall(r"(?m)^@(?!comment|string|preamble)\w+\{", text))
    return (
        [] if len(known) == written else [f"book/references.bib has {written} entries, of which {len(known)} are read"]
    )


def _modules(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((root / "mmlab").rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _method_modules(root: Path) -> list[Path]:
    return sorted(path for path in (root / "mmlab" / "methods").glob("*.py") if path.stem != "__init__")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _function_lines(root: Path, path: Path, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Lines of each function's code, signature and docstring left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body:
                lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
                yield f"{path.relative_to(root)}: {node.name}", lines


def _public(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def _arguments(node: ast.FunctionDef) -> list[str]:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]


def _fields(node: ast.ClassDef) -> list[str]:
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return []
    return [
        line.target.id
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and not line.target.id.startswith("_")
    ]


def _is_false(node: Any) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


if __name__ == "__main__":
    print("\n".join(alarms(Path(__file__).parents[2])))
