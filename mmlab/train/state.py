"""What a checkpoint holds of a run, and how a run takes it up again: all is compared first, then all is loaded."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmlab.method import Method
from mmlab.store.weights import safetensors_chunks
from mmlab.train.checkpoint import Checkpoint, Groups
from mmlab.train.history import History

if TYPE_CHECKING:
    from mmlab.train.run import Run

__all__ = ["about", "flat", "identity", "restore", "tensors"]


def tensors(run: Run) -> Groups:
    """Weights, optimisers, average and history as named tensors; shards are gathered, so all processes call this."""
    groups: Groups = {"model": {name: _whole(tensor) for name, tensor in run.method.state_dict().items()}}
    groups["optimizer"] = {
        f"{number}.{name}.{key}": _whole(value)
        for number, learner in enumerate(run.learners)
        for name, parameter in zip(learner.names, learner.parameters, strict=True)
        for key, value in learner.optimizer.state.get(parameter, {}).items()
    }
    if run.average is not None:
        groups["average"] = {name: _whole(tensor) for name, tensor in run.average.tensors.items()}
    groups["history"] = {}
    for number, (steps, values) in enumerate(run.history.series.values()):
        groups["history"][f"{number}.steps"] = torch.from_numpy(np.array(steps, dtype=np.int64))
        groups["history"][f"{number}.values"] = torch.from_numpy(np.array(values, dtype=np.float64))
    return groups


def about(run: Run) -> dict[str, Any]:
    """Whose checkpoint it is, made with what, and how far the run was."""
    return {
        "step": run.step,
        "pieces": run.order.pieces,
        "history": [list(key) for key in run.history.series],
        "scaler": None if run.accelerator.scaler is None else run.accelerator.scaler.state_dict(),
        "identity": run.identity,
    }


def restore(run: Run, checkpoint: Checkpoint) -> None:
    """Take up a run where a checkpoint left it.

    Raises:
        ValueError: If the checkpoint belongs to another run; the message names the field, and nothing was changed.
    """
    assert run.store is not None
    facts, where = checkpoint.about, f"The checkpoint in {run.store.folder}"
    ours, theirs = flat(run.identity), flat(facts["identity"])
    for field in dict.fromkeys([*ours, *theirs]):  # the method first
        if ours.get(field) != theirs.get(field):
            raise ValueError(
                f"{where} has {field} = {theirs.get(field)!r}, this run has {ours.get(field)!r}: "
                "use the same, another `out`, or resume=False."
            )
    if facts["step"] > run.settings.steps:
        raise ValueError(
            f"{where} is at step {facts['step']}, beyond steps = {run.settings.steps}: "
            "ask for more, or use another `out`."
        )
    pieces = _pieces(run, facts, where)
    groups = checkpoint.tensors
    expected = tensors(run)
    for group in ("model", "average"):
        _compare(where, group, expected.get(group, {}), groups.get(group, {}))
    like = _moments(run)
    stems = {name.rpartition(".")[0] for name in groups["optimizer"]}  # parameters that have had a gradient
    _compare(where, "optimizer", {n: t for n, t in like.items() if n.rpartition(".")[0] in stems}, groups["optimizer"])
    _load(run, checkpoint)
    run.order = replace(run.order, pieces=pieces)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted names."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {k: v for key in value for k, v in flat(value[key], f"{prefix}.{key}" if prefix else str(key)).items()}


def identity(run: Run) -> dict[str, Any]:
    """All that decides which numbers come out of a run: another value of any of it makes another run."""
    facts = {
        "method": run.kind,
        "config": getattr(run.method, "config", {}),
        "objectives": [learner.name for learner in run.learners],
        **run.settings.identity(ends=_minds_progress(run.method)),
        "dataset": _data(run.dataset),
        "validation": None if run.validation is None else _data(run.validation),
    }
    result: dict[str, Any] = json.loads(json.dumps(facts))  # as it will be read back: tuples are lists
    return result


def _minds_progress(method: Method) -> bool:
    """Whether the method's own code reads ``progress``: then step k of 100 is another one than step k of 200."""

    def reads(code: CodeType) -> bool:
        return "progress" in code.co_names or any(reads(c) for c in code.co_consts if isinstance(c, CodeType))

    own = (kind for kind in type(method).__mro__ if issubclass(kind, Method) and kind is not Method)
    functions = (inspect.unwrap(getattr(f, "fget", None) or f) for kind in own for f in vars(kind).values() if f)
    return any(reads(function.__code__) for function in functions if inspect.isfunction(function))


def _data(data: Any) -> dict[str, Any]:
    """Length and fingerprint of a dataset: its own, or that of at most 256 of its items where they come fast."""
    fingerprint = None
    if hasattr(data, "fingerprint"):
        fingerprint = data.fingerprint()
    elif hasattr(data, "batch"):
        rows = torch.linspace(0, len(data) - 1, min(len(data), 256), dtype=torch.float64).long()
        batch = {key: value.cpu().contiguous() for key, value in data.batch(rows).items()}
        fingerprint = sha256(b"".join(safetensors_chunks(batch))).hexdigest()
    return {"length": len(data), "fingerprint": fingerprint}


def _pieces(run: Run, facts: Mapping[str, Any], where: str) -> int:
    """The number of pieces that the run began with: with it, any number of processes that divides it gives the same."""
    pieces, processes = int(facts["pieces"]), run.accelerator.num_processes
    if pieces % processes:
        raise ValueError(
            f"{where} cuts its batches into {pieces} pieces, which {processes} processes cannot share evenly: "
            "use a number of processes that divides it."
        )
    return pieces


def _moments(run: Run) -> dict[str, Tensor]:
    """Tensors like those that the optimisers will hold, under the names that a checkpoint gives them."""
    like: dict[str, Tensor] = {}
    for number, learner in enumerate(run.learners):
        for name, parameter in zip(learner.names, learner.parameters, strict=True):
            like[f"{number}.{name}.step"] = torch.zeros((), dtype=torch.float32)
            for key in ("exp_avg", "exp_avg_sq"):
                like[f"{number}.{name}.{key}"] = parameter.detach()
    return like


def _compare(where: str, group: str, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    if different := sorted(ours.keys() ^ theirs.keys()):
        side = "lacks" if different[0] in ours else "has an unknown"
        raise ValueError(
            f"{where} {side} tensor {different[0]!r} ({group}): it was made by a different version of the method."
        )
    for name in sorted(ours):
        a, b = ours[name], theirs[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            raise ValueError(
                f"{where} holds {name!r} ({group}) as {b.dtype} {tuple(b.shape)}, "
                f"the method has {a.dtype} {tuple(a.shape)}."
            )


def _whole(tensor: Tensor) -> Tensor:
    """A tensor as it is, or gathered from the processes that hold its shards."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _sharded(tensor: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor, placed like another one: on its device, and in shards if that one is."""
    tensor = tensor.to(like.device, copy=True)
    if not hasattr(like, "full_tensor"):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor, like.device_mesh, like.placements)


@torch.no_grad()
def _load(run: Run, checkpoint: Checkpoint) -> None:
    facts, groups = checkpoint.about, checkpoint.tensors
    ours = run.method.state_dict()
    run.method.load_state_dict({name: _sharded(tensor, ours[name]) for name, tensor in groups["model"].items()})
    for number, learner in enumerate(run.learners):
        for name, parameter in zip(learner.names, learner.parameters, strict=True):
            stem = f"{number}.{name}"
            if f"{stem}.step" not in groups["optimizer"]:
                continue  # it never had a gradient
            moments = {
                key: _sharded(groups["optimizer"][f"{stem}.{key}"], parameter) for key in ("exp_avg", "exp_avg_sq")
            }
            where = parameter.device if learner.optimizer.defaults.get("fused") else "cpu"
            step = groups["optimizer"][f"{stem}.step"].to(where, copy=True)
            learner.optimizer.state[parameter] = {"step": step, **moments}
    if run.average is not None:
        for name, tensor in groups["average"].items():
            run.average.tensors[name].copy_(_sharded(tensor, run.average.tensors[name]))
    if facts["scaler"] is not None:
        run.accelerator.scaler.load_state_dict(facts["scaler"])
    run.history = History()
    for number, (split, metric) in enumerate(facts["history"]):
        steps, values = groups["history"][f"{number}.steps"], groups["history"][f"{number}.values"]
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            run.history.add(step, split, {metric: value})
    run.step = int(facts["step"])
