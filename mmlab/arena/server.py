"""The page for respondents: a small web application over a store.

Nothing here reads a path that a request names, sets a cookie, or sends the name of a system to a respondent. A request
is known by a token in its ``Authorization`` header, which no other site can set: so none can vote in somebody's name.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from base64 import b64decode
from collections import deque
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmlab.arena.admin import admin_page
from mmlab.arena.competition import Answer
from mmlab.arena.pictures import render
from mmlab.arena.store import Ballot, ClosedError, RefusedError, Round, Store
from mmlab.arena.votes import encode

__all__ = ["application", "serve"]

LARGEST = 64 * 1024
"""Bytes of a request."""
_JOINS = 1200  # new respondents in a minute
_TRIES = 10  # wrong secrets in a minute
_LATER = "Your answer could not be saved just now. It is kept on this page, which tries again."
_log = logging.getLogger("mmlab.arena")

_STATIC = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def application(store: Store, secret: str) -> Starlette:
    """The web application.

    Args:
        store: Where votes go.
        secret: Password of the administrator's pages.

    Raises:
        ValueError: If the secret is shorter than 12 letters, or a picture cannot be read.
    """
    if len(secret) < 12:
        raise ValueError("The administrator's secret needs 12 letters or more: leave it out, and one is made.")
    pages = _Pages(store, secret)
    routes = [Route(path, pages.static) for path in _STATIC]
    routes += [
        Route("/api/about", pages.about),
        Route("/api/join", pages.join, methods=["POST"]),
        Route("/api/agree", pages.agree, methods=["POST"]),
        Route("/api/next", pages.next),
        Route("/api/vote", pages.vote, methods=["POST"]),
        Route("/picture/{name:str}", pages.picture),
        Route("/admin", pages.admin),
        Route("/admin/votes.{kind:str}", pages.export),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        ClosedError: _closed,
        RefusedError: _refused,
        DBAPIError: _later,
        ClientDisconnect: _gone,
        Exception: _broken,
    }
    return Starlette(routes=routes, middleware=[Middleware(_Guard)], exception_handlers=handlers)


def serve(store: Store, secret: str, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Run the application until it is interrupted. Nothing about visitors is logged.

    Args:
        store: Where votes go.
        secret: Password of the administrator's pages.
        host: Address to listen at; ``0.0.0.0`` for other machines, then behind something that speaks HTTPS.
        port: Port to listen at.
    """
    import uvicorn

    options: dict[str, Any] = {"access_log": False, "log_level": "warning", "server_header": False, "ws": "none"}
    uvicorn.run(application(store, secret), host=host, port=port, limit_concurrency=2000, backlog=2048, **options)


class _Pages:
    """What each address answers."""

    def __init__(self, store: Store, secret: str) -> None:
        self.store, self.secret = store, secret.encode()
        folder = files("mmlab.arena") / "static"
        self.files = {path: (folder.joinpath(name).read_bytes(), kind) for path, (name, kind) in _STATIC.items()}
        self.names: dict[tuple[str, str], str] = {}
        self.pictures: dict[str, bytes] = {}
        for (item, system), content in render(store.competition).items():
            self.names[item, system] = name = store.code("picture", item, system)
            self.pictures[name] = content
        self.joined: deque[float] = deque()
        self.wrong: deque[float] = deque()

    async def static(self, request: Request) -> Response:
        content, kind = self.files[request.url.path]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def about(self, _: Request) -> Response:
        c = self.store.competition
        scales = [
            {"name": s.name, "label": s.label, "low": s.low, "high": s.high, "points": s.points} for s in c.scales
        ]
        facts = {"title": c.title, "question": c.question, "consent": c.consent, "rationale": c.rationale}
        ends = c.ends and c.ends.isoformat()
        return JSONResponse(
            {**facts, "invited": c.invited, "ends": ends, "scales": scales, "code": self.store.code("page")}
        )

    async def join(self, request: Request) -> Response:
        token = _text((await _body(request)).get("token", ""), 200)
        if _many(self.joined, _JOINS):
            return _problem("Very many people come just now: try again in a minute.", 429)
        found = await self._wait(lambda connection: self.store._join(connection, token))
        return JSONResponse({"token": found})

    async def agree(self, request: Request) -> Response:
        token = _token(request)
        await _body(request)
        return self._shown(await self._wait(lambda connection: self.store._agree(connection, token)))

    async def next(self, request: Request) -> Response:
        token = _token(request)

        def look(connection: Any) -> tuple[bool, Round | None]:
            who = self.store._known(connection, token)
            return who.consented is not None, self.store._open(connection, who.id)

        agreed, found = await self._wait(look)
        return self._shown(found) if agreed else JSONResponse({"agreed": False})

    async def vote(self, request: Request) -> Response:
        token = _token(request)
        ballot = _ballot(await _body(request))
        return self._shown(await self._wait(lambda connection: self.store._vote(connection, token, ballot)))

    async def picture(self, request: Request) -> Response:
        content = self.pictures.get(request.path_params["name"])
        if content is None:
            return _problem("There is no such picture.", 404)
        return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})

    async def admin(self, request: Request) -> Response:
        if (refused := self._not_admin(request)) is not None:
            return refused
        facts = await asyncio.to_thread(self.store.progress)
        return Response(admin_page(self.store.competition, facts), media_type="text/html; charset=utf-8")

    async def export(self, request: Request) -> Response:
        if (refused := self._not_admin(request)) is not None:
            return refused
        kind = request.path_params["kind"]
        if kind not in ("csv", "jsonl"):
            return _problem("Votes come as csv or jsonl.", 404)
        text = await asyncio.to_thread(lambda: encode(self.store.votes(), kind))
        headers = {"Content-Disposition": f'attachment; filename="votes.{kind}"'}
        return PlainTextResponse(text, headers=headers)

    def _not_admin(self, request: Request) -> Response | None:
        """None if the password is right. There is nothing to guess by time, and little by trying."""
        given = b""
        kind, _, code = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                given = b64decode(code, validate=True).partition(b":")[2]
            except ValueError:
                given = b""
        if len(self.wrong) >= _TRIES and time.monotonic() - self.wrong[0] < 60:
            return _problem("Too many wrong passwords: wait a minute.", 429)
        if hmac.compare_digest(given, self.secret):
            return None
        if given:
            self.wrong.append(time.monotonic())
            while len(self.wrong) > _TRIES:
                self.wrong.popleft()
        return _problem(
            "This page needs the secret.", 401, {"WWW-Authenticate": 'Basic realm="admin", charset="UTF-8"'}
        )

    async def _wait(self, job: Callable[[Any], Any]) -> Any:
        """The result of a job of the store, once it is on disk."""
        return await asyncio.wrap_future(self.store.submit(job))

    def _shown(self, found: Round | None) -> Response:
        """What the page may know of a round: no name of a system is in it."""
        if found is None:
            return JSONResponse({"agreed": True, "done": True})
        item = self.store.items[found.item]
        answers = [self._part(found.item, name, item.answers[name]) for name in found.shown]
        facts = {"round": found.id, "position": found.position, "total": found.total}
        return JSONResponse(
            {"agreed": True, **facts, "item": self._part(found.item, "", item.shown), "answers": answers}
        )

    def _part(self, item: str, system: str, answer: Answer) -> dict[str, str]:
        name = self.names.get((item, system))
        return {"text": answer.text} | ({"picture": f"/picture/{name}", "alt": answer.alt} if name else {})


class _Guard:
    """Around every request: headers on the way out, and no writing from other sites on the way in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = {**_HEADERS, **({} if b"cache-control" in present else {"Cache-Control": "no-store"})}
                message["headers"] = [
                    *message["headers"],
                    *((k.lower().encode(), v.encode()) for k, v in extra.items()),
                ]
            await send(message)

        request = Request(scope)
        if request.method == "POST" and (refusal := _from_elsewhere(request)):
            await _problem(refusal, 403)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def _from_elsewhere(request: Request) -> str:
    """Why a request that writes is not from our own page; empty if it is."""
    origin = request.headers.get("origin")
    if origin is not None and (_host(origin) or "nowhere") != request.headers.get("host"):
        return "This request comes from another site."
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "This request comes from another site."
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return "This request is not from the page."
    return ""


def _host(origin: str) -> str | None:
    """The host of an origin; None if it is no address."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LARGEST:
            raise RefusedError("This is too long.")
    try:
        found = json.loads(bytes(content) or b"{}", parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        raise RefusedError("This request cannot be read: reload the page.") from None
    if not isinstance(found, dict):
        raise RefusedError("This request cannot be read: reload the page.")
    return found


def _ballot(found: dict[str, Any]) -> Ballot:
    ratings = found.get("ratings") or {}
    seconds = found.get("seconds")
    fitting = isinstance(ratings, dict) and len(ratings) <= 20
    fitting = fitting and all(isinstance(values, list) and len(values) <= 6 for values in ratings.values())
    if not fitting or any(v is not None and type(v) is not int for values in ratings.values() for v in values):
        raise RefusedError("The ratings do not fit this round: reload the page.")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < 1e6
    return Ballot(
        _text(found.get("round"), 40),
        _text(found.get("choice"), 8),
        {_text(name, 60): values for name, values in ratings.items()},
        _text(found.get("rationale", ""), LARGEST),
        float(seconds) if isinstance(seconds, int | float) and known else None,
    )


def _text(value: Any, longest: int) -> str:
    """A text as every database can keep it: without zero bytes and halves of letters."""
    if not isinstance(value, str) or len(value) > longest:
        raise RefusedError("This request cannot be read: reload the page.")
    return value.replace("\0", "").encode(errors="replace").decode()


def _token(request: Request) -> str:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not 0 < len(token) <= 200:
        raise RefusedError("You are not known here: open your link again.")
    return token


def _many(times: deque[float], most: int) -> bool:
    """Whether something happened too often in the last minute; if not, it is counted."""
    now = time.monotonic()
    while times and now - times[0] > 60:
        times.popleft()
    if len(times) >= most:
        return True
    times.append(now)
    return False


def _problem(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"problem": text}, status_code=status, headers=headers)


async def _refused(_: Request, problem: Exception) -> Response:
    return _problem(str(problem), 413 if str(problem) == "This is too long." else 400)


async def _closed(_: Request, problem: Exception) -> Response:
    return _problem(str(problem), 410)


async def _later(_: Request, problem: Exception) -> Response:
    _log.error("The store cannot write: %s", getattr(problem, "orig", problem))
    return _problem(_LATER, 503, {"Retry-After": "5"})


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


async def _broken(_: Request, problem: Exception) -> Response:
    _log.exception("A request failed", exc_info=problem)
    return _problem(_LATER, 500)
