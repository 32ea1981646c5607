"""What makes a unit, a file or a model the same: sha256 over everything its numbers depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from traitscope.errors import TraitscopeError
from traitscope.records import Example

# A weights file above this size is hashed by its header and evenly spaced blocks: reading 16 GB to tell two
# models apart would cost more than a small study.
FULL_HASH_BYTES = 1 << 30
BLOCK_BYTES = 1 << 20
BLOCKS = 256


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, tuples as lists, 2.0 as 2.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no JSON form.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if hasattr(value, "model_dump"):
        return _plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def fingerprint(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical(value)).hexdigest()


class RowsHash:
    """Fingerprints of every prefix of a task's rows: a cell of n rows keeps the n-th and may grow."""

    def __init__(self, examples: Iterable[Example]) -> None:
        running = hashlib.sha256()
        self._prefix = [running.hexdigest()]
        for example in examples:
            running.update(canonical(example))
            running.update(b"\n")
            self._prefix.append(running.hexdigest())

    def __len__(self) -> int:
        return len(self._prefix) - 1

    def prefix(self, n: int) -> str | None:
        """Fingerprint of the first ``n`` rows, or None where there are fewer."""
        return self._prefix[n] if 0 <= n <= len(self) else None

    @property
    def whole(self) -> str:
        """Fingerprint of all rows."""
        return self._prefix[-1]


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Which keys of two nested JSON values differ, one line each: ``recipe.lr: 0.0002 -> 0.0001``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines: list[str] = []
        for key in [*old, *(key for key in new if key not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in old:
                lines.append(f"{where}: (absent) -> {_short(new[key])}")
            elif key not in new:
                lines.append(f"{where}: {_short(old[key])} -> (absent)")
            else:
                lines.extend(differences(old[key], new[key], where))
        return lines
    return [] if _plain(old) == _plain(new) else [f"{path}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def hash_file(path: Path) -> str:
    """SHA-256 of a file; above 1 GiB of its size, first block and 256 evenly spaced blocks of 1 MiB."""
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= FULL_HASH_BYTES:
            while block := file.read(1 << 22):
                digest.update(block)
        else:
            digest.update(str(size).encode())
            for index in range(BLOCKS):
                file.seek((size - BLOCK_BYTES) * index // (BLOCKS - 1))
                digest.update(file.read(BLOCK_BYTES))
    return digest.hexdigest()


def fingerprint_folder(folder: Path) -> str:
    """Fingerprint of a model folder: its weights and the fields of config.json that change numbers.

    Raises:
        TraitscopeError: the folder has no config.json or no safetensors weights.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise TraitscopeError(
            "no config.json: this is not a Hugging Face model folder",
            where=str(folder),
            fix="name the folder that save_pretrained wrote",
        )
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise TraitscopeError(
            "no *.safetensors weights",
            where=str(folder),
            fix="convert the weights with save_pretrained (pickled .bin files are not read)",
        )
    config = json.loads(config_path.read_text())
    ignored = {"transformers_version", "_name_or_path", "torch_dtype", "dtype", "use_cache"}
    digest = hashlib.sha256()
    digest.update(json.dumps({k: v for k, v in config.items() if k not in ignored}, sort_keys=True).encode())
    for path in [*weights, folder / "tokenizer.json"]:
        if path.is_file():
            digest.update(path.name.encode() + hash_file(path).encode())
    return digest.hexdigest()[:32]
