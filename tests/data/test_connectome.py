"""Edges and matrices, refusals that name what is wrong, and pairs joined and split by subject."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmlab.data.connectome import ConnectomePairs, Regions, check_correlation, edges, matrices, read_matrix
from mmlab.data.correlation import check_matrix

REGIONS = Regions(names=tuple("abcde"), networks=("x", "y", "x", "z", "y"), coordinates=torch.zeros(5, 3))


def correlation(seed: int, regions: int = 5) -> np.ndarray:
    return np.corrcoef(np.random.default_rng(seed).standard_normal((regions, 30)))


def pairs(ids: list[str]) -> ConnectomePairs:
    """Pairs whose values tell whose they are."""
    source = {s: correlation(int(s[1:])) for s in ids}
    target = {s: correlation(1000 + int(s[1:])) for s in reversed(ids)}
    return ConnectomePairs.join(source, target, REGIONS, source_name="rest", target_name="motor")


IDS = [f"s{number}" for number in range(20)]


def test_edges_are_the_upper_triangle_row_by_row() -> None:
    matrix = torch.arange(16.0).reshape(4, 4)
    assert edges(matrix).tolist() == [1, 2, 3, 6, 7, 11]
    batch = torch.randn(2, 3, 5, 5)
    rows, columns = np.triu_indices(5, 1)
    assert np.array_equal(edges(batch).numpy(), batch.numpy()[..., rows, columns])


@pytest.mark.parametrize("diagonal", [1.0, 0.0])
def test_matrices_undo_edges(diagonal: float) -> None:
    values = torch.randn(2, 3, 10, dtype=torch.float64)
    full = matrices(values, diagonal)
    assert full.shape == (2, 3, 5, 5)
    assert torch.equal(full, full.mT)
    assert bool((full.diagonal(dim1=-2, dim2=-1) == diagonal).all())
    assert torch.equal(edges(full), values)


def test_gradients_flow_through_matrices() -> None:
    values = torch.randn(10, requires_grad=True)
    matrices(values).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.full((10,), 2.0))  # each edge stands at two places


@pytest.mark.parametrize("count", [0, 2, 4, 11])
def test_other_numbers_of_edges_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} edges"):
        matrices(torch.zeros(count))


def spoiled(change: str) -> np.ndarray:
    matrix = correlation(0)
    if change == "nan":
        matrix[1, 3] = matrix[3, 1] = np.nan
    elif change == "infinite":
        matrix[0, 4] = matrix[4, 0] = np.inf
    elif change == "asymmetric":
        matrix[2, 0] += 0.01
    elif change == "diagonal":
        np.fill_diagonal(matrix, 0)
    elif change == "covariance":
        matrix *= 2
    elif change == "beyond":
        matrix[0, 1] = matrix[1, 0] = 1.2
    elif change == "series":
        matrix = np.zeros((7, 5))
    return matrix


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("nan", "NaN or infinity, first at row 1, column 3: .*leave the subject or the region out"),
        ("infinite", "NaN or infinity, first at row 0, column 4"),
        ("asymmetric", r"not symmetric \(off by 0.01\)"),
        ("diagonal", "diagonal other than 1 .*give correlations"),
        ("covariance", "diagonal other than 1 .*not covariances"),
        ("beyond", r"value beyond 1 \(1.2\).*tanh"),
        ("series", "is 7x5, not a square matrix"),
    ],
)
def test_what_is_no_correlation_matrix_is_refused_by_name(change: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"rest of s1.*{sentence}"):
        check_correlation(spoiled(change), "rest of s1")


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="s1 is 5x5 but 6 regions are expected: use the same parcellation"):
        check_correlation(correlation(0), "s1", regions=6)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_symmetry_is_judged_at_the_scale_of_the_matrix(unit: float) -> None:
    matrix = correlation(0) * unit
    assert torch.equal(check_matrix(matrix, "it", kind="symmetric"), torch.from_numpy(matrix))
    matrix[0, 1] *= 1.5
    with pytest.raises(ValueError, match="it is not symmetric"):
        check_matrix(matrix, "it", kind="symmetric")


def test_half_precision_passes() -> None:
    check_correlation(correlation(0).astype(np.float16), "s1")


@pytest.mark.parametrize("name", ["rest.png", "rest.JPG", "rest.jpeg"])
def test_pictures_are_refused_even_if_they_exist(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{name} is a picture: a colour map has rounded"):
        read_matrix(tmp_path / name)


def test_matrix_files(tmp_path: Path) -> None:
    matrix = correlation(3)
    np.save(tmp_path / "a.npy", matrix)
    np.savetxt(tmp_path / "a.txt", matrix)
    np.savetxt(tmp_path / "a.csv", matrix, delimiter=",")
    for suffix in ("npy", "txt", "csv"):
        assert np.allclose(read_matrix(tmp_path / f"a.{suffix}", regions=5), matrix, atol=1e-12)
    np.save(tmp_path / "b.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"b\.npy"):
        read_matrix(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", spoiled("nan"))
    with pytest.raises(ValueError, match=r"c\.npy has NaN.*row 1"):
        read_matrix(tmp_path / "c.npy")


def test_join_is_by_id_and_not_by_position() -> None:
    joined = pairs(IDS)
    assert joined.subjects == tuple(sorted(IDS))
    for i, subject in enumerate(joined.subjects):
        for side, offset in (("source", 0), ("target", 1000)):
            truth = edges(torch.from_numpy(correlation(offset + int(subject[1:])))).float()
            assert torch.equal(joined[i][side], truth)


def test_batches_are_rows_of_both_sides() -> None:
    joined = pairs(IDS)
    batch = joined.batch([3, 1, 3])
    assert torch.equal(batch["source"], torch.stack([joined[i]["source"] for i in (3, 1, 3)]))
    assert torch.equal(batch["target"], torch.stack([joined[i]["target"] for i in (3, 1, 3)]))
    assert torch.equal(joined.batch(torch.tensor([2]))["source"][0], joined.source[2])


def test_missing_partner_is_refused_by_name_or_left_out() -> None:
    source, target = {"s1": correlation(1), "s2": correlation(2)}, {"s2": correlation(2)}
    with pytest.raises(ValueError, match=r"Subject s1 has no motor matrix.*strict=False"):
        ConnectomePairs.join(source, target, REGIONS, target_name="motor")
    with pytest.raises(ValueError, match="Subject s1 has no rest matrix"):
        ConnectomePairs.join(target, source, REGIONS, source_name="rest")
    assert ConnectomePairs.join(source, target, REGIONS, strict=False).subjects == ("s2",)
    with pytest.raises(ValueError, match="No subject has both"):
        ConnectomePairs.join({"s1": correlation(1)}, {"s2": correlation(2)}, REGIONS, strict=False)


def test_a_bad_matrix_is_refused_with_state_and_subject() -> None:
    source = {"s1": correlation(1), "s2": spoiled("asymmetric")}
    with pytest.raises(ValueError, match="rest matrix of subject s2 is not symmetric"):
        ConnectomePairs.join(source, {s: correlation(0) for s in source}, REGIONS, source_name="rest")


def test_pairs_refuse_wrong_shapes_and_repeated_subjects() -> None:
    good = torch.zeros(2, 10)
    with pytest.raises(ValueError, match=r"target is \(2, 9\)"):
        ConnectomePairs(good, torch.zeros(2, 9), ("a", "b"), REGIONS)
    with pytest.raises(ValueError, match="Subject ids must be unique, and a stands twice"):
        ConnectomePairs(good, good, ("a", "a"), REGIONS)
    with pytest.raises(ValueError, match=r"target is \(2, 10\); its subjects and regions make \(2, 3\)"):
        ConnectomePairs(good, good, ("a", "b"), REGIONS, target_regions=Regions(tuple("abc"), ("x",) * 3))
    with pytest.raises(ValueError, match=r"target is \(2, 3\); .* of different parcellations, pass target_regions"):
        ConnectomePairs(good, torch.zeros(2, 3), ("a", "b"), REGIONS)


def test_ids_that_are_not_sorted_keep_their_order() -> None:
    """Rows are found by their id whatever the order, and the split is the same people."""
    joined = pairs(IDS)
    order = list(range(len(IDS)))[::-1]
    turned = ConnectomePairs(
        joined.source[order], joined.target[order], tuple(joined.subjects[i] for i in order), REGIONS
    )
    assert turned.subjects == joined.subjects[::-1]
    assert torch.equal(turned[0]["source"], joined[-1]["source"])
    assert set(turned.split(6, seed=1)[1].subjects) == set(joined.split(6, seed=1)[1].subjects)
    for (_, one), (_, other) in zip(turned.folds(4, 0), joined.folds(4, 0), strict=True):
        assert set(one.subjects) == set(other.subjects)
        assert one.subjects == tuple(subject for subject in turned.subjects if subject in one.subjects)


def test_two_parcellations_and_two_kinds(tmp_path: Path) -> None:
    """Counts of fibres between 4 regions to correlations between 5: other widths, no unit diagonal."""
    counts = {}
    for i in range(6):
        values = np.random.default_rng(i).integers(0, 900, (4, 4)).astype(float)
        counts[i] = values + values.T
    atlas = Regions(tuple("wxyz"), ("n",) * 4)
    with pytest.raises(ValueError, match="diagonal other than 1"):
        ConnectomePairs.join(counts, counts, atlas)
    both = ConnectomePairs.join(counts, counts, atlas, kind="symmetric")
    rows, columns = np.triu_indices(4, 1)
    assert both.source[2].tolist() == counts[2][rows, columns].tolist()
    sides = ConnectomePairs(both.source, pairs(IDS[:6]).target, both.subjects, atlas, target_regions=REGIONS)
    assert sides.source.shape == (6, 6)
    assert sides.target.shape == (6, 10)
    train, test = sides.split(2, 0)
    assert (train.target_regions, test.regions) == (REGIONS, atlas)
    counts[1][0, 2] += 1
    with pytest.raises(ValueError, match="matrix of subject 1 is not symmetric"):
        ConnectomePairs.join(counts, counts, atlas, kind="symmetric")
    with pytest.raises(ValueError, match="There is no kind 'any'"):
        ConnectomePairs.join(counts, counts, atlas, kind="any")  # type: ignore[arg-type]
    np.savetxt(tmp_path / "c.txt", counts[3])
    assert torch.equal(read_matrix(tmp_path / "c.txt", 4, kind="symmetric"), torch.from_numpy(counts[3]))


def test_names_in_a_matrix_file_are_compared(tmp_path: Path) -> None:
    import pandas as pd

    matrix, names = correlation(4), list("abcde")
    frame = pd.DataFrame(matrix, names, names)
    frame.to_csv(tmp_path / "named.csv")
    frame[list("cabed")].to_csv(tmp_path / "permuted.csv")
    frame.to_csv(tmp_path / "header.tsv", sep="\t", index=False)
    pd.DataFrame(matrix).to_csv(tmp_path / "counted.csv")
    for file in ("named.csv", "permuted.csv", "header.tsv", "counted.csv"):
        assert np.allclose(read_matrix(tmp_path / file, 5), matrix, atol=1e-12), file
        assert np.allclose(read_matrix(tmp_path / file), matrix, atol=1e-12), file
    frame.loc[list("dbaec"), list("cabed")].to_csv(tmp_path / "both.csv")
    frame[list("cabed")].loc[list("cabed")].to_csv(tmp_path / "no_index.csv", index=False)
    regions = Regions(tuple(names), ("n",) * 5)
    for file in ("named.csv", "permuted.csv", "both.csv", "no_index.csv", "counted.csv"):
        assert np.allclose(read_matrix(tmp_path / file, regions), matrix, atol=1e-12), file
    with pytest.raises(ValueError, match=r"named\.csv names its regions otherwise: it has 5, 'a' among them"):
        read_matrix(tmp_path / "named.csv", Regions(tuple("vwxyz"), ("n",) * 5))
    frame.set_axis(list("abcdx"), axis=0).to_csv(tmp_path / "other.csv")
    with pytest.raises(ValueError, match=r"other\.csv names its rows otherwise than its columns \('x'\)"):
        read_matrix(tmp_path / "other.csv")
    (tmp_path / "c.pconn.nii").touch()
    with pytest.raises(ValueError, match=r"c\.pconn\.nii is an image of NIfTI or CIFTI: write its matrix as \.npy"):
        read_matrix(tmp_path / "c.pconn.nii")


def test_split_shares_no_subject_and_loses_none() -> None:
    train, test = pairs(IDS).split(6, seed=0)
    assert len(test) == 6
    assert not set(train.subjects) & set(test.subjects)
    assert sorted(train.subjects + test.subjects) == sorted(IDS)
    whole = pairs(IDS)
    for part in (train, test):
        for i, subject in enumerate(part.subjects):
            assert torch.equal(part.target[i], whole.target[whole.subjects.index(subject)])


def test_split_is_a_function_of_ids_and_seed() -> None:
    first = pairs(IDS).split(6, seed=1)[1].subjects
    assert first == pairs(IDS[::-1]).split(6, seed=1)[1].subjects
    assert first != pairs(IDS).split(6, seed=2)[1].subjects
    assert first == ("s13", "s14", "s15", "s16", "s17", "s6")  # the same on every machine, for ever


@pytest.mark.parametrize("size", [0, 20, 21])
def test_empty_sides_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="leaves one side empty"):
        pairs(IDS).split(size, seed=0)


def test_folds_test_everybody_once() -> None:
    folds = pairs(IDS).folds(3, seed=0)
    tested = [subject for _, test in folds for subject in test.subjects]
    assert sorted(tested) == sorted(IDS)
    assert {len(test) for _, test in folds} == {6, 7}
    for train, test in folds:
        assert set(train.subjects) == set(IDS) - set(test.subjects)
    with pytest.raises(ValueError, match="k=21 folds of 20 subjects"):
        pairs(IDS).folds(21, seed=0)


def test_network_order_groups_networks() -> None:
    order = REGIONS.order()
    assert order.tolist() == [0, 2, 1, 4, 3]
    assert [REGIONS.networks[i] for i in order] == ["x", "x", "y", "y", "z"]


@pytest.mark.parametrize(
    ("networks", "coordinates", "sentence"),
    [(("x",), None, "2 region names but 1 networks"), (("x", "y"), torch.zeros(2, 2), r"must be \(2, 3\)")],
)
def test_regions_must_fit(networks: tuple[str, ...], coordinates: Tensor | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Regions(("a", "b"), networks, coordinates)
