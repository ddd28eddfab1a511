"""The command, as a user sees it: output, exit code, and one sentence when something is wrong."""

import csv
import json
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import mmlab
from mmlab.card import Card
from mmlab.command.cli import app, main
from mmlab.command.experiment import Data, build, datasets, load_data, load_saved
from mmlab.command.scoring import draw
from mmlab.data.tensors import TensorData
from mmlab.method import Batch, Method

ROOT = Path(__file__).parents[2]
WORLD = ["--data", "rest_motor_world", "--data-set", "subjects=24", "--data-set", "regions=12"]
SMALL = ["--set", "width=16", "--set", "depth=1"]


def _mmlab(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command in this process: exit code, standard output, standard error."""
    argv, sys.argv = sys.argv, ["mmlab", *map(str, words)]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = argv
    caught = capsys.readouterr()
    return code, caught.out, caught.err


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMLAB_DEBUG", raising=False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert _mmlab(capsys, "--version") == (0, f"mmlab {mmlab.__version__}\n", "")


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _mmlab(capsys, "methods")
    assert code == 0
    for stem, card in mmlab.list_methods().items():
        assert stem in out
        assert card.summary in out


def test_one_method(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _mmlab(capsys, "methods", "bridge_matching")
    assert code == 0
    claim = mmlab.list_methods()["bridge_matching"].claims[0]
    assert f"{claim.metric} {claim.direction} than {claim.baseline}" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["methods", "bridge_match"], "did you mean 'bridge_matching'?"),
        (["data", "where", "mnits"], "did you mean 'mnist'?"),
        (["train", "bridge_maching", *WORLD], "did you mean 'bridge_matching'?"),
        (["train", "bridge_matching", "--data", "rest_world"], "did you mean 'rest_motor_world'?"),
        (["train", "bridge_matching", *WORLD, "--set", "sigm=1"], "did you mean 'sigma'?"),
        (["train", "bridge_matching", *WORLD, "--set", "sigma"], "write it as key=value"),
        (["train", "bridge_matching", *WORLD, "--set", "width=1.5"], "width must be a whole number, not '1.5'"),
        (["train", "bridge_matching", *WORLD, "--set", "width=8", "--set", "width=9"], "width is set twice"),
        (["train", "bridge_matching", *WORLD, "--set", "sigma=-1"], "must be positive"),
        (["train", "bridge_matching", *WORLD, "--data-set", "region=3"], "did you mean 'regions'?"),
        (["train", "bridge_matching", *WORLD, "--fit", "lrr=3"], "did you mean 'lr'?"),
        (["train", "bridge_matching", *WORLD, "--fit", "steps=3"], "has no argument 'steps'"),
        (["train", "bridge_matching", *WORLD, "--tracker", "tensorbord"], "did you mean 'tensorboard'?"),
        (["train", "bridge_matching", *WORLD, "--tracker", "aim", "--dry-run"], "pip install aim"),
        (["train", "bridge_matching", *WORLD, "--steps", "0", "--dry-run"], "steps is 0; it must be a whole number"),
        (["train", "bridge_matching", *WORLD, "--fit", "accumulation=65", "--dry-run"], "accumulation is 65"),
        (["train", "bridge_matching", *WORLD, "--test-share", "0"], "leaves one side empty"),
        (["evaluate", "nowhere"], "holds no model.safetensors"),
        (["sample", "nowhere", "--out", "x.csv"], "not as .csv"),
        (["book", "serve"], "No _config.yml"),
        (["new", "Bad-Name"], "No _config.yml"),
    ],
)
def test_mistakes_get_one_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = _mmlab(capsys, *words)
    assert (code, out) == (1, "")
    assert sentence in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _mmlab(capsys, "nothing")[0] == 2
    assert _mmlab(capsys, "train", "bridge_matching")[0] == 2


def test_debug_shows_where(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DEBUG", "1")
    with pytest.raises(ValueError, match="mnist"):
        _mmlab(capsys, "data", "where", "mnits")


def test_an_unforeseen_error_names_its_kind(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmlab.data.files.registry.where", lambda name: {}[name])
    code, _, error = _mmlab(capsys, "data", "where", "mnist")
    assert (code, error) == (1, "mmlab: KeyError: 'mnist' (MMLAB_DEBUG=1 shows where)\n")


def test_data_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mnist").mkdir()
    code, out, _ = _mmlab(capsys, "data", "list")
    assert code == 0
    assert all(name in out for name in ("mnist", "hcp_rest_task30"))
    assert _mmlab(capsys, "data", "where", "mnist")[1] == f"{tmp_path / 'mnist'}\n"
    code, out, _ = _mmlab(capsys, "data", "verify", "mnist")
    assert code == 1
    assert "missing" in out
    assert _mmlab(capsys, "data", "verify")[0] == 1  # of those that are here
    code, _, error = _mmlab(capsys, "data", "fetch", "hcp_rest_task30")
    assert code == 1
    assert "cannot be downloaded" in error


def test_dry_run_trains_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = _mmlab(capsys, "train", "bridge_matching", *WORLD, *SMALL, "--steps", "10", "--dry-run")
    assert code == 0
    items = load_data("rest_motor_world", ["subjects=24", "regions=12"])
    method = build("bridge_matching", items, ["width=16", "depth=1"])
    count = sum(p.numel() for p in method.parameters())
    assert f"{count:,} ({count:,} trained)" in out
    assert "shape=[66]" in out
    assert "40.0 times through the items" in out  # 10 steps of 64 over 16 training items
    assert list(tmp_path.iterdir()) == []


def test_train_evaluate_sample(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = [
        "train",
        "bridge_matching",
        *WORLD,
        *SMALL,
        "--steps",
        "3",
        "--batch-size",
        "8",
        "--seed",
        "5",
        "--out",
        "run",
    ]
    code, out, error = _mmlab(capsys, *words)
    assert code == 0, error
    assert "mean shift" in out
    folder = tmp_path / "run" / "model"
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "model.safetensors", "split.json"}
    readme = (folder / "README.md").read_text()
    assert "rest_motor_world" in readme
    assert "16 items for training, 8 for the test" in readme
    assert (tmp_path / "run" / "history.csv").is_file()

    scores = _mmlab(capsys, "evaluate", str(folder), "--seed", "5")
    assert scores[0] == 0
    assert scores[1].strip() == out[: out.index("The method is in")].strip()  # the same split, the same draws

    code, _, _ = _mmlab(capsys, "sample", str(folder), "--draws", "2", "--set", "steps=3", "--out", "s.npz")
    assert code == 0
    with np.load("s.npz", allow_pickle=False) as file:
        assert file["samples"].shape == (2, 8, 66)
        assert np.isfinite(file["samples"]).all()
        test = load_data("rest_motor_world", ["subjects=24", "regions=12"], seed=5).test
        assert tuple(file["items"]) == test.subjects

    code, _, error = _mmlab(capsys, "evaluate", str(folder), "--data-set", "regions=14")
    assert code == 1
    assert "was trained with shape=[66]" in error
    (folder / "split.json").write_text("{}")
    code, _, error = _mmlab(capsys, "evaluate", str(folder))
    assert code == 1
    assert "split.json is damaged" in error


def test_tensorboard_gets_every_row_of_the_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = ["--steps", "5", "--batch-size", "8", "--fit", "validate_every=2", "--fit", "save_every=2", "--out", "run"]
    words += ["--tracker", "tensorboard"]
    code, _, error = _mmlab(capsys, "train", "bridge_matching", *WORLD, *SMALL, *words)
    assert code == 0, error
    events = EventAccumulator(str(tmp_path / "run" / "mmlab"))
    events.Reload()
    read = {
        (event.step, *tag.split("/", 1)): event.value
        for tag in events.Tags()["scalars"]
        for event in events.Scalars(tag)
    }
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        rows = {(int(r["step"]), r["split"], r["metric"]): float(r["value"]) for r in csv.DictReader(file)}
    assert {split for _, split, _ in rows} == {"train", "validation"}
    assert {step for step, split, _ in rows if split == "validation"} == {2, 4, 5}
    assert read == pytest.approx(rows, rel=1e-6)  # TensorBoard keeps single precision


def test_the_test_items_are_those_that_training_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--steps", "1", "--batch-size", "8", "--seed", "3", "--test-share", "0.25", "--out", "run"]
    assert _mmlab(capsys, "train", "bridge_matching", *WORLD, *SMALL, *words)[0] == 0
    _, data = load_saved(tmp_path / "run" / "model")
    trained = load_data("rest_motor_world", ["subjects=24", "regions=12"], test_share=0.25, seed=3).train
    assert len(data.test) == 6
    assert not set(data.test.subjects) & set(trained.subjects)


def test_a_dataset_that_lacks_an_input_is_refused() -> None:
    rows = [{"image": np.zeros(3)}]
    with pytest.raises(ValueError, match="bridge_matching needs source and target, but pictures gives image"):
        build("bridge_matching", Data("pictures", (), 0.5, 0, rows, rows))


def test_every_dataset_can_be_named() -> None:
    assert {"rest_motor_world", "hcp_rest_task30", "mist122_rest_pain"} <= set(datasets())
    assert "download" not in datasets()


def test_a_sampler_that_needs_more_is_refused() -> None:
    items = load_data("rest_motor_world", ["subjects=24", "regions=12"])
    method = build("bridge_matching", items, ["width=8"])
    with pytest.raises(ValueError, match="did you mean 'steps'"):
        draw(method, items.test, settings=["step=3"])
    with pytest.raises(ValueError, match="number of draws is 0"):
        draw(method, items.test, draws=0)


class Table:
    """A dataset that is no connectivity: three columns, and a batch by stacking."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"source": torch.full((4,), float(index)), "target": torch.ones(4)}


def test_other_data_are_scored_by_their_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmlab.command.scoring import evaluate

    items = Data("table", (), 0.5, 0, Table(), Table())
    method = build("bridge_matching", items, ["width=8"])
    assert method.config["shape"] == [4]
    rows = evaluate(method, items)
    assert set(rows) == {"method"}
    rng = torch.Generator().manual_seed(0)
    batch = {key: torch.stack([Table()[i][key] for i in range(9)]) for key in ("source", "target")}
    assert rows["method"]["loss"] == pytest.approx(method.loss(batch, rng)["loss"].item())


class Votes(Method):
    """A classifier for the tests; any data with ``x1`` and ``label`` will do."""

    card: ClassVar[Card] = Card("Votes", "toys", "toy2020", "Votes.", inputs=("x1", "label"))

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Linear(1, 1)

    def predict(self, batch: Batch) -> Tensor:
        return (5 * batch["x1"][:, :1] * torch.tensor([-1.0, 1.0])).softmax(1)


def test_classes_are_scored_beside_their_shares() -> None:
    from mmlab.command.scoring import evaluate

    rng = torch.Generator().manual_seed(0)
    x = torch.randn(90, 3, generator=rng)
    label = (x[:, 0] + 0.5 * torch.randn(90, generator=rng) > 0.3).long()
    rows = TensorData({"x1": x, "label": label})
    data = Data("votes", (), 0.5, 0, rows.subset(range(60)), rows.subset(range(60, 90)))
    table = evaluate(Votes(), data)
    assert list(table) == ["shares of the classes", "method"]
    probabilities = Votes().predict(data.test.tensors)
    assert table["method"]["accuracy"] == pytest.approx(float((probabilities.argmax(1) == label[60:]).double().mean()))
    each = torch.arange(30)
    assert table["method"]["log_loss"] == pytest.approx(-float(probabilities[each, label[60:]].log().mean()), rel=1e-5)
    shares = (torch.bincount(label[:60]) + 1) / 62
    assert table["shares of the classes"]["log_loss"] == pytest.approx(
        -float(shares[label[60:]].log().mean()), rel=1e-5
    )
    assert draw(Votes(), data.test).shape == (1, 30, 2)
    with pytest.raises(ValueError, match="Votes has no loss, and votes nothing to compare its answers with"):
        evaluate(Votes(), Data("votes", (), 0.5, 0, *[TensorData({"x1": x})] * 2))


def test_a_dataset_keeps_its_kind_and_its_own_split() -> None:
    data = load_data("dependency_world", ["items=40"])
    assert isinstance(data.train, TensorData)
    assert (len(data.train), len(data.test)) == (27, 13)
    joined = torch.cat([data.train.tensors["x1"], data.test.tensors["x1"]])
    assert len(joined.unique(dim=0)) == 40
    assert len(load_data("planar_world", ["points=30", "fresh=20"]).train) == 30


def test_a_method_that_is_solved(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "c2c", *WORLD, "--set", "components=5", "--set", "directions=3"]
    code, out, error = _mmlab(capsys, *words, "--dry-run")
    assert code == 0, error
    assert "0 (0 trained)" in out
    code, out, error = _mmlab(capsys, *words, "--out", "run")
    assert code == 0, error
    assert out.strip().endswith("The method is in run/model.")
    again = _mmlab(capsys, "evaluate", "run/model")[1]
    assert again.strip() == out[: out.index("The method is in")].strip()


def test_serve_shows_the_site(tmp_path: Path) -> None:
    (tmp_path / "_config.yml").write_text("title: x\n")
    site = tmp_path / "out" / "site"
    site.mkdir(parents=True)
    (site / "index.html").write_text("hello")
    command = [sys.executable, "-u", "-m", "mmlab.command.cli", "book", "serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    timer = threading.Timer(60, server.kill)
    timer.start()
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=20) as page:
            assert page.read() == b"hello"
    finally:
        timer.cancel()
        server.kill()
        server.wait()
        server.stdout.close()


def test_module_and_console_script_are_the_same() -> None:
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"mmlab": "mmlab.cli:main"}
    assert callable(app)


# --- arguments as text


def _function(
    count: int = 1,
    rate: float = 0.1,
    on: bool = False,
    kind: str = "a",
    sizes: tuple[int, ...] = (),
    extra: int | None = None,
) -> None: ...


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("count=3", 3),
        ("rate=3", 3.0),
        ("rate=1e-3", 1e-3),
        ("on=true", True),
        ("on=False", False),
        ("kind=3", "3"),
        ("kind=a=b", "a=b"),
        ("sizes=1,2", [1, 2]),
        ("sizes=[1, 2]", [1, 2]),
        ("sizes=", []),
        ("extra=none", None),
        ("extra=4", 4),
    ],
)
def test_values_get_their_declared_type(text: str, value: Any) -> None:
    from mmlab.command.arguments import parse

    (parsed,) = parse(_function, [text]).values()
    assert (parsed, type(parsed)) == (value, type(value))
    json.dumps(parsed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("count=true", "count must be a whole number, not 'true'"),
        ("on=1", "on must be true or false, not '1'"),
        ("rate=fast", "rate must be a number, not 'fast'"),
        ("sizes=1,x", "sizes must be a list, each item a whole number, not '1,x'"),
        ("extra=x", "extra must be a whole number or none, not 'x'"),
        ("cuont=1", "did you mean 'count'"),
    ],
)
def test_values_of_another_type_are_refused(text: str, message: str) -> None:
    from mmlab.command.arguments import parse

    with pytest.raises(ValueError, match=message.replace("?", ".")):
        parse(_function, [text])


def test_arguments_of_fit_can_be_written_as_text() -> None:
    from mmlab.command.arguments import parse

    settings = ["lr=3e-4", "trackers=tensorboard", "clip_norm=none", "schedule=cosine", "betas=0.8,0.9", "resume=false"]
    expected = {
        "trackers": ["tensorboard"],
        "clip_norm": None,
        "schedule": "cosine",
        "betas": [0.8, 0.9],
        "resume": False,
    }
    assert parse(mmlab.fit, settings) == {"lr": 3e-4, **expected}
    assert parse(mmlab.fit, ['lr={"generator": 0.1}']) == {"lr": {"generator": 0.1}}
    with pytest.raises(ValueError, match="lr must be a number or an object"):
        parse(mmlab.fit, ["lr=fast"])
