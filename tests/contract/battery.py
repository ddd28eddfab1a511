"""What every method must do, as checks that take its class: so that tests can also show that each check can fail."""

from __future__ import annotations

import inspect
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import mmlab
from mmlab.method import Batch, Method, Objective
from mmlab.store.weights import FILE

MethodClass = type[Method]
FALL = 0.8
"""The loss must fall below this share of its first value. It is low because some losses have a floor of pure noise."""


VERBS = {"sample": "source", "predict": "batch", "embed": "batch", "generate": "batch"}
"""What a method can do for its user, and the first argument that it takes."""


def trains(cls: MethodClass) -> bool:
    """Whether the method has a loss; others are solved, or wrap a model."""
    return cls.is_trained()


def progress_is_declared(cls: MethodClass) -> None:
    """A method that looks at ``progress`` in training says so, and no other does: seen by looking, not by reading."""
    looks: list[str] = []

    class Watched(cls):  # type: ignore[misc, valid-type]
        @property
        def progress(self) -> float:
            looks.append("looked")
            return self.__dict__.get("_watched", 0.0)

        @progress.setter
        def progress(self, value: float) -> None:
            self.__dict__["_watched"] = value

    method, batch = Watched.demo()
    for done in (0.0, 0.5, 1.0):  # what is read may depend on it
        method.progress = done
        method.train()
        looks_before = len(looks)
        prepared = method.prepare(batch, _rng(0))
        for objective in method.objectives():
            objective.loss(prepared, _rng(0))["loss"].backward()
            method.after_backward()
        method.after_step()
        assert len(looks) == looks_before or cls.uses_progress, "it looks at progress without uses_progress = True"
    assert bool(looks) == cls.uses_progress, "it declares uses_progress, and never looks at progress"


def solves(cls: MethodClass) -> bool:
    """Whether the method is solved from its items, by a ``solve`` of its own."""
    return cls.is_solved()


def has_what_its_kind_needs(cls: MethodClass) -> None:
    """Trained, solved or wrapping: an objective with parameters, ``solve``, or a module inside. And always a verb."""
    verbs = _verbs(cls)
    assert verbs, f"it has none of {', '.join(VERBS)}: nothing can be done with it"
    for verb in verbs:
        first, *others = list(inspect.signature(getattr(cls, verb)).parameters.values())[1:]
        assert first.name == VERBS[verb], f"{verb}() takes {first.name!r} first, not {VERBS[verb]!r}"
        keyword = [p.name for p in others if p.kind is inspect.Parameter.KEYWORD_ONLY]
        assert verb != "sample" or "rng" in keyword, "sample() takes no keyword `rng`: its randomness is not handed in"
    method, _ = cls.demo()
    if trains(cls):
        objectives = method.objectives()
        assert objectives, "it is trained, and has no objective"
        for objective in objectives:
            assert any(p.requires_grad for p in objective.parameters), f"nothing to train in {objective.name!r}"
    elif not solves(cls):
        wrapped = [name for name, module in method.named_children() if module.state_dict()]
        assert wrapped, "it is neither trained nor solved, and wraps no module with weights"


def the_verbs_answer(cls: MethodClass) -> None:
    """Each verb answers the demo's batch, item for item, with finite values, and keeps the global random state."""
    method, batch = cls.demo()
    if solves(cls):
        method.solve(_items(batch))
    size = len(next(iter(batch.values())))
    for verb in _verbs(cls):
        if verb == "embed":
            continue  # it may answer with a structure of its own
        before = _global_state()
        one, same = _ask(method, verb, batch), _elsewhere(lambda: _ask(method, verb, batch))  # noqa: B023
        assert _global_state() == before, f"{verb}() changes the global random state"
        assert torch.equal(one, same), f"{verb}() answers otherwise the second time: something else is random"
        assert len(one) == size, f"{verb}() answers {len(one)} times to {size} items"
        assert one.isfinite().all(), f"{verb}() answers with what is not finite"
        assert not one.requires_grad, f"{verb}() keeps gradients"


def demo_is_reproducible(cls: MethodClass) -> None:
    before = _global_state()
    (one, batch), (same, same_batch), (_, other_batch) = cls.demo(3), _elsewhere(lambda: cls.demo(3)), cls.demo(4)
    assert _global_state() == before, "demo() changes the global random state"
    assert _equal(one.state_dict(), same.state_dict()), "demo(3) gives other weights the second time"
    assert _equal(batch, same_batch), "demo(3) gives another batch the second time"
    assert not _equal(batch, other_batch), "demo(3) and demo(4) give the same batch"


def batch_has_the_inputs(cls: MethodClass) -> None:
    _, batch = cls.demo()
    assert set(cls.card.inputs) <= set(batch), f"demo() lacks {set(cls.card.inputs) - set(batch)}"
    assert len({len(value) for value in batch.values()}) == 1, "the batch has several first dimensions"


def loss_is_a_dict_of_finite_scalars(cls: MethodClass) -> None:
    method, batch = cls.demo()
    for objective in method.objectives():
        values = objective.loss(batch, _rng(0))
        assert "loss" in values, f"keys are {sorted(values)}, without 'loss'"
        assert all(isinstance(value, Tensor) and value.shape == () for value in values.values()), "not all are scalars"
        assert all(math.isfinite(value.item()) for value in values.values()), "not all are finite"
        assert values["loss"].requires_grad, "the loss has no gradient"


def all_randomness_is_handed_in(cls: MethodClass) -> None:
    method, batch = cls.demo()
    for objective in method.objectives():
        _take_two_steps(method, batch, objective)  # a fresh method may answer zeros whatever it sees
        before, rng = _global_state(), _rng(0)
        one = objective.loss(batch, rng)["loss"]
        assert _global_state() == before, "the loss changes the global random state"
        assert torch.equal(_elsewhere(lambda: objective.loss(batch, _rng(0))["loss"]), one), (  # noqa: B023
            "the same rng gives another loss: something else is random, or the loss changes the method"
        )
        uses_it = not torch.equal(rng.get_state(), _rng(0).get_state())
        differs = not torch.equal(objective.loss(batch, _rng(1))["loss"], one)
        assert uses_it == differs, "the loss draws from the rng, but another seed does not change it"


def batch_is_left_alone(cls: MethodClass) -> None:
    method, batch = cls.demo()
    copy = {key: value.clone() for key, value in batch.items()}
    for objective in method.objectives():
        objective.loss(batch, _rng(0))["loss"].backward()
    assert _equal(batch, copy), "the loss changes the batch"
    assert not any(value.requires_grad for value in batch.values()), "the loss asks for gradients of the batch"


def works_with_a_batch_of_one(cls: MethodClass) -> None:
    method, batch = cls.demo()
    for objective in method.objectives():
        value = objective.loss({key: value[:1] for key, value in batch.items()}, _rng(0))["loss"]
        assert math.isfinite(value.item()), "the loss of one item is not finite"


def gradients_reach_every_parameter(cls: MethodClass) -> None:
    """Zero-initialised outputs block gradients at first: so after two steps, and with several draws."""
    method, batch = cls.demo()
    objectives = method.objectives()
    held = {id(p) for objective in objectives for p in objective.parameters}
    unheld = [name for name, p in method.named_parameters() if p.requires_grad and id(p) not in held]
    assert not unheld, f"no objective trains {unheld}"
    for objective in objectives:
        _take_two_steps(method, batch, objective)
        method.zero_grad()
        for draw in range(4):
            objective.loss(batch, _rng(100 + draw))["loss"].backward()
        mine = {id(p) for p in objective.parameters}
        still = [(n, p) for n, p in method.named_parameters() if id(p) in mine and (p.grad is None or not p.grad.any())]
        dead = [n for n, p in still if p.grad is None or not _moves(method, batch, objective, p)]
        assert not dead, f"no gradient reaches {dead}"


def _moves(method: Method, batch: Batch, objective: Objective, p: Tensor) -> bool:
    """Whether a gradient reaches a parameter from farther off, though it vanishes here.

    The last bias of a hinge critic raises real and false logits alike: inside both margins its gradient is zero, or
    what rounding leaves of it.
    """
    kept = p.detach().clone()
    with torch.no_grad():
        p.add_(3)
    method.zero_grad()
    objective.loss(batch, _rng(100))["loss"].backward()
    with torch.no_grad():
        p.copy_(kept)
    return p.grad is not None and bool(p.grad.any())


def loss_falls_on_a_fixed_batch(cls: MethodClass, steps: int = 80) -> None:
    """Each loss falls; those of adversaries while the others stand still, since side by side none need fall."""
    method, batch = cls.demo()
    for number, objective in enumerate(method.objectives()):
        if number:
            method, batch = cls.demo()
            objective = method.objectives()[number]
        before = _mean_loss(objective, batch)
        enough = before - (1 - FALL) * abs(before)
        if len(method.objectives()) == 1:
            _fit(method, objective, batch, steps, enough)
        else:
            _descend(method, objective, batch, steps, enough)
        after = _mean_loss(objective, batch)
        what = f"the loss {objective.name}".rstrip()
        assert after < enough, f"{what} went from {before:.4g} to {after:.4g}, {steps} steps"


def solving_depends_on_the_items_alone(cls: MethodClass) -> None:
    """A method that is solved gives the same from the same items, whatever was solved or drawn before."""
    if not cls.is_solved():
        return
    (method, batch), (other, _) = cls.demo(3), cls.demo(4)
    items = _items(batch)
    before, copy = _global_state(), {key: value.clone() for key, value in batch.items()}
    assert method.solve(items) is method, "solve() does not return the method"
    assert _global_state() == before, "solve() changes the global random state"
    assert _equal(batch, copy), "solve() changes the items"
    _elsewhere(lambda: other.solve(items))
    assert _equal(method.state_dict(), other.state_dict()), "solve() depends on more than the items"


def constructor_is_a_configuration(cls: MethodClass) -> None:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    kinds = {parameter.kind for parameter in parameters}
    assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}, "it takes * or **"
    names = [parameter.name for parameter in parameters]
    assert "config" not in names, "an argument is called config, which the Hub's mixin would swallow"
    documented = inspect.getdoc(cls) or ""
    missing = [name for name in names if not re.search(rf"^\s+{name}:", documented, re.MULTILINE)]
    assert not missing, f"the class does not document {missing}"
    untyped = [parameter.name for parameter in parameters if parameter.annotation is inspect.Parameter.empty]
    assert not untyped, f"no type is given for {untyped}"
    method, _ = cls.demo()
    assert list(method.config) == [n for n in names if n in method.config], "config has other names or another order"
    assert set(method.config) == set(names), f"the configuration lacks {set(names) - set(method.config)}"
    assert json.loads(json.dumps(method.config)) == method.config, "JSON does not give the configuration back"


def saves_and_loads_bit_by_bit(cls: MethodClass, folder: Path) -> None:
    method, batch = cls.demo(1)
    with torch.no_grad():
        for number, parameter in enumerate(method.parameters()):
            parameter.add_(0.01 * (number + 1))  # so that it is not what the constructor makes anyway
    method.save_pretrained(folder)
    loaded = cls.from_pretrained(folder)
    assert type(loaded) is cls, "another class was loaded"
    assert loaded.config == method.config, "the configuration changed"
    assert _equal(loaded.state_dict(), method.state_dict()), "the state changed"
    if trains(cls):
        one, other = (m.eval().objectives()[0].loss(batch, _rng(0))["loss"] for m in (method, loaded))
        assert torch.equal(one, other), (
            "the loaded method has another loss: something is neither state nor configuration"
        )


def refuses_weights_that_do_not_fit(cls: MethodClass, folder: Path) -> None:
    method, _ = cls.demo()
    if not method.state_dict():
        return
    method.save_pretrained(folder)
    state = load_file(folder / FILE)
    name = next(iter(state))
    whole = (folder / FILE).read_bytes()
    damaged: list[tuple[str, Any]] = [
        ("it lacks", {key: value for key, value in state.items() if key != name}),
        ("unknown", {**state, "more": torch.zeros(1)}),
        ("has shape", {**state, name: torch.zeros(*state[name].shape, 2)}),
        ("unknown", {f"module.{key}": value for key, value in state.items()}),
        ("damaged", whole[: len(whole) // 2]),
        ("damaged", b""),
    ]
    for message, content in damaged:
        if isinstance(content, bytes):
            (folder / FILE).write_bytes(content)
        else:
            save_file(content, folder / FILE)
        with pytest.raises(ValueError, match=message) as caught:
            cls.from_pretrained(folder)
        assert FILE in str(caught.value), "the sentence does not name the file"
        assert "\n" not in str(caught.value), "the sentence is no sentence"


def _take_two_steps(method: Method, batch: Batch, objective: Objective) -> None:
    optimiser = torch.optim.SGD(objective.parameters, lr=1e-3)
    for step in range(2):
        method.zero_grad()
        objective.loss(batch, _rng(step))["loss"].backward()
        optimiser.step()


def _fit(method: Method, objective: Objective, batch: Batch, steps: int, enough: float) -> None:
    """Train until the loss is low enough: in stretches, unless the method looks at when the training ends."""
    items = _items(batch)
    stretches = (steps,) if method.uses_progress else (steps // 4, steps // 4, steps - 2 * (steps // 4))
    for stretch in filter(None, stretches):
        mmlab.fit(method, items, steps=stretch, batch_size=len(items), lr=3e-3, progress=False)
        if _mean_loss(objective, batch) < enough:
            return


def _descend(method: Method, objective: Objective, batch: Batch, steps: int, enough: float) -> None:
    """Train one objective of several until its loss is low enough; the parameters of the others are not moved."""
    optimiser = torch.optim.Adam(objective.parameters, lr=1e-2, fused=True)
    for step in range(steps):
        if step and step % 10 == 0 and _mean_loss(objective, batch, draws=2) < enough:
            return
        method.zero_grad()
        objective.loss(batch, _rng(step))["loss"].backward()
        optimiser.step()


def _verbs(cls: MethodClass) -> list[str]:
    return [verb for verb in VERBS if callable(getattr(cls, verb, None))]


def _ask(method: Method, verb: str, batch: Batch) -> Tensor:
    """The answer to the demo's batch: all of it, or its source where the verb takes no batch."""
    function = getattr(method.eval(), verb)
    parameters = inspect.signature(function).parameters
    how: dict[str, Any] = {"rng": _rng(5)} if "rng" in parameters else {}
    if verb == "generate":
        how["max_new_tokens"] = 2
    answer: Tensor = function(batch[method.card.inputs[0]] if "source" in parameters else batch, **how)
    return answer


def _items(batch: Batch) -> list[Batch]:
    return [{key: value[i] for key, value in batch.items()} for i in range(len(next(iter(batch.values()))))]


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _mean_loss(objective: Objective, batch: Batch, draws: int = 8) -> float:
    with torch.no_grad():
        return float(np.mean([float(objective.loss(batch, _rng(1000 + draw))["loss"]) for draw in range(draws)]))


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _global_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), name, keys.tobytes(), *rest, torch.random.get_rng_state().numpy().tobytes()


def _elsewhere(function: Any) -> Any:
    """Call a function with other global random states, and put back what was there."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    random.seed(12345)
    np.random.seed(12345)  # noqa: NPY002
    torch.manual_seed(12345)
    try:
        return function()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.random.set_rng_state(states[2])
