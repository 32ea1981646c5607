"""Which base and other models a study means, to the byte, without loading them where that is possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from traitscope.compute.local import ModelSource, adapter_folder
from traitscope.config import BaseConfig, ModelConfig
from traitscope.store import fingerprint
from traitscope.store.models import fingerprint_folder, hash_file, resolve_model


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

    def source(self) -> ModelSource:
        """What to load: the very revision and precision that were found."""
        return ModelSource(self.model, self.revision or self.asked, self.dtype)

    def key(self) -> dict[str, str]:
        """What the units' fingerprints are made from; names and places are not part of it."""
        return {"fingerprint": self.fingerprint, "dtype": self.dtype}

    def to_json(self) -> dict[str, Any]:
        """For ``lock.json``."""
        return asdict(self)


def locked(entry: Mapping[str, Any] | None, model: str, asked: str | None) -> Identity | None:
    """The identity that ``lock.json`` holds, if it is of the same model and revision."""
    if entry is None or entry.get("model") != model or entry.get("asked") != asked:
        return None
    try:
        return Identity(**entry)
    except TypeError:
        return None


def base_identity(config: BaseConfig, lock: Mapping[str, Any] | None) -> Identity | None:
    """The base's identity from its files and the lock; None if it must be loaded to know.

    Raises:
        TraitscopeError: a local folder is missing or holds no model.
    """
    known = locked((lock or {}).get("base"), config.model, config.revision)
    dtype = config.dtype if config.dtype != "auto" else known.dtype if known else None
    if dtype is None:
        return None
    target = resolve_model(config.model)
    if isinstance(target, Path):
        return Identity(config.model, config.revision, None, dtype, fingerprint_folder(target))
    return None if known is None else Identity(config.model, config.revision, known.revision, dtype, known.fingerprint)


def loaded_identity(model: str, asked: str | None, base: Any) -> Identity:
    """The identity of a model that the engine has loaded."""
    local = isinstance(resolve_model(model), Path)
    return Identity(model, asked, None if local else base.revision, base.precision, base.fingerprint)


def adapter_identity(config: ModelConfig, base: Identity) -> Identity | None:
    """The identity of a row that is a PEFT adapter of the base; None if it is a full model.

    Raises:
        TraitscopeError: the Hub does not have it.
    """
    folder = adapter_folder(config.model, config.revision)
    if folder is None:
        return None
    files = [[path.name, hash_file(path)] for path in sorted(folder.glob("adapter_*"))]
    mark = fingerprint([base.key(), files])
    return Identity(config.model, config.revision, config.revision, base.dtype, mark, adapter=True)


def model_identity(config: ModelConfig, base: Identity, lock: Mapping[str, Any] | None) -> Identity | None:
    """The identity of a row that is not trained here; None if it must be loaded to know.

    It runs in the base's precision, so that rows differ in their weights alone.
    """
    known = locked(lock, config.model, config.revision)
    local = Path(config.model).expanduser().is_dir() or config.model == "embedded"
    if known is not None and not local:
        return known
    adapter = adapter_identity(config, base)
    if adapter is not None:
        return adapter
    target = resolve_model(config.model)
    if isinstance(target, Path):
        return Identity(config.model, config.revision, None, base.dtype, fingerprint_folder(target))
    return None
