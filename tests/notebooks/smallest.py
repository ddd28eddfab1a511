"""A chapter with the smallest parameters that are legal, run in this process from its first cell to its last."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

from mmlab.publish.chapter import Chapter, code_cells
from mmlab.publish.run import parameters

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def chapters() -> list[str]:
    """Stems of the chapters for which such parameters are written down."""
    return sorted(path.stem for path in HERE.glob("*.json"))


def run(stem: str, profile: str) -> None:
    """Run a chapter's code cells in a module of their own.

    Args:
        stem: The chapter.
        profile: ``"cpu"`` or ``"gpu"``; the latter runs on the processor all the same.
    """
    chapter = Chapter(ROOT, stem)
    given = json.loads((HERE / f"{stem}.json").read_text(encoding="utf-8"))
    notebook = chapter.notebook
    tagged = ["".join(c["source"]) for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    cell = tagged[0] if tagged else None
    if cell is not None and "profile" in parameters.declared(cell):
        given["profile"] = profile
    parameters.check(cell, given)
    module = types.ModuleType(f"chapter_{stem}_{profile}")
    sys.modules[module.__name__] = module  # where classes that a cell defines look for their module
    try:
        for number, source in enumerate(code_cells(notebook), start=1):
            exec(compile(source, f"<{stem}, code cell {number}>", "exec"), vars(module))
            if source == cell:
                vars(module).update(given)
    finally:
        del sys.modules[module.__name__]


if __name__ == "__main__":
    os.environ["MMLAB_PROFILE"] = sys.argv[2]
    run(sys.argv[1], sys.argv[2])
