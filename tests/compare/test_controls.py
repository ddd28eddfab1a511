"""The controls: what they train on, what they add, and that the test set stays unseen."""

import math
from typing import Self

import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from mmlab import fit
from mmlab.compare.comparison import paired_interval
from mmlab.compare.controls import PENALTIES, controls, flatten
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.metrics.classification import accuracy


class Linear(Method):
    """A softmax regression on some of the modalities, which writes down what it is shown."""

    def __init__(self, keys: tuple[str, ...] = ("x1", "x2")) -> None:
        super().__init__()
        self.keys, self.map = keys, nn.Linear(4 * len(keys), 3)
        self.seen: list[Tensor] = []
        self.asked: list[Batch] = []

    def _logits(self, batch: Batch) -> Tensor:
        return self.map(torch.cat([batch[key] for key in self.keys], 1))

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        self.seen.append(batch["name"])
        return {"loss": nn.functional.cross_entropy(self._logits(batch), batch["label"])}

    def predict(self, batch: Batch) -> Tensor:
        assert not self.training
        self.asked.append(batch)
        return self._logits(batch).softmax(1)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        raise NotImplementedError


def world(count: int, start: int, seed: int) -> TensorData:
    """Three classes, told half by each modality; every item has a name of its own."""
    rng = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (count,), generator=rng)
    means = torch.eye(4)[:3] * 2
    noise = torch.randn(2, count, 4, generator=rng)
    views = {f"x{i + 1}": means[label] + noise[i] for i in range(2)}
    return TensorData(views | {"label": label, "name": torch.arange(start, start + count)})


TRAIN, TEST = world(90, 0, 0), world(60, 1000, 1)
BUILDERS = {"x1 only": lambda seed: Linear(("x1",)), "both": lambda seed: Linear()}
FIT = {"steps": 30, "batch_size": 30, "lr": 0.05}


@pytest.fixture(scope="module")
def compared():
    return controls(
        BUILDERS, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT, seeds=(0, 3), ensembles={"x1 only": 3}
    )


def test_rows_stand_in_the_order_of_the_book(compared) -> None:
    assert list(compared.mean.index) == [
        "chance", "most frequent class", "logistic regression, x1", "logistic regression, x2", "logistic regression",
        "gradient boosting", "x1 only", "both", "x1 only, 3 averaged", "both, x1 shuffled", "both, x2 shuffled",
    ]  # fmt: skip
    assert list(compared.mean.columns) == ["accuracy", "macro F1", "AUC", "ECE"]


def test_the_test_set_is_nowhere_in_training(compared) -> None:
    for methods in compared.trained.values():
        for method in methods.values():
            assert torch.cat(method.seen).max() < 1000
            assert len(method.seen) == FIT["steps"]
            assert method.asked
            assert all("label" not in batch for batch in method.asked)


def test_a_training_function_is_handed_the_training_set_alone() -> None:
    calls = []

    def trainer(method, data, seed):
        calls.append((data, seed))
        method.train()

    controls(BUILDERS, "both", TRAIN, TEST, modalities=["x1", "x2"], training=trainer, seeds=(4,), rivals=())
    assert [seed for _, seed in calls] == [4, 4]
    assert all(data is TRAIN for data, _ in calls)


def test_labels_of_the_test_set_change_no_prediction(compared) -> None:
    other = TensorData(TEST.tensors | {"label": torch.arange(60) % 3})
    again = controls(BUILDERS, "both", TRAIN, other, modalities=["x1", "x2"], training=FIT, seeds=(0, 3))
    inputs = {key: value for key, value in TEST.tensors.items() if key != "label"}
    for row, runs in again.predictors.items():
        for seed, predict in runs.items():
            assert torch.equal(predict(inputs), compared.predictors[row][seed](inputs)), row


def test_constants_are_known(compared) -> None:
    most = int(torch.bincount(TRAIN.tensors["label"]).argmax())
    assert compared.mean.loc["chance", "accuracy"] == pytest.approx(1 / 3)
    expected = float((TEST.tensors["label"] == most).double().mean())
    assert compared.mean.loc["most frequent class", "accuracy"] == pytest.approx(expected)
    assert compared.mean.loc["most frequent class", "AUC"] == 0.5


def test_logistic_regression_is_scikit_learns_with_the_penalty_that_held_out_thirds_prefer(compared) -> None:
    def features(data: TensorData):
        return flatten(data.tensors, ["x1", "x2"]).numpy()

    label = TRAIN.tensors["label"].numpy()
    losses, models = {}, {}
    for c in PENALTIES:
        models[c] = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        folds = StratifiedKFold(3).split(features(TRAIN), label)
        losses[c] = sum(
            log_loss(label[out], models[c].fit(features(TRAIN)[into], label[into]).predict_proba(features(TRAIN)[out]))
            for into, out in folds
        )
    best = models[min(losses, key=losses.__getitem__)].fit(features(TRAIN), label)
    found = compared.predictors["logistic regression"][-1](TEST.tensors)
    torch.testing.assert_close(found, torch.as_tensor(best.predict_proba(features(TEST))))
    assert (
        compared.mean.loc["logistic regression", "accuracy"] > compared.mean.loc["logistic regression, x1", "accuracy"]
    )


VALIDATION = world(60, 500, 2)


def test_every_row_keeps_the_settings_that_are_best_on_validation_items() -> None:
    tries = [{"lr": 1e-6}, {"lr": 0.05}, {"lr": 0.05, "steps": 31}]
    found = controls(
        BUILDERS, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT, seeds=(0, 3), validation=VALIDATION,
        tries=tries,
    )  # fmt: skip
    assert set(found.chosen) == set(BUILDERS)
    for name, settings in found.chosen.items():
        scores = []
        for attempt in tries:
            alone = controls(
                {name: BUILDERS[name]}, name, TRAIN, VALIDATION, modalities=["x1", "x2"], training=FIT | attempt,
                seeds=(0,), rivals=(),
            )  # fmt: skip
            scores.append(alone.mean.loc[name, "accuracy"])
        assert settings == tries[scores.index(max(scores))], name
        assert settings["lr"] == 0.05
    again = controls(
        BUILDERS, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT | found.chosen["both"], seeds=(0, 3)
    )
    assert found.values("both") == again.values("both")
    assert all(method.seen[0].max() < 1000 for runs in found.trained.values() for method in runs.values())


def test_logistic_regression_takes_the_penalty_that_validation_items_prefer() -> None:
    found = controls(
        BUILDERS, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT, seeds=(0,), validation=VALIDATION
    )
    x, y = flatten(TRAIN.tensors, ["x1", "x2"]).numpy(), TRAIN.tensors["label"].numpy()
    new, truth = flatten(VALIDATION.tensors, ["x1", "x2"]).numpy(), VALIDATION.tensors["label"].numpy()
    lines = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000)).fit(x, y) for c in PENALTIES]
    best = min(lines, key=lambda line: log_loss(truth, line.predict_proba(new)))
    made = found.predictors["logistic regression"][-1](TEST.tensors)
    torch.testing.assert_close(made, torch.as_tensor(best.predict_proba(flatten(TEST.tensors, ["x1", "x2"]).numpy())))
    assert found.values("logistic regression") == [found.mean.loc["logistic regression", "accuracy"]]


class Fragile(Linear):
    """It diverges at a high rate, as a network does."""

    def loss(self, batch: Batch, rng: torch.Generator) -> dict[str, Tensor]:
        found = super().loss(batch, rng)
        return {"loss": found["loss"] * (torch.inf if self.map.weight.abs().max() > 50 else 1)}


def test_settings_that_diverge_are_out() -> None:
    found = controls(
        {"both": lambda seed: Fragile()}, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT, seeds=(0,),
        rivals=(), validation=VALIDATION, tries=[{"lr": 1e3}, {"lr": 0.05}],
    )  # fmt: skip
    assert found.chosen == {"both": {"lr": 0.05}}


def test_what_the_search_has_trained_is_not_trained_again() -> None:
    built = []

    def build(seed: int) -> Linear:
        built.append(seed)
        return Linear()

    found = controls(
        {"both": build}, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT, seeds=(4, 1), rivals=(),
        validation=VALIDATION, tries=[{"lr": 1e-6}, {"lr": 0.05}],
    )  # fmt: skip
    assert built == [4, 4, 1]
    assert list(found.trained["both"]) == [4, 1]


def test_settings_can_be_tried_with_several_seeds() -> None:
    rates = [{"lr": 1e-4}, {"lr": 0.05}]
    held = world(60, 2000, 2)
    found = controls(
        BUILDERS, "both", TRAIN, TEST, modalities=["x1"], training={"steps": 10, "batch_size": 30}, seeds=(0, 3),
        rivals=[], validation=held, tries=rates, tried_with=2,
    )  # fmt: skip
    means = []
    for rate in rates:
        runs = []
        for seed in (0, 3):
            torch.manual_seed(seed)
            method = Linear()
            fit(method, TRAIN, seed=seed, steps=10, batch_size=30, progress=False, **rate)
            runs.append(accuracy(method.predict(held.tensors), held.tensors["label"]))
        means.append(sum(runs) / 2)
    assert found.chosen["both"] == rates[means.index(max(means))]
    with pytest.raises(ValueError, match="tried_with=3"):
        controls(BUILDERS, "both", TRAIN, TEST, modalities=["x1"], training=FIT, seeds=(0, 3), tried_with=3)


def test_budgets_say_what_each_row_was_allowed(compared) -> None:
    spent = compared.budgets.spent
    assert (spent["both"].steps, spent["both"].parameters) == (30, 8 * 3 + 3)
    assert (spent["x1 only, 3 averaged"].steps, spent["x1 only, 3 averaged"].parameters) == (90, 3 * (4 * 3 + 3))
    assert spent["logistic regression"].tries == len(PENALTIES)
    assert compared.budgets.advantages()["parameters"] == ["x1 only"]
    assert compared.on(world(60, 3000, 4)).budgets == compared.budgets


def test_tuning_needs_validation_items_of_its_own() -> None:
    def tune(**changes):
        arguments = {"modalities": ["x1", "x2"], "training": FIT, "seeds": (0,), "rivals": ()} | changes
        return controls(BUILDERS, "both", TRAIN, TEST, tries=[{"lr": 0.1}], **arguments)

    with pytest.raises(ValueError, match="tries: settings are chosen on a validation set"):
        tune()
    with pytest.raises(ValueError, match="validation is the training or the test set"):
        tune(validation=TEST)


def test_a_class_of_one_item_is_no_error() -> None:
    label = TRAIN.tensors["label"].clone()
    label[0] = 3
    odd = TensorData(TRAIN.tensors | {"label": label})
    builders = {"both": lambda seed: Linear()}
    more = TensorData(TEST.tensors | {"label": torch.arange(60) % 3})
    found = controls(
        builders, "both", odd, more, modalities=["x1"], training=lambda *_: None, rivals=["logistic regression"],
        metrics={"accuracy": lambda p, y: float(p.shape[1])}, seeds=(0,),
    )  # fmt: skip
    assert found.mean.loc["logistic regression", "accuracy"] == 4


def test_shuffling_breaks_what_both_modalities_know(compared) -> None:
    scores = compared.mean["accuracy"]
    assert scores["both"] > scores[["both, x1 shuffled", "both, x2 shuffled"]].max() + 0.1


def test_an_ensemble_averages_probabilities(compared) -> None:
    inputs = {key: value for key, value in TEST.tensors.items() if key != "label"}
    one, three = (compared.predictors[row][3](inputs) for row in ("x1 only", "x1 only, 3 averaged"))
    assert torch.allclose(three.sum(1), torch.ones(60))
    others = 3 * three - one  # the first copy is the row itself
    assert bool((others > -1e-6).all())
    assert not torch.allclose(others / 2, one)


def test_differences_are_paired_by_seed(compared) -> None:
    scores = compared.scores["accuracy"]
    found = compared.differences().loc["x1 only"]
    gaps = [scores["both", seed] - scores["x1 only", seed] for seed in (0, 3)]
    assert found["difference"] == pytest.approx(sum(gaps) / 2)
    assert found["ahead"] == sum(gap > 0 for gap in gaps)
    known = compared.differences().loc["chance"]
    assert known["difference"] == pytest.approx(compared.mean.loc["both", "accuracy"] - 1 / 3)
    assert compared.differences("ECE").loc["chance", "difference"] == pytest.approx(compared.mean.loc["both", "ECE"])


def test_interval_is_scipys() -> None:
    gaps = [0.02, 0.05, -0.01, 0.04]
    expected = stats.ttest_1samp(gaps, 0).confidence_interval(0.9)
    assert paired_interval(gaps, 0.9) == pytest.approx((expected.low, expected.high))
    assert paired_interval([0.1]) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="level"):
        paired_interval(gaps, 95)


def test_interval_covers_as_often_as_it_says() -> None:
    rng = torch.Generator().manual_seed(0)
    draws = (0.3 + torch.randn(2000, 3, generator=rng)).tolist()
    inside = [low < 0.3 < high for low, high in map(paired_interval, draws)]
    assert sum(inside) / len(inside) == pytest.approx(0.95, abs=0.015)


def test_another_test_set_meets_the_same_methods(compared) -> None:
    blind = TensorData(TEST.tensors | {"x2": torch.zeros(60, 4)})
    scores = compared.on(blind)
    assert scores.mean.loc["x1 only"].equals(compared.mean.loc["x1 only"])
    assert scores.mean.loc["both", "accuracy"] < compared.mean.loc["both", "accuracy"]
    assert isinstance(scores.spread, pd.DataFrame)
    assert math.isnan(scores.spread.loc["chance", "accuracy"])


def test_one_call_gives_the_same_again_and_leaves_the_random_state() -> None:
    def run():
        return controls(BUILDERS, "both", TRAIN, TEST, modalities=["x1"], training=FIT, seeds=(1,), rivals=())

    torch.manual_seed(5)
    first = run()
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(6)
    assert run().scores.equals(first.scores)


def test_absent_items_have_no_value() -> None:
    x, there = torch.randn(6, 2), torch.tensor([True, True, False, True, False, True])
    batch = {"a": x, "a_present": there}
    changed = {"a": torch.where(there[:, None], x, 99.0), "a_present": there}
    torch.testing.assert_close(flatten(batch, ["a"]), flatten(changed, ["a"]), equal_nan=True)
    assert flatten(batch, ["a"]).shape == (6, 3)


def test_a_modality_that_is_missing_at_test_only_counts_as_average(compared) -> None:
    without = compared.on(TensorData(TEST.tensors | {"x2_present": torch.zeros(60).bool()}))
    average = TRAIN.tensors["x2"].mean(0).expand(60, 4)
    filled = compared.on(TensorData(TEST.tensors | {"x2": average}))
    row = "logistic regression"
    assert without.mean.loc[row].to_list() == pytest.approx(filled.mean.loc[row].to_list())
    assert without.mean.loc["gradient boosting", "accuracy"] > 0.4


def test_features_and_measures_can_be_chosen() -> None:
    found = controls(
        BUILDERS, "both", TRAIN, TEST, modalities=["x1", "x2"], training=FIT, seeds=(0,), metrics={"right": accuracy},
        features=lambda batch: batch["x1"], rivals=["logistic regression"],
    )  # fmt: skip
    assert list(found.mean.columns) == ["right"]
    assert found.mean.loc["logistic regression", "right"] == found.mean.loc["logistic regression, x1", "right"]


def test_a_class_that_training_lacks_in_one_place_keeps_its_column() -> None:
    label = TRAIN.tensors["label"]
    rest = TRAIN.subset((label != 1).nonzero().flatten())
    found = controls(BUILDERS, "both", rest, TEST, modalities=["x1", "x2"], training=FIT, seeds=(0,))
    assert found.predictors["logistic regression"][-1](TEST.tensors)[:, 1].abs().max() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"proposed": "neither"}, "neither"),
        ({"test": TRAIN}, "same data"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"modalities": ["x3"]}, "no 'x3'"),
        ({"ensembles": {"both": 1}}, "two copies"),
        ({"rivals": ["oracle"]}, "no rival 'oracle'"),
        (
            {
                "train": TensorData(TRAIN.tensors, list(range(90))),
                "test": TensorData(TEST.tensors, list(range(89, 149))),
            },
            "89 is in",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(changes, words) -> None:
    arguments = {"proposed": "both", "train": TRAIN, "test": TEST, "modalities": ["x1"], "training": FIT} | changes
    with pytest.raises(ValueError, match=words):
        controls(BUILDERS, **arguments)
