"""What the Hugging Face Hub refuses is said in a sentence with a remedy, and never that a file is missing there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from mmlab.methods.flow_matching import FlowMatching
from mmlab.store.adapters import read_adapter
from mmlab.store.hub import hub_file


def answer(kind: type[Exception]) -> Exception:
    """The error without the answer of a server that its constructor asks for."""
    error = kind.__new__(kind)
    Exception.__init__(error, "no")
    return error


FAULTS: dict[str, tuple[Exception, type[Exception], str]] = {
    "no network": (errors.LocalEntryNotFoundError("x"), FileNotFoundError, "cannot be reached: try again"),
    "offline": (errors.OfflineModeIsEnabled("x"), FileNotFoundError, "not in the cache"),
    "no repository": (answer(errors.RepositoryNotFoundError), FileNotFoundError, "no model of that name: check"),
    "gated": (answer(errors.GatedRepoError), PermissionError, "is gated: accept its terms on https://hugg"),
    "no revision": (answer(errors.RevisionNotFoundError), FileNotFoundError, "has no revision 'v9': see https://hugg"),
    "server": (answer(errors.HfHubHTTPError), FileNotFoundError, r"could not be had .*try again later"),
    "time": (TimeoutError("read timed out"), FileNotFoundError, r"could not be had .*TimeoutError.*try again later"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_hub(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    error, kind, sentence = FAULTS[fault]

    def download(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(kind, match=rf"user/model.*{sentence}") as caught:
        hub_file("user/model", "model.safetensors", revision="v9")
    assert len(str(caught.value)) < 600
    for read in (FlowMatching.from_pretrained, read_adapter):
        with pytest.raises(kind) as caught:
            read("user/model", revision="v9")  # type: ignore[operator]
        assert "no other format" not in str(caught.value)


def test_the_remedy_is_for_what_forbids_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE is set: unset HF_HUB_OFFLINE, or give the folder"):
        FlowMatching.from_pretrained("user/model", local_files_only=True, cache_dir=tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(FileNotFoundError, match="forbids the network: pass local_files_only=False"):
        FlowMatching.from_pretrained("user/model", local_files_only=True, cache_dir=tmp_path)


def test_a_path_that_is_not_there_is_no_name_of_the_hub(tmp_path: Path) -> None:
    for place in (tmp_path / "a" / "b" / "c", Path("a/b/c/d"), Path("no such folder")):
        with pytest.raises(FileNotFoundError, match=r"There is no folder .*: check the path"):
            FlowMatching.from_pretrained(place)


def test_models_are_saved_and_loaded_under_home_and_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    method = FlowMatching.demo()[0]
    for place in ("~/model", "$HOME/other", "."):
        method.save_pretrained(place)
        assert FlowMatching.from_pretrained(place).config == method.config
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"model", "other"}
    text = (tmp_path / "model" / "config.json").read_text()
    (tmp_path / "model" / "config.json").write_text(text, encoding="utf-8-sig")  # as some editors save it
    assert FlowMatching.from_pretrained("~/model").config == method.config
