"""A small book in a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmlab.publish.run import launch

CONFIG = """\
repository:
  url: https://example.org/someone/book
  branch: trunk
"""


@pytest.fixture(autouse=True)
def speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is not measured anew for the tests' runs, which takes seconds: one test of the runner does it."""
    monkeypatch.setattr(launch, "factor", lambda together=1: 1.25)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder of a book without chapters."""
    folder = tmp_path / "book"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "lock").mkdir()
    (folder / "lock" / "cpu.txt").write_text("torch==1\n")
    (folder / "_config.yml").write_text(CONFIG)
    return folder


@pytest.fixture
def write(root: Path) -> Callable[..., Path]:
    """Write a chapter from the sources of its code cells; a first line ``# parameters`` tags a cell."""

    def write(stem: str, *cells: str) -> Path:
        pieces = [f"# %% [markdown]\n# # {stem}\n"]
        for cell in cells:
            tagged = cell.startswith("# parameters\n")
            header = '# %% tags=["parameters"]' if tagged else "# %%"
            pieces.append(f"{header}\n{cell.removeprefix('# parameters')}".rstrip() + "\n")
        path = root / "notebooks" / f"{stem}.py"
        path.write_text("\n".join(pieces))
        return path

    return write
