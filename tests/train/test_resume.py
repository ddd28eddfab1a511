"""Stop at any step, go on, and get the bits of a run that was never stopped."""

import signal
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
import torch
from torch import nn
from training_toys import Adversarial, Augmented, Regression, assert_same, checkpoint, data, make

from mmlab import fit
from mmlab.method import Method, Objective
from mmlab.train.checkpoint import Checkpoint
from mmlab.train.optimisers import Optimiser

# From Python 3.12 on, forking a worker from a process with threads warns; the test runner has threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

STEPS = 10  # batch 8 of 40 items: two epochs of five steps
KINDS = {"one optimiser": Regression, "two optimisers": Adversarial}


class Paced(Adversarial):
    """A critic that is updated twice in each step by SGD, and a generator that waits for every second step."""

    def objectives(self):
        critic, generator = super().objectives()
        momentum = Optimiser("sgd", momentum=0.9, nesterov=True, lr=0.01)
        return [
            Objective(critic.name, critic.parameters, critic.loss, momentum, times=2),
            Objective(generator.name, generator.parameters, generator.loss, "adam", every=2),
        ]


class Hooked(Regression):
    """A teacher in parameters, a queue in a buffer, noise in the targets, and gradients that are changed."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Linear(4, 1).requires_grad_(False)
        self.register_buffer("queue", torch.zeros(6))
        self.register_buffer("at", torch.zeros((), dtype=torch.int64))

    def prepare(self, batch, rng):
        noise = torch.randn(batch["y"].shape, generator=rng)
        return batch | {"y": batch["y"] + self.teacher(batch["x"]) + 0.1 * noise + self.queue.mean()}

    def after_backward(self):
        self.net[0].weight.grad.mul_(1 + self.queue.mean())

    def after_step(self):
        self.teacher.weight.lerp_(self.net[0].weight[:1], 0.1)
        self.queue[int(self.at)] = self.net[0].bias.sum()
        self.at.copy_((self.at + 1) % 6)


def train(kind, out, ema, accumulation, workers=0, stop=None, steps=STEPS, **changed):
    method = kind if isinstance(kind, Method) else make(KINDS.get(kind, kind))
    calls_per_step = accumulation * len(method.objectives())
    if stop is not None:
        method.signal_at = (stop * calls_per_step, signal.SIGTERM)
    arguments = {
        "batch_size": 8, "lr": 0.05, "seed": 3, "warmup": 3, "schedule": "cosine", "weight_decay": 0.1,
        "ema_decay": ema, "accumulation": accumulation, "validation": data(11, seed=1), "validate_every": 4,
        "workers": workers, "progress": False,
    }  # fmt: skip
    history = fit(method, Augmented(data()), steps=steps, out=out, **(arguments | changed))
    return method, history


@cache
def uninterrupted(kind, ema, accumulation) -> tuple[Checkpoint, bytes, dict]:
    out = Path(mkdtemp())
    method, _ = train(kind, out, ema, accumulation)
    return checkpoint(out), (out / "history.csv").read_bytes(), method.state_dict()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [1, 3, 5, 7, STEPS], ids=["first", "middle 0", "end 0", "middle 1", "last"])
def test_resume_is_bitwise(tmp_path, stop, workers, ema, accumulation, kind):
    with pytest.raises(SystemExit) as stopped:
        train(kind, tmp_path, ema, accumulation, workers, stop)
    assert stopped.value.code == 143
    assert checkpoint(tmp_path).about["step"] == stop
    method, _ = train(kind, tmp_path, ema, accumulation, workers)
    expected, history, state = uninterrupted(kind, ema, accumulation)
    assert_same(checkpoint(tmp_path), expected)
    assert (tmp_path / "history.csv").read_bytes() == history
    assert all(torch.equal(value, state[name]) for name, value in method.state_dict().items())


OPTIMISERS = {
    "adam": "adam",
    "sgd": "sgd",
    "momentum": Optimiser("sgd", momentum=0.9),
    "nesterov": Optimiser("sgd", momentum=0.9, nesterov=True),
    "betas": Optimiser("adam", betas=(0.5, 0.9)),
}


@cache
def uninterrupted_with(kind, optimiser, accumulation) -> Checkpoint:
    out = Path(mkdtemp())
    train(kind, out, 0.9, accumulation, optimiser=OPTIMISERS[optimiser])
    return checkpoint(out)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("kind", [Regression, Adversarial, Paced, Hooked])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_every_optimiser_pace_and_hook_resumes_bitwise(tmp_path, accumulation, kind, optimiser):
    for stop in (1, 4, STEPS):
        out = tmp_path / str(stop)
        method = make(kind)

        class Stopped(kind):
            def after_step(self):
                super().after_step()
                self.steps = getattr(self, "steps", 0) + 1
                if self.steps == stop:  # noqa: B023
                    signal.raise_signal(signal.SIGTERM)

        method.__class__ = Stopped
        Stopped.__module__, Stopped.__qualname__ = kind.__module__, kind.__qualname__
        with pytest.raises(SystemExit):
            train(method, out, 0.9, accumulation, optimiser=OPTIMISERS[optimiser])
        assert checkpoint(out).about["step"] == stop
        train(kind, out, 0.9, accumulation, optimiser=OPTIMISERS[optimiser])
        assert_same(checkpoint(out), uninterrupted_with(kind, optimiser, accumulation))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"optimiser": "adam"}, "updates.loss.optimiser.name = 'adamw', this run has 'adam'"),
        ({"optimiser": Optimiser("adamw", eps=1e-6)}, "updates.loss.optimiser.eps = None, this run has 1e-06"),
        ({"optimiser": Optimiser("adamw", lr=0.1)}, "updates.loss.optimiser.lr = None, this run has 0.1"),
    ],
)
def test_another_optimiser_is_refused_by_the_field(tmp_path, changed, field):
    train(Regression, tmp_path, None, 1, steps=2)
    with pytest.raises(ValueError, match=field):
        train(Regression, tmp_path, None, 1, steps=2, **changed)


def test_a_batch_that_straddles_epochs_resumes_bitwise(tmp_path):
    train("one optimiser", tmp_path / "whole", 0.9, 1, batch_size=7, steps=13)
    for stop in (5, 6, 12):  # items 35 to 41 of 40: the sixth batch straddles
        out = tmp_path / str(stop)
        with pytest.raises(SystemExit):
            train("one optimiser", out, 0.9, 1, batch_size=7, steps=13, stop=stop)
        train("one optimiser", out, 0.9, 1, batch_size=7, steps=13)
        assert_same(checkpoint(out), checkpoint(tmp_path / "whole"))


def test_stopping_at_every_step_in_turn_changes_nothing(tmp_path):
    for step in range(1, STEPS):
        with pytest.raises(SystemExit):
            train("two optimisers", tmp_path, 0.9, 3, stop=1)
        assert checkpoint(tmp_path).about["step"] == step
    train("two optimisers", tmp_path, 0.9, 3)
    assert_same(checkpoint(tmp_path), uninterrupted("two optimisers", 0.9, 3)[0])


def test_a_longer_run_goes_on_from_a_shorter_one(tmp_path):
    short = {"schedule": "constant", "validation": None, "validate_every": None}
    train("one optimiser", tmp_path / "a", None, 1, steps=4, **short)
    _, history = train("one optimiser", tmp_path / "a", None, 1, steps=9, **short)
    train("one optimiser", tmp_path / "b", None, 1, steps=9, **short)
    assert_same(checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b"))
    assert [row.step for row in history.rows if row.metric == "loss"] == list(range(1, 10))


class Watching(Regression):
    """Its loss changes with the share of the training that is done."""

    uses_progress = True
    stopped_in_validation = False

    def loss(self, batch, rng):
        if self.stopped_in_validation and not self.training:
            signal.raise_signal(signal.SIGTERM)
        return {name: (1 + self.weight) * value for name, value in super().loss(batch, rng).items()}

    @property
    def weight(self):
        return self.progress


def test_a_method_that_minds_the_end_does_not_go_on_with_another(tmp_path):
    short = {"schedule": "constant", "validation": None, "validate_every": None}
    train(Watching, tmp_path, None, 1, steps=4, **short)
    with pytest.raises(ValueError, match="has steps = 4, this run has 9"):
        train(Watching, tmp_path, None, 1, steps=9, **short)


def test_a_validation_that_was_abandoned_is_made_up_for_with_the_same_numbers(tmp_path):
    more = {"schedule": "constant", "steps": 6, "validate_every": 3}
    _, expected = train(Watching, tmp_path / "whole", 0.9, 1, **more)
    Watching.stopped_in_validation = True
    try:
        with pytest.raises(SystemExit):
            train(Watching, tmp_path / "out", 0.9, 1, **more)
    finally:
        Watching.stopped_in_validation = False
    assert checkpoint(tmp_path / "out").about["step"] == 3
    _, history = train(Watching, tmp_path / "out", 0.9, 1, **more)
    assert history == expected
    assert_same(checkpoint(tmp_path / "out"), checkpoint(tmp_path / "whole"))


def test_the_raw_weights_go_on_and_the_averaged_ones_come_out(tmp_path):
    method, _ = train("one optimiser", tmp_path, 0.9, 1)
    saved = checkpoint(tmp_path).tensors
    for name, value in method.named_parameters():
        assert torch.equal(value, saved["average"][name])
        assert not torch.equal(value, saved["model"][name])
    again, _ = train("one optimiser", tmp_path, 0.9, 1)  # nothing is left to do: the same comes out
    assert all(torch.equal(a, b) for a, b in zip(method.parameters(), again.parameters(), strict=True))


def test_resume_false_starts_anew(tmp_path):
    train("one optimiser", tmp_path, None, 1)
    first = checkpoint(tmp_path)
    train("one optimiser", tmp_path, None, 1, resume=False)
    assert_same(checkpoint(tmp_path), first)
    folders = [path.name for path in (tmp_path / "checkpoint").iterdir() if path.is_dir()]
    assert folders == ["step-00000010-again"]  # a new folder, and the old one is gone


def test_interrupted_saves_do_not_change_the_numbers(tmp_path):
    for every in (1, 4):
        train("two optimisers", tmp_path / str(every), 0.9, 1, save_every=every)
        assert_same(checkpoint(tmp_path / str(every)), uninterrupted("two optimisers", 0.9, 1)[0])


def test_worker_processes_do_not_change_the_numbers(tmp_path):
    for kind in KINDS:
        out = tmp_path / kind
        train(kind, out, None, 1, workers=1)
        assert_same(checkpoint(out), uninterrupted(kind, None, 1)[0])
