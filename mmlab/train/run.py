"""One run of the training loop: its state, its steps, and its way in and out of a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch

from mmlab.method import Method
from mmlab.store.weights import savable_state
from mmlab.train.checkpoint import Checkpoint, Groups, Store
from mmlab.train.door import door
from mmlab.train.ema import Average
from mmlab.train.history import History
from mmlab.train.identity import compare_facts, compare_tensors, data_facts, flat
from mmlab.train.learner import Learner, NotFiniteError, expected_moments, part_of
from mmlab.train.pieces import Piece, on_device, pieces_of_a_batch, prepared, shared_evenly
from mmlab.train.prepare import make_accelerator
from mmlab.train.randomness import preserved
from mmlab.train.report import check_finite, not_finite, whereabouts
from mmlab.train.sampler import Feed, Order, stream
from mmlab.train.settings import Settings
from mmlab.train.shards import gathered, placed_like
from mmlab.train.stopping import StopRequest, StopSignals
from mmlab.train.validation import Validation

__all__ = ["Run"]


class Run:
    """A method in training. :func:`mmlab.fit` is the way to use it, and checks data and trackers first.

    Attributes:
        step: Number of complete steps.
        history: What was measured in them.

    Raises:
        ValueError: If the arguments do not fit the method or the device.
    """

    def __init__(
        self,
        method: Method,
        dataset: Any,
        validation: Any,
        settings: Settings,
        store: Store | None = None,
        trackers: tuple[str, ...] = (),
    ) -> None:
        self.method, self.dataset, self.validation = method, dataset, validation
        self.settings, self.store = settings, store
        self.kind = f"{type(method).__module__}.{type(method).__qualname__}"  # sharding puts another class in its place
        self.accelerator = make_accelerator(settings, trackers, store and store.folder.parent)
        self.device: torch.device = self.accelerator.device
        method.to(self.device)
        self.door = door(method, dataset, "dataset")
        self.watched_door = self.door if validation is None else door(method, validation, "validation")
        names = [objective.name for objective in method.objectives()]
        settings.check_rates(names)
        if len(names) > 1 and self.accelerator.distributed_type.value == "FSDP":
            raise ValueError(f"fit: FSDP shards methods with one objective; {type(method).__name__} has {len(names)}.")
        self.learners = [Learner(self.accelerator, method, number, settings) for number in range(len(names))]
        settings.check_betas([learner.kind.name for learner in self.learners])
        self.average = self._average()
        pieces = pieces_of_a_batch(settings, self.accelerator.num_processes)
        self.order = Order(len(dataset), settings.batch_size, pieces, settings.seed)
        self.history = History()
        self.step = 0
        self._latest = float("nan")  # the loss that the bar shows
        self._saved: tuple[int, int] | None = None  # step and rows of the history in the last checkpoint
        if trackers:
            config = {key: str(value) for key, value in flat(self.identity).items()}  # not all take lists or None
            folder = {"dir": str(self.accelerator.project_dir)}  # where Weights & Biases would take the current one
            self.accelerator.init_trackers("mmlab", config=config, init_kwargs={"wandb": folder})

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides which numbers come out: a checkpoint goes on only with the same. The data are read once."""
        return self._identity({})

    def _identity(self, counts: Mapping[str, int]) -> dict[str, Any]:
        """The identity, with as many items of the data looked at as a checkpoint says."""
        validation = self.validation
        with preserved(self.device):
            facts = {
                "method": self.kind,
                "config": getattr(self.method, "config", {}),
                "objectives": [learner.name for learner in self.learners],
                **self.settings.identity(ends=self.method.uses_progress),
                "updates": {learner.name or "loss": learner.identity() for learner in self.learners},
                "trained": sorted({name for learner in self.learners for name in learner.names}),
                "threads": torch.get_num_threads() if self.device.type == "cpu" else None,  # sums are cut by them
                "dataset": data_facts(self.dataset, counts.get("dataset")),
                "validation": None if validation is None else data_facts(validation, counts.get("validation")),
            }
        result: dict[str, Any] = json.loads(json.dumps(facts))  # as it will be read back: tuples are lists
        return result

    def tensors(self) -> Groups:
        """Weights, optimisers, average and history by name; shards are gathered, so all processes call this."""
        groups: Groups = {"model": {name: gathered(tensor) for name, tensor in self.method.state_dict().items()}}
        groups["optimizer"] = {
            f"{number}.{name}": tensor
            for number, learner in enumerate(self.learners)
            for name, tensor in learner.state().items()
        }
        if self.average is not None:
            groups["average"] = self.average.state()
        groups["history"] = self.history.tensors()
        return groups

    def about(self) -> dict[str, Any]:
        """Whose checkpoint it is, made with what, and how far the run was."""
        scaler = self.accelerator.scaler
        return {
            "step": self.step,
            "pieces": self.order.pieces,
            "history": self.history.keys(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "identity": self.identity,
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint. Everything is compared before anything is changed.

        Raises:
            ValueError: If it belongs to another method, other arguments or other data; the message names the field.
        """
        assert self.store is not None
        facts = checkpoint.about
        groups = checkpoint.tensors
        where = f"The checkpoint in {self.store.folder}"
        theirs = facts["identity"]
        read = {name: theirs[name]["read"] for name in ("dataset", "validation") if theirs.get(name)}
        self.identity = self._identity(read)
        compare_facts(where, self.identity, theirs)
        if facts["step"] > self.settings.steps:
            raise ValueError(
                f"{where} is at step {facts['step']}, beyond steps = {self.settings.steps}: "
                "ask for more, or use another `out`."
            )
        pieces = shared_evenly(int(facts["pieces"]), self.accelerator.num_processes, where)
        ours = self.tensors()
        for group in ("model", "average"):
            compare_tensors(where, group, ours.get(group, {}), groups.get(group, {}))
        expected = expected_moments(self.learners, groups["optimizer"])
        compare_tensors(where, "optimizer", expected, groups["optimizer"])
        self._load(facts, groups)
        self.order = replace(self.order, pieces=pieces)
        self._saved = self.step, len(self.history)

    def check(self) -> None:
        """Refuse before the first step what could not be saved after it.

        Raises:
            TypeError: If a part of the method's state is no tensor, or of a type that the file format does not have.
        """
        if self.store is not None:
            savable_state(self.method)
            self.store.check(self.tensors(), self.about())

    def _load(self, facts: Mapping[str, Any], groups: Groups) -> None:
        own = self.method.state_dict()
        weights = {name: placed_like(tensor, own[name]) for name, tensor in groups["model"].items()}
        self.method.load_state_dict(weights)
        for number, learner in enumerate(self.learners):
            learner.load(part_of(groups["optimizer"], number))
        if self.average is not None:
            self.average.load(groups["average"])
        if facts["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(facts["scaler"])
        self.history = History.from_tensors(facts["history"], groups["history"])
        self.step = int(facts["step"])

    def train(self, stop: StopSignals, progress: bool = True) -> None:
        """Do the steps that are left, validate and save when it is time, and leave the averaged weights in place.

        Raises:
            FloatingPointError: If a loss or a gradient is not finite.
            SystemExit: If the run was asked to stop.
        """
        mine = range(self.accelerator.process_index, self.order.pieces, self.accelerator.num_processes)
        keys = ((step, piece) for step in range(self.step, self.settings.steps) for piece in mine)
        feed = stream(
            Feed(self.dataset, self.order, self.door), keys, self.settings.workers, self.device.type == "cuda"
        )
        self.method.train()
        self.method.progress = self.step / self.settings.steps  # a validation may come before the first step
        try:
            with closing(feed), self._bar(progress) as bar, self._saved_at_the_end():  # type: ignore[type-var]
                self._validate_if_due(stop)
                while self.step < self.settings.steps:
                    self._advance(self._fetch(feed, mine, stop))
                    if bar is not None and bar.update(1):
                        bar.set_postfix(loss=f"{self._latest:.4g}", refresh=False)
                    self._validate_if_due(stop)
                    if self.settings.save_every and self.step % self.settings.save_every == 0:
                        self.save()
                    if self._stop_requested(stop):
                        raise StopRequest
        except StopRequest:
            self._close()
            stop.leave(f"after step {self.step}; {self._where_saved()}")
        except BaseException:
            self._close(quietly=True)
            raise
        self._close()
        if self.average is not None:
            self.average.swap()
        self.method.eval()

    def validate(self, stop: StopSignals) -> dict[str, float]:
        """The objectives on the whole validation set, in evaluation mode and with the averaged weights."""
        size = -(-self.order.batch_size // self.order.pieces)
        of = Validation(
            self.accelerator, self.method, self.learners, self.validation, self.watched_door, size, self.settings.seed
        )
        self.method.eval()
        averaged = self.average.applied() if self.average is not None else nullcontext()
        try:
            with averaged, stop.abandonable(self.accelerator.num_processes == 1):
                return of.measure()
        finally:
            self.method.train()

    def save(self) -> None:
        """Write a checkpoint, unless nothing has changed since the last one or there is nowhere to write it."""
        now = self.step, len(self.history)
        if self.store is None or self._saved == now:
            return
        check_finite(self.learners, self.step, self._where_saved())
        tensors = self.tensors()
        if self.accelerator.is_main_process:
            self.store.save(tensors, self.about())
        self._saved = now

    @contextmanager
    def _saved_at_the_end(self) -> Iterator[None]:
        """Save when all is done and when the run is to stop, before anything that may take time; not after an error."""
        try:
            yield
        except StopRequest:
            self.save()
            raise
        check_finite(self.learners, self.step, self._where_saved())
        self.save()

    def _fetch(self, feed: Any, mine: range, stop: StopSignals) -> list[Piece]:
        try:
            with stop.abandonable(self.accelerator.num_processes == 1):
                batches = [(piece, on_device(next(feed), self.device)) for piece in mine]
        except RuntimeError:
            if stop.received is None:
                raise
            raise StopRequest from None  # the signal that we got has ended the workers
        seed = self.settings.seed
        return [
            Piece(piece, self.order.weight(piece), prepared(self.method, batch, seed, "train", self.step, piece))
            for piece, batch in batches
        ]

    def _advance(self, pieces: list[Piece]) -> None:
        values: dict[str, float] = {}
        made: dict[str, int] = {}  # updates in this step
        for learner in self.learners:
            for turn in range(learner.times if learner.due(self.step) else 0):
                try:
                    values |= learner.update(pieces, self.step, turn)
                except NotFiniteError as error:
                    text = not_finite(learner, error, self.order, self.step, self.dataset, made)
                    raise FloatingPointError(f"{text}; {self._where_saved()}") from None
                made[learner.name] = turn + 1
        if type(self.method).after_step is not Method.after_step:
            with torch.no_grad():
                self.method.after_step()
        self.step += 1
        # Not through the module, which would look for parameters and parts of that name: a hundredth of a small step.
        object.__setattr__(self.method, "progress", self.step / self.settings.steps)
        if self.average is not None:
            self.average.update(self.step)
        self._latest = next((value for name, value in values.items() if name.endswith("loss")), self._latest)
        if self.step % self.settings.log_every == 0:
            self.history.add(self.step, "train", values)
            self._track(values, "train")

    def _where_saved(self) -> str:
        return whereabouts(None if self.store is None else self.store.folder, self._saved)

    def _validate_if_due(self, stop: StopSignals) -> None:
        every = self.settings.validate_every
        due = self.step == self.settings.steps or (every is not None and self.step % every == 0)
        if self.validation is None or self.step == 0 or not due or self.history.measured(self.step, "validation"):
            return
        values = self.validate(stop)
        self.history.add(self.step, "validation", values)
        self._track(values, "validation")

    def _stop_requested(self, stop: StopSignals) -> bool:
        asked = stop.received is not None
        if self.accelerator.num_processes > 1:  # all stop after the same step, whoever heard the signal
            asked = bool(self.accelerator.reduce(torch.tensor(float(asked), device=self.device), "sum") > 0)
        return asked

    def _track(self, values: dict[str, float], split: str) -> None:
        if self.accelerator.trackers:
            self.accelerator.log({f"{split}/{name}": value for name, value in values.items()}, step=self.step)

    def _bar(self, progress: bool) -> Any:
        if not (progress and self.accelerator.is_local_main_process):
            return nullcontext()  # no bar at all: even a hidden one takes a lock that forked processes share
        from tqdm.auto import tqdm

        return tqdm(total=self.settings.steps, initial=self.step, delay=2, desc=type(self.method).__name__)

    def _close(self, quietly: bool = False) -> None:
        """Wait for the checkpoint, write the history, end the trackers."""
        try:
            if self.store is not None and self.accelerator.is_main_process:
                self.store.wait()
                self.store.write_history(self.history)
        except OSError:
            if not quietly:  # else another error is on its way, which says more
                raise
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if not quietly:
            self.accelerator.wait_for_everyone()

    def _average(self) -> Average | None:
        if self.settings.ema_decay is None:
            return None
        trained = {n: p for learner in self.learners for n, p in zip(learner.names, learner.parameters, strict=True)}
        return Average(trained, self.settings.ema_decay)
