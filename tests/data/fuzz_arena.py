"""Fuzz targets for what a competition reads: its file, its votes, those of others, its store; see ``fuzzing.py``."""

from __future__ import annotations

import json
import math
from pathlib import Path

from fuzzing import Target

from mmlab.arena.competition import Competition, read_competition
from mmlab.arena.store import Ballot, Store
from mmlab.arena.votes import Vote, encode, read_chatbot_arena, read_votes

COMPETITION = """title = "Words"
question = "Which is better?"
ends = 2030-01-31T18:00:00+01:00
rounds = 3
attention_share = 0.5
[[scales]]
name = "correct"
label = "Is it correct?"
points = 5
[[items]]
id = "one"
text = "A question"
[items.answers]
mine = { matrix = "m.csv", alt = "numbers" }
other = "Bad"
[[items]]
id = "look"
attention = "mine"
[items.answers]
mine = "yes"
other = "no"
"""
MATRIX = b"0.5,1\n-1,0.25\n"
VOTES = [
    Vote("1", "one", ("mine", "other"), "0", {"correct": [4, None]}, "=x, \u0906\n'y'", 2.5),
    Vote("2", "one", ("other", "mine"), "tie", {"correct": [1, 2]}),
    Vote("2", "look", ("other", "mine"), "1", {}, "", math.nan, "mine"),
]
OTHERS = [
    {"question_id": 7, "model_a": "x", "model_b": "y", "winner": "model_a", "judge": "u1", "turn": 1},
    {"question_id": "8", "model_a": "y", "model_b": "x", "winner": "tie (bothbad)", "judge": 3.0},
    {"model_a": "y", "model_b": "z", "winner": "tie", "conversation_a": [{"role": "user", "content": "Hi"}]},
]


def arena_targets(folder: Path) -> dict[str, Target]:
    """All of them; ``folder`` is used to make a store."""
    lines = "\n".join(map(json.dumps, OTHERS)).encode()
    beside = {"c/m.csv": MATRIX}
    others = {"s/m.csv": MATRIX, "s/c.toml": COMPETITION.encode()}
    return {
        "read_competition": Target(
            "c/c.toml", COMPETITION.encode(), read_competition, _check_competition, others=beside
        ),
        "read_votes, .jsonl": Target("v.jsonl", encode(VOTES, "jsonl").encode(), read_votes, _check_votes),
        "read_votes, .csv": Target("v.csv", encode(VOTES, "csv").encode(), read_votes, _check_votes),
        "read_chatbot_arena, .json": Target("o.json", json.dumps(OTHERS).encode(), read_chatbot_arena, _check_votes),
        "read_chatbot_arena, .jsonl": Target("o.jsonl", lines, read_chatbot_arena, _check_votes),
        "arena store": Target("s/s.sqlite", _store(folder), _stored, _check_votes, others=others),
    }


def _check_competition(found: Competition) -> None:
    assert found.title
    assert all(len(item.answers) >= 2 for item in found.items)
    assert found.fingerprint() == found.fingerprint()
    for item in found.items:
        assert all(set(task) <= set(item.answers) for task in found.tasks(item))


def _check_votes(found: list[Vote]) -> None:
    for vote in found:
        assert vote.winner in ("", *vote.shown)
        assert type(vote.respondent) is str
    assert encode(found, "csv")
    assert "NaN" not in encode(found, "jsonl")


def _store(folder: Path) -> bytes:
    (folder / "store").mkdir()
    (folder / "store" / "m.csv").write_bytes(MATRIX)
    (folder / "store" / "c.toml").write_text(COMPETITION)
    path = folder / "store" / "s.sqlite"
    with Store(read_competition(folder / "store" / "c.toml"), path) as store:
        for _ in range(2):
            token = store.join()
            shown = store.agree(token)
            while shown is not None:
                shown = store.vote(token, Ballot(shown.id, "0", {"correct": [3, None]}, "because", 1.5))
    return path.read_bytes()


def _stored(path: Path) -> list[Vote]:
    for left in path.parent.glob("s.sqlite-*"):
        left.unlink()
    with Store(read_competition(path.parent / "c.toml"), path) as store:
        store.progress()
        return store.votes()
