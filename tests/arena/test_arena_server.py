"""The server over HTTP: nothing tells whose answer it is, and nothing that is sent does harm."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPException
from pathlib import Path

import pytest
from arena_world import SECRET, SYSTEMS, Client, small

from mmlab.arena.server import LARGEST, application
from mmlab.arena.store import Store
from mmlab.arena.votes import read_votes

ADMIN = {"Authorization": "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()}


def test_a_whole_journey_shows_no_name_of_a_system(client, store):
    """Every byte that a respondent receives is searched."""
    received = [client.ask("GET", path)[1] for path in ("/", "/page.js", "/page.css", "/api/about", "/nothing")]
    shown = client.begin()
    pictures = set()
    while "round" in shown:
        received.append(json.dumps(shown).encode())
        for answer in shown["answers"]:
            if "picture" in answer:
                status, content, headers = client.ask("GET", answer["picture"])
                assert (status, headers["content-type"], content[:4]) == (200, "image/png", b"\x89PNG")
                pictures.add(content)
                received += [content, answer["picture"].encode()]
        shown = client.vote(shown, "1", ratings={"understanding": [1, 5]}, rationale="so", seconds=1.5)
    assert shown == {"agreed": True, "done": True}
    assert len(pictures) == 4
    everything = b"\n".join(received).lower()
    for name in (*SYSTEMS, "right", "absurd", "attention", *store.items):
        assert name.encode() not in everything.replace(b"copyright", b""), name
    assert len(store.votes()) == 9


def test_admin_pages_need_the_secret_and_show_the_mapping_only_in_the_export(client, store, tmp_path):
    client.begin()
    client.token = ""
    for path in ("/admin", "/admin/votes.csv", "/admin/votes.jsonl"):
        assert client.ask("GET", path)[0] == 401
        wrong = {"Authorization": "Basic " + base64.b64encode(b"me:guess").decode()}
        assert client.ask("GET", path, **wrong)[0] == 401
    status, page, _ = client.ask("GET", "/admin", **ADMIN)
    assert status == 200
    assert b"1 respondents, 0 votes" in page
    assert not any(name.encode() in page for name in SYSTEMS)
    client.vote(client.begin())
    status, rows, _ = client.ask("GET", "/admin/votes.jsonl", **ADMIN)
    (tmp_path / "v.jsonl").write_bytes(rows)
    assert read_votes(tmp_path / "v.jsonl")[0].shown == store.votes()[0].shown
    assert client.ask("GET", "/admin/votes.exe", **ADMIN)[0] == 404
    for _ in range(12):
        client.ask("GET", "/admin", Authorization="Basic " + base64.b64encode(b"me:guess").decode())
    assert client.ask("GET", "/admin", **ADMIN)[0] == 429  # guessing is slow


def test_other_sites_can_neither_read_nor_write(client, store):
    shown = client.begin()
    body = {"round": shown["round"], "choice": "0"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "cross-site"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    ):
        assert client.ask("POST", "/api/vote", body, **headers)[0] == 403, headers
    token, client.token = client.token, ""
    assert client.ask("POST", "/api/vote", body)[0] == 400  # a form of another site cannot set the token
    assert client.ask("POST", "/api/vote", body, Cookie=f"token={token}")[0] == 400  # there are no cookies
    assert store.votes() == []
    _, _, headers = client.ask("GET", "/")
    assert "set-cookie" not in headers
    assert "access-control-allow-origin" not in headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert client.ask("OPTIONS", "/api/vote", Origin="http://evil.example")[0] == 405
    assert (
        client.ask(
            "POST", "/api/vote", body, Origin=f"http://127.0.0.1:{client.port}", Authorization=f"Bearer {token}"
        )[0]
        == 200
    )


def test_no_path_leads_to_a_file(client):
    for path in (
        *(
            "/../pyproject.toml",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/picture/../../etc/passwd",
            "/picture/..%2f..%2fetc%2fpasswd",
        ),
        *("/picture/%00", "/static/page.js", "/votes.sqlite", "/admin/votes.../x", "//etc/passwd"),
    ):
        status, content, _ = client.ask("GET", path)
        assert status in (400, 401, 404), path
        assert b"root:" not in content
        assert b"[project]" not in content


MALFORMED = [
    (b"x" * (LARGEST + 1), 413),
    (b"{", 400),
    (b"[]", 400),
    (b"\xff\xfe", 400),
    (b"[" * 30_000, 400),
    (b'{"round": 3, "choice": "0"}', 400),
    (b'{"round": "%s", "choice": ["0"]}', 400),
    (b'{"round": "%s", "choice": "0", "ratings": [1]}', 400),
    (b'{"round": "%s", "choice": "0", "ratings": {"understanding": [1, 1e999]}}', 400),
    (b'{"round": "%s", "choice": "0", "ratings": {"understanding": [true, 1]}}', 400),
    (b'{"round": "%s", "choice": "0", "ratings": {"understanding": [1, 99999999999999999999]}}', 400),
    (b'{"round": "%s", "choice": "99999999999"}', 400),
    (b'{"round": "%s", "choice": "-1"}', 400),
    (b'{"round": "%s", "choice": "0", "rationale": {"a": 1}}', 400),
    (b'{"round": "%s", "choice": "0", "seconds": "NaN"}', 200),
    (b'{"round": "%s", "choice": "0", "seconds": NaN}', 200),
    (b'{"round": "%s", "choice": "0", "seconds": 1' + b"0" * 400 + b"}", 200),
    (b'{"round": "%s", "choice": "0", "seconds": 1e999, "rationale": "\\u0000 \\ud83d"}', 200),
]


def test_what_is_malformed_is_refused_and_the_server_goes_on(client, store):
    shown = client.begin()
    for body, wanted in MALFORMED:
        before = len(store.votes())
        status, content, _ = client.ask("POST", "/api/vote", body.replace(b"%s", shown["round"].encode()))
        assert status == wanted, (body[:80], content)
        assert len(store.votes()) - before == (status == 200)
        shown = client.call("/api/next")


NASTY = [
    "'; DROP TABLE arena_votes; --",
    '" OR 1=1 --',
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    '=HYPERLINK("http://evil.example")',
    "Ünïcode 🙂 עברית \u202e",
    "x" * 10_000,
]


def test_injections_are_words_like_others(client, store, tmp_path):
    shown = client.begin()
    for words in NASTY:
        shown = client.vote(shown, "0", rationale=words)
    assert sorted(vote.rationale for vote in store.votes()) == sorted(NASTY)
    _, table, _ = client.ask("GET", "/admin/votes.csv", **ADMIN)
    assert not re.search(rb"(^|,|\")=", table.replace(b'""', b""))  # no spreadsheet takes it for a formula
    (tmp_path / "v.csv").write_bytes(table)
    assert sorted(vote.rationale for vote in read_votes(tmp_path / "v.csv")) == sorted(NASTY)
    client.token = "' OR 1=1 --"
    assert client.ask("GET", "/api/next")[0] == 400
    assert b"<script>" not in client.ask("GET", "/admin", **ADMIN)[1]


def test_a_full_disk_says_later_and_the_vote_comes_through_afterwards(client, store):
    shown = client.begin()
    pages = "PRAGMA max_page_count={}"
    store.submit(
        lambda c: c.exec_driver_sql(pages.format(c.exec_driver_sql("PRAGMA page_count").scalar())).scalar()
    ).result()
    status = 200
    while status == 200:
        status, content, headers = client.ask(
            "POST", "/api/vote", {"round": shown["round"], "choice": "0", "rationale": "x" * 9000}
        )
        shown = json.loads(content) if status == 200 else shown
    assert (status, headers["retry-after"]) == (503, "5")
    assert b"tries again" in content
    assert client.call("/api/about")["title"]  # it keeps serving
    assert client.call("/api/next")["round"] == shown["round"]
    store.submit(lambda c: c.exec_driver_sql(pages.format(10**6)).scalar()).result()
    assert client.vote(shown, "0", rationale="x" * 9000)["agreed"]


def test_a_short_secret_is_refused(store):
    with pytest.raises(ValueError, match="12 letters"):
        application(store, "short")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from arena_world import SECRET, small
from mmlab.arena.server import serve
from mmlab.arena.store import Store
folder = Path({folder!r})
serve(Store(small(folder, items=40, rounds=40, pictures=False), folder / "votes.sqlite"), SECRET, port={port})
"""


def test_a_killed_server_has_kept_every_vote_that_it_acknowledged(tmp_path):
    """Two kills by SIGKILL under load; all that was acknowledged is there, and nobody is counted twice."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = KILLED.format(here=str(Path(__file__).parent), folder=str(tmp_path), port=port)
    acknowledged: set[str] = set()
    over = threading.Event()
    clients = [Client(port) for _ in range(6)]

    def keep_voting(client: Client) -> None:
        shown = None
        while not over.is_set():
            try:
                shown = shown or (client.call("/api/next") if client.token else client.begin())
                if "round" not in shown:
                    return
                name = shown["round"]
                after = client.vote(shown)
                acknowledged.add(name)
                shown = after
            except (OSError, HTTPException, AssertionError, ValueError):  # killed, perhaps in an answer: ask again
                shown = None
                time.sleep(0.05)

    def start() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                Client(port).call("/api/about")
                return server
            except (OSError, HTTPException, AssertionError):
                time.sleep(0.1)
        raise TimeoutError("the server did not start")

    server = start()
    threads = [threading.Thread(target=keep_voting, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for kill in range(1, 3):
        until = time.monotonic() + 30
        while len(acknowledged) < 12 * kill and time.monotonic() < until:
            time.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        server.wait()
        server = start()
    over.set()
    for thread in threads:
        thread.join()
    server.terminate()
    server.wait()
    with Store(small(tmp_path, items=40, rounds=40, pictures=False), tmp_path / "votes.sqlite") as store:
        stored = {row.round for row in store.submit(_all_votes).result()}
        votes = store.votes()
    assert len(acknowledged) >= 24
    assert acknowledged <= stored
    assert len({(vote.respondent, vote.item) for vote in votes}) == len(votes)


def _all_votes(connection):
    from mmlab.arena.tables import VOTES

    return connection.execute(VOTES.select()).all()
