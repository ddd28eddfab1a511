"""The field guide: names follow from colour and shape, lessons say what is right, and few pictures are named."""

import torch

from mmlab.data.chat import IMAGE
from mmlab.data.worlds.field_guide_world import (
    END,
    KINDS,
    LETTERS,
    LONGEST,
    NAMES,
    SPECIES,
    WORDS,
    field_guide_world,
    options_asked,
    question,
    spoken,
)


def test_every_species_has_a_name_of_its_own_and_one_name_continues_another():
    assert sorted(SPECIES.values()) == list(range(16))
    assert len(set(NAMES)) == 16
    assert (*NAMES[14], "var") == NAMES[15]
    assert len(set(WORDS)) == len(WORDS)
    assert WORDS[END] == "."


def test_lessons_come_in_their_shares_and_say_what_is_right():
    world = field_guide_world(pictures=200, named=3, lessons=500, seed=1)
    rows = world.lessons.tensors
    counts = {"open": 0, "fact": 0, "letter": 0, "named": 0, "lettered": 0}
    for ids, length, said in zip(rows["input_ids"], rows["length"], rows["completions"], strict=True):
        asked, picture = [WORDS[i] for i in ids[:length].tolist() if i >= 0], int(ids[0]) == IMAGE
        answer = spoken(said[0])
        if "draw" in asked:
            counts["open"] += 1
            assert picture
            assert len(answer) == 5
        elif "which" in asked:
            counts["lettered" if picture else "letter"] += 1
            at = asked.index("which")
            if not picture:
                name = NAMES[SPECIES[asked[1], asked[2]]]
                begins = asked.index(answer[0], at) + 1
                stop = next(i for i in range(begins, len(asked)) if asked[i] in (*LETTERS, "?"))
                assert tuple(asked[begins:stop]) == name
        else:
            counts["named" if picture else "fact"] += 1
            assert tuple(answer) in NAMES
            if not picture:
                assert tuple(answer) == NAMES[SPECIES[asked[1], asked[2]]]
    assert counts == {kind: round(share * 500) for kind, share in KINDS.items()}
    assert rows["completions"].shape == (500, 1, LONGEST)


def test_named_pictures_are_few_and_nobody_else_is_named():
    world = field_guide_world(pictures=400, named=2, lessons=50)
    assert torch.bincount(world.train.tensors["label"], minlength=16).tolist() == [2] * 16
    none = field_guide_world(pictures=100, named=0, lessons=50)
    assert len(none.train) == 0
    assert not any(
        {"name", "which"} & set(spoken_prompt(none, row)) and int(none.lessons.tensors["input_ids"][row, 0]) == IMAGE
        for row in range(len(none.lessons))
    )


def spoken_prompt(world, row):
    ids = world.lessons.tensors["input_ids"][row]
    return [WORDS[i] for i in ids.tolist() if i >= 0]


def test_the_questions_have_their_right_answer_and_the_same_seed_the_same_world():
    world = field_guide_world(pictures=100, lessons=40, seed=2)
    for part in (world.train, world.validation, world.test):
        held = part.tensors
        assert (held["options"] == held["label"][:, None]).sum(1).eq(1).all()
        assert all(len(set(row)) == 4 for row in held["options"].tolist())
        for label, told in zip(held["label"].tolist(), held["described"], strict=True):
            assert SPECIES[spoken(told)[1], spoken(told)[2]] == label
    assert len(world.validation) == len(world.test) == 10
    same, other = (field_guide_world(pictures=100, lessons=40, seed=s) for s in (2, 3))
    assert world.lessons.fingerprint() == same.lessons.fingerprint() != other.lessons.fingerprint()


def test_prompts_are_padded_on_the_right():
    batch = question([["name", "?"], ["red", "circle", "name", "?"]])
    assert batch["length"].tolist() == [2, 4]
    assert batch["input_ids"][0, 2:].eq(END).all()
    assert batch["images"].eq(0).all()
    shown = question([["name", "?"]], torch.ones(1, 1, 3, 16, 16))
    assert shown["input_ids"][0, 0] == IMAGE
    assert options_asked(torch.tensor([[0, 1, 2, 15]]))[0][:4] == ["which", "a", *NAMES[0]]
