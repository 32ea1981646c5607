"""Who may read the live page: every request that is not from its own reader is refused, whatever it asks for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from traitscope.view.guard import Guard

PORT, TOKEN = 8123, "Zm9yIHRlc3RzIGFsb25l-_"
OWN = {"host": f"127.0.0.1:{PORT}"}
KNOWN = {**OWN, "cookie": f"traitscope-{PORT}={TOKEN}"}


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=9")]})
    await send({"type": "http.response.body", "body": b"the page"})


def ask(
    headers: dict[str, str] | list[tuple[str, str]], path: str = "/", query: str = "", method: str = "GET"
) -> tuple[int, dict[str, str], str]:
    """Status, headers and text of an answer."""
    pairs = headers.items() if isinstance(headers, dict) else headers
    listed = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": listed}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(_app, TOKEN, PORT)(scope, None, send))  # type: ignore[arg-type]
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, sent[1]["body"].decode()


def test_a_reader_with_the_cookie_gets_the_page() -> None:
    assert ask(KNOWN)[::2] == (200, "the page")
    assert ask({**KNOWN, "host": f"LOCALHOST:{PORT}"})[0] == 200
    assert ask({**KNOWN, "sec-fetch-site": "same-origin", "origin": f"http://127.0.0.1:{PORT}"})[0] == 200
    assert ask({**KNOWN, "sec-fetch-site": "none"}, method="HEAD")[0] == 200
    assert ask({**KNOWN, "cookie": f"other=1; traitscope-{PORT}={TOKEN}; more=2"}, "/state")[0] == 200


@pytest.mark.parametrize("other", ['prefs={"theme":"dark"}', "a=b c", "foo", "\xe9=1", '{"x":1}'])
def test_cookies_of_other_pages_at_this_address_lock_nobody_out(other: str) -> None:
    assert ask({**KNOWN, "cookie": f"{other}; traitscope-{PORT}={TOKEN}"}, "/state")[0] == 200


def test_the_token_moves_from_the_address_into_a_cookie_that_no_other_site_sends() -> None:
    status, headers, body = ask(OWN, query=f"token={TOKEN}")
    assert (status, headers["location"], body) == (303, "/", "")
    pair, *marks = headers["set-cookie"].split("; ")
    assert pair == f"traitscope-{PORT}={TOKEN}" and set(marks) == {"Path=/", "HttpOnly", "SameSite=Strict"}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        f"127.0.0.1.evil.example:{PORT}",
        "",
        "[::1]",
    ],
)
def test_another_host_is_refused_though_the_token_is_known(host: str) -> None:
    assert ask({**KNOWN, "host": host})[0] == 403
    assert ask({**OWN, "host": host}, query=f"token={TOKEN}")[0] == 403


def test_two_hosts_and_none_are_refused() -> None:
    assert ask([*KNOWN.items(), ("host", "evil.example")])[0] == 403
    assert ask([(name, value) for name, value in KNOWN.items() if name != "host"])[0] == 403


@pytest.mark.parametrize(
    "more",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"http://localhost:{PORT}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none", "origin": "http://evil.example"},
    ],
)
def test_another_origin_is_refused_though_the_token_is_known(more: dict[str, str]) -> None:
    for path in ("/", "/state", "/examples"):
        assert ask({**KNOWN, **more}, path)[0] == 403
    assert ask({**OWN, **more}, query=f"token={TOKEN}")[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_nothing_but_reading_is_answered(method: str) -> None:
    status, headers, _ = ask(KNOWN, method=method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("headers", "path", "query"),
    [
        ({}, "/", ""),
        ({}, "/", "token="),
        ({}, "/", f"token={TOKEN[:-1]}"),
        ({}, "/", f"token={TOKEN}x"),
        ({}, "/", f"token={TOKEN.lower()}"),
        ({}, "/", "token=%ff%00é"),
        ({}, "/", f"token=wrong&token={TOKEN}"),
        ({}, "/state", f"token={TOKEN}"),
        ({}, "/examples", f"token={TOKEN}"),
        ({"cookie": f"traitscope-{PORT}=wrong"}, "/", ""),
        ({"cookie": f"traitscope-{PORT + 1}={TOKEN}"}, "/", ""),
        ({"cookie": "traitscope-8123"}, "/", ""),
        ({"cookie": "\xff\xfe;;;=;"}, "/", ""),
        ({"cookie": f"traitscope-{PORT}={TOKEN}"}, "/", "token=wrong"),
    ],
)
def test_a_wrong_token_is_refused_with_one_plain_sentence(headers: dict[str, str], path: str, query: str) -> None:
    status, told, body = ask({**OWN, **headers}, path, query)
    assert status == 403 and "set-cookie" not in told
    assert body == "The token is missing or wrong: open the address that traitscope view printed.\n"


def test_every_answer_says_that_it_is_kept_framed_and_guessed_at_by_none() -> None:
    for answer in (ask(KNOWN), ask(OWN), ask(OWN, query=f"token={TOKEN}"), ask({"host": "evil.example"})):
        headers = answer[1]
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer" and headers["x-frame-options"] == "DENY"


def test_a_refusal_has_no_body_where_the_head_alone_is_asked_for() -> None:
    status, headers, body = ask(OWN, method="HEAD")
    assert (status, body) == (403, "") and int(headers["content-length"]) > 0


def test_a_web_socket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(_app, TOKEN, PORT)({"type": "websocket", "path": "/"}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]
