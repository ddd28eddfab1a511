"""Single odd records do not refuse a set: what is unambiguous is read, and the rest is counted and named."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from mmlab.wording import few

__all__ = ["tell_left_out"]


def tell_left_out(where: object, odd: Sequence[str], records: int, noun: str, remedy: str) -> None:
    """Warn of what a reader leaves out; it is an error only if nothing else is there.

    Call it from the function that a reader's user calls: the warning names the line above that one.

    Args:
        where: The file.
        odd: One sentence without its full stop for each record that is left out.
        records: How many there are, odd ones among them.
        noun: What they are, in the plural.
        remedy: What to do if all are odd; ends the error's sentence.

    Raises:
        ValueError: If all are odd; the sentence names the first.
    """
    if odd and len(odd) >= records:
        raise ValueError(f"{where}, {odd[0]}; none of the {noun} can be read: {remedy}")
    if odd:
        warnings.warn(
            f"{where}: {len(odd)} of {records} {noun} are left out: {few(odd, '; ')}.",
            stacklevel=3,
        )
