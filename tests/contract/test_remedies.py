"""Remedies that errors name can be followed: each command, argument, name and variable in a raised message exists."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from mmlab.command.cli import app

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mmlab"
TARGETS = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


class Message(NamedTuple):
    """What is raised somewhere: the text, with ``{}`` for what is filled in, and the arguments known there."""

    place: str
    text: str
    parameters: frozenset[str]


def text_of(node: ast.AST) -> str:
    """The constant text below a node, in order."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.FormattedValue):
        return "{}"
    return "".join(text_of(child) for child in ast.iter_child_nodes(node))


def messages(path: Path) -> Iterator[Message]:
    """All messages that a module raises, and the arguments that its room knows."""
    tree = ast.parse(path.read_text("utf-8"))
    known = parameters_of_room(path.parent)
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            text = " ".join(text_of(argument) for argument in node.exc.args)
            if text.strip():
                yield Message(f"{path.relative_to(ROOT)}:{node.lineno}", text, known)


@cache
def parameters_of_room(folder: Path) -> frozenset[str]:
    """Names of all arguments and fields in the modules of a folder; read once, since each of its modules asks."""
    return frozenset().union(*(parameters(path) for path in folder.glob("*.py")))


def parameters(path: Path) -> frozenset[str]:
    """Names of all arguments and fields in a module."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = {a.arg for f in functions for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)}
    fields = (n.target for n in ast.walk(tree) if isinstance(n, ast.AnnAssign))
    return frozenset(found | {target.id for target in fields if isinstance(target, ast.Name)})


FOUND = [message for path in sorted(PACKAGE.rglob("*.py")) for message in messages(path)]


def command_fault(words: list[str]) -> str:
    """Why a command cannot be typed; empty if it can."""
    if words[0] == "make":
        return "" if len(words) < 2 or words[1] in TARGETS or "=" in words[1] else f"make has no target {words[1]}"
    node: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(node, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in node.commands:
            return f"mmlab has no command {rest[0]}"
        node, rest = node.commands[rest[0]], rest[1:]
    known = {option for parameter in node.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return next((f"{node.name} has no {w}" for w in rest if w.startswith("--") and w.split("=")[0] not in known), "")


def faults(message: Message) -> list[str]:
    """What a message tells people to use that is not there."""
    wrong = []
    commands = re.findall(r"`((?:mmlab|make) [^`]*)`", message.text)
    commands += re.findall(r"check: ((?:mmlab|make) [^)]*)\)", message.text)
    wrong += [fault for command in commands if (fault := command_fault(shlex.split(command)))]
    for name in re.findall(r"\b(?:pass|give|choose|change|or) ([a-z_]+)=(?!=)", message.text):
        if name not in message.parameters and name != "token":
            wrong.append(f"no function of that room takes {name}")
    for name in re.findall(r"\bmmlab(?:\.[a-z_0-9]+)+(?:\.[A-Za-z_]+)?", message.text):
        if not importable(name):
            wrong.append(f"there is no {name}")
    known = {"MMLAB_DATA", "MMLAB_CACHE", "MMLAB_OFFLINE", "MMLAB_DEBUG", "HF_HUB_OFFLINE", "MMLAB_METRICS"}
    wrong += [
        f"no variable {name}" for name in re.findall(r"\b(?:MMLAB|HF)_[A-Z_]+", message.text) if name not in known
    ]
    return wrong


def importable(name: str) -> bool:
    """Whether a dotted name is a module of the package or something in one."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_there_are_messages_to_look_at() -> None:
    assert len(FOUND) > 300
    assert sum("`mmlab" in message.text or "check: mmlab" in message.text for message in FOUND) >= 3


def test_every_remedy_names_what_is_there() -> None:
    assert [f"{message.place}: {fault}" for message in FOUND for fault in faults(message)] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Run `make cake` first.", "make has no target cake"),
        ("See `mmlab data lst`.", "mmlab has no command lst"),
        ("See `mmlab data list --long`.", "list has no --long"),
        ("Pass or pass strictly=False to leave it out.", "no function of that room takes strictly"),
        ("Use mmlab.metrics.connectome.nothing.", "there is no mmlab.metrics.connectome.nothing"),
        ("Set MMLAB_DATAS.", "no variable MMLAB_DATAS"),
        ("put it there (check: mmlab data verifi mnist).", "mmlab has no command verifi"),
    ],
)
def test_a_remedy_that_cannot_help_is_found(text: str, fault: str) -> None:
    assert faults(Message("here", text, frozenset({"strict"}))) == [fault]


def test_who_joins_by_subject_can_leave_subjects_out() -> None:
    """The remedy `strict=False` is named by what they call: each of them must take it."""
    seen = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            calls = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
            if any(isinstance(c, ast.Attribute) and ast.unparse(c) == "ConnectomePairs.join" for c in calls):
                names = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
                reads_files = "folder" in names
                assert "strict" in names or not reads_files, f"{path.name}: {node.name}"
                seen += reads_files
    assert seen >= 2


def test_the_name_of_an_argument_in_a_message_is_a_parameter_where_it_is_checked() -> None:
    from mmlab.data.sets.neuromatch_hcp import neuromatch_hcp
    from mmlab.data.sets.time_series_folder import time_series_pairs

    for function in (neuromatch_hcp, time_series_pairs):
        assert inspect.signature(function).parameters["strict"].default is True
