"""Oracles of MLPAG: one softmax over words and pieces, sums by hand, and what must have no effect."""

import pytest
import torch

from mmlab.data.worlds.signs_world import signs_world
from mmlab.methods.openvivqa import END, MLPAG, join, pointer_scores, reached
from mmlab.train.fit import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_joint_distribution_sums_to_one_and_without_text_is_the_plain_softmax():
    rng = generator()
    words = torch.randn(5, 7, generator=rng)
    q, k = torch.randn(5, 4, generator=rng), torch.randn(5, 3, 4, generator=rng)
    there = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 0]]).bool()
    p = join(words, pointer_scores(q, k, there))
    torch.testing.assert_close(p.sum(1), torch.ones(5))
    torch.testing.assert_close(p[3, :7], words[3].softmax(0))
    assert not p[:, 7:][~there].any()
    by_hand = torch.cat([words[0].exp(), torch.stack([(q[0] @ k[0, n] / 2).exp() for n in range(3)])])
    torch.testing.assert_close(p[0], by_hand / by_hand.sum())
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(join(words, pointer_scores(q, k[:, order], there[:, order]))[:, 7:], p[:, 7:][:, order])


def test_a_word_is_reached_by_every_road_that_spells_it():
    p = torch.tensor([[0.1, 0.2, 0.3, 0.15, 0.05, 0.2]])  # 3 words, 3 pieces
    pieces = torch.tensor([[True, False, True]])
    assert reached(p, torch.tensor([2]), pieces).item() == pytest.approx(0.3 + 0.15 + 0.2)
    assert reached(p, torch.tensor([0]), pieces).item() == pytest.approx(0.15 + 0.2)
    assert reached(p, torch.tensor([1]), ~pieces & pieces).item() == pytest.approx(0.2)


def test_the_loss_by_hand_is_written_one_step_after_the_other():
    method, batch = MLPAG.demo()
    total, count = 0.0, 0
    for i in range(16):
        item = {key: value[i : i + 1] for key, value in batch.items()}
        given = method.read(item)
        said = torch.zeros(1, 1, 16)
        for t in range(2):
            p = method.say(item, given, said)[0, -1]
            word, pieces = int(item["answer"][0, t]), item["answer_ocr"][0, t]
            chance = (p[word] if word else 0) + sum(p[6 + n] for n in range(2) if pieces[n])
            total, count = total - chance.log(), count + 1
            hears = method.word.weight[word]
            if pieces.any():
                hears = method.said_piece(item["ocr"][0, int(pieces.nonzero()[0])])
            said = torch.cat([said, hears.view(1, 1, -1)], 1)
    torch.testing.assert_close(method.loss(batch, generator())["loss"], total / count)


def test_a_step_does_not_see_later_steps():
    method, batch = MLPAG.demo()
    given, said = method.read(batch), torch.randn(16, 2, 16, generator=generator(1))
    made = method.say(batch, given, said)
    other = said.clone()
    other[:, 1] = -other[:, 1]
    assert torch.equal(method.say(batch, given, other)[:, 0], made[:, 0])
    assert not torch.allclose(method.say(batch, given, other)[:, 1], made[:, 1])


def test_pieces_that_are_absent_have_no_effect_and_are_never_said():
    method, batch = MLPAG.demo()
    there = torch.tensor([[True, False]]).expand(16, 2)
    batch = batch | {"ocr_there": there, "regions_there": there}
    noise = {key: torch.where(there[..., None], batch[key], torch.nan) for key in ("ocr", "regions")}
    assert torch.equal(method.generate(batch), method.generate(batch | noise))
    assert not (method.generate(batch) == 7).any()
    assert torch.equal(method.loss(batch, generator())["loss"], method.loss(batch | noise, generator())["loss"])


def test_a_word_in_the_vocabulary_and_in_the_picture_is_said_by_its_number():
    method, batch = MLPAG.demo()
    said = method.generate(batch | {"ocr_word": torch.full((16, 2), 4)})
    assert int(said.max()) < 6


def test_after_training_it_points_where_it_should_and_stops():
    method, batch = MLPAG.demo()
    fit(
        method, [{key: value[i] for key, value in batch.items()} for i in range(16)], steps=150, lr=1e-2, progress=False
    )
    said = method.generate(batch)
    asked = batch["question"][:, 0] - 3
    assert torch.equal(said[:, 0], torch.tensor([6, 7, 5])[asked])
    assert (said[:, 1] == END).all()


def test_without_a_pointer_only_words_are_said_and_items_out_of_reach_do_not_count():
    method, batch = MLPAG.demo()
    plain = MLPAG(**method.config | {"pointer": False})
    assert int(plain.generate(batch).max()) < 6
    changed = batch | {"answer_ocr": ~batch["answer_ocr"]}
    assert torch.equal(plain.loss(batch, generator())["loss"], plain.loss(changed, generator())["loss"])


def test_sizes_are_taken_from_an_item_and_other_data_are_refused():
    world = signs_world()
    item = world.draw(1).items[0]
    assert MLPAG.arguments_for(item) == {"regions": 5, "ocr": 30, "length": 5, "steps": 3}
    with pytest.raises(ValueError, match="no question, regions"):
        MLPAG.arguments_for({"image": torch.zeros(3)})
    with pytest.raises(ValueError, match="vocabulary=2"):
        MLPAG(5, 30, vocabulary=2)
