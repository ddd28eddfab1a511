"""The workflows for forks: what they use is pinned, what they may do is little, what they call exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[0].split())

WRITES = {
    ("newest", "report"): {"issues"},
    ("publish", "pages"): {"pages", "id-token"},
    ("publish", "attach"): {"contents"},
}
"""Which jobs may write, and what."""

HARMLESS = re.compile(
    r"hashFiles\('[^$]*'\)|github\.(ref|token|repository|server_url|run_id)|matrix\.python|steps\.deployment\.outputs\.page_url"
)
CHECKOUT = "1af3b93b6815bc44a9784bd300feb67ff0d1eeb3"  # v6.0.0
EVENTS = {"push", "pull_request", "schedule", "workflow_dispatch"}


def problems(name: str, text: str) -> list[str]:
    """What is wrong with a workflow."""
    content = yaml.safe_load(text)
    jobs = content.get("jobs") or {}
    events = content.get("on", content.get(True)) or {}  # YAML 1.1 takes the word for a truth value
    wrong = [f"the event {event}" for event in sorted(set(events) - EVENTS)]
    if content.get("permissions") != {"contents": "read"}:
        wrong.append("permissions of the whole workflow")
    if re.search(r"\bsecrets\b", text):
        wrong.append("a secret")
    wrong += [f"the expression {e}" for e in re.findall(r"\$\{\{ *(.*?) *\}\}", text) if not HARMLESS.fullmatch(e)]
    for label, job in jobs.items():
        if not isinstance(job.get("timeout-minutes"), int) or not 0 < job["timeout-minutes"] <= 120:
            wrong.append(f"{label}: timeout-minutes")
        if job.get("runs-on") != "ubuntu-latest":
            wrong.append(f"{label}: runs-on")
        may = {what for what, right in (job.get("permissions") or {}).items() if right != "read"}
        if may != WRITES.get((name, label), set()):
            wrong.append(f"{label}: permissions")
        needs = job.get("needs", [])
        wrong += [f"{label}: needs {n}" for n in ([needs] if isinstance(needs, str) else needs) if n not in jobs]
        wrong += [f"{label}: {fault}" for step in job["steps"] for fault in step_problems(step)]
    return wrong


def step_problems(step: dict[str, Any]) -> list[str]:
    """What is wrong with a step."""
    if ("uses" in step) == ("run" in step):
        return ["a step neither uses nor runs, or does both"]
    if "uses" in step:
        if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"]):  # a tag can be moved
            return [f"{step['uses']} is not pinned to a commit of an action of GitHub's"]
        kept = step["uses"].startswith("actions/checkout@") and step.get("with", {}).get("persist-credentials", True)
        return ["checkout keeps the token"] if kept else []
    script = step["run"]
    wrong = [f"no target {n}" for n in re.findall(r"\bmake (?:-C \S+ )?([a-z]+)", script) if n not in TARGETS]
    if "${{" in script:  # what an event says would be run
        wrong.append("an expression inside a script")
    if "token" in str(step.get("env", {})) and re.search(r"\b(make|pip|python|mmlab|tar|uv|npm)\s", script):
        wrong.append("a token where code runs that was fetched")
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    return [*wrong, *(["a script with a syntax error"] if checked.returncode else [])]


def _text(name: str) -> str:
    return (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")


pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


def test_the_workflows_are_three() -> None:
    assert [path.stem for path in WORKFLOWS] == ["locked", "newest", "publish"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_keeps_the_rules(path: Path) -> None:
    assert problems(path.stem, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        ("locked", f"checkout@{CHECKOUT}", "checkout@v6", "book: actions/checkout@v6 is not pinned"),
        (
            "locked",
            f"actions/checkout@{CHECKOUT}",
            f"someone/checkout@{CHECKOUT}",
            f"book: someone/checkout@{CHECKOUT} is not pinned",
        ),
        ("locked", "    timeout-minutes: 60\n", "", "book: timeout-minutes"),
        ("locked", "permissions:\n  contents: read\n", "", "permissions of the whole workflow"),
        ("locked", "contents: read", "contents: write", "permissions of the whole workflow"),
        ("locked", "make book", "make cake", "book: no target cake"),
        ("locked", "persist-credentials: false", "fetch-depth: 1", "book: checkout keeps the token"),
        ("locked", "pull_request:", "pull_request_target:", "the event pull_request_target"),
        ("locked", "make book", "make book ${{ github.ref }}", "book: an expression inside a script"),
        ("locked", "github.ref }}", "github.event.issue.title }}", "the expression github.event.issue.title"),
        (
            "newest",
            "          gh release view",
            "          make book\n          gh release view",
            "rebuild: a token where",
        ),
        ("newest", "issues: write", "issues: write\n      contents: write", "report: permissions"),
        ("newest", "${{ github.token }}", "${{ secrets.TOKEN }}", "a secret"),
        ("newest", "needs: [newest, colab, rebuild]", "needs: [newest, other]", "report: needs other"),
        ("newest", "          fi\n", "", "report: a script with a syntax error"),
        ("publish", "needs: release\n", "needs: book\n", "pages: needs book"),
    ],
)
def test_a_workflow_that_breaks_a_rule_is_found(name: str, old: str, new: str, found: str) -> None:
    text = _text(name)
    assert old in text
    assert any(fault.startswith(found) for fault in problems(name, text.replace(old, new)))


def test_they_run_when_they_should() -> None:
    when = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))[True] for path in WORKFLOWS}
    assert set(when["locked"]) == {"push", "pull_request"}
    (clock,) = when["newest"]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", clock["cron"])  # once a week
    assert when["publish"] == {"push": {"tags": ["v*"]}}


def _steps(name: str, label: str) -> list[dict[str, Any]]:
    return yaml.safe_load(_text(name))["jobs"][label]["steps"]


def test_what_they_run() -> None:
    scripts = {
        (path.stem, label): [step["run"].strip() for step in job["steps"] if "run" in step]
        for path in WORKFLOWS
        for label, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
    }
    assert scripts["locked", "book"] == ["make book"]
    assert scripts["locked", "tests"] == ["make test"]
    assert [step["with"]["path"] for step in _steps("locked", "book") if "cache@" in step.get("uses", "")] == ["out"]
    assert scripts["newest", "newest"] == ["make newest", "make book", "make test"]
    assert scripts["newest", "colab"] == ["make colab"]
    assert yaml.safe_load(_text("newest"))["jobs"]["report"]["needs"] == ["newest", "colab", "rebuild"]
    assert scripts["publish", "release"][-2:] == ["make test", "make release"]
    assert "cache" not in _text("newest").split("jobs:")[1]  # a restored cache would hide what is new
    assert yaml.safe_load(_text("newest"))["jobs"]["report"]["if"] == "failure()"
