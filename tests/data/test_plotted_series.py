"""The plotted series: classes follow the guideline, demonstrations mostly the older one, curves show their facts."""

import torch

from mmlab.data.conversations import IMAGE
from mmlab.data.worlds.plotted_series import (
    CLASSES,
    END,
    GUIDELINE,
    LONGEST,
    MARK,
    OLD_GUIDELINE,
    WORDS,
    plotted_series,
    sentence,
)


def test_answers_follow_the_guideline_and_demonstrations_the_older_one():
    world = plotted_series(items=400, demonstrations=3000, old=0.8)
    facts, answer = world.train.tensors["facts"], world.train.tensors["answer"]
    assert all(WORDS[a] == CLASSES[GUIDELINE[t][w]] for (t, w), a in zip(facts.tolist(), answer.tolist(), strict=True))
    shown = world.demonstrations.tensors
    trend, wave = shown["facts"].unbind(1)
    old = torch.tensor(OLD_GUIDELINE)[trend, wave] + WORDS.index(CLASSES[0])
    differ = torch.tensor(GUIDELINE)[trend, wave] != torch.tensor(OLD_GUIDELINE)[trend, wave]
    assert sum(a != b for a, b in zip(sum(GUIDELINE, ()), sum(OLD_GUIDELINE, ()), strict=True)) == 4
    said = shown["completions"][:, 0, 3]
    assert (said[~differ] == shown["answer"][~differ]).all()
    assert abs((said[differ] == old[differ]).float().mean() - 0.8) < 0.04


def test_demonstrations_have_the_form_and_prompts_their_picture():
    world = plotted_series(items=20, demonstrations=30)
    rows = world.demonstrations.tensors["completions"]
    assert rows.shape == (30, 1, LONGEST)
    assert (rows[:, 0, 2] == MARK).all()
    assert (rows[:, 0, 4:] == END).all()
    assert sentence(rows[0, 0]).endswith(f"class {WORDS[rows[0, 0, 3]]} .")
    for part in (world.train, world.validation, world.test):
        assert (part.tensors["input_ids"][:, 0] == IMAGE).all()
        assert set(part.tensors["length"].tolist()) == {2, 3}
        assert part.tensors["images"].abs().max() <= 1
    assert len(world.test) == len(world.validation) == 10


def test_a_linear_reader_finds_the_trend_and_the_same_seed_the_same_curves():
    world = plotted_series(items=600, seed=3)
    assert world.train.fingerprint() == plotted_series(items=600, seed=3).train.fingerprint()
    assert world.train.fingerprint() != plotted_series(items=600, seed=4).train.fingerprint()
    x, trend = world.train.tensors["images"][:, 0, 0], world.train.tensors["facts"][:, 0]
    height = (x.clamp(min=0) * torch.linspace(1, -1, 16)[:, None]).sum(1) / x.clamp(min=0).sum(1).clamp(min=1e-3)
    rise = height[:, 11:].mean(1) - height[:, :5].mean(1)
    means = [float(rise[trend == k].mean()) for k in range(3)]
    assert means[0] < -0.2 < means[1] < 0.2 < means[2]
