"""Every measure against a transcription in NumPy, closed forms for the distances, and what cannot be gamed."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmlab.data.connectome import edges, matrices
from mmlab.metrics.connectome import (
    COLUMNS,
    affine_invariant,
    block_means,
    ceiling_share,
    correlate,
    differential_identifiability,
    evaluate,
    identification,
    log_euclidean,
    project_to_correlation,
    rmse,
    rowwise_correlation,
    table,
    violation,
)

NETWORKS = ("a", "b", "a", "c", "b", "c", "a")  # c-c has one edge, a-a three
S, N = 9, 7
E = N * (N - 1) // 2


def connectomes(seed: int, frames: int = 40) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.stack(
        [edges(torch.from_numpy(np.corrcoef(rng.standard_normal((N, frames)), rowvar=True))) for _ in range(S)]
    )


@pytest.fixture
def data() -> tuple[Tensor, Tensor, Tensor]:
    target = connectomes(0)
    prediction = 0.4 * target + 0.6 * connectomes(1)
    prediction[3] = target[:5].mean(0)  # like everybody a little: found by others
    return prediction, target, connectomes(2).mean(0)


def by_hand(p: np.ndarray, q: np.ndarray, mean: np.ndarray) -> dict[str, float]:
    """Loops in place of matrix products."""
    similarity = np.array([[np.corrcoef(a, b)[0, 1] for b in q] for a in p])
    demeaned = np.array([[np.corrcoef(a - mean, b - mean)[0, 1] for b in q] for a in p])
    blocks = []
    for x in (p, q, mean[None]):
        full = matrices(torch.from_numpy(x)).numpy()
        rows = []
        for matrix in full:
            row = []
            for one in "abc":
                for other in "abc":
                    if other < one:
                        continue
                    values = [
                        matrix[i, j]
                        for i in range(N)
                        for j in range(i + 1, N)
                        if {NETWORKS[i], NETWORKS[j]} == {one, other}
                    ]
                    row.append(np.mean(values))
            rows.append(row)
        blocks.append(np.array(rows))
    own = np.diag(similarity)
    return {
        "rmse": math.sqrt(np.mean((p - q) ** 2)),
        "r": float(np.mean(own)),
        "demeaned_r": float(np.mean(np.diag(demeaned))),
        "identification_forward": np.mean([np.argmax(row) == i for i, row in enumerate(similarity)]),
        "identification_backward": np.mean([np.argmax(column) == i for i, column in enumerate(similarity.T)]),
        "identification_demeaned": np.mean(
            [np.argmax(m[i]) == i for m in (demeaned, demeaned.T) for i in range(len(p))]
        ),
        "differential_identifiability": own.mean() - similarity[~np.eye(len(p), dtype=bool)].mean(),
        "block_r": np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(blocks[0], blocks[1], strict=True)]),
        "block_demeaned_r": np.mean(
            [np.corrcoef(a - blocks[2][0], b - blocks[2][0])[0, 1] for a, b in zip(*blocks[:2], strict=True)]
        ),
    }


def test_measures_are_what_their_definitions_say(data: tuple[Tensor, Tensor, Tensor]) -> None:
    ours = evaluate(*data, networks=NETWORKS)
    theirs = by_hand(*(value.numpy() for value in data))
    forward, backward = theirs["identification_forward"], theirs["identification_backward"]
    assert 0.2 < forward != backward < 1  # not a trivial case
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name
    assert list(ours) == list(COLUMNS)


def test_log_euclidean_is_the_distance_of_logarithms(data: tuple[Tensor, Tensor, Tensor]) -> None:
    from scipy.linalg import logm

    distances = []
    for p, q in zip(*data[:2], strict=True):
        logs = [logm(0.7 * matrices(x).numpy() + 0.3 * np.eye(N)) for x in (p, q)]
        distances.append(np.linalg.norm(logs[0] - logs[1]))
    assert evaluate(*data, shrinkage=0.3)["log_euclidean"] == pytest.approx(np.mean(distances), rel=1e-9)


def test_without_networks_there_are_no_block_measures(data: tuple[Tensor, Tensor, Tensor]) -> None:
    assert set(COLUMNS) - set(evaluate(*data)) == {"block_r", "block_demeaned_r"}


def test_without_geometry_the_rest_is_the_same(data: tuple[Tensor, Tensor, Tensor]) -> None:
    whole, part = evaluate(*data), evaluate(*data, geometry=False)
    assert set(whole) - set(part) == {"log_euclidean", "negative_eigenvalue", "share_beyond_one"}
    assert part == {name: whole[name] for name in part}


def test_permuted_copies_are_found(data: tuple[Tensor, Tensor, Tensor]) -> None:
    order = torch.tensor([3, 1, 4, 0, 2, 8, 6, 7, 5])
    target = data[1]
    similarity = correlate(target[order], target)
    assert identification(similarity[:, order]) == 1.0
    assert identification(similarity) == pytest.approx(3 / 9)  # the three that stayed at their place


def test_the_group_mean_scores_chance(data: tuple[Tensor, Tensor, Tensor]) -> None:
    """C3: 1/S in both directions, and nothing after demeaning, however good its plain r."""
    _, target, mean = data
    values = evaluate(mean.expand(S, -1), target, mean, NETWORKS)
    assert values["identification_forward"] == pytest.approx(1 / S)
    assert values["identification_backward"] == pytest.approx(1 / S)
    assert values["identification_demeaned"] == pytest.approx(1 / S)
    assert values["demeaned_r"] == values["block_demeaned_r"] == 0
    assert values["differential_identifiability"] == pytest.approx(0, abs=1e-12)
    single = mean.float().expand(S, -1)  # rounding is no information
    assert evaluate(single, target.float(), mean, NETWORKS)["demeaned_r"] == 0


def test_a_perfect_prediction_is_perfect(data: tuple[Tensor, Tensor, Tensor]) -> None:
    values = evaluate(data[1], data[1], data[2], NETWORKS)
    for name in ("r", "demeaned_r", "identification_forward", "identification_backward", "block_r"):
        assert values[name] == pytest.approx(1), name
    for name in ("rmse", "log_euclidean", "negative_eigenvalue", "share_beyond_one"):
        assert values[name] == pytest.approx(0, abs=1e-6), name


def test_demeaned_identification_ignores_scale(data: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, mean = data
    wild = mean + 5 * (prediction - mean)
    ours, theirs = evaluate(prediction, target, mean), evaluate(wild, target, mean)
    for name in ("identification_demeaned", "demeaned_r"):
        assert ours[name] == pytest.approx(theirs[name])
    assert theirs["rmse"] > ours["rmse"]


def test_ties_share_the_credit() -> None:
    similarity = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert identification(similarity) == pytest.approx((0.5 + 1 + 0) / 3)


def test_constant_rows_have_no_correlation() -> None:
    rows = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
    assert rowwise_correlation(rows, rows).tolist() == pytest.approx([0, 1])


def test_block_means_need_a_label_per_region() -> None:
    with pytest.raises(ValueError, match="6 network labels for 7 regions"):
        block_means(torch.zeros(E), NETWORKS[:-1])


@pytest.mark.parametrize(("r1", "r2", "expected"), [(0.5, 0.0, 0.803029), (0.9, 0.5, 1.626705)])
def test_affine_invariant_closed_form(r1: float, r2: float, expected: float) -> None:
    """C1: √(ln²((1+r1)/(1+r2)) + ln²((1-r1)/(1-r2))) for 2x2 correlations."""
    a, b = (matrices(torch.tensor([r], dtype=torch.float64)) for r in (r1, r2))
    assert float(affine_invariant(a, b)) == pytest.approx(expected, abs=1e-6)
    assert float(log_euclidean(a, b, shrinkage=0)) == pytest.approx(expected, abs=1e-6)  # they commute


def test_affine_invariance() -> None:
    rng = np.random.default_rng(0)
    a, b = (torch.from_numpy(np.cov(rng.standard_normal((5, 20)))) for _ in range(2))
    x = torch.from_numpy(rng.standard_normal((5, 5)))
    distance = affine_invariant(a, b)
    assert float(affine_invariant(x @ a @ x.T, x @ b @ x.T)) == pytest.approx(float(distance), rel=1e-9)
    assert float(affine_invariant(a.inverse(), b.inverse())) == pytest.approx(float(distance), rel=1e-9)
    assert float(affine_invariant(b, a)) == pytest.approx(float(distance), rel=1e-9)
    assert abs(float(log_euclidean(x @ a @ x.T, x @ b @ x.T, 0)) - float(log_euclidean(a, b, 0))) > 0.1


def test_singular_matrices_have_no_logarithm() -> None:
    singular = matrices(torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="more shrinkage"):
        log_euclidean(singular - 0.01 * torch.eye(3), torch.eye(3), shrinkage=0.0)
    assert math.isfinite(float(log_euclidean(singular, torch.eye(3), shrinkage=0.1)))


def test_projection_gives_correlation_matrices() -> None:
    wild = torch.randn(20, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    projected = project_to_correlation(wild)
    assert torch.equal(projected, projected.mT)
    assert bool((projected.diagonal(dim1=-2, dim2=-1) == 1).all())
    assert float(projected.abs().max()) <= 1
    assert float(torch.linalg.eigvalsh(projected).min()) > 0
    assert violation(edges(projected)) == {"negative_eigenvalue": 0.0, "share_beyond_one": 0.0}


def test_projection_leaves_correlation_matrices_alone() -> None:
    full = matrices(connectomes(5))
    assert torch.allclose(project_to_correlation(full), full, atol=1e-12)


def test_projection_by_hand() -> None:
    """[[1, 2], [2, 1]] has eigenvalues 3 and -1; with the floor at 0.5 it is [[1.75, 1.25], [1.25, 1.75]]."""
    assert float(project_to_correlation(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), floor=0.5)[0, 1]) == pytest.approx(
        5 / 7
    )


def test_violation_by_hand() -> None:
    values = torch.tensor([[1.5], [0.5]])  # eigenvalues 1 ± r
    found = violation(values)
    assert found["negative_eigenvalue"] == pytest.approx(-0.25)
    assert found["share_beyond_one"] == pytest.approx(0.5)


def test_table_has_rows_as_given_and_columns_in_order(data: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, mean = data
    frame = table({"ours": prediction, "copy": target}, target, mean, NETWORKS)
    assert list(frame.index) == ["ours", "copy"]
    assert list(frame.columns) == list(COLUMNS.values())
    assert frame.loc["ours", "RMSE"] == evaluate(prediction, target, mean)["rmse"]
    assert list(table({"ours": prediction}, target, mean).columns) == [
        name for key, name in COLUMNS.items() if "block" not in key
    ]


def test_ceiling_share_works_in_both_directions() -> None:
    assert ceiling_share(0.08, baseline=0.10, ceiling=0.06) == pytest.approx(0.5)
    assert ceiling_share(0.7, baseline=0.6, ceiling=0.8) == pytest.approx(0.5)
    assert ceiling_share(0.11, baseline=0.10, ceiling=0.06) == pytest.approx(-0.25)
    with pytest.raises(ValueError, match="no way between"):
        ceiling_share(1.0, 1.0, 1.0)


def test_wrong_input_is_refused(data: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, mean = data
    with pytest.raises(ValueError, match=r"expected \(S, E\), \(S, E\) and \(E,\)"):
        evaluate(prediction[:-1], target, mean)
    with pytest.raises(ValueError, match=r"expected \(S, E\), \(S, E\) and \(E,\)"):
        evaluate(prediction[:0], target[:0], mean)
    with pytest.raises(ValueError, match=r"prediction is \(9, 21\), target \(21,\): they must be alike"):
        rmse(prediction, target[0])
    for measure in (identification, differential_identifiability):
        with pytest.raises(ValueError, match=r"similarity is \(2, 9\), expected \(S, S\)"):
            measure(correlate(prediction[:2], target))
    with pytest.raises(ValueError, match="A single subject has nobody to be told from: give at least 2"):
        differential_identifiability(torch.ones(1, 1))
    with pytest.raises(ValueError, match="prediction has NaN or infinity"):
        evaluate(prediction * math.nan, target, mean)


IDENTIFICATION = {"identification_forward", "identification_backward", "identification_demeaned",
                  "differential_identifiability"}  # fmt: skip
VIOLATION = {"negative_eigenvalue", "share_beyond_one"}


def test_arrays_and_single_precision_are_taken(data: tuple[Tensor, Tensor, Tensor]) -> None:
    assert evaluate(*(value.numpy() for value in data), networks=NETWORKS) == evaluate(*data, networks=NETWORKS)
    single = evaluate(*(value.numpy().astype("float32") for value in data))
    assert single["rmse"] == pytest.approx(evaluate(*data)["rmse"], rel=1e-5)


def test_a_single_subject_is_measured_without_identification(data: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, mean = data
    with pytest.warns(UserWarning, match=r"single test subject .* identification is left out.*pooled"):
        found = evaluate(prediction[:1], target[:1], mean, NETWORKS)
    assert set(COLUMNS) - set(found) == IDENTIFICATION
    assert found["r"] == pytest.approx(float(rowwise_correlation(prediction, target)[0]))


def test_targets_without_a_logarithm_leave_that_column_out(data: tuple[Tensor, Tensor, Tensor]) -> None:
    """Correlations that were estimated pair by pair, and counts: the first are in [-1, 1], the second are not."""
    prediction, target, mean = data
    pairwise = target.clone()
    pairwise[2, :3] = torch.tensor([0.95, 0.95, -0.95], dtype=torch.float64)
    with pytest.warns(
        UserWarning, match=r"not positive definite .* log-Euclidean distance is left out\. More shrinkage"
    ):
        found = evaluate(prediction, pairwise, mean, NETWORKS)
    assert set(COLUMNS) - set(found) == {"log_euclidean"}
    assert "log_euclidean" in evaluate(prediction, pairwise, mean, NETWORKS, shrinkage=0.9)  # the remedy
    projected = torch.stack([edges(project_to_correlation(matrices(row))) for row in pairwise])
    assert "log_euclidean" in evaluate(prediction, projected, mean, NETWORKS)  # the other remedy
    with pytest.warns(UserWarning, match="no correlation matrices"):
        found = evaluate(100 * prediction, 100 * target, 100 * mean, NETWORKS)
    assert set(COLUMNS) - set(found) == {"log_euclidean", *VIOLATION}
    assert found["rmse"] == pytest.approx(100 * evaluate(*data)["rmse"])
    with pytest.warns(UserWarning, match="no correlation matrices"):
        found = table({"x": prediction[:, :20]}, target[:, :20], mean[:20])  # 20 numbers are no triangle
    assert "RMSE" in found


def test_each_subject_may_have_its_own_training_mean(data: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, mean = data
    whole = evaluate(prediction, target, mean, NETWORKS)
    assert evaluate(prediction, target, mean.expand_as(target), NETWORKS) == pytest.approx(whole)
    other = mean.expand_as(target).clone()
    other[0] += 0.1 * torch.randn(other.shape[1], generator=torch.Generator().manual_seed(0))
    assert evaluate(prediction, target, other)["demeaned_r"] != pytest.approx(whole["demeaned_r"])
