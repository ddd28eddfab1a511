"""Randomness as a function of what it is for: seeds are derived from numbers and names, never carried along."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch

__all__ = ["derive", "generator", "preserved", "seed_dropout", "seed_everything"]


def derive(seed: int, *path: int | str) -> int:
    """A seed for one purpose: a hash of the run's seed and of what the randomness is for.

    Unlike ``seed + step``, two purposes never share a stream by arithmetic accident, and unlike Python's ``hash`` the
    result is the same in every process.

    Args:
        seed: Seed of the run.
        *path: What it is for, for example ``("noise", step, piece)``.

    Returns:
        A number in [0, 2**63).
    """
    return int.from_bytes(blake2b(repr((seed, *path)).encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator of random numbers that starts from a seed: what the methods take as ``rng``.

    Args:
        seed: Start of its stream, not negative.
        device: Where it draws.
    """
    if seed < 0:
        raise ValueError(f"seed={seed} is negative: give a whole number from zero on.")
    return torch.Generator(device).manual_seed(seed)


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed torch's global generators of the CPU and of one device: dropout draws from those.

    It does what ``torch.manual_seed`` does for one device, at a hundredth of the cost where CUDA is not in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed the global generators on the CPU (Python, NumPy, torch): a dataset may draw from any of them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the legacy global generator is the one that others use
    torch.default_generator.manual_seed(seed)


@contextmanager
def preserved(device: torch.device) -> Iterator[None]:
    """Leave the caller's global random states as they were found."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)
