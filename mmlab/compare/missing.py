"""One contest of ways to live with missing modalities: the same items, gaps, training and search for all of them.

A *way* says what the network is given where a modality is missing, and how it was trained. The plain ones put something
in the place of the gap and say nothing about it: zeros, the mean of the training items, or what a ridge regression on
the modalities that are there expects (fitted on training items). The others are told which modalities are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import Tensor

from mmlab.compare.budget import Spent, Tuned, tune
from mmlab.compare.comparison import unlabelled
from mmlab.compare.seeds import OverSeeds, over_seeds
from mmlab.data.gaps import Gaps
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Classifier, Method
from mmlab.metrics.classification import accuracy, log_loss
from mmlab.train.fit import fit
from mmlab.train.randomness import derive
from mmlab.wording import nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CEILING", "WAYS", "Fill", "Filling", "MissingContest", "Way", "missing_modalities"]

Fill = Literal["zero", "mean", "imputation"]
"""What is put in the place of a gap."""

CEILING = "best possible"
"""Row of the best answer that there is, which knows the law of items and gaps."""

_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Way:
    """A way to live with gaps.

    Attributes:
        fill: What is put into a gap, of which the network is told nothing; None: it is told what is there.
        arguments: Further arguments of the function that builds the network.
    """

    fill: Fill | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


WAYS: dict[str, Way] = {
    "zero": Way("zero"),
    "mean": Way("mean"),
    "imputation": Way("imputation"),
    "indicator": Way(),
    "modality dropout": Way(arguments={"modality_dropout": 0.5}),
    "product of experts": Way(arguments={"fusion": "product"}),
}
"""The ways that any network with a fusion head has: arguments of :class:`mmlab.methods.late_fusion.LateFusion`."""


class Filling:
    """Fill gaps, with what was learnt from training items alone.

    Args:
        kind: What is put in the place of a gap.
        train: Training items, with their own gaps.
        modalities: What may be missing.

    Raises:
        ValueError: If there is no such kind, or no training item has a modality.
    """

    def __init__(self, kind: Fill, train: TensorData, modalities: Sequence[str]) -> None:
        if kind not in get_args(Fill):
            raise ValueError(f"fill={kind!r} is nothing to put into a gap: {nearest(kind, get_args(Fill))}")
        self.kind = kind
        self.modalities = sorted(modalities)
        self._there = {name: _present(train.tensors, name) for name in self.modalities}
        self._train = {name: train.tensors[name].flatten(1).double() for name in self.modalities}
        if empty := [name for name, there in self._there.items() if not there.any()]:
            raise ValueError(f"No training item has {empty[0]!r}: there is nothing to learn about it.")
        self.means = {name: self._train[name][there].mean(0) for name, there in self._there.items()}  # (F,) each
        self._lines: dict[tuple[str, tuple[str, ...]], Callable[[Tensor], Tensor]] = {}

    def __call__(self, batch: Mapping[str, Tensor]) -> Batch:
        """The batch without gaps and without masks."""
        masks = {f"{name}_present" for name in self.modalities}
        filled = {key: values for key, values in batch.items() if key not in masks}
        there = {name: _present(batch, name) for name in self.modalities}
        for name in self.modalities:
            filled[name] = self._filled(name, batch, there)
        return filled

    def data(self, items: TensorData) -> TensorData:
        """The items without gaps and without masks."""
        return TensorData(self(items.tensors), items.subjects)

    def _filled(self, name: str, batch: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Tensor:
        values, gone = batch[name], ~there[name]
        flat = values.flatten(1).double()
        stand_in = torch.zeros_like(flat)
        if self.kind == "mean":
            stand_in = self.means[name].expand_as(flat)
        elif self.kind == "imputation":
            others = [other for other in self.modalities if other != name]
            known = torch.stack([there[other] for other in others], 1) if others else gone[:, None][:, :0]
            for pattern in torch.unique(known[gone], dim=0):
                rows = gone & (known == pattern).all(1)
                seen = tuple(other for other, is_there in zip(others, pattern.tolist(), strict=True) if is_there)
                stand_in[rows] = self._expected(name, seen, {other: batch[other][rows] for other in seen}, rows)
        return torch.where(gone[:, None], stand_in, flat).to(values.dtype).view_as(values)

    def _expected(self, name: str, seen: tuple[str, ...], values: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """What a regression expects of a modality, given others: (N', F)."""
        if not seen:
            return self.means[name].expand(int(rows.sum()), -1)
        if (name, seen) not in self._lines:
            self._lines[name, seen] = self._regression(name, seen)
        return self._lines[name, seen](torch.cat([values[other].flatten(1).double() for other in seen], 1))

    def _regression(self, name: str, seen: tuple[str, ...]) -> Callable[[Tensor], Tensor]:
        """A ridge regression on the training items that have all of them; the mean, if hardly any do."""
        from sklearn.linear_model import RidgeCV

        both = torch.stack([self._there[other] for other in (name, *seen)]).all(0)
        if int(both.sum()) < 3:
            return lambda x: self.means[name].expand(len(x), -1)
        x = torch.cat([self._train[other][both] for other in seen], 1)
        line = RidgeCV(_PENALTIES).fit(x.numpy(), self._train[name][both].numpy())
        return lambda x: torch.as_tensor(line.predict(x.numpy())).view(len(x), -1)


@dataclass(frozen=True, eq=False)
class MissingContest:
    """What came of a contest.

    Attributes:
        scores: One line for each way, rate and seed: ``way``, ``rate``, ``seed``, ``accuracy``, ``log loss``. The row
            :data:`CEILING` is there if the posterior was given.
        spent: What each way was allowed: steps, parameters, tuned settings and tries.
        chosen: The settings that the search chose, by way.
    """

    scores: pd.DataFrame
    spent: dict[str, Spent]
    chosen: dict[str, dict[str, Any]]

    def at(self, rate: float) -> OverSeeds:
        """The scores at one rate of gaps.

        Raises:
            ValueError: If this rate was not measured.
        """
        rates = sorted(set(self.scores["rate"]))
        chosen = [one for one in rates if math.isclose(one, rate, abs_tol=1e-9)]
        if not chosen:
            raise ValueError(f"The rate {rate} was not measured: there are {', '.join(map(str, rates))}.")
        rows = self.scores[self.scores["rate"] == chosen[0]].drop(columns="rate")
        return over_seeds(rows, by="way")

    def over_rates(self) -> OverSeeds:
        """The mean of each way over the rates that hide something, by seed."""
        rows = self.scores[self.scores["rate"] > 0].drop(columns="rate")
        return over_seeds(rows.groupby(["way", "seed"], sort=False).mean())


def missing_modalities(
    build: Callable[..., Method],
    train: TensorData,
    test: TensorData,
    *,
    modalities: Sequence[str],
    rates: Sequence[float],
    gaps: Gaps | None = None,
    trained: Gaps | None = None,
    ways: Mapping[str, Way] | None = None,
    own: Mapping[str, Callable[[int], Method]] | None = None,
    training: Mapping[str, Any],
    validation: TensorData | None = None,
    settings: Mapping[str, Sequence[Any]] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    posterior: Callable[[Batch], Tensor] | None = None,
) -> MissingContest:
    """Train each way once for each seed, and measure it at every rate of gaps.

    All ways get the same items and the same gaps, in training and at test, the same steps, and the same search for
    their settings on validation items. The test items are measured after the last step, without their labels.

    Args:
        build: Makes an untrained network: ``build(seed, **arguments of the way)``.
        train: Complete training items with the modalities and ``label``.
        test: Complete test items with the same keys.
        modalities: What may be missing.
        rates: Shares of hidden values at test, each of them measured.
        gaps: Mechanism and strength of the gaps at test; its own rate is not used.
        trained: Gaps of the training and validation items; by default they are complete.
        ways: Ways by name; by default :data:`WAYS`.
        own: Further methods by name, each told what is there and left to its own way: a function of the seed.
        training: Arguments of :func:`mmlab.fit`, for all alike.
        validation: Complete items on which each way's settings are chosen.
        settings: Values to try by name, all combined, as for :func:`mmlab.compare.budget.tune`.
        seeds: Seeds of weights, order and gaps.
        posterior: Class probabilities (N, K) of the best answer to a batch with gaps that cannot read the gaps
            themselves. What gaps that are not at random tell is added here.

    Raises:
        ValueError: If rates or names do not fit, the search lacks items, or train and test are the same.
    """
    ways = dict(WAYS if ways is None else ways)
    law, before = gaps or Gaps(), trained or Gaps()
    builders: dict[str, tuple[Way, Callable[..., Method]]] = {
        **{name: (way, partial(build, **way.arguments)) for name, way in ways.items()},
        **{name: (Way(), make) for name, make in (own or {}).items()},
    }
    _check(train, test, rates, modalities, validation, settings, ways, own or {})
    rows, spent, chosen = [], {}, {}
    for name, (way, make) in builders.items():
        found = _search(way, make, train, validation, before, modalities, training, settings, seeds[0])
        chosen[name] = found.settings if found else {}
        for seed in seeds:
            method, filling = _trained(way, make, train, before, modalities, {**training, **chosen[name]}, seed)
            spent[name] = Spent.on(method, training.get("steps"), found)
            for rate in rates:
                items = _with_gaps(test, law, rate, modalities, seed)
                seen = unlabelled(items if filling is None else filling.data(items))
                rows.append((name, rate, seed, *_scores(cast(Classifier, method).predict(seen), items)))
    if posterior is not None:
        for seed in seeds:
            for rate in rates:
                items = _with_gaps(test, law, rate, modalities, seed)
                rows.append((CEILING, rate, seed, *_best(posterior, items, law, rate, modalities)))
    import pandas as pd

    columns = ["way", "rate", "seed", "accuracy", "log loss"]
    return MissingContest(pd.DataFrame(rows, columns=columns), spent, chosen)


def _present(batch: Mapping[str, Tensor], name: str) -> Tensor:
    return batch.get(f"{name}_present", torch.ones(len(batch[name]), dtype=torch.bool))


def _with_gaps(data: TensorData, law: Gaps, rate: float, modalities: Sequence[str], seed: int) -> TensorData:
    rng = torch.Generator().manual_seed(derive(seed, "gaps", str(rate)))
    return Gaps(rate, law.mechanism, law.strength).draw(data, modalities, rng)


def _trained(
    way: Way,
    make: Callable[..., Method],
    train: TensorData,
    before: Gaps,
    modalities: Sequence[str],
    training: Mapping[str, Any],
    seed: int,
) -> tuple[Method, Filling | None]:
    items = before.draw(train, modalities, torch.Generator().manual_seed(derive(seed, "training gaps")))
    filling = None if way.fill is None else Filling(way.fill, items, modalities)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = make(seed)
    fit(method, items if filling is None else filling.data(items), **{"progress": False} | dict(training), seed=seed)
    return method.eval(), filling


def _search(
    way: Way,
    make: Callable[..., Method],
    train: TensorData,
    validation: TensorData | None,
    before: Gaps,
    modalities: Sequence[str],
    training: Mapping[str, Any],
    settings: Mapping[str, Sequence[Any]] | None,
    seed: int,
) -> Tuned | None:
    """The settings with the highest accuracy on validation items, which have gaps as the training items do."""
    if not settings or validation is None:
        return None
    items = before.draw(train, modalities, torch.Generator().manual_seed(derive(seed, "training gaps")))
    held = before.draw(validation, modalities, torch.Generator().manual_seed(derive(seed, "validation gaps")))
    if way.fill is not None:
        filling = Filling(way.fill, items, modalities)
        items, held = filling.data(items), filling.data(held)

    def measure(method: Method, data: TensorData) -> float:
        return accuracy(cast(Classifier, method).predict(unlabelled(data)), data.tensors["label"])

    return tune(make, settings, items, held, measure=measure, direction="higher", training=training, seeds=(seed,))


def _scores(probabilities: Tensor, items: TensorData) -> tuple[float, float]:
    label = items.tensors["label"]
    return accuracy(probabilities, label), log_loss(probabilities, label)


def _best(
    posterior: Callable[[Batch], Tensor], items: TensorData, law: Gaps, rate: float, modalities: Sequence[str]
) -> tuple[float, float]:
    """Expected accuracy and log loss of the best answer to these items, which reads the gaps as well."""
    answer = posterior(unlabelled(items)).double()
    present = torch.stack([items.tensors[f"{name}_present"] for name in sorted(modalities)], 1)
    answer = answer * Gaps(rate, law.mechanism, law.strength).likelihood(present, answer.shape[1])
    answer = answer / answer.sum(1, keepdim=True)
    return float(answer.amax(1).mean()), float(torch.special.entr(answer).sum(1).mean())


def _check(
    train: TensorData,
    test: TensorData,
    rates: Sequence[float],
    modalities: Sequence[str],
    validation: TensorData | None,
    settings: Mapping[str, Sequence[Any]] | None,
    ways: Mapping[str, Way],
    own: Mapping[str, Any],
) -> None:
    if len(modalities) < 2:
        raise ValueError("One modality cannot be missing without the item being gone: name at least two.")
    if not rates or len(set(rates)) < len(rates):
        raise ValueError(f"rates={list(rates)}: give one or more different shares of hidden values.")
    if settings and validation is None:
        raise ValueError("settings are chosen on validation items: give validation=, split off the training items.")
    if twice := set(ways) & set(own):
        raise ValueError(f"{min(twice)!r} is a way and a method of its own: give them different names.")
    if train.fingerprint() == test.fingerprint():
        raise ValueError("The training and the test items are the same: split them first.")
