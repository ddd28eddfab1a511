"""What several chapters start from is trained once, beside the chapters that do not need it, outside their budget."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from mmlab import bases
from mmlab.publish.chapter import Chapter
from mmlab.publish.run import key
from mmlab.syntax import parse

__all__ = ["after", "needed", "shared", "train_shared"]

_BASES = Path(bases.__file__).parent
_CALL = "import sys; from importlib import import_module; getattr(import_module(sys.argv[1]), sys.argv[2])()"


@cache
def shared() -> dict[str, str]:
    """By module of :mod:`mmlab.bases`, the function that trains what chapters share.

    It is named in :data:`mmlab.bases.SHARED`, or has the module's own name and needs no argument.
    """
    paths = sorted(_BASES.glob("*.py"))
    return {path.stem: path.stem for path in paths if _is_called_alone(path)} | bases.SHARED


def _is_called_alone(path: Path) -> bool:
    """Whether a module has a function of its own name that needs no argument."""
    of_that_name = (
        node
        for node in parse(path.read_text(encoding="utf-8"), str(path)).body
        if isinstance(node, ast.FunctionDef) and node.name == path.stem
    )
    return any(len(node.args.args) == len(node.args.defaults) for node in of_that_name)


def needed(chapters: Sequence[Chapter]) -> list[str]:
    """The modules of :mod:`mmlab.bases` that the sources of some chapters name."""
    texts = [chapter.source.read_text(encoding="utf-8-sig") for chapter in chapters]
    return [name for name in shared() if any(f"mmlab.bases.{name} " in text for text in texts)]


def after(names: Sequence[str]) -> dict[str, list[str]]:
    """Which of some trainings each of them waits for: those whose function its module imports.

    Args:
        names: Modules of :mod:`mmlab.bases`; one that is named twice counts once.

    Returns:
        By module, the others that come first. The modules that most others wait for stand first.
    """
    names = list(dict.fromkeys(names))
    sources = {name: parse((_BASES / f"{name}.py").read_text(encoding="utf-8"), f"{name}.py") for name in names}
    imported = {
        name: {
            (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for name, tree in sources.items()
    }
    waits = {
        name: [first for first in names if (f"mmlab.bases.{first}", shared()[first]) in imported[name]]
        for name in names
    }
    return dict(sorted(waits.items(), key=lambda item: -sum(item[0] in firsts for firsts in waits.values())))


def train_shared(name: str, stop: threading.Event, say: Callable[[str], None] | None = None) -> None:
    """Train one model that chapters share, if it is not kept yet, in a process of its own.

    A training that fails stops nothing: the chapters that need it try again, and say what is wrong.

    Args:
        name: Its module in :mod:`mmlab.bases`.
        stop: When set, the training is ended.
        say: Called with a sentence if it took more than a few seconds.
    """
    command = [sys.executable, "-c", _CALL, f"mmlab.bases.{name}", shared()[name]]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **one_thread, "PYTHONPATH": str(key.PACKAGE.parent), "HF_HUB_OFFLINE": "1"}
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while process.poll() is None and not stop.wait(0.2):
                pass
        finally:
            process.kill()
    if say and process.returncode == 0 and (took := time.monotonic() - began) > 20:
        say(f"{shared()[name]}: trained in {took:.0f} s, for all chapters that start from it")
