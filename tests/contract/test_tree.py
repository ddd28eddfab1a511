"""The tree keeps its rules, and the rules find what breaks them."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import rules

from mmlab.registry import list_methods

ROOT = Path(__file__).parents[2]

RULES = [
    rules.same_stem,
    rules.equations,
    rules.sizes,
    rules.docstrings,
    rules.fragments,
    rules.executable_reading,
    rules.packages,
    rules.references,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    assert rule(ROOT) == []


MODULE = '''"""A toy."""

from mmlab.card import Card
from mmlab.method import Method

__all__ = ["Toy"]


class Toy(Method):
    """A toy.

    Args:
        width: Its width.
    """

    card = Card(name="Toy", family="toys", paper="toy2020", summary="Plays.", inputs=("x",))

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.width = width  # Eq. (1)
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one toy method that keeps all rules."""
    for path, text in {
        "mmlab/__init__.py": '"""Toys."""\n',
        "mmlab/methods/__init__.py": '"""Toys."""\n',
        "mmlab/methods/toy.py": MODULE,
        "notebooks/toy.py": "# %% [markdown]\n# $$x \\tag{1}$$\n",
        "notebooks/toy.ipynb": "{}",
        "tests/methods/test_toy.py": "",
        "_toc.yml": "chapters:\n  - file: notebooks/toy\n",
        "book/references.bib": "@misc{toy2020,\n}\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _forget_cards() -> None:
    list_methods.cache_clear()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_tree_passes(tree: Path, rule: Callable[[Path], list[str]]) -> None:
    assert rule(tree) == []


@pytest.mark.parametrize(
    ("lost", "found"),
    [
        ("notebooks/toy.ipynb", "toy has no notebooks/toy.ipynb"),
        ("tests/methods/test_toy.py", "toy has no tests/methods/test_toy.py"),
        ("notebooks/toy.py", "toy has no notebooks/toy.py"),
        ("mmlab/methods/toy.py", "tests/methods/test_toy.py tests no method"),
    ],
)
def test_a_missing_partner_is_found(tree: Path, lost: str, found: str) -> None:
    (tree / lost).unlink()
    assert found in rules.same_stem(tree)


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        ("_toc.yml", "notebooks/toy", "notebooks/boy", "toy stands in _toc.yml 0 times"),
        ("_toc.yml", "chapters:", "chapters:\n  - file: notebooks/toy", "toy stands in _toc.yml 2 times"),
        ("_toc.yml", "notebooks/toy", "notebooks/boy", "_toc.yml names notebooks/boy, which has no source"),
        ("book/references.bib", "toy2020", "toy2021", "toy: its paper toy2020 is not in book/references.bib"),
    ],
)
def test_a_wrong_name_is_found(tree: Path, path: str, old: str, new: str, found: str) -> None:
    _replace(tree / path, old, new)
    assert found in rules.same_stem(tree)


@pytest.fixture
def shared(tree: Path) -> Path:
    """A tree with a second method, told in the chapter of the first."""
    second = MODULE.replace("Toy", "Boy").replace('inputs=("x",)', 'inputs=("x",), chapter="toy"').replace("(1)", "(2)")
    (tree / "mmlab" / "methods" / "boy.py").write_text(second, encoding="utf-8")
    (tree / "tests" / "methods" / "test_boy.py").write_text("", encoding="utf-8")
    _replace(tree / "notebooks" / "toy.py", "\\tag{1}", "\\tag{1} \\tag{2}")
    return tree


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_two_methods_may_share_a_chapter(shared: Path, rule: Callable[[Path], list[str]]) -> None:
    assert rule(shared) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        ("mmlab/methods/boy.py", ', chapter="toy"', "", "boy has no notebooks/boy.py"),
        ("mmlab/methods/boy.py", 'chapter="toy"', 'chapter="tory"', "boy has no notebooks/tory.py"),
        ("_toc.yml", "notebooks/toy", "notebooks/boy", "toy stands in _toc.yml 0 times"),
    ],
)
def test_a_shared_chapter_that_is_not_there_is_found(shared: Path, path: str, old: str, new: str, found: str) -> None:
    _replace(shared / path, old, new)
    assert found in rules.same_stem(shared)


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        ("mmlab/methods/boy.py", "Eq. (2)", "Eq. (3)", 2),
        ("mmlab/methods/boy.py", "  # Eq. (2)", "", 1),
        ("mmlab/methods/toy.py", "Eq. (1)", "Eq. (2)", 1),
        ("notebooks/toy.py", "\\tag{2}", "", 1),
    ],
)
def test_in_a_shared_chapter_the_modules_name_its_equations_together(
    shared: Path, path: str, old: str, new: str, found: int
) -> None:
    _replace(shared / path, old, new)
    assert len(rules.equations(shared)) == found


def test_a_chapter_without_a_method_is_found(tree: Path) -> None:
    shutil.copy(tree / "notebooks" / "toy.py", tree / "notebooks" / "story.py")
    _replace(tree / "_toc.yml", "chapters:", "chapters:\n  - file: notebooks/story")
    assert rules.same_stem(tree) == ["notebooks/story.py tells of no method"]
    (tree / "notebooks" / "story.py").write_text("from mmlab.methods.toy import Toy\n", encoding="utf-8")
    assert rules.same_stem(tree) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "found"),
    [
        ("mmlab/methods/toy.py", "Eq. (1)", "Eq. (2)", 2),
        ("mmlab/methods/toy.py", "  # Eq. (1)", "", 1),
        ("notebooks/toy.py", "\\tag{1}", "\\tag{1} \\tag{1}", 1),
    ],
)
def test_an_equation_without_its_partner_is_found(tree: Path, path: str, old: str, new: str, found: int) -> None:
    _replace(tree / path, old, new)
    assert len(rules.equations(tree)) == found


def test_a_swollen_module_function_or_signature_is_found(tree: Path) -> None:
    module = tree / "mmlab" / "methods" / "toy.py"
    many = ", ".join(f"a{i}: int = 0" for i in range(13))
    module.write_text(
        MODULE.replace("width: int = 1", many) + "\n\ndef long() -> int:\n" + "    x = 1\n" * 81 + "y = 1\n" * 220,
        "utf-8",
    )
    assert [line.split(" ")[-2:] for line in rules.sizes(tree)] == [
        ["312", "statements"],
        ["81", "lines"],
        ["13", "arguments"],
    ]


def test_what_is_long_raises_an_alarm_and_breaks_no_rule(tree: Path) -> None:
    module = tree / "mmlab" / "methods" / "toy.py"
    module.write_text(MODULE + "\n\ndef long() -> int:\n" + "    x = 1\n" * 41 + "\n" * 300, encoding="utf-8")
    assert [line.split(": ")[-1] for line in rules.alarms(tree)] == ["364 lines", "41 lines"]
    assert rules.sizes(tree) == []


def test_an_undocumented_argument_is_found(tree: Path) -> None:
    _replace(tree / "mmlab" / "methods" / "toy.py", "width: Its width.", "breadth: Its width.")
    assert rules.docstrings(tree) == ["mmlab/methods/toy.py: Toy does not document width"]


@pytest.mark.parametrize(
    ("docstring", "found"),
    [
        ("Of a toy.", 1),
        ("A toy.\n\n    Args:\n        width: Of the toy.\n        height (int): Of it.", 2),
        ("A toy.\n\n    Returns:\n        Of each toy, its width.", 1),
        ("A toy.\n\n    Of several toys, the first.\n\n    Args:\n        width: Width of the toy.", 0),
    ],
)
def test_a_description_without_its_noun_is_found(tree: Path, docstring: str, found: int) -> None:
    (tree / "benchmarks").mkdir()
    (tree / "benchmarks" / "toy.py").write_text(f'def toy():\n    """{docstring}"""\n', encoding="utf-8")
    wrong = rules.fragments(tree)
    assert len(wrong) == found
    lines = (tree / "benchmarks" / "toy.py").read_text(encoding="utf-8").splitlines()
    assert all("Of " in lines[int(re.findall(r"line (\d+)", line)[0]) - 1] for line in wrong)


RECORD = '''"""Toys."""

from dataclasses import dataclass

__all__ = ["Record"]


@dataclass(frozen=True)
class Record:
    """Two numbers.

    Attributes:
        x: The first.
    """

    x: int
    y: int
'''


def test_an_undocumented_field_is_found(tree: Path) -> None:
    (tree / "mmlab" / "record.py").write_text(RECORD, encoding="utf-8")
    assert rules.docstrings(tree) == ["mmlab/record.py: Record does not document y"]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "torch.load(file)",
        "numpy.load(file, allow_pickle=True)",
        "numpy.load(file, allow_pickle=flag)",
        "eval(text)",
        "exec(text)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "load(file, weights_only=False)",
        "subprocess.run(command, shell=True)",
        "yaml.load(text)",
    ],
)
def test_reading_what_can_run_is_found(tree: Path, line: str) -> None:
    (tree / "mmlab" / "bad.py").write_text(f"{line}\n", encoding="utf-8")
    assert len(rules.executable_reading(tree)) == 1


@pytest.mark.parametrize("line", ["model.eval()", "numpy.load(file, allow_pickle=False)", "yaml.safe_load(text)"])
def test_harmless_reading_is_not_found(tree: Path, line: str) -> None:
    (tree / "mmlab" / "good.py").write_text(f"{line}\n", encoding="utf-8")
    assert rules.executable_reading(tree) == []


def test_a_folder_that_is_no_package_is_found(tree: Path) -> None:
    (tree / "mmlab" / "methods" / "__init__.py").unlink()
    assert rules.packages(tree) == ["mmlab/methods has no __init__.py"]


def test_a_lost_brace_or_a_key_that_stands_twice_is_found(tree: Path) -> None:
    path = tree / "book" / "references.bib"
    good = path.read_text()
    for bad in (good.replace("}", ""), good + good, good.replace("}", "") + "@misc{later,\n}\n"):
        path.write_text(bad)
        (told,) = rules.references(tree)
        assert told.startswith("book/references.bib is no BibTeX")


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
