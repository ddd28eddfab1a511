"""How fast is this machine? A fixed workload, so that processor seconds of different machines can be compared."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

__all__ = ["REFERENCE", "factor"]

REFERENCE = "one core of an AMD EPYC with AVX-512, PyTorch 2.13"
_REFERENCE_SECONDS = 0.285
_REPEATS = 3
_LOCK = threading.Lock()


def factor(together: int = 1) -> float:
    """Processor seconds that this machine takes for what takes the reference machine one second.

    Measured once, in processes of their own with one thread each, in about three seconds, most of which go to the
    import of torch. If such a process fails, the machine is taken for the reference.

    Args:
        together: How many processes run side by side while a chapter does; what they share makes each of them slower.
    """
    with _LOCK:  # chapters that begin side by side wait for one measurement
        return _measured(together)


@cache
def _measured(together: int) -> float:
    program = "from mmlab.publish.run.machine import workload; print(workload())"

    def once(_: int) -> float:
        command = [sys.executable, "-c", program]
        return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout)

    try:
        with ThreadPoolExecutor(max_workers=together) as pool:
            return round(statistics.mean(pool.map(once, range(together))) / _REFERENCE_SECONDS, 3) or 1.0
    except (OSError, ValueError, subprocess.SubprocessError):
        return 1.0


def workload() -> float:
    """Processor seconds of a mixture of what chapters do: small products, convolutions, and Python in between."""
    import torch

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    rows, weights = torch.randn(64, 64, generator=rng), torch.randn(64, 64, generator=rng)
    images, kernels = torch.randn(8, 8, 28, 28, generator=rng), torch.randn(8, 8, 3, 3, generator=rng)
    seconds = []
    for repeat in range(_REPEATS + 1):
        began = time.process_time()
        for step in range(8000):
            (rows @ weights).tanh().sum()
            if step % 10 == 0:
                torch.nn.functional.conv2d(images, kernels, padding=1).relu()
            sum(i * i for i in range(200))
        if repeat:  # the first round warms up
            seconds.append(time.process_time() - began)
    return statistics.median(seconds)
