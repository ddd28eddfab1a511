"""Imports torch once, then forks a process for each fault, lets it happen, and reports as JSON on standard output.

It is a process of its own, since a test process may have threads; and it forks, since importing torch takes longer than
the faults do.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
from torch.utils.data import get_worker_info
from training_toys import Augmented, Regression, data, make

from mmlab import fit
from mmlab.store import files
from mmlab.train.checkpoint import Store

QUIET = {"progress": False, "batch_size": 8, "ema_decay": 0.9}


def fork(work) -> int:
    """Run work() in a new process and leave with its exit code."""
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def tensors(step: int) -> dict:
    """A state in which every number says which step it is."""
    return {
        "model": {f"layer.{i}": torch.full((100, 300), float(step)) for i in range(4)},
        "optimizer": {f"0.layer.{i}.exp_avg": torch.full((100, 300), float(step)) for i in range(8)},
    }


def keep_saving(out: Path) -> None:
    store = Store(out)
    step = store.read().about["step"]
    while True:
        step += 1
        store.save(tensors(step), {"step": step, "text": "x" * 2000})
        store.wait()


def whole(out: Path) -> int:
    """The step of the checkpoint, after making sure that all of it is of that step."""
    found = Store(out).read()
    step = found.about["step"]
    expected = tensors(step)
    assert found.tensors.keys() == expected.keys()
    for group, named in expected.items():
        for name, value in named.items():
            assert torch.equal(found.tensors[group][name], value), (group, name, step)
    return step


def save_once(out: Path, step: int) -> None:
    store = Store(out)
    store.save(tensors(step), {"step": step, "text": ""})
    store.wait()


def first(out: Path) -> None:
    save_once(out, 0)


def killed_at_random(out: Path, times: int = 50) -> dict:
    """Send SIGKILL at random moments; nearly all of the time goes into saving."""
    first(out)
    start = time.monotonic()
    for step in range(1, 6):
        os.waitpid(fork(lambda step=step: save_once(out, step)), 0)
    spell = (time.monotonic() - start) / 5  # to begin a process and save once
    dice, survived, steps, caught = random.Random(0), 0, [5], 0
    for _ in range(times):
        child = fork(lambda: keep_saving(out))
        time.sleep(dice.uniform(0.2, 2.5) * spell)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        caught += any(path.name.startswith(".") for path in (out / "checkpoint").iterdir())
        steps.append(whole(out))
        survived += steps[-1] >= steps[-2]
    left = [path.name for path in (out / "checkpoint").iterdir()]
    return {"tried": times, "survived": survived, "steps": steps[-1], "caught": caught, "left": len(left)}


def killed_at_every_operation(out: Path) -> dict:
    """Send SIGKILL at the first, second, third, ... file operation of one save, until a save comes through."""
    first(out)
    old, new = 0, 0
    for number in range(1, 1000):
        before = whole(out)

        def work(number=number, before=before) -> None:
            left = [number]

            def count(event, arguments) -> None:
                if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.scandir"):
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            true = os.fsync

            def fsync(handle) -> None:
                count("open", ())
                true(handle)

            class Hash:  # called between a write and the next
                def __init__(self) -> None:
                    self.inner = sha256()
                    self.hexdigest = self.inner.hexdigest

                def update(self, chunk) -> None:
                    count("open", ())
                    self.inner.update(chunk)

            store = Store(out)
            os.fsync, files.sha256 = fsync, Hash
            sys.addaudithook(count)
            store.save(tensors(before + 1), {"step": before + 1})
            store.wait()

        child = fork(work)
        code = os.waitpid(child, 0)[1]
        after = whole(out)
        assert after in (before, before + 1), (before, after)
        if code == 0:
            assert after == before + 1
            names = sorted(path.name for path in (out / "checkpoint").iterdir())
            assert names == ["latest.json", f"step-{after:08d}"], names
            return {"tried": number - 1, "survived": old + new, "old": old, "new": new}
        assert os.WIFSIGNALED(code), code
        old, new = old + (after == before), new + (after != before)
    raise AssertionError("the save never came through")


class Slow:
    """A dataset that takes its time from some item on; only those count that are read in some phase of the run."""

    def __init__(self, marker: Path, after: int, counts: Callable[[], bool] = lambda: True) -> None:
        self.data, self.marker, self.after, self.counts, self.read = data(), marker, after, counts, 0

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict:
        self.read += self.counts()
        if self.read > self.after and self.counts():
            self.marker.touch()
            time.sleep(30)
        return self.data[index]


class SlowStep(Regression):
    """Takes half a second in the fifth step."""

    marker: Path
    steps = 0

    def loss(self, batch, rng):
        if self.training:
            self.steps += 1
            if self.steps == 5:
                self.marker.touch()
                end = time.monotonic() + 0.5
                while time.monotonic() < end:
                    time.sleep(0.01)
        return super().loss(batch, rng)


def signalled(out: Path) -> list:
    """SIGTERM and SIGINT in each phase of a run: the exit code, the seconds, and the step that was saved."""
    results = []
    for number in (signal.SIGTERM, signal.SIGINT):
        for phase in ("start", "step", "validation", "loading", "loading in workers", "group"):
            folder = out / f"{phase} {number}"
            marker = out / f"{phase} {number} marker"

            def work(phase=phase, folder=folder, marker=marker) -> None:
                os.setpgid(0, 0)
                method, dataset, options = make(), data(), {}
                if phase == "start":  # the data are looked at before the first step
                    dataset = Slow(marker, 2)
                elif phase == "step":
                    method = make(SlowStep)
                    method.marker = marker
                elif phase == "validation":
                    options = {"validation": Slow(marker, 2, lambda: not method.training), "validate_every": 4}
                elif phase == "loading":  # the fourth batch is slow
                    dataset = Slow(marker, 16, lambda: method.calls > 0)
                else:  # two workers take turns, so that each sees every second batch
                    dataset = Slow(marker, 8, lambda: get_worker_info() is not None)
                    options = {"workers": 2}
                fit(method, dataset, steps=40, out=folder, **QUIET, **options)

            child = fork(work)
            while not marker.exists():
                time.sleep(0.01)
            time.sleep(0.05)
            start = time.monotonic()
            (os.killpg if phase == "group" else os.kill)(child, number)  # Ctrl-C goes to all processes of a terminal
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            seconds = time.monotonic() - start
            store = Store(folder)
            saved = store.read().about["step"] if store.exists() else None
            results.append({"phase": phase, "signal": int(number), "code": code, "seconds": seconds, "step": saved})
    return results


def killed_while_training(out: Path, times: int = 10) -> dict:
    """SIGKILL a run that saves at every step, again and again: in the end the bits are those of a quiet run."""

    def work(folder: Path, every: int | None) -> None:
        fit(make(), Augmented(data()), steps=300, out=folder, save_every=every, **QUIET)

    os.waitpid(fork(lambda: work(out / "quiet", None)), 0)
    dice, seen = random.Random(1), []
    for _ in range(times):
        child = fork(lambda: work(out / "killed", 1))
        time.sleep(dice.uniform(0.05, 0.3))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if Store(out / "killed").exists():
            seen.append(Store(out / "killed").read().about["step"])
    os.waitpid(fork(lambda: work(out / "killed", 1)), 0)
    quiet, killed = (Store(out / name).read() for name in ("quiet", "killed"))
    same = quiet.about == killed.about and all(
        torch.equal(value, killed.tensors[group][name])
        for group, named in quiet.tensors.items()
        for name, value in named.items()
    )
    return {"tried": times, "steps": seen, "same": same}


def without_rights(out: Path) -> str:
    """The message of a process that may not write to the folder."""
    folder = out / "locked"
    folder.mkdir(mode=0o555)
    read, write = os.pipe()

    def work() -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            Store(folder)
        except OSError as error:
            os.write(write, str(error.strerror).encode())

    for parent in (out, out.parent):
        parent.chmod(0o755)
    os.waitpid(fork(work), 0)
    os.close(write)
    return os.read(read, 1000).decode() + f" ({len(list(folder.iterdir()))} files)"


if __name__ == "__main__":
    torch.set_num_threads(1)
    fit(make(), data(), steps=1, **QUIET)  # imports what there is to import
    place = Path(sys.argv[2])
    place.mkdir(parents=True)
    answer = globals()[sys.argv[1]](place)
    print(json.dumps(answer))
