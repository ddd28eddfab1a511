"""Notes: the pitch is where it is said, families behave as families, and captions say the truth as often as asked."""

from __future__ import annotations

import pytest
import torch

from mmlab.data.worlds.notes import FAMILIES, FILLERS, INSTRUMENTS, WORDS, captions_of, kinship, play


def test_the_same_seed_gives_the_same_notes_of_all_instruments() -> None:
    one, again, other = play(3), play(3), play(3, seed=1)
    assert torch.equal(one.sound, again.sound)
    assert not torch.equal(one.sound, other.sound)
    assert one.sound.shape == (36, 32, 32)
    assert one.label.tolist() == [k for k in range(12) for _ in range(3)]
    assert len(one) == 36


def test_the_lowest_partial_is_in_the_band_of_the_pitch_and_plucked_notes_fade() -> None:
    made = play(6, noise=0.0)
    steady = made.sound[:, :, 8:24].mean(2)  # (N, 32)
    flute = made.label == INSTRUMENTS.index("flute")
    strongest = steady[flute][:, :8].argmax(1)
    assert (strongest >= made.pitch[flute] / 125 - 1.6).all()
    assert ((strongest - made.pitch[flute] / 125).abs() < 1.6).float().mean() > 0.5
    fade = made.sound[:, :, 2:6].mean((1, 2)) - made.sound[:, :, -4:].mean((1, 2))
    plucked = made.label // 3 == FAMILIES.index("plucked")
    assert fade[plucked].min() > fade[~plucked].max()


def test_captions_tell_the_truth_as_often_as_asked() -> None:
    made = play(40)
    for named in (0.0, 0.3, 1.0):
        told = captions_of(made, named, torch.Generator().manual_seed(0))
        assert told.shape == (480, 6)
        has = told[:, 0] < 12
        assert abs(float(has.float().mean()) - named) < 0.06
        assert torch.equal(told[has, 0], made.label[has])
        kin = told[:, 1] < WORDS.index("low")
        assert torch.equal(told[kin, 1] - 12, (made.label // 3)[kin])
        register = (told[:, 2] >= WORDS.index("low")) & (told[:, 2] <= WORDS.index("high"))
        high = told[:, 2] == WORDS.index("high")
        assert (made.pitch[high] > 380).all()
        assert 0.4 < float(register.float().mean()) < 0.6
        assert (told[:, 4:] >= WORDS.index(FILLERS[0])).all()
    with pytest.raises(ValueError, match="named=2"):
        captions_of(made, 2, torch.Generator())
    with pytest.raises(ValueError, match="noise=-1"):
        play(1, noise=-1)


def test_kinship_is_symmetric_and_by_family() -> None:
    S = kinship()
    assert torch.equal(S, S.T)
    violin, cello, harp, oboe, tuba = (INSTRUMENTS.index(name) for name in ("violin", "cello", "harp", "oboe", "tuba"))
    assert [int(S[violin, other]) for other in (violin, cello, harp, oboe)] == [3, 2, 1, 0]
    assert S[oboe, tuba] == 1
