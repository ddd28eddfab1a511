"""The training loop: batches in a fixed order, one optimiser per objective, over Hugging Face Accelerate.

The order of the data and all randomness are functions of (seed, step), computed and never carried. So a checkpoint is
weights, optimiser, average and step, and a run that was stopped anywhere resumes bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmlab.method import Method
from mmlab.train.checkpoint import Store
from mmlab.train.door import door, lack, through_door
from mmlab.train.history import History
from mmlab.train.memory import compiled, recomputed
from mmlab.train.optimisers import Optimiser
from mmlab.train.prepare import check_data, check_method, check_trackers
from mmlab.train.randomness import preserved
from mmlab.train.run import Run
from mmlab.train.settings import Precision, Schedule, Settings
from mmlab.train.stopping import StopRequest, StopSignals

__all__ = ["fit"]


def fit(
    method: Method,
    dataset: Any,
    *,
    steps: int,
    batch_size: int = 64,
    lr: float | Mapping[str, float] = 1e-3,
    optimiser: str | Optimiser = "adamw",
    out: str | Path | None = None,
    seed: int = 0,
    validation: Any = None,
    validate_every: int | None = None,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    warmup: int = 0,
    schedule: Schedule = "constant",
    clip_norm: float | None = 1.0,
    ema_decay: float | None = None,
    accumulation: int = 1,
    precision: Precision = "no",
    workers: int = 0,
    save_every: int | None = None,
    log_every: int = 1,
    resume: bool = True,
    gradient_checkpointing: bool = False,
    compile: bool = False,
    trackers: Iterable[str] = (),
    progress: bool = True,
) -> History:
    """Train a method on whatever devices Accelerate finds.

    First ``method.start_from(dataset)`` is called, by which some methods solve in closed form what they start from.
    Afterwards the method is in evaluation mode and holds the averaged weights, if averaging is on. The caller's global
    random states are left as they were found.

    A step is: read a batch, compute the loss, and let the optimiser follow its gradient. The page "Train anywhere" has
    that loop written by hand; it gives the same weights.

    Args:
        method: What to train; it is changed in place.
        dataset: With ``len()`` and ``dataset[i]``, a dict of tensors. ``batch(indices)`` or ``__getitems__(indices)``
            is used where it exists; ``draw(i, rng)`` returns an augmented item. ``subjects`` are named in messages.
        steps: Number of optimiser steps of the whole run, those before a resumption included.
        batch_size: Items per step, over all processes.
        lr: Learning rate; or one for each objective, by name.
        optimiser: ``"adamw"``, ``"adam"`` or ``"sgd"``, or :class:`mmlab.train.optimisers.Optimiser` with settings of
            its own, such as ``Optimiser("sgd", momentum=0.9)``. An objective may bring another.
        out: Folder for ``history.csv`` and ``checkpoint/``, seen by all processes. None: nothing is written.
        seed: Seed of the order of the data and of all randomness.
        validation: Like ``dataset``; measured whole and in order, with the averaged weights and fixed randomness.
        validate_every: Steps between validations; the default is once, at the end.
        weight_decay: Weight decay, on parameters with two dimensions or more.
        betas: Decay of the two moments of AdamW and Adam; SGD has none, and refuses them.
        warmup: Steps over which the rate rises linearly.
        schedule: ``"constant"``, or ``"cosine"`` to zero at the end.
        clip_norm: Bound of the gradient's norm, for each objective; None for none.
        ema_decay: Decay of the average of the weights (see :class:`mmlab.train.ema.Average`); None for no average.
        accumulation: Number of pieces that each batch is cut into. Gradients are summed over them, to save memory, or
            the processes share them; rounded up to a multiple of the number of processes. With the same number of
            pieces, any number of processes gives the same run.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"``.
        workers: Processes that prepare batches ahead; they do not change the numbers.
        save_every: Steps between checkpoints; one is always written at the end.
        log_every: Steps between rows of the history.
        resume: Whether to go on from the checkpoint in ``out``, if there is one.
        gradient_checkpointing: Whether to compute the blocks again in the backward pass, to save memory.
        compile: Whether to run the networks through ``torch.compile``; the last digits and the dropout change.
        trackers: Names of Accelerate's trackers, for example ``"tensorboard"``; they write to ``out`` and get every
            row of the history.
        progress: Whether to show a bar, from the third second on.

    Returns:
        The history of the whole run.

    Raises:
        ValueError: If an argument is impossible, or if the checkpoint is damaged or belongs to another run.
        FloatingPointError: If a loss or a gradient is not finite; the weights are those of the step before, and of the
            updates that other objectives had made in the same step.
        OSError: If ``out`` cannot be written.
        SystemExit: After SIGTERM (143) or Ctrl-C (130); the run is saved first.
    """
    settings = Settings(
        steps=steps, batch_size=batch_size, lr=lr, seed=seed, validate_every=validate_every,
        weight_decay=weight_decay, betas=betas, warmup=warmup, schedule=schedule, clip_norm=clip_norm,
        ema_decay=ema_decay, accumulation=accumulation, precision=precision, save_every=save_every,
        log_every=log_every, workers=workers, optimiser=optimiser,
    )  # fmt: skip
    names = (trackers,) if isinstance(trackers, str) else tuple(trackers)
    check_method(method)
    check_data(dataset, validation, settings)
    check_trackers(names, out)
    store = None if out is None else Store(out)
    with ExitStack() as stack:
        stop = stack.enter_context(StopSignals())
        try:
            with stop.abandonable():  # the data are looked at, which may take long
                _start(method, dataset)
                run = Run(method, dataset, validation, settings, store, names)
                if store is not None:
                    stack.enter_context(store.held(run.accelerator.is_main_process))
                stack.enter_context(preserved(run.device))
                if resume and store is not None and store.exists():
                    run.restore(store.read())
                run.check()
        except StopRequest:
            stop.leave("before the first step; nothing was written.")
        with recomputed(method, gradient_checkpointing), compiled(method, compile):
            run.train(stop, progress)
    return run.history


def _start(method: Method, dataset: Any) -> None:
    """What the method solves before the first step, from items as the steps see them; a key that they lack is named."""
    if type(method).start_from is Method.start_from:
        return
    try:
        method.start_from(through_door(dataset, door(method, dataset, "dataset", quiet=True)))
    except KeyError as error:
        item = dataset[0]
        title = f"The start of {type(method).__name__}"
        if not isinstance(item, Mapping) or (message := lack(title, item, error)) is None:
            raise
        raise ValueError(message) from error
