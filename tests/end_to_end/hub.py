"""A Hub on 127.0.0.1: what huggingface_hub, transformers and datasets ask of one, and write to it, for folders here."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from hub_store import KINDS, Repositories, commit_of, entries, files_of, is_large, tag_of

__all__ = ["Hub", "User", "commit_of"]

_REPOSITORY = r"/api/(models|datasets)/([^/]+/[^/]+)"
Route: TypeAlias = Callable[["Request"], None]


@dataclass(frozen=True)
class User:
    """Whom a token belongs to: his name, the organisations he writes to, the gated repositories he may read."""

    name: str
    orgs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: bool = True


@dataclass
class _Fault:
    pattern: str
    times: int
    status: int | None
    headers: Mapping[str, str]
    after: int = 0


@dataclass
class Request:
    """One request, and how it is answered."""

    handler: BaseHTTPRequestHandler
    path: str
    query: dict[str, list[str]]
    sent: bytes
    user: User | None

    def json(self) -> Any:
        """What was sent."""
        return json.loads(self.sent or b"{}")

    def send(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """An answer in JSON."""
        self.send_bytes(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        """An error as the Hub sends it."""
        said = {"X-Error-Code": code, "X-Error-Message": message, **headers}
        self.send(status, {"error": message}, {name: value for name, value in said.items() if value})

    def send_bytes(self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> None:
        """An answer; ``cut``: the connection is lost after so many bytes of it."""
        self.handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        if self.handler.command != "HEAD":
            self.handler.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.hang_up()

    def hang_up(self) -> None:
        """The connection is lost."""
        self.handler.wfile.flush()
        self.handler.close_connection = True
        with suppress(OSError):
            self.handler.connection.shutdown(socket.SHUT_RDWR)


class Hub:
    """Serves repositories until it is closed.

    Args:
        models: folder by repository id.
        datasets: folder by repository id.
        gated: ids whose files nobody reads but users who may.
        store: a folder for what is written to it; None: it is only read.
        users: by token.

    ``asked`` holds the requests since it was last cleared, as "GET /path"; ``heard`` their headers.
    ``moved`` holds the new id of repositories that were renamed.
    """

    def __init__(
        self,
        models: Mapping[str, Path] | None = None,
        datasets: Mapping[str, Path] | None = None,
        gated: tuple[str, ...] = (),
        store: Path | None = None,
        users: Mapping[str, User] | None = None,
    ) -> None:
        folders = {"models": dict(models or {}), "datasets": dict(datasets or {})}
        self.holds = Repositories(folders, store)
        self.holds.commits = {commit_of(one): one for kind in KINDS for one in folders[kind].values()}
        self.gated = gated
        self.users = dict(users or {})
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []
        self.heard: list[Mapping[str, str]] = []
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def repositories(self) -> dict[str, dict[str, Path]]:
        """By kind, the folder of ``main`` by repository id."""
        return self.holds.folders

    def close(self) -> None:
        """Nobody answers on its port any more."""
        self._server.shutdown()
        self._server.server_close()

    def fail(self, pattern: str, status: int, times: int = 1000, **headers: str) -> None:
        """The next requests whose "GET /path" matches get this status."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults.append(_Fault(pattern, times, status, named))

    def drop(self, pattern: str, after: int = 0, times: int = 1) -> None:
        """The next requests that match lose their connection after so many bytes of the answer (0: before it)."""
        self._faults.append(_Fault(pattern, times, None, {}, after))

    def mend(self) -> None:
        """No request fails any more."""
        self._faults.clear()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One request: user, fault, new name, then whatever the path asks for."""
        url = urlsplit(handler.path)
        path, asked = unquote(url.path), f"{handler.command} {unquote(url.path)}"
        token = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        request = Request(handler, path, parse_qs(url.query), _sent(handler), self.users.get(token))
        with self._lock:
            self.asked.append(asked)
            self.heard.append(dict(handler.headers))
            fault = next((one for one in self._faults if one.times and re.search(one.pattern, asked)), None)
            if fault is not None:
                fault.times -= 1
        if fault is not None and fault.status is not None:
            request.send(fault.status, {"error": "no"}, fault.headers)
        elif fault is not None and not fault.after:
            request.hang_up()
        elif token and request.user is None:
            request.refuse(401, "", "Invalid credentials in Authorization header")
        elif old := next((one for one in self.moved if re.search(rf"/{re.escape(one)}(/|\.git/|$)", path)), None):
            there = handler.path.replace(f"/{old}", f"/{self.moved[old]}", 1)
            request.send_bytes(307, b"", {"Location": there})
        else:
            self._route(request, fault.after if fault else None)

    def _route(self, request: Request, cut: int | None) -> None:
        path, write = request.path, self._write
        routes: tuple[tuple[str, Callable[..., None]], ...] = (
            (r"/api/whoami-v2", self._whoami),
            (r"/api/validate-yaml", lambda one: one.send(200, {"errors": [], "warnings": []})),
            (r"/api/repos/create", self._create),
            (rf"{_REPOSITORY}/preupload/[^/]+", lambda one, *repo: write(one, *repo, self._preupload)),
            (rf"{_REPOSITORY}/commit/[^/]+", lambda one, *repo: write(one, *repo, self._commit)),
            (r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._batch),
            (r"/lfs/([0-9a-f]{64})", self._take_large),
            (rf"{_REPOSITORY}(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", self._info),
            (
                r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)",
                lambda one, *where: self._file(one, *where, cut=cut),
            ),
        )
        for pattern, route in routes:
            if found := re.fullmatch(pattern, path):
                route(request, *found.groups())
                return
        request.send(404, {"error": "Not found"})

    def _there(self, request: Request, kind: str, name: str) -> bool:
        """Whether a repository is there and may be seen; else the request is refused."""
        owner = request.user is not None and name.split("/")[0] in (request.user.name, *request.user.orgs)
        if name not in self.repositories[kind] or (name in self.holds.private and not owner):
            # The real Hub answers so to whoever has no token: the repository may be a private one.
            if request.user is None:
                request.refuse(401, "RepoNotFound", "Invalid username or password.")
            else:
                request.refuse(404, "RepoNotFound", "Repository not found")
            return False
        return True

    def _at(self, request: Request, kind: str, name: str, revision: str | None) -> Path | None:
        """The folder of a revision; None where the request was refused."""
        if not self._there(request, kind, name):
            return None
        folder = self.holds.find(kind, name, revision)
        if folder is None:
            request.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return folder

    def _info(self, request: Request, kind: str, name: str, what: str, revision: str, below: str | None) -> None:
        folder = self._at(request, kind, name, revision)
        if folder is None:
            return
        if what == "tree":
            under = (below or "").strip("/")
            recursive = request.query.get("recursive", ["false"])[0].lower() in ("true", "1")
            found = entries(folder, under, recursive=recursive)
            if under and not found:
                request.refuse(404, "EntryNotFound", f"{under} does not exist")
            else:
                request.send(200, found)
        elif what == "paths-info":
            form = parse_qs(request.sent.decode()).get("paths")
            wanted = form if form is not None else request.json().get("paths", [])
            request.send(200, [one for one in entries(folder) if one["path"] in wanted])
        else:
            about = {"_id": name, "id": name, "sha": commit_of(folder), "private": name in self.holds.private}
            about |= {"gated": "manual" if name in self.gated else False, "disabled": False, "tags": []}
            siblings = [{"rfilename": path} for path in files_of(folder)]
            request.send(200, {**about, "downloads": 0, "likes": 0, "siblings": siblings})

    def _file(
        self, request: Request, kind: str | None, name: str, revision: str, path: str, *, cut: int | None
    ) -> None:
        folder = self._at(request, "datasets" if kind else "models", name, revision)
        if folder is None:
            return
        if name in self.gated and name not in (request.user.reads if request.user else ()):
            # Without a token it says 401, with one that was given no access 403.
            message = f"Access to {'dataset' if kind else 'model'} {name} is restricted."
            request.refuse(403 if request.user else 401, "GatedRepo", message)
            return
        commit = commit_of(folder)
        if not (folder / path).is_file():
            request.refuse(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
            return
        body = (folder / path).read_bytes()
        tags = {"ETag": f'"{tag_of(path, body)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        status, part = 200, body
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", request.handler.headers.get("Range") or ""):
            start, end = int(wanted[1]), int(wanted[2] or len(body) - 1)
            status, part = 206, body[start : end + 1]
            tags["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(body)}"
        request.send_bytes(status, part, {**tags, "Content-Type": "application/octet-stream"}, cut)

    def _whoami(self, request: Request) -> None:
        if request.user is None:
            request.refuse(401, "", "Invalid username or password.")
            return
        role = "write" if request.user.writes else "read"
        token = {"accessToken": {"displayName": "test", "role": role}, "type": "access_token"}
        orgs = [{"name": org, "type": "org"} for org in request.user.orgs]
        request.send(200, {"type": "user", "name": request.user.name, "orgs": orgs, "auth": token})

    def _may_write(self, request: Request, space: str) -> bool:
        user = request.user
        if user is not None and user.writes and space in (user.name, *user.orgs):
            return True
        if user is None:
            request.refuse(401, "", "Invalid username or password.")
        else:
            request.refuse(403, "", f"You don't have the rights to write to the namespace {space}")
        return False

    def _create(self, request: Request) -> None:
        said = request.json()
        kind = f"{said.get('type') or 'model'}s"
        space = said.get("organization") or (request.user.name if request.user else "")
        name = f"{space}/{said['name']}"
        if not self._may_write(request, space):
            return
        url = f"{self.url}/{'datasets/' if kind == 'datasets' else ''}{name}"
        if name in self.repositories[kind]:
            request.send(409, {"error": f"You already created this {kind[:-1]} repo", "url": url})
            return
        with self._lock:
            self.holds.create(kind, name, said.get("visibility") == "private" or bool(said.get("private")))
        request.send(200, {"url": url, "name": name, "id": name})

    def _write(self, request: Request, kind: str, name: str, route: Callable[[Request, str, str], None]) -> None:
        if self._there(request, kind, name) and self._may_write(request, name.split("/")[0]):
            with self._lock:
                route(request, kind, name)

    def _preupload(self, request: Request, kind: str, name: str) -> None:
        known = {
            one["path"]: one["lfs"]["oid"] if "lfs" in one else one["oid"]
            for one in entries(self.repositories[kind][name])
        }
        modes = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if is_large(one["path"]) else "regular",
                "shouldIgnore": False,
                "oid": known.get(one["path"]),
            }
            for one in request.json()["files"]
        ]
        request.send(200, {"files": modes})

    def _commit(self, request: Request, kind: str, name: str) -> None:
        commit = self.holds.commit(kind, name, [json.loads(line) for line in request.sent.splitlines()])
        request.send(200, {"success": True, "commitOid": commit, "commitUrl": f"{self.url}/{name}/commit/{commit}"})

    def _batch(self, request: Request, kind: str | None, name: str) -> None:
        if not self._there(request, "datasets" if kind else "models", name):
            return
        if not self._may_write(request, name.split("/")[0]):
            return
        objects = [
            {**one}
            if one["oid"] in self.holds.large
            else {**one, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}}
            for one in request.json()["objects"]
        ]
        request.send(200, {"transfer": "basic", "objects": objects})

    def _take_large(self, request: Request, oid: str) -> None:
        self.holds.large[oid] = request.sent
        request.send(200, {})


def _sent(handler: BaseHTTPRequestHandler) -> bytes:
    """A request's body, whether its length was told or it came in chunks."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    found = b""
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        found += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return found
