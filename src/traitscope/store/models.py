"""Which model a name stands for, to the byte, and where its files are; found without loading it where possible."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.store.adapters import CONFIG
from traitscope.store.files import user_path
from traitscope.store.fingerprints import fingerprint, fingerprint_folder, hash_file, model_files
from traitscope.store.gguf import SMOLLM2, dequantised, smollm2_file
from traitscope.store.hub import is_hub_id
from traitscope.store.hub_errors import NotOnThisDisk
from traitscope.store.hub_files import fetch_adapter, fetch_model, moved_to
from traitscope.store.merged import adapter_mark, merged, must_be_merged
from traitscope.texts import MOST_SHOWN, shown

_PAGE = re.compile(
    r"(?:https?://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)(?:models/)?(?P<id>[\w.-]+/[\w.-]+)"
    r"(?:/(?:tree|blob|resolve)/(?P<revision>[\w.-]+))?"
)


def embedded_base_path() -> Path:
    """Folder of the base model that ships with traitscope."""
    return Path(__file__).resolve().parents[1] / "presets" / "embedded_base"


BUILT_IN: dict[str, Callable[[], Path]] = {"embedded": embedded_base_path, SMOLLM2: smollm2_file}
"""Names that stand for a model in an installed package: its folder, or its GGUF file."""


def shared_name(model: str, fingerprint: str | None = None) -> str:
    """A model's name where others read it: of a path of this machine the last part, with the hash of what lies there.

    Hub ids, built-in names and paths inside the study's folder stay as they are.

    Args:
        model: as the study names it. fingerprint: of the model, where it is known.
    """
    path = PurePath(model)
    if model in BUILT_IN or not (path.is_absolute() or ".." in path.parts or model.startswith("~")):
        return model
    return f"{path.name or 'model'}@{fingerprint[:12]}" if fingerprint else path.name or "model"


def locate(model: str | Path, root: Path | str = ".") -> str | Path:
    """Where a model's files are: an absolute path of a folder or of a GGUF file; anything else stays a Hub id.

    Args:
        model: a built-in name (``embedded``, ``smollm2-135m``), a folder, a GGUF file or a Hub id.
        root: the folder that relative paths start from.

    Raises:
        TraitscopeError: a path points nowhere or to another file, a name is no Hub id, or the package of a built-in
            name is not installed.
    """
    if str(model) in BUILT_IN:
        return BUILT_IN[str(model)]()
    text = str(model)
    place = _place(model, root)
    if place is not None and (place.is_dir() or place.suffix.lower() == ".gguf"):
        # The folder alone is resolved: a file may be a link to one without its ending.
        return place.resolve() if place.is_dir() else place.parent.resolve() / place.name
    if place is not None:
        holds = any((place.parent / name).is_file() for name in (CONFIG, "config.json"))
        raise TraitscopeError(
            "is a file, and a model or an adapter is a folder",
            where=f"model {_short(text)}",
            fix=f"name its folder: {Path(model).parent}" if holds else "name the folder of a model, or a Hub id",
        )
    before, _, revision = text.rpartition("@")
    if before and _place(before, root) is not None:
        raise _no_revision(before, revision)
    if (page := _PAGE.match(text)) is not None:
        raise TraitscopeError(
            "is the address of a page, and a model of the Hub goes by its id",
            where=f"model {_short(text)}",
            fix=f"write {page['id']}" + (f"@{page['revision']}" if page["revision"] else ""),
        )
    is_file = text.lower().endswith(".gguf")
    if is_file or isinstance(model, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise TraitscopeError(
            f"there is no {'GGUF file' if is_file else 'model folder'} at this path",
            where=f"model {_short(text)}",
            fix=f"name a model folder, a GGUF file or a Hub id; relative paths start in {Path(root).resolve()}",
        )
    if not is_hub_id(text):
        raise TraitscopeError(
            f"{shown(text)} is no id of the Hub, and no folder here",
            where=f"model {_short(text)}",
            fix=f"write org/name, org/name@revision or a folder; relative paths start in {Path(root).resolve()}",
        )
    return text


def _place(model: str | Path, root: Path | str) -> Path | None:
    """The file or folder that a name stands for; None where there is none."""
    path = user_path(root, model)
    # pathlib raises for a name that is too long.
    return path if os.path.exists(path) else None  # noqa: PTH110


def _short(name: str) -> str:
    return name if len(name) <= MOST_SHOWN else shown(name)


def _no_revision(model: str, revision: str) -> TraitscopeError:
    return TraitscopeError(
        f"it lies on this disk and has no revision {shown(revision)}",
        where=f"model {model}",
        fix="leave the revision out, or write the id of a repository on the Hub",
    )


def resolve_model(model: str | Path, root: Path | str = ".") -> str | Path:
    """The folder of a model that is here, a GGUF file's dequantised one (made on the first call); else the Hub id.

    Raises:
        TraitscopeError: as ``locate``, and where a GGUF file cannot be read.
    """
    found = locate(model, root)
    return dequantised(found) if isinstance(found, Path) and found.is_file() else found


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as a study names it: Hub id, folder, GGUF file or built-in name. ``dtype`` may be ``auto``.

    ``root`` is the folder that relative paths start from; ``subfolder`` the folder of an adapter in its repository;
    ``onto`` the base that an adapter must be merged into; ``said`` the line of the study file that names it.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    root: Path = Path()
    subfolder: str | None = None
    onto: ModelSource | None = None
    said: str | None = field(default=None, compare=False)

    def located(self) -> str | Path:
        """See ``locate``.

        Raises:
            TraitscopeError: as ``locate``, and where a revision of a local model is named.
        """
        try:
            found = locate(self.model, self.root)
            if self.revision is not None and isinstance(found, Path):
                raise _no_revision(self.model, self.revision)
        except TraitscopeError as error:
            if self.said is None:
                raise
            raise TraitscopeError(error.what, where=f"{self.said}, {error.where}", fix=error.fix) from None
        return found

    def resolved(self) -> str | Path:
        """See ``resolve_model``; of an adapter with ``onto`` the folder of the merged model, made on the first call."""
        if self.onto is None:
            place = self.located()
            return dequantised(place) if isinstance(place, Path) and place.is_file() else place
        folder, base = adapter_folder(self), self.onto.resolved()
        if isinstance(base, str):
            base = cached_folder(base, self.onto.revision) or base
        if folder is None or isinstance(base, str):
            raise NotOnThisDisk(
                "it must be merged into its base, and the files of one of them are not on this disk",
                where=f"model {self.model}",
                fix="load the base first: traitscope check, with the network",
            )
        return merged(folder, base)

    def on_base(self, base: ModelSource) -> ModelSource:
        """The same; with ``onto`` where it is an adapter on this disk that must be merged into the base."""
        try:
            folder = kept_adapter(self)
        except TraitscopeError:
            return self  # nothing lies there: whoever needs it says so
        return replace(self, onto=base) if folder is not None and must_be_merged(folder) else self

    def fetched(self, *, weights: bool) -> Path:
        """The folder of a full model's files; of one on the Hub they are fetched, the weights only where asked for.

        Raises:
            TraitscopeError: as ``resolve_model``, and where the Hub does not give them.
        """
        found = self.resolved()
        if isinstance(found, Path):
            return found
        return fetch_model(found, self.revision, weights=weights, where=f"model {self.model}")


def adapter_folder(asked: ModelSource) -> Path | None:
    """The local folder of a PEFT adapter, or None where ``asked`` is a full model.

    A Hub id is looked up on the Hub, since the study names it; a local folder never touches the network.

    Raises:
        TraitscopeError: the Hub cannot be reached or has no such model.
    """
    model = asked.located()
    if isinstance(model, Path):
        folder = model / asked.subfolder if asked.subfolder else model
        return folder if (folder / "adapter_config.json").is_file() else None
    return fetch_adapter(model, asked.revision, asked.subfolder, where=f"model {asked.model}")


def kept_adapter(asked: ModelSource) -> Path | None:
    """As ``adapter_folder``, of what is on this disk: the Hub is not asked."""
    model = asked.located()
    if isinstance(model, Path):
        return adapter_folder(asked)
    from huggingface_hub import try_to_load_from_cache

    name = f"{asked.subfolder}/{CONFIG}" if asked.subfolder else CONFIG
    found = try_to_load_from_cache(model, name, revision=asked.revision)
    return Path(found).parent if isinstance(found, str) else None


def other_base(folder: Path, base: ModelSource) -> str | None:
    """The base that an adapter's configuration names, where it is another than ``base``; None where that is not known.

    Two Hub ids are compared as they are, two folders by their models' weights.
    """
    try:
        named = json.loads((folder / CONFIG).read_bytes()).get("base_model_name_or_path")
        if not isinstance(named, str) or not named:
            return None
        theirs, ours = locate(named, folder), base.located()
        if isinstance(theirs, str) and isinstance(ours, str):
            return named if theirs.lower() != ours.lower() else None
        if isinstance(theirs, Path) and isinstance(ours, Path) and theirs.is_dir() and ours.is_dir():
            return named if _weights(theirs) != _weights(ours) else None
    except (OSError, ValueError, AttributeError, TraitscopeError):
        pass
    return None


def _weights(folder: Path) -> list[str]:
    return sorted(mark for name, mark in model_files(folder).items() if name.endswith(".safetensors"))


def cached_folder(model: str, revision: str | None) -> Path | None:
    """Where the files of a Hub model lie on this disk, in a folder named by their commit; None before it was loaded."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A model as it was found.

    Attributes:
        model: Hub id, folder, GGUF file or built-in name, as the study names it.
        asked: revision as the study names it.
        revision: the Hub commit that it stands for; None for a local folder.
        dtype: precision in which it runs.
        fingerprint: of weights, configuration and tokenizer (of weights and configuration for an adapter).
        adapter: the model is a PEFT adapter of the study's base.
        subfolder: where in its repository the adapter lies.
        moved_to: the repository's new name, where the Hub said that it was renamed.
        root: the folder that a relative path starts from; a study may move with its models.
        onto: the base of an adapter that is merged into it, and is then a model of its own (``adapter`` is false).
    """

    model: str
    asked: str | None
    revision: str | None
    dtype: str
    fingerprint: str
    adapter: bool = False
    subfolder: str | None = None
    moved_to: str | None = field(default=None, compare=False)
    root: Path = field(default=Path(), compare=False)
    onto: ModelSource | None = field(default=None, compare=False)

    @classmethod
    def unknown(cls, asked: ModelSource, dtype: str) -> Identity:
        """Stands for a model that must be loaded before anything is known of it."""
        mark = f"not loaded yet: {asked.model}"
        return cls(asked.model, asked.revision, None, dtype, mark, subfolder=asked.subfolder, root=asked.root)

    @property
    def known(self) -> bool:
        """Whether fingerprint and precision are those that were found."""
        return self.dtype != "auto" and not self.fingerprint.startswith("not loaded yet")

    def source(self) -> ModelSource:
        """What to load: the very revision and precision that were found."""
        revision = self.revision or self.asked
        return ModelSource(self.model, revision, self.dtype, self.root, self.subfolder, self.onto)

    def key(self) -> dict[str, str]:
        """What the units' fingerprints are made from; names and places are not part of it."""
        return {"fingerprint": self.fingerprint, "dtype": self.dtype}

    @property
    def shared(self) -> str:
        """Its name where others read it (see ``shared_name``)."""
        return shared_name(self.model, self.fingerprint)

    def to_json(self) -> dict[str, Any]:
        """For ``lock.json``."""
        said = {key: value for key, value in asdict(self).items() if key not in ("root", "onto")}
        for key in ("subfolder", "moved_to"):
            if said[key] is None:
                del said[key]
        return {**said, "model": shared_name(self.model)}


def locked(entry: Mapping[str, Any] | None, asked: ModelSource) -> Identity | None:
    """The identity that ``lock.json`` holds, if it is of the same model and revision."""
    if entry is None or entry.get("asked") != asked.revision or entry.get("subfolder") != asked.subfolder:
        return None
    # Earlier versions wrote the path itself. A renamed repository is the same under its new name.
    if asked.model not in (entry.get("model"), entry.get("moved_to")) and entry.get("model") != shared_name(
        asked.model
    ):
        return None
    moved = None if entry.get("moved_to") == asked.model else entry.get("moved_to")
    try:
        said = {**entry, "model": asked.model, "moved_to": moved}
        return Identity(**said, root=asked.root, onto=asked.onto)
    except TypeError:
        return None


def base_identity(asked: ModelSource, entry: Mapping[str, Any] | None) -> Identity:
    """The base's identity from its files and its entry in ``lock.json``; unknown if it must be loaded for it.

    Raises:
        TraitscopeError: a local folder is missing or holds no model.
    """
    kept = locked(entry, asked)
    dtype = asked.dtype if asked.dtype != "auto" else kept.dtype if kept else None
    if dtype is None:
        return Identity.unknown(asked, "auto")
    target = asked.resolved()
    if isinstance(target, Path):
        return Identity(asked.model, asked.revision, None, dtype, fingerprint_folder(target), root=asked.root)
    if kept is None:
        return Identity.unknown(asked, dtype)
    moved = kept.moved_to or moved_to(target)
    return Identity(
        asked.model, asked.revision, kept.revision, dtype, kept.fingerprint, moved_to=moved, root=asked.root
    )


def model_identity(asked: ModelSource, base: Identity, entry: Mapping[str, Any] | None) -> Identity:
    """The identity of a row that is not trained here: an adapter of the base, or a full model.

    It runs in the base's precision, so that rows differ in their weights alone.

    An adapter that must be merged into the base is a full model, which is told from the files it is made of.

    Raises:
        TraitscopeError: the Hub does not have it.
    """
    kept = locked(entry, asked)
    local = isinstance(asked.located(), Path)
    if kept is not None and not local:
        return kept
    folder = adapter_folder(asked)
    if folder is not None:
        merges = must_be_merged(folder)
        files = [[path.name, hash_file(path)] for path in sorted(folder.glob("adapter_*"))]
        # A snapshot's folder is named by its commit.
        depth = len(PurePosixPath(asked.subfolder).parts) if asked.subfolder else 0
        return Identity(
            asked.model,
            asked.revision,
            None if local else [folder, *folder.parents][depth].name,
            base.dtype,
            fingerprint([base.key(), adapter_mark(folder), "merged"] if merges else [base.key(), files]),
            adapter=not merges,
            subfolder=asked.subfolder,
            moved_to=None if local else moved_to(asked.model),
            root=asked.root,
            onto=base.source() if merges else None,
        )
    if asked.subfolder is not None:
        raise TraitscopeError(
            f"there is no adapter in its folder {asked.subfolder}",
            where=f"model {asked.model}",
            fix="name a folder with an adapter_config.json, or leave subfolder out",
        )
    target = asked.resolved()
    if isinstance(target, Path):
        return Identity(asked.model, asked.revision, None, base.dtype, fingerprint_folder(target), root=asked.root)
    return Identity.unknown(asked, base.dtype)
