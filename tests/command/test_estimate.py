"""The memory estimate against a count by hand."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from mmlab.card import Card
from mmlab.command.estimate import plan
from mmlab.data.batches import read
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method


class Toy(Method):
    """Two layers with a sigmoid between."""

    card: ClassVar[Card] = Card("Toy", "toys", "toy2020", "Plays.", inputs=("x",))

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10, 20)
        self.frozen = nn.Linear(20, 5).requires_grad_(False)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        return {"loss": self.frozen(torch.sigmoid(self.first(batch["x"]))).sum()}


def test_plan_by_hand() -> None:
    items = [{"x": torch.randn(10)} for _ in range(30)]
    made = plan(Toy(), items, steps=60, batch_size=8, average=True)
    first, frozen = 10 * 20 + 20, 20 * 5 + 5
    assert (made.parameters, made.trainable, made.items, made.steps) == (first + frozen, first, 30, 60)
    assert made.epochs == 60 * 8 / 30
    sigmoid = 8 * 20 * 4  # the backward pass needs the sigmoid's output; inputs and weights are there anyway
    assert made.memory == {
        "weights": 4 * (first + frozen),
        "gradients": 4 * first,
        "optimiser": 8 * first,
        "average": 4 * first,
        "activations": sigmoid,
    }


def test_a_dataset_in_memory_is_collated_in_one_piece() -> None:
    items = TensorData({"x": torch.arange(10.0)})
    assert read(items, torch.arange(2, 5))["x"].tolist() == [2, 3, 4]
    assert read([items[i] for i in range(10)], torch.arange(2, 5))["x"].tolist() == [2, 3, 4]
