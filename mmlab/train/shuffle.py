"""A permutation of many items that is computed for the places that are asked for, and never written out.

A Feistel network over pairs (left, right) from Z_a x Z_b, with a b only a little larger than the number of items, and
"cycle walking" for the few results beyond it (Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mmlab.train.randomness import derive

__all__ = ["shuffled"]

_ROUNDS = 8  # pseudo-random from four on (Luby and Rackoff 1988); more, since the halves of a small set are tiny

Numbers = NDArray[np.uint64]


def shuffled(places: Numbers, length: int, seed: int) -> Numbers:
    """What a permutation of ``range(length)`` has at some places.

    Args:
        places: Which, each below ``length``, shape (k,).
        length: Number of items.
        seed: Decides the permutation.

    Returns:
        The items, shape (k,).
    """
    a = math.isqrt(length - 1) + 1
    b = -(-length // a)
    keys = [derive(seed, "round", number) for number in range(_ROUNDS)]
    items = _permuted(places, a, b, keys)
    while (beyond := items >= length).any():  # a b - length < a of the a b places lead there
        items[beyond] = _permuted(items[beyond], a, b, keys)
    return items


def _permuted(numbers: Numbers, a: int, b: int, keys: list[int]) -> Numbers:
    """A permutation of ``range(a * b)``: each round adds a hash of one half to the other, and can be taken back."""
    left = numbers // np.uint64(b)
    right = numbers % np.uint64(b)
    for number, key in enumerate(keys):
        if number % 2:
            right = (right + _hashed(left, key) % np.uint64(b)) % np.uint64(b)
        else:
            left = (left + _hashed(right, key) % np.uint64(a)) % np.uint64(a)
    return left * np.uint64(b) + right


def _hashed(numbers: Numbers, key: int) -> Numbers:
    """The mixing function of SplitMix64 (Steele, Lea and Flood 2014), modulo 2**64."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
