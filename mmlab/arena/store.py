"""Where a competition keeps what people say: nothing is acknowledged before it is on disk, nothing is counted twice.

One thread writes. Requests that arrive together share a transaction, and so one flush to the disk; each learns of its
success only after that flush.
"""

from __future__ import annotations

import hmac
import json
import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import InternalError, OperationalError

from mmlab.arena import tables as t
from mmlab.arena.assignment import plan_rounds
from mmlab.arena.competition import LONGEST, Competition
from mmlab.arena.votes import BOTH_BAD, TIE, Vote, stored_vote

__all__ = ["Ballot", "ClosedError", "RefusedError", "Round", "Store"]

_TOGETHER = 64  # requests in one transaction at most
_IDLE = 3600.0  # seconds after which somebody who stopped half-way leaves the open rounds to others


class RefusedError(ValueError):
    """A request that is not allowed, in a sentence for the respondent."""


class ClosedError(RefusedError):
    """The competition has ended."""


@dataclass(frozen=True)
class Round:
    """What a respondent sees next.

    Attributes:
        id: Its name on the page, which tells nothing.
        item: The item.
        shown: The systems in the order in which their answers stand.
        position: How many rounds came before.
        total: How many rounds the respondent has.
    """

    id: str
    item: str
    shown: tuple[str, ...]
    position: int
    total: int


@dataclass(frozen=True)
class Ballot:
    """What a respondent says of a round.

    Attributes:
        round: Its name.
        choice: Place of the best answer as text, "tie" or "none".
        ratings: For each scale one rating per answer, in the order shown; None where none was given.
        rationale: Why.
        seconds: Time that it took.
    """

    round: str
    choice: str
    ratings: dict[str, list[int | None]]
    rationale: str = ""
    seconds: float | None = None


class Store:
    """A competition and its database. Every method may be called from any thread.

    Args:
        competition: What is judged.
        address: Path of a SQLite file, ``"sqlite://"`` for memory alone, or an address of PostgreSQL.
        secret: What the order of items and the sides of answers follow from in a new store, for simulations that are to
            be repeated. By default it is drawn, and nobody can tell sides in advance.

    Raises:
        ValueError: If the store holds votes on another competition.
        OSError: If the database cannot be opened.
    """

    def __init__(self, competition: Competition, address: str | Path, *, secret: str = "") -> None:
        self.competition = competition
        self._new_secret = secret or secrets.token_hex(32)
        self.items = {item.name: item for item in competition.items}
        self.name = t.called(address)
        self.engine: Engine = t.open_database(address)
        self._jobs: queue.SimpleQueue[tuple[Callable[[Connection], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="arena-writer", daemon=True)
        self._writer.start()
        try:
            with t.told(self.name):
                self.secret = self.submit(self._set_up).result().encode()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was submitted, and let the database go."""
        self._jobs.put(None)
        self._writer.join()
        self.engine.dispose()

    # What a respondent does. Each method waits until it is on disk; the server awaits the same through `submit`.

    def join(self, token: str = "") -> str:
        """Take part: with an invitation, with a token that took part already, or with none in an open competition.

        Returns:
            The token by which the respondent is known from now on.

        Raises:
            RefusedError: If the token is not known, or nobody else may join.
        """
        return self.submit(lambda connection: self._join(connection, token)).result()

    def agree(self, token: str) -> Round | None:
        """Note that the respondent agrees to take part; the first round follows."""
        return self.submit(lambda connection: self._agree(connection, token)).result()

    def next(self, token: str) -> Round | None:
        """The first round without a vote; None after the last."""
        return self.submit(lambda connection: self._open(connection, self._known(connection, token).id)).result()

    def vote(self, token: str, ballot: Ballot) -> Round | None:
        """Store a vote. The same round twice counts once, and the first vote stays.

        Returns:
            The next round; None after the last.

        Raises:
            RefusedError: If the round is not this respondent's, or the vote is none that the competition allows.
            ClosedError: If the competition has ended.
        """
        return self.submit(lambda connection: self._vote(connection, token, ballot)).result()

    # What the organiser does.

    def invite(self, count: int) -> list[str]:
        """Make invitations; only hashes of them are stored, so these are the only copies.

        Args:
            count: How many.
        """
        if not 1 <= count <= 100_000:
            raise ValueError(f"count is {count}: choose from 1 to 100000 invitations.")
        tokens = [secrets.token_urlsafe(15) for _ in range(count)]
        rows = [{"token": _hash(token), "made": time.time()} for token in tokens]
        with t.told(self.name):
            self.submit(lambda connection: connection.execute(t.INVITATIONS.insert(), rows)).result()
        return tokens

    def votes(self) -> list[Vote]:
        """All votes with the hidden mapping, in the order in which they came.

        Raises:
            ValueError: If a row of the store is no vote on this competition: then somebody changed it.
            OSError: If the store cannot be read.
        """
        query = select(t.ROUNDS, t.VOTES).join(t.VOTES, t.VOTES.c.round == t.ROUNDS.c.id)
        with t.told(self.name), self.engine.connect() as connection:
            rows = connection.execute(query.order_by(t.VOTES.c.received, t.ROUNDS.c.id)).all()
            return [stored_vote(row, self.items) for row in rows]

    def progress(self) -> dict[str, Any]:
        """How far it is, without what was voted: respondents, votes, and votes by item."""
        with t.told(self.name), self.engine.connect() as connection:
            people = connection.execute(select(func.count()).select_from(t.RESPONDENTS)).scalar_one()
            counted = select(t.ROUNDS.c.item, func.count()).join(t.VOTES, t.VOTES.c.round == t.ROUNDS.c.id)
            found = {row[0]: row[1] for row in connection.execute(counted.group_by(t.ROUNDS.c.item))}
        by_item = {name: found.get(name, 0) for name in self.items}
        return {"respondents": people, "votes": sum(by_item.values()), "by_item": by_item}

    def code(self, *parts: str) -> str:
        """A name for something that tells nothing of it, the same each time."""
        return hmac.new(self.secret, "\0".join(parts).encode(), sha256).hexdigest()[:24]

    def submit(self, job: Callable[[Connection], Any]) -> Future[Any]:
        """Hand a job to the writer. Its result comes after the transaction that it is part of is on disk."""
        future: Future[Any] = Future()
        self._jobs.put((job, future))
        return future

    # The writer.

    def _write(self) -> None:
        going = True
        while going:
            jobs = [self._jobs.get()]
            while len(jobs) < _TOGETHER and not self._jobs.empty():
                jobs.append(self._jobs.get())
            going = None not in jobs
            if batch := [job for job in jobs if job is not None]:
                self._write_together(batch)

    def _write_together(self, batch: Sequence[tuple[Callable[[Connection], Any], Future[Any]]]) -> None:
        """One transaction: a job that fails takes back its own changes; if the disk fails, all of them fail."""
        done: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            with self.engine.begin() as connection:
                for job, future in batch:
                    try:
                        with connection.begin_nested():
                            done.append((future, job(connection), None))
                    except (OperationalError, InternalError):  # the disk, or the connection: nothing here is safe
                        raise
                    except Exception as problem:
                        done.append((future, None, problem))
        except BaseException as problem:
            for _, future in batch:
                future.set_exception(_first_error(problem))
            return
        for future, result, refusal in done:  # only now: it is on disk
            if refusal is None:
                future.set_result(result)
            else:
                future.set_exception(refusal)

    # What the writer does, inside a transaction.

    def _set_up(self, connection: Connection) -> str:
        known = {row.key: row.value for row in connection.execute(select(t.META).with_for_update())}
        mark = self.competition.fingerprint()
        if known.get("competition", mark) != mark:
            raise ValueError(
                "The store holds votes on another version of this competition: its items, answers, question or scales "
                "have changed. Take a new store, or put the old file back."
            )
        if known and not {"competition", "secret"} <= known.keys():
            raise ValueError("The store lacks its secret or its mark: put a copy in its place, or take a new one.")
        if not known:
            rows = {"competition": mark, "secret": self._new_secret}
            connection.execute(t.META.insert(), [{"key": key, "value": value} for key, value in rows.items()])
            return rows["secret"]
        return known["secret"]

    def _join(self, connection: Connection, token: str) -> str:
        self._require_open()
        connection.execute(select(t.META.c.key).with_for_update())  # one at a time, also with several servers
        people = t.RESPONDENTS
        if token and connection.execute(select(people.c.id).where(people.c.token == _hash(token))).first():
            return token
        invited = (
            token and connection.execute(select(t.INVITATIONS).where(t.INVITATIONS.c.token == _hash(token))).first()
        )
        if not invited and (self.competition.invited or token):
            raise RefusedError("This link is not known. Use the one that you were sent, as it is.")
        if (
            connection.execute(select(func.count()).select_from(people)).scalar_one()
            >= self.competition.most_respondents
        ):
            raise RefusedError("As many people as planned take part already. Thank you for coming.")
        token = token or secrets.token_urlsafe(15)
        now = time.time()
        made = connection.execute(
            people.insert().values(token=_hash(token), joined=now, seen=now).returning(people.c.id)
        )
        respondent = made.scalar_one()
        planned = plan_rounds(self.competition, self._given(connection), self.secret, respondent)
        rows = [
            {"id": secrets.token_urlsafe(12), "respondent": respondent, "position": position, "item": item,
             "shown": json.dumps(shown, ensure_ascii=False)}
            for position, (item, shown) in enumerate(planned)
        ]  # fmt: skip
        connection.execute(t.ROUNDS.insert(), rows)
        return token

    def _given(self, connection: Connection) -> dict[tuple[str, frozenset[str]], int]:
        """How often each task was given, without the open rounds of those who left."""
        people, rounds = t.RESPONDENTS, t.ROUNDS
        here = (people.c.seen > time.time() - _IDLE) | t.VOTES.c.round.is_not(None)
        query = (
            select(rounds.c.item, rounds.c.shown, func.count())
            .select_from(
                rounds.join(people, rounds.c.respondent == people.c.id).outerjoin(
                    t.VOTES, t.VOTES.c.round == rounds.c.id
                )
            )
            .where(here)
            .group_by(rounds.c.item, rounds.c.shown)
        )
        given: dict[tuple[str, frozenset[str]], int] = {}
        for item, shown, count in connection.execute(query):
            key = (item, frozenset(json.loads(shown)))
            given[key] = given.get(key, 0) + count
        return given

    def _known(self, connection: Connection, token: str) -> Any:
        row = connection.execute(select(t.RESPONDENTS).where(t.RESPONDENTS.c.token == _hash(token))).first()
        if row is None:
            raise RefusedError("You are not known here: open your link again.")
        return row

    def _agree(self, connection: Connection, token: str) -> Round | None:
        self._require_open()
        who = self._known(connection, token)
        if who.consented is None:
            change = t.RESPONDENTS.update().where(t.RESPONDENTS.c.id == who.id)
            connection.execute(change.values(consented=time.time()))
        return self._open(connection, who.id)

    def _open(self, connection: Connection, respondent: int) -> Round | None:
        rounds = t.ROUNDS
        mine = rounds.c.respondent == respondent
        total = connection.execute(select(func.count()).select_from(rounds).where(mine)).scalar_one()
        left = select(rounds).outerjoin(t.VOTES, t.VOTES.c.round == rounds.c.id).where(mine, t.VOTES.c.round.is_(None))
        row = connection.execute(left.order_by(rounds.c.position).limit(1)).first()
        if row is None:
            return None
        return Round(row.id, row.item, tuple(json.loads(row.shown)), row.position, total)

    def _vote(self, connection: Connection, token: str, ballot: Ballot) -> Round | None:
        self._require_open()
        who = self._known(connection, token)
        if who.consented is None:
            raise RefusedError("Agree to take part first.")
        mine = (t.ROUNDS.c.id == ballot.round) & (t.ROUNDS.c.respondent == who.id)
        row = connection.execute(select(t.ROUNDS).where(mine)).first()
        if row is None:
            raise RefusedError("This round is not yours: reload the page.")
        self._check(ballot, len(json.loads(row.shown)))
        new = {"round": row.id, "choice": ballot.choice, "ratings": json.dumps(ballot.ratings)}
        new |= {"rationale": ballot.rationale, "seconds": ballot.seconds, "received": time.time()}
        connection.execute(t.insert_once(connection, t.VOTES).values(**new))
        connection.execute(t.RESPONDENTS.update().where(t.RESPONDENTS.c.id == who.id).values(seen=time.time()))
        return self._open(connection, who.id)

    def _check(self, ballot: Ballot, answers: int) -> None:
        if ballot.choice not in (TIE, BOTH_BAD, *map(str, range(answers))):
            raise RefusedError("Choose one of the answers, or say that none is better or none is good.")
        if len(ballot.rationale) > LONGEST:
            raise RefusedError(f"The reason has more than {LONGEST:,} letters: shorten it.")
        scales = {scale.name: scale.points for scale in self.competition.scales}
        for name, values in ballot.ratings.items():
            if name not in scales or len(values) != answers:
                raise RefusedError("The ratings do not fit this round: reload the page.")
            if any(value is not None and not 1 <= value <= scales[name] for value in values):
                raise RefusedError(f"A rating lies outside 1 to {scales[name]}.")

    def _require_open(self) -> None:
        if self.competition.ends is not None and time.time() > self.competition.ends.timestamp():
            raise ClosedError("The competition has ended. Thank you for coming.")


def _first_error(problem: BaseException) -> BaseException:
    """What went wrong first: on a full disk SQLite takes back everything, and SQLAlchemy stumbles over that."""
    first, at = problem, problem.__context__
    while at is not None:
        first, at = (at if isinstance(at, OperationalError) else first), at.__context__
    return first


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()
