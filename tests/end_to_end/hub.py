"""A Hub on 127.0.0.1: what huggingface_hub, transformers and datasets ask of one, for folders on this disk."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


def commit_of(folder: Path) -> str:
    """40 hex digits that change with the files, as a commit does."""
    digest = hashlib.sha1()
    for path in _files(folder):
        digest.update(path.encode() + (folder / path).read_bytes())
    return digest.hexdigest()


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class Hub:
    """Serves repositories until it is closed.

    Args:
        models: folder by repository id.
        datasets: folder by repository id.
        gated: ids that exist and may not be read.

    ``asked`` holds the requests since it was last cleared, as "GET /path".
    """

    def __init__(self, models: Mapping[str, Path], datasets: Mapping[str, Path], gated: tuple[str, ...] = ()) -> None:
        self.repositories = {"models": dict(models), "datasets": dict(datasets)}
        self.commits = {commit_of(folder): folder for folder in (*models.values(), *datasets.values())}
        self.gated = gated
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Nobody answers on its port any more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One request: what is known of a repository, its list of files, or a file."""
        length = int(request.headers.get("Content-Length") or 0)
        sent = request.rfile.read(length)
        path = unquote(urlsplit(request.path).path)
        self.asked.append(f"{request.command} {path}")
        info = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if info:
            kind, name, what, revision, below = info.groups()
        elif file:
            kind, name, revision, below = "datasets" if file[1] else "models", file[2], file[3], file[4]
            what = "file"
        else:
            self._send(request, 404, {"error": "Not found"})
            return
        if name in self.gated:
            code = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {name} is restricted."}
            self._send(request, 403, {"error": f"Access to {name} is restricted."}, code)
            return
        folder = self.repositories[kind].get(name)
        if folder is None:
            # The real Hub answers so to whoever has no token: the repository may be a private one.
            said = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self._send(request, 401, {"error": "Invalid username or password."}, said)
            return
        folder = self.commits.get(revision or "", folder)
        commit = commit_of(folder)
        if revision not in (None, "main", commit):
            said = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"}
            self._send(request, 404, {"error": f"Invalid rev id: {revision}"}, said)
            return
        if what == "file":
            self._send_file(request, folder / below, commit)
        elif what == "tree":
            under = (below or "").strip("/")
            self._send(request, 200, [e for e in _entries(folder) if e["path"].startswith(under)])
        elif what == "paths-info":
            wanted = re.findall(r"paths=([^&]+)", unquote(sent.decode())) or json.loads(sent or b"{}").get("paths", [])
            self._send(request, 200, [e for e in _entries(folder) if e["path"] in wanted])
        else:
            files = [{"rfilename": path} for path in _files(folder)]
            about = {"_id": name, "id": name, "sha": commit, "private": False, "gated": False, "disabled": False}
            self._send(request, 200, {**about, "tags": [], "downloads": 0, "likes": 0, "siblings": files})

    def _send_file(self, request: BaseHTTPRequestHandler, path: Path, commit: str) -> None:
        if not path.is_file():
            said = {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "X-Repo-Commit": commit}
            self._send(request, 404, {"error": "Entry not found"}, said)
            return
        body = path.read_bytes()
        tags = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        self._send_bytes(request, 200, body, {**tags, "Content-Type": "application/octet-stream"})

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: object, headers: Mapping[str, str] | None = None
    ) -> None:
        self._send_bytes(
            request, status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _send_bytes(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)


def _entries(folder: Path) -> list[dict[str, object]]:
    """The files as the Hub lists them."""
    return [
        {
            "type": "file",
            "path": path,
            "size": (folder / path).stat().st_size,
            "oid": hashlib.sha1((folder / path).read_bytes()).hexdigest(),
        }
        for path in _files(folder)
    ]
