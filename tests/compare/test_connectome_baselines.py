"""The rivals: exact where there is a closed form, blind to test targets, and near the reference table in the world."""

import functools

import numpy as np
import pytest
import torch

from mmlab.compare.connectome_baselines import baselines, fit_pca_ridge, pooled
from mmlab.data.connectome import ConnectomePairs
from mmlab.data.pairs import Pairs
from mmlab.data.tensors import TensorData
from mmlab.data.worlds.rest_motor_world import RestMotorWorld, rest_motor_world
from mmlab.metrics.connectome import ceiling_share, evaluate


@pytest.fixture(scope="module")
def small() -> tuple[ConnectomePairs, ConnectomePairs]:
    return rest_motor_world(subjects=40, regions=12, seed=1).pairs.split(10, seed=0)


def test_simple_baselines_are_their_formulas(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, test = small
    found = baselines(train, test)
    mean_source, mean_target = train.source.numpy().mean(0), train.target.numpy().mean(0)
    assert torch.equal(found["identity"], test.source)
    assert np.allclose(found["group mean"], np.tile(mean_target, (10, 1)), atol=1e-6)
    assert np.allclose(found["mean shift"], test.source.numpy() - mean_source + mean_target, atol=1e-6)
    assert all(value.shape == test.target.shape for value in found.values())


def test_shrunk_shift_is_least_squares_in_one_number(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, test = small
    source, target = (side.double().numpy() for side in (train.source, train.target))
    centred = source - source.mean(0)
    slope = np.linalg.lstsq(centred.reshape(-1, 1), (target - target.mean(0)).ravel(), rcond=None)[0][0]
    assert 0.3 < slope < 0.9
    expected = target.mean(0) + slope * (test.source.double().numpy() - source.mean(0))
    assert np.allclose(baselines(train, test)["shrunk shift"], expected, atol=1e-5)


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_pca_ridge_is_ridge_on_pca_scores(small: tuple[ConnectomePairs, ConnectomePairs], keep: float) -> None:
    """Against scikit-learn, with the same choices. The penalty is relative to the largest squared singular value."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    train, test = small
    source, target = train.source.double().numpy(), train.target.double().numpy()
    ours = fit_pca_ridge(train, components=(7,), penalties=(0.1,), keep=keep)(test.source.double())
    pca = PCA(7, svd_solver="full").fit(source)
    ridge = Ridge(alpha=0.1 * pca.singular_values_[0] ** 2).fit(pca.transform(source), target - keep * source)
    theirs = ridge.predict(pca.transform(test.source.double().numpy())) + keep * test.source.double().numpy()
    assert np.allclose(ours, theirs, atol=1e-8)


def test_choices_come_from_cross_validation_within_training(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, _ = small
    components, penalties = (1, 5, 20), (0.01, 1.0)
    fit = fit_pca_ridge(train, components, penalties, folds=4, seed=3)
    errors = {}
    for k in components:
        for penalty in penalties:
            total = 0.0
            for part, held_out in train.folds(4, seed=3):
                prediction = fit_pca_ridge(part, (k,), (penalty,))(held_out.source.double())
                total += float((prediction - held_out.target).square().sum())
            errors[k, penalty] = total
    assert (fit.components, fit.penalty) == min(errors, key=lambda choice: errors[choice])


def test_huge_penalties_lead_to_the_mean_and_the_shift(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, test = small
    found = baselines(train, test)
    for keep, name in ((0.0, "group mean"), (1.0, "mean shift")):
        limit = fit_pca_ridge(train, components=(20,), penalties=(1e12,), keep=keep)(test.source)
        assert torch.allclose(limit, found[name], atol=1e-6)


def test_no_penalty_recovers_a_linear_map(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    """Rank 3 sources and a linear map to targets: exact, and more components than the rank do no harm."""
    train, test = small
    rng = torch.Generator().manual_seed(0)
    basis, map_ = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((3, 66), (66, 66)))

    def linear(pairs: ConnectomePairs) -> ConnectomePairs:
        source = torch.randn(len(pairs), 3, generator=rng, dtype=torch.float64) @ basis
        return ConnectomePairs(source, source @ map_ + 1, pairs.subjects, pairs.regions)

    train, test = linear(train), linear(test)
    prediction = fit_pca_ridge(train, components=(1, 3, 20))(test.source)
    assert torch.allclose(prediction, test.target, atol=1e-6)


def test_test_targets_are_never_seen(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, test = small
    blind = ConnectomePairs(test.source, torch.full_like(test.target, torch.nan), test.subjects, test.regions)
    for name, prediction in baselines(train, blind).items():
        assert torch.equal(prediction, baselines(train, test)[name]), name


def test_leakage_is_refused(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, _ = small
    with pytest.raises(ValueError, match=rf"Subject {train.subjects[2]} is in training and in test"):
        baselines(train, train.subset([2, 3]))


@functools.cache
def measured(seed: int) -> dict[str, dict[str, float]]:
    """The table of one world, 200 training and 100 test subjects."""
    world: RestMotorWorld = rest_motor_world(seed=seed)
    train, test = world.pairs.split(100, seed)
    predictions = baselines(train, test)
    predictions["attainable"] = world.attainable_for(test)
    predictions["ceiling"] = world.true_motor[world.indices(test)]
    mean = train.target.mean(0)
    return {name: evaluate(p, test.target, mean, test.regions.networks) for name, p in predictions.items()}


REFERENCE = {  # RMSE, edge r, demeaned r, identification
    "identity": (0.112, 0.905, 0.549, 0.91),
    "group mean": (0.118, 0.890, 0.0, 0.01),
    "mean shift": (0.096, 0.930, 0.627, 0.93),
    "ridge on PCA scores": (0.0945, 0.931, 0.600, 0.75),
    "ceiling": (0.056, 0.976, 0.874, 1.00),
}


def test_the_world_has_the_table_that_the_book_prints() -> None:
    """Mean of three worlds: within 0.01 in RMSE, 0.02 in r, 0.05 in demeaned r and 0.06 in identification."""
    keys = ("rmse", "r", "demeaned_r", "identification_forward")
    for name, row in REFERENCE.items():
        for key, reference, tolerance in zip(keys, row, (0.01, 0.02, 0.05, 0.06), strict=True):
            value = float(np.mean([measured(seed)[name][key] for seed in range(3)]))
            assert value == pytest.approx(reference, abs=tolerance), (name, key)


def test_there_is_room_between_the_baselines_and_what_is_attainable() -> None:
    """In every world the attainable beats the mean shift by far, in what does not reward exaggeration."""
    for seed in range(3):
        rows = measured(seed)
        shift, best = rows["mean shift"], rows["attainable"]
        assert best["rmse"] < 0.9 * shift["rmse"]
        assert best["demeaned_r"] > shift["demeaned_r"] + 0.05
        assert best["identification_demeaned"] > shift["identification_demeaned"]
        assert best["identification_backward"] > shift["identification_backward"]
        rival = rows["ridge on the change"]
        assert 0.2 < ceiling_share(rival["rmse"], shift["rmse"], best["rmse"]) < 0.7
        assert rival["demeaned_r"] < best["demeaned_r"] - 0.03


def test_plain_tensors_arrays_and_mappings_give_the_same(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    train, test = small
    whole = baselines(train, test)
    plain = [TensorData({"source": part.source, "target": part.target}, list(part.subjects)) for part in small]
    arrays = [
        {"source": part.source.numpy(), "target": part.target.numpy(), "subjects": part.subjects} for part in small
    ]
    for one, other in (plain, arrays, (plain[0], test)):
        found = baselines(one, other)
        assert list(found) == list(whole)
        assert all(torch.equal(found[name], whole[name]) for name in whole)
    unnamed = baselines((train.source.numpy(), train.target.numpy()), (test.source.numpy(), test.target.numpy()))
    for name in ("identity", "group mean", "mean shift", "shrunk shift"):  # folds of nameless rows are others
        assert torch.equal(unnamed[name], whole[name])
    with pytest.raises(ValueError, match=rf"Subject {train.subjects[0]} is in training and in test"):
        baselines(plain[0], plain[0])


def test_widths_may_differ(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    """One atlas to another, or structure to function: the rivals that copy the source are left out."""
    train, test = ({"source": part.source[:, :21], "target": part.target} for part in small)
    found = baselines(train, test)
    assert list(found) == ["group mean", "ridge on PCA scores"]
    assert all(value.shape == small[1].target.shape for value in found.values())
    mean = small[0].target.mean(0)
    errors = {name: evaluate(value, small[1].target, mean)["rmse"] for name, value in found.items()}
    assert errors["ridge on PCA scores"] < errors["group mean"]
    with pytest.raises(ValueError, match="The source has 21 columns in training and 66 in the test"):
        baselines(train, small[1])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"source": np.zeros((3, 4))}, "The data have no 'target', only source: name the two states"),
        ((np.zeros((3, 4)), np.zeros((2, 4))), r"numbers of rows differ \(source 3, target 2, subjects 3\)"),
        ((np.zeros((3, 4, 4)), np.zeros((3, 4))), r"'source' has shape \(3, 4, 4\); expected one row"),
        ((np.zeros((1, 4)), np.zeros((1, 4))), "There is 1 training row: the baselines need at least 2"),
        ({"source": np.zeros((2, 4)), "target": np.zeros((2, 4)), "subjects": ["a", None]}, "None is no subject's id"),
    ],
)
def test_what_is_no_pairs_is_refused(data: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        baselines(data, data)


def test_leave_one_out_is_pooled(small: tuple[ConnectomePairs, ConnectomePairs]) -> None:
    """Against a loop; and the pooled rows are scored as a whole, each beside the mean of its own training subjects."""
    whole = small[1]
    found = pooled(whole)
    assert found.subjects == whole.subjects
    for i in range(len(whole)):
        rest = whole.subset([j for j in range(len(whole)) if j != i])
        alone = baselines(rest, whole.subset([i]))
        assert torch.equal(found.train_mean[i], rest.target.mean(0))
        assert all(torch.equal(found.predictions[name][i], alone[name][0]) for name in alone)
    scores = {n: evaluate(p, found.target, found.train_mean) for n, p in found.predictions.items()}
    assert scores["group mean"]["identification_forward"] <= 0.2
    assert scores["identity"]["identification_forward"] > 0.5
    assert pooled(whole, folds=5).predictions["identity"].shape == whole.source.shape


def test_a_subject_with_two_rows_is_never_split() -> None:
    rows = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
    pairs = Pairs.of({"source": rows, "target": rows, "subjects": [i // 2 for i in range(12)]})
    for train, test in (*pairs.folds(6, 0), pairs.split(2, 0)):
        assert not set(train.subjects) & set(test.subjects)
        assert len(train) + len(test) == 12
    found = pooled(pairs)
    assert torch.equal(found.predictions["identity"], rows)
    with pytest.raises(ValueError, match="k=7 folds of 6 subjects are not possible: choose 2 to 6"):
        pairs.folds(7, 0)


def test_equal_sources_tell_nothing_and_missing_values_are_named() -> None:
    rng = torch.Generator().manual_seed(0)
    target = torch.randn(12, 5, generator=rng)
    same = torch.ones(12, 5)
    made = baselines((same[:8], target[:8]), (same[8:], target[8:]))
    for name, prediction in made.items():
        assert bool(prediction.isfinite().all()), name
    assert torch.allclose(made["shrunk shift"], target[:8].mean(0).expand(4, 5))
    broken = target.clone()
    broken[2, 3] = float("nan")
    for train, test, what in (
        ((broken[:8], target[:8]), (same[8:], target[8:]), "training source"),
        ((same[:8], broken[:8]), (same[8:], target[8:]), "training target"),
        ((same[:8], target[:8]), (broken[:4], target[:4]), "test source"),
    ):
        with pytest.raises(ValueError, match=f"A {what} holds NaN or infinity"):
            baselines(train, test)
