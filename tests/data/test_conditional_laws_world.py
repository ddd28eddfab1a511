"""The conditional laws against their own formulas: means, spreads and modes of many draws for few sources."""

from typing import get_args

import pytest
import torch

from mmlab.data.worlds.conditional_laws_world import ConditionalLaw, Law, conditional_laws_world

COUNT = 40_000
every_law = pytest.mark.parametrize(("name", "size"), [(name, size) for name in get_args(Law) for size in (1, 2)])


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_law
@pytest.mark.parametrize("place", [-1.2, 0.4])
def test_mean_and_deviation_are_those_of_the_draws(name: Law, size: int, place: float) -> None:
    law = ConditionalLaw(name, size)
    source = torch.full((COUNT, size), place)
    drawn = law.sample(source, _rng())
    torch.testing.assert_close(drawn.mean(0), law.mean(source)[0], atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(0), law.deviation(source)[0], atol=0, rtol=0.03)


def test_each_law_is_what_its_name_says() -> None:
    source = torch.full((COUNT, 1), 0.7)
    drawn = {name: ConditionalLaw(name).sample(source, _rng()) for name in get_args(Law)}
    skewness = {name: float(((y - y.mean()) / y.std()).pow(3).mean()) for name, y in drawn.items()}
    assert skewness["skewed"] == pytest.approx(2, abs=0.2)  # that of the exponential distribution
    assert abs(skewness["heteroscedastic"]) < 0.05
    assert ConditionalLaw("two_modes").gap(source, drawn["two_modes"]) < 0.002
    right = (drawn["weighted_modes"] > 0).float().mean()
    assert float(right) == pytest.approx(1 / (1 + float(torch.tensor(-1.4).exp())), abs=0.01)
    apart = torch.tensor([[-3.0], [3.0]])
    assert ConditionalLaw("unrelated").mean(apart).unique().tolist() == [1.0]
    low, high = ConditionalLaw("heteroscedastic").deviation(apart)
    assert float(high / low) > 5


@pytest.mark.parametrize("name", ["two_modes", "weighted_modes"])
def test_in_the_plane_both_values_have_one_sign(name: Law) -> None:
    law = ConditionalLaw(name, 2)
    source = torch.zeros(2000, 2)
    signs = law.sample(source, _rng()).sign()
    assert float((signs[:, 0] == signs[:, 1]).float().mean()) > 0.99


def test_the_mean_lies_in_the_gap() -> None:
    law = ConditionalLaw("two_modes", 2)
    source = law.sources(100, _rng())
    assert law.gap(source, law.mean(source)) == 1.0
    with pytest.raises(ValueError, match="has one mode"):
        ConditionalLaw("skewed").gap(source[:, :1], source[:, :1])


def test_pairs_follow_the_seed() -> None:
    one, same, other = (conditional_laws_world("skewed", 2, 50, seed).tensors for seed in (0, 0, 1))
    assert one["source"].shape == one["target"].shape == (50, 2)
    assert torch.equal(one["target"], same["target"])
    assert not torch.equal(one["target"], other["target"])


def test_what_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'two_modes'"):
        conditional_laws_world("two_mode")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size=0 is too small"):
        ConditionalLaw("skewed", 0)
    with pytest.raises(ValueError, match="count=0 is too small"):
        conditional_laws_world("skewed", count=0)
    with pytest.raises(ValueError, match=r"source is \(4, 2\): this law takes \(N, 1\)"):
        ConditionalLaw("skewed").mean(torch.zeros(4, 2))
