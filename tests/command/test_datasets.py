"""Every method and every dataset by name: what is offered fits, or one sentence says why not."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from contract.small_worlds import SMALL

from mmlab.command.datasets import Data, _colour_words, datasets, load_data, worlds
from mmlab.command.estimate import plan
from mmlab.command.experiment import build, evaluate, learn
from mmlab.command.messages import sentence
from mmlab.data.files.own import FILE
from mmlab.registry import list_methods, load
from mmlab.syntax import functions

DATA = Path(__file__).parents[2] / "mmlab" / "data"


@functools.cache
def small(name: str) -> Data:
    return load_data(name, SMALL[name])


@pytest.fixture(autouse=True)
def _no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMLAB_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path / "cache"))


def test_every_module_with_a_function_of_its_name_is_offered() -> None:
    paths = [path for folder in ("sets", "worlds") for path in (DATA / folder).glob("*.py")]
    assert datasets() == sorted(path.stem for path in paths if path.stem in functions(path))
    assert {"mini_memes", "av_mnist_mini", "planar_world", "nlvr1"} <= set(datasets())
    assert set(worlds()) == {path.stem for path in paths if path.parent.name == "worlds"} & set(datasets())
    assert all(title and not title.endswith('"') for title in worlds().values())


@pytest.mark.parametrize("name", sorted(SMALL))
def test_what_needs_no_files_is_loaded(name: str) -> None:
    data = small(name)
    assert len(data.train) > 0
    assert len(data.test) > 0
    assert set(data.train[0]) == set(data.test[0])


def test_pictures_of_one_colour_become_its_word_at_each_place() -> None:
    colours = torch.tensor([[-1.0, -1, -1], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0]])
    words = _colour_words(colours[:, :, None, None].expand(-1, 3, 16, 16))
    assert words.shape == (6, 8, 8)
    assert words.flatten(1).min(1).values.tolist() == words.flatten(1).max(1).values.tolist()
    assert words[:, 0, 0].tolist() == [0, 255, 7 * 32, 7 * 4, 3, 4 * 32 + 4 * 4 + 2]


def test_what_needs_files_says_how_to_get_them() -> None:
    for name in set(datasets()) - set(SMALL):
        settings = ["estimator=empirical"] if name == "neuromatch_hcp" else []
        with pytest.raises(FileNotFoundError) as caught:
            load_data(name, settings)
        assert len(str(caught.value)) > 40


def fits(stem: str, name: str) -> str:
    """Empty if a dry run works, else why not."""
    try:
        made = build(stem, small(name))
        plan(made, small(name).train, steps=2, batch_size=4)
    except Exception as error:
        return sentence(error)
    return ""


@pytest.mark.parametrize("stem", sorted(list_methods()))
def test_every_method_has_a_dataset_without_downloads(stem: str) -> None:
    """All pairs: a dry run works, or a sentence names what does not fit."""
    refusals = {name: fits(stem, name) for name in SMALL}
    raw = {name: text for name, text in refusals.items() if " says: " in text or "MMLAB_DEBUG" in text}
    if stem == "pix2pix":  # pictures of 8 x 8 are smaller than its discriminator looks at
        raw.pop("coloured_digits_world", None)
    assert not raw
    if load(stem).loss is not load(stem).__mro__[1].loss or stem in ("i2m2",):
        assert "" in refusals.values(), refusals


def test_a_lacking_argument_is_named_with_its_choices() -> None:
    with pytest.raises(ValueError, match="needs estimator, one of empirical, ledoit_wolf: write --data-set estimator"):
        load_data("neuromatch_hcp")


@pytest.mark.parametrize("share", [float("inf"), float("nan"), -0.1, 1.5])
def test_impossible_shares_are_named(share: float) -> None:
    with pytest.raises(ValueError, match=r"test_share is .*: give a share of the items"):
        load_data("planar_world", test_share=share)


@pytest.mark.parametrize("seed", [-1, 2**63, int("9" * 23)])
def test_impossible_seeds_are_named(seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed is .*: choose a whole number from 0"):
        load_data("planar_world", seed=seed)


@pytest.mark.parametrize("kind", ["", 'kind = "correlation"\n'])
def test_a_folder_of_ones_own_is_trained_and_scored_beside_the_rivals(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    for name in ("rest", "motor"):
        np.save(tmp_path / f"{name}.npy", np.array([np.corrcoef(rng.normal(size=(7, 40))) for _ in range(24)])
                if kind else rng.normal(size=(24, 9)))  # fmt: skip
    (tmp_path / FILE).write_text(f'title = "Mine"\n{kind}[arrays]\nsource = "rest.npy"\ntarget = "motor.npy"\n')
    data = load_data(f"folder:{tmp_path}", test_share=0.25)
    method = build("flow_matching", data, ["width=8"])
    learn(method, data, steps=2, batch_size=4, progress=False)
    if not kind:
        with pytest.warns(UserWarning, match="no correlation matrices"):
            rows = evaluate(method, data, draws=1)
    else:
        rows = evaluate(method, data, draws=1)
    assert list(rows) == ["identity", "group mean", "mean shift", "shrunk shift", "ridge on PCA scores",
                          "ridge on the change", "method"]  # fmt: skip
    assert ("log_euclidean" in rows["method"]) == bool(kind)
    assert data.title == "Mine"
    with pytest.raises(ValueError, match=r"A folder has no settings: write a into its data\.toml"):
        load_data(f"folder:{tmp_path}", ["a=1"])


def test_two_widths_with_unsorted_ids_are_mapped_or_refused_with_a_remedy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = [f"person {i}" for i in range(24)]
    rest = rng.normal(size=(24, 9))
    for name, values in (("s", rest), ("t", rest @ rng.normal(size=(9, 5)))):
        rows = [",".join([people[i], *map(str, values[i])]) for i in rng.permutation(24)]
        columns = ",".join(["id", *(f"{name}{i}" for i in range(values.shape[1]))])
        (tmp_path / f"{name}.csv").write_text("\n".join([columns, *rows]))
    (tmp_path / "ids.txt").write_text("\n".join(people))
    (tmp_path / FILE).write_text('subjects = "ids.txt"\n[arrays]\nsource = "s.csv"\ntarget = "t.csv"\n')
    data = load_data(f"folder:{tmp_path}")
    for stem in ("bridge_matching", "flow_matching", "diffeo_cfm"):
        with pytest.raises(ValueError, match=r"sources of shape \(9,\) and targets of shape \(5,\): C2C maps"):
            build(stem, data)
    method = build("c2c", data, ["directions=9", "components=9"])
    learn(method, data)
    with pytest.warns(UserWarning, match="no correlation matrices"):
        rows = evaluate(method, data, draws=1)
    assert list(rows) == ["group mean", "ridge on PCA scores", "method"]
    assert rows["method"]["rmse"] < 1e-3 < rows["group mean"]["rmse"]  # the rows of a person stand together


def test_several_labels_in_an_item_are_refused_in_a_sentence() -> None:
    data = load_data("dependency_world", ("items=60",))
    label = torch.stack([data.train[n]["label"] for n in range(len(data.train))])
    several = [{**data.train[n], "label": label[[n, n]]} for n in range(len(data.train))]
    with pytest.raises(ValueError, match=r"has 2 labels in each item, of the shape \(2,\): I2M2 takes one"):
        build("i2m2", dataclasses.replace(data, train=several), ["width=8"])
