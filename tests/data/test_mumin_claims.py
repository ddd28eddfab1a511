"""Claims from a table: parts that partition, verdicts that are known, and the score of knowing nothing."""

import pytest
import torch
from sklearn.metrics import f1_score

from mmlab.data.sets.mumin_claims import read_mumin_claims

HEADER = "claim,claim_en,label,train_mask,val_mask,test_mask"
ROWS = [
    "Vaccins,Vaccines,misinformation,True,False,False",
    '"Un, deux","One, two",factual,True,False,False',
    "地球,The earth,misinformation,False,True,False",
    "x,y,Misinformation,0,0,1",
    "u,v,factual,0.0,0.0,1.0",
]


def table(folder, *rows, header=HEADER):
    file = folder / "claims.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return file


def test_every_claim_is_in_one_part(tmp_path):
    parts = read_mumin_claims(table(tmp_path, *ROWS))
    assert {name: len(part.texts) for name, part in parts.items()} == {"train": 2, "validation": 1, "test": 2}
    assert parts["train"].texts == ("Vaccins", "Un, deux")
    assert parts["train"].label.tolist() == [1, 0]
    assert parts["test"].label.dtype == torch.int64
    assert read_mumin_claims(tmp_path / "claims.csv", text="claim_en")["validation"].texts == ("The earth",)


def test_the_score_of_always_saying_the_same_is_that_of_scikit_learn(tmp_path):
    rows = [f"c{k},e{k},{'factual' if k < 3 else 'misinformation'},1,0,0" for k in range(20)]
    parts = read_mumin_claims(table(tmp_path, *rows))
    label = parts["train"].label
    expected = f1_score(label, torch.ones(20), average="macro", zero_division=0)
    assert parts["train"].majority_macro_f1 == pytest.approx(expected)
    assert parts["test"].majority_macro_f1 != parts["test"].majority_macro_f1  # nan: there is no claim


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x,y,factual,True,True,False", r"row 6: the claim is in 2 parts of the split, and must be in one; 1 claims"),
        ("x,y,factual,0,0,0", "row 6: the claim is in 0 parts"),
        ("x,y,unverified,1,0,0", "row 6: the verdict 'unverified' is neither of factual and misinformation"),
        (",y,factual,1,0,0", "row 6, column 'claim' is empty"),
        ("x,y,factual,yes,0,0", "row 6, column 'train_mask' is 'yes': write true or false"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, row, said):
    with pytest.raises(ValueError, match=said):
        read_mumin_claims(table(tmp_path, *ROWS, row))


def test_columns_are_named(tmp_path):
    file = table(tmp_path, *ROWS)
    with pytest.raises(ValueError, match="no column 'claims': did you mean 'claim'"):
        read_mumin_claims(file, text="claims")
    with pytest.raises(ValueError, match="masks has 2 names"):
        read_mumin_claims(file, masks=("train_mask", "test_mask"))
    with pytest.raises(FileNotFoundError):
        read_mumin_claims(tmp_path / "none.csv")
