"""The baselines that every claim about fusion must face, tuned alike, trained and measured in one call.

A fusion method is trained beside whatever rivals the caller builds (best single modality, concatenation, the same
auxiliary losses without the trick). Added to them: ensembles, logistic regression and gradient boosting on the
features, the proposed method with one modality shuffled, the most frequent class, and chance.

Each row is trained with the settings that suit it: all rows try the same few, and keep those that are best on
validation items. The test set is not seen in training or tuning, by construction: rows are fitted by functions that
are given the training and validation sets alone, and are measured afterwards, after the last step, on items without
their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mmlab.compare.budget import Spent
from mmlab.compare.comparison import METRICS, Comparison, Metric, Predictor, score, unlabelled
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method
from mmlab.metrics.classification import accuracy, log_loss
from mmlab.train.fit import fit
from mmlab.train.randomness import derive

__all__ = ["Builder", "Comparison", "Trainer", "controls", "flatten"]

Builder = Callable[[int], Any]
"""Makes an untrained method from a seed; torch's global generator is seeded with it beforehand."""

Trainer = Callable[[Any, TensorData, int], object]
"""Trains a method in place: (method, training set, seed)."""

PENALTIES = (1e-4, 3e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths C of the penalty that logistic regression tries."""

_ITEMS_AT_ONCE = 1024


def controls(
    builders: Mapping[str, Builder],
    proposed: str,
    train: TensorData,
    test: TensorData,
    *,
    modalities: Sequence[str],
    training: Mapping[str, Any] | Trainer,
    seeds: Sequence[int] = (0, 1, 2),
    ensembles: Mapping[str, int] | None = None,
    features: Callable[[Batch], Tensor] | None = None,
    rivals: Sequence[str] = ("logistic regression", "gradient boosting"),
    metrics: Mapping[str, Metric] | None = None,
    validation: TensorData | None = None,
    tries: Sequence[Mapping[str, Any]] = (),
    tried_with: int = 1,
) -> Comparison:
    """Tune and train a classifier and its baselines, and measure all of them once, after the last step.

    Args:
        builders: By name, the proposed method and its rivals: each makes an untrained method from a seed. A method
            has ``predict(batch)``, which gives probabilities (B, K).
        proposed: Which of them is the proposed method.
        train: Training set with the modalities and ``"label"``; the only data that any row is fitted on.
        test: Test set with the same keys.
        modalities: Keys of the modalities; ``"<modality>_present"`` says which items have it.
        training: Arguments of :func:`mmlab.fit` (``seed`` is added), or a function of (method, training set, seed).
        seeds: Seeds of the runs. All methods of one seed are paired.
        ensembles: By name of a builder, a number n: the mean of the probabilities of n trained copies, the first of
            which is the row of that name itself. Choose n so that the parameters are as many as the proposed method's.
        features: What the rivals on features see of a batch, (N, F); by default :func:`flatten` of the modalities.
        rivals: Some of ``"logistic regression"`` (standardised features, on each modality and on all; strength of the
            penalty by the log loss on the validation set, or without one by three-fold cross-validation within the
            training set) and ``"gradient boosting"`` (of histograms, on all), those that are wanted.
        metrics: Name to function of (probabilities, label); by default :data:`METRICS`.
        validation: Items to choose settings on, with the same keys.
        tries: Arguments of fit that each builder's row tries on top of ``training``, with the first seeds: the ones
            with the highest mean accuracy on the validation set are kept for all its seeds. Empty: nothing is tuned.
        tried_with: Number of the seeds that each setting is tried with.

    Returns:
        The comparison, with what each row chose as ``chosen``: chance, most frequent class, rivals on features,
        builders in order, ensembles, and the proposed method with each modality shuffled between the test items.

    Raises:
        ValueError: If names, keys or seeds do not fit, or someone is in the training and in the test set.
    """
    copies = dict(ensembles or {})
    _check(builders, proposed, train, test, modalities, seeds, copies)
    if not 1 <= tried_with <= len(seeds):
        raise ValueError(f"tried_with={tried_with}: settings can be tried with 1 to {len(seeds)} of the seeds.")
    if tries and (validation is None or callable(training)):
        raise ValueError(
            "tries: settings are chosen on a validation set and handed to fit; give validation=, and "
            "training= as arguments of fit."
        )
    if validation is not None and validation.fingerprint() in (train.fingerprint(), test.fingerprint()):
        raise ValueError("validation is the training or the test set: split it off the training set first.")
    predictors = _feature_rows(train, validation, modalities, features, rivals)
    how: dict[str, Mapping[str, Any] | Trainer] = dict.fromkeys(builders, training)
    chosen: dict[str, dict[str, Any]] = {}
    first: dict[str, dict[int, Method]] = {name: {} for name in builders}  # by seed, trained in the search
    if tries and validation is not None and not callable(training):
        for name, build in builders.items():
            chosen[name], first[name] = _choose(build, train, validation, training, tries, seeds[:tried_with])
            how[name] = {**training, **chosen[name]}
    trained = {
        name: first[name] | _train(build, train, how[name], [seed for seed in seeds if seed not in first[name]])
        for name, build in builders.items()
    }
    for name, methods in trained.items():
        predictors[name] = {seed: _predictor([method]) for seed, method in methods.items()}
    for name, count in copies.items():
        more = [_train(builders[name], train, how[name], [derive(s, name, i) for s in seeds]) for i in range(1, count)]
        members = zip(trained[name].values(), *(methods.values() for methods in more), strict=True)
        rows = {seed: _predictor(list(group)) for seed, group in zip(seeds, members, strict=True)}
        predictors[f"{name}, {count} averaged"] = rows
    for modality in modalities:
        predictors[f"{proposed}, {modality} shuffled"] = {
            seed: _shuffled(predictors[proposed][seed], modality, derive(seed, "shuffle", modality)) for seed in seeds
        }
    measured = dict(metrics or METRICS)
    spent = _spent(trained, copies, training, tries, predictors)
    return Comparison(proposed, predictors, score(predictors, test, measured), measured, trained, chosen, spent)


def _spent(
    trained: Mapping[str, Mapping[int, Any]],
    copies: Mapping[str, int],
    training: Mapping[str, Any] | Trainer,
    tries: Sequence[Mapping[str, Any]],
    rows: Mapping[str, Any],
) -> dict[str, Spent]:
    """What each row was allowed: networks their steps, parameters and tries, lines the tries of their penalty."""
    steps = None if callable(training) else training.get("steps")
    names = tuple(sorted({name for settings in tries for name in settings})) if len(tries) > 1 else ()
    found = {}
    for name, methods in trained.items():
        count = sum(p.numel() for p in next(iter(methods.values())).parameters() if p.requires_grad)
        found[name] = Spent(steps, count, names, max(1, len(tries)))
        if n := copies.get(name):
            more = Spent(None if steps is None else n * steps, n * count, names, max(1, len(tries)))
            found[f"{name}, {n} averaged"] = more
    lines = [name for name in rows if name.startswith("logistic regression")]
    return found | dict.fromkeys(lines, Spent(tuned=("penalty",), tries=len(PENALTIES)))


def flatten(batch: Batch, modalities: Sequence[str]) -> Tensor:
    """Features (N, F) of the modalities side by side; what is missing is NaN.

    Each modality has one column more, which says who has it.
    """
    columns = []
    for name in modalities:
        values = batch[name].flatten(1).double()
        there = batch.get(f"{name}_present", torch.ones(len(values), dtype=torch.bool, device=values.device))
        columns += [values.masked_fill(~there[:, None], torch.nan), there[:, None].double()]
    return torch.cat(columns, 1)


def _check(
    builders: Mapping[str, Builder],
    proposed: str,
    train: TensorData,
    test: TensorData,
    modalities: Sequence[str],
    seeds: Sequence[int],
    ensembles: Mapping[str, int],
) -> None:
    if proposed not in builders:
        raise ValueError(f"The proposed method {proposed!r} is not among the builders: {', '.join(builders)}.")
    if wrong := [name for name, count in ensembles.items() if name not in builders or count < 2]:
        raise ValueError(f"The ensemble of {wrong[0]!r} needs a builder of that name and at least two copies.")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds={list(seeds)}: give one or more different seeds, none of them negative.")
    for name, data in (("training", train), ("test", test)):
        if absent := [key for key in (*modalities, "label") if key not in data.tensors]:
            raise ValueError(f"The {name} set has no {absent[0]!r}; it has {', '.join(data.tensors)}.")
    if train.fingerprint() == test.fingerprint():
        raise ValueError("The training and the test set are the same data: split them first.")
    if shared := set(train.subjects or ()) & set(test.subjects or ()):
        raise ValueError(f"{min(map(str, shared))} is in the training and in the test set: split by subject first.")


def _train(
    build: Builder, train: TensorData, training: Mapping[str, Any] | Trainer, seeds: Sequence[int]
) -> dict[int, Method]:
    """Build and train one method for each seed. There is no test set here."""
    trained = {}
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            method = build(seed)
            if callable(training):
                training(method, train, seed)
            else:
                fit(method, train, seed=seed, **{"progress": False} | dict(training))
        trained[seed] = method.eval()
    return trained


def _choose(
    build: Builder,
    train: TensorData,
    validation: TensorData,
    training: Mapping[str, Any],
    tries: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
) -> tuple[dict[str, Any], dict[int, Method]]:
    """The settings with the highest mean accuracy on the validation set, of equals the first, and what they trained.

    Settings whose training diverges are out.
    """
    highest = -1.0
    best = dict(tries[0])
    kept: dict[int, Method] = {}
    truth = validation.tensors["label"]
    for settings in tries:
        try:
            methods = _train(build, train, {**training, **settings}, seeds)
        except FloatingPointError:
            continue
        right = [accuracy(_predictor([method])(unlabelled(validation)), truth) for method in methods.values()]
        if (mean := sum(right) / len(right)) > highest:
            highest = mean
            best = dict(settings)
            kept = methods
    return best, kept


def _predictor(members: Sequence[Any]) -> Predictor:
    """The mean of the members' probabilities, a thousand items at a time."""

    def predict(batch: Batch) -> Tensor:
        with torch.no_grad():
            return torch.stack([torch.cat([m.predict(p).cpu() for p in _pieces(batch, m)]) for m in members]).mean(0)

    return predict


def _pieces(batch: Batch, method: Any) -> Iterator[Batch]:
    count = len(next(iter(batch.values())))
    for start in range(0, count, _ITEMS_AT_ONCE):
        yield {key: value[start : start + _ITEMS_AT_ONCE].to(method.device) for key, value in batch.items()}


def _shuffled(predict: Predictor, modality: str, seed: int) -> Predictor:
    """Predictions with one modality, and its presence, handed on to the next item of a random circle."""

    def shuffled(batch: Batch) -> Tensor:
        circle = torch.randperm(len(batch[modality]), generator=torch.Generator().manual_seed(seed))
        order = torch.empty_like(circle)
        order[circle] = circle.roll(1)  # a single circle: nobody keeps their own
        moved = {key: batch[key][order] for key in (modality, f"{modality}_present") if key in batch}
        return predict(batch | moved)

    return shuffled


def _feature_rows(
    train: TensorData,
    validation: TensorData | None,
    modalities: Sequence[str],
    features: Callable[[Batch], Tensor] | None,
    rivals: Sequence[str],
) -> dict[str, dict[int, Predictor]]:
    """Rows that need no seed: constants, and scikit-learn on features. There is no test set here."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    label, batch = train.tensors["label"], unlabelled(train)
    share = torch.bincount(label).double() / len(label)
    rows = {"chance": _constant(torch.full_like(share, 1 / len(share))), "most frequent class": _constant(share)}
    everything = features or partial(flatten, modalities=modalities)
    if unknown := set(rivals) - {"logistic regression", "gradient boosting"}:
        raise ValueError(f"There is no rival {min(unknown)!r}: take 'logistic regression' or 'gradient boosting'.")

    def fitted(model: Any, look: Callable[[Batch], Tensor]) -> Predictor:
        model.fit(look(batch).cpu().numpy(), label.cpu().numpy())
        columns = torch.as_tensor(model.classes_)

        def predict(batch: Batch) -> Tensor:
            found = torch.as_tensor(model.predict_proba(look(batch).cpu().numpy()))
            return found.new_zeros(len(found), len(share)).index_copy(1, columns, found)

        return predict

    def linear(look: Callable[[Batch], Tensor]) -> Predictor:
        if validation is None:
            return fitted(_cross_validated(label), look)
        lines = [fitted(_line(penalty), look) for penalty in PENALTIES]
        truth = validation.tensors["label"]
        losses = [log_loss(line(unlabelled(validation)), truth) for line in lines]
        return lines[losses.index(min(losses))]

    if "logistic regression" in rivals:
        views = {f"logistic regression, {name}": partial(flatten, modalities=[name]) for name in modalities}
        for name, look in (views | {"logistic regression": everything}).items():
            rows[name] = linear(look)
    if "gradient boosting" in rivals:
        rows["gradient boosting"] = fitted(HistGradientBoostingClassifier(early_stopping=False), everything)
    return {name: {-1: predict} for name, predict in rows.items()}


def _line(penalty: float) -> Any:
    """Logistic regression after gaps were filled by means and values scaled, both from the training items."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    filled = SimpleImputer(keep_empty_features=True)
    return make_pipeline(filled, StandardScaler(), LogisticRegression(C=penalty, max_iter=1000))


def _cross_validated(label: Tensor) -> Any:
    """Logistic regression whose penalty has the lowest log loss on held-out thirds of the training set."""
    from sklearn.model_selection import GridSearchCV

    counts = torch.bincount(label)
    if int(counts[counts > 0].min()) < 3:
        return _line(1.0)  # a class with one or two items cannot be in three folds
    grid = {"logisticregression__C": list(PENALTIES)}
    return GridSearchCV(_line(1.0), grid, scoring="neg_log_loss", cv=3)


def _constant(share: Tensor) -> Predictor:
    return lambda batch: share.expand(len(next(iter(batch.values()))), -1)
