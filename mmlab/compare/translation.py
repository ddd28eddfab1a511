"""The experiment of the translation chapters: the same worlds, splits, training and measures for every method.

A rival is a function of (training pairs, test sources, seed) that gives predictions (S, E) or K samples (K, S, E) of
the targets. It never sees a test target. :class:`Trained` makes one of a method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmlab.compare.budget import Budgets, Spent
from mmlab.compare.connectome_baselines import baselines
from mmlab.compare.intervals import Direction
from mmlab.compare.seeds import OverSeeds, over_seeds
from mmlab.data.connectome import ConnectomePairs
from mmlab.method import Batch, Method
from mmlab.metrics.connectome import evaluate, rowwise_correlation
from mmlab.train.fit import fit
from mmlab.train.randomness import derive, generator

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DIRECTIONS",
    "LIMITS",
    "MEASURES",
    "TRAINING",
    "Rival",
    "Trained",
    "Translation",
    "regression_of",
    "translate",
]

MEASURES = {
    "rmse": "RMSE",
    "demeaned_r": "demeaned r",
    "identification_demeaned": "identification",
    "block_demeaned_r": "network blocks",
}
"""What :func:`mmlab.metrics.connectome.evaluate` calls the measures, and what the tables call them."""

DIRECTIONS: dict[str, Direction] = {"RMSE": "lower", "demeaned r": "higher", "identification": "higher"}
"""Which values of the usual measures are better: what the tables take as ``best``."""

LIMITS = ("attainable from rest", "ceiling")
"""Rows that do not compete: what nobody can beat who sees the source alone, and what the true matrix reaches."""

TRAINING = {"lr": 3e-3, "weight_decay": 10.0, "schedule": "cosine", "ema_decay": 0.99}
"""Arguments of :func:`mmlab.fit` with which few pairs of long vectors train well; ``steps`` is added by the chapter."""

Rival = Callable[[ConnectomePairs, Tensor, int], Tensor]
"""(training pairs, test sources (S, E), seed) to predictions (S, E) or samples (K, S, E)."""


class Trained:
    """A method as a rival: built from a seed, trained on the pairs, and sampled.

    Attributes:
        methods: The trained methods, by seed.
    """

    def __init__(
        self,
        build: Callable[[int], Method],
        training: Mapping[str, Any],
        *,
        samples: int = 20,
        prepare: Callable[[Any, ConnectomePairs], Any] | None = None,
        **sampling: Any,
    ) -> None:
        """See the class.

        Args:
            build: Makes an untrained method from a seed; torch's global generator is seeded with it beforehand.
            training: Arguments of :func:`mmlab.fit`; ``seed`` is added.
            samples: K, how many samples are drawn for each source.
            prepare: Function of (method, training pairs) that gives what the method is trained on, if not the pairs.
            **sampling: Arguments of the method's ``sample``, as ``steps``.
        """
        if samples < 1:
            raise ValueError(f"samples={samples}: draw at least one for each source.")
        self.build, self.training, self.samples = build, dict(training), samples
        self.prepare, self.sampling = prepare, sampling
        self.methods: dict[int, Method] = {}

    def __call__(self, train: ConnectomePairs, source: Tensor, seed: int) -> Tensor:
        """Train, keep the method, and draw (K, S, E)."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            method = self.build(seed)
        data = self.prepare(method, train) if self.prepare else train
        fit(method, data, **{"progress": False} | self.training | {"seed": seed})
        self.methods[seed] = method.eval()
        return self.draw(source, seed)

    def draw(self, source: Tensor, seed: int, samples: int | None = None, **sampling: Any) -> Tensor:
        """Samples (K, S, E) of the method of a seed, for sources (S, E) in one batch."""
        method: Any = self.methods[seed]
        count = samples or self.samples
        rng = generator(derive(seed, "samples"), method.device)
        repeated = source.repeat(count, 1).to(method.device)
        made: Tensor = method.sample(repeated, rng=rng, **self.sampling | sampling)
        return made.cpu().reshape(count, *source.shape)

    @property
    def spent(self) -> Spent:
        """Steps and trainable parameters."""
        return Spent.on(next(iter(self.methods.values())), self.training.get("steps"))


@dataclass(frozen=True, eq=False)
class Translation:
    """What came of :func:`translate`.

    Attributes:
        scores: One line for each (method, world), one column for each measure; what ``table_over_seeds`` takes.
        people: One line for each (method, world, person): ``RMSE`` and ``demeaned r`` of that person.
        samples: Samples (K, S, E) of the rivals that draw, by name and world.
        splits: Training and test pairs of each world.
        spent: What each row was allowed.
    """

    scores: pd.DataFrame
    people: pd.DataFrame
    samples: Mapping[tuple[str, int], Tensor]
    splits: Mapping[int, tuple[ConnectomePairs, ConnectomePairs]]
    spent: Mapping[str, Spent] = field(default_factory=dict)

    @cached_property
    def runs(self) -> OverSeeds:
        """Mean, spread and tied sets over the worlds."""
        return over_seeds(self.scores, over="world")

    def of(self, row: str, measure: str) -> pd.Series:
        """The values of a row by world: what a claim over worlds takes."""
        return self.runs.of(row, measure)

    def by_person(self, row: str, measure: str) -> pd.Series:
        """The values of a row by (world, person): for a claim with ``over="items"`` about the methods as trained."""
        found: pd.Series = self.people.xs(row, level=0)[measure]
        return found

    @property
    def directions(self) -> dict[str, Direction]:
        """Which values are better, for each measure of the scores: what the tables take as ``best``."""
        measures = [column for column in self.scores.columns if column not in ("method", "world")]
        return {measure: DIRECTIONS.get(measure, "higher") for measure in measures}

    def ahead(self, row: str, rival: str, measure: str) -> int:
        """In how many worlds a row is better than a rival."""
        gap = self.of(row, measure) - self.of(rival, measure)
        return int(((gap < 0) if self.directions[measure] == "lower" else (gap > 0)).sum())

    def budgets(self, proposed: str) -> Budgets:
        """Budgets of the rows, for the table that shows them."""
        return Budgets(proposed, dict(self.spent))

    def curve(self, name: str, counts: Sequence[int] = (1, 2, 5, 10, 20)) -> pd.DataFrame:
        """The measures of the mean of the first k samples, for several k, and the limit of the error.

        A rank of methods that turns with k says how many samples were drawn, not which method is better. The squared
        error of a mean of k samples is that of the mean of infinitely many plus their variance over k: the limit is
        estimated from this.

        Args:
            name: Row without its number of samples, as in ``rivals``.
            counts: Values of k; those beyond the number of samples are left out.

        Returns:
            One line for each (world, k): the measures, and ``RMSE, limit``, which is the same for all k of a world.
        """
        import pandas as pd

        if (name, next(iter(self.splits))) not in self.samples:
            there = ", ".join(dict.fromkeys(key for key, _ in self.samples)) or "none"
            raise ValueError(f"There are no samples of {name!r}; there are those of {there}.")
        rows = []
        for world, (train, test) in self.splits.items():
            drawn = self.samples[name, world].double()
            total = len(drawn)
            error = float((drawn.mean(0) - test.target).square().mean())
            noise = float(drawn.var(0).mean()) / total if total > 1 else 0.0
            for count in (k for k in counts if k <= total):
                values = _measured(drawn[:count].mean(0), test, train)
                rows.append({"world": world, "samples": count, **values, "RMSE, limit": max(error - noise, 0.0) ** 0.5})
        return pd.DataFrame(rows)


def translate(
    rivals: Mapping[str, Rival],
    worlds: Mapping[int, Any],
    *,
    test_size: int = 100,
    with_baselines: bool = True,
    draws: int = 32,
    networks: bool = False,
) -> Translation:
    """Run every rival on every world, and measure all of them on the same test people.

    A rival that draws K samples has two rows: ``"<name>, one sample"`` and ``"<name>, mean of K"``.

    Args:
        rivals: By name, in the order of the table. What has ``spent`` (as :class:`Trained`) enters the budgets.
        worlds: By seed: worlds with ``pairs``, such as those of
            :func:`mmlab.data.worlds.rest_motor_world.rest_motor_world`, or pairs of real people. The seed also splits
            the people and starts the methods.
        test_size: Number of test people in each.
        with_baselines: Whether the baselines of :mod:`mmlab.compare.connectome_baselines` stand first.
        draws: Draws behind the attainable score of a world; see its ``attainable_for``.
        networks: Whether the means over pairs of networks are measured, too, as ``network blocks``.

    Raises:
        ValueError: If there are no rivals or worlds, or a rival's prediction has another shape than the targets.
    """
    import pandas as pd

    if not worlds or not (rivals or with_baselines):
        raise ValueError("translate: give at least one rival and one world, as {0: rest_motor_world(seed=0)}.")
    lines: list[dict[str, Any]] = []
    people: list[pd.DataFrame] = []
    samples: dict[tuple[str, int], Tensor] = {}
    splits: dict[int, tuple[ConnectomePairs, ConnectomePairs]] = {}
    spent: dict[str, Spent] = {}
    for seed, world in worlds.items():
        pairs: ConnectomePairs = getattr(world, "pairs", world)
        train, test = splits[seed] = pairs.split(test_size, seed)
        predictions = dict(baselines(train, test)) if with_baselines else {}
        for name, rival in rivals.items():
            made = rival(train, test.source, seed)
            predictions |= _rows(name, made, test)
            if made.ndim == 3 and len(made) > 1:
                samples[name, seed] = made
            if allowed := getattr(rival, "spent", None):
                spent |= dict.fromkeys(_rows(name, made, test), allowed)
        if hasattr(world, "attainable_for"):
            limits = (world.attainable_for(test, draws=draws), world.true_motor[world.indices(test)])
            predictions |= dict(zip(LIMITS, limits, strict=True))
        for name, prediction in predictions.items():
            lines.append({"method": name, "world": seed, **_measured(prediction, test, train, networks)})
            people.append(_by_person(name, seed, prediction, test, train))
    return Translation(
        pd.DataFrame(lines), pd.concat(people).set_index(["method", "world", "person"]), samples, splits, spent
    )


def _rows(name: str, made: Tensor, test: ConnectomePairs) -> dict[str, Tensor]:
    if made.shape[-2:] != test.target.shape or made.ndim not in (2, 3):
        raise ValueError(
            f"The rival {name!r} gives {tuple(made.shape)}: expected {tuple(test.target.shape)}, or samples of that."
        )
    if made.ndim == 2 or len(made) == 1:
        return {name: made.reshape(test.target.shape)}
    return {f"{name}, one sample": made[0], f"{name}, mean of {len(made)}": made.mean(0)}


def _measured(
    prediction: Tensor, test: ConnectomePairs, train: ConnectomePairs, networks: bool = False
) -> dict[str, float]:
    names = test.regions.networks if networks and test.regions else None
    values = evaluate(prediction, test.target, train.target.mean(0), names, geometry=False)
    return {label: values[key] for key, label in MEASURES.items() if key in values}


def _by_person(name: str, seed: int, prediction: Tensor, test: ConnectomePairs, train: ConnectomePairs) -> pd.DataFrame:
    import pandas as pd

    mean = train.target.mean(0).double()
    p, q = prediction.double(), test.target.double()
    return pd.DataFrame(
        {
            "method": name,
            "world": seed,
            "person": list(map(str, test.subjects)),
            "RMSE": (p - q).square().mean(1).sqrt().tolist(),
            "demeaned r": rowwise_correlation(p - mean, q - mean, scale=p).tolist(),
        }
    )


class _Regression(Method):
    """A method's network, trained to expect the target from the source alone."""

    method: Any

    def start_from(self, dataset: Any) -> None:
        """As the method itself starts."""
        self.method.start_from(dataset)

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error per edge, in units of the variance that the linear start leaves open."""
        error = self.method.expect(batch["source"]) - batch["target"]
        return {"loss": error.square().mean() / float(self.method.linear.spread) ** 2}

    @torch.no_grad()
    def sample(self, source: Tensor, *, rng: torch.Generator | None = None, **_: Any) -> Tensor:
        """The target expected, (B, E); there is nothing random in it."""
        with self.evaluating():
            expected: Tensor = self.method.expect(source)
        return expected


def regression_of(method: Any) -> Method:
    """The baseline of a diffusion or a bridge: the same network, trained as plain regression without any process.

    Args:
        method: A fresh method that can ``expect`` a target from its source; its network is taken over, not copied.

    Raises:
        ValueError: If it cannot.
    """
    if not hasattr(method, "expect"):
        raise ValueError(
            f"{type(method).__name__} expects no target from the source alone, so that it has no regression: take "
            "bridge matching, DDBM or score diffusion, or train a network of your own."
        )
    plain = _Regression()
    plain.method = method
    plain.card = type(method).card  # type: ignore[misc]  # what its batch must have is the same
    return plain
