"""Oracles of late fusion across languages: gaps by hand, accuracy by draws, and views that must have no effect."""

import pytest
import torch
from torch.nn import functional as F

from mmlab.methods.language_disparity import LanguageDisparity, gap_report, predicted_classes, two_class_accuracy


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gaps_by_hand():
    scores = {
        "text": {"en": [0.80, 0.82], "fr": [0.70, 0.71], "hi": [0.60, 0.58]},
        "both": {"en": [0.90, 0.88], "fr": [0.85, 0.86], "hi": [0.80, 0.81]},
    }
    found = gap_report(scores)
    assert set(found["text"]) == {"fr", "hi"}
    assert found["text"]["hi"] == pytest.approx([0.20, 0.24])
    assert found["both"]["fr"] == pytest.approx([0.05, 0.02])
    assert gap_report(scores, "hi")["text"]["en"] == pytest.approx([-0.20, -0.24])


def test_gaps_without_a_reference_or_with_lacking_runs_are_refused():
    with pytest.raises(ValueError, match="'text' has no score in 'en'"):
        gap_report({"text": {"fr": [0.5]}})
    with pytest.raises(ValueError, match="2 runs in 'en' and 1 in 'fr'"):
        gap_report({"text": {"en": [0.5, 0.6], "fr": [0.5]}})


@pytest.mark.parametrize("evidence", [0.0, 0.7, 4.0])
def test_accuracy_of_two_classes_is_that_of_the_better_of_two_normal_laws(evidence):
    """Two views whose evidence adds up: the likelihood ratio is right as often as the formula says."""
    rng = generator()
    parts = [0.25 * evidence, 0.75 * evidence]
    sign = 2.0 * torch.randint(0, 2, (200_000,), generator=rng) - 1
    ratio = torch.zeros(200_000)
    for part in parts:
        half = part**0.5 / 2
        ratio += half * (half * sign + torch.randn(200_000, generator=rng))
    right = (ratio * sign > 0).double().mean().item() if evidence else 0.5
    assert two_class_accuracy(evidence) == pytest.approx(right, abs=0.004)


def test_equal_evidence_for_all_keeps_the_gap_in_evidence_and_narrows_that_in_accuracy_where_it_is_concave():
    strong, weak = 4.0, 1.5
    gaps = [two_class_accuracy(strong + c) - two_class_accuracy(weak + c) for c in (0.0, 1.0, 3.0, 9.0)]
    assert gaps == sorted(gaps, reverse=True)


def test_a_model_that_says_one_thing_to_all_is_noticed():
    assert predicted_classes(torch.tensor([[0.4, 0.6], [0.1, 0.9]])) == 1
    assert predicted_classes(torch.tensor([[0.4, 0.6], [0.8, 0.2]])) == 2


def test_the_loss_by_hand():
    method, batch = LanguageDisparity.demo()
    there = batch["image_present"][:, None].float()
    a = (batch["text"] @ method.text.weight.T + method.text.bias).clamp(min=0)
    b = (batch["image"] @ method.image.weight.T + method.image.bias).clamp(min=0) * there
    h = (torch.cat([a, b], 1) @ method.hidden.weight.T + method.hidden.bias).clamp(min=0)
    logits = h @ method.head.weight.T + method.head.bias
    torch.testing.assert_close(method.loss(batch, generator())["loss"], F.cross_entropy(logits, batch["label"]))
    torch.testing.assert_close(method.predict(batch), logits.softmax(1))


def test_what_stands_in_an_absent_picture_has_no_effect():
    method, batch = LanguageDisparity.demo()
    there = batch["image_present"]
    spoilt = batch | {"image": torch.where(there[:, None], batch["image"], torch.nan)}
    assert torch.equal(method.predict(spoilt), method.predict(batch))
    nobody = batch | {"image_present": torch.zeros(24, dtype=torch.bool)}
    assert torch.equal(method.predict(nobody), method.predict({"text": batch["text"]}))
    assert not torch.equal(method.predict(nobody), method.predict(batch))


def test_tweets_without_a_label_count_nowhere():
    method, batch = LanguageDisparity.demo()
    half = torch.arange(24) < 12
    found = method.loss(batch | {"label_present": half, "label": torch.where(half, batch["label"], -7)}, generator())
    kept = method.loss({key: value[:12] for key, value in batch.items()}, generator())
    torch.testing.assert_close(found["loss"], kept["loss"])


def test_both_views_are_asked_for():
    with pytest.raises(ValueError, match="it also needs image"):
        LanguageDisparity({"text": [3]})
    with pytest.raises(ValueError, match="the data have no image"):
        LanguageDisparity.arguments_for({"text": torch.zeros(3)})
