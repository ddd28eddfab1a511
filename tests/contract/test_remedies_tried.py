"""Remedies that errors name are followed, and help: each error is provoked, and then what it says is done.

``test_remedies.py`` asks that what a message names exists. Here every message that names an argument, a call or a
command has a trial, or a reason why it has none.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from test_remedies import FOUND, ROOT
from torch import nn
from typer.testing import CliRunner

from mmlab import fit
from mmlab.command.cli import app
from mmlab.compare.budget import Budgets, Spent
from mmlab.data.connectome import ConnectomePairs, Regions
from mmlab.data.files.pictures import read_picture
from mmlab.data.files.text import read_text
from mmlab.data.tensors import TensorData
from mmlab.method import Method
from mmlab.metrics.features import extract
from mmlab.metrics.frechet import frechet_distance
from mmlab.registry import load
from mmlab.train.optimisers import Optimiser

REGIONS = Regions(tuple("abc"), ("n",) * 3)
EYE = np.eye(3)


class Wide(Method):
    """A method with a network of the user's own.

    Args:
        network: From 2 to 1 numbers.
    """

    card = load("pix2pix").card

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def loss(self, batch: Any, rng: torch.Generator) -> dict[str, torch.Tensor]:
        return {"loss": (self.network(batch["x"]) - batch["y"]).square().mean()}


def rows(**changed: Any) -> TensorData:
    """Items for :class:`Wide`."""
    return TensorData({"x": torch.ones(4, 2), "y": torch.ones(4, 1)} | changed)


def train(stem: str | None = None, out: Path | None = None, data: Any = None, **more: Any) -> Any:
    """One step of a method, on its own demo."""
    torch.manual_seed(0)
    method, batch = (Wide(nn.Linear(2, 1)), rows().tensors) if stem is None else load(stem).demo()
    chosen = {"steps": 1, "batch_size": 4, "progress": False} | more
    return fit(method, TensorData(batch) if data is None else data, out=out, **chosen)


def labelled(change: Callable[[torch.Tensor], torch.Tensor]) -> TensorData:
    """The demo of late fusion with other labels."""
    _, batch = load("late_fusion").demo()
    return TensorData(batch | {"label": change(batch["label"])})


def pictures(change: Callable[[torch.Tensor], torch.Tensor]) -> TensorData:
    """The demo of pix2pix with other sources."""
    _, batch = load("pix2pix").demo()
    return TensorData(batch | {"source": change(batch["source"])})


def as_bytes(value: torch.Tensor) -> torch.Tensor:
    return (value.clamp(0, 1) * 255).byte()


def tomorrow(folder: Path) -> None:
    """A run that a later mmlab began."""
    with mock.patch("mmlab.train.checkpoint.FORMAT", 999):
        train(out=folder)


def pix(**more: Any) -> Any:
    """The loss of pix2pix on one pixel."""
    method = load("pix2pix")(shape=(1, 1, 1), width=4, halvings=0, **more)
    pixel = {"source": torch.zeros(2, 1, 1, 1), "target": torch.zeros(2, 1, 1, 1)}
    return [objective.loss(pixel, torch.Generator()) for objective in method.objectives()]


def sheet(**more: Any) -> Any:
    from mmlab.viz.connectome_sheet import connectome_sheet

    edge = torch.tensor([0.1, 0.2, 0.3])
    return connectome_sheet(edge, edge, torch.stack([edge, edge * 0.5]), REGIONS, code="p", **more)


def unet(pixels: int, **more: Any) -> Any:
    from mmlab.nn.unet import UNet

    return UNet(1, 1, 4, **more)(torch.zeros(1, 1, pixels, pixels), torch.zeros(1))


def budgets() -> Budgets:
    return Budgets("ours", {"ours": Spent(steps=2), "rival": Spent(steps=1)})


def compared(columns: Any) -> None:
    budgets().check(columns)


Step = Callable[[Path], Any]

# What the message says; how to get it; how to follow it.
TRIALS: dict[str, tuple[str, Step, Step]] = {
    "a loss without rollouts": (
        "call prepare(batch, rng)",
        lambda f: unanswered(lambda method, batch: batch),
        lambda f: unanswered(lambda method, batch: method.prepare(batch, torch.Generator())),
    ),
    "leave subjects out": (
        "pass strict=False",
        lambda f: ConnectomePairs.join({1: EYE, 2: EYE}, {1: EYE}, REGIONS),
        lambda f: ConnectomePairs.join({1: EYE, 2: EYE}, {1: EYE}, REGIONS, strict=False),
    ),
    "a picture of another format": (
        "hand over image.copy()",
        lambda f: from_ppm(f, lambda image: image),
        lambda f: from_ppm(f, lambda image: image.copy()),
    ),
    "regions of a file": (
        "Regions(names, networks)",
        lambda f: REGIONS.places(["x", "y", "z"], "it"),
        lambda f: Regions(("x", "y", "z"), ("n",) * 3).places(["x", "y", "z"], "it"),
    ),
    "a solved method that is not solved": (
        "call solve(training_pairs) first",
        lambda f: unsolved().sample(torch.ones(2, 12)),
        lambda f: unsolved().solve(pairs()).sample(torch.ones(2, 12)),
    ),
    "a solved method that is trained": (
        "call its solve(dataset) in place of fit",
        lambda f: train("c2c"),
        lambda f: unsolved().solve(pairs()),
    ),
    "a trained method that is solved": (
        "train it with mmlab.fit(method, dataset)",
        lambda f: load("pix2pix").demo()[0].solve(None),
        lambda f: train("pix2pix"),
    ),
    "a coefficient without heads": (
        "give fixed=1.0",
        lambda f: load("iemf")(shapes={"a": (2,), "b": (2,)}, unimodal_weight=0),
        lambda f: load("iemf")(shapes={"a": (2,), "b": (2,)}, unimodal_weight=0, fixed=1.0),
    ),
    "a picture of one pixel": (
        "train with adversarial_weight=0",
        lambda f: pix(),
        lambda f: pix(adversarial_weight=0),
    ),
    "too many pixels to attend": (
        "build the U-Net with attention=False",
        lambda f: unet(512, attention=True),
        lambda f: unet(64, attention=False),
    ),
    "weights of one's own": (
        "hand it in, from_pretrained(...",
        lambda f: (Wide(nn.Linear(2, 1)).save_pretrained(f), Wide.from_pretrained(f)),
        lambda f: Wide.from_pretrained(f, network=nn.Linear(2, 1)),
    ),
    "experts of one's own": (
        "build it by I2M2.of before you load that",
        lambda f: load("i2m2").of(**experts()).save_pretrained(f),
        lambda f: load("i2m2").of(**experts()).load_state_dict(load("i2m2").of(**experts()).state_dict()),
    ),
    "features of another width": (
        "change the encoder's output or width",
        lambda f: encoded(3),
        lambda f: encoded(4),
    ),
    "betas for SGD": (
        "use optimiser='adamw', or give SGD a",
        lambda f: train(optimiser="sgd", betas=(0.5, 0.9)),
        lambda f: (train(optimiser="adamw", betas=(0.5, 0.9)), train(optimiser=Optimiser("sgd", momentum=0.9))),
    ),
    "a format of tomorrow": (
        "start anew with resume=False",
        lambda f: (tomorrow(f), train(out=f)),
        lambda f: train(out=f, resume=False),
    ),
    "another run": (
        ", or resume=False",
        lambda f: (train(out=f), train(out=f, batch_size=2)),
        lambda f: (train(out=f, batch_size=2, resume=False), train(out=f / "other", batch_size=4)),
    ),
    "a run that is over": (
        "or use another `out`",
        lambda f: (train(out=f, steps=2), train(out=f, steps=1)),
        lambda f: (train(out=f, steps=3), train(out=f / "other", steps=1)),
    ),
    "trackers without a folder": (
        "set `out`",
        lambda f: train(trackers="tensorboard"),
        lambda f: train(out=f),
    ),
    "a dict as dataset": (
        "wrap it: mmlab.data.tensors.TensorData(",
        lambda f: train(data=rows().tensors),
        lambda f: train(data=TensorData(rows().tensors)),
    ),
    "pictures as bytes": (
        "for example value.float() / 255",
        lambda f: train("pix2pix", data=pictures(as_bytes)),
        lambda f: train("pix2pix", data=pictures(lambda value: as_bytes(value).float() / 255)),
    ),
    "a mask of numbers": (
        "give value.bool()",
        lambda f: train("unimodal", data=masked(lambda value: value * 2)),
        lambda f: train("unimodal", data=masked(lambda value: (value * 2).bool())),
    ),
    "tokens as floats": (
        "give value.long()",
        lambda f: train("tinyllava", data=tokens(torch.Tensor.float)),
        lambda f: train("tinyllava", data=tokens(lambda value: value.float().long())),
    ),
    "scores for labels": (
        "give value.argmax(1) if they are scores",
        lambda f: train("late_fusion", data=labelled(lambda value: torch.rand(len(value), 3))),
        lambda f: train("late_fusion", data=labelled(lambda value: torch.rand(len(value), 3).argmax(1))),
    ),
    "complex numbers": (
        "give torch.view_as_real of it",
        lambda f: train(data=rows(x=torch.ones(4, 1, dtype=torch.complex64))),
        lambda f: train(data=rows(x=torch.view_as_real(torch.ones(4, dtype=torch.complex64)))),
    ),
    "LoRA without a connector": (
        "call add_lora with train_connector=False",
        lambda f: lora(),
        lambda f: lora(train_connector=False),
    ),
    "no coordinates": (
        "use layout='circle'",
        lambda f: sheet(layout="brain"),
        lambda f: sheet(layout="circle"),
    ),
    "more steps than a rival": (
        "Budgets.columns() has it",
        lambda f: compared([]),
        lambda f: compared(list(budgets().columns())),
    ),
    "channels last": (
        "use pictures.movedim(-1, 1) if",
        lambda f: extract(torch.rand(2, 8, 8, 3), nn.Flatten()),
        lambda f: extract(torch.rand(2, 8, 8, 3).movedim(-1, 1), nn.Flatten()),
    ),
    "few points for a covariance": (
        "or rank_deficient=True to have",
        lambda f: frechet_distance(torch.eye(3), torch.eye(3)),
        lambda f: frechet_distance(torch.eye(3), torch.eye(3), rank_deficient=True),
    ),
    "text in another encoding": (
        "save it as UTF-8",
        lambda f: read_text(written(f, "latin-1")),
        lambda f: read_text(written(f, "utf-8")),
    ),
}

UNTRIED = {
    "rest_motor_world(seed=0)": "tests/compare/test_translation.py does that",
    "write it as key=value": "test_cli does that",
    "set is_decoder=True": "tests/nn/test_from_transformers.py does that",
    "give validation=, and training=": "names what is lacking",
    "give validation=, split off": "tests/compare/test_missing.py does that",
    "token=": "asks the Hub",
    "unload_lora_weights()": "tests/store tries it, with a pipeline",
    "has neither sample() nor predict()": "names what is lacking",
    "needs a demo()": "names what is lacking",
    "what has predict()": "names what is lacking",
    "does not fit {} with r={}": "names a setting of the file",
    "card = Card(...)": "test_battery tries it",
    "edges are not the upper triangle": "a formula",
    "it must have len()": "names what is lacking",
    "give value.to_dense()": "tests/train/test_door.py tries it",
    "prepare() of": "names what is wrong",
    "fit: {}.batch(indices)": "names what is wrong",
    "table()": "names what is wrong",
    "say() was given": "names what is wrong",
    "frames()": "names what is wrong",
    "VectorIndex(...).save(folder)": "tests/store/test_vector_index.py does that",
    "tokenizer.save_pretrained(folder)": "tests/viz/test_talk.py does that",
}


def from_ppm(folder: Path, change: Callable[[Any], Any]) -> Any:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(folder / "x.ppm")
    with Image.open(folder / "x.ppm") as image:
        return read_picture(change(image))


def unsolved() -> Any:
    return load("c2c")(shape=(12,), components=4, directions=2)


def pairs() -> TensorData:
    values = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    return TensorData({"source": values, "target": values.flip(1)})


def experts() -> dict[str, Any]:
    sound = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return {"shapes": {"a": (4,)}, "classes": 3, "experts": {"a": sound, "joint": sound}}


def encoded(width: int) -> Any:
    from mmlab.nn.modalities import ModalityEncoders

    return ModalityEncoders({"a": (2,)}, width=4, encoders={"a": nn.Linear(2, width)})({"a": torch.ones(3, 2)})


def masked(change: Callable[[torch.Tensor], torch.Tensor]) -> TensorData:
    _, batch = load("unimodal").demo()
    return TensorData(batch | {"image_present": change(batch["image_present"].long())})


def unanswered(change: Callable[[Any, Any], Any]) -> None:
    """GRPO's loss of prompts that have no answers yet."""
    method, batch = load("grpo").demo()
    asked = {key: batch[key] for key in ("input_ids", "length", "images", "answer")}
    method.loss(change(method, asked), torch.Generator())


def tokens(change: Callable[[torch.Tensor], torch.Tensor]) -> TensorData:
    _, batch = load("tinyllava").demo()
    return TensorData(batch | {"input_ids": change(batch["input_ids"])})


def lora(**more: Any) -> Any:
    from mmlab.train.tuning import add_lora

    model = load("tinyllava").demo()[0]
    bare = nn.Module()
    bare.language_model = model.language_model
    return add_lora(bare, 2, **more)


def written(folder: Path, encoding: str) -> Path:
    (folder / "x.txt").write_text("Zoë", encoding)
    return folder / "x.txt"


@pytest.mark.parametrize("name", TRIALS)
def test_a_remedy_helps(name: str, tmp_path: Path) -> None:
    says, fail, follow = TRIALS[name]
    plain = re.sub(r"\s+", " ", says)
    with pytest.raises((ValueError, TypeError, KeyError, RuntimeError), match=re.escape(plain)):
        fail(tmp_path)
    follow(tmp_path)


# An argument with its value, or a call.
NAMED = re.compile(r"(?:pass|give|choose|set|with|use|or|as|call|over|it|its|by)\s+(?:\w+\.)*\w+(?:=[^=\s{]|\()")


@pytest.mark.parametrize("says", [says for says, _, _ in TRIALS.values()] + list(UNTRIED))
def test_what_is_tried_is_still_said(says: str) -> None:
    texts = [re.sub(r"\s+", " ", message.text) for message in FOUND]
    source = "" if any(says.rstrip("(=") in text for text in texts) else package_text()
    assert not source or says.rstrip("(=") in source, "no message says this any more: take it off the list"


@cache
def package_text() -> str:
    """All sources, pieces of texts over several lines joined: some messages are made before they are raised."""
    whole = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "mmlab").rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", whole)


def test_every_argument_and_call_that_a_message_names_is_tried() -> None:
    tried = [says.split("(")[0].rstrip("=") for says, _, _ in TRIALS.values()]
    free = [says.rstrip("(=") for says in UNTRIED]
    lacking = [
        f"{message.place}: {text[-120:]}"
        for message in FOUND
        if NAMED.search(text := re.sub(r"\s+", " ", message.text)) and not any(s in text for s in (*tried, *free))
    ]
    assert lacking == [], "provoke each of these errors in TRIALS, and follow it; or say in UNTRIED why not"


TYPED = re.compile(r"`((?:mmlab|make|git|hf|dask|python) [^`]*)`|check: (mmlab [^)]*)\)")
COMMANDS = sorted({first or second for message in FOUND for first, second in TYPED.findall(message.text)})


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_a_message_names_runs(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command.replace("{}", "pix2pix"))
    if words[0] == "mmlab" and words[1:3] == ["data", "verify"]:
        monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
        monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))
        done = CliRunner().invoke(app, words[1:])
        assert "missing" in done.output
    elif words[0] == "mmlab":
        assert CliRunner().invoke(app, [*words[1:], "--help"]).exit_code == 0
    elif words[:4] == ["python", "-m", "pip", "install"]:
        extra = re.search(r"\[(\w+)\]", words[4])
        assert extra
        assert (
            extra[1] in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        )
    else:
        dry = {"make": ["-n"], "git": ["-h"], "hf": ["--help"], "dask": ["--help"]}[words[0]]
        if shutil.which(words[0]) is None:
            pytest.skip(f"there is no {words[0]} here")
        done = subprocess.run([*words, *dry], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "usage:" in done.stdout + done.stderr, done.stderr


def test_there_are_commands_to_try() -> None:
    assert len(COMMANDS) >= 8
