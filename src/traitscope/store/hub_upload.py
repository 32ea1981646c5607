"""Files that go to repositories of the Hub: what of them is there already, and sending the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from traitscope.errors import TraitscopeError
from traitscope.store.hub_errors import LOG_IN, Kind, address, chain, hub_error

Change = Literal["new", "changed", "same"]
TAG = "traitscope"
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file of a repository.

    Attributes:
        path: where it goes, with ``/``.
        content: its bytes, or the file that holds them.
    """

    path: str
    content: bytes | Path

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def digests(self) -> tuple[str, str]:
        """Its SHA-256, and the hash that git gives it."""
        whole, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        for block in self._blocks():
            whole.update(block)
            blob.update(block)
        return whole.hexdigest(), blob.hexdigest()

    def _blocks(self) -> Iterable[bytes]:
        if isinstance(self.content, bytes):
            yield self.content
            return
        with self.content.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """All that goes to one repository.

    Attributes:
        id: the repository's.
        kind: what it holds.
        what: it in words: "adapter tone-s0".
        commits: its files, in the commits that they go in.
        card: the text of its README.md, which is among them.
    """

    id: str
    kind: Kind
    what: str
    commits: tuple[tuple[str, tuple[Upload, ...]], ...]
    card: str

    @property
    def files(self) -> tuple[Upload, ...]:
        """All of its files."""
        return tuple(file for _, files in self.commits for file in files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A parcel beside what the Hub has.

    Attributes:
        exists: whether the repository is there. private: whether others see it; None where it is not there.
        changes: what sending would do to each file, by its path.
        others: files of the repository that are none of the parcel's, and stay.
    """

    parcel: Parcel
    exists: bool
    private: bool | None
    changes: dict[str, Change]
    others: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to send."""
        return sum(file.size for file in self.parcel.files if self.changes[file.path] != "same")


def logged_in() -> str | None:
    """The name of the account that the user's token is of; None where there is no token.

    Raises:
        TraitscopeError: the Hub does not take the token, or does not answer.
    """
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        return None
    try:
        return str(HfApi().whoami()["name"])
    except Exception as error:
        raise _told(error, "your account", "", "model") from error


def refuse_no_login() -> str:
    """The account's name.

    Raises:
        TraitscopeError: nobody is logged in.
    """
    name = logged_in()
    if name is None:
        raise TraitscopeError(
            "nobody is logged in to the Hub", where="push", fix=f"{LOG_IN} with a token that has the right to write"
        )
    return name


def compare(parcel: Parcel, *, public: bool) -> Compared:
    """What the Hub has of a parcel already.

    Args:
        parcel: what would be sent. public: whether everybody is to see it.

    Raises:
        TraitscopeError: the repository holds something else, or is seen by others than ``public`` says.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api, where = HfApi(library_name=TAG), f"push to {parcel.id}"
    try:
        info: Any = (api.dataset_info if parcel.kind == "dataset" else api.model_info)(parcel.id)
        listed = list(api.list_repo_tree(parcel.id, recursive=True, repo_type=parcel.kind))
    except Exception as error:
        if any(isinstance(one, RepositoryNotFoundError) for one in chain(error)):
            new: dict[str, Change] = {file.path: "new" for file in parcel.files}
            return Compared(parcel=parcel, exists=False, private=None, changes=new)
        raise _told(error, where, parcel.id, parcel.kind) from error
    there: dict[str, Any] = {one.path: one for one in listed if hasattr(one, "blob_id")}
    _refuse_other(parcel, there, where)
    if not info.private and not public:
        raise TraitscopeError(
            "everybody sees this repository",
            where=where,
            fix=f"add --public, or make it private at {address(parcel.id, parcel.kind)}/settings",
        )
    if info.private and public:
        raise TraitscopeError(
            "this repository is there and private, and --public is for new ones",
            where=where,
            fix=f"leave --public out, or make it public at {address(parcel.id, parcel.kind)}/settings",
        )
    mine = {file.path for file in parcel.files}
    return Compared(
        parcel=parcel,
        exists=True,
        private=bool(info.private),
        changes={file.path: _change(file, there.get(file.path)) for file in parcel.files},
        others=tuple(sorted(set(there) - mine - {".gitattributes"})),
    )


def send(found: Compared, *, public: bool, message: str, report: Callable[[str], None]) -> bool:
    """Makes the repository where it is missing, and sends what is new or changed; whether anything was.

    Raises:
        TraitscopeError: the Hub does not take it; commits that were sent stay.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    parcel, api = found.parcel, HfApi(library_name=TAG)
    where = f"push to {parcel.id}"
    sent = False
    try:
        if not found.exists:
            api.create_repo(parcel.id, repo_type=parcel.kind, private=not public, exist_ok=True)
        for what, files in parcel.commits:
            changed = [file for file in files if found.changes[file.path] != "same"]
            if not changed:
                continue
            report(f"{parcel.id}: {what}")
            operations = [CommitOperationAdd(file.path, file.content) for file in changed]
            api.create_commit(
                parcel.id, operations, commit_message=f"{message}: {what}", repo_type=parcel.kind, num_threads=4
            )
            sent = True
    except Exception as error:
        raise _told(error, where, parcel.id, parcel.kind) from error
    return sent


def _change(file: Upload, there: Any) -> Change:
    if there is None:
        return "new"
    whole, blob = file.digests()
    return "same" if (there.lfs.sha256 == whole if there.lfs is not None else there.blob_id == blob) else "changed"


def _refuse_other(parcel: Parcel, there: Sequence[str] | dict[str, Any], where: str) -> None:
    """Refuses a repository that holds something and was not written by this."""
    from huggingface_hub import ModelCard

    if not set(there) - {".gitattributes"}:
        return
    tags: Any = ()
    if "README.md" in there:
        try:
            tags = ModelCard.load(parcel.id, repo_type=parcel.kind, ignore_metadata_errors=True).data.get("tags") or ()
        except ValueError:
            tags = ()
        except Exception as error:
            raise _told(error, where, parcel.id, parcel.kind) from error
    if TAG not in tags:
        raise TraitscopeError(
            f"the name is taken: the repository holds something that traitscope did not write (its README.md has no "
            f"tag {TAG})",
            where=where,
            fix="name another one with --to, or empty it",
        )


def _told(error: Exception, where: str, name: str, kind: Kind) -> TraitscopeError:
    words = str(error)
    if "Invalid metadata in README.md" in words:
        reason = " ".join(line.strip("- ").strip() for line in words.splitlines()[1:] if line.strip())
        return TraitscopeError(
            f"the Hub does not take the card's metadata: {reason[:200]}", where=where, fix="see --license"
        )
    return hub_error(error, where, name, kind=kind, sending=True)
