"""Repositories of the Hugging Face Hub: what it says of them, and their files on this disk, at one commit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traitscope.errors import TraitscopeError
from traitscope.store.adapters import CONFIG as ADAPTER
from traitscope.store.adapters import WEIGHTS as ADAPTER_WEIGHTS
from traitscope.store.hub import not_at_hand, on_this_disk
from traitscope.store.hub_errors import Kind, NotOnThisDisk, hub_error, is_lost
from traitscope.store.weights import INDEX, WEIGHTS, has_weights, weight_names

# Configuration, tokenizer of whatever kind, chat templates: all that ``from_pretrained`` reads but the weights.
_SMALL = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja")
_DEEPER = ("*/*.json", "*/*.txt", "*/*.model", "*/*.tiktoken")
# Some adapters bring the tokenizer whose tokens they added.
_OWN_TOKENS = ("tokenizer*", "added_tokens.json", "special_tokens_map.json", "vocab.json", "merges.txt", "*.jinja")
_ADAPTER = (ADAPTER, ADAPTER_WEIGHTS, *_OWN_TOKENS)
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubRepository:
    """What the Hub says of a repository at a revision.

    Attributes:
        id: its name now, which is another than it was asked for under where it was renamed.
        commit: what the revision stands for.
        files: the paths of its files.
        gated: its files are given to some accounts alone.
    """

    id: str
    commit: str
    files: tuple[str, ...]
    gated: bool


_looked: dict[tuple[Kind, str, str | None], HubRepository] = {}
_fetched: dict[tuple[str, str], str] = {}


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a commit, which never stands for anything else."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def look(name: str, revision: str | None = None, *, kind: Kind = "model", where: str) -> HubRepository:
    """What the Hub says of a repository; asked once in a process, so that a branch which moves in a run does not.

    Raises:
        TraitscopeError: the Hub has no such repository or revision, or does not answer.
    """
    key = (kind, name, revision)
    if key not in _looked:
        from huggingface_hub import HfApi

        try:
            api = HfApi(library_name="traitscope")
            ask = api.dataset_info if kind == "dataset" else api.model_info
            found = ask(name, revision=revision, timeout=30)
        except Exception as error:
            raise hub_error(error, where, name, kind=kind, revision=revision) from error
        files = tuple(one.rfilename for one in found.siblings or ())
        _looked[key] = HubRepository(str(found.id), str(found.sha), files, bool(getattr(found, "gated", False)))
    return _looked[key]


def moved_to(name: str, kind: Kind = "model") -> str | None:
    """The new name of a repository that was renamed, where this process was told of it; None else."""
    found = next((one for (of, key, _), one in _looked.items() if (of, key) == (kind, name)), None)
    return found.id if found is not None and found.id.lower() != name.lower() else None


def fetch(name: str, revision: str | None, patterns: Sequence[str], *, ignore: Sequence[str] = (), where: str) -> Path:
    """The folder of a model's snapshot with the files that match; those that are missing are fetched.

    Nobody is asked where ``revision`` is a commit all of whose matching files are on this disk.

    Raises:
        TraitscopeError: the Hub does not give them.
    """
    from huggingface_hub import constants, snapshot_download

    key = (name, revision or "main")
    try:
        found = snapshot_download(
            name,
            # A branch that moves within a run is taken where it was.
            revision=_fetched.get(key, revision),
            allow_patterns=list(patterns),
            ignore_patterns=list(ignore) or None,
            local_files_only=constants.is_offline_mode(),
        )
    except Exception as error:
        if constants.is_offline_mode() and (told := not_at_hand(name, revision)) is not None:
            raise NotOnThisDisk(told.what, where=where, fix=told.fix) from error
        raise hub_error(error, where, name, revision=revision) from error
    _fetched[key] = Path(found).name
    return Path(found)


def fetch_model(name: str, revision: str | None, *, weights: bool, where: str) -> Path:
    """The folder of a full model's snapshot: configuration and tokenizer, and its safetensors files with ``weights``.

    Raises:
        TraitscopeError: the Hub does not give them, or the repository holds no model with safetensors weights.
    """
    files = _files(name, revision, where, on_this_disk(name, revision))
    folder = fetch(name, revision, _SMALL, ignore=_DEEPER, where=where)
    if not (folder / "config.json").is_file():
        if inner := _inner_adapters(files or ()):
            raise TraitscopeError(
                f"the repository has adapters in folders: {', '.join(inner[:8])}",
                where=where,
                fix=f"under models: add subfolder: {inner[0]} to one that is a row",
            )
        kind = "an adapter" if (folder / ADAPTER).is_file() else "no model in the format of transformers"
        raise TraitscopeError(
            f"the repository has no config.json: it holds {kind}",
            where=where,
            fix="name a causal language model; adapters go under models:" if "adapter" in kind else "name another one",
        )
    if weights:
        # transformers takes the single file before all that an index names.
        folder = fetch(name, revision, [WEIGHTS], where=where)
        if not (folder / WEIGHTS).is_file():
            folder = fetch(name, revision, weight_names(folder), where=where)
        if (folder / INDEX).is_file() and not has_weights(folder):
            gone = next(one for one in weight_names(folder) if not (folder / one).is_file())
            raise TraitscopeError(
                f"its {INDEX} names {gone}, which the repository does not have",
                where=where,
                fix="name a revision that has all of its weight files, or another copy",
            )
        if not any((folder / one).is_file() for one in (WEIGHTS, INDEX)):
            raise TraitscopeError(
                f"the repository has no {WEIGHTS}: pickled and quantised weights of other formats are not read",
                where=where,
                fix="name a revision that has it (many repositories have a branch refs/pr/N with it), or another copy",
            )
    return folder


def _files(name: str, revision: str | None, where: str, here: bool) -> tuple[str, ...] | None:
    """What the Hub says of a repository's files; None where what is here is enough, and where it has to be.

    Args:
        here: the disk holds what was fetched of it earlier.
    """
    from huggingface_hub import constants

    if here and (is_commit(revision) or constants.is_offline_mode()):
        return None
    try:
        return look(name, revision, where=where).files
    except TraitscopeError as error:
        if here and is_lost(error):
            return None
        raise


def _inner_adapters(files: Sequence[str]) -> list[str]:
    """The folders of a repository that hold adapters."""
    return sorted(one.removesuffix(f"/{ADAPTER}") for one in files if one.endswith(f"/{ADAPTER}"))


def fetch_adapter(name: str, revision: str | None, subfolder: str | None, *, where: str) -> Path | None:
    """The folder of a PEFT adapter on the Hub; None where the repository holds none.

    Raises:
        TraitscopeError: the Hub does not give it, or there is none in ``subfolder``.
    """
    from huggingface_hub import try_to_load_from_cache

    under = f"{subfolder}/" if subfolder else ""
    here = isinstance(try_to_load_from_cache(name, f"{under}{ADAPTER}", revision=revision), str)
    files = _files(name, revision, where, here or (subfolder is None and on_this_disk(name, revision)))
    if files is None and not here:
        return None
    if files is not None and f"{under}{ADAPTER}" not in files:
        if subfolder is None:
            return None
        others = _inner_adapters(files)
        raise TraitscopeError(
            f"there is no adapter in its folder {subfolder}",
            where=where,
            fix=f"it has adapters in {', '.join(others[:8])}" if others else "leave subfolder out",
        )
    if files is not None and f"{under}{ADAPTER_WEIGHTS}" not in files:
        raise TraitscopeError(
            f"the adapter has no {ADAPTER_WEIGHTS}: pickled weights are not read",
            where=where,
            fix="name a revision that has it, or load it in PEFT and write it with save_pretrained",
        )
    found = fetch(name, revision, [f"{under}{one}" for one in _ADAPTER], where=where)
    return found / subfolder if subfolder else found
