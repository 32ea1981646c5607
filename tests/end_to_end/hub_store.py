"""The repositories of the loopback Hub: folders, their commits, branches and tags, and what is written to them."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("models", "datasets")
_LARGE = (".safetensors", ".parquet", ".bin")


def files_of(folder: Path) -> list[str]:
    """The paths of a folder's files, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def commit_of(folder: Path) -> str:
    """40 hex digits that change with the files, as a commit does."""
    digest = hashlib.sha1()
    for path in files_of(folder):
        digest.update(path.encode() + (folder / path).read_bytes())
    return digest.hexdigest()


def blob_of(body: bytes) -> str:
    """Git's own hash of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def is_large(path: str) -> bool:
    """Whether a file goes to the large file storage."""
    return path.endswith(_LARGE)


def tag_of(path: str, body: bytes) -> str:
    """A file's ETag: its SHA-256 in the large file storage, else git's hash."""
    return hashlib.sha256(body).hexdigest() if is_large(path) else blob_of(body)


def entries(folder: Path, under: str = "", *, recursive: bool = True) -> list[dict[str, Any]]:
    """Files (and, unless ``recursive``, folders) below ``under``, as the Hub lists them."""
    found: list[dict[str, Any]] = []
    seen: set[str] = set()
    for path in files_of(folder):
        if under and not path.startswith(f"{under}/"):
            continue
        inside = path[len(under) + 1 :] if under else path
        if not recursive and "/" in inside:
            top = f"{under}/{inside.split('/')[0]}".strip("/")
            if top not in seen:
                seen.add(top)
                found.append(
                    {"type": "directory", "path": top, "size": 0, "oid": hashlib.sha1(top.encode()).hexdigest()}
                )
            continue
        body = (folder / path).read_bytes()
        one: dict[str, Any] = {"type": "file", "path": path, "size": len(body), "oid": blob_of(body)}
        if is_large(path):
            one["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}
        found.append(one)
    return found


@dataclass
class Repositories:
    """What a Hub holds.

    Attributes:
        folders: by kind ("models", "datasets"), the folder of ``main`` by repository id.
        commits: folder by commit; one that is taken out is lost.
        refs: folder by (kind, id, branch or tag).
        private: ids that nobody sees without a token of their owner.
        store: where what is written to the Hub goes.
        large: the large file storage: content by SHA-256.
    """

    folders: dict[str, dict[str, Path]]
    store: Path | None = None
    commits: dict[str, Path] = field(default_factory=dict)
    refs: dict[tuple[str, str, str], Path] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    large: dict[str, bytes] = field(default_factory=dict)

    def find(self, kind: str, name: str, revision: str | None) -> Path | None:
        """The folder of a revision: none, ``main``, a branch, a tag or a commit; None where there is no such."""
        main = self.folders[kind][name]
        if revision in (None, "main", commit_of(main)):
            return main
        return self.refs.get((kind, name, str(revision))) or self.commits.get(str(revision))

    def create(self, kind: str, name: str, private: bool) -> None:
        """An empty repository."""
        self.folders[kind][name] = self._new_folder()
        if private:
            self.private.add(name)

    def commit(self, kind: str, name: str, operations: Iterable[Mapping[str, Any]]) -> str:
        """``main`` with the operations of huggingface_hub's commit payload applied; its commit."""
        folder = self._new_folder()
        shutil.copytree(self.folders[kind][name], folder, dirs_exist_ok=True)
        for one in operations:
            key, value = one["key"], one["value"]
            if key == "header":
                continue
            path = folder / value["path"]
            if key in ("file", "lfsFile"):
                body = base64.b64decode(value["content"]) if key == "file" else self.large[value["oid"]]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
            elif key == "deletedFile":
                path.unlink()
            elif key == "deletedFolder":
                shutil.rmtree(path)
            else:
                raise AssertionError(f"no such operation: {key}")
        self.folders[kind][name] = folder
        self.commits[commit_of(folder)] = folder
        return commit_of(folder)

    def _new_folder(self) -> Path:
        assert self.store is not None, "a Hub that is written to needs a store"
        folder = self.store / f"{len(list(self.store.iterdir())):04}"
        folder.mkdir()
        return folder
