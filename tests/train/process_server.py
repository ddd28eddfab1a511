"""Runs fit in one and in several processes that talk over gloo, started with the variables that torchrun sets.

It imports torch once and forks the processes of each case; what they leave lies in FOLDER, and their exit codes are
printed as JSON. Usage: process_server.py FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from fault_server import fork
from training_toys import Adversarial, Augmented, Regression, data, make

from mmlab import fit

KINDS = {"one": Regression, "two": Adversarial}


def train(kind: str, out: Path, steps: int = 10, stop: int | None = None, bad: int | None = None, **changed) -> None:
    out.mkdir(parents=True, exist_ok=True)
    method, tensors = make(KINDS[kind]), data()
    if stop is not None and os.environ.get("RANK", "0") == "0":  # only one of the processes hears the signal
        method.signal_at = (stop, signal.SIGTERM)
    if bad is not None:
        tensors.tensors["y"][bad] = float("nan")
    arguments = {"batch_size": 9, "lr": 0.05, "seed": 3, "accumulation": 2, "ema_decay": 0.9, "save_every": 1}
    arguments |= {"validation": data(11, seed=1), "validate_every": 4, "progress": False} | changed
    try:
        fit(method, Augmented(tensors), steps=steps, out=out, **arguments)
    except (ValueError, FloatingPointError) as error:
        (out / f"refusal {os.environ.get('RANK', '0')}").write_text(str(error))
        raise SystemExit(3) from None


def shard() -> None:
    """Turn on FSDP as Accelerate's configuration does.

    Accelerate has it for accelerators only, and on a CPU it would quietly fall back to plain data parallelism. So this
    process says that it has one; sharding, gathering and the collectives are the real ones, over gloo.
    """
    os.environ.update({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false"})
    os.environ.update({"FSDP_AUTO_WRAP_POLICY": "SIZE_BASED_WRAP", "FSDP_MIN_NUM_PARAMS": "10"})
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU


def together(processes: int, kind: str, out: Path, sharded: bool = False, **arguments) -> list[int]:
    """Exit codes of that many processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        if processes > 1:
            os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)})
            os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            os.environ.update({"LOCAL_WORLD_SIZE": str(processes), "TORCH_CPP_LOG_LEVEL": "ERROR"})
        if sharded:
            shard()
        train(kind, out, **arguments)

    children = [fork(lambda rank=rank: work(rank)) for rank in range(processes)]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    fit(make(), data(), steps=1, progress=False)  # imports what there is to import
    AcceleratorState._reset_state(reset_partial_state=True)  # the forked processes are to find each other
    codes = {}
    for name in KINDS:
        codes[f"{name}: 1"] = together(1, name, place / f"{name} 1")
        codes[f"{name}: 2"] = together(2, name, place / f"{name} 2")
    codes["stop 2"] = together(2, "one", place / "2 then 1", stop=5)
    shutil.copytree(place / "2 then 1", place / "2 then sharded")
    codes["then 1"] = together(1, "one", place / "2 then 1")
    codes["stop 1"] = together(1, "two", place / "1 then 2", stop=20)
    codes["then 2"] = together(2, "two", place / "1 then 2")
    codes["then 3"] = together(3, "two", place / "1 then 2", steps=12)
    codes["nan"] = together(2, "one", place / "nan", bad=17)
    codes["sharded"] = together(2, "one", place / "sharded", sharded=True)
    codes["sharded, stop"] = together(2, "one", place / "sharded then 1", sharded=True, stop=5)
    codes["sharded, then 1"] = together(1, "one", place / "sharded then 1")
    codes["2, then sharded"] = together(2, "one", place / "2 then sharded", sharded=True)
    codes["sharded, two"] = together(2, "two", place / "sharded two", sharded=True)
    print(json.dumps(codes))
