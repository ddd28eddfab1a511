"""Each check of the battery fails on a method that breaks just that rule, and passes on one that keeps all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import battery
import cost
import pytest
import torch
from torch import Tensor, nn

from mmlab.card import Card
from mmlab.method import Batch, Method, Objective


class Toy(Method):
    """A linear map, trained with noisy inputs.

    Args:
        size: Number of values.
        noise: Standard deviation of the noise.
        names: A list, to see that it comes back.
    """

    card: ClassVar[Card] = Card("Toy", "toys", "toy2020", "Plays.", inputs=("x", "y"))

    def __init__(self, size: int = 6, noise: float = 0.1, names: tuple[str, ...] = ("a", "b")) -> None:
        super().__init__()
        self.noise = noise
        self.hidden = nn.Linear(size, size)
        self.out = nn.Linear(size, size)
        nn.init.zeros_(self.out.weight)  # blocks the gradient of `hidden` in the first step
        self.register_buffer("scale", torch.ones(1))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        x = batch["x"] + self.noise * torch.randn(batch["x"].shape, generator=rng)
        return {"loss": (self.out(self.hidden(x)).mul(self.scale) - batch["y"]).square().mean()}

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        return self.out(self.hidden(batch["x"]))

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method, x = cls(), torch.randn(16, 6)
        return method, {"x": x, "y": x.roll(1, dims=1)}


class UsesGlobalRandomness(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": super().loss(batch, rng)["loss"] + torch.rand(())}


class ReadsGlobalRandomness(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        with torch.random.fork_rng():
            return {"loss": super().loss(batch, rng)["loss"] + torch.rand(())}


class IgnoresTheSeed(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        torch.rand(1, generator=rng)
        return super().loss(batch, torch.Generator().manual_seed(0))


class ChangesItself(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        self.scale += 1
        return super().loss(batch, rng)


class ChangesTheBatch(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        batch["x"].mul_(0.5)
        return super().loss(batch, rng)


class ReturnsAVector(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": super().loss(batch, rng)["loss"][None]}


class ReturnsNaN(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {**super().loss(batch, rng), "extra": torch.tensor(float("nan"))}


class NeedsABatch(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": super().loss(batch, rng)["loss"] / (len(batch["x"]) - 1)}


class HasADeadLayer(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.dead = nn.Linear(2, 2)


class ForgetsAParameter(Toy):
    def objectives(self) -> list[Any]:
        (one,) = super().objectives()
        return [type(one)("", one.parameters[:1], one.loss)]


class DoesNotLearn(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        value = super().loss(batch, rng)["loss"]
        return {"loss": 2 * value.detach() - value}


class Adversaries(Toy):
    """Two objectives that pull one output up and down."""

    def objectives(self) -> list[Objective]:
        up = Objective("up", [*self.hidden.parameters()], lambda batch, rng: self._pull(batch, -1))
        return [up, Objective("down", [*self.out.parameters()], lambda batch, rng: self._pull(batch, 1))]

    def _pull(self, batch: Batch, sign: int) -> dict[str, Tensor]:
        return {"loss": sign * self.predict.__wrapped__(self, batch).mean()}

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        method, batch = super().demo(seed)
        with torch.no_grad():
            method.out.weight.fill_(0.1)
        return method, batch


class OneOfTwoDoesNotLearn(Adversaries):
    def _pull(self, batch: Batch, sign: int) -> dict[str, Tensor]:
        value = super()._pull(batch, sign)["loss"]
        return {"loss": value if sign > 0 else 2 * value.detach() - value}


class HasNoVerb(Toy):
    predict = None  # type: ignore[assignment]


class PredictsSomethingElse(Toy):
    def predict(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return x


class SamplesFromNowhere(Toy):
    def sample(self, source: Tensor) -> Tensor:
        return source


class PredictsByChance(Toy):
    def predict(self, batch: Batch) -> Tensor:
        with torch.random.fork_rng():
            return super().predict(batch) + torch.rand(())


class PredictsTheMean(Toy):
    def predict(self, batch: Batch) -> Tensor:
        return super().predict(batch).mean(0, keepdim=True)


class PredictsNaN(Toy):
    def predict(self, batch: Batch) -> Tensor:
        return super().predict(batch) * float("nan")


class KeepsGradients(Toy):
    def predict(self, batch: Batch) -> Tensor:
        return super().predict(batch) * self.scale.clone().requires_grad_()


class TrainsNothing(Toy):
    def objectives(self) -> list[Objective]:
        return []


class Wrapping(Method):
    """Neither trained nor solved: it wraps a model, and answers for it."""

    card: ClassVar[Card] = Toy.card
    loss, solve = Method.loss, getattr(Method, "solve", None)

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Linear(6, 6)

    def predict(self, batch: Batch) -> Tensor:
        return self.model(batch["x"]).detach()

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return cls(), {"x": torch.randn(4, 6), "y": torch.randn(4, 6)}


class WrapsNothing(Wrapping):
    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Identity()


class RandomDemo(Toy):
    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        method, batch = super().demo(seed)
        return method, {**batch, "x": torch.randn(16, 6)}


class OneDemo(Toy):
    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        return super().demo(0)


class LacksAnInput(Toy):
    card: ClassVar[Card] = Card("Toy", "toys", "toy2020", "Plays.", inputs=("x", "y", "z"))


class TakesAnything(Toy):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)


class Undocumented(Toy):
    """A toy.

    Args:
        size: Number of values.
    """

    def __init__(self, size: int = 6, width: int = 3) -> None:
        super().__init__(size)


class HidesState(Toy):
    """Forgets a part of itself.

    Args:
        size: Number of values.
    """

    def __init__(self, size: int = 6) -> None:
        super().__init__(size)
        self.gain = float(torch.rand(()))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": self.gain * super().loss(batch, rng)["loss"]}


class SolvesOnTop(Toy):
    def solve(self, dataset: Any) -> Self:
        self.out.weight.data += dataset[0]["x"]
        return self


class SolvesByChance(Toy):
    def solve(self, dataset: Any) -> Self:
        self.hidden.weight.data.copy_(torch.rand(6, 6))
        return self


class ReadsProgressInSecret(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": (2 - self.progress) * super().loss(batch, rng)["loss"]}


class ReadsProgressLateInAHook(Toy):
    def after_step(self) -> None:
        self.seen = self.progress


class HelperReadsProgress(Toy):
    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": _weight(self) * super().loss(batch, rng)["loss"]}


def _weight(method: Method) -> float:
    return 2 - method.progress


class DeclaresProgressInVain(Toy):
    uses_progress: ClassVar[bool] = True


class PredictsFromASource(Toy):
    def predict(self, source: Tensor) -> Tensor:
        return source


class LoadsAnything(Toy):
    @classmethod
    def from_pretrained(cls, *arguments: Any, **keywords: Any) -> Self:  # type: ignore[override]
        return cls()


CHECKS = [check for name, check in vars(battery).items() if getattr(check, "__module__", "") == "battery"]
CHECKS = [check for check in CHECKS if not check.__name__.startswith("_") and check.__annotations__["return"] == "None"]


def _run(check: Callable[..., None], cls: battery.MethodClass, folder: Path) -> None:
    check(cls, folder) if "folder" in check.__annotations__ else check(cls)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_good_method_passes(check: Callable[..., None], tmp_path: Path) -> None:
    _run(check, Toy, tmp_path)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (UsesGlobalRandomness, battery.all_randomness_is_handed_in),
        (ReadsGlobalRandomness, battery.all_randomness_is_handed_in),
        (IgnoresTheSeed, battery.all_randomness_is_handed_in),
        (ChangesItself, battery.all_randomness_is_handed_in),
        (ChangesTheBatch, battery.batch_is_left_alone),
        (ReturnsAVector, battery.loss_is_a_dict_of_finite_scalars),
        (ReturnsNaN, battery.loss_is_a_dict_of_finite_scalars),
        (NeedsABatch, battery.works_with_a_batch_of_one),
        (HasADeadLayer, battery.gradients_reach_every_parameter),
        (ForgetsAParameter, battery.gradients_reach_every_parameter),
        (DoesNotLearn, battery.loss_falls_on_a_fixed_batch),
        (OneOfTwoDoesNotLearn, battery.loss_falls_on_a_fixed_batch),
        (HasNoVerb, battery.has_what_its_kind_needs),
        (PredictsSomethingElse, battery.has_what_its_kind_needs),
        (SamplesFromNowhere, battery.has_what_its_kind_needs),
        (TrainsNothing, battery.has_what_its_kind_needs),
        (WrapsNothing, battery.has_what_its_kind_needs),
        (PredictsByChance, battery.the_verbs_answer),
        (PredictsTheMean, battery.the_verbs_answer),
        (PredictsNaN, battery.the_verbs_answer),
        (KeepsGradients, battery.the_verbs_answer),
        (RandomDemo, battery.demo_is_reproducible),
        (OneDemo, battery.demo_is_reproducible),
        (LacksAnInput, battery.batch_has_the_inputs),
        (TakesAnything, battery.constructor_is_a_configuration),
        (Undocumented, battery.constructor_is_a_configuration),
        (SolvesOnTop, battery.solving_depends_on_the_items_alone),
        (SolvesByChance, battery.solving_depends_on_the_items_alone),
        (HidesState, battery.saves_and_loads_bit_by_bit),
        (ReadsProgressInSecret, battery.progress_is_declared),
        (ReadsProgressLateInAHook, battery.progress_is_declared),
        (HelperReadsProgress, battery.progress_is_declared),
        (DeclaresProgressInVain, battery.progress_is_declared),
        (PredictsFromASource, battery.has_what_its_kind_needs),
        (LoadsAnything, battery.saves_and_loads_bit_by_bit),
        (LoadsAnything, battery.refuses_weights_that_do_not_fit),
    ],
    ids=lambda value: value.__name__,
)
def test_a_bad_method_fails(cls: battery.MethodClass, check: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception, ZeroDivisionError)):
        _run(check, cls, tmp_path)


def test_a_method_that_is_solved_passes() -> None:
    class Averaging(Toy):
        def solve(self, dataset: Any) -> Self:
            mean = torch.stack([item["x"] for item in dataset]).mean()
            for value in self.state_dict().values():
                value.fill_(mean)
            return self

    battery.solving_depends_on_the_items_alone(Averaging)


def test_each_kind_passes() -> None:
    assert (battery.trains(Toy), battery.solves(Toy)) == (True, False)
    assert battery.solves(SolvesOnTop)
    assert (battery.trains(Wrapping), battery.solves(Wrapping)) == (False, False)
    battery.has_what_its_kind_needs(Wrapping)
    battery.the_verbs_answer(Wrapping)


def test_adversaries_are_trained_one_at_a_time() -> None:
    battery.has_what_its_kind_needs(Adversaries)
    battery.loss_falls_on_a_fixed_batch(Adversaries)


def test_the_cost_of_the_contract_is_said_and_what_is_slow_is_named() -> None:
    said = cost.summary({"one": 0.5, "other": 1.0})
    assert said == "Contract: 0.75 s of the processor per method, at most 1.00 s (other)."
    assert cost.summary({"one": 0.5, "slow": 2.0}).endswith("Above 1.5 s: slow (2.0 s).")
