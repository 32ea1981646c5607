"""What a user is told of a repository that the Hugging Face Hub does not give, or does not take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from traitscope.errors import TraitscopeError
from traitscope.store.files import disk_problem

Kind = Literal["model", "dataset"]

GO_ON = "run the same command again: what has come is kept"
GO_ON_SENDING = "run the same command again: what was sent is kept"
LOG_IN = "log in (`hf auth login`) or set HF_TOKEN"
_REASON = 200
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
# Names of the transport errors of httpx and of Rust's client for the Hub's storage, whichever of them are installed.
_LOST = ("TransportError", "ConnectionError", "OfflineModeIsEnabled", "XetDownloadError", "TimeoutError")


class NotOnThisDisk(TraitscopeError):
    """Of what lies on the Hub, where nobody asks it, or it does not answer: this disk does not hold all of it."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that led to it."""
    seen: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in seen:
        seen.append(found)
        yield found
        found = found.__cause__ or found.__context__


def without_token(text: str) -> str:
    """A text in which no token of the user stands."""
    from huggingface_hub import get_token

    token = get_token()
    return TOKEN.sub("***", text.replace(token, "***") if token else text)


def address(name: str, kind: Kind = "model") -> str:
    """Where a repository's page is."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"


def hub_error(
    error: BaseException,
    where: str,
    name: str,
    *,
    kind: Kind = "model",
    revision: str | None = None,
    sending: bool = False,
) -> TraitscopeError:
    """The error of ours for one that the Hub's client raised.

    Args:
        error: the client's, or that of a library which used it.
        where: the place, as a user knows it.
        name: the repository; empty for the user's account. kind: what it holds. revision: as it was asked for.
        sending: files were to go there.
    """
    if isinstance(error, TraitscopeError):
        return error
    if (told := disk_problem(error, where)) is not None:
        return told
    for found in chain(error):
        said = _told(found, name, kind, revision)
        if said is not None:
            return TraitscopeError(said[0], where=where, fix=said[1])
    if any(_is_lost(found) for found in chain(error)):
        what, fix = _lost(None if sending else f"the {kind} {name}")
        return NotOnThisDisk(what, where=where, fix=fix)
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    reason = without_token(reason.strip())[:_REASON]
    if sending:
        return TraitscopeError(
            f"the Hub does not take it: {reason}",
            where=where,
            fix=f"check the name, the right of your token and the network, then {GO_ON_SENDING}",
        )
    return TraitscopeError(
        f"cannot be had from the Hub: {reason}",
        where=where,
        fix="check the id, the revision and the network, or name a local folder (from the study file's folder)",
    )


def is_lost(error: BaseException) -> bool:
    """Whether an error is of the connection, or of a Hub that does not work, and not of what was asked for."""
    from huggingface_hub.errors import HfHubHTTPError

    found = next((one for one in chain(error) if isinstance(one, HfHubHTTPError)), None)
    if found is not None:
        return _status(found) == 429 or _status(found) >= 500
    return any(_is_lost(one) for one in chain(error))


def _told(error: BaseException, name: str, kind: Kind, revision: str | None) -> tuple[str, str] | None:
    """What is wrong and what to do, for an answer of the Hub; None for an error of another kind."""
    from huggingface_hub import constants, errors, get_token

    if isinstance(error, UnicodeEncodeError) and error.encoding == "ascii":
        return "your token has a sign that no token has", f"copy it once more, then {LOG_IN}"
    page = address(name, kind)
    if isinstance(error, errors.GatedRepoError):
        if get_token() is None:
            return f"the {kind} {name} is gated, and there is no token", f"ask for access at {page}, then {LOG_IN}"
        return (
            f"the {kind} {name} is gated, and the account of your token has no access",
            f"ask for access at {page} with that account; a fine-grained token needs the right to read gated "
            "repositories too",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"the {kind} {name} has no revision {revision or 'main'}",
            f"name a branch, tag or commit that it has (see {page}/commits/main)",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        private = f"where it is private, {LOG_IN}" if get_token() is None else "see that your token may read it"
        return f"the Hub has no {kind} {name}, or it is a private one", f"check the id; {private}"
    if isinstance(error, errors.DisabledRepoError):
        return f"the Hub has switched the {kind} {name} off", f"see {page}, and name another one"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        at = f" at {revision}" if revision else ""
        return f"the {kind} {name} lacks a file{at}: {_file(error)}", f"name a revision that has it (see {page})"
    if isinstance(error, errors.HfHubHTTPError):
        return _of_status(error, name, kind)
    if isinstance(error, errors.FileMetadataError):
        return f"{constants.ENDPOINT} does not answer as a Hub does", "check HF_ENDPOINT, proxy and firewall"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return "nobody is logged in to the Hub", LOG_IN
    if isinstance(error, errors.HFValidationError):
        return f"{name!r} is no id of the Hub", "write org/name, or name a local folder that is there"
    return None


def _of_status(error: Any, name: str, kind: Kind) -> tuple[str, str] | None:
    status = _status(error)
    if status == 401:
        return (
            "the Hub does not take your token",
            "make a new one (https://huggingface.co/settings/tokens), then `hf auth login`; HF_TOKEN, where it is set, "
            "goes before it",
        )
    if status == 403:
        return (
            f"your token has no right to do this to {f'the {kind} {name}' if name else 'your account'}",
            "take a token of an account that has it; to upload it needs the right to write",
        )
    if status == 429:
        after = error.response.headers.get("retry-after", "")
        wait = f"wait {after} s and " if after.isdigit() else "wait some minutes and "
        return "the Hub takes no more requests for now (429)", f"{wait}{GO_ON}; with a token it takes more"
    if status >= 500:
        return f"the Hub does not work at the moment ({status})", f"wait some minutes and {GO_ON}"
    return None


def _lost(wanted: str | None) -> tuple[str, str]:
    """What is told of a lost connection: ``wanted`` was to come from it, or (None) something was to be sent."""
    from huggingface_hub import constants

    lacking = f", and this disk does not hold all of {wanted}" if wanted else ""
    if constants.is_offline_mode():
        return (
            f"the Hub ({constants.ENDPOINT}) does not answer, or HF_HUB_OFFLINE is set{lacking}",
            "mend the network" + (", or name a local folder (from the study file's folder)" if wanted else ""),
        )
    return (
        f"the connection to the Hub ({constants.ENDPOINT}) was lost, or never came about{lacking}",
        f"mend the network and {GO_ON if wanted else GO_ON_SENDING}",
    )


def _is_lost(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & set(_LOST)) or "Consistency check failed" in str(error)


def _status(error: Any) -> int:
    return int(getattr(error.response, "status_code", 0) or 0)


def _file(error: Any) -> str:
    url = str(getattr(error.response, "url", ""))
    return url.split("/resolve/", 1)[-1].split("/", 1)[-1].split("?")[0] or "(not named)"
