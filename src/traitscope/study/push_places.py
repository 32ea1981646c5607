"""What a text that others will read must not tell: tokens and places of this machine; and what looks like a place."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traitscope.errors import TraitscopeError
from traitscope.store.hub_upload import Parcel, Upload
from traitscope.study.context import Context
from traitscope.texts import shown

# Of Hugging Face, AWS, GitHub, GitLab, OpenAI and its like, Google, Slack; `hf_datasets` and `sk-learn` are words.
_TOKEN = re.compile(
    r"hf_(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,}|hf_[a-z]{16,}|api_org_[A-Za-z0-9]{16,}"
    r"|(?<![A-Z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Z0-9])|gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|(?<![\w-])sk-(?=[\w-]*\d)[\w-]{20,}|AIza[\w-]{35}|xox[abprs]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY"
)
# Folders below / that other machines have too: alone they tell of none.
_COMMON = frozenset({"home", "Users", "Volumes", "mnt", "media", "srv", "data", "scratch", "tmp", "var", "usr", "opt"})
_PART = r"/(?=[.@+-]*\w)[\w.@+-]+"
_REST = r"[\w.@+-]+(?:[\\/]+[\w.@+-]+)*"
_PLACE = re.compile(
    rf"\bfile:/+{_REST}|(?<![\w:/])//[\w.-]+/{_REST}|(?<![\w\\])\\\\[\w.$-]+\\+{_REST}"
    rf"|(?<![A-Za-z0-9])[A-Za-z]:(?:\\+|/)(?=[\w.-]{{2}}){_REST}"
    rf"|(?<![\w~])~(?:[A-Za-z_][\w.-]*)?/{_REST}|\$\{{?(?:HOME|SCRATCH|WORK)\}}?/{_REST}|%USERPROFILE%"
    # `./a/b` and `a/b` start nowhere; what follows a sentence's end does.
    rf"|(?:(?<![\w./~])|(?<=\w\.))(?P<first>{_PART})(?P<second>{_PART})(?P<more>(?:{_PART})*)"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A text that looks like an absolute path: where it stands (repository, file, key or line), and the path."""

    where: str
    text: str


def refuse_secrets(study: Context, parcels: Sequence[Parcel]) -> None:
    """Refuses texts that hold a token, or a folder of this machine: the study's, the run's, home, where one works.

    Folders above these count, and the user's name in a path; the few that every machine has (``/home``) do not.

    Raises:
        TraitscopeError: there is one; it says where, and not what.
    """
    from huggingface_hub import get_token

    own, places, user = get_token(), _places(study), _user()
    for where, text in _texts(parcels):
        if _TOKEN.search(text) or (own and own in text):
            _refuse("it holds a token", where)
        if places.search(text) or any(user in re.split(r"[/\\~]+", one) for one in _paths(text)):
            _refuse("it names a place of this machine", where)


def seen_places(parcels: Sequence[Parcel]) -> tuple[Seen, ...]:
    """What looks like an absolute path, of whichever machine: POSIX, Windows, a share, ``file:``, ``~``.

    A prompt may hold such a thing by right, and no rule tells it from a place: ``/r/AskReddit``, two parts below a
    folder that no machine has, is left out, ``/api/v1/users`` is not.
    """
    return tuple(Seen(where, path) for where, text in _texts(parcels) for path in _paths(text))


def refuse_places(seen: Sequence[Seen]) -> None:
    """Refuses what ``seen_places`` found.

    Raises:
        TraitscopeError: there is one; it names the first.
    """
    if seen:
        more = f" (and {len(seen) - 1} more)" if len(seen) > 1 else ""
        raise TraitscopeError(
            f"{shown(seen[0].text)} looks like a place of a machine{more}",
            where=seen[0].where,
            fix="take it out and push again, or add --allow-paths where others may read it; without --yes all are "
            "listed",
        )


def _refuse(what: str, where: str) -> None:
    raise TraitscopeError(
        what,
        where=where,
        fix="take it out of the study file, the adapter's README.md or the belt, and push again; --what adapters "
        "leaves the study file here",
    )


def _places(study: Context) -> re.Pattern[str]:
    folders = {one for place in (study.config.root, study.folder.root, Path.home(), Path.cwd()) for one in _both(place)}
    found = {str(one) for folder in folders for one in (folder, *folder.parents)}
    names = sorted(found - {f"/{name}" for name in _COMMON} - {"/"})
    # One part alone is the end of many addresses.
    starts = [rf"(?<![\w./:~-]){re.escape(one)}" if one.count("/") == 1 else re.escape(one) for one in names]
    return re.compile(rf"(?:{'|'.join(starts) or '(?!)'})(?![\w-])")


def _both(place: Path) -> tuple[Path, Path]:
    return place.absolute(), place.resolve()


def _user() -> str:
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return Path.home().name or "/"


def _paths(text: str) -> Iterator[str]:
    for found in _PLACE.finditer(text):
        first = found["first"] or ""
        # `/yes/no` has two parts too, and `/s/he/it` three.
        if not first or (found["more"] and len(first) > 2) or _is_top(first):
            yield found[0].rstrip(".")


def _is_top(folder: str) -> bool:
    """Whether it is a folder of this machine, or one that machines have."""
    return folder[1:] in _COMMON or (len(folder) < 64 and Path(folder).is_dir())


def _texts(parcels: Sequence[Parcel]) -> Iterator[tuple[str, str]]:
    """Every text beside its place: values and keys of YAML and JSON as they are read, lines of other files."""
    for parcel in parcels:
        for file in parcel.files:
            if not file.path.endswith((".safetensors", ".parquet")):
                for at, text in _parts(file):
                    yield f"{parcel.what}, {file.path}, {at}", text


def _parts(file: Upload) -> Iterator[tuple[str, str]]:
    body = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
    text = body.decode(errors="replace")
    # A line's end in a dumped text is two signs, and a long text is folded.
    with suppress(ValueError, yaml.YAMLError):
        if file.path.endswith(".json"):
            return _leaves(json.loads(text), ())
        if file.path.endswith(".yaml"):
            return _leaves(yaml.safe_load(text), ())
    return ((f"line {number}", line) for number, line in enumerate(text.splitlines(), 1))


def _leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        if isinstance(key, str):
            yield f"a key of {'.'.join(keys) or 'the file'}", key
        yield from _leaves(inner, (*keys, str(key)))
    if isinstance(value, str):
        yield f"key {'.'.join(keys)}", value
