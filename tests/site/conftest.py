"""A small book with all that a chapter may hold, built once, and served on this machine."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from filelock import FileLock

from mmlab.publish import build, execute_all
from mmlab.publish.chapter import Chapter
from mmlab.publish.run import key, launch

HERE = key.PACKAGE.parent

TOC = """\
format: jb-book
root: book/intro
parts:
  - caption: Chapters
    chapters:
      - file: book/parts/translation
      - file: notebooks/rich
      - file: notebooks/bridge_matching
  - caption: Reference
    chapters:
      - file: book/map
      - file: book/status
      - file: book/claims
      - file: book/api
      - file: book/how_to/read_a_receipt
      - file: book/bibliography
"""

BRIDGE = """
# %% [markdown]
# # A small bridge

# %% tags=["parameters"]
profile = "cpu"

# %%
from mmlab.viz import record

record(rmse=[0.1, 0.2], mean_shift={"RMSE": [0.3, 0.1]})
"""

RICH = r"""
# %% [markdown]
# # A rich chapter
#
# A citation {cite}`finn2015` and a formula,
#
# $$
# X_t = (1 - t) x_0 + t x_1
# $$ (bridge)
#
# which {eq}`bridge` numbers.

# %% tags=["parameters"]
sigma = 0.5

# %%
import matplotlib.pyplot as plt
import pandas as pd

from mmlab.viz import frames, record, say, show, table


def draw(sigma, steps=2):
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([0, sigma], [0, steps])
    return figure


# %%
show(draw(sigma), alt=f"A line that ends at {sigma}.", caption=rf"A line with $\sigma = {sigma}$.")

# %%
say(rf"The answer is **{sigma}**, since $\beta = {sigma}^2$ by {{cite}}`amico2018`.")
record(answer=sigma)

# %%
table(pd.DataFrame({"RMSE": [0.2, 0.1]}, index=["mean", "bridge"]), r"Errors at $\sigma$", best={"RMSE": "lower"})

# %%
frames(
    {"sigma": [1, 2], "steps": [5, 50, 500]},
    draw,
    lambda sigma, steps: f"A line to {sigma} and {steps}.",
    r"Turn $\sigma$.",
)

# %% [markdown]
# ```{exercise} Twice as wide
# :label: wide
#
# What if $\sigma$ doubles?
# ```

# %% [markdown]
# ```{solution-start} wide
# :class: dropdown
# ```

# %%
solution = 2 * sigma
say(f"It is {solution} then.")

# %% [markdown]
# ```{solution-end}
# ```
"""

INTRO = """\
# Hello

<!-- generated: edition -->

See [the chapter](../notebooks/rich.ipynb).

## All chapters

<!-- generated: contents -->
"""


def lay_out(root: Path) -> Path:
    """Write the sources of the small book."""
    pages = ("bibliography", "how_to/read_a_receipt", "map", "parts/translation", "status", "claims")
    for name in ("_config.yml", "CITATION.cff", "book/references.bib", *(f"book/{page}.md" for page in pages)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / name, root / name)
    (root / "notebooks").mkdir()
    shutil.copytree(HERE / "book" / "_static", root / "book" / "_static")
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "intro.md").write_text(INTRO)
    (root / "book" / "api.md").write_text(
        "# API\n\n<!-- modules: mmlab.card mmlab.publish.run.rec* mmlab.methods.bridge_matching -->\n"
    )
    (root / "notebooks" / "rich.py").write_text(RICH)
    (root / "notebooks" / "bridge_matching.py").write_text(BRIDGE)
    return root


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the small book, built. Parallel test processes share one build."""
    base = tmp_path_factory.getbasetemp()
    # Of parallel processes each has a folder inside that of the run; a single one must not look outside its own.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small-book"
    with FileLock(f"{shared}.lock"):
        if not (shared / "done").exists():
            shutil.rmtree(shared, ignore_errors=True)
            lay_out(shared)
            chapter = Chapter(shared, "bridge_matching")
            chapter.committed.write_text(chapter.plain, encoding="utf-8")
            with mock.patch.object(launch, "factor", return_value=1.25):  # measuring it takes seconds
                execute_all(["rich", "bridge_matching"], root=shared)
            build(root=shared)
            (shared / "done").touch()
    return shared


@pytest.fixture(scope="session")
def address(book: Path) -> Iterator[str]:
    """Where the small book is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(book / "out" / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()
