"""Does the model look at its input? Right, blank, noise, another item's, and each modality alone, on the same items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmlab.compare.intervals import Decision, decide
from mmlab.train.randomness import derive, generator
from mmlab.wording import nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ablation", "ablate", "transformers_answers"]

Answers = Callable[[Mapping[str, Any]], Sequence[Hashable]]
"""One answer for each item of a batch: class numbers, or texts."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """What :func:`ablate` found.

    Attributes:
        right: By name of the condition, whether each item was answered rightly, (N,).
        chance: Share that a guess among the answers that occur would have right.
        frequent: The most frequent true answer.
        most_frequent: Share of the items that have it.
        answers: By name of the condition, the answers given.
    """

    right: Mapping[str, Tensor]
    chance: float
    frequent: Hashable
    most_frequent: float
    answers: Mapping[str, Sequence[Hashable]]

    def against(self, condition: str, level: float = 0.95) -> Decision:
        """Whether the right input is answered better than under a condition, paired by item."""
        if condition not in self.right:
            raise ValueError(f"There is no condition {condition!r}: {nearest(condition, self.right)}")
        return decide(self.right["as given"], self.right[condition], direction="higher", over="items", level=level)

    @property
    def ignored(self) -> list[str]:
        """The modalities whose replacement by another item's is not seen to make the answers worse."""
        swapped = {
            name.removesuffix(": another item's"): name for name in self.right if name.endswith("another item's")
        }
        return [modality for modality, name in swapped.items() if self.against(name).outcome != "better"]

    def frame(self) -> pd.DataFrame:
        """One line for each condition: share right, what is lost against the right input, and its interval."""
        import pandas as pd

        rows = {}
        for name, right in self.right.items():
            row: dict[str, Any] = {"right": float(right.double().mean())}
            if name != "as given":
                found = self.against(name)
                row |= {"lost": found.difference, "low": found.low, "high": found.high}
            row["answers as before"] = _share_equal(self.answers[name], self.answers["as given"])
            rows[name] = row
        rows["most frequent answer"] = {"right": self.most_frequent}
        rows["chance"] = {"right": self.chance}
        return pd.DataFrame.from_dict(rows, orient="index")


def ablate(
    model: Answers | Any,
    data: Mapping[str, Any],
    *,
    modalities: Sequence[str],
    truth: str = "label",
    batch_size: int = 64,
    seed: int = 0,
) -> Ablation:
    """Ask a model about the same items with the right input, without it, and with a wrong one.

    For each modality: *blank* (the mean picture or vector over the items; an empty text), *noise* (values drawn anew
    with the modality's own mean and spread; the words of the text in random order), *another item's* (handed on around
    one random circle, so that nobody keeps their own), and *alone* (all other modalities blank). A model that scores
    the same with another item's picture does not look at the picture, whatever its accuracy.

    Args:
        model: A classifier of this package or anything with ``predict(batch)`` giving probabilities (B, K); or a
            function from a batch to one answer for each item, which any vision-language model can be wrapped into
            (:func:`transformers_answers` does it for one of transformers).
        data: The items: by modality a tensor (N, ...), or a list of N texts or pictures; and the true answers under
            ``truth``. Other keys are handed on as they are.
        modalities: Which keys to take away.
        truth: Key of the true answers: class numbers (N,), or texts, which must be met exactly.
        batch_size: Items at once.
        seed: Seed of the noise and of the circle.

    Returns:
        Who was right under each condition, paired by item, with chance and the most frequent answer.

    Raises:
        ValueError: If a key is absent, lengths differ, or there are fewer than two items.
    """
    count = _check(data, modalities, truth)
    true = [_plain(answer) for answer in data[truth]]
    answer = _as_answers(model)
    visible = {key: values for key, values in data.items() if key != truth}
    conditions: dict[str, dict[str, Any]] = {"as given": {}}
    blank = {name: _blank(data[name]) for name in modalities}
    order = _circle(count, derive(seed, "circle"))
    for name in modalities:
        conditions[f"{name}: blank"] = {name: blank[name]}
        conditions[f"{name}: noise"] = {name: _noise(data[name], derive(seed, "noise", name))}
        conditions[f"{name}: another item's"] = {name: _take(data[name], order)}
        if len(modalities) > 1:
            conditions[f"{name} alone"] = {other: blank[other] for other in modalities if other != name}
    answers, right = {}, {}
    for condition, change in conditions.items():
        given: list[Hashable] = []
        for start in range(0, count, batch_size):
            part = {key: values[start : start + batch_size] for key, values in (visible | change).items()}
            given += [_plain(one) for one in answer(part)]
        if len(given) != count:
            raise ValueError(f"The model gave {len(given)} answers for {count} items: one for each is needed.")
        answers[condition] = given
        right[condition] = torch.tensor([one == other for one, other in zip(given, true, strict=True)])
    frequent, times = Counter(true).most_common(1)[0]
    return Ablation(right, 1 / len(set(true)), frequent, times / count, answers)


def transformers_answers(
    model: Any, processor: Any, *, image: str = "image", text: str = "text", **generate: Any
) -> Answers:
    """A vision-language model of transformers as a function from batches to answers.

    Args:
        model: Model with ``generate``.
        processor: Its processor: called with ``images``, ``text`` and ``padding``.
        image: Key of the pictures in the batch.
        text: Key of the prompts, in the form that the model expects.
        **generate: Arguments of ``generate``; by default greedy with 16 new tokens.
    """
    arguments = {"do_sample": False, "max_new_tokens": 16} | generate

    def answers(batch: Mapping[str, Any]) -> list[Hashable]:
        inputs = processor(images=list(batch[image]), text=list(batch[text]), return_tensors="pt", padding=True)
        with torch.no_grad():
            made = model.generate(**{key: value.to(model.device) for key, value in inputs.items()}, **arguments)
        new = made[:, inputs["input_ids"].shape[1] :] if "input_ids" in inputs else made
        return [said.strip() for said in processor.batch_decode(new, skip_special_tokens=True)]

    return answers


def _as_answers(model: Any) -> Answers:
    if not hasattr(model, "predict"):
        if not callable(model):
            raise ValueError(
                f"The model is a {type(model).__name__}: give a function of batches, or what has predict()."
            )
        return model

    def answers(batch: Mapping[str, Any]) -> Sequence[Hashable]:
        device = getattr(model, "device", "cpu")
        moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}
        with torch.no_grad():
            found = model.predict(moved)
        return (found.argmax(-1) if found.ndim > 1 else found).tolist()

    return answers


def _check(data: Mapping[str, Any], modalities: Sequence[str], truth: str) -> int:
    if not modalities:
        raise ValueError("ablate: name at least one modality to take away.")
    for name in (*modalities, truth):
        if name not in data:
            raise ValueError(f"The data have no {name!r}: {nearest(name, data)}")
    count = len(data[truth])
    if wrong := [name for name, values in data.items() if len(values) != count]:
        raise ValueError(f"{wrong[0]!r} has {len(data[wrong[0]])} items and {truth!r} {count}: give one for each.")
    if count < 2:
        raise ValueError("ablate: at least two items are needed, so that one can be given another's input.")
    return count


def _circle(count: int, seed: int) -> Tensor:
    """For each item the one whose input it gets: a single circle, so that nobody keeps their own."""
    circle = torch.randperm(count, generator=generator(seed))
    order = torch.empty_like(circle)
    order[circle] = circle.roll(1)
    return order


def _take(values: Any, order: Tensor) -> Any:
    return values[order] if isinstance(values, Tensor) else [values[i] for i in order.tolist()]


def _blank(values: Any) -> Any:
    if isinstance(values, Tensor):
        if not values.is_floating_point():
            return torch.zeros_like(values)
        return values.mean(0, keepdim=True).expand_as(values).clone()
    return [_blank_object(value) for value in values]


def _blank_object(value: Any) -> Any:
    if isinstance(value, str):
        return ""
    from PIL import Image

    if isinstance(value, Image.Image):  # one grey of the picture's own mean
        mean = tuple(int(band.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))) for band in value.split())  # type: ignore[arg-type]
        return Image.new(value.mode, value.size, mean if len(mean) > 1 else mean[0])
    raise ValueError(f"ablate: a {type(value).__name__} cannot be made blank: give tensors, texts or PIL pictures.")


def _noise(values: Any, seed: int) -> Any:
    rng = generator(seed)
    if isinstance(values, Tensor):
        if not values.is_floating_point():  # tokens: drawn anew from those that occur
            flat = values.flatten()
            return flat[torch.randint(len(flat), flat.shape, generator=rng)].view_as(values)
        return values.mean() + values.std() * torch.randn(values.shape, generator=rng, dtype=values.dtype)
    return [_noise_object(value, rng) for value in values]


def _noise_object(value: Any, rng: torch.Generator) -> Any:
    if isinstance(value, str):
        words = value.split()
        return " ".join(words[i] for i in torch.randperm(len(words), generator=rng).tolist())
    from PIL import Image

    if isinstance(value, Image.Image):
        shape = (value.height, value.width, *([len(value.getbands())] if len(value.getbands()) > 1 else []))
        return Image.fromarray(torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8).numpy(), value.mode)
    raise ValueError(f"ablate: there is no noise for a {type(value).__name__}: give tensors, texts or PIL pictures.")


def _plain(answer: Any) -> Hashable:
    value: Hashable = answer.item() if hasattr(answer, "item") else answer
    return value.strip() if isinstance(value, str) else value


def _share_equal(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
