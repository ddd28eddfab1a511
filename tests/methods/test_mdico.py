"""Oracles of MDiCo: the contrast of the authors' library, the loss by hand, and what must have no effect."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.data.tensors import TensorData
from mmlab.methods.mdico import MDiCo, contrast, told_apart
from mmlab.train.fit import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def all_there(*names, count=16):
    return {name: torch.ones(count, dtype=torch.bool) for name in names}


def test_the_contrast_has_the_number_of_the_library_that_the_authors_use():
    """SelfSupervisedLoss(NTXentLoss(temperature=0.1), symmetric=True) of pytorch-metric-learning 2, on seed 0."""
    rng = generator()
    a = torch.randn(16, 8, generator=rng)
    b = a + torch.randn(16, 8, generator=rng)
    found = contrast({"a": a, "b": b}, all_there("a", "b"), 0.1)
    assert found.item() == pytest.approx(1.2921360, abs=1e-6)
    assert contrast({"a": b, "b": a}, all_there("a", "b"), 0.1).item() == pytest.approx(found.item(), abs=1e-6)


def test_the_contrast_by_hand_over_three_sensors_of_which_one_lacks_items():
    rng = generator(1)
    c = {name: torch.randn(6, 4, generator=rng) for name in "abc"}
    there = {"a": torch.tensor([1, 1, 1, 1, 1, 0]).bool(), "b": torch.ones(6).bool(), "c": torch.ones(6).bool()}

    def by_hand(one, other):
        z = F.normalize(torch.cat([one, other]), dim=1)
        n, total = len(one), 0.0
        for i in range(2 * n):
            s = [float(z[i] @ z[j]) / 0.5 for j in range(2 * n)]
            below = sum(torch.tensor(s[j]).exp() for j in range(2 * n) if j != i)
            total += -float((torch.tensor(s[(i + n) % (2 * n)]).exp() / below).log())
        return total / (2 * n)

    pairs = [by_hand(c["a"][:5], c["b"][:5]), by_hand(c["a"][:5], c["c"][:5]), by_hand(c["b"], c["c"])]
    assert contrast(c, there, 0.5).item() == pytest.approx(sum(pairs) / 3, abs=1e-5)
    alone = {name: torch.arange(6) == k for k, name in enumerate("abc")}
    assert contrast(c, alone, 0.5) == 0


def test_a_sensor_is_told_apart_at_chance_by_equal_logits_and_perfectly_by_large_ones():
    flat = {name: torch.zeros(5, 3) for name in "abc"}
    there = all_there("a", "b", "c", count=5)
    assert told_apart(flat, there).item() == pytest.approx(torch.tensor(3.0).log().item())
    sure = {name: 50 * F.one_hot(torch.full((5,), k), 3).float() for k, name in enumerate("abc")}
    assert told_apart(sure, there).item() == pytest.approx(0, abs=1e-6)


def test_the_loss_by_hand():
    method, batch = MDiCo.demo()
    there = batch["audio_present"]
    found = method.loss(batch, generator())
    x = {m: batch[m] for m in ("audio", "text", "video")}
    x["audio"] = torch.where(there[:, None], x["audio"], 0)
    seen = {"audio": there, "text": torch.ones(32).bool(), "video": torch.ones(32).bool()}
    main, part, which, c = 0.0, 0.0, 0.0, {}
    for k, m in enumerate(x):
        own = method.own[m](x[m])
        specific, unused = own[:, :8], own[:, 8:]
        c[m] = method.shared[m](method.common[m](x[m]))
        y, rows = batch["label"][seen[m]], seen[m]
        main += F.cross_entropy(method.heads[m](torch.cat([specific, c[m]], 1))[rows], y) / 3
        part += F.cross_entropy(method.part_head(specific)[rows], y) / 6
        part += F.cross_entropy(method.part_head(c[m])[rows], y) / 6
        sensor = torch.full_like(y, k)
        which += F.cross_entropy(method.which_own(specific)[rows], sensor) / 6
        which += F.cross_entropy(method.which_unused(unused)[rows], sensor) / 6
    pulled = contrast(c, seen, 0.1)
    torch.testing.assert_close(found["loss"], main + part + pulled + which)
    torch.testing.assert_close(found["discrimination"], which)


def test_only_the_sensor_that_answers_has_an_effect():
    method, batch = MDiCo.demo()
    made = method.train().predict(batch, "text")
    torch.testing.assert_close(made.sum(1), torch.ones(32))
    assert torch.equal(method.predict({"text": batch["text"]}), made)
    other = batch | {"audio": batch["audio"] * torch.nan, "video": torch.zeros(32, 2, 2)}
    assert torch.equal(method.predict(other, "text"), made)


def test_all_sensors_together_answer_by_the_mean_of_those_that_are_there():
    method, batch = MDiCo.demo()
    each = torch.stack([method.predict(batch, m) for m in method.sensors])
    made = method.predict(batch)
    absent = ~batch["audio_present"]
    torch.testing.assert_close(made[~absent], each.mean(0)[~absent])
    torch.testing.assert_close(made[absent], each[1:].mean(0)[absent])
    assert torch.equal(method.predict(batch | {"audio": batch["audio"].where(~absent[:, None], torch.nan)}), made)


def test_which_term_moves_which_part():
    """The question which sensor it was does not reach the shared part, as the released code lets it."""
    method, batch = MDiCo.demo()
    method.loss(batch, generator())["discrimination"].backward()
    assert all(p.grad is None for p in method.common.parameters())
    assert all(p.grad.any() for name, p in method.own.named_parameters() if name.endswith("weight"))
    method.zero_grad()
    method.loss(batch, generator())["contrast"].backward()
    assert all(p.grad is None for p in method.own.parameters())
    assert all(p.grad.any() for name, p in method.common.named_parameters() if name.endswith("weight"))


def test_without_the_cross_terms_sensors_are_trained_apart():
    method, batch = MDiCo.demo()
    plain = MDiCo(**method.config | {"auxiliary": 0.0, "contrast": 0.0, "discrimination": 0.0})
    plain.load_state_dict(method.state_dict())
    plain.loss(batch, generator())["loss"].backward()
    text = plain.own["text"][1].weight.grad.clone()
    plain.zero_grad()
    plain.loss(batch | {"audio": -batch["audio"], "video": batch["video"] + 1}, generator())["loss"].backward()
    torch.testing.assert_close(plain.own["text"][1].weight.grad, text)


def test_items_without_a_label_count_in_the_contrast_only():
    method, batch = MDiCo.demo()
    found = method.loss(batch, generator())
    unknown = method.loss(batch | {"label_present": torch.zeros(32).bool(), "label": batch["label"] - 9}, generator())
    assert unknown["main"] == unknown["auxiliary"] == 0
    assert unknown["contrast"] == found["contrast"]


def test_a_number_is_answered_by_its_expectation():
    rng = generator()
    x = torch.randn(256, 3, generator=rng)
    items = {"radar": x + 0.1 * torch.randn(256, 3, generator=rng), "optical": x, "target": x[:, 0] - x[:, 1]}
    arguments = MDiCo.arguments_for({key: value[0] for key, value in items.items()})
    assert arguments == {"shapes": {"optical": [3], "radar": [3]}, "classes": 0}
    method = MDiCo.seeded(0, **arguments)
    fit(method, TensorData(items), steps=150, batch_size=64, lr=1e-2, progress=False)
    for sensor in ("radar", "optical"):
        made = method.predict(items, sensor)
        assert made.shape == (256,)
        assert (made - items["target"]).square().mean() < 0.3 * items["target"].var()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"shapes": {"a": (3,)}}, "1 sensors"), ({"shapes": {"a": (3,), "b": (3,)}, "width": 7}, "width=7")],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MDiCo(**arguments)


def test_an_unknown_sensor_and_a_batch_without_any_are_refused():
    method, batch = MDiCo.demo()
    with pytest.raises(ValueError, match="no sensor 'vidio': did you mean 'video'"):
        method.predict(batch, "vidio")
    with pytest.raises(KeyError, match="none of the sensors audio, text, video"):
        method.predict({"label": batch["label"]})
