"""Batch invariance: what a method that reads or writes text says of an item does not depend on what lies beside it.

The checks take the class of a method whose batches hold ``input_ids``, ``length``, ``labels`` and, where it sees,
``images`` (the layout of :mod:`mmlab.data.conversations`). Items with no, one and two pictures are made from its demo;
each is then set alone, beside the others, and in rows that are padded further, with whatever in the padding.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmlab.method import Batch, Method
from mmlab.nn.splicing import IGNORE, IMAGE

MethodClass = type[Method]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def reads_text(cls: MethodClass) -> bool:
    """Whether the checks are meant for the method: it reads texts of any length, and is asked for some of the words."""
    return {"input_ids", "labels"} <= set(cls.card.inputs)


def items_of(batch: Batch) -> list[Batch]:
    """Single items of different lengths, with 0, 1 and 2 pictures where the method sees any."""
    words = batch["input_ids"][0][batch["input_ids"][0] != IMAGE]
    pictures = batch["images"].flatten(0, 1) if "images" in batch else torch.zeros(0, 1)
    rows = [words[:5], words[:4], torch.cat([words, words[:2]]), words[1:]]
    items = []
    for number, row in enumerate(rows):
        count = number % 3 if len(pictures) > 1 else 0
        row = torch.cat([row[:1], *[torch.tensor([IMAGE]), row[1:2]][: 2 * (count > 0)], row[2 - (count == 0) :]])
        if count == 2:
            row = torch.cat([torch.tensor([IMAGE]), row])
        labels = row.clone()
        labels[: -1 - number] = IGNORE  # answers of different lengths
        item = {"input_ids": row[None], "length": torch.tensor([len(row)]), "labels": labels[None]}
        item["weights"] = (labels != IGNORE).float()[None]
        if "images" in batch:
            item["images"] = pictures[:count][None]
        items.append(item)
    return items


def together(items: list[Batch], more: int = 0, filler: int = 0) -> Batch:
    """Items as one batch, padded on the right to the longest and ``more``, with ``filler`` in the padding."""
    width = max(item["input_ids"].shape[1] for item in items) + more

    def padded(name: str, value: float) -> Tensor:
        rows = [torch.nn.functional.pad(item[name], (0, width - item[name].shape[1]), value=value) for item in items]
        return torch.cat(rows)

    batch = {"input_ids": padded("input_ids", filler), "length": torch.cat([item["length"] for item in items])}
    batch |= {"labels": padded("labels", IGNORE), "weights": padded("weights", 0)}
    if "images" in items[0]:
        most = max(item["images"].shape[1] for item in items)
        pad = (0, 0) * (items[0]["images"].ndim - 2)
        rows = [torch.nn.functional.pad(item["images"], (*pad, 0, most - item["images"].shape[1])) for item in items]
        batch["images"] = torch.cat(rows)
    return batch


def ways(items: list[Batch]) -> list[Batch]:
    """The same items in several batches; all hold them in the same order."""
    return [together(items), together(items, more=3), together(items, more=2, filler=1)]


def loss_is_the_mean_over_items(cls: MethodClass) -> None:
    """Loss and gradients of a batch are the means of those of its items alone."""
    method, items = _ready(cls)
    alone = [_loss_and_gradients(method, item) for item in items]
    expected = sum(loss for loss, _ in alone) / len(items)
    for batch in ways(items):
        loss, gradients = _loss_and_gradients(method, batch)
        assert abs(loss - expected) < 1e-4 * max(1, abs(expected)), f"loss {loss:.6f} together, {expected:.6f} alone"
        for name, gradient in gradients.items():
            mean = sum((g[name] if name in g else torch.zeros_like(gradient)) for _, g in alone) / len(items)
            assert torch.allclose(gradient, mean, **CLOSE), (
                f"the gradient of {name} depends on what lies beside an item"
            )


def log_probabilities_are_those_of_an_item_alone(cls: MethodClass) -> None:
    """At every real position, padded on the right."""
    method, items = _ready(cls)
    if not hasattr(method, "logits"):
        pytest.skip(f"{cls.__name__} gives no logits")
    call: Any = method
    with torch.no_grad():
        alone = [call.logits(_without_labels(item))[0].log_softmax(-1) for item in items]
        for batch in ways(items):
            found = call.logits(_without_labels(batch)).log_softmax(-1)
            for b, one in enumerate(alone):
                assert torch.allclose(found[b, : len(one)], one, **CLOSE), f"item {b} has other log-probabilities"


def written_words_are_those_of_an_item_alone(cls: MethodClass) -> None:
    """Greedy words, also where other rows are longer, stop earlier, or see more pictures; and in another order."""
    method, items = _ready(cls)
    if not hasattr(method, "generate"):
        pytest.skip(f"{cls.__name__} writes nothing")
    call: Any = method
    alone = [call.generate(_without_labels(item), max_new_tokens=5)[0].tolist() for item in items]
    for batch in [*ways(items), together(items[::-1])]:
        made = call.generate(_without_labels(batch), max_new_tokens=5).tolist()
        wanted = alone if torch.equal(batch["length"][:1], items[0]["length"]) else alone[::-1]
        for b, (row, one) in enumerate(zip(made, wanted, strict=True)):
            width = min(len(row), len(one))
            assert row[:width] == one[:width], f"item {b} is answered {row} beside others and {one} alone"


CHECKS = (
    loss_is_the_mean_over_items,
    log_probabilities_are_those_of_an_item_alone,
    written_words_are_those_of_an_item_alone,
)


def _ready(cls: MethodClass) -> tuple[Method, list[Batch]]:
    """A method whose every weight matters, and items for it."""
    method, batch = cls.demo()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))
    return method.eval(), items_of(batch)


def _without_labels(batch: Batch) -> Batch:
    return {key: value for key, value in batch.items() if key not in ("labels", "weights")}


def _loss_and_gradients(method: Method, batch: Batch) -> tuple[float, dict[str, Tensor]]:
    method.zero_grad()
    loss = method.loss(batch, torch.Generator().manual_seed(0))["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), {n: p.grad.clone() for n, p in method.named_parameters() if p.grad is not None}
