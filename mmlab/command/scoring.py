"""How good a method is on the test items of any dataset, and samples from it: `mmlab evaluate` and `mmlab sample`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mmlab.command.arguments import parse
from mmlab.command.datasets import check_seed

if TYPE_CHECKING:
    from torch import Tensor

    from mmlab.command.datasets import Data
    from mmlab.method import Method

__all__ = ["draw", "evaluate"]


def evaluate(method: Method, data: Data, *, draws: int = 8, seed: int = 0) -> dict[str, dict[str, float]]:
    """Measure a method on the test items, beside the baselines where the kind of data has some.

    Args:
        method: The trained method.
        data: It is measured on ``data.test``; the baselines learn from ``data.train``.
        draws: Samples per item whose mean is the method's prediction, where it samples.
        seed: Seed of all randomness.

    Returns:
        Rows of a table by name. Connectivity is scored as in the book (:mod:`mmlab.metrics.connectome`), and classes as
        in :mod:`mmlab.metrics.classification`; for other data there is one row, with the terms of the loss.

    Raises:
        ValueError: If the method has no loss, and predicts nothing that the data could be compared with.
    """
    import torch

    from mmlab.data.batches import read, read_all
    from mmlab.data.connectome import ConnectomePairs
    from mmlab.data.tensors import TensorData
    from mmlab.method import Classifier

    method.eval()
    if isinstance(data.test, ConnectomePairs) or (isinstance(data.test, TensorData) and _are_rows(data.test[0])):
        return _translations(method, data, draws, seed)
    if "label" in data.test[0] and isinstance(method, Classifier):
        known = read_all(data.train)["label"]
        return _classes(draw(method, data.test, 1, seed)[0], known, read_all(data.test)["label"])
    if not method.is_trained():
        raise ValueError(f"{type(method).__name__} has no loss, and {data.name} nothing to compare its answers with.")
    rng = torch.Generator(method.device).manual_seed(seed)
    totals: dict[str, float] = {}
    with torch.no_grad():
        for start in range(0, len(data.test), 64):
            indices = range(start, min(start + 64, len(data.test)))
            batch = {key: value.to(method.device) for key, value in read(data.test, torch.tensor(indices)).items()}
            for name, value in method.loss(batch, rng).items():
                totals[name] = totals.get(name, 0.0) + float(value) * len(indices) / len(data.test)
    return {"method": totals}


def _are_rows(item: Mapping[str, Tensor]) -> bool:
    return {"source", "target"} <= set(item) and item["source"].ndim == item["target"].ndim == 1


def _translations(method: Method, data: Data, draws: int, seed: int) -> dict[str, dict[str, float]]:
    """Measures of predicted rows of numbers beside those of the baselines; those of connectomes where they are such."""
    from mmlab.compare.connectome_baselines import baselines
    from mmlab.data.connectome import ConnectomePairs
    from mmlab.data.pairs import Pairs
    from mmlab.metrics.connectome import evaluate as score

    train, test = Pairs.of(data.train), Pairs.of(data.test)
    networks = None
    if isinstance(test, ConnectomePairs) and len(set(test.target_regions.networks)) > 1:
        networks = test.target_regions.networks
    drawn = draw(method, data.test, draws, seed).mean(0)
    if drawn.shape != test.target.shape:
        raise ValueError(
            f"{type(method).__name__} predicts {tuple(drawn.shape[1:])} and the target of {data.name} is "
            f"{tuple(test.target.shape[1:])}: this method needs a source and a target of the same shape."
        )
    predictions = {**baselines(data.train, data.test), "method": drawn}
    return {name: score(made, test.target, train.target.mean(0), networks) for name, made in predictions.items()}


def _classes(probabilities: Tensor, known: Tensor, label: Tensor) -> dict[str, dict[str, float]]:
    """Measures of class probabilities (N, K), beside the shares of the classes (smoothed) in the training items."""
    import torch

    from mmlab.metrics.classification import accuracy, expected_calibration_error, log_loss, macro_f1

    counts = torch.bincount(known, minlength=probabilities.shape[1]).double() + 1
    shares = (counts / counts.sum()).expand_as(probabilities)
    measures = (accuracy, macro_f1, log_loss, expected_calibration_error)
    answers = {"shares of the classes": shares, "method": probabilities.double()}
    return {name: {measure.__name__: measure(made, label) for measure in measures} for name, made in answers.items()}


def draw(method: Method, items: Any, draws: int = 1, seed: int = 0, settings: Iterable[str] = ()) -> Tensor:
    """Draw samples for every item.

    Args:
        method: A method with ``sample`` or ``predict``.
        items: A dataset.
        draws: Samples per item.
        seed: Seed of the randomness.
        settings: Further arguments of that function as ``key=value``, for example ``steps=50``.

    Returns:
        Samples, shape (draws, len(items), ...).

    Raises:
        ValueError: If the method has no such function, or it needs what the dataset does not give.
    """
    check_seed(seed)
    if draws < 1:
        raise ValueError(f"The number of draws is {draws}; it must be 1 or more.")
    import torch

    from mmlab.data.batches import read_all
    from mmlab.method import Classifier, Translator

    if not isinstance(method, Translator | Classifier):
        raise ValueError(f"{type(method).__name__} has neither sample() nor predict(): it cannot be sampled from here.")
    function = method.sample if isinstance(method, Translator) else method.predict
    arguments = parse(function, settings, taken=["source", "batch", "rng"])
    batch = {name: value.to(method.device) for name, value in read_all(items).items()}
    rng = torch.Generator(method.device).manual_seed(seed)
    if isinstance(method, Translator) and "source" not in batch:
        raise ValueError(f"{function.__qualname__} needs source, which the dataset does not give.")
    with torch.no_grad():
        if isinstance(method, Translator):
            return torch.stack([method.sample(batch["source"], rng=rng, **arguments) for _ in range(draws)]).cpu()
        return torch.stack([method.predict(batch, **arguments) for _ in range(draws)]).cpu()
