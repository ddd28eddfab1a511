"""Nobody gets more than a rival without a column that says so, and everybody is tuned by the same search."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from torch import nn

from mmlab.compare.budget import Budgets, Spent, tune, tune_each
from mmlab.data.tensors import TensorData
from mmlab.method import Method
from mmlab.viz import table
from mmlab.viz.display import _number

SAME = Spent(steps=300, parameters=1000, tuned=("lr",), tries=4)


@pytest.mark.parametrize(
    ("rival", "what"),
    [
        (Spent(200, 1000, ("lr",), 4), "steps"),
        (Spent(300, 900, ("lr",), 4), "parameters"),
        (Spent(300, 1000, ("lr",), 1), "tries"),
        (Spent(300, 1000, (), 4), "tuned"),
    ],
)
def test_more_of_anything_needs_a_column(rival: Spent, what: str) -> None:
    budgets = Budgets("ours", {"ours": SAME, "theirs": rival, "mean": Spent()})
    assert budgets.advantages()[what][0] == "theirs"
    with pytest.raises(ValueError, match=f"'ours' had more {what}.*show a column '{what}'"):
        budgets.check(shown=["accuracy"])
    budgets.check(shown=["accuracy", what, "tries", "tuned"])
    Budgets("theirs", {"theirs": Spent(rival.steps, rival.parameters, (), 1), "ours": SAME}).check(shown=[])


def test_what_is_solved_has_no_steps_to_compare() -> None:
    Budgets("ours", {"ours": Spent(300, 1000), "ridge": Spent(None, None)}).check(shown=[])
    assert Budgets("ours", {"ours": Spent(300, 9), "ridge": Spent(None, 10, ("penalty",), 5)}).advantages() == {}


def test_a_table_refuses_what_it_hides() -> None:
    budgets = Budgets("ours", {"ours": SAME, "theirs": Spent(100, 1000, ("lr",), 4)})
    frame = pd.DataFrame({"accuracy": [0.9, 0.8]}, index=["ours", "theirs"])
    with pytest.raises(ValueError, match=r"more steps \(300\) than 'theirs' \(100\)"):
        table(frame, "Accuracy.", budgets=budgets)
    table(frame.join(budgets.columns()[["steps"]]), "Accuracy and steps.", budgets=budgets)
    table(frame.loc[["ours"]], "Ours alone.", budgets=budgets)  # the rival does not stand in it


def test_counts_stay_whole_beside_rows_without_a_budget() -> None:
    """A ceiling stands in the table and spends nothing: that makes no decimals of everybody's tries."""
    columns = Budgets("ours", {"ours": SAME}).columns()
    frame = pd.DataFrame({"accuracy": [0.9, 1.0]}, index=["ours", "ceiling"])
    joined = frame.join(columns[["steps", "parameters", "tries"]])
    assert [str(kind) for kind in joined.dtypes[1:]] == ["Int64"] * 3
    assert _number(joined.loc["ours", "tries"], 3) == "4"
    assert _number(joined.loc["ceiling", "tries"], 3) == "–"


def test_a_proposal_without_a_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="No budget is declared for 'our'"):
        Budgets("our", {"ours": SAME})


class Line(Method):
    """Fits y = w x; nothing but the rate decides how far it comes in a few steps."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([start]))

    def loss(self, batch, rng):
        return {"loss": (self.weight * batch["x"] - batch["y"]).square().mean()}


def data(seed: int, count: int = 32) -> TensorData:
    x = torch.randn(count, 1, generator=torch.Generator().manual_seed(seed))
    return TensorData({"x": x, "y": 2 * x})


def error(method: Line, items: TensorData) -> float:
    return float(method.loss(items.tensors, torch.Generator())["loss"].detach())


TRAINING = {"steps": 8, "batch_size": 32, "weight_decay": 0.0}


def search(build, train=None, validation=None, settings=None, **more):
    settings = {"lr": [1e-4, 0.1, 0.3], "start": [0.0]} if settings is None else settings
    keywords = {"measure": error, "direction": "lower", "training": TRAINING} | more
    return tune(build, settings, train or data(0), validation or data(1), **keywords)


def build(seed, start=0.0):
    return Line(start)


def test_the_search_finds_what_the_validation_items_like() -> None:
    found = search(build)
    assert found.settings == {"lr": 0.3, "start": 0.0}
    assert found.score == found.tries["score"].min()
    assert list(found.tries["score"]) == sorted(found.tries["score"], reverse=True)
    assert found.spent == Spent(tuned=("lr",), tries=3)
    assert found.edges == ("lr",)  # the best is the last that was tried
    worst = search(build, direction="higher")
    assert worst.settings["lr"] == 1e-4


def test_the_search_is_the_same_for_everybody() -> None:
    found = tune_each(
        {"a": build, "b": build}, {"lr": [0.1, 0.3]}, data(0), data(1), measure=error, direction="lower",
        training=TRAINING,
    )  # fmt: skip
    assert found["a"].spent == found["b"].spent
    assert found["a"].tries.equals(found["b"].tries)
    assert Spent.on(Line(), 8, found["a"]) == Spent(8, 1, ("lr",), 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {}}, "settings is empty"),
        ({"settings": {"lr": []}}, r"settings\['lr'\] has no values"),
        ({"settings": {"steps": [1, 2]}}, "'steps' stands in settings and in training"),
        ({"validation": data(0)}, "are the same"),
        ({"direction": "up"}, "direction='up'"),
        ({"measure": lambda method, items: float("nan")}, "finite score"),
    ],
)
def test_a_search_that_chooses_nothing_or_cheats_is_refused(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        search(build, **change)


def test_subjects_on_both_sides_are_refused() -> None:
    parts = [TensorData(data(seed).tensors, subjects=[f"p{i + seed}" for i in range(32)]) for seed in (0, 1)]
    with pytest.raises(ValueError, match="p1 is among the training and the validation items"):
        search(build, *parts)
