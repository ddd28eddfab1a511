"""One person has one id, whoever wrote it; and what looks like one is said."""

import numpy as np
import pandas as pd
import pytest
import torch

from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.subjects import by_subject, subject_id

REGIONS = Regions(tuple("abc"), ("n",) * 3)


@pytest.mark.parametrize(
    "written",
    [100307, "100307", " 100307 ", 100307.0, np.int64(100307), np.float64(100307), np.str_("100307"), b"100307",
     torch.tensor(100307), np.array(100307), np.bytes_(b"100307"), "100307.0", "\ufeff100307", "100307\u200b"],
)  # fmt: skip
def test_one_person_has_one_id(written: object) -> None:
    assert subject_id(written) == "100307"
    if isinstance(written, np.ndarray):  # no key of a mapping
        return
    pairs = ConnectomePairs.join({written: np.eye(3)}, {"100307": np.eye(3)}, REGIONS)
    assert pairs.subjects == ("100307",)
    if not isinstance(written, torch.Tensor):
        series = pd.Series([np.eye(3)], index=[written])
        assert ConnectomePairs.join(dict(series), {100307: np.eye(3)}, REGIONS).subjects == ("100307",)


@pytest.mark.parametrize("value", [None, True, "", "  ", float("nan"), 1.5, (1,), [1], float("inf")])
def test_what_names_nobody_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no subject's id: give a text or a whole number"):
        subject_id(value)


def test_two_ids_that_are_one_are_refused() -> None:
    with pytest.raises(ValueError, match="Subject 1 stands twice in rest, once as '1'"):
        by_subject({1: 0, "1": 0}, "rest")


@pytest.mark.parametrize(
    ("one", "other"), [("sub-1", "1"), ("001", 1), ("Sub-01", "sub-1"), ("s1", "sub_001"), ("１", "1")]
)
def test_ids_that_look_like_one_persons_are_said(one: object, other: object) -> None:
    with pytest.raises(ValueError, match=rf"The ids '{one}' and '{other}' look like one person's: write both alike"):
        ConnectomePairs.join({one: np.eye(3)}, {other: np.eye(3)}, REGIONS)
    with pytest.raises(ValueError, match="look like one person's"):
        ConnectomePairs.join({one: np.eye(3), "x": np.eye(3)}, {other: np.eye(3), "x": np.eye(3)}, REGIONS)
    with pytest.raises(ValueError, match=r"compare the ids, which are 'a' and 'b'\.$"):
        ConnectomePairs.join({"a": np.eye(3)}, {"b": np.eye(3)}, REGIONS)


def test_a_name_has_one_id_in_either_spelling() -> None:
    assert subject_id("Zoe\u0308") == subject_id("Zo\u00eb") == "Zo\u00eb"
    assert subject_id("007") != subject_id("7"), "leading zeros are a part of an id: the message hints at them"
    assert subject_id("7.5") == "7.5"
    assert subject_id("v1.0") == "v1.0"


def test_data_frames_are_joined_by_the_names_of_their_regions() -> None:
    rng = np.random.default_rng(0)
    matrix = np.corrcoef(rng.normal(size=(3, 9)))
    frame = pd.DataFrame(matrix, list("abc"), list("abc"))
    moved = frame.loc[list("cab"), list("bca")]
    joined = ConnectomePairs.join({1: frame}, {1: moved}, REGIONS)
    assert torch.equal(joined.source, joined.target)
    counted = ConnectomePairs.join({1: pd.DataFrame(matrix)}, {1: matrix}, REGIONS)
    assert torch.equal(counted.source, joined.source)
    other = frame.set_axis(list("abd")).set_axis(list("abd"), axis=1)
    with pytest.raises(ValueError, match="names its regions otherwise: it has 3, 'd' among them"):
        ConnectomePairs.join({1: other}, {1: frame}, REGIONS)
    with pytest.raises(ValueError, match="names its rows otherwise than its columns"):
        ConnectomePairs.join({1: frame.set_axis(list("abd"))}, {1: frame}, REGIONS)
