"""The writer of plotted series: it imitates what it is shown, and starts in the form."""

import torch

import mmlab
from mmlab.bases.series_writer import RULES, WRITER, Imitation
from mmlab.data.worlds.plotted_series import plotted_series


def test_imitation_raises_what_it_is_shown_and_weights_choose_words():
    world = plotted_series(items=20, demonstrations=64)
    writer = Imitation.seeded(0, WRITER, **RULES, kl=0.0, updates=1)
    before = {key: value[:64] for key, value in world.demonstrations.tensors.items()}
    first = writer.loss(before, torch.Generator())["loss"].item()
    mmlab.fit(writer, world.demonstrations, steps=40, batch_size=32, lr=1e-2, progress=False)
    assert writer.loss(before, torch.Generator())["loss"].item() < first / 2
    scores = writer.log_probabilities(before, before["completions"])
    only = torch.zeros(64, 1, RULES["words"])
    only[..., 3] = 1.0
    found = writer.loss({**before, "weights": only}, torch.Generator())["loss"]
    assert torch.allclose(found, -scores[..., 3].mean())
