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
     torch.tensor(100307), np.array(100307), np.bytes_(b"100307")],
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


@pytest.mark.parametrize(("one", "other"), [("sub-1", "1"), ("001", 1), ("Sub-01", "sub-1"), ("s1", "sub_001")])
def test_ids_that_look_like_one_persons_are_said(one: object, other: object) -> None:
    with pytest.raises(ValueError, match=rf"The ids '{one}' and '{other}' look like one person's: write both alike"):
        ConnectomePairs.join({one: np.eye(3)}, {other: np.eye(3)}, REGIONS)
    with pytest.raises(ValueError, match="look like one person's"):
        ConnectomePairs.join({one: np.eye(3), "x": np.eye(3)}, {other: np.eye(3), "x": np.eye(3)}, REGIONS)
    with pytest.raises(ValueError, match=r"compare the ids, which are 'a' and 'b'\.$"):
        ConnectomePairs.join({"a": np.eye(3)}, {"b": np.eye(3)}, REGIONS)
