"""Any method on any dataset that fits it: all pairs of a method and a dataset that needs no download are tried."""

import functools
import inspect

import pytest
import torch
from contract.small_worlds import SMALL

from mmlab.command.datasets import Data, load_data, worlds
from mmlab.command.experiment import build
from mmlab.data.batches import read
from mmlab.registry import list_methods, load

EMBEDDED = sorted(worlds())


@functools.cache
def data(name: str) -> Data:
    return load_data(name, SMALL.get(name, ()))


@pytest.fixture(autouse=True, scope="module")
def _loaded() -> None:
    for name in EMBEDDED:
        data(name)


def small(stem: str) -> list[str]:
    """Settings that keep a method small enough to be built for every dataset."""
    taken = inspect.signature(load(stem).__init__).parameters
    return [f"{name}={value}" for name, value in {"width": 8, "depth": 1}.items() if name in taken]


def fits(stem: str, name: str) -> bool:
    """Whether a method is built and takes a batch; if not, it must be refused in one sentence."""
    try:
        take(stem, name)
    except ValueError as error:
        said = str(error)
        if "\n" in said or not said.endswith("."):
            raise
        return False
    return True


def take(stem: str, name: str) -> None:
    """Build a method for a dataset, and solve it or hand it a batch, as ``fit`` does."""
    items = data(name).train
    method = build(stem, data(name), small(stem))
    batch = read(items, torch.arange(8))
    if method.is_solved():
        assert method.solve([items[i] for i in range(min(40, len(items)))]) is method
    for objective in method.objectives() if method.is_trained() else []:
        rng = torch.Generator().manual_seed(0)
        assert objective.loss(method.prepare(batch, rng), rng)["loss"].isfinite()


@pytest.mark.parametrize("stem", list_methods())
def test_each_method_takes_or_refuses_each_dataset(stem: str) -> None:
    fitting = [name for name in EMBEDDED if fits(stem, name)]  # all are tried
    assert fitting, f"{stem} fits no dataset that needs no download"


def test_modalities_are_those_of_the_dataset() -> None:
    method = build("late_fusion", data("dependency_world"), ["width=8"])
    assert set(method.config["shapes"]) == {"x1", "x2"}
    with pytest.raises(ValueError, match="late_fusion needs label, but planar_world gives source, target"):
        build("late_fusion", data("planar_world"))
    with pytest.raises(ValueError, match="ddbm needs source and target"):
        build("ddbm", data("omics_world"))
