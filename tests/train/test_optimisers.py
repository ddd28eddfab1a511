"""Optimisers by name, how often objectives are updated, and the hooks of a method, against loops written by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import Adversarial, Regression, data, make

from mmlab import fit
from mmlab.method import Classifier, Objective, Translator, Writer
from mmlab.train.optimisers import OPTIMISERS, Optimiser
from mmlab.train.randomness import derive
from mmlab.train.sampler import Order

QUIET = {"progress": False, "clip_norm": None, "batch_size": 8, "lr": 0.05, "seed": 3}


def by_hand(method, optimiser, steps=7, weight_decay=0.0):
    """The loop that one would write, with noise and order as fit has them."""
    order = Order(40, 8, 1, 3)
    method.train()
    for step in range(steps):
        seed = derive(3, "noise", "train", step, 0, "")
        torch.manual_seed(seed ^ 0x5DEECE66D)
        loss = method.loss(data().batch(order.indices(step)), torch.Generator().manual_seed(seed))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return method


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("adam", lambda p: torch.optim.Adam(p, lr=0.05, fused=True)),
        ("sgd", lambda p: torch.optim.SGD(p, lr=0.05, fused=True)),
        (Optimiser("sgd", momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, fused=True)),
        (
            Optimiser("sgd", momentum=0.9, nesterov=True, lr=0.01),
            lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, fused=True),
        ),
        (
            Optimiser("adam", betas=(0.5, 0.9), eps=1e-4),
            lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.9), eps=1e-4, fused=True),
        ),
        (Optimiser("adamw", eps=1e-3), lambda p: torch.optim.AdamW(p, lr=0.05, eps=1e-3, weight_decay=0, fused=True)),
    ],
    ids=lambda value: repr(value) if not callable(value) else "by hand",
)
def test_an_optimiser_is_torchs(ours, theirs):
    method = make()
    fit(method, data(), steps=7, optimiser=ours, **QUIET)
    expected = make()
    by_hand(expected, theirs(expected.parameters()))
    for name, value in method.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


@pytest.mark.parametrize("name", OPTIMISERS)
def test_weight_decay_is_for_matrices_alone(name):
    class Still(Regression):
        def loss(self, batch, rng):
            return {"loss": 0 * sum(p.sum() for p in self.parameters())}

    method = make(Still)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.fill_(1.0)
    fit(method, data(), steps=3, optimiser=name, weight_decay=0.1, **QUIET)
    for parameter in method.parameters():
        assert (parameter.max() < 1) == (parameter.ndim >= 2)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("adamax", {}, "no optimiser 'adamax': did you mean 'adam"),
        ("sgd", {"momentun": 0.9}, "'sgd' has no setting 'momentun': did you mean 'momentum'"),
        ("sgd", {"betas": (0.5, 0.9)}, "'sgd' has no setting 'betas'"),
        ("adam", {"momentum": 0.9}, "'adam' has no setting 'momentum'"),
        ("sgd", {"momentum": 1.0}, r"momentum is 1.0; it must be a number in \[0, 1\)"),
        ("sgd", {"nesterov": True}, "needs a momentum"),
        ("adam", {"lr": "0.1"}, "lr is '0.1'; it must be a positive number"),
        ("adam", {"lr": float("nan")}, "lr is nan"),
        ("adam", {"betas": 0.9}, "betas is 0.9; it must be two numbers"),
        ("adamw", {"weight_decay": -1}, "weight_decay is -1"),
    ],
)
def test_an_impossible_optimiser_is_refused_in_words(name, settings, message):
    with pytest.raises(ValueError, match=message):
        Optimiser(name, **settings)


def test_numbers_of_numpy_become_pythons():
    one = Optimiser("adam", lr=np.float32(0.5), betas=(np.float64(0.5), 0.9))
    assert one == Optimiser("adam", lr=0.5, betas=[0.5, 0.9])
    assert type(one.settings["lr"]) is float


class Counted(Adversarial):
    """Critic and generator with settings of their own, which count their updates."""

    critic_how: dict = {}  # noqa: RUF012
    generator_how: dict = {}  # noqa: RUF012

    def objectives(self):
        critic, generator = super().objectives()
        return [
            Objective(critic.name, critic.parameters, critic.loss, **self.critic_how),
            Objective(generator.name, generator.parameters, generator.loss, **self.generator_how),
        ]


def test_an_objective_has_its_own_pace_and_optimiser():
    class Paced(Counted):
        critic_how = {"times": 2, "optimiser": Optimiser("sgd", lr=0.01, momentum=0.5)}  # noqa: RUF012
        generator_how = {"every": 3}  # noqa: RUF012

    method, expected = make(Paced), make(Adversarial)
    history = fit(method, data(), steps=7, **QUIET)
    critic = torch.optim.SGD(expected.critic.parameters(), lr=0.01, momentum=0.5, fused=True)
    generator = torch.optim.AdamW(expected.net.parameters(), lr=0.05, weight_decay=0, fused=True)
    order = Order(40, 8, 1, 3)
    expected.train()
    for step in range(7):
        batch = data().batch(order.indices(step))
        turns = [("critic", critic, ()), ("critic", critic, ("turn", 1))]
        turns += [("generator", generator, ())] if step in (2, 5) else []
        for name, optimiser, turn in turns:
            seed = derive(3, "noise", "train", step, *turn, 0, name)
            torch.manual_seed(seed ^ 0x5DEECE66D)
            loss = getattr(expected, f"{name}_loss")(batch, torch.Generator().manual_seed(seed))["loss"]
            expected.zero_grad()
            loss.backward()
            optimiser.step()
    for name, value in method.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=0, atol=0, msg=name)
    steps = {m: [r.step for r in history.rows if r.metric == m] for m in ("critic/loss", "generator/loss")}
    assert steps == {"critic/loss": [1, 2, 3, 4, 5, 6, 7], "generator/loss": [3, 6]}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"every": 0}, "Objective 'critic' of .* has every=0; it must be a whole number, 1 or more"),
        ({"times": 1.5}, "has times=1.5"),
        ({"times": True}, "has times=True"),
        ({"optimiser": "rmsprop"}, "Objective 'critic' .*no optimiser 'rmsprop'"),
        ({"optimiser": torch.optim.SGD}, "it must be a name or an Optimiser"),
    ],
)
def test_an_impossible_objective_is_refused_in_words(how, message):
    class Wrong(Counted):
        critic_how = how

    with pytest.raises(ValueError, match=message):
        fit(make(Wrong), data(), steps=1, **QUIET)


class Hooked(Regression):
    """A teacher that follows after each step, targets from it, and gradients that are changed."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Linear(4, 1).requires_grad_(False)
        self.called: list[str] = []

    def prepare(self, batch, rng):
        assert not torch.is_grad_enabled()
        self.called.append("prepare")
        noise = torch.randn(batch["y"].shape, generator=rng)
        return batch | {"y": batch["y"] + 0.1 * self.teacher(batch["x"]) + 0.01 * noise}

    def loss(self, batch, rng):
        self.called.append("loss")
        return super().loss(batch, rng)

    def after_backward(self):
        self.called.append("after_backward")
        self.net[0].weight.grad.mul_(0.5)

    def after_step(self):
        assert not torch.is_grad_enabled()
        self.called.append("after_step")
        self.teacher.weight.lerp_(self.net[0].weight[:1], 0.1)


def test_hooks_are_called_in_order_and_count():
    method, expected = make(Hooked), make(Hooked)
    fit(method, data(), steps=4, optimiser="sgd", **QUIET)
    assert method.called == ["prepare", "loss", "after_backward", "after_step"] * 4
    order = Order(40, 8, 1, 3)
    optimiser = torch.optim.SGD([p for p in expected.parameters() if p.requires_grad], lr=0.05, fused=True)
    for step in range(4):
        seed = derive(3, "prepare", "train", step, 0)
        with torch.no_grad():
            batch = expected.prepare(data().batch(order.indices(step)), torch.Generator().manual_seed(seed))
        seed = derive(3, "noise", "train", step, 0, "")
        torch.manual_seed(seed ^ 0x5DEECE66D)
        optimiser.zero_grad()
        expected.loss(batch, torch.Generator().manual_seed(seed))["loss"].backward()
        expected.after_backward()
        optimiser.step()
        with torch.no_grad():
            expected.after_step()
    for name, value in method.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


def test_validation_sees_prepared_batches_too():
    method = make(Hooked)
    fit(method, data(), steps=1, validation=data(5), **QUIET)
    assert method.called[-2:] == ["prepare", "loss"]


def test_prepare_must_return_a_batch():
    class Forgets(Regression):
        def prepare(self, batch, rng):
            batch["z"] = batch["x"]

    with pytest.raises(ValueError, match=r"prepare\(\) of Forgets returned a NoneType; it must return a batch"):
        fit(make(Forgets), data(), steps=1, **QUIET)


def test_seeded_weights_depend_on_the_seed_alone():
    before = torch.get_rng_state()
    one, same, other = Regression.seeded(3, width=5), Regression.seeded(3, width=5), Regression.seeded(4, width=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.net[0].weight, same.net[0].weight)
    assert not torch.equal(one.net[0].weight, other.net[0].weight)
    assert torch.equal(one.net[0].weight, make(seed=3, width=5).net[0].weight)
    assert one.config == {"width": 5, "noise": 0.1}


def test_the_verbs_are_told_apart_by_protocol():
    class Carries(Regression):
        def sample(self, source, *, rng):
            return source

    class Judges(Regression):
        def predict(self, batch):
            return batch["x"]

    class Writes(Regression):
        def generate(self, batch):
            return batch["x"]

    kinds = {kind: [isinstance(kind(), verb) for verb in (Translator, Classifier, Writer)] for kind in
             (Regression, Carries, Judges, Writes)}  # fmt: skip
    assert list(kinds.values()) == [[False] * 3, [True, False, False], [False, True, False], [False, False, True]]


def test_what_is_not_solved_says_how_it_is_trained():
    with pytest.raises(NotImplementedError, match="Regression is not solved: train it with mmlab"):
        make().solve(data())


@pytest.mark.parametrize("optimiser", ["sgd", Optimiser("sgd", momentum=0.5)])
def test_betas_that_nobody_would_use_are_refused(optimiser):
    with pytest.raises(ValueError, match=r"betas is \(0.5, 0.9\), and SGD has none: leave it out"):
        fit(make(), data(), steps=1, optimiser=optimiser, betas=(0.5, 0.9), progress=False)
    fit(make(), data(), steps=1, optimiser=optimiser, progress=False)
