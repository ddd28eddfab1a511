"""Every chapter runs to its end with the smallest legal parameters, in both profiles: one seed, two steps.

The ``gpu`` profile runs on the processor here, with its sizes cut, so that its branch of the code is not first tried on
a reader's machine.
"""

from __future__ import annotations

import json
import warnings

import pytest

from mmlab.publish.chapter import chapters
from mmlab.publish.run import parameters
from notebooks import smallest


def test_every_chapter_has_its_smallest_parameters() -> None:
    assert set(smallest.chapters()) == {chapter.stem for chapter in chapters(smallest.ROOT)}


@pytest.mark.parametrize("stem", smallest.chapters())
def test_they_are_parameters_of_the_chapter(stem: str) -> None:
    given = json.loads((smallest.HERE / f"{stem}.json").read_text(encoding="utf-8"))
    parameters.check(smallest.parameters_of(stem), given)
    assert "profile" not in given


@pytest.mark.slow
@pytest.mark.timeout(1500)  # where no book was made before, the first chapter of a base trains it
@pytest.mark.parametrize("stem", smallest.chapters())
def test_a_chapter_runs_to_its_end(
    stem: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the profile ``cpu``, and in ``gpu`` if anything that ran looked at the profile: else it would run the same."""
    for profile in ("cpu", "gpu"):
        monkeypatch.chdir(tmp_path_factory.mktemp(stem))
        monkeypatch.setenv("MMLAB_PROFILE", profile)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # two steps on three items are no subject for statistics
            if not smallest.run(stem, profile):
                return


@pytest.mark.parametrize(
    ("code", "looks"),
    [
        ("steps = steps or {'cpu': 1, 'gpu': 2}[profile]", False),
        ("other = profile", False),
        ("steps = {'cpu': 1, 'gpu': 2}[profile]", True),
        ("large = profile == 'gpu'", True),
        ("large = profile != 'cpu'", True),
        ("large = 'gpu' == profile", True),
        ("large = profile in ('gpu',)", True),
        ("text = f'{profile}'", True),
        ("text = 'on ' + profile", True),
        ("large = profile.startswith('g')", True),
        ("text = str(profile)", True),
    ],
)
def test_who_looks_at_the_profile_is_noticed(code: str, looks: bool) -> None:
    profile = smallest.Profile("gpu")
    profile.looked = False
    exec(code, {"profile": profile, "steps": 3})
    assert profile.looked == looks
