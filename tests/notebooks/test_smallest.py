"""Every chapter runs to its end with the smallest legal parameters, in both profiles: one seed, two steps.

The ``gpu`` profile runs on the processor here, with its sizes cut, so that its branch of the code is not first tried on
a reader's machine.
"""

from __future__ import annotations

import json
import warnings

import pytest

from mmlab.publish.chapter import Chapter, chapters
from mmlab.publish.run import parameters
from notebooks import smallest


def test_every_chapter_has_its_smallest_parameters() -> None:
    assert set(smallest.chapters()) == {chapter.stem for chapter in chapters(smallest.ROOT)}


@pytest.mark.parametrize("stem", smallest.chapters())
def test_they_are_parameters_of_the_chapter(stem: str) -> None:
    given = json.loads((smallest.HERE / f"{stem}.json").read_text(encoding="utf-8"))
    notebook = Chapter(smallest.ROOT, stem).notebook
    tagged = ["".join(c["source"]) for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    parameters.check(tagged[0] if tagged else None, given)
    assert "profile" not in given


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
@pytest.mark.parametrize("stem", smallest.chapters())
def test_a_chapter_runs_to_its_end(
    stem: str, profile: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp(stem))
    monkeypatch.setenv("MMLAB_PROFILE", profile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two steps on three items are no subject for statistics
        smallest.run(stem, profile)
