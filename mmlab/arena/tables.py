"""The tables of a competition's store, and the database that holds them: a SQLite file, or PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.pool import StaticPool

from mmlab.paths import expand
from mmlab.wording import few, naming, visible

__all__ = [
    "INVITATIONS",
    "META",
    "METADATA",
    "RESPONDENTS",
    "ROUNDS",
    "VOTES",
    "called",
    "insert_once",
    "open_database",
    "told",
]

METADATA = MetaData()
META = Table("arena_meta", METADATA, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))
INVITATIONS = Table(
    "arena_invitations",
    METADATA,
    Column("token", String(64), primary_key=True),  # its hash
    Column("made", Float, nullable=False),
)
RESPONDENTS = Table(
    "arena_respondents",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("token", String(64), nullable=False, unique=True),  # its hash: who reads the store cannot vote for others
    Column("joined", Float, nullable=False),
    Column("consented", Float),
    Column("seen", Float, nullable=False),
)
ROUNDS = Table(
    "arena_rounds",
    METADATA,
    Column("id", String(24), primary_key=True),
    Column("respondent", Integer, ForeignKey(RESPONDENTS.c.id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("item", String(60), nullable=False),
    Column("shown", Text, nullable=False),  # systems in the order of this respondent, as JSON
    UniqueConstraint("respondent", "position"),
    UniqueConstraint("respondent", "item"),
)
VOTES = Table(
    "arena_votes",
    METADATA,
    Column("round", String(24), ForeignKey(ROUNDS.c.id), primary_key=True),  # so that a second vote cannot be stored
    Column("choice", String(8), nullable=False),
    Column("ratings", Text, nullable=False),
    Column("rationale", Text, nullable=False),
    Column("seconds", Float),
    Column("received", Float, nullable=False),
)


def open_database(address: str | Path) -> Engine:
    """Open a store, and make its tables if they are not there.

    Args:
        address: Path of a SQLite file, or an address such as ``postgresql+psycopg://user:password@host/name``.

    Raises:
        ValueError: If the address is of another kind, or a file that holds other tables than ours.
        OSError: If the database cannot be opened.
    """
    from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

    text, name = str(address), called(address)
    try:
        if "://" not in text or text.startswith("sqlite://"):
            engine = _sqlite(_database(text))
        elif text.startswith("postgresql"):
            engine = create_engine(text, pool_pre_ping=True)
        else:
            raise ValueError(
                f"The store {text.partition('://')[0]}:// is not known: give a file, or postgresql+psycopg://..."
            )
        METADATA.create_all(engine)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as problem:
        raise ValueError(
            f"{name}: the address of the store cannot be used ({problem}): give a file, or postgresql+psycopg://..."
        ) from None
    except (DatabaseError, UnicodeDecodeError) as problem:  # what SQLite says of damage may itself be damaged
        raise OSError(
            f"{name}: the store cannot be opened ({_said(problem)}): check the address, and that it is a database."
        ) from None
    return engine


def called(address: str | Path) -> str:
    """What messages call a store: its file, or its address without the password."""
    from sqlalchemy.exc import ArgumentError

    text = str(address)
    try:
        return make_url(text).render_as_string() if "://" in text else text
    except ArgumentError:
        return f"{text.partition('://')[0]}://..."


@contextlib.contextmanager
def told(name: str) -> Iterator[None]:
    """Turn what a database says, for example of a damaged file, into a sentence with its name.

    Args:
        name: What messages call it; see :func:`called`.

    Raises:
        OSError: In place of an error of the database.
        ValueError: In place of one that does not name the store.
    """
    from sqlalchemy.exc import DBAPIError

    with naming(name):
        try:
            yield
        except (DBAPIError, UnicodeDecodeError) as problem:
            raise OSError(
                f"{name}: the store cannot be read or written ({_said(problem)}): see that the disk has room, put a "
                "copy of the store in its place, or take a new one."
            ) from None


def _said(problem: Any) -> str:
    return " ".join(str(getattr(problem, "orig", problem)).split())[:300]


def _database(address: str) -> Path | None:
    """The file that an address names; None for memory.

    Raises:
        ValueError: If it is the file of something else.
        OSError: If it cannot be one.
    """
    name = make_url(address).database if "://" in address else address
    if "://" in address and name in (None, "", ":memory:"):
        return None
    path = expand(name or "", "The store")
    if path.is_dir():
        raise IsADirectoryError(f"The store {path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for the store: make it first.")
    _refuse_other(path)
    return path.absolute()


def insert_once(connection: Connection, table: Table) -> Any:
    """An insert that does nothing where the key is there already, also if another server puts it there just now.

    Args:
        connection: Says which database it is.
        table: Where to insert.
    """
    from sqlalchemy.dialects import postgresql, sqlite

    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    return kind.insert(table).on_conflict_do_nothing()


def _refuse_other(path: Path) -> None:
    """Leave alone a database that somebody else made: ours would go into it, and its journal would change."""
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            held = {row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # it is told when it is opened for writing
        return
    if held and META.name not in held:
        others = few(map(visible, sorted(held)))
        raise ValueError(f"{path} is a database of something else ({others}): choose another file.")
    if held and (lacking := sorted(METADATA.tables.keys() - held)):
        raise ValueError(f"{path} lacks the table {few(lacking)}: put a copy of the store in its place.")


def _sqlite(path: Path | None) -> Engine:
    options: dict[str, Any] = {"poolclass": StaticPool} if path is None else {}
    address = URL.create("sqlite", database=None if path is None else str(path))  # whatever letters the path has
    engine = create_engine(address, connect_args={"check_same_thread": False, "timeout": 30}, **options)

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "wal_autocheckpoint=2000"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # a writer that starts by reading must not be told "busy" later

    return engine
