"""A text in a table for spreadsheets stays a text, and comes back."""

from __future__ import annotations

import csv
import io
import math

from hypothesis import given
from hypothesis import strategies as st

from mmlab.store.sheets import as_csv, from_cell, to_cell
from mmlab.train.history import History


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back(text):
    line = as_csv(["a"], [{"a": text}, {"a": None}])
    row = next(csv.DictReader(io.StringIO(line, newline="")), {"a": ""})  # an empty line is no row
    assert from_cell(row["a"]) == text
    assert not row["a"].lstrip().startswith(("=", "+", "-", "@"))


def test_numbers_are_numbers():
    assert [to_cell(value) for value in (-1, -0.5, None)] == [-1, -0.5, ""]


def test_no_name_of_a_metric_is_a_formula():
    history = History()
    history.add(1, "train", {"=1+1": math.nan, "loss": 0.1})
    assert history.csv() == "step,split,metric,value\n1,train,'=1+1,nan\n1,train,loss,0.1\n"
