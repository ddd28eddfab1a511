"""The table of what was measured."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmlab.train import History, Row


def example() -> History:
    history = History()
    history.add(1, "train", {"loss": 0.1, "error": 3.0})
    history.add(1, "validation", {"loss": float("nan")})
    history.add(2, "train", {"loss": 1 / 3})
    return history


def test_rows_are_sorted_and_tidy():
    history = example()
    assert [row[:3] for row in history.rows] == [
        (1, "train", "error"),
        (1, "train", "loss"),
        (1, "validation", "loss"),
        (2, "train", "loss"),
    ]
    assert list(history.frame().columns) == ["step", "split", "metric", "value"]
    assert history.frame()["step"].tolist() == [1, 1, 1, 2]
    assert len(history) == 4
    assert history.rows[0] == Row(1, "train", "error", 3.0)


def test_csv_keeps_the_bits(tmp_path):
    example().to_csv(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["step,split,metric,value", "1,train,error,3.0", "1,train,loss,0.1", "1,validation,loss,nan",
                     "2,train,loss,0.3333333333333333"]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_look_up():
    history = example()
    assert history.values("loss") == [0.1, 1 / 3]
    assert history.last("loss") == 1 / 3
    assert history.measured(1, "validation")
    assert not history.measured(2, "validation")
    with pytest.raises(KeyError, match=r"no 'f1' for split 'train'.*loss \(train\)"):
        history.values("f1")
    assert history == example()
    assert history != History()
    assert "train loss 0.1 → 0.3333" in repr(history)


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from training_toys import Adversarial, Augmented, data, make
from mmlab import fit
fit(make(Adversarial), Augmented(data()), steps=12, batch_size=7, lr=0.01, out=Path(sys.argv[2]), validation=data(9),
    validate_every=5, ema_decay=0.9, progress=False)
print(hash("order"))
"""


def test_hash_seed_does_not_matter(tmp_path):
    here = str(Path(__file__).parent)
    hashes, files = [], []
    for hash_seed in ("1", "2"):
        out = tmp_path / hash_seed
        command = [sys.executable, "-c", SCRIPT, here, str(out)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        hashes.append(run.stdout)
        files.append((out / "history.csv").read_bytes())
        model = next((out / "checkpoint").glob("step-*"))
        files[-1] += b"".join(path.read_bytes() for path in sorted(model.iterdir()))
    assert hashes[0] != hashes[1]
    assert files[0] == files[1]
