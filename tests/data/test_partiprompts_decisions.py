"""The votes on retrieved and generated pictures: the real file where it is there, and damage in a small one."""

import os

import pytest

from mmlab.data.sets.partiprompts_decisions import CHOICES, partiprompts_decisions

HEAD = "Prompt\tCategory\tChallenge\tNote\tDecisions\n"


def test_a_small_file(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="mmlab data fetch"):
        partiprompts_decisions()
    path = tmp_path / "partiprompts_decisions" / "PartiPromptsAllDecisions_Realism.tsv"
    path.parent.mkdir()
    path.write_text(f'{HEAD}a "dog"\tx\ty\tz\tgen,ret,same\na "dog"\tx\ty\tz\tret,ret\n', encoding="utf-8")
    assert partiprompts_decisions("Realism") == {'a "dog"': ("gen", "ret", "same"), 'a "dog" (2)': ("ret", "ret")}
    path.write_text(f"{HEAD}a dog\tx\ty\tz\tgen,best\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: 'gen,best' are no votes"):
        partiprompts_decisions("Realism")
    with pytest.raises(ValueError, match="'Alignment' or 'Realism'"):
        partiprompts_decisions("Beauty")


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("MMLAB_DATA"), reason="MMLAB_DATA is not set")
@pytest.mark.parametrize("question", ["Alignment", "Realism"])
def test_the_real_file(question):
    votes = partiprompts_decisions(question)
    assert len(votes) == 1632
    assert sorted({len(given) for given in votes.values()}) in ([5], [4, 5])
    assert {choice for given in votes.values() for choice in given} == set(CHOICES)
