"""Who judges what, in which order: balanced over items and pairs, random within, and a function of a secret."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

from mmlab.arena.competition import Competition

__all__ = ["plan_rounds", "side_order"]


def plan_rounds(
    competition: Competition, given: Mapping[tuple[str, frozenset[str]], int], secret: bytes, respondent: int
) -> list[tuple[str, tuple[str, ...]]]:
    """Rounds of one respondent: the items that were given least so far, each once, the attention items between them.

    Where several items, or several pairs of systems on an item, were given equally often, the secret decides.

    Args:
        competition: What is judged.
        given: How often each item was given with each set of systems.
        secret: Secret of the store.
        respondent: Number of the respondent.

    Returns:
        For each round the item and the systems in the order in which their answers stand.
    """

    def lot(*parts: str) -> bytes:
        return _draw(secret, str(respondent), *parts)

    chosen = []
    for item in competition.items:
        if item.attention:
            continue
        tasks = [(given.get((item.name, frozenset(task)), 0), lot("task", item.name, *task), task)
                 for task in competition.tasks(item)]  # fmt: skip
        total = sum(count for count, _, _ in tasks)
        chosen.append((total, lot("item", item.name), item.name, min(tasks)[2]))
    chosen = sorted(chosen)[: competition.rounds]
    checks = [(0, lot("item", item.name), item.name, tuple(sorted(item.answers))[: len(item.answers)])
              for item in competition.items if item.attention]  # fmt: skip
    mixed = sorted([*chosen, *checks], key=lambda entry: lot("position", entry[2]))
    return [(name, side_order(secret, respondent, name, systems)) for _, _, name, systems in mixed]


def side_order(secret: bytes, respondent: int, item: str, systems: tuple[str, ...]) -> tuple[str, ...]:
    """The order in which a respondent sees the answers: each is as likely, and nobody can tell it without the secret.

    Args:
        secret: Secret of the store.
        respondent: Number of the respondent.
        item: Name of the item.
        systems: The systems to order.
    """
    return tuple(sorted(systems, key=lambda name: _draw(secret, str(respondent), "side", item, name)))


def _draw(secret: bytes, *parts: str) -> bytes:
    return hmac.new(secret, "\0".join(parts).encode(), sha256).digest()
