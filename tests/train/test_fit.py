"""What fit does in a step, against loops written out by hand."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import CARD, Adversarial, Regression, checkpoint, data, make

from mmlab import fit
from mmlab.data.tensors import TensorData
from mmlab.method import Method, Objective
from mmlab.train.ema import Average
from mmlab.train.randomness import derive
from mmlab.train.sampler import Order
from mmlab.train.settings import Settings


class Scaled(Method):
    """The mean of the data times one weight: values and gradients are known."""

    card = CARD

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
        self.seen: list = []

    def loss(self, batch, rng):
        self.seen.append((self.training, len(batch["x"]), torch.rand(1, generator=rng).item()))
        return {"loss": self.factor * (self.weight.sum() * batch["x"]).mean()}


def numbers(values) -> TensorData:
    return TensorData({"x": torch.as_tensor(values, dtype=torch.float64)})


def generator(*purpose) -> torch.Generator:
    return torch.Generator().manual_seed(derive(4, "noise", *purpose))


def test_fit_is_the_loop_that_one_would_write():
    ours = make()
    arguments = {"lr": 0.03, "weight_decay": 0.1, "clip_norm": 0.5, "warmup": 4, "schedule": "cosine", "seed": 4}
    history = fit(ours, data(), steps=12, batch_size=7, progress=False, **arguments)
    method, order, losses = make().train(), Order(40, 7, 1, 4), []
    weights = [p for p in method.parameters() if p.ndim == 2]
    biases = [p for p in method.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW([{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}])
    for step in range(12):
        rate = 0.03 * ((step + 1) / 4 if step < 4 else 0.5 * (1 + np.cos(np.pi * (step - 4) / 8)))
        torch.manual_seed(derive(4, "noise", "train", step, 0, "") ^ 0x5DEECE66D)
        loss = method.loss(data().batch(order.indices(step)), generator("train", step, 0, ""))["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(method.parameters()), 0.5)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        losses.append(loss.item())
    assert history.values() == pytest.approx(losses, rel=1e-6)
    for a, b in zip(ours.parameters(), method.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_loop_on_the_page_gives_the_weights_of_fit():
    page = (Path(__file__).parents[2] / "book" / "how_to" / "train_anywhere.md").read_text(encoding="utf-8")
    names: dict = {}
    exec(re.search(r"```python\n((?:(?!```).)*?def fit_by_hand.*?)```", page, re.DOTALL)[1], names)
    ours, theirs = make(), make()
    history = fit(ours, data(), steps=12, batch_size=7, lr=0.03, seed=4, progress=False)
    losses = names["fit_by_hand"](theirs, data(), steps=12, batch_size=7, lr=0.03, seed=4)
    assert history.values() == losses
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_two_objectives_alternate_and_keep_to_their_own():
    ours = make(Adversarial)
    history = fit(ours, data(), steps=9, batch_size=8, lr={"critic": 0.05, "generator": 0.01}, seed=4, clip_norm=None,
                  progress=False)  # fmt: skip
    method, order = make(Adversarial).train(), Order(40, 8, 1, 4)
    tasks = [
        ("critic", method.critic, method.critic_loss, 0.05),
        ("generator", method.net, method.generator_loss, 0.01),
    ]
    optimizers = [torch.optim.AdamW(part.parameters(), lr=rate, weight_decay=0.0) for _, part, _, rate in tasks]
    expected: dict = {"critic": [], "generator": []}
    for step in range(9):
        batch = data().batch(order.indices(step))
        for (name, part, loss, _), optimizer in zip(tasks, optimizers, strict=True):
            torch.manual_seed(derive(4, "noise", "train", step, 0, name) ^ 0x5DEECE66D)
            value = loss(batch, generator("train", step, 0, name))["loss"]
            own = list(part.parameters())
            for parameter, gradient in zip(own, torch.autograd.grad(value, own), strict=True):
                parameter.grad = gradient
            optimizer.step()
            expected[name].append(value.item())
    assert {row.metric for row in history.rows} == {"critic/loss", "critic/gap", "generator/loss"}
    for name, values in expected.items():
        assert history.values(f"{name}/loss") == pytest.approx(values, rel=1e-5)
    for a, b in zip(ours.parameters(), method.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert all(p.requires_grad and p.grad is None for p in ours.parameters())


def test_the_method_knows_how_much_of_its_training_is_done():
    class Watching(Regression):
        def loss(self, batch, rng):
            return super().loss(batch, rng) | {"progress": torch.tensor(self.progress)}

    method = make(Watching)
    history = fit(method, data(), steps=8, batch_size=4, progress=False)
    assert history.values("progress") == [k / 8 for k in range(8)]
    assert method.progress == 1


def test_parameters_without_an_objective_stay():
    class Half(Regression):
        def objectives(self):
            return [Objective("", list(self.net[0].parameters()), self.loss)]

    method = make(Half)
    before = method.net[2].weight.detach().clone()
    fit(method, data(), steps=3, progress=False)
    assert torch.equal(method.net[2].weight, before)
    assert method.net[2].weight.grad is None
    assert not torch.equal(method.net[0].weight, make(Half).net[0].weight)


def test_clipping_really_clips(tmp_path):
    """A gradient of norm 10^6 reaches AdamW with norm 1: its first moment after one step is (1 - beta1) times that."""
    fit(make(Scaled, factor=1e6), numbers([1.0]), steps=1, batch_size=1, clip_norm=1.0, out=tmp_path, progress=False)
    moment = checkpoint(tmp_path).tensors["optimizer"]["0.weight.exp_avg"]
    assert moment.norm().item() == pytest.approx(0.1 * 1.0, rel=1e-5)

    method = Scaled(factor=1e6)  # the bug: an optimiser that uses up an iterator leaves nothing to clip
    parameters = (p for p in method.parameters() if p.requires_grad)
    optimizer = torch.optim.AdamW(parameters)
    method.loss(numbers([1.0]).batch(torch.tensor([0])), torch.Generator())["loss"].backward()
    torch.nn.utils.clip_grad_norm_(list(parameters), 1.0)
    optimizer.step()
    assert optimizer.state[method.weight]["exp_avg"].norm().item() == pytest.approx(0.1 * 1e6 * 3**0.5, rel=1e-5)


def test_a_spike_does_not_freeze_the_run():
    """Unclipped, one huge gradient fills AdamW's second moment, and the next updates hardly move."""
    order = Order(20, 1, 1, 0)
    values = torch.ones(20, dtype=torch.float64)
    values[order.indices(0)] = 1e6
    moved = {}
    for bound in (1.0, None):
        method = Scaled()
        fit(method, numbers(values), steps=20, batch_size=1, lr=1e-2, clip_norm=bound, progress=False)
        moved[bound] = (1 - method.weight).abs().max().item()
    assert moved[1.0] > 1.5 * moved[None]


@pytest.mark.parametrize("decay", [0.9, 0.15])
def test_average_closed_form(tmp_path, decay):
    weights = [make().net[0].weight.detach().double().numpy()]
    for steps in range(1, 6):
        fit(make(), data(), steps=steps, lr=0.1, ema_decay=decay, out=tmp_path / str(steps), progress=False)
        weights.append(checkpoint(tmp_path / str(steps)).tensors["model"]["net.0.weight"].double().numpy())
    d = [min(decay, (1 + k) / (10 + k)) for k in range(1, 6)]
    expected = np.prod(d) * weights[0] + sum((1 - d[k]) * np.prod(d[k + 1 :]) * weights[k + 1] for k in range(5))
    ours = checkpoint(tmp_path / "5").tensors["average"]["net.0.weight"].double().numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)


def test_average_swaps_without_a_trace():
    layer = nn.Linear(3, 2)
    average = Average(dict(layer.named_parameters()), 0.5)
    with torch.no_grad():
        layer.weight.add_(1.0)
    raw, mean = layer.weight.detach().clone(), average.tensors["weight"].clone()
    with average.applied():
        assert torch.equal(layer.weight, mean)
    assert torch.equal(layer.weight, raw)
    assert torch.equal(average.tensors["weight"], mean)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 64])
def test_validation_weights_by_items(batch_size):
    values = torch.arange(1.0, 11)
    method = Scaled()
    history = fit(method, numbers(values), steps=4, batch_size=batch_size, lr=0.1, ema_decay=0.5, progress=False,
                  validation=numbers(values**2))  # fmt: skip
    exact = (method.weight.sum() * (values**2).mean()).item()  # the averaged weights are in place now
    assert history.last("loss", "validation") == pytest.approx(exact, rel=1e-6)
    assert [row.step for row in history.rows if row.split == "validation"] == [4]
    assert not method.training


def test_validation_is_whole_in_evaluation_mode_and_with_fixed_randomness():
    method = Scaled()
    fit(
        method,
        numbers([1.0] * 6),
        steps=6,
        batch_size=4,
        validation=numbers([1.0] * 10),
        validate_every=2,
        progress=False,
    )
    calls = [call for call in method.seen if not call[0]]
    assert [size for _, size, _ in calls] == [4, 4, 2] * 3
    draws = [draw for *_, draw in calls]
    assert draws[:3] == draws[3:6] == draws[6:]
    training = [draw for mode, _, draw in method.seen if mode]
    assert len(set(training + draws[:3])) == 6 + 3


def test_accumulation_changes_the_noise_and_nothing_else():
    results = []
    for accumulation in (1, 2, 5):  # pieces of unequal size; no clipping, which would hide a wrong weight
        method = make(Scaled)
        arguments = {"batch_size": 9, "accumulation": accumulation, "clip_norm": None, "lr": 0.1, "progress": False}
        history = fit(method, numbers(torch.arange(11.0)), steps=5, **arguments)
        assert [size for _, size, _ in method.seen][:accumulation] in ([9], [4, 5], [1, 2, 2, 2, 2])
        results.append([*method.weight.tolist(), *history.values()])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)
    np.testing.assert_allclose(results[2], results[0], rtol=1e-6)


def test_the_callers_random_states_are_kept_and_do_not_matter():
    results = []
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)  # noqa: NPY002
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        method = make()
        fit(method, [data()[i] for i in range(20)], steps=4, validation=data(5), progress=False)
        after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        assert before == after
        results.append(torch.cat([p.detach().flatten() for p in method.parameters()]))
    assert torch.equal(*results)


def test_another_seed_gives_another_run():
    values = [fit(make(), data(), steps=3, seed=seed, progress=False).values() for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_log_every_and_rates():
    history = fit(make(), data(), steps=7, log_every=3, progress=False)
    assert [row.step for row in history.rows if row.metric == "loss"] == [3, 6]
    settings = Settings(steps=10, lr=2.0, warmup=4, schedule="cosine")
    assert [settings.rate(step) for step in (0, 3, 4, 7)] == pytest.approx([0.5, 2.0, 2.0, 1.0])
    assert Settings(steps=10, lr=2.0).rate(9) == 2.0


def test_bf16_runs_close_to_float32():
    plain = fit(make(), data(), steps=8, progress=False).values()
    low = fit(make(), data(), steps=8, precision="bf16", progress=False).values()
    again = fit(make(), data(), steps=8, progress=False).values()  # one process, several precisions
    assert low == pytest.approx(plain, rel=0.05)
    assert low != plain == again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be a whole number, 1 or more"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"seed": -1}, "seed is -1"),
        ({"lr": 0.0}, "lr is 0.0; it must be a positive number"),
        ({"lr": {"": float("nan")}}, "lr is nan"),
        ({"schedule": "linear"}, "schedule is 'linear'; it must be 'constant' or 'cosine'"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"clip_norm": 0}, "clip_norm is 0"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"accumulation": 65}, "accumulation is 65; it must be at most the batch_size, 64"),
        ({"betas": (0.9, 1.0)}, "betas is"),
        ({"validate_every": 2}, "no validation dataset"),
        ({"validation": []}, "validation is empty"),
        ({"lr": {"critic": 0.1}}, "lr names the objectives"),
        ({"trackers": ["tensorboard"]}, "set `out`"),
        ({"trackers": ["nonsense"], "out": "unused"}, "no tracker 'nonsense': there are .*tensorboard"),
        ({"trackers": ["tensorbord"], "out": "unused"}, "did you mean 'tensorboard'"),
        ({"trackers": "aim", "out": "unused"}, "tracker 'aim' needs a package that is not installed: pip install aim"),
        ({"betas": (0.9,)}, "betas is .* two numbers"),
        ({"lr": float("inf")}, "lr is inf"),
    ],
)
def test_impossible_arguments_are_refused_in_words(arguments, message, tmp_path):
    method = make()
    before = [p.detach().clone() for p in method.parameters()]
    if "out" in arguments:
        arguments = arguments | {"out": tmp_path}
    with pytest.raises(ValueError, match=message) as refusal:
        fit(method, data(), **({"steps": 2, "progress": False} | arguments))
    assert str(refusal.value).rstrip(".").count(". ") == 0  # one sentence
    assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))


def test_unfit_data_and_methods_are_refused_in_words():
    with pytest.raises(ValueError, match="dataset is a generator"):
        fit(make(), (item for item in data()), steps=1)
    with pytest.raises(ValueError, match="TensorData"):
        fit(make(), data().tensors, steps=1)

    class Solved(Method):
        card = Regression.card

        def solve(self, dataset):
            return self

    with pytest.raises(ValueError, match="Solved is solved and not trained"):
        fit(Solved(), data(), steps=1)

    class Wrong(Regression):
        def loss(self, batch, rng):
            return {"total": batch["x"].sum()}

    class Long(Regression):
        def loss(self, batch, rng):
            return super().loss(batch, rng) | {"each": batch["x"]}

    class Foreign(Regression):
        def objectives(self):
            return [Objective("f", list(nn.Linear(2, 2).parameters()), self.loss)]

    class Frozen(Regression):
        def objectives(self):
            return [Objective("f", [], self.loss)]

    for kind, message in (
        (Wrong, "must return a dict with the key 'loss'"),
        (Long, r"returned 'each' of shape \(40, 4\), not a scalar"),
        (Foreign, "not one of the method's"),
        (Frozen, "no parameter that requires a gradient"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(make(kind), data(), steps=1, batch_size=40, progress=False)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Dropout(0.2))

    def forward(self, hidden):
        return hidden + self.layers(hidden)


class Blocks(Method):
    """Residual blocks with dropout."""

    card = CARD

    def __init__(self, width: int = 16, layers: int = 3) -> None:
        super().__init__()
        self.enter = nn.Linear(4, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.leave = nn.Linear(width, 1)

    def loss(self, batch, rng):
        hidden = self.enter(batch["x"] + 0.1 * torch.randn(batch["x"].shape, generator=rng))
        for block in self.blocks:
            hidden = block(hidden)
        return {"loss": (self.leave(hidden) - batch["y"]).square().mean()}


def test_gradient_checkpointing_saves_memory_and_changes_nothing():
    results, kept = [], []
    for on in (False, True):
        method, count = make(Blocks), 0

        def keep(tensor):
            nonlocal count
            count += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            history = fit(method, data(), steps=5, gradient_checkpointing=on, progress=False)
        results.append([*history.values(), *(p.sum().item() for p in method.parameters())])
        kept.append(count)
        assert "forward" not in vars(method.blocks[0])  # it is as it was
    assert results[0] == results[1]
    assert kept[1] < 0.6 * kept[0]
    with pytest.raises(ValueError, match=r"needs an nn.ModuleList of blocks; Regression has none"):
        fit(make(), data(), steps=1, gradient_checkpointing=True)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # from inside torch's compiler
def test_compilation_gives_the_same_to_the_last_digits(monkeypatch):
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(nn.Module, "compile", lambda self: setattr(self, "_compiled_call_impl", torch.compile(
        self._call_impl, backend=backend)))  # fmt: skip
    plain = fit(make(Blocks), data(), steps=4, progress=False).values()
    method = make(Blocks)
    assert fit(method, data(), steps=4, compile=True, progress=False).values() == pytest.approx(plain, rel=1e-5)
    assert len(seen) >= 1  # the networks went through the compiler
    assert all(module._compiled_call_impl is None for module in method.modules())


def test_trackers_get_every_row(tmp_path, monkeypatch):
    from accelerate import tracking

    class Notes(tracking.GeneralTracker):
        name, requires_logging_directory, main_process_only = "aim", False, False
        seen: list = []  # noqa: RUF012

        def __init__(self, run_name, **rest):
            super().__init__()

        @property
        def tracker(self):
            return self

        def store_init_configuration(self, values):
            self.seen.append(values)

        def log(self, values, step=None, **rest):
            self.seen.append((step, values))

        def finish(self):
            self.seen.append("end")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "aim", Notes)
    monkeypatch.setattr(tracking, "_available_trackers", [tracking.LoggerType.AIM])
    arguments = {"validation": data(5), "validate_every": 2, "trackers": ["aim"], "out": tmp_path, "progress": False}
    history = fit(make(), data(), steps=3, **arguments)
    config, *logged, end = Notes.seen
    assert config["batch_size"] == "64"
    assert config["config.width"] == "6"
    assert end == "end"
    rows = {(step, *name.split("/", 1)): value for step, values in logged for name, value in values.items()}
    assert rows == {(row.step, row.split, row.metric): row.value for row in history.rows}
