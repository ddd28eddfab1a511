"""The project's papers agree with each other: versions, pins, addresses, commands, tables."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import mmlab
from mmlab.command.scaffold import TABLE_END, TABLE_START, methods_table
from mmlab.publish.site import landing
from mmlab.registry import list_methods

ROOT = Path(__file__).parents[2]
UNWANTED = re.compile(r"nvidia|^triton$|^torchvision$|^timm$|^open-clip")


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _project() -> dict[str, Any]:
    return tomllib.loads(_text("pyproject.toml"))["project"]


def _requirements() -> list[str]:
    """What the environments hold: everything but the extra for trackers, of which the tests need one only."""
    extras = _project()["optional-dependencies"]
    extras.pop("tracking")
    lines = [*_project()["dependencies"], *(line for extra in extras.values() for line in extra)]
    return list(dict.fromkeys(lines))  # an extra may repeat what another asks for


def _pins() -> dict[str, Version]:
    pins = re.findall(r"^([\w.-]+)==(\S+) \\$", _text("lock/cpu.txt"), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in pins}


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load(_text("CITATION.cff"))
    assert mmlab.__version__ == _project()["version"] == citation["version"]


def test_the_landing_page_says_who_wrote_which_version() -> None:
    citation = yaml.safe_load(_text("CITATION.cff"))
    who = ", ".join(author["name"] for author in citation["authors"]).replace("The ", "the ")
    assert "\n<!-- generated: edition -->\n" in _text("book/intro.md")
    assert landing.edition(ROOT, []) == f"By {who} · version {citation['version']}\n"


def test_the_path_for_one_evening_has_five_chapters() -> None:
    evening = _text("book/intro.md").split("## One evening")[1].split("## ")[0]
    stems = re.findall(r"^\d\. \[.+?\]\(\.\./notebooks/(\w+)\.ipynb\)", evening, re.MULTILINE)
    assert len(set(stems)) == 5
    assert all((ROOT / "notebooks" / f"{stem}.py").exists() for stem in stems)


def test_conda_and_pip_ask_for_the_same() -> None:
    environment = yaml.safe_load(_text("environment.yml"))
    *conda, pip = environment["dependencies"]
    assert [line for line in pip["pip"] if not line.startswith("--editable")] == _requirements()
    python = next(line for line in conda if line.startswith("python"))
    assert SpecifierSet(python.removeprefix("python ")) == SpecifierSet(_project()["requires-python"])


def test_the_makefile_takes_the_pythons_that_the_package_takes() -> None:
    low, high = (tuple(map(int, found)) for found in re.findall(r"\((\d+), (\d+)\)", _text("Makefile")))
    allowed = SpecifierSet(_project()["requires-python"])
    taken = [(3, minor) for minor in range(8, 30) if f"3.{minor}" in allowed]
    assert (low, high) == (taken[0], taken[-1])
    assert f"Python {low[0]}.{low[1]} to {high[0]}.{high[1]}" in _text("README.md")


@pytest.mark.parametrize("line", _requirements())
def test_the_lock_satisfies(line: str) -> None:
    requirement = Requirement(line)
    assert requirement.specifier.contains(_pins()[canonicalize_name(requirement.name)])


def test_the_lock_is_exact_and_free_of_what_breaks() -> None:
    lines = [line.removesuffix(" \\") for line in _text("lock/cpu.txt").splitlines() if not line.startswith(" ")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", line) for line in lines)  # no label such as +cpu
    assert len(_pins()) == len(lines)
    assert [name for name in _pins() if UNWANTED.search(name)] == []
    assert _pins()["jupyter-book"].major == 1
    constraints = [Requirement(line) for line in _text("lock/constraints.txt").splitlines()]
    assert {str(c) for c in constraints} == {"torch==2.13.0"}
    assert all(c.specifier.contains(_pins()[c.name]) for c in constraints)


def test_addresses_stand_in_one_place() -> None:
    config = yaml.safe_load(_text("_config.yml"))
    repository, site = config["repository"]["url"], config["html"]["baseurl"]
    citation = yaml.safe_load(_text("CITATION.cff"))
    assert _project()["urls"] == {"Homepage": site, "Repository": repository}
    assert (citation["url"], citation["repository-code"]) == (site, repository)
    assert f"<{site}>" in _text("README.md")


def test_the_readme_has_the_table_of_methods() -> None:
    between = _text("README.md").split(TABLE_START)[1].split(TABLE_END)[0]
    assert between.strip() == methods_table(list_methods())


def test_the_readme_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", _text("README.md"), re.DOTALL)
    check = "assert motor.shape == (40, 120) and motor.isfinite().all() and len(history.values()) == 200"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    command = [sys.executable, "-W", "error", "-c", f"{example}\n{check}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out" / "bridge").iterdir()} >= {"README.md", "model.safetensors"}


def test_the_readme_groups_the_methods_by_family_and_name() -> None:
    cards = list_methods()
    rows = dict(re.findall(r"^\| ([^|]+) \| (\[.+) \|$", methods_table(cards), re.MULTILINE))
    assert set(rows) == {card.family for card in cards.values()}
    for stem, card in cards.items():
        assert f"[{card.name}](notebooks/{card.chapter or stem}.ipynb)" in rows[card.family]
    for row in rows.values():
        names = re.findall(r"\[(.+?)\]", row)
        assert names == sorted(names, key=str.casefold)


def test_the_readme_is_no_wall() -> None:
    assert len(_text("README.md").splitlines()) <= 90


def test_what_the_readme_does_from_the_shell_runs(tmp_path: Path) -> None:
    lines = re.findall(r"^mmlab (train .+)$", _text("README.md"), re.MULTILINE)
    assert len(lines) >= 2
    for line in lines:
        command = [sys.executable, "-m", "mmlab.cli", *line.split()]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md"])
def test_what_the_papers_name_exists(path: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", _text(path))
    assert [link for link in links if not (ROOT / link).exists()] == []
    targets = set(re.findall(r"^([a-z]+):", _text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"`make (?:\w+=\S+ )?([a-z]+)", _text(path)))
    named |= set(re.findall(r"^make (?:\w+=\S+ )?([a-z]+)", _text(path), re.MULTILINE))
    assert named
    assert named <= targets


def test_make_help_lists_every_target() -> None:
    if shutil.which("make") is None:
        pytest.skip("no make")
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.findall(r"^\.PHONY: (.*)$", _text("Makefile"), re.MULTILINE)[0].split()
    assert set(re.findall(r"^  make (\w+)", listed, re.MULTILINE)) == set(phony)


def test_continuous_integration_runs_the_two_commands() -> None:
    lines = _text(".ci/run").splitlines()
    assert "set -euo pipefail" in lines
    assert lines[-2:] == ["make book", "make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_data_files_are_part_of_the_package() -> None:
    patterns = tomllib.loads(_text("pyproject.toml"))["tool"]["setuptools"]["package-data"]["mmlab"]
    packed = {path for pattern in patterns for path in (ROOT / "mmlab").glob(pattern)}
    others = {path for path in (ROOT / "mmlab").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert packed == others


@pytest.mark.parametrize(
    ("module", "line", "kept"),
    [
        ("nn/time.py", "", True),
        ("nn/time.py", "import mmlab.methods.bridge_matching", False),
        ("train/ema.py", "import mmlab.publish.project", False),
        ("data/tensors.py", "import mmlab.metrics.connectome", False),
        ("misplaced.py", "", False),
    ],
)
def test_arrows_point_down_and_the_contract_can_break(module: str, line: str, kept: bool, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mmlab", tmp_path / "mmlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "mmlab" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert (done.returncode == 0) == kept, done.stdout.decode()


def test_every_pin_has_hashes_and_nothing_else_is_installed() -> None:
    """A file that was exchanged at its source is refused, and what is not in the lock is not installed with it."""
    blocks = re.split(r"^(?=\S)", _text("lock/cpu.txt"), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(_pins())
    for block in blocks:
        first, *hashes = [line.strip().removesuffix(" \\") for line in block.splitlines()]
        assert hashes, first
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in hashes), first
        assert len(set(hashes)) == len(hashes), first
    setup = next(line for line in _text("Makefile").splitlines() if "--require-hashes" in line)
    assert "--no-deps" in setup


def test_no_two_test_modules_share_a_name() -> None:
    """Pytest imports them by their name alone, but for those in packages."""
    found = [path for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    names = sorted(path.name for path in found)
    assert [name for name in names if names.count(name) > 1] == []
