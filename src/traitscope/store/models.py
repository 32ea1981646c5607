"""Which model a name stands for, to the byte, and where its files are; found without loading it where possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.store.fingerprints import fingerprint, fingerprint_folder, hash_file


def embedded_base_path() -> Path:
    """Folder of the base model that ships with traitscope."""
    return Path(__file__).resolve().parents[1] / "presets" / "embedded_base"


def resolve_model(model: str | Path) -> str | Path:
    """``"embedded"`` becomes its folder, an existing folder a Path; anything else stays a Hub id."""
    if str(model) == "embedded":
        return embedded_base_path()
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    if isinstance(model, Path) or str(model).startswith((".", "/", "~")):
        raise TraitscopeError(
            f"no model folder at {model}",
            where="base.model",
            fix="give a folder with config.json or a Hub id",
        )
    return str(model)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as a study names it: Hub id, folder or ``embedded``. ``dtype`` may be ``auto``."""

    model: str
    revision: str | None = None
    dtype: str = "auto"


def adapter_folder(model: str, revision: str | None) -> Path | None:
    """The local folder of a PEFT adapter, or None where ``model`` is a full model.

    A Hub id is looked up on the Hub, since the study names it; a local folder never touches the network.

    Raises:
        TraitscopeError: the Hub cannot be reached or has no such model.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path if (path / "adapter_config.json").is_file() else None
    if model == "embedded":
        return None
    from huggingface_hub import file_exists, snapshot_download

    try:
        if not file_exists(model, "adapter_config.json", revision=revision):
            return None
        files = ["adapter_config.json", "*.safetensors"]
        return Path(snapshot_download(model, revision=revision, allow_patterns=files))
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise TraitscopeError(
            f"cannot be had from the Hub: {first}",
            where=f"model {model}",
            fix="check the id, the revision and the network, or name a local folder",
        ) from error


def cached_folder(model: str, revision: str | None) -> Path | None:
    """Where the files of a Hub model lie on this disk, in a folder named by their commit; None before it was loaded."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(found).parent if isinstance(found, str) else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A model as it was found.

    Attributes:
        model: Hub id, folder or ``embedded``, as the study names it.
        asked: revision as the study names it.
        revision: the Hub commit that it stands for; None for a local folder.
        dtype: precision in which it runs.
        fingerprint: of weights, configuration and tokenizer (of weights and configuration for an adapter).
        adapter: the model is a PEFT adapter of the study's base.
    """

    model: str
    asked: str | None
    revision: str | None
    dtype: str
    fingerprint: str
    adapter: bool = False

    @classmethod
    def unknown(cls, asked: ModelSource, dtype: str) -> Identity:
        """Stands for a model that must be loaded before anything is known of it."""
        return cls(asked.model, asked.revision, None, dtype, f"not loaded yet: {asked.model}")

    @property
    def known(self) -> bool:
        """Whether fingerprint and precision are those that were found."""
        return self.dtype != "auto" and not self.fingerprint.startswith("not loaded yet")

    def source(self) -> ModelSource:
        """What to load: the very revision and precision that were found."""
        return ModelSource(self.model, self.revision or self.asked, self.dtype)

    def key(self) -> dict[str, str]:
        """What the units' fingerprints are made from; names and places are not part of it."""
        return {"fingerprint": self.fingerprint, "dtype": self.dtype}

    def to_json(self) -> dict[str, Any]:
        """For ``lock.json``."""
        return asdict(self)


def locked(entry: Mapping[str, Any] | None, asked: ModelSource) -> Identity | None:
    """The identity that ``lock.json`` holds, if it is of the same model and revision."""
    if entry is None or entry.get("model") != asked.model or entry.get("asked") != asked.revision:
        return None
    try:
        return Identity(**entry)
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
    target = resolve_model(asked.model)
    if isinstance(target, Path):
        return Identity(asked.model, asked.revision, None, dtype, fingerprint_folder(target))
    if kept is None:
        return Identity.unknown(asked, dtype)
    return Identity(asked.model, asked.revision, kept.revision, dtype, kept.fingerprint)


def model_identity(asked: ModelSource, base: Identity, entry: Mapping[str, Any] | None) -> Identity:
    """The identity of a row that is not trained here: an adapter of the base, or a full model.

    It runs in the base's precision, so that rows differ in their weights alone.

    Raises:
        TraitscopeError: the Hub does not have it.
    """
    kept = locked(entry, asked)
    local = Path(asked.model).expanduser().is_dir() or asked.model == "embedded"
    if kept is not None and not local:
        return kept
    folder = adapter_folder(asked.model, asked.revision)
    if folder is not None:
        files = [[path.name, hash_file(path)] for path in sorted(folder.glob("adapter_*"))]
        mark = fingerprint([base.key(), files])
        # A snapshot's folder is named by its commit.
        commit = None if local else folder.name
        return Identity(asked.model, asked.revision, commit, base.dtype, mark, adapter=True)
    target = resolve_model(asked.model)
    if isinstance(target, Path):
        return Identity(asked.model, asked.revision, None, base.dtype, fingerprint_folder(target))
    return Identity.unknown(asked, base.dtype)
