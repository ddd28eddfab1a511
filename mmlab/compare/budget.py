"""The same budget for everybody: steps, tuned settings, tries and parameters, declared, checked, and tuned alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from mmlab.compare.intervals import Direction
from mmlab.wording import nearest

if TYPE_CHECKING:
    import pandas as pd

    from mmlab.method import Method

__all__ = ["Budgets", "Spent", "Tuned", "tune", "tune_each"]


@dataclass(frozen=True)
class Spent:
    """What one row of a comparison was allowed.

    Attributes:
        steps: Optimiser steps of the final training, those of its parts included; None for what is solved, not trained.
        parameters: Number of values that were fitted; None where that is no number of interest (a mean, a vote).
        tuned: Settings that were chosen on validation items.
        tries: Combinations of settings that were tried; 1 if none was chosen.
    """

    steps: int | None = None
    parameters: int | None = None
    tuned: tuple[str, ...] = ()
    tries: int = 1

    @classmethod
    def on(cls, method: Method, steps: int | None, tuned: Tuned | None = None) -> Spent:
        """What a method was allowed: its trainable parameters, its steps, and the search behind its settings."""
        count = sum(p.numel() for p in method.parameters() if p.requires_grad)
        return cls(steps, count, *((tuned.spent.tuned, tuned.spent.tries) if tuned else ()))


@dataclass(frozen=True)
class Budgets:
    """What all rows of a comparison were allowed, and which of them is the proposal.

    Attributes:
        proposed: Name of the proposed method's row.
        spent: By name of the row, the proposed one included.
    """

    proposed: str
    spent: Mapping[str, Spent]

    def __post_init__(self) -> None:
        if self.proposed not in self.spent:
            raise ValueError(f"No budget is declared for {self.proposed!r}: {nearest(self.proposed, self.spent)}")

    def advantages(self, rows: Collection[str] | None = None) -> dict[str, list[str]]:
        """What the proposed method had more, and than which rivals.

        Args:
            rows: Rivals to look at; by default all that are declared.
        """
        own = self.spent[self.proposed]
        found: dict[str, list[str]] = {}
        for name, rival in self.spent.items():
            if name == self.proposed or (rows is not None and name not in rows):
                continue
            pairs = {
                "steps": (own.steps, rival.steps),
                "parameters": (own.parameters, rival.parameters),
                "tries": (own.tries, rival.tries),
                "tuned": (len(own.tuned), len(rival.tuned)),
            }
            for what, (mine, theirs) in pairs.items():
                if mine is not None and theirs is not None and mine > theirs:
                    found.setdefault(what, []).append(name)
        return found

    def check(self, shown: Collection[str], rows: Collection[str] | None = None) -> None:
        """Raise if the proposed method had more of something than a rival and no column shows it.

        Args:
            shown: Columns of the table; ``"steps"``, ``"parameters"``, ``"tries"`` and ``"tuned"`` count.
            rows: Rivals in the table.

        Raises:
            ValueError: With what was more, and the column that would say so.
        """
        for what, rivals in self.advantages(rows).items():
            if what not in shown:
                own, rival = (_words(getattr(self.spent[name], what)) for name in (self.proposed, rivals[0]))
                raise ValueError(
                    f"{self.proposed!r} had more {what} ({own}) than {rivals[0]!r} ({rival}): give the rival as much, "
                    f"or show a column {what!r} (Budgets.columns() has it)."
                )

    def columns(self) -> pd.DataFrame:
        """One line for each row: ``steps``, ``parameters``, ``tries`` and ``tuned``, to be joined to a table."""
        import pandas as pd

        rows = {name: asdict(spent) | {"tuned": ", ".join(spent.tuned)} for name, spent in self.spent.items()}
        whole = dict.fromkeys(("steps", "parameters", "tries"), "Int64")  # they stay whole beside rows without a budget
        return pd.DataFrame.from_dict(rows, orient="index").astype(whole)

    def plain(self) -> dict[str, Any]:
        """The same for the receipt: ``record(budget=budgets.plain())``."""
        return {"proposed": self.proposed, "spent": {name: asdict(spent) for name, spent in self.spent.items()}}


@dataclass(frozen=True, eq=False)
class Tuned:
    """What a search on validation items found.

    Attributes:
        settings: The best combination.
        score: Its score on the validation items, mean over the seeds.
        tries: One line for each combination that was tried, with its ``score``.
        spent: The search as a budget: tuned settings and number of tries.
        edges: Settings whose best value is the first or last of those that were tried: the search was too narrow.
    """

    settings: dict[str, Any]
    score: float
    tries: pd.DataFrame
    spent: Spent
    edges: tuple[str, ...]


def tune(
    build: Callable[..., Method],
    settings: Mapping[str, Sequence[Any]],
    train: Any,
    validation: Any,
    *,
    measure: Callable[[Any, Any], float],
    direction: Direction,
    training: Mapping[str, Any],
    seeds: Sequence[int] = (0,),
) -> Tuned:
    """Choose settings on validation items: train with every combination, and keep the one with the best score.

    Args:
        build: Makes an untrained method: ``build(seed, **arguments)``; torch's global generator is seeded beforehand.
        settings: Values to try by name, all combined. What ``build`` takes by name goes to it, the rest to
            :func:`mmlab.fit`.
        train: What the method is trained on.
        validation: Items that choose; never the test items, which this function is not given.
        measure: Score of a trained method: (method, validation) to a number.
        direction: Whether ``"higher"`` or ``"lower"`` scores are better.
        training: Further arguments of :func:`mmlab.fit`.
        seeds: Seeds of the trainings of each combination; their scores are averaged.

    Raises:
        ValueError: If there is nothing to choose, training and validation items are the same or share subjects, or no
            combination has a finite score.
    """
    import pandas as pd

    _check_search(settings, train, validation, direction, training)
    rows = []
    for values in itertools.product(*settings.values()):
        chosen = dict(zip(settings, values, strict=True))
        scores = [measure(_trained(build, chosen, train, training, seed), validation) for seed in seeds]
        rows.append(chosen | {"score": float(sum(scores) / len(scores))})
    sign = 1.0 if direction == "higher" else -1.0
    finite = [row for row in rows if math.isfinite(row["score"])]
    if not finite:
        raise ValueError("No combination of settings has a finite score on the validation items: lower the rates.")
    best = max(finite, key=lambda row: sign * row["score"])  # the first of equals
    found = {name: best[name] for name in settings}
    edges = [n for n, tried in settings.items() if len(tried) > 1 and found[n] in (tried[0], tried[-1])]
    chosen_names = tuple(name for name, tried in settings.items() if len(tried) > 1)
    return Tuned(found, best["score"], pd.DataFrame(rows), Spent(tuned=chosen_names, tries=len(rows)), tuple(edges))


def tune_each(builders: Mapping[str, Callable[..., Method]], *arguments: Any, **keywords: Any) -> dict[str, Tuned]:
    """The same search for every rival: :func:`tune` with the same settings, items and seeds for each builder.

    Args:
        builders: By name of the row.
        *arguments: As for :func:`tune`, from ``settings`` on.
        **keywords: As for :func:`tune`.
    """
    return {name: tune(build, *arguments, **keywords) for name, build in builders.items()}


def _trained(
    build: Callable[..., Method], chosen: Mapping[str, Any], train: Any, training: Mapping[str, Any], seed: int
) -> Method:
    import inspect

    from mmlab.train.fit import fit

    taken = inspect.signature(build).parameters
    own = {name: value for name, value in chosen.items() if name in taken}
    rest = {name: value for name, value in chosen.items() if name not in taken}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = build(seed, **own)
    fit(method, train, **{"progress": False} | dict(training) | rest | {"seed": seed})
    return method.eval()


def _check_search(
    settings: Mapping[str, Sequence[Any]], train: Any, validation: Any, direction: str, training: Mapping[str, Any]
) -> None:
    if empty := [name for name, values in settings.items() if not values]:
        raise ValueError(f"settings[{empty[0]!r}] has no values: give those to try, or leave it out.")
    if not settings:
        raise ValueError("settings is empty: name at least one setting and the values to try.")
    if direction not in ("higher", "lower"):
        raise ValueError(f"direction={direction!r}: say whether 'higher' or 'lower' scores are better.")
    if twice := set(settings) & set(training):
        raise ValueError(f"{min(twice)!r} stands in settings and in training: leave it in one of them.")
    if train is validation or _fingerprint(train) == _fingerprint(validation) != "":
        raise ValueError("The training and the validation items are the same: hold some training items back.")
    if shared := set(getattr(train, "subjects", None) or ()) & set(getattr(validation, "subjects", None) or ()):
        raise ValueError(f"{min(map(str, shared))} is among the training and the validation items: split by subject.")


def _fingerprint(data: Any) -> str:
    return str(data.fingerprint()) if hasattr(data, "fingerprint") else ""


def _words(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else f"{value:,}"
