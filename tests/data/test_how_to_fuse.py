"""The page on fusing modalities runs, with stand-ins where data must be got."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmlab.data.sets import fastmri_knee, nlvr1
from mmlab.data.tensors import TensorData

PAGE = Path(__file__).parents[2] / "book" / "how_to" / "fuse_modalities.md"


class Slices(TensorData):
    """Stands in for the slices of a scanner."""

    @property
    def labels(self):
        return self.tensors["label"]

    def split(self, test):
        rows = torch.arange(len(self))
        return [Slices({k: v[part] for k, v in self.tensors.items()}) for part in (rows[test:], rows[:test])]


def test_every_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    label = torch.arange(20) % 2
    knees = Slices({key: torch.rand(20, 1, 16, 16, generator=rng) for key in ("magnitude", "phase")} | {"label": label})
    pairs = TensorData({"image": torch.rand(20, 3, 10, 20), "text": torch.rand(20, 30), "label": label})
    monkeypatch.setattr(fastmri_knee, "fastmri_knee", lambda **arguments: knees)
    monkeypatch.setattr(nlvr1, "nlvr1", lambda **arguments: SimpleNamespace(train=pairs, test=pairs))
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    method, test = names["train_on_knees"](steps=2, size=16)
    assert method.predict(test.tensors).shape == (4, 2)
    method, test = names["train_on_sentences"](steps=2)
    assert method.predict(test.tensors).shape == (20, 2)
    assert method.experts["joint"].encoders["text"] is not method.experts["text"].encoders["text"]
