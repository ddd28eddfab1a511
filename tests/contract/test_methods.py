"""Every method keeps the contract of Method."""

import contextlib
import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import battery
import pytest
import torch

from mmlab.card import LEVELS, Budget, Card, Claim
from mmlab.registry import list_methods, load

TRAINED = [
    battery.loss_is_a_dict_of_finite_scalars,
    battery.all_randomness_is_handed_in,
    battery.batch_is_left_alone,
    battery.works_with_a_batch_of_one,
    battery.gradients_reach_every_parameter,
    battery.loss_falls_on_a_fixed_batch,
    battery.progress_is_declared,
]
ALWAYS = [
    battery.has_what_its_kind_needs,
    battery.the_verbs_answer,
    battery.demo_is_reproducible,
    battery.batch_has_the_inputs,
    battery.constructor_is_a_configuration,
    battery.solving_depends_on_the_items_alone,
]
SAVED = [battery.saves_and_loads_bit_by_bit, battery.refuses_weights_that_do_not_fit]

every_method = pytest.mark.parametrize("stem", list_methods())


@pytest.fixture
def cls(stem: str) -> battery.MethodClass:
    """The class of a method, warm: what it imports on first use does not count among the costs of a check."""
    return _warm(stem)


@functools.cache
def _warm(stem: str) -> battery.MethodClass:
    _warm_optimisers()
    method, batch = load(stem).demo()
    for objective in method.objectives() if battery.trains(type(method)) else []:
        objective.loss(batch, torch.Generator().manual_seed(0))["loss"].backward()
    with contextlib.suppress(Exception):  # a fault is for the check to find
        battery.the_verbs_answer(type(method))
    return type(method)


@functools.cache
def _warm_optimisers() -> None:
    """The first step of a process loads much of torch; no method shall pay for that."""
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    for optimiser in (torch.optim.SGD([weight], lr=0.1), torch.optim.Adam([weight], lr=0.1, fused=True)):
        optimiser.step()


@every_method
@pytest.mark.parametrize("check", [*TRAINED, *ALWAYS], ids=lambda check: check.__name__)
def test_contract(cls: battery.MethodClass, check: Callable[[battery.MethodClass], None]) -> None:
    if check in TRAINED and not battery.trains(cls):
        pytest.skip("it is not trained; has_what_its_kind_needs looks at what it is")
    check(cls)


@every_method
@pytest.mark.parametrize("check", SAVED, ids=lambda check: check.__name__)
def test_saving(cls: battery.MethodClass, check: Callable[[battery.MethodClass, Path], None], tmp_path: Path) -> None:
    check(cls, tmp_path)


@every_method
def test_card_is_complete(stem: str) -> None:
    card = list_methods()[stem]
    assert card == load(stem).card, "the card that is read differs from the one that is run"
    assert all((card.name, card.family, card.paper, card.inputs))
    assert card.summary.endswith(".")
    assert "\n" not in card.summary
    assert len(card.summary) <= 120
    assert card.claims, "a chapter measures what the paper claims: at least one claim"
    assert all(isinstance(claim, Claim) and claim.direction in ("higher", "lower") for claim in card.claims)
    assert isinstance(card.budget, Budget)
    assert card.level in LEVELS
    assert card.budget.cpu_seconds <= 60
    assert card.budget.cpu_memory_gb <= 2


def test_cards_are_read_without_torch() -> None:
    program = "import json, sys, mmlab; print(json.dumps([list(mmlab.list_methods()), 'torch' in sys.modules]))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(answer) == [list(list_methods()), False]


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'bridge_matching'"):
        load("bridge_maching")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("card = Card(name=NAME, family='', paper='', summary='', inputs=())", "not made of literals"),
        ("card = Card(name='Toy')", "is not complete"),
        ("title = 'Toy'", "has no class with a line"),
    ],
)
def test_a_bad_card_is_refused_in_one_sentence(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(f"class Toy:\n    {line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        list_methods(tmp_path)
    assert "toy.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_card_reads_nested_literals(tmp_path: Path) -> None:
    text = (
        "class Toy:\n    card = Card('Toy', 'toys', paper='p', summary='s', inputs=('x', 'y'),\n"
        "        claims=(Claim('rmse', 'mean', 'lower'),), budget=Budget(gpu_minutes=2.5))\n"
    )
    (tmp_path / "toy.py").write_text(text, encoding="utf-8")
    expected = Card("Toy", "toys", "p", "s", ("x", "y"), (), (Claim("rmse", "mean", "lower"),), Budget(gpu_minutes=2.5))
    assert list_methods(tmp_path)["toy"] == expected
