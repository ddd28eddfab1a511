"""A chapter with the smallest parameters that are legal, run in this process from its first cell to its last."""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mmlab.publish.chapter import Chapter, code_cells
from mmlab.publish.run import parameters

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


def chapters() -> list[str]:
    """Stems of the chapters for which such parameters are written down."""
    return sorted(path.stem for path in HERE.glob("*.json"))


class Profile(str):
    """The name of a profile that notes whether anything looked at it."""

    __slots__ = ("looked",)

    def __getattribute__(self, name: str) -> Any:
        if name != "looked":
            object.__setattr__(self, "looked", True)
        return object.__getattribute__(self, name)


def _noting(name: str) -> Any:
    def method(self: Profile, *arguments: Any) -> Any:
        object.__setattr__(self, "looked", True)
        return str(arguments[0]) + str.__str__(self) if name == "__radd__" else getattr(str, name)(self, *arguments)

    return method


_LOOKS = "eq ne lt gt hash str repr format len iter contains getitem add radd mod"
for _name in _LOOKS.split():  # Python finds these in the class, past __getattribute__
    setattr(Profile, f"__{_name}__", _noting(f"__{_name}__"))


def parameters_of(stem: str) -> str | None:
    """The source of a chapter's cell of parameters; None if it has none."""
    notebook = Chapter(ROOT, stem).notebook
    tagged = ["".join(c["source"]) for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    return tagged[0] if tagged else None


@contextmanager
def small_figures() -> Iterator[None]:
    """Figures are drawn once and coarsely, where they stand: to lay one out, its axes are measured over and over."""
    save = Figure.savefig

    def coarse(figure: Figure, place: Any, **how: Any) -> None:
        if how.get("format") == "png":
            figure.set_dpi(50)
            figure.set_layout_engine("none")
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            Image.fromarray(np.asarray(canvas.buffer_rgba())).save(place, "png")
        else:
            save(figure, place, **how)

    with mock.patch.object(Figure, "savefig", coarse):
        yield


def run(stem: str, profile: str) -> bool:
    """Run a chapter's code cells in a module of their own.

    Args:
        stem: The chapter.
        profile: ``"cpu"`` or ``"gpu"``; the latter runs on the processor all the same.

    Returns:
        Whether any cell looked at the profile: if not, another one would have run the same.
    """
    chapter = Chapter(ROOT, stem)
    given = json.loads((HERE / f"{stem}.json").read_text(encoding="utf-8"))
    notebook = chapter.notebook
    cell = parameters_of(stem)
    if cell is not None and "profile" in parameters.declared(cell):
        given["profile"] = profile
    parameters.check(cell, given)
    watched = Profile(profile)
    watched.looked = False
    given |= {"profile": watched} if "profile" in given else {}
    module = types.ModuleType(f"chapter_{stem}_{profile}")
    sys.modules[module.__name__] = module  # where classes that a cell defines look for their module
    try:
        with small_figures():
            for number, source in enumerate(code_cells(notebook), start=1):
                exec(compile(source, f"<{stem}, code cell {number}>", "exec"), vars(module))
                if source == cell:
                    vars(module).update(given)
    finally:
        del sys.modules[module.__name__]
    return watched.looked


if __name__ == "__main__":
    os.environ["MMLAB_PROFILE"] = sys.argv[2]
    run(sys.argv[1], sys.argv[2])
