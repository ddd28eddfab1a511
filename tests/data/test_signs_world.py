"""The world of signs: its answers can be found, in whichever form of Unicode the text is spelt."""

import unicodedata

import pytest
import torch

from mmlab.data.words import normal, words
from mmlab.data.worlds.signs_world import COLOURS, form_of, signs_world, syllables


def test_names_are_one_word_each_in_nfc_and_differ():
    names = syllables(300)
    assert len(set(names)) == 300
    assert all(words(name) == [name] and unicodedata.is_normalized("NFC", name) for name in names)
    assert sum(not name.isascii() for name in names) > 200


def test_the_form_of_a_word_is_that_of_its_letters_not_of_their_codes():
    assert torch.equal(form_of("phở"), form_of(unicodedata.normalize("NFD", "phở")))
    assert not torch.allclose(form_of("phở"), form_of("pho"))


def test_answers_to_copy_stand_in_the_picture_and_seen_names_in_the_vocabulary():
    world = signs_world()
    for unseen in (False, True):
        made = world.draw(200, 1, unseen=unseen)
        items = made.items.tensors
        for i, kind in enumerate(made.kinds):
            if kind != "copy":
                continue
            assert items["answer_ocr"][i, :2].any(1).all()
            slot = int(items["answer_ocr"][i, 1].nonzero()[0])
            assert normal(made.texts[i][slot]) == made.answers[i][1]
            assert bool(items["answer"][i, 1] == 0) is unseen
        right = items["answer"].clone()
        slots = items["answer_ocr"].long().argmax(2) + len(world.vocabulary)
        right = torch.where((right == 0) & items["answer_ocr"].any(2), slots, right)
        said = made.said(right, world.vocabulary)
        assert [words(" ".join(a)) for a in said] == made.answers


def test_raw_strings_miss_the_pieces_that_are_spelt_in_the_other_form():
    world = signs_world()
    one, raw = (world.draw(300, 2, matched=how) for how in ("normal", "raw"))
    assert one.texts == raw.texts
    found, missed = (made.items.tensors["answer_ocr"].any(2).sum() for made in (one, raw))
    assert 0.4 * found < missed < 0.8 * found


def test_a_misread_name_has_another_tone_and_the_same_letters():
    world = signs_world()
    clean, wrong = world.draw(200, 3), world.draw(200, 3, misread=1.0)
    assert clean.answers == wrong.answers

    def toneless(text):
        tones = "\u0301\u0300\u0309\u0303\u0323"
        return "".join(sign for sign in unicodedata.normalize("NFD", text) if sign not in tones)

    changed = 0
    for before, after in zip(clean.texts, wrong.texts, strict=True):
        for a, b in zip(before, after, strict=True):
            assert toneless(a) == toneless(b)
            changed += normal(a) != normal(b)
    assert changed == sum(bool(text) for row in clean.texts for text in row) / 2


def test_questions_of_all_kinds_are_answered_by_what_is_drawn():
    made = signs_world().draw(300, 4)
    items = made.items.tensors
    for i, (kind, answer) in enumerate(zip(made.kinds, made.answers, strict=True)):
        if kind == "count":
            assert answer == [("một", "hai", "ba")[int(items["regions_there"][i].sum()) - 1]]
        if kind == "colour":
            assert answer[0] == "màu"
            assert answer[1] in COLOURS
    assert set(made.kinds) == {"copy", "count", "colour"}


def test_items_are_reproducible_and_arguments_are_checked():
    world = signs_world()
    assert (
        world.draw(9).items.fingerprint() == world.draw(9).items.fingerprint() != world.draw(9, 1).items.fingerprint()
    )
    for arguments in ({"matched": "exact"}, {"misread": 2.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            world.draw(3, **arguments)
    with pytest.raises(ValueError, match="seen=60"):
        signs_world(60, 60)
    with pytest.raises(ValueError, match="count=100000"):
        syllables(100_000)
