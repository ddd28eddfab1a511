"""The store: balance, blindness, one vote a round, and nothing acknowledged that is not on disk."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import pytest
from arena_world import SYSTEMS, small
from sqlalchemy import text

from mmlab.arena.assignment import plan_rounds, side_order
from mmlab.arena.competition import Answer, Competition, Item
from mmlab.arena.store import Ballot, ClosedError, RefusedError, Store
from mmlab.arena.tables import METADATA, open_database


def judge_all(store: Store, token: str, choice: str = "0") -> int:
    shown, count = store.agree(token), 0
    while shown is not None:
        shown, count = store.vote(token, Ballot(shown.id, choice, {})), count + 1
    return count


def test_a_respondent_judges_each_item_once_and_comes_back_to_the_open_one(store):
    token = store.join()
    first = store.agree(token)
    second = store.vote(token, Ballot(first.id, "1", {"understanding": [3, None]}, "because", 2.5))
    assert (first.position, second.position, first.total) == (0, 1, 9)
    assert store.next(token) == second
    assert store.join(token) == token  # the same person, not a new one
    assert 1 + judge_all(store, token) == 9
    assert store.next(token) is None
    votes = store.votes()
    assert len({vote.item for vote in votes}) == len(votes) == 9
    assert votes[0].winner == first.shown[1]
    assert votes[0].ratings == {"understanding": [3, None]}
    assert (votes[0].rationale, votes[0].seconds, votes[0].respondent) == ("because", 2.5, "1")
    assert math.isnan(votes[1].seconds)


def test_a_store_with_a_given_secret_deals_the_same_again(competition, tmp_path):
    def dealt(name: str, secret: str) -> list[tuple[str, str]]:
        with Store(competition, tmp_path / f"{name}.sqlite", secret=secret) as store:
            for _ in range(4):
                judge_all(store, store.join())
            return [(vote.item, str(vote.winner)) for vote in store.votes()]

    assert dealt("a", "truth") == dealt("b", "truth") != dealt("c", "lie")
    assert dealt("d", "") != dealt("e", "")


def test_a_vote_sent_twice_counts_once_and_the_first_one_stays(store):
    token = store.join()
    shown = store.agree(token)
    ballot = Ballot(shown.id, "0", {})
    threads = [threading.Thread(target=store.vote, args=(token, ballot)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.vote(token, Ballot(shown.id, "tie", {}))
    assert [(vote.choice, vote.winner) for vote in store.votes()] == [("0", shown.shown[0])]


def test_many_at_once_lose_nothing(store):
    def one(choice: str) -> None:
        judge_all(store, store.join(), choice)

    threads = [threading.Thread(target=one, args=("tie" if i % 2 else "none",)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(vote.choice for vote in store.votes()) == {"tie": 90, "none": 90}
    assert store.progress()["votes"] == 180


def test_items_and_pairs_are_balanced_and_leavers_leave_their_items_to_others(tmp_path):
    items = [Item(f"i{n}", Answer("?"), {s: Answer(s.upper()) for s in "xyz"}) for n in range(10)]
    competition = Competition(
        "T", "Which?", [Item(i.name, i.shown, {k: Answer("an answer") for k in "xyz"}) for i in items], rounds=4
    )
    with Store(competition, tmp_path / "a.sqlite") as store:
        left = [store.join() for _ in range(10)]
        for token in left:
            store.agree(token)
        with store.engine.begin() as connection:  # they are gone for long, and voted on nothing
            connection.execute(text("UPDATE arena_respondents SET seen = seen - 1e6"))
        for _ in range(15):
            judge_all(store, store.join())
        votes = store.votes()
        by_item = Counter(vote.item for vote in votes)
        by_pair = Counter(frozenset(vote.shown) for vote in votes)
        assert set(by_item.values()) == {6}
        assert max(by_pair.values()) - min(by_pair.values()) <= 4, by_pair
        for item in by_item:
            assert {count for _, count in Counter(frozenset(v.shown) for v in votes if v.item == item).items()} == {2}


def test_sides_are_fair_and_a_function_of_secret_respondent_and_item(competition):
    first = sum(side_order(b"s", r, f"i{i}", SYSTEMS)[0] == SYSTEMS[0] for r in range(100) for i in range(40))
    assert (first - 2000) ** 2 / 1000 < 10.8  # chi-square, p = 0.001
    plan = plan_rounds(competition, {}, b"secret", 3)
    assert plan == plan_rounds(competition, {}, b"secret", 3)
    assert plan != plan_rounds(competition, {}, b"secret", 4)
    assert plan != plan_rounds(competition, {}, b"other", 3)
    positions = [[name for name, _ in plan_rounds(competition, {}, b"s", r)].index("item-check") for r in range(200)]
    assert len(set(positions)) == 9  # attention items stand anywhere


def test_invitations_are_known_by_hash_alone_and_open_the_same_seat_again(tmp_path):
    with Store(small(tmp_path, invited=True), tmp_path / "b.sqlite") as store:
        tokens = store.invite(3)
        with pytest.raises(RefusedError, match="This link is not known"):
            store.join()
        with pytest.raises(RefusedError, match="This link is not known"):
            store.join("guess")
        assert store.join(tokens[0]) == store.join(tokens[0])
        assert store.progress()["respondents"] == 1
    content = b"".join(path.read_bytes() for path in tmp_path.glob("b.sqlite*"))
    assert not any(token.encode() in content for token in tokens)


@pytest.mark.parametrize(
    ("ballot", "why"),
    [
        ({"choice": "2"}, "Choose one"),
        ({"choice": "better"}, "Choose one"),
        ({"ratings": {"beauty": [1, 1]}}, "do not fit"),
        ({"ratings": {"understanding": [1]}}, "do not fit"),
        ({"ratings": {"understanding": [1, 6]}}, "outside 1 to 5"),
        ({"rationale": "x" * 10_001}, "shorten"),
        ({"round": "another"}, "not yours"),
    ],
)
def test_a_vote_that_is_none_is_refused_in_a_sentence(store, ballot, why):
    token = store.join()
    shown = store.agree(token)
    with pytest.raises(RefusedError, match=why):
        store.vote(token, Ballot(**{"round": shown.id, "choice": "0", "ratings": {}, **ballot}))
    assert store.votes() == []


def test_rounds_belong_to_one_respondent_and_consent_comes_first(store):
    one, other = store.join(), store.join()
    shown = store.agree(one)
    with pytest.raises(RefusedError, match="Agree to take part first"):
        store.vote(other, Ballot(shown.id, "0", {}))
    store.agree(other)
    with pytest.raises(RefusedError, match="not yours"):
        store.vote(other, Ballot(shown.id, "0", {}))
    with pytest.raises(RefusedError, match="not known"):
        store.next("somebody")


def test_after_the_end_nothing_is_taken(tmp_path):
    from datetime import UTC, datetime, timedelta

    path = tmp_path / "c.sqlite"
    with Store(small(tmp_path), path) as store:
        token = store.join()
        shown = store.agree(token)
    over = small(tmp_path, ends=datetime.now(UTC) - timedelta(seconds=1))
    with Store(over, path) as store:
        for late in (store.join, lambda: store.vote(token, Ballot(shown.id, "0", {}))):
            with pytest.raises(ClosedError, match="has ended"):
                late()


def test_a_store_keeps_to_its_competition(tmp_path):
    Store(small(tmp_path), tmp_path / "d.sqlite").close()
    Store(small(tmp_path, rounds=5), tmp_path / "d.sqlite").close()  # limits may change
    with pytest.raises(ValueError, match=r"d\.sqlite: .*another version of this competition"):
        Store(small(tmp_path, items=5), tmp_path / "d.sqlite")


def test_a_full_disk_refuses_and_heals(store):
    """SQLite's own limit of pages gives the same error as a disk without room."""
    token = store.join()
    shown = store.agree(token)
    store.vote(token, Ballot(shown.id, "0", {}))
    full = store.submit(lambda c: c.exec_driver_sql(
        f"PRAGMA max_page_count={c.exec_driver_sql('PRAGMA page_count').scalar()}").scalar())  # fmt: skip
    full.result()
    open_round, problem = store.next(token), None
    while problem is None:
        job = store.submit(lambda c, r=open_round: store._vote(c, token, Ballot(r.id, "0", {}, "x" * 9_000)))
        problem = job.exception()
        open_round = open_round if problem else job.result()
    assert "disk is full" in str(problem)
    assert store.next(token) == open_round  # it keeps answering
    before = len(store.votes())
    store.submit(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").scalar()).result()
    store.vote(token, Ballot(open_round.id, "0", {}, "x" * 9_000))
    assert len(store.votes()) == before + 1


def test_an_error_in_one_job_takes_back_that_job_alone(store):
    def half(connection):
        connection.execute(text("INSERT INTO arena_invitations VALUES ('half', 0)"))
        raise RefusedError("no")

    jobs = [
        store.submit(half),
        store.submit(lambda c: c.execute(text("INSERT INTO arena_invitations VALUES ('whole', 0)"))),
    ]
    with pytest.raises(RefusedError):
        jobs[0].result()
    jobs[1].result()
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT token FROM arena_invitations")).scalars().all() == ["whole"]


def test_every_commit_is_flushed_to_the_disk(store):
    found = [
        store.submit(lambda c, p=p: c.exec_driver_sql(f"PRAGMA {p}").scalar()).result()
        for p in ("journal_mode", "synchronous")
    ]
    assert found == ["wal", 2]


def test_addresses_that_cannot_be_used_are_told(tmp_path):
    (tmp_path / "no.sqlite").write_text("this is no database, but a letter to somebody" * 50)
    for address, why in (
        ("mysql://x", "is not known"),
        (tmp_path / "nowhere" / "x.sqlite", "no folder"),
        (tmp_path / "no.sqlite", r"no\.sqlite: .*cannot be opened"),
        ("postgresql+psycopg://arena:secret@127.0.0.1:1/none", r"//arena:\*\*\*@127.0.0.1:1/none: .*cannot be opened"),
    ):
        with pytest.raises((ValueError, OSError), match=why):
            open_database(address)


def test_an_address_of_sqlite_is_a_path_like_others(tmp_path, monkeypatch):
    """Expanded, and never that of somebody else's database."""
    monkeypatch.setenv("HOME", str(tmp_path))
    competition = small(tmp_path)
    for address in (
        "sqlite:///~/a.sqlite",
        "sqlite:///$HOME/b.sqlite",
        "~/c%20d?.sqlite",
        f"sqlite:///{tmp_path}/e.db",
    ):
        Store(competition, address).close()
    assert {"a.sqlite", "b.sqlite", "c%20d?.sqlite", "e.db"} <= {path.name for path in tmp_path.iterdir()}
    own = tmp_path / "own.sqlite"
    with contextlib.closing(sqlite3.connect(own)) as opened:
        opened.execute("CREATE VIEW places AS SELECT 1")
    before = own.read_bytes()
    for address in (own, f"sqlite:///{own}"):
        with pytest.raises(ValueError, match=r"something else \(places\)"):
            Store(competition, address)
    assert own.read_bytes() == before
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        Store(competition, tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE arena_rounds SET shown = 'x'", "that is no vote: shown cannot be read"),
        ("UPDATE arena_rounds SET shown = '[1, 2]'", "are no answers"),
        ("UPDATE arena_rounds SET item = 'zz' WHERE position = 0", "there is no item 'zz'"),
        ("UPDATE arena_votes SET choice = '9'", "choice is '9'"),
        ("UPDATE arena_votes SET ratings = '[]'", "an object with a list"),
        ("UPDATE arena_votes SET rationale = x'ff'", "rationale is"),
        ("UPDATE arena_votes SET seconds = 'abc'", "seconds is 'abc'"),
        ("DELETE FROM arena_meta WHERE key = 'secret'", "lacks its secret"),
        ("DROP TABLE arena_votes", "lacks the table arena_votes"),
        ("ALTER TABLE arena_votes DROP COLUMN rationale", "cannot be read or written .*no such column"),
    ],
)
def test_a_store_that_was_changed_is_told(tmp_path, change, why):
    competition = small(tmp_path)
    with Store(competition, tmp_path / "s.sqlite") as store:
        judge_all(store, store.join())
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as opened:
        opened.execute(change)
        opened.commit()
    named = pytest.raises((ValueError, OSError), match=rf"^{tmp_path / 's.sqlite'}.*{why}")
    with named, Store(competition, tmp_path / "s.sqlite") as store:
        store.votes()


def test_damage_whose_own_message_is_damaged_is_told(tmp_path):
    """SQLite quotes the damaged words, which are no text then."""
    path = tmp_path / "s.sqlite"
    Store(small(tmp_path), path).close()
    content = path.read_bytes()
    assert b"CREATE TABLE arena_votes" in content
    path.write_bytes(content.replace(b"CREATE TABLE arena_votes", b"CREATE T\xff\xff\xff\xff arena_votes"))
    with pytest.raises(OSError, match=rf"^{path}: .*cannot be (opened|read)"):
        Store(small(tmp_path), path)


def test_the_same_on_postgresql(postgres, tmp_path):
    competition = small(tmp_path)
    with Store(competition, postgres) as store, Store(competition, postgres) as second:  # as two servers would
        assert store.secret == second.secret
        threads = [threading.Thread(target=lambda s: judge_all(s, s.join()), args=(s,)) for s in [store, second] * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.votes()) == 72
        token = store.join()
        shown = second.agree(token)
        ballot = Ballot(shown.id, "1", {"understanding": [1, 5]}, "Ünïcode, '; DROP TABLE arena_votes; -- 🙂" * 20)
        racing = [threading.Thread(target=s.vote, args=(token, ballot)) for s in [store, second] * 5]
        for thread in racing:
            thread.start()
        for thread in racing:
            thread.join()
        assert [v.rationale for v in store.votes() if v.rationale] == [ballot.rationale]
        METADATA.drop_all(store.engine)


def test_the_store_holds_no_name_and_no_address(store, tmp_path: Path):
    columns = {column.name for table in METADATA.tables.values() for column in table.columns}
    assert columns == {
        *(
            "key",
            "value",
            "token",
            "made",
            "id",
            "joined",
            "consented",
            "seen",
            "respondent",
            "position",
            "item",
            "shown",
        ),
        *("round", "choice", "ratings", "rationale", "seconds", "received"),
    }
