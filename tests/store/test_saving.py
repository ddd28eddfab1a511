"""Saving and loading: whole or not at all, nothing executable, a model card, the Hub's conventions."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, Self

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub.errors import EntryNotFoundError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from mmlab.card import Card
from mmlab.method import Batch, Method
from mmlab.store.model_card import MARK
from mmlab.store.weights import FILE, load_weights, save_weights, saved_facts


class Toy(Method):
    """A toy.

    Args:
        width: Number of values.
        names: Anything plain.
    """

    card: ClassVar[Card] = Card("Toy", "toys", "toy2020", "Plays.", inputs=("x",))

    def __init__(self, width: int = 3, names: Any = ("a", "b")) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    @classmethod
    def demo(cls, seed: int = 0) -> tuple[Self, Batch]:
        torch.manual_seed(seed)
        return cls(), {"x": torch.randn(4, 3)}


class Tied(Toy):
    def __init__(self, width: int = 3) -> None:
        super().__init__(width)
        self.other = nn.Linear(width, width, bias=False)
        self.other.weight = self.linear.weight


class Other(Toy):
    pass


def _same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first
    )


# --- configuration


def test_configuration_is_what_json_gives_back() -> None:
    names = ["a"]
    method = Toy(names=names)
    names.append("b")
    assert method.config == {"width": 3, "names": ["a"]}
    assert Toy(4).config == {"width": 4, "names": ["a", "b"]}


@pytest.mark.parametrize("value", [torch.ones(1), {1: 2}, {"a": {1}}, [print], torch.float32, b"x"])
def test_arguments_that_json_cannot_hold_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="argument 'names' is a"):
        Toy(names=value)


# --- round trips


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_bits_and_type_come_back(dtype: torch.dtype, tmp_path: Path) -> None:
    method = Toy().to(dtype)
    method.save_pretrained(tmp_path)
    loaded = Toy.from_pretrained(tmp_path)
    assert _same(method, loaded)
    assert not loaded.training


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    method = Tied()
    method.save_pretrained(tmp_path)
    with safe_open(tmp_path / FILE, "pt") as file:
        assert "other.weight" not in file.keys()  # noqa: SIM118
    loaded = Tied.from_pretrained(tmp_path)
    assert _same(method, loaded)
    assert loaded.other.weight is loaded.linear.weight


def test_arguments_replace_the_saved_ones(tmp_path: Path) -> None:
    Toy(names="x").save_pretrained(tmp_path)
    assert Toy.from_pretrained(tmp_path, names="y").config["names"] == "y"


# --- refusals


def _edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_a_configuration_that_the_weights_were_not_saved_with_is_refused(tmp_path: Path) -> None:
    Toy().save_pretrained(tmp_path)
    _edit(tmp_path, names="z")
    with pytest.raises(ValueError, match=r"config\.json does not say what model\.safetensors"):
        Toy.from_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    assert Toy.from_pretrained(tmp_path).config == Toy().config


def test_unknown_arguments_are_refused_not_dropped(tmp_path: Path) -> None:
    Toy().save_pretrained(tmp_path)
    save_file(Toy().state_dict(), tmp_path / FILE)  # as another program would write it
    assert _same(Toy.from_pretrained(tmp_path), Toy.from_pretrained(tmp_path))
    _edit(tmp_path, sigma=1)
    with pytest.raises(ValueError, match="does not have: sigma"):
        Toy.from_pretrained(tmp_path)


def test_a_missing_or_damaged_configuration_is_refused(tmp_path: Path) -> None:
    save_file(Toy().state_dict(), tmp_path / FILE)
    with pytest.raises(ValueError, match=r"does not say how Toy was built: it needs config\.json"):
        Toy.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"width": 3')
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        Toy.from_pretrained(tmp_path)


def test_another_methods_weights_are_refused(tmp_path: Path) -> None:
    Toy().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds the weights of Toy, not of Other"):
        Other.from_pretrained(tmp_path)
    assert isinstance(Other.from_pretrained(tmp_path, strict=False), Other)


def test_refused_weights_change_nothing(tmp_path: Path) -> None:
    method = Toy()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    file = tmp_path / FILE
    for state in (
        {"linear.weight": torch.zeros(3, 3)},
        {"linear.weight": torch.zeros(3, 3), "linear.bias": torch.zeros(4)},
        {"linear.weight": torch.zeros(3, 3), "linear.bias": torch.zeros(3, dtype=torch.int64)},
    ):
        save_file(state, file)
        with pytest.raises(ValueError, match=r"does not fit Toy"):
            load_weights(method, file)
        assert all(torch.equal(before[key], value) for key, value in method.state_dict().items())


def test_empty_tensors_are_refused_early(tmp_path: Path) -> None:
    with torch.device("meta"):
        method = Toy()
    with pytest.raises(ValueError, match="holds no data"):
        method.save_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_no_other_format_is_tried(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that would leave a mark is never opened."""
    mark = tmp_path / "mark"
    (tmp_path / name).write_bytes(f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode())
    (tmp_path / "config.json").write_text('{"width": 3}')
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        Toy.from_pretrained(tmp_path)
    (tmp_path / name).rename(tmp_path / FILE)  # nor under a false name
    with pytest.raises(ValueError, match="is damaged"):
        Toy.from_pretrained(tmp_path)
    assert not mark.exists()


# --- whole or not at all


@pytest.mark.parametrize("stage", ["weights", "card", "disk"])
def test_a_save_that_fails_leaves_the_old_one(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Toy()
    old.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    place = {
        "weights": "saving.save_weights",
        "card": "saving.model_card",
        "disk": "folders._to_disk",
    }[stage]
    monkeypatch.setattr(f"mmlab.store.{place}", fail)
    with pytest.raises(OSError, match="No space left"):
        Toy(width=4).save_pretrained(tmp_path)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert _same(Toy.from_pretrained(tmp_path), old)


def test_a_save_torn_between_two_files_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Toy().save_pretrained(tmp_path)
    replace = Path.replace

    def torn(self: Path, target: Path) -> Path:
        if self.name == "config.json":
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", torn)
    with pytest.raises(KeyboardInterrupt):
        Toy(width=4).save_pretrained(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="does not say what"):
        Toy.from_pretrained(tmp_path)


KILLED = """
import sys, torch
from mmlab.methods.bridge_matching import BridgeMatching
method = BridgeMatching(shape=(64,), width=256)
value = 0
print("ready", flush=True)
while True:
    value = 1 - value
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.fill_(value)
    method.save_pretrained(sys.argv[1])
    print("saved", flush=True)
"""


def test_a_kill_during_saving_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    from mmlab.methods.bridge_matching import BridgeMatching

    for number in range(3):
        child = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert [child.stdout.readline().strip() for _ in range(2)] == ["ready", "saved"]
        time.sleep(0.013 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        method = BridgeMatching.from_pretrained(tmp_path)
        assert len({float(value) for p in method.parameters() for value in p.detach().unique()}) == 1
        Toy().save_pretrained(tmp_path)
        assert not list(tmp_path.glob(".saving*"))  # what the killed process left is gone


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Toy().save_pretrained(tmp_path / "file")


# --- the model card


def test_the_card_says_what_is_known_and_what_is_not(tmp_path: Path) -> None:
    Toy().save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header == {"library_name": "mmlab", "tags": ["mmlab", "toys"]}
    for part in ("# Toy", "Plays.", "`toy2020`", '"width": 3', "## Intended use", "## Limits"):
        assert part in text
    assert text.count("Not stated when the weights were saved") == 3  # data, licence, results
    assert "Not for clinical use" not in text


def test_the_card_shows_results_with_their_spread() -> None:
    facts = {"data": "Mice.", "data_licence": "CC0", "metrics": {"rmse": [0.1, 0.2, 0.3], "r": 0.5}, "clinical": True}
    text = Toy().generate_model_card(**facts)
    assert "| rmse | 0.2 | 0.1 | 3 |" in text
    assert "| r | 0.5 | one run only | 1 |" in text
    assert "Mice." in text
    assert "CC0" in text
    assert "Not for clinical use" in text


def test_the_card_tells_how_to_load() -> None:
    from mmlab.methods.bridge_matching import BridgeMatching

    text = BridgeMatching(shape=(3,), width=8).generate_model_card()
    assert "from mmlab.methods.bridge_matching import BridgeMatching" in text


def test_an_unknown_field_of_the_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="metrix"):
        Toy().save_pretrained(tmp_path, model_card_kwargs={"metrix": {}})
    assert list(tmp_path.iterdir()) == []


def test_a_readme_of_ones_own_is_kept(tmp_path: Path) -> None:
    Toy().save_pretrained(tmp_path)
    Toy().save_pretrained(tmp_path, model_card_kwargs={"data": "Mice."})
    readme = tmp_path / "README.md"
    assert "Mice." in readme.read_text()
    readme.write_text(readme.read_text().replace(MARK, "").replace("Mice.", "Rats."))
    Toy().save_pretrained(tmp_path, model_card_kwargs={"data": "Mice."})
    assert "Rats." in readme.read_text()


# --- the Hub, with the network call replaced


class Api:
    """Takes the place of the Hub's interface and copies what it is given."""

    pushed: ClassVar[dict[str, Any]] = {}

    def __init__(self, **_: Any) -> None:
        pass

    def create_repo(self, repo_id: str, **_: Any) -> Any:
        return type("Repository", (), {"repo_id": f"me/{repo_id}"})

    def upload_folder(self, *, repo_id: str, folder_path: Path, **_: Any) -> str:
        Api.pushed = {"repo_id": repo_id, "files": {p.name: p.read_bytes() for p in Path(folder_path).iterdir()}}
        return "https://hub/commit"


def test_push_and_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    method = Toy(names="pushed")
    facts = {"data": "Mice."}
    assert method.save_pretrained(tmp_path / "toy", push_to_hub=True, model_card_kwargs=facts) == "https://hub/commit"
    assert Api.pushed["repo_id"] == "me/toy"
    assert set(Api.pushed["files"]) == {FILE, "config.json", "README.md"}
    assert b"Mice." in Api.pushed["files"]["README.md"]

    def download(repo: str, name: str, **_: Any) -> str:
        assert repo == "me/toy"
        (tmp_path / name).write_bytes(Api.pushed["files"][name])
        return os.fspath(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    loaded = Toy.from_pretrained("me/toy")
    assert _same(loaded, method)
    assert loaded.config == method.config


def test_a_repository_with_a_pickle_only_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo: str, name: str, **_: Any) -> str:
        asked.append(name)
        raise EntryNotFoundError(name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match="me/toy holds no"):
        Toy.from_pretrained("me/toy")
    assert asked == [FILE]
    with pytest.raises(NotImplementedError, match="from_pretrained"):
        Toy._from_pretrained(model_id="me/toy")


def test_another_configuration_is_not_accepted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave config out"):
        Toy().save_pretrained(tmp_path, config={"width": 4})


def test_facts_travel_with_the_weights(tmp_path: Path) -> None:
    save_weights(Toy(), tmp_path / FILE, {"method": "Toy"})
    assert saved_facts(tmp_path / FILE) == {"method": "Toy"}
    save_file(Toy().state_dict(), tmp_path / FILE)
    assert saved_facts(tmp_path / FILE) == {}
