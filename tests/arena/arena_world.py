"""A small competition, a client that speaks to its server, and the server in a thread."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from mmlab.arena.competition import Answer, Competition, Item, Scale
from mmlab.arena.server import application
from mmlab.arena.store import Store

SECRET = "correct horse battery"
SYSTEMS = ("zebrafish-7b", "quokka-lora")
"""Names that stand nowhere by chance, so that their bytes can be searched for."""


def small(folder: Path, *, items: int = 6, scales: bool = True, pictures: bool = True, **options: Any) -> Competition:
    """Items of words, one with pictures, one with matrices, and one for attention."""
    from PIL import Image, PngImagePlugin

    secret = PngImagePlugin.PngInfo()
    secret.add_text("Software", SYSTEMS[0])
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        Image.new("RGB", (40, 30), colour).save(folder / f"{name}.png", pnginfo=secret)
        np.savetxt(folder / f"{name}.csv", np.eye(3) * (1 if name == "red" else 0.5), delimiter=",")
    found = [
        Item(f"item-{i}", Answer(f"What does picture {i} mean?"), {
            SYSTEMS[0]: Answer(f"A cat sits on mat {i}."), SYSTEMS[1]: Answer(f"Somebody waits for number {i}.")})
        for i in range(items)
    ]  # fmt: skip
    drawn = {
        kind: {
            name: Answer(**{kind: Path(f"{colour}.{end}")}, alt=f"A {colour} one")
            for name, colour in zip(SYSTEMS, ("red", "blue"), strict=True)
        }
        for kind, end in (("image", "png"), ("matrix", "csv"))
    }
    check = {"right": Answer("Four."), "absurd": Answer("Green.")}
    if pictures:
        found.append(Item("item-picture", Answer("Which card?"), drawn["image"]))
        found.append(Item("item-matrix", Answer("Which matrix?"), drawn["matrix"]))
    found.append(Item("item-check", Answer("How much is two and two?"), check, attention="right"))
    rated = [Scale("understanding", "Is it understood?", "no", "fully")] if scales else []
    return Competition("Cards and words", "Which answer is better?", found, scales=rated, folder=folder, **options)


class Client:
    """One respondent at a server."""

    def __init__(self, port: int) -> None:
        self.port, self.token = port, ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def call(self, path: str, body: Any = None) -> Any:
        status, content, _ = self.ask("GET" if body is None else "POST", path, body)
        assert status == 200, content
        return json.loads(content)

    def begin(self, token: str = "") -> Any:
        self.token = self.call("/api/join", {"token": token} if token else {})["token"]
        return self.call("/api/agree", {})

    def vote(self, shown: Any, choice: str = "0", **more: Any) -> Any:
        return self.call("/api/vote", {"round": shown["round"], "choice": choice, **more})


def serving(store: Store) -> tuple[uvicorn.Server, threading.Thread, int]:
    """A server on a free port, in a thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(application(store, SECRET), port=port, log_level="critical", access_log=False)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    return server, thread, port
