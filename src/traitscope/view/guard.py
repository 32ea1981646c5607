"""Who may ask: whoever has the token, at this machine's own address, from no other site, and only to read."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HOST = "127.0.0.1"
# Of answers that bring no policy of their own: nothing in them is loaded or run.
NOTHING = "default-src 'none'"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def framed_by_none(policy: str) -> str:
    """A content-security policy under which no page shows this one in a frame; a page's own meta cannot say so."""
    return f"{policy}; frame-ancestors 'none'"


class Guard:
    """Lets requests through to an application, or answers them itself with one sentence.

    A page of another site may know the port, and a name of its own may lead to 127.0.0.1 (DNS rebinding): ``Host``,
    ``Origin`` and ``Sec-Fetch-Site`` tell such requests. Other users of this machine may know the port too: they lack
    the token. It stands in the address that is opened, and from then on in a cookie.

    Args:
        app: what is guarded. token: what must be known. port: that it is served on.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        # Cookies are told apart by their host alone, not by the port.
        self.cookie = f"traitscope-{port}"
        self.hosts = (f"{HOST}:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._refused(scope)
        if refused is not None:
            status, says, more = refused
            await _answer(scope, send, status, says, more)
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if scope["path"] == "/" and "token" in query:
            # Out of the address, so that it stays in no history and no bookmark.
            cookie = f"{self.cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict"
            await _answer(scope, send, 303, "", {"location": "/", "set-cookie": cookie})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_headers(message.get("headers", ()))
            await send(message)

        await self._app(scope, receive, guarded)

    def _refused(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Status, sentence and headers of the answer to a request that is not let through."""
        given: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            given.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = given.get("host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return 403, f"This page answers at http://{self.hosts[0]} alone.", {}
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "This page can only be read.", {"allow": "GET, HEAD"}
        foreign = any(origin.lower() != f"http://{hosts[0].lower()}" for origin in given.get("origin", []))
        if foreign or any(site.lower() not in ("same-origin", "none") for site in given.get("sec-fetch-site", [])):
            return 403, "This page answers no other site: open its address by hand.", {}
        if not self._knows(scope, given.get("cookie", [])):
            return 403, "The token is missing or wrong: open the address that traitscope view printed.", {}
        return None

    def _knows(self, scope: Scope, cookies: list[str]) -> bool:
        """Whether the token is in the address of the page, or else in the cookie."""
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token") if scope["path"] == "/" else None
        if tokens is None:
            # Cookies of other pages at this address come too, whatever is in them.
            pairs = (pair.strip().partition("=") for text in cookies for pair in text.split(";"))
            tokens = [value for name, _, value in pairs if name == self.cookie]
        # Takes as long for a token that begins rightly as for any other.
        return len(tokens) == 1 and secrets.compare_digest(tokens[0].encode(), self._token)


def _with_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    """An answer's headers, with those that every answer has."""
    kept = [(name, value) for name, value in headers if name.decode("latin-1").lower() not in _HEADERS]
    if not any(name.lower() == b"content-security-policy" for name, _ in kept):
        kept.append((b"content-security-policy", framed_by_none(NOTHING).encode()))
    return [*kept, *((name.encode(), value.encode()) for name, value in _HEADERS.items())]


async def _answer(scope: Scope, send: Send, status: int, says: str, more: dict[str, str]) -> None:
    """A short answer as plain text."""
    body = f"{says}\n".encode() if says else b""
    headers = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body)), **more}
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": _with_headers(listed)})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
