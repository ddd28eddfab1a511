"""Two hundred respondents at once at the arena's server on this machine, and ten kills of it under load.

Server and respondents share two processors and speak over the loopback interface alone. Each respondent thinks for a
while, votes, and waits for the answer; the time from sending to the acknowledgement is measured. Then the same again
while the server is killed ten times by SIGKILL and started anew, each time after 200 more votes: every vote that it
acknowledged must be in the store, and none twice. The bars: 95 of 100 votes under 100 ms, nothing lost.

Run: python benchmarks/arena_load.py
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from provenance import write_result

from mmlab.arena.competition import Answer, Competition, Item
from mmlab.arena.store import Store
from mmlab.arena.tables import VOTES
from mmlab.compare.power import simulate_votes
from mmlab.compare.two_way import TwoWay, mean, rounds_won

RESPONDENTS, ITEMS, THINK, SECONDS, KILLS = 200, 60, 2.0, 25.0, 10
SERVER = """
import sys
from mmlab.arena.competition import read_competition
from mmlab.arena.server import serve
from mmlab.arena.store import Store
serve(Store(read_competition(sys.argv[1]), sys.argv[2]), "a long enough secret", port=int(sys.argv[3]))
"""


class Respondent:
    """One respondent with one connection, opened again when it breaks."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.rng, self.token = port, random.Random(seed), ""
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.acknowledged: list[str] = []
        self.waited: list[float] = []

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request over HTTP/1.1."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        head += f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        status = int((await reader.readline() or b"x 0 ").split()[1])
        length = 0
        while line := (await reader.readline()).strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = json.loads(await reader.readexactly(length) or b"{}")
        if status != 200:
            raise ConnectionError(status)
        return answer

    async def begin(self) -> dict[str, Any]:
        """Join, or come back."""
        if not self.token:
            self.token = (await self.ask("/api/join", {}))["token"]
        return await self.ask("/api/agree", {})

    async def take_part(self, over: asyncio.Event) -> None:
        """Think, vote, wait, until it is over."""
        shown: dict[str, Any] | None = None
        while not over.is_set():
            try:
                if shown is None:
                    shown = await self.begin()
                    await asyncio.sleep(self.rng.random() * THINK)  # not all of them at the same moment
                if "round" not in shown:
                    return
                await asyncio.sleep(self.rng.expovariate(1 / THINK))
                name, start = shown["round"], time.perf_counter()
                after = await self.ask(
                    "/api/vote", {"round": name, "choice": self.rng.choice("01"), "rationale": "because"}
                )
                self.waited.append(time.perf_counter() - start)
                self.acknowledged.append(name)
                shown = after
            except (OSError, ValueError, IndexError, asyncio.IncompleteReadError):
                self.streams, shown = None, None
                await asyncio.sleep(0.1)


def start(folder: Path, store: str, port: int) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers."""
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder / "load.toml"), store, str(port)])
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)
    raise TimeoutError("The server did not start within a minute.")


async def load(folder: Path, store: str, port: int, kills: int) -> tuple[list[Respondent], float, float]:
    """All respondents for a while, or with a kill after as many votes as there are respondents, again and again."""
    server = await asyncio.to_thread(start, folder, store, port)
    people = [Respondent(port, seed) for seed in range(RESPONDENTS)]
    began = time.monotonic()
    over = asyncio.Event()
    tasks = [asyncio.create_task(person.take_part(over)) for person in people]
    if not kills:
        await asyncio.sleep(SECONDS)
    for _ in range(kills):
        known, until = sum(len(person.acknowledged) for person in people), time.monotonic() + 20
        while sum(len(person.acknowledged) for person in people) < known + RESPONDENTS and time.monotonic() < until:
            await asyncio.sleep(0.01)
        server.send_signal(signal.SIGKILL)  # while votes are on their way
        server.wait()
        server = await asyncio.to_thread(start, folder, store, port)
    over.set()
    await asyncio.gather(*tasks)
    took = time.monotonic() - began
    server.terminate()
    used = os.wait4(server.pid, 0)[2]  # of the last server, imports included
    return people, took, used.ru_utime + used.ru_stime


def trial(folder: Path, competition: Competition, name: str, kills: int) -> dict[str, Any]:
    """One load, and what is in the store afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = str(folder / f"{name}.sqlite")
    people, took, used = asyncio.run(load(folder, address, port, kills))
    with Store(competition, address) as store:
        stored = [row.round for row in store.submit(lambda c: c.execute(VOTES.select()).all()).result()]
    said = [vote for person in people for vote in person.acknowledged]
    waited = sorted(1000 * seconds for person in people for seconds in person.waited)
    return {
        "respondents": RESPONDENTS,
        "seconds": round(took, 1),
        "kills": kills,
        "acknowledged": len(said),
        "stored": len(stored),
        "lost": len(set(said) - set(stored)),
        "twice": len(stored) - len(set(stored)),
        "votes a second": round(len(said) / took, 1),
        "processor of the server, s": round(used, 2),
        "median, ms": round(statistics.median(waited), 1),
        "p95, ms": round(waited[int(0.95 * len(waited))], 1),
        "p99, ms": round(waited[int(0.99 * len(waited))], 1),
    }


def main() -> None:
    """Measure, print and keep the numbers."""
    items = [Item(f"i{n}", Answer("Which?"), {"x1": Answer(f"One, {n}."), "x2": Answer("Two.")}) for n in range(ITEMS)]
    competition = Competition("Load", "Which is better?", items, rounds=50)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        competition.write(folder / "load.toml")
        rows = {
            "undisturbed": trial(folder, competition, "calm", 0),
            "killed": trial(folder, competition, "killed", KILLS),
        }
    y = simulate_votes(30, 30, np.random.default_rng(0)).ravel()
    begin = time.perf_counter()
    draws = TwoWay([i // 30 for i in range(900)], [i % 30 for i in range(900)], resamples=10_000)
    mean(draws, y)
    rounds_won(draws, y)
    results = {"think": THINK, "rows": rows, "bootstrap, s": round(time.perf_counter() - begin, 2)}
    print(json.dumps(results, indent=1))
    calm, killed = rows["undisturbed"], rows["killed"]
    print(write_result(results, __file__))
    if calm["p95, ms"] >= 100 or calm["lost"] or killed["lost"] or killed["twice"]:
        raise SystemExit("A bar is missed.")


if __name__ == "__main__":
    main()
