"""What a loss reaches besides weights and files: attributes, hooks, values in memory. Another one trains anew."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from train.training_toys import Regression

from mmlab.data.tensors import TensorData
from mmlab.nn.from_diffusers import autoencoder
from mmlab.publish.run.key import PACKAGE
from mmlab.train.code import code_of
from mmlab.train.once import trained_once


class Scaled(Regression):
    """Its loss depends on what is set on it."""

    def loss(self, batch, rng):
        return {"loss": super().loss(batch, rng)["loss"] * float(self.__dict__["scale"]([1.0])[0])}


class Factor:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, values: list[float]) -> list[float]:
        return [self.factor * value for value in values]


def _with_buffer(method: Regression, factor: float) -> None:
    method.net.register_buffer("factor", torch.tensor(factor), persistent=False)


def _precision(method: Regression, factor: float) -> None:
    torch.set_float32_matmul_precision("highest" if factor == 1 else "high")


WAYS: dict[str, Callable[[Regression, float], object]] = {
    "an attribute": lambda method, factor: setattr(method, "factor", factor),
    "a tensor": lambda method, factor: setattr(method, "factor", torch.tensor(factor)),
    "an array": lambda method, factor: setattr(method, "factor", np.array([factor])),
    "an object": lambda method, factor: setattr(method, "scale", Factor(factor)),
    "a closure": lambda method, factor: setattr(method, "scale", lambda values: [factor * v for v in values]),
    "a partial": lambda method, factor: setattr(method, "scale", partial(operator.mul, int(factor))),
    "a buffer that is not saved": _with_buffer,
    "a forward hook": lambda method, factor: method.net.register_forward_hook(lambda m, i, out: factor * out),
    "a hook on a gradient": lambda method, factor: method.net[0].weight.register_hook(lambda g: factor * g),
    "the precision of products": _precision,
    "numbers below the smallest": lambda method, factor: torch.set_flush_denormal(factor != 1),
    "a hook on all modules": lambda method, factor: _hook(factor),
    "an automatic precision": lambda method, factor: torch.set_autocast_enabled("cpu", factor != 1),
}


HOOKS: list = []


def _hook(factor: float) -> None:
    while HOOKS:
        HOOKS.pop().remove()
    HOOKS.append(register_module_forward_hook(lambda module, given, made: factor * made))


@pytest.mark.parametrize("way", WAYS)
def test_another_state_trains_anew_and_the_same_is_loaded(way: str, tmp_path: Path) -> None:
    said: list[str] = []
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    before = torch.get_float32_matmul_precision()
    try:
        for factor in (1.0, 1.0, 2.0):
            torch.manual_seed(0)
            method = Scaled()
            method.__dict__["scale"] = Factor(1.0)
            WAYS[way](method, factor)
            data = TensorData({"x": x, "y": x.sum(1, keepdim=True)})
            trained_once(method, data, folder=tmp_path, report=said.append, steps=2, batch_size=8, progress=False)
    finally:
        torch.set_float32_matmul_precision(before)
        torch.set_flush_denormal(False)
        torch.set_autocast_enabled("cpu", False)
        while HOOKS:
            HOOKS.pop().remove()
    assert ["loaded" in line for line in said] == [False, True, False]
    assert isinstance(method.net, nn.Sequential)


def test_the_order_in_which_diffusers_notes_its_defaults_does_not_count() -> None:
    """It comes from a set, so every process has another one."""
    vae = autoencoder({"block_out_channels": [8], "norm_num_groups": 4})
    before = code_of([], PACKAGE, vae.modules())
    held = dict(vae._internal_dict)
    held["_use_default_values"] = held["_use_default_values"][::-1]
    assert len(held["_use_default_values"]) > 1
    frozen = type(vae._internal_dict)
    vae._internal_dict = frozen(held)
    assert code_of([], PACKAGE, vae.modules()) == before
    vae._internal_dict = frozen(held | {"scaling_factor": 7.0})
    assert code_of([], PACKAGE, vae.modules()) != before
