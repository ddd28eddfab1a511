"""Small methods and datasets that the tests of the training loop share."""

from __future__ import annotations

import signal
from pathlib import Path

import torch
from torch import Tensor, nn

from mmlab.card import Card
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method, Objective
from mmlab.train.checkpoint import Checkpoint, Store

CARD = Card(name="Toy", family="test", paper="none", summary="For tests.", inputs=("x", "y"))


class Regression(Method):
    """Linear regression with dropout (the global generator) and noise (the generator that is handed in)."""

    card = CARD
    signal_at: tuple[int, int] | None = None  # (number of the call of loss, signal): as if it came during that step
    calls = 0

    def __init__(self, width: int = 6, noise: float = 0.1) -> None:
        super().__init__()
        self.noise = noise
        self.net = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.3), nn.Linear(width, 1))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        self.interrupt()
        noise = torch.randn(batch["x"].shape, generator=rng)
        error = self.net(batch["x"] + self.noise * noise) - batch["y"]
        return {"loss": error.square().mean(), "absolute": error.abs().mean()}

    def interrupt(self) -> None:
        if self.training:
            self.calls += 1
            if self.signal_at is not None and self.calls == self.signal_at[0]:
                signal.raise_signal(self.signal_at[1])


class Adversarial(Regression):
    """Two objectives over parts of one module: a generator and a critic."""

    def __init__(self, width: int = 6) -> None:
        super().__init__(width)
        self.critic = nn.Linear(5, 1)

    def judge(self, x: Tensor, y: Tensor) -> Tensor:
        return self.critic(torch.cat([x, y], 1))

    def critic_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        self.interrupt()
        fake = self.net(batch["x"] + torch.randn(batch["x"].shape, generator=rng))
        real, judged = self.judge(batch["x"], batch["y"]), self.judge(batch["x"], fake)
        return {"loss": (1 - real).relu().mean() + (1 + judged).relu().mean(), "gap": (real - judged).mean()}

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        self.interrupt()
        fake = self.net(batch["x"] + torch.randn(batch["x"].shape, generator=rng))
        return {"loss": -self.judge(batch["x"], fake).mean()}

    def objectives(self) -> list[Objective]:
        return [
            Objective("critic", list(self.critic.parameters()), self.critic_loss),
            Objective("generator", list(self.net.parameters()), self.generator_loss),
        ]


class Augmented:
    """Items that are drawn with noise; a plain read has none."""

    def __init__(self, data: TensorData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.data[index]

    def draw(self, index: int, rng: torch.Generator) -> dict[str, Tensor]:
        item = self.data[index]
        return item | {"x": item["x"] + torch.rand(item["x"].shape, generator=rng)}


def data(items: int = 40, seed: int = 0) -> TensorData:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(items, 4, generator=rng)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]) + 0.1 * torch.randn(items, 1, generator=rng)
    return TensorData({"x": x, "y": y}, subjects=[f"sub-{item:02d}" for item in range(items)])


def make(kind: type[Method] = Regression, seed: int = 0, **arguments: object) -> Method:
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    method = kind(**arguments)
    torch.set_rng_state(state)
    return method


def checkpoint(out: Path) -> Checkpoint:
    return Store(out).read()


def assert_same(ours: Checkpoint, theirs: Checkpoint) -> None:
    """Deep equality with tolerance 0."""
    assert ours.about == theirs.about
    assert ours.tensors.keys() == theirs.tensors.keys()
    for group, named in ours.tensors.items():
        assert named.keys() == theirs.tensors[group].keys()
        for name, tensor in named.items():
            assert torch.equal(tensor, theirs.tensors[group][name]), f"{group} {name}"
