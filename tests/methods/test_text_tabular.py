"""Oracles of stacking: scikit-learn on the same parts and folds, closed forms, and what a leak does to noise."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mmlab.data.tensors import TensorData
from mmlab.data.worlds.catalogue_world import catalogue_world
from mmlab.methods.text_tabular import TextTabular, boost, fit_line, folds_of, leaf_of, out_of_fold
from mmlab.metrics.classification import accuracy, area_under_curve


def rows(count=200, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=rng, dtype=torch.float64)
    y = (x[:, 0] - x[:, 3] + torch.randn(count, generator=rng, dtype=torch.float64) > 0).double()
    return x, y


def line(x, y, penalty=2.0):
    found = fit_line(x, y, penalty)
    return lambda new: new @ found[:-1] + found[-1]


@pytest.mark.parametrize("penalty", [0.1, 5.0])
def test_the_line_is_that_of_scikit_learn(penalty):
    x, y = rows()
    ours = fit_line(x, y, penalty)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000).fit(x.numpy(), y.numpy())
    assert ours[:-1].tolist() == pytest.approx(theirs.coef_[0].tolist(), abs=1e-5)
    assert ours[-1].item() == pytest.approx(theirs.intercept_[0], abs=1e-5)


def test_stacking_is_that_of_scikit_learn_on_the_same_parts_and_folds():
    x, y = rows()
    fold = folds_of(len(y), 5)
    views = (slice(0, 3), slice(3, 6))
    z = torch.stack([out_of_fold(line, x[:, view], y, fold) for view in views], 1)
    meta = fit_line(z, y, 1e-3)
    new = rows(50, 1)[0]
    ours = torch.stack([line(x[:, view], y)(new[:, view]) for view in views], 1) @ meta[:-1] + meta[-1]

    def part(view):
        take = FunctionTransformer(lambda rows, view=view: rows[:, view])
        return make_pipeline(take, LogisticRegression(C=0.5, tol=1e-10, max_iter=5000))

    theirs = StackingClassifier(
        [(str(view), part(view)) for view in views],
        LogisticRegression(C=1e3, tol=1e-10, max_iter=5000),
        cv=PredefinedSplit(fold.numpy()),
        stack_method="decision_function",
    ).fit(x.numpy(), y.numpy())
    assert ours.numpy() == pytest.approx(theirs.decision_function(new.numpy()), abs=1e-3)


def test_out_of_fold_scores_never_see_their_row():
    """A part that learns its rows by heart: it knows every row that it has seen, and nothing of the others."""
    x, y = rows()

    def by_heart(seen, label):
        known = {tuple(row): value for row, value in zip(seen.tolist(), label.tolist(), strict=True)}
        return lambda new: torch.tensor([2 * known.get(tuple(r), 0.5) - 1 for r in new.tolist()], dtype=torch.float64)

    assert (by_heart(x, y)(x) == 2 * y - 1).all()
    assert (out_of_fold(by_heart, x, y, folds_of(len(y), 5)) == 0).all()


def test_folds_are_even_and_depend_on_the_number_alone():
    fold = folds_of(103, 5)
    assert sorted(fold.bincount().tolist()) == [20, 20, 21, 21, 21]
    assert torch.equal(fold, folds_of(103, 5))


def test_one_stump_is_the_best_question_by_search():
    x, y = rows(80)
    features, cuts, leaves = boost(x, y, rounds=1, depth=1, rate=1.0, penalty=3.0)
    g, h = y - 0.5, torch.full_like(y, 0.25)
    found = {}
    for feature in range(6):
        for cut in torch.quantile(x[:, feature], torch.linspace(0, 1, 17, dtype=x.dtype)[1:-1]):
            up = x[:, feature] > cut
            found[feature, cut.item()] = sum(g[s].sum() ** 2 / (h[s].sum() + 3) for s in (up, ~up))
    feature, cut = max(found, key=found.get)
    assert (features.item(), cuts.item()) == (feature, pytest.approx(cut))
    up = x[:, feature] > cut
    expected = [g[s].sum() / (h[s].sum() + 3) for s in (~up, up)]
    torch.testing.assert_close(leaves[0], torch.stack(expected))
    assert leaf_of(x, features[0], cuts[0]).tolist() == up.long().tolist()


def test_trees_learn_what_no_line_can():
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(400, 3, generator=rng, dtype=torch.float64) * 2 - 0.9
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).double()
    method = TextTabular(2, 3, "table", rounds=40)
    data = TensorData({"table": x.float(), "words": torch.zeros(400, 2), "label": y.long()})
    assert accuracy(method.solve(data).predict(data.tensors), y.long()) > 0.95
    assert (
        accuracy(torch.sigmoid(line(x, y)(x))[:, None] * torch.tensor([-1, 1]) + torch.tensor([1, 0]), y.long()) < 0.7
    )


def test_on_noise_a_leaky_stack_is_sure_and_an_honest_one_is_not():
    data = catalogue_world().draw(300, 1)
    rng = torch.Generator().manual_seed(2)
    noise = TensorData(data.tensors | {"label": torch.randint(0, 2, (300,), generator=rng)})
    weights = {}
    for fusion in ("stack", "leaky stack"):
        method = TextTabular(300, 8, fusion, rounds=30).solve(noise)
        weights[fusion] = method.weights[:2].abs().max().item()
        if fusion == "stack":
            fold = folds_of(300, 5)
            z = out_of_fold(method._fit_text, noise.tensors["words"].double(), noise.tensors["label"].double(), fold)
            made = torch.stack([torch.sigmoid(-z), torch.sigmoid(z)], 1)
            assert area_under_curve(made, noise.tensors["label"]) == pytest.approx(0.5, abs=0.1)
    assert weights["leaky stack"] > 1 > weights["stack"]


def test_a_leak_is_visibly_worse_on_new_rows():
    world = catalogue_world()
    train, test = world.draw(500, 1), world.draw(3000, 2).tensors
    scores = {
        fusion: area_under_curve(TextTabular(300, 8, fusion).solve(train).predict(test), test["label"])
        for fusion in ("stack", "leaky stack", "table")
    }
    assert scores["stack"] > scores["leaky stack"] + 0.01


def test_parts_alone_and_their_average():
    data = catalogue_world(vocabulary=30).draw(200, 1)
    made = {f: TextTabular(30, 8, f, rounds=10).solve(data) for f in ("text", "table", "average")}
    text, table = made["average"].scores(data.tensors).unbind(1)
    for fusion, odds in (("text", text), ("table", table), ("average", text + table)):
        torch.testing.assert_close(made[fusion].predict(data.tensors)[:, 1], torch.sigmoid(odds))
    shuffled = data.tensors | {"words": data.tensors["words"].roll(1, 0)}
    assert torch.equal(made["table"].predict(shuffled), made["table"].predict(data.tensors))
    assert TextTabular.arguments_for(data[0]) == {"words": 30, "columns": 8}
    assert np.isfinite(made["text"].line.numpy()).all()


@pytest.mark.parametrize("wrong", [{"fusion": "pile"}, {"folds": 1}, {"text_penalty": 0}, {"rounds": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TextTabular(3, 2, **wrong)
