"""A book of any number of chapters and methods, made of copies of those that there are, as if all had run."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUT = 400_000  # characters of output in a chapter, about as many as there are on average

_AS_IF = """
import dataclasses, json, sys
from datetime import UTC, datetime
from pathlib import Path

from mmlab.publish import project
from mmlab.publish.chapter import listed
from mmlab.publish.run import cache
from mmlab.publish.run.runner import _blank
from mmlab.publish.site import build, staging
from mmlab.store.folders import seal

root = Path.cwd()
for chapter in listed(root):
    notebook = chapter.notebook
    shown = {"output_type": "display_data", "data": {"text/html": [sys.stdin.read(OUTPUT)]}, "metadata": {}}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        cell |= {"execution_count": number, "outputs": [shown] if number == 2 else []}
    receipt = dataclasses.replace(_blank(chapter, "cpu", chapter.inputs("cpu", {})), status="ok", reason="first run")
    folder = root / "out" / "cpu"
    folder.mkdir(parents=True, exist_ok=True)
    cache.store(chapter.target(folder), chapter.notebook, notebook, receipt)
site = root / "out" / "site"
for page in ["index", *project.toc_entries(root)]:
    (site / page).parent.mkdir(parents=True, exist_ok=True)
    (site / f"{page}.html").write_text("<p>A page.</p>" * 5000)
state = staging.state(root, staging.receipts(root, root / "out" / "cpu")[0])
seal(site, f"{state} {build._renderer_versions()}")
"""


def grow(folder: Path, chapters: int) -> Path:
    """Lay out a book with so many chapters, and as many methods beyond those that there are; none is run.

    Args:
        folder: Where to put it.
        chapters: How many. Copies have a number behind their stem, and modules, exercises and labels of their own.
    """
    folder.mkdir(parents=True)
    for name in ("mmlab", "notebooks", "book", "lock"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("_config.yml", "_toc.yml", "CITATION.cff", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    own = {path.stem for path in (folder / "notebooks").glob("*.py")}  # some methods share a chapter
    methods = sorted(path.stem for path in (folder / "mmlab" / "methods").glob("*.py") if path.stem in own)
    there = len(list((folder / "notebooks").glob("*.py")))
    for number, stem in zip(range(chapters - there), cycle(methods), strict=False):
        _copy(folder, stem, f"{stem}_{number}")
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "mmlab.cli", "book", "sync"], cwd=folder, env=environment, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    letters = random.Random(0)
    outputs = "".join(letters.choices("abcdefghijklmnopqrstuvwxyz0123456789+/", k=OUTPUT)) * chapters
    program = _AS_IF.replace("OUTPUT", str(OUTPUT))
    subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, check=True, input=outputs, text=True)
    return folder


def _copy(folder: Path, stem: str, new: str) -> None:
    for room in ("mmlab/methods", "mmlab/exercises", "notebooks"):
        source = folder / room / f"{stem}.py"
        if source.exists():
            text = re.sub(rf"(mmlab\.(?:methods|exercises))\.{stem}\b", rf"\1.{new}", source.read_text("utf-8"))
            text = re.sub(r"(:label: |\{exercise-start\} |\{solution-start\} )(\S+)", rf"\1\2-{new}", text)
            (folder / room / f"{new}.py").write_text(text, encoding="utf-8")
    contents = folder / "_toc.yml"
    line = f"      - file: notebooks/{stem}\n"
    text = contents.read_text(encoding="utf-8")
    if line not in text:
        raise ValueError(f"_toc.yml has no line {json.dumps(line)}.")
    contents.write_text(text.replace(line, f"{line}      - file: notebooks/{new}\n"), encoding="utf-8")
