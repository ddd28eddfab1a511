"""A small competition, its server on this machine, and a PostgreSQL where there is one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from arena_world import Client, serving, small

from mmlab.arena.competition import Competition
from mmlab.arena.store import Store


@pytest.fixture
def competition(tmp_path: Path) -> Competition:
    return small(tmp_path)


@pytest.fixture
def store(competition: Competition, tmp_path: Path) -> Iterator[Store]:
    with Store(competition, tmp_path / "votes.sqlite") as opened:
        yield opened


@pytest.fixture
def serve() -> Iterator[Callable[[Store], int]]:
    """Serve a store until the test ends; returns the port."""
    running = []

    def begin(store: Store) -> int:
        server, thread, port = serving(store)
        running.append((server, thread))
        return port

    yield begin
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(store: Store, serve: Callable[[Store], int]) -> Client:
    return Client(serve(store))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a real PostgreSQL that runs for this session; skipped where there is none."""
    initdb = shutil.which("initdb") or next(
        iter(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")))), None
    )
    if initdb is None:
        pytest.skip(
            "no PostgreSQL on this machine (Debian: apt install postgresql): the store is tested on SQLite alone"
        )
    binaries = Path(initdb).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        if not shutil.which("setpriv") or subprocess.run(["id", "nobody"], capture_output=True, check=False).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no other user to run it")
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        shutil.chown(folder, "nobody")
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(
            [*as_user, *command], capture_output=True, text=True, cwd=folder, timeout=120, check=False
        )
        if done.returncode:
            pytest.skip(f"PostgreSQL cannot be started here: {done.stderr.strip()[-200:]}")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run(str(binaries / "initdb"), "-D", str(data), "-U", "arena", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=16MB"
    run(str(binaries / "pg_ctl"), "-D", str(data), "-l", str(folder / "log"), "-o", options, "-w", "start")
    try:
        yield f"postgresql+psycopg://arena@127.0.0.1:{port}/postgres"
    finally:
        stop = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, capture_output=True, timeout=60, check=False)
        shutil.rmtree(folder, ignore_errors=True)
