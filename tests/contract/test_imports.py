"""Importing mmlab costs nothing, and every module can be imported first."""

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmlab

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
    "huggingface_hub",
    "accelerate",
    "nilearn",
    "rich",
}
MILLISECONDS = 150


def _python(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    return done.stdout


def test_importing_mmlab_loads_nothing_heavy() -> None:
    loaded = set(
        json.loads(_python("import json, sys, mmlab; print(json.dumps([m.split('.')[0] for m in sys.modules]))"))
    )
    assert not loaded & HEAVY


def test_importing_mmlab_is_quick() -> None:
    # The clock starts inside, so the interpreter's own start is not in it; the best of several, on a busy machine.
    program = "import time; t = time.perf_counter(); import mmlab; print(time.perf_counter() - t)"
    assert 1000 * min(float(_python(program)) for _ in range(5)) < MILLISECONDS


def test_the_command_starts_without_torch() -> None:
    program = "import json, sys, mmlab.command.cli; print(json.dumps([m.split('.')[0] for m in sys.modules]))"
    assert not set(json.loads(_python(program))) & (HEAVY - {"rich"})


def test_every_name_of_the_package_is_there() -> None:
    for name in mmlab.__all__:
        assert getattr(mmlab, name) is not None
    assert dir(mmlab) == mmlab.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmlab.nothing  # noqa: B018


def test_the_cards_can_be_listed_before_and_after_a_method_is_imported() -> None:
    program = (
        "import sys, mmlab; before = mmlab.list_methods(); assert 'torch' not in sys.modules\n"
        "from mmlab.methods.bridge_matching import BridgeMatching\n"
        "assert mmlab.list_methods() == before and mmlab.methods.bridge_matching.BridgeMatching is BridgeMatching"
    )
    _python(program)


def test_every_module_can_be_imported_first() -> None:
    """Each is imported while no other module of mmlab is: a circle of imports breaks when it is entered elsewhere."""
    modules = [info.name for info in pkgutil.walk_packages([str(ROOT / "mmlab")], "mmlab.")]
    assert {"mmlab.method", "mmlab.methods.bridge_matching", "mmlab.train.fit"} <= set(modules)
    program = f"""
import importlib, sys, traceback
failed = []
for module in {modules!r}:
    for name in [name for name in sys.modules if name.split(".")[0] == "mmlab"]:
        del sys.modules[name]
    try:
        importlib.import_module(module)
    except BaseException:
        traceback.print_exc()
        failed.append(module)
print(failed)
"""
    assert _python(program).strip().splitlines()[-1] == "[]"
