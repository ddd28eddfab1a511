"""Chapters on GPUs: one per GPU at a time, and each sees no other. The driver is a stand-in."""

from __future__ import annotations

import os
import threading
import time

import pytest

from mmlab.publish import RunError, execute_all
from mmlab.publish.run import launch

LISTING = "GPU-aaaa, NVIDIA T4\nGPU-bbbb, NVIDIA T4\nGPU-cccc, NVIDIA H200\n"


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a driver's tool on the path that lists what it is told to."""

    def driver(listing):
        tool = tmp_path / "bin" / "nvidia-smi"
        tool.parent.mkdir(exist_ok=True)
        (tmp_path / "listing").write_text(listing)
        tool.write_text(f"#!/bin/sh\ncat {tmp_path / 'listing'}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, {"GPU-aaaa": "NVIDIA T4", "GPU-bbbb": "NVIDIA T4", "GPU-cccc": "NVIDIA H200"}),
        ("2,0", {"2": "NVIDIA H200", "0": "NVIDIA T4"}),
        ("GPU-cccc", {"GPU-cccc": "NVIDIA H200"}),
        ("1,-1,2", {"1": "NVIDIA T4"}),
        ("", {}),
    ],
)
def test_the_gpus_are_those_that_the_process_may_use(driver, monkeypatch, visible, found):
    driver(LISTING)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert launch.gpus() == found


def test_without_a_driver_there_is_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert launch.gpus() == {}


class Floor:
    """Stands in for a run on this machine, and notes who is at work on which GPU."""

    def __init__(self):
        self.lock, self.busy, self.clashes, self.most, self.ran = threading.Lock(), set(), 0, 0, []

    def __call__(self, task, receipt, stop, environment=None):
        gpu = environment["CUDA_VISIBLE_DEVICES"]
        with self.lock:
            self.clashes += gpu in self.busy
            self.busy.add(gpu)
            self.most = max(self.most, len(self.busy))
            self.ran.append((receipt.stem, gpu, receipt.device))
        time.sleep(0.1)
        with self.lock:
            self.busy.discard(gpu)
        return launch.stopped(receipt)


def test_each_gpu_has_one_chapter_at_a_time(driver, root, write, monkeypatch):
    driver("GPU-aaaa, NVIDIA T4\nGPU-cccc, NVIDIA H200\n")
    for stem in "abcdef":
        write(stem, "x = 1")
    floor = Floor()
    monkeypatch.setattr(launch, "here", floor)
    with pytest.raises(RunError):
        execute_all("abcdef", profile="gpu", workers=1, root=root)
    assert (floor.clashes, floor.most) == (0, 2)
    assert sorted(stem for stem, _, _ in floor.ran) == list("abcdef")
    assert {(gpu, device) for _, gpu, device in floor.ran} == {
        ("GPU-aaaa", "NVIDIA T4"),
        ("GPU-cccc", "NVIDIA H200"),
    }


def test_the_kernel_sees_its_gpu_alone(driver, root, write):
    driver("GPU-bbbb, NVIDIA T4\n")
    write("one", "import os\nfrom mmlab.viz import record", "record(seen=os.environ['CUDA_VISIBLE_DEVICES'])")
    (receipt,) = execute_all(["one"], profile="gpu", root=root)
    assert receipt.metrics == {"seen": "GPU-bbbb"}
    assert receipt.device == "NVIDIA T4"
    driver("")
    assert execute_all(["one"], profile="gpu", root=root)[0].cached  # what ran where there was one can be used here


def test_without_a_gpu_no_chapter_runs(driver, root, write):
    driver("")
    write("one", "x = 1")
    with pytest.raises(RunError, match="no GPU is here"):
        execute_all(["one"], profile="gpu", root=root)
    assert [path.name for path in (root / "out" / "gpu").iterdir()] == ["one.failed.json"]
