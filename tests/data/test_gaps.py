"""Gaps have the rate, the mechanism and the likelihood that they say they have."""

import pytest
import torch

from mmlab.data.gaps import Gaps
from mmlab.data.tensors import TensorData

NAMES = ("a", "b", "c")


def items(count: int = 6000, seed: int = 0, **more: torch.Tensor) -> TensorData:
    rng = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 2
    return TensorData({name: torch.randn(count, 2, generator=rng) for name in NAMES} | {"label": label} | more)


def draw(law: Gaps, data: TensorData | None = None, names: tuple[str, ...] = NAMES) -> tuple[TensorData, torch.Tensor]:
    """Items with gaps, and their masks (N, M)."""
    made = law.draw(items() if data is None else data, names, torch.Generator().manual_seed(1))
    return made, torch.stack([made.tensors[f"{name}_present"] for name in sorted(names)], 1)


@pytest.mark.parametrize(
    ("law", "more", "names", "why"),
    [
        ({"rate": "0.3"}, {}, NAMES, "rate='0.3' is no number"),
        ({"strength": True}, {}, NAMES, "strength=True is no number"),
        ({}, {}, (), "name one or more, each once"),
        ({}, {}, ("a", "a"), "each once"),  # it would hide everything of an item
        ({}, {"a": torch.full((9, 2), torch.nan)}, NAMES, "'a' holds NaN or infinity"),
        ({"mechanism": "not at random"}, {"label": torch.eye(9)}, NAMES, r"label.argmax\(1\)"),
        ({"mechanism": "not at random"}, {"label": torch.rand(9)}, NAMES, "whole number from 0"),
        ({"mechanism": "not at random"}, {"label": torch.arange(9) - 4}, NAMES, "whole number from 0"),
    ],
)
def test_what_has_no_law_is_refused(law, more, names, why) -> None:
    with pytest.raises(ValueError, match=why):
        Gaps(**{"rate": 0.3} | law).draw(items(9, **more), names, torch.Generator())


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_modality_may_be_one_number(count) -> None:
    _, there = draw(Gaps(0.3, "at random"), items(count, a=torch.arange(count)))
    assert there.shape == (count, 3)
    assert there.any(1).all()


def test_no_other_random_numbers_are_taken() -> None:
    with pytest.raises(ValueError, match=r"hand in a torch\.Generator"):
        Gaps(0.3).draw(items(9), NAMES, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("mechanism", ["completely at random", "at random", "not at random"])
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 2 / 3])
def test_the_rate_is_the_share_of_what_is_hidden_and_nobody_loses_everything(mechanism, rate) -> None:
    data = items()
    made, there = draw(Gaps(rate, mechanism), data)
    assert (~there).double().mean() == pytest.approx(rate, abs=0.015)
    assert there.any(1).all()
    for name, present in zip(NAMES, there.unbind(1), strict=True):
        assert made.tensors[name][~present].isnan().all()
        assert torch.equal(made.tensors[name][present], data.tensors[name][present])
    assert not data.tensors["a"].isnan().any()  # the items themselves are left alone


@pytest.mark.parametrize("mechanism", ["completely at random", "at random"])
def test_gaps_at_random_tell_nothing_of_the_class(mechanism) -> None:
    made, there = draw(Gaps(0.4, mechanism, 1.0))
    one = there[made.tensors["label"] == 1].double().mean()
    assert one == pytest.approx(float(there[made.tensors["label"] == 0].double().mean()), abs=0.02)


def test_gaps_at_random_depend_on_what_stays() -> None:
    data = items(seed=3)
    there = draw(Gaps(1 / 4, "at random", 1.0), data, ("a", "b"))[1]
    alone = there.sum(1) == 1
    seen = torch.where(there[:, 0], data.tensors["a"].mean(1), data.tensors["b"].mean(1))[alone]
    assert seen.mean() > 0.25  # those with high values lost the other one more often
    fair = draw(Gaps(1 / 4), data, ("a", "b"))[1]
    lost = fair.sum(1) == 1
    assert abs(torch.where(fair[:, 0], data.tensors["a"].mean(1), data.tensors["b"].mean(1))[lost].mean()) < 0.06


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_likelihood_is_the_frequency_of_each_pattern_in_each_class(strength) -> None:
    law = Gaps(0.3, "not at random", strength)
    made, there = draw(law, items(60_000))
    label = made.tensors["label"]
    for pattern in torch.unique(there, dim=0):
        expected = law.likelihood(pattern[None], 2)[0]
        for k in (0, 1):
            share = (there[label == k] == pattern).all(1).double().mean()
            assert share == pytest.approx(float(expected[k]), abs=0.01)


def test_at_random_the_likelihood_is_the_same_for_all_classes() -> None:
    for mechanism in ("completely at random", "at random"):
        there = draw(Gaps(0.4, mechanism))[1]
        assert torch.equal(Gaps(0.4, mechanism).likelihood(there, 4), torch.ones(len(there), 4, dtype=torch.float64))


def test_whole_numbers_get_zeros_and_the_same_seed_the_same_gaps() -> None:
    words = items(50, tokens=torch.ones(50, 3, dtype=torch.long))
    made, there = draw(Gaps(0.4), words, ("a", "tokens"))
    assert (made.tensors["tokens"][~there[:, 1]] == 0).all()
    assert torch.equal(draw(Gaps(0.4), words, ("a", "tokens"))[1], there)


@pytest.mark.parametrize(
    ("law", "said"),
    [
        ({"rate": 1.0}, "below 1"),
        ({"rate": -0.1}, "below 1"),
        ({"mechanism": "at rndom"}, "at random"),
        ({"strength": 1.2}, "from 0 to 1"),
    ],
)
def test_what_is_no_law_is_refused(law, said) -> None:
    with pytest.raises(ValueError, match=said):
        Gaps(**law)


def test_what_cannot_have_gaps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at most 0\.667"):
        draw(Gaps(0.7))
    with pytest.raises(ValueError, match="no 'd'"):
        draw(Gaps(0.1), None, ("a", "d"))
    with pytest.raises(ValueError, match="gaps already"):
        draw(Gaps(0.1), draw(Gaps(0.1))[0])
    data = items(20)
    del data.tensors["label"]
    with pytest.raises(ValueError, match="need a 'label'"):
        draw(Gaps(0.1, "not at random"), data)
